//! Bytes to frames (RFC 9113 sections 4 and 6), and whether bytes look like frames at all. No state.

use std::ops::Range;

use super::hpack::{Decoder, Field};
use crate::{exchange::Party, reader::Reader};

/// Section 3.4: what a client sends first.
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Length of a frame's header.
pub(super) const HEADER: usize = 9;
/// SETTINGS_MAX_FRAME_SIZE where it was not set, and the largest there is.
pub(super) const FRAME_SIZE: u32 = 1 << 14;
pub(super) const FRAME_SIZE_MAX: u32 = (1 << 24) - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) raw: [u8; HEADER],
    /// Of the payload.
    pub(super) length: u32,
    pub(super) kind: Kind,
    flags: u8,
    pub(super) stream: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Priority,
    Reset,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// RFC 9218.
    PriorityUpdate,
    /// Ignored by all (section 5.5).
    Other,
}

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

impl Header {
    pub(super) fn parse(raw: [u8; HEADER]) -> Self {
        let [a, b, c, kind, flags, s, t, u, v] = raw;
        Self {
            raw,
            length: u32::from_be_bytes([0, a, b, c]),
            kind: Kind::of(kind),
            flags,
            stream: u32::from_be_bytes([s & 0x7f, t, u, v]),
        }
    }

    pub(super) fn ends_stream(&self) -> bool {
        matches!(self.kind, Kind::Data | Kind::Headers) && self.flags & END_STREAM != 0
    }

    pub(super) fn ends_headers(&self) -> bool {
        self.flags & END_HEADERS != 0
    }

    pub(super) fn is_padded(&self) -> bool {
        matches!(self.kind, Kind::Data | Kind::Headers | Kind::PushPromise) && self.flags & PADDED != 0
    }

    /// Its payload is a header block or a part of one.
    pub(super) fn is_block(&self) -> bool {
        matches!(self.kind, Kind::Headers | Kind::PushPromise | Kind::Continuation)
    }

    pub(super) fn is_ack(&self) -> bool {
        matches!(self.kind, Kind::Settings | Kind::Ping) && self.flags & ACK != 0
    }

    /// What section 6 asks of every frame; whoever receives another ends the connection.
    pub(super) fn is_valid(&self, from: Party, max_length: u32) -> bool {
        let on_stream = self.stream != 0;
        self.length <= max_length
            && match self.kind {
                Kind::Data | Kind::Continuation => on_stream,
                Kind::Headers => on_stream && (from == Party::Server || self.stream % 2 == 1),
                // A wrong length is an error of the stream alone.
                Kind::Priority => on_stream,
                Kind::Reset => on_stream && self.length == 4,
                Kind::Settings => {
                    !on_stream && self.length.is_multiple_of(6) && !(self.is_ack() && self.length > 0)
                }
                Kind::PushPromise => on_stream && from == Party::Server,
                Kind::Ping => !on_stream && self.length == 8,
                Kind::GoAway => !on_stream && self.length >= 8,
                Kind::WindowUpdate => self.length == 4,
                Kind::PriorityUpdate => !on_stream,
                Kind::Other => true,
            }
    }

    /// Stricter than [`Self::is_valid`]: what endpoints send, not what they must accept.
    fn is_plausible(&self, from: Party, max_length: u32) -> bool {
        let flags = match self.kind {
            Kind::Data => END_STREAM | PADDED,
            Kind::Headers => END_STREAM | END_HEADERS | PADDED | PRIORITY,
            Kind::Settings | Kind::Ping => ACK,
            Kind::PushPromise => END_HEADERS | PADDED,
            Kind::Continuation => END_HEADERS,
            Kind::Priority | Kind::Reset | Kind::GoAway | Kind::WindowUpdate | Kind::PriorityUpdate => 0,
            Kind::Other => return false,
        };
        let pushed = from == Party::Server && self.stream.is_multiple_of(2);
        self.is_valid(from, max_length)
            && self.flags & !flags == 0
            && self.raw[5] & 0x80 == 0
            && (self.stream == 0 || self.stream % 2 == 1 || pushed)
            && (self.kind != Kind::Priority || self.length == 5)
    }

