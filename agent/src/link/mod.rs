//! Which request caused which call.
//!
//! Decided late: an exchange waits a little after its end, so that records that were delivered out of
//! order between two CPUs, and the other end of its connection, are known when its parent is chosen. A call of
//! which nothing certain is known when it is sent waits for the responses of the requests it could belong to: who
//! writes a response made its calls. What stays uncertain is a root of its own, with links to its candidates.
//!
//! Each kind of evidence is a file: `hand` (who read a request has it in hand), `execution` (tasks, and who made
//! them), `wake` (tasks that send for others), `streams` (goroutines that write what others ask for), `handover` (threads that work for others), `discipline` (threads that do one thing after another), `reaction` (what
//! a thread does right after a read), `relay` (proxies, which ask for what they are asked for), `wire` (both ends of a
//! connection), `propagated` (headers that were put in), `option` (contexts in TCP options).

mod carried;
mod cause;
mod discipline;
mod execution;
mod hand;
mod handover;
mod held;
mod model;
mod option;
mod place;
mod propagated;
mod reaction;
mod relay;
mod rule;
mod sdk;
mod streams;
mod threads;
mod verdict;
mod waiting;
mod wake;
mod wire;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use honeyguide_protocols::{
    Actor, Exchange, Stamp,
    exchange::{Extent, Outcome},
};

use self::{
    cause::Cause,
    discipline::Discipline,
    execution::Executions,
    hand::Hands,
    handover::Handovers,
    held::{Held, Parent, from_header},
    option::Options,
    propagated::{Propagated, Sent},
    reaction::Reactions,
    relay::Relays,
    sdk::Sdks,
    streams::{Asked, Streams},
    verdict::Verdicts,
    waiting::Waiting,
    wake::Wakes,
    wire::Wire,
};
pub use self::{
    model::{LinkCounters, LinkSettings, Linked, Threads, Token},
    rule::Rule,
};
use crate::{
    decode::{MessageRecord, is_goroutine},
    flow::{ConnectionInfo, Detail, Head, Role},
    span::{
        context::{self, Incoming},
        id::IdGenerator,
    },
};

/// The exchanges in progress, and those that wait for their parent to be decided.
#[derive(Debug)]
pub struct Links {
    settings: LinkSettings,
    held: HashMap<Token, Box<Held>, foldhash::fast::FixedState>,
    /// In order of arrival; tokens that are gone are skipped.
    arrivals: VecDeque<Token>,
    finished: VecDeque<(u64, Token)>,
    /// Those of connections whose other end is elsewhere.
    finished_alone: VecDeque<(u64, Token)>,
    /// Those whose time had come before their place was decided, and now is.
    ready: VecDeque<Token>,
    hands: Hands,
    executions: Executions,
    wakes: Wakes,
    streams: Streams,
    handovers: Handovers,
    discipline: Discipline,
    waiting: Waiting,
    reactions: Reactions,
    relays: Relays,
    /// What was seen of requests that are over; each request is referred to.
    verdicts: Verdicts,
    wire: Wire,
    sdks: Sdks,
    propagated: Propagated,
    options: Options,
    ids: IdGenerator,
    /// Requests whose trace is decided with their calls.
    awaited: usize,
    /// Room for a chain of parents; empty.
    chain: Vec<Token>,
    pub counters: LinkCounters,
}

/// Tokens of ended exchanges that may wait to be cleared, beyond as many as are held.
const SPARE_ARRIVALS: usize = 1024;

/// The longest chain of parents that is followed.
const MAX_DEPTH: usize = 64;

/// An ambiguous call is linked to so many of the requests that may have caused it.
const MAX_CANDIDATES: usize = 4;

/// Tasks that are remembered for each exchange that may be held.
const TASKS: usize = 4;

impl Links {
    #[must_use]
    pub fn new(settings: LinkSettings, ids: IdGenerator) -> Self {
        Self {
            settings,
            held: HashMap::default(),
            arrivals: VecDeque::new(),
            finished: VecDeque::new(),
            finished_alone: VecDeque::new(),
            ready: VecDeque::new(),
            hands: Hands::default(),
            executions: Executions::new(settings.limit.saturating_mul(TASKS)),
            wakes: Wakes::new(settings.limit.saturating_mul(TASKS)),
            streams: Streams::new(settings.limit),
            handovers: Handovers::default(),
            discipline: Discipline::default(),
            waiting: Waiting::default(),
            reactions: Reactions::default(),
            relays: Relays::default(),
            verdicts: Verdicts::default(),
            wire: Wire::default(),
            sdks: Sdks::default(),
            propagated: Propagated::default(),
            options: Options::default(),
            ids,
            awaited: 0,
            chain: Vec::with_capacity(MAX_DEPTH),
            counters: LinkCounters::default(),
        }
    }

