//! php-fpm, and what nginx needs to pass requests on to it.

use std::{fs, net::Ipv4Addr, path::PathBuf, process::Command};

use anyhow::{Context, Result};

use crate::{guard::Guard, port, privilege, scratch::Scratch};

/// A running php-fpm: a master and its workers.
#[derive(Debug)]
pub struct PhpFpm {
    guard: Guard,
    /// As nginx names it.
    address: String,
    _scratch: Scratch,
}

/// Where it listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listens {
    Unix,
    Tcp,
}

impl PhpFpm {
    /// With so many workers.
    ///
    /// # Errors
    /// When it is not there or does not listen.
    pub fn start(listens: Listens, workers: u32) -> Result<Self> {
        let scratch = Scratch::new("php")?;
        let (socket, port) = (scratch.join("php.sock"), port::free()?);
        let listen = match listens {
            Listens::Unix => socket.display().to_string(),
            Listens::Tcp => format!("127.0.0.1:{port}"),
        };
        let configuration = format!(
            "[global]\nerror_log = /dev/stderr\ndaemonize = no\n\
             [www]\nlisten = {listen}\npm = static\npm.max_children = {workers}\npm.max_requests = 0\n\
             clear_env = no\ncatch_workers_output = yes\nuser = {user}\ngroup = {user}\nlisten.mode = 0666\n",
            user = if privilege::is_root() { "root" } else { "nobody" },
        );
        fs::write(scratch.join("fpm.conf"), configuration)?;
        let mut command = Command::new(binary()?);
        command
            .args(["--nodaemonize", "--allow-to-run-as-root", "--fpm-config"])
            .arg(scratch.join("fpm.conf"));
        let mut guard = Guard::spawn(command)?;
        let address = match listens {
            Listens::Unix => {
                port::wait_unix(&mut guard, &socket)?;
                format!("unix:{listen}")
            }
            Listens::Tcp => {
                port::wait(&mut guard, (Ipv4Addr::LOCALHOST, port).into())?;
                listen
            }
        };
        Ok(Self { guard, address, _scratch: scratch })
    }

    /// The master process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }

    /// Where it listens, as nginx names it.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// An `upstream fpm` for nginx, with connections that are kept.
    #[must_use]
    pub fn upstream(&self) -> String {
        format!("upstream fpm {{ server {}; keepalive 64; }}\n", self.address)
    }
}

/// Debian's has its version in its name.
fn binary() -> Result<PathBuf> {
    let entries = fs::read_dir("/usr/sbin").into_iter().flatten().flatten();
    let named =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("php-fpm"));
    entries.map(|entry| entry.path()).find(named).context("`apt-get install php-fpm` brings it")
}
