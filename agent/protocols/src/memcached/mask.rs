//! Hiding the values that a client stores; `answers` does it for those that are found.

mod answers;

pub(crate) use answers::AnswerMask;

use super::frame::Command;
use crate::mask::{self, Walk};

/// A command that stores is shorter.
const LONGEST_LINE: usize = 2048;

#[derive(Debug, Default)]
pub(crate) struct Mask {
    /// A line so far.
    line: Vec<u8>,
    /// Bytes of a value that are still to come.
    left: u64,
    /// CR and LF behind it.
    end: u8,
    /// What was taken for a command was none.
    broken: bool,
}

impl Walk for Mask {
    fn begins(&self, bytes: &[u8]) -> bool {
        let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
        line.len() < bytes.len() && Command::parse(line.strip_suffix(b"\r").unwrap_or(line)).is_some()
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
            self.end = if byte == b'\n' { 0 } else { self.end - 1 };
            return matches!(byte, b'\r' | b'\n').then_some(1);
        }
        if byte != b'\n' {
            self.line.push(byte);
            return (self.line.len() <= LONGEST_LINE).then_some(1);
        }
        let line = std::mem::take(&mut self.line);
        // With its end a reader knows too that it is none.
        let command = Command::parse(line.strip_suffix(b"\r").unwrap_or(&line));
        self.broken = command.is_none();
        if let Some(length) = command.and_then(|command| command.data) {
            (self.left, self.end) = (length, 2);
        }
        Some(1)
    }

    fn is_broken(&self) -> bool {
        self.broken
    }

    fn pass(&mut self, unseen: u64) -> bool {
        if let Some(left) = self.left.checked_sub(unseen) {
            self.left = left;
            return true;
        }
        // The end of a value may have passed with it.
        if self.left + u64::from(self.end) == unseen && self.end > 0 {
            (self.left, self.end) = (0, 0);
            return true;
        }
        false
    }

    fn ending(&self, bytes: &[u8]) -> usize {
        if bytes.ends_with(b"\r\n") { 2 } else { 0 }
    }
}
