//! The inside of TLS: probes in libraries and programs, as soon as a traced process has them.

mod go;
mod library;
mod rustls;

use std::{collections::BTreeSet, io, path::PathBuf};

use anyhow::Result;
use aya::{Ebpf, maps::HashMap};

use super::uprobe::{self, AttachCounters, AttachTable, Elf, Plan, Target, Watch, inside, mapped};
use crate::discover::ProcRoot;

/// Every program of this feature, the largest first.
const PROGRAMS: [&str; 10] = [
    rustls::SENT,
    library::LEAVE,
    go::LEAVE,
    rustls::RECEIVED,
    library::ENTER,
    library::HANDSHAKE,
    library::FREE,
    go::ENTER,
    rustls::SEND,
    LOADED,
];
/// The dynamic linker's function for debuggers, and the program there.
const LOADED: &str = "libraries_loaded";
const LINKER: &[Target] = &[Target { function: "_dl_debug_state", cookie: None, entry: LOADED, exits: None }];

/// Every TLS probe there is.
#[derive(Debug)]
pub(super) struct TlsProbes {
    table: AttachTable,
    linkers: AttachTable,
    watch: Watch,
    /// The processes that the kernel knows as Go's.
    go: BTreeSet<u32>,
    /// Processes of Go that the kernel's table had no room for.
    dropped: u64,
}

/// Files that are probed, and functions that could not be.
pub type TlsCounters = AttachCounters;

/// A function's sites, for the user's eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSites {
    pub function: String,
    pub sites: String,
}

/// Loads the programs, which then wait for a library.
pub(super) fn load(ebpf: &mut Ebpf) -> Result<()> {
    uprobe::load(ebpf, &PROGRAMS)
}

/// The TLS libraries of a process, with the sites that probes have or would have.
///
/// # Errors
/// Where the process's maps cannot be read.
pub fn examine(proc: &ProcRoot, pid: u32) -> io::Result<Vec<(PathBuf, Vec<TlsSites>)>> {
    let mut all = Vec::new();
    for (path, holds) in candidates(proc, pid)? {
        let Ok(elf) = Elf::open(&path) else { continue };
        let lines = holds.plan(&elf).describe();
        if !lines.is_empty() {
            let sites = lines.into_iter().map(|(function, sites)| TlsSites { function, sites });
            all.push((path, sites.collect()));
        }
    }
    Ok(all)
}

impl TlsProbes {
    pub(super) fn new() -> Self {
        Self {
            table: AttachTable::new("TLS"),
            linkers: AttachTable::new("the linker"),
            watch: Watch::default(),
            go: BTreeSet::new(),
            dropped: 0,
        }
    }

    /// A process was selected, or has begun another program.
    pub(super) fn expect(&mut self, pid: u32) {
        self.watch.expect(pid);
    }

    /// Looks at the processes whose time has come; true while some are to be looked at soon.
    pub(super) fn poll(&mut self, ebpf: &mut Ebpf, proc: &ProcRoot) -> bool {
        for due in self.watch.ripe() {
            // A process that has gone needs no more looks.
            if self.look(ebpf, proc, due.pid).is_ok() {
                if due.is_first() {
                    self.anticipate(ebpf, proc, due.pid);
                }
                self.watch.again(due);
            }
        }
        self.watch.is_close()
    }

    /// A process has loaded libraries.
    pub(super) fn loaded(&mut self, ebpf: &mut Ebpf, proc: &ProcRoot, pid: u32) {
        // It may be gone.
        let _ = self.look(ebpf, proc, pid);
    }

    /// Finds what was loaded since, in some of `processes`, and lets go of files that nobody uses.
    pub(super) fn tidy(&mut self, ebpf: &mut Ebpf, proc: &ProcRoot, processes: &[u32]) {
        for pid in self.watch.some(processes) {
            let _ = self.look(ebpf, proc, pid);
        }
        self.table.release(ebpf, |pid| proc.exists(pid));
        self.linkers.release(ebpf, |pid| proc.exists(pid));
        let (alive, gone): (BTreeSet<u32>, BTreeSet<u32>) =
            self.go.iter().partition(|pid| proc.exists(**pid));
        self.go = alive;
        if let Some(mut known) = go_processes(ebpf) {
            gone.iter().for_each(|pid| drop(known.remove(pid)));
        }
    }

    pub(super) fn counters(&self) -> TlsCounters {
        let mut counters = self.table.counters;
        counters.dropped += self.watch.dropped + self.dropped;
        counters
    }

    /// A program that has just begun has not mapped its libraries, and may speak TLS the moment it has. So those of
    /// the system are probed where they lie, once for all processes; and the linker, which tells of all others.
    fn anticipate(&mut self, ebpf: &mut Ebpf, proc: &ProcRoot, pid: u32) {
        let Ok(elf) = Elf::open(&executable(proc, pid)) else { return };
        let Some(linker) = elf.interpreter() else { return };
        self.linkers.probe(ebpf, pid, &inside(proc, pid, linker), |elf| Plan::of(elf, LINKER));
        for place in library::DIRECTORIES {
            for (name, targets) in library::LIBRARIES {
                let path = inside(proc, pid, place).join(name);
                self.table.probe(ebpf, pid, &path, |elf| Plan::of(elf, targets));
            }
        }
    }

    fn look(&mut self, ebpf: &mut Ebpf, proc: &ProcRoot, pid: u32) -> io::Result<()> {
        for (path, holds) in candidates(proc, pid)? {
            if let Some(plan) = self.table.probe(ebpf, pid, &path, |elf| holds.plan(elf))
                && plan.has(go::LEAVE)
            {
                self.introduce(ebpf, pid);
            }
        }
        Ok(())
    }

    /// The kernel looks for goroutines in processes of Go alone.
    fn introduce(&mut self, ebpf: &mut Ebpf, pid: u32) {
        let known = go_processes(ebpf).and_then(|mut known| known.insert(pid, 1, 0).ok());
        match known {
            Some(()) => drop(self.go.insert(pid)),
            None => self.dropped += 1,
        }
    }
}

/// What a file may hold.
#[derive(Clone, Copy, Debug)]
enum Holds {
    Library(&'static [Target]),
    /// An executable: anything that was linked into it.
    Program,
}

impl Holds {
    fn plan(self, elf: &Elf) -> Plan {
        match self {
            Self::Library(targets) => Plan::of(elf, targets),
            Self::Program => {
                let mut plan = Plan::of(elf, library::OPENSSL);
                plan.extend(go::plan(elf));
                plan.extend(rustls::plan(elf));
                plan
            }
        }
    }
}

/// The files of a process that may hold a TLS library, as paths that lead there from any mount namespace.
fn candidates(proc: &ProcRoot, pid: u32) -> io::Result<Vec<(PathBuf, Holds)>> {
    let mut found = mapped(proc, pid, |path| library::named(path).map(Holds::Library))?;
    found.insert(0, (executable(proc, pid), Holds::Program));
    Ok(found)
}

fn executable(proc: &ProcRoot, pid: u32) -> PathBuf {
    proc.path().join(pid.to_string()).join("exe")
}

fn go_processes(ebpf: &mut Ebpf) -> Option<HashMap<&mut aya::maps::MapData, u32, u8>> {
    ebpf.map_mut("GO_PROCESSES").and_then(|map| HashMap::try_from(map).ok())
}
