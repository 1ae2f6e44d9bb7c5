//! Calls are given to the requests that caused them, in real runtimes at sixteen connections: the small brother of
//! `cargo xtask truth`.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    privilege,
    scratch::Scratch,
    truth::{
        self, Load, Pattern,
        judge::{self, Score},
        programs::{self, Behind, Case, Running},
    },
};

const CONNECTIONS: usize = 16;
const REQUESTS: u64 = 300;

/// Goroutines, and those that they make.
#[test]
fn go() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("truth::go") else { return Ok(()) };
    all_right("go-http", &Pattern::ALL)
}

/// As Go programs are shipped: their functions are found all the same.
#[test]
fn go_stripped() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("truth::go_stripped") else { return Ok(()) };
    all_right("go-stripped", &[Pattern::Seq])
}

/// database/sql writes on the caller's own goroutine.
#[test]
fn go_sql() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("truth::go_sql") else { return Ok(()) };
    all_right("go-sql", &Pattern::ALL)
}

/// One goroutine writes the calls of all for each connection.
#[test]
fn go_grpc() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("truth::go_grpc") else { return Ok(()) };
    all_right("go-grpc", &[Pattern::Seq, Pattern::Fan])
}

/// A task for each connection; the loop's context reads.
#[test]
fn python_aiohttp() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("truth::python_aiohttp") else { return Ok(()) };
    all_right("python-aiohttp", &Pattern::ALL)
}

/// A task for each request, and `gather`.
#[test]
fn python_fastapi() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("truth::python_fastapi") else { return Ok(()) };
    all_right("python-fastapi", &Pattern::ALL)
}

/// Connections are tasks of their own, which write what others hand to them.
#[test]
fn rust_tokio() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("truth::rust_tokio") else { return Ok(()) };
    for (score, pattern) in scores("rust-tokio", &Pattern::ALL)?.iter().zip(Pattern::ALL) {
        ensure!((score.wrong, score.missing, score.twice) == (0, 0, 0), "{pattern}: {score:?}");
        ensure!(score.right * 100 >= score.calls * 99, "{pattern}: {score:?}");
    }
    Ok(())
}

#[test]
fn python_threads() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("truth::python_threads") else { return Ok(()) };
    all_right("python-threads", &[Pattern::Seq, Pattern::Pause])
}

#[test]
fn java_threads() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("truth::java_threads") else { return Ok(()) };
    all_right("java-threads", &[Pattern::Seq, Pattern::Pause])
}

/// Two calls of three are made by threads of a pool, which take what comes: known where both sides have woken each other, a fourth
/// of them or more as a rule, and never guessed.
#[test]
fn java_pools() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("truth::java_pools") else { return Ok(()) };
    let directory = Scratch::new("pools")?;
    let file = directory.path().join("honeyguide.yaml");
    fs::write(&file, "link: { wakes: true }\n")?;
    let case = case("java-threads")?;
    let arguments = ["--config".to_owned(), file.display().to_string()];
    let score = scores_of(|behind| case.start(behind), &[Pattern::Fan], &arguments)?.remove(0);
    ensure!((score.wrong, score.missing, score.twice) == (0, 0, 0), "{score:?}");
    let pools = score.rules.get("woken").copied().unwrap_or_default();
    ensure!(score.right == usize::try_from(REQUESTS)? + pools.0, "{score:?}");
    ensure!(pools.0 * 25 >= score.calls, "{score:?}");
    Ok(())
}

#[test]
fn ruby_threads() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("truth::ruby_threads") else { return Ok(()) };
    all_right("ruby-puma", &[Pattern::Seq, Pattern::Pause])
}

/// One thread for all of them: each call follows what it waited for.
#[test]
fn node_without_timers() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("truth::node_without_timers") else { return Ok(()) };
    let score = scores("node-http", &[Pattern::Seq])?.remove(0);
    ensure!(score.wrong == 0, "{score:?}");
    ensure!(score.right * 100 >= score.calls * 99, "{score:?}");
    Ok(())
}

/// Timers in front of everything, and work that moves between threads: what cannot be known is not guessed.
#[test]
fn node_with_timers() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("truth::node_with_timers") else { return Ok(()) };
    let score = scores("node-http", &[Pattern::Pause])?.remove(0);
    ensure!(score.wrong == 0 && score.missing == 0 && score.twice == 0, "{score:?}");
    Ok(())
}

/// CPython 3.14's tasks, which its thread state names elsewhere than earlier ones.
#[test]
fn python_3_14() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("truth::python_3_14") else { return Ok(()) };
    let patterns = [Pattern::Seq, Pattern::Fan];
    are_right("aiohttp on 3.14", &scores_of(programs::python_aiohttp_3_14, &patterns, &[])?, &patterns)
}

fn all_right(case: &str, patterns: &[Pattern]) -> Result<()> {
    are_right(case, &scores(case, patterns)?, patterns)
}

fn are_right(case: &str, scores: &[Score], patterns: &[Pattern]) -> Result<()> {
    for (score, pattern) in scores.iter().zip(patterns) {
        let wanted = usize::try_from(REQUESTS)? * pattern.calls();
        ensure!((score.right, score.wrong) == (wanted, 0), "{case} {pattern}: {score:?}");
    }
    Ok(())
}

fn scores(name: &str, patterns: &[Pattern]) -> Result<Vec<Score>> {
    let case = case(name)?;
    scores_of(|behind| case.start(behind), patterns, &[])
}

fn case(name: &str) -> Result<&'static Case> {
    programs::all().iter().find(|case| case.name == name).context("no such case")
}

fn scores_of(
    start: impl Fn(&Behind) -> Result<Running>,
    patterns: &[Pattern],
    arguments: &[String],
) -> Result<Vec<Score>> {
    let behind = Behind::start()?;
    let program = start(&behind)?;
    let selection = program.pids.iter().flat_map(|pid| ["--pid".to_owned(), pid.to_string()]);
    let quiet = ["--print".to_owned(), "none".to_owned()];
    let agent = Agent::run(selection.chain(quiet).chain(arguments.iter().cloned()))?;
    let load =
        |pattern| truth::load(&program.address, pattern, CONNECTIONS, REQUESTS, Duration::from_secs(60));
    let loads = patterns.iter().map(|&pattern| load(pattern)).collect::<Result<Vec<Load>>>()?;
    Ok(judge::judge(&agent.stop()?, &loads))
}
