//! What comes out of the link stage, and what it is told.

use std::sync::Arc;

use honeyguide_protocols::Exchange;

use super::Rule;
use crate::{
    flow::{ConnectionInfo, Detail, Role},
    span::{SpanId, TraceId, context::Identity, sampler::Sampler},
};

/// Names an exchange: its socket, and its ordinal on that connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    pub socket: u64,
    pub exchange: u64,
}

/// An exchange with its place in a trace.
#[derive(Debug)]
pub struct Linked {
    pub connection: Arc<ConnectionInfo>,
    pub role: Role,
    pub exchange: Exchange<Detail>,
    pub identity: Identity,
    /// Monotonic nanoseconds, made consistent with the other end's where that was seen.
    pub start: u64,
    pub end: u64,
    pub rule: Rule,
    /// An SDK in the process reports it: there is to be no span of it. Its identity is its parent's.
    pub by_sdk: bool,
    /// Spans that may have caused it, of an ambiguous one.
    pub candidates: Vec<(TraceId, SpanId)>,
}

#[derive(Clone, Copy, Debug)]
pub struct LinkSettings {
    /// Nanoseconds that an exchange waits after its end.
    pub linger: u64,
    /// The same, where the other end of its connection does not show.
    pub linger_alone: u64,
    /// Exchanges held at once; beyond it the oldest loses its links.
    pub limit: usize,
    pub sampler: Sampler,
    /// Honour `traceparent` and `tracestate`.
    pub trace_context: bool,
    /// What an SDK in a process reports itself is left to it.
    pub defer_to_sdk: bool,
    /// Headers are put into calls.
    pub headers: bool,
    /// Contexts go and come in TCP options.
    pub options: bool,
    /// Let calls wait for what is learned later.
    pub inference: bool,
    /// Nanoseconds that a call waits at most to be decided.
    pub hold: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// In the order of [`Rule::ALL`].
    pub by_rule: [u64; Rule::ALL.len()],
    /// `traceparent` headers that break the format.
    pub malformed_context: u64,
    /// Where headers are put in: HTTP calls that carry one, and those that left with none.
    pub with_header: u64,
    pub without_header: u64,
    /// Contexts that came in TCP options: for requests, and for none.
    pub options_found: u64,
    pub options_unmatched: u64,
    /// Sends with a context in a TCP option of which too many followed one another to be remembered. Those of a body begin no
    /// call.
    pub options_forgotten: u64,
    /// Exchanges that lost their links because too many were held.
    pub evicted: u64,
    /// Calls that were decided before all was known: their time was over, or there were too many.
    pub hurried: u64,
    /// Tasks, and threads that others wake, forgotten because there were too many.
    pub forgotten_tasks: u64,
    /// Processes with an SDK, or a relay's, forgotten because there were too many.
    pub forgotten_sdks: u64,
    /// Processes of which it is found out anew whether they are proxies, because there were too many, or too many requests
    /// of theirs.
    pub forgotten_relays: u64,
}

/// What a runtime's threads are to its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// They stay with the request they read: one interpreter, no tasks that move.
    Loyal,
    /// The same, and they wake one another for the interpreter's lock, each at a place of its own: that says nothing of their work.
    InTurns,
    /// What they do shows.
    Observed,
    /// Work moves between them at any time.
    Shared,
}
