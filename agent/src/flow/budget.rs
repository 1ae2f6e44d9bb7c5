//! What connections hold of messages that are not whole yet, bounded in all. Each parser has bounds of its own; a
//! hundred thousand connections that exhaust them would still be too much.

use std::collections::HashMap;

use super::connection::Flow;

/// Connections are weighed after so many bytes: this share of the budget.
const STEP: usize = 8;

#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    /// Bytes that came since connections were weighed.
    unweighed: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, unweighed: 0 }
    }

    /// Whether connections are to be weighed, now that `bytes` more have come: what was not looked at since is a small
    /// part of the budget.
    pub(super) fn is_due(&mut self, bytes: usize) -> bool {
        self.unweighed += bytes;
        self.unweighed > self.limit / STEP
    }

    /// The sockets to give up so that the rest holds a step less than the budget: those that hold most.
    pub(super) fn excess<S>(&mut self, flows: &HashMap<u64, Flow, S>) -> Vec<u64> {
        self.unweighed = 0;
        let mut held: Vec<(usize, u64)> =
            flows.iter().map(|(socket, flow)| (flow.buffered(), *socket)).collect();
        let mut total: usize = held.iter().map(|(bytes, _)| bytes).sum();
        if total <= self.limit {
            return Vec::new();
        }
        held.sort_unstable_by(|one, other| other.cmp(one));
        let enough = self.limit - self.limit / STEP;
        let gone = held.into_iter().take_while(|(bytes, _)| {
            let over = total > enough;
            total -= bytes;
            over
        });
        gone.map(|(_, socket)| socket).collect()
    }
}
