//! The small servers under `tests/apps` that need no driver of their own: Node and Go.
//!
//! Every scripted server, nginx and Python included, answers the same routes:
//!
//! | request | status |
//! |---|---|
//! | `GET`, `HEAD /ok` | 200 |
//! | `GET /big` | 200, 64 KiB |
//! | `GET /moved` | 302 |
//! | `GET /fail` | 500 |
//! | `POST /items` | 201 |
//! | `GET`, `PUT /items/{id}` | 200 |
//! | `DELETE /items/{id}` | 204 |
//! | anything else | 404 |

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result};

use crate::{client::Address, guard::Guard, paths, port, python};

/// A running application.
#[derive(Debug)]
pub struct App {
    guard: Guard,
    port: u16,
}

impl App {
    /// The scripted routes on Node's `http`.
    ///
    /// # Errors
    /// When node is not there or does not listen.
    pub fn node() -> Result<Self> {
        Self::node_script("server.js", &[])
    }

    /// A script of `tests/apps`; it gets its port as the first argument.
    ///
    /// # Errors
    /// As for [`App::node`].
    pub fn node_script(script: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let mut command = Command::new("node");
        command.arg(paths::app(script)).envs(settings.iter().copied());
        Self::start(command)
    }

    /// The scripted routes on Go's `net/http`.
    ///
    /// # Errors
    /// When the compiler is not there or the server does not listen.
    pub fn go() -> Result<Self> {
        Self::start(Command::new(go_server()?))
    }

    /// Any program that takes a port as its last argument and listens there on loopback.
    ///
    /// # Errors
    /// When it does not start or does not listen.
    pub fn start(mut command: Command) -> Result<Self> {
        let port = port::free()?;
        command.arg(port.to_string());
        Self::listening(command, port)
    }

    /// A program that has been told in its own way to listen on `port` of loopback.
    ///
    /// # Errors
    /// When it does not start or does not listen.
    pub fn listening(command: Command, port: u16) -> Result<Self> {
        let mut guard = Guard::spawn(command).context("`apt-get install nodejs` brings node")?;
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

/// The scripted server.
fn go_server() -> Result<PathBuf> {
    go("go_server", "server")
}

/// Compiles a directory of `tests/apps` to `target/go/NAME`; Go's own cache makes the next call cheap.
///
/// # Errors
/// When the compiler is not there, or what it says when it fails.
pub fn go(source: &str, name: &str) -> Result<PathBuf> {
    go_with(source, name, &[])
}

/// The same with flags of `go build`.
///
/// # Errors
/// As for [`go`].
pub fn go_with(source: &str, name: &str, flags: &[&str]) -> Result<PathBuf> {
    go_build(source, name, flags, |build| {
        build.env("GOPATH", paths::target().join("go/path")).env("GOFLAGS", "-mod=mod");
    })
}

/// The same with the packages that Debian has of others, which are no modules.
///
/// # Errors
/// As for [`go`].
pub fn go_of_debian(source: &str, name: &str, flags: &[&str]) -> Result<PathBuf> {
    go_build(source, name, flags, |build| {
        build.env("GOPATH", "/usr/share/gocode").env("GO111MODULE", "off");
    })
}

fn go_build(source: &str, name: &str, flags: &[&str], finds: impl FnOnce(&mut Command)) -> Result<PathBuf> {
    static LOCK: Mutex<()> = Mutex::new(());
    let _one_at_a_time = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = paths::target().join("go");
    fs::create_dir_all(&directory)?;
    let binary = directory.join(name);
    let mut build = Command::new(python::go()?);
    build.arg("build").args(flags).arg("-o").arg(&binary).arg("main.go").current_dir(paths::app(source));
    build.env("GOCACHE", directory.join("cache"));
    build.envs([("GOTOOLCHAIN", "local"), ("GOPROXY", "off"), ("CGO_ENABLED", "0")]);
    finds(&mut build);
    python::quietly(&mut build)?;
    Ok(binary)
}
