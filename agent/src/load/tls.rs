//! Probes in TLS libraries: found through the maps of traced processes, attached once for each file, and taken
//! off when no process uses it any more.

use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    programs::{UProbe, uprobe::UProbeLinkId, uprobe::UProbeScope},
};
use iced_x86::Register;
use log::{debug, info, warn};

use super::uprobe::{Function, Site, code_at, entry, exits, functions, needed, returns, tails};
use crate::discover::ProcRoot;

/// How often a process is looked at after it was selected or has begun a program: what it needs is mapped in its
/// first moments, and some of it (Python's modules) just before it first speaks TLS.
const LOOKS: usize = 40;
const SOON: Duration = Duration::from_millis(5);
/// After this many looks, or while many processes begin, the next is the last.
const CLOSE_LOOKS: usize = 38;
const MANY: usize = 32;
const LATER: Duration = Duration::from_millis(500);
/// Processes waiting to be looked at.
const MAX_DUE: usize = 4_096;
/// Processes looked at again in one round of housekeeping, for what they have loaded since.
const MAX_AGAIN: usize = 64;
/// Files whose symbols are remembered, most of them as having none of interest.
const MAX_FILES: usize = 4_096;
/// `/proc/PID/maps` of a large Java program is about 1 MiB.
const MAX_MAPS: u64 = 4 << 20;

/// Where the dynamic linker finds libraries, and the TLS libraries it finds there.
const DIRECTORIES: [&str; 4] = ["usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib", "lib"];
const LIBRARIES: [(&str, &[Target]); 3] =
    [("libssl.so.3", OPENSSL), ("libssl.so.1.1", OPENSSL), ("libgnutls.so.30", GNUTLS)];
/// Libraries that bring one of them.
const USERS: [&str; 4] = ["libssl", "libgnutls", "libcurl", "libpq"];

/// Probes at the exits of one function.
const MAX_EXITS: usize = 32;

/// The x86_64 System V calling convention.
const ARGUMENTS: [Register; 4] = [Register::RDI, Register::RSI, Register::RDX, Register::RCX];

