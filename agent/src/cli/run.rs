//! `honeyguide run`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::flags::{DurationFlag, ExportFlags, SelectionFlags};
use crate::{
    config::{Layer, units::sample_rate},
    pipeline,
};

#[derive(Debug, Args)]
pub(super) struct Run {
    /// A YAML configuration file; flags and OTEL_* variables go before it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    selection: SelectionFlags,
    #[command(flatten)]
    export: ExportFlags,
    /// Server spans say what their thread did with its time; costs two hooks in the scheduler.
    #[arg(long)]
    thread_times: bool,
    /// Take CPU samples as well, linked to the requests that threads work for; so many a second and CPU.
    #[arg(long, value_name = "HZ", num_args = 0..=1, require_equals = true, default_missing_value = "19",
        value_parser = sample_rate)]
    profile: Option<u32>,
    /// Take none, whatever the configuration says.
    #[arg(long, conflicts_with = "profile")]
    no_profile: bool,
    #[command(flatten)]
    duration: DurationFlag,
}

impl Run {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let mut flags = Layer::default();
        self.selection.apply(&mut flags);
        self.export.apply(&mut flags);
        self.duration.apply(&mut flags);
        flags.thread_times = self.thread_times.then_some(true);
        flags.profile = if self.no_profile { Some(false) } else { self.profile.map(|_| true) };
        flags.profile_hz = self.profile;
        if let Some(settings) = super::settings(self.config.as_deref(), flags)? {
            pipeline::run(&settings)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
