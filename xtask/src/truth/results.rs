//! What was measured, kept between runs so that a run of one case renews its rows alone.

use std::{collections::BTreeMap, fmt, fs, path::PathBuf};

use anyhow::{Context, Result};
use honeyguide_tests::truth::{
    Load,
    chain::{Place, Traces},
    judge::Score,
};
use serde_json::{Value, json};

use crate::paths;

#[derive(Debug, Default)]
pub(super) struct Results {
    /// By case, pattern and connections.
    pub rows: BTreeMap<(String, String, usize), Row>,
    pub chain: Option<ChainRow>,
}

/// One load of one case.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub case: String,
    pub pattern: String,
    pub connections: usize,
    pub score: Score,
    /// Requests a second.
    pub rate: f64,
    /// The share of right links that is asked for, from 0 to 1.
    pub aim: f64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ChainRow {
    pub connections: usize,
    pub traces: Traces,
}

pub(super) fn headline() -> String {
    format!(
        "{:<16}{:<7}{:>5}{:>8}{:>9}{:>9}{:>11}{:>10}{:>9}{:>7}{:>8}",
        "case",
        "calls",
        "conc",
        "calls",
        "right",
        "wrong",
        "ambiguous",
        "unlinked",
        "missing",
        "twice",
        "req/s"
    )
}

impl Row {
    #[allow(clippy::cast_precision_loss)] // Counts of one bounded run are far below 2^52.
    pub(super) fn new(case: &str, load: &Load, score: Score, aim: f64) -> Self {
        let rate = load.answered.len() as f64 / load.took.as_secs_f64();
        let (case, pattern) = (case.to_owned(), load.pattern.name().to_owned());
        Self { case, pattern, connections: load.connections, score, rate, aim }
    }

    /// What makes the benchmark fail: more wrong links than `bound`, as a share of the calls, or calls not seen.
    pub(super) fn complaint(&self, bound: f64) -> Option<String> {
        let Self { case, pattern, connections, score, .. } = self;
        (score.share(score.wrong) > bound).then(|| {
            format!(
                "{case} {pattern} at {connections}: {} of {} calls have a wrong parent",
                score.wrong, score.calls
            )
        })
    }

    fn json(&self) -> Value {
        let Self { case, pattern, connections, score, rate, aim } = self;
        json!({
            "case": case, "pattern": pattern, "connections": connections, "rate": rate, "aim": aim,
            "requests": score.requests, "calls": score.calls, "right": score.right, "wrong": score.wrong,
            "ambiguous": score.ambiguous, "among_links": score.among_links, "unlinked": score.unlinked,
            "missing": score.missing, "twice": score.twice,
        })
    }

    fn read(json: &Value) -> Option<Self> {
        let score = Score {
            requests: count(json, "requests")?,
            calls: count(json, "calls")?,
            right: count(json, "right")?,
            wrong: count(json, "wrong")?,
            ambiguous: count(json, "ambiguous")?,
            among_links: count(json, "among_links")?,
            unlinked: count(json, "unlinked")?,
            missing: count(json, "missing")?,
            twice: count(json, "twice")?,
            examples: Vec::new(),
        };
        Some(Self {
            case: json["case"].as_str()?.to_owned(),
            pattern: json["pattern"].as_str()?.to_owned(),
            connections: count(json, "connections")?,
            score,
            rate: json["rate"].as_f64()?,
            aim: json["aim"].as_f64()?,
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, pattern, connections, score, rate, aim } = self;
        let percent = |count| format!("{:.2}%", score.share(count) * 100.0);
        write!(f, "{case:<16}{pattern:<7}{connections:>5}{:>8}", score.calls)?;
        write!(f, "{:>9}{:>9}", percent(score.right), percent(score.wrong))?;
        write!(f, "{:>11}{:>10}", percent(score.ambiguous), percent(score.unlinked))?;
        write!(f, "{:>9}{:>7}{rate:>8.0}", score.missing, score.twice)?;
        if score.share(score.right) < *aim {
            write!(f, "  below {:.1}%", aim * 100.0)?;
        }
        for example in &score.examples {
            write!(f, "\n    wrong: {example}")?;
        }
        Ok(())
    }
}

impl ChainRow {
    fn json(&self) -> Value {
        let Self { connections, traces } = self;
        let links = traces.links.iter().map(|place| {
            let Place { name, right, wrong, unlinked, missing } = place;
            json!({ "name": name, "right": right, "wrong": wrong, "unlinked": unlinked, "missing": missing })
        });
        json!({
            "connections": connections, "requests": traces.requests, "complete": traces.complete,
            "links": links.collect::<Vec<_>>(),
        })
    }

