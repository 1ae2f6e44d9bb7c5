//! The schema of the YAML file. `docs/configuration.md` describes every key.

use std::path::PathBuf;

use super::{
    DestinationLayer, Layer, Problem, SignalLayer,
    otlp::endpoint,
    reader::{Problems, Section, one_of},
    units::{duration, min_off_cpu, positive_duration, ring_size, sample_rate, size, within},
    yaml::{Node, Value},
};
use crate::{
    discover::Selection,
    export::settings::{Compression, Print, Protocol},
    load::{Hook, HookChoice},
    metrics::model::Temporality,
    span::sampler::{Rule, Sampler, Threshold},
};

const ROOT: [&str; 16] = [
    "select", "capture", "profile", "http", "link", "context", "sampling", "metrics", "otlp", "out", "print",
    "duration", "limits", "resource", "proc", "log",
];
const SIGNAL: [&str; 6] = ["endpoint", "protocol", "headers", "compression", "timeout", "tls"];
const DESTINATION: [&str; 12] = [
    "name",
    "endpoint",
    "protocol",
    "headers",
    "compression",
    "timeout",
    "tls",
    "traces",
    "metrics",
    "profiles",
    "queue",
    "retry",
];
const OWN_NAMES: &str = "a process is named by resource.service_name; this mapping cannot hold service.name";

pub(super) const PRINT: [(&str, Print); 3] =
    [("spans", Print::Spans), ("json", Print::Json), ("none", Print::None)];
pub(super) const PROTOCOLS: [(&str, Protocol); 3] =
    [("grpc", Protocol::Grpc), ("http/protobuf", Protocol::HttpProtobuf), ("http/json", Protocol::HttpJson)];
pub(super) const COMPRESSIONS: [(&str, Compression); 3] =
    [("none", Compression::None), ("gzip", Compression::Gzip), ("zstd", Compression::Zstd)];
pub(super) const LOG_LEVELS: [(&str, log::LevelFilter); 6] = [
    ("off", log::LevelFilter::Off),
    ("error", log::LevelFilter::Error),
    ("warn", log::LevelFilter::Warn),
    ("info", log::LevelFilter::Info),
    ("debug", log::LevelFilter::Debug),
    ("trace", log::LevelFilter::Trace),
];
const HOOKS: [(&str, HookChoice); 3] = [
    ("auto", HookChoice::Auto),
    ("tp_btf", HookChoice::Only(Hook::Tracepoint)),
    ("fexit", HookChoice::Only(Hook::FunctionExit)),
];
const TEMPORALITIES: [(&str, Temporality); 2] =
    [("cumulative", Temporality::Cumulative), ("delta", Temporality::Delta)];

pub(super) fn read(root: Option<&Node>) -> Result<Layer, Vec<Problem>> {
    let mut problems = Problems::default();
    let p = &mut problems;
    let mut layer = Layer::default();
    let root = Section::new(root, "", &ROOT, p);

    layer.select = selection(&root, p);
    let known = ["hook", "tls", "bytes_per_message", "ring_bytes", "poll_interval", "thread_times"];
    let capture = root.section("capture", &known, p);
    layer.hook = capture.read("hook", p, |text| one_of(&HOOKS, text));
    layer.tls = capture.flag("tls", p);
    layer.bytes_per_message = capture.read("bytes_per_message", p, message_bytes);
    layer.ring_bytes = capture.read("ring_bytes", p, |text| ring_size(text, &(4096..=1 << 30)));
    layer.poll_interval = capture.read("poll_interval", p, positive_duration);
    layer.thread_times = capture.flag("thread_times", p);

    let known = ["routes", "route_template", "redact_query", "forwarded", "known_methods"];
    let http = root.section("http", &known, p);
    layer.routes = http.list("routes", p, route);
    layer.route_template = http.flag("route_template", p);
    layer.redact_query = http.list("redact_query", p, word);
    layer.forwarded = http.flag("forwarded", p);
    layer.known_methods = http.list("known_methods", p, word);

    let link = root.section("link", &["tasks", "wakes", "inference", "hold"], p);
    layer.tasks = link.flag("tasks", p);
    layer.wakes = link.flag("wakes", p);
    layer.inference = link.flag("inference", p);
    layer.hold = link.read("hold", p, duration);

    let profile = root.section("profile", &["enabled", "hz", "interval", "off_cpu", "min_off_cpu"], p);
    layer.profile = profile.flag("enabled", p);
    layer.profile_hz = profile.read("hz", p, sample_rate);
    layer.profile_interval = profile.read("interval", p, positive_duration);
    layer.off_cpu = profile.flag("off_cpu", p);
    layer.min_off_cpu = profile.read("min_off_cpu", p, min_off_cpu);

    let known = ["propagators", "baggage", "defer_to_sdk", "propagate"];
    let context = root.section("context", &known, p);
    if let Some(propagators) = context.list("propagators", p, propagator) {
        layer.tracecontext = Some(propagators.contains(&Propagator::TraceContext));
        layer.baggage_propagator = Some(propagators.contains(&Propagator::Baggage));
    }
    layer.baggage = context.list("baggage", p, word);
    layer.defer_to_sdk = context.flag("defer_to_sdk", p);
    if let Some(ways) = context.list("propagate", p, propagate) {
        layer.http_headers = Some(ways.contains(&Way::HttpHeaders));
        layer.tcp_option = Some(ways.contains(&Way::TcpOption));
    }

    layer.sampler = sampling(&root, p);
    let metrics = root.section("metrics", &["interval", "temporality", "cardinality_limit"], p);
    layer.metric_interval = metrics.read("interval", p, positive_duration);
    layer.temporality = metrics.read("temporality", p, |text| one_of(&TEMPORALITIES, text));
    layer.cardinality_limit = metrics.read("cardinality_limit", p, count);

    layer.otlp = destinations(&root, p);
    layer.out = root.read("out", p, path);
    layer.print = root.read("print", p, |text| one_of(&PRINT, text));
    layer.duration = root.read("duration", p, positive_duration);

    let limits = root.section("limits", &["connections", "buffered_bytes", "held_exchanges", "processes"], p);
    layer.connections = limits.read("connections", p, count);
    layer.buffered_bytes = limits.read("buffered_bytes", p, buffered);
    layer.held_exchanges = limits.read("held_exchanges", p, count);
    layer.processes = limits.read("processes", p, count);

    let resource = root.section("resource", &["service_name", "attributes"], p);
    layer.service_name = resource.read("service_name", p, word);
    layer.attributes = resource.pairs("attributes", p).unwrap_or_default();
    if let (true, Some(node)) =
        (layer.attributes.iter().any(|(key, _)| key == "service.name"), resource.node("attributes"))
    {
        p.add(node.line, OWN_NAMES.to_owned());
    }
    layer.proc = root.read("proc", p, path);
    layer.log = root.read("log", p, |text| one_of(&LOG_LEVELS, text));

    if problems.0.is_empty() { Ok(layer) } else { Err(problems.0) }
}

