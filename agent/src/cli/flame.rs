//! `honeyguide flame`: where the CPUs' time goes, sampled for a while, or where threads wait.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;

use super::{WrongUsage, flags::SelectionFlags};
use crate::{
    config::{
        Layer,
        units::{MIN_OFF_CPU, min_off_cpu, positive_duration, sample_rate},
    },
    flame::Format,
    load::Sampling,
    pipeline::{self, FlameSettings, RequestSettings},
    profile::wanted::{Pattern, Wanted, trace_id},
    span::TraceId,
};

#[derive(Debug, Args)]
pub(super) struct Flame {
    /// What to write: a flamegraph (.svg, .html), stacks and their weights (.folded), pprof (.pb.gz), OTLP (.otlp.json).
    #[arg(short, long = "output", value_name = "FILE", value_parser = output)]
    output: (PathBuf, Format),
    /// Show inlined functions and source lines, from debug information, and JavaScript's where V8 has noted them.
    #[arg(long)]
    inlines: bool,
    /// A YAML configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Samples a second and CPU. 99 does not beat in time with what happens a hundred times a second.
    #[arg(long, value_name = "HZ", default_value_t = 99, value_parser = sample_rate)]
    hz: u32,
    /// Where threads are blocked, and for how long, instead of what runs on the CPUs.
    #[arg(long, conflicts_with = "hz")]
    off_cpu: bool,
    /// Leave out what blocks for less than this: 1us to 1m. [default: 1ms]
    #[arg(long, value_name = "TIME", value_parser = min_off_cpu, requires = "off_cpu")]
    min_off_cpu: Option<Duration>,
    /// Record for this long: 10s, 5m.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = positive_duration)]
    duration: Duration,
    /// Only what was done for requests of this route: /orders/{id}, or /orders/*. Traces what is selected meanwhile.
    #[arg(long, value_name = "PATTERN")]
    route: Option<Pattern>,
    /// Only what was done for one trace, that of a request which is still to come or under way.
    #[arg(long, value_name = "TRACE_ID", value_parser = trace_id, conflicts_with = "route")]
    trace: Option<TraceId>,
    /// Compare: two files of folded stacks, the second against the first; or `slow,fast`, the slowest tenth of the
    /// requests of --route against their faster half.
    #[arg(long, num_args = 1..=2, value_names = ["BEFORE", "NOW"])]
    diff: Vec<PathBuf>,
    #[command(flatten)]
    selection: SelectionFlags,
}

/// What is to be compared.
enum Comparison {
    None,
    /// Two files.
    Files(PathBuf, PathBuf),
    SlowFast,
}

impl Flame {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let comparison = self.comparison()?;
        if let Comparison::Files(before, now) = comparison {
            let (output, format) = self.output;
            pipeline::compare(&before, &now, &output, format)?;
            return Ok(ExitCode::SUCCESS);
        }
        let halves = matches!(comparison, Comparison::SlowFast);
        let wanted = self.route.map(Wanted::Route).or(self.trace.map(Wanted::Trace));
        let requests = wanted.map(|wanted| RequestSettings { wanted, halves });
        let mut flags = Layer { duration: Some(self.duration), ..Layer::default() };
        self.selection.apply(&mut flags);
        if let Some(settings) = super::settings(self.config.as_deref(), flags)? {
            let (output, format) = self.output;
            let sampling = match self.off_cpu {
                true => Sampling::OffCpu { least: self.min_off_cpu.unwrap_or(MIN_OFF_CPU) },
                false => Sampling::OnCpu { hz: self.hz },
            };
            let flame = FlameSettings { sampling, output, format, inlines: self.inlines, requests };
            pipeline::flame(&settings, &flame)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn comparison(&self) -> Result<Comparison, WrongUsage> {
        let wrong = |text: &str| Err(WrongUsage(text.to_owned()));
        let comparison = match self.diff.as_slice() {
            [] => return Ok(Comparison::None),
            [one] if one.as_os_str() == "slow,fast" => Comparison::SlowFast,
            [one] => {
                let one = one.display();
                return wrong(&format!(
                    "--diff {one}: two files of folded stacks are compared, or `slow,fast`"
                ));
            }
            [before, now, ..] => Comparison::Files(before.clone(), now.clone()),
        };
        if !self.output.1.compares() {
            return wrong("a comparison is a picture: the output's name has to end in .svg or .html");
        }
        let of_requests = self.route.is_some() || self.trace.is_some();
        match comparison {
            Comparison::SlowFast if self.route.is_none() => {
                wrong("--diff slow,fast compares the requests of a route: --route is missing")
            }
            Comparison::Files(..) if of_requests || self.selection.is_given() => {
                wrong("--diff of two files records nothing, so it goes with no selection, --route or --trace")
            }
            comparison => Ok(comparison),
        }
    }
}

fn output(text: &str) -> Result<(PathBuf, Format), String> {
    let path = PathBuf::from(text);
    Format::of(&path).map(|format| (path, format))
}
