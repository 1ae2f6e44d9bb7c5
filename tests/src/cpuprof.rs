//! `node --cpu-prof`: what V8's own profiler says of a program.

use std::{collections::HashMap, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{guard::Guard, paths, scratch::Scratch};

const PATIENCE: Duration = Duration::from_secs(60);
/// Microseconds. Not flame's, which would stay in step.
const INTERVAL: u32 = 1_300;
const SIGTERM: i32 = 15;

/// A program that profiles itself.
#[derive(Debug)]
pub struct CpuProf {
    guard: Guard,
    out: Scratch,
}

/// A stack, the outermost function first, and how long it was there, in microseconds.
pub type Stack = (Vec<String>, u64);

impl CpuProf {
    /// Starts a program of `tests/apps`, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not get that far.
    pub fn start(node: &Path, arguments: &[&str], script: &str) -> Result<Self> {
        let out = Scratch::new("cpuprof")?;
        let mut command = Command::new(node);
        command.args(["--cpu-prof", "--cpu-prof-name=profile", "--cpu-prof-dir"]).arg(out.path());
        command.args(["--cpu-prof-interval", &INTERVAL.to_string()]).args(arguments);
        // Some versions write a log to where they are.
        command.arg(paths::app(script)).current_dir(out.path());
        let mut guard = Guard::spawn(command)?;
        guard.wait_for_text("ready", PATIENCE)?;
        Ok(Self { guard, out })
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }

    /// Ends it. Returns what was seen in the time before, without what is no function of the program's: `(program)`,
    /// `(idle)` and `(garbage collector)`.
    ///
    /// # Errors
    /// When it ends otherwise, or writes something else.
    pub fn finish(mut self, before: Duration) -> Result<Vec<Stack>> {
        self.guard.signal(SIGTERM);
        let status = self.guard.wait(PATIENCE)?;
        ensure!(status.success(), "node ended with {status}\n{}", self.guard.log());
        let profile: Value = serde_json::from_str(&fs::read_to_string(self.out.join("profile"))?)?;
        stacks(&profile, before).context("it is no profile")
    }
}

fn stacks(profile: &Value, before: Duration) -> Option<Vec<Stack>> {
    let mut parents = HashMap::new();
    let mut names = HashMap::new();
    for node in profile["nodes"].as_array()? {
        let id = node["id"].as_u64()?;
        let name = match node["callFrame"]["functionName"].as_str()? {
            "" => "(anonymous)",
            name => name,
        };
        names.insert(id, name);
        for child in node["children"].as_array().into_iter().flatten() {
            parents.insert(child.as_u64()?, id);
        }
    }
    let mut times: HashMap<u64, u64> = HashMap::new();
    // In microseconds, each from the one before. Where V8's sampler was kept from its CPU it makes up for it with
    // thousands at once: their number says nothing.
    let mut time = profile["startTime"].as_i64()?;
    let first = profile["endTime"].as_i64()? - i64::try_from(before.as_micros()).ok()?;
    for (sample, delta) in profile["samples"].as_array()?.iter().zip(profile["timeDeltas"].as_array()?) {
        let delta = delta.as_i64()?;
        time += delta;
        if time >= first {
            *times.entry(sample.as_u64()?).or_default() += u64::try_from(delta).unwrap_or(0);
        }
    }
    let mut stacks = Vec::new();
    for (id, time) in times {
        let mut stack = Vec::new();
        let mut at = Some(&id);
        while let Some(id) = at {
            stack.push((*names.get(id)?).to_owned());
            at = parents.get(id);
        }
        stack.reverse();
        let is_function =
            !matches!(stack.last()?.as_str(), "(program)" | "(idle)" | "(garbage collector)" | "(root)");
        if is_function {
            stacks.push((stack.split_off(1), time));
        }
    }
    Some(stacks)
}
