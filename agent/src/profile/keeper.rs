//! What is known of the processes that are sampled, kept up to date on a thread of its own.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use honeyguide_common::unwind::MAX_MAPPINGS;
use log::{debug, warn};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{
    interpreter::{Files, Interpreter},
    maps,
    model::Mapping,
    objects::{Objects, Placed},
    tables::{TableCounters, Tables},
};
use crate::{
    discover::ProcRoot,
    load::{Arena, Interpreters},
};

/// Processes waiting to be looked at.
const QUEUE: usize = 4_096;
/// Processes that are known at once; the ones that ended go first.
const MAX_KNOWN: usize = 16_384;
/// How often processes that have ended are looked for.
const SWEEP: Duration = Duration::from_secs(10);

/// The executable memory of a process, by address.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) mappings: Arc<[Arc<Mapping>]>,
    pub(super) interpreter: Option<Arc<dyn Interpreter>>,
    /// As the sample told that made the keeper look; 0 where none did.
    pub(super) space: u64,
    /// How long it took to read.
    pub(super) took: Duration,
}

impl Memory {
    /// Whether it is made of these regions, of the same files.
    fn is_of(&self, regions: &[maps::Region]) -> bool {
        self.mappings.len() == regions.len()
            && self.mappings.iter().zip(regions).all(|(mapping, region)| {
                (mapping.start, mapping.end, mapping.offset) == (region.start, region.end, region.offset)
                    && (*mapping.object.path == *region.path || region.path.is_empty())
            })
    }

    pub(super) fn find(&self, address: u64) -> Option<&Arc<Mapping>> {
        let index = self.mappings.partition_point(|mapping| mapping.start <= address).checked_sub(1)?;
        self.mappings.get(index).filter(|mapping| address < mapping.end)
    }
}

/// The thread, and what it has found.
#[derive(Debug)]
pub struct Keeper {
    requests: SyncSender<Request>,
    shared: Arc<Shared>,
    // Dropping the sender ends it; nobody waits for that.
    _thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<HashMap<u32, Arc<Memory>>>,
    counters: Mutex<KeeperCounters>,
    dropped: AtomicU64,
}

#[derive(Debug)]
enum Request {
    Look {
        pid: u32,
        space: u64,
    },
    Forget(u32),
    /// Say when everything before this is done.
    Tell(SyncSender<()>),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeeperCounters {
    pub tables: TableCounters,
    /// Bytes of unwind tables in the kernel.
    pub table_bytes: u64,
    pub processes: u64,
    /// Processes that were not looked at because too many waited.
    pub dropped: u64,
    /// Mappings beyond those the kernel is given.
    pub mappings_dropped: u64,
    /// Processes whose mappings or interpreter the kernel did not take.
    pub failed: u64,
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the kernel takes no rules, or no thread can be had.
    pub fn start(arena: Arena, interpreters: Interpreters, proc: ProcRoot) -> Result<Self> {
        raise_limit();
        let (requests, receiver) = sync_channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let mut worker = Worker {
            tables: Tables::new(arena)?,
            objects: Objects::default(),
            placed: HashMap::new(),
            files: Files::default(),
            interpreters,
            proc,
            shared: Arc::clone(&shared),
            swept: Instant::now(),
        };
        let thread = thread::Builder::new()
            .name("profile-keeper".to_owned())
            .spawn(move || worker.run(&receiver))
            .context("no thread for unwind tables")?;
        Ok(Self { requests, shared, _thread: thread })
    }

    /// Looks at processes that are about to be sampled, and waits until the kernel has their tables, at most so long.
    pub fn prepare(&self, pids: &[u32], patience: Duration) {
        self.expect(pids);
        self.settle(patience);
    }

    /// Waits until the kernel has the tables of all processes that were to be looked at, at most so long.
    pub fn settle(&self, patience: Duration) {
        let (done, ready) = sync_channel(1);
        if self.send(Request::Tell(done)) {
            // Lost patience is no error: what has no tables yet is walked by its frame pointers.
            let _ = ready.recv_timeout(patience);
        }
    }

    /// Processes that will be sampled: their tables are made before, and nobody waits for it.
    pub fn expect(&self, pids: &[u32]) {
        for &pid in pids {
            self.look(pid, 0);
        }
    }

    /// A process should be looked at soon.
    pub(super) fn look(&self, pid: u32, space: u64) -> bool {
        self.send(Request::Look { pid, space })
    }

    /// A process has ended, or become another program.
    pub fn forget(&self, pid: u32) {
        self.send(Request::Forget(pid));
    }

    pub(super) fn memory(&self, pid: u32) -> Option<Arc<Memory>> {
        locked(&self.shared.known).get(&pid).cloned()
    }

    #[must_use]
    pub fn counters(&self) -> KeeperCounters {
        let counters = *locked(&self.shared.counters);
        KeeperCounters { dropped: self.shared.dropped.load(Relaxed), ..counters }
    }

    fn send(&self, request: Request) -> bool {
        match self.requests.try_send(request) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.shared.dropped.fetch_add(1, Relaxed);
                false
            }
        }
    }
}

