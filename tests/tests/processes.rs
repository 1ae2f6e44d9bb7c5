//! Connections and requests that pass from one process to another: given away, inherited, left behind.

use std::{collections::BTreeSet, process::Command};

use anyhow::{Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    apps::App,
    capture::{Capture, Span},
    client::{Client, Request},
    nginx::Nginx,
    paths, port, privilege,
};

const CONNECTIONS: usize = 20;
const REQUESTS: usize = 5;

#[test]
fn a_connection_that_a_worker_was_given() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("processes::a_connection_that_a_worker_was_given") else {
        return Ok(());
    };
    let nginx = Nginx::start(1, "location / { return 200 ok; }", &[])?;
    let port = port::free()?;
    let mut command = Command::new("python3");
    command.arg(paths::app("handed_on.py")).arg(port.to_string());
    command.arg(format!("http://127.0.0.1:{}", nginx.port()));
    let app = App::listening(command, port)?;
    let agent = Agent::run(["--pid", &app.pid().to_string(), "--print", "none"])?;
    for connection in 0..CONNECTIONS {
        let mut client = Client::new(app.address());
        for request in 0..REQUESTS {
            let status = client.send(&Request::get(format!("/given/{connection}-{request}")))?.status;
            ensure!(status == 200, "the program itself: {status}");
        }
    }
    for number in 0..REQUESTS {
        let status = Client::new(app.address()).send(&Request::get(format!("/forked/{number}")))?.status;
        ensure!(status == 200, "the program itself: {status}");
        ensure!(Client::new(app.address()).send(&Request::get(format!("/ended/{number}"))).is_err());
    }
    let capture = agent.stop()?;
    given(&capture, app.pid())?;
    forked(&capture)?;
    ended(&capture)?;
    let all = 2 * CONNECTIONS * REQUESTS + 4 * REQUESTS;
    ensure!(capture.spans.len() == all, "{} spans\n{}", capture.spans.len(), capture.said);
    Ok(())
}

/// Each request and its call, in the order of their starts.
fn pairs<'a>(capture: &'a Capture, route: &str) -> Vec<(&'a Span, &'a Span)> {
    let of = |spans: Vec<&'a Span>, prefix: &str| {
        let mut found: Vec<&Span> =
            spans.into_iter().filter(|span| span.path().starts_with(prefix)).collect();
        found.sort_by_key(|span| span.start);
        found
    };
    let servers = of(capture.servers(), route);
    servers.into_iter().zip(of(capture.clients(), &format!("/behind{route}"))).collect()
}

/// What was accepted by one process belongs to the one that reads and answers.
fn given(capture: &Capture, supervisor: u32) -> Result<()> {
    let pairs = pairs(capture, "/given/");
    ensure!(pairs.len() == CONNECTIONS * REQUESTS, "{} requests", pairs.len());
    let pids: BTreeSet<&str> = pairs.iter().map(|(request, _)| &*request.resource["process.pid"]).collect();
    ensure!(pids.len() == 1 && !pids.contains(&*supervisor.to_string()), "{pids:?}");
    for (request, call) in pairs {
        ensure!(call.path() == format!("/behind{}", request.path()), "{request:?} {call:?}");
        ensure!(call.trace_id == request.trace_id && call.parent_span_id == request.span_id, "{call:?}");
        ensure!(call.resource == request.resource, "{call:?}");
    }
    Ok(())
}

/// The child has read no request: its call is the root of a trace. The request is answered, whoever wrote.
fn forked(capture: &Capture) -> Result<()> {
    let pairs = pairs(capture, "/forked/");
    ensure!(pairs.len() == REQUESTS, "{} requests", pairs.len());
    for (request, call) in pairs {
        ensure!(request.get("http.response.status_code") == "200" && !request.error, "{request:?}");
        ensure!(call.parent_span_id.is_empty() && call.trace_id != request.trace_id, "{call:?}");
        ensure!(call.resource["process.pid"] != request.resource["process.pid"], "{call:?}");
    }
    Ok(())
}

/// The request has failed, its call is its own.
fn ended(capture: &Capture) -> Result<()> {
    let pairs = pairs(capture, "/ended/");
    ensure!(pairs.len() == REQUESTS, "{} requests", pairs.len());
    for (request, call) in pairs {
        ensure!(request.get("error.type") == "connection_closed", "{request:?}");
        ensure!(call.parent_span_id == request.span_id, "{call:?}");
    }
    Ok(())
}
