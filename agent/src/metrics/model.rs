//! One collection of metrics, as handed to `export`.

use std::sync::Arc;

use crate::{
    attribute::Attributes,
    resource::Resource,
    span::{SpanId, TraceId},
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temporality {
    #[default]
    Cumulative,
    Delta,
}

/// The metrics of one resource at one collection.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceMetrics {
    pub resource: Arc<Resource>,
    pub metrics: Vec<Metric>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    pub name: &'static str,
    /// UCUM, as the conventions give it: `s`, `By`, `{request}`.
    pub unit: &'static str,
    pub description: &'static str,
    pub data: MetricData,
}

#[derive(Clone, Debug, PartialEq)]
pub enum MetricData {
    Histogram { temporality: Temporality, points: Vec<HistogramPoint> },
    Sum { temporality: Temporality, monotonic: bool, points: Vec<NumberPoint> },
    Gauge { points: Vec<NumberPoint> },
}

#[derive(Clone, Debug, PartialEq)]
pub struct NumberPoint {
    pub attributes: Attributes,
    /// Nanoseconds since the Unix epoch.
    pub start: u64,
    pub time: u64,
    pub value: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct HistogramPoint {
    pub attributes: Attributes,
    /// Nanoseconds since the Unix epoch.
    pub start: u64,
    pub time: u64,
    pub count: u64,
    pub sum: f64,
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// Upper bounds, ascending; `buckets` is one longer.
    pub bounds: &'static [f64],
    pub buckets: Vec<u64>,
    pub exemplars: Vec<Exemplar>,
}

/// A measurement that points at the span it was taken from.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Nanoseconds since the Unix epoch.
    pub time: u64,
    pub value: f64,
    pub trace_id: TraceId,
    pub span_id: SpanId,
}
