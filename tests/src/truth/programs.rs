//! The programs of the benchmark, each a runtime and a way to call.

use std::{any::Any, cell::OnceCell, fmt, fs, path::Path, process::Command};

use anyhow::{Context, Result};

use super::{Pattern, upstream::Upstream};
use crate::{
    apps::{self, App},
    client::Address,
    interpreters::Interpreter,
    nginx::Nginx,
    node, paths,
    php::{Listens, PhpFpm},
    port,
    postgres::Postgres,
    python,
};

/// A program, and what can be expected of its links.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub name: &'static str,
    pub what: &'static str,
    /// Debian packages beyond those of the tests.
    pub packages: &'static [&'static str],
    /// The patterns it answers, each with what is asked of it.
    pub patterns: &'static [(Pattern, Aim)],
    start: fn(&Behind) -> Result<Running>,
}

/// How many of a program's calls ought to be linked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aim {
    /// The runtime says who calls: 99.9 % at any concurrency.
    Exact,
    /// Only inference is possible. The share at up to 16 connections; the rest unlinked rather than wrong.
    Inferred(f64),
    /// Nothing is asked but that nothing be wrong.
    NotWrong,
}

impl Aim {
    /// The least share of right links at `connections`, from 0 to 1.
    #[must_use]
    pub fn least(self, connections: usize) -> f64 {
        match self {
            Self::Exact => 0.999,
            Self::Inferred(share) if connections <= 16 => share,
            Self::Inferred(_) | Self::NotWrong => 0.0,
        }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact => f.write_str("99.9"),
            Self::Inferred(share) => write!(f, "{:.0}, up to 16", share * 100.0),
            Self::NotWrong => f.write_str("not wrong"),
        }
    }
}

use Aim::{Exact, Inferred, NotWrong};
use Pattern::{Fan, Pause, Seq};

/// Every case, the simplest runtimes first.
#[must_use]
pub fn all() -> &'static [Case] {
    &CASES
}

const CASES: [Case; 18] = [
    Case {
        name: "python-threads",
        what: "flask and requests under gunicorn's threads; fan-out by a pool of threads",
        packages: &[],
        patterns: &[(Seq, Exact), (Pause, Exact), (Fan, NotWrong)],
        start: python_threads,
    },
    Case {
        name: "python-gevent",
        what: "the same under gunicorn's greenlets, which gevent runs on one thread",
        packages: &[],
        patterns: &[(Seq, Exact), (Pause, Exact), (Fan, NotWrong)],
        start: python_gevent,
    },
    Case {
        name: "ruby-puma",
        what: "rack under puma, Net::HTTP; fan-out by new threads",
        packages: &["ruby", "puma"],
        patterns: &[(Seq, Exact), (Pause, Exact), (Fan, NotWrong)],
        start: ruby_puma,
    },
    Case {
        name: "php-fpm",
        what: "php-fpm behind nginx, curl and curl_multi",
        packages: &["php-fpm", "php-curl"],
        patterns: &[(Seq, Exact), (Pause, Exact), (Fan, Exact)],
        start: php_fpm,
    },
    Case {
        name: "java-threads",
        what: "HttpServer on a pool of threads, HttpURLConnection; fan-out by a second pool",
        packages: &["openjdk-17-jdk-headless"],
        patterns: &[(Seq, Exact), (Pause, Exact), (Fan, NotWrong)],
        start: |behind| java("Blocking", behind),
    },
    Case {
        name: "python-aiohttp",
        what: "aiohttp as server and client on asyncio; fan-out by gather",
        packages: &[],
        patterns: &[(Seq, Exact), (Pause, Exact), (Fan, Exact)],
        start: python_aiohttp,
    },
    Case {
        name: "python-fastapi",
        what: "fastapi under uvicorn, httpx on asyncio; fan-out by gather",
        packages: &[],
        patterns: &[(Seq, Exact), (Pause, Exact), (Fan, Exact)],
        start: |behind| python_fastapi("asyncio", behind),
    },
    Case {
        name: "python-uvloop",
        what: "the same on uvloop",
        packages: &[],
        patterns: &[(Seq, Inferred(0.99)), (Pause, Inferred(0.95)), (Fan, NotWrong)],
        start: |behind| python_fastapi("uvloop", behind),
    },
    Case {
        name: "go-http",
        what: "net/http on both sides; fan-out by goroutines",
        packages: &["golang-github-lib-pq-dev"],
        patterns: &[(Seq, Exact), (Pause, Exact), (Fan, Exact)],
        start: |behind| go("http", &[], behind),
    },
    Case {
        name: "go-stripped",
        what: "the same program as it is shipped: without symbols and debug information",
        packages: &["golang-github-lib-pq-dev"],
        patterns: &[(Seq, Exact), (Pause, Exact), (Fan, Exact)],
        start: |behind| go("http", &["-ldflags=-s -w"], behind),
    },
    Case {
        name: "go-sql",
        what: "net/http, database/sql with lib/pq and 24 connections; fan-out by goroutines",
        packages: &["golang-github-lib-pq-dev"],
        patterns: &[(Seq, Exact), (Pause, Exact), (Fan, Exact)],
        start: |behind| go("sql", &[], behind),
    },
    Case {
        name: "go-grpc",
        what: "net/http, and grpc-go to two servers in turns, stripped; fan-out by goroutines",
        packages: &["golang-google-grpc-dev"],
        patterns: &[(Seq, Exact), (Pause, Exact), (Fan, Exact)],
        start: go_grpc,
    },
    Case {
        name: "rust-tokio",
        what: "axum and reqwest on tokio's threads; fan-out by spawn",
        packages: &[],
        patterns: &[(Seq, Inferred(0.99)), (Pause, Inferred(0.99)), (Fan, Inferred(0.99))],
        start: |behind| rust_tokio(false, behind),
    },
    Case {
        name: "rust-stripped",
        what: "the same program without its symbols",
        packages: &[],
        patterns: &[(Seq, NotWrong), (Pause, NotWrong), (Fan, NotWrong)],
        start: |behind| rust_tokio(true, behind),
    },
    Case {
        name: "node-http",
        what: "Node's http with a keep-alive agent; pauses by setTimeout, fan-out by Promise.all",
        packages: &[],
        patterns: &[(Seq, Inferred(0.99)), (Pause, Inferred(0.95)), (Fan, NotWrong)],
        start: |behind| node("http", behind),
    },
    Case {
        name: "node-fetch",
        what: "the same by fetch (undici)",
        packages: &[],
        patterns: &[(Seq, Inferred(0.99)), (Pause, Inferred(0.95)), (Fan, NotWrong)],
        start: |behind| node("fetch", behind),
    },
    Case {
        name: "node-pg",
        what: "Node's http and pg with a pool of 24 connections",
        packages: &["npm"],
        patterns: &[(Seq, Inferred(0.99)), (Pause, Inferred(0.95)), (Fan, NotWrong)],
        start: |behind| node("pg", behind),
    },
    Case {
        name: "java-async",
        what: "HttpServer and HttpClient.sendAsync, futures on both sides",
        packages: &["openjdk-17-jdk-headless"],
        patterns: &[(Seq, Inferred(0.95)), (Pause, Inferred(0.95)), (Fan, NotWrong)],
        start: |behind| java("Async", behind),
    },
];

