//! A recording in place of the kernel.

use std::{collections::HashMap, path::Path, sync::Arc, thread, time::Duration};

use anyhow::Result;
use log::warn;

use super::{status, wiring};
use crate::{
    config::Settings,
    decode::{Record, decode},
    engine::{Engine, Processes},
    export::{Exporters, counters::ExportCounters},
    recording::{Frame, Reader},
    resource::Resource,
    span::id::IdGenerator,
    telemetry::Account,
};

/// Fixed, so that the same recording gives the same ids.
const SEED: u64 = 0x686f_6e65_7967_7569;
/// Spans handed over at once, and how long the exporters may take at the end: nothing is lost for haste.
const BATCH: usize = 512;
const PATIENCE: Duration = Duration::from_secs(60);
/// Spans a destination may have waiting before the next are handed over.
const QUEUED: u64 = 8_192;

pub(super) fn replay(settings: &Settings, path: &Path) -> Result<()> {
    let mut reader = Reader::open(path)?;
    let counters = ExportCounters::default();
    let exporters = Exporters::start(settings.export.clone(), &counters)?;
    let clock = reader.clock;
    let start = clock.unix(reader.start);
    let mut engine = Engine::new(wiring::engine(settings), IdGenerator::seeded(SEED), clock, start)?;
    let mut processes = Recorded::default();
    let mut account = Account::default();
    let mut now = reader.start;
    while let Some(frame) = reader.next_frame()? {
        match frame {
            Frame::Process { pid, resource } => {
                processes.known.insert(pid, Arc::new(resource));
            }
            Frame::Lost(counts) => {
                for (slot, count) in account.failures.iter_mut().zip(counts) {
                    *slot = count;
                }
            }
            Frame::Record(bytes) => match decode(bytes) {
                Ok(record) => {
                    now = now.max(time_of(&record));
                    engine.handle(record, &mut processes);
                    engine.handle_time(now, &mut processes);
                }
                Err(_) => account.malformed += 1,
            },
        }
        hand_over(&mut engine, &exporters, &counters, BATCH);
    }
    if reader.truncated {
        warn!("the recording ends in the middle of a frame; what came before it was read");
    }
    engine.close(now, &mut processes);
    hand_over(&mut engine, &exporters, &counters, 1);
    exporters.metrics(engine.collect(clock.unix(now)));
    let failures = account.failures;
    let malformed = account.malformed;
    account = Account::of(&engine);
    (account.failures, account.malformed) = (failures, malformed);
    account.elapsed = Duration::from_nanos(now - reader.start);
    account.export = exporters.shutdown(PATIENCE).destinations;
    status(format_args!("{account}"));
    Ok(())
}

/// A file is read faster than any peer takes it, so this source can wait and loses nothing.
fn hand_over(engine: &mut Engine, exporters: &Exporters, counters: &ExportCounters, least: usize) {
    if engine.waiting() < least {
        return;
    }
    while counters.snapshot().iter().any(|destination| destination.traces.pending > QUEUED) {
        thread::sleep(Duration::from_millis(1));
    }
    exporters.spans(engine.take_spans());
}

fn time_of(record: &Record<'_>) -> u64 {
    match record {
        Record::Data(data) => data.stamp.time,
        Record::Connection(connection) => connection.time,
        Record::State(state) => state.time,
        Record::Times(times) => times.time,
        Record::Task(task) => task.time,
        Record::Bind(bind) => bind.time,
        Record::Process(process) => process.time,
    }
}

/// Processes as the recording describes them.
#[derive(Default)]
struct Recorded {
    known: HashMap<u32, Arc<Resource>>,
    unknown: Arc<Resource>,
}

impl Processes for Recorded {
    fn resource(&mut self, pid: u32) -> Arc<Resource> {
        Arc::clone(self.known.get(&pid).unwrap_or(&self.unknown))
    }
}
