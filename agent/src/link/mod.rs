//! Which request caused which call.
//!
//! Decided late: an exchange waits a little after its end, so that records that were delivered out of
//! order between two CPUs, and the other end of its connection, are known when its parent is chosen.
//! Only exact evidence links here: the same thread with a single request in hand, the two ends of one
//! connection on this host, and context headers. Anything less stays a root of its own.

mod thread;
mod wire;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use honeyguide_protocols::{
    Exchange, Stamp,
    exchange::{Extent, Outcome},
};

use self::{
    thread::{Cause, Threads},
    wire::Wire,
};
use crate::{
    flow::{ConnectionInfo, Detail, Head, Role},
    span::{
        SpanId,
        context::{self, Identity, Incoming, TraceParent},
        id::IdGenerator,
        sampler::Sampler,
    },
};

/// Names an exchange: its socket, and its ordinal on that connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    pub socket: u64,
    pub exchange: u64,
}

/// Which evidence gave an exchange its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Nothing before it: the root of a trace.
    None,
    /// The thread that sent the call had exactly one request in hand.
    SameThread,
    /// The other end of the same connection, seen on this host.
    Wire,
    /// The request carried the context of a request its sender had in hand.
    PassedOn,
    /// A `traceparent` from outside what is traced.
    Header,
    /// Several requests could have caused the call; none was chosen.
    Ambiguous,
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
}

#[derive(Clone, Copy, Debug)]
pub struct LinkSettings {
    /// Nanoseconds that an exchange waits after its end.
    pub linger: u64,
    /// Exchanges held at once; beyond it the oldest loses its links.
    pub limit: usize,
    pub sampler: Sampler,
    /// Honour `traceparent` and `tracestate`.
    pub trace_context: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    pub roots: u64,
    pub same_thread: u64,
    pub wire: u64,
    pub passed_on: u64,
    pub header: u64,
    pub ambiguous: u64,
    /// `traceparent` headers that break the format.
    pub malformed_context: u64,
    /// Exchanges that lost their links because too many were held.
    pub evicted: u64,
}

/// The exchanges in progress, and those that wait for their parent to be decided.
#[derive(Debug)]
pub struct Links {
    settings: LinkSettings,
    held: HashMap<Token, Box<Held>, foldhash::fast::FixedState>,
    /// In order of arrival; tokens that are gone are skipped.
    arrivals: VecDeque<Token>,
    finished: VecDeque<(u64, Token)>,
    threads: Threads,
    wire: Wire,
    ids: IdGenerator,
    pub counters: LinkCounters,
}

/// Tokens of ended exchanges that may wait to be cleared, beyond as many as are held.
const SPARE_ARRIVALS: usize = 1024;

/// The longest chain of parents that is followed.
const MAX_DEPTH: usize = 64;

#[derive(Debug)]
struct Held {
    connection: Arc<ConnectionInfo>,
    role: Role,
    request: Extent,
    span_id: SpanId,
    parent: Parent,
    rule: Rule,
    /// Set once, when the span itself or a child needs it.
    identity: Option<Identity>,
    /// It is in its thread's hand.
    entry: Option<thread::Entry>,
    /// Its name on the wire.
    key: Option<wire::Key>,
    /// The other end of the connection.
    partner: Option<Token>,
    /// When the other end read the request's first byte: it was sent before that.
    partner_start: Option<u64>,
    end: Option<u64>,
    /// It ended with the response.
    whole: bool,
    exchange: Option<Exchange<Detail>>,
    /// Handed out; kept for those that refer to it.
    done: bool,
    references: u32,
}

#[derive(Clone, Debug)]
enum Parent {
    None,
    Held(Token),
    Remote { parent: TraceParent, state: Option<Box<str>> },
}

impl Links {
    #[must_use]
    pub fn new(settings: LinkSettings, ids: IdGenerator) -> Self {
        Self {
            settings,
            held: HashMap::default(),
            arrivals: VecDeque::new(),
            finished: VecDeque::new(),
            threads: Threads::default(),
            wire: Wire::default(),
            ids,
            counters: LinkCounters::default(),
        }
    }

    /// A request's head was read or sent. `loyal`: the process's threads stay with the request they read.
    pub fn handle_request(
        &mut self,
        connection: &Arc<ConnectionInfo>,
        role: Role,
        exchange: u64,
        request: &Extent,
        head: &Head,
        loyal: bool,
    ) {
        self.make_room();
        let token = Token { socket: connection.socket, exchange };
        let incoming = if self.settings.trace_context {
            let (parent, state) = head.trace_context();
            context::incoming(parent.as_deref(), state)
        } else {
            Incoming::Absent
        };
        if incoming == Incoming::Malformed {
            self.counters.malformed_context += 1;
        }
        let (parent, rule) = match role {
            Role::Server => from_header(&incoming),
            Role::Client => self.cause_of_call(request.last, &incoming, loyal),
        };
        let mut held = Held::new(connection, role, request, self.ids.span_id());
        self.hold(&parent);
        (held.parent, held.rule) = (parent, rule);
        if role == Role::Server {
            let passed = match &incoming {
                Incoming::Valid { parent, .. } => Some(*parent),
                Incoming::Absent | Incoming::Malformed => None,
            };
            held.entry = Some(self.threads.enter(token, request.last.actor, passed));
        }
        held.key = wire::key(connection, role, request, head);
        let partner = held.key.and_then(|key| self.wire.meet(key, token, role));
        self.held.insert(token, held);
        self.arrivals.push_back(token);
        match (partner, role) {
            (Some(partner), Role::Server) => self.join(partner, token),
            (Some(partner), Role::Client) => self.join(token, partner),
            (None, _) => {}
        }
    }