/// What is behind the programs. The database is started for the first that asks.
#[derive(Debug)]
pub struct Behind {
    upstream: Upstream,
    postgres: OnceCell<Postgres>,
}

impl Behind {
    /// # Errors
    /// When the upstream cannot listen.
    pub fn start() -> Result<Self> {
        Ok(Self { upstream: Upstream::start()?, postgres: OnceCell::new() })
    }

    fn postgres(&self) -> Result<&Postgres> {
        if self.postgres.get().is_none() {
            let started = Postgres::start()?;
            return Ok(self.postgres.get_or_init(|| started));
        }
        self.postgres.get().context("it was there a moment ago")
    }

    /// Tells a program where things are.
    fn told(&self, command: &mut Command) {
        command.env("UPSTREAM", self.upstream.url());
    }
}

/// A started program.
pub struct Running {
    pub address: Address,
    /// The processes to trace; what they have started belongs to them.
    pub pids: Vec<u32>,
    /// Ends them when dropped.
    _held: Box<dyn Any>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("address", &self.address).field("pids", &self.pids).finish()
    }
}

impl From<App> for Running {
    fn from(app: App) -> Self {
        Self { address: app.address(), pids: vec![app.pid()], _held: Box::new(app) }
    }
}

impl Case {
    /// # Errors
    /// When something that it needs is not there, or it does not start.
    pub fn start(&self, behind: &Behind) -> Result<Running> {
        (self.start)(behind).with_context(|| format!("cannot start {}", self.name))
    }
}

fn python_threads(behind: &Behind) -> Result<Running> {
    Ok(flask(&behind.upstream.url())?.into())
}

fn python_gevent(behind: &Behind) -> Result<Running> {
    Ok(gunicorn(&["--worker-class", "gevent"], &behind.upstream.url())?.into())
}

/// Twice as many threads as connections at most, so that none waits for another to close.
pub(super) fn flask(upstream: &str) -> Result<App> {
    gunicorn(&["--worker-class", "gthread", "--threads", "128"], upstream)
}

fn gunicorn(workers: &[&str], upstream: &str) -> Result<App> {
    let port = port::free()?;
    let mut command = Command::new(python::truth_environment()?.join("bin/gunicorn"));
    command.args(["--bind", &format!("127.0.0.1:{port}"), "--log-level", "warning", "--workers", "1"]);
    command.args(workers).args(["--keep-alive", "60"]);
    command.arg("--chdir").arg(paths::app("truth")).arg("flask_app:app");
    command.env("UPSTREAM", upstream).env("PYTHONDONTWRITEBYTECODE", "1");
    App::listening(command, port)
}

fn python_aiohttp(behind: &Behind) -> Result<Running> {
    let mut command = Command::new(python::truth_environment()?.join("bin/python"));
    command.arg(paths::app("truth/aiohttp_server.py"));
    behind.told(&mut command);
    Ok(App::start(command)?.into())
}

