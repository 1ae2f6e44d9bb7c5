//! One direction of a connection: segments in any order in, each byte once and in order out.

use std::collections::BTreeMap;

/// How far from what is expected a sequence number can be and still belong to its connection. Windows end at 1 GiB
/// (RFC 7323), and no network holds that much on its way.
const REACH: i32 = 1 << 28;
/// What a held segment costs beside its bytes.
const OVERHEAD: usize = 128;

/// A stretch of the stream: `bytes` are its first, the rest was not captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece<B> {
    pub(super) time: u64,
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) bytes: B,
    /// What its sender had of the other direction.
    pub(super) after: u64,
}

#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Sequence number of offset 0.
    base: Option<u32>,
    /// The offset that comes next.
    pub(super) next: u64,
    /// What the other end says it has.
    acknowledged: u64,
    held: BTreeMap<u64, Piece<Vec<u8>>>,
    weight: usize,
    end: Option<End>,
    /// When the last byte passed.
    time: u64,
}

#[derive(Clone, Copy, Debug)]
struct End {
    offset: u64,
    time: u64,
    after: u64,
    told: bool,
}

/// What became of a segment that was added.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added<'a> {
    /// It comes next.
    Ready(Piece<&'a [u8]>),
    /// It waits. Early: for bytes in front of it.
    Held { early: bool },
    /// Nothing of it was new.
    Old,
    /// It is behind the stream's end.
    Stray,
}

impl Stream {
    /// `sequence` is that of the first byte.
    pub(super) fn begin(&mut self, sequence: u32) {
        self.base.get_or_insert(sequence);
    }

    /// Whether the stream begins elsewhere than at `sequence`.
    pub(super) fn contradicts(&self, sequence: u32) -> bool {
        self.base.is_some_and(|base| base != sequence)
    }

    /// The offset of a sequence number, which is negative before the first byte; `None` where it is too far away.
    pub(super) fn place(&self, sequence: u32) -> Option<i64> {
        let base = self.base?;
        #[expect(clippy::cast_possible_truncation, reason = "sequence numbers wrap at 32 bits")]
        let expected = base.wrapping_add(self.next as u32);
        let distance = sequence.wrapping_sub(expected).cast_signed();
        let near = distance.checked_abs().is_some_and(|distance| distance <= REACH);
        near.then(|| self.next.cast_signed() + i64::from(distance))
    }

    /// The other end has everything before `sequence`. Returns the offset.
    pub(super) fn acknowledge(&mut self, sequence: u32) -> u64 {
        self.begin(sequence);
        let offset = self.place(sequence).and_then(|offset| u64::try_from(offset).ok()).unwrap_or(0);
        self.acknowledged = self.acknowledged.max(offset);
        offset
    }

