//! A client that is there before the agent looks and begins only when told, so that it can be selected by its id.

use std::{fs, process::Command, time::Duration};

use anyhow::{Result, bail};

use crate::{guard::Guard, scratch::Scratch};

/// Longer than any load of a test on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// The shell becomes the program: its process id stays.
const WAIT: &str = "until [ -e \"$0\" ]; do sleep 0.02; done; exec \"$@\"";

/// A program that has a process id and has not begun.
#[derive(Debug)]
pub struct Gated {
    guard: Guard,
    gate: Scratch,
}

impl Gated {
    /// Starts a process that becomes `command`, with its arguments and environment, in [`Gated::finish`].
    ///
    /// # Errors
    /// When there is no shell.
    pub fn new(command: &Command) -> Result<Self> {
        let gate = Scratch::new("gate")?;
        let mut shell = Command::new("sh");
        shell.args(["-c", WAIT]).arg(gate.join("open")).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(key, value),
                None => shell.env_remove(key),
            };
        }
        Ok(Self { guard: Guard::spawn(shell)?, gate })
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }

    /// Lets it run, and returns what it wrote.
    ///
    /// # Errors
    /// When it ends with another status than 0 or takes longer than two minutes, with what it wrote.
    pub fn finish(mut self) -> Result<String> {
        fs::write(self.gate.join("open"), "")?;
        let status = self.guard.wait(PATIENCE)?;
        if !status.success() {
            bail!("the client ended with {status}\n{}", self.guard.log());
        }
        Ok(self.guard.log())
    }
}
