//! Samples beside the requests: each waits a moment until it is known which request its thread worked for.

use std::{
    collections::VecDeque,
    iter,
    time::{Duration, Instant},
};

use anyhow::Result;
use honeyguide_protocols::Actor;

use super::who::Who;
use crate::{
    clock,
    config::Settings,
    decode::{ProcessEvent, ProcessRecord},
    engine::Engine,
    load::{Arena, Interpreters},
    profile::{
        Drain, DrainCounters, Keeper, KeeperCounters,
        gather::Gather,
        model::{Consumer, Sample},
        serving::{Asked, Found, PATIENCE, Served},
        wanted::Wanted,
    },
    ring::Ring,
};

/// Nobody waits for a sample.
const POLL: Duration = Duration::from_millis(50);
/// Nor for what it belongs to; to find it takes all requests of the last moments, however few samples there are.
const DECIDE: Duration = Duration::from_millis(500);
/// Samples that wait to be given to a request; the oldest goes without when there are more.
const WAITING: usize = 65_536;
/// A request that takes longer gets its samples no more.
const LONGEST: u64 = 30_000_000_000;

pub(super) struct Sampler {
    drain: Drain,
    keeper: Keeper,
    waiting: Waiting,
    /// Those of other requests, and of none, are left out.
    wanted: Option<Wanted>,
    polled: Instant,
    decided: Instant,
    /// What was decided, until it is taken.
    pub(super) gather: Gather,
    pub(super) counters: ServedCounters,
}

/// Samples by age.
#[derive(Default)]
struct Waiting {
    samples: VecDeque<Sample>,
    gone: Vec<u32>,
}

/// How many samples belong to a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ServedCounters {
    pub(super) samples: u64,
    pub(super) served: u64,
    /// Of them those that are wanted.
    pub(super) kept: u64,
}

impl Sampler {
    pub(super) fn start(
        (samples, arena, interpreters): (Ring, Arena, Interpreters),
        (settings, who): (&Settings, &Who),
        wanted: Option<Wanted>,
    ) -> Result<Self> {
        let keeper = Keeper::start(arena, interpreters, who.proc.clone())?;
        // A server that has nothing to do is not sampled before its first request.
        if !settings.select.is_everything() {
            keeper.expect(&who.selected());
        }
        Ok(Self {
            drain: Drain::new(samples, settings.profile.hz, who.proc.clone()),
            keeper,
            waiting: Waiting::default(),
            wanted,
            polled: Instant::now(),
            decided: Instant::now(),
            gather: Gather::default(),
            counters: ServedCounters::default(),
        })
    }

    pub(super) fn handle_process(&mut self, process: &ProcessRecord) {
        if matches!(process.event, ProcessEvent::Exec | ProcessEvent::Exit) {
            self.keeper.forget(process.pid);
            self.waiting.gone.push(process.pid);
        }
    }

    /// Takes what was sampled, and gives what is old enough to its requests. `now` is on the records' clock.
    pub(super) fn poll(&mut self, now: u64, engine: &mut Engine) {
        if self.polled.elapsed() < POLL {
            return;
        }
        self.polled = Instant::now();
        self.drain.poll(&self.keeper, &mut self.waiting);
        if self.decided.elapsed() >= DECIDE {
            self.decided = Instant::now();
            self.decide(now, engine);
        }
    }

    /// The last samples; none waits any longer.
    pub(super) fn finish(&mut self, engine: &mut Engine) {
        self.drain.finish(&self.keeper, &mut self.waiting);
        self.decide(u64::MAX, engine);
    }

    /// Nanoseconds between two samples of a CPU.
    pub(super) fn period(&self) -> u64 {
        self.drain.period()
    }

    pub(super) fn stacks(&self) -> (DrainCounters, KeeperCounters) {
        (self.drain.counters, self.keeper.counters())
    }

    /// Gives samples that are old enough to their requests.
    fn decide(&mut self, now: u64, engine: &mut Engine) {
        let samples = &mut self.waiting.samples;
        let last = now == u64::MAX;
        let old = samples.iter().take_while(|sample| last || sample.time + PATIENCE <= now).count();
        let surplus = samples.len().saturating_sub(WAITING);
        let samples: Vec<Sample> = samples.drain(..old.max(surplus)).collect();
        let asked: Vec<Asked> = samples.iter().map(asked).collect();
        let found = engine.serving.as_ref().map(|serving| serving.find(&asked)).unwrap_or_default();
        let found = found.into_iter().chain(iter::repeat(Found::Nothing));
        let mut again = VecDeque::new();
        for (place, (sample, found)) in samples.into_iter().zip(found).enumerate() {
            let served = match found {
                Found::NotYet if !last && place >= surplus && sample.time + LONGEST > now => {
                    again.push_back(sample);
                    continue;
                }
                Found::NotYet | Found::Nothing => None,
                Found::Served(served) => Some(served),
            };
            self.counters.samples += 1;
            self.counters.served += u64::from(served.is_some());
            if self.is_wanted(served.as_ref()) {
                self.counters.kept += 1;
                self.gather.add(sample, served);
            }
        }
        // Older than what is left: they are looked at first the next time.
        again.append(&mut self.waiting.samples);
        self.waiting.samples = again;
        for pid in self.waiting.gone.drain(..) {
            self.gather.forget(pid);
        }
        if let Some(serving) = &mut engine.serving {
            serving.forget(now.min(clock::monotonic()));
        }
    }

    fn is_wanted(&self, served: Option<&Served>) -> bool {
        match &self.wanted {
            None => true,
            Some(wanted) => served.is_some_and(|served| wanted.has(served)),
        }
    }
}

fn asked(sample: &Sample) -> Asked {
    let runner = Actor { pid: sample.pid, tid: sample.tid, context: sample.context };
    Asked { runner, moves: sample.moves, times: sample.times() }
}

impl Consumer for Waiting {
    fn sample(&mut self, sample: Sample) {
        self.samples.push_back(sample);
    }
}
