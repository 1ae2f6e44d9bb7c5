//! What this machine allows: one check a fact, each a pure function of the files below a root directory.

mod kernel;
mod mounts;
mod privileges;
mod report;

use std::{
    fs,
    path::{Path, PathBuf},
};

pub use report::{Check, Report, State};

/// The machine to look at.
#[derive(Clone, Debug)]
pub struct Machine {
    root: PathBuf,
    /// What trying to capture gave. `None` where it was not tried.
    pub capture: Option<Result<Capture, Refusal>>,
}

/// Capturing works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The hook's name.
    pub hook: String,
    /// The programs that did not attach, each with what its absence costs and why.
    pub missing: Vec<String>,
    /// Whether `context.propagate: [http-headers]` works: for every request of a connection, or for its first. Else why not.
    pub headers: Result<bool, String>,
    /// Whether `tcp-option` works there.
    pub options: Result<(), String>,
}

/// Capturing does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: String,
    pub remedy: String,
}

/// Every check, in the order in which a missing piece stops the agent.
#[must_use]
pub fn examine(machine: &Machine) -> Report {
    let mut checks = vec![kernel::version(machine), kernel::types(machine), kernel::lockdown(machine)];
    checks.extend(privileges::capabilities(machine));
    checks.extend([
        privileges::pid_namespace(machine),
        privileges::unprivileged_bpf(machine),
        privileges::perf_event_paranoid(machine),
        mounts::tracefs(machine),
        mounts::bpffs(machine),
        mounts::securityfs(machine),
        mounts::cgroup2(machine),
    ]);
    checks.extend(kernel::capture(machine));
    Report { checks }
}

impl Machine {
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), capture: None }
    }

    /// A file's text without the white space at its end. At most a few KiB are expected; the kernel's own files are.
    fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok().map(|text| text.trim_end().to_owned())
    }

    fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    fn link(&self, path: &str) -> Option<String> {
        fs::read_link(self.root.join(path)).ok()?.to_str().map(str::to_owned)
    }

    /// Where a file system of this type is mounted first.
    fn mount(&self, kind: &str) -> Option<String> {
        let mounts = self.text("proc/self/mounts")?;
        mounts.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (target, found) = (fields.next()?, fields.next()?);
            (found == kind).then(|| target.to_owned())
        })
    }
}

#[cfg(test)]
mod tests;
