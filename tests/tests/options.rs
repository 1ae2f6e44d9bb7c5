//! `context.propagate: [tcp-option]`: a request to another host has its caller's span as its parent, whatever the protocol.

use std::{
    collections::HashMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    apps,
    capture::{Capture, Span},
    certificate,
    guard::Guard,
    hops,
    netns::Pair,
    nginx::Nginx,
    paths, port,
    postgres::Postgres,
    privilege, python,
    redis::Redis,
    scratch::Scratch,
};

const REQUESTS: usize = 60;
const CHAINS: usize = 300;
const OPTION: &str = "tcp-option";
const HEADERS: &str = "http-headers";

#[test]
fn every_call_to_another_host_has_its_server_as_its_child() -> Result<()> {
    let name = "options::every_call_to_another_host_has_its_server_as_its_child";
    let Some(_turn) = privilege::kernel_test(name) else { return Ok(()) };
    let hosts = Hosts::start()?;
    hosts.check(&[OPTION], hosts.clients()?)?;

    // One request has a header or an option, never both.
    let both = hosts.check(&[OPTION, HEADERS], vec![hosts.requests("http", hosts.plain)?])?;
    let headers = count(&both, "honeyguide.headers{outcome=injected}");
    ensure!(headers >= 1, "{:?}", both.accounting);
    let begun = count(&both, "honeyguide.options{outcome=begun}");
    ensure!(begun >= i64::try_from(REQUESTS)? - headers, "{begun} options beside {headers} headers");

    // A receiver without an agent notices nothing.
    let client = Client::new(hosts.requests("https", hosts.secure)?)?;
    let (on_a, _settings) = agent(&[OPTION], &[client.guard.pid()])?;
    ensure!(attached()? == 4, "{} programs are attached", attached()?);
    client.finish()?;
    let on_a = on_a.stop()?;
    ensure!(on_a.clients().len() == REQUESTS, "{} calls\n{}", on_a.clients().len(), on_a.said);
    let written = count(&on_a, "honeyguide.options{outcome=written}");
    ensure!(written >= i64::try_from(REQUESTS)?, "{written}\n{:?}", on_a.accounting);
    hosts.uploads_are_whole()?;

    // What is lost is sent again, and its option with it.
    hosts.pair.lose_packets()?;
    hosts.check(&[OPTION], vec![hosts.requests("https", hosts.secure)?])?;
    let again = hosts.pair.retransmitted()?;
    ensure!(again > 0, "nothing was lost");
    Ok(())
}

/// The kernel goes on with the trace that a request has come with.
#[test]
fn a_chain_of_three_is_one_trace() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("options::a_chain_of_three_is_one_trace") else { return Ok(()) };
    let (pair, directory) = (Pair::new()?, Scratch::new("options")?);
    let [a, b] = Pair::ADDRESSES;
    let (front, middle, last) = (format!("{a}:8001"), format!("{b}:8002"), format!("{a}:8003"));
    let kept = directory.join("kept");
    let hop = |side: usize, arguments: &[&str]| -> Result<Guard> {
        let mut command = pair.command(side, env!("CARGO_BIN_EXE_hop"));
        command.args(arguments);
        let mut guard = Guard::spawn(command)?;
        guard.wait_for_text("listening", Duration::from_secs(10))?;
        Ok(guard)
    };
    let last_process = hop(0, &["record", &last, &kept.display().to_string()])?;
    let middle_process = hop(1, &["forward", &middle, &last])?;
    let front_process = hop(0, &["forward", &front, &middle])?;
    let (on_a, _settings) = agent(&[OPTION], &[front_process.pid(), last_process.pid()])?;
    let (on_b, _settings_too) = agent(&[OPTION], &[middle_process.pid()])?;
    let mut drive = pair.command(0, env!("CARGO_BIN_EXE_hop"));
    drive.args(["drive", &front, &CHAINS.to_string()]);
    let mut drive = Guard::spawn(drive)?;
    ensure!(drive.wait(Duration::from_secs(60))?.success(), "{}", drive.log());
    let (on_a, on_b) = (on_a.stop()?, on_b.stop()?);

    for (number, message) in hops::recorded(&kept)?.iter().enumerate() {
        let number = hops::number(message).with_context(|| format!("request {number} has no number"))?;
        ensure!(*message == hops::request(number), "request {number} has changed");
    }
    ensure!((on_a.spans.len(), on_b.spans.len()) == (3 * CHAINS, 2 * CHAINS), "{:?}", on_a.accounting);
    let spans: HashMap<&str, &Span> =
        on_a.spans.iter().chain(&on_b.spans).map(|span| (span.span_id.as_str(), span)).collect();
    let mut depths = [0; 5];
    for span in spans.values() {
        let (mut at, mut depth) = (span, 0);
        while let Some(above) = spans.get(at.parent_span_id.as_str()) {
            ensure!(above.path() == span.path(), "{} is below {}", span.path(), above.path());
            ensure!(above.trace_id == span.trace_id, "{} has two traces", span.path());
            (at, depth) = (above, depth + 1);
        }
        ensure!(at.parent_span_id.is_empty(), "{} has a parent that is not there", span.path());
        *depths.get_mut(depth).context("too deep")? += 1;
    }
    ensure!(depths == [CHAINS; 5], "{depths:?}");
    Ok(())
}

