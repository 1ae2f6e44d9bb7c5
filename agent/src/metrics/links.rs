//! How the calls of each service found the requests that caused them: `honeyguide.link.calls`, by rule.

use std::sync::Arc;

use super::{
    model::{Metric, MetricData, NumberPoint, ResourceMetrics, Temporality},
    resources::ByResource,
};
use crate::{attribute::Attributes, link::Rule, resource::Resource};

#[derive(Debug)]
pub struct LinkMetrics {
    services: ByResource<Counts>,
    temporality: Temporality,
    limit: usize,
    collected: u64,
    /// Calls of services that found no place.
    pub dropped: u64,
}

#[derive(Debug, Default)]
struct Counts {
    calls: [u64; Rule::ALL.len()],
    given_out: [u64; Rule::ALL.len()],
    /// When they began: nanoseconds since the Unix epoch.
    start: Option<u64>,
}

impl LinkMetrics {
    /// `limit`: services at once. `start`: nanoseconds since the Unix epoch.
    #[must_use]
    pub fn new(temporality: Temporality, limit: usize, start: u64) -> Self {
        Self { services: ByResource::default(), temporality, limit, collected: start, dropped: 0 }
    }

    /// A call of the service's ended at `time`.
    pub fn call_finished(&mut self, resource: &Arc<Resource>, rule: Rule, time: u64) {
        let place = self.services.place(resource, self.limit, self.collected);
        let Some(entry) = place.and_then(|place| self.services.at(place)) else {
            self.dropped += 1;
            return;
        };
        entry.state.start.get_or_insert(time.max(self.collected));
        entry.state.calls[rule as usize] += 1;
    }

    /// Adds what there is to export at `now`, in nanoseconds since the Unix epoch.
    pub fn collect(&mut self, now: u64, into: &mut Vec<ResourceMetrics>) {
        let (temporality, collected) = (self.temporality, self.collected);
        for entry in self.services.iter_mut() {
            let Some(resource) = entry.release() else { continue };
            let Counts { calls, given_out, start } = &mut entry.state;
            let begun = start.unwrap_or(collected);
            let (start, before) = match temporality {
                Temporality::Cumulative => (begun, [0; Rule::ALL.len()]),
                Temporality::Delta => (begun.max(collected), *given_out),
            };
            let points: Vec<NumberPoint> = Rule::ALL
                .iter()
                .zip(calls.iter().zip(before))
                .filter(|(_, (count, before))| *count > before)
                .map(|(rule, (count, before))| NumberPoint {
                    attributes: named(*rule),
                    start,
                    time: now,
                    value: i64::try_from(*count - before).unwrap_or(i64::MAX),
                })
                .collect();
            *given_out = *calls;
            if !points.is_empty() {
                let data = MetricData::Sum { temporality, monotonic: true, points };
                let metric =
                    Metric { name: "honeyguide.link.calls", unit: "{call}", description: DESCRIPTION, data };
                into.push(ResourceMetrics { resource, metrics: vec![metric] });
            }
        }
        self.services.remove_gone();
        self.collected = now;
    }
}

const DESCRIPTION: &str = "How calls found the requests that caused them.";

fn named(rule: Rule) -> Attributes {
    let mut attributes = Attributes::with_capacity(1);
    attributes.set("honeyguide.link.rule", rule.name());
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(metrics: &[ResourceMetrics]) -> Vec<(u64, i64)> {
        metrics
            .iter()
            .flat_map(|resource| &resource.metrics)
            .flat_map(|metric| match &metric.data {
                MetricData::Sum { points, .. } => points.iter().map(|p| (p.start, p.value)).collect(),
                MetricData::Gauge { .. } | MetricData::Histogram { .. } => Vec::new(),
            })
            .collect()
    }

    #[track_caller]
    fn check(temporality: Temporality, expect: [&[(u64, i64)]; 3]) {
        let mut links = LinkMetrics::new(temporality, 1, 10);
        let (service, other) = (Arc::new(Resource::default()), Arc::new(Resource::default()));
        links.call_finished(&service, Rule::SameTask, 20);
        links.call_finished(&service, Rule::SameTask, 21);
        links.call_finished(&service, Rule::Ambiguous, 22);
        links.call_finished(&other, Rule::None, 22);
        assert_eq!(links.dropped, 1);
        let collect = |links: &mut LinkMetrics, now| {
            let mut into = Vec::new();
            links.collect(now, &mut into);
            values(&into)
        };
        assert_eq!(collect(&mut links, 30), expect[0]);
        assert_eq!(collect(&mut links, 40), expect[1]);
        links.call_finished(&service, Rule::SameTask, 45);
        assert_eq!(collect(&mut links, 50), expect[2]);
    }

    #[test]
    fn cumulative_counts_go_on() {
        check(Temporality::Cumulative, [&[(20, 2), (20, 1)], &[(20, 2), (20, 1)], &[(20, 3), (20, 1)]]);
    }

    #[test]
    fn deltas_are_of_one_interval() {
        check(Temporality::Delta, [&[(20, 2), (20, 1)], &[], &[(40, 1)]]);
    }
}
