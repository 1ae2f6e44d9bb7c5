//! One direction of a connection: message after message, with what is missing in between.

use super::{
    Limits,
    chunked::{BlankLine, Chunked, Progress},
    frame::{self, Head, Scan},
};
use crate::exchange::{Extent, Party, Stamp};

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
pub(super) enum Step {
    /// The input is used up.
    More,
    /// A head; the caller says with [`Parser::begin_body`] what follows.
    Head(Head),
    /// The message ended.
    End,
    Fault(Fault),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A message was due and was not seen, or not enough of its start. Nothing is known of it.
    Unseen,
    /// What came was not a message. The rest of the input is dropped.
    NoMessage,
    /// The body's framing is lost in bytes not seen.
    FramingUnseen,
    /// The body's framing is broken.
    FramingBroken,
}

/// How the end of a body is found (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    /// The end cannot be computed: a likely last chunk, the other side's next message or the close tells.
    Lost {
        chunked: bool,
    },
    /// Bytes after a CONNECT, whose answer decides what they are.
    Tunnel,
}

impl Body {
    pub(super) const EMPTY: Self = Self::Length(0);
}

/// ```text
/// Idle ── first byte ──▶ Head ── empty line ──▶ Framing ── begin_body ──▶ Body ── end ──▶ Idle
///                          └── too long, or a gap ──▶ Framing ──▶ HeadRest ──▶ Body
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    /// The head's first part is in the buffer; no empty line before `scanned`.
    Head {
        scanned: usize,
    },
    Framing(Rest),
    /// Behind what was kept of a head, looking for its end.
    HeadRest {
        line: BlankLine,
        exact: bool,
        then: Body,
    },
    Body(Body),
    Closed,
}

/// What of a head has not been read when it is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    None,
    /// It goes on, seen but not kept.
    Long(BlankLine),
    /// It goes on in bytes that were not seen.
    Unseen,
}

#[derive(Debug)]
pub(super) struct Parser {
    party: Party,
    phase: Phase,
    /// Message boundaries are known; if not, only the start of a socket operation may begin one.
    locked: bool,
    /// Boundaries were known or assumed once, and were lost.
    lost: bool,
    /// Stream offset of the next byte.
    pub(super) expected: Option<u64>,
    pub(super) message: Extent,
    /// Body bytes without framing, of the current message.
    pub(super) payload: u64,
    /// The current body's framing is known, so `payload` counts.
    pub(super) framed: bool,
    buffer: Vec<u8>,
    /// The start line in the buffer came in one piece.
    line_in_one: bool,
    /// The last bytes seen of a body whose framing is lost; zero where unknown.
    window: u64,
}

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// `\r\n0\r\n\r\n`, as the window holds it.
const LAST_CHUNK_WINDOW: u64 = u64::from_be_bytes([0, b'\r', b'\n', b'0', b'\r', b'\n', b'\r', b'\n']);
/// A buffer that grew beyond this is given back after use.
const BUFFER_KEPT: usize = 512;

impl Parser {
    pub(super) fn new(party: Party, locked: bool) -> Self {
        Self {
            party,
            phase: Phase::Idle,
            locked,
            lost: false,
            expected: locked.then_some(0),
            message: Extent::default(),
            payload: 0,
            framed: true,
            buffer: Vec::new(),
            line_in_one: true,
            window: 0,
        }
    }

    pub(super) fn is_locked(&self) -> bool {
        self.locked
    }

    /// Message boundaries are known from here on.
    pub(super) fn lock(&mut self) {
        self.locked = true;
        self.lost = false;
    }

    /// The next message has to be looked for.
    pub(super) fn unlock(&mut self) {
        self.locked = false;
        self.lost = true;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.phase == Phase::Idle
    }

    pub(super) fn in_head(&self) -> bool {
        matches!(self.phase, Phase::Head { .. })
    }

    /// The body being read, if one is.
    pub(super) fn body(&self) -> Option<Body> {
        match self.phase {
            Phase::Body(body) => Some(body),
            _ => None,
        }
    }

