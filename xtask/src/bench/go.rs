//! A Go server that asks another one for every request. Go is where agents that follow calls by probes inside of
//! the program cost most: this counts those probes' hits as well.

use std::process::Command;

use anyhow::Result;
use honeyguide_tests::apps::{self, App};

use super::{
    Settings, loads,
    measure::{Bench, Subject, Working},
    report::{Hits, Report, Targets},
};

/// What the project asks for; printed next to what was measured.
const TARGETS: Targets =
    Targets { throughput: Some(0.85), server: Some(1.10), agent_micros: None, rss_megabytes: 80.0 };

pub(super) fn run(settings: &Settings) -> Result<()> {
    let back = App::go()?;
    let mut command = Command::new(apps::go("go_front", "front")?);
    command.env("UPSTREAM", format!("http://127.0.0.1:{}/ok", back.port()));
    let front = App::start(command)?;
    let subject = Subject {
        name: "the server",
        traced: vec![front.pid()],
        working: Working::Processes(vec![front.pid()]),
        work: loads::wrk(format!("http://127.0.0.1:{}/call", front.port())),
    };
    let bench = Bench { subject, settings };
    let pairs = bench.pairs()?;
    let programs = bench.program_times(&bench.subject.work)?;
    let quiet = loads::wrk(format!("http://127.0.0.1:{}/quiet", front.port()));
    let incoming = bench.program_times(&quiet)?.uprobe_hits();
    let hits = Hits { incoming, outgoing: (programs.uprobe_hits() - incoming).max(0.0) };
    let report = Report {
        name: "go",
        title: "Go's net/http, a call of another server for each request",
        server: "the server",
        targets: TARGETS,
        settings: settings.clone(),
        pairs,
        paced: None,
        programs,
        hits: Some(hits),
    };
    report.tell()
}
