//! What threads hand to each other: pools whose threads make calls for others that wait for them.
//!
//! Who has woken a thread says little of what it does next. Several things that were put into a queue are told by one
//! wake-up, a worker that has just finished takes the next of them before the one that was woken for it does, and a worker
//! that was woken wakes another in turn. (Measured: of Java's pools one in ten, of Python's two in three that were woken by
//! a request's thread worked for another one's.) But who waits for a result is woken by the one that has it. So a call belongs to
//! the request whose thread, having it in hand, was woken by the thread that had just read the call's answer.
//!
//! Whoever gives up a lock wakes others as well. So the one that is woken must have woken somebody itself, to ask for something,
//! and have waited since before the answer came, and not for a call of its own. And the one that sent the call must have been woken for it: by this very
//! request's thread; or, where it is one that has been seen to work so, by another worker, since the request was read. One that
//! was woken by another request's thread is not believed, and one that nobody has woken has come by itself.

use std::collections::HashMap;

use super::Token;

/// Threads remembered; beyond it all are forgotten and learned anew.
const MAX_THREADS: usize = 65_536;
/// Answers that come back to one request.
const MAX_CALLS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Handovers {
    /// Wake-ups are told: without any the rest is not kept.
    active: bool,
    threads: HashMap<u32, Thread, foldhash::fast::FixedState>,
    /// Requests that are open, by whose thread they were read.
    requests: HashMap<Token, Request, foldhash::fast::FixedState>,
    calls: HashMap<Token, Call, foldhash::fast::FixedState>,
    /// Threads forgotten because there were too many.
    pub(super) forgotten: u64,
}

#[derive(Debug, Default)]
struct Thread {
    /// The open requests that it has read.
    requests: Vec<Token>,
    /// The call that it has sent and whose answer it has read, and done nothing else since.
    answer: Option<Token>,
    woken: Option<Woken>,
    /// When it was last seen to do anything.
    active: u64,
    /// It was seen to work for the one that had woken it.
    proven: bool,
}

/// When a thread was woken last, and which request the thread had in hand that woke it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Woken {
    time: u64,
    request: Option<Token>,
}

#[derive(Debug)]
struct Request {
    tid: u32,
    /// Its thread has woken another: it has asked for something.
    asked: bool,
    /// Calls whose answers those had read who woke its thread.
    calls: Vec<Token>,
}

#[derive(Debug)]
struct Call {
    tid: u32,
    woken: Option<Woken>,
    answered: u64,
    back: Back,
}

/// To which request's thread the answer to a call was brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Back {
    Nobodys,
    One(Token),
    Several,
}

/// A thread, whether it does one thing after another, and whether it waits for the answer to a call of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worker {
    pub(super) tid: u32,
    pub(super) believed: bool,
    pub(super) calling: bool,
}

impl Handovers {
    /// A thread has read a request.
    pub(super) fn read(&mut self, request: Token, tid: u32, time: u64) {
        if !self.active {
            return;
        }
        let thread = self.thread(tid);
        (thread.answer, thread.active) = (None, time);
        thread.requests.push(request);
        self.requests.insert(request, Request { tid, asked: false, calls: Vec::new() });
    }

    /// A thread has sent a call; `open`: it is not known yet what caused it.
    pub(super) fn sent(&mut self, call: Token, tid: u32, time: u64, open: bool) {
        if !self.active {
            return;
        }
        let thread = self.thread(tid);
        (thread.answer, thread.active) = (None, time);
        if open && thread.requests.is_empty() {
            let woken = thread.woken;
            // That one may be over by now: then this is not what it has asked for.
            let lasts =
                |woken: &Woken| woken.request.is_none_or(|request| self.requests.contains_key(&request));
            let woken = woken.filter(lasts);
            self.calls.insert(call, Call { tid, woken, answered: time, back: Back::Nobodys });
        }
    }

    /// A thread has begun to read the answer to a call.
    pub(super) fn answered(&mut self, call: Token, tid: u32, time: u64) {
        if !self.active {
            return;
        }
        let own = self.calls.get_mut(&call).filter(|call| call.tid == tid);
        let answer = own.map(|own| {
            own.answered = time;
            call
        });
        let thread = self.thread(tid);
        (thread.answer, thread.active) = (answer, time);
    }

    /// A thread was made: it is not what had its id before.
    pub(super) fn made(&mut self, tid: u32) {
        self.threads.remove(&tid);
    }

    /// `woken` was woken by a thread of its process, or made by it.
    pub(super) fn woken(&mut self, by: Worker, woken: Worker, time: u64) {
        self.active = true;
        let request = self.in_hand(by);
        if let Some(request) = request.and_then(|request| self.requests.get_mut(&request)) {
            request.asked = true;
        }
        self.thread(by.tid).active = time;
        let idle_since = std::mem::replace(&mut self.thread(woken.tid).active, time);
        let Some(waiting) = self.in_hand(woken) else {
            let thread = self.thread(woken.tid);
            (thread.woken, thread.answer) = (Some(Woken { time, request }), None);
            return;
        };
        let waker = self.threads.get(&by.tid).filter(|waker| waker.requests.is_empty());
        if let Some(call) = waker.and_then(|waker| waker.answer) {
            self.bring(call, waiting, (!woken.calling).then_some(idle_since));
        }
    }

