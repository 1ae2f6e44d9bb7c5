//! Headers for outgoing requests: attached only where the user asked for them.

use std::{
    fs::{self, File},
    io::Write as _,
    net::{TcpListener, TcpStream},
    os::fd::AsFd,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use aya::{
    Ebpf,
    maps::{Array, MapData, PerCpuArray, SockHash},
    programs::{CgroupAttachMode, SkMsg, SockOps},
};
use honeyguide_common::propagation::{FOLLOW, Outcome};
use log::debug;

use super::hooks;

/// What the kernel programs are told about traces that begin with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderSettings {
    /// Of 2^56 traces, those that are not sampled: all of them where it is more.
    pub reject_below: u64,
}

/// The attached programs' tables. Dropping the programs lets every connection go.
pub(super) struct Headers {
    outcomes: PerCpuArray<MapData, u64>,
    /// Connections are followed after their first request.
    pub(super) follow: bool,
}

/// How long the kernel may take to hand five bytes from one end of a connection to the other.
const PATIENCE: Duration = Duration::from_secs(2);

/// Loads and attaches the programs.
///
/// # Errors
/// Where there is no cgroup2 hierarchy, or the kernel refuses.
pub(super) fn attach(ebpf: &mut Ebpf, mounts: &str) -> Result<Headers> {
    let root = cgroup_root(mounts)
        .context("no cgroup2 file system is mounted: `mount -t cgroup2 none /sys/fs/cgroup/unified`")?;
    let cgroup = File::open(&root).with_context(|| format!("cannot open {}", root.display()))?;
    let mut connections: SockHash<MapData, u64> =
        SockHash::try_from(ebpf.take_map("CONNECTIONS").context("no map CONNECTIONS")?)?;
    let messages: &mut SkMsg = hooks::program(ebpf, "propagate_messages")?;
    messages.load().map_err(|error| hooks::refusal("propagate_messages", error))?;
    messages.attach(connections.fd()).context("propagate_messages does not attach")?;

    let follow = match tells_what_is_there(&mut connections) {
        Ok(follow) => follow,
        Err(error) => {
            debug!("whether readers are told of their bytes could not be tried: {error:#}");
            false
        }
    };
    let mut table: Array<MapData, u32> =
        Array::try_from(ebpf.take_map("PROPAGATION").context("no map PROPAGATION")?)?;
    table.set(FOLLOW, u32::from(follow), 0)?;

    let sockets: &mut SockOps = hooks::program(ebpf, "propagate_connections")?;
    sockets.load().map_err(|error| hooks::refusal("propagate_connections", error))?;
    // By a link, which lets others attach beside it.
    sockets
        .attach(cgroup.as_fd(), CgroupAttachMode::Single)
        .context("propagate_connections does not attach")?;
    let outcomes = PerCpuArray::try_from(ebpf.take_map("OUTCOMES").context("no map OUTCOMES")?)?;
    Ok(Headers { outcomes, follow })
}

/// What is mounted here; nothing where `/proc` is not.
pub(super) fn mounts() -> String {
    fs::read_to_string("/proc/self/mounts").unwrap_or_default()
}

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Headers").field("follow", &self.follow).finish_non_exhaustive()
    }
}

impl Headers {
    /// In the order of [`Outcome::ALL`].
    pub(super) fn outcomes(&self) -> [u64; Outcome::ALL.len()] {
        Outcome::ALL
            .map(|outcome| self.outcomes.get(&(outcome as u32), 0).map_or(0, |values| values.iter().sum()))
    }
}

/// Whether a reader is told rightly how much there is to read of a connection in a sockmap. Linux 6.18.14, 6.12.75 and
/// 6.6.128 say 0 (their `tcp_bpf_ioctl` counts what a verdict program has queued, and there is none), and readers that ask
/// first (nginx, Java) stall. It is tried, on a connection of our own, since versions do not tell where it was mended.
fn tells_what_is_there(connections: &mut SockHash<MapData, u64>) -> Result<bool> {
    const KEY: u64 = 0;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let (mut theirs, _) = listener.accept()?;
    connections.insert(KEY, ours.as_fd(), 0)?;
    theirs.write_all(b"bytes")?;
    ours.set_read_timeout(Some(PATIENCE))?;
    let begun = Instant::now();
    while ours.peek(&mut [0; 8])? < 5 {
        if begun.elapsed() > PATIENCE {
            bail!("five bytes did not arrive");
        }
    }
    let told = rustix::io::ioctl_fionread(&ours)?;
    connections.remove(&KEY)?;
    Ok(told == 5)
}

/// Where the root of the cgroup2 hierarchy is; `mounts` is `/proc/self/mounts`.
fn cgroup_root(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (target, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(target))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_the_hierarchy_is_where_it_is_mounted_first() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\ncgroup2 /run/other cgroup2 rw 0 0\n";
        assert_eq!(cgroup_root(mounts), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(cgroup_root("tmpfs / tmpfs rw 0 0\n"), None);
        assert_eq!(cgroup_root(""), None);
    }
}
