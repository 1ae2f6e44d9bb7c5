//! Every call of a gRPC client is one client span and one server span, by the conventions for RPC.

use std::{collections::BTreeMap, path::Path, process::Command};

use anyhow::{Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    apps::App,
    capture::{Capture, Kind, Span},
    gated::Gated,
    https::Server,
    node, paths, privilege,
    python::{self, Python},
};

#[test]
fn grpcio_in_cleartext() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("grpc::grpcio_in_cleartext") else { return Ok(()) };
    let server = Python::grpc_server()?;
    let client = python_client(server.port(), None)?;
    every_call_is_two_spans((server.pid(), server.port()), &client, PYTHON)
}

#[test]
fn grpc_js() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("grpc::grpc_js") else { return Ok(()) };
    let server = App::start(node::app("grpc_server.js")?)?;
    let calls = Calls { unary: 2_000, cancels: true };
    every_call_is_two_spans((server.pid(), server.port()), &node_client(server.port(), None, calls)?, calls)
}

#[test]
fn grpcio_and_grpc_js() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("grpc::grpcio_and_grpc_js") else { return Ok(()) };
    let server = Python::grpc_server()?;
    let calls = Calls { unary: 1_000, cancels: false };
    every_call_is_two_spans((server.pid(), server.port()), &node_client(server.port(), None, calls)?, calls)
}

#[test]
fn grpc_js_and_grpcio() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("grpc::grpc_js_and_grpcio") else { return Ok(()) };
    let server = App::start(node::app("grpc_server.js")?)?;
    let client = python_client(server.port(), None)?;
    every_call_is_two_spans((server.pid(), server.port()), &client, PYTHON)
}

#[test]
fn grpc_js_over_tls() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("grpc::grpc_js_over_tls") else { return Ok(()) };
    let server = node_over_tls()?;
    let client = node_client(server.port(), Some(server.certificate()), MANY)?;
    every_call_is_two_spans((server.pid(), server.port()), &client, MANY)
}

#[test]
fn tonic() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("grpc::tonic") else { return Ok(()) };
    let mut serve = Command::new(TONIC);
    serve.arg("serve");
    let server = App::start(serve)?;
    let calls = Calls { unary: 2_000, cancels: true };
    let client = tonic_client(&format!("http://127.0.0.1:{}", server.port()), None, calls);
    every_call_is_two_spans((server.pid(), server.port()), &client, calls)
}

#[test]
fn tonic_over_tls() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("grpc::tonic_over_tls") else { return Ok(()) };
    let server = tonic_over_tls_serves()?;
    let client = tonic_client(&server.base(), Some(server.certificate()), MANY);
    every_call_is_two_spans((server.pid(), server.port()), &client, MANY)
}

#[test]
fn grpc_js_asks_tonic_over_tls() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("grpc::grpc_js_asks_tonic_over_tls") else { return Ok(()) };
    let server = tonic_over_tls_serves()?;
    let client = node_client(server.port(), Some(server.certificate()), MANY)?;
    every_call_is_two_spans((server.pid(), server.port()), &client, MANY)
}

#[test]
fn tonic_asks_grpc_js_over_tls() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("grpc::tonic_asks_grpc_js_over_tls") else { return Ok(()) };
    let server = node_over_tls()?;
    let client = tonic_client(&server.base(), Some(server.certificate()), MANY);
    every_call_is_two_spans((server.pid(), server.port()), &client, MANY)
}

/// grpcio's wheels have BoringSSL inside without a symbol: nothing of it is seen, nothing is made up, and the
/// connection is counted at both of its ends.
#[test]
fn grpcio_over_tls_is_opaque() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("grpc::grpcio_over_tls_is_opaque") else { return Ok(()) };
    let server = Server::program(|certificate, key, port| {
        let mut command = Command::new(python::environment()?.join("bin/python"));
        command.arg(paths::app("grpc_server.py")).args([certificate, key]).arg(port.to_string());
        Ok(command)
    })?;
    let client = python_client(server.port(), Some(server.certificate()))?;
    let capture = captured(server.pid(), &client)?;
    ensure!(capture.spans.is_empty(), "{:#?}", capture.spans);
    is_opaque(&capture, 2)
}

/// The same client, and a server whose end of the connection is seen.
#[test]
fn grpcio_asks_grpc_js_over_tls() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("grpc::grpcio_asks_grpc_js_over_tls") else { return Ok(()) };
    let server = node_over_tls()?;
    let client = python_client(server.port(), Some(server.certificate()))?;
    let capture = captured(server.pid(), &client)?;
    let sides = ["server"];
    every_call_is_a_span(&capture, server.port(), PYTHON, &sides)?;
    is_opaque(&capture, 1)
}

/// So many ends of connections have shown nothing of what is inside, and nothing else was lost.
fn is_opaque(capture: &Capture, ends: i64) -> Result<()> {
    let seen = capture.accounting.get("honeyguide.connections.events{event=opaque}");
    ensure!(seen == Some(&ends), "{:#?}", capture.accounting);
    let (dropped, counters) = capture.dropped();
    ensure!(dropped == 0, "the agent dropped something: {counters:?}\n{}", capture.said);
    Ok(())
}

const TONIC: &str = env!("CARGO_BIN_EXE_grpc_peer");

/// What a client calls beside one of each kind.
#[derive(Clone, Copy)]
struct Calls {
    /// Plain calls that succeed.
    unary: usize,
    /// A call is taken back.
    cancels: bool,
}

const PYTHON: Calls = Calls { unary: 100, cancels: false };
const MANY: Calls = Calls { unary: 1_000, cancels: true };

