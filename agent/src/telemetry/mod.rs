//! The agent's account of itself: what it saw, what it lost, what it made. One struct, read two ways.

pub mod logger;

use std::{fmt, sync::Arc, time::Duration};

use honeyguide_common::{
    Failure,
    propagation::{OptionOutcome, Outcome},
};

use crate::{
    attribute::Attributes,
    engine::{Engine, EngineCounters},
    export::counters::{DestinationSnapshot, SignalSnapshot},
    flow::{FlowCounters, FlowStates},
    link::{LinkCounters, Rule},
    load::{RuntimeCounters, TlsCounters},
    metrics::model::{Metric, MetricData, NumberPoint, ResourceMetrics, Temporality},
    resource::{Resource, ResourceCounters},
};

/// Everything that is counted, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// How long the agent has been capturing.
    pub elapsed: Duration,
    pub engine: EngineCounters,
    pub flows: FlowCounters,
    pub states: FlowStates,
    pub links: LinkCounters,
    /// Exchanges in progress or waiting for their parent.
    pub held: u64,
    /// Records that contradict the contract.
    pub malformed: u64,
    /// Kernel-side failures, in the order of [`Failure::ALL`].
    pub failures: [u64; Failure::ALL.len()],
    /// The most bytes seen waiting in the ring, and the ring's size.
    pub ring: (u64, u64),
    pub processes: ResourceCounters,
    pub tls: TlsCounters,
    pub runtimes: RuntimeCounters,
    /// Messages that a header could have been put into, in the order of [`Outcome::ALL`].
    pub headers: [u64; Outcome::ALL.len()],
    /// Contexts in TCP options, in the order of [`OptionOutcome::ALL`].
    pub options: [u64; OptionOutcome::ALL.len()],
    /// Calls whose cause is not known yet, and tasks whose beginnings are remembered.
    pub undecided: u64,
    pub tasks: u64,
    pub metrics_overflowed: u64,
    pub metrics_dropped: u64,
    pub export: Vec<DestinationSnapshot>,
}

impl Account {
    /// What the engine and its parts know.
    #[must_use]
    pub fn of(engine: &Engine) -> Self {
        let (metrics_overflowed, metrics_dropped) = engine.metric_losses();
        Self {
            engine: engine.counters,
            flows: engine.flows.counters,
            states: engine.flows.states(),
            links: engine.links.counters,
            held: engine.links.len() as u64,
            undecided: engine.links.undecided() as u64,
            tasks: engine.links.tasks() as u64,
            metrics_overflowed,
            metrics_dropped,
            ..Self::default()
        }
    }

    /// Records seen.
    #[must_use]
    pub fn records(&self) -> u64 {
        let EngineCounters {
            data_records,
            connection_records,
            state_records,
            process_records,
            task_records,
            open_records,
            wake_records,
            injected_records,
            arrived_records,
            ..
        } = self.engine;
        data_records
            + connection_records
            + state_records
            + process_records
            + task_records
            + open_records
            + wake_records
            + injected_records
            + arrived_records
    }

    /// Records that were due and never came.
    #[must_use]
    pub fn lost(&self) -> u64 {
        Failure::ALL
            .iter()
            .zip(self.failures)
            .filter(|(failure, _)| failure.loses_a_record())
            .map(|(_, count)| count)
            .sum()
    }

