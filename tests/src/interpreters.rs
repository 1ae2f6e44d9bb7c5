//! CPython in the versions that are at hand.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{debian, paths, python};

/// Newer than this machine's Debian has: packages of [`SUITE`].
const NEWER: [&str; 1] = ["python3.14"];
const SUITE: &str = "testing";

/// An interpreter, on this machine or in a tree of its own.
#[derive(Clone, Debug)]
pub struct Interpreter {
    program: PathBuf,
    root: Option<PathBuf>,
}

impl fmt::Display for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = self.root.as_deref().unwrap_or(Path::new(""));
        write!(f, "{}{}", root.display(), self.program.display())
    }
}

impl Interpreter {
    /// One of a newer Debian's, in a tree of its own.
    ///
    /// # Errors
    /// When it cannot be fetched.
    pub fn newer(package: &str) -> Result<Self> {
        let root = debian::tree(SUITE, package)?;
        Ok(Self { program: Path::new("/usr/bin").join(package), root: Some(root) })
    }

    /// Puts a package from PyPI and what it needs into the tree; returns where it is, as the interpreter sees it.
    ///
    /// # Errors
    /// When this is no interpreter in a tree, or there are no wheels for its version.
    pub fn packages(&self, version: &str, package: &str) -> Result<PathBuf> {
        let root = self.root.as_ref().context("packages for an interpreter that has no tree")?;
        let inside = Path::new("/tmp/packages").join(package.replace(['=', '*'], ""));
        let place = root.join(inside.strip_prefix("/")?);
        if !place.exists() {
            let half = place.with_extension("half");
            let mut pip = Command::new(python::environment()?.join("bin/python"));
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]);
            pip.args(["--only-binary=:all:", "--python-version", version, "--target"])
                .arg(&half)
                .arg(package);
            python::quietly(&mut pip)?;
            fs::rename(half, place)?;
        }
        Ok(inside)
    }

    /// What runs a script of `tests/apps`; a tree of its own is that process's root.
    ///
    /// # Errors
    /// When the script cannot be put into the tree.
    pub fn command(&self, script: &str) -> Result<Command> {
        let Some(root) = &self.root else {
            let mut command = Command::new(&self.program);
            command.arg(paths::app(script));
            return Ok(command);
        };
        let inside = Path::new("tmp").join(script);
        let place = root.join(&inside);
        fs::create_dir_all(place.parent().context("a script is in a directory")?)?;
        fs::copy(paths::app(script), place)?;
        // As in a container: a root and mounts of its own. It stays the same process.
        let mut command = Command::new("unshare");
        command.args(["--mount", "--mount-proc", "--root"]).arg(root);
        command.arg(&self.program).arg(Path::new("/").join(inside));
        Ok(command)
    }
}

/// CPython as far as it is on this machine: Debian's, a newer Debian's, and what pyenv has made of 3.9 to 3.13. One of
/// each way to keep frames: 3.10 is as 3.9 is, and Debian's version is not tried twice.
///
/// # Errors
/// Where there is no Debian's; of the newer one, which comes last, where it cannot be fetched.
pub fn all() -> Result<impl Iterator<Item = Result<Interpreter>>> {
    let debian = PathBuf::from("/usr/bin/python3");
    let debian = fs::canonicalize(debian).context("`apt-get install python3` brings CPython")?;
    let own = || std::env::home_dir().unwrap_or_default().join(".pyenv");
    let home = std::env::var_os("PYENV_ROOT").map_or_else(own, PathBuf::from);
    let mut found = vec![Interpreter { program: debian.clone(), root: None }];
    for minor in 9..=13 {
        let (prefix, program) = (format!("3.{minor}."), format!("python3.{minor}"));
        if debian.ends_with(&program) || (minor == 10 && found.len() > 1) {
            continue;
        }
        let versions = fs::read_dir(home.join("versions")).into_iter().flatten().flatten();
        let mut of_it: Vec<PathBuf> = versions
            .filter(|version| version.file_name().to_string_lossy().starts_with(&prefix))
            .map(|version| version.path().join("bin").join(&program))
            .collect();
        of_it.sort();
        found.extend(of_it.pop().map(|program| Interpreter { program, root: None }));
    }
    Ok(found.into_iter().map(Ok).chain(NEWER.into_iter().map(Interpreter::newer)))
}
