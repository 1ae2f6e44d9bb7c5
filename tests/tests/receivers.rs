//! Receivers that this project did not write take what the agent exports: the same spans, each once.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    capture::Capture,
    client::{self, Request},
    nginx::Nginx,
    otlp::{self, Receiver, Rotel},
    privilege,
    profcheck::{self, Tally},
    python::Python,
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

/// Every sample that is in the agent's own file arrives, by each protocol, and the official stubs decode both.
#[test]
fn profiles() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("receivers::profiles") else { return Ok(()) };
    let receiver = Receiver::start()?;
    let server = Python::busy_server()?;
    let pid = server.pid().to_string();
    let (grpc, http) = (receiver.grpc(), receiver.http());
    for (protocol, url, arrives_by) in
        [("grpc", &grpc, "grpc"), ("http/protobuf", &http, "http"), ("http/json", &http, "json")]
    {
        let arguments = ["--pid", &pid, "--print", "none", "--profile=499", "--otlp", url];
        let agent = Agent::run(arguments.into_iter().chain(["--otlp-protocol", protocol]))?;
        client::send_all(&server.address(), &vec![Request::get("/compute/100"); 12], 2)?;
        let out = agent.out().to_owned();
        let (capture, decoded) = agent.stop_with(|said| {
            let decoded = otlp::decoded(&out.join("profiles.jsonl")).with_context(|| said.clone())?;
            Ok((Capture::read(&out, said)?, decoded))
        })?;
        let own = capture.profiles;
        ensure!(own.samples > 0 && own.linked > 0, "{own:?}\n{}", capture.said);
        let mut of_stubs = Tally::default();
        profcheck::check_lines(&decoded, &mut of_stubs)?;
        ensure!(of_stubs == own, "the stubs read {of_stubs:?} from the file of {own:?}");
        let arrived = receiver.profiles(arrives_by)?;
        ensure!(arrived == own, "{arrived:?} arrived by {protocol}, {own:?} are in the file");
    }
    Ok(())
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