    /// One more segment, of which `before` bytes are from before the stream's first. `other` is what has passed of
    /// the other direction. `repeated` counts bytes that came before.
    pub(super) fn add<'a>(
        &mut self,
        mut piece: Piece<&'a [u8]>,
        before: u64,
        other: u64,
        repeated: &mut u64,
    ) -> Added<'a> {
        if before > 0 {
            piece.cut(before, repeated);
            piece.offset = 0;
        }
        if self.end.is_some_and(|end| piece.offset + piece.length > end.offset) {
            return Added::Stray;
        }
        piece.cut(self.next.saturating_sub(piece.offset), repeated);
        while piece.length > 0
            && let Some((&offset, held)) = self.held.range(..=piece.offset).next_back()
            && offset + held.length > piece.offset
        {
            piece.cut(offset + held.length - piece.offset, repeated);
        }
        if piece.length == 0 {
            return Added::Old;
        }
        if piece.offset == self.next && piece.after <= other && self.held.is_empty() {
            return Added::Ready(piece);
        }
        let Piece { time, offset, length, bytes, after } = piece;
        self.weight += bytes.len() + OVERHEAD;
        self.held.insert(offset, Piece { time, offset, length, bytes: bytes.to_vec(), after });
        Added::Held { early: offset > self.next }
    }

    /// The stream ends at `offset`.
    pub(super) fn end(&mut self, offset: u64, time: u64, after: u64) {
        // What has passed or is held is more than one segment's word. The piece that begins last need not end last.
        let ends = self.held.values().map(|held| held.offset + held.length);
        let last = ends.fold(self.next, u64::max);
        if self.end.is_none() && offset >= last {
            self.end = Some(End { offset, time, after, told: false });
        }
    }

    /// A held segment that comes next, where all that its sender had read before has passed: `other`.
    pub(super) fn pop(&mut self, other: u64, repeated: &mut u64) -> Option<Piece<Vec<u8>>> {
        loop {
            let entry = self.held.first_entry()?;
            if *entry.key() > self.next || entry.get().after > other {
                return None;
            }
            let mut piece = entry.remove();
            self.weight -= piece.weight();
            piece.cut(self.next.saturating_sub(piece.offset), repeated);
            if piece.length > 0 {
                return Some(piece);
            }
        }
    }

    /// `piece` passes. Returns when it could be read: not before what is in front of it.
    pub(super) fn pass<B>(&mut self, piece: &Piece<B>) -> u64 {
        self.next = piece.offset + piece.length;
        self.time = self.time.max(piece.time);
        self.time
    }

    /// The end of the stream passes, once, where it comes next. Returns its time.
    pub(super) fn pop_end(&mut self, other: u64) -> Option<u64> {
        let end =
            self.end.as_mut().filter(|end| !end.told && end.offset == self.next && end.after <= other)?;
        end.told = true;
        self.time = self.time.max(end.time);
        Some(self.time)
    }

    /// Where the next known byte is, when it is known that bytes in front of it were sent and were not captured;
    /// with `all`, also when they may still come. Second, when it passed, where that is known.
    pub(super) fn hole(&self, all: bool) -> Option<(u64, Option<u64>)> {
        let held = self.held.first_key_value();
        if held.is_some_and(|(&offset, _)| offset <= self.next) {
            return None;
        }
        let end = self.end.filter(|end| !end.told).map(|end| end.offset);
        let first = held.map(|(&offset, _)| offset);
        let limit = if all { first.or(end) } else { None };
        let to = limit.max(Some(self.wanted())).unwrap_or(0).min(first.or(end).unwrap_or(u64::MAX));
        (to > self.next).then(|| (to, held.map(|(_, piece)| piece.time)))
    }

    /// Bytes up to `to` will not come.
    pub(super) fn jump(&mut self, to: u64, time: u64) -> u64 {
        self.next = to;
        self.time = self.time.max(time);
        self.time
    }

    /// When the first held segment passed, or the end did, where nothing but the other direction keeps it back.
    pub(super) fn kept_back(&self) -> Option<u64> {
        match self.held.first_key_value() {
            Some((&offset, piece)) => (offset <= self.next).then_some(piece.time),
            None => self.end.filter(|end| !end.told && end.offset == self.next).map(|end| end.time),
        }
    }

    /// What an end that has seen all that has passed acknowledges: the end of the stream is one more.
    pub(super) fn passed(&self) -> u64 {
        self.next + u64::from(self.is_ended())
    }

    /// The other end has bytes that were not captured yet.
    pub(super) fn is_behind(&self) -> bool {
        self.wanted() > self.next
    }

    /// Nothing is known beyond what has passed.
    pub(super) fn is_drained(&self) -> bool {
        self.held.is_empty() && !self.is_behind() && self.end.is_none_or(|end| end.told)
    }

    /// The end of the stream has passed.
    pub(super) fn is_ended(&self) -> bool {
        self.end.is_some_and(|end| end.told)
    }

    /// Where the stream ends is known.
    pub(super) fn has_end(&self) -> bool {
        self.end.is_some()
    }

    /// Bytes that are held, with what they cost.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// Nobody wants its bytes any more: holds nothing, and is wherever the segment ended that was seen last.
    pub(super) fn forget(&mut self, to: u64) {
        self.held.clear();
        self.weight = 0;
        self.next = self.next.max(to);
    }

    /// An acknowledgement counts the end of the stream as one byte more.
    fn wanted(&self) -> u64 {
        self.end.map_or(self.acknowledged, |end| self.acknowledged.min(end.offset))
    }
}

impl Piece<&[u8]> {
    /// Leaves out the first `count` bytes, which came before.
    fn cut(&mut self, count: u64, repeated: &mut u64) {
        let count = count.min(self.length);
        *repeated += count;
        self.bytes = self.bytes.get(usize::try_from(count).unwrap_or(usize::MAX)..).unwrap_or_default();
        (self.offset, self.length) = (self.offset + count, self.length - count);
    }
}

impl Piece<Vec<u8>> {
    fn cut(&mut self, count: u64, repeated: &mut u64) {
        let count = count.min(self.length);
        *repeated += count;
        self.bytes.drain(..usize::try_from(count).unwrap_or(usize::MAX).min(self.bytes.len()));
        (self.offset, self.length) = (self.offset + count, self.length - count);
    }

    pub(super) fn borrowed(&self) -> Piece<&[u8]> {
        let Self { time, offset, length, ref bytes, after } = *self;
        Piece { time, offset, length, bytes, after }
    }

    fn weight(&self) -> usize {
        self.bytes.len() + OVERHEAD
    }
}
