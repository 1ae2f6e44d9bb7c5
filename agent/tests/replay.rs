//! Recorded kernel streams and packet captures, replayed to golden spans. No privileges, no kernel, the same ids every time.
//!
//! `UPDATE_GOLDEN=1 cargo test -p honeyguide --test replay` writes the golden files anew; read the difference
//! before you commit it.
#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests fail as tests do.

use std::{
    fs,
    path::{Path, PathBuf},
};

use honeyguide::{
    config::{Layer, load},
    export::settings::{ExportSettings, FileSettings},
    pipeline,
};
use serde_json::Value;

#[test]
fn nginx_and_curl() {
    check("nginx.hgr");
}

/// Ethernet with VLAN tags: segments out of order, sent again, lost and cut, a reset, the same ports again.
#[test]
fn http_on_a_bad_day() {
    check("http.pcap");
}

/// Two interfaces, IPv6, connections that were open before, HTTP/2 and PostgreSQL; the second section is big-endian.
#[test]
fn several_protocols_in_blocks() {
    check("mixed.pcapng");
}

/// A damaged capture is an error, and what came before the damage is exported.
#[test]
fn a_damaged_capture() {
    let whole = fs::read(recordings().join("http.pcap")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("damaged");
    fs::write(&path, [&whole[..], &[0xff; 64]].concat()).unwrap();
    let (found, error) = replayed(&path);
    assert_eq!(found, spans(&recordings().join("http.pcap")));
    let error = format!("{:#}", error.unwrap_err());
    assert!(error.contains(&format!("makes no sense at byte {}", whole.len() + 16)), "{error}");
}

/// The recording cut off anywhere is read as far as it goes, and what it gives is part of the whole.
#[test]
fn a_recording_cut_off_anywhere() {
    let whole = fs::read(recordings().join("nginx.hgr")).unwrap();
    let all = without_ids(spans(&recordings().join("nginx.hgr")));
    let directory = tempfile::tempdir().unwrap();
    for part in 1..20 {
        let path = directory.path().join(format!("{part}.hgr"));
        fs::write(&path, &whole[..whole.len() * part / 20]).unwrap();
        let cut = without_ids(spans(&path));
        assert!(cut.len() <= all.len(), "{part}/20");
        // What ends before the cut is exactly what it is in the whole.
        let known = cut.iter().filter(|span| all.contains(span)).count();
        assert!(known + 4 >= cut.len(), "{part}/20: {known} of {} spans are those of the whole", cut.len());
    }
}

#[test]
fn what_is_no_recording_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for bytes in [&b""[..], b"HGREC", b"PK\x03\x04 something else entirely", b"HGREC\x01\r\n\xff\xff\xff\xff"]
    {
        let path = directory.path().join("bad.hgr");
        fs::write(&path, bytes).unwrap();
        let settings = load(None, |_| None, Layer::default()).unwrap().settings;
        assert!(pipeline::replay(&settings, &path).is_err(), "{bytes:?}");
    }
}

/// Ids are drawn in the order of events, and a cut changes which come last.
fn without_ids(mut spans: Vec<Value>) -> Vec<Value> {
    for span in spans.iter_mut().filter_map(Value::as_object_mut) {
        for key in ["traceId", "spanId", "parentSpanId"] {
            span.remove(key);
        }
    }
    spans
}

#[track_caller]
fn check(name: &str) {
    let actual = spans(&recordings().join(name));
    let golden = recordings().join(name).with_extension("golden.jsonl");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let lines: Vec<String> = actual.iter().map(|span| span.to_string() + "\n").collect();
        fs::write(&golden, lines.concat()).unwrap();
        return;
    }
    let expected: Vec<Value> = fs::read_to_string(&golden)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(actual.len(), expected.len(), "number of spans");
    for (actual, expected) in actual.iter().zip(&expected) {
        assert_eq!(
            serde_json::to_string_pretty(actual).unwrap(),
            serde_json::to_string_pretty(expected).unwrap()
        );
    }
}

/// Every span with its service, in the order of export. How many spans share a line is a matter of timing.
fn spans(recording: &Path) -> Vec<Value> {
    let (spans, result) = replayed(recording);
    result.unwrap();
    spans
}

fn replayed(recording: &Path) -> (Vec<Value>, anyhow::Result<()>) {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = load(None, |_| None, Layer::default()).unwrap().settings;
    settings.export = ExportSettings {
        file: Some(FileSettings::to_directory(directory.path())),
        ..ExportSettings::default()
    };
    let result = pipeline::replay(&settings, recording);
    let text = fs::read_to_string(directory.path().join("traces.jsonl")).unwrap_or_default();
    let mut all = Vec::new();
    for line in text.lines() {
        let mut data: Value = serde_json::from_str(line).unwrap();
        for resource in data["resourceSpans"].as_array_mut().unwrap() {
            let service = resource["resource"]["attributes"][0]["value"]["stringValue"].clone();
            for scope in resource["scopeSpans"].as_array_mut().unwrap() {
                for span in scope["spans"].as_array_mut().unwrap() {
                    span["service"] = service.clone();
                    all.push(span.take());
                }
            }
        }
    }
    all.sort_by_key(|span| (span["endTimeUnixNano"].to_string(), span["spanId"].to_string()));
    (all, result)
}

fn recordings() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/recordings")
}
