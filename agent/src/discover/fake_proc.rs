//! A `/proc` made of files, for tests.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use tempfile::TempDir;

use super::ProcRoot;

pub(crate) struct FakeProc(TempDir);

impl FakeProc {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn root(&self) -> ProcRoot {
        ProcRoot::new(self.0.path())
    }

    pub(crate) fn process(&self, pid: u32, ppid: u32, exe: &str) {
        self.started(pid, ppid, exe, u64::from(pid) * 100);
    }

    pub(crate) fn started(&self, pid: u32, ppid: u32, exe: &str, start: u64) {
        self.stat(pid, ppid, "comm", 0x40_0000, start);
        self.link(pid, "exe", exe);
        self.namespace(pid, "net", 1);
    }

    pub(crate) fn kernel_thread(&self, pid: u32, comm: &str) {
        self.stat(pid, 2, comm, 0x20_8040, 1);
    }

    pub(crate) fn file(&self, pid: u32, name: &str, content: &str) {
        fs::write(self.of(pid, name), content).unwrap();
    }

    /// A file outside the processes: `sys/kernel/hostname`.
    pub(crate) fn kernel_file(&self, name: &str, content: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn argv(&self, pid: u32, argv: &[&str]) {
        self.file(pid, "cmdline", &(argv.join("\0") + "\0"));
    }

    pub(crate) fn link(&self, pid: u32, name: &str, target: &str) {
        let path = self.of(pid, name);
        let _ = fs::remove_file(&path);
        symlink(target, path).unwrap();
    }

    pub(crate) fn namespace(&self, pid: u32, kind: &str, inode: u64) {
        self.link(pid, &format!("ns/{kind}"), &format!("{kind}:[{inode}]"));
    }

    pub(crate) fn descriptors(&self, pid: u32, links: &[&str]) {
        for (fd, target) in links.iter().enumerate() {
            self.link(pid, &format!("fd/{fd}"), target);
        }
    }

    /// Port, state and inode of each socket.
    pub(crate) fn tcp(&self, pid: u32, sockets: &[(u16, &str, u64)]) {
        let mut text = String::from("  sl  local_address rem_address   st\n");
        for (port, state, inode) in sockets {
            text += &format!(
                "   0: 00000000:{port:04X} 00000000:0000 {state} 0:0 00:0 0     0        0 {inode} 1\n"
            );
        }
        self.file(pid, "net/tcp", &text);
    }

    pub(crate) fn remove(&self, pid: u32) {
        fs::remove_dir_all(self.0.path().join(pid.to_string())).unwrap();
    }

    fn stat(&self, pid: u32, ppid: u32, comm: &str, flags: u64, start: u64) {
        let rest = " 0".repeat(30);
        let text =
            format!("{pid} ({comm}) S {ppid} 1 1 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 1 0 {start}{rest}\n");
        self.file(pid, "stat", &text);
    }

    fn of(&self, pid: u32, name: &str) -> PathBuf {
        let path = self.0.path().join(pid.to_string()).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }
}
