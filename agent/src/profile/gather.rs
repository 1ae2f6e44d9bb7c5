//! Samples added up: equal stacks of one thread for one request become one, until they are asked for.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use foldhash::fast::RandomState;
use honeyguide_common::interpreter::Walked;

use super::{
    model::{self, Consumer, Frame, Interpreted, Measure, Place},
    named::{Point, Profile, Sample, Stack},
    naming::{self, Naming},
    serving::Served,
    wait::{self, Wait},
};
use crate::{attribute::Attributes, clock::Clock, resource::Resource};

/// Different stacks that are held; what comes beyond them is counted.
const MAX_STACKS: usize = 65_536;
/// Points of all stacks together: an hour of 99 Hz on ten CPUs.
const MAX_POINTS: usize = 4_000_000;

/// Samples since they were last taken.
#[derive(Debug, Default)]
pub struct Gather {
    stacks: Stacks,
    /// How often each process has become another program: its addresses mean something else since.
    programs: HashMap<u32, u32, RandomState>,
    points: usize,
    /// Samples that found no place.
    pub dropped: u64,
}

type Stacks = HashMap<Key, Held, RandomState>;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    pid: u32,
    tid: u32,
    program: u32,
    measure: Measure,
    served: Option<Served>,
    kernel: Box<[u64]>,
    user: Box<[u64]>,
    /// By where locations are, which the sample that came first keeps there.
    interpreted: Box<[(usize, Place)]>,
}

#[derive(Debug)]
struct Held {
    comm: Arc<str>,
    frames: Vec<Frame>,
    interpreted: Vec<Interpreted>,
    complete: bool,
    interpreted_complete: bool,
    /// Times on the kernel's clock.
    points: Vec<Point>,
}

/// What was gathered, on its way to be named.
#[derive(Debug)]
pub struct Gathered {
    stacks: Stacks,
    resources: HashMap<u32, Arc<Resource>, RandomState>,
    clock: Clock,
    stretch: Stretch,
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
        self.add(sample, None);
    }

    fn forget(&mut self, pid: u32) {
        *self.programs.entry(pid).or_default() += 1;
    }
}

impl Gather {
    /// A sample, and the request that its thread was working for.
    pub fn add(&mut self, sample: model::Sample, served: Option<Served>) {
        let program = self.programs.get(&sample.pid).copied().unwrap_or(0);
        let key = Key {
            pid: sample.pid,
            tid: sample.tid,
            program,
            measure: sample.measure,
            served,
            kernel: sample.kernel.into(),
            user: sample.user.iter().map(|frame| frame.address).collect(),
            interpreted: sample.interpreted.iter().map(identity).collect(),
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
                    interpreted: sample.interpreted,
                    complete: sample.outcome.is_complete(),
                    interpreted_complete: sample.walked == Walked::Complete,
                    points: vec![point],
                });
                self.points += 1;
            }
        }
    }

    /// What was gathered, and who each process is; begins anew.
    pub fn take(
        &mut self,
        mut resource: impl FnMut(u32) -> Arc<Resource>,
        clock: Clock,
        stretch: Stretch,
    ) -> Gathered {
        let stacks = std::mem::take(&mut self.stacks);
        self.points = 0;
        self.programs.clear();
        let mut resources = HashMap::default();
        for key in stacks.keys() {
            resources.entry(key.pid).or_insert_with(|| resource(key.pid));
        }
        Gathered { stacks, resources, clock, stretch }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stacks.is_empty()
    }
}

impl Held {
    fn frames<'a>(&'a self, kernel: &'a [u64]) -> naming::Frames<'a> {
        let Self { frames, interpreted, complete, interpreted_complete, .. } = self;
        naming::Frames {
            kernel,
            user: frames,
            complete: *complete,
            interpreted,
            interpreted_complete: *interpreted_complete,
        }
    }
}

impl Gathered {
    /// A profile for each process and measure, the one of the most time first. Files are read here.
    pub fn name(self, naming: &mut Naming) -> Vec<Profile> {
        let Self { stacks, resources, clock, stretch } = self;
        let mut profiles: HashMap<(u32, u32, Measure), Profile> = HashMap::new();
        for (key, held) in stacks {
            let stack = naming.stack(key.pid, &held.frames(&key.kernel));
            let served = key.served.as_ref();
            let mut attributes = Attributes::default();
            if let Some((name, value)) = served.and_then(|served| served.operation.as_ref()) {
                attributes.set(*name, value.to_string());
            }
            if key.measure == Measure::OffCpu
                && let Some(wait) = Wait::of(&stack)
            {
                attributes.set(wait::ATTRIBUTE, wait.name());
            }
            let points = held.points.into_iter().map(|point| Point { time: clock.unix(point.time), ..point });
            let sample = Sample {
                stack,
                points: points.collect(),
                thread: key.tid,
                thread_name: held.comm,
                link: served.and_then(|served| served.link),
                attributes,
            };
            let profile = profiles.entry((key.pid, key.program, key.measure)).or_insert_with(|| Profile {
                id: fastrand::u128(1..).to_be_bytes(),
                resource: resources.get(&key.pid).cloned().unwrap_or_default(),
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
}

fn identity(frame: &Interpreted) -> (usize, Place) {
    (frame.location.as_ref().map_or(0, |location| Arc::as_ptr(location).addr()), frame.place)
}

/// What makes samples one, but for their attributes.
type Identity = (u32, Arc<str>, Option<(crate::span::TraceId, crate::span::SpanId)>, Stack);

/// Stacks that differ in addresses alone have the same names: one sample for each identity, in the order of time.
fn merge(samples: &mut Vec<Sample>) {
    samples.sort_by_key(|sample| (sample.thread, sample.points.first().map(|point| point.time)));
    let mut known: HashMap<Identity, Vec<usize>, RandomState> = HashMap::default();
    let mut merged: Vec<Sample> = Vec::with_capacity(samples.len());
    for sample in samples.drain(..) {
        let identity = (sample.thread, Arc::clone(&sample.thread_name), sample.link, sample.stack.clone());
        let candidates = known.entry(identity).or_default();
        match candidates.iter().find(|&&index| merged[index].attributes == sample.attributes) {
            Some(&index) => merged[index].points.extend(sample.points),
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
