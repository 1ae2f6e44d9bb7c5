//! nginx that answers `return 200` over TLS on kept connections: what the probes inside of OpenSSL cost.

use anyhow::Result;
use honeyguide_tests::{certificate, nginx::Nginx, port, scratch::Scratch};

use super::{
    Settings, loads,
    measure::{Bench, Subject, Working},
    report::{Report, Targets},
};

/// What the project asks for; printed next to what was measured.
const TARGETS: Targets =
    Targets { throughput: Some(0.90), server: None, agent_micros: None, rss_megabytes: 80.0 };

pub(super) fn run(settings: &Settings) -> Result<()> {
    let directory = Scratch::new("tls")?;
    let (key, certificate) = certificate::make(directory.path())?;
    let port = port::free()?;
    let server = format!(
        "listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};\nlocation / {{ return 200 'ok'; }}",
        certificate.display(),
        key.display(),
    );
    let nginx = Nginx::start(1, &server, &[])?;
    let subject = Subject {
        name: "nginx",
        traced: vec![nginx.pid()],
        working: Working::Processes(nginx.workers()),
        work: loads::wrk(format!("https://127.0.0.1:{port}/")),
    };
    let bench = Bench { subject, settings };
    let pairs = bench.pairs()?;
    let programs = bench.program_times(&bench.subject.work)?;
    let report = Report {
        name: "tls",
        title: "nginx `return 200` over TLS",
        server: "nginx",
        targets: TARGETS,
        settings: settings.clone(),
        pairs,
        paced: None,
        programs,
        hits: None,
    };
    report.tell()
}
