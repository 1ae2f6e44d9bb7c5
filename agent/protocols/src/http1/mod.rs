//! HTTP/1.0 and 1.1 (RFC 9112), watched from outside.
//!
//! `frame` turns bytes into start lines, fields and chunk sizes; `parser` follows one direction
//! through its messages; `exchange` pairs requests with responses; `connection` joins them.
//!
//! Where a message is ambiguous the choice is RFC 9112's: Transfer-Encoding overrides
//! Content-Length (6.3), contradicting lengths leave the body's end unknown, and nothing inside a
//! body is ever taken for a message.

mod chunked;
mod connection;
#[cfg(test)]
pub(crate) mod corpus;
mod exchange;
mod frame;
mod parked;
mod parser;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use connection::Connection;
pub(crate) use frame::{LONG_LINE, looks_like_request, looks_like_response};

use crate::{
    exchange::{Event, Exchange},
    http::{HttpDetail, RequestHead},
};

/// The head is shared between the request's announcement and the finished exchange.
pub type HttpEvent = Event<Arc<RequestHead>, HttpDetail>;

/// Bounds on what one connection may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head that is not in one piece; what is longer is cut and marked truncated.
    pub head: usize,
    /// Bytes of a request target that are kept.
    pub target: usize,
    /// Bytes of any other kept value.
    pub value: usize,
    /// Requests waiting for their response.
    pub outstanding: usize,
    /// Bytes of responses that were delivered before their request.
    pub parked: usize,
    /// Events waiting for [`Connection::poll_event`].
    pub events: usize,
    /// Malformed messages after which the connection is given up.
    pub failures: u32,
}

/// How far a connection is to be believed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    /// The connection went on in another protocol; bytes are ignored.
    Upgraded,
    /// Too many malformed messages: this is not HTTP; bytes are ignored.
    Failed,
    Closed,
}

/// What a connection that was upgraded goes on with.
#[derive(Debug)]
pub enum Successor {
    /// HTTP/2, which answers this exchange (RFC 7540 section 3.2). It was announced and is not over; its response is
    /// the 101.
    Http2(Box<Exchange<HttpDetail>>),
    /// Whatever the ends of a tunnel speak: the answer to CONNECT.
    Tunnel,
}

/// What went wrong or was left out on one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages that were not HTTP where HTTP was due.
    pub failures: u32,
    /// Responses to requests that were not seen.
    pub orphan_responses: u64,
    /// Requests not followed because too many were outstanding.
    pub dropped_requests: u64,
    /// Events not queued because nobody polled.
    pub dropped_events: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 32 * 1024,
            target: 4096,
            value: 4096,
            outstanding: 1024,
            parked: 32 * 1024,
            events: 8192,
            failures: 8,
        }
    }
}
