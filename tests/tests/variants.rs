//! Every system call that sends or receives on a stream socket is captured, on every family, once.

use std::{collections::BTreeMap, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    client::{Address, Body, Client, Request},
    guard::Guard,
    privilege,
    scratch::Scratch,
};

const SEND: [&str; 8] = ["write", "send", "sendto", "writev", "sendmsg", "sendmmsg", "sendfile", "splice"];
/// Over one connection: a byte counted wrongly in the first shows in the second.
const REQUESTS: usize = 3;

#[test]
fn every_way_to_receive_with_every_way_to_send() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("variants::every_way_to_receive_with_every_way_to_send") else {
        return Ok(());
    };
    let directory = Scratch::new("variants")?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_peer"));
    command.arg("variants").arg(directory.path());
    let mut peer = Guard::spawn(command)?;
    peer.wait_for_text("all listen", Duration::from_secs(10))?;
    let agent = Agent::run(["--pid", &peer.pid().to_string(), "--print", "none"])?;

    let mut wanted = BTreeMap::new();
    for line in peer.log().lines().filter(|line| *line != "all listen") {
        let [receive, family, address] = line.split(' ').collect::<Vec<_>>()[..] else {
            anyhow::bail!("unexpected line: {line}")
        };
        let address = address.parse().map_or_else(|_| Address::Unix(Path::new(address).into()), Address::Tcp);
        for send in SEND {
            let target = format!("/{receive}/{send}/{family}");
            let request = Request { method: "POST", body: Body::Sized(900), ..Request::get(&target) };
            let mut client = Client::new(address.clone());
            for _ in 0..REQUESTS {
                let exchange = client.send(&request).with_context(|| target.clone())?;
                ensure!(
                    (exchange.status, exchange.body_length) == (200, 700),
                    "the peer itself: {exchange:?}"
                );
            }
            wanted.insert((target, "POST".to_owned(), 200), REQUESTS);
        }
    }
    ensure!(wanted.len() == 8 * 8 * 4, "{} variants were tried", wanted.len());
    let capture = agent.stop()?;

    let mut seen = BTreeMap::new();
    for span in capture.servers() {
        *seen.entry((span.path().to_owned(), span.method().to_owned(), span.status())).or_insert(0) += 1;
    }
    let differ = |(key, count): &(&_, &usize)| seen.get(*key) != Some(*count);
    let missing: Vec<_> = wanted.iter().filter(differ).map(|(key, _)| (&key.0, seen.get(key))).collect();
    ensure!(missing.is_empty(), "not {REQUESTS} spans each: {missing:?}\n{}", capture.said);
    ensure!(seen.len() == wanted.len(), "spans of other requests: {seen:?}");
    ensure!(!capture.accounting.is_empty(), "the agent has written no account of itself");
    let (dropped, counters) = capture.dropped();
    ensure!(dropped == 0, "the agent dropped something: {counters:?}");
    Ok(())
}