fn selection(root: &Section<'_>, p: &mut Problems) -> Option<Selection> {
    root.node("select")?;
    let select = root.section("select", &["pids", "ports", "exe", "all"], p);
    let pids = select.list("pids", p, |text| {
        let pid = within(text, &(1..=u64::from(u32::MAX)))?;
        u32::try_from(pid).map_err(|e| e.to_string())
    });
    Some(Selection {
        pids: pids.unwrap_or_default().into_iter().collect(),
        ports: select.list("ports", p, |text| text.parse().map_err(|_| PORT.to_owned())).unwrap_or_default(),
        exe: select
            .list("exe", p, |text| {
                text.parse().map_err(|_| "a glob such as nginx or /opt/**/bin/* is allowed".into())
            })
            .unwrap_or_default(),
        all: select.flag("all", p).unwrap_or(false),
    })
}

const PORT: &str = "a port from 1 to 65535 or a range such as 3000-3999 is allowed";

fn sampling(root: &Section<'_>, p: &mut Problems) -> Option<Sampler> {
    let section = root.section("sampling", &["sampler", "arg"], p);
    let arg = section.read("arg", p, ratio);
    let sampler = section.read("sampler", p, |name| sampler(name, arg))?;
    if let (Some(node), false) =
        (section.node("arg"), section.read("sampler", &mut Problems::default(), is_ratio) == Some(true))
    {
        p.add(
            node.line,
            format!(
                "`{}` is only for the samplers traceidratio and parentbased_traceidratio",
                section.path("arg")
            ),
        );
    }
    Some(sampler)
}

fn is_ratio(sampler: &str) -> Result<bool, String> {
    Ok(sampler.to_ascii_lowercase().ends_with("traceidratio"))
}

/// The names of `OTEL_TRACES_SAMPLER`. Without an argument a ratio is 1 (SDK specification).
pub(super) fn sampler(name: &str, arg: Option<Rule>) -> Result<Sampler, String> {
    let ratio = arg.unwrap_or(Rule::AlwaysOn);
    let rules = [
        ("parentbased_always_on", true, Rule::AlwaysOn),
        ("parentbased_always_off", true, Rule::AlwaysOff),
        ("parentbased_traceidratio", true, ratio),
        ("always_on", false, Rule::AlwaysOn),
        ("always_off", false, Rule::AlwaysOff),
        ("traceidratio", false, ratio),
    ];
    let words = rules.map(|(name, parent_based, rule)| (name, Sampler { rule, parent_based }));
    one_of(&words, name)
}

pub(super) fn ratio(text: &str) -> Result<Rule, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    let threshold = ratio.and_then(Threshold::of_ratio);
    threshold.map(Rule::Ratio).ok_or_else(|| "a number from 0 to 1 is allowed".to_owned())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Propagator {
    TraceContext,
    Baggage,
}

