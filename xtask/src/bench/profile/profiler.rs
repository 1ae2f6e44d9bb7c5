//! Honeyguide and others: how each is started, and what it costs from its start to what it has written.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    flame::{Recorded, Stacks},
    guard::Guard,
    perf, proc, python,
    scratch::Scratch,
};

use super::load::{Load, Pace};
use crate::process;

/// Until one that does not say so is taken for ready, and between ready and what counts.
const SETTLE: Duration = Duration::from_secs(1);
/// The same for one that runs for months: what it reads of each file when it first meets it is no part of its days. It is
/// in the CPU seconds of the whole.
const LONG_SETTLE: Duration = Duration::from_secs(6);
const PATIENCE: Duration = Duration::from_secs(120);
/// The program of profile-bee. Where it is on the path it is measured, too: `cargo install profile-bee --version 0.3.13
/// --no-default-features --features otlp --locked`. It wants the tracing file system mounted.
const PROFILE_BEE: &str = "probee";

#[derive(Clone, Debug)]
pub(super) struct Profiler {
    pub name: &'static str,
    pub hz: u32,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// `flame` on the load's processes.
    Flame,
    /// `flame` on the whole host.
    FlameHost,
    /// `run`, with samples where the rate is above 0.
    Run,
    Perf,
    ProfileBee,
    /// The program's path.
    PySpy(PathBuf),
}

/// What a profiler took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// Of a core, while it recorded.
    pub share: f64,
    /// CPU seconds from its start to its end, whatever it takes to have names included.
    pub cpu: f64,
    /// Bytes, when it was ready.
    pub at_start: u64,
    /// Bytes.
    pub peak_rss: u64,
    /// From the end of the recording to stacks with names; none where there is no file.
    pub written: Option<Duration>,
    /// Percent of the stacks.
    pub complete: Option<f64>,
}

impl Cost {
    /// What it took beyond this part of `base`. Memory is all of it.
    pub(super) fn beyond(self, base: &Self, part: f64) -> Self {
        Self { share: self.share - part * base.share, cpu: self.cpu - part * base.cpu, ..self }
    }
}

pub(super) fn native() -> Vec<Profiler> {
    let mut all = vec![
        Profiler { name: "flame --pid", hz: 19, kind: Kind::Flame },
        Profiler { name: "flame --pid", hz: 99, kind: Kind::Flame },
        Profiler { name: "flame --all", hz: 99, kind: Kind::FlameHost },
        Profiler { name: "run --profile against run", hz: 19, kind: Kind::Run },
        Profiler { name: "run --profile against run", hz: 99, kind: Kind::Run },
        Profiler { name: "perf record --call-graph dwarf", hz: 99, kind: Kind::Perf },
    ];
    if process::which(PROFILE_BEE).is_some() {
        all.push(Profiler { name: "profile-bee --dwarf", hz: 99, kind: Kind::ProfileBee });
    }
    all
}

pub(super) fn python() -> Result<Vec<Profiler>> {
    let spy = python::profiler_environment()?.join("bin/py-spy");
    let mut all = vec![
        Profiler { name: "flame --pid", hz: 99, kind: Kind::Flame },
        Profiler { name: "perf record --call-graph dwarf", hz: 99, kind: Kind::Perf },
        Profiler { name: "py-spy record", hz: 99, kind: Kind::PySpy(spy) },
    ];
    if process::which(PROFILE_BEE).is_some() {
        all.push(Profiler { name: "profile-bee --dwarf", hz: 99, kind: Kind::ProfileBee });
    }
    Ok(all)
}

/// What is not measured because it is not there.
pub(super) fn missing() -> Option<&'static str> {
    process::which(PROFILE_BEE).is_none().then_some(PROFILE_BEE)
}

impl Profiler {
    /// What it is measured against, where that is not nothing.
    pub(super) fn base(&self) -> Option<Self> {
        matches!(self.kind, Kind::Run).then(|| Self { hz: 0, ..self.clone() })
    }

    /// The load's pace beside it, and what it takes.
    pub(super) fn measure(&self, load: &Load, seconds: u64) -> Result<(Pace, Cost)> {
        let out = Scratch::new("profiler")?;
        let waited_for = proc::children_cpu_time();
        let mut guard = Guard::spawn(self.command(load, out.path())?)?;
        if self.says_ready() {
            guard.wait_for_text("honeyguide: ready", PATIENCE)?;
        } else {
            thread::sleep(SETTLE);
        }
        let at_start = proc::peak_rss(guard.pid()).with_context(|| guard.log())?;
        thread::sleep(self.warm_up());
        let (before, begun) = (proc::exact_cpu_time(guard.pid())?, Instant::now());
        let pace = load.pace(seconds)?;
        let recording = proc::exact_cpu_time(guard.pid())?.saturating_sub(before);
        let share = recording.as_secs_f64() / begun.elapsed().as_secs_f64();
        let peak_rss = proc::peak_rss(guard.pid())?;

        let ended = Instant::now();
        guard.signal(SIGINT);
        let status = guard.wait(PATIENCE)?;
        let said = guard.log();
        // perf and py-spy end by the signal that ended the recording.
        ensure!(status.success() || !self.says_ready(), "{} ended with {status}\n{said}", self.name);
        let complete = self.complete(out.path(), said)?;
        let written = (!matches!(self.kind, Kind::Run)).then(|| ended.elapsed());
        let cpu = proc::children_cpu_time().saturating_sub(waited_for).as_secs_f64();
        Ok((pace, Cost { share, cpu, at_start, peak_rss, written, complete }))
    }

