//! What threads hand to each other: pools that make calls for those who wait for them, and runtimes in which each step of a
//! request is another thread's.
//!
//! A thread that is woken goes on with what the one that woke it was at: a request that this one has read, or the answer
//! to a call. That is not so always. Who gives up a lock wakes whoever waits for it; a worker that has just finished takes
//! the next task before the one that was woken for it does, and one that is busy is woken by nobody. So nothing is believed
//! that does not close: what a request's threads have handed on must have come back to it, to the thread that wrote its
//! response or to the one that has it in hand and waits. What was mixed up on the way ends at another request.

use std::collections::{HashMap, hash_map::Entry};

use super::Token;
use crate::decode::Wait;

/// Threads and futexes remembered; beyond it all of the kind are forgotten and learned anew.
const MAX_THREADS: usize = 65_536;
const MAX_FUTEXES: usize = 65_536;
const MAX_OPENED: usize = 16_384;
/// Steps that are followed back, and answers that come back to one request.
const MAX_STEPS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Handovers {
    /// Wake-ups are told: without any the rest is not kept.
    active: bool,
    /// What each thread is at; those that nothing is known of are not there.
    threads: HashMap<u32, Origin, foldhash::fast::FixedState>,
    /// What its sender was at, by call.
    calls: HashMap<Token, Origin, foldhash::fast::FixedState>,
    /// The same by socket, of connections that are opened.
    opened: HashMap<u64, Option<Origin>, foldhash::fast::FixedState>,
    /// By request: what came back to it.
    back: HashMap<Token, Back, foldhash::fast::FixedState>,
    /// Who has waited for a certain time only, by process and futex.
    futexes: HashMap<(u32, u64), Waiters, foldhash::fast::FixedState>,
}

/// What a thread's work began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Request(Token),
    /// The answer to a call whose cause is not known.
    Answer(Token),
}

#[derive(Debug, Default)]
struct Back {
    /// What the thread was at that began to write the response.
    end: Option<Origin>,
    /// Calls whose answers those had read who woke the thread that has the request in hand.
    answers: Vec<Token>,
}

#[derive(Clone, Copy, Debug)]
enum Waiters {
    One(u32),
    Several,
}

/// A thread, and the request that it certainly works for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hand {
    pub(super) tid: u32,
    pub(super) request: Option<Token>,
}

impl Handovers {
    /// A thread has read a request; `certain`: it runs one thing after another, and not tasks that are told apart.
    pub(super) fn read(&mut self, request: Token, tid: u32, certain: bool) {
        if !self.active {
            return;
        }
        self.set(tid, certain.then_some(Origin::Request(request)));
    }

    /// A thread has read the beginning of the answer to a call, or its end. `known`: the request that caused the call.
    pub(super) fn answered(&mut self, call: Token, tid: u32, known: Option<Token>, certain: bool) {
        if !self.active {
            return;
        }
        let origin = match known {
            Some(request) => Some(Origin::Request(request)),
            None => self.calls.contains_key(&call).then_some(Origin::Answer(call)),
        };
        self.set(tid, origin.filter(|_| certain));
    }

    /// A thread has begun to open a connection.
    pub(super) fn opened(&mut self, socket: u64, hand: Hand) {
        if !self.active {
            return;
        }
        if self.opened.len() >= MAX_OPENED {
            self.opened.clear();
        }
        self.opened.insert(socket, self.of(hand));
    }

    /// A thread has sent a call of which it is not known yet what caused it.
    pub(super) fn sent(&mut self, call: Token, hand: Hand) {
        // The first on its connection was meant when that was opened.
        let origin = self.opened.remove(&call.socket).unwrap_or_else(|| self.of(hand));
        if let Some(origin) = origin {
            self.calls.insert(call, origin);
        }
    }

    /// A thread has begun to write a response.
    pub(super) fn wrote(&mut self, request: Token, hand: Hand) {
        if let Some(end) = self.of(hand) {
            self.back.entry(request).or_default().end.get_or_insert(end);
        }
    }

