//! Two directions, and the streams between them.

use std::sync::Arc;

use super::{
    Counters, HttpEvent, Limits, Secrets, Shown, State,
    exchange::Exchanges,
    parser::{Block, Data, Input, Parser, Step},
    stream::{Answer, Asked, Message, Stream, Streams},
};
use crate::{
    exchange::{CloseReason, Exchange, Extent, Outcome, Party, Stamp},
    http::HttpDetail,
};

/// One connection that speaks HTTP/2.
///
/// Each direction's bytes come in order; a direction may be ahead of the other. After every
/// `handle_*` call, poll until there is no event left.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    state: State,
    client: Parser,
    server: Parser,
    streams: Streams,
    exchanges: Exchanges,
    counters: Counters,
    /// The highest number of a stream that the client opened.
    highest: u32,
    /// Streams were open at the same time, so a new one says nothing of those before.
    concurrent: bool,
    /// Some open stream is in doubt.
    doubts: bool,
    /// Operations of either side since the last frame that were none.
    noise: u32,
    /// The stream offsets at which each side's frames begin.
    starts: [u64; 2],
}

/// A stream in doubt that is silent for so long, while the server's frames are understood, is over.
const SILENCE_NANOSECONDS: u64 = 1_000_000_000;
/// So many operations without a frame are one failure. A connection that is joined within a large body has a window's
/// worth of them, and then the receiver's WINDOW_UPDATE.
const NOISE: u32 = 256;