    /// As OTLP metrics of the agent's own resource. Times in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn metrics(&self, resource: Arc<Resource>, start: u64, now: u64) -> ResourceMetrics {
        let build = Build { start, now };
        let (engine, flows, links) = (&self.engine, &self.flows, &self.links);
        let by = |wanted: bool| {
            Failure::ALL
                .iter()
                .zip(self.failures)
                .filter(|(failure, _)| failure.loses_a_record() == wanted)
                .map(|(failure, count)| (failure.name(), count))
                .collect::<Vec<_>>()
        };
        let mut metrics = vec![
            build.sum(
                "honeyguide.records",
                "{record}",
                "Kernel records read.",
                "kind",
                &[
                    ("data", engine.data_records),
                    ("connection", engine.connection_records),
                    ("state", engine.state_records),
                    ("process", engine.process_records),
                    ("task", engine.task_records),
                    ("open", engine.open_records),
                    ("wake", engine.wake_records),
                    ("injected", engine.injected_records),
                    ("arrived", engine.arrived_records),
                ],
            ),
            build.sum(
                "honeyguide.records.malformed",
                "{record}",
                "Records that contradict the contract.",
                "",
                &[("", self.malformed)],
            ),
            build.sum(
                "honeyguide.records.lost",
                "{record}",
                "Records the kernel could not hand over.",
                "cause",
                &by(true),
            ),
            build.sum(
                "honeyguide.operations.unseen",
                "{operation}",
                "Socket operations whose bytes were counted and not seen.",
                "cause",
                &by(false),
            ),
            build.sum(
                "honeyguide.bytes",
                "By",
                "Bytes that passed traced sockets.",
                "state",
                &[("captured", engine.captured), ("counted", engine.bytes - engine.captured)],
            ),
            build.gauge(
                "honeyguide.ring.high_water",
                "By",
                "The most bytes seen waiting in the ring.",
                "",
                &[("", self.ring.0)],
            ),
            build.gauge("honeyguide.ring.size", "By", "The size of the ring.", "", &[("", self.ring.1)]),
            build.gauge(
                "honeyguide.connections",
                "{connection}",
                "Connections followed now.",
                "state",
                &self.states.by_name(),
            ),
            build.sum(
                "honeyguide.connections.events",
                "{connection}",
                "What became of connections.",
                "event",
                &[
                    ("opened", flows.opened),
                    ("closed", flows.closed),
                    ("undescribed", flows.undescribed),
                    ("ignored", flows.ignored),
                    ("upgraded", flows.upgraded),
                    ("encrypted", flows.encrypted),
                    ("opaque", flows.opaque),
                    ("failed", flows.failed),
                ],
            ),
            build.gauge(
                "honeyguide.tls.libraries",
                "{file}",
                "Libraries and programs whose TLS functions are probed now.",
                "",
                &[("", self.tls.files)],
            ),
            build.sum(
                "honeyguide.tls.dropped",
                "{probe}",
                "Functions that could not be probed, and processes or files that were too many to look at.",
                "cause",
                &self.tls.missed_by_cause(),
            ),
            build.sum(
                "honeyguide.plaintext.dropped",
                "{record}",
                "Records of TLS sessions whose socket did not become known.",
                "",
                &[("", flows.unbound_dropped)],
            ),
            build.sum(
                "honeyguide.connections.dropped",
                "{connection}",
                "Connections given up: the table was full, or all of them held too much.",
                "cause",
                &[("table_full", flows.evicted), ("over_budget", flows.over_budget)],
            ),
            build.sum(
                "honeyguide.stretches.lost",
                "{stretch}",
                "Stretches of a stream that no record stands for.",
                "cause",
                &[("gap", flows.lost_stretches), ("reordered", flows.reordered)],
            ),
            build.sum(
                "honeyguide.messages.malformed",
                "{message}",
                "Messages a parser could not read.",
                "",
                &[("", flows.malformed_messages)],
            ),
            build.sum(
                "honeyguide.messages.orphaned",
                "{message}",
                "Responses to requests that were not seen.",
                "",
                &[("", flows.orphan_responses)],
            ),
            build.sum(
                "honeyguide.messages.dropped",
                "{message}",
                "Messages a parser had no room for.",
                "",
                &[("", flows.parser_drops)],
            ),
        ];
        metrics.extend([
            build.sum(
                "honeyguide.spans",
                "{span}",
                "Spans made, and exchanges that the sampler left out or an SDK in the process reports.",
                "state",
                &[
                    ("made", engine.spans),
                    ("not_sampled", engine.not_sampled),
                    ("left_to_sdk", engine.left_to_sdk),
                ],
            ),
            build.sum(
                "honeyguide.spans.damaged",
                "{span}",
                "Spans of which some bytes were not seen.",
                "",
                &[("", engine.damaged)],
            ),
            build.sum(
                "honeyguide.links",
                "{span}",
                "How the parents of spans were found.",
                "rule",
                &Rule::ALL.map(|rule| (rule.name(), links.by_rule[rule as usize])),
            ),
            build.sum(
                "honeyguide.links.dropped",
                "{span}",
                "Exchanges whose links were lost or decided early because too many were held, or too long.",
                "cause",
                &[
                    ("held", links.evicted),
                    ("hurried", links.hurried),
                    ("forgotten_task", links.forgotten_tasks),
                    ("forgotten_sdk", links.forgotten_sdks),
                    ("forgotten_relay", links.forgotten_relays),
                ],
            ),
            build.gauge(
                "honeyguide.links.undecided",
                "{span}",
                "Calls whose cause is not known yet.",
                "",
                &[("", self.undecided)],
            ),
            build.gauge(
                "honeyguide.tasks",
                "{task}",
                "Tasks of runtimes whose beginnings are remembered.",
                "",
                &[("", self.tasks)],
            ),
            build.gauge(
                "honeyguide.runtimes",
                "{process}",
                "Processes whose tasks are told apart.",
                "",
                &[("", self.runtimes.processes)],
            ),
            build.sum(
                "honeyguide.runtimes.dropped",
                "{process}",
                "Functions that could not be probed, and processes or files that were too many to look at.",
                "cause",
                &[("failed", self.runtimes.failed), ("too_many", self.runtimes.dropped)],
            ),
            build.sum(
                "honeyguide.headers",
                "{message}",
                "Messages that a traceparent was put into or could have been, by what became of them.",
                "outcome",
                &Outcome::ALL.map(|outcome| (outcome.name(), self.headers[outcome as usize])),
            ),
            build.sum(
                "honeyguide.headers.calls",
                "{call}",
                "HTTP calls without a traceparent of their own, where headers are put in.",
                "header",
                &[("put_in", links.with_header), ("none", links.without_header)],
            ),
            build.sum(
                "honeyguide.options",
                "{option}",
                "Contexts in TCP options, by what became of them.",
                "outcome",
                &OptionOutcome::ALL.map(|outcome| (outcome.name(), self.options[outcome as usize])),
            ),
            build.sum(
                "honeyguide.options.requests",
                "{request}",
                "Contexts that came in TCP options, by whether a request was theirs.",
                "request",
                &[("found", links.options_found), ("none", links.options_unmatched)],
            ),
            build.sum(
                "honeyguide.options.forgotten",
                "{send}",
                "Sends with a context in a TCP option that were forgotten before a call was found in them: too many followed, as those of a long body do.",
                "",
                &[("", links.options_forgotten)],
            ),
            build.sum(
                "honeyguide.contexts.malformed",
                "{header}",
                "Traceparent headers that break the format.",
                "",
                &[("", links.malformed_context)],
            ),
            build.gauge(
                "honeyguide.exchanges",
                "{exchange}",
                "Exchanges in progress, or waiting for their parent.",
                "",
                &[("", self.held)],
            ),
            build.sum(
                "honeyguide.processes.dropped",
                "{process}",
                "Processes that found no place in a table.",
                "",
                &[("", self.processes.dropped)],
            ),
            build.sum(
                "honeyguide.processes.unread",
                "{process}",
                "Processes that were gone before more than their name was known.",
                "",
                &[("", self.processes.unread)],
            ),
            build.sum(
                "honeyguide.processes.postponed",
                "{process}",
                "Starts of programs that were too many to be read at once.",
                "",
                &[("", self.processes.postponed)],
            ),
            build.sum(
                "honeyguide.metrics.dropped",
                "{measurement}",
                "Measurements that found no place.",
                "cause",
                &[
                    ("overflow", self.metrics_overflowed),
                    ("resources", self.metrics_dropped),
                    ("active", engine.active_dropped),
                    ("thread_times", engine.times_dropped),
                ],
            ),
        ]);
        metrics.extend(self.export_metrics(&build));
        ResourceMetrics { resource, metrics }
    }

    fn export_metrics(&self, build: &Build) -> [Metric; 2] {
        let (mut exported, mut dropped) = (Vec::new(), Vec::new());
        for destination in &self.export {
            let signals = [
                ("traces", &destination.traces),
                ("metrics", &destination.metrics),
                ("profiles", &destination.profiles),
            ];
            for (signal, counts) in signals {
                let SignalSnapshot { queue_full, rejected, permanent, retries_exhausted, shutdown, .. } =
                    *counts;
                let attributes = |cause: Option<&'static str>| {
                    let mut attributes = Attributes::with_capacity(3);
                    attributes.set("destination", destination.name.clone());
                    attributes.set("signal", signal);
                    if let Some(cause) = cause {
                        attributes.set("cause", cause);
                    }
                    attributes
                };
                exported.push(build.point(attributes(None), counts.exported));
                dropped.extend(
                    [
                        ("queue_full", queue_full),
                        ("rejected", rejected),
                        ("permanent", permanent),
                        ("retries_exhausted", retries_exhausted),
                        ("shutdown", shutdown),
                    ]
                    .map(|(cause, count)| build.point(attributes(Some(cause)), count)),
                );
            }
        }
        let sum = |points| MetricData::Sum { temporality: Temporality::Cumulative, monotonic: true, points };
        [
            Metric {
                name: "honeyguide.export.items",
                unit: "{item}",
                description: "Spans, points of metrics and samples that a destination took.",
                data: sum(exported),
            },
            Metric {
                name: "honeyguide.export.dropped",
                unit: "{item}",
                description: "Spans, points of metrics and samples that a destination did not get.",
                data: sum(dropped),
            },
        ]
    }
}

