//! One TCP connection: its two streams in the order in which its ends can have seen them.
//!
//! A segment says what its sender had read of the other direction. It passes after that, so a request passes before
//! its response also where the capture has the two the other way round. What was acknowledged and is not there will
//! not be sent again: after a short patience with the capture it is a gap. What was not acknowledged may be.

use std::net::SocketAddr;

use honeyguide_protocols::{Actor, Stamp, detect::Direction};

use super::{
    counters::Counters,
    reset::Reset,
    segment::Segment,
    stream::{Added, Piece, Stream},
};
use crate::{
    decode::{ConnectionRecord, DataRecord, Record, StateChange, StateRecord},
    flow::Endpoints,
};

/// Takes a record; false when the connection is of no interest any more.
pub(super) type Sink<'a> = dyn FnMut(Record<'_>) -> bool + 'a;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: u64,
    pub(super) last_active: u64,
    /// When to stop waiting for what is missing.
    pub(super) due: Option<u64>,
    pub(super) closed: bool,
    /// The connection was seen from its first byte.
    pub(super) opened: bool,
    /// Something was told of it.
    pub(super) described: bool,
    /// The end that did not open the connection; where the opening was not seen, the one that was spoken to first.
    server: SocketAddr,
    client: SocketAddr,
    /// By direction: what the server sent, what it received.
    streams: [Stream; 2],
    /// Nobody reads its bytes.
    ignored: bool,
    /// Since when something is missing, and where the streams were then.
    waiting: Option<(u64, [u64; 2])>,
    /// What closed it, if it was a reset.
    reset: Option<Reset>,
}

/// How long a capture may show a byte later than the other end's word that it has it.
const CAPTURE_PATIENCE: u64 = 10_000_000;
/// How long an end may take to send again what did not arrive: several attempts.
const PATIENCE: u64 = 10_000_000_000;
/// After this a closed connection's addresses and ports may stand for another.
const QUIET: u64 = 60_000_000_000;

impl Connection {
    /// `before`: the one of the same addresses and ports that is over.
    pub(super) fn new(socket: u64, segment: &Segment<'_>, before: Option<&Self>) -> Self {
        let client_speaks = !segment.syn || segment.acknowledgement.is_none();
        let (client, server) = match before {
            Some(before) if !segment.syn => (before.client, before.server),
            _ if client_speaks => (segment.source, segment.destination),
            _ => (segment.destination, segment.source),
        };
        Self {
            socket,
            last_active: segment.time,
            due: None,
            closed: false,
            server,
            client,
            streams: [Stream::default(), Stream::default()],
            opened: segment.syn,
            described: false,
            ignored: false,
            waiting: None,
            reset: None,
        }
    }

    /// Whether `segment` belongs to a later connection of the same addresses and ports.
    pub(super) fn is_succeeded_by(&self, segment: &Segment<'_>) -> bool {
        let own = &self.streams[self.direction(segment) as usize];
        if segment.syn {
            return self.closed || !self.opened || own.contradicts(segment.sequence.wrapping_add(1));
        }
        let far = || own.place(segment.sequence).is_none();
        let later = segment.time > self.last_active.saturating_add(QUIET);
        self.closed && (segment.length > 0 && (later || far()) || self.is_belied_by(segment))
    }

    /// The reset that closed it, if `segment` shows that it goes on all the same.
    pub(super) fn take_belied(&mut self, segment: &Segment<'_>) -> Option<Reset> {
        let belied = self.is_belied_by(segment);
        self.reset.take().filter(|_| belied)
    }

    /// It goes on behind what was no reset.
    pub(super) fn go_on(&mut self, reset: Reset, counters: &mut Counters, sink: &mut Sink<'_>) {
        self.streams[reset.by as usize].begin(reset.sequence);
        for kept in reset.into_behind() {
            let segment = kept.segment();
            counters.stray -= u64::from(segment.length > 0);
            self.handle(&segment, counters, sink);
        }
    }

    fn is_belied_by(&self, segment: &Segment<'_>) -> bool {
        let Some(reset) = self.reset.as_ref().filter(|_| !segment.reset && !segment.syn) else {
            return false;
        };
        reset.by != self.direction(segment)
            && (segment.acknowledgement)
                .and_then(|sequence| self.streams[reset.by as usize].place(sequence))
                .is_some_and(|offset| reset.is_belied_by(offset))
    }

    pub(super) fn handle(&mut self, segment: &Segment<'_>, counters: &mut Counters, sink: &mut Sink<'_>) {
        if self.closed {
            self.handle_late(segment, counters);
            return;
        }
        self.last_active = self.last_active.max(segment.time);
        let direction = self.direction(segment);
        if segment.syn {
            self.streams[direction as usize].begin(segment.sequence.wrapping_add(1));
        }
        if segment.reset {
            self.reset(direction, segment, counters, sink);
            return;
        }
        let other = &mut self.streams[direction.opposite() as usize];
        let after = segment.acknowledgement.map_or(0, |sequence| other.acknowledge(sequence));
        if segment.length > 0 || segment.fin {
            self.add(direction, segment, after, counters, sink);
        }
        if self.streams.iter().any(|stream| !stream.is_drained()) {
            self.advance(counters, sink);
        }
        self.settle(sink);
    }