struct Worker {
    tables: Tables,
    objects: Objects,
    /// Keeps the objects of known processes.
    placed: HashMap<u32, Vec<Arc<Placed>>>,
    files: Files,
    interpreters: Interpreters,
    proc: ProcRoot,
    shared: Arc<Shared>,
    swept: Instant,
}

impl Worker {
    fn run(&mut self, requests: &Receiver<Request>) {
        loop {
            match requests.recv_timeout(SWEEP) {
                Ok(Request::Look { pid, space }) => self.look(pid, space),
                Ok(Request::Forget(pid)) => self.forget(pid),
                Ok(Request::Tell(done)) => {
                    // Whoever waited may have lost patience.
                    let _ = done.try_send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.swept.elapsed() >= SWEEP {
                self.swept = Instant::now();
                for pid in self.tables.installed() {
                    if !self.proc.exists(pid) {
                        self.forget(pid);
                    }
                }
            }
            let mut counters = locked(&self.shared.counters);
            counters.tables = self.tables.counters;
            counters.table_bytes = self.tables.bytes();
            counters.processes = self.tables.processes() as u64;
        }
    }

    fn look(&mut self, pid: u32, space: u64) {
        let begun = Instant::now();
        let directory: PathBuf = self.proc.path().join(pid.to_string());
        let (regions, beyond) = match maps::read(&directory, MAX_MAPPINGS) {
            Ok(read) => read,
            Err(error) => {
                debug!("the maps of process {pid} cannot be read: {error}");
                return;
            }
        };
        locked(&self.shared.counters).mappings_dropped += beyond;
        let before = locked(&self.shared.known).get(&pid).cloned();
        if let Some(before) = before.filter(|before| self.tables.has(pid) && before.is_of(&regions)) {
            // What has changed is nothing that runs.
            let memory = Memory {
                mappings: Arc::clone(&before.mappings),
                interpreter: before.interpreter.clone(),
                space,
                took: begun.elapsed(),
            };
            self.publish(pid, memory);
            return;
        }
        let mappings: Vec<(Arc<Mapping>, Arc<Placed>)> = regions
            .iter()
            .map(|region| {
                let placed = self.objects.of(&directory, region);
                let mapping = Mapping {
                    start: region.start,
                    end: region.end,
                    offset: region.offset,
                    bias: placed.bias(region.start, region.offset),
                    object: Arc::clone(&placed.object),
                };
                (Arc::new(mapping), placed)
            })
            .collect();
        let interpreter = self.files.find(&directory, mappings.iter().map(|(mapping, _)| mapping));
        match interpreter.as_ref().map(|found| found.install(pid, &mut self.interpreters)) {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                locked(&self.shared.counters).failed += 1;
                warn!("the interpreter of process {pid} is not followed: {error:#}");
            }
            None => self.interpreters.remove(pid),
        }
        // Names first: samples wait for them. Tables may take a while.
        let memory = Memory {
            interpreter,
            mappings: mappings.iter().map(|(mapping, _)| Arc::clone(mapping)).collect(),
            space,
            took: begun.elapsed(),
        };
        self.publish(pid, memory);
        if let Err(error) = self.tables.install(pid, &mappings) {
            locked(&self.shared.counters).failed += 1;
            warn!("process {pid} is sampled by frame pointers: {error:#}");
        }
        self.placed.insert(pid, mappings.into_iter().map(|(_, placed)| placed).collect());
    }

    fn publish(&self, pid: u32, memory: Memory) {
        let mut known = locked(&self.shared.known);
        if known.len() >= MAX_KNOWN && !known.contains_key(&pid) {
            known.retain(|pid, _| self.proc.exists(*pid));
        }
        if known.len() < MAX_KNOWN || known.contains_key(&pid) {
            known.insert(pid, Arc::new(memory));
        }
    }

    fn forget(&mut self, pid: u32) {
        self.tables.remove(pid);
        self.interpreters.remove(pid);
        self.placed.remove(&pid);
        locked(&self.shared.known).remove(&pid);
    }
}

/// Every file that is mapped stays open: as many as the system allows instead of the usual 1,024.
fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        debug!("the limit of open files stays: {error}");
    }
}

/// A thread that panicked has left whole values behind: each is replaced at once.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
