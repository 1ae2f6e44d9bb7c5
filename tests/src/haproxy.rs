//! HAProxy in front of other servers.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{client::Address, guard::Guard, port, scratch::Scratch};

/// A running proxy.
#[derive(Debug)]
pub struct HaProxy {
    guard: Guard,
    port: u16,
    _directory: Scratch,
}

impl HaProxy {
    /// Starts it in `mode`, `http` or `tcp`, on a free port of loopback, in front of `servers`, of which it keeps connections.
    ///
    /// # Errors
    /// When HAProxy is not there, refuses its configuration or does not listen.
    pub fn start(mode: &str, threads: u32, servers: &[u16]) -> Result<Self> {
        let directory = Scratch::new("haproxy")?;
        let port = port::free()?;
        let mut settings = format!(
            "global\n  nbthread {threads}\n  maxconn 1000\n\
             defaults\n  mode {mode}\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
             listen front\n  bind 127.0.0.1:{port}\n  balance roundrobin\n"
        );
        if mode == "http" {
            settings.push_str("  http-reuse always\n");
        }
        for (number, server) in servers.iter().enumerate() {
            settings.push_str(&format!("  server s{number} 127.0.0.1:{server}\n"));
        }
        let file = directory.join("haproxy.cfg");
        fs::write(&file, settings)?;
        // Debian keeps it in `sbin`.
        let mut command = Command::new("/usr/sbin/haproxy");
        command.arg("-db").arg("-f").arg(&file);
        let mut guard = Guard::spawn(command).context("haproxy: `apt-get install haproxy` brings it")?;
        port::wait(&mut guard, (Ipv4Addr::LOCALHOST, port).into())?;
        Ok(Self { guard, port, _directory: directory })
    }

    #[must_use]
    pub fn address(&self) -> Address {
        Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }
}
