//! `cargo xtask fuzz`: libFuzzer on the bodies in `agent/protocols/src/fuzz.rs` and `agent/src/fuzz.rs`.
//!
//! The stable compiler can do it: coverage comes from LLVM's own pass, and the parsers hold no `unsafe` that an address
//! sanitizer would watch. Overflows and failed assertions are what is looked for.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{build, paths, process};

const SECONDS: u32 = 60;
/// Longer inputs find little more and are slower.
const LONGEST: u32 = 4_096;
const MEGABYTES: u32 = 2_048;

const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// `[TARGET]… [--seconds N] [--input FILE]`
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let Arguments { targets, seconds, input } = Arguments::parse(arguments)?;
    let directory = paths::target().join("fuzz");
    let known = write_seeds(&directory.join("seeds"))?;
    if let Some(unknown) = targets.iter().find(|target| !known.contains(target)) {
        bail!("there is no target `{unknown}`, but {}", known.join(" "));
    }
    let program = build(&directory)?;
    if let Some(input) = input {
        let [target] = &targets[..] else { bail!("--input is for one target: name it") };
        return process::run(Command::new(program).env("HONEYGUIDE_FUZZ", target).arg(input));
    }
    let targets = if targets.is_empty() { known } else { targets };
    let mut failed = Vec::new();
    for target in &targets {
        println!("fuzz: {target}, {seconds} s");
        if let Err(error) = fuzz(&program, &directory, target, seconds) {
            println!("fuzz: {error:#}");
            failed.push(target.as_str());
        }
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(" "));
    println!("fuzz: {} targets, {seconds} s each, all is well", targets.len());
    Ok(())
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    targets: Vec<String>,
    seconds: u32,
    input: Option<PathBuf>,
}

impl Arguments {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut parsed = Self { seconds: SECONDS, ..Self::default() };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--seconds" => {
                    let text = rest.next().context("--seconds wants a number")?;
                    parsed.seconds = text.parse().with_context(|| format!("--seconds {text}"))?;
                }
                "--input" => parsed.input = Some(rest.next().context("--input wants a file")?.into()),
                option if option.starts_with('-') => bail!("`{option}` means nothing here"),
                target => parsed.targets.push(target.to_owned()),
            }
        }
        Ok(parsed)
    }
}

/// Lets the unit tests write the corpora out. Returns the names of the targets: a directory each.
fn write_seeds(directory: &Path) -> Result<Vec<String>> {
    fs::create_dir_all(directory)?;
    for package in [&["honeyguide-protocols", "--lib"][..], &["honeyguide", "--test", "fuzz"]] {
        let mut command = build::cargo();
        command.args(["test", "--quiet", "--package"]).args(package);
        process::run(
            command.args(["--", "every_target_runs_over_its_seeds"]).env("HONEYGUIDE_SEEDS", directory),
        )?;
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

fn build(directory: &Path) -> Result<PathBuf> {
    let host = host()?;
    let mut command = build::cargo();
    command.args(["build", "--release", "--manifest-path", "tests/fuzz/Cargo.toml", "--target", &host]);
    command.arg("--target-dir").arg(directory.join("build"));
    process::run(command.env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\x1f")))?;
    Ok(directory.join("build").join(host).join("release/honeyguide-fuzz"))
}

/// The compiler's own target. Named, so that build scripts are built without coverage.
fn host() -> Result<String> {
    let version = process::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

fn fuzz(program: &Path, directory: &Path, target: &str, seconds: u32) -> Result<()> {
    let (corpus, artifacts) =
        (directory.join("corpus").join(target), directory.join("artifacts").join(target));
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&artifacts)?;
    let mut command = Command::new(program);
    command.env("HONEYGUIDE_FUZZ", target).arg(&corpus).arg(directory.join("seeds").join(target));
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={LONGEST}"));
    command.arg(format!("-rss_limit_mb={MEGABYTES}")).args([
        "-timeout=10",
        "-print_final_stats=1",
        "-verbosity=0",
    ]);
    // The slash makes it a directory.
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    process::run(&mut command).with_context(|| {
        format!(
            "the input is in {}; `cargo xtask fuzz {target} --input FILE` runs it again",
            artifacts.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_options_in_any_order() {
        let parse = |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            Arguments::parse(&words)
        };
        let all = Arguments { seconds: SECONDS, ..Arguments::default() };
        assert_eq!(parse("").unwrap(), all);
        let some = Arguments { targets: vec!["http1".into(), "sql".into()], seconds: 5, input: None };
        assert_eq!(parse("http1 --seconds 5 sql").unwrap(), some);
        let one = Arguments { targets: vec!["sql".into()], input: Some("crash".into()), ..all };
        assert_eq!(parse("sql --input crash").unwrap(), one);
        for wrong in ["--seconds", "--seconds x", "--input", "--verbose"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
