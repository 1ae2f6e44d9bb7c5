//! Spans, metrics and profiles in OTLP's terms: protobuf, OTLP/JSON, and the answers of a peer. Nothing
//! outside this directory names an OTLP type.

mod dictionary;
mod group;
mod json;
mod json_metrics;
mod json_profiles;
mod metrics;
mod profiles;
mod response;
mod traces;

#[cfg(test)]
mod tests;

use http::uri::PathAndQuery;
use prost::Message as _;

use super::queue::Item;
use crate::{metrics::model::ResourceMetrics, profile::named::Profile, span::Span};

pub(super) use response::{Answer, Refusal};

/// The instrumentation scope of everything the agent makes.
pub(super) const SCOPE: &str = "honeyguide";
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A signal as OTLP carries it.
pub(super) trait Otlp: Item {
    /// The gRPC method.
    const METHOD: &str;
    /// The file exporter's file.
    const FILE: &str;

    /// An `Export…ServiceRequest`, which on the wire is the same as a `…Data` message.
    fn protobuf<'a>(items: impl Iterator<Item = &'a Self> + Clone) -> Vec<u8>;

    /// Appends the same message as OTLP/JSON.
    fn json<'a>(items: impl Iterator<Item = &'a Self> + Clone, out: &mut Vec<u8>);
}

pub(super) fn grpc_path<T: Otlp>() -> PathAndQuery {
    PathAndQuery::from_static(T::METHOD)
}

impl Otlp for Span {
    const METHOD: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    const FILE: &str = "traces.jsonl";

    fn protobuf<'a>(items: impl Iterator<Item = &'a Self> + Clone) -> Vec<u8> {
        traces::request(items).encode_to_vec()
    }

    fn json<'a>(items: impl Iterator<Item = &'a Self> + Clone, out: &mut Vec<u8>) {
        json::traces(items, out);
    }
}

impl Otlp for ResourceMetrics {
    const METHOD: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    const FILE: &str = "metrics.jsonl";

    fn protobuf<'a>(items: impl Iterator<Item = &'a Self> + Clone) -> Vec<u8> {
        metrics::request(items).encode_to_vec()
    }

    fn json<'a>(items: impl Iterator<Item = &'a Self> + Clone, out: &mut Vec<u8>) {
        json_metrics::metrics(items, out);
    }
}

impl Otlp for Profile {
    const METHOD: &str = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export";
    const FILE: &str = "profiles.jsonl";

    fn protobuf<'a>(items: impl Iterator<Item = &'a Self> + Clone) -> Vec<u8> {
        profiles::data(items).encode_to_vec()
    }

    fn json<'a>(items: impl Iterator<Item = &'a Self> + Clone, out: &mut Vec<u8>) {
        json_profiles::profiles(&profiles::data(items), out);
    }
}