impl Connection {
    /// A connection that may have been open for a while. A preface shows that it was not; else frames are
    /// looked for at the start of socket operations, and fields may be unknown.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::with_starts(limits, None, None)
    }

    /// A connection that is seen from its first byte, which has offset 0.
    #[must_use]
    pub fn opened(limits: Limits) -> Self {
        Self::opened_behind(limits, 0)
    }

    /// The same, where the client's first byte has offset `before`.
    #[must_use]
    pub fn opened_behind(limits: Limits, before: u64) -> Self {
        Self::with_starts(limits, Some(before), Some(0))
    }

    /// A connection that was upgraded from HTTP/1.1 (RFC 7540 section 3.2): `exchange` is that of
    /// [`crate::http1::Successor::Http2`], and stream 1 answers it.
    ///
    /// The exchange that is reported for stream 1 has the same id, and its request is not announced again.
    /// Bytes up to the end of the 101 are ignored when they are handed over again.
    #[must_use]
    pub fn upgraded(limits: Limits, exchange: &Exchange<HttpDetail>) -> Self {
        let end = |extent: &Extent| extent.offset + extent.wire_bytes;
        let client = end(&exchange.request);
        let mut connection =
            Self::with_starts(limits, Some(client), Some(exchange.response.as_ref().map_or(0, end)));
        // The client's first settings were in its HTTP2-Settings field.
        connection.server.allow_any();
        let asked = Asked { id: exchange.id, head: Arc::clone(&exchange.detail.request) };
        let mut request = Message::begun(exchange.request);
        request.payload = exchange.detail.request_body.unwrap_or_default();
        request.exact = exchange.detail.request_body.is_some();
        request.ended = true;
        let damaged = exchange.damaged;
        connection.streams.insert(1, Stream { asked: Some(asked), request, damaged, ..Stream::default() });
        connection.exchanges = Exchanges::from(exchange.id + 1);
        connection.highest = 1;
        connection
    }

    fn with_starts(limits: Limits, client: Option<u64>, server: Option<u64>) -> Self {
        Self {
            limits,
            state: State::Open,
            client: Parser::new(Party::Client, client, &limits),
            server: Parser::new(Party::Server, server, &limits),
            streams: Streams::default(),
            exchanges: Exchanges::default(),
            counters: Counters::default(),
            highest: 0,
            concurrent: false,
            doubts: false,
            noise: 0,
            starts: [client.unwrap_or(0), server.unwrap_or(0)],
        }
    }

    /// Says what of the bytes can be shown to anybody, without the `secrets` of header blocks; see [`Self::take_shown`].
    /// Only before anything was handed over.
    #[must_use]
    pub fn masking(mut self, secrets: Secrets) -> Self {
        self.client.mask(secrets);
        self.server.mask(secrets);
        self
    }

    /// Bytes in the place of those that were handed over, as they can be shown, since the last call. What is not among
    /// them from [`Self::start`] on was not understood, or its turn comes with later bytes ([`Self::is_holding`]).
    ///
    /// With any other bytes in the place of those that are never shown this is read as the same exchanges.
    pub fn take_shown(&mut self) -> Vec<Shown> {
        let mut shown = self.client.take_shown();
        shown.append(&mut self.server.take_shown());
        shown
    }

    /// The stream offset at which this side's frames begin; what is before it is of another protocol.
    #[must_use]
    pub fn start(&self, party: Party) -> u64 {
        self.starts[usize::from(party == Party::Server)]
    }

    /// Bytes of this side will be shown once later ones have come.
    #[must_use]
    pub fn is_holding(&self, party: Party) -> bool {
        match party {
            Party::Client => self.client.is_holding(),
            Party::Server => self.server.is_holding(),
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
        let starts = gap == 0 && self.parser(from).last != at;
        self.handle(from, Input { at, offset, gap, bytes, starts });
    }

    /// The party will send no more.
    pub fn handle_shutdown(&mut self, from: Party, at: Stamp) {
        if self.state != State::Open || self.parser(from).is_closed() {
            return;
        }
        if from == Party::Server {
            self.finish_all(at, CloseReason::Finished);
        }
        self.parser(from).close();
    }

    /// The connection is over; everything open ends.
    pub fn handle_close(&mut self, at: Stamp, reason: CloseReason) {
        if self.state == State::Open {
            self.finish_all(at, reason);
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

    /// Too much of it was not HTTP/2; nothing more comes of this connection.
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
        self.streams.len()
    }

    /// Bytes held back for want of the rest, and what the dynamic tables hold.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.client.buffered() + self.server.buffered() + self.streams.buffered()
    }

    /// Where a frame begins is known of this side, and it begins next; for [`crate::fuzz`].
    pub(crate) fn is_between_frames(&self, party: Party) -> bool {
        let parser = match party {
            Party::Client => &self.client,
            Party::Server => &self.server,
        };
        self.state == State::Open && parser.is_between_frames()
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
        let end = input.offset.saturating_add(input.gap).saturating_add(input.bytes.len() as u64);
        if let Some(expected) = self.parser(from).expected {
            if end <= expected {
                return;
            }
            if input.offset > expected {
                let gap = input.offset - expected;
                self.parser(from).expected = Some(input.offset);
                self.read(from, Input { offset: expected, gap, bytes: &[], starts: false, ..input });
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
        self.parser(from).expected = Some(end);
        self.read(from, input);
    }

    fn read(&mut self, party: Party, mut input: Input<'_>) {
        let limits = self.limits;
        while self.state == State::Open {
            let parser = match party {
                Party::Client => &mut self.client,
                Party::Server => &mut self.server,
            };
            let seen = !input.bytes.is_empty();
            let step = parser.step(&mut input, &self.streams, &limits);
            if parser.is_locked() {
                self.noise = 0;
            } else if seen && matches!(step, Step::Skipped(_)) {
                self.noise += 1;
                if self.noise >= NOISE {
                    self.noise = 0;
                    self.fail();
                }
            }
            match (step, party) {
                (Step::More, _) => return,
                (Step::Preface, _) => {
                    self.client.begin(&limits);
                    self.server.begin(&limits);
                }
                (Step::Block(block), Party::Client) => self.client_block(*block),
                (Step::Block(block), Party::Server) => self.server_block(&block),
                (Step::Data(data), Party::Client) => self.client_data(input.at, &data),
                (Step::Data(data), Party::Server) => self.server_data(input.at, input.offset, &data),
                (Step::Settings(settings), Party::Client) => self.server.allow(settings),
                (Step::Settings(settings), Party::Server) => self.client.allow(settings),
                (Step::Reset { stream, code }, _) => self.reset(party, input.at, input.offset, stream, code),
                (Step::GoAway { last }, Party::Server) => {
                    for number in self.streams.numbers(|number, _| number > last) {
                        self.finish(number, Outcome::Aborted(CloseReason::Finished));
                    }
                }
                (Step::GoAway { .. }, Party::Client) => {}
                (Step::Lost { broken }, _) => self.lose(party, input.at, broken),
                (Step::Skipped(bytes), _) => self.skip(party, input.at, bytes),
            }
        }
    }

    fn client_block(&mut self, block: Block) {
        if block.malformed {
            self.fail();
        }
        if self.state != State::Open || block.promised || block.stream.is_multiple_of(2) {
            return;
        }
        let number = block.stream;
        if number <= self.highest {
            if let Some(stream) = self.streams.asked(number) {
                stream.request.grow(block.extent.last, block.extent.wire_bytes);
                stream.request.ended |= block.ends_stream;
                stream.damaged |= !block.whole;
            }
            return;
        }
        self.highest = number;
        self.counters.orphan_responses += self.streams.drop_parked(number);
        // Trailers of a request that passed before anybody watched have no such fields.
        if block.fields.are_of_a_request() || block.fields.unknown || !block.whole {
            self.open(block);
        }
    }

    fn open(&mut self, block: Block) {
        let limits = self.limits;
        self.settle_doubts(block.extent.first);
        let parked = self.streams.unpark(block.stream);
        if self.streams.len() >= limits.streams || self.streams.held() >= limits.heads {
            self.counters.dropped_requests += 1;
            return;
        }
        let Block { stream: number, ends_stream, extent, fingerprint, fields, whole, .. } = block;
        let mut stream = parked.unwrap_or_default();
        let grpc = fields.grpc;
        let head = Arc::new(fields.into_head(number, fingerprint, whole));
        stream.request = Message::begun(extent);
        stream.request.ended = ends_stream;
        stream.damaged |= head.truncated;
        stream.grpc |= grpc;
        if let Some(response) = &stream.response {
            // Its record came late; it cannot have been sent after its answer.
            let first = &mut stream.request.extent.first.time;
            *first = (*first).min(response.extent.first.time);
        }
        let id = self.exchanges.open(&head, stream.request.extent, &limits);
        stream.asked = Some(Asked { id, head });
        if let Some(response) = stream.response.as_ref().filter(|_| stream.head != Answer::Due) {
            self.exchanges.answer(id, response.extent.first, &limits);
        }
        let over = stream.over;
        self.concurrent |= !self.streams.is_empty() && !self.doubts && over.is_none();
        self.streams.insert(number, stream);
        if let Some(outcome) = over {
            self.finish(number, outcome);
        }
    }

    fn client_data(&mut self, at: Stamp, data: &Data<'_>) {
        if let Some(stream) = self.streams.asked(data.stream) {
            stream.request.read(at, data);
        }
    }

    fn server_block(&mut self, block: &Block) {
        if block.malformed {
            self.fail();
        }
        // Pushed responses (even numbers) answer nothing that was asked.
        if self.state != State::Open || block.promised || block.stream.is_multiple_of(2) {
            return;
        }
        let number = block.stream;
        if matches!(block.fields.status, Some(100..200)) && !block.ends_stream {
            return;
        }
        let Some(stream) = self.answering(number) else { return };
        match &mut stream.response {
            None => {
                let response = stream.response.insert(Message::begun(block.extent));
                if block.fields.status.is_some() {
                    // It begins here: what was lost before was no part of it.
                    stream.doubtful = None;
                } else if stream.doubtful.is_some() || !block.fields.unknown {
                    // Trailers: what they end was not seen.
                    response.lose();
                }
            }
            Some(response) => response.grow(block.extent.last, block.extent.wire_bytes),
        }
        let due = stream.head == Answer::Due;
        match (stream.head, block.fields.status) {
            (Answer::Due | Answer::Unknown, Some(status)) => stream.head = Answer::Status(status),
            // Trailers; the head passed unseen.
            (Answer::Due, None) => stream.head = Answer::Unknown,
            (Answer::Unknown, None) | (Answer::Status(_), _) => {}
        }
        stream.damaged |= stream.head == Answer::Unknown;
        stream.absorb(block);
        let id = stream.asked.as_ref().map(|asked| asked.id);
        let connected = matches!(stream.head, Answer::Status(200..300))
            && stream.asked.as_ref().is_some_and(|asked| &*asked.head.method == "CONNECT");
        if let Some(id) = id.filter(|_| due) {
            self.exchanges.answer(id, block.extent.first, &self.limits);
        }
        if connected {
            self.finish(number, Outcome::Upgraded);
        } else if block.ends_stream {
            self.finish(number, Outcome::Complete);
        }
    }

    fn server_data(&mut self, at: Stamp, end: u64, data: &Data<'_>) {
        if data.stream.is_multiple_of(2) {
            return;
        }
        let Some(stream) = self.answering(data.stream) else { return };
        if stream.response.is_none() {
            let extent = Extent { first: at, last: at, offset: end.saturating_sub(data.wire), wire_bytes: 0 };
            let response = stream.response.insert(Message::begun(extent));
            response.lose();
            stream.damaged = true;
        }
        if let Some(response) = &mut stream.response {
            response.read(at, data);
        }
        if data.ends_stream {
            self.finish(data.stream, Outcome::Complete);
        }
    }

    /// The stream that the server sends on, if its request was seen or may yet come.
    fn answering(&mut self, number: u32) -> Option<&mut Stream> {
        let ahead = number > self.highest;
        let room = self.streams.parked() < self.limits.parked;
        self.streams.answering(number, ahead && room).filter(|stream| stream.over.is_none())
    }

    fn reset(&mut self, by: Party, at: Stamp, end: u64, number: u32, code: u32) {
        const WIRE: u64 = 13;
        let Some(stream) = self.streams.asked(number) else { return };
        let message = match by {
            Party::Client => &mut stream.request,
            Party::Server => stream.response.get_or_insert_with(|| {
                let offset = end.saturating_sub(WIRE);
                Message::begun(Extent { first: at, last: at, offset, wire_bytes: 0 })
            }),
        };
        message.grow(at, WIRE);
        self.finish(number, Outcome::Reset { by, code });
    }

    /// Ends a stream's exchange, or lets a parked stream wait for its request.
    fn finish(&mut self, number: u32, outcome: Outcome) {
        if let Some(stream) = self.streams.remove(number) {
            self.exchanges.finish(&stream, outcome, None, &self.limits);
        } else if let Some(parked) = self.streams.answering(number, false) {
            parked.over = Some(outcome);
        }
    }

    fn lose(&mut self, party: Party, at: Stamp, broken: bool) {
        self.counters.lost_framing += 1;
        match party {
            Party::Client => {
                for (_, stream) in self.streams.iter_mut().filter(|(_, stream)| !stream.request.ended) {
                    stream.request.lose();
                }
            }
            Party::Server => self.doubt(at),
        }
        if broken {
            self.fail();
        }
    }

    /// Bytes of the server passed unread: any open stream may have ended in them.
    fn doubt(&mut self, at: Stamp) {
        for (_, stream) in self.streams.iter_mut() {
            stream.doubtful = Some(at);
            if let Some(response) = &mut stream.response {
                response.lose();
            }
            self.doubts = true;
        }
    }

    /// What passes while boundaries are lost belongs to the only stream that is open.
    fn skip(&mut self, party: Party, at: Stamp, bytes: u64) {
        if bytes == 0 {
            return;
        }
        if let Some(stream) = self.streams.only() {
            match (party, &mut stream.response) {
                (Party::Client, _) if !stream.request.ended => stream.request.grow(at, bytes),
                (Party::Server, Some(response)) => response.grow(at, bytes),
                (Party::Client | Party::Server, _) => {}
            }
        }
        if party == Party::Server {
            self.doubt(at);
        }
    }

    /// A new request at `now`: which of the streams in doubt are over?
    fn settle_doubts(&mut self, now: Stamp) {
        if !self.doubts {
            return;
        }
        // A client that had one request open at a time has its answer.
        let asks_in_turn = !self.concurrent;
        let locked = self.server.is_locked();
        let over = self.streams.numbers(|_, stream| {
            let last = stream.response.as_ref().map_or(0, |response| response.extent.last.time);
            stream.doubtful.is_some_and(|since| {
                let silent = now.time.saturating_sub(since.time.max(last)) > SILENCE_NANOSECONDS;
                asks_in_turn || locked && silent
            })
        });
        for number in over {
            self.finish(number, Outcome::Lost);
        }
        self.doubts = self.streams.iter_mut().any(|(_, stream)| stream.doubtful.is_some());
    }

    /// No more responses will come.
    fn finish_all(&mut self, at: Stamp, reason: CloseReason) {
        while let Some(stream) = self.streams.pop() {
            let lost = stream.doubtful.is_some() && reason == CloseReason::Finished;
            let (outcome, closed) =
                if lost { (Outcome::Lost, None) } else { (Outcome::Aborted(reason), Some(at)) };
            self.exchanges.finish(&stream, outcome, closed, &self.limits);
        }
    }

    fn fail(&mut self) {
        self.counters.failures += 1;
        if self.counters.failures >= self.limits.failures {
            while let Some(stream) = self.streams.pop() {
                self.exchanges.finish(&stream, Outcome::Lost, None, &self.limits);
            }
            self.state = State::Failed;
            self.release();
        }
    }

    fn release(&mut self) {
        self.client.close();
        self.server.close();
        self.counters.orphan_responses += self.streams.drop_parked(u32::MAX);
    }
}
