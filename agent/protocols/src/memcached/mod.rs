//! Memcached's text protocol with its meta commands, watched from outside. The binary protocol, which Memcached
//! itself calls deprecated, is not read.
//!
//! `frame` knows what lines look like; `parser` follows one direction through lines and blocks of data;
//! `exchange` pairs what is asked with what is answered; `connection` joins them. The rules are those of
//! Memcached's `doc/protocol.txt`.
//!
//! One exchange is one command. Neither a key nor a value of it is kept.

mod connection;
#[cfg(test)]
pub(crate) mod corpus;
mod exchange;
mod frame;
mod mask;
mod parser;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use connection::Connection;
pub(crate) use frame::{could_be_reply, could_be_request, is_reply, is_request};
pub(crate) use mask::{AnswerMask, Mask};

use crate::{
    exchange::Event,
    keyvalue::{KeyValueDetail, KeyValueHead},
};

/// The head is shared between the request's announcement and the finished exchange.
pub type MemcachedEvent = Event<Arc<KeyValueHead>, KeyValueDetail>;

/// Bounds on what one connection may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Commands waiting for their answer. Those beyond are counted and not followed.
    pub outstanding: usize,
    /// Events waiting for [`Connection::poll_event`].
    pub events: usize,
    /// Malformed lines after which the connection is given up.
    pub failures: u32,
}

/// How far a connection is to be believed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    /// It shows the server's log from here on: bytes are ignored.
    Watching,
    /// Too many malformed lines: this is not Memcached; bytes are ignored.
    Failed,
    Closed,
}

/// What went wrong or was left out on one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Lines that were not Memcached's where one was due, and answers that their command never has.
    pub failures: u32,
    /// Answers to commands that were not seen.
    pub orphan_responses: u64,
    /// Commands not followed: too many were outstanding, or it was not certain what answers them.
    pub dropped_requests: u64,
    /// Events not queued because nobody polled.
    pub dropped_events: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { outstanding: 16_384, events: 65_536, failures: 8 }
    }
}
