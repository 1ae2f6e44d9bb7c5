//! The client/server protocol of MySQL and MariaDB, version 10, watched from outside.
//!
//! `frame` knows what packets look like, and `binary` the values in them; `recognise` tells them from other
//! protocols; `compress` takes them out of the compressed protocol; `parser` follows one direction through its
//! packets; `exchange` pairs what is asked with what is answered; `connection` joins them. The rules are those
//! of "MySQL Client/Server Protocol" in MySQL's source documentation, and of "MariaDB Client/Server Protocol".
//!
//! One exchange is one `COM_QUERY`, however many statements it holds and results it has, one
//! `COM_STMT_EXECUTE` or `COM_STMT_BULK_EXECUTE`, or one `COM_STMT_PREPARE`. Other commands are followed and
//! not reported: they are no operations on data, and `COM_STMT_FETCH` is a part of one. What authenticates a
//! session is skipped without being kept, and so are the values that are bound.

mod binary;
mod compress;
mod connection;
#[cfg(test)]
pub(crate) mod corpus;
mod exchange;
mod frame;
mod mask;
mod notes;
mod parser;
mod recognise;
mod statements;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use connection::Connection;
pub(crate) use mask::{AnswerMask, Mask};
pub use notes::Notes;
pub(crate) use recognise::{looks_like_client, looks_like_server};

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
    /// Requests waiting for their response.
    pub outstanding: usize,
    /// Events waiting for [`Connection::poll_event`].
    pub events: usize,
    /// Malformed packets after which the connection is given up.
    pub failures: u32,
    /// Bytes that one compressed packet is inflated to; the rest of it is only counted.
    pub inflated: u64,
}

/// How far a connection is to be believed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    /// The client went on in TLS; bytes are ignored.
    Encrypted,
    /// A replica follows the server's log; bytes are ignored.
    Replicating,
    /// Too many malformed packets: this is not MySQL's protocol; bytes are ignored.
    Failed,
    Closed,
}

/// What the server's greeting says, where what follows it is read apart from it: inside of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    pub(crate) mariadb: bool,
    pub(crate) capabilities: u64,
}

/// What went wrong or was left out on one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that were not MySQL's where one was due.
    pub failures: u32,
    /// Responses to requests that were not seen.
    pub orphan_responses: u64,
    /// Requests not followed: too many were outstanding, or it was not certain what answers them.
    pub dropped_requests: u64,
    /// Prepared statements not remembered because there were too many.
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
            outstanding: 1024,
            events: 8192,
            failures: 8,
            inflated: 1024 * 1024,
        }
    }
}
