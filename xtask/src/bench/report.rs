//! The figures of a benchmark: a table for people, a file for the next comparison.

use std::{
    fmt, fs,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use serde_json::json;

use super::{
    Settings,
    programs::{Program, Programs},
};
use crate::{paths, process};

#[derive(Debug)]
pub(super) struct Report {
    /// Of the file.
    pub name: &'static str,
    pub title: &'static str,
    /// What the server is called.
    pub server: &'static str,
    pub targets: Targets,
    pub settings: Settings,
    /// Loads without and with the agent, in the order they ran.
    pub pairs: Vec<(Load, Load)>,
    /// At a rate that the server can keep, with the agent.
    pub paced: Option<Load>,
    pub programs: Programs,
    pub hits: Option<Hits>,
}

/// What is asked for; printed next to what was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Targets {
    /// With to without, at least.
    pub throughput: Option<f64>,
    /// CPU time of the server a request, with to without, at most.
    pub server: Option<f64>,
    /// CPU time of the agent a request, at most.
    pub agent_micros: Option<f64>,
    pub rss_megabytes: f64,
}

/// Hits of probes inside of the traced process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hits {
    /// For a request that makes no call.
    pub incoming: f64,
    /// For a call.
    pub outgoing: f64,
}

/// At most so many hits for a call.
const OUTGOING_TARGET: u32 = 2;

#[derive(Debug)]
pub(super) struct Load {
    pub requests: u64,
    pub seconds: f64,
    /// CPU time of the server's processes.
    pub server: Duration,
    pub agent: Option<AgentCost>,
}

#[derive(Debug)]
pub(super) struct AgentCost {
    /// From ready to its end, the last flush included.
    pub cpu: Duration,
    /// Bytes.
    pub peak_rss: u64,
    /// Server spans in the file.
    pub spans: u64,
    /// Client spans in the file.
    pub calls: u64,
    /// What the agent says it lost, and where.
    pub dropped: i64,
    pub counters: Vec<String>,
}

#[allow(clippy::cast_precision_loss)] // Counts of one bounded run are far below 2^52.
impl Load {
    pub(super) fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// CPU time of the server for each request, µs.
    pub(super) fn server_micros(&self) -> f64 {
        self.server.as_secs_f64() * 1e6 / self.requests.max(1) as f64
    }

    /// CPU time of the agent for each request, µs.
    fn agent_micros(&self) -> f64 {
        self.of_agent(|agent| agent.cpu.as_secs_f64() * 1e6 / self.requests.max(1) as f64)
    }

    fn rss_megabytes(&self) -> f64 {
        self.of_agent(|agent| agent.peak_rss as f64 / 1e6)
    }

    /// Server spans for each request: 1 when nothing is lost.
    fn spans_per_request(&self) -> f64 {
        self.of_agent(|agent| agent.spans as f64 / self.requests.max(1) as f64)
    }

    /// Client spans for each request.
    fn calls_per_request(&self) -> f64 {
        self.of_agent(|agent| agent.calls as f64 / self.requests.max(1) as f64)
    }

    fn of_agent(&self, figure: impl FnOnce(&AgentCost) -> f64) -> f64 {
        self.agent.as_ref().map_or(0.0, figure)
    }
}

impl Report {
    /// Prints the table and writes the file.
    pub(super) fn tell(&self) -> Result<()> {
        print!("{self}");
        println!("bench: {}", self.write()?.display());
        Ok(())
    }

    fn ratio(&self, figure: impl Fn(&Load) -> f64) -> f64 {
        median(self.pairs.iter().map(|(without, with)| figure(with) / figure(without)).collect())
    }

    fn without(&self, figure: impl Fn(&Load) -> f64) -> f64 {
        median(self.pairs.iter().map(|(without, _)| figure(without)).collect())
    }

    fn with(&self, figure: impl Fn(&Load) -> f64) -> f64 {
        median(self.pairs.iter().map(|(_, with)| figure(with)).collect())
    }

