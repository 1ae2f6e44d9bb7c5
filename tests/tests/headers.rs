//! `context.propagate: [http-headers]`: every request that can get a `traceparent` gets one, and nothing else changes.

use std::{
    collections::HashMap,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use honeyguide_tests::{
    agent::Agent,
    apps::{self, App},
    capture::{Capture, Span},
    gated::Gated,
    guard::Guard,
    hops,
    netns::Pair,
    paths, privilege,
    scratch::Scratch,
};

const REQUESTS: usize = 10_000;
/// What the agent says where only the first request of a connection gets a header.
const FIRST_ONLY: &str = "only the first request of each connection gets a header";

const GET: &[u8] = b"GET /x HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";
const OWN: &[u8] = b"GET /x HTTP/1.1\r\nHost: a\r\ntRaceParent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00\r\n\r\n";
const POST: &[u8] = b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 32\r\n\r\n";
const INNER: &[u8] = b"GET /inner HTTP/1.1\r\nHost: b\r\n\r\n";
const CHUNKED: &[u8] = b"POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
const UPGRADE: &[u8] = b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[test]
fn a_request_gets_one_header_and_nothing_else_changes() -> Result<()> {
    let name = "headers::a_request_gets_one_header_and_nothing_else_changes";
    let Some(_turn) = privilege::kernel_test(name) else { return Ok(()) };
    let server = Server::start()?;
    let (agent, _settings) = propagating(&[std::process::id()])?;
    ensure!(attached()? == 5, "{} programs are attached", attached()?);

    let check = |name: &str, pieces: &[&[u8]], headers: usize| server.check(name, &[pieces], headers);
    check("a request", &[GET], 1)?;
    check("HTTP/1.0", &[b"HEAD / HTTP/1.0\r\nHost: a\r\n\r\n"], 1)?;
    check("no fields", &[b"DELETE / HTTP/1.1\r\n\r\n"], 1)?;
    check("a body that looks like a request", &[&[POST, INNER].concat()], 1)?;
    check("the same, sent by itself", &[POST, INNER], 1)?;
    check("chunked", &[CHUNKED], 1)?;
    check("an upgrade", &[UPGRADE], 1)?;
    check("a header of its own", &[OWN], 0)?;
    check("a pipeline", &[&[GET, GET].concat()], 1)?;
    check("a connection that is handed on", &[b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"], 0)?;
    check("HTTP/2", &[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], 0)?;
    check("TLS", &[&[&[22, 3, 1, 0, 200, 1, 0, 0, 196], &[7; 196][..]].concat()], 0)?;
    check("no HTTP", &[b"GET the cache\r\nGET / HTTP/1.1\r\n\r\n"], 0)?;
    for end in 1..GET.len() {
        check(&format!("a head in two parts, {end} bytes first"), &[&GET[..end], &GET[end..]], 0)?;
    }
    for (length, headers) in [(1_000, 1), (9_000, 1), (33_000, 1), (65_000, 1), (66_000, 0), (200_000, 0)] {
        let head = [&GET[..GET.len() - 2], b"X: ", &vec![b'y'; length], b"\r\n\r\n"].concat();
        check(&format!("a head of {length} bytes"), &[&head], headers)?;
    }
    let large =
        [&b"PUT / HTTP/1.1\r\nContent-Length: 900000\r\n\r\n"[..], &INNER.repeat(30_000)[..900_000]].concat();
    check("a large body", &[&large], 1)?;
    server.readers_are_told()?;
    sessions(&server, agent.said().contains(FIRST_ONLY))?;

    let capture = agent.stop()?;
    server.check("a request after the agent's end", &[&[GET]], 0)?;
    let outcome = |outcome: &str| count(&capture, &format!("honeyguide.headers{{outcome={outcome}}}"));
    ensure!(outcome("split") + outcome("not_http") >= GET.len() as i64, "{:?}", capture.accounting);
    ensure!(outcome("too_long") == 2, "{:?}", capture.accounting);
    for other in ["no_room", "untold"] {
        ensure!(outcome(other) == 0, "{other}: {:?}", capture.accounting);
    }
    Ok(())
}

/// Several requests on a connection; `first_only`: what this kernel allows.
fn sessions(server: &Server, first_only: bool) -> Result<()> {
    let expected = |all: usize| if first_only { 1 } else { all };
    follow(server, expected)?;
    if first_only {
        // The programs can do more than this kernel's readers bear; these readers do not ask.
        let map =
            ["map", "update", "name", "PROPAGATION", "key", "0", "0", "0", "0", "value", "1", "0", "0", "0"];
        let status = Command::new("bpftool").args(map).status().context("bpftool")?;
        ensure!(status.success(), "bpftool cannot reach the table");
        follow(server, |all| all)?;
    }
    Ok(())
}

fn follow(server: &Server, expected: impl Fn(usize) -> usize) -> Result<()> {
    let whole = [POST, INNER].concat();
    let again: [&[&[u8]]; 20] = [&[GET]; 20];
    server.check("one after another", &again, expected(20))?;
    server.check("one with its own between", &[&[GET], &[OWN], &[GET]], expected(2))?;
    let parts: [&[&[u8]]; 4] = [&[&whole], &[POST, INNER], &[POST, &INNER[..5], &INNER[5..]], &[GET]];
    server.check("bodies", &parts, expected(4))?;
    // What follows these is not certain.
    server.check("after a pipeline", &[&[&[GET, GET].concat()], &[GET]], 1)?;
    server.check("after chunks", &[&[CHUNKED], &[GET]], 1)?;
    let twice = b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab";
    server.check("after two lengths", &[&[twice], &[GET]], 1)?;
    server.check("after a head in two parts", &[&[&GET[..20], &GET[20..]], &[GET]], 0)
}

#[test]
fn ten_thousand_requests_through_two_namespaces_are_whole_traces() -> Result<()> {
    let name = "headers::ten_thousand_requests_through_two_namespaces_are_whole_traces";
    let Some(_turn) = privilege::kernel_test(name) else { return Ok(()) };
    let (pair, directory) = (Pair::new()?, Scratch::new("headers")?);
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
    let _last = hop(0, &["record", &last, &kept.display().to_string()])?;
    let middle_process = hop(1, &["forward", &middle, &last])?;
    let front_process = hop(0, &["forward", &front, &middle])?;

    // One agent for each of the two hosts.
    let (on_a, _settings_a) = propagating(&[front_process.pid()])?;
    let (on_b, _settings_b) = propagating(&[middle_process.pid()])?;
    let mut drive = pair.command(0, env!("CARGO_BIN_EXE_hop"));
    drive.args(["drive", &front, &REQUESTS.to_string()]);
    let mut drive = Guard::spawn(drive)?;
    let status = drive.wait(Duration::from_secs(120))?;
    ensure!(status.success(), "{}", drive.log());
    let (on_a, on_b) = (on_a.stop()?, on_b.stop()?);

    let messages = hops::recorded(&kept)?;
    ensure!(messages.len() == REQUESTS, "{} requests arrived", messages.len());
    for capture in [&on_a, &on_b] {
        ensure!(capture.spans.len() == 2 * REQUESTS, "{} spans\n{}", capture.spans.len(), capture.said);
        let put_in = count(capture, "honeyguide.headers{outcome=injected}");
        ensure!(put_in == i64::try_from(REQUESTS)?, "{put_in} headers\n{:?}", capture.accounting);
    }
    let spans: HashMap<&str, &Span> =
        on_a.spans.iter().chain(&on_b.spans).map(|span| (span.span_id.as_str(), span)).collect();
    for message in &messages {
        let number = hops::number(message).context("a request without its number")?;
        let (plain, headers) = without_headers(message);
        ensure!(plain == hops::request(number), "request {number} has changed: {:?}", text(message));
        let [header] = &headers[..] else { bail!("request {number} has {} headers", headers.len()) };
        let (trace, mut at) = (&header[3..35], &header[36..52]);
        for kind in ["middle's call", "middle's request", "front's call", "front's request"] {
            let span = spans.get(at).with_context(|| format!("request {number}: {kind} is not there"))?;
            ensure!(span.trace_id == trace, "request {number}: {kind} is in another trace");
            ensure!(span.path() == format!("/n/{number}"), "request {number}: {kind} is {}", span.path());
            at = &span.parent_span_id;
        }
        ensure!(at.is_empty(), "request {number} has no root");
    }
    Ok(())
}

/// What reads a request with a caller's trace and calls on is told apart from all others that run at once: a goroutine, a
/// thread of Python's.
#[test]
fn a_callers_trace_goes_on_through_a_busy_server() -> Result<()> {
    let name = "headers::a_callers_trace_goes_on_through_a_busy_server";
    let Some(_turn) = privilege::kernel_test(name) else { return Ok(()) };
    const CLIENTS: usize = 8;
    const EACH: usize = 40;
    let trace = |number: usize| format!("{:032x}", (number + 1) * 0x1000_0001);
    let span = |number: usize| format!("{:016x}", (number + 1) * 0x1001);
    let go = || -> Result<Command> { Ok(Command::new(apps::go("go_front", "front")?)) };
    let python = || -> Result<Command> {
        let mut python = Command::new("python3");
        python.arg(paths::app("caller.py"));
        Ok(python)
    };
    let mut servers = Vec::new();
    for (runtime, mut command) in [("go", go()?), ("python", python()?)] {
        let last = Last::start()?;
        command.env("UPSTREAM", format!("http://{}", last.address));
        servers.push((runtime, App::start(command)?, last));
    }
    let pids: Vec<u32> = servers.iter().map(|(_, app, _)| app.pid()).collect();
    let (agent, _settings) = propagating(&pids)?;
    for (runtime, app, _) in &servers {
        let ask = |client: usize| {
            let contexts = (client * EACH..(client + 1) * EACH).map(|number| (trace(number), span(number)));
            call(app.port(), client * EACH, contexts).context(*runtime)
        };
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || ask(client))).collect();
            clients
                .into_iter()
                .try_for_each(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)
        })?;
    }
    let capture = agent.stop()?;
    let spans: HashMap<&str, &Span> =
        capture.spans.iter().map(|span| (span.span_id.as_str(), span)).collect();
    for (runtime, _, last) in &servers {
        let heads = last.heads();
        ensure!(heads.len() == CLIENTS * EACH, "{runtime}: {} calls arrived", heads.len());
        for head in &heads {
            let (plain, values) = without_headers(head);
            let plain = String::from_utf8_lossy(&plain).into_owned();
            let [value] = &values[..] else { bail!("{runtime}: {} headers: {:?}", values.len(), text(head)) };
            let number =
                plain.strip_prefix("GET /call/").and_then(|rest| rest.split(' ').next()?.parse().ok());
            let number = number.with_context(|| format!("{runtime}: no number in {plain}"))?;
            ensure!(value[3..35] == trace(number), "{runtime}: request {number} goes on in another trace");
            let call =
                spans.get(&value[36..52]).with_context(|| format!("{runtime}: no span of {number}"))?;
            let request = spans.get(call.parent_span_id.as_str()).context("its request is not there")?;
            ensure!(request.parent_span_id == span(number), "{runtime}: call {number} is another request's");
        }
    }
    Ok(())
}

