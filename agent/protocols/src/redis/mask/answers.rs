//! Hiding what a server answers: strings, numbers, and the texts of errors behind their first word.

use crate::{
    mask::{self, HIDDEN, Walk},
    redis::{
        frame::{self, Header},
        parser::{DEEPEST, ENDLESS},
        reply::{LONGEST_CODE, News},
    },
};

/// What a line of text may say. Of others nothing is shown but whether they begin with a digit.
const WORDS: [&[u8]; 3] = [b"OK", b"QUEUED", b"PONG"];
/// A length with its kind is not longer.
const LONGEST_HEADER: usize = 24;

#[derive(Debug)]
pub(crate) struct AnswerMask {
    place: Place,
    /// A header so far, or what of a text is looked at, as it is shown.
    line: Vec<u8>,
    /// As in `Parser`: elements of the message so far, those that are due, and those of what is told beside it.
    index: u64,
    left: u64,
    aside: u64,
    streams: Vec<u64>,
    chunks: bool,
    /// The message tells how many subscriptions are left.
    counts: bool,
    /// What was taken for an element was none.
    broken: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// An element is due.
    Element,
    /// In a line that tells a length.
    Header,
    /// In a line that is the value; its last byte was a CR.
    Line { kind: u8, cr: bool },
    /// In a string, `left` bytes before its end.
    Text { kind: u8, length: u64, left: u64 },
    /// CR and LF behind it, so many of them.
    End { kind: u8, left: u8 },
}

impl Default for AnswerMask {
    fn default() -> Self {
        Self {
            place: Place::Element,
            line: Vec::new(),
            index: 0,
            left: 0,
            aside: 0,
            streams: Vec::new(),
            chunks: false,
            counts: false,
            broken: false,
        }
    }
}

impl Walk for AnswerMask {
    fn begins(&self, bytes: &[u8]) -> bool {
        frame::looks_like_reply(bytes)
    }

    fn begin(&mut self) {
        *self = Self::default();
    }

    fn step(&mut self, bytes: &mut [u8]) -> Option<usize> {
        match self.place {
            Place::Element => self.element(bytes[0]),
            Place::Header => self.header(bytes[0]),
            Place::Line { kind, cr } => {
                let byte = bytes[0];
                match byte {
                    b'\n' if cr => {
                        self.place = Place::Element;
                        self.pass_element(kind);
                    }
                    // With it a reader knows too that it is none.
                    b'\n' => self.broken = true,
                    b'\r' => self.place = Place::Line { kind, cr: true },
                    _ => {
                        bytes[0] = self.value(kind, byte);
                        self.place = Place::Line { kind, cr: false };
                    }
                }
                Some(1)
            }
            Place::Text { kind, length, left } => {
                let seen = mask::first(bytes, left);
                for byte in &mut *seen {
                    *byte = self.text(kind, length, *byte);
                }
                let left = left - seen.len() as u64;
                self.place =
                    if left > 0 { Place::Text { kind, length, left } } else { Place::End { kind, left: 2 } };
                Some(seen.len())
            }
            Place::End { kind, left } => {
                self.end(kind, left - 1);
                matches!(bytes[0], b'\r' | b'\n').then_some(1)
            }
        }
    }

    fn is_broken(&self) -> bool {
        self.broken
    }

    fn pass(&mut self, unseen: u64) -> bool {
        if unseen == 0 {
            return true;
        }
        let (kind, due) = match self.place {
            Place::Text { kind, left, .. } => (kind, left + 2),
            Place::End { kind, left } => (kind, u64::from(left)),
            Place::Element | Place::Header | Place::Line { .. } => return false,
        };
        let Some(left) = due.checked_sub(unseen) else { return false };
        // What of it was to be looked at was not seen as a whole.
        self.line = vec![HIDDEN];
        match (self.place, left) {
            (Place::Text { kind, length, .. }, 3..) => {
                self.place = Place::Text { kind, length, left: left - 2 };
            }
            _ => self.end(kind, u8::try_from(left).unwrap_or_default()),
        }
        true
    }

    fn ending(&self, bytes: &[u8]) -> usize {
        if bytes.ends_with(b"\r\n") { 2 } else { 0 }
    }
}

impl AnswerMask {
    /// The first byte of an element.
    fn element(&mut self, kind: u8) -> Option<usize> {
        if self.left == 0 && self.streams.is_empty() {
            *self = Self { left: 1, ..Self::default() };
        }
        self.line.clear();
        self.place = match kind {
            b'+' | b'-' | b':' | b',' | b'(' | b'#' if !self.chunks => Place::Line { kind, cr: false },
            b'$' | b'!' | b'=' | b'*' | b'~' | b'>' | b'%' | b'|' | b'_' | b';' | b'.' => {
                self.line.push(kind);
                Place::Header
            }
            _ => return None,
        };
        Some(1)
    }

