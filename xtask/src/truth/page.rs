//! The tables in `docs/truth.md`. The text around them is written by hand.

use std::{fmt::Write, fs, path::PathBuf};

use anyhow::{Context, Result};
use honeyguide_tests::truth::programs;

use super::results::{Results, Row};
use crate::paths;

const BEGIN: &str = "<!-- measured: written by `cargo xtask truth` -->\n";
const END: &str = "<!-- measured: end -->\n";

/// Puts the tables between the two marks.
pub(super) fn write(results: &Results) -> Result<PathBuf> {
    let path = paths::root().join("docs/truth.md");
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let (before, rest) = page.split_once(BEGIN).context("docs/truth.md has lost the first mark")?;
    let (_, after) = rest.split_once(END).context("docs/truth.md has lost the second mark")?;
    fs::write(&path, format!("{before}{BEGIN}\n{}\n{END}{after}", tables(results)))?;
    Ok(path)
}

fn tables(results: &Results) -> String {
    let mut concurrency: Vec<usize> = results.rows.keys().map(|key| key.2).collect();
    concurrency.sort_unstable();
    concurrency.dedup();
    let mut text = "| case | calls |".to_owned();
    for connections in &concurrency {
        let _ = write!(text, " {connections} |"); // Writing to a string cannot fail.
    }
    text += "\n|---|---|";
    text += &"---|".repeat(concurrency.len());
    text.push('\n');
    for case in programs::all() {
        for (pattern, _) in case.patterns {
            let row = |&connections: &usize| {
                results.rows.get(&(case.name.to_owned(), pattern.name().to_owned(), connections))
            };
            let cells: Vec<String> =
                concurrency.iter().map(|connections| row(connections).map_or(String::new(), cell)).collect();
            if cells.iter().any(|cell| !cell.is_empty()) {
                let _ = writeln!(text, "| {} | {pattern} | {} |", case.name, cells.join(" | "));
            }
        }
    }
    if let Some(chain) = &results.chain {
        let (traces, connections) = (&chain.traces, chain.connections);
        let _ = write!(
            text,
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
    fn a_cell_holds_four_shares() {
        let score = Score { calls: 2000, right: 1995, wrong: 1, ambiguous: 4, ..Score::default() };
        let row = Row { score, ..Row::default() };
        assert_eq!(cell(&row), "99.75 / 0.05 / 0.2 / 0");
    }
}
