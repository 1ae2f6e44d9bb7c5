//! The inside of TLS in Go programs: `crypto/tls` under `net/http`, on either side.

use std::{path::PathBuf, process::Command};

use anyhow::{Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    apps,
    https::{REQUESTS, Server, connections_open_before, each_request_is_two_spans, two_spans_each},
    privilege,
};

/// Goroutines of the client, each with a connection of its own.
const LANES: &str = "3";
/// Bytes that `put` sends with each request.
const BODY: &str = "100000";

#[test]
fn http_1_both_sides() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls_go::http_1_both_sides") else { return Ok(()) };
    let program = program(&[])?;
    let server = serve(&program)?;
    each_request_is_two_spans(&server, &get(&program, &server, false), "1.1")
}

#[test]
fn http_2_both_sides() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls_go::http_2_both_sides") else { return Ok(()) };
    let program = program(&[])?;
    let server = serve(&program)?;
    each_request_is_two_spans(&server, &get(&program, &server, true), "2")
}

/// No symbols, and position-independent: the functions are found by the table that Go itself needs.
#[test]
fn stripped_programs() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls_go::stripped_programs") else { return Ok(()) };
    for (name, flags) in [
        ("tls-stripped", &["-ldflags=-s -w"][..]),
        ("tls-stripped-pie", &["-ldflags=-s -w", "-buildmode=pie"][..]),
    ] {
        let program = apps::go_with("go_tls", name, flags)?;
        let server = serve(&program)?;
        each_request_is_two_spans(&server, &get(&program, &server, false), "1.1")?;
    }
    Ok(())
}

#[test]
fn go_asks_nginx() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls_go::go_asks_nginx") else { return Ok(()) };
    let program = program(&[])?;
    let server = Server::nginx()?;
    for (h2, version) in [(false, "1.1"), (true, "2")] {
        each_request_is_two_spans(&server, &get(&program, &server, h2), version)?;
    }
    Ok(())
}

/// The server's goroutines wait in `Read` when the probes come.
#[test]
fn connections_that_were_open_before() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls_go::connections_that_were_open_before") else {
        return Ok(());
    };
    let program = program(&[])?;
    let server = serve(&program)?;
    connections_open_before(&server, &mut get(&program, &server, false), "1.1")
}

/// A write that is many records of TLS, and shakes hands itself for every other request.
#[test]
fn large_writes_and_first_ones() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls_go::large_writes_and_first_ones") else { return Ok(()) };
    let program = program(&[])?;
    let server = serve(&program)?;
    let mut put = Command::new(&program);
    put.args(["put", &format!("127.0.0.1:{}", server.port()), &REQUESTS.to_string(), LANES]);
    let capture = two_spans_each(&server, &put, "1.1")?;
    for span in &capture.spans {
        ensure!(span.get("http.request.body.size") == BODY, "not {BODY} bytes were sent: {span:?}");
        ensure!(!span.attributes.contains_key("honeyguide.damaged"), "{span:?}");
    }
    Ok(())
}

/// Every site is one that the kernel emulates.
#[test]
fn doctor_shows_the_sites() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls_go::doctor_shows_the_sites") else { return Ok(()) };
    let server = serve(&program(&["-ldflags=-s -w"])?)?;
    let output = Agent::command()?.args(["doctor", "--pid", &server.pid().to_string()]).output()?;
    let text = String::from_utf8(output.stdout)?;
    for function in ["Read", "Write", "clientHandshake", "serverHandshake"] {
        let line = text.lines().find(|line| line.contains(&format!("crypto/tls.(*Conn).{function} ")));
        let line = line.unwrap_or_default();
        ensure!(line.contains("emulated") && !line.contains("single-stepped"), "{function}:\n{text}");
    }
    Ok(())
}

fn program(flags: &[&str]) -> Result<PathBuf> {
    apps::go_with("go_tls", if flags.is_empty() { "tls" } else { "tls-stripped" }, flags)
}

fn serve(program: &PathBuf) -> Result<Server> {
    Server::program(|certificate, key, port| {
        let mut command = Command::new(program);
        command.arg("serve").args([certificate, key]).arg(port.to_string());
        Ok(command)
    })
}

fn get(program: &PathBuf, server: &Server, h2: bool) -> Command {
    let mut command = Command::new(program);
    command.args(["get", &server.base(), &REQUESTS.to_string(), LANES]);
    if h2 {
        command.env("HTTP2", "1");
    }
    command
}
