//! Hiding what a client's messages hold that is a value or a password; `answers` does it for the server's.

mod answers;

pub(crate) use answers::AnswerMask;

use super::frame::{self, STARTUP, Startup};
use crate::{
    exchange::Party,
    mask::{self, HIDDEN, Walk},
    sql::{Backslash, Dialect, Strings},
};

const CANCEL_REQUEST: [u8; 4] = 80_877_102_u32.to_be_bytes();

#[derive(Debug, Default)]
pub(crate) struct Mask {
    /// The header of a message, `held` bytes of it.
    header: [u8; 5],
    held: usize,
    body: Option<Body>,
    statement: Strings,
    /// Requests for encryption that were passed on to nobody yet.
    replies: u32,
}

#[derive(Debug)]
struct Body {
    kind: u8,
    passed: u64,
    left: u64,
    /// Zeros that have passed: they end names.
    zeros: u8,
    /// The code of a packet without a type.
    code: [u8; 4],
}

impl Walk for Mask {
    fn begins(&self, bytes: &[u8]) -> bool {
        frame::plausible(Party::Client, bytes)
    }

    fn begin(&mut self) {
        (self.held, self.body) = (0, None);
    }

    fn step(&mut self, bytes: &mut [u8]) -> Option<usize> {
        let Some(body) = &mut self.body else { return self.header(bytes[0]) };
        let bytes = mask::first(bytes, body.left);
        body.hide(bytes, &mut self.statement);
        body.pass(bytes.len() as u64);
        if body.left == 0 {
            self.replies += u32::from(body.asks_for_encryption());
            self.body = None;
        }
        Some(bytes.len())
    }

    fn pass(&mut self, unseen: u64) -> bool {
        let Some(body) = self.body.as_mut().filter(|body| body.left >= unseen) else { return false };
        // Where in its names it goes on is not known.
        body.kind = b'd';
        body.pass(unseen);
        if body.left == 0 {
            self.body = None;
        }
        true
    }

    fn ending(&self, bytes: &[u8]) -> usize {
        frame::ending(bytes)
    }

    fn take_replies(&mut self) -> u32 {
        std::mem::take(&mut self.replies)
    }
}

impl Mask {
    /// One more byte of a header, which is of four bytes where its first is zero.
    fn header(&mut self, byte: u8) -> Option<usize> {
        self.header[self.held] = byte;
        self.held += 1;
        let [kind, length @ ..] = self.header;
        let untyped = kind == STARTUP;
        if self.held < if untyped { 4 } else { 5 } {
            let could_be = untyped || frame::plausible(Party::Client, &self.header[..self.held]);
            return could_be.then_some(1);
        }
        let length = if untyped { [0, length[0], length[1], length[2]] } else { length };
        let length = u32::from_be_bytes(length);
        self.held = 0;
        if kind == frame::REPLY || !frame::is_valid(Party::Client, kind, length) {
            return None;
        }
        self.statement.clear();
        let left = u64::from(length - 4);
        let body = Body { kind, passed: 0, left, zeros: 0, code: [0; 4] };
        self.body = (left > 0).then_some(body);
        Some(1)
    }
}

impl Body {
    fn pass(&mut self, bytes: u64) {
        self.passed += bytes;
        self.left -= bytes;
    }

    fn asks_for_encryption(&self) -> bool {
        self.kind == STARTUP && Startup::parse(&self.code) == Some(Startup::Encryption)
    }

    fn hide(&mut self, bytes: &mut [u8], statement: &mut Strings) {
        match self.kind {
            STARTUP => {
                for (at, byte) in (self.passed..).zip(bytes) {
                    if let Some(code) = usize::try_from(at).ok().and_then(|at| self.code.get_mut(at)) {
                        *code = *byte;
                    } else if self.code == CANCEL_REQUEST {
                        // The key that cancels somebody's statement.
                        *byte = HIDDEN;
                    }
                }
            }
            // A portal and a statement, then types, lengths and values.
            b'B' => {
                let names = self.names(bytes, 2);
                bytes[names..].fill(HIDDEN);
            }
            b'P' => {
                let names = self.names(bytes, 1);
                let text = names + self.names(&bytes[names..], 2);
                statement.hide(&mut bytes[names..text], Dialect::Postgres, Backslash::Unknown);
            }
            b'Q' => statement.hide(bytes, Dialect::Postgres, Backslash::Unknown),
            b'D' | b'E' | b'C' | b'S' | b'H' | b'c' | b'X' => {}
            // Passwords, data that is copied, arguments of functions, and what is not known.
            _ => bytes.fill(HIDDEN),
        }
    }

    /// How many bytes go on until so many zeros have passed in all.
    fn names(&mut self, bytes: &[u8], until: u8) -> usize {
        let mut length = 0;
        while self.zeros < until && length < bytes.len() {
            self.zeros += u8::from(bytes[length] == 0);
            length += 1;
        }
        length
    }
}
