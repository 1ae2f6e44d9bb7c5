//! What was measured.

use std::fmt;

use honeyguide_tests::truth::{Load, chain::Traces, judge::Score};

#[derive(Debug, Default)]
pub(super) struct Results {
    pub rows: Vec<Row>,
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

    /// A line for each rule: what it got right, and what wrong.
    pub(super) fn rules(&self) -> String {
        let line = |(name, (right, wrong)): (&String, &(usize, usize))| {
            let name = if name.is_empty() { "(no rule said)" } else { name };
            format!("\n    {name:<20} right {right:>7}   wrong {wrong:>7}")
        };
        self.score.rules.iter().map(line).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn row(right: usize, wrong: usize) -> Row {
        let score = Score { requests: 500, calls: 1000, right, wrong, ..Score::default() };
        Row { case: "a".to_owned(), pattern: "seq".to_owned(), connections: 16, score, rate: 10.0, aim: 0.99 }
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
