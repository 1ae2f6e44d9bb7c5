//! Hiding what a server's messages hold that is a value, a key, or a text that may quote one.

use crate::{
    exchange::Party,
    mask::{self, HIDDEN, News, Walk},
    postgres::frame::{self, REPLY},
};

/// Parameters whose values are shown; of the others only the name is.
const SHOWN: [&[u8]; 5] = [
    b"client_encoding",
    b"integer_datetimes",
    b"server_encoding",
    b"server_version",
    b"standard_conforming_strings",
];
/// No such name is longer.
const NAME: usize = 32;

#[derive(Debug, Default)]
pub(crate) struct AnswerMask {
    /// The header of a message, `held` bytes of it.
    header: [u8; 5],
    held: usize,
    body: Option<Body>,
    /// Answers of one byte that are due, to requests for encryption.
    replies: u32,
    /// What was taken for a header was none.
    broken: bool,
}

#[derive(Debug)]
struct Body {
    kind: u8,
    passed: u64,
    left: u64,
    /// The type of an error's field; a field is due where there is none.
    field: Option<u8>,
    /// A parameter's name so far.
    name: Vec<u8>,
    /// Its value has begun.
    named: bool,
}

impl Walk for AnswerMask {
    fn begins(&self, bytes: &[u8]) -> bool {
        self.replies > 0 || frame::plausible(Party::Server, bytes)
    }

    fn begin(&mut self) {
        (self.held, self.body, self.broken) = (0, None, false);
    }

    fn step(&mut self, bytes: &mut [u8]) -> Option<usize> {
        let Some(body) = &mut self.body else { return self.header(bytes[0]) };
        let bytes = mask::first(bytes, body.left);
        body.hide(bytes);
        self.advance(bytes.len() as u64, false);
        Some(bytes.len())
    }

    fn is_broken(&self) -> bool {
        self.broken
    }

    fn pass(&mut self, unseen: u64) -> bool {
        let known = self.body.as_ref().is_some_and(|body| body.left >= unseen);
        if known {
            self.advance(unseen, true);
        }
        known
    }

    fn ending(&self, bytes: &[u8]) -> usize {
        frame::answered(bytes)
    }

    fn learn(&mut self, news: News<'_>) {
        if let News::Replies(replies) = news {
            self.replies = self.replies.saturating_add(replies);
        }
    }
}

impl AnswerMask {
    /// So many bytes of a message have passed; where they were not seen, where in it the rest belongs is not known.
    fn advance(&mut self, bytes: u64, unseen: bool) {
        let Some(body) = &mut self.body else { return };
        (body.passed, body.left) = (body.passed + bytes, body.left - bytes);
        if unseen {
            body.kind = b'd';
        }
        if body.left == 0 {
            self.body = None;
        }
    }

    /// One more byte of a header. One that makes it none is shown: with it the parser knows it too.
    fn header(&mut self, byte: u8) -> Option<usize> {
        if self.held == 0 && self.replies > 0 {
            self.replies -= 1;
            return b"NSG".contains(&byte).then_some(1);
        }
        self.header[self.held] = byte;
        self.held += 1;
        let (&kind, length) = self.header[..self.held].split_first()?;
        let Ok(length) = length.try_into().map(u32::from_be_bytes) else {
            self.broken = !frame::plausible(Party::Server, &self.header[..self.held]);
            return Some(1);
        };
        self.held = 0;
        self.broken = kind <= REPLY || !frame::is_valid(Party::Server, kind, length);
        if !self.broken && length > 4 {
            let left = u64::from(length - 4);
            self.body = Some(Body { kind, passed: 0, left, field: None, name: Vec::new(), named: false });
        }
        Some(1)
    }
}

impl Body {
    fn hide(&mut self, bytes: &mut [u8]) {
        // What begins with a number of something, or with what is asked of a client.
        let plain = match self.kind {
            b'D' | b'T' | b't' => 2,
            b'G' | b'H' | b'W' => 3,
            b'R' | b'v' => 4,
            _ => 0,
        };
        for (at, byte) in (self.passed..).zip(bytes) {
            let shown = match self.kind {
                b'Z' => matches!(byte, b'I' | b'T' | b'E'),
                b'C' => matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b' ' | 0),
                b'E' | b'N' => self.field(*byte),
                b'S' => self.parameter(*byte),
                _ => at < plain,
            };
            if !shown {
                *byte = HIDDEN;
            }
        }
    }

    /// Of an error's fields the severity and SQLSTATE are shown.
    fn field(&mut self, byte: u8) -> bool {
        let Some(field) = self.field else {
            self.field = (byte != 0).then_some(byte);
            return byte == 0 || byte.is_ascii_alphabetic();
        };
        if byte == 0 {
            self.field = None;
        }
        byte == 0 || matches!(field, b'C' | b'S' | b'V') && byte.is_ascii_alphanumeric()
    }

    fn parameter(&mut self, byte: u8) -> bool {
        if byte == 0 {
            self.named = true;
            return true;
        }
        if self.named {
            return SHOWN.contains(&&self.name[..]);
        }
        if self.name.len() <= NAME {
            self.name.push(byte);
        }
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')
    }
}
