//! The kernel's table of interpreters (`honeyguide_common::interpreter`).

use anyhow::Result;
use aya::maps::{HashMap, Map, MapData};
use honeyguide_common::interpreter::Python;
use zerocopy::IntoBytes as _;

const SIZE: usize = size_of::<Python>();

/// In which processes the kernel walks an interpreter's frames.
#[derive(Debug)]
pub struct Interpreters(HashMap<MapData, u32, [u8; SIZE]>);

impl Interpreters {
    pub(super) fn new(map: Map) -> Result<Self> {
        Ok(Self(HashMap::try_from(map)?))
    }

    /// `python`: at the addresses of the process.
    ///
    /// # Errors
    /// Where the table is full.
    pub fn insert(&mut self, pid: u32, python: &Python) -> Result<()> {
        let mut value = [0; SIZE];
        value.copy_from_slice(python.as_bytes());
        Ok(self.0.insert(pid, value, 0)?)
    }

    /// The process has ended, or runs no interpreter any more.
    pub fn remove(&mut self, pid: u32) {
        // It may never have been there.
        let _ = self.0.remove(&pid);
    }
}
