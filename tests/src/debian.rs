//! Packages of another Debian than this machine's: unpacked, not installed, each tree with all that it needs.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, ensure};

use crate::{paths, python::quietly};

/// Directories that have been merged into `/usr`: unpacked packages have no links to them.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// A tree that can be a root directory, with `package` of a suite and what it depends on, down to the C library. It is
/// made under `target` on first use and kept for the next run.
///
/// # Errors
/// When there is no apt, or the suite has no such package.
pub fn tree(suite: &str, package: &str) -> Result<PathBuf> {
    static LOCK: Mutex<()> = Mutex::new(());
    let _one_at_a_time = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = paths::target().join("debian").join(format!("{suite}-{package}"));
    let (root, work) = (directory.join("root"), directory.join("work"));
    // It gets its name when it is whole.
    if root.exists() {
        return Ok(root);
    }
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    for made in ["lists/partial", "cache/archives/partial", "state", "parts", "root"] {
        fs::create_dir_all(work.join(made))?;
    }
    // Nothing is installed, so that everything is fetched.
    fs::write(work.join("status"), "")?;
    let source = format!(
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {} {suite} main\n",
        mirror()?
    );
    fs::write(work.join("sources.list"), source)?;
    quietly(apt(&work).args(["--quiet=2", "update"]))?;
    quietly(apt(&work).args(["--quiet=2", "--yes", "--download-only", "install", package]))?;
    let whole = work.join("root");
    let mut archives = 0;
    for archive in fs::read_dir(work.join("cache/archives"))? {
        let archive = archive?.path();
        if archive.extension().is_some_and(|extension| extension == "deb") {
            quietly(Command::new("dpkg-deb").arg("-x").arg(archive).arg(&whole))?;
            archives += 1;
        }
    }
    ensure!(archives > 0, "apt-get has left no file of {package}");
    for name in MERGED {
        let (link, target) = (whole.join(name), Path::new("usr").join(name));
        if !link.exists() && whole.join(&target).exists() {
            symlink(target, link)?;
        }
    }
    for made in ["proc", "tmp"] {
        fs::create_dir_all(whole.join(made))?;
    }
    fs::rename(whole, &root)?;
    fs::remove_dir_all(work)?;
    Ok(root)
}

/// `apt-get` that knows nothing of this machine's packages.
fn apt(work: &Path) -> Command {
    let mut command = Command::new("apt-get");
    let mut set = |key: &str, value: &str| {
        command.arg("-o").arg(format!("{key}={value}"));
    };
    let place = |name: &str| work.join(name).display().to_string();
    set("Dir::Etc::SourceList", &place("sources.list"));
    set("Dir::Etc::SourceParts", &place("parts"));
    set("Dir::State", &place("state"));
    set("Dir::State::Lists", &place("lists"));
    set("Dir::State::Status", &place("status"));
    set("Dir::Cache", &place("cache"));
    set("APT::Install-Recommends", "false");
    set("APT::Sandbox::User", "root");
    set("Acquire::Languages", "none");
    set("Acquire::Retries", "3");
    command
}

/// Where this machine gets Debian from.
fn mirror() -> Result<String> {
    let format = "$(REPO_URI) $(LABEL) $(CREATED_BY)";
    let output = Command::new("apt-get").args(["indextargets", "--format", format]).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = text.lines().find_map(|line| line.strip_suffix(" Debian Packages"));
    found.map(str::to_owned).context("apt gets nothing from Debian here")
}
