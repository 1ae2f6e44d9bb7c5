//! One direction of a connection: frame after frame, with what is missing in between.

use super::{
    Limits, Secrets,
    fields::{self, Fields},
    frame::{self, FRAME_SIZE, FRAME_SIZE_MAX, HEADER, Header, Kind, PREFACE},
    hpack::{self, Decoder},
    mask::{Mask, Shown},
    stream::Streams,
};
use crate::{
    exchange::{Extent, Party, Stamp},
    http::fnv1a,
    reader::Reader,
};

/// One delivery: `gap` bytes not seen, then `bytes`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a> {
    pub(super) at: Stamp,
    /// Stream offset of the gap, or of the bytes where there is none.
    pub(super) offset: u64,
    pub(super) gap: u64,
    pub(super) bytes: &'a [u8],
    /// The bytes begin a socket operation.
    pub(super) starts: bool,
}

#[derive(Debug)]
pub(super) enum Step<'a> {
    /// The input is used up.
    More,
    /// The client's preface passed: this is the connection's start.
    Preface,
    Block(Box<Block>),
    Data(Data<'a>),
    Settings(Settings),
    Reset {
        stream: u32,
        code: u32,
    },
    /// Streams above `last` were and will be ignored.
    GoAway {
        last: u32,
    },
    /// Frame boundaries are lost: in bytes not seen, or because what came was no frame.
    Lost {
        broken: bool,
    },
    /// So many bytes passed while the boundaries were lost.
    Skipped(u64),
}

/// A whole header block (RFC 9113 section 4.3), as far as it was seen.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) stream: u32,
    pub(super) ends_stream: bool,
    /// Of a PUSH_PROMISE.
    pub(super) promised: bool,
    pub(super) extent: Extent,
    /// Of the first 64 bytes on the wire; 0 where they were not all seen.
    pub(super) fingerprint: u64,
    pub(super) fields: Fields,
    /// Nothing of it was lost, cut or senseless.
    pub(super) whole: bool,
    /// It was seen and makes no sense.
    pub(super) malformed: bool,
}

/// A piece of a DATA frame.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Data<'a> {
    pub(super) stream: u32,
    /// With the frame's header, in the frame's first piece.
    pub(super) wire: u64,
    /// Payload not seen, then seen, without padding.
    pub(super) gap: u64,
    pub(super) bytes: &'a [u8],
    /// The payload's length is not known, because that of its padding is not.
    pub(super) inexact: bool,
    pub(super) ends_stream: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Settings {
    pub(super) table_size: Option<u32>,
    pub(super) frame_size: Option<u32>,
}

/// ```text
/// Preface ──▶ Header ── 9 bytes ──▶ Data / Payload ── length ──▶ Header
///                └── a gap, no frame ──▶ Lost ── start of an operation ──▶ Header
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The buffer holds the preface's start.
    Preface,
    /// The buffer holds a header's start.
    Header,
    Data {
        header: Header,
        left: u32,
        padding: Padding,
    },
    /// The buffer holds the payload's start, as far as it is kept.
    Payload {
        header: Header,
        left: u32,
        holed: bool,
    },
    Lost,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Padding {
    /// The next byte is its length.
    Due,
    Length(u32),
    Unseen,
}

#[derive(Debug)]
pub(super) struct Parser {
    party: Party,
    phase: Phase,
    decoder: Decoder,
    /// Stream offset of the next byte.
    pub(super) expected: Option<u64>,
    /// When bytes last passed.
    pub(super) last: Stamp,
    /// The longest payload the other side allows.
    max_frame: u32,
    allowed: Settings,
    buffer: Vec<u8>,
    /// Of the current frame.
    first: Stamp,
    offset: u64,
    open: Option<OpenBlock>,
    /// No header block was read yet, and nothing was missed since the first byte seen.
    fresh: bool,
    mask: Option<Box<Mask>>,
}

/// A header block of which more is to come.
#[derive(Debug)]
struct OpenBlock {
    block: Block,
    bytes: Vec<u8>,
    /// Cut: what comes is passed over.
    spoilt: bool,
}

/// A fingerprint covers this much of a request's first frame.
const FINGERPRINT_MAX: usize = 64;
/// SETTINGS beyond this are not read; there are six.
const SETTINGS_MAX: usize = 512;
/// Bytes of a header block's frame that wait to be shown; as many as [`Limits::block`] keeps by default.
const BLOCK_HELD: usize = 64 * 1024;
/// A buffer that grew beyond this is given back after use.
const BUFFER_KEPT: usize = 512;

