//! `cargo xtask demo`: a small real application, traced from outside, in one command.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    io::{BufRead, BufReader, IsTerminal},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use honeyguide_tests::{
    agent::Agent,
    capture::{Capture, Kind, Span},
    client::{Body, Client, Request},
    privilege,
    shop::Shop,
};

use crate::{bpf::Outcome, build, paths, setup};

pub(crate) fn run() -> Result<()> {
    if !privilege::is_root() {
        bail!(
            "the demo loads programs into the kernel, so it needs root. Type:\n\n    \
             sudo -E env \"PATH=$PATH\" cargo xtask demo\n"
        );
    }
    headline("1", "Building honeyguide (the first time takes a few minutes)");
    if let Outcome::Skipped(advice) = build::build()? {
        bail!("without its BPF programs honeyguide cannot capture.\n{advice}");
    }
    let missing = setup::pieces::for_demo()?;
    ensure!(
        missing.is_empty(),
        "the demo's application needs packages: apt-get install {}",
        missing.join(" ")
    );

    headline("2", "Starting an application: four programs that know nothing of tracing");
    let shop = Shop::with_database()?;
    let database = shop.database.as_ref().context("it was started")?;
    println!("    nginx    127.0.0.1:{:<6} the front, pid {}", shop.nginx.port(), shop.nginx.pid());
    println!(
        "    node     127.0.0.1:{:<6} behind /api/node/, pid {}",
        shop.catalog.port(),
        shop.catalog.pid()
    );
    println!(
        "    python   127.0.0.1:{:<6} behind /api/py/, and asked by node for prices, pid {}",
        shop.orders.port(),
        shop.orders.pid()
    );
    println!(
        "    postgres 127.0.0.1:{:<6} where python finds the prices, pid {}",
        database.port(),
        database.pid()
    );

    let out = paths::root().join("out");
    for signal in ["traces", "metrics", "logs", "profiles"] {
        // Spans of an earlier demo would be counted as this one's.
        let _ = fs::remove_file(out.join(format!("{signal}.jsonl")));
    }
    // By process and not by port: a port would select its clients too, and the demo's own client is no part of it.
    let pids = [shop.nginx.pid(), shop.catalog.pid(), shop.orders.pid(), database.pid()];
    let pids = pids.map(|pid| format!("--pid {pid}")).join(" ");
    headline("3", "Tracing it from outside");
    println!("    $ target/release/honeyguide run {pids} --print spans --out out/\n");
    let agent = Live::start(&pids, &out)?;
    let sent = send_traffic(&shop)?;
    // So that the last spans are printed as they come and not by the end.
    thread::sleep(Duration::from_secs(1));
    let said = agent.stop()?;
    drop(shop);

    headline("4", "What that was");
    explain(&Capture::read(&out, said)?, sent)
}

/// Sends a few requests of each kind; returns how many.
fn send_traffic(shop: &Shop) -> Result<usize> {
    let mut client = Client::new(shop.nginx.address());
    let order = Request {
        method: "POST",
        target: "/api/py/orders".to_owned(),
        body: Body::Sized(120),
        headers: String::new(),
    };
    let mut requests = Vec::new();
    for round in 1..=3 {
        requests.push(Request::get("/"));
        requests.push(Request::get(format!("/api/py/orders/{}", 40 + round)));
        requests.push(Request::get(format!("/api/node/items/{round}")));
        requests.push(Request::get(format!("/api/node/quote/{}", 70 + round)));
    }
    requests.push(order);
    requests.push(Request::get("/api/py/broken?token=a-secret"));
    requests.push(Request::get("/api/node/nothing"));
    for request in &requests {
        client.send(request)?;
        // A person reads along.
        thread::sleep(Duration::from_millis(150));
    }
    Ok(requests.len())
}

/// The agent with its spans on this terminal. Killed on drop.
struct Live {
    child: Child,
    stderr: Option<thread::JoinHandle<String>>,
}

