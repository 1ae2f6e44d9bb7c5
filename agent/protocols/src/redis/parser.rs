//! One direction, from bytes to messages.

use super::frame::{self, Header, LONGEST_LINE};
use crate::{
    exchange::{Extent, Stamp},
    input::Input,
};

/// Bytes of a string that are looked at.
pub(super) const KEPT: usize = 128;
/// Streams within streams.
pub(super) const DEEPEST: usize = 16;
/// What a stream has left as long as its end is not there.
pub(super) const ENDLESS: u64 = 1 << 62;

/// A part of a message. Those of aggregates come in order, as if there were no nesting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    /// Its place in the message; the first one is the message itself.
    pub(super) index: u64,
    pub(super) kind: u8,
    pub(super) value: Value<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Line(&'a [u8]),
    /// The first bytes of a string; `None` where not all of those that are looked at were seen.
    Text {
        start: Option<&'a [u8]>,
        length: u64,
    },
    Elements(u64),
    /// An aggregate or a string whose length is not known.
    Stream,
    Null,
}

/// What the elements of one message add up to.
pub(super) trait Assembly {
    /// Whether messages are commands: an array of strings, or a line of words.
    const COMMANDS: bool;
    fn begin(&mut self);
    fn element(&mut self, element: Element<'_>);
    /// A command in one line. False where it is none.
    fn line(&mut self, line: &[u8]) -> bool;
}

#[derive(Debug)]
pub(super) struct Parser<A> {
    pub(super) assembly: A,
    /// The offset that is due next.
    pub(super) expected: Option<u64>,
    place: Place,
    /// A line that is not in one piece, or the start of such a string.
    buffer: Vec<u8>,
    message: Extent,
    /// Elements of the message so far, and those that are due.
    index: u64,
    left: u64,
    /// Elements due of what is told beside the message (attributes).
    aside: u64,
    /// What was left outside of each stream that is open.
    streams: Vec<u64>,
    chunks: bool,
    /// Bytes that are looked at were not seen: of this string, and of the message.
    hole: bool,
    holes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A message is due.
    Boundary,
    /// A line is due or in part here.
    Line,
    /// In a string, `left` bytes before the end of its CRLF.
    Text {
        kind: u8,
        length: u64,
        left: u64,
    },
    /// Where messages begin is not known.
    Lost,
    Closed,
}

#[derive(Debug)]
pub(super) enum Step {
    More,
    /// A message is whole; the assembly has it.
    Message {
        extent: Extent,
        holes: bool,
    },
    /// Bytes that cannot be placed are at hand.
    Hunt,
    /// Bytes that begin an element were not seen; what is known of the message on its way.
    Unseen(Option<Extent>),
    /// What should be an element is none.
    Invalid,
}

impl<A: Assembly> Parser<A> {
    pub(super) fn new(assembly: A, place: Place) -> Self {
        Self {
            assembly,
            expected: (place == Place::Boundary).then_some(0),
            place,
            buffer: Vec::new(),
            message: Extent::default(),
            index: 0,
            left: 0,
            aside: 0,
            streams: Vec::new(),
            chunks: false,
            hole: false,
            holes: false,
        }
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

    /// The message on its way.
    pub(super) fn under_way(&self) -> Option<Extent> {
        matches!(self.place, Place::Line | Place::Text { .. }).then_some(self.message)
    }

    pub(super) fn last(&self) -> Stamp {
        self.message.last
    }

    pub(super) fn place_at(&mut self, place: Place) {
        self.place = place;
        self.buffer = Vec::new();
        self.streams = Vec::new();
        (self.index, self.left, self.aside) = (0, 0, 0);
        (self.chunks, self.hole, self.holes) = (false, false, false);
    }

    pub(super) fn step(&mut self, input: &mut Input<'_>) -> Step {
        loop {
            let step = match self.place {
                Place::Text { kind, length, left } => self.text(input, kind, length, left),
                Place::Closed => return Step::More,
                Place::Lost if input.gap > 0 => {
                    input.pass(input.gap);
                    None
                }
                Place::Boundary | Place::Line if input.gap > 0 => {
                    let begun = self.under_way();
                    self.place_at(Place::Lost);
                    return Step::Unseen(begun);
                }
                Place::Boundary | Place::Line | Place::Lost if input.bytes.is_empty() => return Step::More,
                Place::Lost => return Step::Hunt,
                Place::Boundary => {
                    self.begin(input);
                    None
                }
                Place::Line => self.line(input),
            };
            if let Some(step) = step {
                if matches!(step, Step::Invalid) {
                    self.place_at(Place::Lost);
                }
                return step;
            }
        }
    }

    fn begin(&mut self, input: &Input<'_>) {
        self.place = Place::Line;
        self.message = Extent { first: input.at, last: input.at, offset: input.offset, wire_bytes: 0 };
        (self.index, self.left) = (0, 1);
        self.assembly.begin();
    }

    fn line(&mut self, input: &mut Input<'_>) -> Option<Step> {
        if self.buffer.is_empty()
            && let Some(found) = frame::line(input.bytes)
        {
            let Some((line, length)) = found else { return self.bare(input) };
            let step = self.header(line);
            self.advance(input, length);
            return self.or_message(step);
        }
        let end = memchr::memchr(b'\n', input.bytes);
        let length = end.map_or(input.bytes.len(), |end| end + 1);
        if self.buffer.len() + length > LONGEST_LINE {
            return Some(Step::Invalid);
        }
        self.buffer.extend_from_slice(&input.bytes[..length]);
        self.advance(input, length);
        if end.is_none() {
            return Some(Step::More);
        }
        let held = std::mem::take(&mut self.buffer);
        let line = &held[..held.len() - 1];
        let step = match line.strip_suffix(b"\r") {
            Some(line) => self.header(line),
            None if A::COMMANDS && self.index == 0 => self.header(line),
            None => Some(Step::Invalid),
        };
        self.buffer = held;
        self.buffer.clear();
        self.buffer.shrink_to(KEPT);
        self.or_message(step)
    }

    /// A line that ends in LF alone: Redis takes an inline command so.
    fn bare(&mut self, input: &mut Input<'_>) -> Option<Step> {
        let end = memchr::memchr(b'\n', input.bytes).unwrap_or_default();
        if !A::COMMANDS || self.index > 0 {
            return Some(Step::Invalid);
        }
        let step = self.header(&input.bytes[..end]);
        self.advance(input, end + 1);
        self.or_message(step)
    }

    /// Reads a line; `Some` is what came of it, `None` that the message may be whole.
    fn header(&mut self, line: &[u8]) -> Option<Step> {
        if A::COMMANDS { self.header_of_command(line) } else { self.header_of_reply(line) }
    }

    fn header_of_command(&mut self, line: &[u8]) -> Option<Step> {
        if self.index > 0 {
            let length = line.strip_prefix(b"$").and_then(|_| Header::parse(line));
            let Some(Header::Text(length)) = length else { return Some(Step::Invalid) };
            self.place = Place::Text { kind: b'$', length, left: length + 2 };
            return None;
        }
        if line.first() != Some(&b'*') {
            // Redis passes over empty lines, and so they are no message.
            if line.trim_ascii().is_empty() {
                self.place = Place::Boundary;
                return None;
            }
            if !self.assembly.line(line) {
                return Some(Step::Invalid);
            }
            self.left = 0;
            return None;
        }
        match Header::arguments(line) {
            Some(0) => self.place = Place::Boundary,
            Some(count) => {
                let value = Value::Elements(count);
                self.assembly.element(Element { index: 0, kind: b'*', value });
                (self.index, self.left) = (1, count);
            }
            None => return Some(Step::Invalid),
        }
        None
    }

    fn header_of_reply(&mut self, line: &[u8]) -> Option<Step> {
        let Some(header) = Header::parse(line) else { return Some(Step::Invalid) };
        let kind = line[0];
        if self.chunks != (kind == b';') {
            return Some(Step::Invalid);
        }
        match header {
            Header::Line => self.element(kind, Value::Line(&line[1..])),
            Header::Null => self.element(kind, Value::Null),
            Header::Text(0) if self.chunks => {
                self.chunks = false;
                self.element(b'$', Value::Stream);
            }
            Header::Text(length) => self.place = Place::Text { kind, length, left: length + 2 },
            Header::Chunks => self.chunks = true,
            Header::Elements(count) if kind == b'|' && self.index == 0 && self.aside == 0 => {
                self.aside = count;
            }
            Header::Elements(count) => {
                let due = if self.aside > 0 { &mut self.aside } else { &mut self.left };
                // An attribute is none of the elements it stands among.
                *due = due.saturating_add(count + u64::from(kind == b'|'));
                self.element(kind, Value::Elements(count));
            }
            Header::Stream => {
                if self.streams.len() >= DEEPEST || self.aside > 0 {
                    return Some(Step::Invalid);
                }
                let index = self.index;
                self.assembly.element(Element { index, kind, value: Value::Stream });
                self.index += 1;
                self.streams.push(self.left);
                self.left = ENDLESS;
            }
            Header::End => {
                let Some(left) = self.streams.pop() else { return Some(Step::Invalid) };
                self.left = left.saturating_sub(1);
            }
        }
        None
    }

    fn element(&mut self, kind: u8, value: Value<'_>) {
        if self.aside > 0 {
            self.aside -= 1;
            return;
        }
        self.assembly.element(Element { index: self.index, kind, value });
        self.index += 1;
        self.left = self.left.saturating_sub(1);
    }

    /// The message, where nothing of it is due any more.
    fn or_message(&mut self, step: Option<Step>) -> Option<Step> {
        if step.is_some() || self.place != Place::Line || self.left > 0 || !self.streams.is_empty() {
            return step;
        }
        self.place = Place::Boundary;
        Some(Step::Message { extent: self.message, holes: std::mem::take(&mut self.holes) })
    }

    /// `None` when there may be more to do with the same input.
    fn text(&mut self, input: &mut Input<'_>, kind: u8, length: u64, left: u64) -> Option<Step> {
        let wanted = usize::try_from(length).unwrap_or(usize::MAX).min(KEPT);
        let unseen = input.gap.min(left);
        if unseen > 0 {
            let passed = length + 2 - left;
            self.hole |= passed < wanted as u64;
            self.holes |= self.hole;
            input.pass(unseen);
            self.message.wire_bytes += unseen;
            self.message.last = input.at;
        }
        let left = left - unseen;
        if left > 0 && (input.gap > 0 || input.bytes.is_empty()) {
            self.place = Place::Text { kind, length, left };
            return Some(Step::More);
        }
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.bytes.len());
        let seen = &input.bytes[..taken];
        let left = left - taken as u64;
        let missing = if self.hole { 0 } else { wanted - self.buffer.len() };
        if left > 0 {
            self.buffer.extend_from_slice(&seen[..taken.min(missing)]);
            self.advance(input, taken);
            self.place = Place::Text { kind, length, left };
            return Some(Step::More);
        }
        if !seen.is_empty() && !ends(seen) {
            return Some(Step::Invalid);
        }
        self.place = Place::Line;
        if self.chunks {
            self.buffer.clear();
            self.hole = false;
        } else if std::mem::take(&mut self.hole) {
            self.buffer.clear();
            self.element(kind, Value::Text { start: None, length });
        } else if self.buffer.is_empty() {
            self.element(kind, Value::Text { start: Some(&seen[..missing.min(taken)]), length });
        } else {
            self.buffer.extend_from_slice(&seen[..taken.min(missing)]);
            let held = std::mem::take(&mut self.buffer);
            self.element(kind, Value::Text { start: Some(&held), length });
            self.buffer = held;
            self.buffer.clear();
        }
        self.advance(input, taken);
        self.or_message(None)
    }

    fn advance(&mut self, input: &mut Input<'_>, length: usize) {
        input.advance(length);
        self.message.wire_bytes += length as u64;
        self.message.last = input.at;
    }
}

/// What is seen of a string's end is the end of CRLF.
fn ends(seen: &[u8]) -> bool {
    seen.ends_with(b"\r\n") || seen == b"\n"
}