    /// One more byte of a line that tells a length. As `Parser` reads it.
    fn header(&mut self, byte: u8) -> Option<usize> {
        if byte != b'\n' {
            self.line.push(byte);
            let could_be = byte.is_ascii_digit() || matches!(byte, b'-' | b'?' | b'\r');
            return (could_be && self.line.len() <= LONGEST_HEADER).then_some(1);
        }
        let line = std::mem::take(&mut self.line);
        let header = line.strip_suffix(b"\r").and_then(Header::parse);
        self.broken = header.and_then(|header| self.begin_element(line[0], header)).is_none();
        Some(1)
    }

    /// What follows a line that tells a length, or that there is none. `None` where it cannot be there.
    fn begin_element(&mut self, kind: u8, header: Header) -> Option<()> {
        if self.chunks != (kind == b';') {
            return None;
        }
        self.place = Place::Element;
        match header {
            Header::Line | Header::Null => self.pass_element(kind),
            Header::Text(0) if self.chunks => {
                self.chunks = false;
                self.pass_element(b'$');
            }
            Header::Text(0) => self.place = Place::End { kind, left: 2 },
            Header::Text(length) => self.place = Place::Text { kind, length, left: length },
            Header::Chunks => self.chunks = true,
            Header::Elements(count) if kind == b'|' && self.index == 0 && self.aside == 0 => {
                self.aside = count;
            }
            Header::Elements(count) => {
                let due = if self.aside > 0 { &mut self.aside } else { &mut self.left };
                *due = due.saturating_add(count + u64::from(kind == b'|'));
                self.pass_element(kind);
            }
            Header::Stream => {
                if self.streams.len() >= DEEPEST || self.aside > 0 {
                    return None;
                }
                self.index += 1;
                self.streams.push(self.left);
                self.left = ENDLESS;
            }
            Header::End => self.left = self.streams.pop()?.saturating_sub(1),
        }
        Some(())
    }

    /// An element has passed.
    fn pass_element(&mut self, kind: u8) {
        if self.aside > 0 {
            self.aside -= 1;
            return;
        }
        if kind == b'$' && self.index == 1 {
            self.counts = News::parse(&self.line) == News::Unsubscribed;
        }
        self.index += 1;
        self.left = self.left.saturating_sub(1);
    }

    /// So many bytes of the CRLF behind a string are left.
    fn end(&mut self, kind: u8, left: u8) {
        if left > 0 {
            self.place = Place::End { kind, left };
            return;
        }
        self.place = Place::Element;
        if !self.chunks {
            self.pass_element(kind);
        }
    }

    /// What is shown of one more byte of a line.
    fn value(&mut self, kind: u8, byte: u8) -> u8 {
        match kind {
            b'-' => self.code(byte),
            b'+' if self.is_one_of(&WORDS, byte, None) => byte,
            b'+' if self.line.len() == 1 && byte.is_ascii_digit() => b'0',
            b'#' if matches!(byte, b't' | b'f') => byte,
            b':' if self.counts && self.index == 3 => byte,
            b':' | b'(' if byte.is_ascii_digit() => b'0',
            b':' | b'(' if matches!(byte, b'+' | b'-') => byte,
            _ => HIDDEN,
        }
    }

    /// What is shown of one more byte of a string of this length.
    fn text(&mut self, kind: u8, length: u64, byte: u8) -> u8 {
        let looked_at = self.aside == 0 && !self.chunks;
        match kind {
            b'!' if looked_at => self.code(byte),
            b'$' if looked_at && self.index == 1 && self.is_one_of(&News::WORDS, byte, Some(length)) => byte,
            _ => HIDDEN,
        }
    }

    /// Of an error its first word is shown, if that is a code.
    fn code(&mut self, byte: u8) -> u8 {
        let is_code = byte.is_ascii_uppercase()
            || !self.line.is_empty() && (byte.is_ascii_digit() || matches!(byte, b'_' | b' '));
        let ended = self.line.last().is_some_and(|last| matches!(last, b' ' | &HIDDEN));
        let shown = if is_code && !ended && self.line.len() <= LONGEST_CODE { byte } else { HIDDEN };
        if !ended {
            self.line.push(shown);
        }
        shown
    }

    /// Whether with this byte the line still begins one of the words; of this length, where it is known.
    fn is_one_of(&mut self, words: &[&[u8]], byte: u8, length: Option<u64>) -> bool {
        if self.line.last() == Some(&HIDDEN) {
            // Only whether the first byte was hidden is asked for.
            if self.line.len() == 1 {
                self.line.push(HIDDEN);
            }
            return false;
        }
        self.line.push(byte);
        let line = &self.line;
        let known = words
            .iter()
            .any(|word| word.starts_with(line) && length.is_none_or(|length| word.len() as u64 == length));
        if !known && let Some(last) = self.line.last_mut() {
            *last = HIDDEN;
        }
        known
    }
}
