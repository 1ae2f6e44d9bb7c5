//! `honeyguide doctor`: prints what [`crate::doctor`] found.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use crate::doctor::{Machine, examine};

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Look at the system below this directory.
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
}

impl Doctor {
    pub(super) fn execute(self) -> ExitCode {
        let report = examine(&Machine::new(&self.root));
        print!("{report}");
        ExitCode::from(if report.can_run() { 0 } else { super::UNSUPPORTED })
    }
}
