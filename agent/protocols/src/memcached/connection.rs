//! Two directions, and the exchanges between them.

use super::{
    Counters, Limits, MemcachedEvent, State,
    exchange::Exchanges,
    frame::{self, Command, Kind, Line},
    parser::{Parser, Place, Step},
};
use crate::{
    exchange::{CloseReason, Extent, Outcome, Party, Stamp},
    input::Input,
};

/// One connection that speaks Memcached's text protocol.
///
/// Each direction's bytes come in order. After every `handle_*` call, poll until there is no event
/// left.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    state: State,
    client: Parser,
    server: Parser,
    /// The command whose value is on its way, and whether its line was seen as a whole.
    storing: Option<(Command, bool)>,
    exchanges: Exchanges,
    counters: Counters,
    /// The value that is on its way ends an answer.
    last_value: bool,
    /// What the client asks behind what is outstanding may have an unknown number of answers before its own:
    /// nothing is followed until the server has answered and the client begins anew.
    unsure: bool,
    /// The server sent something since the client's last operation.
    spoke: bool,
    /// The last bytes of an answer that was lost sight of end like one.
    ended: bool,
    /// Several commands were sent without waiting.
    pipelined: bool,
}

impl Connection {
    /// A connection that may have been open for a while.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::with_place(limits, Place::Lost)
    }

    /// A connection that is seen from its first byte.
    #[must_use]
    pub fn opened(limits: Limits) -> Self {
        Self::with_place(limits, Place::Line)
    }

    fn with_place(limits: Limits, place: Place) -> Self {
        Self {
            limits,
            state: State::Open,
            client: Parser::new(place),
            server: Parser::new(place),
            storing: None,
            exchanges: Exchanges::default(),
            counters: Counters::default(),
            last_value: false,
            unsure: false,
            spoke: false,
            ended: false,
            pipelined: false,
        }
    }

    /// Bytes that passed the socket. Each call is taken for the start of a socket operation.
    ///
    /// `offset` is the stream offset of `bytes[0]` in its direction. An offset ahead of what is
    /// due is a gap; bytes that were handed over before are ignored.
    pub fn handle_bytes(&mut self, from: Party, at: Stamp, offset: u64, bytes: &[u8]) {
        self.handle(from, Input::seen(at, offset, bytes));
    }

    /// `length` bytes that passed unseen. `tail` is the last of them, where known, and ends the
    /// socket operation.
    pub fn handle_gap(&mut self, from: Party, at: Stamp, offset: u64, length: u64, tail: &[u8]) {
        let mut input = Input::unseen(at, offset, length, tail);
        let parser = match from {
            Party::Client => &self.client,
            Party::Server => &self.server,
        };
        input.starts = input.gap == 0 && parser.last() != at;
        self.handle(from, input);
    }

    /// The party will send no more.
    pub fn handle_shutdown(&mut self, from: Party, at: Stamp) {
        match from {
            Party::Client => self.client.place_at(Place::Closed),
            Party::Server => {
                self.end_at(at, CloseReason::Finished);
                self.server.place_at(Place::Closed);
            }
        }
    }

    /// The connection is over; everything open ends.
    pub fn handle_close(&mut self, at: Stamp, reason: CloseReason) {
        self.end_at(at, reason);
        self.state = State::Closed;
        self.release();
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<MemcachedEvent> {
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
            dropped_requests: self.counters.dropped_requests + self.exchanges.dropped_requests,
            ..self.counters
        }
    }

    /// Commands whose answers are not over.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.exchanges.len()
    }

    /// Bytes held back for want of the rest.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.client.buffered() + self.server.buffered()
    }

    /// Whether commands follow one another without waiting, so that every byte between them counts.
    #[must_use]
    pub fn is_pipelined(&self) -> bool {
        self.pipelined
    }

    fn end_at(&mut self, at: Stamp, reason: CloseReason) {
        if self.state != State::Open {
            return;
        }
        if self.server.is_lost() && self.ended && self.exchanges.is_single() {
            self.exchanges.finish(Outcome::Complete, &self.limits);
        }
        self.exchanges.abort_all(at, reason, &self.limits);
    }

    fn handle(&mut self, from: Party, mut input: Input<'_>) {
        let (closed, expected) = match from {
            Party::Client => (self.client.is_closed(), &mut self.client.expected),
            Party::Server => (self.server.is_closed(), &mut self.server.expected),
        };
        if self.state != State::Open || closed || !input.place(expected) {
            return;
        }
        match from {
            Party::Client => self.read_commands(input),
            Party::Server => self.read_answers(input),
        }
    }

    fn read_commands(&mut self, mut input: Input<'_>) {
        let operation = input.starts;
        let waiting = self.exchanges.len();
        if operation || input.gap > 0 {
            self.turn();
        }
        while self.state == State::Open {
            match self.client.step(&mut input) {
                Step::More => break,
                Step::Line(line) => match Command::parse(&line) {
                    Some(command) => self.asked(command, true),
                    // An empty line, and one that is no command, is answered with ERROR.
                    None => {
                        if self.fail() {
                            return;
                        }
                        self.lose_commands(&mut input, false);
                    }
                },
                Step::Cut(line) => match Command::parse_start(&line) {
                    Some(command) => self.asked(command, false),
                    None => self.lose_commands(&mut input, false),
                },
                Step::Data => {
                    if let Some((command, whole)) = self.storing.take() {
                        self.push(command, whole);
                    }
                }
                Step::Unseen => self.lose_commands(&mut input, operation),
                Step::Invalid => {
                    if self.fail() {
                        return;
                    }
                    self.lose_commands(&mut input, false);
                }
                Step::Hunt => {
                    if !input.starts || !frame::could_be_request(input.bytes) {
                        self.unsure = true;
                        break;
                    }
                    self.client.place_at(Place::Line);
                }
            }
        }
        self.pipelined |= self.exchanges.len() > waiting + 1;
    }

    /// The client begins to send. What it waited for, if it did, has come.
    fn turn(&mut self) {
        if !std::mem::take(&mut self.spoke) {
            return;
        }
        if self.server.is_lost() && self.exchanges.is_single() {
            let outcome = if self.ended { Outcome::Complete } else { Outcome::Lost };
            self.exchanges.finish(outcome, &self.limits);
        }
        if self.exchanges.is_empty() {
            self.unsure = false;
            if self.server.is_lost() {
                self.server.place_at(Place::Line);
            }
        }
    }

    /// Where commands begin is not known any more, nor how many there were.
    fn lose_commands(&mut self, input: &mut Input<'_>, operation: bool) {
        self.client.place_at(Place::Lost);
        self.unsure = true;
        self.pipelined = true;
        self.storing = None;
        let unseen = input.gap;
        input.pass(unseen);
        // Behind bytes of which no record came an operation may begin, behind a cut one none does.
        input.starts = operation;
    }

    fn asked(&mut self, command: Command, whole: bool) {
        match command.data {
            Some(length) => {
                self.client.expect_data(length);
                self.storing = Some((command, whole));
            }
            None => self.push(command, whole),
        }
    }

    fn push(&mut self, command: Command, whole: bool) {
        if command.verb.kind == Kind::Watch {
            return self.stop(State::Watching);
        }
        if self.server.is_lost() && self.exchanges.is_empty() && !self.unsure {
            // Joined in the middle: what the server sends from here on answers this.
            self.server.place_at(Place::Line);
        }
        if self.unsure {
            self.counters.dropped_requests += 1;
            return;
        }
        self.exchanges.push(command, self.client.extent(), !whole, &self.limits);
    }

    fn read_answers(&mut self, mut input: Input<'_>) {
        self.spoke = true;
        while self.state == State::Open {
            let unseen = input.gap;
            let lost = self.server.is_lost();
            match self.server.step(&mut input) {
                Step::More => {
                    if lost {
                        self.pass(input.at, input.offset, unseen);
                    }
                    if self.server.is_under_way() {
                        self.exchanges.touch(Extent { wire_bytes: 0, ..self.server.extent() }, &self.limits);
                    }
                    return;
                }
                Step::Line(line) => match Line::parse(&line) {
                    Some(parsed) => self.answered(parsed, &line),
                    None => {
                        if self.fail() {
                            return;
                        }
                        self.lose_answers();
                    }
                },
                Step::Data => {
                    self.exchanges.touch(self.server.extent(), &self.limits);
                    if std::mem::take(&mut self.last_value) {
                        self.exchanges.finish(Outcome::Complete, &self.limits);
                    }
                }
                Step::Cut(_) | Step::Unseen => {
                    let unseen = input.gap;
                    input.pass(unseen);
                    self.lose_answers();
                    self.pass(input.at, input.offset, unseen);
                }
                Step::Invalid => {
                    if self.fail() {
                        return;
                    }
                    self.lose_answers();
                }
                Step::Hunt => {
                    if lost {
                        self.pass(input.at, input.offset, unseen);
                    }
                    self.pass(input.at, input.offset, input.bytes.len() as u64);
                    self.ended = input.bytes.ends_with(b"\r\n");
                    return;
                }
            }
        }
    }

    fn answered(&mut self, line: Line, text: &[u8]) {
        let extent = self.server.extent();
        self.exchanges.settle(line, frame::identities(text), &self.limits);
        let data = match line {
            Line::Value(length) | Line::MetaValue(length) => Some(length),
            _ => None,
        };
        let Some(kind) = self.exchanges.front() else {
            let more = matches!(line, Line::Value(_) | Line::Stat);
            if !more {
                let known = self.exchanges.finish(Outcome::Complete, &self.limits);
                if !known && !self.unsure {
                    self.counters.orphan_responses += 1;
                    if self.client.is_under_way() {
                        // What is answered was whole: the rest of it passed unseen.
                        self.client.place_at(Place::Lost);
                        self.storing = None;
                        self.unsure = true;
                    }
                }
            }
            self.last_value = false;
            if let Some(length) = data {
                self.server.expect_data(length);
            }
            return;
        };
        if !line.answers(kind) {
            // It answers another command: one was missed, or asked before the connection was seen.
            self.exchanges.finish_all(Outcome::Lost, &self.limits);
            self.unsure = true;
            if let Some(length) = data {
                self.server.expect_data(length);
            }
            return;
        }
        if let Line::Error(code) = line {
            self.exchanges.fail(code);
        }
        if let Some(length) = data {
            // The line is counted with its value.
            self.last_value = kind == Kind::Meta;
            return self.server.expect_data(length);
        }
        self.exchanges.touch(extent, &self.limits);
        if line != Line::Stat {
            self.exchanges.finish(Outcome::Complete, &self.limits);
        }
    }

    /// Where lines begin is not known any more.
    fn lose_answers(&mut self) {
        self.server.place_at(Place::Lost);
        (self.ended, self.last_value) = (false, false);
        if self.exchanges.is_single() {
            return self.exchanges.damage();
        }
        self.exchanges.finish_all(Outcome::Lost, &self.limits);
        self.unsure = true;
    }

    /// Bytes of an answer that cannot be read.
    fn pass(&mut self, at: Stamp, offset: u64, bytes: u64) {
        if bytes > 0 {
            self.exchanges.touch(Extent { first: at, last: at, offset, wire_bytes: bytes }, &self.limits);
        }
    }

    /// True when there were too many.
    fn fail(&mut self) -> bool {
        self.counters.failures += 1;
        let many = self.counters.failures >= self.limits.failures;
        if many {
            self.stop(State::Failed);
        }
        many
    }

    fn stop(&mut self, state: State) {
        self.exchanges.finish_all(Outcome::Lost, &self.limits);
        self.state = state;
        self.release();
    }

    fn release(&mut self) {
        self.client.place_at(Place::Closed);
        self.server.place_at(Place::Closed);
        self.storing = None;
    }
}
