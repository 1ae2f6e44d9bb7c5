//! The standard `OTEL_*` variables (SDK configuration and OTLP exporter specifications). An empty variable is an unset one;
//! one that cannot be understood is ignored, and the user is told.

use std::{path::PathBuf, time::Duration};

use super::{
    DestinationLayer, Layer, SignalLayer,
    file::{COMPRESSIONS, LOG_LEVELS, PROTOCOLS, ratio, sampler},
    otlp::endpoint,
    reader::one_of,
};
use crate::{export::settings::Print, metrics::model::Temporality, resource::parse_attributes};

#[derive(Debug, Default)]
pub(super) struct Environment {
    pub(super) layer: Layer,
    /// `OTEL_SERVICE_NAME`, or `service.name` of `OTEL_RESOURCE_ATTRIBUTES`.
    pub(super) service_name: Option<String>,
    pub(super) disabled: bool,
    pub(super) notes: Vec<String>,
}

pub(super) fn read(variable: &dyn Fn(&str) -> Option<String>) -> Environment {
    let mut variables = Variables { variable, notes: Vec::new() };
    let v = &mut variables;
    let mut layer = Layer::default();

    let mut attributes = v
        .read("OTEL_RESOURCE_ATTRIBUTES", |text| parse_attributes(text).map_err(|e| e.to_string()))
        .unwrap_or_default();
    let in_attributes = attributes.iter().position(|(key, _)| key == "service.name");
    let in_attributes = in_attributes.map(|at| attributes.remove(at).1);
    layer.attributes = attributes;
    let service_name = v.text("OTEL_SERVICE_NAME").or(in_attributes);

    let arg = v.read("OTEL_TRACES_SAMPLER_ARG", ratio);
    layer.sampler = v.read("OTEL_TRACES_SAMPLER", |name| sampler(name, arg));
    if let Some(propagators) = v.text("OTEL_PROPAGATORS") {
        let known: Vec<&str> = propagators.split(',').map(str::trim).collect();
        layer.tracecontext = Some(known.contains(&"tracecontext"));
        layer.baggage_propagator = Some(known.contains(&"baggage"));
        for other in known.iter().filter(|name| !["tracecontext", "baggage", "none", ""].contains(name)) {
            v.note("OTEL_PROPAGATORS", &format!("`{other}` is not supported; tracecontext and baggage are"));
        }
    }
    layer.metric_interval = v.read("OTEL_METRIC_EXPORT_INTERVAL", positive_milliseconds);
    layer.temporality = v.read("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", |text| {
        // All instruments that `lowmemory` leaves cumulative are up-down counters, which are cumulative under `delta` too.
        let words = [
            ("cumulative", Temporality::Cumulative),
            ("delta", Temporality::Delta),
            ("lowmemory", Temporality::Delta),
        ];
        one_of(&words, text)
    });
    layer.known_methods = v
        .text("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS")
        .map(|text| text.split(',').map(|method| method.trim().to_owned()).collect());
    layer.log = v.read("OTEL_LOG_LEVEL", |text| one_of(&LOG_LEVELS, text));

    let destination = destination(v, &mut layer);
    if destination != DestinationLayer::default() {
        layer.otlp = vec![destination];
    }
    let disabled = v.text("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    Environment { layer, service_name, disabled, notes: variables.notes }
}

fn destination(v: &mut Variables<'_>, layer: &mut Layer) -> DestinationLayer {
    let mut destination = DestinationLayer {
        general: signal(v, ""),
        traces: signal(v, "TRACES_"),
        metrics: signal(v, "METRICS_"),
        profiles: signal(v, "PROFILES_"),
        max_queue: v.read("OTEL_BSP_MAX_QUEUE_SIZE", positive),
        max_batch: v.read("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", positive),
        delay: v.read("OTEL_BSP_SCHEDULE_DELAY", milliseconds),
        ..DestinationLayer::default()
    };
    for (name, signal) in [
        ("OTEL_TRACES_EXPORTER", &mut destination.traces),
        ("OTEL_METRICS_EXPORTER", &mut destination.metrics),
    ] {
        let Some(exporters) = v.text(name) else { continue };
        for exporter in exporters.split(',').map(str::trim) {
            match exporter {
                "none" => signal.enabled = Some(false),
                "otlp" => layer.otlp_by_name = true,
                "console" => layer.print = Some(Print::Spans),
                other => v.note(name, &format!("`{other}` is not supported; otlp, console and none are")),
            }
        }
    }
    if layer.otlp_by_name && destination == DestinationLayer::default() {
        destination.traces.enabled = Some(true);
    }
    destination
}

fn signal(v: &mut Variables<'_>, prefix: &str) -> SignalLayer {
    let name = |option: &str| format!("OTEL_EXPORTER_OTLP_{prefix}{option}");
    let file = |text: &str| Ok(PathBuf::from(text));
    SignalLayer {
        enabled: None,
        endpoint: v.read(&name("ENDPOINT"), endpoint),
        protocol: v.read(&name("PROTOCOL"), |text| one_of(&PROTOCOLS, text)),
        headers: v.read(&name("HEADERS"), headers),
        compression: v.read(&name("COMPRESSION"), |text| one_of(&COMPRESSIONS, text)),
        timeout: v.read(&name("TIMEOUT"), timeout),
        ca: v.read(&name("CERTIFICATE"), file),
        certificate: v.read(&name("CLIENT_CERTIFICATE"), file),
        key: v.read(&name("CLIENT_KEY"), file),
        insecure: v.read(&name("INSECURE"), |text| one_of(&[("true", true), ("false", false)], text)),
    }
}

struct Variables<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    notes: Vec<String>,
}

impl Variables<'_> {
    fn text(&self, name: &str) -> Option<String> {
        let value = (self.variable)(name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    fn read<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match parse(&self.text(name)?) {
            Ok(value) => Some(value),
            Err(allowed) => {
                self.note(name, &allowed);
                None
            }
        }
    }

    /// The value itself is not repeated: headers are secrets.
    fn note(&mut self, name: &str, reason: &str) {
        self.notes.push(format!("{name} is ignored: {reason}"));
    }
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    let number = text.parse().map_err(|_| "a whole number of milliseconds is allowed".to_owned())?;
    Ok(Duration::from_millis(number))
}

fn positive_milliseconds(text: &str) -> Result<Duration, String> {
    let duration = milliseconds(text)?;
    if duration.is_zero() { Err("more than 0 milliseconds are allowed".to_owned()) } else { Ok(duration) }
}

/// Zero is "no limit" in the specification; a day is that for one request.
fn timeout(text: &str) -> Result<Duration, String> {
    const DAY: Duration = Duration::from_secs(86_400);
    let timeout = milliseconds(text)?;
    Ok(if timeout.is_zero() { DAY } else { timeout.min(DAY) })
}

fn positive(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "a whole number above 0 is allowed".to_owned())
}

/// `key=value,…`, percent-encoded: the form of resource attributes. Values are secrets, so the message names none.
fn headers(text: &str) -> Result<Vec<(String, String)>, String> {
    parse_attributes(text)
        .map_err(|_| "key=value pairs in percent-encoding, separated by commas, are allowed".into())
}
