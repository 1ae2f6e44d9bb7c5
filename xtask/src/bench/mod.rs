//! `cargo xtask bench`: what tracing costs, measured in one run with and without.

mod http;
mod report;

use anyhow::{Context, Result, bail};

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        Some((what, rest)) if what == "http" => http::run(&Settings::read(rest)?),
        Some((what, _)) => bail!("there is no benchmark `{what}`; there is `http`"),
        None => bail!("which one? there is `http`"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Settings {
    /// How long each load lasts.
    seconds: u64,
    /// How many pairs of loads, one without and one with the agent each.
    rounds: usize,
    /// Kept connections of the full load.
    connections: u32,
    /// Requests a second of the paced load.
    rate: u32,
}

impl Settings {
    fn read(arguments: &[String]) -> Result<Self> {
        let mut settings = Self { seconds: 4, rounds: 5, connections: 16, rate: 15_000 };
        let mut words = arguments.iter();
        while let Some(flag) = words.next() {
            let value = words.next().with_context(|| format!("{flag} needs a number"))?;
            let number: u32 = value
                .parse()
                .ok()
                .filter(|&n| n > 0)
                .with_context(|| format!("{flag} {value}: not a number above 0"))?;
            match flag.as_str() {
                "--seconds" => settings.seconds = number.into(),
                "--rounds" => settings.rounds = usize::try_from(number)?,
                "--connections" => settings.connections = number,
                "--rate" => settings.rate = number,
                other => bail!("`{other}` means nothing here: --seconds, --rounds, --connections, --rate"),
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
        let settings = Settings::read(&words("--rounds 2 --seconds 1")).unwrap();
        assert_eq!(settings, Settings { seconds: 1, rounds: 2, connections: 16, rate: 15_000 });
        for bad in ["--rounds", "--rounds 0", "--rounds x", "--round 1"] {
            assert!(Settings::read(&words(bad)).is_err(), "{bad}");
        }
    }
}
