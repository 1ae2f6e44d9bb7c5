//! A Memcached server of the test's own.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{guard::Guard, port, privilege};

/// A running server, on a port of loopback.
#[derive(Debug)]
pub struct Memcached {
    guard: Guard,
    port: u16,
}

impl Memcached {
    /// # Errors
    /// When Memcached is not there, or does not listen.
    pub fn start() -> Result<Self> {
        let port = port::free()?;
        let mut server = Command::new("memcached");
        server.args(["-l", "127.0.0.1", "-p", &port.to_string(), "-U", "0", "-t", "2"]);
        if privilege::is_root() {
            // It does not run as root.
            server.args(["-u", "nobody"]);
        }
        let mut guard = Guard::spawn(server).context("`apt-get install memcached` brings it")?;
        port::wait(&mut guard, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        Ok(Self { guard, port })
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}
