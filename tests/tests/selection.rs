//! What is selected is traced, and nothing else.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    capture::Capture,
    client::{Address, Client, Request},
    guard::Guard,
    port, privilege,
    scratch::Scratch,
};

#[test]
fn by_pid() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("selection::by_pid") else { return Ok(()) };
    let (chosen, other) = (Peer::start("serve", None)?, Peer::start("serve", None)?);
    let agent = Agent::run(["--pid", &chosen.guard.pid().to_string()])?;
    chosen.get("/chosen")?;
    other.get("/other")?;
    only(&agent.stop()?, &["/chosen"])
}

#[test]
fn by_port() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("selection::by_port") else { return Ok(()) };
    let (chosen, other) = (Peer::start("serve", None)?, Peer::start("serve", None)?);
    let agent = Agent::run(["--port", &chosen.address.port().to_string()])?;
    chosen.get("/chosen")?;
    other.get("/other")?;
    only(&agent.stop()?, &["/chosen"])
}

#[test]
fn by_executable() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("selection::by_executable") else { return Ok(()) };
    let directory = Scratch::new("exe")?;
    let chosen = Peer::start("serve", Some(&directory.join("chosen-peer")))?;
    let other = Peer::start("serve", Some(&directory.join("other-peer")))?;
    let agent = Agent::run(["--exe", "chosen-*"])?;
    chosen.get("/chosen")?;
    other.get("/other")?;
    only(&agent.stop()?, &["/chosen"])
}

#[test]
fn a_process_that_starts_later_and_matches() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("selection::a_process_that_starts_later_and_matches") else {
        return Ok(());
    };
    let directory = Scratch::new("later")?;
    let agent = Agent::run(["--exe", "later-peer"])?;
    let later = Peer::start("serve", Some(&directory.join("later-peer")))?;
    let other = Peer::start("serve", None)?;
    later.get("/later")?;
    other.get("/other")?;
    only(&agent.stop()?, &["/later"])
}

#[test]
fn children_of_a_selected_process() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("selection::children_of_a_selected_process") else {
        return Ok(());
    };
    let parent = Peer::start("parent", None)?;
    let agent = Agent::run(["--pid", &parent.guard.pid().to_string()])?;
    parent.get("/child")?;
    only(&agent.stop()?, &["/child"])
}

#[test]
fn all_is_everyone_but_the_agent_itself() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("selection::all_is_everyone_but_the_agent_itself") else {
        return Ok(());
    };
    let (collector, server) = (Peer::start("serve", None)?, Peer::start("serve", None)?);
    let url = format!("http://{}", collector.address);
    let agent = Agent::run(["--all", "--otlp", &url, "--otlp-protocol", "http/protobuf"])?;
    let pid = agent.pid().to_string();
    server.get("/seen")?;
    // Long enough for the exporter's first batch to be sent while the agent still captures.
    let exported = |agent: &Agent| -> Result<bool> {
        Ok(fs::read_to_string(agent.out().join("traces.jsonl")).unwrap_or_default().contains("/v1/traces"))
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !exported(&agent)? && std::time::Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    let capture = agent.stop()?;
    let paths: BTreeSet<&str> = capture.servers().iter().map(|span| span.path()).collect();
    ensure!(paths.contains("/seen"), "{paths:?}");
    // The collector is a process like any other; the agent's end of the same connection is not.
    ensure!(paths.contains("/v1/traces"), "the agent has exported nothing: {paths:?}\n{}", capture.said);
    let own = capture.spans.iter().find(|span| span.resource.get("process.pid") == Some(&pid));
    ensure!(own.is_none(), "the agent has traced itself: {own:?}");
    Ok(())
}

/// The server spans are those of `paths`, three requests each, and no other.
fn only(capture: &Capture, paths: &[&str]) -> Result<()> {
    let mut seen: Vec<&str> = capture.servers().iter().map(|span| span.path()).collect();
    seen.sort_unstable();
    let wanted: Vec<&str> = paths.iter().flat_map(|&path| [path; 3]).collect();
    ensure!(seen == wanted, "server spans {seen:?}, wanted {wanted:?}\n{}", capture.said);
    Ok(())
}

struct Peer {
    guard: Guard,
    address: SocketAddr,
}

impl Peer {
    /// Starts the peer, from a copy of its executable at `copy` where one is given.
    fn start(command: &str, copy: Option<&Path>) -> Result<Self> {
        let original = Path::new(env!("CARGO_BIN_EXE_peer"));
        if let Some(copy) = copy {
            fs::copy(original, copy)?;
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()?));
        let mut process = Command::new(copy.unwrap_or(original));
        process.args([command, &address.to_string()]);
        let mut guard = Guard::spawn(process)?;
        port::wait(&mut guard, address)?;
        Ok(Self { guard, address })
    }

    fn get(&self, path: &str) -> Result<()> {
        let mut client = Client::new(Address::Tcp(self.address));
        for _ in 0..3 {
            client.send(&Request::get(path))?;
        }
        Ok(())
    }
}
