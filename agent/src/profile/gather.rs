//! Samples added up: equal stacks of one thread for one request become one, until they are asked for.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use foldhash::fast::RandomState;

use super::{
    model::{self, Consumer, Frame, Measure, Token},
    named::{Point, Profile, Sample},
    naming::Naming,
};
use crate::{
    attribute::Attributes,
    clock::Clock,
    resource::Resource,
    span::{SpanId, TraceId},
};

/// Different stacks that are held; what comes beyond them is counted.
const MAX_STACKS: usize = 65_536;
/// Points of all stacks together: an hour of 99 Hz on ten CPUs.
const MAX_POINTS: usize = 4_000_000;

/// Samples since they were last taken.
#[derive(Debug, Default)]
pub struct Gather {
    stacks: HashMap<Key, Held, RandomState>,
    /// How often each process has become another program: its addresses mean something else since.
    programs: HashMap<u32, u32, RandomState>,
    points: usize,
    /// Samples that found no place.
    pub dropped: u64,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    pid: u32,
    tid: u32,
    program: u32,
    measure: Measure,
    token: Option<Token>,
    kernel: Box<[u64]>,
    user: Box<[u64]>,
}

#[derive(Debug)]
struct Held {
    comm: Arc<str>,
    frames: Vec<Frame>,
    complete: bool,
    /// Times on the kernel's clock.
    points: Vec<Point>,
}

/// What a thread was working for.
#[derive(Clone, Debug, Default)]
pub struct Served {
    pub link: Option<(TraceId, SpanId)>,
    pub attributes: Attributes,
}

/// What is known besides the samples.
pub trait Context {
    fn resource(&mut self, pid: u32) -> Arc<Resource>;

    /// The request behind a token, where it is known.
    fn served(&mut self, token: Token) -> Option<Served>;
}

/// The stretch of time that profiles are made of, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    pub start: u64,
    pub end: u64,
    /// Nanoseconds between two samples.
    pub period: u64,
}

impl Consumer for Gather {
    fn sample(&mut self, sample: model::Sample) {
        let program = self.programs.get(&sample.pid).copied().unwrap_or(0);
        let key = Key {
            pid: sample.pid,
            tid: sample.tid,
            program,
            measure: sample.measure,
            token: sample.token,
            kernel: sample.kernel.into(),
            user: sample.user.iter().map(|frame| frame.address).collect(),
        };
        let full = self.stacks.len() >= MAX_STACKS;
        let point = Point { time: sample.time, value: sample.weight };
        match self.stacks.entry(key) {
            _ if self.points >= MAX_POINTS => self.dropped += 1,
            Entry::Occupied(held) => {
                held.into_mut().points.push(point);
                self.points += 1;
            }
            Entry::Vacant(_) if full => self.dropped += 1,
            Entry::Vacant(place) => {
                place.insert(Held {
                    comm: sample.comm.text().into(),
                    frames: sample.user,
                    complete: sample.outcome.is_complete(),
                    points: vec![point],
                });
                self.points += 1;
            }
        }
    }

    fn forget(&mut self, pid: u32) {
        *self.programs.entry(pid).or_default() += 1;
    }
}

impl Gather {
    /// Names what was gathered, a profile for each process and measure, and begins anew.
    pub fn take(
        &mut self,
        naming: &mut Naming,
        context: &mut dyn Context,
        clock: Clock,
        stretch: Stretch,
    ) -> Vec<Profile> {
        let stacks = std::mem::take(&mut self.stacks);
        self.points = 0;
        self.programs.clear();
        let mut profiles: HashMap<(u32, u32, Measure), Profile> = HashMap::new();
        for (key, held) in stacks {
            let named = naming.stack(key.pid, &key.kernel, &held.frames, held.complete);
            let served = key.token.and_then(|token| context.served(token)).unwrap_or_default();
            let points = held.points.into_iter().map(|point| Point { time: clock.unix(point.time), ..point });
            let sample = Sample {
                stack: named,
                points: points.collect(),
                thread: key.tid,
                thread_name: held.comm,
                link: served.link,
                attributes: served.attributes,
            };
            let profile = profiles.entry((key.pid, key.program, key.measure)).or_insert_with(|| Profile {
                id: fastrand::u128(1..).to_be_bytes(),
                resource: context.resource(key.pid),
                measure: key.measure,
                start: stretch.start,
                duration: stretch.end.saturating_sub(stretch.start).max(1),
                period: if key.measure == Measure::Cpu { stretch.period } else { 0 },
                samples: Vec::new(),
            });
            profile.samples.push(sample);
        }
        let mut all: Vec<Profile> = profiles.into_values().collect();
        for profile in &mut all {
            merge(&mut profile.samples);
        }
        all.sort_by_key(|profile| std::cmp::Reverse(profile.samples.iter().map(Sample::value).sum::<u64>()));
        all
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stacks.is_empty()
    }
}

/// What makes samples one, but for their attributes.
type Identity = (u32, Arc<str>, Option<(TraceId, SpanId)>, super::named::Stack);

/// Stacks that differ in addresses alone have the same names: one sample for each identity, in a fixed order.
fn merge(samples: &mut Vec<Sample>) {
    let same = |a: &Sample, b: &Sample| {
        a.thread == b.thread
            && a.thread_name == b.thread_name
            && a.link == b.link
            && a.stack == b.stack
            && a.attributes == b.attributes
    };
    samples.sort_by(|a, b| {
        a.thread
            .cmp(&b.thread)
            .then_with(|| a.points.first().map(|p| p.time).cmp(&b.points.first().map(|p| p.time)))
    });
    let mut first: HashMap<Identity, Vec<usize>, RandomState> = HashMap::default();
    let mut merged: Vec<Sample> = Vec::with_capacity(samples.len());
    for sample in samples.drain(..) {
        let identity = (sample.thread, Arc::clone(&sample.thread_name), sample.link, sample.stack.clone());
        let candidates = first.entry(identity).or_default();
        match candidates.iter().copied().find(|&index| same(&merged[index], &sample)) {
            Some(index) => merged[index].points.extend(sample.points),
            None => {
                candidates.push(merged.len());
                merged.push(sample);
            }
        }
    }
    for sample in &mut merged {
        sample.points.sort_unstable_by_key(|point| point.time);
    }
    *samples = merged;
}