/// Signatures (RFC 2385) leave no room for the option.
#[test]
fn without_room_nothing_is_sent() -> Result<()> {
    let name = "options::without_room_nothing_is_sent";
    let Some(_turn) = privilege::kernel_test(name) else { return Ok(()) };
    let pair = Pair::new()?;
    let [here, there] = Pair::ADDRESSES;
    let port = port::free()?.to_string();
    let python = python::environment()?.join("bin/python");
    let script = paths::app("option_client.py");
    let mut server = pair.command(1, &python);
    let mut server = Guard::spawn({
        server.arg(&script).args(["serve", there, &port, here, "secret"]);
        server
    })?;
    server.wait_for_text("listening", Duration::from_secs(10))?;
    let mut command = pair.command(0, &python);
    command.arg(&script).args(["signed", there, &port, "secret", &REQUESTS.to_string()]);
    let client = Client::new(command)?;
    let (on_a, _settings) = agent(&[OPTION], &[client.guard.pid()])?;
    let (on_b, _settings_too) = agent(&[OPTION], &[server.pid()])?;
    client.finish()?;
    let (on_a, on_b) = (on_a.stop()?, on_b.stop()?);
    ensure!(on_a.clients().len() == REQUESTS, "{} calls", on_a.clients().len());
    ensure!(on_b.servers().len() == REQUESTS, "{} requests", on_b.servers().len());
    ensure!(on_b.servers().iter().all(|span| span.parent_span_id.is_empty()), "one has a parent");
    let refused = count(&on_a, "honeyguide.options{outcome=no_room}");
    ensure!(refused >= i64::try_from(REQUESTS)?, "{refused} had no room\n{:?}", on_a.accounting);
    ensure!(count(&on_a, "honeyguide.options{outcome=written}") == 0, "{:?}", on_a.accounting);
    Ok(())
}

/// Two hosts: the servers are on the second.
struct Hosts {
    pair: Pair,
    nginx: Nginx,
    redis: Redis,
    postgres: Postgres,
    /// nginx's ports: with TLS; without; with HTTP/2 alone.
    secure: u16,
    plain: u16,
    prior: u16,
    directory: Scratch,
}

impl Hosts {
    fn start() -> Result<Self> {
        let (pair, directory) = (Pair::new()?, Scratch::new("options")?);
        let (key, certificate) = certificate::make(directory.path())?;
        let (secure, plain, prior) = (port::free()?, port::free()?, port::free()?);
        let server = server(&key, &certificate, [secure, plain, prior]);
        let (nginx, redis, postgres) = pair.within(1, || {
            let nginx = Nginx::start(1, &server, &[])?;
            Ok((nginx, Redis::start_for_others()?, Postgres::start_for("10.213.7.0/24")?))
        })?;
        Ok(Self { pair, nginx, redis, postgres, secure, plain, prior, directory })
    }

    fn url(&self, scheme: &str, port: u16) -> String {
        format!("{scheme}://{}:{port}", Pair::ADDRESSES[1])
    }

