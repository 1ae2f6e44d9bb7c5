//! A MariaDB server with a data directory of its own.

use std::{
    net::Ipv4Addr,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{certificate, guard::Guard, port, privilege, python, scratch::Scratch};

/// The user and the database that the tests use.
pub const USER: &str = "shopper";
pub const PASSWORD: &str = "canary-7f3a-password";
pub const DATABASE: &str = "shop";

const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(20);

/// A running server. It listens on a port of loopback and on a unix socket.
#[derive(Debug)]
pub struct MySql {
    guard: Guard,
    port: u16,
    directory: Scratch,
}

impl MySql {
    /// Makes a data directory with the database [`DATABASE`] and starts the server, which offers TLS.
    ///
    /// # Errors
    /// When MariaDB is not there, or does not start.
    pub fn start() -> Result<Self> {
        let directory = Scratch::new("my")?;
        let (key, certificate) = certificate::make(directory.path())?;
        let owner = owner()?;
        if let Some((user, group)) = owner {
            for path in [directory.path(), &key, &certificate] {
                chown(path, Some(user), Some(group))?;
            }
        }
        let data = format!("--datadir={}", directory.join("data").display());
        let mut install = as_owner("mariadb-install-db", owner)?;
        install.args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"]);
        python::quietly(install.arg(&data))?;
        let port = port::free()?;
        let mut server = as_owner("mariadbd", owner)?;
        server.arg("--no-defaults").arg(&data).arg(format!("--port={port}"));
        server.args(["--bind-address=127.0.0.1", "--skip-log-bin", "--local-infile"]);
        server.args(["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M"]);
        server.arg(format!("--pid-file={}", directory.join("pid").display()));
        server.arg(format!("--socket={}", directory.join("socket").display()));
        server.arg(format!("--ssl-key={}", key.display()));
        server.arg(format!("--ssl-cert={}", certificate.display()));
        let mut guard = Guard::spawn(server)?;
        port::wait(&mut guard, (Ipv4Addr::LOCALHOST, port).into())?;
        let mut server = Self { guard, port, directory };
        server.make_database()?;
        Ok(server)
    }

    /// The `mariadb` client as the tests' user; where it connects is for the caller to say.
    ///
    /// # Errors
    /// When MariaDB is not there.
    pub fn client(&self) -> Result<Command> {
        let mut command = Command::new(program("mariadb")?);
        command.args(["--no-defaults", "--batch", "--user", USER, DATABASE]);
        command.env("MYSQL_PWD", PASSWORD);
        Ok(command)
    }

    /// Sets what the programs in `tests/apps` read from the environment.
    pub fn connect(&self, command: &mut Command) {
        command.env("DB_PORT", self.port.to_string()).env("DB_SOCKET", self.socket());
        command.env("DB_USER", USER).env("DB_PASSWORD", PASSWORD).env("DB_NAME", DATABASE);
    }

    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.join("socket")
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's one process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }

    fn make_database(&mut self) -> Result<()> {
        let statements = format!(
            "CREATE DATABASE {DATABASE}; CREATE USER {USER}@localhost IDENTIFIED BY '{PASSWORD}'; \
             CREATE USER {USER}@127.0.0.1 IDENTIFIED BY '{PASSWORD}'; \
             GRANT ALL ON *.* TO {USER}@localhost; GRANT ALL ON *.* TO {USER}@127.0.0.1"
        );
        let deadline = Instant::now() + START;
        loop {
            let mut root = Command::new(program("mariadb")?);
            root.args(["--no-defaults", "--user", "root", "--execute", &statements]);
            // It listens before it serves.
            match python::quietly(root.arg("--socket").arg(self.socket())) {
                Ok(()) => return Ok(()),
                Err(_) if Instant::now() < deadline && self.guard.ended()?.is_none() => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(error) => bail!("{error}\n{}", self.guard.log()),
            }
        }
    }
}

impl Drop for MySql {
    fn drop(&mut self) {
        self.guard.signal(libc::SIGTERM);
        // One that does not end is killed by the guard.
        let _ = self.guard.wait(STOP);
    }
}

/// Debian keeps the server in `sbin`.
fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let mut found = places.map(|directory| directory.join(name));
    found
        .find(|path| path.is_file())
        .with_context(|| format!("{name}: `apt-get install mariadb-server` brings it"))
}

/// The server refuses to run as root: the user that the package made.
fn owner() -> Result<Option<(u32, u32)>> {
    if !privilege::is_root() {
        return Ok(None);
    }
    let (user, group) = privilege::user("mysql")
        .context("there is no user mysql: `apt-get install mariadb-server` makes it")?;
    Ok(Some((user, group)))
}

fn as_owner(name: &str, owner: Option<(u32, u32)>) -> Result<Command> {
    let mut command = Command::new(program(name)?);
    command.current_dir(Path::new("/")).env("LC_ALL", "C");
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    Ok(command)
}
