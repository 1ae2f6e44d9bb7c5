//! Answers that were delivered before what they answer.
//!
//! The hooks of a send and of a receive run on two CPUs: the answer's record may be a few microseconds ahead of the
//! question's. What the server said then waits here, message by message; of rows only the fact is kept.

use std::{borrow::Cow, collections::VecDeque};

use super::parser::Message;

#[derive(Debug, Default)]
pub(super) struct Parked {
    messages: VecDeque<Message<'static>>,
    bytes: usize,
}

const MESSAGES: usize = 512;
const BYTES: usize = 16 * 1024;
/// A request this much later than the answer is not the one it answers.
const RACE_NANOSECONDS: u64 = 100_000_000;

impl Parked {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn buffered(&self) -> usize {
        self.bytes + self.messages.capacity() * size_of::<Message<'static>>()
    }

    /// When the first of it began to pass, if a request at `time` can be the one that was answered.
    pub(super) fn answers(&self, time: u64) -> Option<u64> {
        let since = self.messages.front()?.extent.first.time;
        (time.saturating_sub(since) <= RACE_NANOSECONDS).then_some(since)
    }

    /// False when there is no room; nothing is kept then.
    pub(super) fn push(&mut self, message: &Message<'_>) -> bool {
        if self.messages.len() == MESSAGES || self.bytes + message.body.len() > BYTES {
            return false;
        }
        self.bytes += message.body.len();
        let &Message { kind, ref body, holes, extent } = message;
        let body = Cow::Owned(body.as_ref().to_owned());
        self.messages.push_back(Message { kind, body, holes, extent });
        true
    }

    pub(super) fn pop(&mut self) -> Option<Message<'static>> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.body.len();
        if self.messages.is_empty() {
            *self = Self::default();
        }
        Some(message)
    }
}