    /// Task `child` of a process began, made by `parent`; both as an actor's context.
    pub fn handle_task(&mut self, pid: u32, child: u64, parent: u64, time: u64) {
        self.executions.begin(pid, child, parent, Some(time));
        self.count_forgotten();
    }

    /// Task `woken` of a process was woken by its task `by`; both as an actor's context.
    pub fn handle_wake(&mut self, pid: u32, woken: u64, by: u64, time: u64) {
        self.wakes.wake(pid, woken, by, time);
        self.count_forgotten();
    }

    /// A goroutine has sent on a stream: whatever it has in hand is what the stream is for.
    pub fn handle_message(&mut self, record: &MessageRecord) {
        let MessageRecord { time, pid, stream, connection, goroutine, creator } = *record;
        let actor = Actor { pid, tid: 0, context: goroutine };
        if creator != 0 {
            self.executions.creator(pid, goroutine, creator);
        }
        let request = self.in_hand(actor, time);
        self.streams.said((pid, stream), connection, time, request);
        self.count_forgotten();
    }

    /// A process was forked, or has begun another program: it is not what had its id before.
    pub fn handle_process(&mut self, pid: u32) {
        self.sdks.forget(pid);
        self.relays.forget(pid);
    }

    /// The process runs under an SDK's automatic instrumentation.
    pub fn handle_instrumented(&mut self, pid: u32) {
        if self.settings.defer_to_sdk {
            self.sdks.started_under(pid);
            self.counters.forgotten_sdks = self.sdks.forgotten;
        }
    }

    /// A goroutine was made by the one of whose id this is the lower half.
    pub fn handle_creator(&mut self, actor: Actor, parent: u32) {
        self.executions.creator(actor.pid, actor.context, parent);
        self.count_forgotten();
    }

