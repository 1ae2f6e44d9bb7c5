//! Every call of a gRPC client is one client span and one server span, by the conventions for RPC.

use std::{collections::BTreeMap, process::Command};

use anyhow::{Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    apps::App,
    capture::{Kind, Span},
    gated::Gated,
    node, paths, privilege,
    python::{self, Python},
};

#[test]
fn grpcio_in_cleartext() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("grpc::grpcio_in_cleartext") else { return Ok(()) };
    let server = Python::grpc_server()?;
    every_call_is_two_spans((server.pid(), server.port()), &python_client(server.port())?, 100, false)
}

#[test]
fn grpc_js() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("grpc::grpc_js") else { return Ok(()) };
    let server = App::start(node::app("grpc_server.js")?)?;
    let client = node_client(server.port(), 2_000, true)?;
    every_call_is_two_spans((server.pid(), server.port()), &client, 2_000, true)
}

#[test]
fn grpcio_and_grpc_js() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("grpc::grpcio_and_grpc_js") else { return Ok(()) };
    let server = Python::grpc_server()?;
    let client = node_client(server.port(), 1_000, false)?;
    every_call_is_two_spans((server.pid(), server.port()), &client, 1_000, false)
}

#[test]
fn grpc_js_and_grpcio() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("grpc::grpc_js_and_grpcio") else { return Ok(()) };
    let server = App::start(node::app("grpc_server.js")?)?;
    every_call_is_two_spans((server.pid(), server.port()), &python_client(server.port())?, 100, false)
}

fn python_client(port: u16) -> Result<Command> {
    let mut command = Command::new(python::environment()?.join("bin/python"));
    command.arg(paths::app("grpc_client.py")).arg(port.to_string());
    Ok(command)
}

fn node_client(port: u16, unary: usize, cancels: bool) -> Result<Command> {
    let mut command = node::app("grpc_client.js")?;
    command.arg(port.to_string()).env("UNARY", unary.to_string());
    if cancels {
        command.env("CANCEL", "1");
    }
    Ok(command)
}

/// `server`: process and port. `unary`: plain calls that succeed.
fn every_call_is_two_spans(
    (server, port): (u32, u16),
    command: &Command,
    unary: usize,
    cancels: bool,
) -> Result<()> {
    let client = Gated::new(command)?;
    let pids = [server.to_string(), client.pid().to_string()];
    let agent = Agent::run(["--pid", &pids[0], "--pid", &pids[1], "--print", "none"])?;
    client.finish()?;
    let capture = agent.stop()?;

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
        both(unary, "tests.Bytes/Unary tests.Bytes/Unary OK -"),
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
    .chain(cancelled.into_iter().filter(|_| cancels))
    .map(|(side, text, count)| ((side, text), count))
    .collect();
    ensure!(seen == wanted, "{seen:#?}\nwanted {wanted:#?}\n{}", capture.said);

    late.sort_unstable();
    ensure!(late == ["client", "server"], "calls beyond their deadline: {late:?}");

    let clients = capture.clients();
    for span in capture.servers() {
        let parents = clients.iter().filter(|client| client.span_id == span.parent_span_id).count();
        ensure!(parents == 1, "a server span with {parents} client spans above it: {span:?}");
    }
    Ok(())
}

/// The name, `!` for an error, method, status and error type.
fn said(span: &Span) -> String {
    let text = |key: &str| span.attributes.get(key).map_or("-", String::as_str).to_owned();
    let keys = ["rpc.method", "rpc.response.status_code", "error.type"].map(text).join(" ");
    format!("{}{} {keys}", span.name, if span.error { "!" } else { "" })
}
