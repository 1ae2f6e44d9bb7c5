//! CPU samples beside the requests: each waits a moment until it is known which request its thread worked for; what was
//! gathered is named on a thread of its own, and exported.

use std::{
    collections::VecDeque,
    sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use honeyguide_protocols::Actor;
use honeyguide_symbolizer::names;
use log::warn;

use super::{tracer::Steering, who::Who};
use crate::{
    clock,
    config::Settings,
    decode::{ProcessEvent, ProcessRecord},
    discover::ProcRoot,
    engine::{Engine, Processes as _},
    load::{Arena, Interpreters},
    profile::{
        Drain, Keeper,
        gather::{Gather, Gathered, Stretch},
        model::{Consumer, Sample},
        named::Profile,
        naming::Naming,
        serving::{Found, PATIENCE},
    },
    ring::Ring,
};

/// Nobody waits for a sample.
const POLL: Duration = Duration::from_millis(50);
/// Samples that wait to be given to a request; the oldest goes without when there are more.
const WAITING: usize = 65_536;
/// A request that takes longer gets its samples no more.
const LONGEST: u64 = 30_000_000_000;
/// Profiles on their way to be named.
const QUEUE: usize = 2;

pub(super) struct Profiles {
    drain: Drain,
    keeper: Keeper,
    waiting: Waiting,
    gather: Gather,
    interval: Duration,
    polled: Instant,
    exported: Instant,
    /// When the profile under way began, since the Unix epoch.
    start: u64,
    naming: SyncSender<Gathered>,
    named: Receiver<Vec<Profile>>,
    thread: JoinHandle<()>,
}

/// Samples by age.
#[derive(Default)]
struct Waiting {
    samples: VecDeque<Sample>,
    gone: Vec<u32>,
    /// Of all samples, those with a request, and those that waited in vain.
    counters: ServedCounters,
}

/// How many samples belong to a request.
#[derive(Clone, Copy, Debug, Default)]
struct ServedCounters {
    samples: u64,
    served: u64,
}

impl Profiles {
    pub(super) fn start(
        settings: &Settings,
        hz: u32,
        samples: Ring,
        arena: Arena,
        interpreters: Interpreters,
        who: &Who,
    ) -> Result<Self> {
        let keeper = Keeper::start(arena, interpreters, who.proc.clone())?;
        let (naming, batches) = sync_channel(QUEUE);
        let (done, named) = channel();
        let proc = who.proc.clone();
        let thread = thread::Builder::new()
            .name("profile-names".to_owned())
            .spawn(move || name(&batches, proc, &done))
            .context("no thread for the names of profiles")?;
        Ok(Self {
            drain: Drain::new(samples, hz, who.proc.clone()),
            keeper,
            waiting: Waiting::default(),
            gather: Gather::default(),
            interval: settings.profile.interval,
            polled: Instant::now(),
            exported: Instant::now(),
            start: clock::now(),
            naming,
            named,
            thread,
        })
    }

    pub(super) fn handle_process(&mut self, process: &ProcessRecord) {
        if matches!(process.event, ProcessEvent::Exec | ProcessEvent::Exit) {
            self.keeper.forget(process.pid);
            self.waiting.gone.push(process.pid);
        }
    }

    /// `now` is on the records' clock. Returns profiles that are ready.
    pub(super) fn poll(&mut self, now: u64, engine: &mut Engine, steering: &mut Steering) -> Vec<Profile> {
        if self.polled.elapsed() < POLL {
            return Vec::new();
        }
        self.polled = Instant::now();
        self.drain.poll(&self.keeper, &mut self.waiting);
        self.decide(now, engine);
        if self.exported.elapsed() >= self.interval {
            self.export(steering);
        }
        self.named.try_iter().flatten().collect()
    }

    /// The last profile, of what was sampled until now.
    pub(super) fn finish(mut self, engine: &mut Engine, steering: &mut Steering) -> Vec<Profile> {
        self.drain.finish(&self.keeper, &mut self.waiting);
        self.decide(u64::MAX, engine);
        self.export(steering);
        let ServedCounters { samples, served } = self.waiting.counters;
        log::info!("{samples} CPU samples, {served} of them within a request");
        drop(self.naming);
        if self.thread.join().is_err() {
            warn!("the last profile was not named");
        }
        self.named.try_iter().flatten().collect()
    }

    /// Gives samples that are old enough to their requests.
    fn decide(&mut self, now: u64, engine: &mut Engine) {
        let mut again = VecDeque::new();
        while let Some(sample) = self.waiting.samples.pop_front() {
            let full = self.waiting.samples.len() + again.len() >= WAITING;
            if sample.time + PATIENCE > now && !full && now != u64::MAX {
                self.waiting.samples.push_front(sample);
                break;
            }
            let runner = Actor { pid: sample.pid, tid: sample.tid, context: sample.context };
            let found = engine
                .serving
                .as_ref()
                .map_or(Found::Nothing, |serving| serving.find(runner, sample.moves, sample.time));
            let served = match found {
                Found::NotYet if sample.time + LONGEST > now && !full => {
                    again.push_back(sample);
                    continue;
                }
                Found::NotYet | Found::Nothing => None,
                Found::Served(served) => Some(served),
            };
            self.waiting.counters.samples += 1;
            self.waiting.counters.served += u64::from(served.is_some());
            self.gather.add(sample, served);
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

    fn export(&mut self, steering: &mut Steering) {
        self.exported = Instant::now();
        let end = clock::now();
        let stretch = Stretch { start: self.start, end, period: self.drain.period() };
        self.start = end;
        if self.gather.is_empty() {
            return;
        }
        let gathered = self.gather.take(|pid| steering.who.resource(pid), steering.clock, stretch);
        match self.naming.try_send(gathered) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => warn!("a profile is dropped: the ones before it are not named yet"),
            Err(TrySendError::Disconnected(_)) => warn!("a profile is dropped: nobody names it"),
        }
    }
}

impl Consumer for Waiting {
    fn sample(&mut self, sample: Sample) {
        self.samples.push_back(sample);
    }
}

/// Names profiles until there are no more.
fn name(batches: &Receiver<Gathered>, proc: ProcRoot, done: &Sender<Vec<Profile>>) {
    let mut naming = Naming::new(proc, names::Settings::default());
    while let Ok(gathered) = batches.recv() {
        if done.send(gathered.name(&mut naming)).is_err() {
            return;
        }
    }
}
