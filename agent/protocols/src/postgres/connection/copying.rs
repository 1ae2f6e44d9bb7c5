//! Data that the client sends for COPY ("COPY Operations").
//!
//! Until the client says that it is done, nothing that it sends is a question: `Sync` and `Flush` are passed over by
//! the server, since many clients send them with every `Execute`. So the end of the data is all that matters, and what
//! is not seen of it costs only its size.

use super::Connection;
use crate::{
    exchange::Outcome,
    postgres::{
        exchange::Kind,
        frame,
        parser::{Input, Message, Place},
    },
};

impl Connection {
    /// A message of the client while the server takes data. False when it is none of that.
    pub(super) fn data(&mut self, message: &Message<'_>) -> bool {
        match message.kind {
            b'd' | b'S' | b'H' => {}
            b'c' | b'f' => self.complete_data(),
            // The server will refuse it, unless the end of the data was not seen.
            _ => {
                self.end_data();
                if let Some(unit) = self.exchanges.front() {
                    unit.copied = true;
                }
                return false;
            }
        }
        self.exchanges.ask_more(message.extent.last, message.extent.wire_bytes);
        true
    }

    /// Where the client's messages begin is not known any more.
    pub(super) fn lose_data(&mut self) {
        self.exchanges.finish_rest(Outcome::Lost, &self.limits);
        self.unsure = true;
    }

    /// Looks for the end of the data at the end of an operation. Where messages begin inside of data is not looked
    /// for: text may look like one.
    pub(super) fn resume_data(&mut self, input: &Input<'_>) {
        self.exchanges.ask_more(input.at, input.bytes.len() as u64);
        let Some(synced) = frame::ends_data(input.bytes) else { return };
        self.complete_data();
        self.client.place_at(Place::Boundary);
        if synced {
            self.unit(Kind::Sync, None);
        }
    }

    /// The server's verdict on the data, which the client may not have ended.
    pub(super) fn end_data(&mut self) {
        if self.unsure && self.exchanges.copies_in() {
            // Behind the data that was not seen there may have been anything.
            self.statements.clear();
        }
    }

    /// The client said that there is no more: what was not seen was data.
    fn complete_data(&mut self) {
        self.unsure = false;
        if let Some(unit) = self.exchanges.front() {
            unit.copied = true;
        }
    }
}
