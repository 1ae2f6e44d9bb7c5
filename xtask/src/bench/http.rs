//! nginx that answers `return 200` on kept connections: the most requests for the least work, so the cost of
//! tracing is as large a share as it gets.

use anyhow::Result;
use honeyguide_tests::nginx::Nginx;

use super::{
    Settings, loads,
    measure::{Bench, Subject, Working},
    report::{Report, Targets},
};

/// What the project asks for; printed next to what was measured.
const TARGETS: Targets =
    Targets { throughput: None, server: Some(1.10), agent_micros: Some(5.0), rss_megabytes: 80.0 };

pub(super) fn run(settings: &Settings) -> Result<()> {
    let nginx = Nginx::start(1, "location / { return 200 'ok'; }", &[])?;
    let subject = Subject {
        name: "nginx",
        traced: vec![nginx.pid()],
        working: Working::Processes(nginx.workers()),
        work: loads::wrk(format!("http://127.0.0.1:{}/", nginx.port())),
    };
    let bench = Bench { subject, settings };
    let pairs = bench.pairs()?;
    let paced = Some(bench.paced(&nginx.address(), "/")?);
    let programs = bench.program_times(&bench.subject.work)?;
    let report = Report {
        name: "http",
        title: "nginx `return 200`",
        server: "nginx",
        targets: TARGETS,
        settings: settings.clone(),
        pairs,
        paced,
        programs,
        hits: None,
    };
    report.tell()
}
