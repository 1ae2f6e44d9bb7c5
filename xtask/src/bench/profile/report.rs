//! The table of a comparison of profilers.

use std::{
    fmt, fs,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use serde_json::json;

use super::{
    super::{
        Settings,
        report::{kernel, median, revision},
    },
    load::Pace,
    profiler::{Cost, Profiler},
};
use crate::paths;

pub(super) struct Report {
    /// Of the file.
    pub name: &'static str,
    pub title: &'static str,
    pub rows: Vec<Row>,
    /// A profiler that is not on this machine.
    pub missing: Option<&'static str>,
    pub settings: Settings,
}

pub(super) struct Row {
    pub profiler: Profiler,
    /// The pace without and with it, and its cost, in the order they ran.
    pub pairs: Vec<(Pace, Pace, Cost)>,
}

/// What the project asks for; printed next to what was measured.
const TARGETS: [&str; 3] = [
    "transactions and rounds at least 0.99 at 19 Hz, 0.98 at 99 Hz; CPU at most 1 % of a core at 19 Hz",
    "at start at most 250 MB; peak RSS at most 150 MB with 50 processes; written in at most 1 s; complete at least 99 %",
    "below every other profiler in CPU, with at least as many complete stacks",
];

impl Report {
    /// Prints the table and writes the file.
    pub(super) fn tell(&self) -> Result<()> {
        print!("{self}");
        println!("bench: {}", self.write()?.display());
        Ok(())
    }

    fn write(&self) -> Result<PathBuf> {
        let directory = paths::target().join("bench");
        fs::create_dir_all(&directory)?;
        let path = directory.join(format!("{}.json", self.name));
        let rows = self.rows.iter().map(|row| {
            json!({
                "profiler": row.profiler.name,
                "hz": row.profiler.hz,
                "transactions_ratio": row.ratio(|pace| pace.transactions),
                "transaction_cpu_ratio": row.ratio(|pace| pace.transaction_micros),
                "rounds_ratio": row.ratio(|pace| Some(pace.rounds)),
                "round_cpu_ratio": row.ratio(|pace| Some(pace.round_micros)),
                "cpu_share_of_a_core": row.cost(|cost| Some(cost.share)),
                "cpu_seconds": row.cost(|cost| Some(cost.cpu)),
                "rss_at_start_bytes": row.cost(|cost| Some(megabytes(cost.at_start) * 1e6)),
                "peak_rss_bytes": row.cost(|cost| Some(megabytes(cost.peak_rss) * 1e6)),
                "written_seconds": row.cost(|cost| Some(cost.written?.as_secs_f64())),
                "complete_percent": row.cost(|cost| cost.complete),
            })
        });
        let text = json!({
            "benchmark": self.name,
            "time": SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            "revision": revision(),
            "kernel": kernel(),
            "settings": { "seconds": self.settings.seconds, "rounds": self.settings.rounds },
            "profilers": rows.collect::<Vec<_>>(),
        });
        fs::write(&path, serde_json::to_string_pretty(&text)? + "\n")?;
        Ok(path)
    }
}

impl Row {
    /// The median of with to without.
    fn ratio(&self, figure: impl Fn(&Pace) -> Option<f64>) -> Option<f64> {
        let ratio = |(without, with, _): &(Pace, Pace, Cost)| Some(figure(with)? / figure(without)?);
        let ratios: Vec<f64> = self.pairs.iter().filter_map(ratio).collect();
        (!ratios.is_empty()).then(|| median(ratios))
    }

    fn cost(&self, figure: impl Fn(&Cost) -> Option<f64>) -> Option<f64> {
        let figures: Vec<f64> = self.pairs.iter().filter_map(|(_, _, cost)| figure(cost)).collect();
        (!figures.is_empty()).then(|| median(figures))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { seconds, rounds, .. } = &self.settings;
        writeln!(f, "\n{}; {rounds} x {seconds} s each way; medians", self.title)?;
        writeln!(f, "with to without: throughput, and in parentheses CPU time for each")?;
        writeln!(
            f,
            "{:<32}{:>6}{:>16}{:>16}{:>8}{:>8}{:>8}{:>8}{:>9}{:>10}",
            "", "Hz", "transactions", "rounds", "CPU", "CPU, s", "at start", "RSS", "written", "complete"
        )?;
        for row in &self.rows {
            let (name, hz) = (row.profiler.name, row.profiler.hz);
            let pair = |rate: Option<f64>, cpu: Option<f64>| match (rate, cpu) {
                (Some(rate), Some(cpu)) => format!("{rate:.3} ({cpu:.3})"),
                _ => "-".to_owned(),
            };
            let transactions =
                pair(row.ratio(|pace| pace.transactions), row.ratio(|pace| pace.transaction_micros));
            let rounds = pair(row.ratio(|pace| Some(pace.rounds)), row.ratio(|pace| Some(pace.round_micros)));
            let share = told(row.cost(|cost| Some(100.0 * cost.share)), 2, " %");
            let cpu = told(row.cost(|cost| Some(cost.cpu)), 2, "");
            let start = told(row.cost(|cost| Some(megabytes(cost.at_start))), 0, " MB");
            let rss = told(row.cost(|cost| Some(megabytes(cost.peak_rss))), 0, " MB");
            let written = told(row.cost(|cost| Some(cost.written?.as_secs_f64())), 2, " s");
            let complete = told(row.cost(|cost| cost.complete), 1, " %");
            writeln!(
                f,
                "{name:<32}{hz:>6}{transactions:>16}{rounds:>16}{share:>8}{cpu:>8}{start:>8}{rss:>8}{written:>9}{complete:>10}"
            )?;
        }
        for (index, target) in TARGETS.iter().enumerate() {
            writeln!(f, "{:<9}{target}", if index == 0 { "targets:" } else { "" })?;
        }
        if let Some(missing) = self.missing {
            writeln!(f, "not measured: {missing}, which is not on the path")?;
        }
        writeln!(f)
    }
}

fn told(figure: Option<f64>, digits: usize, unit: &str) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.digits$}{unit}"))
}

#[allow(clippy::cast_precision_loss)] // Memory of one process is far below 2^52 bytes.
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_table_shows_ratios_and_what_there_is_none_of() {
        let pace = |rate: f64| Pace {
            transactions: None,
            transaction_micros: None,
            rounds: rate,
            round_micros: 10.0,
        };
        let cost = Cost {
            share: 0.0123,
            cpu: 0.25,
            at_start: 20_000_000,
            peak_rss: 30_000_000,
            written: Some(Duration::from_millis(310)),
            complete: None,
        };
        let profiler = super::super::profiler::native().remove(0);
        let pairs = vec![(pace(100.0), pace(98.0), cost)];
        let rows = vec![Row { profiler, pairs }];
        let settings = Settings { seconds: 4, rounds: 1, connections: 1, rate: 1, against: None, only: None };
        let report = Report { name: "profile", title: "two cores", rows, missing: Some("x"), settings };
        let table = report.to_string();
        let line = table.lines().find(|line| line.starts_with("flame --pid")).unwrap();
        let words: Vec<&str> = line.split_whitespace().skip(2).collect();
        assert_eq!(
            words,
            ["19", "-", "0.980", "(1.000)", "1.23", "%", "0.25", "20", "MB", "30", "MB", "0.31", "s", "-"]
        );
        assert!(table.contains("not measured: x"), "{table}");
    }
}