/// A way to hand contexts on to other hosts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    HttpHeaders,
    TcpOption,
}

fn propagate(text: &str) -> Result<Way, String> {
    one_of(&[("http-headers", Way::HttpHeaders), ("tcp-option", Way::TcpOption)], text)
}

fn propagator(text: &str) -> Result<Propagator, String> {
    one_of(&[("tracecontext", Propagator::TraceContext), ("baggage", Propagator::Baggage)], text)
}

/// A mapping is one destination, a list several.
fn destinations(root: &Section<'_>, p: &mut Problems) -> Vec<DestinationLayer> {
    let Some(node) = root.node("otlp") else { return Vec::new() };
    match &node.value {
        Value::List(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| destination(item, &format!("otlp[{index}]"), p))
            .collect(),
        Value::Nothing | Value::Text(_) | Value::Map(_) => vec![destination(node, "otlp", p)],
    }
}

fn destination(node: &Node, at: &str, p: &mut Problems) -> DestinationLayer {
    let before = p.0.len();
    let section = Section::new(Some(node), at, &DESTINATION, p);
    let queue = section.section("queue", &["size", "batch", "delay", "in_flight"], p);
    let retry = section.section("retry", &["initial", "max", "max_elapsed"], p);
    let layer = DestinationLayer {
        name: section.read("name", p, word),
        general: signal(&section, p),
        traces: signal_of(&section, "traces", p),
        metrics: signal_of(&section, "metrics", p),
        profiles: signal_of(&section, "profiles", p),
        max_queue: queue.read("size", p, count),
        max_batch: queue.read("batch", p, count),
        delay: queue.read("delay", p, duration),
        in_flight: queue.read("in_flight", p, count),
        retry_initial: retry.read("initial", p, positive_duration),
        retry_max: retry.read("max", p, positive_duration),
        retry_max_elapsed: retry.read("max_elapsed", p, positive_duration),
    };
    if p.0.len() == before && !layer.has_endpoint() {
        p.add(
            node.line,
            format!("`{at}` has no endpoint: give one to it, or to its traces, metrics or profiles"),
        );
    }
    layer
}

/// `traces: false`, or what differs for the signal.
fn signal_of(destination: &Section<'_>, key: &str, p: &mut Problems) -> SignalLayer {
    let Some(node) = destination.node(key) else { return SignalLayer::default() };
    if let Value::Text(_) = node.value {
        return SignalLayer { enabled: destination.flag(key, p), ..SignalLayer::default() };
    }
    let section = destination.section(key, &SIGNAL, p);
    signal(&section, p)
}

fn signal(section: &Section<'_>, p: &mut Problems) -> SignalLayer {
    let tls = section.section("tls", &["ca", "cert", "key", "insecure"], p);
    let layer = SignalLayer {
        enabled: None,
        endpoint: section.read("endpoint", p, endpoint),
        protocol: section.read("protocol", p, |text| one_of(&PROTOCOLS, text)),
        headers: section.pairs("headers", p),
        compression: section.read("compression", p, |text| one_of(&COMPRESSIONS, text)),
        timeout: section.read("timeout", p, positive_duration),
        ca: tls.read("ca", p, path),
        certificate: tls.read("cert", p, path),
        key: tls.read("key", p, path),
        insecure: tls.flag("insecure", p),
    };
    if let (Some(node), true) = (section.node("tls"), layer.certificate.is_some() != layer.key.is_some()) {
        p.add(node.line, format!("`{}` needs both cert and key, or neither", section.path("tls")));
    }
    layer
}

fn message_bytes(text: &str) -> Result<u32, String> {
    let allowed = || "a size from 64 to 16384 bytes is allowed".to_owned();
    let bytes = u32::try_from(size(text)?).map_err(|_| allowed())?;
    if (64..=16384).contains(&bytes) { Ok(bytes) } else { Err(allowed()) }
}

fn route(text: &str) -> Result<String, String> {
    if text.starts_with('/') {
        Ok(text.to_owned())
    } else {
        Err("a path such as /users/{id} is allowed".into())
    }
}

fn word(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("text that is not empty is allowed".into()) } else { Ok(text.to_owned()) }
}

fn path(text: &str) -> Result<PathBuf, String> {
    word(text).map(PathBuf::from)
}

fn buffered(text: &str) -> Result<usize, String> {
    let allowed = || "a size of 1MiB or more is allowed".to_owned();
    let bytes = size(text)?;
    if bytes < LEAST_BUFFERED { Err(allowed()) } else { usize::try_from(bytes).map_err(|_| allowed()) }
}

/// Room for a few of the longest heads.
const LEAST_BUFFERED: u64 = 1 << 20;

fn count(text: &str) -> Result<usize, String> {
    usize::try_from(within(text, &(1..=100_000_000))?).map_err(|e| e.to_string())
}
