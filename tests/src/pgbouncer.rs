//! PgBouncer in front of a PostgreSQL server.

use std::{fs, net::Ipv4Addr, os::unix::process::CommandExt, process::Command};

use anyhow::Result;

use crate::{
    guard::Guard,
    port,
    postgres::{self, DATABASE, Postgres, USER},
    scratch::Scratch,
};

/// A running pool that lends its one connection for a transaction at a time.
#[derive(Debug)]
pub struct PgBouncer {
    guard: Guard,
    port: u16,
    _directory: Scratch,
}

impl PgBouncer {
    /// Starts it on a port of loopback; everyone is trusted.
    ///
    /// # Errors
    /// When PgBouncer is not there, or does not listen.
    pub fn start(server: &Postgres) -> Result<Self> {
        let directory = Scratch::new("pool")?;
        let port = port::free()?;
        let settings = directory.join("pgbouncer.ini");
        fs::write(
            &settings,
            format!(
                "[databases]\n{DATABASE} = host=127.0.0.1 port={} user={USER}\n[pgbouncer]\n\
                 listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
                 pool_mode = transaction\ndefault_pool_size = 1\n",
                server.port()
            ),
        )?;
        // Debian keeps it in `sbin`. It refuses to run as root.
        let mut command = Command::new("/usr/sbin/pgbouncer");
        if let Some((user, group)) = postgres::owner(directory.path())? {
            command.uid(user).gid(group);
        }
        command.arg(&settings).current_dir("/");
        let mut guard = Guard::spawn(command)?;
        port::wait(&mut guard, (Ipv4Addr::LOCALHOST, port).into())?;
        Ok(Self { guard, port, _directory: directory })
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }
}
