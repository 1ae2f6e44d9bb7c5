//! Two directions, and the exchanges between them.

use std::sync::Arc;

use super::{
    Counters, HttpEvent, Limits, State, Successor,
    chunked::Chunked,
    exchange::{Answer, Asked, Doubt, Exchanges},
    frame::{self, Coding, Declared, Head, Length, Start, Upgrades},
    parked::{Item, Parked, raced},
    parser::{Body, Fault, Input, Parser, Step},
};
use crate::{
    exchange::{CloseReason, Outcome, Party, Stamp},
    http::{RequestHead, ResponseHead, Version},
};

/// One connection that speaks HTTP/1.x.
///
/// Each direction's bytes come in order; a direction may be ahead of the other. After every
/// `handle_*` call, poll until there is no event left.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    state: State,
    client: Parser,
    server: Parser,
    exchanges: Exchanges,
    parked: Parked,
    counters: Counters,
    /// The exchange whose request is on its way.
    sending: Option<u64>,
    /// The response on its way is a 1xx.
    interim: bool,
    missed: Missed,
    /// More were outstanding than are followed: nothing is followed until all known are answered.
    saturated: bool,
    /// When a response without a request last passed.
    orphan: Option<Stamp>,
    successor: Option<Successor>,
}

/// Whether requests may have been missed since pairing was last sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missed {
    Nothing,
    /// And nothing was seen that could be their answer.
    Waiting,
    /// And the server has sent something since.
    Answered,
}

