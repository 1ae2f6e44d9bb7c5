//! A small HTTP server that can be told which system calls to use, and a client for machines without one.
//!
//! ```text
//! peer serve ADDRESS            answers every request with 200 (or N, for /status/N)
//! peer parent ADDRESS           starts `peer serve ADDRESS` as a child and waits for it
//! peer variants DIRECTORY       one listener for each way to receive and each socket family; the way to
//!                               send is the second part of the path: /RECEIVE/SEND/FAMILY
//! peer get ADDRESS PATH COUNT   sends COUNT requests over one connection
//! peer serve2 ADDRESS           answers every HTTP/2 request with 200 and 5000 bytes
//! peer get2 ADDRESS COUNT       asks for /0 to /COUNT-1 over HTTP/2, all at once
//! ```
//!
//! An address is `127.0.0.1:PORT`, `[::1]:PORT` or the path of a unix socket.
#![allow(clippy::print_stdout)] // It tells its driver where it listens.

mod calls;
mod http2;

use std::{
    env,
    net::{Ipv6Addr, SocketAddr, TcpListener},
    os::fd::{AsRawFd, RawFd},
    os::unix::net::UnixListener,
    path::Path,
    process::Command,
    thread,
};

use anyhow::{Context, Result, bail};
use calls::{RECEIVE, SEND};
use honeyguide_tests::client::{Address, Client, Request};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve", address] => Listener::bind(address)?.serve("read"),
        ["parent", address] => {
            // Its end is not ours to judge: the driver ends both.
            let _ = Command::new(env::current_exe()?).args(["serve", address]).status()?;
            Ok(())
        }
        ["variants", directory] => variants(Path::new(directory)),
        ["get", address, path, count] => {
            let mut client = Client::new(Address::Tcp(address.parse()?));
            for _ in 0..count.parse::<u32>()? {
                client.send(&Request::get(path))?;
            }
            Ok(())
        }
        ["serve2", address] => http2::serve(address),
        ["get2", address, count] => http2::get(address, count.parse()?),
        _ => bail!(
            "usage: peer serve|parent|serve2 ADDRESS, peer variants DIRECTORY, peer get ADDRESS PATH COUNT, \
             peer get2 ADDRESS COUNT"
        ),
    }
}

fn variants(directory: &Path) -> Result<()> {
    let mut servers = Vec::new();
    for receive in RECEIVE {
        for family in ["tcp4", "tcp6", "mapped", "unix"] {
            let listener = match family {
                "tcp4" => Listener::bind("127.0.0.1:0")?,
                "tcp6" => Listener::bind("[::1]:0")?,
                // Dual-stack: an IPv4 client shows up with an IPv4-mapped IPv6 address.
                "mapped" => Listener::Tcp(TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0))?),
                _ => Listener::bind(&directory.join(receive).display().to_string())?,
            };
            println!("{receive} {family} {}", listener.address(family)?);
            servers.push(thread::spawn(move || listener.serve(receive)));
        }
    }
    println!("all listen");
    for server in servers {
        if !matches!(server.join(), Ok(Ok(()))) {
            bail!("a listener failed");
        }
    }
    Ok(())
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn bind(address: &str) -> Result<Self> {
        Ok(match address.parse::<SocketAddr>() {
            Ok(address) => Self::Tcp(TcpListener::bind(address)?),
            Err(_) => Self::Unix(UnixListener::bind(address).with_context(|| address.to_owned())?),
        })
    }

    fn address(&self, family: &str) -> Result<String> {
        Ok(match self {
            Self::Tcp(listener) if family == "mapped" => {
                format!("127.0.0.1:{}", listener.local_addr()?.port())
            }
            Self::Tcp(listener) => listener.local_addr()?.to_string(),
            Self::Unix(listener) => {
                let address = listener.local_addr()?;
                address.as_pathname().context("an unnamed socket")?.display().to_string()
            }
        })
    }

    fn serve(self, receive: &'static str) -> Result<()> {
        loop {
            match &self {
                Self::Tcp(listener) => {
                    let (stream, _) = listener.accept()?;
                    stream.set_nodelay(true)?;
                    thread::spawn(move || converse(stream.as_raw_fd(), receive));
                }
                Self::Unix(listener) => {
                    let (stream, _) = listener.accept()?;
                    thread::spawn(move || converse(stream.as_raw_fd(), receive));
                }
            }
        }
    }
}

/// Answers requests until the client has gone. A client that breaks off is the client's business.
fn converse(socket: RawFd, receive: &str) -> Result<()> {
    let mut pending = Vec::new();
    loop {
        let Some((head, body)) = request_lengths(&pending) else {
            if calls::receive(socket, receive, &mut pending)? == 0 {
                return Ok(());
            }
            continue;
        };
        if pending.len() < head + body {
            if calls::receive(socket, receive, &mut pending)? == 0 {
                return Ok(());
            }
            continue;
        }
        let text = String::from_utf8_lossy(&pending[..head]).into_owned();
        let path = text.split(' ').nth(1).unwrap_or("/");
        let mut parts = path.trim_start_matches('/').split('/');
        let (first, second) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let status = if first == "status" { second } else { "200" };
        let send = SEND.iter().find(|&&send| send == second).copied().unwrap_or("write");
        pending.drain(..head + body);
        let answer = vec![b'a'; 700];
        let head = format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n", answer.len());
        calls::send(socket, send, head.as_bytes(), &answer)?;
    }
}

/// The lengths of the first request's head and body, once its head is whole.
fn request_lengths(bytes: &[u8]) -> Option<(usize, usize)> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    Some((head, length.unwrap_or(0)))
}
