//! Recordings of HTTP/2 and of databases: nobody's secrets in them, and the spans that a run gives at the same time.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use honeyguide_tests::{
    agent::Agent, capture::Span, certificate, gated::Gated, guard::Guard, mysql::MySql, nginx::Nginx, paths,
    port, postgres::Postgres, privilege, python, redis::Redis, scratch::Scratch, sql,
};

/// In whatever is secret; its letters have codes of several lengths.
const CANARY: &str = "cAnArY-7f3a~Z";
/// How it begins where it is coded by Huffman (RFC 7541 appendix B); a value begins with a byte, a parameter of a query
/// anywhere within one.
const HUFFMAN: [u8; 10] = [0x24, 0x35, 0x43, 0x67, 0x35, 0x9d, 0x95, 0x91, 0xff, 0xf7];
const REQUESTS: usize = 40;

/// In the clear, and inside of TLS: nginx's and curl's libssl, and Node's memory BIOs.
#[test]
fn http2() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("recordings::http2") else { return Ok(()) };
    let (server, origins) = nginx()?;
    let mut clients = Vec::new();
    for origin in &origins {
        clients.extend([Gated::new(&curl(origin))?, Gated::new(&node(origin))?]);
    }
    // Probes come off a program that nobody runs any more, and whoever begins it at that moment is seen in part, or not at
    // all. The housekeeping of three agents is no part of this.
    let mut idle = Command::new("node");
    idle.args(["-e", "setInterval(() => {}, 1000)"]);
    let idle = Guard::spawn(idle)?;
    let others = [server.pid(), idle.pid()];
    let pids: Vec<String> = clients.iter().map(Gated::pid).chain(others).map(|pid| pid.to_string()).collect();
    let select = || pids.iter().flat_map(|pid| ["--pid", pid]);

    let files = Scratch::new("recordings")?;
    let [masked, plain] = ["masked.hgr", "plain.hgr"].map(|name| files.join(name));
    let agents = [
        Agent::run(select().chain(["--print", "none"]))?,
        Agent::record(&masked, select())?,
        Agent::record(&plain, select().chain(["--keep-secrets"]))?,
    ];
    for client in clients {
        client.finish()?;
    }
    let [live, recorder, keeper] = agents;
    let live = live.stop()?;
    recorder.stop()?;
    keeper.stop()?;

    ensure!(live.dropped().0 == 0, "{:?}", live.dropped());
    // curl and Node, with and without TLS, each request at both ends.
    ensure!(live.spans.len() == 8 * REQUESTS, "{} spans\n{}", live.spans.len(), live.said);
    let replayed = Agent::replay(&masked, ["--print", "none"])?;
    let (found, expect) = (told(&replayed.spans), told(&live.spans));
    ensure!(found == expect, "{found:#?}\nand live {expect:#?}");
    // A server's span has the query, a client's the whole URL.
    let redacted = live.spans.iter().filter(|span| {
        ["url.query", "url.full"].iter().any(|key| span.get(key).ends_with("sig=REDACTED&n=1"))
    });
    ensure!(redacted.count() == 8 * REQUESTS, "{:#?}", live.spans);

    let [masked, plain] = [fs::read(&masked)?, fs::read(&plain)?];
    let sent = count(&plain, &CANARY.as_bytes()[..8]) + count(&plain, &HUFFMAN);
    // curl alone says four of them at both ends.
    ensure!(sent >= 16 * REQUESTS, "{sent} in what was sent");
    let within = |file: &[u8]| (1..8).map(|bits| count(file, &shifted(bits))).sum::<usize>();
    ensure!(within(&plain) >= 2 * REQUESTS, "{} queries in what was sent", within(&plain));
    let recorded = count(&masked, &CANARY.as_bytes()[..8]) + count(&masked, &HUFFMAN) + within(&masked);
    ensure!(recorded == 0, "a secret was recorded");
    Ok(())
}