    fn warm_up(&self) -> Duration {
        if matches!(self.kind, Kind::Run) { LONG_SETTLE } else { SETTLE }
    }

    fn says_ready(&self) -> bool {
        matches!(self.kind, Kind::Flame | Kind::FlameHost | Kind::Run)
    }

    fn command(&self, load: &Load, out: &Path) -> Result<Command> {
        let (hz, pids) = (self.hz.to_string(), load.pids());
        let each = || pids.iter().map(|pid| format!("--pid={pid}"));
        let mut command = match &self.kind {
            Kind::Flame | Kind::FlameHost | Kind::Run => Agent::command()?,
            Kind::Perf => Command::new("perf"),
            Kind::ProfileBee => Command::new(PROFILE_BEE),
            Kind::PySpy(path) => Command::new(path),
        };
        match &self.kind {
            Kind::Flame | Kind::FlameHost => {
                command.args(["flame", "--duration", "10m", "--hz", &hz, "-o"]).arg(out.join("flame.svg"));
                match &self.kind {
                    Kind::FlameHost => command.arg("--all"),
                    _ => command.args(each()),
                };
            }
            Kind::Run => {
                command.args(["run", "--print", "none"]).args(each());
                match self.hz {
                    0 => command.arg("--no-profile"),
                    hz => command.arg(format!("--profile={hz}")),
                };
            }
            Kind::Perf => {
                // Of the whole host: by process it would open a buffer for each of them and CPU.
                command.args(["record", "--all-cpus", "--event", "cpu-clock", "--call-graph", "dwarf"]);
                command.args(["--freq", &hz, "--output"]).arg(out.join("perf.data"));
            }
            Kind::ProfileBee => {
                command.args(["--dwarf", "true", "--frequency", &hz, "--time", "600000", "--output"]);
                command.arg(out.join("bee.folded"));
            }
            Kind::PySpy(_) => {
                command
                    .args(["record", "--rate", &hz, "--duration", "600", "--output"])
                    .arg(out.join("spy.svg"));
                let pid = pids.last().context("nothing runs")?;
                command.args(["--pid", &pid.to_string()]);
            }
        }
        Ok(command)
    }

    /// Percent of the stacks that reach the thread's first function; for perf that is when names are found.
    fn complete(&self, out: &Path, said: String) -> Result<Option<f64>> {
        Ok(match &self.kind {
            Kind::Flame | Kind::FlameHost => Some(Recorded { stacks: Stacks::default(), said }.complete()?),
            Kind::Perf => {
                let stacks = perf::script(&out.join("perf.data"), None)?;
                Some(whole(&stacks))
            }
            Kind::PySpy(_) => sampled(&said),
            Kind::ProfileBee => {
                let text = fs::read_to_string(out.join("bee.folded"))?;
                // It samples idle CPUs as well.
                let busy: String = text
                    .lines()
                    .filter(|line| !line.starts_with("idle;"))
                    .flat_map(|line| [line, "\n"])
                    .collect();
                Some(whole(&Stacks::folded(&busy, 1)?))
            }
            Kind::Run => None,
        })
    }
}

/// Percent of the stacks of processes that perf has walked to their beginning: it does not say so itself.
#[allow(clippy::cast_precision_loss)] // Counts of one bounded run.
fn whole(stacks: &Stacks) -> f64 {
    let begins = |stack: &[String]| {
        // A stripped program's `_start` has no name.
        let first = stack.iter().take(2);
        first.into_iter().any(|name| FIRST.iter().any(|known| name.contains(known)))
    };
    // The kernel's own threads, and the idle one, have no stack to walk.
    let own =
        |stack: &[String]| stack.iter().take(2).any(|name| KERNEL.iter().any(|known| name.contains(known)));
    let (mut all, mut complete) = (0, 0);
    for (stack, count) in stacks.stacks.iter().filter(|(stack, _)| !own(stack)) {
        all += count;
        complete += count * u64::from(begins(stack));
    }
    100.0 * complete as f64 / f64::max(all as f64, 1.0)
}

const FIRST: [&str; 5] = ["_start", "__libc_start", "clone", "start_thread", "rust_begin"];
const KERNEL: [&str; 4] = ["ret_from_fork", "secondary_startup", "cpu_startup_entry", "start_kernel"];
const SIGINT: i32 = 2;

/// py-spy says `Samples: 971 Errors: 3` at its end.
fn sampled(said: &str) -> Option<f64> {
    let number = |key: &str| -> Option<f64> {
        said.rsplit_once(key)?.1.split_whitespace().next()?.trim_end_matches('.').parse().ok()
    };
    let (samples, errors) = (number("Samples: ")?, number("Errors: ")?);
    (samples > 0.0).then(|| 100.0 * (samples - errors) / samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_py_spy_says_is_read() {
        let share = sampled("py-spy> Wrote flamegraph data to 'x'. Samples: 200 Errors: 4\n").unwrap();
        assert_eq!(share.to_string(), "98");
        assert_eq!(sampled("py-spy> interrupted"), None);
    }

    #[test]
    fn a_stack_is_whole_when_it_begins_where_threads_do() {
        let stack = |text: &str, count| (text.split(';').map(str::to_owned).collect::<Vec<_>>(), count);
        let stacks = vec![
            stack("[unknown];__libc_start_main@@GLIBC_2.34;main;f", 6),
            stack("_start;main", 2),
            stack("g;f", 2),
            stack("secondary_startup_64;cpu_startup_entry;idle", 90),
        ];
        assert_eq!(whole(&Stacks { stacks }).to_string(), "80");
    }
}
