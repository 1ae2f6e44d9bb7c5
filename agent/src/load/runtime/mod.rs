//! Which task of its runtime a thread runs: found out for each traced process, and told to the kernel programs.
//!
//! A runtime is a file here: it says where the running task's name lies in the process's memory, and which functions
//! tell what else is needed. Functions are probed once for each file, for all its processes.

mod frames;
mod go;
mod python;
mod tokio;
mod v8;

use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

pub use frames::{CodeLayout, PythonFile, examine_frames};
pub use v8::{V8Code, V8File, V8Layout, examine_v8};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::HashMap as BpfMap,
    programs::uprobe::{UProbeLinkId, UProbeScope},
};
use honeyguide_common::identity::Runtime;
use log::{info, warn};
use zerocopy::IntoBytes as _;

use super::uprobe::{self, Image, detach, program};
use crate::discover::ProcRoot;

/// When a process is looked at after it was selected or has begun a program: what it runs is mapped in its first
/// moments.
const LOOKS: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(10),
    Duration::from_millis(30),
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(2_000),
];
/// Processes waiting to be looked at.
const MAX_DUE: usize = 4_096;
/// Files whose runtime is remembered, most of them as having none.
const MAX_FILES: usize = 4_096;
/// `/proc/PID/maps` of a large program is about 1 MiB.
const MAX_MAPS: u64 = 4 << 20;

/// The programs that runtimes' functions are probed with.
const PROGRAMS: [&str; 6] =
    ["go_round_trip", "go_grpc_write", "python_copy_rax", "python_copy_rdi", "tokio_wake", "tokio_spawn"];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuntimeCounters {
    /// Processes whose tasks are told apart.
    pub processes: u64,
    /// Functions that could not be probed.
    pub failed: u64,
    /// Processes or files that were not looked at because there were too many.
    pub dropped: u64,
}

#[derive(Debug, Default)]
pub(super) struct Runtimes {
    /// By device and inode.
    files: HashMap<(u64, u64), File>,
    due: Vec<(Instant, u32, usize)>,
    pub(super) counters: RuntimeCounters,
}

/// What is known of a file, at the addresses that are written in it.
#[derive(Debug, Default)]
struct File {
    found: Option<Found>,
    links: Vec<(&'static str, UProbeLinkId)>,
    users: BTreeSet<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    runtime: Runtime,
    /// Whether `runtime`'s addresses move with the file.
    moves: bool,
    /// The first address the file is loaded at.
    first: u64,
    probes: Vec<Probe>,
    language: &'static str,
}

/// A place to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Probe {
    program: &'static str,
    file_offset: u64,
}

/// A mapped file of a process.
struct Mapped {
    path: PathBuf,
    /// Where its beginning is mapped.
    start: Option<u64>,
}

/// Loads the programs, which then wait for a runtime.
pub(super) fn load(ebpf: &mut Ebpf) -> Result<()> {
    uprobe::load(ebpf, &PROGRAMS)
}

impl Runtimes {
    /// A process was selected, or has begun another program.
    pub(super) fn expect(&mut self, pid: u32) {
        if self.due.len() >= MAX_DUE {
            self.counters.dropped += 1;
            return;
        }
        self.due.push((Instant::now(), pid, 0));
    }

    /// Looks at the processes whose time has come; true while some are to be looked at soon.
    pub(super) fn poll(&mut self, ebpf: &mut Ebpf, proc: &ProcRoot) -> bool {
        if self.due.is_empty() {
            return false;
        }
        let now = Instant::now();
        let mut waiting = std::mem::take(&mut self.due);
        let ripe: Vec<(Instant, u32, usize)> = waiting.extract_if(.., |entry| entry.0 <= now).collect();
        self.due = waiting;
        for (_, pid, look) in ripe {
            // A process that has gone, or whose runtime is known, needs no more looks.
            let Ok(false) = self.look(ebpf, proc, pid) else { continue };
            if let Some(delay) = LOOKS.get(look + 1) {
                self.due.push((now + *delay, pid, look + 1));
            }
        }
        self.due.iter().any(|entry| entry.2 < LOOKS.len() - 1)
    }

    /// Lets go of files that nobody uses.
    pub(super) fn tidy(&mut self, ebpf: &mut Ebpf, proc: &ProcRoot) {
        for file in self.files.values_mut().filter(|file| !file.users.is_empty()) {
            file.users.retain(|pid| proc.exists(*pid));
            if file.users.is_empty() {
                detach(ebpf, &mut file.links);
            }
        }
        if self.files.len() >= MAX_FILES {
            self.files.retain(|_, file| !file.users.is_empty());
        }
        self.counters.processes = self.files.values().map(|file| file.users.len() as u64).sum();
    }

    /// Whether the process's runtime was found.
    fn look(&mut self, ebpf: &mut Ebpf, proc: &ProcRoot, pid: u32) -> io::Result<bool> {
        for mapped in mapped(proc, pid)? {
            let Ok(metadata) = fs::metadata(&mapped.path) else { continue };
            let key = (metadata.dev(), metadata.ino());
            if !self.files.contains_key(&key) {
                if self.files.len() >= MAX_FILES {
                    self.counters.dropped += 1;
                    continue;
                }
                self.files.insert(key, File { found: examine(&mapped.path), ..File::default() });
            }
            let Some(file) = self.files.get_mut(&key) else { continue };
            let Some(found) = &file.found else { continue };
            let Some(runtime) = found.in_process(&mapped) else { continue };
            if file.links.is_empty() {
                let (links, failed) = attach(ebpf, &mapped.path, &found.probes);
                self.counters.failed += failed;
                file.links = links;
                info!("{} in {} (process {pid})", found.language, mapped.path.display());
            }
            match tell(ebpf, pid, &runtime) {
                Ok(()) => self.counters.processes += u64::from(file.users.insert(pid)),
                Err(error) => {
                    self.counters.dropped += 1;
                    warn!("the runtime of process {pid} is not followed: {error:#}");
                }
            }
            return Ok(true);
        }
        Ok(false)
    }
}

