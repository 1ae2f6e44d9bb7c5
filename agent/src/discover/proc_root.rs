//! One `/proc`: the host's, or a copy of it mounted elsewhere.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use procfs::process::{Process, all_processes_with_root};

use super::{OpenProcess, Stat};

/// The `/proc` to read.
#[derive(Clone, Debug)]
pub struct ProcRoot(PathBuf);

const FILE_LIMIT: u64 = 64 << 10;

impl Default for ProcRoot {
    fn default() -> Self {
        Self::new("/proc")
    }
}

impl ProcRoot {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// All processes (not threads).
    ///
    /// # Errors
    /// When the root itself cannot be listed.
    pub fn processes(&self) -> io::Result<Vec<(u32, Stat)>> {
        let all = all_processes_with_root(&self.0).map_err(io::Error::other)?;
        Ok(all
            .filter_map(|process| {
                let process = process.ok()?;
                let pid = u32::try_from(process.pid()).ok()?;
                Some((pid, OpenProcess::new(process, self.of(pid)).stat()?))
            })
            .collect())
    }

    /// `None` when there is no such process.
    #[must_use]
    pub fn open(&self, pid: u32) -> Option<OpenProcess> {
        let directory = self.of(pid);
        Some(OpenProcess::new(Process::new_with_root(directory.clone()).ok()?, directory))
    }

    #[must_use]
    pub fn exists(&self, pid: u32) -> bool {
        self.of(pid).join("stat").exists()
    }

    #[must_use]
    pub fn stat(&self, pid: u32) -> Option<Stat> {
        self.open(pid)?.stat()
    }

    /// A file of the kernel's, relative to the root: `sys/kernel/hostname`. Trailing white space is cut.
    /// The crate reads these below `/proc` alone.
    #[must_use]
    pub fn kernel_text(&self, relative: &str) -> Option<String> {
        let mut bytes = Vec::new();
        File::open(self.0.join(relative)).ok()?.take(FILE_LIMIT).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    fn of(&self, pid: u32) -> PathBuf {
        self.0.join(pid.to_string())
    }
}