impl Parser {
    /// From the first byte, which is at `offset`, or from somewhere in the middle.
    pub(super) fn new(party: Party, start: Option<u64>, limits: &Limits) -> Self {
        let mut parser = Self {
            party,
            phase: Phase::Lost,
            decoder: Decoder::new(limits.table, fields::is_wanted),
            expected: start,
            last: Stamp::default(),
            max_frame: FRAME_SIZE_MAX,
            allowed: Settings::default(),
            buffer: Vec::new(),
            first: Stamp::default(),
            offset: 0,
            open: None,
            fresh: true,
            mask: None,
        };
        if start.is_some() {
            parser.phase = if party == Party::Client { Phase::Preface } else { Phase::Header };
            parser.max_frame = FRAME_SIZE;
        } else {
            parser.decoder.taint();
            parser.decoder.allow_any();
        }
        parser
    }

    /// Says what of the bytes can be shown, from here on.
    pub(super) fn mask(&mut self, secrets: Secrets) {
        self.decoder.hide(secrets);
        self.mask = Some(Box::new(Mask::new(secrets)));
    }

    /// What can be shown, since the last call.
    pub(super) fn take_shown(&mut self) -> Vec<Shown> {
        self.mask.as_mut().map_or_else(Vec::new, |mask| mask.take_shown(self.party))
    }

    /// Some bytes wait for others before they can be shown.
    pub(super) fn is_holding(&self) -> bool {
        self.mask.as_ref().is_some_and(|mask| mask.is_holding())
    }

    /// The connection's start was seen, so everything is known, unless something was missed.
    pub(super) fn begin(&mut self, limits: &Limits) {
        if !self.fresh {
            return;
        }
        self.decoder = Decoder::new(limits.table, fields::is_wanted);
        if let Some(mask) = &self.mask {
            self.decoder.hide(mask.secrets);
        }
        self.max_frame = FRAME_SIZE;
        // The server may have sent its settings before.
        self.allow(self.allowed);
        if self.phase == Phase::Lost {
            self.phase = Phase::Header;
        }
    }

    /// What the other side allows this one.
    pub(super) fn allow(&mut self, settings: Settings) {
        if let Some(size) = settings.table_size {
            self.decoder.allow(usize::try_from(size).unwrap_or(usize::MAX));
        }
        if let Some(size) = settings.frame_size {
            self.max_frame = self.max_frame.max(size.min(FRAME_SIZE_MAX));
        }
        self.allowed.table_size = self.allowed.table_size.max(settings.table_size);
        self.allowed.frame_size = self.allowed.frame_size.max(settings.frame_size);
    }

    /// Nobody says what the other side allows.
    pub(super) fn allow_any(&mut self) {
        self.decoder.allow_any();
        self.max_frame = FRAME_SIZE_MAX;
    }

    /// Frame boundaries are known.
    pub(super) fn is_locked(&self) -> bool {
        !matches!(self.phase, Phase::Lost | Phase::Closed)
    }

