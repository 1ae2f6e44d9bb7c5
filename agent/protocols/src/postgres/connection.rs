//! Two directions, and the exchanges between them.

mod copying;
mod ending;
mod racing;

use std::sync::Arc;

use ending::Trail;

use super::{
    Counters, Limits, SqlEvent, State,
    exchange::{Copying, Exchanges, Kind, passed},
    frame::{self, Ending, REPLY, STARTUP, Startup, Tag},
    parked::Parked,
    parser::{Input, Message, Parser, Place, Step},
    statements::Statements,
};
use crate::{
    exchange::{CloseReason, Extent, Outcome, Party, Stamp},
    reader::Reader,
    sql::{Backslash, Operation, Prepared, SqlHead, Statement, System},
};

/// One connection that speaks PostgreSQL's protocol.
///
/// Each direction's bytes come in order. After every `handle_*` call, poll until there is no event
/// left.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    state: State,
    client: Parser,
    server: Parser,
    exchanges: Exchanges,
    statements: Statements,
    parked: Parked,
    counters: Counters,
    namespace: Option<Arc<str>>,
    /// What the server reported of `standard_conforming_strings`.
    backslash: Backslash,
    /// Messages since the last unit.
    gathered: Gathered,
    /// The server refused something and skips what comes before the next `Sync`.
    skipping: bool,
    /// The server may owe answers to requests that were not seen: none is followed until it is ready.
    unsure: bool,
    /// A request was seen since the server's messages were lost sight of.
    asked: bool,
    /// What is outstanding was asked when its answer had been parked.
    raced: bool,
    /// No answer's end was guessed since one was read.
    settled: bool,
    /// What the server says up to the next `ReadyForQuery` answers something that was not seen.
    foreign: bool,
    trail: Trail,
}

/// What the client sent of a unit so far.
#[derive(Debug, Default)]
struct Gathered {
    extent: Option<Extent>,
    /// The type of the first message.
    first: Option<u8>,
    /// What was prepared last.
    prepared: Option<Arc<SqlHead>>,
    /// A `Bind` was among it: it goes on to an `Execute`.
    bound: bool,
    /// Messages that are answered.
    answers: u32,
    damaged: bool,
}

