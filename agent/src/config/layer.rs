//! One source of settings: what it says, and nothing of what it does not.

use std::{path::PathBuf, time::Duration};

use super::{
    Capture, Context, DestinationLayer, Http, Limits, Link, Metrics, Profile, ResourceSettings, Settings,
    units::MIN_OFF_CPU,
};
use crate::{
    discover::Selection,
    export::settings::{ExportSettings, FileSettings, OtlpSettings, Print, TerminalSettings},
    load::HookChoice,
    metrics::model::Temporality,
    resource::ResourceOptions,
    span::sampler::Sampler,
};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layer {
    /// Taken as a whole: a selection on the command line replaces that of the file.
    pub select: Option<Selection>,
    pub proc: Option<PathBuf>,
    pub hook: Option<HookChoice>,
    pub tls: Option<bool>,
    pub bytes_per_message: Option<u32>,
    pub ring_bytes: Option<u32>,
    pub poll_interval: Option<Duration>,
    pub thread_times: Option<bool>,
    pub routes: Option<Vec<String>>,
    pub route_template: Option<bool>,
    pub redact_query: Option<Vec<String>>,
    pub forwarded: Option<bool>,
    pub known_methods: Option<Vec<String>>,
    pub tasks: Option<bool>,
    pub wakes: Option<bool>,
    pub inference: Option<bool>,
    pub hold: Option<Duration>,
    /// Whether CPU samples are taken, and how many a second.
    pub profile: Option<bool>,
    pub profile_hz: Option<u32>,
    pub profile_interval: Option<Duration>,
    /// Whether profiles tell of time off the CPU, too, and from which duration on.
    pub off_cpu: Option<bool>,
    pub min_off_cpu: Option<Duration>,
    pub tracecontext: Option<bool>,
    pub defer_to_sdk: Option<bool>,
    pub http_headers: Option<bool>,
    pub tcp_option: Option<bool>,
    pub baggage_propagator: Option<bool>,
    pub baggage: Option<Vec<String>>,
    pub sampler: Option<Sampler>,
    pub metric_interval: Option<Duration>,
    pub temporality: Option<Temporality>,
    pub cardinality_limit: Option<usize>,
    /// The first is the one that the environment and the flags speak of.
    pub otlp: Vec<DestinationLayer>,
    /// OTLP was asked for by name, if need be at its default address.
    pub otlp_by_name: bool,
    pub out: Option<PathBuf>,
    pub print: Option<Print>,
    pub connections: Option<usize>,
    pub buffered_bytes: Option<usize>,
    pub held_exchanges: Option<usize>,
    pub processes: Option<usize>,
    pub service_name: Option<String>,
    /// Added to those of lower layers; the same key replaces.
    pub attributes: Vec<(String, String)>,
    pub duration: Option<Duration>,
    pub log: Option<log::LevelFilter>,
}

impl Layer {
    /// This layer before `lower`.
    #[must_use]
    pub fn over(self, lower: Self) -> Self {
        Self {
            select: self.select.or(lower.select),
            proc: self.proc.or(lower.proc),
            hook: self.hook.or(lower.hook),
            tls: self.tls.or(lower.tls),
            bytes_per_message: self.bytes_per_message.or(lower.bytes_per_message),
            ring_bytes: self.ring_bytes.or(lower.ring_bytes),
            poll_interval: self.poll_interval.or(lower.poll_interval),
            thread_times: self.thread_times.or(lower.thread_times),
            routes: self.routes.or(lower.routes),
            route_template: self.route_template.or(lower.route_template),
            redact_query: self.redact_query.or(lower.redact_query),
            forwarded: self.forwarded.or(lower.forwarded),
            known_methods: self.known_methods.or(lower.known_methods),
            tasks: self.tasks.or(lower.tasks),
            wakes: self.wakes.or(lower.wakes),
            inference: self.inference.or(lower.inference),
            hold: self.hold.or(lower.hold),
            profile: self.profile.or(lower.profile),
            profile_hz: self.profile_hz.or(lower.profile_hz),
            profile_interval: self.profile_interval.or(lower.profile_interval),
            off_cpu: self.off_cpu.or(lower.off_cpu),
            min_off_cpu: self.min_off_cpu.or(lower.min_off_cpu),
            tracecontext: self.tracecontext.or(lower.tracecontext),
            defer_to_sdk: self.defer_to_sdk.or(lower.defer_to_sdk),
            http_headers: self.http_headers.or(lower.http_headers),
            tcp_option: self.tcp_option.or(lower.tcp_option),
            baggage_propagator: self.baggage_propagator.or(lower.baggage_propagator),
            baggage: self.baggage.or(lower.baggage),
            sampler: self.sampler.or(lower.sampler),
            metric_interval: self.metric_interval.or(lower.metric_interval),
            temporality: self.temporality.or(lower.temporality),
            cardinality_limit: self.cardinality_limit.or(lower.cardinality_limit),
            otlp: destinations(self.otlp, lower.otlp),
            otlp_by_name: self.otlp_by_name || lower.otlp_by_name,
            out: self.out.or(lower.out),
            print: self.print.or(lower.print),
            connections: self.connections.or(lower.connections),
            buffered_bytes: self.buffered_bytes.or(lower.buffered_bytes),
            held_exchanges: self.held_exchanges.or(lower.held_exchanges),
            processes: self.processes.or(lower.processes),
            service_name: self.service_name.or(lower.service_name),
            attributes: attributes(self.attributes, lower.attributes),
            duration: self.duration.or(lower.duration),
            log: self.log.or(lower.log),
        }
    }

