//! One direction, from bytes to messages.

use std::borrow::Cow;

use super::frame::{self, REPLY, STARTUP};
use crate::exchange::{Extent, Party, Stamp};

/// What is read: `gap` bytes that were not seen, then `bytes`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a> {
    pub(super) at: Stamp,
    pub(super) offset: u64,
    pub(super) gap: u64,
    pub(super) bytes: &'a [u8],
    /// `bytes` begins a socket operation.
    pub(super) starts: bool,
}

#[derive(Debug)]
pub(super) struct Parser {
    party: Party,
    /// The offset that is due next.
    pub(super) expected: Option<u64>,
    place: Place,
    /// The header and the wanted part of a message that is not in one piece.
    buffer: Vec<u8>,
    message: Extent,
    /// Part of what is wanted of the message was not seen.
    holes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A packet that opens the connection is due.
    Startup,
    /// One byte is due, the answer to an encryption request.
    Reply,
    /// A message is due.
    Boundary,
    /// In a message, `left` bytes before its end.
    Message {
        kind: u8,
        length: u32,
        left: u64,
    },
    /// Where messages begin is not known.
    Lost,
    Closed,
}

#[derive(Debug)]
pub(super) enum Step<'a> {
    More,
    Message(Message<'a>),
    /// Bytes that cannot be placed are at hand.
    Hunt,
    /// Bytes that begin a message were not seen.
    Unseen,
    /// What should be a message is none.
    Invalid,
}

#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) kind: u8,
    /// The wanted part of the body.
    pub(super) body: Cow<'a, [u8]>,
    /// Bytes that were wanted were not seen.
    pub(super) holes: bool,
    pub(super) extent: Extent,
}

impl Parser {
    pub(super) fn new(party: Party, place: Place) -> Self {
        Self { party, expected: None, place, buffer: Vec::new(), message: Extent::default(), holes: false }
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

    /// The message on its way, where its type is known.
    pub(super) fn under_way(&self) -> Option<(u8, Extent)> {
        match self.place {
            Place::Message { kind, .. } => Some((kind, self.message)),
            Place::Startup | Place::Reply | Place::Boundary | Place::Lost | Place::Closed => None,
        }
    }

    pub(super) fn last(&self) -> Stamp {
        self.message.last
    }

    pub(super) fn place_at(&mut self, place: Place) {
        self.place = place;
        self.buffer = Vec::new();
        self.holes = false;
    }

    pub(super) fn step<'a>(&mut self, input: &mut Input<'a>, statement: usize) -> Step<'a> {
        loop {
            if let Place::Message { kind, length, left } = self.place {
                if let Some(step) = self.body(input, statement, kind, length, left) {
                    return step;
                }
                continue;
            }
            if self.place == Place::Closed {
                return Step::More;
            }
            if input.gap > 0 {
                if self.place == Place::Lost {
                    input.offset = input.offset.saturating_add(std::mem::take(&mut input.gap));
                    input.starts = false;
                    continue;
                }
                self.place_at(Place::Lost);
                return Step::Unseen;
            }
            if input.bytes.is_empty() {
                return Step::More;
            }
            if self.place == Place::Lost {
                return Step::Hunt;
            }
            if let Some(step) = self.header(input) {
                return step;
            }
        }
    }

    fn header<'a>(&mut self, input: &mut Input<'a>) -> Option<Step<'a>> {
        if self.buffer.is_empty() {
            self.message = Extent { first: input.at, last: input.at, offset: input.offset, wire_bytes: 0 };
        }
        let wanted = match self.place {
            Place::Startup => 4,
            Place::Reply => {
                let body = Cow::Borrowed(&input.bytes[..1]);
                self.advance(input, 1);
                self.place = Place::Boundary;
                let extent = self.message;
                return Some(Step::Message(Message { kind: REPLY, body, holes: false, extent }));
            }
            _ => 5,
        };
        let mut header = [0; 5];
        let known = self.buffer.len();
        let taken = (wanted - known).min(input.bytes.len());
        header[..known].copy_from_slice(&self.buffer);
        header[known..known + taken].copy_from_slice(&input.bytes[..taken]);
        self.advance(input, taken);
        if known + taken < wanted {
            self.buffer.extend_from_slice(&header[known..known + taken]);
            return Some(Step::More);
        }
        self.buffer.clear();
        let [kind, length @ ..] = header;
        let (kind, length) = if wanted == 4 {
            (STARTUP, u32::from_be_bytes([kind, length[0], length[1], length[2]]))
        } else {
            (kind, u32::from_be_bytes(length))
        };
        if wanted == 5 && kind <= REPLY || !frame::is_valid(self.party, kind, length) {
            self.place_at(Place::Lost);
            return Some(Step::Invalid);
        }
        self.place = Place::Message { kind, length: length - 4, left: u64::from(length - 4) };
        None
    }

    /// `None` when there may be more to do with the same input.
    fn body<'a>(
        &mut self,
        input: &mut Input<'a>,
        statement: usize,
        kind: u8,
        length: u32,
        left: u64,
    ) -> Option<Step<'a>> {
        let wanted = frame::wanted(self.party, kind, statement).min(length as usize);
        let unseen = input.gap.min(left);
        if unseen > 0 {
            self.holes |= u64::from(length) - left < wanted as u64;
            input.gap -= unseen;
            input.offset += unseen;
            input.starts = false;
            self.message.wire_bytes += unseen;
            self.message.last = input.at;
        }
        let left = left - unseen;
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.bytes.len());
        let taken = if input.gap > 0 { 0 } else { taken };
        let seen = &input.bytes[..taken];
        let left = left - taken as u64;
        let missing = if self.holes { 0 } else { wanted - self.buffer.len().min(wanted) };
        if left > 0 {
            self.buffer.extend_from_slice(&seen[..seen.len().min(missing)]);
            self.advance(input, taken);
            self.place = Place::Message { kind, length, left };
            return Some(Step::More);
        }
        let body = if self.buffer.is_empty() && !self.holes {
            Cow::Borrowed(&seen[..seen.len().min(missing)])
        } else {
            self.buffer.extend_from_slice(&seen[..seen.len().min(missing)]);
            Cow::Owned(std::mem::take(&mut self.buffer))
        };
        self.advance(input, taken);
        let next = if kind == STARTUP { Place::Startup } else { Place::Boundary };
        self.place = next;
        let holes = std::mem::take(&mut self.holes);
        Some(Step::Message(Message { kind, body, holes, extent: self.message }))
    }

    fn advance(&mut self, input: &mut Input<'_>, length: usize) {
        if length > 0 {
            input.bytes = &input.bytes[length..];
            input.offset += length as u64;
            input.starts = false;
            self.message.wire_bytes += length as u64;
            self.message.last = input.at;
        }
    }
}