/// Whoever has no propagator for them goes on with nobody's traces, on the wire neither.
#[test]
fn a_callers_trace_ends_where_traces_are_not_honoured() -> Result<()> {
    let name = "headers::a_callers_trace_ends_where_traces_are_not_honoured";
    let Some(_turn) = privilege::kernel_test(name) else { return Ok(()) };
    const REQUESTS: usize = 20;
    let last = Last::start()?;
    let mut go = Command::new(apps::go("go_front", "front")?);
    go.env("UPSTREAM", format!("http://{}", last.address));
    let app = App::start(go)?;
    let (agent, _settings) = with(", propagators: [baggage]", &[app.pid()])?;
    let foreign = "000000000000000000000000f0e1d2c3";
    call(app.port(), 0, (0..REQUESTS).map(|_| (foreign.to_owned(), "0000000000000001".to_owned())))?;
    let capture = agent.stop()?;
    let heads = last.heads();
    ensure!(heads.len() == REQUESTS, "{} calls arrived", heads.len());
    for head in &heads {
        let (_, values) = without_headers(head);
        let [value] = &values[..] else { bail!("{} headers: {:?}", values.len(), text(head)) };
        ensure!(value[3..35] != *foreign, "a call goes on in its caller's trace");
        let call = capture.spans.iter().find(|span| span.span_id == value[36..52]);
        let call = call.with_context(|| format!("no span of {value}"))?;
        let request = capture.spans.iter().find(|span| span.span_id == call.parent_span_id);
        let request = request.context("its request is not there")?;
        ensure!(request.parent_span_id.is_empty(), "a request has a parent");
        ensure!(
            call.trace_id == value[3..35] && request.trace_id == call.trace_id,
            "its trace is not the wire's"
        );
    }
    Ok(())
}

