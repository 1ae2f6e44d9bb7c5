//! The inside of TLS in Rust programs: rustls under hyper and tokio, on either side, in a program that shows its symbols.

use std::process::Command;

use anyhow::Result;
use honeyguide_tests::{
    https::{REQUESTS, Server, each_request_is_two_spans},
    privilege,
};

#[test]
fn http_1_both_sides() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls_rustls::http_1_both_sides") else { return Ok(()) };
    let server = serve()?;
    each_request_is_two_spans(&server, &get(&server, false), "1.1")
}

#[test]
fn http_2_both_sides() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls_rustls::http_2_both_sides") else { return Ok(()) };
    let server = serve()?;
    each_request_is_two_spans(&server, &get(&server, true), "2")
}

#[test]
fn rustls_asks_nginx() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("tls_rustls::rustls_asks_nginx") else { return Ok(()) };
    let server = Server::nginx()?;
    each_request_is_two_spans(&server, &get(&server, false), "1.1")
}

const PEER: &str = env!("CARGO_BIN_EXE_rustls_peer");

fn serve() -> Result<Server> {
    Server::program(|certificate, key, port| {
        let mut command = Command::new(PEER);
        command.arg("serve").args([certificate, key]).arg(port.to_string());
        Ok(command)
    })
}

fn get(server: &Server, h2: bool) -> Command {
    let mut command = Command::new(PEER);
    command.args(["get", &server.base(), &REQUESTS.to_string(), "3"]).arg(server.certificate());
    if h2 {
        command.arg("h2");
    }
    command
}
