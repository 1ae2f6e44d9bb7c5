//! A file in place of the kernel: a recording of its records, or a packet capture.

mod capture;
mod recording;

use std::{
    fs::File,
    io::{BufReader, Cursor, Read as _},
    path::Path,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::{status, wiring};
use crate::{
    clock::Clock,
    config::Settings,
    engine::{Engine, Processes},
    export::{Exporters, counters::ExportCounters},
    pcap,
    span::id::IdGenerator,
    telemetry::Account,
};

/// Fixed, so that the same file gives the same ids.
const SEED: u64 = 0x686f_6e65_7967_7569;
/// Spans handed over at once, and how long the exporters may take at the end: nothing is lost for haste.
const BATCH: usize = 512;
const PATIENCE: Duration = Duration::from_secs(60);
/// Spans a destination may have waiting before the next are handed over.
const QUEUED: u64 = 8_192;

pub(super) fn replay(settings: &Settings, path: &Path) -> Result<()> {
    let cannot = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(cannot)?;
    let mut magic = Vec::with_capacity(4);
    file.by_ref().take(4).read_to_end(&mut magic).with_context(cannot)?;
    let is_capture = magic.as_slice().try_into().is_ok_and(pcap::is_capture);
    // Read once: it may be a pipe.
    let source = BufReader::with_capacity(1 << 20, Cursor::new(magic).chain(file));
    if is_capture {
        let reader = pcap::Reader::new(source).with_context(cannot)?;
        return capture::replay(settings, reader).with_context(|| path.display().to_string());
    }
    let reader = crate::recording::Reader::new(source).with_context(|| {
        format!("{} is neither a recording of honeyguide's nor a packet capture", path.display())
    })?;
    recording::replay(settings, reader)
}

/// The stages after the file.
struct Stages {
    engine: Engine,
    exporters: Exporters,
    counters: ExportCounters,
    clock: Clock,
    /// On the records' clock.
    start: u64,
}

impl Stages {
    fn new(settings: &Settings, clock: Clock, start: u64) -> Result<Self> {
        let counters = ExportCounters::default();
        let exporters = Exporters::start(settings.export.clone(), &counters)?;
        let ids = IdGenerator::seeded(SEED);
        let engine = Engine::new(wiring::engine(settings), ids, clock, clock.unix(start))?;
        Ok(Self { engine, exporters, counters, clock, start })
    }

    /// A file is read faster than any peer takes it, so this source can wait and loses nothing.
    fn hand_over(&mut self, least: usize) {
        if self.engine.waiting() < least {
            return;
        }
        while self.counters.snapshot().iter().any(|destination| destination.traces.pending > QUEUED) {
            thread::sleep(Duration::from_millis(1));
        }
        self.exporters.spans(self.engine.take_spans());
    }

    /// The end of the file. `account` has what the engine does not know.
    fn finish(mut self, now: u64, processes: &mut dyn Processes, account: &Account) {
        self.engine.close(now, processes);
        self.hand_over(1);
        self.exporters.metrics(self.engine.collect(self.clock.unix(now)));
        let account = Account {
            failures: account.failures,
            malformed: account.malformed,
            elapsed: Duration::from_nanos(now.saturating_sub(self.start)),
            export: self.exporters.shutdown(PATIENCE).destinations,
            ..Account::of(&self.engine)
        };
        status(format_args!("{account}"));
    }
}
