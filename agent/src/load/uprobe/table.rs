//! The probes that are attached, by file.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::Arc,
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLinkId, UProbeScope},
};
use log::{info, warn};

use super::{Elf, Missed, Plan, detach, plan::Placement, program};

/// Files that are remembered, most of them as having nothing of interest.
const MAX_FILES: usize = 4_096;

/// Probes of one feature in all files: once for each file, whoever uses it and under whichever path.
#[derive(Debug)]
pub(in crate::load) struct AttachTable {
    /// What the feature is called in the log.
    name: &'static str,
    /// By device and inode.
    files: HashMap<(u64, u64), Attached>,
    pub(in crate::load) counters: AttachCounters,
}

/// What became of the files that were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttachCounters {
    /// Files that are probed now.
    pub files: u64,
    /// Functions that could not be probed, in the order of [`Missed::ALL`].
    pub missed: [u64; Missed::ALL.len()],
    /// Processes or files that were not looked at because there were too many.
    pub dropped: u64,
}

/// A file that was looked at.
#[derive(Debug, Default)]
struct Attached {
    /// Size and time of change: an inode's number may come again.
    version: (u64, i64, i64),
    /// Kept when nobody uses the file any more: the next user begins sooner.
    plan: Arc<Plan>,
    links: Vec<(&'static str, UProbeLinkId)>,
    /// Processes seen to use it; of no interest where nothing is to be attached.
    users: BTreeSet<u32>,
}

impl AttachTable {
    pub(in crate::load) fn new(name: &'static str) -> Self {
        Self { name, files: HashMap::new(), counters: AttachCounters::default() }
    }

    /// A process uses the file at `path`: its probes are attached if they are not yet. `plan` reads a file that is
    /// not known. The plan, where the file has probes and the process is new to it.
    pub(in crate::load) fn probe(
        &mut self,
        ebpf: &mut Ebpf,
        pid: u32,
        path: &Path,
        plan: impl FnOnce(&Elf) -> Plan,
    ) -> Option<Arc<Plan>> {
        let metadata = fs::metadata(path).ok()?;
        let key = (metadata.dev(), metadata.ino());
        let version = (metadata.size(), metadata.mtime(), metadata.mtime_nsec());
        let full = self.files.len() >= MAX_FILES;
        let known = match self.files.get_mut(&key) {
            Some(file) if !file.links.is_empty() => {
                return file.users.insert(pid).then(|| Arc::clone(&file.plan));
            }
            Some(file) if file.version == version => Some(Arc::clone(&file.plan)),
            Some(_) => None,
            None if full => {
                self.counters.dropped += 1;
                return None;
            }
            None => None,
        };
        if known.as_ref().is_some_and(|plan| plan.placements.is_empty()) {
            return None;
        }
        // Held open, it can be probed when the process through which it was found has gone.
        let Ok(elf) = Elf::open(path) else {
            self.files.insert(key, Attached { version, ..Attached::default() });
            return None;
        };
        let plan = known.unwrap_or_else(|| {
            let plan = plan(&elf);
            for (function, why) in &plan.missed {
                warn!("{function} of {} is not traced: {}", path.display(), why.name());
                self.counters.miss(*why);
            }
            Arc::new(plan)
        });
        let links = self.attach(ebpf, &elf, path, &plan);
        let users = if links.is_empty() { BTreeSet::new() } else { BTreeSet::from([pid]) };
        let attached = !links.is_empty();
        if attached {
            info!("{} of {} (process {pid}): {} probes", self.name, path.display(), links.len());
        }
        // What the kernel has refused is not tried at every look.
        let plan = if attached { plan } else { Arc::default() };
        self.files.insert(key, Attached { version, plan: Arc::clone(&plan), links, users });
        self.count();
        attached.then_some(plan)
    }

    /// Lets go of files of which no user is alive.
    pub(in crate::load) fn release(&mut self, ebpf: &mut Ebpf, is_alive: impl Fn(u32) -> bool) {
        for file in self.files.values_mut().filter(|file| !file.links.is_empty()) {
            file.users.retain(|pid| is_alive(*pid));
            if file.users.is_empty() {
                detach(ebpf, &mut file.links);
            }
        }
        // A file without probes may be looked at anew.
        if self.files.len() >= MAX_FILES {
            self.files.retain(|_, file| !file.links.is_empty());
        }
        self.count();
    }

    /// A function with a program that is refused has none of its programs: half of a pair is worse than nothing.
    fn attach(
        &mut self,
        ebpf: &mut Ebpf,
        elf: &Elf,
        path: &Path,
        plan: &Plan,
    ) -> Vec<(&'static str, UProbeLinkId)> {
        let mut links = Vec::new();
        for group in plan.placements.chunk_by(|one, next| one.function == next.function) {
            let mut new = Vec::new();
            // Exits first: an entry that is seen has an end that is seen.
            let refused = group.iter().rev().find_map(|placement| match place(ebpf, elf, placement) {
                Ok(link) => {
                    new.push((placement.program, link));
                    None
                }
                Err(error) => Some(error),
            });
            if let Some(error) = refused {
                warn!("{} of {} is not traced: {error:#}", group[0].function, path.display());
                self.counters.miss(Missed::Refused);
                detach(ebpf, &mut new);
            }
            links.append(&mut new);
        }
        links
    }

    fn count(&mut self) {
        self.counters.files = self.files.values().filter(|file| !file.links.is_empty()).count() as u64;
    }
}

impl AttachCounters {
    /// What was not probed, by cause.
    #[must_use]
    pub fn missed_by_cause(&self) -> Vec<(&'static str, u64)> {
        let functions = Missed::ALL.iter().zip(self.missed).map(|(why, count)| (why.name(), count));
        functions.chain([("too_many", self.dropped)]).collect()
    }

    fn miss(&mut self, why: Missed) {
        self.missed[why as usize] += 1;
    }
}

fn place(ebpf: &mut Ebpf, elf: &Elf, placement: &Placement) -> Result<UProbeLinkId> {
    let location = UProbeAttachLocation::AbsoluteOffset(placement.at);
    let point = UProbeAttachPoint { location, cookie: placement.cookie };
    program(ebpf, placement.program)?
        .attach(point, elf.held(), UProbeScope::AllProcesses)
        .with_context(|| format!("no probe at {}", placement.site))
}
