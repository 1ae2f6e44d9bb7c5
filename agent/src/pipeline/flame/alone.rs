//! The sampler alone, with nothing traced.

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use log::warn;

use super::{
    super::{status, who::Who},
    FlameSettings, name,
    progress::Progress,
    tell, title, write,
};
use crate::{
    clock::{self, Clock},
    config::Settings,
    decode::{ProcessEvent, Record, decode},
    flame::{self, Caption},
    load::{Control, Profiler, ProfilerSettings, Sampling},
    profile::{
        Drain, DrainCounters, Keeper,
        gather::{Gather, Stretch},
        model::{self, Consumer},
        named::Profile,
    },
    ring::Ring,
};

/// Nobody waits for a sample: the ring holds many seconds of them. But a process that is new is not unwound before its
/// first one was seen.
const POLL: Duration = Duration::from_millis(20);
/// The tables of the processes that are there are made before the first sample, in so long at most.
const PREPARATION: Duration = Duration::from_secs(10);
/// Where nobody was named, those that are busy are met in a rehearsal of so long.
const REHEARSAL: Duration = Duration::from_secs(1);
const RING: u32 = 4 << 20;
const TABLES: u64 = 64 << 20;
/// How often processes are scanned for what no event told.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

pub(super) fn flame(settings: &Settings, flame: &FlameSettings, file: File) -> Result<()> {
    let mut recording = Recording::start(settings, flame.sampling)?;
    let mut gather = Gather::default();
    recording.record(settings, &mut gather)?;
    let end = clock::now();
    let lost = gather.dropped;
    let start = recording.begun;
    let stretch = Stretch { start, end, period: recording.drain.period() };
    let profiles = name(&mut gather, &mut recording.who, Clock::measure(), flame, stretch);
    let graph = flame::graph(&profiles);
    let caption = caption(settings, flame, &profiles, end - start);
    write(flame, file, &profiles, &graph, &caption)?;
    let counters = recording.drain.counters;
    tell(
        flame,
        (counters, recording.keeper.counters()),
        (&recording.control.failures(), lost),
        &profiles,
        &flame::Summary::of(&graph, caption.unit),
    );
    ensure!(
        counters.samples > 0,
        "{}",
        match flame.sampling {
            Sampling::OnCpu { .. } => "nothing of what was selected ran while it was sampled",
            Sampling::OffCpu { .. } => "nothing of what was selected was blocked for so long",
        }
    );
    Ok(())
}

/// Who was recorded, and how.
fn caption(settings: &Settings, flame: &FlameSettings, profiles: &[Profile], nanoseconds: u64) -> Caption {
    let mut services: Vec<&str> = profiles.iter().map(|profile| profile.resource.service()).collect();
    services.dedup();
    let what = match services.as_slice() {
        [] => "nothing".to_owned(),
        _ if settings.select.is_everything() => "this host".to_owned(),
        [one] => (*one).to_owned(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    };
    let seconds = nanoseconds as f64 / 1e9;
    flame::caption(title(&what, seconds, flame.sampling))
}

struct Recording {
    profiler: Profiler,
    processes: Ring,
    drain: Drain,
    keeper: Keeper,
    control: Control,
    who: Who,
    stop: Arc<AtomicBool>,
    /// No sample that counts is older: nanoseconds since the Unix epoch.
    begun: u64,
}

impl Recording {
    fn start(settings: &Settings, sampling: Sampling) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
            signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        let select_all = settings.select.is_everything();
        let mut profiler = Profiler::load(ProfilerSettings {
            sampling,
            select_all,
            ring_bytes: RING,
            table_bytes: TABLES,
            kernel_log: settings.log,
        })?;
        for missing in &profiler.missing {
            warn!("without {missing}");
        }
        let mut who = Who::new(settings);
        let mut control = profiler.take_control()?;
        who.select(settings, &mut control)?;
        let keeper = Keeper::start(profiler.take_arena()?, profiler.take_interpreters()?, who.proc.clone())?;
        if !select_all {
            keeper.prepare(&who.watched(), PREPARATION);
        }
        let (processes, samples) = (profiler.take_processes()?, profiler.take_samples()?);
        let begun = clock::now();
        let event = profiler.start()?;
        let drain = Drain::new(samples, sampling.hz(), who.proc.clone());
        let mut all = Self { profiler, processes, drain, keeper, control, who, stop, begun };
        // What is blocked is left out: a wait that had begun before would be told in full.
        if select_all && sampling.hz().is_some() {
            all.rehearse();
        }
        let recording = match sampling {
            Sampling::OnCpu { .. } => "sampling",
            Sampling::OffCpu { .. } => "recording what is",
        };
        // Tests and scripts wait for this line.
        status(format_args!("ready, {recording} {sampling} by {event}"));
        Ok(all)
    }

    /// Samples for nobody, and makes the tables of those that were met: else the first stacks of every process, the
    /// better part of a short recording's on a busy host, would be walked without.
    fn rehearse(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < REHEARSAL && !self.stop.load(Relaxed) {
            thread::sleep(POLL);
            self.follow_processes(&mut Nobody);
            self.drain.poll(&self.keeper, &mut Nobody);
        }
        self.keeper.settle(PREPARATION);
        self.begun = clock::now();
        self.drain.finish(&self.keeper, &mut Nobody);
        self.drain.counters = DrainCounters::default();
    }

    fn record(&mut self, settings: &Settings, consumer: &mut impl Consumer) -> Result<()> {
        let (begun, mut kept) = (Instant::now(), Instant::now());
        let mut progress = Progress::new(settings.duration);
        loop {
            let over = settings.duration.is_some_and(|duration| begun.elapsed() >= duration);
            if self.stop.load(Relaxed) || over || self.who.is_everyone_gone(settings) {
                break;
            }
            thread::sleep(POLL);
            self.follow_processes(consumer);
            self.drain.poll(&self.keeper, consumer);
            progress.show(self.drain.counters.samples);
            if kept.elapsed() >= HOUSEKEEPING {
                kept = Instant::now();
                self.who.scan(&mut self.control);
            }
        }
        drop(progress);
        self.profiler.stop();
        for record in self.profiler.still_blocked(clock::monotonic()) {
            self.drain.add(&record);
        }
        self.drain.finish(&self.keeper, consumer);
        Ok(())
    }

    fn follow_processes(&mut self, consumer: &mut impl Consumer) {
        let (who, control, keeper) = (&mut self.who, &mut self.control, &self.keeper);
        self.processes.drain(usize::MAX, |bytes| {
            if let Ok(Record::Process(process)) = decode(bytes) {
                if matches!(process.event, ProcessEvent::Exec | ProcessEvent::Exit) {
                    keeper.forget(process.pid);
                    consumer.forget(process.pid);
                }
                who.handle_process(&process, control);
            }
        });
    }
}

/// Wants nothing.
struct Nobody;

impl Consumer for Nobody {
    fn sample(&mut self, _: model::Sample) {}
}
