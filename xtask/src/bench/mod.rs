//! `cargo xtask bench`: what tracing costs, measured in one run with and without.

mod go;
mod http;
mod links;
mod loads;
mod measure;
mod off_cpu;
mod profile;
mod programs;
mod report;
mod sql;
mod tls;

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use honeyguide_tests::privilege;

use crate::{bpf::Outcome, build, setup};

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let Some((what, rest)) = arguments.split_first() else { bail!("which one? there is {NAMES}") };
    let run = match what.as_str() {
        "http" => http::run,
        "tls" => tls::run,
        "go" => go::run,
        "links" => links::run,
        "sql" => sql::run,
        "profile" => profile::run,
        "off-cpu" => off_cpu::run,
        _ => bail!("there is no benchmark `{what}`; there is {NAMES}"),
    };
    let settings = Settings::read(rest)?;
    ensure!(privilege::is_root(), "the benchmark loads programs into the kernel, so it needs root");
    // One that is named is measured as it is.
    if std::env::var_os("HONEYGUIDE_BINARY").is_none()
        && let Outcome::Skipped(advice) = build::build()?
    {
        bail!("without its BPF programs honeyguide cannot capture.\n{advice}");
    }
    let missing = setup::pieces::for_bench()?;
    ensure!(missing.is_empty(), "the benchmark needs packages: apt-get install {}", missing.join(" "));
    run(&settings)
}

const NAMES: &str = "`http`, `tls`, `go`, `links`, `sql`, `profile` and `off-cpu`";

#[derive(Clone, Debug, PartialEq, Eq)]
struct Settings {
    /// How long each load lasts.
    seconds: u64,
    /// How many pairs of loads, one without and one with the agent each.
    rounds: usize,
    /// Kept connections of the full load.
    connections: u32,
    /// Requests a second of the paced load.
    rate: u32,
    /// A configuration: the first load of each pair is traced by an agent with this one, instead of by none.
    against: Option<String>,
    /// Of a benchmark with several cases, those whose names begin with this.
    only: Option<String>,
}

impl Settings {
    /// How long each load lasts.
    fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    fn read(arguments: &[String]) -> Result<Self> {
        let mut settings =
            Self { seconds: 4, rounds: 5, connections: 16, rate: 15_000, against: None, only: None };
        let mut words = arguments.iter();
        while let Some(flag) = words.next() {
            let value = words.next().with_context(|| format!("{flag} needs a value"))?;
            let number = || {
                let number: Option<u32> = value.parse().ok().filter(|&n| n > 0);
                number.with_context(|| format!("{flag} {value}: not a number above 0"))
            };
            match flag.as_str() {
                "--seconds" => settings.seconds = number()?.into(),
                "--rounds" => settings.rounds = usize::try_from(number()?)?,
                "--connections" => settings.connections = number()?,
                "--rate" => settings.rate = number()?,
                "--against" => settings.against = Some(value.clone()),
                "--only" => settings.only = Some(value.clone()),
                other => bail!(
                    "`{other}` means nothing here: --seconds, --rounds, --connections, --rate, --against, --only"
                ),
            }
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_checked() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let settings = Settings::read(&words("--rounds 2 --seconds 1 --against a.yaml")).unwrap();
        let against = Some("a.yaml".to_owned());
        let expect = Settings { seconds: 1, rounds: 2, connections: 16, rate: 15_000, against, only: None };
        assert_eq!(settings, expect);
        for bad in ["--rounds", "--rounds 0", "--rounds x", "--round 1"] {
            assert!(Settings::read(&words(bad)).is_err(), "{bad}");
        }
    }
}