    /// The end of the current message cannot be computed.
    pub(super) fn end_is_unknown(&self) -> bool {
        matches!(self.phase, Phase::Body(Body::Lost { .. }) | Phase::HeadRest { exact: false, .. })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    pub(super) fn buffered(&self) -> usize {
        self.buffer.capacity()
    }

    /// Says how the message goes on after its head.
    pub(super) fn begin_body(&mut self, body: Body) {
        let Phase::Framing(rest) = self.phase else { return };
        self.window = 0;
        self.framed = match body {
            Body::Lost { .. } | Body::Tunnel => false,
            Body::Length(_) | Body::Chunked(_) | Body::UntilClose => rest != Rest::Unseen,
        };
        self.phase = match (rest, body) {
            (Rest::None, body) => Phase::Body(body),
            (Rest::Long(line), then) => Phase::HeadRest { line, exact: true, then },
            (Rest::Unseen, Body::EMPTY) => {
                Phase::HeadRest { line: BlankLine::Filled, exact: false, then: Body::EMPTY }
            }
            // Where the body begins is not known, so neither is its end.
            (Rest::Unseen, Body::Chunked(_) | Body::Lost { chunked: true }) => {
                Phase::Body(Body::Lost { chunked: true })
            }
            (Rest::Unseen, Body::UntilClose) => Phase::Body(Body::UntilClose),
            (Rest::Unseen, Body::Length(_) | Body::Lost { .. } | Body::Tunnel) => {
                Phase::Body(Body::Lost { chunked: false })
            }
        };
    }

    /// A message that began at `at` and of which nothing is known; it ends when someone says so.
    pub(super) fn begin_unknown(&mut self) {
        self.release();
        self.unlock();
        self.lose_framing(false);
    }

    /// The current message's end can no longer be computed.
    pub(super) fn lose_framing(&mut self, chunked: bool) {
        self.window = 0;
        self.framed = false;
        self.phase = Phase::Body(Body::Lost { chunked });
    }

    /// Forgets the current message and looks for the next.
    pub(super) fn reset(&mut self) {
        self.release();
        self.unlock();
        self.phase = Phase::Idle;
    }

    /// Ends the current message here; the next follows.
    pub(super) fn skip_body(&mut self) {
        self.phase = Phase::Idle;
    }

    pub(super) fn close(&mut self) {
        self.release();
        self.phase = Phase::Closed;
    }

    /// Drops what the input still holds.
    pub(super) fn discard(&mut self, input: &mut Input<'_>) {
        let all = input.gap + input.bytes.len() as u64;
        input.gap = 0;
        input.bytes = &[];
        input.offset = input.offset.saturating_add(all);
    }

    /// Gives out an unfinished head as far as it is known; the message counts as cut there.
    pub(super) fn surrender_head(&mut self, limits: &Limits) -> Option<Head> {
        if !self.in_head() {
            return None;
        }
        let head = frame::scan_known(self.party, &self.buffer, limits)?;
        self.release();
        self.phase = Phase::Framing(Rest::Unseen);
        Some(head)
    }

    pub(super) fn step(&mut self, input: &mut Input<'_>, limits: &Limits) -> Step {
        match self.phase {
            Phase::Idle => self.step_idle(input, limits),
            Phase::Head { scanned } => self.step_head(input, scanned, limits),
            Phase::HeadRest { line, exact, then } => self.step_head_rest(input, line, exact, then),
            Phase::Body(body) => self.step_body(input, body),
            Phase::Framing(_) | Phase::Closed => {
                self.discard(input);
                Step::More
            }
        }
    }

    fn step_idle(&mut self, input: &mut Input<'_>, limits: &Limits) -> Step {
        if input.gap > 0 {
            self.begin_message(input);
            self.pass_gap(input, input.gap);
            return Step::Fault(Fault::Unseen);
        }
        if !self.locked && !input.starts && !input.bytes.is_empty() {
            self.lost = true;
            self.discard(input);
        }
        // RFC 9112 section 2.2: empty lines before a message are ignored.
        let blank = input.bytes.iter().take_while(|&&byte| matches!(byte, b'\r' | b'\n')).count();
        input.bytes = &input.bytes[blank..];
        input.offset = input.offset.saturating_add(blank as u64);
        if input.bytes.is_empty() {
            return Step::More;
        }
        self.begin_message(input);
        match frame::scan(self.party, input.bytes, limits) {
            Scan::Complete { head, length } if self.credible(input.bytes) => {
                self.pass(input, length);
                self.phase = Phase::Framing(Rest::None);
                Step::Head(head)
            }
            Scan::Complete { .. } | Scan::Malformed => self.no_message(input),
            Scan::Partial => {
                self.line_in_one = memchr::memchr(b'\n', input.bytes).is_some();
                self.step_head(input, 0, limits)
            }
        }
    }

    fn step_head(&mut self, input: &mut Input<'_>, scanned: usize, limits: &Limits) -> Step {
        if input.gap > 0 {
            let known = frame::scan_known(self.party, &self.buffer, limits);
            let Some(head) = known.filter(|_| self.credible(&self.buffer)) else {
                self.pass_gap(input, input.gap);
                self.reset();
                return Step::Fault(Fault::Unseen);
            };
            self.release();
            self.phase = Phase::Framing(Rest::Unseen);
            return Step::Head(head);
        }
        if !self.locked && !self.line_in_one && input.starts && !self.continues(input.bytes) {
            self.reset();
            return self.step_idle(input, limits);
        }
        let room = limits.head.saturating_sub(self.buffer.len());
        let before = self.buffer.len();
        self.buffer.extend_from_slice(&input.bytes[..input.bytes.len().min(room)]);
        // The empty line may have begun in the last bytes already scanned.
        match head_end(&self.buffer, scanned.saturating_sub(3)) {
            Some(end) => {
                self.buffer.truncate(end);
                self.pass(input, end - before);
                match frame::scan(self.party, &self.buffer, limits) {
                    Scan::Complete { head, .. } if self.credible(&self.buffer) => {
                        self.release();
                        self.phase = Phase::Framing(Rest::None);
                        Step::Head(head)
                    }
                    Scan::Complete { .. } | Scan::Partial | Scan::Malformed => self.no_message(input),
                }
            }
            None if self.buffer.len() < limits.head => {
                self.pass(input, self.buffer.len() - before);
                if memchr::memchr(b'\n', &self.buffer).is_none()
                    && !frame::plausible(self.party, &self.buffer)
                {
                    return self.no_message(input);
                }
                self.phase = Phase::Head { scanned: self.buffer.len() };
                Step::More
            }
            None => {
                self.pass(input, self.buffer.len() - before);
                let known = frame::scan_known(self.party, &self.buffer, limits);
                let Some(head) = known.filter(|_| self.credible(&self.buffer)) else {
                    return self.no_message(input);
                };
                let mut line = BlankLine::Fresh;
                line.find(&self.buffer);
                self.release();
                self.phase = Phase::Framing(Rest::Long(line));
                Step::Head(head)
            }
        }
    }

    fn step_head_rest(
        &mut self,
        input: &mut Input<'_>,
        mut line: BlankLine,
        mut exact: bool,
        then: Body,
    ) -> Step {
        if input.gap > 0 {
            exact = false;
            line = BlankLine::Filled;
            self.pass_gap(input, input.gap);
            if then != Body::EMPTY {
                self.lose_framing(matches!(then, Body::Chunked(_)));
                return Step::Fault(Fault::FramingUnseen);
            }
        }
        let (used, found) = line.find(input.bytes);
        self.pass(input, used);
        if found {
            self.phase = Phase::Body(then);
            // An empty line behind unseen bytes may be another message's, or a body's.
            if !exact {
                self.unlock();
            }
            return self.step_body(input, then);
        }
        self.phase = Phase::HeadRest { line, exact, then };
        Step::More
    }

    fn step_body(&mut self, input: &mut Input<'_>, body: Body) -> Step {
        match body {
            Body::Length(left) => {
                let blind = input.gap.min(left);
                self.pass_gap(input, blind);
                let mut left = left - blind;
                if input.gap == 0 {
                    let there = input.bytes.len();
                    let seen = usize::try_from(left).map_or(there, |left| left.min(there));
                    self.pass(input, seen);
                    left -= seen as u64;
                    self.payload += seen as u64;
                }
                self.payload = self.payload.saturating_add(blind);
                self.phase = Phase::Body(Body::Length(left));
                if left == 0 { self.end() } else { Step::More }
            }
            Body::Chunked(mut chunked) => {
                let blind = chunked.skip(input.gap, &mut self.payload);
                self.pass_gap(input, blind);
                if input.gap > 0 {
                    self.lose_framing(true);
                    return Step::Fault(Fault::FramingUnseen);
                }
                let (used, progress) = chunked.advance(input.bytes, &mut self.payload);
                self.pass(input, used);
                self.phase = Phase::Body(Body::Chunked(chunked));
                match progress {
                    Progress::More => Step::More,
                    Progress::End => self.end(),
                    Progress::Malformed => {
                        self.lose_framing(true);
                        Step::Fault(Fault::FramingBroken)
                    }
                }
            }
            Body::UntilClose => {
                let all = input.gap.saturating_add(input.bytes.len() as u64);
                self.payload = self.payload.saturating_add(all);
                self.pass_gap(input, input.gap);
                self.pass(input, input.bytes.len());
                Step::More
            }
            Body::Lost { chunked } => {
                if input.gap > 0 {
                    self.window = 0;
                    self.pass_gap(input, input.gap);
                }
                let alone = input.starts && input.bytes == LAST_CHUNK;
                let from = input.bytes.len().saturating_sub(8);
                for &byte in &input.bytes[from..] {
                    self.window = self.window << 8 | u64::from(byte);
                }
                self.pass(input, input.bytes.len());
                if chunked && (alone || self.window << 8 >> 8 == LAST_CHUNK_WINDOW) {
                    return self.end();
                }
                Step::More
            }
            Body::Tunnel => {
                self.payload = self.payload.saturating_add(input.gap + input.bytes.len() as u64);
                self.discard(input);
                Step::More
            }
        }
    }

    fn end(&mut self) -> Step {
        self.phase = Phase::Idle;
        Step::End
    }

    fn no_message(&mut self, input: &mut Input<'_>) -> Step {
        self.discard(input);
        self.release();
        self.phase = Phase::Idle;
        self.lost = true;
        Step::Fault(Fault::NoMessage)
    }

    fn begin_message(&mut self, input: &Input<'_>) {
        self.message = Extent { first: input.at, last: input.at, offset: input.offset, wire_bytes: 0 };
        self.payload = 0;
        self.framed = true;
        self.line_in_one = true;
    }

    /// `length` seen bytes belong to the current message.
    fn pass(&mut self, input: &mut Input<'_>, length: usize) {
        if length > 0 {
            input.bytes = &input.bytes[length..];
            input.starts = false;
            self.count(input, length as u64);
        }
    }

    /// `length` unseen bytes belong to the current message.
    fn pass_gap(&mut self, input: &mut Input<'_>, length: u64) {
        if length > 0 {
            input.gap -= length;
            self.count(input, length);
        }
    }

    fn count(&mut self, input: &mut Input<'_>, length: u64) {
        input.offset = input.offset.saturating_add(length);
        self.message.last = input.at;
        self.message.wire_bytes = self.message.wire_bytes.saturating_add(length);
    }

    /// Whether an operation's first bytes go on with the start line in the buffer, where boundaries
    /// are not known: a body's last bytes before a request must not become part of its method.
    fn continues(&self, bytes: &[u8]) -> bool {
        if self.party == Party::Server || self.buffer.is_empty() {
            return true;
        }
        let mut joined = [0; frame::METHOD_MAX + 1];
        let mut length = 0;
        for (slot, byte) in joined.iter_mut().zip(self.buffer.iter().chain(bytes)) {
            *slot = *byte;
            length += 1;
        }
        frame::starts_with_known_method(&joined[..length]) || !frame::starts_with_known_method(bytes)
    }

    /// Whether a start line may be believed. Where boundaries were lost, a request needs a registered
    /// method, or the tail of anything would become one; so does one that is pieced together.
    fn credible(&self, head: &[u8]) -> bool {
        self.locked
            || self.party == Party::Server
            || self.line_in_one && !self.lost
            || frame::starts_with_known_method(head)
    }

    fn release(&mut self) {
        if self.buffer.capacity() > BUFFER_KEPT {
            self.buffer = Vec::new();
        }
        self.buffer.clear();
    }
}

/// The length of a head up to and with its empty line, looked for from `from` on.
fn head_end(buffer: &[u8], from: usize) -> Option<usize> {
    memchr::memchr_iter(b'\n', &buffer[from..]).map(|at| from + at).find_map(|at| match buffer[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}