impl Connection {
    /// A connection that may have been open for a while.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::with_places(limits, Place::Lost, Place::Lost)
    }

    /// A connection that is seen from its first byte.
    #[must_use]
    pub fn opened(limits: Limits) -> Self {
        Self::with_places(limits, Place::Startup, Place::Boundary)
    }

    fn with_places(limits: Limits, client: Place, server: Place) -> Self {
        Self {
            limits,
            state: State::Open,
            client: Parser::new(Party::Client, client),
            server: Parser::new(Party::Server, server),
            exchanges: Exchanges::default(),
            statements: Statements::default(),
            parked: Parked::default(),
            counters: Counters::default(),
            namespace: None,
            backslash: Backslash::Unknown,
            gathered: Gathered::default(),
            skipping: false,
            unsure: false,
            asked: false,
            raced: false,
            settled: server != Place::Lost,
            foreign: false,
            trail: Trail::default(),
        }
    }

    /// Bytes that passed the socket. Each call is taken for the start of a socket operation.
    ///
    /// `offset` is the stream offset of `bytes[0]` in its direction. An offset ahead of what is
    /// due is a gap; bytes that were handed over before are ignored.
    pub fn handle_bytes(&mut self, from: Party, at: Stamp, offset: u64, bytes: &[u8]) {
        self.handle(from, Input { at, offset, gap: 0, bytes, starts: true });
    }

    /// `length` bytes that passed unseen. `tail` is the last of them, where known, and ends the
    /// socket operation.
    pub fn handle_gap(&mut self, from: Party, at: Stamp, offset: u64, length: u64, tail: &[u8]) {
        let known = usize::try_from(length).map_or(tail.len(), |length| length.min(tail.len()));
        let bytes = &tail[tail.len() - known..];
        let gap = length - known as u64;
        let starts = gap == 0 && self.parser(from).last() != at;
        self.handle(from, Input { at, offset, gap, bytes, starts });
    }

    /// The party will send no more.
    pub fn handle_shutdown(&mut self, from: Party, at: Stamp) {
        if self.state == State::Open && from == Party::Server {
            self.exchanges.abort_all(at, CloseReason::Finished, &self.limits);
        }
        self.parser(from).place_at(Place::Closed);
    }

    /// The connection is over; everything open ends.
    pub fn handle_close(&mut self, at: Stamp, reason: CloseReason) {
        self.drop_parked();
        self.exchanges.abort_all(at, reason, &self.limits);
        self.state = State::Closed;
        self.release();
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<SqlEvent> {
        self.exchanges.poll_event()
    }

    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The connection went on encrypted; its plaintext may be had elsewhere.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.state == State::Encrypted
    }

    /// Too much of it was not PostgreSQL; nothing more comes of this connection.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.state == State::Failed
    }

    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            dropped_events: self.exchanges.dropped_events,
            dropped_statements: self.statements.dropped,
            ..self.counters
        }
    }

    /// Messages, or groups of them, whose answers are not over.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.exchanges.len()
    }

    /// Bytes held back for want of the rest, and of remembered statements.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.client.buffered() + self.server.buffered() + self.statements.bytes() + self.parked.buffered()
    }

    fn parser(&mut self, party: Party) -> &mut Parser {
        match party {
            Party::Client => &mut self.client,
            Party::Server => &mut self.server,
        }
    }

    /// Puts an input in its place in the stream, then reads it.
    fn handle(&mut self, from: Party, mut input: Input<'_>) {
        if self.state != State::Open || self.parser(from).is_closed() {
            return;
        }
        let parser = self.parser(from);
        let end = input.offset.saturating_add(input.gap).saturating_add(input.bytes.len() as u64);
        if let Some(expected) = parser.expected {
            if end <= expected {
                return;
            }
            if input.offset > expected {
                input.gap = input.gap.saturating_add(input.offset - expected);
                // What was lost may have been whole operations: this one begins as it says.
                input.offset = expected;
            } else {
                let known = expected - input.offset;
                let unseen = known.min(input.gap);
                input.gap -= unseen;
                let seen =
                    usize::try_from(known - unseen).unwrap_or(input.bytes.len()).min(input.bytes.len());
                input.bytes = &input.bytes[seen..];
                input.starts &= known == 0;
                input.offset = expected;
            }
        }
        parser.expected = Some(end);
        self.read(from, input);
        if from == Party::Client {
            self.replay();
        }
    }

    fn read(&mut self, party: Party, mut input: Input<'_>) {
        let operation = input.starts;
        let statement = self.limits.statement;
        while self.state == State::Open {
            let unseen = input.gap;
            let parser = self.parser(party);
            let lost = parser.is_lost();
            match parser.step(&mut input, statement) {
                Step::More => {
                    if lost && unseen > 0 {
                        self.pass(party, input.at, input.offset, unseen);
                    }
                    if let (Party::Server, Some((kind, extent))) = (party, self.server.under_way())
                        && answers(kind)
                    {
                        self.exchanges.begin(extent, &self.limits);
                    }
                    return;
                }
                Step::Message(message) => match party {
                    Party::Client => self.frontend(&message),
                    Party::Server => self.backend(&message),
                },
                Step::Unseen if party == Party::Client && self.executes(&mut input) => {}
                Step::Unseen => self.lose(party, &mut input, operation),
                Step::Invalid => {
                    self.counters.failures += 1;
                    if self.counters.failures >= self.limits.failures {
                        return self.stop(State::Failed);
                    }
                    self.lose(party, &mut input, false);
                }
                Step::Hunt => {
                    if lost && unseen > 0 {
                        self.pass(party, input.at, input.offset, unseen);
                    }
                    if !self.resume(party, &input) {
                        return;
                    }
                }
            }
        }
    }

    /// Behind values that were not seen to their end what was bound is executed, as the last bytes of the operation and its
    /// length say.
    fn executes(&mut self, input: &mut Input<'_>) -> bool {
        let Some(at) = frame::execution(input.gap, input.bytes).filter(|_| self.gathered.bound) else {
            return false;
        };
        let wire_bytes = std::mem::take(&mut input.gap) + at as u64;
        self.add(Extent { first: input.at, last: input.at, offset: input.offset, wire_bytes });
        input.offset = input.offset.saturating_add(wire_bytes);
        input.bytes = &input.bytes[at..];
        self.client.place_at(Place::Boundary);
        true
    }

    /// Where messages begin is not known any more.
    fn lose(&mut self, party: Party, input: &mut Input<'_>, operation: bool) {
        self.settled = false;
        match party {
            Party::Client if self.exchanges.copies_in() => self.lose_data(),
            Party::Client => {
                // What was prepared, bound or asked meanwhile is not known.
                self.drop_parked();
                self.statements.clear();
                self.gathered = Gathered::default();
                self.exchanges.finish_all(Outcome::Lost, &self.limits);
                self.unsure = true;
            }
            Party::Server => {
                self.asked = false;
                self.foreign = false;
                self.damage();
            }
        }
        let unseen = std::mem::take(&mut input.gap);
        self.pass(party, input.at, input.offset, unseen);
        input.offset = input.offset.saturating_add(unseen);
        // Behind bytes of which no record came an operation may begin, behind a cut one none does.
        input.starts = operation;
    }

    fn damage(&mut self) {
        if let Some(asked) = self.exchanges.front().and_then(|unit| unit.asked.as_mut()) {
            asked.damaged = true;
        }
    }

    /// Bytes of an answer, or of data that is copied, that cannot be read.
    fn pass(&mut self, party: Party, at: Stamp, offset: u64, bytes: u64) {
        match party {
            Party::Server => self.exchanges.touch(passed(at, offset, bytes), &self.limits),
            Party::Client if self.exchanges.copies_in() => self.exchanges.ask_more(at, bytes),
            Party::Client => {}
        }
    }

    /// Looks for messages in bytes that cannot be placed. False when they are of no use.
    fn resume(&mut self, party: Party, input: &Input<'_>) -> bool {
        let bytes = input.bytes;
        match party {
            Party::Client if self.exchanges.copies_in() => {
                self.resume_data(input);
                false
            }
            Party::Client if input.starts && frame::plausible(Party::Client, bytes) => {
                let startup = bytes[0] == 0;
                self.client.place_at(if startup { Place::Startup } else { Place::Boundary });
                true
            }
            Party::Client => {
                // It asked for something.
                if self.server.is_lost() {
                    self.end_lost();
                }
                self.unsure = true;
                false
            }
            Party::Server => {
                let begins = input.starts && self.asked && !self.unsure;
                if begins && frame::plausible(Party::Server, bytes) {
                    self.asked = false;
                    self.server.place_at(Place::Boundary);
                    return true;
                }
                if let Some(ending) = Ending::parse(self.trail.follow(input.offset, bytes)) {
                    self.pass(party, input.at, input.offset, bytes.len() as u64);
                    self.ended(ending);
                    self.server.place_at(Place::Boundary);
                    return false;
                }
                self.asked = false;
                if self.exchanges.is_empty() {
                    self.unsure = true;
                } else {
                    self.damage();
                    self.pass(party, input.at, input.offset, bytes.len() as u64);
                }
                false
            }
        }
    }

    fn frontend(&mut self, message: &Message<'_>) {
        if self.exchanges.copies_in() && self.data(message) {
            return;
        }
        let body = &*message.body;
        match message.kind {
            STARTUP => self.startup(message),
            b'Q' => self.query(message),
            b'P' => self.parse(message),
            b'B' => {
                self.gather(message);
                self.gathered.bound = true;
                let mut names = Reader::new(body);
                match (names.until(0), names.until(0)) {
                    (Some(portal), statement) => {
                        let head = statement.and_then(|name| self.statements.statement(name)).cloned();
                        self.statements.bind(portal, head, &self.limits);
                    }
                    (None, _) => self.statements.clear_portals(),
                }
            }
            b'E' => {
                self.gather(message);
                let portal = Reader::new(body).until(0);
                let head = match portal.and_then(|portal| self.statements.portal(portal)) {
                    Some(head) => Arc::clone(head),
                    None => self.head(Operation::Execute, None, Some(Prepared::Unknown)),
                };
                self.unit(Kind::Execute, Some(head));
            }
            b'D' => self.gather(message),
            b'C' => {
                self.gather(message);
                let mut target = Reader::new(body);
                match (target.u8(), target.until(0)) {
                    (Some(b'S'), Some(name)) => self.statements.forget(name),
                    (Some(b'P'), Some(name)) => self.statements.close_portal(name),
                    _ => self.statements.clear(),
                }
            }
            b'S' => {
                self.sync(message);
            }
            b'H' => {
                let prepared = self.gathered.prepared.take().filter(|_| !self.gathered.bound);
                if let Some(head) = prepared {
                    let answers = self.gathered.answers;
                    self.add(message.extent);
                    self.unit(Kind::Flush { answers }, Some(head));
                }
            }
            b'F' => {
                self.gathered = Gathered { first: Some(message.kind), ..Gathered::default() };
                self.add(message.extent);
                let head = self.head(Operation::FunctionCall, None, None);
                self.unit(Kind::Simple, Some(head));
            }
            b'd' => {}
            // It did not wait for the server to take its data, or the server does not.
            b'c' | b'f' => {
                if let Some(unit) = self.exchanges.back() {
                    unit.copied = true;
                }
            }
            // `p` answers an authentication request, `X` ends the session.
            _ => self.gathered = Gathered::default(),
        }
    }

    fn startup(&mut self, message: &Message<'_>) {
        match Startup::parse(&message.body) {
            Some(Startup::Session { database }) => {
                self.namespace = database.map(|name| String::from_utf8_lossy(name).into());
                self.client.place_at(Place::Boundary);
                // The server has not said anything before, so what it says next begins with a message.
                if self.server.is_lost() {
                    self.server.place_at(Place::Boundary);
                    self.settled = true;
                }
            }
            Some(Startup::Encryption) => {
                self.server.place_at(Place::Reply);
            }
            Some(Startup::Cancel) => self.client.place_at(Place::Closed),
            None => {
                self.counters.failures += 1;
                self.client.place_at(Place::Lost);
                if self.counters.failures >= self.limits.failures {
                    self.stop(State::Failed);
                }
            }
        }
    }

    fn query(&mut self, message: &Message<'_>) {
        // A client that asks has the whole of the last simple answer.
        if self.exchanges.len() == 1 && self.exchanges.back().is_some_and(|unit| unit.kind == Kind::Simple) {
            self.exchanges.finish_all(Outcome::Lost, &self.limits);
        }
        self.gathered = Gathered { damaged: message.holes, first: Some(message.kind), ..Gathered::default() };
        self.add(message.extent);
        let end = memchr::memchr(0, &message.body);
        let statement = self.statement(&message.body[..end.unwrap_or(message.body.len())], end.is_none());
        let head = self.head(Operation::Query, Some(statement), None);
        self.unit(Kind::Simple, Some(head));
    }

    fn parse(&mut self, message: &Message<'_>) {
        self.gather(message);
        let Some(end) = memchr::memchr(0, &message.body) else {
            // It may have replaced any of them.
            self.statements.clear();
            return;
        };
        let (name, text) = message.body.split_at(end);
        let text = &text[1..];
        let whole = memchr::memchr(0, text);
        let statement = self.statement(&text[..whole.unwrap_or(text.len())], whole.is_none());
        let prepared = self.head(Operation::Execute, Some(statement.clone()), Some(Prepared::Known));
        self.statements.prepare(name, prepared, &self.limits);
        self.gathered.prepared = Some(self.head(Operation::Prepare, Some(statement), None));
    }

    fn sync(&mut self, message: &Message<'_>) {
        let head = self.gathered.prepared.take().filter(|_| !self.gathered.bound);
        let fresh = self.gathered.extent.is_none();
        if head.is_none() {
            if let Some(unit) = self.exchanges.back()
                && let (true, Kind::Execute, Some(asked)) = (fresh, unit.kind, &mut unit.asked)
            {
                asked.request.last = message.extent.last;
                asked.request.wire_bytes += message.extent.wire_bytes;
            }
        } else {
            self.add(message.extent);
        }
        self.unit(Kind::Sync, head);
    }

    fn gather(&mut self, message: &Message<'_>) {
        self.gathered.answers = self.gathered.answers.saturating_add(1);
        self.gathered.damaged |= message.holes;
        self.gathered.first.get_or_insert(message.kind);
        self.add(message.extent);
    }

    fn add(&mut self, part: Extent) {
        match &mut self.gathered.extent {
            Some(extent) => {
                extent.last = part.last;
                extent.wire_bytes += part.wire_bytes;
            }
            None => self.gathered.extent = Some(part),
        }
    }

    /// What was gathered goes to the server as one.
    fn unit(&mut self, kind: Kind, head: Option<Arc<SqlHead>>) {
        let mut gathered = std::mem::take(&mut self.gathered);
        self.claim(gathered.extent.as_mut());
        // What only closes or ends something does not wait for what was asked before.
        if self.server.is_lost() && !self.exchanges.is_empty() && !self.asked && head.is_some() {
            self.end_lost();
        }
        if self.unsure || self.exchanges.len() >= self.limits.outstanding {
            if !self.unsure {
                self.exchanges.finish_all(Outcome::Lost, &self.limits);
                self.unsure = true;
            }
            self.counters.dropped_requests += u64::from(head.is_some());
            return;
        }
        if self.server.is_lost() {
            self.asked = true;
        }
        let asked = head.zip(gathered.extent).map(|(head, extent)| (head, extent, gathered.damaged));
        self.exchanges.push(kind, gathered.first, asked, &self.limits);
        if matches!(kind, Kind::Simple | Kind::Sync) {
            self.replay();
        }
    }

    fn statement(&self, text: &[u8], cut: bool) -> Statement {
        let kept = &text[..text.len().min(self.limits.statement)];
        Statement { text: String::from_utf8_lossy(kept).into(), truncated: cut || kept.len() < text.len() }
    }

    fn head(
        &self,
        operation: Operation,
        statement: Option<Statement>,
        prepared: Option<Prepared>,
    ) -> Arc<SqlHead> {
        let namespace = self.namespace.clone();
        let (system, backslash) = (System::PostgreSql, self.backslash);
        Arc::new(SqlHead { system, namespace, operation, statement, backslash, prepared })
    }

    fn backend(&mut self, message: &Message<'_>) {
        let kind = message.kind;
        if kind == REPLY {
            if matches!(message.body.first(), Some(b'S' | b'G')) {
                self.stop(State::Encrypted);
            } else if message.body.first() != Some(&b'N') {
                self.server.place_at(Place::Lost);
            }
            return;
        }
        if kind == b'S' {
            let known =
                if message.holes { Some(Backslash::Unknown) } else { frame::backslash(&message.body) };
            self.backslash = known.unwrap_or(self.backslash);
        }
        if !answers(kind) || self.is_late(message.extent) || self.park(message) {
            return;
        }
        self.answer(message);
    }

    /// A message of the server that belongs to an answer.
    fn answer(&mut self, message: &Message<'_>) {
        let kind = message.kind;
        if self.is_foreign(kind) {
            return;
        }
        if kind == b'Z' {
            return self.ready(message.extent);
        }
        if self.exchanges.is_empty() {
            return self.unasked(kind);
        }
        // What waited for the end of its cycle is over when the next answer begins.
        let front = self.exchanges.front().and_then(|unit| unit.asked.as_ref());
        if kind != b'E' && front.is_some_and(|asked| asked.answered) {
            self.exchanges.finish(Outcome::Complete, &self.limits);
        }
        self.exchanges.touch(message.extent, &self.limits);
        if message.holes {
            self.damage();
        }
        match kind {
            b'D' => {
                if let Some(asked) = self.exchanges.front().and_then(|unit| unit.asked.as_mut()) {
                    asked.rows += 1;
                }
            }
            b'C' => {
                self.end_data();
                self.exchanges.command((!message.holes).then(|| Tag::parse(&message.body)));
                self.executed();
            }
            b'I' => self.executed(),
            b's' => {
                self.exchanges.suspended();
                self.executed();
            }
            b'E' => {
                let state = frame::sqlstate(&message.body);
                self.end_data();
                self.exchanges.fail(state);
                self.refused();
            }
            b'G' | b'H' | b'W' => {
                if let Some(unit) = self.exchanges.front() {
                    unit.copy = if kind == b'H' { Copying::Out } else { Copying::In };
                }
                if kind == b'G' {
                    self.exchanges.copy_in();
                }
            }
            b'1' | b'3' | b'T' | b'n' => self.acknowledged(),
            _ => {}
        }
    }

    /// A command of the front unit ended.
    fn executed(&mut self) {
        let sync = self.exchanges.sync_is_next();
        let Some(unit) = self.exchanges.front() else { return };
        match (unit.kind, &mut unit.asked) {
            // The end of the transaction may still refuse it.
            (Kind::Execute, Some(asked)) if sync => asked.answered = true,
            (Kind::Execute, _) => {
                self.exchanges.finish(Outcome::Complete, &self.limits);
            }
            (Kind::Simple | Kind::Flush { .. } | Kind::Sync, _) => {}
        }
    }

    /// The front unit failed.
    fn refused(&mut self) {
        let Some(unit) = self.exchanges.front() else { return };
        match unit.kind {
            // The rest of its cycle is `ReadyForQuery`.
            Kind::Simple => {}
            Kind::Sync => {
                self.skipping = true;
                self.exchanges.finish_exchange(Outcome::Complete, &self.limits);
            }
            Kind::Execute | Kind::Flush { .. } => {
                self.skipping = true;
                self.exchanges.finish(Outcome::Complete, &self.limits);
            }
        }
    }

    fn acknowledged(&mut self) {
        let Some(unit) = self.exchanges.front() else { return };
        if let Kind::Flush { answers } = &mut unit.kind {
            *answers = answers.saturating_sub(1);
            if *answers == 0 {
                self.exchanges.finish(Outcome::Complete, &self.limits);
            }
        }
    }

    /// `ReadyForQuery`: a cycle is over.
    fn ready(&mut self, extent: Extent) {
        let skipping = std::mem::take(&mut self.skipping);
        self.raced = false;
        if self.unsure {
            self.unsure = false;
            // Nothing but a COPY outlives what its client sent unseen.
            if self.exchanges.is_answered() {
                self.exchanges.touch(extent, &self.limits);
                self.exchanges.finish(Outcome::Complete, &self.limits);
            }
            self.exchanges.finish_all(Outcome::Lost, &self.limits);
            return;
        }
        while let Some(unit) = self.exchanges.front() {
            let kind = unit.kind;
            let answered = unit.asked.as_ref().is_some_and(|asked| asked.answered);
            let ends = matches!(kind, Kind::Simple | Kind::Sync);
            if ends || answered {
                self.exchanges.touch(extent, &self.limits);
                self.exchanges.finish(Outcome::Complete, &self.limits);
            } else if skipping {
                self.exchanges.skip(&self.limits);
            } else {
                self.exchanges.finish(Outcome::Lost, &self.limits);
            }
            if ends {
                self.settled = true;
                return;
            }
        }
    }

    fn stop(&mut self, state: State) {
        self.exchanges.finish_all(Outcome::Lost, &self.limits);
        self.state = state;
        self.release();
    }

    fn release(&mut self) {
        self.client.place_at(Place::Closed);
        self.server.place_at(Place::Closed);
        self.statements.clear();
        self.gathered = Gathered::default();
    }
}

/// Whether a message of the server belongs to an answer: not what may come at any time.
fn answers(kind: u8) -> bool {
    !matches!(kind, b'N' | b'A' | b'S' | b'R' | b'K' | b'v')
}
