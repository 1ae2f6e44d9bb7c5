//! `py-spy record`: the same Python process, seen from outside by another.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};

use crate::{guard::Guard, python, scratch::Scratch};

const PATIENCE: Duration = Duration::from_secs(120);

/// A recording that is under way.
#[derive(Debug)]
pub struct PySpy {
    guard: Guard,
    out: Scratch,
}

/// A stack, the outermost frame first, and how often it was seen.
#[derive(Debug)]
pub struct Stack {
    pub frames: Vec<Frame>,
    pub count: u64,
}

#[derive(Debug)]
pub struct Frame {
    /// `co_name`
    pub function: String,
    pub line: u64,
}

impl PySpy {
    /// Begins to sample the thread that holds the interpreter's lock. The process is stopped for each sample: read while
    /// it runs, one in ten is contradictory.
    ///
    /// # Errors
    /// When there is no py-spy.
    pub fn start(pid: u32, duration: Duration, hz: u32) -> Result<Self> {
        let out = Scratch::new("py-spy")?;
        let mut command = Command::new(python::profiler_environment()?.join("bin/py-spy"));
        command.args(["record", "--format", "raw", "--gil", "--rate", &hz.to_string()]);
        command.args(["--duration", &duration.as_secs().to_string(), "--pid", &pid.to_string(), "--output"]);
        command.arg(out.join("stacks"));
        Ok(Self { guard: Guard::spawn(command)?, out })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it fails.
    pub fn finish(mut self) -> Result<Vec<Stack>> {
        let status = self.guard.wait(PATIENCE)?;
        ensure!(status.success(), "py-spy ended with {status}\n{}", self.guard.log());
        read(&self.out.join("stacks"))
    }
}

fn read(path: &Path) -> Result<Vec<Stack>> {
    let text = fs::read_to_string(path)?;
    let stacks = text.lines().map(|line| {
        let (stack, count) = line.rsplit_once(' ').with_context(|| format!("not folded: {line}"))?;
        // `step (mixed.py:55)`
        let frames = stack.split(';').map(|frame| {
            let (function, place) = frame.split_once(" (").unwrap_or((frame, ""));
            let line = place.trim_end_matches(')').rsplit(':').next().and_then(|line| line.parse().ok());
            Frame { function: function.to_owned(), line: line.unwrap_or(0) }
        });
        Ok(Stack { frames: frames.collect(), count: count.parse()? })
    });
    stacks.collect()
}
