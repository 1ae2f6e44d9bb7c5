//! Proxies: a process that asks for what it is asked for. HAProxy and its like read many requests before they send the first of
//! them on, so that no order tells which is which; but each goes on with its method and target. Where just one of the requests
//! that are open asks for the same, it is the cause.
//!
//! A program that answers from another that has the same paths is a proxy in that, too. One whose calls are others than its
//! requests is not believed, should some be the same.

use std::collections::HashMap;

use super::Token;

/// Processes remembered: the one that has sent nothing for longest goes first.
const MAX_PROCESSES: usize = 4_096;
/// Kinds of requests in all: the process that is asked for most is forgotten, and learned anew. Not some of its kinds, or a
/// request might seem to be the only one for the same.
const MAX_KINDS: usize = 65_536;
/// Calls before a share says anything.
const ENOUGH: u32 = 8;
/// Of so many, older ones count half.
const WINDOW: u32 = 1_024;
/// Percent: the calls of a proxy that ask for what a request does.
const USUAL: u32 = 98;
/// After so many calls a process of which fewer than half do is no proxy, and is not looked at any more.
const TRIAL: u32 = 256;

#[derive(Debug, Default)]
pub(super) struct Relays {
    processes: HashMap<u32, Process, foldhash::fast::FixedState>,
    /// By process, and by what is asked for.
    open: HashMap<(u32, u64), Kind, foldhash::fast::FixedState>,
    /// Counts calls.
    clock: u64,
    /// Processes that were forgotten for want of room.
    pub(super) forgotten: u64,
}

#[derive(Debug, Default)]
struct Process {
    calls: u32,
    /// Those that asked for what an open request did.
    same: u32,
    /// Kinds of its requests that are remembered.
    kinds: u32,
    /// When it has sent its last call.
    used: u64,
}

/// Requests for the same. Those that were sent on stay until they are answered: a proxy may try once more.
#[derive(Debug, Default)]
struct Kind {
    open: Vec<Token>,
    /// One was given up by its client, and may be sent on all the same.
    unsure: bool,
}

impl Relays {
    /// Whether requests of a process are looked at: it has sent a call before.
    pub(super) fn knows(&self, pid: u32) -> bool {
        self.processes.contains_key(&pid)
    }

    /// A process is about to send its first call.
    pub(super) fn begin(&mut self, pid: u32) {
        if self.processes.len() >= MAX_PROCESSES
            && let Some(idle) =
                self.processes.iter().min_by_key(|(_, process)| process.used).map(|(pid, _)| *pid)
        {
            self.forget(idle);
            self.forgotten += 1;
        }
        self.clock += 1;
        self.processes.insert(pid, Process { used: self.clock, ..Process::default() });
    }

    /// A process has read a request for `what`.
    pub(super) fn read(&mut self, request: Token, pid: u32, what: u64) {
        if self.processes.get(&pid).is_none_or(Process::is_something_else) {
            return;
        }
        if !self.open.contains_key(&(pid, what)) {
            if self.open.len() >= MAX_KINDS {
                self.forget_the_most_asked();
            }
            // It may have been this one.
            let Some(process) = self.processes.get_mut(&pid) else { return };
            process.kinds += 1;
        }
        self.open.entry((pid, what)).or_default().open.push(request);
    }

    fn forget_the_most_asked(&mut self) {
        let most = self.processes.iter().max_by_key(|(_, process)| process.kinds).map(|(pid, _)| *pid);
        if let Some(pid) = most {
            self.forget(pid);
            self.forgotten += 1;
        }
    }

    /// A process is not what had its id before.
    pub(super) fn forget(&mut self, pid: u32) {
        if self.processes.remove(&pid).is_some_and(|process| process.kinds > 0) {
            self.open.retain(|(other, _), _| *other != pid);
        }
    }

    /// A process has sent a call for `what`. Returns the request that it sends on if it is a proxy, where that is certain.
    pub(super) fn sent(&mut self, pid: u32, what: u64) -> Option<Token> {
        let process = self.processes.get_mut(&pid)?;
        self.clock += 1;
        process.used = self.clock;
        let kind = self.open.get(&(pid, what)).filter(|kind| !kind.open.is_empty());
        process.count(kind.is_some());
        match kind?.open[..] {
            [request] if !kind?.unsure => Some(request),
            _ => None,
        }
    }

    /// Whether a process is known to be a proxy.
    pub(super) fn is_relay(&self, pid: u32) -> bool {
        self.processes.get(&pid).is_some_and(Process::is_relay)
    }

    /// A request is over; `answered`: to its end.
    pub(super) fn leave(&mut self, request: Token, pid: u32, what: u64, answered: bool) {
        let Some(kind) = self.open.get_mut(&(pid, what)) else { return };
        let before = kind.open.len();
        kind.open.retain(|open| *open != request);
        if kind.open.len() == before {
            return;
        }
        // The next that is answered while no other is open was the last that could have been meant.
        kind.unsure = !answered || (kind.unsure && !kind.open.is_empty());
        if kind.open.is_empty() && !kind.unsure {
            self.open.remove(&(pid, what));
            if let Some(process) = self.processes.get_mut(&pid) {
                process.kinds = process.kinds.saturating_sub(1);
            }
        }
    }
}

impl Process {
    fn count(&mut self, same: bool) {
        self.calls += 1;
        self.same += u32::from(same);
        if self.calls >= WINDOW {
            self.calls /= 2;
            self.same /= 2;
        }
    }

