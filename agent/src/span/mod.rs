//! Spans, as the agent makes them. `export` turns them into OTLP; nothing here names an OTLP type.

pub mod context;
pub mod db;
mod ending;
pub mod http;
pub mod id;
pub mod keyvalue;
mod network;
pub mod redact;
pub mod route;
pub mod rpc;
pub mod sampler;
pub mod times;

use std::{borrow::Cow, fmt, sync::Arc};

use crate::{attribute::Attributes, resource::Resource};

/// A W3C trace id: 16 bytes, not all zero.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(pub [u8; 16]);

/// A W3C span (parent) id: 8 bytes, not all zero.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId(pub [u8; 8]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpanKind {
    Internal,
    Server,
    Client,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    #[default]
    Unset,
    /// With a description where the convention asks for one; empty otherwise.
    Error(Cow<'static, str>),
}

/// A span that points at another without being its child.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanLink {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub attributes: Attributes,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub parent: Option<SpanId>,
    /// The parent came in by `traceparent`: it belongs to another process.
    pub parent_is_remote: bool,
    /// W3C trace flags; bit 0 is "sampled".
    pub trace_flags: u8,
    pub trace_state: Option<Box<str>>,
    pub kind: SpanKind,
    pub name: Cow<'static, str>,
    /// Nanoseconds since the Unix epoch.
    pub start: u64,
    /// Nanoseconds since the Unix epoch; never before `start`.
    pub end: u64,
    pub attributes: Attributes,
    pub links: Vec<SpanLink>,
    pub status: Status,
    /// The traced process, shared by all its spans.
    pub resource: Arc<Resource>,
}

impl TraceId {
    #[must_use]
    pub fn is_valid(self) -> bool {
        self.0 != [0; 16]
    }
}

impl SpanId {
    #[must_use]
    pub fn is_valid(self) -> bool {
        self.0 != [0; 8]
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
