//! A Debian kernel under QEMU, with nothing but an initramfs: busybox and the programs under test.
//!
//! The programs are the very binaries of this build. Their shared libraries go into the initramfs with them, at
//! the paths the loader looks for, so nothing is compiled a second time for the guest.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{guard::Guard, paths, privilege, python::quietly, scratch::Scratch};

/// Emulation on a busy machine: a boot takes 2 to 4 seconds, loading the programs some more.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a guest has left behind.
#[derive(Debug)]
pub struct Ran {
    /// Everything that was written to the console.
    pub console: String,
    /// What the script wrote to `/dev/ttyS1`, a line each.
    pub result: String,
}

/// Boots `kernel`, runs `script` as its only process, and returns when the guest has gone down. The script is
/// busybox `sh`; `programs` are in `/bin` under their file names; proc, sysfs, devtmpfs, debugfs and tracefs are
/// mounted, loopback is up.
///
/// # Errors
/// When the machine does not start or does not go down in time, with its console.
pub fn run(kernel: &Path, programs: &[&Path], script: &str) -> Result<Ran> {
    let scratch = Scratch::new("vm")?;
    let initramfs = initramfs(&scratch, programs, script)?;
    let result = scratch.join("result");
    let mut command = Command::new("qemu-system-x86_64");
    command
        // One thread for both processors: emulated at the same time, one may run what the other is replacing in the kernel's code, as
        // attaching to a tracepoint does, and the guest dies of it.
        .args([
            "-accel",
            "tcg,thread=single",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            "1024",
            "-nic",
            "none",
            "-no-reboot",
        ])
        .args(["-display", "none", "-serial", "stdio", "-serial"])
        .arg(format!("file:{}", result.display()))
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", "console=ttyS0 quiet panic=-1 no_timer_check"]);
    let mut guest = Guard::spawn(command).context("qemu: `apt-get install qemu-system-x86` brings it")?;
    let status = guest.wait(PATIENCE)?;
    ensure!(status.success(), "qemu ended with {status}\n{}", guest.log());
    let result = fs::read_to_string(&result).unwrap_or_default().replace('\r', "");
    Ok(Ran { console: guest.log().replace('\r', ""), result })
}

/// The newest Debian cloud kernel of a series (`"6.1"`), unpacked under `target/vm`.
///
/// # Errors
/// When no package of the series is known, or it cannot be fetched.
pub fn kernel(series: &str) -> Result<PathBuf> {
    static LOCK: Mutex<()> = Mutex::new(());
    let _one_at_a_time = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = paths::target().join("vm");
    fs::create_dir_all(&directory)?;
    // A kernel from an earlier run serves as well as one a build number newer.
    if let Some(image) = image(&directory.join(series)) {
        return Ok(image);
    }
    let Some(package) = newest(series)? else { bail!("apt knows no cloud kernel of series {series}") };
    let download =
        || quietly(Command::new("apt-get").args(["download", "--quiet=2", &package]).current_dir(&directory));
    if download().is_err() {
        // The lists are older than the archive.
        if privilege::is_root() {
            quietly(Command::new("apt-get").args(["update", "--quiet=2"]))?;
        }
        download()?;
    }
    let archive = fs::read_dir(&directory)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&format!("{package}_")))
        })
        .with_context(|| format!("apt-get has left no file of {package}"))?;
    quietly(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(directory.join(series)))?;
    fs::remove_file(archive)?;
    image(&directory.join(series)).with_context(|| format!("{package} holds no kernel"))
}

fn image(directory: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(directory.join("boot")).ok()?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-")))
}

/// `linux-image-6.1.0-NN-cloud-amd64-unsigned` and `linux-image-6.12.NN+deb12-cloud-amd64-unsigned`: the numbers
/// move with every security update, so they are searched for.
fn newest(series: &str) -> Result<Option<String>> {
    let pattern = format!("^linux-image-{}[.].*-cloud-amd64-unsigned$", series.replace('.', "[.]"));
    let search = || -> Result<Vec<String>> {
        let output = Command::new("apt-cache").args(["search", "--names-only", &pattern]).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
    };
    let mut names = search().context("apt-cache: the kernels of this test are Debian packages")?;
    if names.is_empty() && privilege::is_root() {
        quietly(Command::new("apt-get").args(["update", "--quiet=2"]))?;
        names = search()?;
    }
    Ok(names.into_iter().max_by_key(|name| numbers(name)))
}

/// The numbers in a package name, so that 6.1.0-9 comes before 6.1.0-10.
fn numbers(name: &str) -> Vec<u32> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

fn initramfs(scratch: &Scratch, programs: &[&Path], script: &str) -> Result<PathBuf> {
    let root = scratch.join("root");
    for directory in ["bin", "proc", "sys", "dev", "tmp"] {
        fs::create_dir_all(root.join(directory))?;
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new);
    let busybox = busybox
        .into_iter()
        .find(|path| path.exists())
        .context("busybox: `apt-get install busybox-static` brings it")?;
    fs::copy(busybox, root.join("bin/busybox"))?;
    // Debian has it static and not; both will do.
    let mut libraries = BTreeSet::from_iter(shared_libraries(busybox)?);
    for program in programs {
        let name = program.file_name().with_context(|| program.display().to_string())?;
        let copy = root.join("bin").join(name);
        // Debug sections are of no use in the guest, and unpacking them takes emulated time.
        quietly(Command::new("strip").arg("-o").arg(&copy).arg(program))?;
        libraries.extend(shared_libraries(program)?);
    }
    for library in libraries {
        let copy = root.join(library.strip_prefix("/")?);
        fs::create_dir_all(copy.parent().context("a library at the root")?)?;
        fs::copy(&library, copy)?;
    }
    let init = root.join("init");
    fs::write(&init, format!("{PROLOGUE}\n{script}\n{EPILOGUE}\n"))?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    let archive = scratch.join("initramfs.cpio");
    let pack =
        format!("cd '{}' && find . | cpio --quiet -o -H newc > '{}'", root.display(), archive.display());
    quietly(Command::new("sh").args(["-c", &pack]).stdin(Stdio::null())).context("packing the initramfs")?;
    Ok(archive)
}

const PROLOGUE: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t debugfs debug /sys/kernel/debug
mount -t tracefs trace /sys/kernel/tracing
ip link set lo up
stty -F /dev/ttyS1 raw";

const EPILOGUE: &str = "sync
reboot -f";

/// What the dynamic loader maps for a program, itself included. Nothing for a static one.
fn shared_libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("ldd")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let path = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    Ok(text.lines().filter_map(path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_ordered_by_number() {
        let names = ["linux-image-6.1.0-9-cloud-amd64-unsigned", "linux-image-6.1.0-31-cloud-amd64-unsigned"];
        assert_eq!(names.iter().max_by_key(|name| numbers(name)), Some(&names[1]));
    }
}
