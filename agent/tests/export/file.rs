use std::{fs, time::Duration};

use honeyguide::export::{
    ExportSummary, Exporters,
    counters::ExportCounters,
    settings::{ExportSettings, FileSettings},
};
use opentelemetry_proto::tonic::{metrics::v1::MetricsData, trace::v1::TracesData};

use crate::sample::{directory, metrics, settled, spans};

fn start(settings: FileSettings, counters: &ExportCounters) -> anyhow::Result<Exporters> {
    Exporters::start(ExportSettings { file: Some(settings), ..ExportSettings::default() }, counters)
}

fn counted(summary: &ExportSummary) -> (u64, u64, u64) {
    let traces = summary.destinations[0].traces;
    (traces.offered, traces.exported, traces.permanent)
}

#[test]
fn every_line_is_a_message() {
    let parent = directory("file-lines");
    let mut settings = FileSettings::to_directory(parent.join("made/for/it"));
    settings.queue.max_batch = 4;
    let exporters = start(settings.clone(), &ExportCounters::default()).unwrap();
    exporters.spans(spans(10));
    exporters.metrics(metrics(3));
    assert_eq!(counted(&exporters.shutdown(Duration::from_secs(10))), (10, 10, 0));

    let lines = fs::read_to_string(settings.directory.join("traces.jsonl")).unwrap();
    let messages: Vec<TracesData> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let spans = |message: &TracesData| message.resource_spans[0].scope_spans[0].spans.clone();
    assert_eq!(messages.iter().map(|message| spans(message).len()).collect::<Vec<_>>(), [4, 4, 2]);
    let ids: Vec<_> = messages.iter().flat_map(spans).map(|span| span.span_id).collect();
    assert_eq!(ids, (1..=10_u64).map(|id| id.to_be_bytes().to_vec()).collect::<Vec<_>>());
    let line = fs::read_to_string(settings.directory.join("metrics.jsonl")).unwrap();
    let message: MetricsData = serde_json::from_str(&line).unwrap();
    assert_eq!(message.resource_metrics[0].scope_metrics[0].metrics[0].name, "queue.depth");
}

#[test]
fn what_was_handed_over_is_in_the_file_before_the_shutdown() {
    let counters = ExportCounters::default();
    let settings = FileSettings::to_directory(directory("file-flush"));
    let exporters = start(settings.clone(), &counters).unwrap();
    exporters.spans(spans(3));
    settled(&counters);
    let line = fs::read_to_string(settings.directory.join("traces.jsonl")).unwrap();
    let message: TracesData = serde_json::from_str(&line).unwrap();
    assert_eq!(message.resource_spans[0].scope_spans[0].spans.len(), 3);
    assert_eq!(counted(&exporters.shutdown(Duration::from_secs(10))), (3, 3, 0));
}

#[test]
fn a_full_disk_is_counted_and_survived() {
    let directory = directory("file-full");
    // Every write to it fails with ENOSPC.
    std::os::unix::fs::symlink("/dev/full", directory.join("traces.jsonl")).unwrap();
    let exporters = start(FileSettings::to_directory(&directory), &ExportCounters::default()).unwrap();
    exporters.spans(spans(3));
    exporters.metrics(metrics(2));
    let summary = exporters.shutdown(Duration::from_secs(10));
    assert_eq!(counted(&summary), (3, 0, 3));
    assert_eq!(summary.destinations[0].metrics.exported, 2);
}

#[test]
fn an_unusable_directory_is_refused_at_the_start() {
    let file = directory("file-refused").join("a-file");
    fs::write(&file, "").unwrap();
    let error = start(FileSettings::to_directory(&file), &ExportCounters::default()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot create the output directory {}", file.display()));
}