    /// A request that was read at `start` is over: the calls that others have made for it.
    pub(super) fn ended(&mut self, request: Token, start: u64) -> Vec<Token> {
        let Some(Request { calls, .. }) = self.leave(request) else { return Vec::new() };
        let mut own = Vec::new();
        for token in calls {
            let Some(call) = self.calls.get(&token).filter(|call| call.back == Back::One(request)) else {
                continue;
            };
            let Some(woken) = call.woken.filter(|woken| woken.time >= start) else { continue };
            let Some(thread) = self.threads.get_mut(&call.tid) else { continue };
            match woken.request {
                Some(by) if by == request => thread.proven = true,
                Some(_) => continue,
                None if thread.proven => {}
                None => continue,
            }
            own.push(token);
        }
        own
    }

    /// An exchange leaves.
    pub(super) fn forget(&mut self, token: Token) {
        self.calls.remove(&token);
        self.leave(token);
    }

    fn leave(&mut self, request: Token) -> Option<Request> {
        let left = self.requests.remove(&request)?;
        if let Some(thread) = self.threads.get_mut(&left.tid) {
            thread.requests.retain(|other| *other != request);
        }
        Some(left)
    }

    /// A thread that has the answer to a call has woken the one that has a request in hand and, where it waits for others, has
    /// done nothing since then.
    fn bring(&mut self, call: Token, request: Token, idle_since: Option<u64>) {
        let (Some(found), Some(to)) = (self.calls.get_mut(&call), self.requests.get_mut(&request)) else {
            return;
        };
        match found.back {
            Back::Nobodys
                if to.asked
                    && to.calls.len() < MAX_CALLS
                    && idle_since.is_some_and(|since| since < found.answered) =>
            {
                found.back = Back::One(request);
                to.calls.push(call);
            }
            Back::One(before) if before == request => {}
            Back::Nobodys | Back::One(_) | Back::Several => found.back = Back::Several,
        }
    }

    /// The request that a thread certainly works for.
    fn in_hand(&self, worker: Worker) -> Option<Token> {
        match self.threads.get(&worker.tid)?.requests[..] {
            [request] if worker.believed => Some(request),
            _ => None,
        }
    }

