//! One process, held by its `/proc` directory: what is read is of this process, even where its id is used again meanwhile.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read},
    path::PathBuf,
};

use procfs::{
    FromRead, ProcResult, ProcessCGroups,
    net::TcpState,
    process::{MountInfo, Process},
};

use super::parse::{self, Stat};

/// Every read can race with the process's exit, so absence is a value.
#[derive(Debug)]
pub struct OpenProcess {
    process: Process,
    directory: PathBuf,
}

/// What a process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executable {
    /// As the process's own mount namespace names it.
    pub path: PathBuf,
    /// The file was replaced or removed since the program started: a package upgrade, as a rule.
    pub deleted: bool,
}

const FILE_LIMIT: u64 = 64 << 10;
/// Long enough for the classpath of a large Java program.
const LONG_FILE_LIMIT: u64 = 256 << 10;
const SOCKET_LINES_LIMIT: usize = 1 << 16;
const SOCKET_BYTES_LIMIT: u64 = 16 << 20;
const FILE_DESCRIPTORS_LIMIT: usize = 1 << 17;

impl OpenProcess {
    /// `directory`: `/proc/PID`.
    pub(super) fn new(process: Process, directory: PathBuf) -> Self {
        Self { process, directory }
    }

    #[must_use]
    pub fn stat(&self) -> Option<Stat> {
        parse::stat(&self.read::<FILE_LIMIT>("stat")?)
    }

    /// Absent for kernel threads, for zombies, and without the right to look (`CAP_SYS_PTRACE`).
    #[must_use]
    pub fn executable(&self) -> Option<Executable> {
        let path = self.process.exe().ok()?;
        match path.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
            Some(before) => Some(Executable { path: before.into(), deleted: true }),
            None => Some(Executable { path, deleted: false }),
        }
    }

    /// Empty for kernel threads and zombies. At most 256 KiB are read.
    #[must_use]
    pub fn argv(&self) -> Vec<String> {
        self.read::<LONG_FILE_LIMIT>("cmdline").map(|bytes| parse::argv(&bytes)).unwrap_or_default()
    }

    /// The variables the process started with whose name `keep` accepts; the others are never stored.
    #[must_use]
    pub fn environ(&self, keep: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        self.read::<LONG_FILE_LIMIT>("environ").map(|bytes| parse::environ(&bytes, keep)).unwrap_or_default()
    }

    #[must_use]
    pub fn working_directory(&self) -> Option<PathBuf> {
        self.process.cwd().ok()
    }

    #[must_use]
    pub fn cgroups(&self) -> Option<ProcessCGroups> {
        parse::cgroups(&self.read::<FILE_LIMIT>("cgroup")?)
    }

    #[must_use]
    pub fn mounts(&self) -> Vec<MountInfo> {
        self.read::<LONG_FILE_LIMIT>("mountinfo").map(|bytes| parse::mounts(&bytes)).unwrap_or_default()
    }

    /// The inode number of its network namespace. The crate looks at every namespace and gives all or none.
    #[must_use]
    pub fn network_namespace(&self) -> Option<u64> {
        parse::network_namespace(fs::read_link(self.directory.join("ns/net")).ok()?.to_str()?)
    }

    /// Port and inode of every TCP socket that listens in its network namespace.
    pub(super) fn listening_sockets(&self) -> Option<Vec<(u16, u64)>> {
        let mut sockets = Vec::new();
        let v4 = self.read_tcp("net/tcp", &mut sockets);
        let v6 = self.read_tcp("net/tcp6", &mut sockets);
        (v4.is_some() || v6.is_some()).then_some(sockets)
    }

    /// Inodes of the sockets it holds open. One `readlink` a descriptor, where the crate opens and examines each.
    pub(super) fn socket_inodes(&self) -> impl Iterator<Item = u64> {
        let entries = fs::read_dir(self.directory.join("fd")).into_iter().flatten();
        entries
            .take(FILE_DESCRIPTORS_LIMIT)
            .filter_map(|entry| parse::socket_inode(fs::read_link(entry.ok()?.path()).ok()?.to_str()?))
    }

    /// The kernel writes the listening sockets first.
    fn read_tcp(&self, file: &str, sockets: &mut Vec<(u16, u64)>) -> Option<()> {
        let file = self.process.open_relative(file).ok()?;
        for line in BufReader::new(file.take(SOCKET_BYTES_LIMIT)).lines().take(SOCKET_LINES_LIMIT) {
            match parse::tcp_line(&line.ok()?) {
                Some(entry) if entry.state == TcpState::Listen => {
                    sockets.push((entry.local_address.port(), entry.inode));
                }
                Some(_) => break,
                None => {}
            }
        }
        Some(())
    }

    fn read<const LIMIT: u64>(&self, file: &str) -> Option<Vec<u8>> {
        self.process.read::<_, Bounded<LIMIT>>(file).ok().map(|bounded| bounded.0)
    }
}

/// The first bytes of a file.
struct Bounded<const LIMIT: u64>(Vec<u8>);

impl<const LIMIT: u64> FromRead for Bounded<LIMIT> {
    fn from_read<R: Read>(reader: R) -> ProcResult<Self> {
        let mut bytes = Vec::new();
        reader.take(LIMIT).read_to_end(&mut bytes)?;
        Ok(Self(bytes))
    }
}
