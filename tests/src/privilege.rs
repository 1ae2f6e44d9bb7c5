//! What this process may do, and what a test does where it may not.

use std::{
    env,
    fs::OpenOptions,
    io::Write,
    path::Path,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Whether the effective user is root.
#[must_use]
#[allow(unsafe_code)] // There is no safe form of it in std.
pub fn is_root() -> bool {
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// The ids of a user and its group, where there is such a user.
#[must_use]
pub fn user(name: &str) -> Option<(u32, u32)> {
    let id = |flag: &str| -> Option<u32> {
        let output = Command::new("id").args([flag, name]).output().ok()?;
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    };
    Some((id("-u")?, id("-g")?))
}

/// Whether this machine can load BPF programs at all.
#[must_use]
pub fn can_capture() -> bool {
    is_root() && Path::new("/sys/kernel/btf/vmlinux").exists()
}

/// Taken by a test that needs the kernel; the next one waits until it is dropped. Two agents and two loads on one
/// machine would measure each other.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held, never read")] MutexGuard<'static, ()>);

/// The turn of a test that needs the kernel. Where BPF can be loaded, and in CI, it is always given and whatever is
/// missing fails the test. Elsewhere there is none: the test is skipped, and `cargo xtask test` lists it.
#[must_use]
#[allow(clippy::print_stderr)] // The reason belongs next to the test's name.
pub fn kernel_test(name: &str) -> Option<Turn> {
    static TURN: Mutex<()> = Mutex::new(());
    if can_capture() || env::var_os("CI").is_some() {
        // A test that failed while it had its turn has left nothing behind that matters to the next one.
        return Some(Turn(TURN.lock().unwrap_or_else(PoisonError::into_inner)));
    }
    let note = format!("{name}: needs root and a kernel with BTF");
    eprintln!("skipped {note}");
    if let Some(file) = env::var_os("HONEYGUIDE_SKIPPED")
        && let Ok(mut file) = OpenOptions::new().create(true).append(true).open(file)
    {
        // A note that cannot be written has been printed above.
        let _ = writeln!(file, "{note}");
    }
    None
}