    /// A frame begins next that may be any but CONTINUATION.
    pub(super) fn is_between_frames(&self) -> bool {
        self.phase == Phase::Header && self.buffer.is_empty() && self.open.is_none()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    pub(super) fn close(&mut self) {
        self.phase = Phase::Closed;
        self.buffer = Vec::new();
        self.open = None;
        self.decoder = Decoder::new(0, |_| false);
    }

    pub(super) fn buffered(&self) -> usize {
        let open = self.open.as_ref().map_or(0, |open| open.bytes.capacity());
        let held = self.mask.as_ref().map_or(0, |mask| mask.buffered());
        self.buffer.capacity() + open + self.decoder.buffered() + held
    }

    pub(super) fn step<'a>(&mut self, input: &mut Input<'a>, streams: &Streams, limits: &Limits) -> Step<'a> {
        self.last = input.at;
        match self.phase {
            Phase::Preface => self.step_preface(input),
            Phase::Header => self.step_header(input),
            Phase::Data { header, left, padding } => self.step_data(input, header, left, padding),
            Phase::Payload { header, left, holed } => self.step_payload(input, header, left, holed, limits),
            Phase::Lost => self.step_lost(input, streams),
            Phase::Closed => {
                self.pass(input, input.gap, input.bytes.len());
                Step::More
            }
        }
    }

    fn step_preface<'a>(&mut self, input: &mut Input<'a>) -> Step<'a> {
        if input.gap > 0 {
            return self.lose(false);
        }
        let due = &PREFACE[self.buffer.len()..];
        let common = due.iter().zip(input.bytes).take_while(|(due, byte)| due == byte).count();
        if common < due.len().min(input.bytes.len()) {
            return self.lose(true);
        }
        self.buffer.extend_from_slice(&input.bytes[..common]);
        self.pass(input, 0, common);
        if self.buffer.len() < PREFACE.len() {
            return Step::More;
        }
        self.buffer.clear();
        self.phase = Phase::Header;
        Step::Preface
    }

    fn step_header<'a>(&mut self, input: &mut Input<'a>) -> Step<'a> {
        if input.gap > 0 {
            return self.lose(false);
        }
        if input.bytes.is_empty() {
            return Step::More;
        }
        if self.buffer.is_empty() {
            self.first = input.at;
            self.offset = input.offset;
        }
        let raw = if let Some(raw) = input.bytes.first_chunk().filter(|_| self.buffer.is_empty()) {
            self.pass(input, 0, HEADER);
            *raw
        } else {
            let taken = input.bytes.len().min(HEADER - self.buffer.len());
            self.buffer.extend_from_slice(&input.bytes[..taken]);
            self.pass(input, 0, taken);
            let Some(raw) = self.buffer.first_chunk() else { return Step::More };
            let raw = *raw;
            self.buffer.clear();
            raw
        };
        let header = Header::parse(raw);
        let due = match &self.open {
            // Section 6.10: nothing comes between the parts of a header block.
            Some(open) => header.kind == Kind::Continuation && header.stream == open.block.stream,
            None => header.kind != Kind::Continuation,
        };
        let valid = due && header.is_valid(self.party, self.max_frame);
        if let Some(mask) = &mut self.mask {
            mask.header(valid);
        }
        if !valid {
            return self.lose(true);
        }
        let left = header.length;
        self.phase = if header.kind == Kind::Data {
            let padding = if header.is_padded() { Padding::Due } else { Padding::Length(0) };
            Phase::Data { header, left, padding }
        } else {
            Phase::Payload { header, left, holed: false }
        };
        self.step_empty(header)
    }

    /// A frame without payload ends with its header; one with payload goes on.
    fn step_empty<'a>(&mut self, header: Header) -> Step<'a> {
        if header.length > 0 || header.kind != Kind::Data {
            return Step::Skipped(0);
        }
        self.phase = Phase::Header;
        Step::Data(Data {
            stream: header.stream,
            wire: HEADER as u64,
            gap: 0,
            bytes: &[],
            inexact: header.is_padded(),
            ends_stream: header.ends_stream(),
        })
    }

    fn step_data<'a>(
        &mut self,
        input: &mut Input<'a>,
        header: Header,
        left: u32,
        mut padding: Padding,
    ) -> Step<'a> {
        let mut wire = if left == header.length { HEADER as u64 } else { 0 };
        let (mut left, due) = (left, left);
        if padding == Padding::Due {
            if input.gap > 0 {
                padding = Padding::Unseen;
            } else if let Some(&length) = input.bytes.first() {
                padding = Padding::Length(u32::from(length));
                self.pass(input, 0, 1);
                wire += 1;
                left -= 1;
            } else {
                return Step::More;
            }
        }
        let gap = u32::try_from(input.gap).map_or(left, |gap| gap.min(left));
        let seen = if u64::from(gap) < input.gap { 0 } else { bounded(input.bytes.len(), left - gap) };
        if left == due && gap == 0 && seen == 0 {
            return Step::More;
        }
        let bytes = &input.bytes[..seen as usize];
        self.pass(input, u64::from(gap), seen as usize);
        let padded = match padding {
            Padding::Length(length) => length,
            Padding::Due | Padding::Unseen => left,
        };
        let payload = left.saturating_sub(padded);
        let data = Data {
            stream: header.stream,
            wire: wire + u64::from(gap) + u64::from(seen),
            gap: u64::from(gap.min(payload)),
            bytes: &bytes[..(seen.min(payload - gap.min(payload))) as usize],
            inexact: padding == Padding::Unseen || padded > left && wire > 0,
            ends_stream: header.ends_stream() && left == gap + seen,
        };
        left -= gap + seen;
        self.phase = if left == 0 { Phase::Header } else { Phase::Data { header, left, padding } };
        Step::Data(data)
    }

    fn step_payload<'a>(
        &mut self,
        input: &mut Input<'a>,
        header: Header,
        mut left: u32,
        mut holed: bool,
        limits: &Limits,
    ) -> Step<'a> {
        if input.gap > 0 && left > 0 {
            let gap = u32::try_from(input.gap).map_or(left, |gap| gap.min(left));
            self.pass(input, u64::from(gap), 0);
            left -= gap;
            holed = true;
        }
        let seen = if input.gap > 0 { 0 } else { bounded(input.bytes.len(), left) };
        let bytes = &input.bytes[..seen as usize];
        self.pass(input, 0, seen as usize);
        if !holed && (left > seen || !self.buffer.is_empty()) {
            let room = kept(header.kind, limits).saturating_sub(self.buffer.len());
            self.buffer.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        left -= seen;
        if left > 0 {
            self.phase = Phase::Payload { header, left, holed };
            return Step::More;
        }
        self.phase = Phase::Header;
        let buffer = std::mem::take(&mut self.buffer);
        let payload = if buffer.is_empty() && !holed { bytes } else { &buffer };
        let step = self.frame(header, payload, input.at, limits);
        self.buffer = buffer;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT);
        step
    }

    /// A frame at its end; `payload` is what is known of its start.
    fn frame<'a>(&mut self, header: Header, payload: &[u8], at: Stamp, limits: &Limits) -> Step<'a> {
        let word =
            |at: usize| payload.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_be_bytes);
        match header.kind {
            Kind::Headers | Kind::PushPromise => {
                let extent = Extent {
                    first: self.first,
                    last: at,
                    offset: self.offset,
                    wire_bytes: HEADER as u64 + u64::from(header.length),
                };
                let block = Block {
                    stream: header.stream,
                    ends_stream: header.ends_stream(),
                    promised: header.kind == Kind::PushPromise,
                    extent,
                    fingerprint: fingerprint(&header, payload),
                    fields: Fields::default(),
                    whole: true,
                    malformed: false,
                };
                self.fragment(OpenBlock { block, bytes: Vec::new(), spoilt: false }, header, payload, limits)
            }
            Kind::Continuation => {
                let Some(mut open) = self.open.take() else { return Step::Skipped(0) };
                open.block.extent.last = at;
                open.block.extent.wire_bytes += HEADER as u64 + u64::from(header.length);
                self.fragment(open, header, payload, limits)
            }
            Kind::Settings if !header.is_ack() => Step::Settings(settings(payload)),
            Kind::Reset => match word(0) {
                Some(code) => Step::Reset { stream: header.stream, code },
                None => Step::Reset { stream: header.stream, code: 0 },
            },
            Kind::GoAway => match word(0) {
                Some(last) => Step::GoAway { last: last & 0x7fff_ffff },
                None => Step::Skipped(0),
            },
            Kind::Data
            | Kind::Priority
            | Kind::Settings
            | Kind::Ping
            | Kind::WindowUpdate
            | Kind::PriorityUpdate
            | Kind::Other => Step::Skipped(0),
        }
    }

    /// Adds a fragment to a header block, and reads the block at its end.
    fn fragment<'a>(
        &mut self,
        mut open: OpenBlock,
        header: Header,
        payload: &[u8],
        limits: &Limits,
    ) -> Step<'a> {
        let fragment = header.fragment(payload);
        if let Some(mask) = &mut self.mask {
            mask.fragment(&header, payload, open.spoilt);
        }
        let cut = payload.len() < header.length as usize;
        open.block.malformed |= fragment.is_none() && !cut;
        let fragment = fragment.unwrap_or_default();
        let ends = header.ends_headers();
        if !open.spoilt && ends && open.bytes.is_empty() {
            self.decode(&mut open.block, fragment, cut, limits);
        } else if !open.spoilt {
            let room = limits.block.saturating_sub(open.bytes.len());
            let cut = cut || fragment.len() > room;
            open.bytes.extend_from_slice(&fragment[..fragment.len().min(room)]);
            if ends || cut {
                let bytes = std::mem::take(&mut open.bytes);
                self.decode(&mut open.block, &bytes, cut, limits);
            }
            open.spoilt = cut;
        }
        if ends {
            return Step::Block(Box::new(open.block));
        }
        self.open = Some(open);
        Step::Skipped(0)
    }

    fn decode(&mut self, block: &mut Block, bytes: &[u8], cut: bool, limits: &Limits) {
        self.fresh = false;
        let fields = &mut block.fields;
        let decoded = self.decoder.decode(bytes, limits.list, |field| fields.keep(field, limits));
        if let Some(mask) = &mut self.mask {
            mask.block(bytes, &self.decoder);
        }
        block.malformed |= decoded.is_err() && !cut;
        block.whole = decoded == Ok(hpack::Extent::Whole) && !cut && !block.malformed;
        if decoded.is_err() || cut {
            self.decoder.taint();
        }
    }

    fn step_lost<'a>(&mut self, input: &mut Input<'a>, streams: &Streams) -> Step<'a> {
        let is_open = |stream| streams.is_open(stream);
        let all = input.gap.saturating_add(input.bytes.len() as u64);
        if all == 0 {
            return Step::More;
        }
        if input.starts && input.gap == 0 {
            let preface = self.party == Party::Client && self.fresh;
            let common = input.bytes.len().min(PREFACE.len());
            if preface && common >= 3 && input.bytes[..common] == PREFACE[..common] {
                self.phase = Phase::Preface;
                return Step::Skipped(0);
            }
            if frame::begins_with_frame(self.party, input.bytes, self.max_frame, is_open) {
                self.show_headers(input.offset, input.bytes);
                self.phase = Phase::Header;
                return Step::Skipped(0);
            }
        }
        self.fresh = false;
        let frames = frame::end_with_frames(self.party, input.bytes, self.max_frame, is_open);
        if let Some(at) = frames.filter(|_| input.gap > 0 || input.bytes.len() <= TAIL) {
            self.pass(input, input.gap, at);
            self.show_headers(input.offset, input.bytes);
            self.phase = Phase::Header;
            return Step::Skipped(all - input.bytes.len() as u64);
        }
        self.pass(input, input.gap, input.bytes.len());
        Step::Skipped(all)
    }

    /// What found these frames has looked at all their headers, and so will whoever reads what is shown: also where the
    /// connection is given up at the first of them.
    fn show_headers(&mut self, offset: u64, bytes: &[u8]) {
        if let Some(mask) = &mut self.mask {
            for (at, header) in frame::headers(self.party, bytes, self.max_frame) {
                mask.show(offset.saturating_add(at as u64), &header);
            }
        }
    }

    /// Frame boundaries are lost, and with them any header block that passes.
    fn lose<'a>(&mut self, broken: bool) -> Step<'a> {
        self.buffer.clear();
        self.open = None;
        self.fresh = false;
        self.decoder.taint();
        self.phase = Phase::Lost;
        if let Some(mask) = &mut self.mask {
            mask.lose();
        }
        Step::Lost { broken }
    }

    fn pass(&mut self, input: &mut Input<'_>, gap: u64, bytes: usize) {
        if let Some(mask) = self.mask.as_mut().filter(|_| bytes > 0) {
            let offset = input.offset.saturating_add(gap);
            match self.phase {
                Phase::Preface | Phase::Data { .. } => mask.show(offset, &input.bytes[..bytes]),
                Phase::Header => mask.hold_header(offset, &input.bytes[..bytes]),
                Phase::Payload { header, holed, .. } if header.is_block() => {
                    if !holed {
                        mask.hold(offset, &input.bytes[..bytes], BLOCK_HELD);
                    }
                }
                // Nobody reads the payloads of others.
                Phase::Payload { header, .. } if header.kind != Kind::Other => {
                    mask.show(offset, &input.bytes[..bytes]);
                }
                Phase::Payload { .. } | Phase::Lost | Phase::Closed => {}
            }
        }
        input.gap -= gap;
        input.bytes = &input.bytes[bytes..];
        input.offset = input.offset.saturating_add(gap).saturating_add(bytes as u64);
        input.starts &= gap == 0 && bytes == 0;
    }
}

