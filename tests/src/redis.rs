//! A Redis server of the test's own.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{guard::Guard, port, scratch::Scratch};

/// A running server. It listens on a port of loopback and on a unix socket, and keeps nothing on disk.
#[derive(Debug)]
pub struct Redis {
    guard: Guard,
    port: u16,
    directory: Scratch,
}

impl Redis {
    /// # Errors
    /// When Redis is not there, or does not listen.
    pub fn start() -> Result<Self> {
        Self::listening("127.0.0.1")
    }

    /// The same on every address of its host.
    ///
    /// # Errors
    /// As for [`Redis::start`].
    pub fn start_for_others() -> Result<Self> {
        Self::listening("0.0.0.0")
    }

    fn listening(address: &str) -> Result<Self> {
        let directory = Scratch::new("redis")?;
        let port = port::free()?;
        let mut server = Command::new("redis-server");
        server.args([
            "--port",
            &port.to_string(),
            "--bind",
            address,
            "--protected-mode",
            "no",
            "--save",
            "",
            "--unixsocket",
        ]);
        server.arg(directory.join("socket")).arg("--dir").arg(directory.path());
        let mut guard = Guard::spawn(server).context("`apt-get install redis-server` brings it")?;
        port::wait(&mut guard, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        port::wait_unix(&mut guard, &directory.join("socket"))?;
        Ok(Self { guard, port, directory })
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.join("socket")
    }

    /// A program of Redis' own, `redis-cli` or `redis-benchmark`, with the connection in its arguments.
    #[must_use]
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        command
    }

    /// How often the server says it ran a command.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn calls(&self, command: &str) -> Result<usize> {
        let output = self.client("redis-cli").args(["INFO", "commandstats"]).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{text}");
        let prefix = format!("cmdstat_{command}:calls=");
        let line = text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or("0,");
        line.split(',').next().unwrap_or_default().parse().with_context(|| format!("no number in {line}"))
    }
}