/// What databases are told and what they answer: passwords, literals, bound values, lines that are copied, rows, keys, and
/// texts that quote them.
#[test]
fn databases() -> Result<()> {
    const PASSWORD: &str = "canary-7f3a-of-a-guest";
    /// A number that is nowhere but in answers, as it is written and in four bytes of either order.
    const NUMBER: u32 = 73_317_331;
    let Some(_turn) = privilege::kernel_test("recordings::databases") else { return Ok(()) };
    let (postgres, mysql, redis) = (Postgres::start()?, MySql::start()?, Redis::start()?);
    postgres.add_role("guest", PASSWORD)?;
    let mut client = Command::new(python::environment()?.join("bin/python"));
    client.arg(paths::app("recorded_client.py")).args([&redis.port().to_string(), PASSWORD]);
    postgres.connect(&mut client, Path::new("127.0.0.1"));
    mysql.connect(&mut client);
    let client = Gated::new(&client)?;
    let pids = [client.pid(), postgres.pid(), mysql.pid(), redis.pid()].map(|pid| pid.to_string());
    let select = || pids.iter().flat_map(|pid| ["--pid", pid]);

    let files = Scratch::new("recordings")?;
    let [masked, plain] = ["masked.hgr", "plain.hgr"].map(|name| files.join(name));
    let live = Agent::run(select().chain(["--print", "none"]))?;
    let recorder = Agent::record(&masked, select())?;
    let keeper = Agent::record(&plain, select().chain(["--keep-secrets"]))?;
    client.finish()?;
    let live = live.stop()?;
    let said = recorder.stop()?.said;
    keeper.stop()?;

    ensure!(live.dropped().0 == 0, "{:?}", live.dropped());
    ensure!(!said.contains("left masked"), "{said}");
    let replayed = Agent::replay(&masked, ["--print", "none"])?;
    let (found, expect) = (told(&replayed.spans), told(&live.spans));
    let differ = |a: &BTreeMap<String, usize>, b: &BTreeMap<String, usize>| {
        a.iter()
            .filter(|(line, count)| b.get(*line) != Some(count))
            .map(|(line, _)| line.clone())
            .collect::<Vec<_>>()
    };
    ensure!(found == expect, "{:#?}\nand live {:#?}", differ(&found, &expect), differ(&expect, &found));
    ensure!(live.spans.len() == 2 * 48, "{} spans", live.spans.len());

    let [masked, plain] = [fs::read(&masked)?, fs::read(&plain)?];
    let key = plain.windows(5).position(|window| window == b"K\0\0\0\x0c").map(|at| &plain[at + 9..at + 13]);
    // AuthenticationSASLContinue (11) and AuthenticationSASLFinal (12), behind their codes.
    let salt = after(&plain, b"\0\0\0\x0br=").context("no SCRAM exchange")?;
    let proof = after(&plain, b"\0\0\0\x0cv=").context("no end of it")?;
    let number = NUMBER.to_string();
    let secrets: [(&str, &[u8]); 7] = [
        ("a value", sql::CANARY.as_bytes()),
        ("a number", number.as_bytes()),
        ("a number of MySQL's binary rows", &NUMBER.to_le_bytes()),
        ("a number of PostgreSQL's binary rows", &NUMBER.to_be_bytes()),
        ("a key that cancels", key.context("nobody got a key")?),
        ("a SCRAM exchange", salt),
        ("its end", proof),
    ];
    for (what, secret) in secrets {
        ensure!(count(&plain, secret) > 0, "{what} was not sent");
        let at = masked.windows(secret.len()).position(|window| window == secret);
        let around = at.map(|at| masked[at.saturating_sub(100)..at].escape_ascii().to_string());
        ensure!(around.is_none(), "{what} was recorded behind {around:?}");
    }
    // Both ends record the challenge of MariaDB's greeting: it is behind the version and the connection's number.
    let greeting = b"-MariaDB";
    let challenge = |file: &[u8]| {
        let at = file.windows(greeting.len()).position(|window| window == greeting)?;
        let end = at + file[at..].iter().position(|&byte| byte == 0)? + 5;
        file.get(end..end + 8).map(<[u8]>::to_vec)
    };
    let sent = challenge(&plain).context("no greeting")?;
    ensure!(count(&masked, &sent) == 0 && challenge(&masked).is_some(), "a challenge was recorded");
    // What a reader needs of the server's own account of itself.
    ensure!(
        count(&masked, b"server_version\0") > 0 && count(&masked, b" 400\0Z\0\0\0\x05I") > 0,
        "too much is hidden"
    );
    Ok(())
}

