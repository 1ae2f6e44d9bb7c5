//! The memory of another process.

use std::{cell::OnceCell, fs::File, os::unix::fs::FileExt as _, path::PathBuf};

use crate::discover::ProcRoot;

/// Opened when something is read.
#[derive(Debug)]
pub(in crate::profile) struct Reading {
    pid: u32,
    path: PathBuf,
    file: OnceCell<Option<File>>,
}

impl Reading {
    pub(super) fn new(proc: &ProcRoot, pid: u32) -> Self {
        Self { pid, path: proc.path().join(pid.to_string()).join("mem"), file: OnceCell::new() }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// A whole array; `None` where the memory is not there, or not ours to read.
    pub(super) fn array<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let mut array = [0; N];
        self.file()?.read_exact_at(&mut array, address).ok()?;
        Some(array)
    }

    pub(super) fn bytes(&self, address: u64, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file()?.read_exact_at(&mut bytes, address).ok()?;
        Some(bytes)
    }

    fn file(&self) -> Option<&File> {
        self.file.get_or_init(|| File::open(&self.path).ok()).as_ref()
    }
}