fn node_over_tls() -> Result<Server> {
    Server::program(|certificate, key, port| {
        let mut command = node::app("grpc_server.js")?;
        command.args([certificate, key]).arg(port.to_string());
        Ok(command)
    })
}

fn tonic_over_tls_serves() -> Result<Server> {
    Server::program(|certificate, key, port| {
        let mut command = Command::new(TONIC);
        command.arg("serve").args([certificate, key]).arg(port.to_string());
        Ok(command)
    })
}

fn python_client(port: u16, certificate: Option<&Path>) -> Result<Command> {
    let mut command = Command::new(python::environment()?.join("bin/python"));
    command.arg(paths::app("grpc_client.py")).arg(port.to_string()).args(certificate);
    Ok(command)
}

fn node_client(port: u16, certificate: Option<&Path>, calls: Calls) -> Result<Command> {
    let mut command = node::app("grpc_client.js")?;
    command.arg(port.to_string()).args(certificate).env("UNARY", calls.unary.to_string());
    if calls.cancels {
        command.env("CANCEL", "1");
    }
    Ok(command)
}

fn tonic_client(base: &str, certificate: Option<&Path>, calls: Calls) -> Command {
    let mut command = Command::new(TONIC);
    command.args(["call", base, &calls.unary.to_string(), if calls.cancels { "1" } else { "0" }]);
    command.args(certificate);
    command
}

/// `server`: process and port.
fn every_call_is_two_spans((server, port): (u32, u16), command: &Command, calls: Calls) -> Result<()> {
    let capture = captured(server, command)?;
    every_call_is_a_span(&capture, port, calls, &["client", "server"])?;
    let clients = capture.clients();
    for span in capture.servers() {
        let parents = clients.iter().filter(|client| client.span_id == span.parent_span_id).count();
        ensure!(parents == 1, "a server span with {parents} client spans above it: {span:?}");
    }
    Ok(())
}

fn captured(server: u32, command: &Command) -> Result<Capture> {
    let client = Gated::new(command)?;
    let pids = [server.to_string(), client.pid().to_string()];
    let agent = Agent::run(["--pid", &pids[0], "--pid", &pids[1], "--print", "none"])?;
    client.finish()?;
    agent.stop()
}

/// At each of `sides`.
fn every_call_is_a_span(capture: &Capture, port: u16, calls: Calls, sides: &[&str]) -> Result<()> {
    let mut late = Vec::new();
    let mut seen: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for span in &capture.spans {
        let side = if span.kind == Kind::Client { "client" } else { "server" };
        ensure!(span.attributes["rpc.system.name"] == "grpc", "{span:?}");
        ensure!(!span.attributes.keys().any(|key| key.starts_with("http.")), "{span:?}");
        ensure!(!span.attributes.contains_key("honeyguide.damaged"), "{span:?}");
        ensure!(span.attributes["server.port"] == port.to_string(), "{span:?}");
        if span.name == "tests.Bytes/Late" {
            // The client takes its stream back, unless the server, which knows the deadline, is first.
            let status = &*span.attributes["rpc.response.status_code"];
            ensure!(matches!(status, "CANCELLED" | "DEADLINE_EXCEEDED"), "{span:?}");
            late.push(side);
            continue;
        }
        *seen.entry((side, said(span))).or_default() += 1;
    }
    let both = |count, text: &str| [("client", text.to_owned(), count), ("server", text.to_owned(), count)];
    let each =
        |client: &str, server: &str| [("client", client.to_owned(), 1), ("server", server.to_owned(), 1)];
    let cancelled = [
        ("client", "tests.Bytes/Endless! tests.Bytes/Endless CANCELLED CANCELLED".to_owned(), 1),
        ("server", "tests.Bytes/Endless tests.Bytes/Endless CANCELLED -".to_owned(), 1),
    ];
    let wanted: BTreeMap<(&str, String), usize> = [
        both(calls.unary, "tests.Bytes/Unary tests.Bytes/Unary OK -"),
        both(1, "tests.Bytes/Collect tests.Bytes/Collect OK -"),
        both(1, "tests.Bytes/Repeat tests.Bytes/Repeat OK -"),
        both(1, "tests.Bytes/Echo tests.Bytes/Echo OK -"),
        each(
            "tests.Bytes/Unary! tests.Bytes/Unary NOT_FOUND NOT_FOUND",
            "tests.Bytes/Unary tests.Bytes/Unary NOT_FOUND -",
        ),
        both(1, "tests.Bytes/Unary! tests.Bytes/Unary UNKNOWN UNKNOWN"),
        each(
            "tests.Bytes/Absent! tests.Bytes/Absent UNIMPLEMENTED UNIMPLEMENTED",
            "grpc! _OTHER UNIMPLEMENTED UNIMPLEMENTED",
        ),
    ]
    .into_iter()
    .flatten()
    .chain(cancelled.into_iter().filter(|_| calls.cancels))
    .filter(|(side, ..)| sides.contains(side))
    .map(|(side, text, count)| ((side, text), count))
    .collect();
    ensure!(seen == wanted, "{seen:#?}\nwanted {wanted:#?}\n{}", capture.said);

    late.sort_unstable();
    ensure!(late == sides, "calls beyond their deadline: {late:?}");
    Ok(())
}

/// The name, `!` for an error, method, status and error type.
fn said(span: &Span) -> String {
    let text = |key: &str| span.attributes.get(key).map_or("-", String::as_str).to_owned();
    let keys = ["rpc.method", "rpc.response.status_code", "error.type"].map(text).join(" ");
    format!("{}{} {keys}", span.name, if span.error { "!" } else { "" })
}
