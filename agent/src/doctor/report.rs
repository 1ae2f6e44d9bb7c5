//! What was found, as an aligned table.

use std::{borrow::Cow, fmt};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Good,
    /// Worth knowing; nothing is lost.
    Note,
    /// Something is lost.
    Limited,
    /// The agent cannot capture.
    Missing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub what: &'static str,
    pub state: State,
    /// What was found: `6.12.9`, `not mounted`.
    pub found: String,
    /// Empty where nothing follows.
    pub consequence: Cow<'static, str>,
    /// Empty where nothing is to be done.
    pub remedy: Cow<'static, str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub checks: Vec<Check>,
}

impl Check {
    pub(super) fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, state: State::Good, found: found.into(), consequence: "".into(), remedy: "".into() }
    }

    pub(super) fn new(
        what: &'static str,
        state: State,
        found: impl Into<String>,
        consequence: impl Into<Cow<'static, str>>,
        remedy: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { what, state, found: found.into(), consequence: consequence.into(), remedy: remedy.into() }
    }
}

impl Report {
    #[must_use]
    pub fn can_run(&self) -> bool {
        self.checks.iter().all(|check| check.state != State::Missing)
    }
}

/// Columns: what, state, found, consequence; a remedy stands on a line of its own.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |of: fn(&Check) -> usize| self.checks.iter().map(of).max().unwrap_or(0);
        let what = width(|check| check.what.chars().count());
        let found = width(|check| check.found.chars().count());
        for check in &self.checks {
            let line = format!(
                "{:what$}  {:7}  {:found$}  {}",
                check.what,
                check.state.word(),
                check.found,
                check.consequence
            );
            writeln!(f, "{}", line.trim_end())?;
            if !check.remedy.is_empty() {
                writeln!(f, "{:what$}  → {}", "", check.remedy)?;
            }
        }
        let verdict =
            if self.can_run() { "honeyguide can run here." } else { "honeyguide cannot capture here." };
        writeln!(f, "\n{verdict}")
    }
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Note => "note",
            Self::Limited => "limited",
            Self::Missing => "MISSING",
        }
    }
}
