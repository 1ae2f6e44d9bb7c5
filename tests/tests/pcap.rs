//! Captures of real traffic, read by `honeyguide replay` and by tshark: the same requests, responses and times.

use std::{collections::BTreeMap, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    apps::App,
    capture::{Capture, Kind, Span},
    client::{Body, Request, send_all},
    nginx::Nginx,
    paths,
    postgres::Postgres,
    privilege, python,
    scratch::Scratch,
    sniffer::{Sniffed, Sniffer},
};

#[test]
fn nginx_over_several_connections() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("pcap::nginx_over_several_connections") else { return Ok(()) };
    nginx(&[], 4)
}

/// The older format, in microseconds.
#[test]
fn nginx_in_a_classic_file() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("pcap::nginx_in_a_classic_file") else { return Ok(()) };
    nginx(&["-P"], 1)
}

#[test]
fn node_over_http2() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("pcap::node_over_http2") else { return Ok(()) };
    let server = App::node_script("http2_server.js", &[("BODY", "4000")])?;
    let port = server.port();
    let sniffer = Sniffer::start(port, &[])?;
    let mut client = Command::new("node");
    client.arg(paths::app("http2_client.js")).arg(format!("http://127.0.0.1:{port}"));
    python::quietly(client.args(["5", "40"]).env("BODY", "4000"))?;
    let sniffed = sniffer.stop()?;

    let asked =
        sniffed.read(port, "http2", "http2.headers.path", &["http2.headers.method", "http2.headers.path"])?;
    let answered = sniffed.read(port, "http2", "http2.headers.status", &["http2.headers.status"])?;
    // Several frames may share a packet.
    let column = |rows: &[Vec<String>], at: usize| -> Vec<String> {
        rows.iter().flat_map(|row| row[at].split('|').map(str::to_owned)).collect()
    };
    let mut expect: Vec<(String, String)> = column(&asked, 0).into_iter().zip(column(&asked, 1)).collect();
    let mut statuses: Vec<u16> =
        column(&answered, 0).iter().map(|status| status.parse()).collect::<Result<_, _>>()?;
    ensure!(expect.len() == 200 && statuses.len() == 200, "tshark: {} and {}", expect.len(), statuses.len());

    let capture = replay(&sniffed)?;
    let spans = all_servers(&capture, port)?;
    let mut found: Vec<(String, String)> =
        spans.iter().map(|span| (span.method().to_owned(), span.path().to_owned())).collect();
    let mut found_statuses: Vec<u16> = spans.iter().map(|span| span.status()).collect();
    for list in [&mut expect, &mut found] {
        list.sort_unstable();
    }
    statuses.sort_unstable();
    found_statuses.sort_unstable();
    ensure!(found == expect, "{found:?}\n{expect:?}");
    ensure!(found_statuses == statuses, "{found_statuses:?}\n{statuses:?}");
    for span in spans {
        ensure!(span.path().starts_with(&format!("/{}/", span.status())), "another request's: {span:?}");
        ensure!(span.get("network.protocol.version") == "2", "{span:?}");
    }
    Ok(())
}

#[test]
fn psql_and_postgres() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("pcap::psql_and_postgres") else { return Ok(()) };
    let server = Postgres::start()?;
    let port = server.port();
    let sniffer = Sniffer::start(port, &[])?;
    let mut psql = server.client("psql", Path::new("127.0.0.1"))?;
    // No literals: the text of a span is the statement's own.
    for statement in [
        "CREATE TABLE items (id int PRIMARY KEY, name text)",
        "INSERT INTO items SELECT count(*), current_user FROM items",
        "SELECT name FROM items",
        "SELECT * FROM absent",
        "BEGIN",
        "SELECT a.id FROM items a, pg_class b, pg_class c",
        "SELECT nothing FROM items",
        "COMMIT",
        "DROP TABLE items",
    ] {
        psql.arg("--command").arg(statement);
    }
    // Two of them fail, so psql does not end well.
    let output = psql.args(["--no-psqlrc", "--quiet"]).output()?;
    let sniffed = sniffer.stop()?;

    let column = |filter: &str, field: &str| -> Result<Vec<String>> {
        let rows = sniffed.read(port, "pgsql", filter, &[field])?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next()).collect())
    };
    let statements = column("pgsql.query", "pgsql.query")?;
    let errors = column("pgsql.code", "pgsql.code")?;
    ensure!(statements.len() == 9 && errors == ["42P01", "42703"], "tshark: {statements:?} {errors:?}");

    let capture = replay(&sniffed)?;
    let spans = all_servers(&capture, port)?;
    let texts: Vec<&str> = spans.iter().map(|span| span.get("db.query.text")).collect();
    ensure!(texts == statements, "{texts:?}\n{statements:?}\n{output:?}");
    let codes: Vec<&str> = spans
        .iter()
        .map(|span| span.get("db.response.status_code"))
        .filter(|code| !code.is_empty())
        .collect();
    ensure!(codes == errors, "{codes:?}");
    ensure!(spans.iter().all(|span| span.get("db.system.name") == "postgresql"), "{spans:?}");
    Ok(())
}

