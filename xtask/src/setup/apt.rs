//! Debian packages.

use std::{path::Path, process::Command, sync::Once};

use anyhow::Result;

use crate::process;

/// Whether packages can be installed without asking: root, on Debian or what derives from it.
pub(crate) fn can_install() -> bool {
    honeyguide_tests::privilege::is_root()
        && process::which("apt-get").is_some()
        && Path::new("/etc/debian_version").exists()
}

/// Installs `packages`. The package lists are refreshed once per run, and only when something is installed.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    update();
    process::run(
        Command::new("apt-get")
            .args(["install", "--yes", "--quiet=2", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

fn update() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // One unreachable source must not stop an installation that does not need it.
        if let Err(error) = process::run(Command::new("apt-get").args(["update", "--quiet=2"])) {
            eprintln!("setup: {error:#}; going on with the lists at hand");
        }
    });
}

/// Installs those of `packages` whose command is not on the path. Without the right to install, the names of
/// what is missing come back.
pub(crate) fn ensure(pieces: &[(&'static str, &'static str)]) -> Result<Vec<&'static str>> {
    let absent = |&&(command, _): &&(&str, &str)| {
        process::which(command).is_none() && !process::is_executable(&Path::new("/usr/sbin").join(command))
    };
    let missing: Vec<&str> = pieces.iter().filter(absent).map(|&(_, package)| package).collect();
    if missing.is_empty() || !can_install() {
        return Ok(missing);
    }
    install(&missing)?;
    Ok(pieces.iter().filter(absent).map(|&(_, package)| package).collect())
}

/// Installs those of `packages` that dpkg does not know as installed. What is still missing comes back; nothing where
/// there is no dpkg to ask, since the commands may have come another way.
pub(crate) fn ensure_packages(packages: &[&'static str]) -> Result<Vec<&'static str>> {
    if process::which("dpkg-query").is_none() {
        return Ok(Vec::new());
    }
    let absent = |package: &&&'static str| {
        let mut query = Command::new("dpkg-query");
        query.args(["--show", "--showformat=${db:Status-Status}", package]);
        process::output(&mut query).map_or(true, |status| status != "installed")
    };
    let missing: Vec<&str> = packages.iter().filter(absent).copied().collect();
    // One that this release does not have must not keep the others away.
    for package in missing.iter().filter(|_| can_install()) {
        if let Err(error) = install(&[package]) {
            eprintln!("setup: {error:#}");
        }
    }
    Ok(packages.iter().filter(absent).copied().collect())
}
