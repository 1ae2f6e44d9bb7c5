//! The running kernel as the source.

use std::{path::Path, sync::Arc, time::Duration, time::Instant};

use anyhow::{Context as _, Result};

use super::{
    profiles::Profiles,
    status,
    tracer::{Sink, Steering, Tracer},
    wiring,
};
use crate::{
    clock,
    config::Settings,
    decode::{Record, decode},
    engine::{Engine, Processes as _},
    export::{Exporters, counters::ExportCounters},
    recording::Writer,
    resource::Resource,
    span::id::IdGenerator,
    telemetry::Account,
};

/// What is queued at the end may take this long to leave.
const FLUSH: Duration = Duration::from_secs(5);

pub(super) fn run(settings: &Settings) -> Result<()> {
    let counters = ExportCounters::default();
    let exporters = Exporters::start(settings.export.clone(), &counters)?;
    let mut tracer = Tracer::start(settings)?;
    let profiles = match settings.profile.is_on() {
        true => {
            let taken = tracer.take_samples(&settings.profile)?;
            Some(Profiles::start(settings, taken, &tracer.steering.who)?)
        }
        false => None,
    };
    let steering = &tracer.steering;
    let start = steering.clock.unix(clock::monotonic());
    let own = steering.who.resources.agent(std::process::id(), &settings.resource.agent_service_name);
    let mut signals = Signals {
        engine: Engine::new(wiring::engine(settings), IdGenerator::from_os(), steering.clock, start)?,
        exporters,
        counters,
        own: Arc::new(own),
        start,
        started: Instant::now(),
        interval: settings.metrics.interval,
        collected: Instant::now(),
        malformed: 0,
        profiles,
    };
    tracer.drain(settings, &mut signals)?;

    let now = clock::monotonic();
    signals.engine.close(now, &mut tracer.steering.who);
    signals.exporters.spans(signals.engine.take_spans());
    if let Some(profiles) = signals.profiles.take() {
        signals.exporters.profiles(profiles.finish(&mut signals.engine, &mut tracer.steering));
    }
    signals.collect(now, tracer.ring(), &tracer.steering);
    let mut account = signals.account(tracer.ring(), &tracer.steering);
    account.elapsed = tracer.elapsed();
    // The probes come off before the last export: however long that takes, nobody is traced meanwhile.
    drop(tracer);
    account.export = signals.exporters.shutdown(FLUSH).destinations;
    status(format_args!("{account}"));
    Ok(())
}

pub(super) fn record(settings: &Settings, path: &Path, mask: bool) -> Result<()> {
    let mut tracer = Tracer::start(settings)?;
    let writer = Writer::create(path, tracer.steering.clock, clock::monotonic(), mask)?;
    let mut file = FileSink { writer, path };
    tracer.drain(settings, &mut file)?;
    let failures = tracer.steering.control.failures();
    let losses = file.writer.losses();
    let records = file.writer.finish(&failures).with_context(|| cannot_write(path))?;
    status(format_args!("{records} records in {}{losses}", path.display()));
    Ok(())
}

/// Records become signals, and signals leave.
struct Signals {
    engine: Engine,
    exporters: Exporters,
    counters: ExportCounters,
    own: Arc<Resource>,
    /// Nanoseconds since the Unix epoch.
    start: u64,
    started: Instant,
    interval: Duration,
    collected: Instant,
    malformed: u64,
    profiles: Option<Profiles>,
}

impl Sink for Signals {
    fn record(&mut self, bytes: &[u8], steering: &mut Steering) -> Result<()> {
        match decode(bytes) {
            Ok(record) => {
                if let Record::Process(process) = &record {
                    steering.who.handle_process(process, &mut steering.control);
                    if let Some(profiles) = &mut self.profiles {
                        profiles.handle_process(process);
                    }
                }
                self.engine.handle(record, &mut steering.who);
            }
            Err(_) => self.malformed += 1,
        }
        Ok(())
    }

    fn round(&mut self, now: u64, ring: u64, steering: &mut Steering) -> Result<()> {
        self.engine.set_clock(steering.clock);
        self.engine.handle_time(now, &mut steering.who);
        for (socket, word) in self.engine.flows.take_verdicts() {
            steering.control.judge(socket, word);
        }
        self.exporters.spans(self.engine.take_spans());
        if let Some(profiles) = &mut self.profiles {
            let ready = profiles.poll(now, &mut self.engine, steering);
            self.exporters.profiles(ready);
        }
        if steering.housekeeping {
            let proc = &steering.who.proc;
            self.engine.flows.sweep(now, |pid| proc.exists(pid));
        }
        if self.collected.elapsed() >= self.interval {
            self.collected = Instant::now();
            self.collect(clock::monotonic(), ring, steering);
        }
        Ok(())
    }
}

impl Signals {
    /// Hands the metrics over: those of the traced processes, and the agent's own.
    fn collect(&mut self, now: u64, ring: u64, steering: &Steering) {
        let now = steering.clock.unix(now);
        let account = self.account(ring, steering);
        self.exporters.metrics(self.engine.collect(now));
        self.exporters.metrics(vec![account.metrics(Arc::clone(&self.own), self.start, now)]);
    }

    fn account(&self, ring: u64, steering: &Steering) -> Account {
        Account {
            elapsed: self.started.elapsed(),
            malformed: self.malformed,
            failures: steering.control.failures(),
            ring: (steering.control.high_water(), ring),
            processes: steering.who.counters(),
            tls: steering.tls,
            runtimes: steering.runtimes,
            headers: steering.headers,
            options: steering.options,
            export: self.counters.snapshot(),
            ..Account::of(&self.engine)
        }
    }
}

/// Records go into a file as they are.
struct FileSink<'a> {
    writer: Writer,
    path: &'a Path,
}

impl Sink for FileSink<'_> {
    fn record(&mut self, bytes: &[u8], steering: &mut Steering) -> Result<()> {
        if let Ok(Record::Process(process)) = decode(bytes) {
            steering.who.handle_process(&process, &mut steering.control);
        }
        self.writer.record(bytes, |pid| steering.who.resource(pid)).with_context(|| cannot_write(self.path))
    }

    fn round(&mut self, _now: u64, _ring: u64, _steering: &mut Steering) -> Result<()> {
        Ok(())
    }
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}