    /// Time has passed beyond `due`: gaps are gaps.
    pub(super) fn expire(&mut self, now: u64, counters: &mut Counters, sink: &mut Sink<'_>) {
        if self.closed {
            return self.believe_reset();
        }
        let all = self.waiting.is_none_or(|(since, _)| now >= since.saturating_add(PATIENCE));
        self.give_up(all, counters, sink);
        self.settle(sink);
    }

    /// Nothing is waited for any more: all that is held passes.
    pub(super) fn flush(&mut self, counters: &mut Counters, sink: &mut Sink<'_>) {
        if self.closed {
            return self.believe_reset();
        }
        self.give_up(true, counters, sink);
        self.settle(sink);
    }

    /// The connection is over, whatever its ends think.
    pub(super) fn close(&mut self, change: StateChange, counters: &mut Counters, sink: &mut Sink<'_>) {
        if self.closed {
            return self.believe_reset();
        }
        self.give_up(true, counters, sink);
        (self.closed, self.due, self.waiting) = (true, None, None);
        self.streams.iter_mut().for_each(|stream| stream.forget(0));
        if self.described {
            sink(Record::State(StateRecord { socket: self.socket, time: self.last_active, change }));
        }
    }

    /// What is sent again after the end is nothing new.
    fn handle_late(&mut self, segment: &Segment<'_>, counters: &mut Counters) {
        let direction = self.direction(segment);
        let own = &self.streams[direction as usize];
        let place = own.place(segment.sequence);
        let end = place.map(|offset| offset + segment.length.cast_signed());
        if end.is_some_and(|end| end <= own.next.cast_signed()) {
            counters.repeated += segment.length;
        } else {
            counters.stray += u64::from(segment.length > 0);
        }
        if let (Some(reset), Some(offset)) = (&mut self.reset, place)
            && reset.by == direction
        {
            reset.keep(segment, offset);
            self.due = (reset.weight() > 0).then(|| segment.time.saturating_add(PATIENCE));
        }
    }

    /// Nobody has shown that it was none.
    fn believe_reset(&mut self) {
        (self.reset, self.due) = (None, None);
    }

    /// Bytes that are held, with what they cost.
    pub(super) fn weight(&self) -> usize {
        let behind = self.reset.as_ref().map_or(0, Reset::weight);
        behind + self.streams.iter().map(Stream::weight).sum::<usize>()
    }

    fn direction(&self, segment: &Segment<'_>) -> Direction {
        if segment.source == self.server { Direction::Sent } else { Direction::Received }
    }

    fn reset(
        &mut self,
        direction: Direction,
        segment: &Segment<'_>,
        counters: &mut Counters,
        sink: &mut Sink<'_>,
    ) {
        let own = &self.streams[direction as usize];
        // One that its receiver would not believe either.
        if self.described && own.contradicts(segment.sequence) && own.place(segment.sequence).is_none() {
            counters.stray += 1;
            return;
        }
        let change = match direction {
            Direction::Sent => StateChange::Abandoned,
            Direction::Received => StateChange::Failed(libc::ECONNRESET),
        };
        self.close(change, counters, sink);
        let own = &self.streams[direction as usize];
        self.reset = own
            .place(segment.sequence)
            .map(|offset| Reset::new(direction, segment.sequence, offset.max(own.next.cast_signed())));
    }

    fn add(
        &mut self,
        direction: Direction,
        segment: &Segment<'_>,
        after: u64,
        counters: &mut Counters,
        sink: &mut Sink<'_>,
    ) {
        // A SYN has a number of its own, in front of the data that it may carry (RFC 7413).
        let sequence = segment.sequence.wrapping_add(u32::from(segment.syn));
        let other = self.streams[direction.opposite() as usize].passed();
        let own = &mut self.streams[direction as usize];
        own.begin(sequence);
        let Some(offset) = own.place(sequence) else {
            counters.stray += 1;
            return;
        };
        let end = u64::try_from(offset + segment.length.cast_signed()).unwrap_or(0);
        if segment.fin {
            own.end(end, segment.time, after);
        }
        if self.ignored {
            counters.bytes += end.saturating_sub(own.next);
            own.forget(end);
            return;
        }
        let piece = Piece {
            time: segment.time,
            offset: u64::try_from(offset).unwrap_or(0),
            length: segment.length,
            bytes: segment.bytes,
            after,
        };
        let before = u64::try_from(-offset).unwrap_or(0);
        if segment.length == 0 {
            return;
        }
        match own.add(piece, before, other, &mut counters.repeated) {
            Added::Ready(piece) => self.pass(direction, &piece, counters, sink),
            Added::Held { early } => counters.reordered += u64::from(early),
            Added::Old => {}
            Added::Stray => counters.stray += 1,
        }
    }