/// The same on CPython 3.14, which has its own root.
///
/// # Errors
/// When it, or aiohttp for it, is not there.
pub fn python_aiohttp_3_14(behind: &Behind) -> Result<Running> {
    let interpreter = Interpreter::newer("python3.14")?;
    let mut command = interpreter.command("truth/aiohttp_server.py")?;
    command.env("PYTHONPATH", interpreter.packages("3.14", "aiohttp==3.*")?);
    behind.told(&mut command);
    Ok(App::start(command)?.into())
}

fn python_fastapi(event_loop: &str, behind: &Behind) -> Result<Running> {
    let port = port::free()?;
    let mut command = Command::new(python::truth_environment()?.join("bin/uvicorn"));
    command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--loop", event_loop]);
    command.args(["--log-level", "warning", "--timeout-keep-alive", "60"]);
    command.arg("--app-dir").arg(paths::app("truth")).arg("fastapi_app:app");
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    behind.told(&mut command);
    Ok(App::listening(command, port)?.into())
}

fn go(client: &str, flags: &[&str], behind: &Behind) -> Result<Running> {
    let name = if flags.is_empty() { "truth" } else { "truth-stripped" };
    let mut command = Command::new(apps::go_with("truth/go", name, flags)?);
    command.env("CLIENT", client);
    behind.told(&mut command);
    if client == "sql" {
        let postgres = behind.postgres()?;
        postgres.connect(&mut command, Path::new("127.0.0.1"));
    }
    Ok(App::start(command)?.into())
}

fn go_grpc(_behind: &Behind) -> Result<Running> {
    let program = apps::go_of_debian("truth/grpc", "truth-grpc", &["-ldflags=-s -w"])?;
    Ok(App::start(Command::new(program))?.into())
}

fn node(client: &str, behind: &Behind) -> Result<Running> {
    let mut command = Command::new("node");
    command.arg(paths::app("truth/node.js")).env("CLIENT", client);
    behind.told(&mut command);
    if client == "pg" {
        command.env("NODE_PATH", node::packages()?);
        behind.postgres()?.connect(&mut command, Path::new("127.0.0.1"));
    }
    Ok(App::start(command)?.into())
}

fn java(class: &str, behind: &Behind) -> Result<Running> {
    let classes = paths::target().join("java");
    fs::create_dir_all(&classes)?;
    let source = paths::app("truth/java").join(format!("{class}.java"));
    python::quietly(Command::new("javac").arg("-d").arg(&classes).arg(source))
        .context("`apt-get install openjdk-17-jdk-headless` brings javac")?;
    let mut command = Command::new("java");
    // Without the second the server's answers wait for the client's delayed acknowledgements.
    command.args(["-Dhttp.maxConnections=256", "-Dsun.net.httpserver.nodelay=true"]);
    command.args(["-Dsun.net.httpserver.maxIdleConnections=256", "-Xmx256m", "-cp"]).arg(classes).arg(class);
    behind.told(&mut command);
    Ok(App::start(command)?.into())
}

fn rust_tokio(stripped: bool, behind: &Behind) -> Result<Running> {
    let target = paths::target().join("truth-rust");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--locked", "--quiet"]).current_dir(paths::app("truth/rust"));
    python::quietly(cargo.env("CARGO_TARGET_DIR", &target))?;
    let mut program = target.join("release/truth-server");
    if stripped {
        let bare = target.join("release/truth-server-stripped");
        python::quietly(Command::new("strip").arg("-o").arg(&bare).arg(&program))?;
        program = bare;
    }
    let mut command = Command::new(program);
    behind.told(&mut command);
    Ok(App::start(command)?.into())
}

fn ruby_puma(behind: &Behind) -> Result<Running> {
    let port = port::free()?;
    let mut command = Command::new("puma");
    command.args(["--quiet", "--threads", "64:64", "--environment", "production", "--bind"]);
    command.arg(format!("tcp://127.0.0.1:{port}")).arg(paths::app("truth/server.ru"));
    behind.told(&mut command);
    Ok(App::listening(command, port)?.into())
}

fn php_fpm(behind: &Behind) -> Result<Running> {
    let fpm = PhpFpm::start(Listens::Unix, 64)?;
    let server = format!(
        "location / {{ fastcgi_pass fpm; fastcgi_keep_conn on; fastcgi_param DOCUMENT_URI $uri;\n\
         fastcgi_param REQUEST_METHOD $request_method; fastcgi_param REQUEST_URI $request_uri;\n\
         fastcgi_param UPSTREAM {upstream}; fastcgi_param SCRIPT_FILENAME {script}; }}\n",
        upstream = behind.upstream.url(),
        script = paths::app("truth/php/index.php").display(),
    );
    let nginx = Nginx::with_upstreams(1, &fpm.upstream(), &server, &[])?;
    let (address, pids) = (nginx.address(), vec![nginx.pid(), fpm.pid()]);
    Ok(Running { address, pids, _held: Box::new((nginx, fpm)) })
}