/// Asks for `/call/N`, N from `first` on, one after another on a connection: one request for each trace and span.
fn call(port: u16, first: usize, contexts: impl Iterator<Item = (String, String)>) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    for (number, (trace, span)) in contexts.enumerate() {
        let head = format!(
            "GET /call/{} HTTP/1.1\r\nHost: a\r\ntraceparent: 00-{trace}-{span}-01\r\n\r\n",
            first + number
        );
        stream.write_all(head.as_bytes())?;
        let mut came = Vec::new();
        while !came.ends_with(b"\r\n\r\nkept") {
            let mut piece = [0; 1024];
            let got = stream.read(&mut piece)?;
            ensure!(got > 0, "it closed: {:?}", text(&came));
            came.extend_from_slice(&piece[..got]);
        }
    }
    Ok(())
}

#[test]
fn fetch_of_node_gets_the_same_bytes() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("headers::fetch_of_node_gets_the_same_bytes") else {
        return Ok(());
    };
    let server = Server::start()?;
    let client = || -> Result<Gated> {
        let mut node = Command::new("node");
        node.arg(paths::app("fetch_client.js")).arg(format!("http://{}", server.address));
        Gated::new(node.args(["10", "5000", "70000", "300000", "2000000"]))
    };
    let said = client()?.finish()?;
    let traced = client()?;
    let (agent, _settings) = propagating(&[traced.pid()])?;
    let said_too = traced.finish()?;
    let ((came, took), (came_too, took_too)) = (result(&said), result(&said_too));
    let capture = agent.stop()?;
    println!("fetch without: {took}, with: {took_too}");
    ensure!(came.len() == 100, "{} bodies came", came.len());
    ensure!(came == came_too, "other bodies: {came:?} and {came_too:?}");
    ensure!(capture.clients().len() == 100, "{} calls\n{}", capture.clients().len(), capture.said);
    ensure!(count(&capture, "honeyguide.headers{outcome=injected}") > 0, "{:?}", capture.accounting);
    Ok(())
}