    /// An exchange is over; it comes back from [`Self::poll`] after the linger.
    pub fn handle_exchange(
        &mut self,
        connection: &Arc<ConnectionInfo>,
        role: Role,
        exchange: Exchange<Detail>,
        now: u64,
    ) {
        let token = Token { socket: connection.socket, exchange: exchange.id };
        let span_id = self.ids.span_id();
        let held =
            self.held.entry(token).or_insert_with(|| Held::new(connection, role, &exchange.request, span_id));
        held.end = Some(end_of(&exchange));
        held.whole = is_whole(&exchange);
        held.exchange = Some(exchange);
        if let Some(entry) = held.entry.take() {
            self.threads.leave(token, entry);
        }
        self.finished.push_back((now + self.settings.linger, token));
    }

    /// The next exchange whose time has come; `now` is on the records' clock.
    pub fn poll(&mut self, now: u64) -> Option<Linked> {
        loop {
            let &(due, token) = self.finished.front()?;
            if due > now {
                return None;
            }
            self.finished.pop_front();
            if let Some(linked) = self.finish(token) {
                return Some(linked);
            }
        }
    }

    /// Entries of the queue that says which exchange is oldest; bounded by those that are held.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.arrivals.len()
    }

    /// Exchanges in progress or waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn cause_of_call(&self, at: Stamp, incoming: &Incoming, loyal: bool) -> (Parent, Rule) {
        if let Incoming::Valid { parent, .. } = incoming {
            // A proxy hands on the context it was given; a library in the process made its own.
            return match self.threads.holding_context(at.actor.pid, parent) {
                Some(token) => (Parent::Held(token), Rule::PassedOn),
                None => from_header(incoming),
            };
        }
        match self.threads.cause(at.actor, loyal) {
            Cause::None => (Parent::None, Rule::None),
            Cause::One(request) => (Parent::Held(request), Rule::SameThread),
            Cause::Ambiguous => (Parent::None, Rule::Ambiguous),
        }
    }

    /// `server` is the far end of `client`: it is the call's child, whatever else is known of it.
    fn join(&mut self, client: Token, server: Token) {
        let Some(end) = self.held.get_mut(&server) else { return };
        if end.identity.is_some() || end.partner.is_some() {
            return; // Its place was needed before the call was seen: too late to change.
        }
        let start = end.request.first.time;
        end.partner = Some(client);
        let before = std::mem::replace(&mut end.parent, Parent::Held(client));
        end.rule = Rule::Wire;
        if let Some(call) = self.held.get_mut(&client) {
            call.partner_start = Some(start);
        }
        self.hold(&Parent::Held(client));
        self.release(&before);
    }

    fn hold(&mut self, parent: &Parent) {
        if let Parent::Held(token) = parent
            && let Some(held) = self.held.get_mut(token)
        {
            held.references += 1;
        }
    }

    fn release(&mut self, parent: &Parent) {
        let mut next = parent.clone();
        // Letting go of a parent may let go of its parent in turn.
        while let Parent::Held(token) = next {
            let Some(held) = self.held.get_mut(&token) else { return };
            held.references = held.references.saturating_sub(1);
            if held.references > 0 || !held.done {
                return;
            }
            let Some(gone) = self.held.remove(&token) else { return };
            next = gone.parent;
        }
    }

    fn finish(&mut self, token: Token) -> Option<Linked> {
        let identity = self.identity(token);
        let held = self.held.get_mut(&token)?;
        if let Some(key) = held.key.take() {
            self.wire.forget(&key, token);
        }
        let exchange = held.exchange.take()?;
        held.done = true;
        let (rule, role, connection) = (held.rule, held.role, Arc::clone(&held.connection));
        let mut start = held.request.first.time;
        let mut end = held.end.unwrap_or(start);
        // A send is seen after it happened, so the peer's read may carry an earlier time. What was read
        // had been sent: the earlier of the two is nearer to the truth.
        start = start.min(held.partner_start.unwrap_or(start));
        let (partner, references) = (held.partner, held.references);
        // One that the client gave up may well go on.
        let call =
            partner.and_then(|call| self.held.get(&call)).filter(|call| call.whole && is_whole(&exchange));
        if let Some(call_end) = call.and_then(|call| call.end) {
            end = end.min(call_end);
        }
        if references == 0
            && let Some(gone) = self.held.remove(&token)
        {
            self.release(&gone.parent);
        }
        self.count(rule);
        Some(Linked { connection, role, exchange, identity, start, end: end.max(start), rule })
    }

    /// The place of an exchange in its trace; decides that of its parents first.
    fn identity(&mut self, token: Token) -> Identity {
        let mut chain = Vec::new();
        let mut at = Some(token);
        while let Some(token) = at
            && chain.len() < MAX_DEPTH
            && let Some(held) = self.held.get(&token)
            && held.identity.is_none()
        {
            chain.push(token);
            at = match held.parent {
                Parent::Held(parent) => Some(parent),
                Parent::None | Parent::Remote { .. } => None,
            };
        }
        while let Some(token) = chain.pop() {
            let Some(held) = self.held.get(&token) else { continue };
            let (span_id, parent) = (held.span_id, held.parent.clone());
            let identity = self.decide(span_id, &parent);
            if let Some(held) = self.held.get_mut(&token) {
                held.identity = Some(identity);
            }
        }
        self.held.get(&token).and_then(|held| held.identity.clone()).unwrap_or_default()
    }

    fn decide(&mut self, span_id: SpanId, parent: &Parent) -> Identity {
        let mut identity = Identity { span_id, ..Identity::default() };
        let above = match parent {
            Parent::Held(token) => self.held.get(token).and_then(|held| held.identity.clone()),
            Parent::Remote { parent, state } => Some(Identity {
                trace_id: parent.trace_id,
                span_id: parent.parent,
                trace_flags: parent.flags,
                trace_state: state.clone(),
                parent_is_remote: true,
                ..Identity::default()
            }),
            Parent::None => None,
        };
        let flags = above.as_ref().map(|above| above.trace_flags);
        match above {
            Some(above) => {
                identity.trace_id = above.trace_id;
                identity.parent = Some(above.span_id);
                identity.parent_is_remote = matches!(parent, Parent::Remote { .. });
                identity.trace_flags = above.trace_flags;
                identity.trace_state = above.trace_state;
            }
            None => {
                identity.trace_id = self.ids.trace_id();
                identity.trace_flags = context::RANDOM;
            }
        }
        self.settings.sampler.decide(&mut identity, flags);
        identity
    }

    fn make_room(&mut self) {
        while self.held.len() >= self.settings.limit
            && let Some(token) = self.arrivals.pop_front()
        {
            // What is finished leaves by itself; what is not loses its links and its place.
            let evictable = self.held.get(&token).is_some_and(|held| held.exchange.is_none());
            if evictable && let Some(gone) = self.held.remove(&token) {
                self.counters.evicted += 1;
                if let Some(entry) = gone.entry {
                    self.threads.leave(token, entry);
                }
                if let Some(key) = gone.key {
                    self.wire.forget(&key, token);
                }
                self.release(&gone.parent);
            }
        }
        // One request that stays open must not keep the tokens of all that came and went after it.
        if self.arrivals.len() >= 2 * self.held.len() + SPARE_ARRIVALS {
            self.arrivals.retain(|token| self.held.contains_key(token));
        }
    }

    fn count(&mut self, rule: Rule) {
        let counters = &mut self.counters;
        *match rule {
            Rule::None => &mut counters.roots,
            Rule::SameThread => &mut counters.same_thread,
            Rule::Wire => &mut counters.wire,
            Rule::PassedOn => &mut counters.passed_on,
            Rule::Header => &mut counters.header,
            Rule::Ambiguous => &mut counters.ambiguous,
        } += 1;
    }
}