/// A request as tshark sees it, and its response.
#[derive(Debug)]
struct Seen {
    method: String,
    uri: String,
    status: u16,
    /// Nanoseconds since the Unix epoch, of the packets that completed the request and the response.
    asked: u64,
    answered: u64,
}

fn nginx(format: &[&str], connections: usize) -> Result<()> {
    let server = Nginx::scripted()?;
    let mut requests = Vec::new();
    for number in 0..60 {
        requests.push(match number % 6 {
            0 => Request::get(format!("/ok?number={number}")),
            1 => Request::get("/big"),
            2 => Request { method: "POST", body: Body::Chunked(5_000), ..Request::get("/items") },
            3 => Request { method: "DELETE", ..Request::get(format!("/items/{number}")) },
            4 => Request::get("/fail"),
            _ => Request::get(format!("/absent/{number}")),
        });
    }
    let sniffer = Sniffer::start(server.port(), format)?;
    send_all(&server.address(), &requests, connections)?;
    let sniffed = sniffer.stop()?;

    let mut seen = read_http(&sniffed, server.port())?;
    ensure!(seen.len() == requests.len(), "tshark: {} requests", seen.len());
    let capture = replay(&sniffed)?;
    let mut spans = all_servers(&capture, server.port())?;
    ensure!(spans.len() == seen.len(), "{} spans\n{}", spans.len(), capture.said);
    // A response's last packet is its own: nothing else ends then.
    spans.sort_by_key(|span| span.end);
    seen.sort_by_key(|request| request.answered);
    for (span, seen) in spans.iter().zip(&seen) {
        let query = span.get("url.query");
        let uri = if query.is_empty() { span.path().to_owned() } else { format!("{}?{query}", span.path()) };
        ensure!(
            (span.method(), uri.as_str(), span.status()) == (&seen.method, &seen.uri, seen.status),
            "{span:?}\n{seen:?}"
        );
        ensure!(span.end == seen.answered, "{span:?}\n{seen:?}");
        // A request with a body may be of several packets; it begins with the first.
        let begins = if seen.method == "POST" { span.start <= seen.asked } else { span.start == seen.asked };
        ensure!(begins, "{span:?}\n{seen:?}");
        ensure!(span.error == (span.status() >= 500), "{span:?}");
    }
    Ok(())
}

/// Requests and responses of a connection come in the same order.
fn read_http(sniffed: &Sniffed, port: u16) -> Result<Vec<Seen>> {
    let fields = ["tcp.stream", "frame.time_epoch", "http.request.method", "http.request.uri"];
    let mut streams: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    for row in sniffed.read(port, "http", "http.request", &fields)? {
        let [stream, time, method, uri] = &row[..] else { anyhow::bail!("{row:?}") };
        let (method, uri, asked) = (method.clone(), uri.clone(), nanos(time)?);
        streams.entry(stream.clone()).or_default().push(Seen { method, uri, status: 0, asked, answered: 0 });
    }
    let mut answered: BTreeMap<String, usize> = BTreeMap::new();
    let fields = ["tcp.stream", "frame.time_epoch", "http.response.code"];
    for row in sniffed.read(port, "http", "http.response", &fields)? {
        let [stream, time, status] = &row[..] else { anyhow::bail!("{row:?}") };
        let number = answered.entry(stream.clone()).or_default();
        let seen = streams.get_mut(stream).and_then(|seen| seen.get_mut(*number));
        let seen = seen.with_context(|| format!("a response to nothing: {row:?}"))?;
        (seen.status, seen.answered) = (status.parse()?, nanos(time)?);
        *number += 1;
    }
    Ok(streams.into_values().flatten().collect())
}

/// `1700000000.123456789`
fn nanos(text: &str) -> Result<u64> {
    let (seconds, fraction) = text.split_once('.').context("no fraction")?;
    let seconds: u64 = seconds.parse()?;
    Ok(seconds * 1_000_000_000 + format!("{fraction:0<9}").parse::<u64>()?)
}

/// The agent's spans of a capture, twice: it is the same both times.
fn replay(sniffed: &Sniffed) -> Result<Capture> {
    let [first, second] = [(); 2].map(|()| -> Result<Capture> {
        let out = Scratch::new("out")?;
        let mut command = Agent::command()?;
        command.arg("replay").arg(&sniffed.file).arg("--out").arg(out.path());
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{}: {said}", output.status);
        Capture::read(out.path(), said)
    });
    let (first, second) = (first?, second?);
    ensure!(first.spans == second.spans, "another result the second time");
    ensure!(first.said.contains(" bytes, 0 missing"), "{}", first.said);
    Ok(first)
}

/// Every span is a server's, at `port`; in the order of their start.
fn all_servers(capture: &Capture, port: u16) -> Result<Vec<&Span>> {
    let mut spans: Vec<&Span> = capture.spans.iter().collect();
    spans.sort_by_key(|span| (span.start, span.end));
    for span in &spans {
        ensure!(span.kind == Kind::Server && span.service() == format!("127.0.0.1:{port}"), "{span:?}");
        ensure!(span.parent_span_id.is_empty(), "{span:?}");
    }
    Ok(spans)
}