/// A function to probe: its name, the program at its entry, and the one at its exits.
type Target = (&'static str, &'static str, Option<&'static str>);

const OPENSSL: &[Target] = &[
    ("SSL_read", "tls_read", Some("tls_read_done")),
    ("SSL_write", "tls_write", Some("tls_write_done")),
    ("SSL_read_ex", "tls_read_ex", Some("tls_read_ex_done")),
    ("SSL_write_ex", "tls_write_ex", Some("tls_write_ex_done")),
    ("SSL_do_handshake", "tls_handshake", None),
    ("SSL_free", "tls_free", None),
];

/// `gnutls_record_send` is a jump to `gnutls_record_send2`, which has two more arguments.
const GNUTLS: &[Target] = &[
    ("gnutls_record_recv", "tls_read", Some("tls_read_done")),
    ("gnutls_record_send2", "tls_write", Some("tls_write_done")),
    ("gnutls_deinit", "tls_free", None),
];

/// Every TLS probe there is.
#[derive(Debug, Default)]
pub(super) struct TlsProbes {
    /// By device and inode.
    files: HashMap<(u64, u64), Library>,
    due: Vec<(Instant, u32, usize)>,
    /// Where the next housekeeping begins.
    next: u32,
    pub(super) counters: TlsCounters,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsCounters {
    /// Files that are probed now.
    pub libraries: u64,
    /// Functions that could not be probed.
    pub failed: u64,
    /// Processes or files that were not looked at because there were too many.
    pub dropped: u64,
}

/// A function's sites, for the user's eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSites {
    pub function: String,
    pub sites: String,
}

/// A file that was looked at.
#[derive(Debug, Default)]
struct Library {
    links: Vec<(&'static str, UProbeLinkId)>,
    /// Processes seen to use it; of no interest where nothing is attached.
    users: BTreeSet<u32>,
}

/// Loads the programs, which then wait for a library.
pub(super) fn load(ebpf: &mut Ebpf) -> Result<()> {
    let mut names: Vec<&str> =
        OPENSSL.iter().chain(GNUTLS).flat_map(|t| [Some(t.1), t.2]).flatten().collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        program(ebpf, name)?.load().with_context(|| format!("{name} does not load"))?;
    }
    Ok(())
}

/// The TLS libraries of a process, with the sites that probes have or would have.
///
/// # Errors
/// Where the process's maps cannot be read.
pub fn examine(proc: &ProcRoot, pid: u32) -> io::Result<Vec<(PathBuf, Vec<TlsSites>)>> {
    let mut all = Vec::new();
    for (path, targets) in candidates(proc, pid)? {
        let names: Vec<&str> = targets.iter().map(|target| target.0).collect();
        let Ok(found) = functions(&path, &names) else { continue };
        let mut sites = Vec::new();
        for (target, function) in targets.iter().zip(found) {
            let Some(function) = function else { continue };
            let (entry, exits) = choose(&path, &function, target);
            let chosen: Vec<Site> = entry.into_iter().chain(exits).collect();
            let words: Vec<String> = chosen.iter().map(ToString::to_string).collect();
            sites.push(TlsSites { function: target.0.to_owned(), sites: words.join(", ") });
        }
        if !sites.is_empty() {
            all.push((path, sites));
        }
    }
    Ok(all)
}

impl TlsProbes {
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
        let now = Instant::now();
        let mut waiting = std::mem::take(&mut self.due);
        let ripe: Vec<(Instant, u32, usize)> = waiting.extract_if(.., |entry| entry.0 <= now).collect();
        self.due = waiting;
        for (_, pid, look) in ripe {
            if look == 0 {
                self.anticipate(ebpf, proc, pid);
            }
            // A process that has gone needs no more looks.
            if self.look(ebpf, proc, pid).is_err() {
                continue;
            }
            if look + 1 < LOOKS {
                let close = look < CLOSE_LOOKS && self.due.len() < MANY;
                let (delay, next) = if close { (SOON, look + 1) } else { (LATER, LOOKS - 1) };
                self.due.push((now + delay, pid, next));
            }
        }
        self.due.iter().any(|entry| entry.2 < LOOKS - 1)
    }

    /// Finds what was loaded since, in some of `processes`, and lets go of files that nobody uses.
    pub(super) fn tidy(&mut self, ebpf: &mut Ebpf, proc: &ProcRoot, processes: &[u32]) {
        let later = processes.partition_point(|pid| *pid < self.next);
        let (before, after) = processes.split_at(later);
        for &pid in after.iter().chain(before).take(MAX_AGAIN) {
            let _ = self.look(ebpf, proc, pid);
            self.next = pid + 1;
        }
        for library in self.files.values_mut().filter(|library| !library.links.is_empty()) {
            library.users.retain(|pid| proc.exists(*pid));
            if library.users.is_empty() {
                for (name, link) in library.links.drain(..) {
                    if let Err(error) = program(ebpf, name).and_then(|probe| Ok(probe.detach(link)?)) {
                        debug!("{name} does not detach: {error:#}");
                    }
                }
            }
        }
        // A file without probes may be looked at anew.
        if self.files.len() >= MAX_FILES {
            self.files.retain(|_, library| !library.links.is_empty());
        }
        self.count();
    }

    /// A program that has just begun has not mapped its libraries, and may speak TLS the moment it has: those it
    /// asks for are probed where they lie.
    fn anticipate(&mut self, ebpf: &mut Ebpf, proc: &ProcRoot, pid: u32) {
        let directory = proc.path().join(pid.to_string());
        let Ok(needed) = needed(&directory.join("exe")) else { return };
        if !needed.iter().any(|name| USERS.iter().any(|user| name.starts_with(user))) {
            return;
        }
        let places =
            DIRECTORIES.iter().flat_map(|place| LIBRARIES.iter().map(move |library| (place, library)));
        let files =
            places.map(|(place, (name, targets))| (directory.join("root").join(place).join(name), *targets));
        self.probe(ebpf, pid, files.collect());
    }

    fn look(&mut self, ebpf: &mut Ebpf, proc: &ProcRoot, pid: u32) -> io::Result<()> {
        let files = candidates(proc, pid)?;
        self.probe(ebpf, pid, files);
        Ok(())
    }

    fn probe(&mut self, ebpf: &mut Ebpf, pid: u32, files: Vec<(PathBuf, &'static [Target])>) {
        for (path, targets) in files {
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let key = (metadata.dev(), metadata.ino());
            if let Some(library) = self.files.get_mut(&key) {
                let detached = library.links.is_empty() && !library.users.is_empty();
                if !library.links.is_empty() {
                    library.users.insert(pid);
                }
                if !detached {
                    continue;
                }
            } else if self.files.len() >= MAX_FILES {
                self.counters.dropped += 1;
                continue;
            }
            let links = self.attach(ebpf, &path, targets, pid);
            let users = if links.is_empty() { BTreeSet::new() } else { BTreeSet::from([pid]) };
            self.files.insert(key, Library { links, users });
            self.count();
        }
    }

    fn attach(
        &mut self,
        ebpf: &mut Ebpf,
        path: &Path,
        targets: &'static [Target],
        pid: u32,
    ) -> Vec<(&'static str, UProbeLinkId)> {
        let names: Vec<&str> = targets.iter().map(|target| target.0).collect();
        // Held open, it can be probed when the process through which it was found has gone.
        let Ok(file) = fs::File::open(path) else { return Vec::new() };
        let held = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let Ok(found) = functions(&held, &names) else { return Vec::new() };
        let mut links = Vec::new();
        for (target, function) in targets.iter().zip(found) {
            let Some(function) = function else { continue };
            match attach_function(ebpf, &held, target, &function) {
                Ok(new) => links.extend(new),
                Err(error) => {
                    self.counters.failed += 1;
                    warn!("{} of {} is not traced: {error:#}", target.0, path.display());
                }
            }
        }
        if !links.is_empty() {
            info!("TLS of {} (process {pid}): {} probes", path.display(), links.len());
        }
        links
    }

    fn count(&mut self) {
        self.counters.libraries =
            self.files.values().filter(|library| !library.links.is_empty()).count() as u64;
    }
}

fn attach_function(
    ebpf: &mut Ebpf,
    path: &Path,
    target: &Target,
    function: &Function,
) -> Result<Vec<(&'static str, UProbeLinkId)>> {
    let (entry, exits) = choose(path, function, target);
    let entry = entry.context("no code")?;
    anyhow::ensure!(target.2.is_none() || !exits.is_empty(), "it does not return by itself");
    let mut links = Vec::new();
    let places = exits.iter().filter_map(|site| Some((target.2?, site))).chain([(target.1, &entry)]);
    for (name, site) in places {
        let at = function.file_offset.wrapping_add(site.offset);
        let link = program(ebpf, name)?
            .attach(at, path, UProbeScope::AllProcesses)
            .with_context(|| format!("no probe at {site}"))?;
        links.push((name, link));
    }
    Ok(links)
}

/// A function that ends by a jump to another returns there.
fn choose(path: &Path, function: &Function, target: &Target) -> (Option<Site>, Vec<Site>) {
    let entry = entry(&function.code, function.address, &ARGUMENTS);
    if target.2.is_none() {
        return (entry, Vec::new());
    }
    let mut sites = exits(&function.code, function.address);
    for address in tails(&function.code, function.address) {
        let Some(tail) = code_at(path, address) else { continue };
        let distance = tail.file_offset.wrapping_sub(function.file_offset);
        let found = returns(&tail.code, tail.address).into_iter();
        sites.extend(found.map(|site| Site { offset: site.offset.wrapping_add(distance), ..site }));
    }
    sites.truncate(MAX_EXITS);
    (entry, sites)
}

/// The files of a process that may hold a TLS library, as paths that lead there from any mount namespace.
fn candidates(proc: &ProcRoot, pid: u32) -> io::Result<Vec<(PathBuf, &'static [Target])>> {
    let directory = proc.path().join(pid.to_string());
    let mut text = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(fs::File::open(directory.join("maps"))?, MAX_MAPS), &mut text)?;
    let mut found = vec![(directory.join("exe"), OPENSSL)];
    let mut last: &[u8] = &[];
    for line in text.split(|byte| *byte == b'\n') {
        let Some(at) = line.iter().position(|byte| *byte == b'/') else { continue };
        let path = &line[at..];
        if path == last {
            continue;
        }
        last = path;
        let Ok(path) = std::str::from_utf8(path) else { continue };
        if let Some(targets) = library(path) {
            let inside = directory.join("root").join(path.trim_start_matches('/'));
            if !found.iter().any(|(known, _)| *known == inside) {
                found.push((inside, targets));
            }
        }
    }
    Ok(found)
}

