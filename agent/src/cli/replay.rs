//! `honeyguide replay FILE`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::flags::ExportFlags;
use crate::{config::Layer, pipeline};

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// What `honeyguide record` wrote, or a packet capture (pcap, pcapng).
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A YAML configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    export: ExportFlags,
}

impl Replay {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let mut flags = Layer::default();
        self.export.apply(&mut flags);
        if let Some(settings) = super::settings(self.config.as_deref(), flags)? {
            pipeline::replay(&settings, &self.file)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
