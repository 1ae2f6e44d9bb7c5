//! Every stream of an HTTP/2 connection without TLS is one client span and one server span, the second the child of
//! the first, however many of them are open at once.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    ops::Range,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    apache::Apache,
    apps::{self, App},
    capture::{Capture, Kind, Span},
    certificate,
    gated::Gated,
    guard::Guard,
    nginx::Nginx,
    paths, port, privilege,
    scratch::Scratch,
};

/// Path, method and status of a request.
type Requests = BTreeMap<String, (&'static str, u16)>;

#[test]
fn nginx_and_curl() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("http2::nginx_and_curl") else { return Ok(()) };
    let (server, port) = nginx()?;
    // curl 7.88 cannot use such a connection twice.
    let mut command = Command::new("sh");
    let curl = "for url; do curl --http2-prior-knowledge -sS -o /dev/null \"$url\" || exit; done";
    command.args(["-c", curl, "sh"]);
    let mut sent = Requests::new();
    for number in 0..40 {
        let status = STATUSES[number % 4];
        let path = format!("/{status}/{number}");
        command.arg(format!("http://127.0.0.1:{port}{path}"));
        sent.insert(path, ("GET", status));
    }
    every_stream_is_two_spans(server.pid(), &command, &sent)
}

#[test]
fn nginx_and_node() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("http2::nginx_and_node") else { return Ok(()) };
    let (server, port) = nginx()?;
    let (command, sent) = node(port, 5, 200, 20);
    every_stream_is_two_spans(server.pid(), &command, &sent)
}

#[test]
fn node_and_node() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("http2::node_and_node") else { return Ok(()) };
    node_against_node(5, 200, 20)
}

#[test]
fn node_and_node_one_at_a_time() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("http2::node_and_node_one_at_a_time") else { return Ok(()) };
    node_against_node(1, 200, 2_000)
}

/// Writes of hundreds of vectors.
#[test]
fn node_and_node_a_hundred_at_a_time() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("http2::node_and_node_a_hundred_at_a_time") else {
        return Ok(());
    };
    node_against_node(100, 50, 20)
}

/// Reads and writes far longer than what is captured of them.
#[test]
fn node_and_node_large_bodies() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("http2::node_and_node_large_bodies") else { return Ok(()) };
    node_against_node(40, 10, 60_000)
}

#[test]
fn nginx_and_h2load() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("http2::nginx_and_h2load") else { return Ok(()) };
    let (server, port) = nginx()?;
    h2load_against(&server, &format!("http://127.0.0.1:{port}"))
}

#[test]
fn nginx_and_h2load_over_tls() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("http2::nginx_and_h2load_over_tls") else { return Ok(()) };
    let files = Scratch::new("http2")?;
    let (key, certificate) = certificate::make(files.path())?;
    let pair =
        format!("ssl_certificate {};\nssl_certificate_key {};\n", certificate.display(), key.display());
    let (server, port) = nginx_with("ssl http2", &pair)?;
    h2load_against(&server, &format!("https://127.0.0.1:{port}"))
}

/// 4 connections, 32 streams of each at once: every request of every path is a span on either side.
fn h2load_against(server: &Nginx, origin: &str) -> Result<()> {
    const REQUESTS: usize = 20_000;
    let mut command = Command::new("h2load");
    command.args(["-c", "4", "-m", "32", "-n", &REQUESTS.to_string()]);
    command.args(STATUSES.map(|status| format!("{origin}/{status}/load")));
    let capture = captured(server.pid(), &command)?;
    let mut seen: BTreeMap<(&str, &str, u16), usize> = BTreeMap::new();
    for span in &capture.spans {
        let side = if span.kind == Kind::Client { "client" } else { "server" };
        ensure!((span.method(), span.get("network.protocol.version")) == ("GET", "2"), "{span:?}");
        *seen.entry((side, span.path(), span.status())).or_default() += 1;
    }
    let paths = STATUSES.map(|status| (format!("/{status}/load"), status));
    let each = |side| paths.iter().map(move |(path, status)| ((side, &**path, *status), REQUESTS / 4));
    let wanted: BTreeMap<_, _> = each("client").chain(each("server")).collect();
    ensure!(seen == wanted, "{seen:#?}\nwanted {wanted:#?}\n{}", capture.said);
    children_of_their_clients(&capture)
}

