//! Free ports, and waiting for someone to listen on them.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    sync::{LazyLock, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::guard::Guard;

const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// A loopback port that nothing listens on and that no earlier call in this process has returned.
///
/// # Errors
/// When no port can be bound.
pub fn free() -> Result<u16> {
    static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);
    loop {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        if GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return Ok(port);
        }
    }
}

/// Waits until `server` accepts connections at `address`.
///
/// # Errors
/// When the server ends first, with what it wrote, or when it takes longer than 30 seconds.
pub fn wait(server: &mut Guard, address: SocketAddr) -> Result<()> {
    wait_for(server, || TcpStream::connect(address).is_ok())
}

/// The same for a unix socket.
///
/// # Errors
/// As for [`wait`].
pub fn wait_unix(server: &mut Guard, path: &Path) -> Result<()> {
    wait_for(server, || UnixStream::connect(path).is_ok())
}

fn wait_for(server: &mut Guard, ready: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !ready() {
        if let Some(status) = server.ended()? {
            bail!("{} ended before it listened: {status}\n{}", server.name(), server.log());
        }
        if Instant::now() > deadline {
            bail!("{} does not listen after {PATIENCE:?}\n{}", server.name(), server.log());
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}
