//! `cargo xtask truth`: how many links between requests and their calls are right, on programs that know.

mod chain;
mod kept;
mod page;
mod results;
mod settings;

use anyhow::{Result, bail, ensure};
use honeyguide_tests::{
    capture::Capture,
    privilege,
    truth::{
        self, Load,
        judge::{self, Score},
        programs::{Behind, Case},
    },
};

use self::{
    kept::Kept,
    results::{Results, Row},
    settings::Settings,
};
use crate::{bpf::Outcome, build, setup};

/// Of the calls of a load, the share that may have a wrong parent.
const WRONG_BOUND: f64 = 0.001;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let settings = Settings::read(arguments)?;
    ensure!(
        settings.replay || privilege::is_root(),
        "the benchmark loads programs into the kernel, so it needs root"
    );
    // One that is named is measured as it is.
    if std::env::var_os("HONEYGUIDE_BINARY").is_none()
        && let Outcome::Skipped(advice) = build::build()?
        && !settings.replay
    {
        bail!("without its BPF programs honeyguide cannot capture.\n{advice}");
    }
    let missing = setup::pieces::for_truth()?;
    let mut results = Results::default();
    let mut complaints = Vec::new();
    let behind = Behind::start()?;
    println!("{}", results::headline());
    for case in &settings.cases {
        let absent: Vec<&str> =
            case.packages.iter().copied().filter(|package| missing.contains(package)).collect();
        if !absent.is_empty() {
            println!("{:<16} skipped: apt-get install {}", case.name, absent.join(" "));
            continue;
        }
        match measured(case, &behind, &settings) {
            Ok(rows) => {
                for row in &rows {
                    println!("{row}{}", if settings.rules { row.rules() } else { String::new() });
                    complaints.extend(row.complaint(WRONG_BOUND));
                }
                results.rows.extend(rows);
            }
            // The others can still be measured.
            Err(error) => complaints.push(format!("{}: {error:#}", case.name)),
        }
    }
    if settings.chain {
        match chain::run(&settings) {
            Ok((row, complaint)) => {
                results.chain = Some(row);
                complaints.extend(complaint);
            }
            Err(error) => complaints.push(format!("chain: {error:#}")),
        }
    }
    // The page is about the agent as it comes, on a live kernel.
    if !settings.replay && settings.agent.is_empty() {
        println!("\ntruth: {}", page::renew(&results)?.display());
    }
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n       "));
    }
    Ok(())
}

/// One agent sees every load of a program, one after another, as it would in a longer life.
fn measured(case: &Case, behind: &Behind, settings: &Settings) -> Result<Vec<Row>> {
    let kept = Kept::of(case.name);
    if settings.replay {
        let loads: Vec<Load> = kept.loads()?;
        return Ok(rows(case, &loads, &kept.replay(settings)?));
    }
    let program = case.start(behind)?;
    let agent = kept.agent(&program.pids, settings)?;
    let mut loads = Vec::new();
    for &(pattern, _) in case.patterns.iter().filter(|(pattern, _)| settings.patterns.contains(pattern)) {
        for &connections in &settings.concurrency {
            let (requests, limit) = (settings.requests, settings.limit());
            loads.push(truth::load(&program.address, pattern, connections, requests, limit)?);
        }
    }
    let capture = kept.stop(agent, &loads, settings)?;
    Ok(rows(case, &loads, &capture))
}

fn rows(case: &Case, loads: &[Load], capture: &Capture) -> Vec<Row> {
    let (dropped, counters) = capture.dropped();
    if dropped > 0 {
        println!("{:<16} the agent dropped: {}", case.name, counters.join(", "));
    }
    let row = |(load, score): (&Load, Score)| {
        let asked = case.patterns.iter().find(|(pattern, _)| *pattern == load.pattern);
        let aim = asked.map_or(0.0, |(_, aim)| aim.least(load.connections));
        Row::new(case.name, load, score, aim)
    };
    loads.iter().zip(judge::judge(capture, loads)).map(row).collect()
}