    /// A request's head was read or sent, by a process with such threads.
    pub fn handle_request(
        &mut self,
        connection: &Arc<ConnectionInfo>,
        role: Role,
        exchange: u64,
        request: &Extent,
        head: &Head,
        threads: Threads,
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
        let mut held = Held::new(connection, role, request, self.ids.span_id());
        held.asks = head.asks();
        let mut shift = 0;
        match role {
            Role::Server => {
                if self.settings.headers || self.settings.options {
                    let (limit, held) = (self.settings.limit, &self.held);
                    self.propagated.read(token, request.offset, limit, |token| held.contains_key(&token));
                }
                (held.parent, held.rule) = from_header(&incoming);
                if let Some(parent) = self.option_of_request(connection, request.offset, &incoming) {
                    (held.parent, held.rule) = (Parent::Remote { parent, state: None }, Rule::TcpOption);
                }
                if self.settings.defer_to_sdk {
                    self.sdks.read(token, request.last.actor.pid, incoming.parent(), head);
                }
                held.entry = Some(self.read(token, request.last, &incoming));
                let actor = request.last.actor;
                if threads::is_of_thread(threads, actor.context) {
                    self.handovers.read(token, actor.tid, request.last.time);
                }
                if held.asks != 0 && self.settings.inference {
                    self.relays.read(token, actor.pid, held.asks);
                    self.counters.forgotten_relays = self.relays.forgotten;
                }
                held.shares_threads = threads == Threads::Shared;
                if actor.context == 0 && self.settings.inference && threads != Threads::Shared {
                    self.reactions.read(token, actor.pid, actor.tid, head.route());
                }
            }
            Role::Client => {
                held.made = self.is_made(request.first, &incoming, head);
                let (sent, before) = self.propagated.of_call(connection.socket, request.offset);
                shift = before;
                if self.settings.headers && incoming == Incoming::Absent && head.is_http() {
                    let counter = match sent {
                        Some(_) => &mut self.counters.with_header,
                        None => &mut self.counters.without_header,
                    };
                    *counter += 1;
                }
                let sent = sent.or_else(|| self.option_of_call(token, connection, request.offset, &incoming));
                if let Some(sent) = sent {
                    held.span_id = sent.context.parent;
                    held.sent = Some(sent.context);
                }
                let stream = head.stream();
                if stream != 0 && is_goroutine(request.first.actor.context) {
                    self.streams.sent(token, (request.first.actor.pid, stream), request.first.time);
                    held.for_others = head.is_written_for_others() || self.streams.is_known(token.socket);
                }
                self.called(token, &mut held, (&incoming, sent), threads, head.takes_turns());
            }
        }
        self.hold(&held.parent);
        held.key = wire::key(connection, role, (request, shift), head);
        let sent = held.sent;
        let partner = held.key.and_then(|key| self.wire.meet(key, token, role));
        self.held.insert(token, held);
        self.arrivals.push_back(token);
        if let Some(context) = sent {
            self.adopt(token, context.trace_id);
        }
        match (partner, role) {
            (Some(partner), Role::Server) => self.join(partner, token),
            (Some(partner), Role::Client) => self.join(token, partner),
            (None, _) => {}
        }
        while let Some(call) = self.waiting.surplus() {
            self.counters.hurried += 1;
            self.give_up(call);
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
        let end = end_of(&exchange);
        held.end = Some(end);
        let whole = is_whole(&exchange);
        held.whole = whole;
        let (entry, asks, sender) = (held.entry.take(), held.asks, held.request.first.actor);
        let (sent, start) = (held.request.first.time, held.request.last.time);
        let response = exchange.response.as_ref().map(|response| (response.first.actor, response.last.actor));
        let request_end = exchange.request.offset.saturating_add(exchange.request.wire_bytes);
        held.exchange = Some(exchange);
        match role {
            Role::Server => {
                if let Some(entry) = entry {
                    self.leave_hand(token, entry, asks, whole);
                    self.answered(token, entry, (start, end), response.map(|(first, _)| first), now);
                }
            }
            Role::Client => {
                if self.settings.options {
                    self.options.ended(connection, request_end);
                }
                for asked in self.streams.ended(token, (sent, end)) {
                    self.asked_for(asked);
                }
                self.wakes.answered(sender, end);
                let by = response.map(|(_, last)| last.tid);
                self.discipline.answered(sender.tid, by, end);
                if sender.context == 0 && self.settings.inference {
                    self.reactions.answered(token, sender.pid, by);
                }
            }
        }
        if self.wire.is_alone(token.socket) {
            self.finished_alone.push_back((now + self.settings.linger_alone, token));
        } else {
            self.finished.push_back((now + self.settings.linger, token));
        }
    }

    /// The next exchange whose time has come; `now` is on the records' clock.
    pub fn poll(&mut self, now: u64) -> Option<Linked> {
        self.judge(now);
        while let Some(call) = self.waiting.overdue(now) {
            self.counters.hurried += 1;
            self.give_up(call);
        }
        while let Some(token) = self.ready.pop_front() {
            if let Some(linked) = self.finish(token) {
                return Some(linked);
            }
        }
        while let Some(token) = self.due(now) {
            if let Some(linked) = self.finish(token) {
                return Some(linked);
            }
        }
        None
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

    /// Calls whose cause is not known yet.
    #[must_use]
    pub fn undecided(&self) -> usize {
        self.waiting.len()
    }

    /// Tasks of which it is remembered who has made or woken them.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.executions.len() + self.wakes.len() + self.streams.len()
    }

    fn count_forgotten(&mut self) {
        self.counters.forgotten_tasks = self.executions.forgotten
            + self.wakes.forgotten
            + self.streams.forgotten
            + self.handovers.forgotten;
    }

    /// A request was read: it is in its reader's hand.
    fn read(&mut self, token: Token, at: Stamp, incoming: &Incoming) -> hand::Entry {
        let passed = incoming.parent().copied();
        let follows = token.exchange.checked_sub(1).is_some_and(|before| {
            let before = Token { exchange: before, ..token };
            self.held.get(&before).is_some_and(|before| before.entry.is_some())
        });
        self.discipline.read(at.actor.tid, follows, at.time);
        let reader = self.executions.of(at.actor);
        self.hands.enter(token, at.actor.pid, reader, at.time, passed)
    }

    /// Whether a call carries a context which was made in its process.
    fn is_made(&mut self, at: Stamp, incoming: &Incoming, head: &Head) -> bool {
        if !self.settings.defer_to_sdk {
            return false;
        }
        self.sdks.exported(at.actor.pid, head);
        let made = incoming.parent().is_some_and(|context| {
            let request = match self.hands.of(self.executions.of(at.actor), at.time) {
                hand::Held::One(request) => Some(request),
                hand::Held::None | hand::Held::Several => None,
            };
            self.sdks.sent(at.actor.pid, request, context)
        });
        self.counters.forgotten_sdks = self.sdks.forgotten;
        made
    }

    /// A call was sent: its cause is known at once, or it waits.
    fn called(
        &mut self,
        token: Token,
        held: &mut Held,
        (incoming, sent): (&Incoming, Option<Sent>),
        threads: Threads,
        turns: bool,
    ) {
        let at = held.request.first;
        self.discipline.sent(at.actor.tid, at.time);
        let told = sent.and_then(|sent| sent.cause).filter(|request| self.is_open(*request));
        // Of programs whose tasks it cannot tell apart the kernel takes the process as a whole, and it sees no requests
        // inside of TLS. The trace on the wire is then right where the engine comes to the same.
        let told = told.filter(|request| {
            let own = || self.hands.of(self.executions.of(at.actor), at.time);
            at.actor.context != 0 || own() == hand::Held::One(*request)
        });
        let mut cause = match told {
            // It is on the wire.
            Some(request) if at.actor.context == 0 => Cause::Known(Parent::Held(request), Rule::SameThread),
            Some(request) => Cause::Known(Parent::Held(request), Rule::SameTask),
            None if held.for_others => self.cause_of_stream(at, incoming),
            None => self.cause_of_call(at, incoming, threads, turns),
        };
        let relayed = self.relayed(at, held.asks);
        if let (Cause::Later(_), Some(request)) = (&cause, relayed)
            && self.relays.is_relay(at.actor.pid)
        {
            cause = Cause::Known(Parent::Held(request), Rule::Relayed);
        }
        let known = match &cause {
            Cause::Known(Parent::Held(request), _) => Some(*request),
            Cause::Known(..) | Cause::Later(_) => None,
        };
        self.wakes.sent(at.actor, at.time, known);
        if at.actor.context == 0 && self.settings.inference {
            self.reactions.sent(token, at.actor.tid, known);
        }
        if threads::is_of_thread(threads, at.actor.context) {
            self.handovers.sent(token, at.actor.tid, at.time, matches!(cause, Cause::Later(_)));
        }
        let lineage = match cause {
            Cause::Known(parent, rule) => {
                (held.parent, held.rule) = (parent, rule);
                return;
            }
            Cause::Later(lineage) => lineage,
        };
        held.rule = Rule::Ambiguous;
        let pid = at.actor.pid;
        held.candidates = self.hands.latest(pid, MAX_CANDIDATES);
        held.relayed = relayed;
        if let Some(request) = relayed.filter(|request| !held.candidates.contains(request)) {
            held.candidates.truncate(MAX_CANDIDATES - 1);
            held.candidates.push(request);
        }
        for candidate in &held.candidates {
            self.hold(&Parent::Held(*candidate));
        }
        if self.settings.inference {
            let deadline = at.time.saturating_add(self.settings.hold);
            self.waiting.add(token, pid, lineage, self.hands.order(), deadline);
        }
    }

    /// It turned out whose stream a call has.
    fn asked_for(&mut self, Asked { call, request, rule }: Asked) {
        let Some(held) = self.held.get(&call) else { return };
        let undecided = held.rule == Rule::Ambiguous && held.identity.is_none();
        if undecided && self.held.contains_key(&request) {
            self.decide(call, Parent::Held(request), rule);
        }
    }

    pub(super) fn is_open(&self, request: Token) -> bool {
        self.held.get(&request).is_some_and(|held| held.exchange.is_none() && !held.done)
    }

    /// A request was answered: whoever wrote the response, by itself or through what it had made, sent its calls.
    fn answered(
        &mut self,
        request: Token,
        entry: hand::Entry,
        span: (u64, u64),
        writer: Option<Actor>,
        now: u64,
    ) {
        let (start, end) = span;
        let reader = self.held.get(&request).map(|held| (held.request.last.actor.tid, held.shares_threads));
        let shares_threads = reader.is_some_and(|(_, shares)| shares);
        if let Some((tid, _)) = reader {
            self.discipline.wrote(tid, writer.map(|writer| writer.tid), end);
        }
        if let Some(writer) = writer {
            let execution = self.executions.of(writer);
            let exact =
                !execution.is_thread() || (!shares_threads && self.discipline.is_believed(writer.tid, end));
            if exact {
                for claimed in self.waiting.claims(execution) {
                    if (start..=end).contains(&claimed.time) {
                        let rule = if claimed.generation == 0 { Rule::Writer } else { Rule::Ancestry };
                        self.decide(claimed.call, Parent::Held(request), rule);
                    }
                }
            }
        }
        self.handed_over(request, span);
        if let Some(verdict) = self.reactions.ended(request) {
            self.await_verdict(verdict, now);
        }
        let oldest = self.hands.oldest(entry.pid);
        while let Some(call) = self.waiting.settled(entry.pid, oldest) {
            self.give_up(call);
        }
        if oldest.is_none() {
            self.judge_idle(entry.pid, now);
        }
    }

    /// Nothing more will be known of a call's cause; but its process may have turned out to be a proxy.
    fn give_up(&mut self, call: Token) {
        let relayed = self.held.get(&call).and_then(|held| {
            let pid = held.request.first.actor.pid;
            held.relayed.filter(|_| self.relays.is_relay(pid))
        });
        match relayed {
            Some(request) => self.decide(call, Parent::Held(request), Rule::Relayed),
            None => self.decide(call, Parent::None, Rule::Ambiguous),
        }
    }

    #[allow(clippy::needless_pass_by_value)] // It becomes the call's parent.
    fn decide(&mut self, call: Token, parent: Parent, rule: Rule) {
        self.waiting.remove(call);
        let Some(held) = self.held.get_mut(&call) else { return };
        (held.parent, held.rule) = (parent.clone(), rule);
        let adopted = held.adopted;
        self.ready.extend(held.blocked.drain(..));
        // What is certain needs no candidates.
        let candidates =
            if rule == Rule::Ambiguous { Vec::new() } else { std::mem::take(&mut held.candidates) };
        self.hold(&parent);
        if let (Some(trace), Parent::Held(parent)) = (adopted, &parent) {
            self.adopt(*parent, trace);
        }
        for candidate in candidates {
            self.release(&Parent::Held(candidate));
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
        let adopted = end.adopted;
        if let Some(call) = self.held.get_mut(&client) {
            call.partner_start = Some(start);
        }
        self.hold(&Parent::Held(client));
        if let Some(trace) = adopted {
            self.adopt(client, trace);
        }
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

    /// The next ended exchange that has waited long enough.
    fn due(&mut self, now: u64) -> Option<Token> {
        let is_due = |queue: &VecDeque<(u64, Token)>| queue.front().is_some_and(|(due, _)| *due <= now);
        if is_due(&self.finished) {
            return self.finished.pop_front().map(|(_, token)| token);
        }
        if is_due(&self.finished_alone) {
            return self.finished_alone.pop_front().map(|(_, token)| token);
        }
        None
    }

    fn finish(&mut self, token: Token) -> Option<Linked> {
        if let Some(call) = self.undecided_above(token) {
            if let Some(call) = self.held.get_mut(&call) {
                call.blocked.push(token);
            }
            return None;
        }
        let identity = self.identity(token);
        let held = self.held.get_mut(&token)?;
        if let Some(key) = held.key.take() {
            self.wire.forget(&key, token);
        }
        let exchange = held.exchange.take()?;
        held.done = true;
        self.handovers.forget(token);
        let candidates = std::mem::take(&mut held.candidates);
        let (mut rule, role, by_sdk) = (held.rule, held.role, held.by_sdk);
        let connection = Arc::clone(&held.connection);
        let above = held.parent.clone();
        let mut start = held.request.first.time;
        let mut end = held.end.unwrap_or(start);
        // A send is seen after it happened, so the peer's read may carry an earlier time. What was read
        // had been sent: the earlier of the two is nearer to the truth.
        start = start.min(held.partner_start.unwrap_or(start));
        let (partner, references) = (held.partner, held.references);
        if partner.is_none() && held.partner_start.is_none() {
            self.wire.missed(token.socket);
        }
        // One that the client gave up may well go on.
        let call =
            partner.and_then(|call| self.held.get(&call)).filter(|call| call.whole && is_whole(&exchange));
        if let Some(call_end) = call.and_then(|call| call.end) {
            end = end.min(call_end);
        }
        let mut apart = None;
        if !by_sdk && let (None, Parent::Held(above)) = (identity.parent, above) {
            let above = self.held.get(&above).and_then(|above| above.identity.as_ref());
            // An SDK's own has no id that is known.
            apart = above.filter(|above| above.span_id.is_valid());
            rule = if apart.is_some() { Rule::Apart } else { rule };
        }
        let apart = apart.map(|above| (above.trace_id, above.span_id));
        if references == 0
            && let Some(gone) = self.held.remove(&token)
        {
            self.release(&gone.parent);
        }
        self.counters.by_rule[rule as usize] += 1;
        let mut candidates = self.names(candidates);
        candidates.extend(apart);
        let end = end.max(start);
        Some(Linked { connection, role, exchange, identity, start, end, rule, by_sdk, candidates })
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
                    self.leave_hand(token, entry, gone.asks, false);
                }
                self.waiting.remove(token);
                self.reactions.forget(token);
                self.handovers.forget(token);
                self.ready.extend(gone.blocked);
                for candidate in gone.candidates {
                    self.release(&Parent::Held(candidate));
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
