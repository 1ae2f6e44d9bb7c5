//! Responses that were delivered before their request.
//!
//! The hooks of a send and of a receive run on two CPUs: the answer's record may be a few
//! microseconds ahead of the question's. What the server sent then waits here.

use super::{frame, parser::Input};
use crate::exchange::Stamp;

#[derive(Debug, Default)]
pub(super) struct Parked {
    items: Vec<Item>,
    bytes: usize,
}

#[derive(Debug)]
pub(super) enum Item {
    Data { at: Stamp, offset: u64, gap: u64, bytes: Box<[u8]> },
    Shutdown(Stamp),
}

const ITEM_MAX: usize = 64;
/// A request this much later than the response is not the one it answers.
const RACE_NANOSECONDS: u64 = 100_000_000;

impl Parked {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn buffered(&self) -> usize {
        self.bytes + self.items.capacity() * size_of::<Item>()
    }

    /// When the first of it passed.
    pub(super) fn since(&self) -> Option<Stamp> {
        self.items.first().map(|item| match item {
            Item::Data { at, .. } | Item::Shutdown(at) => *at,
        })
    }

    /// Whether a request at `time` can be the one that was answered.
    pub(super) fn may_answer(&self, time: u64) -> bool {
        self.since().is_some_and(|since| raced(since.time, time))
    }

    /// False when there is no room; nothing is kept then.
    pub(super) fn push(&mut self, input: &Input<'_>, limit: usize) -> bool {
        if self.items.len() == ITEM_MAX || self.bytes + input.bytes.len() > limit {
            return false;
        }
        self.bytes += input.bytes.len();
        self.items.push(Item::Data {
            at: input.at,
            offset: input.offset,
            gap: input.gap,
            bytes: input.bytes.into(),
        });
        true
    }

    pub(super) fn shutdown(&mut self, at: Stamp) {
        if self.items.len() <= ITEM_MAX {
            self.items.push(Item::Shutdown(at));
        }
    }

    /// Whether HTTP ends with what is parked.
    pub(super) fn switches_protocols(&self) -> bool {
        matches!(self.items.first(), Some(Item::Data { bytes, .. }) if frame::switches_protocols(bytes))
    }

    pub(super) fn take(&mut self) -> Vec<Item> {
        self.bytes = 0;
        std::mem::take(&mut self.items)
    }
}

/// Whether a response at `response` can belong to a request recorded at `request`.
pub(super) fn raced(response: u64, request: u64) -> bool {
    request.saturating_sub(response) <= RACE_NANOSECONDS
}
