//! The programs of the truth score, loaded as fast as their slow upstream lets them: what it costs a runtime that its
//! tasks are told apart.

use anyhow::{Result, bail, ensure};
use honeyguide_tests::{
    client::Address,
    truth::{
        Pattern,
        programs::{self, Behind, Case},
    },
};

use super::{
    Settings, loads,
    measure::{Bench, Subject, Working},
    report::{Report, Targets},
};
use crate::setup;

/// Throughput is the upstream's; what is to be looked at is the CPU time.
const TARGETS: Targets =
    Targets { throughput: None, server: Some(1.10), agent_micros: None, rss_megabytes: 80.0 };

pub(super) fn run(settings: &Settings) -> Result<()> {
    let wanted = |case: &&Case| settings.only.as_ref().is_none_or(|only| case.name.starts_with(only));
    let cases: Vec<_> = programs::all().iter().filter(wanted).collect();
    let names: Vec<_> = programs::all().iter().map(|case| case.name).collect();
    ensure!(!cases.is_empty(), "--only: there is {}", names.join(", "));
    let mut missing = setup::pieces::for_truth()?;
    missing.retain(|package| cases.iter().any(|case| case.packages.contains(package)));
    ensure!(missing.is_empty(), "the benchmark needs packages: apt-get install {}", missing.join(" "));
    let behind = Behind::start()?;
    for case in cases {
        println!("bench: {}", case.name);
        measure(case, &behind, settings)?;
    }
    Ok(())
}

fn measure(case: &Case, behind: &Behind, settings: &Settings) -> Result<()> {
    let running = case.start(behind)?;
    let Address::Tcp(address) = running.address else { bail!("{} listens on no port", case.name) };
    let url = format!("http://{address}/{}/1", Pattern::Seq);
    let subject = Subject {
        name: case.name,
        traced: running.pids.clone(),
        working: Working::Families(running.pids.clone()),
        work: loads::wrk(url),
    };
    let bench = Bench { subject, settings };
    let pairs = bench.pairs()?;
    let programs = bench.program_times(&bench.subject.work)?;
    let report = Report {
        name: case.name,
        title: case.what,
        server: case.name,
        targets: TARGETS,
        settings: settings.clone(),
        pairs,
        paced: None,
        programs,
        hits: None,
    };
    report.tell()
}