impl Connection {
    /// A connection that may have been open for a while: messages are looked for at the start of
    /// socket operations, and what is in flight is left out.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::with_boundaries(limits, false)
    }

    /// A connection that is seen from its first byte, which has offset 0. Only then can a first response that was
    /// recorded before its request be told from the answer to an unseen one.
    #[must_use]
    pub fn opened(limits: Limits) -> Self {
        Self::with_boundaries(limits, true)
    }

    /// The same, where the client's first byte has offset `before`.
    #[must_use]
    pub fn opened_behind(limits: Limits, before: u64) -> Self {
        let mut connection = Self::opened(limits);
        connection.client.expected = Some(before);
        connection
    }

    fn with_boundaries(limits: Limits, known: bool) -> Self {
        Self {
            limits,
            state: State::Open,
            client: Parser::new(Party::Client, known),
            server: Parser::new(Party::Server, known),
            exchanges: Exchanges::default(),
            parked: Parked::default(),
            counters: Counters::default(),
            sending: None,
            interim: false,
            missed: Missed::Nothing,
            saturated: false,
            orphan: None,
            successor: None,
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
        let starts = gap == 0 && self.parser(from).message.last != at;
        self.handle(from, Input { at, offset, gap, bytes, starts });
    }

    /// The party will send no more.
    pub fn handle_shutdown(&mut self, from: Party, at: Stamp) {
        if self.state != State::Open || self.parser(from).is_closed() {
            return;
        }
        match from {
            // An unfinished head may still be answered, with a 400 for example.
            Party::Client if self.client.in_head() => {}
            Party::Client => self.client.close(),
            Party::Server if self.parked.is_empty() => {
                self.end_responses(CloseReason::Finished, at);
                self.server.close();
            }
            Party::Server => self.parked.shutdown(at),
        }
    }

    /// The connection is over; everything open ends.
    pub fn handle_close(&mut self, at: Stamp, reason: CloseReason) {
        if self.state == State::Open {
            if !self.parked.is_empty() {
                self.surrender_request();
            }
            self.drop_parked();
            self.end_responses(reason, at);
        }
        self.state = State::Closed;
        self.release();
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<HttpEvent> {
        self.exchanges.poll_event()
    }

    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// What the connection went on with, where that is known; once.
    pub fn take_successor(&mut self) -> Option<Successor> {
        self.successor.take()
    }

    /// Too much of it was not HTTP; nothing more comes of this connection.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.state == State::Failed
    }

    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters { dropped_events: self.exchanges.dropped_events, ..self.counters }
    }

    /// Requests whose exchange is not over.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.exchanges.len()
    }

    /// Bytes held back for want of the rest.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.client.buffered() + self.server.buffered() + self.parked.buffered()
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
            if end <= expected && !(end == expected && input.offset == expected) {
                return;
            }
            if input.offset > expected {
                input.gap = input.gap.saturating_add(input.offset - expected);
                input.offset = expected;
            } else {
                let known = expected - input.offset;
                let unseen = known.min(input.gap);
                input.gap -= unseen;
                let seen =
                    usize::try_from(known - unseen).unwrap_or(input.bytes.len()).min(input.bytes.len());
                input.bytes = &input.bytes[seen..];
                input.starts &= seen == 0;
                input.offset = expected;
            }
        }
        parser.expected = Some(end);
        match from {
            Party::Client => {
                self.read(Party::Client, input);
                self.replay();
            }
            Party::Server => self.read(Party::Server, input),
        }
    }

    fn read(&mut self, party: Party, mut input: Input<'_>) {
        let limits = self.limits;
        while self.state == State::Open {
            if party == Party::Server && self.nobody_asked(&mut input) {
                return;
            }
            if party == Party::Client && self.asks_again(&input) {
                self.request_grew();
                self.sending = None;
                self.client.reset();
            }
            match self.parser(party).step(&mut input, &limits) {
                Step::More => return,
                Step::End => match party {
                    Party::Client => self.request_ended(),
                    Party::Server => self.response_ended(),
                },
                Step::Head(Head { start: Start::Request(request), declared, expects, upgrades, whole }) => {
                    let body = request_body(&request, declared, whole);
                    self.request_began(request, expects, upgrades);
                    self.client.begin_body(body);
                    if self.client.end_is_unknown() {
                        self.missed = Missed::Waiting;
                    }
                }
                Step::Head(Head { start: Start::Response(response), declared, whole, .. }) => {
                    self.response_began(response, declared, whole);
                }
                Step::Fault(fault) => match party {
                    Party::Client => self.request_fault(fault),
                    Party::Server => self.response_fault(fault),
                },
            }
        }
    }

    fn request_began(&mut self, request: Arc<RequestHead>, expects: bool, upgrades: Upgrades) {
        // A client that asks again has the whole of the answer it was waiting for.
        if self.server.end_is_unknown() {
            self.interim = false;
            self.finish_front(Outcome::Lost);
            self.server.reset();
        }
        if self
            .exchanges
            .front()
            .is_some_and(|front| front.asked.doubt == Doubt::Raced && front.response.is_none())
        {
            self.exchanges.finish(Outcome::Lost, Answer::default(), &self.limits);
        }
        self.client.lock();
        self.saturated |= self.exchanges.len() >= self.limits.outstanding;
        if self.saturated {
            self.counters.dropped_requests += 1;
            self.sending = None;
            return;
        }
        let mut extent = self.client.message;
        let doubt = if self.missed != Missed::Nothing {
            Doubt::Missed
        } else if self.orphan.is_some_and(|orphan| raced(orphan.time, extent.first.time)) {
            Doubt::Raced
        } else {
            Doubt::None
        };
        // A client that waits for answers would not have asked before the missed request's came.
        let behind = self.missed == Missed::Waiting;
        self.orphan = None;
        if self.exchanges.is_empty() && !self.parked.is_empty() {
            if self.parked.may_answer(extent.first.time) {
                // Its record came late; it cannot have been sent after its answer.
                let since = self.parked.since().map_or(u64::MAX, |since| since.time);
                extent.first.time = extent.first.time.min(since);
            } else {
                self.drop_parked();
            }
        }
        let asked = Asked { expects, upgrades, doubt, pipelined: behind };
        self.sending = Some(self.exchanges.open(request, extent, asked, &self.limits));
    }

    /// Whether the client goes on to another request while the end of the last one was lost. Its
    /// answer must have begun: until then a body may hold anything, requests too.
    fn asks_again(&self, input: &Input<'_>) -> bool {
        self.client.end_is_unknown()
            && self.server.body().is_some()
            && input.starts
            && input.gap == 0
            && frame::starts_with_known_method(input.bytes)
            && frame::looks_like_request(input.bytes) == Some(true)
    }

    fn request_ended(&mut self) {
        let (extent, payload, framed) = (self.client.message, self.client.payload, self.client.framed);
        let Some(request) = self.sending.take().and_then(|id| self.exchanges.find(id)) else { return };
        request.request.last = extent.last;
        request.request.wire_bytes = extent.wire_bytes;
        request.request_body = framed.then_some(payload);
    }

    /// Brings the request on its way up to what was seen of it.
    fn request_grew(&mut self) {
        let extent = self.client.message;
        if let Some(request) = self.sending.and_then(|id| self.exchanges.find(id)) {
            request.request.last = extent.last;
            request.request.wire_bytes = extent.wire_bytes;
        }
    }

    fn request_fault(&mut self, fault: Fault) {
        match fault {
            Fault::Unseen => {
                self.drop_parked();
                self.miss_request();
            }
            Fault::NoMessage => {
                if self.client.is_locked() {
                    self.miss_request();
                    self.fail();
                }
            }
            Fault::FramingUnseen | Fault::FramingBroken => {
                if let Some(request) = self.sending.and_then(|id| self.exchanges.find(id)) {
                    request.damaged = true;
                }
                self.missed = Missed::Waiting;
                if fault == Fault::FramingBroken {
                    self.fail();
                }
            }
        }
    }

    fn miss_request(&mut self) {
        self.missed = if self.orphan.is_some() { Missed::Answered } else { Missed::Waiting };
        self.client.unlock();
    }

    /// Takes the input of a server that answers nothing that was seen.
    fn nobody_asked(&mut self, input: &mut Input<'_>) -> bool {
        if !self.server.is_idle() || !self.exchanges.is_empty() {
            return !self.parked.is_empty() && self.park(input);
        }
        if input.gap == 0 && input.bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            return true;
        }
        let response = input.gap == 0 && frame::plausible(Party::Server, input.bytes);
        // It can only be ahead of its request if no other request was missed.
        let ahead = self.server.is_locked() && self.client.is_locked() && self.missed == Missed::Nothing;
        if ahead && (response || !self.parked.is_empty()) && self.park(input) {
            return true;
        }
        if self.server.is_locked() && !response && input.gap == 0 {
            self.fail();
        }
        if response && input.starts {
            self.counters.orphan_responses += 1;
        }
        if input.gap == 0 && frame::switches_protocols(input.bytes) {
            self.stop(State::Upgraded);
            return true;
        }
        self.orphan = Some(input.at);
        self.server.unlock();
        if self.missed == Missed::Waiting {
            self.missed = Missed::Answered;
        }
        true
    }

    fn park(&mut self, input: &Input<'_>) -> bool {
        if self.parked.push(input, self.limits.parked) {
            return true;
        }
        self.drop_parked();
        false
    }

    /// Reads what was parked, now that there may be a request to it.
    fn replay(&mut self) {
        if self.parked.is_empty() || self.exchanges.is_empty() {
            return;
        }
        for item in self.parked.take() {
            match item {
                Item::Data { at, offset, gap, bytes } => {
                    self.read(Party::Server, Input { at, offset, gap, bytes: &bytes, starts: true });
                }
                Item::Shutdown(at) => self.handle_shutdown(Party::Server, at),
            }
        }
    }

    /// Nobody asked for what was parked.
    fn drop_parked(&mut self) {
        if let Some(since) = self.parked.since() {
            self.counters.orphan_responses += 1;
            if self.parked.switches_protocols() {
                return self.stop(State::Upgraded);
            }
            self.orphan = Some(since);
            self.server.unlock();
            let shut = self.parked.take().iter().any(|item| matches!(item, Item::Shutdown(_)));
            if shut {
                self.server.close();
            }
        }
    }

    fn response_began(&mut self, response: ResponseHead, declared: Declared, whole: bool) {
        if response.status < 200 && response.status != 101 {
            self.interim = true;
            self.server.lock();
            if let Some(front) = self.exchanges.front() {
                front.asked.expects = false;
            }
            self.server.begin_body(Body::EMPTY);
            if self.server.end_is_unknown() {
                // The final response may begin in the same unseen bytes.
                self.server.begin_unknown();
                self.response_lost();
            }
            return;
        }
        let Some(front) = self.exchanges.front() else { return self.server.reset() };
        if front.asked.doubt == Doubt::Missed && front.asked.pipelined {
            // Which of the requests this answers cannot be told.
            self.exchanges.finish_all(Outcome::Lost, None, &self.limits);
            self.missed = Missed::Answered;
            return self.server.reset();
        }
        if front.asked.doubt == Doubt::Missed {
            self.missed = Missed::Nothing;
        }
        let method = &*front.head.method;
        let upgraded = response.status == 101 || method == "CONNECT" && response.status < 300;
        let upgrades = front.asked.upgrades;
        if response.status == 101 && upgrades == Upgrades::Http2 && whole {
            return self.hand_over();
        }
        let body = response_body(method == "HEAD", response, declared, whole);
        self.server.lock();
        self.exchanges.answer(response, self.server.message.first, whole, &self.limits);
        if upgraded {
            self.finish_front(Outcome::Upgraded);
            self.stop(State::Upgraded);
            self.successor = (upgrades == Upgrades::Tunnel).then_some(Successor::Tunnel);
            return;
        }
        self.server.begin_body(body);
        if self.server.end_is_unknown() || matches!(body, Body::Lost { .. }) {
            self.response_lost();
        }
    }

    /// The answer will come in HTTP/2.
    fn hand_over(&mut self) {
        self.request_grew();
        let answer = Answer { extent: Some(self.server.message), ..Answer::default() };
        let exchange = self.exchanges.hand_over(answer);
        self.stop(State::Upgraded);
        self.successor = exchange.map(|exchange| Successor::Http2(Box::new(exchange)));
    }

    fn response_ended(&mut self) {
        if std::mem::take(&mut self.interim) {
            return;
        }
        self.finish_front(Outcome::Complete);
    }

    fn response_fault(&mut self, fault: Fault) {
        if matches!(fault, Fault::FramingBroken) || fault == Fault::NoMessage && self.server.is_locked() {
            self.fail();
        }
        if self.state != State::Open {
            return;
        }
        match fault {
            Fault::Unseen | Fault::NoMessage => self.server.begin_unknown(),
            Fault::FramingUnseen | Fault::FramingBroken => {}
        }
        self.response_lost();
    }

    /// The end of the response on its way cannot be computed, nor what comes behind it.
    fn response_lost(&mut self) {
        self.interim = false;
        let Some(front) = self.exchanges.front() else { return };
        front.damaged = true;
        if front.asked.upgrades != Upgrades::No && front.response.is_none() {
            // It may have been the last of HTTP here, and nothing that follows could be believed.
            self.finish_front(Outcome::Lost);
            return self.stop(State::Upgraded);
        }
        if self.exchanges.lose_behind_front(&self.limits) {
            self.missed = Missed::Waiting;
        }
    }

    /// Ends the exchange whose response is on its way.
    fn finish_front(&mut self, outcome: Outcome) {
        self.finish_front_at(outcome, None);
    }

    /// The same; `closed` where the connection's end ends it.
    fn finish_front_at(&mut self, outcome: Outcome, closed: Option<Stamp>) {
        self.request_grew();
        let ended = matches!(outcome, Outcome::Complete | Outcome::Upgraded);
        let body = (ended && self.server.framed).then_some(self.server.payload);
        let answer = Answer { extent: Some(self.server.message), body, closed };
        let Some(front) = self.exchanges.finish(outcome, answer, &self.limits) else { return };
        if self.sending == Some(front.id) {
            // The answer came before the request's end. What the client sends next may be the rest,
            // or, where the body's end is not known or it was never asked for, the next request.
            let resumes = match self.client.body() {
                _ if self.client.end_is_unknown() => true,
                Some(Body::Tunnel) => true,
                Some(_) => front.asked.expects && self.client.payload == 0,
                None => false,
            };
            if resumes {
                let locked = self.client.body() == Some(Body::Tunnel) && self.client.payload == 0;
                self.sending = None;
                if locked { self.client.skip_body() } else { self.client.reset() }
            }
        }
        if self.missed == Missed::Waiting && self.exchanges.is_empty() {
            self.missed = Missed::Answered;
        }
        if self.saturated && self.exchanges.is_empty() {
            self.saturated = false;
            self.missed = Missed::Waiting;
            self.server.unlock();
        }
    }

    /// An unfinished request head counts as a request when the other side answers or the end comes.
    fn surrender_request(&mut self) {
        if let Some(Head { start: Start::Request(request), declared, expects, upgrades, whole }) =
            self.client.surrender_head(&self.limits)
        {
            let body = request_body(&request, declared, whole);
            self.request_began(request, expects, upgrades);
            self.client.begin_body(body);
            self.replay();
        }
    }

    /// No more responses will come.
    fn end_responses(&mut self, reason: CloseReason, at: Stamp) {
        if let Some(Head { start: Start::Response(response), declared, whole, .. }) =
            self.server.surrender_head(&self.limits)
        {
            self.response_began(response, declared, whole);
            if self.state == State::Open && !self.exchanges.is_empty() && !self.interim {
                self.finish_front_at(Outcome::Aborted(reason), Some(at));
            }
        } else if !self.interim && !self.server.is_idle() && !self.server.is_closed() {
            let outcome = match (self.server.body(), reason) {
                (Some(Body::UntilClose), CloseReason::Finished) => Outcome::Complete,
                (Some(Body::Lost { .. }), CloseReason::Finished) => Outcome::Lost,
                (None | Some(_), _) => Outcome::Aborted(reason),
            };
            self.finish_front_at(outcome, Some(at));
        }
        self.request_grew();
        self.exchanges.finish_all(Outcome::Aborted(reason), Some(at), &self.limits);
    }

    fn fail(&mut self) {
        self.counters.failures += 1;
        if self.counters.failures >= self.limits.failures {
            self.stop(State::Failed);
        }
    }

    fn stop(&mut self, state: State) {
        self.request_grew();
        self.exchanges.finish_all(Outcome::Lost, None, &self.limits);
        self.state = state;
        self.release();
    }

    fn release(&mut self) {
        self.client.close();
        self.server.close();
        self.parked = Parked::default();
    }
}

