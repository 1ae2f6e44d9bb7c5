//! One direction, from bytes to lines and blocks of data.

use std::borrow::Cow;

use crate::{
    exchange::{Extent, Stamp},
    input::Input,
};

/// Lines are shorter: a thousand keys of 60 bytes.
const LONGEST_LINE: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Parser {
    /// The offset that is due next.
    pub(super) expected: Option<u64>,
    place: Place,
    /// A line that is not in one piece.
    buffer: Vec<u8>,
    message: Extent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A line is due or in part here.
    Line,
    /// In a value, as many bytes before the end of its CRLF.
    Data(u64),
    /// Where lines begin is not known.
    Lost,
    Closed,
}

#[derive(Debug)]
pub(super) enum Step<'a> {
    More,
    /// A line, without its end. What belongs to it is said by [`Parser::expect_data`].
    Line(Cow<'a, [u8]>),
    /// The value behind a line has passed.
    Data,
    /// The beginning of a line whose rest passed unseen up to its end.
    Cut(Vec<u8>),
    /// Bytes that cannot be placed are at hand.
    Hunt,
    /// Bytes that begin a line were not seen.
    Unseen,
    /// What should be a line or the end of a value is none.
    Invalid,
}

impl Parser {
    pub(super) fn new(place: Place) -> Self {
        let expected = (place == Place::Line).then_some(0);
        Self { expected, place, buffer: Vec::new(), message: Extent::default() }
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

    /// A line or a value is on its way.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.place, Place::Data(_)) || !self.buffer.is_empty()
    }

    /// The line, or the value with it, that was read last.
    pub(super) fn extent(&self) -> Extent {
        self.message
    }

    pub(super) fn last(&self) -> Stamp {
        self.message.last
    }

    pub(super) fn place_at(&mut self, place: Place) {
        self.place = place;
        self.buffer = Vec::new();
    }

    /// A value of as many bytes follows the line.
    pub(super) fn expect_data(&mut self, length: u64) {
        self.place = Place::Data(length + 2);
    }

    pub(super) fn step<'a>(&mut self, input: &mut Input<'a>) -> Step<'a> {
        loop {
            match self.place {
                Place::Closed => return Step::More,
                Place::Data(left) => return self.data(input, left),
                Place::Lost if input.gap > 0 => input.pass(input.gap),
                Place::Line if input.gap > 0 => return self.cut(input),
                Place::Line | Place::Lost if input.bytes.is_empty() => return Step::More,
                Place::Lost => return Step::Hunt,
                Place::Line => return self.line(input),
            }
        }
    }

    fn line<'a>(&mut self, input: &mut Input<'a>) -> Step<'a> {
        if self.buffer.is_empty() {
            self.message = Extent { first: input.at, last: input.at, offset: input.offset, wire_bytes: 0 };
        }
        let bytes = input.bytes;
        let end = memchr::memchr(b'\n', bytes);
        let length = end.map_or(bytes.len(), |end| end + 1);
        if self.buffer.len() + length > LONGEST_LINE {
            self.place_at(Place::Lost);
            return Step::Invalid;
        }
        self.advance(input, length);
        let line = match end {
            None => {
                self.buffer.extend_from_slice(&bytes[..length]);
                return Step::More;
            }
            Some(end) if self.buffer.is_empty() => Cow::Borrowed(&bytes[..end]),
            Some(end) => {
                self.buffer.extend_from_slice(&bytes[..end]);
                Cow::Owned(std::mem::take(&mut self.buffer))
            }
        };
        match line {
            // Memcached takes a bare LF for an end too.
            Cow::Borrowed(line) => Step::Line(Cow::Borrowed(line.strip_suffix(b"\r").unwrap_or(line))),
            Cow::Owned(mut line) => {
                line.pop_if(|last| *last == b'\r');
                Step::Line(Cow::Owned(line))
            }
        }
    }

    /// A gap where a line is due or in it.
    fn cut<'a>(&mut self, input: &mut Input<'a>) -> Step<'a> {
        if self.buffer.is_empty() || !input.bytes.ends_with(b"\r\n") {
            self.place_at(Place::Lost);
            return Step::Unseen;
        }
        self.message.wire_bytes += input.gap;
        input.pass(input.gap);
        let length = input.bytes.len();
        self.advance(input, length);
        Step::Cut(std::mem::take(&mut self.buffer))
    }

    fn data<'a>(&mut self, input: &mut Input<'a>, left: u64) -> Step<'a> {
        let unseen = input.gap.min(left);
        if unseen > 0 {
            input.pass(unseen);
            self.message.wire_bytes += unseen;
            self.message.last = input.at;
        }
        let left = left - unseen;
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.bytes.len());
        let taken = if input.gap > 0 { 0 } else { taken };
        let seen = &input.bytes[..taken];
        let left = left - taken as u64;
        self.advance(input, taken);
        if left > 0 {
            self.place = Place::Data(left);
            return Step::More;
        }
        if !(seen.is_empty() || seen.ends_with(b"\r\n") || seen == b"\n") {
            self.place_at(Place::Lost);
            return Step::Invalid;
        }
        self.place = Place::Line;
        Step::Data
    }

    fn advance(&mut self, input: &mut Input<'_>, length: usize) {
        if length > 0 {
            input.advance(length);
            self.message.wire_bytes += length as u64;
            self.message.last = input.at;
        }
    }
}
