use std::time::{Duration, Instant};

use honeyguide::export::{
    Exporters,
    counters::{ExportCounters, SignalSnapshot},
    settings::{ExportSettings, FileSettings, OtlpSettings, Protocol, QueueSettings},
};
use prost::Message as _;

use crate::{
    peer::{Peer, Reply},
    sample::{directory, metrics, otlp, spans, start, traces},
};

fn limited(peer: &Peer, queue: QueueSettings) -> OtlpSettings {
    OtlpSettings { queue, ..otlp(&peer.url(), Protocol::HttpProtobuf) }
}

const SLOW: QueueSettings =
    QueueSettings { max_queue: 10, max_batch: 4, delay: Duration::from_secs(600), in_flight: 1 };

#[test]
fn a_full_queue_drops_the_newest_span_by_span() {
    let peer = Peer::start(std::iter::repeat_n(Reply::Hang, 100));
    let exporters = start(limited(&peer, SLOW));
    for count in [6, 6, 6] {
        exporters.spans(spans(count));
    }
    let counted = traces(&exporters.shutdown(Duration::from_millis(200)));
    // What is under way counts towards the limit of ten, and a peer that hangs does not hold the shutdown.
    let expect =
        SignalSnapshot { offered: 18, queue_full: 8, shutdown: 10, requests: 1, ..SignalSnapshot::default() };
    assert_eq!(counted, expect);
}

#[test]
fn a_dead_destination_does_not_touch_the_others() {
    let peer = Peer::start(std::iter::repeat_n(Reply::Hang, 100));
    let settings = ExportSettings {
        otlp: vec![limited(&peer, SLOW)],
        file: Some(FileSettings::to_directory(directory("limits-file"))),
        ..ExportSettings::default()
    };
    let exporters = Exporters::start(settings, &ExportCounters::default()).unwrap();
    for _ in 0..100 {
        exporters.spans(spans(100));
    }
    let summary = exporters.shutdown(Duration::from_secs(1));
    let [dead, file] = &summary.destinations[..] else { panic!("{summary:?}") };
    assert_eq!((dead.name.as_str(), dead.traces.queue_full, dead.traces.shutdown), ("otlp", 9_990, 10));
    assert_eq!((file.name.as_str(), file.traces.exported, file.traces.dropped()), ("file", 10_000, 0));
}

#[test]
fn batches_are_as_large_as_allowed_and_no_larger() {
    let peer = Peer::start([]);
    let queue = QueueSettings { max_queue: 100, ..SLOW };
    let exporters = start(limited(&peer, queue));
    for count in [1, 9, 3] {
        exporters.spans(spans(count));
    }
    // One more than a batch in one resource cannot be divided.
    exporters.metrics(metrics(5));
    exporters.metrics(metrics(1));
    let summary = exporters.shutdown(Duration::from_secs(10));
    assert_eq!((traces(&summary).exported, traces(&summary).requests), (13, 4));
    let metrics = summary.destinations[0].metrics;
    assert_eq!((metrics.exported, metrics.requests), (6, 2));
    let mut sizes: Vec<_> = peer
        .requests()
        .iter()
        .filter(|request| request.path == "/v1/traces")
        .map(|request| {
            use opentelemetry_proto::tonic::trace::v1::TracesData;
            let message = TracesData::decode(request.body.as_slice()).unwrap();
            message.resource_spans.iter().map(|group| group.scope_spans[0].spans.len()).sum::<usize>()
        })
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 4, 4, 4]);
}

#[test]
fn an_incomplete_batch_leaves_after_the_delay() {
    let peer = Peer::start([]);
    let counters = ExportCounters::default();
    let queue = QueueSettings { delay: Duration::from_millis(50), ..SLOW };
    let settings = ExportSettings { otlp: vec![limited(&peer, queue)], ..ExportSettings::default() };
    let exporters = Exporters::start(settings, &counters).unwrap();
    let before = Instant::now();
    exporters.spans(spans(2));
    crate::sample::settled(&counters);
    assert!(before.elapsed() >= Duration::from_millis(50));
    assert_eq!(counters.snapshot()[0].traces.exported, 2);
    let _ = exporters.shutdown(Duration::from_secs(10));
}

#[test]
fn without_a_destination_nothing_is_kept() {
    let exporters = Exporters::start(ExportSettings::default(), &ExportCounters::default()).unwrap();
    exporters.spans(spans(5));
    exporters.metrics(metrics(5));
    assert_eq!(exporters.shutdown(Duration::ZERO).destinations, []);
}
