//! What is measured.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use honeyguide_tests::truth::{
    Pattern,
    programs::{self, Case},
};

#[derive(Debug)]
pub(super) struct Settings {
    pub cases: Vec<&'static Case>,
    /// The chain of five programs as well.
    pub chain: bool,
    pub patterns: Vec<Pattern>,
    /// Kept connections, one load for each.
    pub concurrency: Vec<usize>,
    /// Of a load, at most.
    pub requests: u64,
    /// No request is sent later than that into a load.
    pub seconds: u64,
    /// Leave what the agent wrote under `target/truth`.
    pub keep: bool,
    /// Further arguments of `honeyguide run`.
    pub agent: Vec<String>,
}

const CHAIN: &str = "chain";

impl Settings {
    pub(super) fn read(arguments: &[String]) -> Result<Self> {
        let mut settings = Self {
            cases: Vec::new(),
            chain: false,
            patterns: vec![Pattern::Seq, Pattern::Pause, Pattern::Fan],
            concurrency: vec![1, 16, 64],
            requests: 1000,
            seconds: 4,
            keep: false,
            agent: Vec::new(),
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--concurrency" => settings.concurrency = list(value()?, |part| positive(part))?,
                "--pattern" => settings.patterns = list(value()?, pattern)?,
                "--requests" => settings.requests = positive(value()?)?,
                "--seconds" => settings.seconds = positive(value()?)?,
                "--keep" => settings.keep = true,
                "--" => {
                    settings.agent = words.by_ref().cloned().collect();
                }
                flag if flag.starts_with('-') => bail!(
                    "`{flag}` means nothing here: --concurrency, --pattern, --requests, --seconds, --keep, \
                     -- and arguments of `honeyguide run`"
                ),
                CHAIN => settings.chain = true,
                name => settings.cases.push(case(name)?),
            }
        }
        if settings.cases.is_empty() && !settings.chain {
            settings.cases = programs::all().iter().collect();
            settings.chain = true;
        }
        Ok(settings)
    }

    pub(super) fn limit(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn case(name: &str) -> Result<&'static Case> {
    programs::all().iter().find(|case| case.name == name).with_context(|| {
        let names: Vec<&str> = programs::all().iter().map(|case| case.name).collect();
        format!("there is no case `{name}`; there is {}, {CHAIN}", names.join(", "))
    })
}

fn pattern(name: &str) -> Result<Pattern> {
    let all = [Pattern::Seq, Pattern::Pause, Pattern::Fan];
    all.into_iter().find(|pattern| pattern.name() == name).with_context(|| format!("no pattern `{name}`"))
}

fn list<T>(text: &str, read: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
    text.split(',').map(read).collect()
}

fn positive<T: std::str::FromStr + Default + PartialOrd>(text: &str) -> Result<T> {
    let number = text.parse::<T>().ok().with_context(|| format!("`{text}` is not a number"))?;
    ensure!(number > T::default(), "`{text}` is not above 0");
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings> {
        Settings::read(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn words_choose_cases_and_loads() {
        let all = read("").unwrap();
        assert!(all.chain && all.cases.len() == programs::all().len());
        let one = read("go-http --concurrency 1,32 --requests 50 --pattern fan -- --config x").unwrap();
        assert_eq!(one.cases.iter().map(|case| case.name).collect::<Vec<_>>(), ["go-http"]);
        assert_eq!((one.chain, one.concurrency, one.requests), (false, vec![1, 32], 50));
        assert_eq!((one.patterns, one.agent), (vec![Pattern::Fan], vec!["--config".into(), "x".into()]));
    }

    #[test]
    fn what_means_nothing_is_an_error() {
        for bad in ["cobol", "--concurrency 0", "--concurrency 1,x", "--requests", "--pattern spiral", "-x"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
