//! What is kept of an exchange until it has left, and as long as others refer to it.

use std::sync::Arc;

use honeyguide_protocols::{Exchange, exchange::Extent};

use super::{Rule, Token, hand, wire};
use crate::{
    flow::{ConnectionInfo, Detail, Role},
    span::{
        SpanId, TraceId,
        context::{Identity, Incoming, TraceParent},
    },
};

#[derive(Debug)]
pub(super) struct Held {
    pub(super) connection: Arc<ConnectionInfo>,
    pub(super) role: Role,
    pub(super) request: Extent,
    pub(super) span_id: SpanId,
    pub(super) parent: Parent,
    pub(super) rule: Rule,
    /// Set once, when the span itself or a child needs it.
    pub(super) identity: Option<Identity>,
    /// What it carries: a header that was put in, whose span it is.
    pub(super) sent: Option<TraceParent>,
    /// The trace that it takes part in where it has no parent: one of its calls carries it.
    pub(super) adopted: Option<TraceId>,
    /// Some of its calls carry a trace, and are judged first.
    pub(super) awaits_trace: bool,
    /// It is in its reader's hand.
    pub(super) entry: Option<hand::Entry>,
    /// What it asks for; 0 where it cannot be told.
    pub(super) asks: u64,
    /// The request that this call sends on, should its process be a proxy; one of the candidates.
    pub(super) relayed: Option<Token>,
    /// A call that carries a context which was made in its process.
    pub(super) made: bool,
    /// An SDK in the process has a span for it; decided with its identity.
    pub(super) by_sdk: bool,
    /// Its process's work moves between threads.
    pub(super) shares_threads: bool,
    /// Whoever sends it does so for others.
    pub(super) for_others: bool,
    /// Its name on the wire.
    pub(super) key: Option<wire::Key>,
    /// The other end of the connection.
    pub(super) partner: Option<Token>,
    /// When the other end read the request's first byte: it was sent before that.
    pub(super) partner_start: Option<u64>,
    pub(super) end: Option<u64>,
    /// It ended with the response.
    pub(super) whole: bool,
    pub(super) exchange: Option<Exchange<Detail>>,
    /// Handed out; kept for those that refer to it.
    pub(super) done: bool,
    pub(super) references: u32,
    /// Requests that may have caused it; each is referred to.
    pub(super) candidates: Vec<Token>,
    /// Exchanges that can only leave when this one's place is decided.
    pub(super) blocked: Vec<Token>,
}

#[derive(Clone, Debug)]
pub(super) enum Parent {
    None,
    Held(Token),
    Remote { parent: TraceParent, state: Option<Box<str>> },
}

impl Held {
    pub(super) fn new(
        connection: &Arc<ConnectionInfo>,
        role: Role,
        request: &Extent,
        span_id: SpanId,
    ) -> Box<Self> {
        Box::new(Self {
            connection: Arc::clone(connection),
            role,
            request: *request,
            span_id,
            parent: Parent::None,
            rule: Rule::None,
            identity: None,
            sent: None,
            adopted: None,
            awaits_trace: false,
            entry: None,
            asks: 0,
            relayed: None,
            made: false,
            by_sdk: false,
            shares_threads: false,
            for_others: false,
            key: None,
            partner: None,
            partner_start: None,
            end: None,
            whole: false,
            exchange: None,
            done: false,
            references: 0,
            candidates: Vec::new(),
            blocked: Vec::new(),
        })
    }
}

/// The parent that the request's own headers name.
pub(super) fn from_header(incoming: &Incoming) -> (Parent, Rule) {
    match incoming {
        Incoming::Valid { parent, state, .. } => {
            (Parent::Remote { parent: *parent, state: state.clone() }, Rule::Header)
        }
        Incoming::Absent | Incoming::Malformed => (Parent::None, Rule::None),
    }
}
