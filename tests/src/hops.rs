//! A chain of small HTTP/1 programs, each of which asks the next one over a connection of its own; the last keeps what it got.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
};

use anyhow::{Context, Result, ensure};

/// The request with this number that a hop sends, to the byte.
#[must_use]
pub fn request(number: usize) -> Vec<u8> {
    let body = match number % 3 {
        0 => Vec::new(),
        1 => format!("GET /inner/{number} HTTP/1.1\r\nHost: inner\r\n\r\n").into_bytes(),
        _ => (0..=255).cycle().take(600).collect(),
    };
    let mut bytes = if body.is_empty() {
        format!("GET /n/{number} HTTP/1.1\r\nHost: next\r\nX-Number: {number}\r\n\r\n")
    } else {
        let length = body.len();
        format!("POST /n/{number} HTTP/1.1\r\nHost: next\r\nX-Number: {number}\r\nContent-Length: {length}\r\n\r\n")
    }
    .into_bytes();
    bytes.extend(body);
    bytes
}

/// Answers each request with what the next hop answers.
///
/// # Errors
/// When a connection fails.
pub fn forward(listen: &str, next: &str) -> Result<()> {
    serve(listen, |message| {
        let number = number(message).context("a request without a number")?;
        ask(next, &request(number))
    })
}

/// Keeps each request in a file, as `length in decimal, newline, bytes`.
///
/// # Errors
/// When a connection fails, or the file cannot be written.
pub fn record(listen: &str, file: &Path) -> Result<()> {
    let mut file = File::create(file)?;
    serve(listen, |message| {
        let mut entry = format!("{}\n", message.len()).into_bytes();
        entry.extend_from_slice(message);
        file.write_all(&entry)?;
        Ok(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nkept".to_vec())
    })
}

/// What [`record`] has kept.
///
/// # Errors
/// When the file cannot be read, or is not what was written.
pub fn recorded(file: &Path) -> Result<Vec<Vec<u8>>> {
    let bytes = fs::read(file)?;
    let (mut rest, mut messages) = (&bytes[..], Vec::new());
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let length: usize = std::str::from_utf8(&rest[..end])?.parse()?;
        let message = rest.get(end + 1..end + 1 + length).context("a message is cut")?;
        messages.push(message.to_vec());
        rest = &rest[end + 1 + length..];
    }
    Ok(messages)
}

/// Sends the requests 0 to `count - 1`, one after another.
///
/// # Errors
/// When one is not answered as the last hop answers.
pub fn drive(address: &str, count: usize) -> Result<()> {
    for number in 0..count {
        let response = ask(address, &request(number))?;
        ensure!(response.ends_with(b"\r\n\r\nkept"), "request {number} got {response:?}");
    }
    Ok(())
}

/// The number in a request's `X-Number`.
#[must_use]
pub fn number(message: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(message);
    text.lines().find_map(|line| line.strip_prefix("X-Number: "))?.trim().parse().ok()
}

fn serve(listen: &str, mut answer: impl FnMut(&[u8]) -> Result<Vec<u8>>) -> Result<()> {
    let listener = TcpListener::bind(listen)?;
    say_that_it_listens();
    loop {
        let (mut stream, _) = listener.accept()?;
        let message = read(&mut stream)?;
        // A look at whether it can be reached.
        if !message.is_empty() {
            stream.write_all(&answer(&message)?)?;
        }
    }
}

fn ask(address: &str, request: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request)?;
    read(&mut stream)
}

#[allow(clippy::print_stderr)] // Its driver waits for this line.
fn say_that_it_listens() {
    eprintln!("listening");
}

/// One message: a head, and as many bytes as its Content-Length says.
fn read(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let (mut message, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = message.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&message[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(Ok(0), |length| length.trim().parse())?;
            if message.len() >= end + 4 + length {
                return Ok(message);
            }
        }
        let got = stream.read(&mut piece)?;
        if got == 0 {
            return Ok(message);
        }
        message.extend_from_slice(&piece[..got]);
    }
}
