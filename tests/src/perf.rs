//! `perf record --call-graph`: the same process, seen by another's unwinder.

use std::{collections::HashMap, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};

use crate::{flame::Stacks, guard::Guard, scratch::Scratch};

const PATIENCE: Duration = Duration::from_secs(120);

/// How perf is to walk the stack.
#[derive(Clone, Copy, Debug)]
pub enum CallGraph {
    /// By the DWARF of the program, from 8 KiB of stack that are copied with each sample: enough for the tests.
    Dwarf,
    /// By frame pointers. Go keeps them, and of its `.debug_frame` perf 6.1 makes nothing, compressed or not: it
    /// stops at the innermost function. The whole machine is sampled: a clock that belongs to a task begins anew
    /// whenever the task is given a processor, and of threads that change as often as Go's it sees the changes most.
    FramePointers,
}

/// A recording that is under way.
#[derive(Debug)]
pub struct Perf {
    guard: Guard,
    out: Scratch,
    /// Whose samples count, with commas between.
    pids: String,
}

impl Perf {
    /// Begins to sample processes by perf.
    ///
    /// # Errors
    /// When there is no perf.
    pub fn start(pids: &[u32], call_graph: CallGraph, duration: Duration, hz: u32) -> Result<Self> {
        let out = Scratch::new("perf")?;
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        let pids = pids.join(",");
        let mut command = Command::new("perf");
        command.args(["record", "--event", "cpu-clock", "--freq", &hz.to_string(), "--call-graph"]);
        match call_graph {
            CallGraph::Dwarf => command.args(["dwarf,8192", "--pid", &pids]),
            CallGraph::FramePointers => command.args(["fp", "--all-cpus"]),
        };
        command.arg("--output").arg(out.join("perf.data"));
        command.args(["--", "sleep", &format!("{:.3}", duration.as_secs_f64())]);
        let guard = Guard::spawn(command).context("perf: `apt-get install linux-perf` brings it")?;
        Ok(Self { guard, out, pids })
    }

    /// Waits for its end, and for perf to unwind what it has copied.
    ///
    /// # Errors
    /// When it fails.
    pub fn finish(mut self) -> Result<Stacks> {
        let status = self.guard.wait(PATIENCE)?;
        ensure!(status.success(), "perf record ended with {status}\n{}", self.guard.log());
        script(&self.out.join("perf.data"), Some(&self.pids))
    }
}

/// The stacks of a recording of perf's, of all processes or of some.
///
/// # Errors
/// When perf cannot read it.
pub fn script(data: &Path, pids: Option<&str>) -> Result<Stacks> {
    let mut command = Command::new("perf");
    command.args(["script", "--no-inline", "--fields", "ip,sym", "--input"]).arg(data);
    if let Some(pids) = pids {
        command.args(["--pid", pids]);
    }
    let output = command.output()?;
    ensure!(output.status.success(), "perf script: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let mut counts: HashMap<Vec<String>, u64> = HashMap::new();
    for sample in text.split("\n\n") {
        // `	    55d0a1b2c3d4 function`, the innermost first.
        let frames = sample.lines().filter_map(|line| line.trim().split_once(' '));
        let mut stack: Vec<String> = frames.map(|(_, symbol)| symbol.to_owned()).collect();
        if stack.is_empty() {
            continue;
        }
        stack.reverse();
        *counts.entry(stack).or_default() += 1;
    }
    Ok(Stacks { stacks: counts.into_iter().collect() })
}