/// What [`HUFFMAN`] is so many bits later, without the bytes that it shares with others.
fn shifted(bits: u32) -> Vec<u8> {
    HUFFMAN.windows(2).map(|pair| (u16::from_be_bytes([pair[0], pair[1]]) >> bits) as u8).collect()
}

/// nginx with HTTP/2 on two ports, without and with TLS, which answers with cookies.
fn nginx() -> Result<(Nginx, [String; 2])> {
    let files = Scratch::new("certificate")?;
    let (key, certificate) = certificate::make(files.path())?;
    let (clear, tls) = (port::free()?, port::free()?);
    let mut config = format!(
        "listen 127.0.0.1:{clear} http2;\nlisten 127.0.0.1:{tls} ssl http2;\nssl_certificate {};\n\
         ssl_certificate_key {};\n",
        certificate.display(),
        key.display()
    );
    for status in [200, 201, 404, 500] {
        writeln!(
            config,
            "location /{status}/ {{ add_header Set-Cookie {CANARY} always; return {status} 'answered'; }}"
        )?;
    }
    let server = Nginx::start(1, &config, &[])?;
    Ok((server, [format!("http://127.0.0.1:{clear}"), format!("https://127.0.0.1:{tls}")]))
}

/// Connections of one request each: each request is the first of its connection, with every field a literal.
fn curl(origin: &str) -> Command {
    let mut command = Command::new("sh");
    let flags = if origin.starts_with("https") { "-k --http2" } else { "--http2-prior-knowledge" };
    let curl = format!(
        "for url; do curl {flags} -sS -o /dev/null -H 'Authorization: {CANARY}' -H 'Cookie: {CANARY}' \
         -H 'Proxy-Authorization: {CANARY}' -H 'X-Api-Key: {CANARY}' \"$url\" || exit; done"
    );
    command.args(["-c", &curl, "sh"]);
    for number in 0..REQUESTS {
        command.arg(format!("{origin}/200/curl/{number}?sig={CANARY}&n=1"));
    }
    command
}

/// One connection: what is sent again is an index.
fn node(origin: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(paths::app("http2_client.js")).args([origin, "4", &(REQUESTS / 4).to_string()]);
    let fields = format!(
        r#"{{"authorization":"{CANARY}","cookie":"{CANARY}","x-auth-token":"{CANARY}","x-other":"kept"}}"#
    );
    command.env("BODY", "3000").env("FIELDS", fields).env("QUERY", format!("?sig={CANARY}&n=1"));
    command.env("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    command
}

/// What spans say, but for ids and times: how often each.
fn told(spans: &[Span]) -> BTreeMap<String, usize> {
    let by_id: BTreeMap<&str, &Span> = spans.iter().map(|span| (&*span.span_id, span)).collect();
    let mut told = BTreeMap::new();
    for span in spans {
        let parent = by_id.get(&*span.parent_span_id).map(|parent| (parent.kind, parent.path()));
        let line = format!("{:?} {} {:?} below {parent:?}", span.kind, span.name, span.attributes);
        *told.entry(line).or_default() += 1;
    }
    told
}

/// Sixteen bytes, which nothing else has by chance.
fn after<'a>(file: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    let at = file.windows(mark.len()).position(|window| window == mark)? + mark.len();
    file.get(at..at + 16)
}

fn count(file: &[u8], part: &[u8]) -> usize {
    file.windows(part.len()).filter(|window| *window == part).count()
}
