//! The compiler for `bpfel-unknown-none`: it needs `core` for that target, and bpf-linker for the same LLVM.
//!
//! Two ways, in this order:
//! 1. Debian's `rustc-web`, which ships a compiled `core` for BPF as a package;
//! 2. a nightly from rustup with `rust-src`, which compiles `core` itself.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::apt;
use crate::process;

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CORE: &str = "/usr/lib/rustlib/bpfel-unknown-none";
const RUST_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"];

/// A toolchain that can build the BPF programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// Debian's compiler with its compiled `core`.
    Debian { linker: PathBuf },
    /// A nightly that compiles `core` from source.
    Nightly { linker: PathBuf },
}

#[derive(Debug)]
pub(crate) enum Found {
    Ready(Toolchain),
    Missing(Missing),
}

/// What is not there yet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// No compiler has `core` for BPF.
    compiler: bool,
    /// There is no bpf-linker, or it was built for an LLVM older than the compiler's.
    linker: bool,
}

/// Looks at this machine; runs nothing that takes long.
pub(crate) fn find() -> Found {
    let debian = Path::new(DEBIAN_CORE).is_dir()
        && [DEBIAN_CARGO, DEBIAN_RUSTC].iter().all(|path| process::is_executable(Path::new(path)));
    if debian {
        return match linker().filter(|_| linker_fits(llvm_major(DEBIAN_RUSTC))) {
            Some(linker) => Found::Ready(Toolchain::Debian { linker }),
            None => Found::Missing(Missing { compiler: false, linker: true }),
        };
    }
    match (nightly_has_source(), linker()) {
        (true, Some(linker)) => Found::Ready(Toolchain::Nightly { linker }),
        (nightly, linker) => Found::Missing(Missing { compiler: !nightly, linker: linker.is_none() }),
    }
}

impl Toolchain {
    /// A cargo command for the BPF target, free of the environment of the cargo that runs us.
    pub(crate) fn cargo_build(&self) -> Command {
        let mut command = match self {
            Self::Debian { .. } => {
                let mut command = Command::new(DEBIAN_CARGO);
                process::without_outer_cargo(&mut command);
                // The precompiled `core` is a stable compiler's, the target is a nightly one.
                command.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1").arg("build");
                command
            }
            Self::Nightly { .. } => {
                let mut command = Command::new("rustup");
                process::without_outer_cargo(&mut command);
                command.args(["run", "nightly", "cargo", "build", "-Zbuild-std=core"]);
                command
            }
        };
        let linker = match self {
            Self::Debian { linker } | Self::Nightly { linker } => linker,
        };
        let flags = ["-Clinker-plugin-lto", "-Cdebuginfo=2", "-Clink-arg=--btf"];
        let flags = format!("-Clinker={}\x1f{}", linker.display(), flags.join("\x1f"));
        command.env("CARGO_ENCODED_RUSTFLAGS", flags).args(["--release", "--target=bpfel-unknown-none"]);
        command
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Debian { linker } => write!(f, "Debian's {DEBIAN_RUSTC} and {}", linker.display()),
            Self::Nightly { linker } => {
                write!(f, "rustup's nightly (-Z build-std=core) and {}", linker.display())
            }
        }
    }
}

impl Missing {
    pub(crate) fn summary(&self) -> &'static str {
        match (self.compiler, self.linker) {
            (true, true) => "a compiler with `core` for BPF, and bpf-linker",
            (true, false) => "a compiler with `core` for BPF",
            (false, _) => "bpf-linker for this compiler's LLVM",
        }
    }

    /// Installs it: Debian packages, then bpf-linker for the LLVM of the compiler that they brought.
    pub(crate) fn install(&self) -> Result<()> {
        if self.compiler {
            apt::install(&RUST_PACKAGES)?;
        }
        // Read afterwards: both packages move, and they move together.
        let llvm =
            llvm_major(DEBIAN_RUSTC).context("cannot read the LLVM version from `/usr/bin/rustc -vV`")?;
        let (dev, polly) = (format!("llvm-{llvm}-dev"), format!("libpolly-{llvm}-dev"));
        apt::install(&[&dev, &polly, "libzstd-dev", "zlib1g-dev"])?;
        process::run(&mut linker_install(llvm))
    }

    /// The exact commands, for one who has to type them.
    pub(crate) fn advice(&self) -> String {
        let llvm = llvm_major(DEBIAN_RUSTC).unwrap_or(22);
        let packages = RUST_PACKAGES.join(" ");
        let linker = process::shown(&linker_install(llvm));
        format!(
            "setup: this machine cannot build BPF programs: it lacks {}.\n\
             setup: run this on Debian or Ubuntu:\n\n\
             \x20   sudo apt-get update\n\
             \x20   sudo apt-get install {packages} llvm-{llvm}-dev libpolly-{llvm}-dev libzstd-dev zlib1g-dev\n\
             \x20   {linker}\n\
             \x20   (the LLVM number is the one that `/usr/bin/rustc -vV` prints)\n\n\
             setup: or this anywhere, with rustup:\n\n\
             \x20   rustup toolchain install nightly --component rust-src\n\
             \x20   cargo install bpf-linker --locked\n",
            self.summary()
        )
    }
}