impl Found {
    /// The same at the addresses where a process has the file.
    fn in_process(&self, mapped: &Mapped) -> Option<Runtime> {
        if !self.moves {
            return Some(self.runtime);
        }
        let bias = mapped.start?.wrapping_sub(self.first);
        let Runtime { start, end, .. } = self.runtime;
        Some(Runtime { start: start.wrapping_add(bias), end: end.wrapping_add(bias), ..self.runtime })
    }
}

fn examine(path: &Path) -> Option<Found> {
    let image = Image::open(path).ok()?;
    python::examine(&image).or_else(|| go::examine(&image)).or_else(|| tokio::examine(&image))
}

fn attach(ebpf: &mut Ebpf, path: &Path, probes: &[Probe]) -> (Vec<(&'static str, UProbeLinkId)>, u64) {
    // Held open, it can be probed when the process through which it was found has gone.
    let Ok(file) = fs::File::open(path) else { return (Vec::new(), probes.len() as u64) };
    let held = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let (mut links, mut failed) = (Vec::new(), 0);
    for probe in probes {
        let attached = program(ebpf, probe.program)
            .and_then(|program| Ok(program.attach(probe.file_offset, &held, UProbeScope::AllProcesses)?));
        match attached {
            Ok(link) => links.push((probe.program, link)),
            Err(error) => {
                failed += 1;
                warn!("{} of {} is not probed: {error:#}", probe.program, path.display());
            }
        }
    }
    (links, failed)
}

fn tell(ebpf: &mut Ebpf, pid: u32, runtime: &Runtime) -> Result<()> {
    let map = ebpf.map_mut("RUNTIMES").context("no map RUNTIMES")?;
    let mut table: BpfMap<_, u32, [u8; size_of::<Runtime>()]> = BpfMap::try_from(map)?;
    let mut value = [0; size_of::<Runtime>()];
    value.copy_from_slice(runtime.as_bytes());
    table.insert(pid, value, 0)?;
    Ok(())
}

/// The files of a process that may hold a runtime, as paths that lead there from any mount namespace.
fn mapped(proc: &ProcRoot, pid: u32) -> io::Result<Vec<Mapped>> {
    let directory = proc.path().join(pid.to_string());
    let mut text = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(fs::File::open(directory.join("maps"))?, MAX_MAPS), &mut text)?;
    let executable = fs::read_link(directory.join("exe"))?;
    let mut found = vec![Mapped { path: directory.join("exe"), start: None }];
    for line in text.split(|byte| *byte == b'\n') {
        let Some((start, path)) = beginning(line) else { continue };
        if Path::new(path) == executable {
            found[0].start.get_or_insert(start);
        } else if is_library(path) {
            let path = directory.join("root").join(path.trim_start_matches('/'));
            if !found.iter().any(|known| known.path == path) {
                found.push(Mapped { path, start: Some(start) });
            }
        }
    }
    Ok(found)
}

/// The address and the path of a line that maps the beginning of a file: `start-end perms offset dev inode path`.
fn beginning(line: &[u8]) -> Option<(u64, &str)> {
    let line = std::str::from_utf8(line).ok()?;
    let mut fields = line.split_ascii_whitespace();
    let (range, _, offset) = (fields.next()?, fields.next()?, fields.next()?);
    let path = &line[line.find('/')?..];
    let zero = offset.bytes().all(|byte| byte == b'0');
    zero.then_some((u64::from_str_radix(range.split('-').next()?, 16).ok()?, path))
}

/// A runtime as a library: `libpython3.12.so.1.0`.
fn is_library(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with("libpython3") && name.contains(".so"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_file_is_found_among_its_mappings() {
        let line = b"55f0c0a00000-55f0c0a02000 r--p 00000000 08:01 1234   /usr/bin/a name";
        assert_eq!(beginning(line), Some((0x55f0_c0a0_0000, "/usr/bin/a name")));
        assert_eq!(beginning(b"7f00-7f01 r-xp 00002000 08:01 1234 /usr/bin/a"), None);
        assert_eq!(beginning(b"7ffd-7ffe rw-p 00000000 00:00 0 [stack]"), None);
        assert_eq!(beginning(b""), None);
        assert_eq!(beginning(b"xyz r--p 00000000 08:01 1 /a"), None);
    }

    #[test]
    fn libraries_are_known_by_their_file_names() {
        assert!(is_library("/opt/lib/libpython3.12.so.1.0") && is_library("/usr/lib/libpython3.9.so"));
        assert!(!is_library("/usr/lib/libpython2.7.so.1.0") && !is_library("/usr/share/libpython3"));
    }

    #[test]
    fn addresses_move_with_the_file() {
        let runtime = Runtime { start: 0x5000, end: 0x6000, ..Runtime::default() };
        let found = Found { runtime, moves: true, first: 0x1000, probes: Vec::new(), language: "" };
        let mapped = |start| Mapped { path: PathBuf::new(), start };
        let moved = found.in_process(&mapped(Some(0x7f00_0000))).unwrap();
        assert_eq!((moved.start, moved.end), (0x7f00_4000, 0x7f00_5000));
        assert_eq!(found.in_process(&mapped(None)), None);
        assert_eq!(Found { moves: false, ..found }.in_process(&mapped(None)), Some(runtime));
    }
}
