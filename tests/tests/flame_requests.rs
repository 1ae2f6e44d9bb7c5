//! `flame` of some requests alone: those of a route, of a trace, slow ones against fast ones.

use std::{fs, path::PathBuf, process::Command, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    client::{self, Address, Request},
    guard::Guard,
    privilege,
    python::Python,
    scratch::Scratch,
};

const PATIENCE: Duration = Duration::from_secs(120);
/// The unwind tables and the runtime are found in this time.
const ATTACH: Duration = Duration::from_secs(3);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const MILLISECOND: u64 = 1_000_000;
const SIGINT: i32 = 2;

/// A recording of the server's requests.
struct Recording {
    guard: Guard,
    file: PathBuf,
    _scratch: Scratch,
}

impl Recording {
    fn start(server: &Python, name: &str, arguments: &[&str]) -> Result<Self> {
        let scratch = Scratch::new("flame-requests")?;
        let file = scratch.join(name);
        let mut command = Agent::command()?;
        command.args(["flame", "--pid", &server.pid().to_string(), "--hz", "997", "--duration", "2m"]);
        command.args(arguments).arg("-o").arg(&file);
        let mut guard = Guard::spawn(command)?;
        guard.wait_for_text("honeyguide: ready", PATIENCE)?;
        thread::sleep(ATTACH);
        Ok(Self { guard, file, _scratch: scratch })
    }

    /// Ends it. Returns the status, what it wrote and what it said.
    fn finish(mut self) -> Result<(i32, String, String)> {
        self.guard.signal(SIGINT);
        let status = self.guard.wait(PATIENCE)?;
        let said = self.guard.log();
        Ok((status.code().context("a signal")?, fs::read_to_string(&self.file)?, said))
    }
}

fn send(address: &Address, requests: &[Request], connections: usize) -> Result<()> {
    for exchange in client::send_all(address, requests, connections)? {
        ensure!(exchange.status == 200, "the server itself: {exchange:?}");
    }
    Ok(())
}

fn computing(milliseconds: u64) -> Request {
    Request::get(format!("/compute/{milliseconds}"))
}

/// Nanoseconds of all stacks.
fn total(folded: &str) -> Result<u64> {
    let weight = |line: &str| -> Result<u64> { Ok(line.rsplit_once(' ').context("no weight")?.1.parse()?) };
    folded.lines().map(weight).sum()
}

fn ensure_near(found: u64, expect: u64, said: &str) -> Result<()> {
    ensure!(found.abs_diff(expect) <= expect / 10, "{found} ns instead of {expect}\n{said}");
    Ok(())
}

#[test]
fn of_a_route_and_of_a_trace() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("flame_requests::of_a_route_and_of_a_trace") else {
        return Ok(());
    };
    let server = Python::busy_server()?;
    let by_route = Recording::start(&server, "route.folded", &["--route", "/compute/*"])?;
    let by_trace = Recording::start(&server, "trace.folded", &["--trace", TRACE])?;
    let mut traced = computing(500);
    traced.headers = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n");
    let mut requests = vec![computing(50); 40];
    requests.push(traced);
    requests.push(Request::get("/sleep/100"));
    send(&server.address(), &requests, 4)?;

    let (code, folded, said) = by_route.finish()?;
    ensure!(code == 0 && said.contains("within the 41 of /compute/*"), "{code}\n{said}");
    ensure_near(total(&folded)?, 2_500 * MILLISECOND, &said)?;
    // The server parses a request and flushes its answer outside of the handler.
    ensure!(folded.lines().all(|line| line.contains("handle_one_request")), "another's samples: {folded}");
    let (code, folded, said) = by_trace.finish()?;
    ensure!(code == 0 && said.contains(&format!("within the 1 of trace {TRACE}")), "{code}\n{said}");
    ensure_near(total(&folded)?, 500 * MILLISECOND, &said)
}

#[test]
fn of_a_route_that_nobody_asks_for() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("flame_requests::of_a_route_that_nobody_asks_for") else {
        return Ok(());
    };
    let server = Python::busy_server()?;
    let recording = Recording::start(&server, "none.svg", &["--route", "/orders"])?;
    send(&server.address(), &[computing(10), computing(10)], 1)?;
    let (code, _, said) = recording.finish()?;
    ensure!(code == 1, "{code}\n{said}");
    ensure!(said.contains("no request of /orders was seen; others were: /compute/{id} (2)"), "{said}");
    Ok(())
}

#[test]
fn slow_against_fast() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("flame_requests::slow_against_fast") else { return Ok(()) };
    let server = Python::busy_server()?;
    let recording =
        Recording::start(&server, "halves.html", &["--route", "/compute/{id}", "--diff", "slow,fast"])?;
    let requests: Vec<Request> =
        (0..40).map(|index| computing(if index % 10 == 3 { 300 } else { 10 })).collect();
    send(&server.address(), &requests, 1)?;
    let (code, page, said) = recording.finish()?;
    ensure!(code == 0, "{code}\n{said}");
    ensure!(said.contains("slow: 4 requests of ") && said.contains("fast: 20 of "), "{said}");
    ensure!(page.contains(r#""compared":["fast","slow"]"#), "{said}");
    let number = |key: &str| -> Result<u64> {
        let (_, rest) = page.split_once(key).with_context(|| format!("no {key}"))?;
        Ok(rest.split(',').next().context("no number")?.parse()?)
    };
    ensure_near(number(r#""total":"#)?, 1_200 * MILLISECOND, &said)?;
    ensure_near(number(r#""before":"#)?, 200 * MILLISECOND, &said)
}

/// Two files need neither a kernel nor privileges.
#[test]
fn two_files() -> Result<()> {
    let scratch = Scratch::new("flame-files")?;
    let (before, now, out) = (scratch.join("old.folded"), scratch.join("new.folded"), scratch.join("o.svg"));
    fs::write(&before, "main;f 30\nmain;g 10\n")?;
    fs::write(&now, "main;f 1\nmain;g 1\n")?;
    let run = |command: &mut Command| -> Result<(Option<i32>, String)> {
        let output = command.output()?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    let mut command = Agent::command()?;
    command.arg("flame").arg("--diff").args([&before, &now]).arg("-o").arg(&out);
    let (code, said) = run(&mut command)?;
    ensure!(code == Some(0), "{said}");
    let svg = fs::read_to_string(&out)?;
    ensure!(svg.contains("<title>f (new 50.00%, old 75.00%, -25.00%)</title>"), "{svg}");
    fs::write(&now, "main;f one\n")?;
    let (code, said) = run(&mut command)?;
    ensure!(
        code == Some(1) && said.contains("new.folded is not a file of folded stacks: line 1"),
        "{code:?} {said}"
    );
    Ok(())
}
