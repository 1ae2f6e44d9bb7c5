//! Loads on one server, without and with an agent.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use honeyguide_tests::{
    agent::Agent,
    capture::Capture,
    client::{self, Address, Request},
    proc, wrk,
};

use super::{
    Settings,
    programs::{self, Programs},
    report::{AgentCost, Load},
};

const PACED_CONNECTIONS: u32 = 4;
/// Between loads, so that one does not pay for the end of another.
const PAUSE: Duration = Duration::from_millis(300);

/// The server that is loaded and traced.
#[derive(Debug)]
pub(super) struct Subject {
    pub name: &'static str,
    pub address: Address,
    /// What the loads ask for.
    pub path: &'static str,
    /// The process to trace, with its children.
    pub traced: u32,
    /// The processes whose CPU time counts.
    pub working: Vec<u32>,
}

#[derive(Debug)]
pub(super) struct Bench<'a> {
    pub subject: Subject,
    pub settings: &'a Settings,
}

impl Bench<'_> {
    /// Full loads without and with the agent, in turns.
    pub(super) fn pairs(&self) -> Result<Vec<(Load, Load)>> {
        // The first load after a start pays for cold caches and is nobody's.
        self.full(self.subject.path)?;
        let full = || self.full(self.subject.path);
        let mut pairs = Vec::new();
        for round in 1..=self.settings.rounds {
            let without = match &self.settings.against {
                None => full()?,
                Some(configuration) => self.traced(&["--config", configuration], full)?,
            };
            let with = self.traced(&[], full)?;
            println!(
                "bench: round {round}: {:.0} requests/s without, {:.0} with; {:.2} and {:.2} µs of {} a request",
                without.rate(),
                with.rate(),
                without.server_micros(),
                with.server_micros(),
                self.subject.name,
            );
            pairs.push((without, with));
        }
        Ok(pairs)
    }

    /// A client that keeps to a rate, with the agent.
    pub(super) fn paced(&self) -> Result<Load> {
        let request = Request::get(self.subject.path);
        let run = || {
            let begun = Instant::now();
            let (rate, duration) = (self.settings.rate, self.duration());
            let sent =
                client::send_paced(&self.subject.address, &request, rate, PACED_CONNECTIONS, duration)?;
            Ok((sent, begun.elapsed().as_secs_f64()))
        };
        self.traced(&[], || self.load(run))
    }

    /// What the kernel says each program takes. A load of its own, since keeping these times costs some as well.
    pub(super) fn program_times(&self, path: &str) -> Result<Programs> {
        let (agent, _) = self.agent(&[])?;
        let _stats = programs::keep_times()?;
        let before = programs::of(agent.pid())?;
        let load = self.full(path)?;
        Ok(Programs {
            requests: load.requests,
            programs: programs::since(&before, programs::of(agent.pid())?),
        })
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(self.settings.seconds)
    }

    /// wrk as fast as it can.
    fn full(&self, path: &str) -> Result<Load> {
        let Address::Tcp(address) = &self.subject.address else { bail!("wrk speaks TCP") };
        let url = format!("http://{address}{path}");
        self.load(|| {
            let report = wrk::run(&url, self.settings.connections, self.duration())?;
            ensure!(report.refused == 0, "{} refused {} requests", self.subject.name, report.refused);
            Ok((report.requests, report.seconds))
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
        self.subject.working.iter().map(|&pid| proc::exact_cpu_time(pid)).sum()
    }

    /// A load while an agent of its own traces the server and writes every span to a file.
    fn traced(&self, arguments: &[&str], load: impl FnOnce() -> Result<Load>) -> Result<Load> {
        let (agent, at_start) = self.agent(arguments)?;
        let mut load = load()?;
        std::thread::sleep(PAUSE);
        let peak_rss = proc::peak_rss(agent.pid())?;
        let waited_for = proc::children_cpu_time();
        let out = agent.out().to_owned();
        // The file is counted, not read into memory: it holds a gigabyte after a long load.
        let ((spans, calls), dropped) = agent.stop_with(|said| {
            let spans = spans(&out.join("traces.jsonl"))?;
            Ok((spans, Capture::read_accounting(&out, said)?.dropped()))
        })?;
        // Waiting for the agent has added its whole time, the flush at its end included.
        let cpu = (proc::children_cpu_time().saturating_sub(waited_for)).saturating_sub(at_start);
        let (dropped, counters) = dropped;
        load.agent = Some(AgentCost { cpu, peak_rss, spans, calls, dropped, counters });
        Ok(load)
    }

    /// An agent that traces the server, and the CPU time that its start has taken.
    fn agent(&self, arguments: &[&str]) -> Result<(Agent, Duration)> {
        let traced = self.subject.traced.to_string();
        let agent = Agent::run(["--pid", &traced, "--print", "none"].iter().chain(arguments))?;
        let at_start = proc::exact_cpu_time(agent.pid())?;
        Ok((agent, at_start))
    }
}

/// How many server spans and how many client spans a file holds.
fn spans(traces: &Path) -> Result<(u64, u64)> {
    let (mut servers, mut clients) = (0, 0);
    for line in BufReader::new(File::open(traces)?).lines() {
        let line = line?;
        servers += line.matches("\"kind\":2").count();
        clients += line.matches("\"kind\":3").count();
    }
    Ok((u64::try_from(servers)?, u64::try_from(clients)?))
}
