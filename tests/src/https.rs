//! Servers and clients of HTTPS, and what the agent has to say of a run of them.
//!
//! A client gets `/item-0`, `/item-1`, … once each, in any order, and every answer is 200.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::{
    agent::Agent,
    capture::{Capture, Span},
    certificate,
    gated::Gated,
    guard::Guard,
    nginx::Nginx,
    port,
    scratch::Scratch,
};

/// Requests of one run.
pub const REQUESTS: usize = 24;

/// A server with a certificate of its own.
#[derive(Debug)]
pub struct Server {
    process: Process,
    port: u16,
    directory: Scratch,
    certificate: PathBuf,
}

#[derive(Debug)]
enum Process {
    Nginx(Nginx),
    Program(Guard),
    /// Another's.
    Elsewhere(u32),
}

impl Server {
    /// nginx, with HTTP/1.1 and HTTP/2, TLS 1.2 and 1.3, and early data.
    ///
    /// # Errors
    /// When nginx or openssl is not there.
    pub fn nginx() -> Result<Self> {
        let directory = Scratch::new("tls")?;
        let (key, certificate) = certificate::make(directory.path())?;
        let port = port::free()?;
        let server = format!(
            "listen 127.0.0.1:{port} ssl http2; ssl_certificate {}; ssl_certificate_key {};\n\
             ssl_protocols TLSv1.2 TLSv1.3; ssl_early_data on; client_max_body_size 10m;\n\
             location / {{ return 200 'inside'; }}\n",
            certificate.display(),
            key.display(),
        );
        Ok(Self { process: Process::Nginx(Nginx::start(1, &server, &[])?), port, directory, certificate })
    }

    /// Another program, that `command` makes of a certificate, its key and a port.
    ///
    /// # Errors
    /// When it does not start or does not listen.
    pub fn program(command: impl FnOnce(&Path, &Path, u16) -> Result<Command>) -> Result<Self> {
        let directory = Scratch::new("tls")?;
        let (key, certificate) = certificate::make(directory.path())?;
        let port = port::free()?;
        let mut guard = Guard::spawn(command(&certificate, &key, port)?)?;
        port::wait(&mut guard, (std::net::Ipv4Addr::LOCALHOST, port).into())?;
        Ok(Self { process: Process::Program(guard), port, directory, certificate })
    }

    /// A server that the caller keeps; the certificate is in `directory`.
    #[must_use]
    pub fn elsewhere(pid: u32, port: u16, directory: Scratch, certificate: PathBuf) -> Self {
        Self { process: Process::Elsewhere(pid), port, directory, certificate }
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        match &self.process {
            Process::Nginx(nginx) => nginx.pid(),
            Process::Program(guard) => guard.pid(),
            Process::Elsewhere(pid) => *pid,
        }
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A directory that lasts as long as the server.
    #[must_use]
    pub fn directory(&self) -> &Scratch {
        &self.directory
    }

    #[must_use]
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// `https://127.0.0.1:PORT`
    #[must_use]
    pub fn base(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The addresses of all requests.
    pub fn urls(&self) -> impl Iterator<Item = String> {
        (0..REQUESTS).map(|number| format!("{}/{}", self.base(), path(number)))
    }
}

/// Lets the client run, from its first instruction under the eyes of an agent that also sees the server: each request
/// is a client's span and a server's, of scheme `https` and this version of HTTP, the second the child of the first.
///
/// # Errors
/// When it is anything else.
pub fn each_request_is_two_spans(server: &Server, client: &Command, version: &str) -> Result<()> {
    two_spans_each(server, client, version).map(drop)
}

/// The same, and the spans.
///
/// # Errors
/// As above.
pub fn two_spans_each(server: &Server, client: &Command, version: &str) -> Result<Capture> {
    let client = Gated::new(client)?;
    let pids = [server.pid(), client.pid()].map(|pid| pid.to_string());
    let agent = Agent::run(["--pid", &pids[0], "--pid", &pids[1], "--print", "none"])?;
    client.finish()?;
    let capture = agent.stop()?;
    let (dropped, counters) = capture.dropped();
    ensure!(dropped == 0, "the agent dropped something: {counters:?}\n{}", capture.said);
    check("client", &capture.clients(), server, version)?;
    check("server", &capture.servers(), server, version)?;
    linked(&capture)?;
    Ok(capture)
}

/// A client that has opened its connections before the agent comes. It gets the directory of its gate as its last
/// argument: `open` is what it writes there, `go` what it waits for.
///
/// # Errors
/// When a request afterwards is not a client's span and a server's.
pub fn connections_open_before(server: &Server, client: &mut Command, version: &str) -> Result<()> {
    let gate = Scratch::new("later")?;
    let client = Gated::new(client.arg(gate.path()))?;
    let pids = [server.pid(), client.pid()].map(|pid| pid.to_string());
    let running = std::thread::spawn(move || client.finish());
    wait_for(&gate.join("open"))?;
    let agent = Agent::run(["--pid", &pids[0], "--pid", &pids[1], "--print", "none"])?;
    fs::write(gate.join("go"), "")?;
    running.join().map_err(|_| anyhow::anyhow!("the client's thread panicked"))??;
    let capture = agent.stop()?;
    check("client", &capture.clients(), server, version)?;
    check("server", &capture.servers(), server, version)
}

/// One span for each request, all of one side.
///
/// # Errors
/// When one is missing, there twice, or not what was asked for.
pub fn check(side: &str, spans: &[&Span], server: &Server, version: &str) -> Result<()> {
    let mut seen = BTreeSet::new();
    for span in spans {
        let expected = [
            ("url.scheme", "https"),
            ("network.protocol.version", version),
            ("server.port", &server.port.to_string()),
        ];
        for (key, value) in expected {
            // A client's span has its scheme in `url.full`.
            if !(side == "client" && key == "url.scheme") {
                ensure!(span.get(key) == value, "{side}: {key} is not {value}: {span:?}");
            }
        }
        if side == "client" {
            ensure!(span.get("url.full").starts_with("https://127.0.0.1:"), "{span:?}");
        }
        ensure!((span.method(), span.status(), span.error) == ("GET", 200, false), "{side}: {span:?}");
        ensure!(seen.insert(span.path().to_owned()), "two {side} spans: {span:?}");
    }
    let wanted: BTreeSet<String> = (0..REQUESTS).map(|number| format!("/{}", path(number))).collect();
    ensure!(seen == wanted, "{side}: {} of {}: {seen:?}", seen.len(), wanted.len());
    Ok(())
}

/// Each server's span is the child of the client's for the same request.
///
/// # Errors
/// When one is not.
pub fn linked(capture: &Capture) -> Result<()> {
    let clients: BTreeMap<&str, &Span> =
        capture.clients().into_iter().map(|span| (span.span_id.as_str(), span)).collect();
    for server in capture.servers() {
        let client = clients.get(server.parent_span_id.as_str());
        let client = client.with_context(|| format!("a server span without its client's: {server:?}"))?;
        ensure!(client.path() == server.path(), "another request's: {client:?}\n{server:?}");
    }
    Ok(())
}

/// Waits for a file that another program makes.
///
/// # Errors
/// When it does not appear within half a minute.
pub fn wait_for(path: &Path) -> Result<()> {
    for _ in 0..600 {
        if path.exists() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    anyhow::bail!("{} does not appear", path.display())
}

fn path(number: usize) -> String {
    format!("item-{number}")
}
