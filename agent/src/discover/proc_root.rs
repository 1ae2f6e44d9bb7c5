//! One `/proc`, read with bounds. Every read can race with the process's exit, so absence is a value.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
};

use super::parse::{self, Stat, TcpLine};

/// The `/proc` to read: the host's, or a copy of it mounted elsewhere.
#[derive(Clone, Debug)]
pub struct ProcRoot(PathBuf);

/// What a process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executable {
    /// As the process's own mount namespace names it.
    pub path: PathBuf,
    /// The file was replaced or removed since the program started: a package upgrade, as a rule.
    pub deleted: bool,
}

/// Inodes of the namespaces a process is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    pub pid: Option<u64>,
    pub net: Option<u64>,
    pub mnt: Option<u64>,
}

/// Long enough for the classpath of a large Java program.
const ARGV_LIMIT: u64 = 256 << 10;
const ENVIRON_LIMIT: u64 = 256 << 10;
const FILE_LIMIT: u64 = 64 << 10;
const MOUNTINFO_LIMIT: u64 = 256 << 10;
const SOCKET_LINES_LIMIT: usize = 1 << 16;
const FILE_DESCRIPTORS_LIMIT: usize = 1 << 17;

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

    /// The ids of all processes (not threads).
    ///
    /// # Errors
    /// When the root itself cannot be listed.
    pub fn pids(&self) -> io::Result<Vec<u32>> {
        let entries = fs::read_dir(&self.0)?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
    }

    #[must_use]
    pub fn exists(&self, pid: u32) -> bool {
        self.of(pid, "stat").exists()
    }

    #[must_use]
    pub fn stat(&self, pid: u32) -> Option<Stat> {
        parse::stat(&bounded(&self.of(pid, "stat"), FILE_LIMIT)?)
    }

    /// Absent for kernel threads, for zombies, and without the right to look (`CAP_SYS_PTRACE`).
    #[must_use]
    pub fn executable(&self, pid: u32) -> Option<Executable> {
        let path = fs::read_link(self.of(pid, "exe")).ok()?;
        match path.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
            Some(before) => Some(Executable { path: before.into(), deleted: true }),
            None => Some(Executable { path, deleted: false }),
        }
    }

    /// Empty for kernel threads and zombies. At most 256 KiB are read.
    #[must_use]
    pub fn argv(&self, pid: u32) -> Vec<String> {
        bounded(&self.of(pid, "cmdline"), ARGV_LIMIT).map(|bytes| parse::argv(&bytes)).unwrap_or_default()
    }

    /// The variables the process started with whose name `keep` accepts; the others are never stored.
    #[must_use]
    pub fn environ(&self, pid: u32, keep: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        bounded(&self.of(pid, "environ"), ENVIRON_LIMIT)
            .map(|bytes| parse::environ(&bytes, keep))
            .unwrap_or_default()
    }

    #[must_use]
    pub fn working_directory(&self, pid: u32) -> Option<PathBuf> {
        fs::read_link(self.of(pid, "cwd")).ok()
    }

    #[must_use]
    pub fn cgroup(&self, pid: u32) -> Option<String> {
        text(&self.of(pid, "cgroup"), FILE_LIMIT)
    }

    #[must_use]
    pub fn mountinfo(&self, pid: u32) -> Option<String> {
        text(&self.of(pid, "mountinfo"), MOUNTINFO_LIMIT)
    }

    #[must_use]
    pub fn namespaces(&self, pid: u32) -> Namespaces {
        let inode = |kind: &str| {
            let link = fs::read_link(self.of(pid, "ns").join(kind)).ok()?;
            parse::bracketed(link.to_str()?, kind)
        };
        Namespaces { pid: inode("pid"), net: inode("net"), mnt: inode("mnt") }
    }

    /// A file of the kernel's, relative to the root: `sys/kernel/hostname`. Trailing white space is cut.
    #[must_use]
    pub fn kernel_text(&self, relative: &str) -> Option<String> {
        let text = text(&self.0.join(relative), FILE_LIMIT)?;
        Some(text.trim_end().to_owned())
    }

    /// Port and inode of every TCP socket that listens in the network namespace of `pid`; `None` when `pid` is gone.
    pub(super) fn listening_sockets(&self, pid: u32) -> Option<Vec<(u16, u64)>> {
        let mut sockets = Vec::new();
        let v4 = self.read_tcp(pid, "net/tcp", &mut sockets);
        let v6 = self.read_tcp(pid, "net/tcp6", &mut sockets);
        (v4.is_some() || v6.is_some()).then_some(sockets)
    }

    /// Inodes of the sockets `pid` holds open.
    pub(super) fn socket_inodes(&self, pid: u32) -> impl Iterator<Item = u64> {
        let entries = fs::read_dir(self.of(pid, "fd")).into_iter().flatten();
        entries.take(FILE_DESCRIPTORS_LIMIT).filter_map(|entry| {
            let link = fs::read_link(entry.ok()?.path()).ok()?;
            parse::bracketed(link.to_str()?, "socket")
        })
    }

    fn read_tcp(&self, pid: u32, file: &str, sockets: &mut Vec<(u16, u64)>) -> Option<()> {
        let lines = BufReader::new(File::open(self.of(pid, file)).ok()?).lines();
        for line in lines.take(SOCKET_LINES_LIMIT) {
            match parse::tcp_line(&line.ok()?) {
                TcpLine::Listening { port, inode } => sockets.push((port, inode)),
                TcpLine::Other => break,
                TcpLine::NotASocket => {}
            }
        }
        Some(())
    }

    fn of(&self, pid: u32, file: &str) -> PathBuf {
        self.0.join(pid.to_string()).join(file)
    }
}

fn text(path: &Path, limit: u64) -> Option<String> {
    Some(String::from_utf8_lossy(&bounded(path, limit)?).into_owned())
}

fn bounded(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