    /// `woken` was woken by a thread of its process, or made by it where it did not wait.
    pub(super) fn woken(&mut self, pid: u32, by: Hand, woken: Hand, wait: Option<Wait>) {
        self.active = true;
        if wait.is_some_and(|wait| self.is_turn(pid, woken.tid, wait)) {
            return;
        }
        let origin = self.of(by);
        let Some(request) = woken.request else {
            self.set(woken.tid, origin);
            return;
        };
        if let Some(Origin::Answer(call)) = origin {
            let answers = &mut self.back.entry(request).or_default().answers;
            if answers.len() < MAX_STEPS && !answers.contains(&call) {
                answers.push(call);
            }
        }
    }

    /// A request is over: the calls that were certainly made for it.
    pub(super) fn ended(&mut self, request: Token) -> Vec<Token> {
        let Some(Back { end, answers }) = self.back.remove(&request) else { return Vec::new() };
        let mut own = Vec::new();
        for back in end.into_iter().chain(answers.into_iter().map(Origin::Answer)) {
            own.extend(self.line(request, back));
        }
        own
    }

    /// An exchange leaves.
    pub(super) fn forget(&mut self, token: Token) {
        self.calls.remove(&token);
        self.back.remove(&token);
    }

    /// The calls between `back` and the reading of `request`; none where it does not lead there.
    fn line(&self, request: Token, back: Origin) -> Vec<Token> {
        let (mut calls, mut at) = (Vec::new(), back);
        while calls.len() < MAX_STEPS {
            match at {
                Origin::Request(found) if found == request => return calls,
                Origin::Request(_) => break,
                Origin::Answer(call) => {
                    let Some(before) = self.calls.get(&call) else { break };
                    calls.push(call);
                    at = *before;
                }
            }
        }
        Vec::new()
    }

    fn of(&self, hand: Hand) -> Option<Origin> {
        hand.request.map(Origin::Request).or_else(|| self.threads.get(&hand.tid).copied())
    }

    fn set(&mut self, tid: u32, origin: Option<Origin>) {
        let Some(origin) = origin else {
            self.threads.remove(&tid);
            return;
        };
        if self.threads.len() >= MAX_THREADS && !self.threads.contains_key(&tid) {
            self.threads.clear();
        }
        self.threads.insert(tid, origin);
    }

