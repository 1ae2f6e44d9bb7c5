//! Whether a thread does one thing after another, as one that blocks while it waits: then what it does between a
//! request and its response is that request's.
//!
//! A thread that turns to something else while a call or a request of its is open drives an event loop, or runs the
//! tasks of several requests in turns. It is not believed then, and for a while after.

use std::collections::HashMap;

/// Threads remembered; beyond it all are forgotten and observed anew.
const MAX_THREADS: usize = 65_536;
/// A thread that was seen to do several things at once is not believed for this long.
const PROBATION: u64 = 10_000_000_000;

#[derive(Debug, Default)]
pub(super) struct Discipline {
    threads: HashMap<u32, Thread, foldhash::fast::FixedState>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Thread {
    /// Calls that it sent and that are not answered.
    calls: u32,
    /// Requests that it read and that are not answered.
    requests: u32,
    believed_from: u64,
}

impl Discipline {
    /// The thread has sent a call.
    pub(super) fn sent(&mut self, tid: u32, now: u64) {
        let thread = self.of(tid);
        if thread.calls > 0 {
            thread.believed_from = now + PROBATION;
        }
        thread.calls += 1;
    }

    /// A call of the thread's was answered, and `by` read the answer; `None`: it was given up.
    pub(super) fn answered(&mut self, tid: u32, by: Option<u32>, now: u64) {
        let thread = self.of(tid);
        thread.calls = thread.calls.saturating_sub(1);
        if by.is_some_and(|by| by != tid) {
            thread.believed_from = now + PROBATION;
        }
    }

    /// The thread has read a request; `follows`: behind another on the same connection.
    pub(super) fn read(&mut self, tid: u32, follows: bool, now: u64) {
        let thread = self.of(tid);
        if thread.calls > 0 || (thread.requests > 0 && !follows) {
            thread.believed_from = now + PROBATION;
        }
        thread.requests += 1;
    }

    /// A request that the thread had read was answered, by `by`.
    pub(super) fn wrote(&mut self, tid: u32, by: Option<u32>, now: u64) {
        let reader = self.of(tid);
        reader.requests = reader.requests.saturating_sub(1);
        let Some(by) = by else { return };
        let writer = self.of(by);
        if writer.calls > 0 {
            writer.believed_from = now + PROBATION;
        }
    }

    /// It has sent a call that is not answered.
    pub(super) fn is_calling(&self, tid: u32) -> bool {
        self.threads.get(&tid).is_some_and(|thread| thread.calls > 0)
    }

    pub(super) fn is_believed(&self, tid: u32, now: u64) -> bool {
        self.threads.get(&tid).is_none_or(|thread| thread.believed_from <= now)
    }

    fn of(&mut self, tid: u32) -> &mut Thread {
        if self.threads.len() >= MAX_THREADS && !self.threads.contains_key(&tid) {
            self.threads.clear();
        }
        self.threads.entry(tid).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_after_another_is_believed() {
        let mut threads = Discipline::default();
        for now in 0..10 {
            threads.read(1, false, now);
            threads.sent(1, now);
            threads.answered(1, Some(1), now);
            threads.sent(1, now);
            threads.answered(1, Some(1), now);
            threads.wrote(1, Some(1), now);
        }
        assert!(threads.is_believed(1, 10));
    }

    #[track_caller]
    fn check_disbelieved(steps: impl Fn(&mut Discipline)) {
        let mut threads = Discipline::default();
        steps(&mut threads);
        assert!(!threads.is_believed(1, 1));
        assert!(threads.is_believed(2, 1), "another thread's own affair");
        assert!(threads.is_believed(1, PROBATION + 1), "not for ever");
    }

    #[test]
    fn several_things_at_once_are_not() {
        check_disbelieved(|threads| {
            threads.read(1, false, 0);
            threads.read(1, false, 0);
        });
        check_disbelieved(|threads| {
            threads.sent(1, 0);
            threads.sent(1, 0);
        });
        check_disbelieved(|threads| {
            threads.sent(1, 0);
            threads.read(1, false, 0);
        });
        check_disbelieved(|threads| {
            threads.sent(1, 0);
            threads.answered(1, Some(2), 0);
        });
        check_disbelieved(|threads| {
            threads.sent(1, 0);
            threads.wrote(2, Some(1), 0);
        });
    }

    #[test]
    fn pipelined_requests_are_one_thing_after_another() {
        let mut threads = Discipline::default();
        threads.read(1, false, 0);
        threads.read(1, true, 0);
        assert!(threads.is_believed(1, 0));
    }

    #[test]
    fn a_flood_of_threads_is_bounded() {
        let mut threads = Discipline::default();
        for tid in 0..200_000 {
            threads.sent(tid, 0);
        }
        assert!(threads.threads.len() <= MAX_THREADS);
    }
}