#[test]
fn go_and_go() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("http2::go_and_go") else { return Ok(()) };
    let program = apps::go("go_http2", "http2")?;
    let mut serve = Command::new(&program);
    let server = App::start({
        serve.arg("serve");
        serve
    })?;
    let mut command = Command::new(&program);
    command.args(["get", &format!("http://127.0.0.1:{}", server.port()), "50", "40"]);
    every_stream_is_two_spans(server.pid(), &command, &requests(50, 0..40))
}

/// `Upgrade: h2c`: the first request is HTTP/1.1 and its answer HTTP/2, what follows is HTTP/2 (RFC 7540, 3.2).
#[test]
fn an_upgrade_of_http1() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("http2::an_upgrade_of_http1") else { return Ok(()) };
    let server = apache()?;
    let port = server.port();
    let mut command = Command::new("nghttp");
    command.args(["-u", "-n"]);
    let mut sent = BTreeMap::new();
    for (number, status) in UPGRADED.into_iter().cycle().take(12).enumerate() {
        let path = format!("/{status}/{number}");
        command.arg(format!("http://127.0.0.1:{port}{path}"));
        sent.insert(path, status);
    }
    let capture = upgraded(&command, port)?;
    drop(server);
    for spans in [capture.clients(), capture.servers()] {
        let seen: BTreeMap<String, u16> =
            spans.iter().map(|span| (span.path().to_owned(), span.status())).collect();
        ensure!(seen == sent && spans.len() == sent.len(), "{spans:#?}\n{}", capture.said);
        let whole = spans.iter().all(|span| !span.attributes.contains_key("honeyguide.damaged"));
        ensure!(whole, "{spans:#?}");
    }
    children_of_their_clients(&capture)
}

/// What an agent sees of a run of nghttp that got every answer. Of some runs with these two, one in ten where nobody
/// looks, it says itself that it got but the first.
fn upgraded(command: &Command, port: u16) -> Result<Capture> {
    for _ in 0..10 {
        let client = Gated::new(command)?;
        let agent = Agent::run(["--port", &port.to_string(), "--print", "none"])?;
        let said = client.finish()?;
        let capture = agent.stop()?;
        if !said.contains("Some requests were not processed") {
            return Ok(capture);
        }
    }
    anyhow::bail!("nghttp never got all its answers")
}

/// The first is the one that upgrades: a redirection would be answered without.
const UPGRADED: [u16; 4] = [200, 404, 410, 503];

/// Debian's Apache, which upgrades; the statuses of [`UPGRADED`] by the path's first segment.
fn apache() -> Result<Apache> {
    Apache::start(&["http2"], |files| {
        let mut text = "Protocols h2c http/1.1\nH2Upgrade on\n".to_owned();
        writeln!(text, "AliasMatch ^/200/ {}", files.join("ok").display())?;
        for status in &UPGRADED[1..] {
            writeln!(text, "RedirectMatch {status} ^/{status}/")?;
        }
        Ok(text)
    })
}

/// A connection that was in use before the agent came. Paths that are new are read exactly, since HPACK counts its
/// entries from the newest; a field that refers to an older one is left out, and said to be.
#[test]
fn a_connection_of_before() -> Result<()> {
    const WARM: usize = 40;
    let Some(_turn) = privilege::kernel_test("http2::a_connection_of_before") else { return Ok(()) };
    let server = App::node_script("http2_server.js", &[("BODY", "500")])?;
    let gate = Scratch::new("gate")?;
    let (mut command, _) = node(server.port(), 20, 60, 500);
    command.env("GATE", gate.join("open")).env("WARM", WARM.to_string());
    let mut client = Guard::spawn(command)?;
    client.wait_for_text("warm", Duration::from_secs(60))?;
    let pids = [server.pid(), client.pid()].map(|pid| pid.to_string());
    let agent = Agent::run(["--pid", &pids[0], "--pid", &pids[1], "--print", "none"])?;
    std::fs::write(gate.join("open"), "")?;
    ensure!(client.wait(Duration::from_secs(60))?.success(), "{}", client.log());
    let capture = agent.stop()?;

    let sent = requests(20, WARM..60);
    for (side, spans) in [("client", capture.clients()), ("server", capture.servers())] {
        let mut seen = BTreeMap::new();
        for span in &spans {
            let &(method, status) = sent.get(span.path()).with_context(|| format!("{side}: {span:?}"))?;
            ensure!(span.method() == method, "{side}: {span:?}");
            // Neither side's static table has 201.
            let unknown = status == 201 && span.attributes.contains_key("honeyguide.damaged");
            ensure!(span.status() == status || span.status() == 0 && unknown, "{side}: {span:?}");
            seen.insert(span.path(), span.duration());
        }
        ensure!(seen.len() == sent.len() && spans.len() == sent.len(), "{side}: {} spans", spans.len());
    }
    children_of_their_clients(&capture)
}