/// `libssl.so.3`, `libssl-0a1b2c.so.1.1` of a Python wheel, `libgnutls.so.30`.
fn library(path: &str) -> Option<&'static [Target]> {
    let name = path.rsplit('/').next()?;
    if !name.contains(".so") {
        return None;
    }
    let is = |prefix: &str| {
        name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.') || rest.starts_with('-'))
    };
    if is("libssl") {
        Some(OPENSSL)
    } else if is("libgnutls") {
        Some(GNUTLS)
    } else {
        None
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut UProbe> {
    let program = ebpf.program_mut(name).with_context(|| format!("no program {name} in the object"))?;
    Ok(program.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_known_by_their_file_names() {
        let is = |path: &str| library(path).map(|targets| targets[0].0);
        assert_eq!(is("/usr/lib/x86_64-linux-gnu/libssl.so.3"), Some("SSL_read"));
        assert_eq!(is("/opt/venv/lib/libssl-0a1b2c3d.so.1.1"), Some("SSL_read"));
        assert_eq!(is("/usr/lib/libgnutls.so.30.34.3"), Some("gnutls_record_recv"));
        assert_eq!(is("/usr/lib/libssl3.so"), None);
        assert_eq!(is("/usr/share/libssl.txt"), None);
        assert_eq!(is("/usr/lib/libcrypto.so.3"), None);
    }
}
