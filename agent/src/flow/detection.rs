//! The first records of a connection, kept until they tell which protocol it speaks.

use honeyguide_common::record::TAIL;
use honeyguide_protocols::{
    Stamp,
    detect::{self, Direction, LONGEST_PREFIX, Protocol, Verdict},
    http2::may_hold_a_block,
    proxy,
};

use super::{
    connection::{feed, party},
    protocol::Parser,
};
use crate::decode::DataRecord;

/// The first line of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0";
/// Records kept while nothing is decided.
const MAX_PENDING: usize = 64;
/// A connection seen from the middle is given this many fresh starts: it may be inside a long body.
const MAX_ATTEMPTS: u32 = 256;
/// The same for a tunnel, which begins with something and is mostly TLS.
const TUNNEL_ATTEMPTS: u32 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    NotYet,
    Nothing,
    Known { protocol: Protocol, client: Direction },
}

#[derive(Debug)]
pub(super) struct Detection {
    from_start: bool,
    attempts: u32,
    /// The first bytes of each direction, from the start of an operation on.
    prefixes: [Vec<u8>; 2],
    pending: Vec<Piece>,
    /// Who began with a proxy's header, and how long that is.
    header: Option<(Direction, u64)>,
}

/// A record, kept.
#[derive(Debug)]
pub(super) struct Piece {
    stamp: Stamp,
    direction: Direction,
    offset: u64,
    length: u64,
    bytes: Vec<u8>,
    tail: [u8; TAIL],
    tail_length: usize,
    eof: bool,
}

impl Detection {
    pub(super) fn new(from_start: bool) -> Self {
        Self {
            from_start,
            attempts: 0,
            prefixes: [Vec::new(), Vec::new()],
            pending: Vec::new(),
            header: None,
        }
    }

    /// What passes in a tunnel may be anything.
    pub(super) fn in_tunnel() -> Self {
        Self { attempts: MAX_ATTEMPTS - TUNNEL_ATTEMPTS, ..Self::new(false) }
    }

    /// How many of the record's first bytes are a proxy's word to the server, which comes before everything else of the
    /// connection and is no protocol's.
    pub(super) fn header(&mut self, record: &DataRecord<'_>) -> u64 {
        if !self.from_start || record.offset > 0 || self.header.is_some() || !self.pending.is_empty() {
            return 0;
        }
        let length = proxy::header_length(record.bytes).map_or(0, |length| length as u64);
        self.header = (length > 0).then_some((record.direction, length));
        length
    }

    /// Looks at one more record. On [`Found::Known`] the record itself is not pending.
    pub(super) fn handle(&mut self, record: &DataRecord<'_>, lost: u64) -> Found {
        if lost > 0 {
            self.from_start = false;
            self.reset();
        }
        let (own, other) = (record.direction as usize, 1 - record.direction as usize);
        let fresh = self.prefixes[own].is_empty();
        let verdict = if fresh {
            // The common case decides on the first record, without a copy.
            judge(record.direction, record.bytes, &self.prefixes[other])
        } else {
            self.extend(own, record.bytes);
            judge(record.direction, &self.prefixes[own], &self.prefixes[other])
        };
        match verdict {
            Verdict::Speaks { protocol, client } => return Found::Known { protocol, client },
            Verdict::Unknown => return self.start_again(),
            Verdict::NeedMore => {}
        }
        if fresh {
            self.extend(own, record.bytes);
        }
        self.pending.push(Piece::new(record));
        let cut = (record.bytes.len() as u64) < record.length;
        let full = self.pending.len() >= MAX_PENDING || self.prefixes[own].len() >= LONGEST_PREFIX;
        if cut || full { self.start_again() } else { Found::NotYet }
    }

    /// Nothing of the connection was missed.
    pub(super) fn is_from_start(&self) -> bool {
        self.from_start
    }

    /// The same for the parser of a protocol with such a client: where its first byte is.
    pub(super) fn opened(&self, client: Direction) -> Option<u64> {
        match self.header {
            _ if !self.from_start => None,
            None => Some(0),
            Some((by, length)) => (by == client).then_some(length),
        }
    }

    /// There may be a header block of HTTP/2's in this record, or in what its side has sent so far.
    pub(super) fn may_hold_a_block(&self, record: &DataRecord<'_>) -> bool {
        // A proxy's own line may be before it.
        let begins = || record.bytes.windows(PREFACE.len()).any(|bytes| bytes == PREFACE);
        may_hold_a_block(record.bytes)
            || begins()
            || may_hold_a_block(&self.prefixes[record.direction as usize])
    }

    /// Bytes that are kept.
    pub(super) fn buffered(&self) -> usize {
        let pieces = self.pending.iter().map(|piece| size_of::<Piece>() + piece.bytes.capacity());
        pieces.chain(self.prefixes.iter().map(Vec::capacity)).sum()
    }

    pub(super) fn take_pending(&mut self) -> Vec<Piece> {
        std::mem::take(&mut self.pending)
    }

    fn extend(&mut self, direction: usize, bytes: &[u8]) {
        let prefix = &mut self.prefixes[direction];
        let room = LONGEST_PREFIX.saturating_sub(prefix.len());
        prefix.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// What began with its first byte and made no sense never will; the middle of something may end.
    fn start_again(&mut self) -> Found {
        self.attempts += 1;
        if self.from_start || self.attempts >= MAX_ATTEMPTS {
            return Found::Nothing;
        }
        self.reset();
        Found::NotYet
    }

    fn reset(&mut self) {
        self.prefixes.iter_mut().for_each(Vec::clear);
        self.pending.clear();
    }
}

impl Piece {
    fn new(record: &DataRecord<'_>) -> Self {
        Self {
            stamp: record.stamp,
            direction: record.direction,
            offset: record.offset,
            length: record.length,
            bytes: record.bytes.to_vec(),
            tail: record.tail,
            tail_length: record.tail_length,
            eof: record.eof,
        }
    }

    /// The bytes that are there, and their places in the stream.
    pub(super) fn captured(&self) -> [(Direction, u64, Vec<u8>); 2] {
        let tail = self.tail[..self.tail_length].to_vec();
        let last = (self.offset + self.length).saturating_sub(tail.len() as u64);
        [(self.direction, self.offset, self.bytes.clone()), (self.direction, last, tail)]
    }

    pub(super) fn feed(&self, parser: &mut Parser, client: Direction) {
        let record = DataRecord {
            socket: 0,
            plaintext: false,
            unbound: false,
            stamp: self.stamp,
            direction: self.direction,
            offset: self.offset,
            length: self.length,
            bytes: &self.bytes,
            tail: self.tail,
            tail_length: self.tail_length,
            eof: self.eof,
            error: None,
            creator: 0,
        };
        feed(parser, party(self.direction, client), &record, 0);
    }
}

fn judge(direction: Direction, own: &[u8], other: &[u8]) -> Verdict {
    match direction {
        Direction::Sent => detect::detect(own, other),
        Direction::Received => detect::detect(other, own),
    }
}
