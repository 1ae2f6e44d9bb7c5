//! One direction, from bytes to packets.

use std::borrow::Cow;

use super::{
    binary::Rows,
    frame::{self, HEADER, LONGEST, Reading, command},
    statements::Statements,
};
use crate::{
    exchange::{Extent, Stamp},
    reader::Reader,
};

/// What is read: `gap` bytes that were not seen, then `bytes`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a> {
    pub(super) at: Stamp,
    pub(super) offset: u64,
    pub(super) gap: u64,
    /// Of part of the gap there is no record: other bytes may have passed in the other direction since.
    pub(super) unrecorded: bool,
    pub(super) bytes: &'a [u8],
    /// `bytes` begins a socket operation.
    pub(super) starts: bool,
}

#[derive(Debug)]
pub(super) struct Parser {
    place: Place,
    /// The first bytes of a header, `held` of them.
    header: [u8; HEADER],
    held: usize,
    /// The wanted part of a body that is not in one piece.
    buffer: Vec<u8>,
    current: Current,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A packet is due.
    Boundary,
    /// What goes on a packet of the longest length is due.
    Continuation,
    /// In a packet, `left` bytes before its end. Where it `continues` another follows.
    Body {
        left: u32,
        continues: bool,
    },
    /// Where packets begin is not known.
    Lost,
    Closed,
}

/// The packet that is read.
#[derive(Debug)]
struct Current {
    extent: Extent,
    sequence: u8,
    reading: Reading,
    /// Bytes of the body that are announced, and that have passed.
    length: u64,
    passed: u64,
    first: Option<u8>,
    /// Part of what is wanted was not seen.
    holes: bool,
    rows: Option<Rows>,
}

#[derive(Debug)]
pub(super) enum Step<'a> {
    More,
    /// A packet begins: [`Parser::accept`] goes on with it.
    Header(Header),
    Packet(Packet<'a>),
    /// Bytes that cannot be placed are at hand.
    Hunt,
    /// Bytes that begin a packet were not seen.
    Unseen,
    /// What should be a packet is none.
    Invalid,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) sequence: u8,
    pub(super) length: u32,
    pub(super) extent: Extent,
}

#[derive(Debug)]
pub(super) struct Packet<'a> {
    pub(super) reading: Reading,
    /// The sequence number of its last part.
    pub(super) sequence: u8,
    pub(super) length: u64,
    /// The wanted part of the body.
    pub(super) body: Cow<'a, [u8]>,
    /// Bytes that were wanted were not seen.
    pub(super) holes: bool,
    pub(super) extent: Extent,
    /// Rows of bound values, where there are and they could be counted.
    pub(super) rows: Option<u32>,
}

impl Parser {
    pub(super) fn new(place: Place) -> Self {
        let current = Current {
            extent: Extent::default(),
            sequence: 0,
            reading: Reading::Answer,
            length: 0,
            passed: 0,
            first: None,
            holes: false,
            rows: None,
        };
        Self { place, header: [0; HEADER], held: 0, buffer: Vec::new(), current }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.place == Place::Closed
    }

    pub(super) fn is_lost(&self) -> bool {
        self.place == Place::Lost
    }

    pub(super) fn buffered(&self) -> usize {
        self.buffer.capacity()
    }

    pub(super) fn place_at(&mut self, place: Place) {
        self.place = place;
        self.held = 0;
        self.buffer = Vec::new();
        self.current.rows = None;
    }

    /// Goes on with the packet whose header was reported.
    pub(super) fn accept(&mut self, header: &Header, reading: Reading) {
        self.current = Current {
            extent: header.extent,
            sequence: header.sequence,
            reading,
            length: u64::from(header.length),
            passed: 0,
            first: None,
            holes: false,
            rows: None,
        };
        self.place = Place::Body { left: header.length, continues: header.length == LONGEST };
        self.buffer.clear();
    }

