//! The figures of a benchmark: a table for people, a file for the next comparison.

use std::{
    fmt, fs,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use serde_json::json;

use super::Settings;
use crate::{paths, process};

/// What the issue of the project asks for; printed next to what was measured.
const SERVER_TARGET: f64 = 1.10;
const AGENT_TARGET: f64 = 5.0;
const RSS_TARGET: f64 = 80.0;

#[derive(Debug)]
pub(super) struct Report {
    pub settings: Settings,
    /// Loads without and with the agent, in the order they ran.
    pub pairs: Vec<(Load, Load)>,
    /// Below 20,000 requests a second, with the agent.
    pub paced: Load,
    pub programs: Vec<Program>,
}

#[derive(Debug)]
pub(super) struct Load {
    pub requests: u64,
    pub seconds: f64,
    /// CPU time of nginx's workers.
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
    /// What the agent says it lost, and where.
    pub dropped: i64,
    pub counters: Vec<String>,
}

/// A kernel program's own time, as the kernel keeps it.
#[derive(Debug)]
pub(super) struct Program {
    pub id: u64,
    pub name: String,
    pub runs: u64,
    pub nanos: u64,
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

    /// Spans for each request: 1 when nothing is lost.
    fn spans_per_request(&self) -> f64 {
        self.of_agent(|agent| agent.spans as f64 / self.requests.max(1) as f64)
    }

    fn of_agent(&self, figure: impl FnOnce(&AgentCost) -> f64) -> f64 {
        self.agent.as_ref().map_or(0.0, figure)
    }
}

impl Report {
    fn ratio(&self, figure: impl Fn(&Load) -> f64) -> f64 {
        median(self.pairs.iter().map(|(without, with)| figure(with) / figure(without)).collect())
    }

    fn without(&self, figure: impl Fn(&Load) -> f64) -> f64 {
        median(self.pairs.iter().map(|(without, _)| figure(without)).collect())
    }

    fn with(&self, figure: impl Fn(&Load) -> f64) -> f64 {
        median(self.pairs.iter().map(|(_, with)| figure(with)).collect())
    }

    /// Writes the figures to `target/bench/http.json`.
    pub(super) fn write(&self) -> Result<PathBuf> {
        let directory = paths::target().join("bench");
        fs::create_dir_all(&directory)?;
        let path = directory.join("http.json");
        let load = |load: &Load| {
            json!({
                "requests": load.requests,
                "requests_per_second": load.rate(),
                "server_cpu_us_per_request": load.server_micros(),
                "agent": load.agent.as_ref().map(|agent| json!({
                    "cpu_us_per_request": load.agent_micros(),
                    "peak_rss_bytes": agent.peak_rss,
                    "server_spans": agent.spans,
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
            },
            "median": {
                "throughput_ratio": self.ratio(Load::rate),
                "server_cpu_ratio": self.ratio(Load::server_micros),
                "agent_cpu_us_per_request": self.with(Load::agent_micros),
                "agent_peak_rss_bytes": self.with(|load| load.rss_megabytes() * 1e6),
                "spans_per_request": self.with(Load::spans_per_request),
            },
            "pairs": self.pairs.iter().map(|(without, with)| json!([load(without), load(with)])).collect::<Vec<_>>(),
            "paced": load(&self.paced),
            "programs": self.programs.iter().map(|program| json!({
                "name": program.name, "runs": program.runs, "ns": program.nanos,
            })).collect::<Vec<_>>(),
        });
        fs::write(&path, serde_json::to_string_pretty(&text)? + "\n")?;
        Ok(path)
    }
}

impl fmt::Display for Report {
    #[allow(clippy::cast_precision_loss)] // As above.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { seconds, rounds, connections, .. } = self.settings;
        writeln!(
            f,
            "\nnginx `return 200`, {connections} kept connections, {rounds} x {seconds} s each way; medians"
        )?;
        writeln!(f, "{:<34}{:>12}{:>12}{:>10}", "", "without", "with", "ratio")?;
        let mut row = |what: &str, figure: fn(&Load) -> f64, digits: usize, target: &str| {
            let (without, with, ratio) = (self.without(figure), self.with(figure), self.ratio(figure));
            writeln!(f, "{what:<34}{without:>12.digits$}{with:>12.digits$}{ratio:>10.3}   {target}")
        };
        row("requests/s", Load::rate, 0, "")?;
        let target = format!("target at most {SERVER_TARGET:.2}");
        row("nginx CPU a request, µs", Load::server_micros, 2, &target)?;
        let mut row = |what: &str, figure: fn(&Load) -> f64, digits: usize, target: &str| {
            writeln!(f, "{what:<34}{:>12}{:>12.digits$}{:>10}   {target}", "", self.with(figure), "")
        };
        row("agent CPU a request, µs", Load::agent_micros, 2, &format!("target at most {AGENT_TARGET:.1}"))?;
        row("agent peak RSS, MB", Load::rss_megabytes, 1, &format!("target below {RSS_TARGET:.0}"))?;
        row("server spans a request", Load::spans_per_request, 4, "")?;
        row("dropped, as the agent says", |load| load.of_agent(|agent| agent.dropped as f64), 0, "")?;

        writeln!(f, "\nat {:.0} requests/s", self.paced.rate())?;
        let spans = self.paced.agent.as_ref().map_or(0, |agent| agent.spans);
        let lost = i128::from(self.paced.requests) - i128::from(spans);
        writeln!(f, "{:<34}{:>24}", "requests", self.paced.requests)?;
        writeln!(f, "{:<34}{spans:>24}{:>10}   target: no loss ({lost} missing)", "server spans", "")?;
        writeln!(f, "{:<34}{:>24.2}", "nginx CPU a request, µs", self.paced.server_micros())?;
        writeln!(f, "{:<34}{:>24.2}", "agent CPU a request, µs", self.paced.agent_micros())?;
        if let Some(agent) = self.paced.agent.as_ref().filter(|agent| agent.dropped != 0) {
            writeln!(f, "the agent dropped: {}", agent.counters.join(", "))?;
        }

        writeln!(f, "\nkernel programs (bpf_stats, a load of its own)")?;
        for Program { name, runs, nanos, .. } in &self.programs {
            writeln!(f, "{name:<34}{:>12} runs{:>10.0} ns each", runs, *nanos as f64 / *runs as f64)?;
        }
        writeln!(f)
    }
}

/// The middle one, or the mean of the two in the middle; 0 for none.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => figures[middle],
        _ => f64::midpoint(figures[middle - 1], figures[middle]),
    }
}

fn revision() -> String {
    let mut git = std::process::Command::new("git");
    process::output(git.args(["rev-parse", "HEAD"]).current_dir(paths::root()))
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn kernel() -> String {
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
        Some(AgentCost { cpu, peak_rss: 40_000_000, spans, dropped: 0, counters: Vec::new() })
    }

    #[test]
    fn the_median_of_even_and_odd() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]).to_string(), "2");
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]).to_string(), "2.5");
        assert_eq!(median(Vec::new()).to_string(), "0");
    }

    #[test]
    fn the_table_shows_figures_a_request_and_what_is_missing() {
        let report = Report {
            settings: Settings { seconds: 2, rounds: 1, connections: 16, rate: 1 },
            pairs: vec![(load(200_000, 1000, None), load(160_000, 880, cost(160_000)))],
            paced: load(30_000, 300, cost(29_998)),
            programs: vec![Program { id: 1, name: "on_send".to_owned(), runs: 10, nanos: 3000 }],
        };
        let table = report.to_string();
        let row = |what: &str| {
            table.lines().find(|line| line.starts_with(what)).unwrap().split_whitespace().collect::<Vec<_>>()
        };
        assert_eq!(row("requests/s"), ["requests/s", "100000", "80000", "0.800"]);
        assert_eq!(row("nginx CPU")[5..8], ["5.00", "5.50", "1.100"]);
        assert_eq!(row("agent CPU")[5], "2.50");
        assert!(table.contains("(2 missing)"), "{table}");
        assert!(table.contains("300 ns each"), "{table}");
    }
}
