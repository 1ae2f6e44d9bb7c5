//! Directories that go away again.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result};

/// A directory of its own, removed with its contents on drop. `HONEYGUIDE_KEEP=1` keeps it.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(name: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("hg-{name}-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // Short, and not under `target`: unix socket paths end at 107 bytes, and servers drop privileges.
        let path = env::temp_dir().join(unique);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if env::var_os("HONEYGUIDE_KEEP").is_none() {
            // What cannot be removed is left to the system's own cleaning of its temporary directory.
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
