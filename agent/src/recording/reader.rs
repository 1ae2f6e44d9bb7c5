//! Reading a recording.

use std::io::{self, Read};

use anyhow::{Context as _, Result, bail, ensure};

use super::{INSTRUMENTED, LOST, MAGIC, MAX_FRAME, PROCESS, RECORD, START};
use crate::{
    attribute::{Attributes, Value},
    clock::Clock,
    resource::Resource,
};

/// One frame of a recording.
#[derive(Debug)]
pub enum Frame<'a> {
    Record(&'a [u8]),
    Process { pid: u32, resource: Resource },
    Lost(Vec<u64>),
}

#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    body: Vec<u8>,
    /// The recording machine's clock, at `start` on its monotonic clock.
    pub clock: Clock,
    pub start: u64,
    /// The last frame was cut off: the recorder was killed.
    pub truncated: bool,
}

impl<R: Read> Reader<R> {
    /// # Errors
    /// Where the beginning is not that of a recording.
    pub fn new(mut source: R) -> Result<Self> {
        let mut magic = [0; MAGIC.len()];
        source.read_exact(&mut magic).context("shorter than its magic")?;
        ensure!(&magic == MAGIC, "wrong magic");
        let (clock, start) = (Clock::default(), 0);
        let mut reader = Self { source, body: Vec::new(), clock, start, truncated: false };
        let Some(START) = reader.fill()? else { bail!("no start frame") };
        reader.clock = Clock::with_offset(i64::from_le_bytes(eight(&reader.body, 0)?));
        reader.start = u64::from_le_bytes(eight(&reader.body, 8)?);
        Ok(reader)
    }

    /// The next frame; `None` at the end, also where the last frame is cut off.
    ///
    /// # Errors
    /// Where a frame is malformed or the file cannot be read.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>> {
        loop {
            let Some(kind) = self.fill()? else { return Ok(None) };
            return Ok(Some(match kind {
                RECORD => Frame::Record(&self.body),
                PROCESS => process(&self.body)?,
                LOST => Frame::Lost(
                    self.body
                        .chunks_exact(8)
                        .map(|chunk| u64::from_le_bytes(chunk.try_into().unwrap_or_default()))
                        .collect(),
                ),
                // A later version may add kinds.
                _ => continue,
            }));
        }
    }

    /// Reads one frame into `body` and returns its kind.
    fn fill(&mut self) -> Result<Option<u8>> {
        let mut length = [0; 4];
        if !self.read(&mut length)? {
            return Ok(None);
        }
        let length = u32::from_le_bytes(length) as usize;
        ensure!((1..=MAX_FRAME).contains(&length), "a frame of {length} bytes");
        let mut kind = [0];
        self.body.resize(length - 1, 0);
        let mut body = std::mem::take(&mut self.body);
        let whole = self.read(&mut kind)? && self.read(&mut body)?;
        self.body = body;
        self.truncated = !whole;
        Ok(whole.then_some(kind[0]))
    }

    /// False at the end of the file.
    fn read(&mut self, buffer: &mut [u8]) -> Result<bool> {
        match self.source.read_exact(buffer) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn process(body: &[u8]) -> Result<Frame<'_>> {
    let (pid, json) = body.split_first_chunk::<4>().context("a process frame without its pid")?;
    let pairs: Vec<(String, serde_json::Value)> =
        serde_json::from_slice(json).context("a process frame that is not JSON")?;
    let mut attributes = Attributes::with_capacity(pairs.len());
    let mut instrumented = false;
    for (key, value) in pairs {
        if key == INSTRUMENTED {
            instrumented = value == true;
        } else if let Some(value) = attribute(value) {
            attributes.set(key, value);
        }
    }
    Ok(Frame::Process { pid: u32::from_le_bytes(*pid), resource: Resource { attributes, instrumented } })
}

fn attribute(value: serde_json::Value) -> Option<Value> {
    use serde_json::Value as Json;
    Some(match value {
        Json::String(text) => text.into(),
        Json::Bool(flag) => flag.into(),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64()?.into(),
        },
        Json::Array(items) => {
            items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect::<Vec<_>>().into()
        }
        Json::Null | Json::Object(_) => return None,
    })
}

fn eight(bytes: &[u8], at: usize) -> Result<[u8; 8]> {
    bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).context("the start frame is too short")
}