    /// The header block fragment in a payload of which the first bytes are known: without padding,
    /// priority and promised stream. `None` where these take more than there is.
    pub(super) fn fragment<'a>(&self, known: &'a [u8]) -> Option<&'a [u8]> {
        known.get(self.fragment_range(known)?)
    }

    /// The same, as a range of what is known.
    pub(super) fn fragment_range(&self, known: &[u8]) -> Option<Range<usize>> {
        let mut reader = Reader::new(known);
        let padding = if self.is_padded() { usize::from(reader.u8()?) } else { 0 };
        match self.kind {
            Kind::Headers if self.flags & PRIORITY != 0 => reader.take(5).map(|_| ())?,
            Kind::PushPromise => reader.take(4).map(|_| ())?,
            _ => {}
        }
        let length = usize::try_from(self.length).ok()?.checked_sub(reader.position())?;
        let length = length.checked_sub(padding)?;
        let start = reader.position();
        Some(start..known.len().min(start + length))
    }
}

impl Kind {
    fn of(kind: u8) -> Self {
        match kind {
            0 => Self::Data,
            1 => Self::Headers,
            2 => Self::Priority,
            3 => Self::Reset,
            4 => Self::Settings,
            5 => Self::PushPromise,
            6 => Self::Ping,
            7 => Self::GoAway,
            8 => Self::WindowUpdate,
            9 => Self::Continuation,
            0x10 => Self::PriorityUpdate,
            _ => Self::Other,
        }
    }
}

/// Whether a socket operation whose start is `bytes` begins with a frame, for one who lost track.
/// `is_open`: streams that are known to be open.
///
/// Frame after frame must be plausible as far as can be seen. One alone counts when it ends with the
/// bytes, or when it belongs to an open stream: eight bytes of a body may look like a header by chance.
pub(super) fn begins_with_frame(
    from: Party,
    bytes: &[u8],
    max_length: u32,
    is_open: impl Fn(u32) -> bool,
) -> bool {
    let mut frames = Frames { rest: bytes, from, max_length, continues: None };
    let Some(Some(first)) = frames.next() else { return false };
    if first.kind == Kind::Continuation {
        return false;
    }
    let mut count = 1;
    for frame in frames.by_ref() {
        match frame {
            Some(_) => count += 1,
            None => return false,
        }
    }
    let begun = frames.rest;
    // Some read a header first, and then what it announces.
    let exact = begun.is_empty() && (frames.ended() || bytes.len() == HEADER);
    exact || count > 1 || is_open(first.stream)
}

/// The headers of the frames that `bytes` begin with, and where they are.
pub(super) fn headers(
    from: Party,
    bytes: &[u8],
    max_length: u32,
) -> impl Iterator<Item = (usize, [u8; HEADER])> {
    let mut frames = Frames { rest: bytes, from, max_length, continues: None };
    std::iter::from_fn(move || {
        let at = bytes.len() - frames.rest.len();
        Some((at, frames.next()??.raw))
    })
}

/// Where the frames begin that end exactly with the tail of a socket operation; the first of them ends an
/// open stream, which makes nine bytes that are not a header very unlikely to pass.
pub(super) fn end_with_frames(
    from: Party,
    tail: &[u8],
    max_length: u32,
    is_open: impl Fn(u32) -> bool,
) -> Option<usize> {
    (0..(tail.len() + 1).saturating_sub(HEADER)).find(|&at| {
        let mut frames = Frames { rest: &tail[at..], from, max_length, continues: None };
        let Some(Some(first)) = frames.next() else { return false };
        first.ends_stream() && is_open(first.stream) && frames.all(|frame| frame.is_some()) && frames.ended()
    })
}

/// What the first bytes of a socket operation say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// Too few to say, or frames that both sides send.
    Open,
    /// The party that sent them.
    From(Party),
    /// No frames.
    Other,
}

