//! `cargo xtask lint`: format, clippy, the house rules, and what the dependencies may be.

use std::process::Command;

use anyhow::Result;

use crate::{build, paths, process, tidy};

pub(crate) fn run() -> Result<()> {
    process::run(build::cargo().args(["fmt", "--all", "--check"]))?;
    // Packages of their own, with the same style.
    for package in ["ebpf/Cargo.toml", "tests/fuzz/Cargo.toml"] {
        process::run(build::cargo().args(["fmt", "--check", "--manifest-path", package]))?;
    }
    process::run(build::cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    tidy::run()?;
    if process::which("cargo-deny").is_some() {
        let checks = ["bans", "licenses", "sources"];
        process::run(
            Command::new("cargo-deny").arg("--offline").arg("check").args(checks).current_dir(paths::root()),
        )?;
    } else {
        println!("lint: cargo-deny is not here, so deny.toml was not checked (cargo install cargo-deny)");
    }
    println!("lint: all is well");
    Ok(())
}