    /// Bytes of a statement that are wanted, and the statements that are known, tell how bodies are read.
    pub(super) fn step<'a>(
        &mut self,
        input: &mut Input<'a>,
        statement: usize,
        known: &Statements,
    ) -> Step<'a> {
        loop {
            let step = match self.place {
                Place::Closed => return Step::More,
                Place::Lost => {
                    input.offset = input.offset.saturating_add(std::mem::take(&mut input.gap));
                    return if input.bytes.is_empty() { Step::More } else { Step::Hunt };
                }
                Place::Boundary | Place::Continuation if input.gap > 0 => {
                    self.place_at(Place::Lost);
                    return Step::Unseen;
                }
                Place::Boundary | Place::Continuation => self.header(input),
                Place::Body { left, continues } => self.body(input, statement, known, left, continues),
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    fn header<'a>(&mut self, input: &mut Input<'a>) -> Option<Step<'a>> {
        let continues = self.place == Place::Continuation;
        if self.held == 0 && !continues {
            self.current.extent =
                Extent { first: input.at, last: input.at, offset: input.offset, wire_bytes: 0 };
        }
        let taken = (HEADER - self.held).min(input.bytes.len());
        self.header[self.held..self.held + taken].copy_from_slice(&input.bytes[..taken]);
        self.held += taken;
        self.advance(input, taken);
        if self.held < HEADER {
            return Some(Step::More);
        }
        self.held = 0;
        let [a, b, c, sequence] = self.header;
        let length = frame::u24_le([a, b, c]);
        if !continues {
            return Some(Step::Header(Header { sequence, length, extent: self.current.extent }));
        }
        if sequence != self.current.sequence.wrapping_add(1) {
            self.place_at(Place::Lost);
            return Some(Step::Invalid);
        }
        self.current.sequence = sequence;
        self.current.length += u64::from(length);
        self.place = Place::Body { left: length, continues: length == LONGEST };
        None
    }

    /// `None` when there may be more to do with the same input.
    fn body<'a>(
        &mut self,
        input: &mut Input<'a>,
        statement: usize,
        known: &Statements,
        left: u32,
        continues: bool,
    ) -> Option<Step<'a>> {
        if input.unrecorded && input.gap >= u64::from(left) && input.gap > 0 {
            // It ended at a time that is not known, and may have been answered.
            self.place_at(Place::Lost);
            return Some(Step::Unseen);
        }
        let unseen = input.gap.min(u64::from(left));
        if unseen > 0 {
            self.current.holes |= self.buffer.len() < self.wanted(statement);
            self.current.passed += unseen;
            if let Some(rows) = &mut self.current.rows {
                rows.lose();
            }
            input.gap -= unseen;
            input.offset = input.offset.saturating_add(unseen);
            self.current.extent.wire_bytes += unseen;
            self.current.extent.last = input.at;
        }
        // No more than `left`, which has 32 bits.
        let left = left - unseen as u32;
        let taken = if input.gap > 0 { 0 } else { (left as usize).min(input.bytes.len()) };
        let seen = &input.bytes[..taken];
        if self.current.passed == 0 {
            self.current.first = seen.first().copied();
        }
        let missing = if self.current.holes { 0 } else { self.wanted(statement) - self.buffer.len() };
        let kept = &seen[..taken.min(missing)];
        self.count_rows(kept, seen, known);
        let whole = self.current.passed == 0;
        self.current.passed += taken as u64;
        self.advance(input, taken);
        let left = left - taken as u32;
        if left > 0 || continues {
            self.buffer.extend_from_slice(kept);
            self.place = if left > 0 { Place::Body { left, continues } } else { Place::Continuation };
            return (left > 0).then_some(Step::More);
        }
        let body = if whole {
            Cow::Borrowed(kept)
        } else {
            self.buffer.extend_from_slice(kept);
            Cow::Owned(std::mem::take(&mut self.buffer))
        };
        self.place = Place::Boundary;
        let Current { reading, sequence, length, holes, extent, .. } = self.current;
        let rows = self.current.rows.take().and_then(|rows| rows.count());
        Some(Step::Packet(Packet { reading, sequence, length, body, holes, extent, rows }))
    }

    /// Bytes of the body that are wanted, as far as it is known what it is. One whose first byte was not seen
    /// has a hole.
    fn wanted(&self, statement: usize) -> usize {
        match self.current.first {
            Some(first) => frame::wanted(self.current.reading, first, statement),
            None => {
                usize::from(self.current.reading != Reading::Secret && self.current.reading != Reading::File)
            }
        }
    }

    /// Rows of bound values are counted as they pass. `kept` are those of the `seen` bytes that were wanted,
    /// the statement's number and the flags.
    fn count_rows(&mut self, kept: &[u8], seen: &[u8], known: &Statements) {
        let bulk = self.current.first == Some(command::BULK_EXECUTE);
        if !bulk || self.current.reading != Reading::Command || self.current.holes {
            return;
        }
        if let Some(rows) = &mut self.current.rows {
            return rows.read(seen);
        }
        let head = [&self.buffer[..], kept].concat();
        let mut reader = Reader::new(&head);
        let number = reader.u8().and_then(|_| frame::u32_le(&mut reader));
        if let (Some(number), Some(flags)) = (number, frame::u16_le(&mut reader)) {
            let rows = self.current.rows.insert(Rows::new(flags, known.parameters(number)));
            rows.read(&seen[kept.len()..]);
        }
    }

    fn advance(&mut self, input: &mut Input<'_>, length: usize) {
        if length > 0 {
            input.bytes = &input.bytes[length..];
            input.offset = input.offset.saturating_add(length as u64);
            input.starts = false;
            self.current.extent.wire_bytes += length as u64;
            self.current.extent.last = input.at;
        }
    }
}
