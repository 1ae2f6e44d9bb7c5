//! What it costs to be sampled: two busy cores, and one profiler after another, each beside the same load without it.

mod load;
mod profiler;
mod report;

use anyhow::{Result, ensure};

use self::{
    load::Load,
    profiler::{Cost, Profiler},
    report::{Report, Row},
};
use super::Settings;
use load::Pace;

pub(super) fn run(settings: &Settings) -> Result<()> {
    let wanted = settings.only.as_deref().unwrap_or_default();
    let mut cases = 0;
    for case in [native, python] {
        cases += usize::from(case(wanted, settings)?);
    }
    ensure!(cases > 0, "no case begins with `{wanted}`: native, python");
    Ok(())
}

/// PostgreSQL and a C program.
fn native(wanted: &str, settings: &Settings) -> Result<bool> {
    if !"native".starts_with(wanted) {
        return Ok(false);
    }
    let load = Load::native()?;
    let title = "PostgreSQL under pgbench and a C program, both busy";
    measure("profile", title, &load, profiler::native(), settings)?;
    Ok(true)
}

/// A Python program.
fn python(wanted: &str, settings: &Settings) -> Result<bool> {
    if !"python".starts_with(wanted) {
        return Ok(false);
    }
    let load = Load::python()?;
    measure("profile-python", "a busy Python program", &load, profiler::python()?, settings)?;
    Ok(true)
}

fn measure(
    name: &'static str,
    title: &'static str,
    load: &Load,
    profilers: Vec<Profiler>,
    settings: &Settings,
) -> Result<()> {
    println!("bench: {title}");
    let mut rows: Vec<Row> =
        profilers.into_iter().map(|profiler| Row { profiler, pairs: Vec::new() }).collect();
    // The first one pays for cold caches and is nobody's.
    load.pace(settings.seconds)?;
    for round in 1..=settings.rounds {
        for row in &mut rows {
            let profiler = &row.profiler;
            // Directly before it and behind it: a machine is busy with other things as well, now more, now less.
            let (before, base) = without(profiler, load, settings.seconds)?;
            let (with, cost) = profiler.measure(load, settings.seconds)?;
            let (after, base_after) = without(profiler, load, settings.seconds)?;
            let without = before.between(&after);
            let cost = [base, base_after].iter().flatten().fold(cost, |cost, base| cost.beyond(base, 0.5));
            println!("bench: round {round}: {}: {}", profiler.name, told(&without, &with, &cost));
            row.pairs.push((without, with, cost));
        }
    }
    Report { name, title, rows, missing: profiler::missing(), settings: settings.clone() }.tell()
}

/// The load's pace without the profiler, and what the agent takes that runs nevertheless.
fn without(profiler: &Profiler, load: &Load, seconds: u64) -> Result<(Pace, Option<Cost>)> {
    Ok(match profiler.base() {
        None => (load.pace(seconds)?, None),
        Some(base) => {
            let (pace, cost) = base.measure(load, seconds)?;
            (pace, Some(cost))
        }
    })
}

fn told(without: &Pace, with: &Pace, cost: &Cost) -> String {
    let rounds = with.rounds / without.rounds;
    let transactions = match (with.transactions, without.transactions) {
        (Some(with), Some(without)) => format!("{:.3} of the transactions, ", with / without),
        _ => String::new(),
    };
    format!("{transactions}{rounds:.3} of the rounds, {:.2} % of a core", 100.0 * cost.share)
}