    /// Writes the figures to `target/bench/NAME.json`.
    fn write(&self) -> Result<PathBuf> {
        let directory = paths::target().join("bench");
        fs::create_dir_all(&directory)?;
        let path = directory.join(format!("{}.json", self.name));
        let load = |load: &Load| {
            json!({
                "requests": load.requests,
                "requests_per_second": load.rate(),
                "server_cpu_us_per_request": load.server_micros(),
                "agent": load.agent.as_ref().map(|agent| json!({
                    "cpu_us_per_request": load.agent_micros(),
                    "peak_rss_bytes": agent.peak_rss,
                    "server_spans": agent.spans,
                    "client_spans": agent.calls,
                    "dropped": agent.dropped,
                    "counters": agent.counters,
                })),
            })
        };
        let text = json!({
            "time_unix": SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            "revision": revision(),
            "kernel": kernel(),
            "settings": {
                "seconds": self.settings.seconds,
                "rounds": self.settings.rounds,
                "connections": self.settings.connections,
                "rate": self.settings.rate,
                "against": self.settings.against,
            },
            "median": {
                "throughput_ratio": self.ratio(Load::rate),
                "server_cpu_ratio": self.ratio(Load::server_micros),
                "agent_cpu_us_per_request": self.with(Load::agent_micros),
                "agent_peak_rss_bytes": self.with(|load| load.rss_megabytes() * 1e6),
                "spans_per_request": self.with(Load::spans_per_request),
            },
            "pairs": self.pairs.iter().map(|(without, with)| json!([load(without), load(with)])).collect::<Vec<_>>(),
            "paced": self.paced.as_ref().map(load),
            "programs": self.programs.programs.iter().map(|program| json!({
                "name": program.name, "runs": program.runs, "ns": program.nanos,
            })).collect::<Vec<_>>(),
            "uprobe_hits": self.hits.map(|hits| json!({ "incoming": hits.incoming, "outgoing": hits.outgoing })),
        });
        fs::write(&path, serde_json::to_string_pretty(&text)? + "\n")?;
        Ok(path)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { seconds, rounds, connections, against, .. } = &self.settings;
        let title = self.title;
        writeln!(f, "\n{title}, {connections} kept connections, {rounds} x {seconds} s each way; medians")?;
        if let Some(configuration) = against {
            writeln!(f, "without: an agent with {configuration}; with: one as it comes")?;
        }
        writeln!(f, "{:<34}{:>12}{:>12}{:>10}", "", "without", "with", "ratio")?;
        self.pairs_table(f)?;
        self.paced_table(f)?;
        if let Some(Hits { incoming, outgoing }) = self.hits {
            writeln!(f, "\nhits of probes inside of {}", self.server)?;
            writeln!(f, "{:<34}{incoming:>24.3}{:>10}   target: none", "an incoming request", "")?;
            let target = format!("target at most {OUTGOING_TARGET}");
            writeln!(f, "{:<34}{outgoing:>24.3}{:>10}   {target}", "an outgoing call", "")?;
        }
        self.programs_table(f)
    }
}

impl Report {
    #[allow(clippy::cast_precision_loss)] // As above.
    fn pairs_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let targets = &self.targets;
        let mut row = |what: &str, figure: fn(&Load) -> f64, digits: usize, target: &str| {
            let (without, with, ratio) = (self.without(figure), self.with(figure), self.ratio(figure));
            writeln!(f, "{what:<34}{without:>12.digits$}{with:>12.digits$}{ratio:>10.3}   {target}")
        };
        let target = targets.throughput.map_or(String::new(), |least| format!("target at least {least:.2}"));
        row("requests/s", Load::rate, 0, &target)?;
        let target = targets.server.map_or(String::new(), |most| format!("target at most {most:.2}"));
        row(&format!("{} CPU a request, µs", self.server), Load::server_micros, 2, &target)?;
        let mut row = |what: &str, figure: fn(&Load) -> f64, digits: usize, target: &str| {
            let with = self.with(figure);
            // Without an agent there is nothing to say of it.
            let without = match &self.settings.against {
                Some(_) => format!("{:.digits$}", self.without(figure)),
                None => String::new(),
            };
            writeln!(f, "{what:<34}{without:>12}{with:>12.digits$}{:>10}   {target}", "")
        };
        let target = targets.agent_micros.map_or(String::new(), |most| format!("target at most {most:.1}"));
        row("agent CPU a request, µs", Load::agent_micros, 2, &target)?;
        let target = format!("target below {:.0}", targets.rss_megabytes);
        row("agent peak RSS, MB", Load::rss_megabytes, 1, &target)?;
        row("server spans a request", Load::spans_per_request, 4, "")?;
        row("client spans a request", Load::calls_per_request, 4, "")?;
        row("dropped, as the agent says", |load| load.of_agent(|agent| agent.dropped as f64), 0, "")
    }

    fn paced_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(paced) = &self.paced else { return Ok(()) };
        writeln!(f, "\nat {:.0} requests/s", paced.rate())?;
        let spans = paced.agent.as_ref().map_or(0, |agent| agent.spans);
        let lost = i128::from(paced.requests) - i128::from(spans);
        writeln!(f, "{:<34}{:>24}", "requests", paced.requests)?;
        writeln!(f, "{:<34}{spans:>24}{:>10}   target: no loss ({lost} missing)", "server spans", "")?;
        let what = format!("{} CPU a request, µs", self.server);
        writeln!(f, "{what:<34}{:>24.2}", paced.server_micros())?;
        writeln!(f, "{:<34}{:>24.2}", "agent CPU a request, µs", paced.agent_micros())?;
        if let Some(agent) = paced.agent.as_ref().filter(|agent| agent.dropped != 0) {
            writeln!(f, "the agent dropped: {}", agent.counters.join(", "))?;
        }
        Ok(())
    }

    #[allow(clippy::cast_precision_loss)] // As above.
    fn programs_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nkernel programs (bpf_stats, a load of its own)")?;
        for Program { name, runs, nanos, .. } in &self.programs.programs {
            let each = *nanos as f64 / *runs as f64;
            let share = *runs as f64 / self.programs.requests.max(1) as f64;
            writeln!(f, "{name:<34}{runs:>12} runs{share:>8.2} a request{each:>8.0} ns each")?;
        }
        writeln!(f)
    }
}

