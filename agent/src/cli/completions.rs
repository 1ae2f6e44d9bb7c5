//! `honeyguide completions SHELL`.

use std::{io, process::ExitCode};

use clap::Args;
use clap_complete::Shell;

#[derive(Debug, Args)]
pub(super) struct Completions {
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(super) fn execute(self, command: &mut clap::Command) -> ExitCode {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "honeyguide", &mut script);
        match io::Write::write_all(&mut io::stdout().lock(), &script) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(super::FAILED),
        }
    }
}
