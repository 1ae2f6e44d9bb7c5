//! nginx and php-fpm: each request is a server span of nginx, its call of FastCGI, and a server span of PHP.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    capture::{Capture, Span},
    client::{self, Body, Request},
    nginx::Nginx,
    paths,
    php::{Listens, PhpFpm},
    privilege,
};

const REQUESTS: usize = 1_000;

/// A route, its answer and the answer's length where it is known.
const ROUTES: [(&str, u16, Option<&str>); 6] = [
    ("ok", 200, Some("2")),
    ("missing", 404, Some("2")),
    ("fail", 500, None),
    ("big", 200, None),
    ("items", 201, Some("5")),
    ("moved", 302, Some("0")),
];

#[test]
fn over_a_unix_socket() -> Result<()> {
    check("fastcgi::over_a_unix_socket", Listens::Unix, true)
}

#[test]
fn over_tcp() -> Result<()> {
    check("fastcgi::over_tcp", Listens::Tcp, true)
}

/// As nginx and PHP come: a connection for each request.
#[test]
fn with_a_connection_for_each_request() -> Result<()> {
    check("fastcgi::with_a_connection_for_each_request", Listens::Unix, false)
}

fn check(name: &str, listens: Listens, keep: bool) -> Result<()> {
    let Some(_turn) = privilege::kernel_test(name) else { return Ok(()) };
    let fpm = PhpFpm::start(listens, 8)?;
    let (pass, keep) = if keep { ("fpm", "on") } else { (fpm.address(), "off") };
    let server = format!(
        "location / {{ include /etc/nginx/fastcgi_params; fastcgi_pass {pass}; fastcgi_keep_conn {keep};\n\
         client_max_body_size 1m; client_body_buffer_size 256k;\n\
         fastcgi_param SCRIPT_FILENAME {}; }}\n",
        paths::app("php/front.php").display()
    );
    let nginx = Nginx::with_upstreams(1, &fpm.upstream(), &server, &[])?;
    let pids = [nginx.pid(), fpm.pid()].map(|pid| pid.to_string());
    let agent = Agent::run(pids.iter().flat_map(|pid| ["--pid", pid]).chain(["--print", "none"]))?;
    let requests: Vec<Request> = (0..REQUESTS).map(request).collect();
    for exchange in client::send_all(&nginx.address(), &requests, 8)? {
        let (_, status, _) = route(exchange.request.path());
        ensure!(exchange.status == status, "the programs themselves: {exchange:?}");
    }
    let capture = agent.stop()?;
    ensure!(capture.spans.len() == 3 * REQUESTS, "{} spans\n{}", capture.spans.len(), capture.said);
    let (dropped, counters) = capture.dropped();
    ensure!(dropped == 0, "{counters:?}");
    each_request_is_three_spans(&capture, nginx.pid(), listens)
}

/// Each with a context of its own, and with what nobody is to see.
fn request(number: usize) -> Request {
    let (kind, ..) = ROUTES[number % ROUTES.len()];
    let headers = format!(
        "traceparent: 00-{0:032x}-{0:016x}-01\r\nCookie: session=secret\r\nAuthorization: Basic c2VjcmV0\r\n",
        number + 1
    );
    let mut request =
        Request { headers, ..Request::get(format!("/{kind}/{number}?token=secret&n={number}")) };
    if kind == "items" {
        // More than is captured, in one record.
        (request.method, request.body) = ("POST", Body::Sized(20_000));
    }
    request
}

fn route(path: &str) -> (&'static str, u16, Option<&'static str>) {
    let kind = path.split('/').nth(1).unwrap_or_default();
    ROUTES.into_iter().find(|(route, ..)| *route == kind).unwrap_or(("", 0, None))
}

fn by_path(spans: Vec<&Span>) -> BTreeMap<String, Vec<&Span>> {
    let mut found: BTreeMap<String, Vec<&Span>> = BTreeMap::new();
    for span in spans {
        found.entry(span.path().to_owned()).or_default().push(span);
    }
    found
}

fn each_request_is_three_spans(capture: &Capture, nginx: u32, listens: Listens) -> Result<()> {
    let (servers, clients) = (by_path(capture.servers()), by_path(capture.clients()));
    let mut workers = BTreeSet::new();
    for number in 0..REQUESTS {
        let request = request(number);
        let path = request.path();
        let (kind, status, length) = route(path);
        let found = servers.get(path).map_or(&[][..], Vec::as_slice);
        ensure!(found.len() == 2, "{path}: {found:?}");
        let is_front = |span: &&&Span| span.resource["service.name"] == "nginx";
        let (Some(front), Some(php)) =
            (found.iter().find(is_front), found.iter().find(|span| !is_front(span)))
        else {
            anyhow::bail!("{path}: {found:?}");
        };
        let calls = clients.get(path).map_or(&[][..], Vec::as_slice);
        let [call] = calls else { anyhow::bail!("{path}: {calls:?}") };
        for span in [front, php, call] {
            let trace = format!("{:032x}", number + 1);
            ensure!(span.trace_id == trace, "{span:?}");
            ensure!(span.get("http.request.method") == request.method, "{span:?}");
            ensure!(span.get("http.response.status_code") == status.to_string(), "{span:?}");
            ensure!(span.get("network.protocol.version") == "1.1", "{span:?}");
            ensure!(span.get("server.address") == "localhost", "{span:?}");
            ensure!(!format!("{span:?}").contains("secret"), "{span:?}");
        }
        ensure!(front.parent_span_id == format!("{:016x}", number + 1), "{front:?}");
        ensure!(call.parent_span_id == front.span_id, "{call:?} is not below {front:?}");
        ensure!(php.parent_span_id == call.span_id, "{php:?} is not below {call:?}");
        // What is not found teaches no route.
        let route = if status == 404 { "{segment}" } else { kind };
        ensure!(php.name == format!("{} /{route}/{{id}}", request.method), "{php:?}");
        ensure!(php.get("url.query") == format!("token=REDACTED&n={number}"), "{php:?}");
        ensure!(php.get("client.address") == "127.0.0.1", "{php:?}");
        ensure!(php.error == (status == 500) && call.error == (status >= 400), "{php:?} {call:?}");
        let body = if kind == "items" { "20000" } else { "0" };
        for span in [php, call] {
            ensure!(span.get("http.request.body.size") == body, "{span:?}");
            ensure!(length.is_none_or(|length| span.get("http.response.body.size") == length), "{span:?}");
            ensure!(span.get("honeyguide.damaged").is_empty(), "{span:?}");
        }
        let transport = if listens == Listens::Tcp { "" } else { "unix" };
        ensure!(call.get("network.transport") == transport, "{call:?}");
        workers.insert(php.resource["process.pid"].clone());
    }
    ensure!(!workers.contains(&nginx.to_string()) && !workers.is_empty(), "{workers:?}");
    Ok(())
}
