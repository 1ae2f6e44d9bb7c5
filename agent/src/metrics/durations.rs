//! One histogram of durations, per resource: what the aggregators of one instrument share.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use foldhash::fast::RandomState;

use super::{
    histogram::Histogram,
    model::{Exemplar, Metric, MetricData, ResourceMetrics, Temporality},
    registry::{BorrowedKey, Moment, OVERFLOW, SeriesTable, overflow},
    resources::ByResource,
};
use crate::{
    attribute::Attributes,
    resource::Resource,
    span::{SpanId, TraceId},
};

#[derive(Clone, Debug)]
pub struct DurationSettings {
    pub temporality: Temporality,
    /// Attribute sets per resource; what is beyond goes to `otel.metric.overflow`.
    pub cardinality_limit: usize,
    /// Attribute sets of all resources together; what is beyond goes to `otel.metric.overflow`.
    pub max_series: usize,
    pub max_resources: usize,
    /// Nanoseconds after which a cumulative series without a record is dropped; delta drops it at once.
    pub idle_after: u64,
}

impl Default for DurationSettings {
    fn default() -> Self {
        Self {
            temporality: Temporality::Cumulative,
            cardinality_limit: 2_000,
            max_series: 10_000,
            max_resources: 2_000,
            idle_after: 3_600_000_000_000,
        }
    }
}

/// A histogram's name, description and bounds; the unit is `s`.
#[derive(Clone, Copy, Debug)]
pub struct Instrument {
    pub name: &'static str,
    pub description: &'static str,
    pub bounds: &'static [f64],
}

/// When something ran.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Nanoseconds since the Unix epoch; the span's own.
    pub start: u64,
    /// Nanoseconds since the Unix epoch; the span's own.
    pub end: u64,
    /// The span, where it was sampled: an exemplar.
    pub span: Option<(TraceId, SpanId)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DurationCounters {
    /// Records that went into an overflow set.
    pub overflowed: u64,
    /// Records dropped because there were too many resources.
    pub dropped: u64,
    /// Cumulative series dropped because nothing was recorded for long.
    pub evicted: u64,
}

/// `K`: the owned key of an attribute set.
#[derive(Debug)]
pub struct Durations<K> {
    instrument: Instrument,
    settings: DurationSettings,
    resources: ByResource<Series<K>>,
    /// Of all resources.
    series: usize,
    /// The time of the last collection, or of the start.
    collected: u64,
    counters: DurationCounters,
}

#[derive(Debug)]
struct Series<K>(SeriesTable<K, Histogram>);

impl<K> Default for Series<K> {
    fn default() -> Self {
        Self(SeriesTable::default())
    }
}

impl<K> Durations<K> {
    /// `start`: nanoseconds since the Unix epoch.
    #[must_use]
    pub fn new(instrument: Instrument, settings: DurationSettings, start: u64) -> Self {
        Self {
            instrument,
            settings,
            resources: ByResource::default(),
            series: 0,
            collected: start,
            counters: DurationCounters::default(),
        }
    }

    #[must_use]
    pub fn counters(&self) -> DurationCounters {
        self.counters
    }

    pub fn record<B: BorrowedKey<Owned = K>>(&mut self, resource: &Arc<Resource>, key: &B, run: Run) {
        let Run { start, end, span } = run;
        let moment = Moment { time: end, collected: self.collected };
        let room = self.settings.max_series.saturating_sub(self.series);
        let Some(at) = self.resources.place(resource, self.settings.max_resources, self.collected) else {
            self.counters.dropped += 1;
            return;
        };
        let Some(per) = self.resources.at(at) else { return };
        let table = &mut per.state.0;
        let before = table.len();
        let limit = self.settings.cardinality_limit.min(before + room);
        let slot = table.slot(key, limit, moment, || Histogram::new(self.instrument.bounds));
        self.series += table.len() - before;
        self.counters.overflowed += u64::from(slot == OVERFLOW);
        let Some(histogram) = table.touch(slot, moment) else { return };
        let value = end.saturating_sub(start) as f64 / 1e9;
        let exemplar = span.map(|(trace_id, span_id)| Exemplar { time: end, value, trace_id, span_id });
        histogram.record(value, exemplar);
    }

    /// Adds what there is to export at `now`, in nanoseconds since the Unix epoch, to the metrics of the same
    /// resource, else behind all others. Drops what is idle.
    pub fn collect(
        &mut self,
        now: u64,
        attributes: impl Fn(&K) -> Attributes,
        into: &mut Vec<ResourceMetrics>,
    ) {
        let (temporality, previous) = (self.settings.temporality, self.collected);
        let now = now.max(previous);
        let Instrument { name, description, .. } = self.instrument;
        let mut places: HashMap<_, _, RandomState> =
            into.iter().enumerate().map(|(at, of)| (Arc::as_ptr(&of.resource), at)).collect();
        self.resources.remove_gone();
        for per in self.resources.iter_mut() {
            let points: Vec<_> = per
                .state
                .0
                .iter_mut()
                .filter(|series| !series.value.is_empty())
                .map(|series| {
                    let start = match temporality {
                        Temporality::Delta => previous,
                        Temporality::Cumulative => series.start.min(now),
                    };
                    let set = series.key.as_ref().map_or_else(overflow, &attributes);
                    series.value.collect(temporality, set, start, now)
                })
                .collect();
            let Some(resource) = per.release().filter(|_| !points.is_empty()) else { continue };
            let data = MetricData::Histogram { temporality, points };
            let metric = Metric { name, unit: "s", description, data };
            match places.entry(Arc::as_ptr(&resource)) {
                Entry::Occupied(at) => into[*at.get()].metrics.push(metric),
                Entry::Vacant(at) => {
                    at.insert(into.len());
                    into.push(ResourceMetrics { resource, metrics: vec![metric] });
                }
            }
        }
        self.evict(previous, now);
        self.collected = now;
    }

    /// A series touched since `previous` was recorded since the collection before this one.
    fn evict(&mut self, previous: u64, now: u64) {
        let (delta, idle) = (self.settings.temporality == Temporality::Delta, self.settings.idle_after);
        let idle = |touched: u64| now.saturating_sub(touched) > idle;
        for per in self.resources.iter_mut() {
            let table = &mut per.state.0;
            let before = table.len();
            table.retain(|s| if delta { s.touched >= previous } else { !idle(s.touched) });
            if !delta {
                self.counters.evicted += (before - table.len()) as u64;
            }
        }
        self.resources.remove(|per| per.state.0.is_empty() && idle(per.touched));
        self.series = self.resources.iter().map(|per| per.state.0.len()).sum();
    }
}