/// RFC 9112 section 6.3, for requests.
fn request_body(request: &RequestHead, declared: Declared, whole: bool) -> Body {
    match declared {
        _ if &*request.method == "CONNECT" => Body::Tunnel,
        Declared { coding: Coding::Chunked, .. } if request.version == Version::Http11 => {
            Body::Chunked(Chunked::START)
        }
        Declared { coding: Coding::Chunked, .. } => Body::Lost { chunked: true },
        Declared { coding: Coding::Other, .. } | Declared { length: Length::Invalid, .. } => {
            Body::Lost { chunked: false }
        }
        Declared { length: Length::Bytes(length), .. } => Body::Length(length),
        Declared { length: Length::Absent, .. } => {
            let bodiless = matches!(&*request.method, "GET" | "HEAD" | "DELETE" | "OPTIONS" | "TRACE");
            if whole || bodiless { Body::EMPTY } else { Body::Lost { chunked: false } }
        }
    }
}

/// RFC 9112 section 6.3, for responses.
fn response_body(to_head: bool, response: ResponseHead, declared: Declared, whole: bool) -> Body {
    match declared {
        _ if to_head || matches!(response.status, 204 | 304) => Body::EMPTY,
        Declared { coding: Coding::Chunked, .. } if response.version == Version::Http11 => {
            Body::Chunked(Chunked::START)
        }
        // Section 6.1: the coding means nothing in HTTP/1.0, and the framing is faulty.
        Declared { coding: Coding::Chunked, .. } => Body::Lost { chunked: true },
        Declared { coding: Coding::Other, .. } => Body::UntilClose,
        Declared { length: Length::Invalid, .. } => Body::Lost { chunked: false },
        Declared { length: Length::Bytes(length), .. } => Body::Length(length),
        Declared { length: Length::Absent, .. } if whole => Body::UntilClose,
        Declared { length: Length::Absent, .. } => Body::Lost { chunked: false },
    }
}
