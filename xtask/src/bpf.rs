//! `cargo xtask build-ebpf`: the kernel programs, one relocatable object with BTF.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use crate::{paths, process, setup, setup::toolchain::Toolchain};

/// What came of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    Built(PathBuf),
    /// This machine cannot build BPF; the text says why and what to type.
    Skipped(String),
}

pub(crate) fn run() -> Result<()> {
    match build()? {
        Outcome::Built(object) => {
            println!("build-ebpf: {}", object.strip_prefix(paths::root()).unwrap_or(&object).display());
            Ok(())
        }
        Outcome::Skipped(advice) => anyhow::bail!("{advice}"),
    }
}

/// Builds the object where this machine can.
pub(crate) fn build() -> Result<Outcome> {
    match setup::bpf_toolchain()? {
        Ok(toolchain) => build_with(&toolchain).map(Outcome::Built),
        Err(advice) => Ok(Outcome::Skipped(advice)),
    }
}

fn build_with(toolchain: &Toolchain) -> Result<PathBuf> {
    let target = paths::target().join("bpf-build");
    let mut cargo = toolchain.cargo_build();
    // A directory of its own: two compilers would otherwise take turns in throwing each other's work away.
    cargo.arg("--target-dir").arg(&target).current_dir(paths::root().join("ebpf"));
    if std::env::var_os("CI").is_some() {
        cargo.arg("--locked");
    }
    process::run(&mut cargo)?;

    let built = target.join("bpfel-unknown-none/release/honeyguide-ebpf");
    let bytes = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    let object = paths::bpf_object();
    // The agent is rebuilt when this file's time changes, so equal bytes leave it alone.
    if fs::read(&object).ok().as_ref() != Some(&bytes) {
        fs::create_dir_all(paths::target().join("bpf"))?;
        fs::write(&object, bytes).with_context(|| format!("cannot write {}", object.display()))?;
    }
    Ok(object)
}
