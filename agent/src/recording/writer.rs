//! Writing a recording.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufWriter, Write as _},
    mem::offset_of,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::Arc,
};

use anyhow::{Context as _, Result};
use honeyguide_common::record::Data;

use super::{
    INSTRUMENTED, LOST, Losses, MAGIC, PROCESS, RECORD, START,
    frames::{Patch, Places},
    mask::Mask,
};
use crate::{
    attribute::Value,
    clock::Clock,
    decode::{self, Record, StateChange},
    resource::Resource,
};

/// What is in front of a frame's body: its length and kind.
const FRAME: u64 = 5;

#[derive(Debug)]
pub struct Writer {
    file: BufWriter<File>,
    /// The resource last written for each process.
    known: HashMap<u32, Arc<Resource>>,
    mask: Option<Mask>,
    scratch: Vec<u8>,
    /// Bytes written so far, and whether they can be overwritten.
    position: u64,
    regular: bool,
    pub records: u64,
}

impl Writer {
    /// `mask`: hide the values of headers and query parameters that hold secrets, and what databases are told and
    /// answer.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn create(path: &Path, clock: Clock, now: u64, mask: bool) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        let mut writer = Self {
            file: BufWriter::with_capacity(1 << 20, file),
            known: HashMap::new(),
            mask: mask.then(Mask::default),
            scratch: Vec::new(),
            position: MAGIC.len() as u64,
            regular,
            records: 0,
        };
        writer.file.write_all(MAGIC)?;
        let mut body = clock.offset().to_le_bytes().to_vec();
        body.extend_from_slice(&now.to_le_bytes());
        writer.frame(START, &body)?;
        Ok(writer)
    }

    /// Writes a record as it came from the ring, and before it who its process is where that is news.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn record(&mut self, bytes: &[u8], resource: impl FnOnce(u32) -> Arc<Resource>) -> io::Result<()> {
        let bytes = decode::meaningful(bytes);
        self.scratch.clear();
        self.scratch.extend_from_slice(bytes);
        let mut patches = Vec::new();
        match decode::decode(bytes) {
            Ok(Record::Data(data)) => {
                let pid = data.stamp.actor.pid;
                self.process(pid, &resource(pid))?;
                let place = self.position + FRAME;
                if let Some(mask) = &mut self.mask {
                    let fixed = bytes.len() - data.bytes.len();
                    let (head, captured) = self.scratch.split_at_mut(fixed);
                    let tail = offset_of!(Data, tail);
                    let places = Places { captured: place + fixed as u64, tail: place + tail as u64 };
                    let tail = &mut head[tail..tail + data.tail_length];
                    patches = mask.operation(&data, captured, tail, places);
                }
            }
            Ok(Record::Connection(connection)) => {
                self.process(connection.pid, &resource(connection.pid))?;
                if let Some(mask) = &mut self.mask {
                    mask.frames.connection(connection);
                }
            }
            Ok(Record::State(state)) => {
                let over = matches!(
                    state.change,
                    StateChange::Closed | StateChange::Abandoned | StateChange::Unobserved
                );
                if let Some(mask) = &mut self.mask {
                    mask.frames.state(&state);
                    if over {
                        mask.forget(state.socket);
                    }
                }
            }
            Ok(Record::Bind(bind)) => {
                if let Some(mask) = &mut self.mask {
                    patches = mask.frames.bind(bind);
                }
            }
            Ok(
                Record::Process(_)
                | Record::Times(_)
                | Record::Task(_)
                | Record::Message(_)
                | Record::Open(_)
                | Record::Wake(_)
                | Record::Injected(_)
                | Record::Arrived(_),
            )
            | Err(_) => {}
        }
        self.patch(patches)?;
        self.records += 1;
        let scratch = std::mem::take(&mut self.scratch);
        let written = self.frame(RECORD, &scratch);
        self.scratch = scratch;
        written
    }

    /// What the masks had no room for.
    #[must_use]
    pub fn losses(&self) -> Losses {
        self.mask.as_ref().map(Mask::losses).unwrap_or_default()
    }

    /// The end of the recording: what the kernel lost meanwhile.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn finish(mut self, failures: &[u64]) -> io::Result<u64> {
        let body: Vec<u8> = failures.iter().flat_map(|count| count.to_le_bytes()).collect();
        self.frame(LOST, &body)?;
        self.file.flush()?;
        Ok(self.records)
    }

    /// Overwrites bytes of the record that is about to be written, and of those before.
    fn patch(&mut self, patches: Vec<Patch>) -> io::Result<()> {
        let begins = self.position + FRAME;
        let mut flushed = false;
        for Patch { place, bytes } in patches {
            if let Some(at) = place.checked_sub(begins) {
                let at = usize::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?;
                if let Some(now) = self.scratch.get_mut(at..at + bytes.len()) {
                    now.copy_from_slice(&bytes);
                }
            } else if self.regular {
                if !std::mem::replace(&mut flushed, true) {
                    self.file.flush()?;
                }
                self.file.get_ref().write_all_at(&bytes, place)?;
            }
        }
        Ok(())
    }

    fn process(&mut self, pid: u32, resource: &Arc<Resource>) -> io::Result<()> {
        if self.known.get(&pid).is_some_and(|known| Arc::ptr_eq(known, resource)) {
            return Ok(());
        }
        self.known.insert(pid, Arc::clone(resource));
        let mut body = pid.to_le_bytes().to_vec();
        let instrumented = Value::Bool(true);
        let pairs: Vec<serde_json::Value> = resource
            .attributes
            .iter()
            .chain(resource.instrumented.then_some((INSTRUMENTED, &instrumented)))
            .map(|(key, value)| serde_json::Value::from(vec![key.into(), json(value)]))
            .collect();
        body.extend_from_slice(serde_json::Value::from(pairs).to_string().as_bytes());
        self.frame(PROCESS, &body)
    }

    fn frame(&mut self, kind: u8, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len() + 1).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.file.write_all(&length.to_le_bytes())?;
        self.file.write_all(&[kind])?;
        self.file.write_all(body)?;
        self.position += u64::from(length) + size_of::<u32>() as u64;
        Ok(())
    }
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Str(text) => text.as_ref().into(),
        Value::Int(number) => (*number).into(),
        Value::Double(number) => (*number).into(),
        Value::Bool(flag) => (*flag).into(),
        Value::StrArray(items) => items.clone().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Frame, Reader};

    #[test]
    fn who_a_process_is_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.hgr");
        let mut writer = Writer::create(&path, Clock::default(), 0, true).unwrap();
        let plain = Resource::named("plain".to_owned());
        let instrumented = Resource { instrumented: true, ..Resource::named("instrumented".to_owned()) };
        for (pid, resource) in [(1, &plain), (2, &instrumented)] {
            writer.process(pid, &Arc::new(resource.clone())).unwrap();
        }
        writer.finish(&[]).unwrap();
        let mut reader = Reader::new(File::open(&path).unwrap()).unwrap();
        for expect in [&plain, &instrumented] {
            let Some(Frame::Process { resource, .. }) = reader.next_frame().unwrap() else { panic!() };
            assert_eq!(resource, *expect);
        }
    }
}
