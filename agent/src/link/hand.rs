//! Which requests an execution has in hand: read by it, and not yet answered.

use std::collections::{BTreeMap, HashMap, hash_map};

use super::{Token, execution::Execution};
use crate::span::{SpanId, context::TraceParent};

/// The requests that are open now.
#[derive(Debug, Default)]
pub(super) struct Hands {
    by_execution: HashMap<Execution, Hand, foldhash::fast::FixedState>,
    by_process: HashMap<u32, BTreeMap<u64, Token>, foldhash::fast::FixedState>,
    /// By process and the span id that a request's own `traceparent` named.
    contexts: HashMap<(u32, SpanId), Hand, foldhash::fast::FixedState>,
    /// Orders requests as they were read.
    next: u64,
}

/// What is needed to take a request out of hand again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) pid: u32,
    pub(super) reader: Execution,
    context: Option<SpanId>,
    order: u64,
}

/// One request and when it was read, as a rule; room for more.
#[derive(Debug)]
struct Hand {
    first: (Token, u64),
    more: Vec<(Token, u64)>,
}

/// How many requests an execution had in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    None,
    One(Token),
    Several,
}

impl Hands {
    /// `reader`, of process `pid`, has read request `token`, which carried `context`.
    pub(super) fn enter(
        &mut self,
        token: Token,
        pid: u32,
        reader: Execution,
        time: u64,
        context: Option<TraceParent>,
    ) -> Entry {
        add(&mut self.by_execution, reader, (token, time));
        let order = self.next;
        self.next += 1;
        self.by_process.entry(pid).or_default().insert(order, token);
        let context = context.map(|context| context.parent);
        if let Some(span) = context {
            add(&mut self.contexts, (pid, span), (token, time));
        }
        Entry { pid, reader, context, order }
    }

    /// Request `token` was answered, or given up.
    pub(super) fn leave(&mut self, token: Token, entry: Entry) {
        let Entry { pid, reader, context, order } = entry;
        remove(&mut self.by_execution, &reader, token);
        if let Some(open) = self.by_process.get_mut(&pid) {
            open.remove(&order);
            if open.is_empty() {
                self.by_process.remove(&pid);
            }
        }
        if let Some(span) = context {
            remove(&mut self.contexts, &(pid, span), token);
        }
    }

    /// What `execution` has in hand of what it had read by `time`.
    pub(super) fn of(&self, execution: Execution, time: u64) -> Held {
        let Some(hand) = self.by_execution.get(&execution) else { return Held::None };
        let mut all = std::iter::once(&hand.first).chain(&hand.more).filter(|(_, read)| *read <= time);
        match (all.next(), all.next()) {
            (None, _) => Held::None,
            (Some((token, _)), None) => Held::One(*token),
            (Some(_), Some(_)) => Held::Several,
        }
    }

    /// How many requests a process has in hand.
    pub(super) fn in_process(&self, pid: u32) -> usize {
        self.by_process.get(&pid).map_or(0, BTreeMap::len)
    }

    /// The last requests that a process has read and not answered.
    pub(super) fn latest(&self, pid: u32, count: usize) -> Vec<Token> {
        let open = self.by_process.get(&pid);
        open.into_iter().flat_map(|open| open.values().rev().take(count).copied()).collect()
    }

    /// Every request that was read by now has a lower order.
    pub(super) fn order(&self) -> u64 {
        self.next
    }

    /// The order of the oldest request that a process has in hand.
    pub(super) fn oldest(&self, pid: u32) -> Option<u64> {
        self.by_process.get(&pid).and_then(|open| open.keys().next().copied())
    }

    /// The one request in hand in this process that came with the same context, if there is just one.
    pub(super) fn holding_context(&self, pid: u32, context: &TraceParent) -> Option<Token> {
        let hand = self.contexts.get(&(pid, context.parent))?;
        hand.more.is_empty().then_some(hand.first.0)
    }
}

fn add<K: std::hash::Hash + Eq>(
    table: &mut HashMap<K, Hand, foldhash::fast::FixedState>,
    key: K,
    request: (Token, u64),
) {
    match table.entry(key) {
        hash_map::Entry::Occupied(mut hand) => hand.get_mut().more.push(request),
        hash_map::Entry::Vacant(place) => {
            place.insert(Hand { first: request, more: Vec::new() });
        }
    }
}

fn remove<K: std::hash::Hash + Eq>(
    table: &mut HashMap<K, Hand, foldhash::fast::FixedState>,
    key: &K,
    token: Token,
) {
    let Some(hand) = table.get_mut(key) else { return };
    if hand.first.0 != token {
        hand.more.retain(|(other, _)| *other != token);
    } else if hand.more.is_empty() {
        table.remove(key);
    } else {
        hand.first = hand.more.remove(0);
    }
}
