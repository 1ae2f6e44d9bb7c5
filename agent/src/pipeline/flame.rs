//! `flame`: samples for a while, and a file of where the time went.

mod alone;
mod progress;
mod requests;

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use honeyguide_common::{
    Failure,
    interpreter::Walked,
    sample::{MAX_BLOCKED, Outcome},
};
use honeyguide_symbolizer::names;

use super::{status, who::Who};
use crate::{
    clock::Clock,
    config::Settings,
    engine::Processes as _,
    flame::{self, Caption, Format, Graph, Summary as Top, Unit},
    load::Sampling,
    profile::{
        DrainCounters, KeeperCounters,
        gather::{Gather, Stretch},
        named::Profile,
        naming::Naming,
        wait,
        wanted::Wanted,
    },
};

/// What `flame` is asked for, beside the selection and the duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlameSettings {
    pub sampling: Sampling,
    pub output: PathBuf,
    pub format: Format,
    /// Inlined functions and source lines, from debug information.
    pub inlines: bool,
    /// Of these requests alone.
    pub requests: Option<RequestSettings>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestSettings {
    pub wanted: Wanted,
    /// The slow ones against the fast ones.
    pub halves: bool,
}

pub(super) fn flame(settings: &Settings, flame: &FlameSettings) -> Result<()> {
    // Before anything is sampled for nothing.
    let file = File::create(&flame.output).with_context(|| cannot_write(&flame.output))?;
    match &flame.requests {
        None => alone::flame(settings, flame, file),
        Some(requests) => requests::flame(settings, flame, requests, file),
    }
}

/// Two files of folded stacks as one picture: no kernel is asked for anything.
pub(super) fn compare(before: &Path, now: &Path, output: &Path, format: Format) -> Result<()> {
    let (graph, caption) = flame::compare_files(before, now)?;
    let file = File::create(output).with_context(|| cannot_write(output))?;
    write_graph(output, format, file, &[], &graph, &caption)?;
    status(format_args!("written to {}", output.display()));
    Ok(())
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

fn write(
    flame: &FlameSettings,
    file: File,
    profiles: &[Profile],
    graph: &Graph,
    caption: &Caption,
) -> Result<()> {
    write_graph(&flame.output, flame.format, file, profiles, graph, caption)
}

fn write_graph(
    output: &Path,
    format: Format,
    file: File,
    profiles: &[Profile],
    graph: &Graph,
    caption: &Caption,
) -> Result<()> {
    let mut out = BufWriter::new(file);
    flame::write(format, profiles, graph, caption, &mut out)
        .and_then(|()| out.flush())
        .with_context(|| cannot_write(output))
}

/// "shop, 10.0 s at 99 Hz", "shop, off the CPU for 1ms and more in 10.0 s".
fn title(what: &str, seconds: f64, sampling: Sampling) -> String {
    match sampling {
        Sampling::OnCpu { .. } => format!("{what}, {seconds:.1} s {sampling}"),
        Sampling::OffCpu { .. } => format!("{what}, {sampling} in {seconds:.1} s"),
    }
}

fn name(
    gather: &mut Gather,
    who: &mut Who,
    clock: Clock,
    flame: &FlameSettings,
    stretch: Stretch,
) -> Vec<Profile> {
    let names = names::Settings { inlines: flame.inlines, ..names::Settings::default() };
    let mut naming = Naming::new(who.proc.clone(), names);
    gather.take(|pid| who.resource(pid), clock, stretch).name(&mut naming)
}

fn tell(
    flame: &FlameSettings,
    (counters, keeper): (DrainCounters, KeeperCounters),
    (failures, dropped): (&[u64; Failure::ALL.len()], u64),
    profiles: &[Profile],
    top: &Top,
) {
    status(format_args!("{}", Summary { sampling: flame.sampling, counters, keeper }));
    let lost = failures[Failure::RingFullSample as usize];
    let threads = failures[Failure::BlockedFull as usize];
    let unended = failures[Failure::WaitUnended as usize];
    if lost + dropped + threads + unended + counters.malformed > 0 {
        status(format_args!(
            "lost: {lost} samples for want of room in the ring, {dropped} beyond what is held, {threads} of threads \
             beyond {MAX_BLOCKED}, {unended} whose end was not told, {} malformed",
            counters.malformed
        ));
    }
    if let Some(kinds) = kinds(profiles) {
        status(format_args!("by kind of wait: {kinds}"));
    }
    for line in top.to_string().lines() {
        status(format_args!("{line}"));
    }
    status(format_args!("written to {}", flame.output.display()));
}

/// "sleep 1.20 s, lock 831.2 ms"; `None` where nothing waited.
fn kinds(profiles: &[Profile]) -> Option<String> {
    let waits = wait::by_kind(profiles);
    let texts: Vec<String> =
        waits.iter().map(|(kind, time)| format!("{kind} {}", Unit::Nanoseconds.text(*time))).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// What came of it, in two lines.
struct Summary {
    sampling: Sampling,
    counters: DrainCounters,
    keeper: KeeperCounters,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sampling, counters, keeper } = self;
        let share = 100.0 * counters.complete() as f64 / counters.samples.max(1) as f64;
        let what = match sampling {
            Sampling::OnCpu { .. } => "samples",
            Sampling::OffCpu { .. } => "waits",
        };
        write!(f, "{} {what}, {share:.1} % with complete stacks", counters.samples)?;
        let causes = Outcome::ALL.iter().zip(counters.outcomes);
        for (outcome, count) in causes.filter(|(outcome, count)| !outcome.is_complete() && *count > 0) {
            write!(f, ", {} {count}", outcome.name())?;
        }
        let tables = keeper.tables;
        write!(
            f,
            "; {} unwind tables of {} rows in {} KiB for {} processes",
            tables.compiled,
            tables.rows,
            keeper.table_bytes >> 10,
            keeper.processes
        )?;
        let interpreted: u64 = counters.walked[Walked::Complete as usize..].iter().sum();
        if interpreted == 0 {
            return Ok(());
        }
        write!(f, "; {interpreted} {what} of interpreters")?;
        let ends = Walked::ALL.iter().zip(counters.walked).skip(1);
        for (walked, count) in ends.filter(|(_, count)| *count > 0) {
            write!(f, ", {} {count}", walked.name())?;
        }
        if counters.unread > 0 {
            write!(f, ", {} frames not read", counters.unread)?;
        }
        Ok(())
    }
}
