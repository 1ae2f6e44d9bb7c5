//! Answers that come before what they answer, or without it.

use super::Connection;
use crate::{exchange::Extent, postgres::parser::Message};

impl Connection {
    /// Keeps a message of the server that may be ahead of what it answers.
    pub(super) fn park(&mut self, message: &Message<'_>) -> bool {
        // The first `ReadyForQuery` of a session answers nothing, and a refusal may come before the end of what it
        // refuses.
        let ahead = !self.parked.is_empty() || message.kind != b'Z' && self.gathered.extent.is_none();
        if !self.exchanges.is_empty() || self.unsure || !self.settled || !ahead {
            return false;
        }
        if !self.parked.push(message) {
            self.drop_parked();
            return false;
        }
        true
    }

    /// Something is asked while nothing else is: it may be what was answered already.
    pub(super) fn claim(&mut self, asked: Option<&mut Extent>) {
        // A `Sync` of its own is followed for what it ends alone.
        let (false, true, Some(asked)) = (self.parked.is_empty(), self.exchanges.is_empty(), asked) else {
            return;
        };
        match self.parked.answers(asked.first.time) {
            // Its record came late; it cannot have been sent after its answer.
            Some(since) => asked.first.time = asked.first.time.min(since),
            None => self.drop_parked(),
        }
    }

    /// Reads what was parked, now that there may be something that it answers.
    pub(super) fn replay(&mut self) {
        while !self.exchanges.is_empty()
            && let Some(message) = self.parked.pop()
        {
            self.raced = true;
            self.answer(&message);
        }
    }

    /// Nobody asked for what was parked.
    pub(super) fn drop_parked(&mut self) {
        while let Some(message) = self.parked.pop() {
            self.unasked(message.kind);
        }
    }

    /// An answer to nothing that was seen.
    pub(super) fn unasked(&mut self, kind: u8) {
        self.counters.orphan_responses += u64::from(matches!(kind, b'C' | b'I' | b's'));
        self.skipping = kind != b'Z' && (self.skipping || kind == b'E' && !self.unsure);
    }

    /// Whether a message in several pieces began before what it would answer was asked.
    pub(super) fn is_late(&mut self, extent: Extent) -> bool {
        let asked = self.exchanges.front().and_then(|unit| unit.asked.as_ref());
        let late = asked.is_some_and(|asked| extent.first.time < asked.request.first.time);
        late && extent.first != extent.last && !self.raced
    }
}
