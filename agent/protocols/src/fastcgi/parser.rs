//! One direction, from bytes to records and what is in them.

use super::frame::{BODY, HEADER, Header, Kind};
use crate::{
    exchange::{Extent, Party, Stamp},
    input::Input,
};

#[derive(Debug)]
pub(super) struct Parser {
    from: Party,
    /// The offset that is due next.
    pub(super) expected: Option<u64>,
    place: Place,
    /// A header, or the body of a begin or an end record, that is not in one piece.
    buffer: [u8; HEADER],
    filled: usize,
    /// Where the header began.
    began: (Stamp, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A header is due or in part here.
    Header,
    /// In what a record holds, as many bytes before its padding.
    Content(Header, u16),
    /// Behind it, as many bytes before the next header.
    Padding(Header, u8),
    /// Where records begin is not known.
    Lost,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    More,
    /// A record begins; the extent is that of its header.
    Record(Header, Extent),
    /// What a begin or an end record says.
    Body(Header, [u8; BODY]),
    /// Some of what a record holds.
    Content(Header, &'a [u8]),
    /// Bytes of what a record holds were not seen.
    Unseen(Header),
    /// Padding, of which nothing needs to be known.
    Padding(Header),
    /// A whole record has passed.
    Ended(Header),
    /// Bytes that cannot be placed have passed.
    Passed,
    /// Bytes that begin a record were not seen.
    Lost,
    /// What should be a header is none.
    Invalid,
}

impl Step<'_> {
    /// The record that this is of, and what passed of it, which was `part` of the stream.
    pub(super) fn of_record(&self, part: Extent) -> Option<(Header, Extent)> {
        match *self {
            Self::Record(header, extent) => Some((header, extent)),
            Self::Body(header, _)
            | Self::Content(header, _)
            | Self::Unseen(header)
            | Self::Padding(header)
            | Self::Ended(header) => Some((header, part)),
            Self::More | Self::Passed | Self::Lost | Self::Invalid => None,
        }
    }
}

impl Parser {
    pub(super) fn new(from: Party, place: Place) -> Self {
        let expected = (place == Place::Header).then_some(0);
        Self { from, expected, place, buffer: [0; HEADER], filled: 0, began: (Stamp::default(), 0) }
    }

    pub(super) fn is_lost(&self) -> bool {
        self.place == Place::Lost
    }

    pub(super) fn is_closed(&self) -> bool {
        self.place == Place::Closed
    }

    pub(super) fn close(&mut self) {
        self.place_at(Place::Closed);
    }

