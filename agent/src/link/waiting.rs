//! Calls of which it is not known yet which request caused them.
//!
//! They wait for a response that says it, for all requests that could have caused them to be answered, or for their
//! time to run out, whichever comes first.

use std::collections::{HashMap, VecDeque};

use super::{
    Token,
    execution::{Execution, Step},
};

/// Calls that wait at once; beyond it the oldest is decided with what is known.
const MAX_WAITING: usize = 16_384;

#[derive(Debug, Default)]
pub(super) struct Waiting {
    calls: HashMap<Token, Call, foldhash::fast::FixedState>,
    /// By each execution that may turn out to have caused them: the calls, in the order they were sent.
    by_execution: HashMap<Execution, Vec<Token>, foldhash::fast::FixedState>,
    /// In the order they were sent, by process, with how many requests had been read by then.
    by_process: HashMap<u32, VecDeque<(u64, Token)>, foldhash::fast::FixedState>,
    deadlines: VecDeque<(u64, Token)>,
}

#[derive(Debug)]
struct Call {
    /// The execution that sent it, and those that made that one.
    lineage: Vec<Step>,
    /// Something is to be judged of it: it is not settled before.
    kept: bool,
    /// It would have been settled.
    settled: bool,
}

/// A call that a response's writer may have caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claimed {
    pub(super) call: Token,
    /// 0: sent by the writer itself; 1: by what that made; and so on.
    pub(super) generation: usize,
    /// When the writer sent it, or made what sent it in the end.
    pub(super) time: u64,
}

impl Waiting {
    /// `order`: every request read by now has a lower one.
    pub(super) fn add(&mut self, call: Token, pid: u32, lineage: Vec<Step>, order: u64, deadline: u64) {
        for step in &lineage {
            self.by_execution.entry(step.execution).or_default().push(call);
        }
        self.by_process.entry(pid).or_default().push_back((order, call));
        self.deadlines.push_back((deadline, call));
        self.calls.insert(call, Call { lineage, kept: false, settled: false });
    }

    /// A call is not settled while it is kept. What would have been settled meanwhile is next.
    pub(super) fn keep(&mut self, call: Token, kept: bool) {
        let Some(found) = self.calls.get_mut(&call) else { return };
        found.kept = kept;
    }

    /// Whether a call would have been settled, had it not been kept.
    pub(super) fn is_settled(&self, call: Token) -> bool {
        self.calls.get(&call).is_some_and(|call| call.settled)
    }

    /// What `writer` or its descendants sent.
    pub(super) fn claims(&self, writer: Execution) -> Vec<Claimed> {
        let calls = self.by_execution.get(&writer).map_or(&[][..], Vec::as_slice);
        let claim = |token: &Token| {
            let lineage = &self.calls.get(token)?.lineage;
            let generation = lineage.iter().position(|step| step.execution == writer)?;
            Some(Claimed { call: *token, generation, time: lineage[generation].time })
        };
        calls.iter().filter_map(claim).collect()
    }

    /// A call waits no longer; false where it did not.
    pub(super) fn remove(&mut self, call: Token) -> bool {
        let Some(Call { lineage, .. }) = self.calls.remove(&call) else { return false };
        for step in lineage {
            if let Some(calls) = self.by_execution.get_mut(&step.execution) {
                calls.retain(|other| *other != call);
                if calls.is_empty() {
                    self.by_execution.remove(&step.execution);
                }
            }
        }
        true
    }

    /// The next call of a process of which every request it could belong to is over. `oldest`: the order of the
    /// oldest request that is open.
    pub(super) fn settled(&mut self, pid: u32, oldest: Option<u64>) -> Option<Token> {
        let calls = self.by_process.get_mut(&pid)?;
        while let Some(&(order, call)) = calls.front()
            && oldest.is_none_or(|oldest| oldest >= order)
        {
            calls.pop_front();
            match self.calls.get_mut(&call) {
                Some(found) if found.kept => found.settled = true,
                Some(_) => return Some(call),
                None => {}
            }
        }
        if calls.is_empty() {
            self.by_process.remove(&pid);
        }
        None
    }