    /// A client of each kind, each of which makes [`REQUESTS`] calls.
    fn clients(&self) -> Result<Vec<Command>> {
        let requests = REQUESTS.to_string();
        let (secure, prior) = (self.url("https", self.secure), self.url("http", self.prior));
        let go = |h2: &str| -> Result<Command> {
            let mut command = self.pair.command(0, apps::go_with("go_tls", "tls", &[])?);
            command.args(["get", &format!("{secure}/{h2}"), &requests, "1"]);
            if h2 == "two" {
                command.env("HTTP2", "1");
            }
            Ok(command)
        };
        let node = |arguments: &[&str]| {
            let mut command = self.pair.command(0, "node");
            command.arg(paths::app("option_client.js")).args(arguments);
            command
        };
        Ok(vec![
            self.requests("https", self.secure)?,
            self.redis_client()?,
            self.sql_client()?,
            node(&["https", &secure, &requests]),
            node(&["h2", &prior, &requests, "1"]),
            go("one")?,
            go("two")?,
        ])
    }

    /// Python's requests: also uploads.
    fn requests(&self, scheme: &str, port: u16) -> Result<Command> {
        self.python(&["http", &self.url(scheme, port)])
    }

    fn python(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = self.pair.command(0, python::environment()?.join("bin/python"));
        command.arg(paths::app("option_client.py")).args(arguments).arg(REQUESTS.to_string());
        Ok(command)
    }

    fn redis_client(&self) -> Result<Command> {
        self.python(&["redis", &self.url("redis", self.redis.port())])
    }

    fn sql_client(&self) -> Result<Command> {
        let mut command = self.python(&["sql"])?;
        self.postgres.connect(&mut command, Path::new(Pair::ADDRESSES[1]));
        Ok(command)
    }

    /// Lets the clients run one after another, and holds what the agent of the one host says against that of the other.
    /// Returns what the first says.
    fn check(&self, ways: &[&str], clients: Vec<Command>) -> Result<Capture> {
        match fs::remove_dir_all(self.directory.join("put")) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let kinds = clients.len();
        let clients = clients.into_iter().map(Client::new).collect::<Result<Vec<_>>>()?;
        let pids: Vec<u32> = clients.iter().map(|client| client.guard.pid()).collect();
        let (on_a, _settings) = agent(ways, &pids)?;
        let (on_b, _settings_too) = agent(ways, &[self.nginx.pid(), self.redis.pid(), self.postgres.pid()])?;
        clients.into_iter().try_for_each(Client::finish)?;
        let (on_a, on_b) = (on_a.stop()?, on_b.stop()?);
        let accounts = format!(
            "{} calls, {} requests\n{:?}\n{:?}",
            on_a.clients().len(),
            on_b.servers().len(),
            options(&on_a),
            options(&on_b)
        );
        let (mut children, mut orphans): (HashMap<&str, &Span>, _) = (HashMap::new(), Vec::new());
        for span in on_b.servers() {
            if span.parent_span_id.is_empty() {
                orphans.push(what(span));
                continue;
            }
            let before = children.insert(span.parent_span_id.as_str(), span);
            ensure!(before.is_none(), "{} has a sibling", what(span));
        }
        let mut calls = on_a.clients();
        calls.sort_by_key(|call| call.start);
        let (mut lonely, mut last) = (Vec::new(), 0);
        for call in &calls {
            let Some(child) = children.remove(call.span_id.as_str()) else {
                lonely.push(what(call));
                continue;
            };
            let (told, got) = (what(call), what(child));
            ensure!(told == got, "{told} has {got} as its child");
            ensure!(call.trace_id == child.trace_id, "{told} has a child in another trace");
            // One after another, so the next one's child is later.
            ensure!(child.start > last, "{told} has another's child");
            last = child.start;
        }
        let strangers: Vec<_> = children.values().map(|span| what(span)).collect();
        ensure!(strangers.is_empty(), "{} have a parent that is not there: {strangers:?}", strangers.len());
        ensure!(
            lonely.is_empty() && orphans.is_empty(),
            "{} calls have no child: {lonely:?}\n{} requests have no parent: {orphans:?}\n{accounts}\n{}",
            lonely.len(),
            orphans.len(),
            on_a.said
        );
        ensure!(calls.len() >= kinds * REQUESTS, "{} calls", calls.len());
        let found = count(&on_b, "honeyguide.options.requests{request=found}")
            + count(&on_a, "honeyguide.headers{outcome=injected}");
        // psycopg has its statement prepared first, which is a request without a span.
        let prepared = usize::from(calls.iter().any(|call| what(call) == "postgresql"));
        ensure!(usize::try_from(found)? == calls.len() + prepared, "{found} found\n{accounts}");
        for refused in ["no_room", "untold"] {
            let name = format!("honeyguide.options{{outcome={refused}}}");
            ensure!(count(&on_a, &name) == 0 && count(&on_b, &name) == 0, "{accounts}");
        }
        self.uploads_are_whole()?;
        Ok(on_a)
    }