    pub(super) fn step<'a>(&mut self, input: &mut Input<'a>) -> Step<'a> {
        match self.place {
            Place::Closed => Step::More,
            Place::Lost => self.hunt(input),
            Place::Content(header, 0) => {
                self.place = Place::Padding(header, header.padding);
                self.step(input)
            }
            Place::Content(header, left) if input.gap > 0 => {
                let unseen = input.gap.min(left.into());
                input.pass(unseen);
                // No more than what was left, which fits.
                let left = left - u16::try_from(unseen).unwrap_or(left);
                if left > 0 {
                    self.place = Place::Content(header, left);
                    // Of a body in which bytes are missing nothing is said.
                    self.filled = 0;
                } else {
                    self.place_at(Place::Padding(header, header.padding));
                }
                Step::Unseen(header)
            }
            Place::Content(header, left) if matches!(header.kind, Kind::Begin | Kind::End) => {
                self.body(input, header, left)
            }
            Place::Content(..) if input.bytes.is_empty() => Step::More,
            Place::Content(header, left) => {
                let taken = input.bytes.len().min(left.into());
                let content = &input.bytes[..taken];
                input.advance(taken);
                self.place = Place::Content(header, left - u16::try_from(taken).unwrap_or(left));
                Step::Content(header, content)
            }
            Place::Padding(header, 0) => {
                self.place_at(Place::Header);
                Step::Ended(header)
            }
            Place::Padding(..) if input.gap == 0 && input.bytes.is_empty() => Step::More,
            Place::Padding(header, left) => {
                let unseen = input.gap.min(left.into());
                input.pass(unseen);
                let left = left - u8::try_from(unseen).unwrap_or(left);
                let taken = if input.gap > 0 { 0 } else { input.bytes.len().min(left.into()) };
                input.advance(taken);
                self.place = Place::Padding(header, left - u8::try_from(taken).unwrap_or(left));
                Step::Padding(header)
            }
            Place::Header if input.gap > 0 => {
                self.place_at(Place::Lost);
                Step::Lost
            }
            Place::Header => self.header(input),
        }
    }

    /// What is sent from here on begins with a record.
    pub(super) fn begin(&mut self) {
        self.place_at(Place::Header);
    }

    fn place_at(&mut self, place: Place) {
        (self.place, self.filled) = (place, 0);
    }

    fn header<'a>(&mut self, input: &mut Input<'a>) -> Step<'a> {
        if input.bytes.is_empty() {
            return Step::More;
        }
        if self.filled == 0 {
            self.began = (input.at, input.offset);
        }
        let Some(bytes) = self.fill(input) else { return Step::More };
        let Some(header) = Header::parse(self.from, bytes) else {
            self.place_at(Place::Lost);
            return Step::Invalid;
        };
        self.place = Place::Content(header, header.length);
        let (first, offset) = self.began;
        Step::Record(header, Extent { first, last: input.at, offset, wire_bytes: HEADER as u64 })
    }

    fn body<'a>(&mut self, input: &mut Input<'a>, header: Header, left: u16) -> Step<'a> {
        if input.bytes.is_empty() {
            return Step::More;
        }
        let before = self.filled;
        if usize::from(left) + before < BODY {
            // Its beginning was not seen.
            let taken = input.bytes.len().min(left.into());
            input.advance(taken);
            let left = left - u16::try_from(taken).unwrap_or(left);
            self.place =
                if left > 0 { Place::Content(header, left) } else { Place::Padding(header, header.padding) };
            return Step::Unseen(header);
        }
        match self.fill(input) {
            Some(body) => {
                self.place = Place::Padding(header, header.padding);
                Step::Body(header, body)
            }
            None => {
                let taken = u16::try_from(self.filled - before).unwrap_or(left);
                self.place = Place::Content(header, left - taken);
                Step::Padding(header)
            }
        }
    }

    /// Eight bytes, once they are all here.
    fn fill(&mut self, input: &mut Input<'_>) -> Option<[u8; HEADER]> {
        let taken = input.bytes.len().min(HEADER - self.filled);
        self.buffer[self.filled..self.filled + taken].copy_from_slice(&input.bytes[..taken]);
        input.advance(taken);
        self.filled += taken;
        if self.filled < HEADER {
            return None;
        }
        self.filled = 0;
        Some(self.buffer)
    }

    /// Looks for a place where a record begins: at the start of an operation, or at the end of one that was cut, which is
    /// the end of a message as a rule.
    fn hunt<'a>(&mut self, input: &mut Input<'a>) -> Step<'a> {
        if input.gap == 0 && input.bytes.is_empty() {
            return Step::More;
        }
        let whole = input.gap == 0 && input.starts;
        input.pass(input.gap);
        let found =
            if whole && starts(self.from, input.bytes) { Some(0) } else { last(self.from, input.bytes) };
        input.advance(found.unwrap_or(input.bytes.len()));
        if found.is_some() {
            self.place_at(Place::Header);
        }
        Step::Passed
    }
}

fn starts(from: Party, bytes: &[u8]) -> bool {
    let Some(header) = bytes.first_chunk().and_then(|bytes| Header::parse(from, *bytes)) else {
        return false;
    };
    match from {
        Party::Client => super::frame::looks_like_request(bytes) != Some(false) && header.kind == Kind::Begin,
        Party::Server => matches!(header.kind, Kind::Stdout | Kind::Stderr | Kind::End),
    }
}

/// Where the record that ends a message begins, if the bytes end with one: an empty stream of the client's, or the end of
/// a request.
fn last(from: Party, bytes: &[u8]) -> Option<usize> {
    let length = match from {
        Party::Client => HEADER,
        Party::Server => HEADER + BODY,
    };
    let at = bytes.len().checked_sub(length)?;
    let header = Header::parse(from, *bytes[at..].first_chunk()?)?;
    let ends = match from {
        Party::Client => header.kind == Kind::Stdin && header.length == 0,
        Party::Server => header.kind == Kind::End && bytes[at + HEADER + 5..] == [0; 3],
    };
    (ends && header.padding == 0).then_some(at)
}
