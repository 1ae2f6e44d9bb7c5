//! Invented spans and metrics, and settings that make a test quick.

use std::{path::PathBuf, sync::Arc, time::Duration};

use honeyguide::{
    attribute::Attributes,
    export::{
        ExportSummary, Exporters,
        counters::{ExportCounters, SignalSnapshot},
        settings::{ExportSettings, OtlpSettings, Protocol, QueueSettings, RetrySettings, SignalSettings},
    },
    metrics::model::{
        Exemplar, HistogramPoint, Metric, MetricData, NumberPoint, ResourceMetrics, Temporality,
    },
    resource::Resource,
    span::{Span, SpanId, SpanKind, SpanLink, Status, TraceId},
};

pub(crate) fn resource(service: &'static str) -> Arc<Resource> {
    let mut resource = Resource::default();
    resource.attributes.set("service.name", service);
    Arc::new(resource)
}

pub(crate) fn spans(count: u64) -> Vec<Span> {
    let resource = resource("shop");
    let span = |index: u64| {
        let mut span = Span {
            trace_id: TraceId([9; 16]),
            span_id: SpanId((index + 1).to_be_bytes()),
            parent: None,
            parent_is_remote: false,
            trace_flags: 1,
            trace_state: None,
            kind: SpanKind::Server,
            name: "GET /orders/{id}".into(),
            start: 1_700_000_000_000_000_000 + index,
            end: 1_700_000_000_001_000_000 + index,
            attributes: Default::default(),
            links: Vec::new(),
            status: Status::Unset,
            resource: Arc::clone(&resource),
        };
        span.attributes.set("http.response.status_code", 200_u16);
        if index % 3 == 1 {
            span.parent = Some(SpanId(index.to_be_bytes()));
            span.parent_is_remote = true;
            span.trace_state = Some("vendor=1".into());
            span.kind = SpanKind::Client;
            span.status = Status::Error("\u{1b}gone \"away\"".into());
            span.attributes.set("error.type", "connection_reset");
            span.attributes.set("ratio", 0.1);
            span.attributes.set("retry", true);
            span.attributes.set("http.request.header.accept", vec!["a".to_owned(), "ü".to_owned()]);
            let (trace_id, span_id) = (TraceId([7; 16]), SpanId([8; 8]));
            span.links.push(SpanLink { trace_id, span_id, attributes: span.attributes.clone() });
        }
        span
    };
    (0..count).map(span).collect()
}

/// One resource with `count` data points.
pub(crate) fn metrics(count: i64) -> Vec<ResourceMetrics> {
    let point = |value| NumberPoint { attributes: Default::default(), start: 1, time: 2, value };
    let data = MetricData::Gauge { points: (0..count).map(point).collect() };
    let metric = Metric { name: "queue.depth", unit: "{item}", description: "How many wait.", data };
    vec![ResourceMetrics { resource: resource("shop"), metrics: vec![metric] }]
}

/// One resource with a histogram of two points, one of them with an exemplar.
pub(crate) fn histogram() -> Vec<ResourceMetrics> {
    let mut point = HistogramPoint {
        attributes: Attributes::default(),
        start: 1_700_000_000_000_000_000,
        time: 1_700_000_060_000_000_000,
        count: 6,
        sum: 0.75,
        min: Some(0.001),
        max: Some(0.5),
        bounds: &[0.005, 0.1, 1.0],
        buckets: vec![1, 2, 3, 0],
        exemplars: vec![Exemplar {
            time: 1_700_000_000_000_000_001,
            value: 0.25,
            trace_id: TraceId([9; 16]),
            span_id: SpanId([1; 8]),
        }],
    };
    point.attributes.set("http.request.method", "GET");
    point.attributes.set("http.response.status_code", 200_u16);
    let bare = HistogramPoint { exemplars: Vec::new(), min: None, max: None, ..point.clone() };
    let data = MetricData::Histogram { temporality: Temporality::Delta, points: vec![point, bare] };
    let (name, description) = ("http.server.request.duration", "Duration of HTTP server requests.");
    let metric = Metric { name, unit: "s", description, data };
    vec![ResourceMetrics { resource: resource("cart"), metrics: vec![metric] }]
}

/// Both signals to `endpoint`, with delays of milliseconds.
pub(crate) fn otlp(endpoint: &str, protocol: Protocol) -> OtlpSettings {
    OtlpSettings {
        queue: QueueSettings { delay: Duration::from_millis(5), ..QueueSettings::default() },
        retry: RetrySettings {
            initial: Duration::from_millis(5),
            max: Duration::from_millis(20),
            max_elapsed: Duration::from_secs(20),
        },
        ..OtlpSettings::to_endpoint(endpoint, protocol)
    }
}

/// Changes both signals' settings.
pub(crate) fn with(mut settings: OtlpSettings, change: impl Fn(&mut SignalSettings)) -> OtlpSettings {
    settings.traces.iter_mut().chain(settings.metrics.iter_mut()).for_each(change);
    settings
}

pub(crate) fn start(settings: OtlpSettings) -> Exporters {
    let settings = ExportSettings { otlp: vec![settings], ..ExportSettings::default() };
    Exporters::start(settings, &ExportCounters::default()).unwrap()
}

/// Five spans through one destination, and what became of them once nothing is pending.
pub(crate) fn five_spans(settings: OtlpSettings) -> SignalSnapshot {
    let counters = ExportCounters::default();
    let settings = ExportSettings { otlp: vec![settings], ..ExportSettings::default() };
    let exporters = Exporters::start(settings, &counters).unwrap();
    exporters.spans(spans(5));
    settled(&counters);
    traces(&exporters.shutdown(Duration::from_secs(10)))
}

/// Waits until everything offered is exported or dropped, so that no shutdown hurries a retry.
pub(crate) fn settled(counters: &ExportCounters) {
    for _ in 0..4_000 {
        let quiet = |signal: &SignalSnapshot| signal.pending == 0;
        if counters.snapshot().iter().all(|of| quiet(&of.traces) && quiet(&of.metrics)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("still pending after 20 s: {:?}", counters.snapshot());
}

pub(crate) fn traces(summary: &ExportSummary) -> SignalSnapshot {
    assert_eq!(summary.destinations.len(), 1);
    summary.destinations[0].traces
}

/// An empty directory of the test's own.
pub(crate) fn directory(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}
