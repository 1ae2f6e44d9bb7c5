//! `cargo xtask truth`: how many links between requests and their calls are right, on programs that know.

mod chain;
mod page;
mod results;
mod settings;

use std::fs;

use anyhow::{Result, bail, ensure};
use honeyguide_tests::{
    agent::Agent,
    capture::Capture,
    privilege,
    truth::{
        self, Load,
        judge::{self, Score},
        programs::{Behind, Case},
    },
};

use self::{
    results::{Results, Row},
    settings::Settings,
};
use crate::{bpf::Outcome, build, paths, setup};

/// Of the calls of a load, the share that may have a wrong parent.
const WRONG_BOUND: f64 = 0.001;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let settings = Settings::read(arguments)?;
    ensure!(privilege::is_root(), "the benchmark loads programs into the kernel, so it needs root");
    if let Outcome::Skipped(advice) = build::build()? {
        bail!("without its BPF programs honeyguide cannot capture.\n{advice}");
    }
    let missing = setup::pieces::for_truth()?;
    let mut results = Results::read();
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
                    println!("{row}");
                    complaints.extend(row.complaint(WRONG_BOUND));
                }
                results.replace(rows);
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
    results.write()?;
    println!("\ntruth: {}", page::write(&results)?.display());
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n       "));
    }
    Ok(())
}

/// One agent sees every load of a program, one after another, as it would in a longer life.
fn measured(case: &Case, behind: &Behind, settings: &Settings) -> Result<Vec<Row>> {
    let program = case.start(behind)?;
    let agent = agent(&program.pids, settings)?;
    let mut loads = Vec::<Load>::new();
    let mut aims = Vec::new();
    for &(pattern, aim) in case.patterns.iter().filter(|(pattern, _)| settings.patterns.contains(pattern)) {
        for &connections in &settings.concurrency {
            let load =
                truth::load(&program.address, pattern, connections, settings.requests, settings.limit())?;
            loads.push(load);
            aims.push(aim.least(connections));
        }
    }
    // The rest of the traces is on its way.
    let capture = stopped(agent, case.name, settings)?;
    let scores: Vec<Score> = judge::judge(&capture, &loads);
    let (dropped, counters) = capture.dropped();
    if dropped > 0 {
        println!("{:<16} the agent dropped: {}", case.name, counters.join(", "));
    }
    let rows = loads.into_iter().zip(scores).zip(aims);
    Ok(rows.map(|((load, score), aim)| Row::new(case.name, &load, score, aim)).collect())
}

fn agent(pids: &[u32], settings: &Settings) -> Result<Agent> {
    let selection = pids.iter().flat_map(|pid| ["--pid".to_owned(), pid.to_string()]);
    let quiet = ["--print".to_owned(), "none".to_owned()];
    Agent::run(selection.chain(quiet).chain(settings.agent.iter().cloned()))
}

fn stopped(agent: Agent, name: &str, settings: &Settings) -> Result<Capture> {
    let out = agent.out().to_owned();
    agent.stop_with(|said| {
        if settings.keep {
            let kept = paths::target().join("truth").join(name);
            fs::create_dir_all(&kept)?;
            for entry in fs::read_dir(&out)? {
                let entry = entry?;
                fs::copy(entry.path(), kept.join(entry.file_name()))?;
            }
            println!("{name:<16} kept in {}", kept.display());
        }
        Capture::read(&out, said)
    })
}
