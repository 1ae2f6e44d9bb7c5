//! A histogram with explicit bounds, and one exemplar a bucket.

use super::model::{Exemplar, HistogramPoint, Temporality};
use crate::attribute::Attributes;

#[derive(Clone, Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    buckets: Vec<u64>,
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    /// One a bucket, or empty: the last one seen since the last collection, as the SDK specification
    /// allows for its `AlignedHistogramBucketExemplarReservoir`.
    exemplars: Vec<Option<Exemplar>>,
}

impl Histogram {
    /// `bounds` are upper bounds, ascending; a value equal to a bound is under it.
    #[must_use]
    pub fn new(bounds: &'static [f64]) -> Self {
        let buckets = vec![0; bounds.len() + 1];
        let (min, max) = (f64::INFINITY, f64::NEG_INFINITY);
        Self { bounds, buckets, count: 0, sum: 0.0, min, max, exemplars: Vec::new() }
    }

    /// `value` must be finite.
    pub fn record(&mut self, value: f64, exemplar: Option<Exemplar>) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.buckets[bucket] += 1;
        self.count += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        if exemplar.is_some() {
            if self.exemplars.is_empty() {
                self.exemplars.resize(self.buckets.len(), None);
            }
            self.exemplars[bucket] = exemplar;
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The point of one collection. Delta starts anew after it; exemplars do in either case.
    pub fn collect(
        &mut self,
        temporality: Temporality,
        attributes: Attributes,
        start: u64,
        time: u64,
    ) -> HistogramPoint {
        let point = HistogramPoint {
            attributes,
            start,
            time,
            count: self.count,
            sum: self.sum,
            min: (self.count > 0).then_some(self.min),
            max: (self.count > 0).then_some(self.max),
            bounds: self.bounds,
            buckets: self.buckets.clone(),
            exemplars: self.exemplars.iter_mut().filter_map(Option::take).collect(),
        };
        match temporality {
            Temporality::Cumulative => {}
            Temporality::Delta => {
                self.buckets.fill(0);
                (self.count, self.sum) = (0, 0.0);
                (self.min, self.max) = (f64::INFINITY, f64::NEG_INFINITY);
            }
        }
        point
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::{SpanId, TraceId};

    fn exemplar(value: f64) -> Exemplar {
        Exemplar { time: 1, value, trace_id: TraceId([1; 16]), span_id: SpanId([2; 8]) }
    }

    #[test]
    fn a_bound_is_inclusive() {
        let mut histogram = Histogram::new(&[1.0, 2.0]);
        for value in [0.0, 1.0, 1.5, 2.0, 2.1, 9.0] {
            histogram.record(value, None);
        }
        let point = histogram.collect(Temporality::Cumulative, Attributes::default(), 1, 2);
        assert_eq!(point.buckets, [2, 2, 2]);
        assert_eq!((point.count, point.sum, point.min, point.max), (6, 15.6, Some(0.0), Some(9.0)));
    }

    #[test]
    fn delta_starts_anew_and_cumulative_goes_on() {
        for (temporality, count, min) in
            [(Temporality::Delta, 1, Some(5.0)), (Temporality::Cumulative, 2, Some(0.5))]
        {
            let mut histogram = Histogram::new(&[1.0]);
            histogram.record(0.5, None);
            histogram.collect(temporality, Attributes::default(), 0, 1);
            histogram.record(5.0, None);
            let point = histogram.collect(temporality, Attributes::default(), 1, 2);
            assert_eq!((point.count, point.min), (count, min));
        }
    }

    #[test]
    fn the_last_exemplar_of_each_bucket_goes_out_once() {
        let mut histogram = Histogram::new(&[1.0]);
        for value in [0.1, 0.2, 3.0] {
            histogram.record(value, Some(exemplar(value)));
        }
        histogram.record(0.3, None);
        let point = histogram.collect(Temporality::Cumulative, Attributes::default(), 0, 1);
        assert_eq!(point.exemplars, [exemplar(0.2), exemplar(3.0)]);
        let point = histogram.collect(Temporality::Cumulative, Attributes::default(), 0, 2);
        assert_eq!(point.exemplars, []);
    }
}
