//! What this process may do, and what a test does where it may not.

use std::{env, fs::OpenOptions, io::Write, path::Path};

/// Whether the effective user is root.
#[must_use]
#[allow(unsafe_code)] // There is no safe form of it in std.
pub fn is_root() -> bool {
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Whether this machine can load BPF programs at all.
#[must_use]
pub fn can_capture() -> bool {
    is_root() && Path::new("/sys/kernel/btf/vmlinux").exists()
}

/// Whether a test that needs the kernel has to run. Where BPF can be loaded, and in CI, the answer is yes and
/// whatever is missing fails the test. Elsewhere the test is skipped, and `cargo xtask test` lists it.
#[must_use]
#[allow(clippy::print_stderr)] // The reason belongs next to the test's name.
pub fn must_run(test: &str) -> bool {
    if can_capture() || env::var_os("CI").is_some() {
        return true;
    }
    let note = format!("{test}: needs root and a kernel with BTF");
    eprintln!("skipped {note}");
    if let Some(file) = env::var_os("HONEYGUIDE_SKIPPED")
        && let Ok(mut file) = OpenOptions::new().create(true).append(true).open(file)
    {
        // A note that cannot be written has been printed above.
        let _ = writeln!(file, "{note}");
    }
    false
}
