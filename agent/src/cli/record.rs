//! `honeyguide record`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::flags::{DurationFlag, SelectionFlags};
use crate::{config::Layer, pipeline};

#[derive(Debug, Args)]
pub(super) struct Record {
    /// The recording.
    #[arg(short, long = "output", value_name = "FILE")]
    output: PathBuf,
    /// A YAML configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write the values of headers such as Authorization and Cookie, and those that databases are sent, as they are, instead
    /// of asterisks.
    #[arg(long)]
    keep_secrets: bool,
    #[command(flatten)]
    selection: SelectionFlags,
    #[command(flatten)]
    duration: DurationFlag,
}

impl Record {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let mut flags = Layer::default();
        self.selection.apply(&mut flags);
        self.duration.apply(&mut flags);
        if let Some(settings) = super::settings(self.config.as_deref(), flags)? {
            pipeline::record(&settings, &self.output, !self.keep_secrets)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
