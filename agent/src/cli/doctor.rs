//! `honeyguide doctor`: prints what [`crate::doctor`] found.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;

use crate::{
    discover::ProcRoot,
    doctor::{Capture, Machine, Refusal, examine},
    load::{self, Probe, TlsSites, Unsupported},
};

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Look at the system below this directory.
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
    /// Show where probes for the inside of TLS would sit in this process's code, and what the kernel makes of them.
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,
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
        if let Some(pid) = self.pid {
            print!("{}", tls_sites(&ProcRoot::new(self.root.join("proc")), pid));
        }
        ExitCode::from(if report.can_run() { 0 } else { super::UNSUPPORTED })
    }
}

/// A line for each function, under the file that has it.
fn tls_sites(proc: &ProcRoot, pid: u32) -> String {
    let files = match load::examine_tls(proc, pid) {
        Ok(files) => files,
        Err(error) => return format!("\nprocess {pid} cannot be looked at: {error}\n"),
    };
    if files.is_empty() {
        return format!("\nprocess {pid} has loaded no TLS library that can be probed\n");
    }
    let mut text = String::new();
    for (path, functions) in files {
        text += &format!("\n{}\n", path.display());
        for TlsSites { function, sites } in functions {
            text += &format!("  {function:<20} {sites}\n");
        }
    }
    text
}

fn try_to_capture() -> Result<Capture, Refusal> {
    match load::probe() {
        Ok(Probe { hook, missing, headers, options }) => {
            Ok(Capture { hook: hook.to_string(), missing, headers, options })
        }
        Err(error) => Err(match error.downcast::<Unsupported>() {
            Ok(Unsupported { missing, remedy }) => Refusal { reason: missing, remedy },
            Err(error) => Refusal { reason: format!("{error:#}"), remedy: "see the lines above".to_owned() },
        }),
    }
}
