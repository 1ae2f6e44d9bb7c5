//! What a peer answered: partial success, and gRPC's error details.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::{
    metrics::v1::ExportMetricsServiceResponse, profiles::v1development::ExportProfilesServiceResponse,
    trace::v1::ExportTraceServiceResponse,
};
use prost::Message;
use serde_json::Value;

use crate::export::counters::Signal;

/// A request the peer took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::export) struct Answer {
    /// How many spans or data points it did not take all the same.
    pub(in crate::export) rejected: u64,
    /// Why, or a warning where nothing was rejected.
    pub(in crate::export) message: String,
}

/// `google.rpc.Status`: the body of an OTLP/HTTP error and of gRPC's `grpc-status-details-bin`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::export) struct Refusal {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    pub(in crate::export) message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<ProtoDuration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct ProtoDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl Answer {
    /// An `Export…ServiceResponse`; `None` where `body` is none.
    pub(in crate::export) fn from_protobuf(signal: Signal, body: &[u8]) -> Option<Self> {
        let (rejected, message) = match signal {
            Signal::Traces => ExportTraceServiceResponse::decode(body)
                .ok()?
                .partial_success
                .map(|partial| (partial.rejected_spans, partial.error_message)),
            Signal::Metrics => ExportMetricsServiceResponse::decode(body)
                .ok()?
                .partial_success
                .map(|partial| (partial.rejected_data_points, partial.error_message)),
            Signal::Profiles => ExportProfilesServiceResponse::decode(body)
                .ok()?
                .partial_success
                .map(|partial| (partial.rejected_profiles, partial.error_message)),
        }
        .unwrap_or_default();
        Some(Self { rejected: u64::try_from(rejected).unwrap_or(0), message })
    }

    /// The same as OTLP/JSON.
    pub(in crate::export) fn from_json(signal: Signal, body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let partial = &body.as_object()?.get("partialSuccess").cloned().unwrap_or_default();
        let rejected = match signal {
            Signal::Traces => &partial["rejectedSpans"],
            Signal::Metrics => &partial["rejectedDataPoints"],
            Signal::Profiles => &partial["rejectedProfiles"],
        };
        // A string by the JSON mapping; a reader must take a number too.
        let rejected = rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok()).unwrap_or(0);
        let message = partial["errorMessage"].as_str().unwrap_or_default().to_owned();
        Some(Self { rejected, message })
    }
}

impl Refusal {
    /// How long the peer asks to wait. Its presence alone says that a retry makes sense.
    pub(in crate::export) fn retry_delay(&self) -> Option<Duration> {
        let info = self.details.iter().find(|detail| detail.type_url.ends_with("/google.rpc.RetryInfo"))?;
        let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay.unwrap_or_default();
        let seconds = Duration::from_secs(u64::try_from(delay.seconds).unwrap_or(0));
        Some(seconds.saturating_add(Duration::from_nanos(u64::try_from(delay.nanos).unwrap_or(0))))
    }
}
