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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// The nine spans of request 7, each the child of the one before.
    fn whole() -> Vec<Span> {
        let span = |(index, &(kind, name)): (usize, &(Kind, &str))| {
            let (key, value) = match (kind, name) {
                (_, SQL) => ("db.query.text", "SELECT pg_sleep(?) AS r7_1".to_owned()),
                (Kind::Server, _) => ("url.path", format!("/{name}/7")),
                _ => ("url.full", format!("http://127.0.0.1:1/{name}/7")),
            };
            Span {
                trace_id: "t".to_owned(),
                span_id: index.to_string(),
                parent_span_id: index.checked_sub(1).map_or(String::new(), |above| above.to_string()),
                kind,
                name: name.to_owned(),
                start: 1,
                end: 2,
                error: false,
                links: Vec::new(),
                attributes: BTreeMap::from([(key.to_owned(), value)]),
                resource: BTreeMap::new(),
            }
        };
        PLACES.iter().enumerate().map(span).collect()
    }

    fn judged(change: impl FnOnce(&mut Vec<Span>)) -> Traces {
        let mut spans = whole();
        change(&mut spans);
        judge(&Capture { spans, ..Capture::default() }, &[7])
    }

    #[test]
    fn a_whole_trace_is_complete() {
        let traces = judged(|_| {});
        assert_eq!((traces.requests, traces.complete), (1, 1), "{traces:?}");
        assert!(traces.links.iter().all(|place| place.right == 1) && traces.strangers.is_empty());
        assert_eq!(traces.links[7].name, "sql server");
    }

    #[test]
    fn whatever_is_not_as_it_should_be_spoils_it() {
        let missing = judged(|spans| drop(spans.remove(4)));
        assert_eq!((missing.complete, missing.links[3].missing, missing.links[4].wrong), (0, 1, 1));
        let unlinked = judged(|spans| spans[5].parent_span_id.clear());
        assert_eq!((unlinked.complete, unlinked.links[4].unlinked), (0, 1));
        let wrong = judged(|spans| spans[3].parent_span_id = "0".to_owned());
        assert_eq!((wrong.complete, wrong.links[2].wrong), (0, 1));
        let elsewhere = judged(|spans| spans[8].trace_id = "u".to_owned());
        assert_eq!((elsewhere.complete, elsewhere.links[7].wrong), (0, 1));
        let twice = judged(|spans| spans.push(spans[2].clone()));
        assert_eq!((twice.complete, twice.strangers.len()), (0, 1));
        let below = judged(|spans| spans[0].parent_span_id = "x".to_owned());
        assert_eq!(below.complete, 0);
        let other = Span { attributes: BTreeMap::new(), ..whole().remove(1) };
        let stranger = judged(|spans| spans.push(other));
        assert_eq!((stranger.complete, stranger.strangers.len()), (0, 1));
    }
}