/// Judges the first bytes of a socket operation. Without the preface it takes whole frames up to a header
/// block that was seen to its end, that reads as one, and that begins with a pseudo-header field.
pub(crate) fn first(bytes: &[u8]) -> First {
    if bytes.starts_with(PREFACE) {
        return First::From(Party::Client);
    }
    if PREFACE.starts_with(bytes) {
        return First::Open;
    }
    // A server may send all that a client may.
    let mut frames = Frames { rest: bytes, from: Party::Server, max_length: FRAME_SIZE, continues: None };
    let mut before = bytes;
    while let Some(frame) = frames.next() {
        let Some(header) = frame else { return First::Other };
        if header.kind == Kind::Headers && header.ends_headers() {
            let Some(payload) = before[HEADER..].get(..header.length as usize) else { return First::Open };
            let Some(party) = header.fragment(payload).and_then(sender) else { return First::Other };
            return match party {
                Some(party) => First::From(party),
                None => First::Open,
            };
        }
        before = frames.rest;
    }
    // What is left is the start of a header: a length of at most 2^14, then a kind.
    let plausible = match *frames.rest {
        [high, middle, _, kind, ..] => high == 0 && u32::from(middle) <= FRAME_SIZE >> 8 && kind <= 0x10,
        [high, middle, ..] => high == 0 && u32::from(middle) <= FRAME_SIZE >> 8,
        [high] => high == 0,
        [] => true,
    };
    if plausible { First::Open } else { First::Other }
}

/// Whether a socket operation that begins like this may be of HTTP/2, with a header block in it or a part of one.
#[must_use]
pub fn may_hold_a_block(bytes: &[u8]) -> bool {
    let mut frames = Frames { rest: bytes, from: Party::Server, max_length: FRAME_SIZE, continues: None };
    first(bytes) != First::Other && frames.any(|frame| frame.is_some_and(|header| header.is_block()))
}

/// Who sent a header block; `Some(None)` for trailers, `None` where it is no header block.
fn sender(block: &[u8]) -> Option<Option<Party>> {
    let mut decoder = Decoder::new(0, |name| name.starts_with(b":"));
    decoder.taint();
    decoder.allow_any();
    let mut party = None;
    decoder
        .decode(block, usize::MAX, |field| {
            if let Field::Known { name, .. } = field {
                party = party.or(match name {
                    b":status" => Some(Party::Server),
                    b":method" | b":scheme" | b":path" | b":authority" => Some(Party::Client),
                    _ => None,
                });
            }
        })
        .ok()?;
    Some(party)
}

/// The headers of frames that follow each other; `None` for what is not plausible.
struct Frames<'a> {
    rest: &'a [u8],
    from: Party,
    max_length: u32,
    /// The stream whose header block is not at its end.
    continues: Option<u32>,
}

impl Frames<'_> {
    /// The last frame was whole.
    fn ended(&self) -> bool {
        self.rest.is_empty() && self.continues != Some(0)
    }
}

impl Iterator for Frames<'_> {
    type Item = Option<Header>;

    fn next(&mut self) -> Option<Option<Header>> {
        let (raw, payload) = self.rest.split_first_chunk()?;
        let header = Header::parse(*raw);
        let due = match self.continues {
            Some(stream) => header.kind == Kind::Continuation && header.stream == stream,
            None => header.kind != Kind::Continuation,
        };
        if !due || !header.is_plausible(self.from, self.max_length) {
            self.rest = &[];
            return Some(None);
        }
        self.continues = (header.is_block() && !header.ends_headers()).then_some(header.stream);
        match usize::try_from(header.length).ok().and_then(|length| payload.get(length..)) {
            Some(rest) => self.rest = rest,
            None => {
                self.rest = &[];
                // No stream has this number: nothing can continue what was not seen to its end.
                self.continues = Some(0);
            }
        }
        Some(Some(header))
    }
}
