//! What the programs call: an HTTP server that answers after a delay that differs from call to call.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Result;

const SHORTEST: Duration = Duration::from_micros(500);
const SPREAD_MICROS: u64 = 7_500;

/// A running server, a thread a connection. Its connections end with their clients.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Upstream {
    /// # Errors
    /// When no port can be bound.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                // A connection that breaks is its client's to notice.
                thread::spawn(move || serve(stream));
            }
        });
        Ok(Self { address, over })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Only wakes the listener; if it has gone, so much the better.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let delay = delay(&line);
        let mut close = false;
        while line.trim_end() != "" {
            line.clear();
            reader.read_line(&mut line)?;
            close |= line.trim_end().eq_ignore_ascii_case("connection: close");
        }
        thread::sleep(delay);
        reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        if close {
            return Ok(());
        }
    }
}

/// By the request line, so that the same call always takes as long.
fn delay(line: &str) -> Duration {
    let mut hasher = DefaultHasher::new();
    line.hash(&mut hasher);
    SHORTEST + Duration::from_micros(hasher.finish() % SPREAD_MICROS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Address, Client, Request};

    #[test]
    fn it_answers_on_a_kept_connection_and_takes_its_time() {
        let upstream = Upstream::start().unwrap();
        let mut client = Client::new(Address::Tcp(upstream.address));
        for number in 0..5 {
            let exchange = client.send(&Request::get(format!("/up/{number}/1"))).unwrap();
            assert_eq!(exchange.status, 200);
            assert!(exchange.took >= SHORTEST, "{exchange:?}");
        }
    }
}
