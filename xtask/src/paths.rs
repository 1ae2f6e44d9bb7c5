//! Where things are in this repository.

use std::path::{Path, PathBuf};

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Cargo's target directory, wherever the environment has put it.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => root().join(directory),
        None => root().join("target"),
    }
}

/// The linked BPF object that the agent embeds.
pub(crate) fn bpf_object() -> PathBuf {
    target().join("bpf/honeyguide.bpf.o")
}

/// The release build of the agent.
pub(crate) fn agent() -> PathBuf {
    target().join("release/honeyguide")
}
