//! What is sampled: programs that are busy all the time, and say how much they have done.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    compiled::Compiled, guard::Guard, paths, postgres::Postgres, proc, python, scratch::Scratch,
};

/// With the server's own processes some fifty.
const CLIENTS: &str = "45";
/// Long enough for everything that is measured, and no longer should its owner be killed.
const LONGEST: &str = "3600";
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Load {
    database: Option<Database>,
    program: Guard,
    /// Eight bytes: the rounds that the program has done.
    rounds: PathBuf,
    _compiled: Option<Compiled>,
    _scratch: Scratch,
}

struct Database {
    /// Ends before its server.
    pgbench: Guard,
    server: Postgres,
}

/// How fast things went for a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Of PostgreSQL, a second.
    pub transactions: Option<f64>,
    /// CPU time of PostgreSQL's processes for each, µs.
    pub transaction_micros: Option<f64>,
    /// Of the program, a second.
    pub rounds: f64,
    /// CPU time of the program for each, µs.
    pub round_micros: f64,
}

impl Pace {
    /// The mean of two.
    pub(super) fn between(&self, other: &Self) -> Self {
        let mean = |one: f64, other: f64| f64::midpoint(one, other);
        let both = |one: Option<f64>, other: Option<f64>| Some(mean(one?, other?));
        Self {
            transactions: both(self.transactions, other.transactions),
            transaction_micros: both(self.transaction_micros, other.transaction_micros),
            rounds: mean(self.rounds, other.rounds),
            round_micros: mean(self.round_micros, other.round_micros),
        }
    }
}

struct Counters {
    time: Instant,
    rounds: u64,
    program: Duration,
    database: Duration,
}

impl Load {
    pub(super) fn native() -> Result<Self> {
        let scratch = Scratch::new("profile")?;
        let rounds = scratch.join("rounds");
        let compiled = Compiled::c("gcc", &[])?;
        let program = compiled.run(&["count", &rounds.to_string_lossy()])?;
        let server = Postgres::start()?;
        let mut tables = server.client("pgbench", "127.0.0.1".as_ref())?;
        python::quietly(tables.args(["--initialize", "--quiet"]))?;
        let mut command = server.client("pgbench", server.socket())?;
        command.args(["--no-vacuum", "--select-only", "--protocol", "simple", "--progress", "1"]);
        command.args(["--client", CLIENTS, "--jobs", "1", "--time", LONGEST]);
        let mut pgbench = Guard::spawn(command)?;
        pgbench.wait_for_text("progress: ", PATIENCE)?;
        let database = Some(Database { pgbench, server });
        Ok(Self { database, program, rounds, _compiled: Some(compiled), _scratch: scratch })
    }

    pub(super) fn python() -> Result<Self> {
        let scratch = Scratch::new("profile")?;
        let rounds = scratch.join("rounds");
        let mut command = Command::new(python::environment()?.join("bin/python"));
        command.arg(paths::app("profile/mixed.py")).arg(&rounds);
        let mut program = Guard::spawn(command)?;
        program.wait_for_text("ready", PATIENCE)?;
        Ok(Self { database: None, program, rounds, _compiled: None, _scratch: scratch })
    }

    /// The processes that are busy; each with its children.
    pub(super) fn pids(&self) -> Vec<u32> {
        let server = self.database.as_ref().map(|database| database.server.pid());
        server.into_iter().chain([self.program.pid()]).collect()
    }

    /// How fast it goes for so many seconds.
    #[allow(clippy::cast_precision_loss)] // Counts of one bounded run are far below 2^52.
    pub(super) fn pace(&self, seconds: u64) -> Result<Pace> {
        let first = self.database.as_ref().map(Database::next_second).transpose()?;
        let before = self.counters()?;
        let transactions = match (&self.database, first) {
            (Some(database), Some(first)) => Some(database.transactions(first, usize::try_from(seconds)?)?),
            _ => {
                thread::sleep(Duration::from_secs(seconds));
                None
            }
        };
        let after = self.counters()?;
        let elapsed = (after.time - before.time).as_secs_f64();
        let rounds = after.rounds.saturating_sub(before.rounds) as f64;
        ensure!(rounds > 0.0, "the program has done nothing\n{}", self.program.log());
        let micros = |after: Duration, before: Duration| after.saturating_sub(before).as_secs_f64() * 1e6;
        Ok(Pace {
            transactions,
            transaction_micros: transactions
                .map(|each| micros(after.database, before.database) / (each * elapsed)),
            rounds: rounds / elapsed,
            round_micros: micros(after.program, before.program) / rounds,
        })
    }

    fn counters(&self) -> Result<Counters> {
        let database = self.database.as_ref().map(|database| proc::family_cpu_time(database.server.pid()));
        let rounds = fs::read(&self.rounds)?;
        let rounds = rounds.first_chunk().context("the program counts in eight bytes")?;
        Ok(Counters {
            time: Instant::now(),
            rounds: u64::from_ne_bytes(*rounds),
            program: proc::exact_cpu_time(self.program.pid())?,
            database: database.transpose()?.unwrap_or_default(),
        })
    }
}

impl Database {
    /// Waits until pgbench has told of one more second; how many there were.
    fn next_second(&self) -> Result<usize> {
        let so_far = rates(&self.pgbench.log()).len();
        self.wait(so_far + 1)
    }

    /// A second, over so many seconds from `first` on.
    #[allow(clippy::cast_precision_loss)] // As above.
    fn transactions(&self, first: usize, seconds: usize) -> Result<f64> {
        self.wait(first + seconds)?;
        let rates = rates(&self.pgbench.log());
        Ok(rates[first..first + seconds].iter().sum::<f64>() / seconds as f64)
    }

    fn wait(&self, seconds: usize) -> Result<usize> {
        let deadline = Instant::now() + PATIENCE + Duration::from_secs(seconds as u64);
        loop {
            let log = self.pgbench.log();
            let told = rates(&log).len();
            if told >= seconds {
                return Ok(told);
            }
            ensure!(Instant::now() < deadline, "pgbench says nothing any more\n{log}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What pgbench tells each second: `progress: 3.0 s, 21534.9 tps, lat …`.
fn rates(log: &str) -> Vec<f64> {
    let rate =
        |line: &str| line.strip_prefix("progress: ")?.split(", ").nth(1)?.strip_suffix(" tps")?.parse().ok();
    // The last line may be half written.
    log.split_inclusive('\n').filter(|line| line.ends_with('\n')).filter_map(rate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rates_of_whole_lines_are_read() {
        let log = "pgbench (15.13)\nprogress: 1.0 s, 21534.9 tps, lat 2.0 ms stddev 0.9, 0 failed\n\
                   progress: 2.0 s, 21000.0 tps, lat 2.1 ms stddev 0.9, 0 failed\nprogress: 3.0 s, 2";
        assert_eq!(rates(log), [21534.9, 21000.0]);
    }
}
