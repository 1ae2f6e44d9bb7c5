//! PostgreSQL's frontend/backend protocol 3, watched from outside.
//!
//! `frame` knows what messages look like; `parser` follows one direction through its messages;
//! `exchange` pairs what is asked with what is answered; `connection` joins them. The rules are those
//! of the chapter "Frontend/Backend Protocol" of PostgreSQL's documentation.
//!
//! One exchange is one `Query` message, however many statements it holds, or one `Execute` with the
//! `Parse`, `Bind` and `Describe` messages before it, or a `Parse` that is not executed before the next
//! `Sync` or `Flush`. What authenticates a session is skipped without being kept, and so are the
//! values that are bound.

mod connection;
#[cfg(test)]
pub(crate) mod corpus;
mod exchange;
mod frame;
mod mask;
mod parked;
mod parser;
mod statements;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use connection::Connection;
pub(crate) use frame::{looks_like_backend, looks_like_frontend};
pub(crate) use mask::{AnswerMask, Mask};

use crate::{
    exchange::Event,
    sql::{SqlDetail, SqlHead},
};

/// The head is shared between the request's announcement and the finished exchange.
pub type SqlEvent = Event<Arc<SqlHead>, SqlDetail>;

/// Bounds on what one connection may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a statement's text that are kept; what is longer is cut and marked truncated.
    pub statement: usize,
    /// Prepared statements whose text is remembered.
    pub statements: usize,
    /// Bytes of text of all of them.
    pub statement_bytes: usize,
    /// Portals whose statement is remembered.
    pub portals: usize,
    /// Requests waiting for their response.
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
    /// The server agreed to TLS or GSSAPI encryption; bytes are ignored.
    Encrypted,
    /// Too many malformed messages: this is not PostgreSQL; bytes are ignored.
    Failed,
    Closed,
}

/// What went wrong or was left out on one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages that were not PostgreSQL's where one was due.
    pub failures: u32,
    /// Responses to requests that were not seen.
    pub orphan_responses: u64,
    /// Requests not followed: too many were outstanding, or it was not certain what answers them.
    pub dropped_requests: u64,
    /// Prepared statements and portals not remembered because there were too many.
    pub dropped_statements: u64,
    /// Events not queued because nobody polled.
    pub dropped_events: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            statement: 4096,
            statements: 1024,
            statement_bytes: 512 * 1024,
            portals: 64,
            outstanding: 1024,
            events: 8192,
            failures: 8,
        }
    }
}