impl Live {
    fn start(pids: &str, out: &Path) -> Result<Self> {
        let mut command = Agent::command()?;
        command
            .arg("run")
            .args(pids.split(' '))
            .args(["--print", "spans", "--out"])
            .arg(out)
            .stdin(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().context("cannot start honeyguide")?;
        let stderr = child.stderr.take().context("a pipe was asked for")?;
        let (ready, is_ready) = mpsc::channel();
        let reader = thread::spawn(move || {
            let mut said = String::new();
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                eprintln!("{line}");
                if line.contains("honeyguide: ready") {
                    // No one waits any more after a timeout.
                    let _ = ready.send(());
                }
                said += &line;
                said.push('\n');
            }
            said
        });
        let live = Self { child, stderr: Some(reader) };
        is_ready
            .recv_timeout(Duration::from_secs(60))
            .context("honeyguide has not become ready; what it said is above")?;
        Ok(live)
    }

    fn stop(mut self) -> Result<String> {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        ensure!(status.success(), "honeyguide has ended too early");
        let status = self.child.wait()?;
        let said = self.stderr.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        ensure!(status.success(), "honeyguide ended with {status}");
        Ok(said)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn explain(capture: &Capture, sent: usize) -> Result<()> {
    let mut services = BTreeMap::<&str, usize>::new();
    for span in &capture.spans {
        *services.entry(span.service()).or_default() += 1;
    }
    let counts: Vec<String> = services.iter().map(|(name, count)| format!("{name} ({count})")).collect();
    println!("    {sent} requests were sent. honeyguide saw them in the kernel, at the sockets, and made");
    println!("    {} spans of {} services: {}.", capture.spans.len(), services.len(), counts.join(", "));

    let chain = longest_chain(&capture.spans);
    let processes: BTreeSet<&str> = chain.iter().map(|span| span.service()).collect();
    println!(
        "\n    One of them went through {} programs. No program was changed, no header added:\n",
        processes.len()
    );
    for (depth, span) in chain.iter().enumerate() {
        let kind = match span.kind {
            Kind::Server => "server",
            Kind::Client => "client",
            Kind::Other => "",
        };
        let what = format!("{}{} {}", "  ".repeat(depth), span.service(), kind);
        let request = match span.get("db.query.summary") {
            "" => format!("{:<5} {}", span.method(), span.path()),
            summary => summary.to_owned(),
        };
        println!("      {what:<34} {request:<28} {:>8.3} ms", span.duration().as_secs_f64() * 1e3);
    }
    if let Some(query) = chain.iter().rev().find(|span| !span.get("db.query.text").is_empty()) {
        println!("\n    The statement, as its spans have it. Values do not leave the host:\n");
        println!("      {}", query.get("db.query.text"));
    }
    let (dropped, counters) = capture.dropped();
    println!(
        "\n    Lost on the way: {}.",
        if dropped == 0 { "nothing".to_owned() } else { counters.join(", ") }
    );
    println!("    The same spans, as OTLP/JSON: out/traces.jsonl (and metrics.jsonl)");

    headline("5", "On your own machine");
    println!("    sudo target/release/honeyguide run --all --print spans        everything on this host");
    println!(
        "    sudo target/release/honeyguide run --port 8080 --out out/     who listens on, or calls, port 8080"
    );
    println!("    sudo target/release/honeyguide attach PID                     one process, live");
    println!("    sudo target/release/honeyguide run --all --otlp http://collector:4317");
    println!("    sudo target/release/honeyguide doctor                         what this kernel allows\n");

    ensure!(services.len() == 4, "the demo should show four services");
    ensure!(processes.len() == 4, "the demo should show a request that goes through four programs");
    Ok(())
}

/// The spans from a root down to the deepest one below it.
fn longest_chain(spans: &[Span]) -> Vec<&Span> {
    let by_id: HashMap<&str, &Span> = spans.iter().map(|span| (span.span_id.as_str(), span)).collect();
    let up = |span| {
        let parent = |span: &&Span| by_id.get(span.parent_span_id.as_str()).copied();
        // Bounded by the number of spans: wrong parents could form a ring.
        let mut chain: Vec<&Span> = std::iter::successors(Some(span), parent).take(spans.len()).collect();
        chain.reverse();
        chain
    };
    spans.iter().map(up).max_by_key(Vec::len).unwrap_or_default()
}

fn headline(number: &str, text: &str) {
    if std::io::stdout().is_terminal() {
        println!("\n\x1b[1m{number}. {text}\x1b[0m");
    } else {
        println!("\n{number}. {text}");
    }
}
