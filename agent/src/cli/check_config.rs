//! `honeyguide check-config FILE`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use crate::config;

#[derive(Debug, Args)]
pub(super) struct CheckConfig {
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl CheckConfig {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        match config::read_file(&self.file) {
            Ok(_) => {
                println!("{}: no problems", self.file.display());
                Ok(ExitCode::SUCCESS)
            }
            // The problems are what was asked for: they stand alone, a line each.
            Err(error) => {
                eprintln!("{error}");
                Ok(ExitCode::from(super::FAILED))
            }
        }
    }
}
