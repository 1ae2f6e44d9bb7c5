//! Spans to OTLP's protobuf messages.

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value},
    resource::v1::Resource as ProtoResource,
    trace::v1::{ResourceSpans, ScopeSpans, Span as ProtoSpan, Status as ProtoStatus, span, status},
};

use super::{SCOPE, VERSION, group};
use crate::{
    attribute::{Attributes, Value},
    resource::Resource,
    span::{Span, SpanKind, SpanLink, Status},
};

pub(super) fn request<'a>(spans: impl Iterator<Item = &'a Span>) -> ExportTraceServiceRequest {
    let groups = group::by_resource(spans).into_iter().map(|group| ResourceSpans {
        resource: Some(resource(group.resource)),
        scope_spans: vec![ScopeSpans {
            scope: Some(scope()),
            spans: group.spans.into_iter().map(span).collect(),
            schema_url: String::new(),
        }],
        schema_url: String::new(),
    });
    ExportTraceServiceRequest { resource_spans: groups.collect() }
}

pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope { name: SCOPE.to_owned(), version: VERSION.to_owned(), ..Default::default() }
}

pub(super) fn resource(resource: &Resource) -> ProtoResource {
    ProtoResource { attributes: attributes(&resource.attributes), ..Default::default() }
}

pub(super) fn attributes(attributes: &Attributes) -> Vec<KeyValue> {
    let pair = |(key, value): (&str, &Value)| KeyValue {
        key: key.to_owned(),
        value: Some(any_value(value)),
        ..Default::default()
    };
    attributes.iter().map(pair).collect()
}

/// The low byte is the W3C trace flags; bit 8 says that bit 9, "the parent is remote", is known.
pub(super) fn flags(span: &Span) -> u32 {
    let remote = if span.parent_is_remote { 0x200 } else { 0 };
    u32::from(span.trace_flags) | 0x100 | remote
}

pub(super) fn kind(kind: SpanKind) -> i32 {
    let kind = match kind {
        SpanKind::Internal => span::SpanKind::Internal,
        SpanKind::Server => span::SpanKind::Server,
        SpanKind::Client => span::SpanKind::Client,
    };
    kind as i32
}

fn span(span: &Span) -> ProtoSpan {
    ProtoSpan {
        trace_id: span.trace_id.0.to_vec(),
        span_id: span.span_id.0.to_vec(),
        trace_state: span.trace_state.as_deref().unwrap_or_default().to_owned(),
        parent_span_id: span.parent.map(|parent| parent.0.to_vec()).unwrap_or_default(),
        flags: flags(span),
        name: span.name.clone().into_owned(),
        kind: kind(span.kind),
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.end,
        attributes: attributes(&span.attributes),
        links: span.links.iter().map(link).collect(),
        status: match &span.status {
            Status::Unset => None,
            Status::Error(message) => Some(ProtoStatus {
                message: message.clone().into_owned(),
                code: status::StatusCode::Error as i32,
            }),
        },
        ..Default::default()
    }
}

fn link(link: &SpanLink) -> span::Link {
    span::Link {
        trace_id: link.trace_id.0.to_vec(),
        span_id: link.span_id.0.to_vec(),
        attributes: attributes(&link.attributes),
        ..Default::default()
    }
}

pub(super) fn any_value(value: &Value) -> AnyValue {
    let value = match value {
        Value::Str(text) => any_value::Value::StringValue(text.clone().into_owned()),
        Value::Int(number) => any_value::Value::IntValue(*number),
        Value::Double(number) => any_value::Value::DoubleValue(*number),
        Value::Bool(flag) => any_value::Value::BoolValue(*flag),
        Value::StrArray(texts) => {
            let values = texts
                .iter()
                .map(|text| AnyValue { value: Some(any_value::Value::StringValue(text.clone())) });
            any_value::Value::ArrayValue(ArrayValue { values: values.collect() })
        }
    };
    AnyValue { value: Some(value) }
}
