//! The chain of five programs.

use std::time::Duration;

use anyhow::Result;
use honeyguide_tests::truth::chain::{self, Chain, Place};

use super::{agent, results::ChainRow, settings::Settings, stopped};

const CONNECTIONS: usize = 32;
const REQUESTS: u64 = 5_000;
/// For all of them; each takes five programs some milliseconds.
const LIMIT: Duration = Duration::from_secs(90);

/// Loads the chain; returns what came of it, and why that is not enough.
pub(super) fn run(settings: &Settings) -> Result<(ChainRow, Option<String>)> {
    let chain = Chain::start()?;
    let agent = agent(&chain.pids(), settings)?;
    let requests = chain.load(CONNECTIONS, REQUESTS, LIMIT)?;
    let capture = stopped(agent, "chain", settings)?;
    let traces = chain::judge(&capture, &requests);
    println!("\nchain: nginx, node, python, go, postgres; {} requests at {CONNECTIONS}", traces.requests);
    println!("{:<18}{:>9}{:>9}{:>10}{:>9}", "span", "right", "wrong", "unlinked", "missing");
    for Place { name, right, wrong, unlinked, missing } in &traces.links {
        println!("{name:<18}{right:>9}{wrong:>9}{unlinked:>10}{missing:>9}");
    }
    println!("complete traces: {} of {}", traces.complete, traces.requests);
    for line in traces.examples.iter().chain(&traces.strangers) {
        println!("    {line}");
    }
    let wrong: usize = traces.links.iter().map(|place| place.wrong).sum();
    let complaint =
        (wrong > 0).then(|| format!("chain: {wrong} links of {} requests are wrong", traces.requests));
    Ok((ChainRow { connections: CONNECTIONS, traces }, complaint))
}