/// The last line of a run.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} spans in {:.1} s", self.engine.spans, self.elapsed.as_secs_f64())?;
        if self.engine.not_sampled > 0 {
            write!(f, " ({} not sampled)", self.engine.not_sampled)?;
        }
        write!(f, " · {} records, {} lost, {} malformed", self.records(), self.lost(), self.malformed)?;
        let unseen = self.failures.iter().sum::<u64>() - self.lost();
        if unseen > 0 {
            write!(f, ", {unseen} operations counted without their bytes")?;
        }
        write!(f, " · {} connections", self.flows.opened + self.flows.undescribed)?;
        if let Some(percent) = (self.ring.0 * 100).checked_div(self.ring.1) {
            write!(f, " · ring peak {percent} %")?;
        }
        for destination in &self.export {
            let SignalSnapshot { exported, .. } = destination.traces;
            let dropped = destination.traces.dropped();
            write!(f, " · {}: {exported} exported, {dropped} dropped", destination.name)?;
            let points = destination.metrics.dropped();
            if points > 0 {
                write!(f, " (and {points} points of metrics)")?;
            }
        }
        Ok(())
    }
}

/// The times that every point shares.
struct Build {
    start: u64,
    now: u64,
}

impl Build {
    fn sum(
        &self,
        name: &'static str,
        unit: &'static str,
        description: &'static str,
        attribute: &'static str,
        values: &[(&'static str, u64)],
    ) -> Metric {
        let points = self.points(attribute, values);
        let data = MetricData::Sum { temporality: Temporality::Cumulative, monotonic: true, points };
        Metric { name, unit, description, data }
    }

    fn gauge(
        &self,
        name: &'static str,
        unit: &'static str,
        description: &'static str,
        attribute: &'static str,
        values: &[(&'static str, u64)],
    ) -> Metric {
        Metric { name, unit, description, data: MetricData::Gauge { points: self.points(attribute, values) } }
    }

    fn points(&self, attribute: &'static str, values: &[(&'static str, u64)]) -> Vec<NumberPoint> {
        values
            .iter()
            .map(|&(value, count)| {
                let mut attributes = Attributes::default();
                if !attribute.is_empty() {
                    attributes.set(attribute, value);
                }
                self.point(attributes, count)
            })
            .collect()
    }

    fn point(&self, attributes: Attributes, count: u64) -> NumberPoint {
        NumberPoint {
            attributes,
            start: self.start,
            time: self.now,
            value: i64::try_from(count).unwrap_or(i64::MAX),
        }
    }
}
