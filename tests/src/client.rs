//! An HTTP/1.1 client that sends what it is told to and times it.
//!
//! It is written on the standard library's streams on purpose: nothing in it is shared with the parsers under
//! test, and a request is one `write` and its answer is complete when its last byte has been read.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};

/// No server of these tests takes this long, whatever the machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: &'static str,
    /// Path and query.
    pub target: String,
    pub body: Body,
    /// Further header lines, each with its line end.
    pub headers: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    None,
    /// This many bytes, with `Content-Length`.
    Sized(usize),
    /// This many bytes, in chunks of up to 1000.
    Chunked(usize),
}

/// A request that was answered.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub request: Request,
    pub status: u16,
    /// Nanoseconds since the Unix epoch, read just before the first byte was written.
    pub start: u64,
    /// From just before the first byte was written to just after the last one was read, on the monotonic clock.
    pub took: Duration,
    /// The body's length, without chunk framing.
    pub body_length: usize,
}

impl Request {
    #[must_use]
    pub fn get(target: impl Into<String>) -> Self {
        Self { method: "GET", target: target.into(), body: Body::None, headers: String::new() }
    }

    /// The path alone.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or(&self.target)
    }

    fn bytes(&self) -> Vec<u8> {
        let Self { method, target, body, headers } = self;
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: honeyguide-tests\r\n{headers}"
        );
        let mut bytes = head.into_bytes();
        match *body {
            Body::None => bytes.extend(b"\r\n"),
            Body::Sized(length) => {
                bytes.extend(format!("Content-Length: {length}\r\n\r\n").into_bytes());
                bytes.resize(bytes.len() + length, b'x');
            }
            Body::Chunked(length) => {
                bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                let mut left = length;
                while left > 0 {
                    let chunk = left.min(1000);
                    bytes.extend(format!("{chunk:x}\r\n").into_bytes());
                    bytes.resize(bytes.len() + chunk, b'y');
                    bytes.extend(b"\r\n");
                    left -= chunk;
                }
                bytes.extend(b"0\r\n\r\n");
            }
        }
        bytes
    }
}

/// A client connection that is opened when it is needed, and again after the server has closed it.
#[derive(Debug)]
pub struct Client {
    address: Address,
    stream: Option<BufReader<Stream>>,
    line: String,
    body: Vec<u8>,
}

impl Client {
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self { address, stream: None, line: String::new(), body: Vec::new() }
    }

    /// Sends `request` and reads its whole answer. Interim (1xx) answers are read and left out.
    ///
    /// # Errors
    /// When the connection fails, or the answer is not HTTP/1.
    pub fn send(&mut self, request: &Request) -> Result<Exchange> {
        let bytes = request.bytes();
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => BufReader::with_capacity(1 << 16, Stream::open(&self.address)?),
        };
        let start = unix_now();
        let begun = Instant::now();
        stream.get_mut().write_all(&bytes)?;
        let mut head = self.read_head(&mut stream)?;
        while head.status < 200 {
            head = self.read_head(&mut stream)?;
        }
        self.read_body(&mut stream, request.method, &head)?;
        let took = begun.elapsed();
        if !head.close {
            self.stream = Some(stream);
        }
        Ok(Exchange {
            request: request.clone(),
            status: head.status,
            start,
            took,
            body_length: self.body.len(),
        })
    }

    /// The body of the last answer.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    fn read_head(&mut self, stream: &mut BufReader<Stream>) -> Result<Head> {
        self.read_line(stream)?;
        let status = self.line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
        let status = status.with_context(|| format!("not a status line: {:?}", self.line))?;
        let http_1_0 = self.line.starts_with("HTTP/1.0");
        let mut head = Head { status, length: None, chunked: false, close: http_1_0 };
        loop {
            self.read_line(stream)?;
            let Some((name, value)) = self.line.split_once(':') else { break };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = Some(value.parse().context("bad Content-Length")?),
                "transfer-encoding" => head.chunked = value.eq_ignore_ascii_case("chunked"),
                "connection" if value.eq_ignore_ascii_case("close") => head.close = true,
                "connection" if value.eq_ignore_ascii_case("keep-alive") => head.close = false,
                _ => {}
            }
        }
        Ok(head)
    }

    fn read_body(&mut self, stream: &mut BufReader<Stream>, method: &str, head: &Head) -> Result<()> {
        self.body.clear();
        if method == "HEAD" || matches!(head.status, 204 | 304) {
            return Ok(());
        }
        if head.chunked {
            loop {
                self.read_line(stream)?;
                let length = usize::from_str_radix(self.line.trim(), 16).context("bad chunk length")?;
                let begin = self.body.len();
                self.body.resize(begin + length, 0);
                stream.read_exact(&mut self.body[begin..])?;
                self.read_line(stream)?;
                if length == 0 {
                    return Ok(());
                }
            }
        }
        match head.length {
            Some(length) => {
                self.body.resize(length, 0);
                stream.read_exact(&mut self.body)?;
            }
            None if head.close => {
                stream.read_to_end(&mut self.body)?;
            }
            None => bail!("an answer without a length on a connection that stays open"),
        }
        Ok(())
    }

    /// Reads one line into `self.line`, without its end.
    fn read_line(&mut self, stream: &mut BufReader<Stream>) -> Result<()> {
        self.line.clear();
        if stream.read_line(&mut self.line)? == 0 {
            bail!("the server closed the connection inside an answer");
        }
        self.line.truncate(self.line.trim_end_matches(['\r', '\n']).len());
        Ok(())
    }
}

