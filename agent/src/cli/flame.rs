//! `honeyguide flame`: where the CPUs' time goes, sampled for a while.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;

use super::flags::SelectionFlags;
use crate::{
    config::{
        Layer,
        units::{positive_duration, sample_rate},
    },
    flame::Format,
    pipeline::{self, FlameSettings},
};

#[derive(Debug, Args)]
pub(super) struct Flame {
    /// What to write: a flamegraph (.svg, .html), stacks and their weights (.folded), pprof (.pb.gz), OTLP (.otlp.json).
    #[arg(short, long = "output", value_name = "FILE", value_parser = output)]
    output: (PathBuf, Format),
    /// Show inlined functions and source lines, from debug information.
    #[arg(long)]
    inlines: bool,
    /// A YAML configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Samples a second and CPU. 99 does not beat in time with what happens a hundred times a second.
    #[arg(long, value_name = "HZ", default_value_t = 99, value_parser = sample_rate)]
    hz: u32,
    /// Record for this long: 10s, 5m.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = positive_duration)]
    duration: Duration,
    #[command(flatten)]
    selection: SelectionFlags,
}

impl Flame {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let mut flags = Layer { duration: Some(self.duration), ..Layer::default() };
        self.selection.apply(&mut flags);
        if let Some(settings) = super::settings(self.config.as_deref(), flags)? {
            let (output, format) = self.output;
            let flame = FlameSettings { hz: self.hz, output, format, inlines: self.inlines };
            pipeline::flame(&settings, &flame)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn output(text: &str) -> Result<(PathBuf, Format), String> {
    let path = PathBuf::from(text);
    Format::of(&path).map(|format| (path, format))
}
