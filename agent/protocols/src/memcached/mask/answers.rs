//! Hiding the values that a server answers with, its numbers, and its texts of errors.

use crate::{
    mask::{self, HIDDEN, Walk},
    memcached::frame::{self, Line, WORDS},
};

/// A line with a key is shorter.
const LONGEST_LINE: usize = 2048;

#[derive(Debug, Default)]
pub(crate) struct AnswerMask {
    /// A line so far.
    line: Vec<u8>,
    /// What is behind the first word.
    rest: Rest,
    /// Bytes of a value that are still to come.
    left: u64,
    /// CR and LF behind it.
    end: u8,
    /// What was taken for a line was none.
    broken: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rest {
    /// It has not begun.
    #[default]
    Ahead,
    Shown,
    Hidden,
}

impl Walk for AnswerMask {
    fn begins(&self, bytes: &[u8]) -> bool {
        frame::could_be_reply(bytes)
    }

    fn begin(&mut self) {
        *self = Self::default();
    }

    fn step(&mut self, bytes: &mut [u8]) -> Option<usize> {
        if self.left > 0 {
            return Some(mask::cover(bytes, &mut self.left));
        }
        let byte = bytes[0];
        if self.end > 0 {
            self.end -= 1;
            return matches!(byte, b'\r' | b'\n').then_some(1);
        }
        if byte != b'\n' {
            self.line.push(byte);
            bytes[0] = self.shown(byte);
            return (self.line.len() <= LONGEST_LINE).then_some(1);
        }
        let line = std::mem::take(&mut self.line);
        self.rest = Rest::Ahead;
        match Line::parse(line.strip_suffix(b"\r").unwrap_or(&line)) {
            Some(Line::Value(length) | Line::MetaValue(length)) => (self.left, self.end) = (length, 2),
            Some(_) => {}
            None => self.broken = true,
        }
        Some(1)
    }

    fn is_broken(&self) -> bool {
        self.broken
    }

    fn pass(&mut self, unseen: u64) -> bool {
        if unseen == 0 {
            return true;
        }
        let due = self.left + u64::from(self.end);
        let Some(left) = due.checked_sub(unseen) else { return false };
        self.left = left.saturating_sub(2);
        // No more than two.
        self.end = left.min(2) as u8;
        true
    }

    fn ending(&self, bytes: &[u8]) -> usize {
        if bytes.ends_with(b"\r\n") { 2 } else { 0 }
    }
}

impl AnswerMask {
    /// What is shown of one more byte of a line.
    fn shown(&mut self, byte: u8) -> u8 {
        let begin = self.line.iter().take_while(|&&byte| byte == b' ').count();
        let word = &self.line[begin..];
        match self.rest {
            _ if byte == b' ' => {
                if self.rest == Rest::Ahead && !word.is_empty() {
                    self.rest = rest(&word[..word.len() - 1]);
                }
                byte
            }
            _ if byte == b'\r' => byte,
            Rest::Shown => byte,
            Rest::Hidden => HIDDEN,
            Rest::Ahead if word.iter().all(u8::is_ascii_digit) => b'0',
            Rest::Ahead if WORDS.iter().any(|known| known.starts_with(word)) => byte,
            Rest::Ahead => {
                self.rest = Rest::Hidden;
                HIDDEN
            }
        }
    }
}

/// Behind some words there are keys, lengths and flags, behind others values or texts.
fn rest(word: &[u8]) -> Rest {
    match word {
        b"VALUE" | b"VA" | b"HD" | b"EN" | b"NF" | b"NS" | b"EX" | b"VERSION" => Rest::Shown,
        _ => Rest::Hidden,
    }
}