    fn is_relay(&self) -> bool {
        self.calls >= ENOUGH && self.same * 100 >= self.calls * USUAL
    }

    fn is_something_else(&self) -> bool {
        self.calls >= TRIAL && self.same * 2 < self.calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(exchange: u64) -> Token {
        Token { socket: 1, exchange }
    }

    /// A process that has sent on so many requests, one at a time.
    fn proxy(requests: u64) -> Relays {
        let mut relays = Relays::default();
        relays.read(request(0), 1, 0);
        assert_eq!(relays.sent(1, 0), None, "it is not looked at");
        relays.begin(1);
        for number in 0..requests {
            relays.read(request(number), 1, number);
            assert_eq!(relays.sent(1, number), Some(request(number)));
            relays.leave(request(number), 1, number, true);
        }
        relays
    }

    #[test]
    fn a_proxy_is_known_by_what_it_asks_for() {
        assert!(!proxy(u64::from(ENOUGH) - 1).is_relay(1));
        let mut relays = proxy(u64::from(ENOUGH));
        assert!(relays.is_relay(1) && !relays.is_relay(2));
        assert_eq!(relays.sent(1, 99), None);
        assert!(!relays.is_relay(1), "it asks for something else as well");
    }

    #[test]
    fn many_at_once_are_told_apart() {
        let mut relays = proxy(100);
        for number in 0..50 {
            relays.read(request(number), 1, number);
        }
        for number in (0..50).rev() {
            assert_eq!(relays.sent(1, number), Some(request(number)));
        }
        assert_eq!(relays.sent(1, 7), Some(request(7)), "it is tried once more");
    }

    #[test]
    fn requests_for_the_same_are_not() {
        let mut relays = proxy(100);
        relays.read(request(0), 1, 7);
        assert_eq!(relays.sent(1, 7), Some(request(0)));
        relays.read(request(1), 1, 7);
        assert_eq!(relays.sent(1, 7), None, "the first once more, or the second");
        relays.leave(request(0), 1, 7, true);
        assert_eq!(relays.sent(1, 7), Some(request(1)));
        assert!(relays.is_relay(1));
    }

    /// What its client gave up may be sent on all the same.
    #[test]
    fn one_that_is_given_up_is_still_meant() {
        let mut relays = proxy(100);
        relays.read(request(0), 1, 7);
        relays.leave(request(0), 1, 7, false);
        relays.read(request(1), 1, 7);
        assert_eq!(relays.sent(1, 7), None);
        relays.leave(request(1), 1, 7, true);
        relays.read(request(2), 1, 7);
        assert_eq!(relays.sent(1, 7), Some(request(2)));
    }

    #[test]
    fn another_program_is_another_matter() {
        let mut relays = proxy(100);
        relays.read(request(1), 1, 7);
        relays.forget(1);
        assert!(!relays.is_relay(1) && relays.open.is_empty());
    }

    #[test]
    fn other_programs_are_left_alone() {
        let mut relays = Relays::default();
        relays.begin(1);
        for number in 0..u64::from(TRIAL) {
            relays.read(request(number), 1, number);
            assert_eq!(relays.sent(1, number + 1_000_000), None);
        }
        let open = relays.open.len();
        relays.read(request(9), 1, 9_999);
        relays.read(request(9), 2, 9_999);
        assert_eq!(relays.open.len(), open);
    }

    #[test]
    fn everything_is_bounded() {
        let mut relays = Relays::default();
        for pid in 0..10_000 {
            relays.begin(pid);
        }
        assert_eq!(
            (relays.processes.len(), relays.forgotten),
            (MAX_PROCESSES, 10_000 - MAX_PROCESSES as u64)
        );
        for number in 0..200_000 {
            relays.read(request(number), 9_999, number);
        }
        assert!(relays.open.len() <= MAX_KINDS);
    }

    /// A busy process is not the only one that is looked at.
    #[test]
    fn what_is_too_much_is_forgotten_of_whom_it_is_alone() {
        let mut relays = proxy(100);
        relays.begin(2);
        let full = MAX_KINDS as u64 - 1;
        for number in 0..full {
            relays.read(request(number), 2, number);
        }
        relays.read(request(1), 1, 7);
        assert_eq!((relays.open.len(), relays.forgotten), (MAX_KINDS, 0));
        relays.read(request(2), 1, 8);
        assert!(relays.is_relay(1) && !relays.knows(2));
        assert_eq!((relays.sent(1, 7), relays.sent(1, 8)), (Some(request(1)), Some(request(2))));
        assert_eq!((relays.open.len(), relays.forgotten), (2, 1));
        // The one that asks for too much itself is learned anew as well.
        relays.begin(3);
        for number in 0..=MAX_KINDS as u64 {
            relays.read(request(number), 3, number);
        }
        assert!(relays.is_relay(1) && !relays.knows(3));
        assert_eq!((relays.open.len(), relays.forgotten), (2, 2));
    }

    /// The longest silent goes first, and only it.
    #[test]
    fn a_proxy_is_not_forgotten_for_others_that_send_nothing_more() {
        let mut relays = proxy(100);
        for pid in 2..10_000 {
            relays.begin(pid);
            relays.read(request(0), 1, 7);
            assert_eq!(relays.sent(1, 7), Some(request(0)));
            relays.leave(request(0), 1, 7, true);
        }
        assert!(relays.is_relay(1));
    }
}
