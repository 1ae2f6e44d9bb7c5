//! The bytes of a file, with how far it was read.

use std::io::{ErrorKind, Read};

use super::Damage;

#[derive(Debug)]
pub(super) struct Source<R> {
    inner: R,
    /// Bytes read so far.
    pub(super) at: u64,
    /// The end came in the middle of something.
    pub(super) truncated: bool,
}

impl<R: Read> Source<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, at: 0, truncated: false }
    }

    /// Fills `buffer`; false at the end of the file.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<bool, Damage> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.inner.read(&mut buffer[filled..]) {
                Ok(0) => {
                    self.truncated |= filled > 0;
                    return Ok(false);
                }
                Ok(count) => {
                    filled += count;
                    self.at += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.damage(format!("it cannot be read: {error}"))),
            }
        }
        Ok(true)
    }

    /// As [`Self::fill`], where the end of the file is not due.
    pub(super) fn expect(&mut self, buffer: &mut [u8]) -> Result<bool, Damage> {
        let whole = self.fill(buffer)?;
        self.truncated |= !whole;
        Ok(whole)
    }

    /// Passes over `length` bytes; false where there are fewer.
    pub(super) fn skip(&mut self, length: u64) -> Result<bool, Damage> {
        let mut scratch = [0; 4096];
        let mut left = length;
        while left > 0 {
            let part = usize::try_from(left).map_or(scratch.len(), |left| left.min(scratch.len()));
            if !self.expect(&mut scratch[..part])? {
                return Ok(false);
            }
            left -= part as u64;
        }
        Ok(true)
    }

    pub(super) fn damage(&self, what: impl Into<String>) -> Damage {
        Damage { at: self.at, what: what.into() }
    }
}
