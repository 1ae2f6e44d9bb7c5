//! The few fields of a header block that matter, and the heads they make.

use super::{Limits, hpack::Field};
use crate::{
    grpc,
    http::{Forwarded, RequestHead, UNKNOWN, Version, text},
};

/// Fields of one block. Of a field that comes twice the first counts, as in HTTP/1.
#[derive(Debug, Default)]
pub(super) struct Fields {
    method: Option<Box<str>>,
    path: Option<Box<str>>,
    path_cut: bool,
    scheme: Option<Box<str>>,
    authority: Option<Box<str>>,
    host: Option<Box<str>>,
    user_agent: Option<Box<str>>,
    forwarded: Option<Box<str>>,
    forwarded_for: Option<Box<str>>,
    traceparent: Option<Box<str>>,
    tracestate: Option<Box<str>>,
    baggage: Option<Box<str>>,
    pub(super) status: Option<u16>,
    /// `content-type` says so.
    pub(super) grpc: bool,
    pub(super) grpc_status: Option<u32>,
    pub(super) grpc_message: bool,
    /// There are fields that could not be read.
    pub(super) unknown: bool,
}

/// Names that [`Fields`] keeps.
pub(super) fn is_wanted(name: &[u8]) -> bool {
    matches!(
        name,
        b":method"
            | b":path"
            | b":scheme"
            | b":authority"
            | b":status"
            | b"host"
            | b"user-agent"
            | b"forwarded"
            | b"x-forwarded-for"
            | b"traceparent"
            | b"tracestate"
            | b"baggage"
            | b"content-type"
            | b"grpc-status"
            | b"grpc-message"
    )
}

impl Fields {
    pub(super) fn keep(&mut self, field: Field<'_>, limits: &Limits) {
        let Field::Known { name, value } = field else {
            self.unknown = true;
            return;
        };
        let first = |slot: &mut Option<Box<str>>| {
            if slot.is_none() {
                *slot = Some(text(value, limits.value));
            }
        };
        let list = |slot: &mut Option<Box<str>>| match slot {
            None => *slot = Some(text(value, limits.value)),
            Some(before) if before.len() < limits.value => {
                *slot = Some(text(&[before.as_bytes(), b",", value].concat(), limits.value));
            }
            Some(_) => {}
        };
        match name {
            b":method" => first(&mut self.method),
            b":path" if self.path.is_none() => {
                self.path = Some(text(value, limits.target));
                self.path_cut = value.len() > limits.target;
            }
            b":scheme" => first(&mut self.scheme),
            b":authority" => first(&mut self.authority),
            b":status" => self.status = self.status.or_else(|| status(value)),
            b"host" => first(&mut self.host),
            b"user-agent" => first(&mut self.user_agent),
            b"forwarded" => first(&mut self.forwarded),
            b"x-forwarded-for" => first(&mut self.forwarded_for),
            b"traceparent" => first(&mut self.traceparent),
            b"tracestate" => list(&mut self.tracestate),
            b"baggage" => list(&mut self.baggage),
            b"content-type" => self.grpc |= grpc::is_grpc(value),
            b"grpc-status" => self.grpc_status = self.grpc_status.or_else(|| grpc::status(value)),
            b"grpc-message" => self.grpc_message = true,
            _ => {}
        }
    }

    /// Request pseudo-header fields are among them.
    pub(super) fn are_of_a_request(&self) -> bool {
        self.method.is_some() || self.path.is_some() || self.scheme.is_some() || self.authority.is_some()
    }

    pub(super) fn into_head(self, stream: u32, fingerprint: u64, whole: bool) -> RequestHead {
        let unknown = || UNKNOWN.into();
        let forwarded = self.forwarded.map(Forwarded::Forwarded);
        // RFC 9113 section 8.5: CONNECT has no path. Its target is the authority, as in HTTP/1.
        let connect = self.method.as_deref() == Some("CONNECT");
        let target = self.path.or_else(|| self.authority.clone().filter(|_| connect));
        RequestHead {
            method: self.method.unwrap_or_else(unknown),
            target: target.unwrap_or_else(unknown),
            version: Version::Http2,
            authority: self.authority.or(self.host),
            scheme: self.scheme,
            user_agent: self.user_agent,
            forwarded: forwarded.or(self.forwarded_for.map(Forwarded::XForwardedFor)),
            client: None,
            traceparent: self.traceparent,
            tracestate: self.tracestate,
            baggage: self.baggage,
            stream,
            fingerprint,
            truncated: self.unknown || !whole || self.path_cut,
        }
    }
}

/// RFC 9113 section 8.3.2: three digits.
fn status(value: &[u8]) -> Option<u16> {
    match value {
        [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9'] => str::from_utf8(value).ok()?.parse().ok(),
        _ => None,
    }
}
