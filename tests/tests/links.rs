//! A request that goes through three programs is one trace, each call the child of the request that caused it.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    capture::{Kind, Span},
    client::{self, Request},
    privilege,
    shop::Shop,
};

const REQUESTS: usize = 200;

/// One at a time: then the same thread has read the request and sends the call, and nothing is left to guess.
#[test]
fn a_chain_of_three_processes() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("links::a_chain_of_three_processes") else { return Ok(()) };
    let shop = Shop::start()?;
    let pids = [shop.nginx.pid(), shop.catalog.pid(), shop.orders.pid()];
    let selection = pids.iter().flat_map(|pid| ["--pid".to_owned(), pid.to_string()]);
    let agent = Agent::run(selection.chain(["--print".to_owned(), "none".to_owned()]))?;
    let requests: Vec<Request> =
        (0..REQUESTS).map(|n| Request::get(format!("/api/node/quote/{n}"))).collect();
    for exchange in client::send_all(&shop.nginx.address(), &requests, 1)? {
        ensure!(exchange.status == 200, "the shop itself: {exchange:?}");
    }
    let capture = agent.stop()?;

    let by_id: HashMap<&str, &Span> =
        capture.spans.iter().map(|span| (span.span_id.as_str(), span)).collect();
    ensure!(capture.spans.len() == REQUESTS * 5, "{} spans\n{}", capture.spans.len(), capture.said);
    for number in 0..REQUESTS {
        let price = format!("/prices/{number}");
        let mut span = capture.servers().into_iter().find(|span| span.path() == price);
        let leaf = span.with_context(|| format!("no span for {price}"))?;
        let mut chain = Vec::new();
        while let Some(one) = span {
            ensure!(one.trace_id == leaf.trace_id, "a parent in another trace: {one:?}");
            chain.push((one.kind, one.path().to_owned()));
            span = by_id.get(one.parent_span_id.as_str()).copied().filter(|_| chain.len() < 10);
        }
        let (front, quote) = (format!("/api/node/quote/{number}"), format!("/quote/{number}"));
        let wanted = [
            (Kind::Server, price.clone()),
            (Kind::Client, price),
            (Kind::Server, quote.clone()),
            (Kind::Client, quote),
            (Kind::Server, front),
        ];
        ensure!(chain == wanted, "from the last to the first: {chain:?}, wanted {wanted:?}");
    }
    Ok(())
}
