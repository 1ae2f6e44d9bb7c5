//! Receivers that this project did not write take what the agent exports: the same spans, each once.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    client::{self, Request},
    nginx::Nginx,
    otlp::{Receiver, Rotel},
    privilege,
};

const REQUESTS: usize = 50;

#[test]
fn official_stubs_over_grpc() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("receivers::official_stubs_over_grpc") else { return Ok(()) };
    let receiver = Receiver::start()?;
    accepts(&receiver, &receiver.grpc(), "grpc", "grpc")
}

#[test]
fn official_stubs_over_http_protobuf() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("receivers::official_stubs_over_http_protobuf") else {
        return Ok(());
    };
    let receiver = Receiver::start()?;
    accepts(&receiver, &receiver.http(), "http/protobuf", "http")
}

#[test]
fn json() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("receivers::json") else { return Ok(()) };
    let receiver = Receiver::start()?;
    accepts(&receiver, &receiver.http(), "http/json", "json")
}

#[test]
fn rotel_over_grpc() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("receivers::rotel_over_grpc") else { return Ok(()) };
    let receiver = Receiver::start()?;
    let rotel = Rotel::start(&receiver.http())?;
    accepts(&receiver, &rotel.grpc(), "grpc", "http")
}

#[test]
fn rotel_over_http_protobuf() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("receivers::rotel_over_http_protobuf") else { return Ok(()) };
    let receiver = Receiver::start()?;
    let rotel = Rotel::start(&receiver.http())?;
    accepts(&receiver, &rotel.http(), "http/protobuf", "http")
}

/// Traces nginx with an agent that exports to `url`, and compares what reaches `receiver`, by the protocol that it
/// names `arrives_by`, with the agent's own file.
fn accepts(receiver: &Receiver, url: &str, protocol: &str, arrives_by: &str) -> Result<()> {
    let nginx = Nginx::scripted()?;
    let pid = nginx.pid().to_string();
    let agent = Agent::run(["--pid", &pid, "--print", "none", "--otlp", url, "--otlp-protocol", protocol])?;
    client::send_all(&nginx.address(), &vec![Request::get("/ok"); REQUESTS], 2)?;
    let capture = agent.stop()?;

    let ids = capture.servers().into_iter().map(|span| (span.trace_id.clone(), span.span_id.clone()));
    let ids: BTreeSet<(String, String)> = ids.collect();
    ensure!(ids.len() == REQUESTS, "{} spans in the agent's own file\n{}", ids.len(), capture.said);
    let arrived = receiver.wait_for_spans(arrives_by, REQUESTS)?;
    ensure!(arrived == ids, "other spans have arrived than were written");
    let metrics = receiver.metrics(arrives_by);
    ensure!(metrics.contains("http.server.request.duration"), "metrics that have arrived: {metrics:?}");
    Ok(())
}