/// Bodies of `body` bytes either way.
fn node_against_node(streams: usize, requests: usize, body: usize) -> Result<()> {
    let server = App::node_script("http2_server.js", &[("BODY", &body.to_string())])?;
    let (command, sent) = node(server.port(), streams, requests, body);
    every_stream_is_two_spans(server.pid(), &command, &sent)
}

/// Far more open streams than are followed: each request is two spans or is counted as dropped, in bounded memory.
#[test]
fn ten_thousand_streams_at_once() -> Result<()> {
    const STREAMS: usize = 10_000;
    let Some(_turn) = privilege::kernel_test("http2::ten_thousand_streams_at_once") else { return Ok(()) };
    let port = port::free()?;
    let address = format!("127.0.0.1:{port}");
    let mut serve = Command::new(PEER);
    serve.args(["serve2", &address]);
    let server = App::listening(serve, port)?;
    let mut get = Command::new(PEER);
    get.args(["get2", &address, &STREAMS.to_string()]);
    let client = Gated::new(&get)?;
    let pids = [server.pid(), client.pid()].map(|pid| pid.to_string());
    let agent = Agent::run(["--pid", &pids[0], "--pid", &pids[1], "--print", "none"])?;
    client.finish()?;
    let capture = agent.stop()?;
    let (mut spans, mut seen) = (0, BTreeMap::new());
    for span in &capture.spans {
        ensure!((span.method(), span.status(), span.error) == ("GET", 200, false), "{span:?}");
        ensure!(!span.attributes.contains_key("honeyguide.damaged"), "{span:?}");
        *seen.entry((span.kind == Kind::Client, span.path())).or_insert(0) += 1;
        spans += 1;
    }
    ensure!(seen.values().all(|&times| times == 1), "{} of {spans} are there twice", spans - seen.len());
    let of = |name: &str| capture.accounting.get(name).copied().unwrap_or(0);
    let dropped = usize::try_from(of("honeyguide.messages.dropped"))?;
    let orphans = of("honeyguide.messages.orphaned");
    ensure!(spans + dropped == 2 * STREAMS, "{spans} spans and {dropped} dropped\n{:#?}", capture.accounting);
    // The client asks for everything before it reads, so its end is beyond the bound; a first thousand is followed.
    ensure!((1_000..STREAMS).contains(&capture.clients().len()), "{} of the client", capture.clients().len());
    ensure!(of("honeyguide.messages.malformed") == 0 && orphans == 0, "{:#?}", capture.accounting);
    children_of_their_clients_or_none(&capture)
}

const PEER: &str = env!("CARGO_BIN_EXE_peer");

/// What the servers answer, by the path's first segment.
const STATUSES: [u16; 4] = [200, 201, 404, 500];

/// Debian's nginx 1.22, and the port where it speaks HTTP/2.
fn nginx() -> Result<(Nginx, u16)> {
    nginx_with("http2", "")
}

fn nginx_with(listens: &str, settings: &str) -> Result<(Nginx, u16)> {
    let port = port::free()?;
    let mut server = format!("listen 127.0.0.1:{port} {listens};\n{settings}");
    for status in STATUSES {
        writeln!(server, "location /{status}/ {{ return {status} 'answered'; }}")?;
    }
    Ok((Nginx::start(1, &server, &[])?, port))
}

/// The client of `http2_client.js`: one connection, `streams` at once, `requests` of each, of which a quarter posts
/// `body` bytes.
fn node(port: u16, streams: usize, requests: usize, body: usize) -> (Command, Requests) {
    let mut command = Command::new("node");
    command.arg(paths::app("http2_client.js")).arg(format!("http://127.0.0.1:{port}"));
    command.args([streams.to_string(), requests.to_string()]).env("BODY", body.to_string());
    (command, self::requests(streams, 0..requests))
}

