//! `cargo xtask setup`: what the build and the tests need, found or installed.

pub(crate) mod apt;
pub(crate) mod pieces;
pub(crate) mod toolchain;

use anyhow::Result;

use toolchain::{Found, Toolchain};

/// Finds or installs what the BPF build needs, and says which way it took.
pub(crate) fn run() -> Result<()> {
    match bpf_toolchain()? {
        Ok(toolchain) => println!("setup: BPF programs are built with {toolchain}"),
        Err(advice) => println!("{advice}"),
    }
    Ok(())
}

/// The toolchain for the BPF target, installed first where this machine allows that. The inner error is what
/// to tell the user where it does not: the reason and the exact commands.
pub(crate) fn bpf_toolchain() -> Result<std::result::Result<Toolchain, String>> {
    let missing = match toolchain::find() {
        Found::Ready(toolchain) => return Ok(Ok(toolchain)),
        Found::Missing(missing) => missing,
    };
    if !apt::can_install() {
        return Ok(Err(missing.advice()));
    }
    println!("setup: building BPF programs needs {}", missing.summary());
    missing.install()?;
    match toolchain::find() {
        Found::Ready(toolchain) => Ok(Ok(toolchain)),
        Found::Missing(still) => Ok(Err(still.advice())),
    }
}