    fn uploads_are_whole(&self) -> Result<()> {
        let body: Vec<u8> = (0..=255).cycle().take(256 * 800).collect();
        let uploaded = fs::read_dir(self.directory.join("put"))?.collect::<Result<Vec<_>, _>>()?;
        ensure!(uploaded.len() == REQUESTS / 10, "{} uploads", uploaded.len());
        for file in uploaded {
            ensure!(fs::read(file.path())? == body, "{} has changed", file.path().display());
        }
        Ok(())
    }
}

/// A program that is there, with all its libraries, before any agent is, and begins when it is told to.
struct Client {
    guard: Guard,
    start: Scratch,
}

impl Client {
    fn new(mut command: Command) -> Result<Self> {
        let start = Scratch::new("start")?;
        command.env("START", start.join("begin"));
        let mut guard = Guard::spawn(command)?;
        guard.wait_for_text("waiting", Duration::from_secs(30))?;
        Ok(Self { guard, start })
    }

    fn finish(mut self) -> Result<()> {
        fs::write(self.start.join("begin"), "")?;
        let status = self.guard.wait(Duration::from_secs(60))?;
        ensure!(status.success(), "the client ended with {status}\n{}", self.guard.log());
        Ok(())
    }
}

/// What is added to nginx's server: HTTPS with both versions of HTTP, each of them without TLS, and uploads.
fn server(key: &Path, certificate: &Path, [secure, plain, prior]: [u16; 3]) -> String {
    let root = key.parent().unwrap_or(Path::new("/")).display();
    let (address, key, certificate) = (Pair::ADDRESSES[1], key.display(), certificate.display());
    format!(
        "listen {address}:{secure} ssl http2; listen {address}:{plain}; listen {address}:{prior} http2;\n\
         ssl_certificate {certificate}; ssl_certificate_key {key}; client_max_body_size 10m;\n\
         location / {{ return 200 'inside'; }}\n\
         location /put/ {{ root {root}; dav_methods PUT; create_full_put_path on; }}\n"
    )
}

/// What both ends of a call say of it: a path, or whose protocol it is.
fn what(span: &Span) -> String {
    if span.path().is_empty() { span.get("db.system.name").to_owned() } else { span.path().to_owned() }
}

/// An agent that hands contexts on; its settings live as long as the second value.
fn agent(ways: &[&str], pids: &[u32]) -> Result<(Agent, Scratch)> {
    let directory = Scratch::new("settings")?;
    let file: PathBuf = directory.join("honeyguide.yaml");
    fs::write(&file, format!("context: {{ propagate: [{}] }}\n", ways.join(", ")))?;
    let mut arguments = vec!["--config".into(), file.display().to_string()];
    for pid in pids {
        arguments.extend(["--pid".into(), pid.to_string()]);
    }
    arguments.extend(["--print".into(), "none".into()]);
    Ok((Agent::run(arguments)?, directory))
}

fn attached() -> Result<usize> {
    let output = Command::new("bpftool").args(["prog", "list"]).output().context("bpftool")?;
    Ok(String::from_utf8(output.stdout)?.matches("name propagate_").count())
}

fn options(capture: &Capture) -> Vec<(&String, &i64)> {
    let named = |(name, _): &(&String, &i64)| name.starts_with("honeyguide.options");
    capture.accounting.iter().filter(named).collect()
}

fn count(capture: &Capture, name: &str) -> i64 {
    capture.accounting.get(name).copied().unwrap_or_default()
}
