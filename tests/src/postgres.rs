//! A PostgreSQL server with a cluster of its own.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    net::Ipv4Addr,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{certificate, guard::Guard, port, privilege, python, scratch::Scratch};

/// The role and the database that the tests use.
pub const USER: &str = "shopper";
pub const DATABASE: &str = "shop";

const STOP: Duration = Duration::from_secs(20);

/// A running server. It listens on a port of loopback and on a unix socket; everyone is trusted.
#[derive(Debug)]
pub struct Postgres {
    guard: Guard,
    port: u16,
    directory: Scratch,
    encrypted: bool,
}

impl Postgres {
    /// Makes a cluster with the database [`DATABASE`] and starts the server.
    ///
    /// # Errors
    /// When PostgreSQL is not there, or does not start.
    pub fn start() -> Result<Self> {
        Self::start_with(false, None)
    }

    /// The same with TLS, on which its clients insist where there is a network.
    ///
    /// # Errors
    /// As for [`Postgres::start`].
    pub fn start_encrypted() -> Result<Self> {
        Self::start_with(true, None)
    }

    /// Without TLS and on every address of its host, also for clients of another network.
    ///
    /// # Errors
    /// As for [`Postgres::start`].
    pub fn start_for(network: &str) -> Result<Self> {
        Self::start_with(false, Some(network))
    }

    fn start_with(encrypted: bool, network: Option<&str>) -> Result<Self> {
        let directory = Scratch::new("pg")?;
        let owner = owner(directory.path())?;
        let data = directory.join("data");
        let mut initdb = as_owner("initdb", owner)?;
        initdb.args(["--username", USER, "--auth", "trust", "--no-sync", "--encoding", "UTF8"]);
        python::quietly(initdb.args(["--locale", "C", "--pgdata"]).arg(&data))?;
        let port = port::free()?;
        let mut server = as_owner("postgres", owner)?;
        server.arg("-D").arg(&data).arg("-k").arg(directory.path()).args(["-p", &port.to_string()]);
        let listen = if network.is_some() { "listen_addresses=*" } else { "listen_addresses=127.0.0.1" };
        if let Some(network) = network {
            let rules = OpenOptions::new().append(true).open(data.join("pg_hba.conf"));
            writeln!(rules?, "host all all {network} trust")?;
        }
        for setting in [listen, "fsync=off", "autovacuum=off", "jit=off"] {
            server.args(["-c", setting]);
        }
        if encrypted {
            let (key, certificate) = certificate::make(directory.path())?;
            if let Some((user, group)) = owner {
                chown(&key, Some(user), Some(group))?;
            }
            server.args(["-c", "ssl=on", "-c"]).arg(format!("ssl_key_file={}", key.display()));
            server.arg("-c").arg(format!("ssl_cert_file={}", certificate.display()));
        } else {
            server.args(["-c", "ssl=off"]);
        }
        let mut guard = Guard::spawn(server)?;
        // It listens before it serves.
        guard.wait_for_text("ready to accept connections", Duration::from_secs(30))?;
        port::wait(&mut guard, (Ipv4Addr::LOCALHOST, port).into())?;
        let server = Self { guard, port, directory, encrypted };
        let mut createdb = server.client("createdb", server.socket())?;
        python::quietly(createdb.args(["--maintenance-db", "postgres", DATABASE]))?;
        Ok(server)
    }

    /// One of PostgreSQL's own clients, with the connection in its environment. `host` is an address, or the
    /// directory of the socket.
    ///
    /// # Errors
    /// When PostgreSQL is not there.
    pub fn client(&self, program: &str, host: &Path) -> Result<Command> {
        let mut command = Command::new(self::program(program)?);
        self.connect(&mut command, host);
        Ok(command)
    }

    /// Sets what libpq reads from the environment: host, port, user and database.
    pub fn connect(&self, command: &mut Command, host: &Path) {
        command.env("PGHOST", host).env("PGPORT", self.port.to_string());
        command.env("PGUSER", USER).env("PGDATABASE", DATABASE);
        if self.encrypted && !host.starts_with(self.socket()) {
            command.env("PGSSLMODE", "require");
        }
    }

    /// Makes a role whose password clients on loopback are asked for.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn add_role(&self, role: &str, password: &str) -> Result<()> {
        let file = self.directory.join("data/pg_hba.conf");
        let rules = fs::read_to_string(&file)?;
        fs::write(&file, format!("host all {role} 127.0.0.1/32 scram-sha-256\n{rules}"))?;
        let mut psql = self.client("psql", self.socket())?;
        psql.args(["--no-psqlrc", "--quiet", "--command"]);
        psql.arg(format!("CREATE ROLE {role} LOGIN PASSWORD '{password}'"));
        python::quietly(psql.args(["--command", "SELECT pg_reload_conf()"]))
    }

    /// What clients trust, where there is TLS.
    #[must_use]
    pub fn certificate(&self) -> Option<PathBuf> {
        self.encrypted.then(|| self.directory.join("cert.pem"))
    }

    /// The directory of the unix socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        self.directory.path()
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The postmaster; there is a child of it for every connection.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A server that is killed leaves its processes, each in a group of its own, and shared memory behind.
        self.guard.signal(libc::SIGINT);
        // One that does not end is killed by the guard.
        let _ = self.guard.wait(STOP);
    }
}

/// Debian keeps the server's programs off the path; its `psql` and `pgbench` on the path are scripts that start
/// these.
fn program(name: &str) -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = versions.map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = debian.chain(std::env::split_paths(&path)).map(|directory| directory.join(name));
    found
        .find(|path| path.is_file())
        .with_context(|| format!("{name}: `apt-get install postgresql` brings it"))
}

/// The server refuses to run as root: the user that the package made gets `directory`.
pub(crate) fn owner(directory: &Path) -> Result<Option<(u32, u32)>> {
    if !privilege::is_root() {
        return Ok(None);
    }
    let (user, group) = privilege::user("postgres")
        .context("there is no user postgres: `apt-get install postgresql` makes it")?;
    chown(directory, Some(user), Some(group))?;
    Ok(Some((user, group)))
}

fn as_owner(name: &str, owner: Option<(u32, u32)>) -> Result<Command> {
    let mut command = Command::new(program(name)?);
    command.current_dir("/").env("LC_ALL", "C");
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    Ok(command)
}
