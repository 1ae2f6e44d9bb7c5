//! Metrics to OTLP/JSON, by the rules in `json`.

use super::{
    json::{attributes, double, hex, integer, list, quoted_integer, raw, resource_and_scope, string},
    metrics::temporality,
};
use crate::metrics::model::{Exemplar, HistogramPoint, Metric, MetricData, NumberPoint, ResourceMetrics};

/// One `MetricsData` object, without a line end.
pub(super) fn metrics<'a>(collections: impl Iterator<Item = &'a ResourceMetrics>, out: &mut Vec<u8>) {
    raw(out, r#"{"resourceMetrics":["#);
    list(out, collections, |out, collection| {
        resource_and_scope(out, &collection.resource, "scopeMetrics");
        raw(out, r#","metrics":["#);
        list(out, &collection.metrics, metric);
        raw(out, "]}]}");
    });
    raw(out, "]}");
}

fn metric(out: &mut Vec<u8>, metric: &Metric) {
    raw(out, r#"{"name":"#);
    string(out, metric.name);
    raw(out, r#","description":"#);
    string(out, metric.description);
    raw(out, r#","unit":"#);
    string(out, metric.unit);
    match &metric.data {
        MetricData::Histogram { temporality: kind, points } => {
            raw(out, r#","histogram":{"dataPoints":["#);
            list(out, points, histogram_point);
            raw(out, r#"],"aggregationTemporality":"#);
            integer(out, temporality(*kind));
        }
        MetricData::Sum { temporality: kind, monotonic, points } => {
            raw(out, r#","sum":{"dataPoints":["#);
            list(out, points, number_point);
            raw(out, r#"],"aggregationTemporality":"#);
            integer(out, temporality(*kind));
            raw(out, if *monotonic { r#","isMonotonic":true"# } else { r#","isMonotonic":false"# });
        }
        MetricData::Gauge { points } => {
            raw(out, r#","gauge":{"dataPoints":["#);
            list(out, points, number_point);
            raw(out, "]");
        }
    }
    raw(out, "}}");
}

/// The opening brace and what both kinds of point start with.
fn point(out: &mut Vec<u8>, of: (&crate::attribute::Attributes, u64, u64)) {
    let (labels, start, time) = of;
    raw(out, r#"{"startTimeUnixNano":"#);
    quoted_integer(out, start);
    raw(out, r#","timeUnixNano":"#);
    quoted_integer(out, time);
    attributes(out, labels, ",");
}

fn number_point(out: &mut Vec<u8>, number: &NumberPoint) {
    point(out, (&number.attributes, number.start, number.time));
    raw(out, r#","asInt":"#);
    quoted_integer(out, number.value);
    raw(out, "}");
}

fn histogram_point(out: &mut Vec<u8>, histogram: &HistogramPoint) {
    point(out, (&histogram.attributes, histogram.start, histogram.time));
    raw(out, r#","count":"#);
    quoted_integer(out, histogram.count);
    raw(out, r#","sum":"#);
    double(out, histogram.sum);
    raw(out, r#","bucketCounts":["#);
    list(out, &histogram.buckets, |out, count| quoted_integer(out, *count));
    raw(out, r#"],"explicitBounds":["#);
    list(out, histogram.bounds, |out, bound| double(out, *bound));
    raw(out, "]");
    if !histogram.exemplars.is_empty() {
        raw(out, r#","exemplars":["#);
        list(out, &histogram.exemplars, exemplar);
        raw(out, "]");
    }
    if let Some(min) = histogram.min {
        raw(out, r#","min":"#);
        double(out, min);
    }
    if let Some(max) = histogram.max {
        raw(out, r#","max":"#);
        double(out, max);
    }
    raw(out, "}");
}

fn exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    raw(out, r#"{"timeUnixNano":"#);
    quoted_integer(out, exemplar.time);
    raw(out, r#","asDouble":"#);
    double(out, exemplar.value);
    raw(out, r#","spanId":"#);
    hex(out, &exemplar.span_id.0);
    raw(out, r#","traceId":"#);
    hex(out, &exemplar.trace_id.0);
    raw(out, "}");
}
