//! The perf maps of processes: what their JIT compilers wrote down of the code they made.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read as _, Seek as _},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use honeyguide_symbolizer::names::PerfMap;

use crate::discover::ProcRoot;

/// Processes whose maps are held, and the bytes of each that are read.
const MAX_PROCESSES: usize = 256;
const MAX_BYTES: u64 = 64 << 20;
/// A map that does not know an address is read again after this time: it grows as code is made.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct JitMaps {
    proc: ProcRoot,
    processes: HashMap<u32, Process>,
}

#[derive(Debug)]
struct Process {
    /// Open since it was first seen, so that it can be read when the process has gone.
    file: Option<File>,
    map: PerfMap,
    length: u64,
    read: Instant,
}

impl JitMaps {
    pub(super) fn new(proc: ProcRoot) -> Self {
        Self { proc, processes: HashMap::new() }
    }

    pub(super) fn find(&mut self, pid: u32, address: u64) -> Option<Arc<str>> {
        if !self.processes.contains_key(&pid) {
            if self.processes.len() >= MAX_PROCESSES {
                self.processes.retain(|pid, _| self.proc.exists(*pid));
            }
            if self.processes.len() >= MAX_PROCESSES {
                self.processes.clear();
            }
            self.processes.insert(pid, Process::open(&self.proc, pid));
        }
        let process = self.processes.get_mut(&pid)?;
        if process.map.find(address).is_none() && process.read.elapsed() >= AGAIN {
            process.refresh(&self.proc, pid);
        }
        process.map.find(address).map(Into::into)
    }
}

impl Process {
    fn open(proc: &ProcRoot, pid: u32) -> Self {
        let mut process = Self { file: None, map: PerfMap::default(), length: 0, read: Instant::now() };
        process.refresh(proc, pid);
        process
    }

    fn refresh(&mut self, proc: &ProcRoot, pid: u32) {
        self.read = Instant::now();
        if self.file.is_none() {
            self.file = path(proc, pid).and_then(|path| open(&path)).ok();
        }
        let Some(file) = &mut self.file else { return };
        // Unreadable now is what it was before.
        let Ok(length) = file.metadata().map(|metadata| metadata.len()) else { return };
        if length == self.length {
            return;
        }
        let mut text = Vec::new();
        if file.rewind().is_ok() && file.take(MAX_BYTES).read_to_end(&mut text).is_ok() {
            self.length = length;
            self.map = PerfMap::parse(&text);
        }
    }
}

/// Where the process itself wrote it: by its number and its `/tmp`, in its own namespaces.
fn path(proc: &ProcRoot, pid: u32) -> io::Result<PathBuf> {
    let directory = proc.path().join(pid.to_string());
    let status = fs::read_to_string(directory.join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let inner = line.and_then(|numbers| numbers.split_whitespace().next_back()).unwrap_or_default();
    let inner: u32 = inner.parse().unwrap_or(pid);
    Ok(directory.join(format!("root/tmp/perf-{inner}.map")))
}

/// A file that somebody else may have put there: never a device or a pipe that would not end.
fn open(path: &PathBuf) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    File::open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_found_by_the_number_in_its_own_namespace() {
        let root = tempfile::tempdir().unwrap();
        let process = root.path().join("4711");
        fs::create_dir_all(process.join("root/tmp")).unwrap();
        fs::write(process.join("status"), "Name:\tx\nNSpid:\t4711\t17\n").unwrap();
        let map = process.join("root/tmp/perf-17.map");
        fs::write(&map, "1000 10 first\n").unwrap();
        let mut maps = JitMaps::new(ProcRoot::new(root.path()));
        assert_eq!(maps.find(4711, 0x1008).as_deref(), Some("first"));
        assert_eq!(maps.find(4711, 0x2000), None);
        fs::write(&map, "1000 10 first\n2000 10 second\n").unwrap();
        // Within the second it is not read again.
        assert_eq!(maps.find(4711, 0x2000), None);
        maps.processes.get_mut(&4711).unwrap().read -= AGAIN;
        fs::remove_dir_all(&process).unwrap();
        assert_eq!(maps.find(4711, 0x2000).as_deref(), Some("second"), "it is held open");
        assert_eq!(maps.find(99, 0x2000), None);
    }
}