    /// Defaults for what no layer said. `agent_name` is the agent's own `OTEL_SERVICE_NAME`: it names what is traced when that is a single thing, and
    /// the agent otherwise.
    pub(super) fn into_settings(self, agent_name: Option<String>) -> Settings {
        let select = self.select.unwrap_or_default();
        let named = agent_name.clone().filter(|_| select.is_single());
        let asked_for = |destination: &DestinationLayer| destination.has_endpoint() || self.otlp_by_name;
        let otlp: Vec<OtlpSettings> = self
            .otlp
            .into_iter()
            .filter(asked_for)
            .enumerate()
            .map(|(index, destination)| destination.into_settings(index))
            .collect();
        // With nowhere to go, spans go to whoever started the agent.
        let unseen = otlp.is_empty() && self.out.is_none();
        let profile = self.profile.unwrap_or(false);
        let off_cpu = profile && self.off_cpu.unwrap_or(false);
        let baggage = self.baggage.unwrap_or_default();
        Settings {
            select,
            proc: self.proc.unwrap_or_else(|| "/proc".into()),
            capture: Capture {
                hook: self.hook.unwrap_or_default(),
                tls: self.tls.unwrap_or(true),
                bytes_per_message: self.bytes_per_message.unwrap_or(8192),
                ring_bytes: self.ring_bytes.unwrap_or(8 << 20),
                poll_interval: self.poll_interval.unwrap_or(Duration::from_millis(5)),
                thread_times: self.thread_times.unwrap_or(false),
            },
            http: Http {
                routes: self.routes.unwrap_or_default(),
                route_template: self.route_template.unwrap_or(true),
                redact_query: self.redact_query.unwrap_or_default(),
                forwarded: self.forwarded.unwrap_or(false),
                known_methods: self.known_methods,
            },
            link: Link {
                tasks: self.tasks.unwrap_or(true),
                wakes: self.wakes.unwrap_or(false),
                inference: self.inference.unwrap_or(true),
                hold: self.hold.unwrap_or(Duration::from_secs(10)),
            },
            profile: Profile {
                hz: profile.then(|| self.profile_hz.unwrap_or(19)),
                off_cpu: off_cpu.then(|| self.min_off_cpu.unwrap_or(MIN_OFF_CPU)),
                interval: self.profile_interval.unwrap_or(Duration::from_secs(60)),
            },
            context: Context {
                tracecontext: self.tracecontext.unwrap_or(true),
                defer_to_sdk: self.defer_to_sdk.unwrap_or(true),
                http_headers: self.http_headers.unwrap_or(false),
                tcp_option: self.tcp_option.unwrap_or(false),
                baggage: if self.baggage_propagator.unwrap_or(true) { baggage } else { Vec::new() },
            },
            sampler: self.sampler.unwrap_or_default(),
            metrics: Metrics {
                interval: self.metric_interval.unwrap_or(Duration::from_secs(60)),
                temporality: self.temporality.unwrap_or_default(),
                cardinality_limit: self.cardinality_limit.unwrap_or(2000),
            },
            export: ExportSettings {
                otlp,
                file: self.out.map(FileSettings::to_directory),
                terminal: TerminalSettings {
                    print: self.print.unwrap_or(if unseen { Print::Spans } else { Print::None }),
                    ..TerminalSettings::default()
                },
            },
            limits: Limits {
                connections: self.connections.unwrap_or(100_000),
                buffered_bytes: self.buffered_bytes.unwrap_or(256 << 20),
                held_exchanges: self.held_exchanges.unwrap_or(65_536),
                processes: self.processes.unwrap_or(32_768),
            },
            resource: ResourceSettings {
                traced: ResourceOptions {
                    service_name: self.service_name.or(named),
                    attributes: self.attributes,
                },
                agent_service_name: agent_name.unwrap_or_else(|| "honeyguide".to_owned()),
            },
            duration: self.duration,
            log: self.log.unwrap_or(log::LevelFilter::Warn),
        }
    }
}

/// The first of the upper layer speaks of the first of the lower; the lower's others stay.
fn destinations(upper: Vec<DestinationLayer>, lower: Vec<DestinationLayer>) -> Vec<DestinationLayer> {
    let mut lower = lower.into_iter();
    let first = lower.next();
    let mut upper = upper.into_iter();
    match (upper.next(), first) {
        (Some(above), Some(below)) => std::iter::once(above.over(below)).chain(upper).chain(lower).collect(),
        (Some(above), None) => std::iter::once(above).chain(upper).collect(),
        (None, below) => below.into_iter().chain(lower).collect(),
    }
}

fn attributes(upper: Vec<(String, String)>, lower: Vec<(String, String)>) -> Vec<(String, String)> {
    let kept = |(key, _): &(String, String)| !upper.iter().any(|(other, _)| other == key);
    let mut all: Vec<_> = lower.into_iter().filter(kept).collect();
    all.extend(upper);
    all
}
