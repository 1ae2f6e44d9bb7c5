//! Two directions, and the exchanges between them. `commands` and `answers` say what packets mean.

mod answers;
mod commands;

use std::sync::Arc;

use super::{
    Counters, Greeting, Limits, Notes, SqlEvent, State,
    compress::{self, Unpacked, Unpacker},
    exchange::{Awaiting, Exchanges, Kind},
    frame::{self, Ending, HEADER, capability, status},
    notes::Noted,
    parser::{Header, Input, Parser, Place, Step},
    recognise::{self, plausible_answer},
    statements::Statements,
};
use crate::{
    exchange::{CloseReason, Extent, Outcome, Party, Stamp},
    sql::{Backslash, SqlHead},
};

/// One connection that speaks MySQL's protocol.
///
/// Each direction's bytes come in order. After every `handle_*` call, poll until there is no event
/// left.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    state: State,
    phase: Phase,
    /// The offset that is due next: of the client's bytes, of the server's.
    expected: [Option<u64>; 2],
    client: Parser,
    server: Parser,
    compression: Compression,
    exchanges: Exchanges,
    statements: Statements,
    counters: Counters,
    greeting: Option<Greeting>,
    /// What both sides can do, where the login was seen.
    capabilities: Option<u64>,
    /// Nothing told the server's kind before a packet did that only MariaDB knows.
    mariadb: bool,
    /// Descriptions are followed by `EOF` packets; `None` is not known yet.
    eof: Option<bool>,
    namespace: Option<Arc<str>>,
    /// By the status that came with the last answer.
    backslash: Backslash,
    /// What runs the statement that was prepared last.
    last_prepared: Option<Arc<SqlHead>>,
    last_prepare_failed: bool,
    /// An `EOF` packet may follow what was taken for the end of an answer.
    late_eof: bool,
    /// The client has sent a command before the last was answered.
    pipelines: bool,
    /// The server may owe answers to commands that were not seen: none is followed until it is quiet.
    unsure: bool,
    /// The server's last operation ended like an answer.
    quiet: bool,
    /// The server has sent something since the client did, and had when the client's packet began.
    heard: bool,
    turned: bool,
    /// A command was seen since the server's packets were lost sight of.
    asked: bool,
    /// The last bytes of the server that could not be placed.
    trail: Vec<u8>,
    /// What is read, where somebody asked.
    notes: Option<Box<Notes>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The server's greeting, or the client's login, is due.
    Greeting,
    Auth,
    Command,
}

#[derive(Debug)]
enum Compression {
    /// The login was not seen.
    Unknown,
    Off,
    /// From the end of the authentication on.
    Agreed,
    On(Box<[Unpacker; 2]>),
}