#[test]
fn nothing_is_attached_unless_it_is_asked_for() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("headers::nothing_is_attached_unless_it_is_asked_for") else {
        return Ok(());
    };
    let server = Server::start()?;
    let agent = Agent::run(["--pid", &std::process::id().to_string(), "--print", "none"])?;
    let attached = attached()?;
    server.check("a request that nothing is done to", &[&[GET]], 0)?;
    agent.stop()?;
    ensure!(attached == 0, "{attached} programs are attached");
    Ok(())
}

/// Programs of an agent's that have to do with headers.
fn attached() -> Result<usize> {
    let output = Command::new("bpftool").args(["prog", "list"]).output().context("bpftool")?;
    let list = String::from_utf8(output.stdout)?;
    ensure!(list.contains("sock_send_length"), "the agent is not in the list:\n{list}");
    Ok(list.matches("name propagate_").count())
}

/// An agent that puts headers into what these processes send; its settings live as long as the second value.
fn propagating(pids: &[u32]) -> Result<(Agent, Scratch)> {
    with("", pids)
}

/// The same, with another setting of contexts.
fn with(setting: &str, pids: &[u32]) -> Result<(Agent, Scratch)> {
    let directory = Scratch::new("settings")?;
    let file: PathBuf = directory.join("honeyguide.yaml");
    // Without the programs for TLS it starts in half the time.
    let settings = format!("context: {{ propagate: [http-headers]{setting} }}\ncapture: {{ tls: false }}\n");
    fs::write(&file, settings)?;
    let mut arguments = vec!["--config".into(), file.display().to_string()];
    for pid in pids {
        arguments.extend(["--pid".into(), pid.to_string()]);
    }
    arguments.extend(["--print".into(), "none".into()]);
    Ok((Agent::run(arguments)?, directory))
}

