//! The agent under test.

use std::{ffi::OsStr, path::Path, process::Command, time::Duration};

use anyhow::{Result, bail, ensure};

use crate::{capture::Capture, guard::Guard, paths, profcheck, scratch::Scratch};

/// The line on standard error that says that every probe is attached.
const READY: &str = "honeyguide: ready";
/// Loading and verifying the programs takes longer in an emulated machine and on a busy one.
const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(30);
const REPLAY: Duration = Duration::from_secs(120);

/// A running `honeyguide run`, which writes to a directory of its own.
#[derive(Debug)]
pub struct Agent {
    guard: Guard,
    out: Scratch,
}

impl Agent {
    /// Starts `honeyguide run --out DIR ARGUMENTS` and waits until it captures.
    ///
    /// # Errors
    /// When it does not get that far, with what it said.
    pub fn run<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Result<Self> {
        let out = Scratch::new("out")?;
        let mut command = Self::command()?;
        command.arg("run").arg("--out").arg(out.path()).args(arguments);
        Self::ready(command, out)
    }

    /// Starts `honeyguide record -o FILE ARGUMENTS` and waits until it captures. FILE is complete after
    /// [`Agent::stop`], which finds no spans.
    ///
    /// # Errors
    /// As for [`Agent::run`].
    pub fn record<I: AsRef<OsStr>>(file: &Path, arguments: impl IntoIterator<Item = I>) -> Result<Self> {
        let mut command = Self::command()?;
        command.arg("record").arg("-o").arg(file).args(arguments);
        Self::ready(command, Scratch::new("out")?)
    }

    fn ready(command: Command, out: Scratch) -> Result<Self> {
        let mut guard = Guard::spawn(command)?;
        guard.wait_for_text(READY, START)?;
        Ok(Self { guard, out })
    }

    /// What `honeyguide replay FILE ARGUMENTS` makes of a recording.
    ///
    /// # Errors
    /// When it fails, with what it said, or what it wrote is not OTLP/JSON.
    pub fn replay<I: AsRef<OsStr>>(file: &Path, arguments: impl IntoIterator<Item = I>) -> Result<Capture> {
        let out = Scratch::new("out")?;
        let mut command = Self::command()?;
        command.arg("replay").arg(file).arg("--out").arg(out.path()).args(arguments);
        let mut guard = Guard::spawn(command)?;
        let status = guard.wait(REPLAY)?;
        ensure!(status.success(), "honeyguide replay ended with {status}\n{}", guard.log());
        Capture::read(out.path(), guard.log())
    }

    /// The agent's executable with an environment that holds no one's exporter settings.
    ///
    /// # Errors
    /// When no agent has been built.
    pub fn command() -> Result<Command> {
        let mut command = Command::new(paths::agent()?);
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("OTEL_") {
                command.env_remove(key);
            }
        }
        Ok(command)
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }

    #[must_use]
    pub fn out(&self) -> &Path {
        self.out.path()
    }

    /// What the agent has said so far on standard output and error.
    #[must_use]
    pub fn said(&self) -> String {
        self.guard.log()
    }

    /// Ends the agent with no chance to clean up, as `kill -9` does.
    ///
    /// # Errors
    /// When it survives that.
    pub fn kill(mut self) -> Result<()> {
        self.guard.signal(libc::SIGKILL);
        self.guard.wait(STOP)?;
        Ok(())
    }

    /// Ends the agent by SIGTERM and reads what it has written.
    ///
    /// # Errors
    /// When it does not end with status 0, or what it wrote is not OTLP/JSON.
    pub fn stop(mut self) -> Result<Capture> {
        self.guard.signal(libc::SIGTERM);
        self.finish()
    }

    /// Ends the agent by SIGTERM and hands what it said to `read`, while its output directory is still there. For
    /// output that is too large to be read into memory as a whole.
    ///
    /// # Errors
    /// When it does not end with status 0, its profiles are not what the protocol asks for, or `read` fails.
    pub fn stop_with<T>(mut self, read: impl FnOnce(String) -> Result<T>) -> Result<T> {
        self.guard.signal(libc::SIGTERM);
        self.ended_well()?;
        profcheck::check_directory(self.out())?;
        read(self.said())
    }

    /// Waits for an agent that ends by itself (`--duration`) and reads what it has written.
    ///
    /// # Errors
    /// As for [`Agent::stop`].
    pub fn finish(&mut self) -> Result<Capture> {
        self.ended_well()?;
        Capture::read(self.out(), self.said())
    }

    fn ended_well(&mut self) -> Result<()> {
        let status = self.guard.wait(STOP)?;
        if !status.success() {
            bail!("honeyguide ended with {status}\n{}", self.said());
        }
        Ok(())
    }
}
