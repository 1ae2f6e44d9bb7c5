//! The kernel programs of an agent, and what the kernel says of their runs.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result};

const BPF_STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";
/// `BPF_PROG_TYPE_KPROBE`, which is that of uprobes too (linux/bpf.h). The agent has no other probes of that type.
const KPROBE: u64 = 2;

/// A kernel program's runs and its own time, as the kernel keeps them.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub id: u64,
    /// `enum bpf_prog_type`.
    pub kind: u64,
    pub name: String,
    pub runs: u64,
    pub nanos: u64,
}

/// The programs that ran during one load.
#[derive(Debug)]
pub(super) struct Programs {
    pub requests: u64,
    pub programs: Vec<Program>,
}

impl Programs {
    /// Runs of programs inside of traced processes, a request.
    #[allow(clippy::cast_precision_loss)] // Counts of one bounded run are far below 2^52.
    pub(super) fn uprobe_hits(&self) -> f64 {
        let uprobes = self.programs.iter().filter(|program| program.kind == KPROBE);
        let hits: u64 = uprobes.map(|program| program.runs).sum();
        hits as f64 / self.requests.max(1) as f64
    }
}

/// Makes the kernel keep times, until the value is dropped.
pub(super) fn keep_times() -> Result<impl Drop> {
    Sysctl::set(Path::new(BPF_STATS), "1")
}

/// The programs that a process holds, with their counts and times so far.
pub(super) fn of(pid: u32) -> Result<Vec<Program>> {
    let mut programs = Vec::<Program>::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        let number = |key: &str| -> Option<u64> {
            text.lines().find_map(|line| line.strip_prefix(key))?.trim().parse().ok()
        };
        // Links name their program's id too, but not its times.
        let (Some(id), Some(nanos), Some(runs)) =
            (number("prog_id:"), number("run_time_ns:"), number("run_cnt:"))
        else {
            continue;
        };
        let kind = number("prog_type:").unwrap_or(0);
        if programs.iter().all(|program| program.id != id) {
            programs.push(Program { id, kind, name: name(id), runs, nanos });
        }
    }
    Ok(programs)
}

/// What `after` has more than `before`; programs that have not run are left out.
pub(super) fn since(before: &[Program], mut after: Vec<Program>) -> Vec<Program> {
    for program in &mut after {
        if let Some(before) = before.iter().find(|before| before.id == program.id) {
            program.runs -= before.runs;
            program.nanos -= before.nanos;
        }
    }
    after.retain(|program| program.runs > 0);
    after
}

/// A program's name by bpftool; its id where there is no bpftool.
fn name(id: u64) -> String {
    let output =
        Command::new("/usr/sbin/bpftool").args(["--json", "prog", "show", "id", &id.to_string()]).output();
    let json =
        output.ok().and_then(|output| serde_json::from_slice::<serde_json::Value>(&output.stdout).ok());
    json.and_then(|json| Some(json.get("name")?.as_str()?.to_owned()))
        .unwrap_or_else(|| format!("program {id}"))
}

/// A kernel setting that gets its old value back.
struct Sysctl<'a> {
    path: &'a Path,
    old: String,
}

impl<'a> Sysctl<'a> {
    fn set(path: &'a Path, value: &str) -> Result<Self> {
        let old = fs::read_to_string(path)?;
        fs::write(path, value).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path, old })
    }
}

impl Drop for Sysctl<'_> {
    fn drop(&mut self) {
        // It could be written a moment ago; if not any more, there is no one to tell.
        let _ = fs::write(self.path, &self.old);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(id: u64, kind: u64, runs: u64) -> Program {
        Program { id, kind, name: id.to_string(), runs, nanos: runs * 100 }
    }

    #[test]
    fn hits_are_runs_of_uprobes_a_request() {
        let before = [program(1, KPROBE, 10), program(2, 26, 5), program(3, KPROBE, 7)];
        let after = vec![program(1, KPROBE, 30), program(2, 26, 105), program(3, KPROBE, 7)];
        let programs = since(&before, after);
        assert_eq!(programs.iter().map(|program| program.runs).collect::<Vec<_>>(), [20, 100]);
        assert_eq!(Programs { requests: 10, programs }.uprobe_hits().to_string(), "2");
    }
}