    /// The next call whose time has run out.
    pub(super) fn overdue(&mut self, now: u64) -> Option<Token> {
        while let Some(&(deadline, call)) = self.deadlines.front()
            && deadline <= now
        {
            self.deadlines.pop_front();
            if self.calls.contains_key(&call) {
                return Some(call);
            }
        }
        None
    }

    /// The oldest call, where there are too many.
    pub(super) fn surplus(&mut self) -> Option<Token> {
        while self.calls.len() > MAX_WAITING
            && let Some((_, call)) = self.deadlines.pop_front()
        {
            if self.calls.contains_key(&call) {
                return Some(call);
            }
        }
        // Those that were decided leave their names in the queues until their time.
        if self.deadlines.len() > 2 * self.calls.len() + SPARE {
            self.deadlines.retain(|(_, call)| self.calls.contains_key(call));
            for calls in self.by_process.values_mut() {
                calls.retain(|(_, call)| self.calls.contains_key(call));
            }
            self.by_process.retain(|_, calls| !calls.is_empty());
        }
        None
    }

    pub(super) fn contains(&self, call: Token) -> bool {
        self.calls.contains_key(&call)
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }
}

/// Names of decided calls that may lie in the queues, beyond as many as wait.
const SPARE: usize = 4_096;

#[cfg(test)]
mod tests {
    use honeyguide_protocols::Actor;

    use super::{super::execution::Executions, *};

    fn token(exchange: u64) -> Token {
        Token { socket: 1, exchange }
    }

    fn by(context: u64, time: u64) -> Vec<Step> {
        Executions::new(1).lineage(Actor { pid: 1, tid: 1, context }, time)
    }

    #[test]
    fn a_call_is_settled_when_the_last_request_before_it_is_answered() {
        let mut waiting = Waiting::default();
        waiting.add(token(1), 1, by(7, 0), 3, 100);
        waiting.add(token(2), 1, by(7, 0), 5, 100);
        assert_eq!(waiting.settled(1, Some(2)), None);
        assert_eq!(waiting.settled(2, None), None);
        assert_eq!(waiting.settled(1, Some(3)), Some(token(1)));
        assert_eq!(waiting.settled(1, Some(3)), None);
        assert_eq!(waiting.settled(1, None), Some(token(2)));
        assert_eq!(waiting.settled(1, None), None);
    }

    #[test]
    fn claims_are_in_the_order_of_sending_and_end_with_the_decision() {
        let mut waiting = Waiting::default();
        waiting.add(token(1), 1, by(7, 10), 3, 100);
        waiting.add(token(2), 1, by(7, 20), 3, 100);
        let writer = by(7, 0)[0].execution;
        let claims: Vec<_> = waiting.claims(writer).iter().map(|claim| (claim.call, claim.time)).collect();
        assert_eq!(claims, [(token(1), 10), (token(2), 20)]);
        assert!(waiting.remove(token(1)) && !waiting.remove(token(1)));
        assert_eq!(waiting.claims(writer).len(), 1);
        assert_eq!(waiting.settled(1, None), Some(token(2)));
    }

    #[test]
    fn a_call_waits_no_longer_than_its_time() {
        let mut waiting = Waiting::default();
        waiting.add(token(1), 1, by(7, 0), 3, 100);
        assert_eq!(waiting.overdue(99), None);
        assert_eq!(waiting.overdue(100), Some(token(1)));
        assert_eq!(waiting.overdue(100), None);
    }

    #[test]
    fn neither_waiting_calls_nor_the_names_of_decided_ones_grow_without_bound() {
        let mut waiting = Waiting::default();
        let mut surplus = 0;
        for at in 0..50_000 {
            waiting.add(token(at), 1, by(at, 0), 3, 100);
            while let Some(call) = waiting.surplus() {
                waiting.remove(call);
                surplus += 1;
            }
        }
        assert_eq!((waiting.len(), surplus), (MAX_WAITING, 50_000 - MAX_WAITING));
        for at in 50_000..200_000 {
            waiting.add(token(at), 2, by(at, 0), 3, 100);
            waiting.remove(token(at));
            while let Some(call) = waiting.surplus() {
                waiting.remove(call);
            }
        }
        assert!(waiting.deadlines.len() <= 2 * MAX_WAITING + SPARE + 1);
        assert!(waiting.by_process.get(&2).is_none_or(|calls| calls.len() <= MAX_WAITING + SPARE + 1));
    }
}
