//! Two directions, and the requests that both tell of.

use super::{
    Counters, FastCgiEvent, Limits, State,
    exchange::Exchanges,
    frame::{Header, Kind},
    parser::{Parser, Place, Step},
};
use crate::{
    exchange::{CloseReason, Extent, Outcome, Party, Stamp},
    input::Input,
};

/// One connection that speaks FastCGI.
///
/// Each direction's bytes come in order. After every `handle_*` call, poll until there is no event
/// left.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    state: State,
    client: Parser,
    server: Parser,
    /// The begin record that is on its way.
    beginning: Extent,
    /// The protocol status of the end record that is on its way.
    status: u8,
    exchanges: Exchanges,
    counters: Counters,
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
        Self::with_place(limits, Place::Header)
    }

    fn with_place(limits: Limits, place: Place) -> Self {
        Self {
            limits,
            state: State::Open,
            client: Parser::new(Party::Client, place),
            server: Parser::new(Party::Server, place),
            beginning: Extent::default(),
            status: 0,
            exchanges: Exchanges::default(),
            counters: Counters::default(),
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
        self.handle(from, Input::unseen(at, offset, length, tail));
    }

    /// The party will send no more.
    pub fn handle_shutdown(&mut self, from: Party, at: Stamp) {
        match from {
            // The application answers what it was asked.
            Party::Client => self.client.close(),
            Party::Server => {
                self.end_at(at, CloseReason::Finished);
                self.server.close();
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
    pub fn poll_event(&mut self) -> Option<FastCgiEvent> {
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
            dropped_requests: self.exchanges.dropped_requests,
            ..self.counters
        }
    }

    /// Requests whose responses are not over.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.exchanges.len()
    }

    /// Bytes held back for want of the rest.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.exchanges.buffered()
    }

    fn end_at(&mut self, at: Stamp, reason: CloseReason) {
        if self.state == State::Open {
            let lost = self.server.is_lost();
            self.exchanges.abort_all(at, reason, lost, &self.limits);
        }
    }

    fn handle(&mut self, from: Party, mut input: Input<'_>) {
        let parser = match from {
            Party::Client => &mut self.client,
            Party::Server => &mut self.server,
        };
        if self.state != State::Open || parser.is_closed() || !input.place(&mut parser.expected) {
            return;
        }
        while self.state == State::Open {
            let before = input.offset;
            let parser = match from {
                Party::Client => &mut self.client,
                Party::Server => &mut self.server,
            };
            let step = parser.step(&mut input);
            let wire_bytes = input.offset - before;
            let part = Extent { first: input.at, last: input.at, offset: before, wire_bytes };
            match (step, from) {
                (Step::More, _) => return,
                (Step::Passed, _) => self.exchanges.pass(from, part, &self.limits),
                (Step::Lost, _) => self.exchanges.lose(from, &self.limits),
                (Step::Invalid, _) => {
                    self.exchanges.lose(from, &self.limits);
                    self.fail();
                }
                (step, Party::Client) => self.asked(step, part),
                (step, Party::Server) => self.answered(step, part),
            }
        }
    }

    fn asked(&mut self, step: Step<'_>, part: Extent) {
        let Some((header, part)) = step.of_record(part) else { return };
        if header.kind == Kind::Begin {
            return self.begins(step, header, part);
        }
        let Some(asked) = self.exchanges.find(header.request) else { return };
        asked.ask(part);
        match (step, header.kind) {
            (Step::Content(_, bytes), Kind::Params) => {
                if let Some(params) = asked.params() {
                    params.read(bytes, &self.limits);
                }
            }
            (Step::Unseen(_), Kind::Params) => {
                if let Some(params) = asked.params() {
                    params.lose();
                }
            }
            (Step::Content(..) | Step::Unseen(_), Kind::Stdin) => asked.upload(part.wire_bytes),
            (Step::Ended(_), Kind::Params) if header.length == 0 => self.told(header.request),
            _ => {}
        }
    }

    /// The parameters of a request are over.
    fn told(&mut self, request: u16) {
        if !self.exchanges.announce(request, true, &self.limits) {
            self.fail();
        }
    }

    fn begins(&mut self, step: Step<'_>, header: Header, part: Extent) {
        if let Step::Record(..) = step {
            self.beginning = part;
            return;
        }
        self.beginning.last = part.last;
        self.beginning.wire_bytes += part.wire_bytes;
        if let Step::Ended(_) = step {
            if self.server.is_lost() && self.exchanges.len() == 0 {
                // What is sent from here on answers this.
                self.server.begin();
            }
            self.exchanges.open(header.request, self.beginning, &self.limits);
        }
    }

    fn answered(&mut self, step: Step<'_>, part: Extent) {
        let Some((header, part)) = step.of_record(part) else { return };
        if header.kind == Kind::Management {
            return;
        }
        self.exchanges.answer(header.request, part, &self.limits);
        if let Some(asked) = self.exchanges.find(header.request) {
            match (step, header.kind) {
                (Step::Content(_, bytes), Kind::Stdout) => asked.read(bytes),
                (Step::Unseen(_), Kind::Stdout) => asked.skip(part.wire_bytes),
                _ => {}
            }
        }
        match (step, header.kind) {
            (Step::Record(..), Kind::End) => self.status = 0,
            (Step::Body(_, [_, _, _, _, status, ..]), Kind::End) => self.status = status,
            (Step::Ended(_), Kind::End) => self.ended(header.request),
            _ => {}
        }
    }

    /// Section 5.5: a request that is not taken on is ended at once, with a status.
    fn ended(&mut self, request: u16) {
        let outcome = match self.status {
            0 => Outcome::Complete,
            status => Outcome::Reset { by: Party::Server, code: status.into() },
        };
        if !self.exchanges.finish(request, outcome, &self.limits) {
            self.counters.orphan_responses += 1;
        }
    }

    fn fail(&mut self) {
        self.counters.failures += 1;
        if self.counters.failures >= self.limits.failures {
            self.exchanges.finish_all(Outcome::Lost, &self.limits);
            self.state = State::Failed;
            self.release();
        }
    }

    fn release(&mut self) {
        self.client.close();
        self.server.close();
    }
}
