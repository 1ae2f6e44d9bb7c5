//! The HTTP metrics of the semantic conventions (HTTP metrics, 1.44), per resource.
//!
//! The two durations are recommended there; body sizes and active requests are opt-in and on by default
//! here. The attributes are those the conventions require or recommend, no opt-in ones, since those let
//! strangers choose label values.

mod key;

use std::sync::Arc;

use self::key::{Key, KeyRef};
use super::{
    histogram::Histogram,
    model::{Exemplar, Metric, MetricData, NumberPoint, ResourceMetrics, Temporality},
    registry::{Moment, OVERFLOW, SeriesTable, overflow},
    resources::ByResource,
};
use crate::{
    flow::Role,
    resource::Resource,
    span::{
        SpanId, TraceId,
        http::{Call, Request},
    },
};

#[derive(Clone, Debug)]
pub struct HttpMetricSettings {
    /// Of the histograms. Active requests are always cumulative, as the OTLP exporter's `delta` has it.
    pub temporality: Temporality,
    /// Attribute sets per instrument and resource; what is beyond goes to `otel.metric.overflow`.
    pub cardinality_limit: usize,
    /// Attribute sets of all resources together; what is beyond goes to `otel.metric.overflow`.
    pub max_series: usize,
    pub max_resources: usize,
    /// Nanoseconds after which a cumulative series without a record is dropped; delta drops it at once.
    pub idle_after: u64,
    pub body_sizes: bool,
    pub active_requests: bool,
    /// Add `url.template` to the client metrics.
    pub url_template: bool,
}

impl Default for HttpMetricSettings {
    fn default() -> Self {
        Self {
            temporality: Temporality::Cumulative,
            cardinality_limit: 2_000,
            max_series: 10_000,
            max_resources: 2_000,
            idle_after: 3_600_000_000_000,
            body_sizes: true,
            active_requests: true,
            url_template: false,
        }
    }
}

/// A finished request.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    pub call: &'a Call<'a>,
    /// `http.route`, or `url.template` of a client's request.
    pub route: Option<&'a Arc<str>>,
    /// Nanoseconds since the Unix epoch; the span's own.
    pub start: u64,
    /// Nanoseconds since the Unix epoch; the span's own.
    pub end: u64,
    /// The span, where it was sampled: an exemplar.
    pub span: Option<(TraceId, SpanId)>,
}

/// A request that is counted as active. Give it back, or it stays so.
#[derive(Debug)]
#[must_use]
pub struct Active {
    resource: usize,
    generation: u64,
    role: Role,
    slot: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpMetricCounters {
    /// Records that went into an overflow set.
    pub overflowed: u64,
    /// Records dropped because there were too many resources.
    pub dropped: u64,
    /// Cumulative series dropped because nothing was recorded for long.
    pub evicted: u64,
}

#[derive(Debug)]
pub struct HttpMetrics {
    settings: HttpMetricSettings,
    resources: ByResource<PerResource>,
    /// Of all resources.
    series: usize,
    /// The time of the last collection, or of the start.
    collected: u64,
    counters: HttpMetricCounters,
}

#[derive(Debug, Default)]
struct PerResource {
    server: PerRole,
    client: PerRole,
}

#[derive(Debug, Default)]
struct PerRole {
    finished: SeriesTable<Key, Sizes>,
    active: SeriesTable<Key, i64>,
}

#[derive(Debug)]
struct Sizes {
    duration: Histogram,
    request: Histogram,
    response: Histogram,
}

impl HttpMetrics {
    /// `start`: nanoseconds since the Unix epoch.
    #[must_use]
    pub fn new(settings: HttpMetricSettings, start: u64) -> Self {
        Self {
            settings,
            resources: ByResource::default(),
            series: 0,
            collected: start,
            counters: HttpMetricCounters::default(),
        }
    }

    #[must_use]
    pub fn counters(&self) -> HttpMetricCounters {
        self.counters
    }

