//! From a gRPC exchange to a span, by the semantic conventions for RPC and gRPC (1.44).
//!
//! The status is the server's where it was seen. Where the stream or the connection ended without one it is what
//! a gRPC library makes of that end: the mapping of HTTP/2 error codes and of HTTP statuses in the gRPC protocol
//! specification. A server's method that it answers with UNIMPLEMENTED is `_OTHER`, with what was asked for in
//! `rpc.method_original`: anybody may ask for anything.

use std::{borrow::Cow, sync::Arc};

use honeyguide_protocols::{
    CloseReason,
    exchange::{Exchange, Outcome},
    grpc::RpcDetail,
    http::HttpDetail,
};

use super::{
    Span, SpanKind, Status,
    context::Identity,
    ending::{self, Failure},
    http::{HttpSettings, Request},
    network,
};
use crate::{
    attribute::{Attributes, Value},
    flow::{Endpoints, Role},
    resource::Resource,
};

/// What a span needs beyond its exchange.
#[derive(Clone, Debug)]
pub struct RpcInput {
    pub identity: Identity,
    /// Nanoseconds since the Unix epoch.
    pub start: u64,
    /// Nanoseconds since the Unix epoch.
    pub end: u64,
    pub resource: Arc<Resource>,
}

/// A remote procedure call, read by the conventions.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The HTTP request that carries it: the server's name and the ends.
    pub request: Request<'a>,
    exchange: &'a Exchange<HttpDetail>,
    rpc: &'a RpcDetail,
    /// `rpc.response.status_code`; `None` where the end was not seen.
    pub status: Option<Cow<'static, str>>,
    /// `error.type`.
    pub error: Option<Cow<'static, str>>,
    description: &'static str,
}

impl<'a> Call<'a> {
    /// `None` where the exchange is no remote procedure call.
    #[must_use]
    pub fn new(
        exchange: &'a Exchange<HttpDetail>,
        role: Role,
        endpoints: &'a Endpoints,
        encrypted: bool,
        settings: &HttpSettings,
    ) -> Option<Self> {
        let rpc = exchange.detail.rpc.as_ref()?;
        let request = Request::new(&exchange.detail.request, role, endpoints, encrypted, settings);
        let status = status(exchange, rpc);
        let (error, description) = match &status {
            Some(name) if is_error(name, role) => (Some(name.clone()), ""),
            Some(_) => (None, ""),
            None => Failure::of_outcome(exchange.outcome, exchange.response.is_some())
                .map_or((None, ""), |failure| (Some(Cow::Borrowed(failure.kind)), failure.description)),
        };
        Some(Self { request, exchange, rpc, status, error, description })
    }

    /// `rpc.method`.
    #[must_use]
    pub fn method(&self) -> Option<&'a str> {
        let unknown = self.request.role == Role::Server && self.status.as_deref() == Some(UNIMPLEMENTED);
        if unknown { Some("_OTHER") } else { self.rpc.method.as_deref() }
    }

    /// `input` must name the role and endpoints that this call was made with.
    #[must_use]
    pub fn span(&self, input: RpcInput) -> Span {
        let RpcInput { identity, start, end, resource } = input;
        let name = self.method().filter(|method| *method != "_OTHER");
        Span {
            trace_id: identity.trace_id,
            span_id: identity.span_id,
            parent: identity.parent,
            parent_is_remote: identity.parent_is_remote,
            trace_flags: identity.trace_flags,
            trace_state: identity.trace_state,
            kind: match self.request.role {
                Role::Client => SpanKind::Client,
                Role::Server => SpanKind::Server,
            },
            name: name.map_or(Cow::Borrowed(SYSTEM), |method| Cow::Owned(method.to_owned())),
            start,
            end: end.max(start),
            attributes: self.attributes(),
            links: Vec::new(),
            status: if self.error.is_some() {
                Status::Error(Cow::Borrowed(self.description))
            } else {
                Status::Unset
            },
            resource,
        }
    }

    fn attributes(&self) -> Attributes {
        let request = &self.request;
        let mut attributes = Attributes::with_capacity(TYPICAL_ATTRIBUTES);
        attributes.set("rpc.system.name", SYSTEM);
        if let Some(method) = self.method() {
            attributes.set("rpc.method", method.to_owned());
            if let Some(original) = self.rpc.method.as_deref().filter(|original| *original != method) {
                attributes.set("rpc.method_original", original.to_owned());
            }
        }
        if let Some(status) = &self.status {
            attributes.set("rpc.response.status_code", Value::Str(status.clone()));
        }
        if let Some(error) = &self.error {
            attributes.set("error.type", Value::Str(error.clone()));
        }
        if let Some(server) = &request.server {
            attributes.set("server.address", server.to_string());
        }
        if let Some(port) = request.port {
            attributes.set("server.port", port);
        }
        if let (Role::Server, Endpoints::Tcp { remote, .. }) = (request.role, request.endpoints) {
            attributes.set("client.address", network::text(remote.ip()));
        }
        network::set_peer(request.role, request.endpoints, &mut attributes);
        ending::mark(self.exchange, request.head.truncated, &mut attributes);
        attributes
    }
}

/// `rpc.system.name`.
pub const SYSTEM: &str = "grpc";
const UNIMPLEMENTED: &str = "UNIMPLEMENTED";
const TYPICAL_ATTRIBUTES: usize = 10;

/// The names of the status codes, by number.
const STATUS: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    UNIMPLEMENTED,
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

fn status(exchange: &Exchange<HttpDetail>, rpc: &RpcDetail) -> Option<Cow<'static, str>> {
    if let Some(number) = rpc.status {
        let name = usize::try_from(number).ok().and_then(|number| STATUS.get(number));
        return Some(name.map_or_else(|| Cow::Owned(number.to_string()), |name| Cow::Borrowed(*name)));
    }
    match exchange.outcome {
        Outcome::Reset { code, .. } => Some(Cow::Borrowed(of_reset(code))),
        Outcome::Aborted(CloseReason::Finished | CloseReason::Error(_)) => Some(Cow::Borrowed("UNAVAILABLE")),
        Outcome::Complete if exchange.damaged => None,
        Outcome::Complete => {
            exchange.detail.response.map(|response| Cow::Borrowed(of_http_status(response.status)))
        }
        Outcome::Upgraded | Outcome::Lost | Outcome::Aborted(CloseReason::Unobserved) => None,
    }
}

/// gRPC over HTTP/2, "Errors": HTTP/2 error codes (RFC 9113, 7) as statuses.
fn of_reset(code: u32) -> &'static str {
    match code {
        0x7 => "UNAVAILABLE",
        0x8 => "CANCELLED",
        0xb => "RESOURCE_EXHAUSTED",
        0xc => "PERMISSION_DENIED",
        _ => "INTERNAL",
    }
}

/// HTTP to gRPC status code mapping: a response without `grpc-status`, of a proxy for example.
fn of_http_status(status: u16) -> &'static str {
    match status {
        400 => "INTERNAL",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => UNIMPLEMENTED,
        429 | 502 | 503 | 504 => "UNAVAILABLE",
        _ => "UNKNOWN",
    }
}

/// For a client everything but OK; for a server what is not the client's fault (gRPC, `rpc.response.status_code`).
fn is_error(status: &str, role: Role) -> bool {
    match role {
        Role::Client => status != "OK",
        Role::Server => matches!(
            status,
            "UNKNOWN" | "DEADLINE_EXCEEDED" | UNIMPLEMENTED | "INTERNAL" | "UNAVAILABLE" | "DATA_LOSS"
        ),
    }
}

#[cfg(test)]
mod tests;
