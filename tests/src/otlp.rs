//! OTLP receivers that this project did not write: one on the official generated stubs, and the rotel collector.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{
    guard::Guard,
    paths, port,
    profcheck::{self, Tally},
    python,
    scratch::Scratch,
};

/// A running receiver on the official stubs, for gRPC, HTTP/protobuf and HTTP/JSON.
#[derive(Debug)]
pub struct Receiver {
    guard: Guard,
    http: u16,
    grpc: u16,
}

impl Receiver {
    /// # Errors
    /// When Python or a package is not there, or it does not listen.
    pub fn start() -> Result<Self> {
        let http = port::free()?;
        let mut command = Command::new(python::environment()?.join("bin/python"));
        command.arg(paths::app("otlp_receiver.py")).arg(http.to_string());
        let mut guard = Guard::spawn(command)?;
        port::wait(&mut guard, SocketAddr::from((Ipv4Addr::LOCALHOST, http)))?;
        let log = guard.log();
        let grpc =
            log.lines().find_map(|line| line.strip_prefix("grpc ")).context("no line with the gRPC port")?;
        let grpc = grpc.parse().context("bad gRPC port")?;
        Ok(Self { guard, http, grpc })
    }

    #[must_use]
    pub fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    #[must_use]
    pub fn grpc(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }

    /// Trace id and span id of every span that has arrived by `protocol` (`grpc`, `http`, `json`).
    ///
    /// # Errors
    /// When a span has arrived twice.
    pub fn spans(&self, protocol: &str) -> Result<BTreeSet<(String, String)>> {
        let mut spans = BTreeSet::new();
        for [_, by, trace, span] in self.lines::<4>("span") {
            let is_new = by != protocol || spans.insert((trace.clone(), span.clone()));
            ensure!(is_new, "span {span} of trace {trace} has arrived twice");
        }
        Ok(spans)
    }

    /// What the spans that have arrived by `protocol` say, in the order of their arrival.
    #[must_use]
    pub fn told(&self, protocol: &str) -> Vec<Told> {
        let lines = self.lines::<7>("span").into_iter();
        let told = |[_, by, trace, span, kind, parent, path]: [String; 7]| {
            (by == protocol).then_some(Told { trace, span, kind, parent, path })
        };
        lines.filter_map(told).collect()
    }

    /// The names of the metrics that have arrived by `protocol`.
    #[must_use]
    pub fn metrics(&self, protocol: &str) -> BTreeSet<String> {
        self.lines::<4>("metric")
            .into_iter()
            .filter(|[_, by, ..]| by == protocol)
            .map(|[_, _, name, _]| name)
            .collect()
    }

    /// What the profiles hold that have arrived by `protocol`, as the stubs decoded them.
    ///
    /// # Errors
    /// When they are not what the protocol asks for.
    pub fn profiles(&self, protocol: &str) -> Result<Tally> {
        let mut tally = Tally::default();
        for (by, message) in messages(&self.guard.log()) {
            if by == protocol {
                profcheck::check_lines(message, &mut tally).with_context(|| format!("profiles by {by}"))?;
            }
        }
        Ok(tally)
    }

    /// Waits until `count` spans have arrived by `protocol`.
    ///
    /// # Errors
    /// When fewer have after 20 seconds.
    pub fn wait_for_spans(&self, protocol: &str, count: usize) -> Result<BTreeSet<(String, String)>> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let spans = self.spans(protocol)?;
            if spans.len() >= count {
                return Ok(spans);
            }
            ensure!(
                Instant::now() < deadline,
                "{} of {count} spans have arrived by {protocol}\n{}",
                spans.len(),
                self.guard.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The first words of every line that begins with `what`.
    fn lines<const WORDS: usize>(&self, what: &str) -> Vec<[String; WORDS]> {
        let log = self.guard.log();
        // A last line without its end is still being written.
        let whole = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let words =
            whole.map(|line| line.split_whitespace().take(WORDS).map(str::to_owned).collect::<Vec<_>>());
        words
            .filter_map(|words| words.try_into().ok())
            .filter(|words: &[String; WORDS]| words[0] == what)
            .collect()
    }
}

impl Drop for Receiver {
    /// What a test did not ask for is checked all the same.
    fn drop(&mut self) {
        for (by, message) in messages(&self.guard.log()) {
            let checked = profcheck::check_lines(message, &mut Tally::default());
            assert!(checked.is_ok() || std::thread::panicking(), "profiles by {by}: {checked:?}");
        }
    }
}

/// The messages of profiles, each with the protocol that brought it.
fn messages(log: &str) -> impl Iterator<Item = (&str, &str)> {
    // A last line without its end is still being written.
    let whole = log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    whole.filter_map(|line| line.strip_prefix("profiles ")?.split_once(' '))
}

/// What the official stubs make of a file of profiles: the same, a message a line.
///
/// # Errors
/// When Python or a package is not there, or a line is not what the stubs take.
pub fn decoded(file: &Path) -> Result<String> {
    let mut command = Command::new(python::environment()?.join("bin/python"));
    let output = command.arg(paths::app("otlp_profiles.py")).arg(file).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// A span of somebody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub trace: String,
    pub span: String,
    /// OTLP's number of the kind.
    pub kind: String,
    /// `-` where there is none.
    pub parent: String,
    /// `url.path`, or that of `url.full`; `-` where there is none.
    pub path: String,
}

/// A running rotel, which sends everything on to another receiver by OTLP/HTTP.
#[derive(Debug)]
pub struct Rotel {
    _guard: Guard,
    http: u16,
    grpc: u16,
    _scratch: Scratch,
}

impl Rotel {
    /// # Errors
    /// When it is not there or does not listen.
    pub fn start(forward_to: &str) -> Result<Self> {
        let (http, grpc) = (port::free()?, port::free()?);
        let scratch = Scratch::new("rotel")?;
        let mut command = Command::new(binary()?);
        command
            .args(["start", "--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")])
            .args([
                "--exporter",
                "otlp",
                "--otlp-exporter-protocol",
                "http",
                "--otlp-exporter-endpoint",
                forward_to,
            ])
            .arg("--pid-file")
            .arg(scratch.join("pid"))
            .arg("--log-file")
            .arg(scratch.join("log"));
        let mut guard = Guard::spawn(command)?;
        for port in [http, grpc] {
            port::wait(&mut guard, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        }
        Ok(Self { _guard: guard, http, grpc, _scratch: scratch })
    }

    #[must_use]
    pub fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    #[must_use]
    pub fn grpc(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }
}

/// The package puts its program next to its Python module and not into `bin`.
fn binary() -> Result<std::path::PathBuf> {
    let script = "import pathlib, rotel; print(pathlib.Path(rotel.__file__).with_name('rotel-agent'))";
    let python = python::environment()?.join("bin/python");
    let output = Command::new(python).args(["-c", script]).output()?;
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    ensure!(Path::new(&path).is_file(), "rotel is not where its package should have put it: {path}");
    Ok(path.into())
}
