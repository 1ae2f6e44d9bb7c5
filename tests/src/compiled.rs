//! The programs under `tests/apps/profile`, compiled in the ways that real ones are.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result};

use crate::{guard::Guard, paths, python, scratch::Scratch};

/// Without frame pointers, as distributions compile, and with calls left as calls.
const C: &[&str] = &["-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls"];
const START: Duration = Duration::from_secs(20);

/// A program that was compiled, in a directory of its own.
#[derive(Debug)]
pub struct Compiled {
    directory: Scratch,
}

impl Compiled {
    /// `work.c` by `compiler` with more flags: `gcc` or `musl-gcc`, `-static`.
    ///
    /// # Errors
    /// When there is no such compiler.
    pub fn c(compiler: &str, flags: &[&str]) -> Result<Self> {
        let this = Self::new()?;
        this.compile(Command::new(compiler).args(C).args(flags), "work.c", "work", &["-ldl", "-lpthread"])?;
        Ok(this)
    }

    /// A library for `work plugin PATH`, beside the program.
    ///
    /// # Errors
    /// As for [`Compiled::c`].
    pub fn plugin(&self) -> Result<PathBuf> {
        self.compile(Command::new("gcc").args(C).args(["-shared", "-fPIC"]), "plugin.c", "plugin.so", &[])?;
        Ok(self.directory.join("plugin.so"))
    }

    /// A program that waits: `waits.c` or `pass.c`.
    ///
    /// # Errors
    /// As for [`Compiled::c`].
    pub fn waiting(source: &str) -> Result<Self> {
        let this = Self::new()?;
        this.compile(Command::new("gcc").args(C), source, "work", &["-lpthread"])?;
        Ok(this)
    }

    /// `throws.cpp`.
    ///
    /// # Errors
    /// As for [`Compiled::c`].
    pub fn cpp() -> Result<Self> {
        let this = Self::new()?;
        this.compile(Command::new("g++").args(["-O2", "-fomit-frame-pointer"]), "throws.cpp", "work", &[])?;
        Ok(this)
    }

    /// `work.rs`, as a release build has it.
    ///
    /// # Errors
    /// As for [`Compiled::c`].
    pub fn rust() -> Result<Self> {
        let this = Self::new()?;
        this.compile(Command::new("rustc").args(["-O", "--edition", "2024"]), "work.rs", "work", &[])?;
        Ok(this)
    }

    /// `go/main.go`, without symbol table and DWARF where `stripped`.
    ///
    /// # Errors
    /// When Go cannot be installed, or does not compile.
    pub fn go(stripped: bool) -> Result<Self> {
        let this = Self::new()?;
        let cache = paths::target().join("go");
        let mut command = Command::new(python::go()?);
        command.args(["build", "-o"]).arg(this.directory.join("work"));
        if stripped {
            command.arg("-ldflags=-s -w");
        }
        command.arg("main.go").current_dir(paths::app("profile/go"));
        command.env("GOCACHE", cache.join("cache")).env("GOPATH", cache.join("path"));
        command.envs([
            ("GOTOOLCHAIN", "local"),
            ("GOFLAGS", "-mod=mod"),
            ("GOPROXY", "off"),
            ("CGO_ENABLED", "0"),
        ]);
        python::quietly(&mut command)?;
        Ok(this)
    }

    /// Takes the symbol table and everything else away that running does not need.
    ///
    /// # Errors
    /// When there is no strip.
    pub fn strip(self) -> Result<Self> {
        python::quietly(Command::new("strip").arg(self.directory.join("work")))?;
        Ok(self)
    }

    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.join("work")
    }

    /// Runs it until the guard is dropped.
    ///
    /// # Errors
    /// When it does not get so far as to say that it is ready.
    pub fn run(&self, arguments: &[&str]) -> Result<Guard> {
        let mut command = Command::new(self.path());
        command.args(arguments);
        let mut guard = Guard::spawn(command)?;
        guard.wait_for_text("ready", START)?;
        Ok(guard)
    }

    fn new() -> Result<Self> {
        Ok(Self { directory: Scratch::new("compiled")? })
    }

    fn compile(&self, compiler: &mut Command, source: &str, output: &str, libraries: &[&str]) -> Result<()> {
        let name = compiler.get_program().to_string_lossy().into_owned();
        compiler.arg("-o").arg(self.directory.join(output)).arg(paths::app("profile").join(source));
        // Rust finds its own.
        if name != "rustc" {
            compiler.args(libraries);
        }
        python::quietly(compiler).with_context(|| format!("{name} with {source}"))
    }
}