    /// `time`: nanoseconds since the Unix epoch. `None` where active requests are off.
    pub fn request_started(
        &mut self,
        resource: &Arc<Resource>,
        request: &Request<'_>,
        time: u64,
    ) -> Option<Active> {
        if !self.settings.active_requests {
            return None;
        }
        let (limit, moment) = (self.settings.cardinality_limit, self.moment(time));
        let room = self.settings.max_series.saturating_sub(self.series);
        let at = self.resource(resource)?;
        let per = self.resources.at(at)?;
        let (generation, table) = (per.generation, &mut per.state.role(request.role).active);
        let before = table.len();
        let slot = table.slot(&KeyRef::active(request), limit.min(before + room), moment, || 0);
        *table.touch(slot, moment)? += 1;
        self.series += table.len() - before;
        self.counters.overflowed += u64::from(slot == OVERFLOW);
        Some(Active { resource: at, generation, role: request.role, slot })
    }

    /// The request is no longer active: it finished, or is no longer watched.
    #[allow(clippy::needless_pass_by_value, reason = "given back once")]
    pub fn request_ended(&mut self, active: Active) {
        let moment = self.moment(self.collected);
        let per = self.resources.at(active.resource);
        let Some(per) = per.filter(|r| r.generation == active.generation) else { return };
        per.touch(moment.collected);
        if let Some(value) = per.state.role(active.role).active.touch(active.slot, moment) {
            *value -= 1;
        }
    }

    pub fn request_finished(&mut self, resource: &Arc<Resource>, finished: &Finished<'_>) {
        let Finished { call, route, start, end, span } = *finished;
        let (limit, moment) = (self.settings.cardinality_limit, self.moment(end));
        let (room, sizes) = (self.settings.max_series.saturating_sub(self.series), self.settings.body_sizes);
        let role = call.request.role;
        let route = route.filter(|_| role == Role::Server || self.settings.url_template);
        let Some(at) = self.resource(resource) else { return };
        let Some(per) = self.resources.at(at) else { return };
        let table = &mut per.state.role(role).finished;
        let before = table.len();
        let slot = table.slot(&KeyRef::finished(call, route), limit.min(before + room), moment, Sizes::new);
        self.series += table.len() - before;
        self.counters.overflowed += u64::from(slot == OVERFLOW);
        let Some(series) = table.touch(slot, moment) else { return };
        let value = end.saturating_sub(start) as f64 / 1e9;
        let exemplar = span.map(|(trace_id, span_id)| Exemplar { time: end, value, trace_id, span_id });
        series.duration.record(value, exemplar);
        if sizes {
            let detail = &call.exchange.detail;
            if let Some(size) = detail.request_body {
                series.request.record(size as f64, None);
            }
            if let Some(size) = detail.response_body {
                series.response.record(size as f64, None);
            }
        }
    }

    /// What there is to export at `now`, in nanoseconds since the Unix epoch; resources in the order they
    /// came. Drops what is idle.
    pub fn collect(&mut self, now: u64) -> Vec<ResourceMetrics> {
        let (temporality, previous) = (self.settings.temporality, self.collected);
        let now = now.max(previous);
        self.resources.remove_gone();
        let mut out = Vec::new();
        for per in self.resources.iter_mut() {
            let mut metrics = Vec::new();
            per.state.server.collect(&SERVER, temporality, previous, now, &mut metrics);
            per.state.client.collect(&CLIENT, temporality, previous, now, &mut metrics);
            if let Some(resource) = per.release().filter(|_| !metrics.is_empty()) {
                out.push(ResourceMetrics { resource, metrics });
            }
        }
        self.evict(previous, now);
        self.collected = now;
        out
    }

    /// A series touched since `previous` was recorded since the collection before this one.
    fn evict(&mut self, previous: u64, now: u64) {
        let (delta, idle) = (self.settings.temporality == Temporality::Delta, self.settings.idle_after);
        let idle = |touched: u64| now.saturating_sub(touched) > idle;
        for PerResource { server, client } in self.resources.iter_mut().map(|per| &mut per.state) {
            let before = server.len() + client.len();
            for role in [&mut *server, &mut *client] {
                role.finished.retain(|s| if delta { s.touched >= previous } else { !idle(s.touched) });
                role.active.retain(|s| s.value != 0 || !idle(s.touched));
            }
            if !delta {
                self.counters.evicted += (before - server.len() - client.len()) as u64;
            }
        }
        self.resources.remove(|per| per.state.is_empty() && idle(per.touched));
        self.series = self.resources.iter().map(|per| per.state.server.len() + per.state.client.len()).sum();
    }

