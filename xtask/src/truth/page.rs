//! The tables in `docs/truth.md`. The text around them is written by hand.
//!
//! They are where earlier runs are kept, too: a run of one case renews its cells alone, in any clone.

use std::{collections::BTreeMap, fmt::Write, fs, path::PathBuf};

use anyhow::{Context, Result};
use honeyguide_tests::truth::{chain::Traces, programs};

use super::results::{Results, Row};
use crate::paths;

const BEGIN: &str = "<!-- measured: written by `cargo xtask truth` -->\n";
const END: &str = "<!-- measured: end -->\n";
/// The table of the cases: so many columns before those of the connections.
const NAMES: usize = 3;

/// Of the table of the cases: case, pattern and connections.
type Cells = BTreeMap<(String, String, usize), String>;

/// Puts what was measured into the tables between the two marks.
pub(super) fn renew(results: &Results) -> Result<PathBuf> {
    let path = paths::root().join("docs/truth.md");
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let (before, rest) = page.split_once(BEGIN).context("docs/truth.md has lost the first mark")?;
    let (measured, after) = rest.split_once(END).context("docs/truth.md has lost the second mark")?;
    fs::write(&path, format!("{before}{BEGIN}\n{}\n{END}{after}", renewed(measured, results)))?;
    Ok(path)
}

fn renewed(measured: &str, results: &Results) -> String {
    let (table, chain) = match measured.split_once("\nThe chain") {
        Some((table, chain)) => (table, format!("\nThe chain{}\n", chain.trim_end())),
        None => (measured, String::new()),
    };
    let mut cells = cells(table);
    let renewed =
        results.rows.iter().map(|row| ((row.case.clone(), row.pattern.clone(), row.connections), row));
    cells.extend(renewed.map(|(key, row)| (key, cell(row))));
    let chain = results.chain.as_ref().map_or(chain, |row| self::chain(row.connections, &row.traces));
    self::table(&cells) + &chain
}

/// The cells of the first table that have something in them.
fn cells(table: &str) -> Cells {
    let lines = table.lines().skip_while(|line| line.is_empty()).take_while(|line| !line.is_empty());
    let mut rows = lines.filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
    let words = |row: &str| row.split('|').map(|word| word.trim().to_owned()).collect::<Vec<_>>();
    let head = words(rows.next().unwrap_or_default());
    let mut cells = Cells::new();
    for row in rows.map(words) {
        for (connections, cell) in head.iter().zip(&row).skip(NAMES) {
            if let (Ok(connections), false) = (connections.parse(), cell.is_empty()) {
                cells.insert((row[0].clone(), row[1].clone(), connections), cell.clone());
            }
        }
    }
    cells
}

fn table(cells: &Cells) -> String {
    let mut concurrency: Vec<usize> = cells.keys().map(|key| key.2).collect();
    concurrency.sort_unstable();
    concurrency.dedup();
    let mut text = "| case | calls | asked |".to_owned();
    for connections in &concurrency {
        let _ = write!(text, " {connections} |"); // Writing to a string cannot fail.
    }
    text += "\n|---|---|---|";
    text += &"---|".repeat(concurrency.len());
    text.push('\n');
    for case in programs::all() {
        for (pattern, aim) in case.patterns {
            let cell = |&connections: &usize| {
                let key = (case.name.to_owned(), pattern.name().to_owned(), connections);
                cells.get(&key).map_or("", String::as_str)
            };
            let row: Vec<&str> = concurrency.iter().map(cell).collect();
            if row.iter().any(|cell| !cell.is_empty()) {
                let _ = writeln!(text, "| {} | {pattern} | {aim} | {} |", case.name, row.join(" | "));
            }
        }
    }
    text
}

fn chain(connections: usize, traces: &Traces) -> String {
    let mut text = format!(
        "\nThe chain, {} requests at {connections}: {} complete traces.\n\n\
         | span | right | wrong | unlinked | missing |\n|---|---|---|---|---|\n",
        traces.requests, traces.complete
    );
    for place in &traces.links {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            place.name, place.right, place.wrong, place.unlinked, place.missing
        );
    }
    text
}

/// `99.9 / 0 / 0.1 / 0`: right, wrong, ambiguous, unlinked, in percent.
fn cell(row: &Row) -> String {
    let score = &row.score;
    let percent = |count: usize| {
        let text = format!("{:.2}", score.share(count) * 100.0);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    [score.right, score.wrong, score.ambiguous, score.unlinked].map(percent).join(" / ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use honeyguide_tests::truth::judge::Score;

    #[test]
    fn one_case_renews_its_cells_alone() {
        let page = fs::read_to_string(paths::root().join("docs/truth.md")).unwrap();
        let measured = page.split_once(BEGIN).unwrap().1.split_once(END).unwrap().0;
        let same = renewed(measured, &Results::default());
        assert_eq!(same.trim(), measured.trim());

        let score = Score { calls: 100, right: 98, unlinked: 2, ..Score::default() };
        let row = Row {
            case: "go-http".to_owned(),
            pattern: "seq".to_owned(),
            connections: 7,
            score,
            ..Row::default()
        };
        let with = renewed(measured, &Results { rows: vec![row], chain: None });
        let (old, new) = (cells(measured), cells(&with));
        let key = ("go-http".to_owned(), "seq".to_owned(), 7);
        assert_eq!(new.get(&key).map(String::as_str), Some("98 / 0 / 0 / 2"));
        assert_eq!(new.iter().filter(|(place, _)| **place != key).count(), old.len());
        assert!(old.iter().all(|(place, cell)| new.get(place) == Some(cell)));
        assert!(with.contains("\nThe chain, 5000 requests at 32"));
    }

    #[test]
    fn a_cell_holds_four_shares() {
        let score = Score { calls: 2000, right: 1995, wrong: 1, ambiguous: 4, ..Score::default() };
        let row = Row { score, ..Row::default() };
        assert_eq!(cell(&row), "99.75 / 0.05 / 0.2 / 0");
    }
}
