//! One request through five programs: nginx → Node → Python → Go → PostgreSQL.

use std::{collections::HashMap, path::Path, process::Command, time::Duration};

use anyhow::Result;

use super::judge;
use crate::{
    apps::{self, App},
    capture::{Capture, Kind, Span},
    client::Address,
    nginx::Nginx,
    paths,
    postgres::Postgres,
    truth::programs::flask,
};

/// The five, running. `GET /front/ID` goes through all of them.
#[derive(Debug)]
pub struct Chain {
    nginx: Nginx,
    node: App,
    python: App,
    go: App,
    postgres: Postgres,
}

/// The spans of one request, from the front to the database: kind and path, or `sql`.
const PLACES: [(Kind, &str); 9] = [
    (Kind::Server, "front"),
    (Kind::Client, "node"),
    (Kind::Server, "node"),
    (Kind::Client, "python"),
    (Kind::Server, "python"),
    (Kind::Client, "go"),
    (Kind::Server, "go"),
    (Kind::Client, SQL),
    (Kind::Server, SQL),
];
const SQL: &str = "sql";

impl Chain {
    /// # Errors
    /// When one of the five does not start.
    pub fn start() -> Result<Self> {
        let postgres = Postgres::start()?;
        let mut command = Command::new(apps::go("truth/go", "truth")?);
        postgres.connect(command.env("CLIENT", "sql"), Path::new("127.0.0.1"));
        let go = App::start(command)?;
        let url = |app: &App| format!("http://127.0.0.1:{}", app.port());
        let python = flask(&url(&go))?;
        let mut command = Command::new("node");
        command.arg(paths::app("truth/node.js")).env("CLIENT", "http").env("UPSTREAM", url(&python));
        let node = App::start(command)?;
        let upstreams = format!("upstream node {{ server 127.0.0.1:{}; keepalive 64; }}\n", node.port());
        let server = "location /front/ { proxy_pass http://node/node/; proxy_http_version 1.1; \
            proxy_set_header Connection ''; }\n";
        let nginx = Nginx::with_upstreams(1, &upstreams, server, &[])?;
        Ok(Self { nginx, node, python, go, postgres })
    }

    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let apps = [&self.node, &self.python, &self.go].map(App::pid);
        [self.nginx.pid()].into_iter().chain(apps).chain([self.postgres.pid()]).collect()
    }

    /// Sends `requests` over `connections` kept connections, none after `limit`. Returns their numbers.
    ///
    /// # Errors
    /// When a connection fails or an answer is not 200.
    pub fn load(&self, connections: usize, requests: u64, limit: Duration) -> Result<Vec<u64>> {
        let address: Address = self.nginx.address();
        super::numbered(&address, "front", connections, requests, limit)
    }
}

/// What became of the traces of a load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    pub requests: usize,
    /// One trace, every span in it once and no other, one root, each span the child of the one before.
    pub complete: usize,
    /// For each of the spans but the first: how many have the right parent, a wrong one, none.
    pub links: Vec<Place>,
    /// Spans that should not be there, by name, at most 5: of a place that had one, or of no request.
    pub strangers: Vec<String>,
    /// Requests that are not complete, and what is wrong with them; at most 5.
    pub examples: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// `node server`, `go client`.
    pub name: String,
    pub right: usize,
    pub wrong: usize,
    pub unlinked: usize,
    pub missing: usize,
}

const EXAMPLES: usize = 5;

/// Holds a capture of the chain against the numbers of the requests that were sent.
#[must_use]
pub fn judge(capture: &Capture, requests: &[u64]) -> Traces {
    let mut by_request = HashMap::<u64, [Option<&Span>; PLACES.len()]>::new();
    let mut sizes = HashMap::<&str, usize>::new();
    let mut traces = Traces { requests: requests.len(), ..Traces::default() };
    for (kind, name) in &PLACES[1..] {
        let side = if *kind == Kind::Server { "server" } else { "client" };
        traces.links.push(Place { name: format!("{name} {side}"), ..Place::default() });
    }
    for span in &capture.spans {
        *sizes.entry(&span.trace_id).or_default() += 1;
        let place = place(span).and_then(|(id, place)| {
            let entry = &mut by_request.entry(id).or_default()[place];
            entry.is_none().then(|| *entry = Some(span))
        });
        if place.is_none() && traces.strangers.len() < EXAMPLES {
            traces.strangers.push(format!("{:?} {} {}", span.kind, span.name, span.path()));
        }
    }
    for id in requests {
        let spans = by_request.get(id).copied().unwrap_or_default();
        let verdicts: Vec<Verdict> = spans.windows(2).map(|pair| verdict(pair[0], pair[1])).collect();
        for (place, verdict) in traces.links.iter_mut().zip(&verdicts) {
            *match verdict {
                Verdict::Right => &mut place.right,
                Verdict::Wrong => &mut place.wrong,
                Verdict::Unlinked => &mut place.unlinked,
                Verdict::Missing => &mut place.missing,
            } += 1;
        }
        let root = spans[0].filter(|root| root.parent_span_id.is_empty());
        let alone = root.is_some_and(|root| sizes.get(root.trace_id.as_str()) == Some(&PLACES.len()));
        if alone && verdicts.iter().all(|verdict| *verdict == Verdict::Right) {
            traces.complete += 1;
        } else if traces.examples.len() < EXAMPLES {
            let size = root.and_then(|root| sizes.get(root.trace_id.as_str()));
            traces.examples.push(format!("{id}: {verdicts:?}, spans in the root's trace: {size:?}"));
        }
    }
    traces
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Right,
    Wrong,
    Unlinked,
    Missing,
}

fn verdict(above: Option<&Span>, span: Option<&Span>) -> Verdict {
    match (above, span) {
        (_, None) => Verdict::Missing,
        (_, Some(span)) if span.parent_span_id.is_empty() => Verdict::Unlinked,
        (Some(above), Some(span))
            if span.parent_span_id == above.span_id && span.trace_id == above.trace_id =>
        {
            Verdict::Right
        }
        (_, Some(_)) => Verdict::Wrong,
    }
}

/// The request that a span belongs to, and the index of its place.
fn place(span: &Span) -> Option<(u64, usize)> {
    let (name, id) = match span.path().strip_prefix('/').and_then(|path| path.split_once('/')) {
        Some((name, id)) => (name, id.parse().ok()?),
        None => (SQL, judge::statement(span)?.0),
    };
    let at = PLACES.iter().position(|place| *place == (span.kind, name))?;
    Some((id, at))
}
