//! Receivers written by others: the official Python stubs, and the rotel collector from PyPI in
//! front of them. They live in a virtual environment below `target`, made when it is missing.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::Duration,
};

use honeyguide::export::{
    Exporters,
    counters::ExportCounters,
    settings::{Compression, ExportSettings, FileSettings, OtlpSettings, Protocol},
};
use serde_json::Value;

use crate::sample::{directory, histogram, metrics, otlp, settled, spans, with};

/// Ended when the test ends, whichever way.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Receiver {
    _process: Running,
    grpc: String,
    http: String,
    lines: PathBuf,
}

impl Receiver {
    fn start(python: &Path, directory: &Path) -> Self {
        let lines = directory.join("received.jsonl");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/export/receiver.py");
        let mut process =
            Command::new(python).arg(script).arg(&lines).stdout(Stdio::piped()).spawn().map(Running).unwrap();
        let mut ports = String::new();
        BufReader::new(process.0.stdout.as_mut().unwrap()).read_line(&mut ports).unwrap();
        let (grpc, http) = ports.trim().split_once(' ').expect("the receiver did not start");
        let url = |port| format!("http://127.0.0.1:{port}");
        Self { grpc: url(grpc), http: url(http), lines, _process: process }
    }

    /// The messages decoded so far that hold `key`.
    fn received(&self, key: &str) -> Vec<Value> {
        lines(&self.lines).into_iter().filter(|message| message.get(key).is_some()).collect()
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The `spans` or `metrics` below every resource and scope, sorted so that batching does not matter.
fn items(messages: &[Value], [resources, scopes, items]: [&str; 3]) -> Vec<String> {
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let resources = messages.iter().flat_map(|message| list(message, resources));
    let mut items: Vec<_> = resources
        .flat_map(|resource| {
            let scopes = list(&resource, scopes).into_iter();
            scopes.flat_map(move |scope| {
                let name = (resource["resource"].clone(), scope["scope"].clone());
                list(&scope, items).into_iter().map(move |item| format!("{name:?} {item}"))
            })
        })
        .collect();
    items.sort_unstable();
    items
}

const SPANS: [&str; 3] = ["resourceSpans", "scopeSpans", "spans"];
const METRICS: [&str; 3] = ["resourceMetrics", "scopeMetrics", "metrics"];

/// The same signals to `peer` and to files in `directory`; all must be accepted.
fn export(peer: OtlpSettings, directory: &Path) {
    let file = Some(FileSettings::to_directory(directory));
    let settings = ExportSettings { otlp: vec![peer], file, ..ExportSettings::default() };
    let counters = ExportCounters::default();
    let exporters = Exporters::start(settings, &counters).unwrap();
    exporters.spans(spans(1_000));
    exporters.metrics([metrics(50), histogram()].concat());
    settled(&counters);
    for destination in exporters.shutdown(Duration::from_secs(10)).destinations {
        assert_eq!(
            (destination.traces.exported, destination.metrics.exported),
            (1_000, 52),
            "{destination:?}"
        );
    }
}

#[test]
fn the_official_stubs_decode_what_the_file_says() {
    let Some(python) = python() else { return };
    for (protocol, compression) in [
        (Protocol::Grpc, Compression::None),
        (Protocol::Grpc, Compression::Gzip),
        (Protocol::HttpProtobuf, Compression::None),
        (Protocol::HttpProtobuf, Compression::Gzip),
    ] {
        let directory = directory("stubs");
        let receiver = Receiver::start(&python, &directory);
        let endpoint = if protocol == Protocol::Grpc { &receiver.grpc } else { &receiver.http };
        export(with(otlp(endpoint, protocol), |signal| signal.compression = compression), &directory);
        // Both came in one batch; the messages as a whole must be the same, field for field.
        let sent = lines(&directory.join("traces.jsonl"));
        let received = receiver.received(SPANS[0]);
        assert_eq!((sent.len(), received.len()), (2, 1), "512 spans a line, 2048 a request");
        assert_eq!(items(&received, SPANS), items(&sent, SPANS), "{protocol:?} {compression:?}");
        assert_eq!(receiver.received(METRICS[0]), lines(&directory.join("metrics.jsonl")));
    }
}

#[test]
fn rotel_accepts_and_forwards_everything() {
    let Some(python) = python() else { return };
    for (protocol, compression) in
        [(Protocol::Grpc, Compression::Gzip), (Protocol::HttpProtobuf, Compression::None)]
    {
        let directory = directory("rotel");
        let receiver = Receiver::start(&python, &directory);
        let (grpc, http) = (free_address(), free_address());
        let _rotel = start_rotel(&python, &directory, [&grpc, &http], &receiver.grpc);
        let address = if protocol == Protocol::Grpc { grpc } else { http };
        // Until it listens, the exporter's own retries wait for it.
        let settings = otlp(&format!("http://{address}"), protocol);
        export(with(settings, |signal| signal.compression = compression), &directory);
        let expect = items(&lines(&directory.join("traces.jsonl")), SPANS);
        assert_eq!(expect.len(), 1_000);
        let complete = || {
            items(&receiver.received(SPANS[0]), SPANS).len()
                + items(&receiver.received(METRICS[0]), METRICS).len()
        };
        for _ in 0..400 {
            if complete() >= 1_002 {
                break;
            }
            thread::sleep(Duration::from_millis(25));
        }
        assert_eq!(items(&receiver.received(SPANS[0]), SPANS), expect, "{protocol:?}");
        let metrics = items(&lines(&directory.join("metrics.jsonl")), METRICS);
        assert_eq!(items(&receiver.received(METRICS[0]), METRICS), metrics, "{protocol:?}");
    }
}

fn start_rotel(python: &Path, directory: &Path, [grpc, http]: [&str; 2], forward_to: &str) -> Running {
    let find = "import os, rotel; print(os.path.join(os.path.dirname(rotel.__file__), 'rotel-agent'))";
    let found = Command::new(python).args(["-c", find]).output().unwrap();
    let log = fs::File::create(directory.join("rotel.log")).unwrap();
    let child = Command::new(String::from_utf8(found.stdout).unwrap().trim())
        .args(["start", "--otlp-grpc-endpoint", grpc, "--otlp-http-endpoint", http])
        .args(["--exporter", "otlp", "--otlp-exporter-protocol", "grpc"])
        .args(["--otlp-exporter-endpoint", forward_to, "--otlp-exporter-compression", "none"])
        .args(["--batch-timeout", "50ms"])
        .arg("--pid-file")
        .arg(directory.join("rotel.pid"))
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn();
    Running(child.unwrap())
}

/// Free a moment ago; nobody else asks for ports below `target`'s tests.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// The environment's interpreter. Without Python or its package index the test is skipped, aloud;
/// under `CI` that is a failure.
fn python() -> Option<PathBuf> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match PYTHON.get_or_init(environment) {
        Ok(python) => Some(python.clone()),
        Err(reason) if std::env::var_os("CI").is_some() => panic!("{reason}"),
        Err(reason) => {
            println!("skipped: {reason}");
            None
        }
    }
}

fn environment() -> Result<PathBuf, String> {
    const PACKAGES: [&str; 3] = ["grpcio==1.85.1", "opentelemetry-proto==1.45.2", "rotel==0.0.1a15"];
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("test-venv");
    let python = directory.join("bin/python");
    let run = |command: &mut Command| match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{command:?}: {error}")),
    };
    let complete =
        "import grpc, rotel; from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc";
    if run(Command::new(&python).args(["-c", complete])).is_err() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&directory))?;
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--pre"]).args(PACKAGES))?;
    }
    Ok(python)
}