/// The middle one, or the mean of the two in the middle; 0 for none.
pub(super) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => figures[middle],
        _ => f64::midpoint(figures[middle - 1], figures[middle]),
    }
}

pub(super) fn revision() -> String {
    let mut git = std::process::Command::new("git");
    process::output(git.args(["rev-parse", "HEAD"]).current_dir(paths::root()))
        .unwrap_or_default()
        .trim()
        .to_owned()
}

pub(super) fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(requests: u64, server_millis: u64, agent: Option<AgentCost>) -> Load {
        Load { requests, seconds: 2.0, server: Duration::from_millis(server_millis), agent }
    }

    fn cost(spans: u64) -> Option<AgentCost> {
        let cpu = Duration::from_millis(400);
        Some(AgentCost { cpu, peak_rss: 40_000_000, spans, calls: 0, dropped: 0, counters: Vec::new() })
    }

    fn report() -> Report {
        let program = Program { id: 1, kind: 26, name: "on_send".to_owned(), runs: 10, nanos: 3000 };
        Report {
            name: "http",
            title: "nginx",
            server: "nginx",
            targets: Targets {
                throughput: Some(0.85),
                server: Some(1.1),
                agent_micros: Some(5.0),
                rss_megabytes: 80.0,
            },
            settings: Settings { seconds: 2, rounds: 1, connections: 16, rate: 1, against: None, only: None },
            pairs: vec![(load(200_000, 1000, None), load(160_000, 880, cost(160_000)))],
            paced: Some(load(30_000, 300, cost(29_998))),
            programs: Programs { requests: 5, programs: vec![program] },
            hits: Some(Hits { incoming: 0.0, outgoing: 1.5 }),
        }
    }

    fn row(table: &str, what: &str) -> Vec<String> {
        let line = table.lines().find(|line| line.starts_with(what)).unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_median_of_even_and_odd() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]).to_string(), "2");
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]).to_string(), "2.5");
        assert_eq!(median(Vec::new()).to_string(), "0");
    }

    #[test]
    fn the_table_shows_figures_a_request_and_what_is_missing() {
        let table = report().to_string();
        assert_eq!(row(&table, "requests/s")[..4], ["requests/s", "100000", "80000", "0.800"]);
        assert_eq!(row(&table, "nginx CPU")[5..8], ["5.00", "5.50", "1.100"]);
        assert_eq!(row(&table, "agent CPU")[5], "2.50");
        assert_eq!(row(&table, "an outgoing call")[3], "1.500");
        for text in ["at least 0.85", "(2 missing)", "300 ns each", "2.00 a request"] {
            assert!(table.contains(text), "{text}: {table}");
        }
    }

    #[test]
    fn against_a_configuration_both_agents_are_shown() {
        let mut report = report();
        report.settings.against = Some("off.yaml".to_owned());
        report.pairs[0].0.agent = cost(200_000);
        let table = report.to_string();
        assert!(table.contains("without: an agent with off.yaml"), "{table}");
        assert_eq!(row(&table, "agent CPU")[5..7], ["2.00", "2.50"]);
    }
}
