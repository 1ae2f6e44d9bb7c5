//! Which requests a thread has in hand: read by it, and not yet answered.
//!
//! In most runtimes a thread says little once a process works on several requests: goroutines and tasks
//! move between threads, event loops share one. Where threads are known to stay with their request (CPython,
//! Ruby, PHP) the thread's own requests decide; elsewhere a call has a sure cause only while its process has a
//! single request in hand, and the thread that read it is the one that calls.

use std::collections::HashMap;

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
    in_hand: HashMap<u32, Vec<Token>, foldhash::fast::FixedState>,
    /// How many requests each process has in hand.
    in_process: HashMap<u32, usize, foldhash::fast::FixedState>,
    /// By process and the span id that a request's own `traceparent` named.
    contexts: HashMap<(u32, SpanId), Vec<Token>, foldhash::fast::FixedState>,
    entered: HashMap<Token, (Actor, Option<SpanId>), foldhash::fast::FixedState>,
}

impl Threads {
    /// `actor` has read request `token`, which carried `context`.
    pub(super) fn enter(&mut self, token: Token, actor: Actor, context: Option<TraceParent>) {
        self.in_hand.entry(actor.tid).or_default().push(token);
        *self.in_process.entry(actor.pid).or_default() += 1;
        let span = context.map(|context| context.parent);
        if let Some(span) = span {
            self.contexts.entry((actor.pid, span)).or_default().push(token);
        }
        self.entered.insert(token, (actor, span));
    }

    /// Request `token` was answered, or given up.
    pub(super) fn leave(&mut self, token: Token) {
        let Some((actor, span)) = self.entered.remove(&token) else { return };
        remove(&mut self.in_hand, &actor.tid, token);
        if let Some(count) = self.in_process.get_mut(&actor.pid) {
            *count -= 1;
            if *count == 0 {
                self.in_process.remove(&actor.pid);
            }
        }
        if let Some(span) = span {
            remove(&mut self.contexts, &(actor.pid, span), token);
        }
    }

    /// The request that a call by `actor` belongs to. `loyal`: the runtime's threads stay with their request.
    pub(super) fn cause(&self, actor: Actor, loyal: bool) -> Cause {
        let own = self.in_hand.get(&actor.tid).map_or(&[][..], Vec::as_slice);
        let rivals = if loyal { own.len() } else { self.in_process.get(&actor.pid).copied().unwrap_or(0) };
        match (own, rivals) {
            (_, 0) => Cause::None,
            ([one], 1) => Cause::One(*one),
            _ => Cause::Ambiguous,
        }
    }

    /// The one request in hand in this process that came with the same context, if there is just one.
    pub(super) fn holding_context(&self, pid: u32, context: &TraceParent) -> Option<Token> {
        match self.contexts.get(&(pid, context.parent))?.as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }
}

fn remove<K: std::hash::Hash + Eq>(
    table: &mut HashMap<K, Vec<Token>, foldhash::fast::FixedState>,
    key: &K,
    token: Token,
) {
    if let Some(tokens) = table.get_mut(key) {
        tokens.retain(|&other| other != token);
        if tokens.is_empty() {
            table.remove(key);
        }
    }
}
