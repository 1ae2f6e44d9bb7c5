//! Where things are in this repository.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The repository's root.
#[must_use]
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Cargo's target directory, wherever the environment has put it.
#[must_use]
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => root().join(directory),
        None => root().join("target"),
    }
}

/// A file of the applications under `tests/apps`.
#[must_use]
pub fn app(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("apps").join(name)
}

/// The agent to test: `HONEYGUIDE_BINARY`, else the release build, else the debug build.
///
/// # Errors
/// When there is none of them.
pub fn agent() -> Result<PathBuf> {
    if let Some(binary) = std::env::var_os("HONEYGUIDE_BINARY").filter(|binary| !binary.is_empty()) {
        return Ok(binary.into());
    }
    let built = ["release/honeyguide", "debug/honeyguide"].map(|path| target().join(path));
    match built.into_iter().find(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => bail!("there is no agent to test: run `cargo xtask build` first"),
    }
}
