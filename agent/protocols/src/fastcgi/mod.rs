//! FastCGI 1.0, watched from outside: what a web server asks an application server, php-fpm as a rule.
//!
//! `frame` knows records and what is in them; `parser` follows one direction through its records; `exchange` joins the
//! records of each request; `connection` joins the directions. The rules are those of the FastCGI specification, and for
//! what a response says those of CGI (RFC 3875).
//!
//! One exchange is one HTTP request, told by its parameters. Requests have numbers, so several may be under way at once.
//! Of the parameters a few are kept: no cookie, no credentials, no variable of the server's.

mod connection;
#[cfg(test)]
pub(crate) mod corpus;
mod exchange;
mod frame;
mod parser;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use connection::Connection;
pub(crate) use frame::{looks_like_request, looks_like_response};

use crate::{
    exchange::Event,
    http::{HttpDetail, RequestHead},
};

/// The head is shared between the request's announcement and the finished exchange.
pub type FastCgiEvent = Event<Arc<RequestHead>, HttpDetail>;

/// Bounds on what one connection may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a parameter that is not in one piece; longer ones are passed over.
    pub parameter: usize,
    /// Bytes of a kept value.
    pub value: usize,
    /// Requests whose response is not over. Those beyond are counted and not followed.
    pub outstanding: usize,
    /// Events waiting for [`Connection::poll_event`].
    pub events: usize,
    /// Malformed records after which the connection is given up.
    pub failures: u32,
}

/// How far a connection is to be believed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    /// Too many malformed records: this is not FastCGI; bytes are ignored.
    Failed,
    Closed,
}

/// What went wrong or was left out on one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records that were not FastCGI's where one was due, and parameters that make no sense.
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
        Self { parameter: 16 * 1024, value: 4096, outstanding: 256, events: 8192, failures: 8 }
    }
}
