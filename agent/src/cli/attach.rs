//! `honeyguide attach PID`: that process's spans in the terminal, unless other destinations are named.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{bail, ensure};
use clap::Args;

use super::flags::{DurationFlag, ExportFlags};
use crate::{
    config::Layer,
    discover::{ProcRoot, Selection},
    export::settings::Print,
    pipeline,
};

#[derive(Debug, Args)]
pub(super) struct Attach {
    /// The process; its children are shown too.
    #[arg(value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: u32,
    /// A YAML configuration file; its selection does not count here.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    export: ExportFlags,
    #[command(flatten)]
    duration: DurationFlag,
}

impl Attach {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let pid = self.pid;
        let mut flags = Layer::default();
        self.export.apply(&mut flags);
        self.duration.apply(&mut flags);
        flags.select = Some(Selection { pids: [pid].into(), ..Selection::default() });
        // The terminal is what attaching is for.
        flags.print.get_or_insert(Print::Spans);
        if let Some(settings) = super::settings(self.config.as_deref(), flags)? {
            exists(&ProcRoot::new(&settings.proc), pid)?;
            pipeline::run(&settings)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn exists(proc: &ProcRoot, pid: u32) -> anyhow::Result<()> {
    let Some(stat) = proc.stat(pid) else {
        bail!("there is no process {pid} (or it has ended); `ps -e` lists those there are");
    };
    ensure!(!stat.kernel_thread, "process {pid} is a thread of the kernel's, which makes no calls to trace");
    // Another root may be another namespace's, where the number is another process.
    let own = proc.path() == Path::new("/proc") && pid == std::process::id();
    ensure!(!own, "process {pid} is this honeyguide itself, which is never traced");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::fake_proc::FakeProc;

    #[test]
    fn a_process_that_is_not_there_is_an_error_in_plain_words() {
        let fake = FakeProc::new();
        fake.process(7, 1, "/usr/bin/node");
        assert!(exists(&fake.root(), 7).is_ok());
        let error = exists(&fake.root(), 8).unwrap_err().to_string();
        assert_eq!(error, "there is no process 8 (or it has ended); `ps -e` lists those there are");
    }

    #[test]
    fn the_agent_itself_is_not_attached_to() {
        let error = exists(&ProcRoot::default(), std::process::id()).unwrap_err().to_string();
        assert!(error.ends_with("is this honeyguide itself, which is never traced"), "{error}");
    }
}
