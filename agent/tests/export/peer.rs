//! An HTTP/1.1 server that answers as it is told, byte for byte, and remembers what it was sent.

use std::{
    collections::{HashMap, VecDeque},
    io::{BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Written as it is.
    Bytes(Vec<u8>),
    /// The connection is closed without a word.
    Close,
    /// The connection stays open without a word.
    Hang,
}

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Peer {
    pub(crate) port: u16,
    requests: mpsc::Receiver<Request>,
}

impl Peer {
    /// Gives one of `replies` to each request, in order, and `200 OK` without a body to all later ones.
    pub(crate) fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::start_with(replies, None)
    }

    pub(crate) fn start_with(
        replies: impl IntoIterator<Item = Reply>,
        tls: Option<Arc<ServerConfig>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let replies = Arc::new(Mutex::new(replies.into_iter().collect::<VecDeque<_>>()));
        let (seen, requests) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (replies, seen, tls) = (Arc::clone(&replies), seen.clone(), tls.clone());
                thread::spawn(move || match tls {
                    None => serve(stream, &replies, &seen),
                    Some(config) => {
                        let session = ServerConnection::new(config).unwrap();
                        serve(StreamOwned::<_, TcpStream>::new(session, stream), &replies, &seen);
                    }
                });
            }
        });
        Self { port, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.try_iter().collect()
    }
}

pub(crate) fn reply(status: &str, headers: &str, body: &[u8]) -> Reply {
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len());
    Reply::Bytes([head.as_bytes(), body].concat())
}

fn serve(stream: impl Read + Write, replies: &Mutex<VecDeque<Reply>>, seen: &mpsc::Sender<Request>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream) {
        let next = replies.lock().unwrap().pop_front();
        seen.send(request).unwrap();
        match next.unwrap_or_else(|| reply("200 OK", "", b"")) {
            Reply::Bytes(bytes) => {
                if stream.get_mut().write_all(&bytes).and_then(|()| stream.get_mut().flush()).is_err() {
                    return;
                }
            }
            Reply::Close => return,
            Reply::Hang => thread::sleep(Duration::from_secs(600)),
        }
    }
}

fn read(stream: &mut impl std::io::BufRead) -> Option<Request> {
    let mut line = || {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
        Some(line.trim_end().to_owned())
    };
    let path = line()?.split(' ').nth(1)?.to_owned();
    let mut headers = HashMap::new();
    loop {
        let header = line()?;
        let Some((name, value)) = header.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().ok()?];
    stream.read_exact(&mut body).ok()?;
    Some(Request { path, headers, body })
}