    /// Lets pass all that is in order.
    fn advance(&mut self, counters: &mut Counters, sink: &mut Sink<'_>) {
        loop {
            let mut moved = false;
            for direction in [Direction::Received, Direction::Sent] {
                let other = self.streams[direction.opposite() as usize].passed();
                while let Some(piece) = self.streams[direction as usize].pop(other, &mut counters.repeated) {
                    self.pass(direction, &piece.borrowed(), counters, sink);
                    moved = true;
                }
                if let Some(time) = self.streams[direction as usize].pop_end(other) {
                    self.tell(direction, time, 0, &[], true, sink);
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Lets pass what is known, with gaps where it must be; with `all` also what may still come.
    fn give_up(&mut self, all: bool, counters: &mut Counters, sink: &mut Sink<'_>) {
        while !self.ignored {
            self.advance(counters, sink);
            let both = [Direction::Received, Direction::Sent];
            // What the other end has goes first, then what is behind the hole in the order of its time.
            let hole = both
                .into_iter()
                .filter_map(|direction| {
                    let stream = &self.streams[direction as usize];
                    let (to, time) = stream.hole(all)?;
                    Some((!stream.is_behind(), time, direction, to))
                })
                .min_by_key(|&(maybe, time, ..)| (maybe, time));
            if let Some((_, time, direction, to)) = hole {
                let stream = &mut self.streams[direction as usize];
                counters.missing += to - stream.next;
                let time = stream.jump(to, time.unwrap_or(self.last_active));
                self.tell(direction, time, 0, &[], false, sink);
                continue;
            }
            // Each direction waits for the other: no two ends can have seen that.
            let first = both
                .into_iter()
                .filter_map(|direction| Some((self.streams[direction as usize].kept_back()?, direction)))
                .min_by_key(|&(time, _)| time);
            let Some((_, direction)) = first else { return };
            let own = &mut self.streams[direction as usize];
            if let Some(piece) = own.pop(u64::MAX, &mut counters.repeated) {
                self.pass(direction, &piece.borrowed(), counters, sink);
            } else if let Some(time) = own.pop_end(u64::MAX) {
                self.tell(direction, time, 0, &[], true, sink);
            }
        }
    }

    fn pass(
        &mut self,
        direction: Direction,
        piece: &Piece<&[u8]>,
        counters: &mut Counters,
        sink: &mut Sink<'_>,
    ) {
        counters.bytes += piece.length;
        counters.uncaptured += piece.length - piece.bytes.len() as u64;
        let time = self.streams[direction as usize].pass(piece);
        self.tell(direction, time, piece.length, piece.bytes, false, sink);
    }

    /// One record: what passed up to the stream's next byte.
    fn tell(
        &mut self,
        direction: Direction,
        time: u64,
        length: u64,
        bytes: &[u8],
        eof: bool,
        sink: &mut Sink<'_>,
    ) {
        if self.ignored {
            return;
        }
        if !self.described {
            // A connection that ends before it has said anything needs no word.
            if eof {
                return;
            }
            self.described = true;
            let endpoints = Endpoints::Tcp { local: self.server, remote: self.client };
            let (socket, from_start) = (self.socket, self.opened);
            sink(Record::Connection(ConnectionRecord {
                socket,
                time,
                pid: 0,
                endpoints,
                netns: 0,
                from_start,
                // The other end is not seen elsewhere: these are both.
                sequences: None,
                unix: None,
            }));
        }
        // There is no thread to name. One number for each connection keeps their requests apart.
        #[expect(clippy::cast_possible_truncation, reason = "a name, not a count")]
        let actor = Actor { tid: self.socket as u32, ..Actor::default() };
        let wanted = sink(Record::Data(DataRecord {
            socket: self.socket,
            plaintext: false,
            unbound: false,
            stamp: Stamp { time, actor },
            creator: 0,
            direction,
            offset: self.streams[direction as usize].next - length,
            length,
            bytes,
            tail: Default::default(),
            tail_length: 0,
            eof,
            error: None,
        }));
        if !wanted {
            self.ignored = true;
            self.streams.iter_mut().for_each(|stream| stream.forget(0));
        }
    }

    /// Closes what is over, and says how long to wait for what is missing.
    fn settle(&mut self, sink: &mut Sink<'_>) {
        if self.closed {
            return;
        }
        let over = if self.ignored { Stream::has_end } else { Stream::is_ended };
        if self.streams.iter().all(over) {
            (self.closed, self.due, self.waiting) = (true, None, None);
            if self.described {
                let change = StateChange::Closed;
                sink(Record::State(StateRecord { socket: self.socket, time: self.last_active, change }));
            }
            return;
        }
        if self.ignored || self.streams.iter().all(Stream::is_drained) {
            (self.due, self.waiting) = (None, None);
            return;
        }
        let at = [self.streams[0].next, self.streams[1].next];
        let since = match self.waiting {
            Some((since, before)) if before == at => since,
            _ => self.last_active,
        };
        self.waiting = Some((since, at));
        let patience = if self.streams.iter().any(Stream::is_behind) { CAPTURE_PATIENCE } else { PATIENCE };
        self.due = Some(since.saturating_add(patience));
    }
}
