//! Bytes in their place in a stream, for parsers that read elements which follow one another.

use crate::exchange::Stamp;

/// What is read: `gap` bytes that were not seen, then `bytes`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a> {
    pub(crate) at: Stamp,
    /// Stream offset of the first byte, seen or not.
    pub(crate) offset: u64,
    pub(crate) gap: u64,
    pub(crate) bytes: &'a [u8],
    /// `bytes` begins a socket operation.
    pub(crate) starts: bool,
}

impl<'a> Input<'a> {
    /// The bytes of a socket operation, from its first on.
    pub(crate) fn seen(at: Stamp, offset: u64, bytes: &'a [u8]) -> Self {
        Self { at, offset, gap: 0, bytes, starts: true }
    }

    /// `length` bytes of which only the `tail` is known.
    pub(crate) fn unseen(at: Stamp, offset: u64, length: u64, tail: &'a [u8]) -> Self {
        let known = usize::try_from(length).map_or(tail.len(), |length| length.min(tail.len()));
        let bytes = &tail[tail.len() - known..];
        Self { at, offset, gap: length - known as u64, bytes, starts: false }
    }

    /// Cuts off what was read before, and counts what was skipped as unseen. `expected` is the offset that is
    /// due, and becomes the one behind this. False where nothing is new.
    pub(crate) fn place(&mut self, expected: &mut Option<u64>) -> bool {
        let end = self.offset.saturating_add(self.gap).saturating_add(self.bytes.len() as u64);
        if let Some(due) = *expected {
            if end <= due {
                return false;
            }
            if self.offset > due {
                self.gap = self.gap.saturating_add(self.offset - due);
            } else {
                let known = due - self.offset;
                let unseen = known.min(self.gap);
                self.gap -= unseen;
                let seen = usize::try_from(known - unseen).unwrap_or(usize::MAX).min(self.bytes.len());
                self.bytes = &self.bytes[seen..];
                self.starts &= known == 0;
            }
            self.offset = due;
        }
        *expected = Some(end);
        true
    }

    /// `length` of the bytes were read.
    pub(crate) fn advance(&mut self, length: usize) {
        if length > 0 {
            self.bytes = &self.bytes[length..];
            self.offset = self.offset.saturating_add(length as u64);
            self.starts = false;
        }
    }

    /// `length` of the bytes that were not seen were passed over.
    pub(crate) fn pass(&mut self, length: u64) {
        self.gap -= length.min(self.gap);
        self.offset = self.offset.saturating_add(length);
    }
}
