//! Loads on one server, without and with an agent.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use honeyguide_tests::{
    agent::Agent,
    capture::Capture,
    client::{self, Address, Request},
    proc,
};

use super::{
    Settings,
    loads::Work,
    programs::{self, Programs},
    report::{AgentCost, Load},
};

const PACED_CONNECTIONS: u32 = 4;
/// Between loads, so that one does not pay for the end of another.
const PAUSE: Duration = Duration::from_millis(300);

/// The server that is loaded and traced.
pub(super) struct Subject<'a> {
    pub name: &'static str,
    /// The processes to trace, with their children.
    pub traced: Vec<u32>,
    pub working: Working,
    /// What loads it.
    pub work: Work<'a>,
}

/// Whose CPU time counts.
#[derive(Debug)]
pub(super) enum Working {
    Processes(Vec<u32>),
    /// Processes and all their children, those that have ended too: some have one for each connection.
    Families(Vec<u32>),
}

pub(super) struct Bench<'a> {
    pub subject: Subject<'a>,
    pub settings: &'a Settings,
}

impl Bench<'_> {
    /// Full loads without and with the agent, in turns.
    pub(super) fn pairs(&self) -> Result<Vec<(Load, Load)>> {
        // The first load after a start pays for cold caches and is nobody's.
        self.full()?;
        let full = || self.full();
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
    pub(super) fn paced(&self, address: &Address, path: &str) -> Result<Load> {
        let request = Request::get(path);
        let run = || {
            let begun = Instant::now();
            let (rate, duration) = (self.settings.rate, self.settings.duration());
            let sent = client::send_paced(address, &request, rate, PACED_CONNECTIONS, duration)?;
            Ok((sent, begun.elapsed().as_secs_f64()))
        };
        self.traced(&[], || self.load(run))
    }

    /// What the kernel says each program takes during `work`. A load of its own, since keeping these times costs
    /// some as well.
    pub(super) fn program_times(&self, work: &Work<'_>) -> Result<Programs> {
        let (agent, _) = self.agent(&[])?;
        let _stats = programs::keep_times()?;
        let before = programs::of(agent.pid())?;
        let load = self.load(|| work(self.settings))?;
        Ok(Programs {
            requests: load.requests,
            programs: programs::since(&before, programs::of(agent.pid())?),
        })
    }

    /// As fast as it goes.
    fn full(&self) -> Result<Load> {
        self.load(|| (self.subject.work)(self.settings))
    }

    fn load(&self, run: impl FnOnce() -> Result<(u64, f64)>) -> Result<Load> {
        std::thread::sleep(PAUSE);
        let before = self.server_cpu()?;
        let (requests, seconds) = run()?;
        // Processes that served a connection end now.
        std::thread::sleep(PAUSE);
        let server = self.server_cpu()?.saturating_sub(before);
        Ok(Load { requests, seconds, server, agent: None })
    }

    fn server_cpu(&self) -> Result<Duration> {
        match &self.subject.working {
            Working::Processes(pids) => pids.iter().map(|&pid| proc::exact_cpu_time(pid)).sum(),
            Working::Families(pids) => pids.iter().map(|&pid| proc::family_cpu_time(pid)).sum(),
        }
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
        let traced = self.subject.traced.iter().flat_map(|pid| ["--pid".to_owned(), pid.to_string()]);
        let others = ["--print", "none"].iter().chain(arguments).map(|&argument| argument.to_owned());
        let agent = Agent::run(traced.chain(others))?;
        // Programs are loaded by threads that have ended by then; their time is in this alone.
        let at_start = proc::cpu_time(agent.pid())?;
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