    fn thread(&mut self, tid: u32) -> &mut Thread {
        if self.threads.len() >= MAX_THREADS && !self.threads.contains_key(&tid) {
            self.forgotten += self.threads.len() as u64;
            self.threads.clear();
        }
        self.threads.entry(tid).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(exchange: u64) -> Token {
        Token { socket: exchange, exchange }
    }

    /// Requests 100 and 200 are read by threads 1 and 2, which wait for what they have asked for.
    struct Process {
        handovers: Handovers,
        now: u64,
    }

    impl Process {
        fn new() -> Self {
            let mut new = Self { handovers: Handovers::default(), now: 0 };
            new.wakes(90, 91);
            new.reads(1, 100);
            new.reads(2, 200);
            new
        }

        fn reads(&mut self, tid: u32, request: u64) {
            self.now += 1;
            self.handovers.read(token(request), tid, self.now);
        }

        fn wakes(&mut self, by: u32, tid: u32) {
            self.now += 1;
            let worker = |tid| Worker { tid, believed: true, calling: false };
            self.handovers.woken(worker(by), worker(tid), self.now);
        }

        fn calls(&mut self, tid: u32, call: u64) {
            self.sends(tid, call);
            self.hears(tid, call);
        }

        fn sends(&mut self, tid: u32, call: u64) {
            self.now += 1;
            self.handovers.sent(token(call), tid, self.now, true);
        }

        fn hears(&mut self, tid: u32, call: u64) {
            self.now += 1;
            self.handovers.answered(token(call), tid, self.now);
        }

        fn ended(&mut self, request: u64, start: u64) -> Vec<u64> {
            self.handovers.ended(token(request), start).iter().map(|call| call.exchange).collect()
        }

        /// Thread 1 has asked this one for something.
        fn proves(&mut self, tid: u32) {
            self.wakes(1, tid);
            self.calls(tid, 1);
            self.wakes(tid, 1);
            assert_eq!(self.ended(100, 0), [1]);
            self.reads(1, 100);
        }
    }

    #[test]
    fn calls_of_a_pool_are_those_of_whoever_waits_for_them() {
        let mut process = Process::new();
        for (by, worker, call) in [(1, 11, 101), (1, 12, 102), (2, 21, 201), (2, 22, 202)] {
            process.wakes(by, worker);
            process.sends(worker, call);
        }
        process.hears(22, 202);
        for (worker, call, to) in [(21, 201, 2), (12, 102, 1), (11, 101, 1)] {
            process.hears(worker, call);
            process.wakes(worker, to);
        }
        assert_eq!(process.ended(100, 0), [102, 101]);
        // Nobody was woken by the other one.
        assert_eq!(process.ended(200, 0), [201]);
    }

    #[test]
    fn what_another_has_asked_for_or_nobody_has_is_not_believed() {
        let mut process = Process::new();
        // The worker took another's task, or the one that waits was woken by a lock.
        process.wakes(1, 11);
        process.calls(11, 101);
        process.wakes(11, 2);
        // It has come by itself.
        process.calls(12, 102);
        process.wakes(12, 2);
        // It was woken by one that works for nobody, and nothing is known of it.
        process.wakes(90, 13);
        process.calls(13, 103);
        process.wakes(13, 2);
        assert!(process.ended(100, 0).is_empty() && process.ended(200, 0).is_empty());
    }

    #[test]
    fn one_that_has_worked_so_may_be_woken_by_another_worker() {
        let mut process = Process::new();
        process.proves(11);
        process.wakes(2, 92);
        process.wakes(90, 11);
        process.calls(11, 201);
        process.wakes(11, 2);
        assert_eq!(process.ended(200, 0), [201]);
        // Before the request was read it was woken for something else.
        process.wakes(90, 11);
        process.reads(3, 300);
        let start = process.now;
        process.wakes(3, 92);
        process.calls(11, 301);
        process.wakes(11, 3);
        assert!(process.ended(300, start).is_empty());
        // A thread that is made is another one, whatever its id.
        process.reads(2, 200);
        process.wakes(2, 92);
        process.handovers.made(11);
        process.wakes(90, 11);
        process.calls(11, 202);
        process.wakes(11, 2);
        assert!(process.ended(200, 0).is_empty());
    }

    #[test]
    fn an_answer_that_comes_to_several_is_nobodys() {
        let mut process = Process::new();
        process.wakes(1, 11);
        process.calls(11, 101);
        process.wakes(11, 1);
        process.wakes(11, 2);
        assert!(process.ended(100, 0).is_empty() && process.ended(200, 0).is_empty());
    }

    #[test]
    fn between_an_answer_and_who_waits_for_it_nothing_else_happens() {
        let mut process = Process::new();
        process.wakes(1, 11);
        process.calls(11, 101);
        process.wakes(90, 11);
        process.wakes(11, 1);
        process.wakes(1, 12);
        process.calls(12, 102);
        process.sends(12, 103);
        process.wakes(12, 1);
        // Another thread has read it.
        process.wakes(1, 13);
        process.sends(13, 104);
        process.hears(14, 104);
        process.wakes(14, 1);
        assert!(process.ended(100, 0).is_empty());
    }

    #[test]
    fn whoever_has_done_something_since_the_answer_came_waits_for_a_lock() {
        let mut process = Process::new();
        process.wakes(1, 11);
        process.calls(11, 101);
        process.wakes(1, 92);
        process.wakes(11, 1);
        assert!(process.ended(100, 0).is_empty());
    }

    #[test]
    fn who_has_asked_for_nothing_waits_for_a_lock() {
        for asks in [true, false] {
            let mut process = Process::new();
            process.proves(11);
            if asks {
                process.wakes(2, 92);
            }
            process.wakes(90, 11);
            process.calls(11, 201);
            process.wakes(11, 2);
            assert_eq!(process.ended(200, 0).is_empty(), !asks);
        }
    }

    #[test]
    fn one_that_has_several_requests_or_does_several_things_waits_for_nobody() {
        let mut process = Process::new();
        process.wakes(1, 11);
        process.calls(11, 101);
        process.reads(1, 300);
        process.wakes(11, 1);
        assert!(process.ended(100, 0).is_empty());
        process.wakes(2, 12);
        process.calls(12, 201);
        let worker = |tid, believed, calling| Worker { tid, believed, calling };
        for to in [worker(2, false, false), worker(2, true, true)] {
            process.now += 1;
            process.handovers.woken(worker(12, true, false), to, process.now);
        }
        assert!(process.ended(200, 0).is_empty());
    }

    #[test]
    fn neither_threads_nor_calls_grow_without_bound() {
        let mut process = Process::new();
        for tid in 10..200_000 {
            process.wakes(1, tid);
            process.calls(tid, u64::from(tid) << 20);
            process.wakes(tid, 1);
            process.handovers.forget(token(u64::from(tid) << 20));
        }
        let Handovers { threads, calls, requests, forgotten, .. } = &process.handovers;
        assert!(threads.len() <= MAX_THREADS && calls.is_empty());
        assert!(*forgotten >= 199_990 - MAX_THREADS as u64);
        assert!(requests[&token(100)].calls.len() <= MAX_CALLS);
        for request in [100, 200] {
            process.handovers.forget(token(request));
        }
        assert!(process.handovers.requests.is_empty());
    }

    #[test]
    fn without_wake_ups_nothing_is_kept() {
        let mut handovers = Handovers::default();
        handovers.read(token(1), 1, 1);
        handovers.sent(token(2), 2, 2, true);
        handovers.answered(token(2), 2, 3);
        assert!(handovers.threads.is_empty() && handovers.requests.is_empty() && handovers.calls.is_empty());
    }
}
