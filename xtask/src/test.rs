//! `cargo xtask test`: set up, build, run every test, and say in one place what came of it.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use honeyguide_tests::privilege;

use crate::{bpf::Outcome, build, paths, setup};

/// Runs the tests whose names hold one of `filters`, all of them without one.
pub(crate) fn run(filters: &[String]) -> Result<()> {
    let begun = Instant::now();
    let outcome = build::build()?;
    let missing = setup::pieces::for_tests()?;

    let skipped = paths::target().join("skipped");
    // Notes of an earlier run would be taken for this one's.
    let _ = fs::remove_file(&skipped);
    let mut cargo = build::cargo();
    cargo.args(["test", "--workspace", "--no-fail-fast"]).env("HONEYGUIDE_SKIPPED", &skipped);
    // The tests name what went wrong; a backtrace of every error would bury it.
    cargo.env("RUST_LIB_BACKTRACE", "0");
    if !filters.is_empty() {
        cargo.arg("--").args(filters);
    }
    let mut child = cargo.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let mut tally = Tally::default();
    for line in BufReader::new(child.stdout.take().context("a pipe was asked for")?).lines() {
        let line = line?;
        println!("{line}");
        tally.read(&line);
    }
    let status = child.wait()?;

    println!(
        "\ntest: {} passed, {} failed in {} s",
        tally.passed,
        tally.failed.len(),
        begun.elapsed().as_secs()
    );
    for name in &tally.failed {
        println!("test:   failed: {name}");
    }
    if let Outcome::Skipped(advice) = outcome {
        println!("test: not tested: capture. This machine cannot build the BPF programs.\n{advice}");
    }
    let notes = fs::read_to_string(&skipped).unwrap_or_default();
    for note in notes.lines() {
        println!("test:   skipped: {note}");
    }
    if !notes.is_empty() && !privilege::is_root() {
        println!("test: `sudo -E env PATH=\"$PATH\" cargo xtask test` runs these too");
    }
    if !missing.is_empty() {
        println!("test: some tests need packages that are not here: apt-get install {}", missing.join(" "));
    }
    if !status.success() {
        bail!("the tests failed");
    }
    println!("test: all is well");
    Ok(())
}

/// The counts of every test binary together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u32,
    failed: Vec<String>,
}

impl Tally {
    fn read(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            let passed =
                counts.split(' ').zip(counts.split(' ').skip(1)).find(|(_, word)| *word == "passed;");
            self.passed += passed.and_then(|(count, _)| count.parse::<u32>().ok()).unwrap_or(0);
        } else if let Some(name) =
            line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.failed.push(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_of_several_binaries_add_up() {
        let mut tally = Tally::default();
        let said = "test a::b ... ok\ntest c ... FAILED\n\
            test result: FAILED. 12 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s\n\
            test result: ok. 30 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s";
        said.lines().for_each(|line| tally.read(line));
        assert_eq!(tally, Tally { passed: 42, failed: vec!["c".to_owned()] });
    }
}
