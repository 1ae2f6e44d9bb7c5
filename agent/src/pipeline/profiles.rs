//! Profiles beside the requests: what was sampled for a while is named on a thread of its own, and exported.

use std::{
    sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use honeyguide_symbolizer::names;
use log::warn;

use super::{
    sampler::{Sampler, ServedCounters},
    tracer::Steering,
    who::Who,
};
use crate::{
    clock,
    config::Settings,
    decode::ProcessRecord,
    discover::ProcRoot,
    engine::{Engine, Processes as _},
    load::{Arena, Interpreters},
    profile::{
        gather::{Gathered, Stretch},
        named::Profile,
        naming::Naming,
    },
    ring::Ring,
};

/// Profiles on their way to be named.
const QUEUE: usize = 2;

pub(super) struct Profiles {
    sampler: Sampler,
    interval: Duration,
    exported: Instant,
    /// When the profile under way began, since the Unix epoch.
    start: u64,
    naming: SyncSender<Gathered>,
    named: Receiver<Vec<Profile>>,
    thread: JoinHandle<()>,
}

impl Profiles {
    pub(super) fn start(settings: &Settings, taken: (Ring, Arena, Interpreters), who: &Who) -> Result<Self> {
        let sampler = Sampler::start(taken, (settings, who), None)?;
        let (naming, batches) = sync_channel(QUEUE);
        let (done, named) = channel();
        let proc = who.proc.clone();
        let thread = thread::Builder::new()
            .name("profile-names".to_owned())
            .spawn(move || name(&batches, proc, &done))
            .context("no thread for the names of profiles")?;
        Ok(Self {
            sampler,
            interval: settings.profile.interval,
            exported: Instant::now(),
            start: clock::now(),
            naming,
            named,
            thread,
        })
    }

    pub(super) fn handle_process(&mut self, process: &ProcessRecord) {
        self.sampler.handle_process(process);
    }

    /// `now` is on the records' clock. Returns profiles that are ready.
    pub(super) fn poll(&mut self, now: u64, engine: &mut Engine, steering: &mut Steering) -> Vec<Profile> {
        self.sampler.poll(now, engine);
        if self.exported.elapsed() >= self.interval {
            self.export(steering);
        }
        self.named.try_iter().flatten().collect()
    }

    /// The last profile, of what was sampled until now.
    pub(super) fn finish(mut self, engine: &mut Engine, steering: &mut Steering) -> Vec<Profile> {
        self.sampler.finish(engine);
        self.export(steering);
        let ServedCounters { samples, served, .. } = self.sampler.counters;
        log::info!("{samples} samples, {served} of them within a request");
        drop(self.naming);
        if self.thread.join().is_err() {
            warn!("the last profile was not named");
        }
        self.named.try_iter().flatten().collect()
    }

    fn export(&mut self, steering: &mut Steering) {
        self.exported = Instant::now();
        let end = clock::now();
        let stretch = Stretch { start: self.start, end, period: self.sampler.period() };
        self.start = end;
        if self.sampler.gather.is_empty() {
            return;
        }
        let gathered = self.sampler.gather.take(|pid| steering.who.resource(pid), steering.clock, stretch);
        match self.naming.try_send(gathered) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => warn!("a profile is dropped: the ones before it are not named yet"),
            Err(TrySendError::Disconnected(_)) => warn!("a profile is dropped: nobody names it"),
        }
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
