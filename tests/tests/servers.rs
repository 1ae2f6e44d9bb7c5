//! Every request of a real server becomes one server span, with the right method, path, status and duration.
#![allow(clippy::print_stderr)] // How far the durations differ is for whoever reads the log.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    apps::App,
    capture::{Capture, Span},
    client::{self, Address, Exchange},
    nginx::Nginx,
    privilege,
    python::{Python, Workers},
    script,
};

/// Sent over [`CONNECTIONS`] at once; only counted and compared.
const CONCURRENT: usize = 8_000;
const CONNECTIONS: usize = 8;
/// Sent one after another; compared in time as well. With several at once the client's measure would hold the time
/// a request waits in the socket for a server that is busy with another one, and no span claims that time.
const SEQUENTIAL: usize = 2_000;

#[test]
fn nginx() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("servers::nginx") else { return Ok(()) };
    let server = Nginx::scripted()?;
    every_request_is_a_span(&server.address(), server.port())
}

#[test]
fn flask_under_gunicorn_sync() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("servers::flask_under_gunicorn_sync") else { return Ok(()) };
    let server = Python::gunicorn("flask_app", Workers::Sync, &[])?;
    every_request_is_a_span(&server.address(), server.port())
}

#[test]
fn flask_under_gunicorn_threads() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("servers::flask_under_gunicorn_threads") else { return Ok(()) };
    let server = Python::gunicorn("flask_app", Workers::Threads(8), &[])?;
    every_request_is_a_span(&server.address(), server.port())
}

#[test]
fn python_http_server() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("servers::python_http_server") else { return Ok(()) };
    let server = Python::http_server()?;
    every_request_is_a_span(&server.address(), server.port())
}

#[test]
fn node() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("servers::node") else { return Ok(()) };
    let server = App::node()?;
    every_request_is_a_span(&server.address(), server.port())
}

#[test]
fn go() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("servers::go") else { return Ok(()) };
    let server = App::go()?;
    every_request_is_a_span(&server.address(), server.port())
}

fn every_request_is_a_span(address: &Address, port: u16) -> Result<()> {
    let agent = Agent::run(["--port", &port.to_string(), "--print", "none"])?;
    let concurrent = send(address, 0, CONCURRENT, CONNECTIONS)?;
    let sequential = send(address, CONCURRENT, SEQUENTIAL, 1)?;
    let capture = agent.stop()?;

    let spans = by_number(&capture)?;
    ensure!(
        capture.servers().len() == CONCURRENT + SEQUENTIAL,
        "{} server spans for {} requests; the first without one: {:?}\n{}",
        capture.servers().len(),
        CONCURRENT + SEQUENTIAL,
        (0..CONCURRENT + SEQUENTIAL).find(|number| !spans.contains_key(number)),
        capture.said,
    );
    for (number, exchange) in concurrent.iter().chain(&sequential).enumerate() {
        let span =
            spans.get(&number).with_context(|| format!("no span for request {number}: {exchange:?}"))?;
        let said = (span.method(), span.path(), span.status());
        let sent = (exchange.request.method, exchange.request.path(), exchange.status);
        ensure!(said == sent, "request {number}: the span says {said:?}, the client {sent:?}");
        ensure!(span.error == (exchange.status >= 500), "request {number}: error status of {span:?}");
    }
    ensure!(!capture.accounting.is_empty(), "the agent has written no account of itself");
    let (dropped, counters) = capture.dropped();
    ensure!(dropped == 0, "the agent dropped something: {counters:?}\n{}", capture.said);
    durations_agree(&sequential, &spans)
}

/// Sends the scripted requests and makes sure that the server answered as the script says.
fn send(address: &Address, first: usize, count: usize, connections: usize) -> Result<Vec<Exchange>> {
    let (requests, statuses) = script::requests(first, count);
    let exchanges = client::send_all(address, &requests, connections)?;
    for (exchange, status) in exchanges.iter().zip(statuses) {
        ensure!(exchange.status == status, "the server itself answered {exchange:?}, not {status}");
    }
    Ok(exchanges)
}

fn by_number(capture: &Capture) -> Result<BTreeMap<usize, &Span>> {
    let mut spans = BTreeMap::new();
    for span in capture.servers() {
        let number = span.get("url.query").strip_prefix("n=").and_then(|number| number.parse().ok());
        let number = number.with_context(|| format!("a span of no scripted request: {span:?}"))?;
        if let Some(first) = spans.insert(number, span) {
            anyhow::bail!("two spans for request {number}:\n{first:?}\n{span:?}");
        }
    }
    Ok(spans)
}

/// The span lies where the client's clock says it must: no request is read before it was sent. And half of the
/// durations, at least, are within 1 ms of the client's own.
///
/// Why not more of them: between the client's clock and the server's there are two hand-overs by the scheduler, and on
/// a machine with more runnable threads than cores one of them waits for a time slice (up to 4 ms each). That is the
/// client's time and not the server's, and how often it happens is the machine's affair; it is printed, not judged.
/// Nor is the end strict: the send hook runs after the bytes are on their way, and a client on the other core may have
/// read them by then.
fn durations_agree(exchanges: &[Exchange], spans: &BTreeMap<usize, &Span>) -> Result<()> {
    let mut differences = Vec::with_capacity(exchanges.len());
    for (index, exchange) in exchanges.iter().enumerate() {
        let span = spans.get(&(CONCURRENT + index)).context("counted above")?;
        differences.push(exchange.took.abs_diff(span.duration()));
        let (start, end) = (exchange.start, exchange.start + u64::try_from(exchange.took.as_nanos())?);
        // The agent sets the kernel's clock against the time of day; the comparison itself is good to microseconds.
        ensure!(
            span.start + 200_000 >= start && span.start < end + 1_000_000_000,
            "{span:?} is not at the time of {exchange:?}"
        );
    }
    differences.sort();
    let at = |percent: usize| differences[differences.len() * percent / 100];
    eprintln!(
        "differences to the client's durations: median {:?}, p90 {:?}, p99 {:?}",
        at(50),
        at(90),
        at(99)
    );
    ensure!(at(50) < Duration::from_millis(1), "half of the durations differ by {:?} or more", at(50));
    Ok(())
}
