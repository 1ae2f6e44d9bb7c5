//! Which requests a thread has in hand: read by it, and not yet answered.
//!
//! In most runtimes a thread says little once a process works on several requests: goroutines and tasks
//! move between threads, event loops share one. Where threads are known to stay with their request (CPython,
//! Ruby, PHP) the thread's own requests decide; elsewhere a call has a sure cause only while its process has a
//! single request in hand, and the thread that read it is the one that calls.

use std::{
    collections::{HashMap, hash_map},
    hash::Hash,
};

use honeyguide_protocols::Actor;

use super::Token;
use crate::span::{SpanId, context::TraceParent};

/// What the threads say of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Nothing is in hand.
    None,
    One(Token),
    /// Something is in hand, and it is not certain what caused the call.
    Ambiguous,
}

#[derive(Debug, Default)]
pub(super) struct Threads {
    /// By thread id. A process's threads have ids of their own, and so needs no process here.
    in_hand: HashMap<u32, Hand, foldhash::fast::FixedState>,
    /// How many requests each process has in hand.
    in_process: HashMap<u32, usize, foldhash::fast::FixedState>,
    /// By process and the span id that a request's own `traceparent` named.
    contexts: HashMap<(u32, SpanId), Hand, foldhash::fast::FixedState>,
}

/// What is needed to take a request out of hand again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    actor: Actor,
    context: Option<SpanId>,
}

/// One request, as a rule; room for more.
#[derive(Debug)]
struct Hand {
    first: Token,
    more: Vec<Token>,
}

impl Threads {
    /// `actor` has read request `token`, which carried `context`.
    pub(super) fn enter(&mut self, token: Token, actor: Actor, context: Option<TraceParent>) -> Entry {
        add(&mut self.in_hand, actor.tid, token);
        *self.in_process.entry(actor.pid).or_default() += 1;
        let context = context.map(|context| context.parent);
        if let Some(span) = context {
            add(&mut self.contexts, (actor.pid, span), token);
        }
        Entry { actor, context }
    }

    /// Request `token` was answered, or given up.
    pub(super) fn leave(&mut self, token: Token, entry: Entry) {
        let Entry { actor, context } = entry;
        remove(&mut self.in_hand, &actor.tid, token);
        if let Some(count) = self.in_process.get_mut(&actor.pid) {
            *count -= 1;
            if *count == 0 {
                self.in_process.remove(&actor.pid);
            }
        }
        if let Some(span) = context {
            remove(&mut self.contexts, &(actor.pid, span), token);
        }
    }

    /// The request that a call by `actor` belongs to. `loyal`: the runtime's threads stay with their request.
    pub(super) fn cause(&self, actor: Actor, loyal: bool) -> Cause {
        let own = self.in_hand.get(&actor.tid);
        let rivals = if loyal {
            own.map_or(0, |hand| 1 + hand.more.len())
        } else {
            self.in_process.get(&actor.pid).copied().unwrap_or(0)
        };
        match (own, rivals) {
            (_, 0) => Cause::None,
            (Some(hand), 1) => Cause::One(hand.first),
            _ => Cause::Ambiguous,
        }
    }

    /// The one request in hand in this process that came with the same context, if there is just one.
    pub(super) fn holding_context(&self, pid: u32, context: &TraceParent) -> Option<Token> {
        let hand = self.contexts.get(&(pid, context.parent))?;
        hand.more.is_empty().then_some(hand.first)
    }
}

fn add<K: Hash + Eq>(table: &mut HashMap<K, Hand, foldhash::fast::FixedState>, key: K, token: Token) {
    match table.entry(key) {
        hash_map::Entry::Occupied(mut hand) => hand.get_mut().more.push(token),
        hash_map::Entry::Vacant(place) => {
            place.insert(Hand { first: token, more: Vec::new() });
        }
    }
}

fn remove<K: Hash + Eq>(table: &mut HashMap<K, Hand, foldhash::fast::FixedState>, key: &K, token: Token) {
    let Some(hand) = table.get_mut(key) else { return };
    if hand.first != token {
        hand.more.retain(|&other| other != token);
    } else if hand.more.is_empty() {
        table.remove(key);
    } else {
        hand.first = hand.more.remove(0);
    }
}