/// What `http2_client.js` asks for, by the numbers of the requests in each lane.
fn requests(streams: usize, numbers: Range<usize>) -> Requests {
    let mut sent = Requests::new();
    for (lane, number) in (0..streams).flat_map(|lane| numbers.clone().map(move |number| (lane, number))) {
        let status = STATUSES[number % 4];
        let method = if status == 201 { "POST" } else { "GET" };
        sent.insert(format!("/{status}/{lane}/{number}"), (method, status));
    }
    sent
}

fn every_stream_is_two_spans(server: u32, command: &Command, sent: &Requests) -> Result<()> {
    let capture = captured(server, command)?;
    one_span_each("client", &capture.clients(), sent)?;
    one_span_each("server", &capture.servers(), sent)?;
    ensure!(capture.spans.len() == 2 * sent.len(), "{} spans", capture.spans.len());
    children_of_their_clients(&capture)
}

/// What an agent sees of `command` and the process `server`, undamaged.
fn captured(server: u32, command: &Command) -> Result<Capture> {
    let client = Gated::new(command)?;
    let pids = [server, client.pid()].map(|pid| pid.to_string());
    let agent = Agent::run(["--pid", &pids[0], "--pid", &pids[1], "--print", "none"])?;
    client.finish()?;
    let capture = agent.stop()?;

    ensure!(!capture.accounting.is_empty(), "the agent has written no account of itself");
    let (dropped, counters) = capture.dropped();
    ensure!(
        dropped == 0,
        "the agent dropped something: {counters:?}\n{}\n{:#?}",
        capture.said,
        capture.accounting
    );
    for span in &capture.spans {
        let marks = ["honeyguide.damaged", "honeyguide.truncated"];
        ensure!(!marks.iter().any(|mark| span.attributes.contains_key(*mark)), "{span:?}");
    }
    Ok(capture)
}

fn one_span_each(side: &str, spans: &[&Span], sent: &Requests) -> Result<()> {
    let mut seen: BTreeMap<&str, &Span> = BTreeMap::new();
    for span in spans {
        let path = span.path();
        let &(method, status) =
            sent.get(path).with_context(|| format!("a {side} span of no request: {span:?}"))?;
        ensure!((span.method(), span.status()) == (method, status), "{side}: {span:?}");
        ensure!(span.get("network.protocol.version") == "2", "{side}: {span:?}");
        let error = status >= if side == "client" { 400 } else { 500 };
        ensure!(span.error == error, "{side}: {span:?}");
        if let Some(first) = seen.insert(path, span) {
            anyhow::bail!("two {side} spans for {path}:\n{first:?}\n{span:?}");
        }
    }
    let missing: Vec<&String> = sent.keys().filter(|path| !seen.contains_key(path.as_str())).collect();
    ensure!(
        missing.is_empty(),
        "{} {side} spans for {} requests; none for {missing:?}",
        seen.len(),
        sent.len()
    );
    Ok(())
}

/// Where the client's was dropped there is no parent.
fn children_of_their_clients_or_none(capture: &Capture) -> Result<()> {
    let clients: HashMap<&str, &Span> =
        capture.clients().into_iter().map(|span| (span.span_id.as_str(), span)).collect();
    for server in capture.servers().into_iter().filter(|server| !server.parent_span_id.is_empty()) {
        let client = clients.get(server.parent_span_id.as_str()).map(|client| client.path());
        ensure!(client == Some(server.path()), "{client:?} is the parent of {server:?}");
    }
    Ok(())
}

fn children_of_their_clients(capture: &Capture) -> Result<()> {
    let clients: HashMap<&str, &Span> =
        capture.clients().into_iter().map(|span| (span.span_id.as_str(), span)).collect();
    for server in capture.servers() {
        let client = clients
            .get(server.parent_span_id.as_str())
            .with_context(|| format!("a server span without its client span: {server:?}"))?;
        ensure!(
            (client.path(), &client.trace_id) == (server.path(), &server.trace_id),
            "the parent is another request's: {client:?}\n{server:?}"
        );
    }
    Ok(())
}
