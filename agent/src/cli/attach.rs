//! `honeyguide attach PID`: that process's spans in the terminal, unless other destinations are named.

use std::{path::PathBuf, process::ExitCode};

use anyhow::ensure;
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
    ensure!(
        proc.stat(pid).is_some(),
        "there is no process {pid} (or it has ended); `ps -e` lists those there are"
    );
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
}
