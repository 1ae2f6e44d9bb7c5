//! Every request of a real server becomes one server span, with the right method, path, status and duration.

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

/// The client's time holds the server's: it starts before the server reads and ends after the server has written.
/// At least 99 of 100 differ by less than 1 ms.
///
/// Why not all: between the client's clock and the server's there are two hand-overs by the scheduler. On a machine
/// with as many runnable threads as cores one of them now and then waits for a time slice (up to 4 ms), which is the
/// client's time and not the server's. Nor is the order strict: the send hook runs after the bytes are on their way,
/// and a client on the other core may have read them by then, so the server's end may come after the client's.
fn durations_agree(exchanges: &[Exchange], spans: &BTreeMap<usize, &Span>) -> Result<()> {
    let mut differences = Vec::with_capacity(exchanges.len());
    for (index, exchange) in exchanges.iter().enumerate() {
        let span = spans.get(&(CONCURRENT + index)).context("counted above")?;
        differences.push(exchange.took.abs_diff(span.duration()));
        let (start, end) = (exchange.start, exchange.start + u64::try_from(exchange.took.as_nanos())?);
        // The two clocks are set against each other by the agent; a second apart would be a wrong conversion.
        let near = |a: u64, b: u64| a.abs_diff(b) < 1_000_000_000;
        ensure!(
            near(span.start, start) && near(span.end, end),
            "{span:?} is not at the time of {exchange:?}"
        );
    }
    differences.sort();
    let percentile = differences[differences.len() * 99 / 100];
    ensure!(
        percentile < Duration::from_millis(1),
        "the 99th percentile of the difference to the client's time is {percentile:?}, the median {:?}",
        differences[differences.len() / 2]
    );
    Ok(())
}