/// The kernel shows so much of an operation's end.
const TAIL: usize = 16;

/// How much of a frame's payload matters.
fn kept(kind: Kind, limits: &Limits) -> usize {
    match kind {
        Kind::Headers | Kind::PushPromise | Kind::Continuation => limits.block,
        Kind::Settings => SETTINGS_MAX,
        Kind::Reset | Kind::GoAway => 8,
        Kind::Data
        | Kind::Priority
        | Kind::Ping
        | Kind::WindowUpdate
        | Kind::PriorityUpdate
        | Kind::Other => 0,
    }
}

fn bounded(available: usize, most: u32) -> u32 {
    u32::try_from(available).map_or(most, |available| available.min(most))
}

fn fingerprint(header: &Header, payload: &[u8]) -> u64 {
    let length = (FINGERPRINT_MAX - HEADER).min(header.length as usize);
    let Some(payload) = payload.get(..length) else { return 0 };
    let mut bytes = [0; FINGERPRINT_MAX];
    bytes[..HEADER].copy_from_slice(&header.raw);
    bytes[HEADER..HEADER + length].copy_from_slice(payload);
    fnv1a(&bytes[..HEADER + length])
}

/// RFC 9113 section 6.5.
fn settings(payload: &[u8]) -> Settings {
    let mut settings = Settings::default();
    let mut reader = Reader::new(payload);
    while let (Some(id), Some(value)) = (reader.u16(), reader.u32()) {
        match id {
            0x1 => settings.table_size = Some(value),
            0x5 => settings.frame_size = Some(value),
            _ => {}
        }
    }
    settings
}
