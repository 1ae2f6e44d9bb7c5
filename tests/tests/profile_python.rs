//! CPython's functions in a profile, against py-spy on the same process at the same time.

use std::{collections::HashMap, fs, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{agent::Agent, guard::Guard, paths, privilege, python, scratch::Scratch};

const SECONDS: &str = "20";
const PATIENCE: Duration = Duration::from_secs(120);
/// The program's functions; what is above them in the stack is native, or the standard library's.
const FUNCTIONS: [&str; 10] =
    ["loop", "digest", "encode", "numbers", "generate", "descend", "step", "key", "rounds", "background"];

#[test]
fn functions_have_the_shares_that_py_spy_sees() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("profile_python::functions_have_the_shares_that_py_spy_sees")
    else {
        return Ok(());
    };
    let environment = python::environment()?;
    let out = Scratch::new("profile-python")?;
    let mut command = Command::new(environment.join("bin/python"));
    command.arg(paths::app("profile/mixed.py"));
    let mut program = Guard::spawn(command)?;
    program.wait_for_text("ready", PATIENCE)?;
    let pid = program.pid().to_string();

    let (ours, theirs) = (out.join("ours.folded"), out.join("theirs.folded"));
    let mut command = Agent::command()?;
    command
        .args(["flame", "--pid", &pid, "--hz", "199", "--duration", &format!("{SECONDS}s"), "-o"])
        .arg(&ours);
    let mut flame = Guard::spawn(command)?;
    flame.wait_for_text("honeyguide: ready", PATIENCE)?;
    let mut command = Command::new(environment.join("bin/py-spy"));
    // Nonblocking: a process that is stopped for each of its samples would be seen stopped.
    command.args([
        "record",
        "--format",
        "raw",
        "--rate",
        "100",
        "--gil",
        "--nonblocking",
        "--duration",
        SECONDS,
    ]);
    command.args(["--pid", &pid, "-o"]).arg(&theirs);
    let mut spy = Guard::spawn(command)?;
    ensure!(spy.wait(PATIENCE)?.success(), "py-spy: {}", spy.log());
    ensure!(flame.wait(PATIENCE)?.success(), "{}", flame.log());

    let said = flame.log();
    let (ours, theirs) = (fs::read_to_string(ours)?, fs::read_to_string(theirs)?);
    let (own, spied) = (shares(&ours)?, shares(&theirs)?);
    for name in FUNCTIONS {
        let (a, b) = (own.get(name).copied().unwrap_or(0.0), spied.get(name).copied().unwrap_or(0.0));
        ensure!((a - b).abs() <= 3.0, "{name}: {a:.1} % here, {b:.1} % there\n{own:?}\n{spied:?}\n{said}");
    }
    let passes = |names: &[&str]| {
        ours.lines().any(|line| {
            let mut frames = line.rsplit_once(' ').map_or("", |(stack, _)| stack).split(';');
            names.iter().all(|name| frames.by_ref().any(|frame| frame.contains(name)))
        })
    };
    ensure!(passes(&["main", "<module>", "rounds", "digest", "SHA256"]), "native code below Python: {ours}");
    ensure!(passes(&["_bootstrap", "background", "loop"]), "threads: {ours}");
    ensure!(passes(&["rounds", "generate", "<genexpr>", "numbers"]), "generators: {ours}");
    let descend = vec!["descend"; 31];
    ensure!(passes(&[&["rounds"], &descend[..], &["loop"]].concat()), "recursion: {ours}");
    Ok(())
}

/// Percent of the samples by their innermost frame that is one of [`FUNCTIONS`].
fn shares(folded: &str) -> Result<HashMap<&'static str, f64>> {
    let (mut counts, mut total) = (HashMap::new(), 0.0);
    for line in folded.lines() {
        let (stack, count) = line.rsplit_once(' ').with_context(|| format!("not folded: {line}"))?;
        let count: f64 = count.parse()?;
        // py-spy adds ` (file:line)`, versions since 3.11 have `Worker.step`.
        let names = stack.split(';').rev().map(|frame| frame.split(" (").next().unwrap_or(frame));
        let found = names
            .filter_map(|name| FUNCTIONS.into_iter().find(|known| name.rsplit('.').next() == Some(*known)))
            .next();
        if let Some(name) = found {
            *counts.entry(name).or_insert(0.0) += count;
            total += count;
        }
    }
    ensure!(total > 0.0, "none of the functions is in\n{folded}");
    counts.values_mut().for_each(|count| *count *= 100.0 / total);
    Ok(counts)
}
