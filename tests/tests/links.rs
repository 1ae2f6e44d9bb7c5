//! A request that goes through several programs is one trace, each call the child of the request that caused it.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    capture::{Capture, Kind, Span},
    client::{self, Request},
    postgres::Postgres,
    privilege,
    shop::Shop,
};

const REQUESTS: usize = 200;

/// One at a time: then the same thread has read the request and sends the call, and nothing is left to guess.
#[test]
fn a_chain_of_three_processes() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("links::a_chain_of_three_processes") else { return Ok(()) };
    let shop = Shop::start()?;
    let capture = quotes(&shop)?;
    ensure!(capture.spans.len() == REQUESTS * 5, "{} spans\n{}", capture.spans.len(), capture.said);
    let chains = chains(&capture, |span| span.path().starts_with("/prices/"))?;
    let wanted: Vec<_> = (0..REQUESTS).map(to_the_price).collect();
    ensure!(chains == wanted, "from the last to the first: {chains:?}");
    Ok(())
}

/// The statement that the last program sends is part of it, on both sides of its connection.
#[test]
fn a_chain_with_a_database() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("links::a_chain_with_a_database") else { return Ok(()) };
    let shop = Shop::with_database()?;
    let capture = quotes(&shop)?;
    ensure!(capture.spans.len() == REQUESTS * 7, "{} spans\n{}", capture.spans.len(), capture.said);
    let chains = chains(&capture, |span| !span.get("db.system.name").is_empty())?;
    let statement = "SELECT cents FROM prices WHERE item = $1 AND currency = ?".to_owned();
    let wanted: Vec<_> = (0..REQUESTS)
        .map(|number| {
            let database = [(Kind::Server, statement.clone()), (Kind::Client, statement.clone())];
            database.into_iter().chain(to_the_price(number)).collect::<Vec<_>>()
        })
        .collect();
    ensure!(chains == wanted, "from the last to the first: {chains:?}");
    Ok(())
}

/// What a span is of: a path, or a statement.
type Step = (Kind, String);

/// Asks for a quote after the other, with all programs of the shop traced.
fn quotes(shop: &Shop) -> Result<Capture> {
    let programs = [shop.nginx.pid(), shop.catalog.pid(), shop.orders.pid()];
    let pids = programs.into_iter().chain(shop.database.as_ref().map(Postgres::pid));
    let selection = pids.flat_map(|pid| ["--pid".to_owned(), pid.to_string()]);
    let agent = Agent::run(selection.chain(["--print".to_owned(), "none".to_owned()]))?;
    let requests: Vec<Request> =
        (0..REQUESTS).map(|n| Request::get(format!("/api/node/quote/{n}"))).collect();
    for exchange in client::send_all(&shop.nginx.address(), &requests, 1)? {
        ensure!(exchange.status == 200, "the shop itself: {exchange:?}");
    }
    agent.stop()
}

/// From each server span that is a `leaf` up to its root, in the order of their requests.
fn chains(capture: &Capture, leaf: impl Fn(&Span) -> bool) -> Result<Vec<Vec<Step>>> {
    let by_id: HashMap<&str, &Span> =
        capture.spans.iter().map(|span| (span.span_id.as_str(), span)).collect();
    let mut leaves: Vec<&Span> = capture.servers().into_iter().filter(|span| leaf(span)).collect();
    leaves.sort_by_key(|span| span.start);
    let mut chains = Vec::new();
    for leaf in leaves {
        let mut chain = Vec::new();
        let mut span = Some(leaf);
        while let Some(one) = span {
            ensure!(one.trace_id == leaf.trace_id, "a parent in another trace: {one:?}");
            let text = one.get("db.query.text");
            chain.push((one.kind, if text.is_empty() { one.path() } else { text }.to_owned()));
            span = by_id.get(one.parent_span_id.as_str()).copied().filter(|_| chain.len() < 10);
        }
        chains.push(chain);
    }
    Ok(chains)
}

/// From the price up to the quote.
fn to_the_price(number: usize) -> Vec<Step> {
    let [price, quote] = ["prices", "quote"].map(|kind| format!("/{kind}/{number}"));
    vec![
        (Kind::Server, price.clone()),
        (Kind::Client, price),
        (Kind::Server, quote.clone()),
        (Kind::Client, quote.clone()),
        (Kind::Server, format!("/api/node{quote}")),
    ]
}
