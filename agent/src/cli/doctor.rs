//! `honeyguide doctor`: prints what [`crate::doctor`] found.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;

use crate::{
    doctor::{Capture, Machine, Refusal, examine},
    load::{self, Probe, Unsupported},
};

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Look at the system below this directory.
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
}

impl Doctor {
    pub(super) fn execute(self) -> ExitCode {
        let mut machine = Machine::new(&self.root);
        // Another directory is another machine's: what can be tried here says nothing of it.
        if self.root == Path::new("/") {
            machine.capture = Some(try_to_capture());
        }
        let report = examine(&machine);
        print!("{report}");
        ExitCode::from(if report.can_run() { 0 } else { super::UNSUPPORTED })
    }
}

fn try_to_capture() -> Result<Capture, Refusal> {
    match load::probe() {
        Ok(Probe { hook, missing }) => Ok(Capture { hook: hook.to_string(), missing }),
        Err(error) => Err(match error.downcast::<Unsupported>() {
            Ok(Unsupported { missing, remedy }) => Refusal { reason: missing, remedy },
            Err(error) => Refusal { reason: format!("{error:#}"), remedy: "see the lines above".to_owned() },
        }),
    }
}