fn linker_install(llvm: u32) -> Command {
    let prefix = format!("/usr/lib/llvm-{llvm}");
    let mut command = Command::new("cargo");
    process::without_outer_cargo(&mut command);
    command
        .args(["install", "bpf-linker", "--locked", "--no-default-features", "--force", "--features"])
        .arg(format!("llvm-{llvm}"))
        // llvm-sys names its variable after the version of LLVM's first stable release of that major: 22 → 221.
        .env(format!("LLVM_SYS_{llvm}1_PREFIX"), &prefix)
        .env("LLVM_PREFIX", prefix);
    command
}

fn linker() -> Option<PathBuf> {
    let in_home = cargo_home()?.join("bin/bpf-linker");
    process::which("bpf-linker").or_else(|| process::is_executable(&in_home).then_some(in_home))
}

/// Whether cargo's own record of the installation agrees with the compiler's LLVM. A linker that came another
/// way has no record; it is taken at its word, and a mismatch shows in the build.
fn linker_fits(compiler: Option<u32>) -> bool {
    let record = cargo_home().and_then(|home| fs::read_to_string(home.join(".crates2.json")).ok());
    match (record.as_deref().and_then(linker_llvm), compiler) {
        (Some(linker), Some(compiler)) => linker >= compiler,
        _ => true,
    }
}

/// The LLVM major that `cargo install` recorded for bpf-linker.
fn linker_llvm(record: &str) -> Option<u32> {
    let record: serde_json::Value = serde_json::from_str(record).ok()?;
    let installs = record.get("installs")?.as_object()?;
    let (_, linker) = installs.iter().find(|(package, _)| package.starts_with("bpf-linker "))?;
    let mut features = linker.get("features")?.as_array()?.iter().filter_map(|feature| feature.as_str());
    features.find_map(|feature| feature.strip_prefix("llvm-")?.parse().ok())
}

/// The LLVM major of a compiler.
fn llvm_major(rustc: &str) -> Option<u32> {
    let version = process::output(process::without_outer_cargo(Command::new(rustc).arg("-vV"))).ok()?;
    major_in(&version)
}

fn major_in(version: &str) -> Option<u32> {
    let line = version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    line.split('.').next()?.parse().ok()
}

fn nightly_has_source() -> bool {
    let mut command = Command::new("rustup");
    process::without_outer_cargo(&mut command);
    process::output(command.args(["component", "list", "--installed", "--toolchain", "nightly"]))
        .is_ok_and(|components| components.lines().any(|component| component.trim() == "rust-src"))
}

fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_major_is_read_from_the_compilers_own_words() {
        let said = "rustc 1.96.0 (ac68faa20 2026-05-25)\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
        assert_eq!(major_in(said), Some(22));
        assert_eq!(major_in("release: 1.96.0\n"), None);
    }

    #[test]
    fn the_linkers_llvm_is_read_from_cargos_record() {
        let record = r#"{"installs":{"ripgrep 14.0.0 (x)":{"features":["llvm-9"]},
            "bpf-linker 0.13.0 (x)":{"features":["no-llvm-linking","llvm-22"]}}}"#;
        assert_eq!(linker_llvm(record), Some(22));
        assert_eq!(linker_llvm(r#"{"installs":{}}"#), None);
        assert_eq!(linker_llvm("not json"), None);
    }

    #[test]
    fn the_advice_holds_commands_that_can_be_typed() {
        let advice = Missing { compiler: true, linker: true }.advice();
        assert!(
            advice.contains("sudo apt-get install rustc-web cargo-web libstd-rust-web-dev-bpf llvm-"),
            "{advice}"
        );
        assert!(advice.contains("cargo install bpf-linker --locked --no-default-features"), "{advice}");
    }
}
