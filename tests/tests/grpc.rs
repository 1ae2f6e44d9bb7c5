//! Every call of a gRPC client is one client span and one server span, by the conventions for RPC.

use std::{collections::BTreeMap, process::Command};

use anyhow::{Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    capture::{Kind, Span},
    gated::Gated,
    paths, privilege,
    python::{self, Python},
};

#[test]
fn grpcio_in_cleartext() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("grpc::grpcio_in_cleartext") else { return Ok(()) };
    let server = Python::grpc_server()?;
    let mut command = Command::new(python::environment()?.join("bin/python"));
    command.arg(paths::app("grpc_client.py")).arg(server.port().to_string());
    let client = Gated::new(&command)?;
    let pids = [server.pid().to_string(), client.pid().to_string()];
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
        ensure!(span.attributes["server.port"] == server.port().to_string(), "{span:?}");
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
    let wanted: BTreeMap<(&str, String), usize> = [
        both(100, "tests.Bytes/Unary tests.Bytes/Unary OK -"),
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
