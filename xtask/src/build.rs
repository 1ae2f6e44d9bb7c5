//! `cargo xtask build`: the BPF object, then the agent with the object inside.

use std::process::Command;

use anyhow::Result;

use crate::{bpf, bpf::Outcome, paths, process};

pub(crate) fn run() -> Result<()> {
    let outcome = build()?;
    println!("build: {}", paths::agent().display());
    if let Outcome::Skipped(advice) = outcome {
        println!(
            "build: this agent has no BPF programs inside: it can replay and check, not capture.\n{advice}"
        );
    }
    Ok(())
}

/// Builds the release agent; says through the outcome whether it can capture.
pub(crate) fn build() -> Result<Outcome> {
    let outcome = bpf::build()?;
    let mut cargo = cargo();
    process::run(cargo.args(["build", "--release", "--package", "honeyguide"]))?;
    Ok(outcome)
}

/// The same cargo that runs this command, in the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(paths::root());
    // The agent's build script looks in `target/bpf` by itself. Naming the object only where it is elsewhere
    // keeps `cargo xtask build` and a plain `cargo build` from undoing each other.
    if paths::target() != paths::root().join("target") {
        command.env("HONEYGUIDE_BPF_OBJECT", paths::bpf_object());
    }
    command
}