fn count(capture: &Capture, name: &str) -> i64 {
    capture.accounting.get(name).copied().unwrap_or_default()
}

/// What a client of `fetch_client.js` has said: what came, and how long it took.
fn result(said: &str) -> (Vec<&str>, &str) {
    let (took, came): (Vec<_>, Vec<_>) = said.lines().partition(|line| line.starts_with("took "));
    (came, took.first().copied().unwrap_or_default())
}

/// A message without the lines that were put in, and their values.
fn without_headers(message: &[u8]) -> (Vec<u8>, Vec<String>) {
    const LINE: usize = 70;
    let (mut plain, mut values, mut at) = (Vec::new(), Vec::new(), 0);
    while at < message.len() {
        let line = message.get(at..at + LINE).and_then(|line| std::str::from_utf8(line).ok());
        let value = line.and_then(|line| line.strip_prefix("traceparent: ")?.strip_suffix("\r\n"));
        match value.filter(|value| is_valid(value)) {
            Some(value) => {
                values.push(value.to_owned());
                at += LINE;
            }
            None => {
                plain.push(message[at]);
                at += 1;
            }
        }
    }
    (plain, values)
}

/// As W3C Trace Context has it, sampled.
fn is_valid(value: &str) -> bool {
    let parts: Vec<&str> = value.split('-').collect();
    let id = |text: &str, length: usize| {
        text.len() == length
            && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            && text.bytes().any(|byte| byte != b'0')
    };
    matches!(parts[..], ["00", trace, span, "01"] if id(trace, 32) && id(span, 16))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned()
}

/// The last server of a chain: it keeps each head, and closes the connection when it has answered.
struct Last {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Last {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let last = Self { address: listener.local_addr()?, heads: Arc::default() };
        let heads = Arc::clone(&last.heads);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (mut head, mut piece) = (Vec::new(), [0; 4096]);
                while !head.ends_with(b"\r\n\r\n")
                    && let Ok(got @ 1..) = stream.read(&mut piece)
                {
                    head.extend_from_slice(&piece[..got]);
                }
                heads.lock().unwrap_or_else(PoisonError::into_inner).push(head);
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nkept");
            }
        });
        Ok(last)
    }

    fn heads(&self) -> Vec<Vec<u8>> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A server in this process: it keeps what each connection has sent, and answers each time it has been quiet for a moment.
struct Server {
    address: SocketAddr,
    banner: SocketAddr,
}

