//! Redis' protocol, RESP2 and RESP3, watched from outside. Valkey, KeyDB and Dragonfly speak it too.
//!
//! `frame` knows what elements look like; `parser` follows one direction through them; `command` reads what a
//! client asks and masks it, by the rules in `table`, and `reply` what a server answers; `exchange` pairs the
//! two; `connection` joins them. The rules are those of "Redis serialization protocol specification".
//!
//! One exchange is one command and its reply; or a transaction, from `MULTI` to the reply to `EXEC`, as the
//! semantic conventions have it. Messages of subscriptions, of `MONITOR` and other pushes answer nothing, and
//! the commands that ask for them are no exchanges. Of a command the keys are kept, and its values never.

mod command;
mod connection;
#[cfg(test)]
pub(crate) mod corpus;
mod exchange;
mod frame;
mod mask;
mod parser;
mod reply;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use connection::Connection;
pub(crate) use frame::{could_be_request, looks_like_inline, looks_like_reply, looks_like_request};
pub(crate) use mask::{AnswerMask, Mask};

use crate::{
    exchange::Event,
    keyvalue::{KeyValueDetail, KeyValueHead},
};

/// The head is shared between the request's announcement and the finished exchange.
pub type RedisEvent = Event<Arc<KeyValueHead>, KeyValueDetail>;

/// Bounds on what one connection may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a command's text.
    pub text: usize,
    /// Commands of a transaction that are in its text.
    pub batch: usize,
    /// Commands waiting for their reply. Those beyond are counted and not followed.
    pub outstanding: usize,
    /// Events waiting for [`Connection::poll_event`].
    pub events: usize,
    /// Malformed messages after which the connection is given up.
    pub failures: u32,
}

/// How far a connection is to be believed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    /// It became a replica's: bytes are ignored.
    Replicating,
    /// Too many malformed messages: this is not Redis; bytes are ignored.
    Failed,
    Closed,
}

/// What went wrong or was left out on one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Elements that were not Redis' where one was due, and replies of a kind that their command never has.
    pub failures: u32,
    /// Replies to commands that were not seen.
    pub orphan_responses: u64,
    /// Commands not followed: too many were outstanding, or it was not certain what answers them.
    pub dropped_requests: u64,
    /// Events not queued because nobody polled.
    pub dropped_events: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { text: 512, batch: 16, outstanding: 16_384, events: 65_536, failures: 8 }
    }
}
