//! A recording, record after record.

use std::{collections::HashMap, io::Read, sync::Arc};

use anyhow::Result;
use log::warn;

use super::{BATCH, Stages};
use crate::{
    config::Settings,
    decode::{Record, decode},
    engine::Processes,
    recording::{Frame, Reader},
    resource::Resource,
    telemetry::Account,
};

pub(super) fn replay<R: Read>(settings: &Settings, mut reader: Reader<R>) -> Result<()> {
    let mut stages = Stages::new(settings, reader.clock, reader.start)?;
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
                    stages.engine.handle(record, &mut processes);
                    stages.engine.handle_time(now, &mut processes);
                }
                Err(_) => account.malformed += 1,
            },
        }
        stages.hand_over(BATCH);
    }
    if reader.truncated {
        warn!("the recording ends in the middle of a frame; what came before it was read");
    }
    stages.finish(now, &mut processes, &account);
    Ok(())
}

fn time_of(record: &Record<'_>) -> u64 {
    match record {
        Record::Data(data) => data.stamp.time,
        Record::Connection(connection) => connection.time,
        Record::State(state) => state.time,
        Record::Times(times) => times.time,
        Record::Task(task) => task.time,
        Record::Message(message) => message.time,
        Record::Open(open) => open.time,
        Record::Wake(wake) => wake.time,
        Record::Injected(injected) => injected.time,
        Record::Arrived(arrived) => arrived.time,
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
