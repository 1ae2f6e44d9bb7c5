//! `flame`: the sampler alone, for a while.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use honeyguide_common::{Failure, interpreter::Walked, sample::Outcome};
use honeyguide_symbolizer::names;
use log::warn;

use super::{status, who::Who};
use crate::{
    clock::{self, Clock},
    config::Settings,
    decode::{ProcessEvent, Record, decode},
    engine::Processes as _,
    flame::{self, Caption, Format, Summary as Top},
    load::{Control, Profiler, ProfilerSettings},
    profile::{
        Drain, DrainCounters, Keeper, KeeperCounters,
        gather::{Gather, Stretch},
        model::Consumer,
        named::Profile,
        naming::Naming,
    },
    ring::Ring,
};

/// Nobody waits for a sample: the ring holds many seconds of them.
const POLL: Duration = Duration::from_millis(50);
/// The tables of the processes that are there are made before the first sample, in so long at most.
const PREPARATION: Duration = Duration::from_secs(10);
const RING: u32 = 4 << 20;
const TABLES: u64 = 64 << 20;
/// How often processes are scanned for what no event told.
const HOUSEKEEPING: Duration = Duration::from_secs(5);
/// What `flame` is asked for, beside the selection and the duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlameSettings {
    /// Samples a second and CPU.
    pub hz: u32,
    pub output: PathBuf,
    pub format: Format,
    /// Inlined functions and source lines, from debug information.
    pub inlines: bool,
}

pub(super) fn flame(settings: &Settings, flame: &FlameSettings) -> Result<()> {
    // Before anything is sampled for nothing.
    let cannot_write = || format!("cannot write {}", flame.output.display());
    let file = File::create(&flame.output).with_context(cannot_write)?;
    let mut recording = Recording::start(settings, flame.hz)?;
    let mut gather = Gather::default();
    let start = clock::now();
    recording.record(settings, &mut gather)?;
    let end = clock::now();
    let lost = gather.dropped;
    let profiles =
        recording.name(&mut gather, flame, Stretch { start, end, period: recording.drain.period() });
    let graph = flame::graph(&profiles);
    let caption = caption(settings, flame, &profiles, end - start);
    let mut out = BufWriter::new(file);
    flame::write(flame.format, &profiles, &graph, &caption, &mut out)
        .and_then(|()| out.flush())
        .with_context(cannot_write)?;
    recording.tell(flame, lost, &Top::of(&graph, caption.unit));
    ensure!(recording.drain.counters.samples > 0, "nothing of what was selected ran while it was sampled");
    Ok(())
}

/// "postgres, 10.0 s at 99 Hz".
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
    flame::caption(format!("{what}, {seconds:.1} s at {} Hz", flame.hz))
}

struct Recording {
    profiler: Profiler,
    processes: Ring,
    drain: Drain,
    keeper: Keeper,
    control: Control,
    who: Who,
    stop: Arc<AtomicBool>,
}

impl Recording {
    fn start(settings: &Settings, hz: u32) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
            signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        let select_all = settings.select.is_everything();
        let mut profiler = Profiler::load(ProfilerSettings {
            hz,
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
        let event = profiler.start()?;
        // Tests and scripts wait for this line.
        let drain = Drain::new(samples, hz, who.proc.clone());
        status(format_args!("ready, sampling at {hz} Hz by {event}"));
        Ok(Self { profiler, processes, drain, keeper, control, who, stop })
    }

    fn record(&mut self, settings: &Settings, consumer: &mut impl Consumer) -> Result<()> {
        let (begun, mut kept) = (Instant::now(), Instant::now());
        loop {
            let over = settings.duration.is_some_and(|duration| begun.elapsed() >= duration);
            if self.stop.load(Relaxed) || over || self.who.is_everyone_gone(settings) {
                break;
            }
            thread::sleep(POLL);
            self.follow_processes(consumer);
            self.drain.poll(&self.keeper, consumer);
            if kept.elapsed() >= HOUSEKEEPING {
                kept = Instant::now();
                self.who.scan(&mut self.control);
            }
        }
        self.profiler.stop();
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

    fn name(&mut self, gather: &mut Gather, flame: &FlameSettings, stretch: Stretch) -> Vec<Profile> {
        let names = names::Settings { inlines: flame.inlines, ..names::Settings::default() };
        let mut naming = Naming::new(self.who.proc.clone(), names);
        gather.take(|pid| self.who.resource(pid), Clock::measure(), stretch).name(&mut naming)
    }

    fn tell(&self, flame: &FlameSettings, dropped: u64, top: &Top) {
        let counters = self.drain.counters;
        status(format_args!("{}", Summary { counters, keeper: self.keeper.counters() }));
        let lost = self.control.failures()[Failure::RingFullSample as usize];
        if lost + dropped + counters.malformed > 0 {
            status(format_args!(
                "lost: {lost} samples for want of room in the ring, {dropped} beyond what is held, {} malformed",
                counters.malformed
            ));
        }
        for line in top.to_string().lines() {
            status(format_args!("{line}"));
        }
        status(format_args!("written to {}", flame.output.display()));
    }
}

/// What came of it, in two lines.
struct Summary {
    counters: DrainCounters,
    keeper: KeeperCounters,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { counters, keeper } = self;
        let share = 100.0 * counters.complete() as f64 / counters.samples.max(1) as f64;
        write!(f, "{} samples, {share:.1} % with complete stacks", counters.samples)?;
        let causes = Outcome::ALL.iter().zip(counters.outcomes);
        for (outcome, count) in causes.filter(|(outcome, count)| !outcome.is_complete() && *count > 0) {
            write!(f, ", {} {count}", outcome.name())?;
        }
        let tables = keeper.tables;
        write!(
            f,
            "; {} unwind tables of {} rows in {} KiB for {} processes",
            tables.compiled,
            tables.rows,
            keeper.table_bytes >> 10,
            keeper.processes
        )?;
        let interpreted: u64 = counters.walked[Walked::Complete as usize..].iter().sum();
        if interpreted == 0 {
            return Ok(());
        }
        write!(f, "; {interpreted} samples of interpreters")?;
        let ends = Walked::ALL.iter().zip(counters.walked).skip(1);
        for (walked, count) in ends.filter(|(_, count)| *count > 0) {
            write!(f, ", {} {count}", walked.name())?;
        }
        if counters.unread > 0 {
            write!(f, ", {} frames not read", counters.unread)?;
        }
        Ok(())
    }
}
