//! HAProxy between clients and two servers of nginx: each request is one trace, through the proxy to the server.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    capture::{Capture, Span},
    client::{self, Request},
    haproxy::HaProxy,
    nginx::Nginx,
    privilege,
};

const REQUESTS: usize = 1_000;
const SERVER: &str = "location / { return 200 ok; }";

struct Programs {
    servers: [Nginx; 2],
    proxy: HaProxy,
}

impl Programs {
    fn start(mode: &str, threads: u32) -> Result<Self> {
        let servers = [Nginx::start(1, SERVER, &[])?, Nginx::start(1, SERVER, &[])?];
        let proxy = HaProxy::start(mode, threads, &servers.each_ref().map(Nginx::port))?;
        Ok(Self { servers, proxy })
    }

    /// Sends all requests, so many at a time.
    fn traced(&self, connections: usize) -> Result<Capture> {
        let [one, two] = &self.servers;
        let pids = [one.pid(), two.pid(), self.proxy.pid()].map(|pid| pid.to_string());
        let selection = pids.iter().flat_map(|pid| ["--pid", pid]);
        let agent = Agent::run(selection.chain(["--print", "none"]))?;
        let requests: Vec<Request> =
            (0..REQUESTS).map(|number| Request::get(format!("/n/{number}"))).collect();
        for exchange in client::send_all(&self.proxy.address(), &requests, connections)? {
            ensure!(exchange.status == 200, "the proxy itself: {exchange:?}");
        }
        agent.stop()
    }
}

#[test]
fn a_proxy_of_http() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("haproxy::a_proxy_of_http") else { return Ok(()) };
    for (threads, connections) in [(1, 1), (1, 16), (2, 64)] {
        let capture = Programs::start("http", threads)?.traced(connections)?;
        let what = format!("{threads} threads, {connections} connections");
        ensure!(capture.spans.len() == 3 * REQUESTS, "{what}: {} spans", capture.spans.len());
        let by_id: HashMap<&str, &Span> =
            capture.spans.iter().map(|span| (span.span_id.as_str(), span)).collect();
        let mut whole = 0;
        for request in capture.servers().into_iter().filter(|span| span.service() == "nginx") {
            let call = by_id.get(request.parent_span_id.as_str());
            let cause = call.and_then(|call| by_id.get(call.parent_span_id.as_str()));
            if let (Some(call), Some(cause)) = (call, cause) {
                ensure!(call.path() == request.path() && cause.path() == request.path(), "{what}: {cause:?}");
                ensure!(cause.parent_span_id.is_empty() && cause.service() == "haproxy", "{what}: {cause:?}");
                whole += 1;
            }
        }
        ensure!(whole == REQUESTS, "{what}: {whole} whole traces of {REQUESTS}\n{}", capture.said);
    }
    Ok(())
}