impl Held {
    fn new(connection: &Arc<ConnectionInfo>, role: Role, request: &Extent, span_id: SpanId) -> Box<Self> {
        Box::new(Self {
            connection: Arc::clone(connection),
            role,
            request: *request,
            span_id,
            parent: Parent::None,
            rule: Rule::None,
            identity: None,
            entry: None,
            key: None,
            partner: None,
            partner_start: None,
            end: None,
            whole: false,
            exchange: None,
            done: false,
            references: 0,
        })
    }
}

fn from_header(incoming: &Incoming) -> (Parent, Rule) {
    match incoming {
        Incoming::Valid { parent, state, .. } => {
            (Parent::Remote { parent: *parent, state: state.clone() }, Rule::Header)
        }
        Incoming::Absent | Incoming::Malformed => (Parent::None, Rule::None),
    }
}

/// The last byte of the response; where there was none any more, the connection's end: that long it was waited for.
fn end_of(exchange: &Exchange<Detail>) -> u64 {
    let request = exchange.request.last.time;
    let last = exchange.response.as_ref().map_or(request, |response| response.last.time.max(request));
    exchange.closed.map_or(last, |closed| closed.time.max(last))
}

/// Both ends saw the same last byte.
fn is_whole(exchange: &Exchange<Detail>) -> bool {
    matches!(exchange.outcome, Outcome::Complete | Outcome::Upgraded)
}
