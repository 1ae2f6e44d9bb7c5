//! The kernel's tables of interpreters (`honeyguide_common::interpreter`).

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{HashMap, MapData},
};
use honeyguide_common::interpreter::{Python, V8};
use zerocopy::IntoBytes as _;

/// In which processes the kernel walks an interpreter's frames.
#[derive(Debug)]
pub struct Interpreters {
    pythons: HashMap<MapData, u32, [u8; size_of::<Python>()]>,
    scripts: HashMap<MapData, u32, [u8; size_of::<V8>()]>,
}

impl Interpreters {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self> {
        let mut take = |name| ebpf.take_map(name).context("the table was taken already");
        let (pythons, scripts) = (take("INTERPRETERS")?, take("SCRIPTS")?);
        Ok(Self { pythons: HashMap::try_from(pythons)?, scripts: HashMap::try_from(scripts)? })
    }

    /// `python`: at the addresses of the process.
    ///
    /// # Errors
    /// Where the table is full.
    pub fn insert_python(&mut self, pid: u32, python: &Python) -> Result<()> {
        let mut value = [0; size_of::<Python>()];
        value.copy_from_slice(python.as_bytes());
        Ok(self.pythons.insert(pid, value, 0)?)
    }

    /// # Errors
    /// As [`Interpreters::insert_python`].
    pub fn insert_v8(&mut self, pid: u32, v8: &V8) -> Result<()> {
        let mut value = [0; size_of::<V8>()];
        value.copy_from_slice(v8.as_bytes());
        Ok(self.scripts.insert(pid, value, 0)?)
    }

    /// The process has ended, or runs no interpreter any more.
    pub fn remove(&mut self, pid: u32) {
        // It may never have been there.
        let _ = self.pythons.remove(&pid);
        let _ = self.scripts.remove(&pid);
    }
}
