//! What an HTTP exchange says, whichever version of HTTP carried it.

use std::sync::Arc;

use crate::grpc::RpcDetail;

/// The protocol version a message was sent in, as `network.protocol.version` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
    Http2,
    /// Only where FastCGI says so.
    Http3,
}

/// A request's head. Strings are bounded by the parser and lossily decoded where they are not UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// As sent: case kept, unknown methods kept. [`UNKNOWN`] where it was not seen, as may be in HTTP/2.
    pub method: Box<str>,
    /// The request target as sent: origin form (`/a?b`), absolute form, authority form or `*`.
    /// [`UNKNOWN`] where it was not seen.
    pub target: Box<str>,
    pub version: Version,
    /// `Host` header or `:authority`.
    pub authority: Option<Box<str>>,
    /// `:scheme` of HTTP/2, or what an absolute-form target says.
    pub scheme: Option<Box<str>>,
    pub user_agent: Option<Box<str>>,
    /// `Forwarded` or, failing that, `X-Forwarded-For`, as sent.
    pub forwarded: Option<Forwarded>,
    /// The client's address, where the protocol itself tells it: FastCGI's server says whom it serves.
    pub client: Option<Box<str>>,
    pub traceparent: Option<Box<str>>,
    /// All `tracestate` headers, joined by a comma.
    pub tracestate: Option<Box<str>>,
    /// All `baggage` headers, joined by a comma.
    pub baggage: Option<Box<str>>,
    /// The number of its stream in HTTP/2; 0 elsewhere.
    pub stream: u32,
    /// FNV-1a of the head's first 64 bytes on the wire (of all where it is shorter): both ends of a
    /// connection compute the same. 0 where those bytes were not captured.
    pub fingerprint: u64,
    /// The head was longer than what was captured or what a parser keeps; headers may be missing.
    pub truncated: bool,
}

impl RequestHead {
    /// Bytes it takes in memory.
    pub(crate) fn size(&self) -> usize {
        let texts = [
            &self.authority,
            &self.scheme,
            &self.user_agent,
            &self.client,
            &self.traceparent,
            &self.tracestate,
            &self.baggage,
        ];
        let optional: usize = texts.into_iter().flatten().map(|text| text.len()).sum();
        let forwarded = match &self.forwarded {
            Some(Forwarded::Forwarded(text) | Forwarded::XForwardedFor(text)) => text.len(),
            None => 0,
        };
        size_of::<Self>() + self.method.len() + self.target.len() + optional + forwarded
    }
}

/// What stands for a method or a target that was sent in a way that cannot be read: HTTP/2 refers to
/// fields of earlier messages, and those may have passed before anybody watched.
pub const UNKNOWN: &str = "";

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
    /// `None` where there was no response, or its status is not known though it has an extent.
    pub response: Option<ResponseHead>,
    pub request_body: Option<u64>,
    pub response_body: Option<u64>,
    /// What the exchange says as a remote procedure call, if it is one.
    pub rpc: Option<RpcDetail>,
}

/// At most `max` bytes as text; control characters (a folded line's end) become spaces.
pub(crate) fn text(raw: &[u8], max: usize) -> Box<str> {
    let raw = &raw[..raw.len().min(max)];
    let control = raw.iter().fold(false, |found, byte| found | byte.is_ascii_control());
    match std::str::from_utf8(raw) {
        Ok(text) if !control => text.into(),
        _ => String::from_utf8_lossy(raw).replace(|c: char| c.is_ascii_control(), " ").into(),
    }
}

/// FNV-1a, 64 bits.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