impl Connection {
    /// A connection that may have been open for a while.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::with_places(limits, Place::Lost, Phase::Command)
    }

    /// A connection that is seen from its first byte.
    #[must_use]
    pub fn opened(limits: Limits) -> Self {
        Self::with_places(limits, Place::Boundary, Phase::Greeting)
    }

    fn with_places(limits: Limits, place: Place, phase: Phase) -> Self {
        Self {
            limits,
            state: State::Open,
            phase,
            expected: [None; 2],
            client: Parser::new(place),
            server: Parser::new(place),
            compression: Compression::Unknown,
            exchanges: Exchanges::default(),
            statements: Statements::default(),
            counters: Counters::default(),
            greeting: None,
            capabilities: None,
            mariadb: false,
            eof: None,
            namespace: None,
            backslash: Backslash::Unknown,
            last_prepared: None,
            last_prepare_failed: false,
            late_eof: false,
            pipelines: false,
            unsure: false,
            quiet: false,
            heard: false,
            turned: false,
            asked: false,
            trail: Vec::new(),
            notes: None,
        }
    }

    /// Notes what it reads: see [`Self::take_notes`].
    #[must_use]
    pub fn noting(self) -> Self {
        Self { notes: Some(Box::default()), ..self }
    }

    /// What was read since the last call.
    pub fn take_notes(&mut self) -> Notes {
        self.notes.as_deref_mut().map(std::mem::take).unwrap_or_default()
    }

    /// What the server said of itself before the connection went on encrypted.
    #[must_use]
    pub fn greeting(&self) -> Option<Greeting> {
        self.greeting
    }

    /// What passes now is compressed, or will be once the client has authenticated itself.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        match &self.compression {
            Compression::On(_) => true,
            Compression::Agreed => self.phase == Phase::Command,
            Compression::Unknown | Compression::Off => false,
        }
    }

    /// The connection is the inside of one on which the server had greeted.
    pub fn set_greeting(&mut self, greeting: Greeting) {
        self.greeting = Some(greeting);
    }

    /// Bytes that passed the socket. Each call is taken for the start of a socket operation.
    ///
    /// `offset` is the stream offset of `bytes[0]` in its direction. An offset ahead of what is
    /// due is a gap; bytes that were handed over before are ignored.
    pub fn handle_bytes(&mut self, from: Party, at: Stamp, offset: u64, bytes: &[u8]) {
        self.handle(from, Input { at, offset, gap: 0, unrecorded: false, bytes, starts: true });
    }

    /// `length` bytes that passed unseen. `tail` is the last of them, where known, and ends the
    /// socket operation.
    pub fn handle_gap(&mut self, from: Party, at: Stamp, offset: u64, length: u64, tail: &[u8]) {
        let known = usize::try_from(length).map_or(tail.len(), |length| length.min(tail.len()));
        let bytes = &tail[tail.len() - known..];
        let gap = length - known as u64;
        self.handle(from, Input { at, offset, gap, unrecorded: false, bytes, starts: false });
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

    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            dropped_events: self.exchanges.dropped_events,
            dropped_statements: self.statements.dropped,
            ..self.counters
        }
    }

    /// Whether the client has sent a command before the last was answered.
    #[must_use]
    pub fn is_pipelined(&self) -> bool {
        self.pipelines
    }

    /// Commands whose answers are not over.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.exchanges.len()
    }

    /// Bytes held back for want of the rest, and of remembered statements.
    #[must_use]
    pub fn buffered(&self) -> usize {
        let unpackers = match &self.compression {
            Compression::On(unpackers) => unpackers.iter().map(Unpacker::buffered).sum(),
            Compression::Unknown | Compression::Off | Compression::Agreed => 0,
        };
        self.client.buffered() + self.server.buffered() + self.statements.bytes() + unpackers
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
        let expected = &mut self.expected[index(from)];
        let end = input.offset.saturating_add(input.gap).saturating_add(input.bytes.len() as u64);
        if let Some(expected) = *expected {
            if end <= expected {
                return;
            }
            if input.offset > expected {
                input.gap = input.gap.saturating_add(input.offset - expected);
                input.unrecorded = true;
            } else {
                let known = expected - input.offset;
                let unseen = known.min(input.gap);
                input.gap -= unseen;
                let seen =
                    usize::try_from(known - unseen).unwrap_or(input.bytes.len()).min(input.bytes.len());
                input.bytes = &input.bytes[seen..];
                input.starts &= known == 0;
            }
            input.offset = expected;
        }
        *expected = Some(end);
        if matches!(self.compression, Compression::On(_)) {
            self.unpack(from, input);
        } else {
            self.read(from, input);
        }
        self.heard = from == Party::Server;
    }

    /// Reads what is inside of the compressed protocol.
    fn unpack(&mut self, party: Party, mut input: Input<'_>) {
        let Compression::On(unpackers) = &mut self.compression else { return };
        let mut unpacker = std::mem::take(&mut unpackers[index(party)]);
        while self.state == State::Open {
            let passed = input.gap.saturating_add(input.bytes.len() as u64);
            match unpacker.step(party, &mut input, self.limits.inflated) {
                Unpacked::More => {
                    if party == Party::Server && unpacker.is_lost() && passed > 0 {
                        self.blur();
                        self.pass(input.at, input.offset, passed);
                    }
                    break;
                }
                Unpacked::Bytes(bytes) => {
                    let length = bytes.len() as u64;
                    let bytes = bytes.to_vec();
                    let (offset, starts) = unpacker.position(length);
                    let at = input.at;
                    self.read(party, Input { at, offset, gap: 0, unrecorded: false, bytes: &bytes, starts });
                }
                Unpacked::Gap(gap) => {
                    let (offset, _) = unpacker.position(gap);
                    let (at, unrecorded) = (input.at, input.unrecorded);
                    self.read(party, Input { at, offset, gap, unrecorded, bytes: &[], starts: false });
                }
                Unpacked::Lost => self.lose(party),
                Unpacked::Invalid => self.invalid(party),
            }
        }
        if let Compression::On(unpackers) = &mut self.compression {
            unpackers[index(party)] = unpacker;
        }
    }

    fn read(&mut self, party: Party, mut input: Input<'_>) {
        let statement = self.limits.statement;
        while self.state == State::Open {
            let before = input.gap.saturating_add(input.bytes.len() as u64);
            let parser = match party {
                Party::Client => &mut self.client,
                Party::Server => &mut self.server,
            };
            let lost = parser.is_lost();
            match parser.step(&mut input, statement, &self.statements) {
                Step::More => {
                    if lost && party == Party::Server && before > 0 {
                        self.trail.clear();
                        self.pass(input.at, input.offset, before);
                    }
                    return;
                }
                Step::Header(header) => {
                    if !self.admit(party, &header) {
                        self.invalid(party);
                    }
                }
                Step::Packet(packet) => {
                    let plain = !matches!(self.compression, Compression::On(_));
                    match party {
                        Party::Client => self.command(&packet),
                        Party::Server => {
                            self.answer(&packet);
                            self.note_settled(packet.holes);
                        }
                    }
                    if plain && matches!(self.compression, Compression::On(_)) {
                        return self.unpack(party, input);
                    }
                }
                Step::Unseen => self.lose(party),
                Step::Invalid => self.invalid(party),
                Step::Hunt => {
                    if party == Party::Server {
                        let unseen = before - input.bytes.len() as u64;
                        if unseen > 0 {
                            self.trail.clear();
                            self.pass(input.at, input.offset, unseen);
                        }
                    }
                    let on = matches!(self.compression, Compression::On(_));
                    if !self.resume(party, &input) {
                        return;
                    }
                    if !on && matches!(self.compression, Compression::On(_)) {
                        return self.unpack(party, input);
                    }
                }
            }
        }
    }

    /// Whether the packet that begins is one that is due.
    fn admit(&mut self, party: Party, header: &Header) -> bool {
        let reading = match party {
            Party::Client => {
                self.turned = self.heard;
                self.due_of_client(header)
            }
            Party::Server => self.due_of_server(header),
        };
        if let Some(reading) = reading {
            self.parser(party).accept(header, reading);
            if let (Party::Server, Some(notes)) = (party, &mut self.notes) {
                let prepares =
                    self.exchanges.front().is_some_and(|unit| matches!(unit.kind, Kind::Prepare(_)));
                notes.packet(Noted { offset: header.extent.offset, reading, prepares });
            }
        }
        reading.is_some()
    }

    /// Where nothing is asked any more the last status is the session's.
    fn note_settled(&mut self, holes: bool) {
        if let Some(notes) =
            self.notes.as_mut().filter(|_| !holes && !self.unsure && self.exchanges.is_empty())
        {
            notes.settle(self.backslash);
        }
    }

    fn invalid(&mut self, party: Party) {
        self.counters.failures += 1;
        if self.counters.failures >= self.limits.failures {
            return self.stop(State::Failed);
        }
        self.lose(party);
    }

    /// Where packets begin is not known any more.
    fn lose(&mut self, party: Party) {
        self.parser(party).place_at(Place::Lost);
        match party {
            Party::Client => {
                // What was asked and prepared meanwhile is not known, nor whether it was answered.
                self.heard = false;
                self.statements.clear();
                self.last_prepared = None;
                self.exchanges.finish_all(Outcome::Lost, &self.limits);
                self.doubt();
            }
            Party::Server => {
                self.trail.clear();
                self.blur();
            }
        }
    }

    /// What is answered next is not known.
    fn doubt(&mut self) {
        self.unsure = true;
        self.quiet = false;
        self.asked = false;
        self.late_eof = false;
        if self.phase == Phase::Command && !self.server.is_closed() {
            self.server.place_at(Place::Lost);
        }
    }

    fn damage(&mut self) {
        if let Some(asked) = self.exchanges.asked() {
            asked.damaged = true;
        }
    }

    /// What the server says is not understood any more.
    fn blur(&mut self) {
        self.asked = false;
        if let Some(asked) = self.exchanges.asked() {
            asked.damaged = true;
            asked.uncounted = true;
        }
    }

    /// Bytes of an answer that cannot be read.
    fn pass(&mut self, at: Stamp, offset: u64, bytes: u64) {
        self.quiet &= bytes == 0;
        let extent = Extent { first: at, last: at, offset, wire_bytes: bytes };
        self.exchanges.touch(extent, &self.limits);
    }

    /// Looks for packets in bytes that cannot be placed. False when they are of no use.
    fn resume(&mut self, party: Party, input: &Input<'_>) -> bool {
        let bytes = input.bytes;
        match party {
            Party::Client => {
                let full = bytes.len() > HEADER || self.is_new();
                if input.starts && full && recognise::plausible_login(bytes) {
                    self.phase = Phase::Greeting;
                    self.client.place_at(Place::Boundary);
                    return true;
                }
                let agreed = matches!(self.compression, Compression::Agreed);
                if input.starts && !agreed && recognise::plausible_command(bytes) {
                    self.phase = Phase::Command;
                    self.client.place_at(Place::Boundary);
                    return true;
                }
                let unknown = matches!(self.compression, Compression::Unknown | Compression::Agreed);
                if unknown && input.starts && compress::could_be(party, bytes) {
                    self.phase = Phase::Command;
                    self.start_compression(false);
                    return true;
                }
                // It asked for something.
                if self.server.is_lost() {
                    self.exchanges.finish_all(Outcome::Lost, &self.limits);
                }
                self.unsure = true;
                self.quiet = false;
                false
            }
            Party::Server if input.starts && self.is_new() && recognise::plausible_greeting(bytes) => {
                self.phase = Phase::Greeting;
                self.client.place_at(Place::Boundary);
                self.server.place_at(Place::Boundary);
                true
            }
            Party::Server => {
                let due = match self.exchanges.front() {
                    Some(unit) if unit.awaiting == Awaiting::First => Some(unit.sequence),
                    Some(_) | None => None,
                };
                if let (true, true, false, Some(sequence)) = (input.starts, self.asked, self.unsure, due)
                    && plausible_answer(sequence, bytes)
                {
                    self.asked = false;
                    self.server.place_at(Place::Boundary);
                    return true;
                }
                self.blur();
                self.pass(input.at, input.offset, bytes.len() as u64);
                self.trail.extend_from_slice(&bytes[bytes.len().saturating_sub(Ending::LENGTH)..]);
                let old = self.trail.len().saturating_sub(Ending::LENGTH);
                self.trail.drain(..old);
                if let Some(ending) = Ending::parse(&self.trail) {
                    self.ended(ending);
                } else if self.unsure && input.starts && frame::is_lone_answer(bytes) {
                    self.quiet = true;
                }
                false
            }
        }
    }

    /// Nothing that was seen of the connection told anything.
    fn is_new(&self) -> bool {
        let unknown = self.capabilities.is_none() && matches!(self.compression, Compression::Unknown);
        unknown && self.client.is_lost() && self.exchanges.is_empty() && !self.unsure
    }

    /// A result ended, and how it got there was not seen.
    fn ended(&mut self, ending: Ending) {
        let more = ending.status & status::MORE_RESULTS != 0;
        if self.unsure || self.exchanges.len() != 1 {
            self.quiet = !more;
            if !self.exchanges.is_empty() {
                // Which of them it ends is not known.
                self.exchanges.finish_all(Outcome::Lost, &self.limits);
                self.unsure = true;
            } else {
                self.counters.orphan_responses += u64::from(!more);
            }
            return;
        }
        self.trail.clear();
        self.note_status(ending.status);
        self.server.place_at(Place::Boundary);
        if let Some(unit) = self.exchanges.front() {
            unit.sequence = Some(ending.sequence.wrapping_add(1));
            unit.awaiting = Awaiting::First;
        }
        if !more {
            self.exchanges.finish(Outcome::Complete, &self.limits);
            self.note_settled(false);
        }
    }

    fn note_status(&mut self, status: u16) {
        let literal = status & status::NO_BACKSLASH_ESCAPES != 0;
        self.backslash = if literal { Backslash::Literal } else { Backslash::Escapes };
    }

    /// From here on packets are inside of others; `boundary` where the next of those is at its beginning.
    fn start_compression(&mut self, boundary: bool) {
        self.compression = Compression::On(Box::new([Unpacker::new(boundary), Unpacker::new(boundary)]));
        if !boundary {
            self.client.place_at(Place::Lost);
            self.server.place_at(Place::Lost);
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
        self.last_prepared = None;
        self.compression = Compression::Unknown;
        self.trail = Vec::new();
    }

    /// A capability that both sides have; `None` where it is not known.
    fn can(&self, capability: u64) -> Option<bool> {
        self.capabilities.map(|both| both & capability != 0)
    }

    /// Takes over what the login says.
    fn agree(&mut self, client: u64) {
        // MariaDB's servers have none of MySQL's own capabilities, and the reverse.
        let server = self.greeting.map_or(u64::MAX, |greeting| greeting.capabilities);
        let both = client & server;
        self.mariadb |= both & capability::MARIADB_ONLY != 0 && both & capability::MYSQL_ONLY == 0;
        self.capabilities = Some(both);
        self.eof = Some(both & capability::DEPRECATE_EOF == 0);
        let compresses = both & (capability::COMPRESS | capability::ZSTD) != 0;
        self.compression = if compresses { Compression::Agreed } else { Compression::Off };
    }
}

fn index(party: Party) -> usize {
    match party {
        Party::Client => 0,
        Party::Server => 1,
    }
}