/// Sends `requests` over `connections` at once, each as fast as it is answered. The answers come back in the
/// order of the requests.
///
/// # Errors
/// The first failure of any connection.
pub fn send_all(address: &Address, requests: &[Request], connections: usize) -> Result<Vec<Exchange>> {
    let one = |first: usize| -> Result<Vec<(usize, Exchange)>> {
        let mut client = Client::new(address.clone());
        let own = requests.iter().enumerate().skip(first).step_by(connections);
        let send = |(index, request)| {
            let exchange = client.send(request).with_context(|| format!("request {index}: {request:?}"))?;
            Ok((index, exchange))
        };
        own.map(send).collect()
    };
    let mut all = thread::scope(|scope| -> Result<Vec<_>> {
        let workers: Vec<_> = (0..connections).map(|first| scope.spawn(move || one(first))).collect();
        let mut all = Vec::with_capacity(requests.len());
        for worker in workers {
            let Ok(exchanges) = worker.join() else { bail!("a client thread panicked") };
            all.extend(exchanges?);
        }
        Ok(all)
    })?;
    all.sort_by_key(|&(index, _)| index);
    Ok(all.into_iter().map(|(_, exchange)| exchange).collect())
}

/// Sends `request` at `rate` a second in total for `duration`, spread evenly over `connections`. Returns how
/// many were answered. A connection that falls behind catches up, so the rate is met where the server can.
///
/// # Errors
/// The first failure of any connection.
pub fn send_paced(
    address: &Address,
    request: &Request,
    rate: u32,
    connections: u32,
    duration: Duration,
) -> Result<u64> {
    let interval = Duration::from_secs(1) * connections / rate;
    let begun = Instant::now();
    let one = |number: u32| -> Result<u64> {
        let mut client = Client::new(address.clone());
        let offset = interval * number / connections;
        let mut sent = 0_u32;
        loop {
            let due = offset + interval * sent;
            if due >= duration {
                return Ok(u64::from(sent));
            }
            if let Some(early) = due.checked_sub(begun.elapsed()) {
                thread::sleep(early);
            }
            client.send(request)?;
            sent += 1;
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..connections).map(|number| scope.spawn(move || one(number))).collect();
        let mut total = 0;
        for worker in workers {
            let Ok(sent) = worker.join() else { bail!("a client thread panicked") };
            total += sent?;
        }
        Ok(total)
    })
}

#[derive(Debug)]
struct Head {
    status: u16,
    length: Option<usize>,
    chunked: bool,
    close: bool,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn open(address: &Address) -> Result<Self> {
        Ok(match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, PATIENCE)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Self::Tcp(stream)
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Self::Unix(stream)
            }
        })
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(buffer),
            Self::Unix(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn answers(bytes: &'static [u8], requests: &[Request]) -> Result<Vec<(u16, usize)>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = Address::Tcp(listener.local_addr()?);
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(bytes).unwrap();
            // Held open until the client has gone, so that an end of file is never what completes an answer.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let mut client = Client::new(address);
        let sent = requests.iter().map(|request| client.send(request).map(|e| (e.status, e.body_length)));
        let sent = sent.collect();
        drop(client);
        server.join().unwrap();
        sent
    }

    #[test]
    fn interim_chunked_head_and_empty_answers_are_told_apart() {
        let head = Request { method: "HEAD", ..Request::get("/") };
        let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
            3\r\nabc\r\n1\r\nd\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\
            HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno";
        let requests = [Request::get("/"), head, Request::get("/"), Request::get("/")];
        assert_eq!(answers(bytes, &requests).unwrap(), [(200, 4), (200, 0), (204, 0), (404, 2)]);
    }

    #[test]
    fn an_answer_that_is_not_http_is_an_error() {
        assert!(answers(b"SSH-2.0-x\r\n", &[Request::get("/")]).is_err());
    }

    #[test]
    fn a_chunked_body_is_framed() {
        let request = Request { method: "POST", body: Body::Chunked(1001), ..Request::get("/a") };
        let bytes = String::from_utf8(request.bytes()).unwrap();
        let (_, body) = bytes.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, format!("3e8\r\n{}\r\n1\r\ny\r\n0\r\n\r\n", "y".repeat(1000)));
    }
}