impl Server {
    fn start() -> Result<Self> {
        let (listener, greeter) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
        let server = Self { address: listener.local_addr()?, banner: greeter.local_addr()? };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || answer(stream));
            }
        });
        thread::spawn(move || {
            for mut stream in greeter.incoming().flatten() {
                let _ = stream.write_all(b"220 hello\r\n");
                thread::spawn(move || answer(stream));
            }
        });
        Ok(server)
    }

    /// Sends `messages`, each in its pieces, and takes an answer to each, which tells all bytes that have arrived so far.
    fn check(&self, name: &str, messages: &[&[&[u8]]], headers: usize) -> Result<()> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        let (mut sent, mut came) = (Vec::new(), Vec::new());
        for pieces in messages {
            for piece in *pieces {
                stream.write_all(piece)?;
                sent.extend_from_slice(piece);
                if pieces.len() > 1 {
                    thread::sleep(Duration::from_millis(1));
                }
            }
            came = read_answer(&mut stream).with_context(|| name.to_owned())?;
        }
        let (plain, values) = without_headers(&came);
        ensure!(plain == sent, "{name}: other bytes came: {:?}", text(&came));
        ensure!(values.len() == headers, "{name}: {} headers: {:?}", values.len(), text(&came));
        Ok(())
    }

    /// Of an answer, and of what a server says before it was asked.
    fn readers_are_told(&self) -> Result<()> {
        let told = |stream: &TcpStream, length: usize| -> Result<()> {
            while stream.peek(&mut [0; 256])? < length {}
            let told = rustix::io::ioctl_fionread(stream)?;
            ensure!(told == length as u64, "{told} of {length} bytes are there to be read");
            Ok(())
        };
        let mut stream = TcpStream::connect(self.address)?;
        stream.write_all(GET)?;
        told(&stream, "111\n".len() + GET.len() + 70)?;

        let mut stream = TcpStream::connect(self.banner)?;
        let mut banner = [0; 11];
        told(&stream, banner.len())?;
        stream.read_exact(&mut banner)?;
        stream.write_all(GET)?;
        let (plain, _) = without_headers(&read_answer(&mut stream)?);
        ensure!(plain == GET, "other bytes came: {:?}", text(&plain));
        Ok(())
    }
}

/// `length in decimal, newline, bytes`.
fn read_answer(stream: &mut TcpStream) -> Result<Vec<u8>> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut prefix = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        if byte == *b"\n" {
            break;
        }
        prefix.push(byte[0]);
    }
    let length: usize = std::str::from_utf8(&prefix)?.parse()?;
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn answer(mut stream: TcpStream) {
    let (mut came, mut piece) = (Vec::new(), vec![0; 1 << 16]);
    let quiet = Some(Duration::from_millis(8));
    while let Ok(got @ 1..) = stream.read(&mut piece) {
        came.extend_from_slice(&piece[..got]);
        if let Some(size) = size_asked_for(&came) {
            came.clear();
            if stream.write_all(&sized(size)).is_err() {
                return;
            }
            continue;
        }
        if stream.set_read_timeout(quiet).is_err() {
            return;
        }
        while let Ok(got @ 1..) = stream.read(&mut piece) {
            came.extend_from_slice(&piece[..got]);
        }
        let mut answer = format!("{}\n", came.len()).into_bytes();
        answer.extend_from_slice(&came);
        if stream.set_read_timeout(None).is_err() || stream.write_all(&answer).is_err() {
            return;
        }
    }
}

/// Of `GET /size/N`, once its head is whole.
fn size_asked_for(came: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(came).ok()?.strip_suffix("\r\n\r\n")?;
    head.strip_prefix("GET /size/")?.split(' ').next()?.parse().ok()
}

fn sized(size: usize) -> Vec<u8> {
    let mut response = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").into_bytes();
    response.extend((0..size).map(|at| u8::try_from((at * 7 + size) % 251).unwrap_or_default()));
    response
}