    fn moment(&self, time: u64) -> Moment {
        Moment { time, collected: self.collected }
    }

    fn resource(&mut self, resource: &Arc<Resource>) -> Option<usize> {
        let at = self.resources.place(resource, self.settings.max_resources, self.collected);
        self.counters.dropped += u64::from(at.is_none());
        at
    }
}

impl PerResource {
    fn role(&mut self, role: Role) -> &mut PerRole {
        match role {
            Role::Server => &mut self.server,
            Role::Client => &mut self.client,
        }
    }

    fn is_empty(&self) -> bool {
        [&self.server, &self.client].iter().all(|r| r.finished.is_empty() && r.active.is_empty())
    }
}

impl PerRole {
    fn len(&self) -> usize {
        self.finished.len() + self.active.len()
    }

    fn collect(
        &mut self,
        instruments: &Instruments,
        temporality: Temporality,
        previous: u64,
        now: u64,
        out: &mut Vec<Metric>,
    ) {
        let mut points: [Vec<_>; 3] = Default::default();
        for series in self.finished.iter_mut() {
            let start = match temporality {
                Temporality::Delta => previous,
                Temporality::Cumulative => series.start.min(now),
            };
            let Sizes { duration, request, response } = &mut series.value;
            for (points, histogram) in points.iter_mut().zip([duration, request, response]) {
                if !histogram.is_empty() {
                    let attributes =
                        series.key.as_ref().map_or_else(overflow, |k| k.finished(instruments.role));
                    points.push(histogram.collect(temporality, attributes, start, now));
                }
            }
        }
        for ((name, unit, description), points) in instruments.histograms.into_iter().zip(points) {
            if !points.is_empty() {
                out.push(Metric {
                    name,
                    unit,
                    description,
                    data: MetricData::Histogram { temporality, points },
                });
            }
        }
        let point = |attributes, start: u64, value| NumberPoint {
            attributes,
            start: start.min(now),
            time: now,
            value,
        };
        let points: Vec<_> = self
            .active
            .iter_mut()
            .map(|s| {
                point(s.key.as_ref().map_or_else(overflow, |k| k.active(instruments.role)), s.start, s.value)
            })
            .collect();
        if !points.is_empty() {
            let (name, unit, description) = instruments.active;
            let data = MetricData::Sum { temporality: Temporality::Cumulative, monotonic: false, points };
            out.push(Metric { name, unit, description, data });
        }
    }
}

impl Sizes {
    fn new() -> Self {
        Self {
            duration: Histogram::new(&SECONDS),
            request: Histogram::new(&BYTES),
            response: Histogram::new(&BYTES),
        }
    }
}

/// The bounds the conventions recommend for durations.
pub const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The conventions recommend none for bytes, and the SDK's own end at 10 kB: no body and powers of four
/// from 64 B to 1 GiB.
pub const BYTES: [f64; 14] = [
    0.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
];

/// Name, unit, description.
type Instrument = (&'static str, &'static str, &'static str);

struct Instruments {
    role: Role,
    histograms: [Instrument; 3],
    active: Instrument,
}

const SERVER: Instruments = Instruments {
    role: Role::Server,
    histograms: [
        ("http.server.request.duration", "s", "Duration of HTTP server requests."),
        ("http.server.request.body.size", "By", "Size of HTTP server request bodies."),
        ("http.server.response.body.size", "By", "Size of HTTP server response bodies."),
    ],
    active: ("http.server.active_requests", "{request}", "Number of active HTTP server requests."),
};

const CLIENT: Instruments = Instruments {
    role: Role::Client,
    histograms: [
        ("http.client.request.duration", "s", "Duration of HTTP client requests."),
        ("http.client.request.body.size", "By", "Size of HTTP client request bodies."),
        ("http.client.response.body.size", "By", "Size of HTTP client response bodies."),
    ],
    active: ("http.client.active_requests", "{request}", "Number of active HTTP requests."),
};

#[cfg(test)]
mod tests;
