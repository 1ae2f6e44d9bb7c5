//! Metrics to OTLP's protobuf messages.

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{
        AggregationTemporality, Exemplar as ProtoExemplar, Gauge, Histogram, HistogramDataPoint,
        Metric as ProtoMetric, NumberDataPoint, ResourceMetrics as ProtoResourceMetrics, ScopeMetrics, Sum,
        exemplar, metric, number_data_point,
    },
};

use super::traces::{attributes, resource, scope};
use crate::metrics::model::{
    Exemplar, HistogramPoint, Metric, MetricData, NumberPoint, ResourceMetrics, Temporality,
};

pub(super) fn request<'a>(
    collections: impl Iterator<Item = &'a ResourceMetrics>,
) -> ExportMetricsServiceRequest {
    let collections = collections.map(|collection| ProtoResourceMetrics {
        resource: Some(resource(&collection.resource)),
        scope_metrics: vec![ScopeMetrics {
            scope: Some(scope()),
            metrics: collection.metrics.iter().map(metric).collect(),
            schema_url: String::new(),
        }],
        schema_url: String::new(),
    });
    ExportMetricsServiceRequest { resource_metrics: collections.collect() }
}

pub(super) fn temporality(temporality: Temporality) -> i32 {
    let temporality = match temporality {
        Temporality::Cumulative => AggregationTemporality::Cumulative,
        Temporality::Delta => AggregationTemporality::Delta,
    };
    temporality as i32
}

fn metric(metric: &Metric) -> ProtoMetric {
    let data = match &metric.data {
        MetricData::Histogram { temporality: kind, points } => metric::Data::Histogram(Histogram {
            data_points: points.iter().map(histogram_point).collect(),
            aggregation_temporality: temporality(*kind),
        }),
        MetricData::Sum { temporality: kind, monotonic, points } => metric::Data::Sum(Sum {
            data_points: points.iter().map(number_point).collect(),
            aggregation_temporality: temporality(*kind),
            is_monotonic: *monotonic,
        }),
        MetricData::Gauge { points } => {
            metric::Data::Gauge(Gauge { data_points: points.iter().map(number_point).collect() })
        }
    };
    ProtoMetric {
        name: metric.name.to_owned(),
        description: metric.description.to_owned(),
        unit: metric.unit.to_owned(),
        metadata: Vec::new(),
        data: Some(data),
    }
}

fn number_point(point: &NumberPoint) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(&point.attributes),
        start_time_unix_nano: point.start,
        time_unix_nano: point.time,
        value: Some(number_data_point::Value::AsInt(point.value)),
        ..Default::default()
    }
}

fn histogram_point(point: &HistogramPoint) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: attributes(&point.attributes),
        start_time_unix_nano: point.start,
        time_unix_nano: point.time,
        count: point.count,
        sum: Some(point.sum),
        bucket_counts: point.buckets.clone(),
        explicit_bounds: point.bounds.to_vec(),
        exemplars: point.exemplars.iter().map(exemplar).collect(),
        min: point.min,
        max: point.max,
        ..Default::default()
    }
}

fn exemplar(exemplar: &Exemplar) -> ProtoExemplar {
    ProtoExemplar {
        time_unix_nano: exemplar.time,
        span_id: exemplar.span_id.0.to_vec(),
        trace_id: exemplar.trace_id.0.to_vec(),
        value: Some(exemplar::Value::AsDouble(exemplar.value)),
        ..Default::default()
    }
}