    /// Whether threads take turns in what it waited for, as in an interpreter's lock: several wait for it, none for long.
    fn is_turn(&mut self, pid: u32, tid: u32, wait: Wait) -> bool {
        if !wait.timed {
            return false;
        }
        if self.futexes.len() >= MAX_FUTEXES && !self.futexes.contains_key(&(pid, wait.address)) {
            self.futexes.clear();
        }
        match self.futexes.entry((pid, wait.address)) {
            Entry::Vacant(place) => {
                place.insert(Waiters::One(tid));
                false
            }
            Entry::Occupied(mut waiters) => match waiters.get() {
                Waiters::One(before) if *before == tid => false,
                Waiters::One(_) | Waiters::Several => {
                    waiters.insert(Waiters::Several);
                    true
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(exchange: u64) -> Token {
        Token { socket: exchange, exchange }
    }

    /// Requests and calls by number; threads that have a request in hand as one that does one thing after another has.
    struct Process {
        handovers: Handovers,
        hands: HashMap<u32, u64>,
    }

    impl Process {
        fn new() -> Self {
            let mut new = Self { handovers: Handovers::default(), hands: HashMap::new() };
            new.wakes(90, 91);
            new
        }

        fn hand(&self, tid: u32) -> Hand {
            Hand { tid, request: self.hands.get(&tid).map(|request| token(*request)) }
        }

        /// A thread that waits for what it has asked for.
        fn takes(&mut self, tid: u32, request: u64) {
            self.hands.insert(tid, request);
            self.reads(tid, request);
        }

        fn reads(&mut self, tid: u32, request: u64) {
            self.handovers.read(token(request), tid, true);
        }

        fn wakes(&mut self, by: u32, tid: u32) {
            let wait = Some(Wait { address: u64::from(tid), timed: false });
            self.handovers.woken(1, self.hand(by), self.hand(tid), wait);
        }

        fn sends(&mut self, tid: u32, call: u64) {
            self.handovers.sent(token(call), self.hand(tid));
        }

        fn hears(&mut self, tid: u32, call: u64) {
            self.handovers.answered(token(call), tid, None, true);
        }

        fn writes(&mut self, tid: u32, request: u64) -> Vec<u64> {
            self.handovers.wrote(token(request), self.hand(tid));
            let own = self.handovers.ended(token(request));
            self.hands.remove(&tid);
            own.iter().map(|call| call.exchange).collect()
        }
    }

    #[test]
    fn calls_of_a_pool_are_those_of_whoever_waits_for_them() {
        let mut process = Process::new();
        process.takes(1, 100);
        process.takes(2, 200);
        for (by, worker, call) in [(1, 11, 101), (1, 12, 102), (2, 21, 201), (2, 22, 202)] {
            process.wakes(by, worker);
            process.sends(worker, call);
        }
        for (worker, call, to) in [(21, 201, 2), (12, 102, 1), (11, 101, 1)] {
            process.hears(worker, call);
            process.wakes(worker, to);
        }
        process.hears(22, 202);
        assert_eq!(process.writes(1, 100), [102, 101]);
        // Nobody was woken by the other one.
        assert_eq!(process.writes(2, 200), [201]);
    }

    #[test]
    fn what_comes_back_to_another_is_nobodys() {
        let mut process = Process::new();
        process.takes(1, 100);
        process.takes(2, 200);
        // The worker took another's task, or the one that waits was woken by a lock.
        process.wakes(1, 11);
        process.sends(11, 201);
        process.hears(11, 201);
        process.wakes(11, 2);
        assert!(process.writes(1, 100).is_empty());
        assert!(process.writes(2, 200).is_empty());
    }

    #[test]
    fn steps_by_many_threads_are_followed_from_the_request_to_its_response() {
        let mut process = Process::new();
        // 9 reads all answers; each step is another thread's, some of them made for it.
        process.reads(1, 100);
        process.wakes(1, 2);
        process.reads(1, 200);
        process.sends(2, 101);
        process.wakes(1, 3);
        process.sends(3, 201);
        process.hears(9, 101);
        process.handovers.woken(1, process.hand(9), process.hand(4), None);
        process.hears(9, 201);
        process.wakes(9, 5);
        process.wakes(4, 6);
        process.sends(6, 102);
        process.hears(9, 102);
        process.wakes(9, 7);
        assert_eq!(process.writes(7, 100), [102, 101]);
        // A wake-up by one that is at nothing ends what a thread was at.
        process.wakes(90, 5);
        assert!(process.writes(5, 200).is_empty());
    }

    #[test]
    fn a_connection_is_opened_for_its_first_call() {
        let mut process = Process::new();
        process.reads(1, 100);
        process.handovers.opened(101, process.hand(1));
        process.reads(1, 200);
        process.sends(9, 101);
        process.hears(2, 101);
        assert_eq!(process.writes(2, 100), [101]);
    }

    #[test]
    fn turns_hand_nothing_over() {
        let mut process = Process::new();
        let turn = Some(Wait { address: 7, timed: true });
        process.handovers.woken(1, process.hand(98), process.hand(99), turn);
        process.reads(1, 100);
        process.reads(2, 200);
        process.wakes(1, 11);
        process.handovers.woken(1, process.hand(2), process.hand(11), turn);
        process.sends(11, 101);
        process.hears(11, 101);
        assert_eq!(process.writes(11, 100), [101]);
    }

    #[test]
    fn threads_of_tasks_are_at_nothing() {
        let mut process = Process::new();
        process.handovers.read(token(100), 1, false);
        process.sends(1, 101);
        process.hears(1, 101);
        assert!(process.writes(1, 100).is_empty());
    }

    #[test]
    fn neither_threads_nor_futexes_nor_lines_grow_without_bound() {
        let mut process = Process::new();
        process.reads(0, 1);
        for tid in 1..200_000 {
            process.handovers.opened(u64::from(tid) << 20, process.hand(tid - 1));
            let wait = Some(Wait { address: u64::from(tid) << 3, timed: true });
            process.handovers.woken(1, process.hand(tid - 1), process.hand(tid), wait);
        }
        let Handovers { threads, futexes, opened, .. } = &process.handovers;
        assert!(threads.len() <= MAX_THREADS && futexes.len() <= MAX_FUTEXES && opened.len() <= MAX_OPENED);
        process.reads(1, 2);
        for call in 1_000..2_000 {
            process.sends(1, call);
            process.hears(1, call);
        }
        assert!(process.writes(1, 2).is_empty(), "longer than is followed");
        for call in 1_000..2_000 {
            process.handovers.forget(token(call));
        }
        assert!(process.handovers.calls.is_empty() && process.handovers.back.is_empty());
    }
}
