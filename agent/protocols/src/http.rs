//! What an HTTP exchange says, whichever version of HTTP carried it.

use std::sync::Arc;

/// The protocol version a message was sent in, as `network.protocol.version` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
    Http2,
}

/// A request's head. Strings are bounded by the parser and lossily decoded where they are not UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// As sent: case kept, unknown methods kept.
    pub method: Box<str>,
    /// The request target as sent: origin form (`/a?b`), absolute form, authority form or `*`.
    pub target: Box<str>,
    pub version: Version,
    /// `Host` header or `:authority`.
    pub authority: Option<Box<str>>,
    /// `:scheme` of HTTP/2, or what an absolute-form target says.
    pub scheme: Option<Box<str>>,
    pub user_agent: Option<Box<str>>,
    /// `Forwarded` or, failing that, `X-Forwarded-For`, as sent.
    pub forwarded: Option<Forwarded>,
    pub traceparent: Option<Box<str>>,
    /// All `tracestate` headers, joined by a comma.
    pub tracestate: Option<Box<str>>,
    /// All `baggage` headers, joined by a comma.
    pub baggage: Option<Box<str>>,
    /// FNV-1a of the head's first 64 bytes on the wire (of all where it is shorter): both ends of a
    /// connection compute the same. 0 where those bytes were not captured.
    pub fingerprint: u64,
    /// The head was longer than what was captured or what a parser keeps; headers may be missing.
    pub truncated: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// RFC 7239.
    Forwarded(Box<str>),
    XForwardedFor(Box<str>),
}

/// A final (not 1xx, except 101) response's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    pub status: u16,
    pub version: Version,
}

/// An exchange's detail. Body sizes are payload bytes without framing; `None` where they are not
/// known, or where the message had not ended when the exchange was reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpDetail {
    /// The same head that the request's event announced.
    pub request: Arc<RequestHead>,
    pub response: Option<ResponseHead>,
    pub request_body: Option<u64>,
    pub response_body: Option<u64>,
}
