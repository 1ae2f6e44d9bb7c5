//! HTTP/2 (RFC 9113), watched from outside.
//!
//! `frame` turns bytes into frame headers; `hpack` decompresses header blocks; `fields` keeps what matters
//! of them; `parser` follows one direction from frame to frame; `stream` holds what is open; `exchange`
//! reports it; `connection` joins them.
//!
//! What cannot be known is said to be unknown: a field that refers to a header block which passed before
//! anybody watched, or was lost, is left out, and the head marked as truncated. Where frame boundaries are
//! lost they are looked for at the start of socket operations, and for streams in doubt the other
//! direction, later frames or the close tell the end. `mask` says what of the bytes can be shown to anybody.

mod connection;
#[cfg(test)]
pub(crate) mod corpus;
mod exchange;
mod fields;
mod frame;
mod hpack;
mod mask;
mod parser;
mod stream;
#[cfg(test)]
mod tests;

use std::{ops::Range, sync::Arc};

pub use connection::Connection;
pub use frame::may_hold_a_block;
pub(crate) use frame::{First, PREFACE, first};
pub use mask::Shown;

use crate::{
    exchange::Event,
    http::{HttpDetail, RequestHead},
    reader::Reader,
};

/// Decodes any header blocks, each a length byte and as many bytes; for [`crate::fuzz`].
pub(crate) fn decode_any(data: &[u8]) {
    const TABLE: usize = 1024;
    let mut decoder = hpack::Decoder::new(TABLE, |name| name.len() < 8);
    let mut reader = Reader::new(data);
    while let Some(length) = reader.u8() {
        let Some(block) = reader.take(usize::from(length)) else { return };
        if decoder.decode(block, TABLE, |_| {}).is_err() {
            decoder.taint();
        }
        assert!(decoder.buffered() <= 16 * TABLE, "held {}", decoder.buffered());
    }
}

/// Which parts of a field's value nobody is to see, in order, by the field's name.
pub type Secrets = fn(name: &[u8], value: &[u8]) -> Vec<Range<usize>>;

/// Hides the whole value of every field that says nothing of an exchange; for [`crate::fuzz`].
pub(crate) fn secrets_of_tests(name: &[u8], value: &[u8]) -> Vec<Range<usize>> {
    if fields::is_wanted(name) { Vec::new() } else { std::iter::once(0..value.len()).collect() }
}

/// The same as HTTP/1's, so that nobody downstream need tell them apart.
pub type HttpEvent = Event<Arc<RequestHead>, HttpDetail>;

/// Bounds on what one connection may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a header block that is not in one piece, with all its continuations.
    pub block: usize,
    /// Bytes of a header block's fields, decompressed and counted as in RFC 9113 section 6.5.2.
    pub list: usize,
    /// Bytes of a dynamic table, whatever the endpoints agree on.
    pub table: usize,
    /// Bytes of a request target that are kept.
    pub target: usize,
    /// Bytes of any other kept value.
    pub value: usize,
    /// Streams followed at once.
    pub streams: usize,
    /// Bytes of their requests' heads; the last one may go beyond.
    pub heads: usize,
    /// Responses that were delivered before their request.
    pub parked: usize,
    /// Events waiting for [`Connection::poll_event`].
    pub events: usize,
    /// Faults after which the connection is given up.
    pub failures: u32,
}

/// How far a connection is to be believed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    /// Too much that was no HTTP/2; bytes are ignored.
    Failed,
    Closed,
}

/// What went wrong or was left out on one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames and header blocks that break the protocol.
    pub failures: u32,
    /// Times that frame boundaries were lost.
    pub lost_framing: u64,
    /// Responses to requests that were not seen.
    pub orphan_responses: u64,
    /// Requests not followed because too many streams were open.
    pub dropped_requests: u64,
    /// Events not queued because nobody polled.
    pub dropped_events: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            block: 64 * 1024,
            list: 256 * 1024,
            table: 64 * 1024,
            target: 4096,
            value: 4096,
            streams: 1000,
            heads: 2 << 20,
            parked: 64,
            events: 8192,
            failures: 8,
        }
    }
}
