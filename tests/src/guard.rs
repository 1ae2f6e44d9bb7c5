//! A child process that cannot outlive its owner.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::scratch::Scratch;

/// A running program: a process group of its own, killed as a whole on drop. Its output goes to a file.
#[derive(Debug)]
pub struct Guard {
    name: String,
    child: Child,
    log: PathBuf,
    _scratch: Scratch,
}

impl Guard {
    /// Starts `command`. Its standard output and error are in [`Guard::log`].
    ///
    /// # Errors
    /// When the program cannot be started.
    #[allow(unsafe_code)] // `pre_exec` is the only way to ask for the parent-death signal.
    pub fn spawn(mut command: Command) -> Result<Self> {
        let program = PathBuf::from(command.get_program());
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        let scratch = Scratch::new("log")?;
        let log = scratch.join("log");
        let output = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        // SAFETY: prctl with these arguments is one system call; it allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(|| {
                // SIGTERM, so that a master process takes its workers with it.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                Ok(())
            });
        }
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { name, child, log, _scratch: scratch })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the program has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The exit status, once there is one.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends `signal` to the process itself, not to its group.
    pub fn signal(&self, signal: i32) {
        kill(i64::from(self.pid()), signal);
    }

    /// Waits for the process to end by itself.
    ///
    /// # Errors
    /// When it takes longer than `patience`, with what it has written.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} still runs after {patience:?}\n{}", self.name, self.log());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the log holds `text`.
    ///
    /// # Errors
    /// When the process ends first or takes longer than `patience`, with what it has written.
    pub fn wait_for_text(&mut self, text: &str, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        while !self.log().contains(text) {
            if let Some(status) = self.ended()? {
                bail!("{} ended before it wrote `{text}`: {status}\n{}", self.name, self.log());
            }
            if Instant::now() > deadline {
                bail!("{} did not write `{text}` in {patience:?}\n{}", self.name, self.log());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The leader may have gone and left workers behind; the group is ours either way until it is reaped.
        kill(-i64::from(self.pid()), libc::SIGKILL);
        // Reaping fails only when it has been reaped already.
        let _ = self.child.wait();
    }
}

#[allow(unsafe_code)] // There is no safe form of it in std.
fn kill(pid: i64, signal: i32) {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return };
    // SAFETY: kill takes two integers; a process that is gone is an error value that changes nothing.
    unsafe {
        libc::kill(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_dropped_guard_takes_the_whole_group_with_it() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 600 & echo $!; wait"]);
        let mut guard = Guard::spawn(shell).unwrap();
        guard.wait_for_text("\n", Duration::from_secs(10)).unwrap();
        let grandchild = format!("/proc/{}/stat", guard.log().trim());
        assert!(Path::new(&grandchild).exists());
        drop(guard);
        // Killed: gone, or a zombie that waits for init.
        let alive = || fs::read_to_string(&grandchild).is_ok_and(|stat| !stat.contains(") Z "));
        let deadline = Instant::now() + Duration::from_secs(10);
        while alive() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        assert!(!alive());
    }
}
