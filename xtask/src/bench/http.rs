//! nginx that answers `return 200` on kept connections: the most requests for the least work, so the cost of
//! tracing is as large a share as it gets.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use honeyguide_tests::{
    agent::Agent,
    client::{self, Request},
    nginx::Nginx,
    privilege, proc, wrk,
};

use super::{
    Settings,
    report::{Load, Program, Report},
};
use crate::{bpf::Outcome, build, setup};

const BPF_STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";
const PACED_CONNECTIONS: u32 = 4;
/// Between loads, so that one does not pay for the end of another.
const PAUSE: Duration = Duration::from_millis(300);

pub(super) fn run(settings: &Settings) -> Result<()> {
    ensure!(privilege::is_root(), "the benchmark loads programs into the kernel, so it needs root");
    if let Outcome::Skipped(advice) = build::build()? {
        bail!("without its BPF programs honeyguide cannot capture.\n{advice}");
    }
    let missing = setup::pieces::for_bench()?;
    ensure!(missing.is_empty(), "the benchmark needs packages: apt-get install {}", missing.join(" "));

    let nginx = Nginx::start(1, "location / { return 200 'ok'; }", &[])?;
    let bench = Bench { nginx, settings: *settings };
    // The first load after a start pays for cold caches and is nobody's.
    bench.full()?;
    let mut pairs = Vec::new();
    for round in 1..=settings.rounds {
        let without = bench.full()?;
        let with = bench.traced(Bench::full)?;
        println!(
            "bench: round {round}: {:.0} requests/s without, {:.0} with; {:.2} and {:.2} µs of nginx a request",
            without.rate(),
            with.rate(),
            without.server_micros(),
            with.server_micros()
        );
        pairs.push((without, with));
    }
    let paced = bench.traced(Bench::paced)?;
    let programs = bench.program_times()?;
    let report = Report { settings: *settings, pairs, paced, programs };
    print!("{report}");
    println!("bench: {}", report.write()?.display());
    Ok(())
}

struct Bench {
    nginx: Nginx,
    settings: Settings,
}

impl Bench {
    fn duration(&self) -> Duration {
        Duration::from_secs(self.settings.seconds)
    }

    /// wrk as fast as it can.
    fn full(&self) -> Result<Load> {
        let url = format!("http://127.0.0.1:{}/", self.nginx.port());
        self.load(|| {
            let report = wrk::run(&url, self.settings.connections, self.duration())?;
            ensure!(report.refused == 0, "nginx refused {} requests", report.refused);
            Ok((report.requests, report.seconds))
        })
    }

    /// A client that keeps to a rate.
    fn paced(&self) -> Result<Load> {
        let (rate, duration) = (self.settings.rate, self.duration());
        self.load(|| {
            let begun = std::time::Instant::now();
            let sent = client::send_paced(
                &self.nginx.address(),
                &Request::get("/"),
                rate,
                PACED_CONNECTIONS,
                duration,
            )?;
            Ok((sent, begun.elapsed().as_secs_f64()))
        })
    }

    fn load(&self, run: impl FnOnce() -> Result<(u64, f64)>) -> Result<Load> {
        std::thread::sleep(PAUSE);
        let before = self.server_cpu()?;
        let (requests, seconds) = run()?;
        let server = self.server_cpu()?.saturating_sub(before);
        Ok(Load { requests, seconds, server, agent: None })
    }

    fn server_cpu(&self) -> Result<Duration> {
        self.nginx.workers().into_iter().map(proc::exact_cpu_time).sum()
    }

    /// A load while an agent of its own traces nginx and writes every span to a file.
    fn traced(&self, load: impl FnOnce(&Self) -> Result<Load>) -> Result<Load> {
        let (agent, at_start) = self.agent()?;
        let mut load = load(self)?;
        std::thread::sleep(PAUSE);
        let peak_rss = proc::peak_rss(agent.pid())?;
        let waited_for = proc::children_cpu_time();
        let out = agent.out().to_owned();
        // The file is counted, not read into memory: it holds a gigabyte after a long load.
        let (spans, dropped) = agent.stop_with(|said| {
            let spans = server_spans(&out.join("traces.jsonl"))?;
            Ok((spans, honeyguide_tests::capture::Capture::read_accounting(&out, said)?.dropped()))
        })?;
        // Waiting for the agent has added its whole time, the flush at its end included.
        let cpu = (proc::children_cpu_time().saturating_sub(waited_for)).saturating_sub(at_start);
        load.agent =
            Some(super::report::AgentCost { cpu, peak_rss, spans, dropped: dropped.0, counters: dropped.1 });
        Ok(load)
    }

    /// An agent that traces nginx, and the CPU time that its start has taken.
    fn agent(&self) -> Result<(Agent, Duration)> {
        let agent = Agent::run(["--pid", &self.nginx.pid().to_string(), "--print", "none"])?;
        let at_start = proc::exact_cpu_time(agent.pid())?;
        Ok((agent, at_start))
    }

    /// What the kernel says each program takes. A load of its own, since keeping these times costs some as well.
    fn program_times(&self) -> Result<Vec<Program>> {
        let (agent, _) = self.agent()?;
        let _stats = Sysctl::set(Path::new(BPF_STATS), "1")?;
        let before = programs(agent.pid())?;
        self.full()?;
        let mut after = programs(agent.pid())?;
        for program in &mut after {
            if let Some(before) = before.iter().find(|before| before.id == program.id) {
                program.runs -= before.runs;
                program.nanos -= before.nanos;
            }
        }
        after.retain(|program| program.runs > 0);
        Ok(after)
    }
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

/// The programs that a process holds, with their counts and times so far.
fn programs(pid: u32) -> Result<Vec<Program>> {
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
        if programs.iter().all(|program| program.id != id) {
            programs.push(Program { id, name: name(id), runs, nanos });
        }
    }
    Ok(programs)
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

fn server_spans(traces: &Path) -> Result<u64> {
    let mut spans = 0;
    for line in BufReader::new(File::open(traces)?).lines() {
        spans += line?.matches("\"kind\":2").count();
    }
    Ok(u64::try_from(spans)?)
}
