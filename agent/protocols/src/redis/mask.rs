//! Hiding a command's arguments that are values or passwords, by the same table as its text; `answers` hides what a server
//! answers.

mod answers;

use std::ops::Range;

pub(crate) use answers::AnswerMask;

use super::{
    command::{Command, Shown, is_sensitive_part, parts},
    frame::{self, LONGEST_LINE},
    parser::{Assembly as _, Element, KEPT, Value},
    table::{self, LONGEST_NAME},
};
use crate::mask::{self, HIDDEN, Walk};

#[derive(Debug)]
pub(crate) struct Mask {
    command: Command,
    /// A line so far.
    line: Vec<u8>,
    place: Place,
    /// Arguments that are due.
    left: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A line is due, of a command or of an argument.
    Line,
    /// In a command of one line, behind its name.
    Words,
    /// An argument of `length` bytes begins.
    Argument { length: u64 },
    /// `left` bytes of an argument that was not in one piece.
    Rest { length: u64, left: u64, shown: bool },
    /// CR and LF, so many of them.
    End(u8),
}

impl Default for Mask {
    fn default() -> Self {
        Self { command: Command::new(0), line: Vec::new(), place: Place::Line, left: 0 }
    }
}

impl Walk for Mask {
    fn begins(&self, bytes: &[u8]) -> bool {
        frame::could_be_request(bytes) != Some(false)
    }

    fn begin(&mut self) {
        self.line.clear();
        (self.place, self.left) = (Place::Line, 0);
    }

    fn step(&mut self, bytes: &mut [u8]) -> Option<usize> {
        match self.place {
            Place::Line => self.line(bytes[0]),
            Place::Words => {
                match bytes[0] {
                    b'\n' => self.place = Place::Line,
                    // Words stay as many.
                    b' ' | b'\t' | b'\r' | b'"' | b'\'' | b'\\' => {}
                    _ => bytes[0] = HIDDEN,
                }
                Some(1)
            }
            Place::Argument { length } => {
                let seen = mask::first(bytes, length);
                let passed = seen.len();
                if passed as u64 == length {
                    hide(seen, self.command.shows(Some(&seen[..passed.min(KEPT)]), length));
                    self.place = Place::End(2);
                } else {
                    // What it is is not known before it is whole. A name may be shown, if it is one.
                    let shown = self.command.is_at_name() && length <= LONGEST_NAME as u64;
                    self.line.clear();
                    self.place = Place::Rest { length, left: length, shown };
                }
                Some(if matches!(self.place, Place::End(_)) { passed } else { 0 })
            }
            Place::Rest { length, left, shown } => {
                let seen = mask::first(bytes, left);
                let room = KEPT - self.line.len().min(KEPT);
                self.line.extend_from_slice(&seen[..seen.len().min(room)]);
                if !(shown && table::is_name(&self.line)) {
                    seen.fill(HIDDEN);
                }
                let passed = seen.len();
                self.go_on(length, left - passed as u64, shown);
                Some(passed)
            }
            Place::End(left) => {
                self.place = if left > 1 { Place::End(left - 1) } else { Place::Line };
                matches!(bytes[0], b'\r' | b'\n').then_some(1)
            }
        }
    }

    fn pass(&mut self, unseen: u64) -> bool {
        if unseen == 0 {
            return true;
        }
        let due = match self.place {
            Place::Argument { length } => length + 2,
            Place::Rest { left, .. } => left + 2,
            Place::End(left) => u64::from(left),
            Place::Line | Place::Words => return false,
        };
        let Some(left) = due.checked_sub(unseen) else { return false };
        if let Place::Argument { length } | Place::Rest { length, .. } = self.place {
            self.line.clear();
            if left > 2 {
                self.place = Place::Rest { length, left: left - 2, shown: false };
                return true;
            }
            self.command.shows(None, length);
        }
        self.place = if left == 0 { Place::Line } else { Place::End(if left == 1 { 1 } else { 2 }) };
        true
    }

    fn ending(&self, bytes: &[u8]) -> usize {
        if bytes.ends_with(b"\r\n") { 2 } else { 0 }
    }
}

impl Mask {
    /// In an argument that comes in pieces, or at its end.
    fn go_on(&mut self, length: u64, left: u64, shown: bool) {
        if left > 0 {
            self.place = Place::Rest { length, left, shown };
            return;
        }
        let start = std::mem::take(&mut self.line);
        let whole = start.len() as u64 >= length.min(KEPT as u64);
        self.command.shows(whole.then_some(&start), length);
        self.place = Place::End(2);
    }

    fn line(&mut self, byte: u8) -> Option<usize> {
        let inline = self.left == 0 && self.line.first().is_some_and(|&first| first != b'*');
        if self.line.is_empty() && matches!(byte, b' ' | b'\t') {
            return Some(1);
        }
        if inline && matches!(byte, b' ' | b'\t') {
            self.line.clear();
            self.place = Place::Words;
            return Some(1);
        }
        if byte != b'\n' {
            self.line.push(byte);
            return (self.line.len() <= LONGEST_LINE).then_some(1);
        }
        let held = std::mem::take(&mut self.line);
        let line = held.strip_suffix(b"\r").unwrap_or(&held);
        if self.left > 0 {
            let length = line.strip_prefix(b"$").and_then(frame::number)?;
            self.left -= 1;
            self.place = Place::Argument { length };
        } else if line.first() == Some(&b'*') {
            self.left = frame::Header::arguments(line)?;
            self.command.begin();
            let value = Value::Elements(self.left);
            self.command.element(Element { index: 0, kind: b'*', value });
        }
        Some(1)
    }
}

/// Of a key that is shown, what looks like a secret becomes another that looks so.
fn hide(bytes: &mut [u8], shown: Shown) {
    match shown {
        Shown::Whole => return,
        Shown::Key => {}
        Shown::Nothing => return bytes.fill(HIDDEN),
    }
    let (seen, beyond) = bytes.split_at_mut(bytes.len().min(KEPT));
    beyond.fill(HIDDEN);
    let secrets: Vec<Range<usize>> = match std::str::from_utf8(seen) {
        Ok(key) if !key.contains(|c: char| c.is_control() || c == '@') => parts(key)
            .filter(|(_, part, _)| is_sensitive_part(part))
            .map(|(at, part, _)| at..at + part.len())
            .collect(),
        Ok(_) | Err(_) => std::iter::once(0..seen.len()).collect(),
    };
    for secret in secrets {
        for byte in &mut seen[secret] {
            *byte = match *byte {
                b'0'..=b'9' => b'0',
                b'a'..=b'z' | b'A'..=b'Z' => b'a',
                other => other,
            };
        }
    }
}
