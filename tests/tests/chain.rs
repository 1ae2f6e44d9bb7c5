//! A request through nginx, Node, Python, Go and PostgreSQL, many at a time: each is one whole trace.

use std::time::Duration;

use anyhow::{Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    privilege,
    truth::chain::{self, Chain},
};

const REQUESTS: u64 = 5_000;
const CONNECTIONS: usize = 32;
/// A busy machine takes some of it.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn five_processes_at_32_connections() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("chain::five_processes_at_32_connections") else {
        return Ok(());
    };
    let chain = Chain::start()?;
    let pids = chain.pids();
    let selection = pids.iter().flat_map(|pid| ["--pid".to_owned(), pid.to_string()]);
    let agent = Agent::run(selection.chain(["--print".to_owned(), "none".to_owned()]))?;
    let requests = chain.load(CONNECTIONS, REQUESTS, PATIENCE)?;
    ensure!(requests.len() == usize::try_from(REQUESTS)?, "{} requests in {PATIENCE:?}", requests.len());
    let capture = agent.stop()?;

    let traces = chain::judge(&capture, &requests);
    ensure!(traces.strangers.is_empty(), "spans of nothing that was asked: {:?}", traces.strangers);
    ensure!(
        traces.complete == requests.len(),
        "{} whole traces of {}\n{:#?}\n{:#?}\n{}",
        traces.complete,
        requests.len(),
        traces.links,
        traces.examples,
        capture.said
    );
    Ok(())
}