    fn read(json: &Value) -> Option<Self> {
        let place = |json: &Value| {
            Some(Place {
                name: json["name"].as_str()?.to_owned(),
                right: count(json, "right")?,
                wrong: count(json, "wrong")?,
                unlinked: count(json, "unlinked")?,
                missing: count(json, "missing")?,
            })
        };
        let traces = Traces {
            requests: count(json, "requests")?,
            complete: count(json, "complete")?,
            links: json["links"].as_array()?.iter().map(place).collect::<Option<_>>()?,
            ..Traces::default()
        };
        Some(Self { connections: count(json, "connections")?, traces })
    }
}

impl Results {
    /// Those of earlier runs; none where they cannot be read.
    pub(super) fn read() -> Self {
        let text = fs::read_to_string(file()).unwrap_or_default();
        let json: Value = serde_json::from_str(&text).unwrap_or_default();
        let mut results = Self { chain: ChainRow::read(&json["chain"]), ..Self::default() };
        let rows = json["rows"].as_array().map_or(&[][..], Vec::as_slice);
        results.add(rows.iter().filter_map(Row::read));
        results
    }

    pub(super) fn write(&self) -> Result<()> {
        let rows: Vec<Value> = self.rows.values().map(Row::json).collect();
        let json = json!({ "rows": rows, "chain": self.chain.as_ref().map(ChainRow::json) });
        let path = file();
        fs::write(&path, serde_json::to_string_pretty(&json)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))
    }

    pub(super) fn replace(&mut self, rows: Vec<Row>) {
        self.add(rows.into_iter());
    }

    fn add(&mut self, rows: impl Iterator<Item = Row>) {
        let key = |row: &Row| (row.case.clone(), row.pattern.clone(), row.connections);
        self.rows.extend(rows.map(|row| (key(&row), row)));
    }
}

fn count(json: &Value, key: &str) -> Option<usize> {
    usize::try_from(json[key].as_u64()?).ok()
}

fn file() -> PathBuf {
    paths::target().join("truth.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(right: usize, wrong: usize) -> Row {
        let score = Score { requests: 500, calls: 1000, right, wrong, ..Score::default() };
        Row { case: "a".to_owned(), pattern: "seq".to_owned(), connections: 16, score, rate: 10.0, aim: 0.99 }
    }

    #[test]
    fn a_row_reads_back_as_it_was() {
        let row = row(990, 1);
        assert_eq!(Row::read(&row.json()), Some(row));
        let chain = ChainRow {
            connections: 32,
            traces: Traces { requests: 2, complete: 1, links: vec![Place::default()], ..Traces::default() },
        };
        assert_eq!(ChainRow::read(&chain.json()), Some(chain));
    }

    #[test]
    fn one_in_a_thousand_may_be_wrong() {
        assert_eq!(row(999, 1).complaint(0.001), None);
        assert!(row(990, 2).complaint(0.001).unwrap().contains("2 of 1000"));
    }

    #[test]
    fn too_few_right_ones_are_said() {
        assert!(!row(990, 0).to_string().contains("below"));
        assert!(row(989, 0).to_string().contains("below 99.0%"));
    }
}
