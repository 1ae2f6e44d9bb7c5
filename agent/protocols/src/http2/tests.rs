mod captured;
mod cases;
mod corpus;
mod masking;

use httlib_hpack::Encoder;

use super::{Connection, HttpEvent, Limits, PREFACE};
use crate::exchange::{CloseReason, Event, Party, Stamp};

/// A connection under test: it keeps the offsets, and one operation is one nanosecond.
struct Wire {
    connection: Connection,
    offsets: [u64; 2],
    time: u64,
    exchanges: Vec<String>,
}

impl Wire {
    fn new(connection: Connection) -> Self {
        Self { connection, offsets: [0; 2], time: 0, exchanges: Vec::new() }
    }

    fn opened() -> Self {
        Self::new(Connection::opened(Limits::default()))
    }

    fn joined() -> Self {
        Self::new(Connection::new(Limits::default()))
    }

    fn stamp(&mut self) -> Stamp {
        self.time += 1;
        Stamp { time: self.time, ..Stamp::default() }
    }

    fn send(&mut self, from: Party, bytes: &[u8]) {
        let at = self.stamp();
        let offset = &mut self.offsets[usize::from(from == Party::Server)];
        self.connection.handle_bytes(from, at, *offset, bytes);
        *offset += bytes.len() as u64;
        self.drain();
    }

    /// Bytes that pass with only their end seen.
    fn skip(&mut self, from: Party, length: u64, tail: &[u8]) {
        let at = self.stamp();
        let offset = &mut self.offsets[usize::from(from == Party::Server)];
        self.connection.handle_gap(from, at, *offset, length, tail);
        *offset += length;
        self.drain();
    }

    /// An operation of which the first bytes and the last were captured.
    fn send_cut(&mut self, from: Party, head: &[u8], gap: u64, tail: &[u8]) {
        self.send(from, head);
        self.time -= 1;
        self.skip(from, gap + tail.len() as u64, tail);
    }

    /// Bytes of which no record arrives.
    fn lose(&mut self, from: Party, length: u64) {
        self.offsets[usize::from(from == Party::Server)] += length;
    }

    fn shutdown(&mut self, from: Party) {
        let at = self.stamp();
        self.connection.handle_shutdown(from, at);
        self.drain();
    }

    #[track_caller]
    fn expect(&mut self, exchanges: &[&str]) {
        assert_eq!(self.exchanges, exchanges);
        self.exchanges.clear();
    }

    fn close(&mut self) {
        let at = self.stamp();
        self.connection.handle_close(at, CloseReason::Finished);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            self.exchanges.extend(summary(&event));
        }
    }
}

/// `method target request-body -> status response-body outcome request-wire/response-wire`, with `_` for
/// an unknown method or target; then the call, as `method status request-messages/response-messages`.
fn summary(event: &HttpEvent) -> Option<String> {
    let Event::Exchange(exchange) = event else { return None };
    let detail = &exchange.detail;
    let known = |text: &str| if text.is_empty() { "_".to_owned() } else { text.to_owned() };
    let size = |size: Option<u64>| size.map_or("?".to_owned(), |size| size.to_string());
    let rpc = detail.rpc.as_ref().map_or_else(String::new, |rpc| {
        format!(
            " rpc {} {}{} {}/{}",
            rpc.method.as_deref().unwrap_or("_"),
            rpc.status.map_or("-".to_owned(), |status| status.to_string()),
            if rpc.has_message { "!" } else { "" },
            size(rpc.request_messages),
            size(rpc.response_messages)
        )
    });
    Some(format!(
        "{} {} {} -> {} {} {:?} {}/{}{rpc}{}",
        known(&detail.request.method),
        known(&detail.request.target),
        size(detail.request_body),
        detail.response.map_or("-".to_owned(), |response| response.status.to_string()),
        size(detail.response_body),
        exchange.outcome,
        exchange.request.wire_bytes,
        exchange.response.map_or(0, |response| response.wire_bytes),
        if exchange.damaged { " damaged" } else { "" },
    ))
}

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
/// A whole header block; and one that is all there is.
pub(super) const OPEN: u8 = END_HEADERS;
pub(super) const ONLY: u8 = END_HEADERS | END_STREAM;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(super) fn headers(flags: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, flags, stream, block)
}

pub(super) fn data(flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(DATA, flags, stream, payload)
}

/// The preface and empty settings.
pub(super) fn hello() -> Vec<u8> {
    [&PREFACE[..], &frame(SETTINGS, 0, 0, b"")].concat()
}

/// One direction's compression, by an encoder that others wrote: all is indexed, every second value is
/// Huffman-coded.
#[derive(Default)]
pub(super) struct Hpack {
    encoder: Encoder<'static>,
    count: usize,
}

impl Hpack {
    /// Fields as `name=value`.
    pub(super) fn block(&mut self, fields: &[&str]) -> Vec<u8> {
        let mut block = Vec::new();
        for field in fields {
            let (name, value) = field.split_once('=').unwrap();
            self.count += 1;
            let huffman = if self.count.is_multiple_of(2) { Encoder::HUFFMAN_VALUE } else { 0 };
            let flags = Encoder::BEST_FORMAT | Encoder::WITH_INDEXING | huffman;
            self.encoder
                .encode((name.as_bytes().to_vec(), value.as_bytes().to_vec(), flags), &mut block)
                .unwrap();
        }
        block
    }

    pub(super) fn get(&mut self, path: &str) -> Vec<u8> {
        self.block(&[
            ":method=GET",
            ":scheme=http",
            &format!(":path={path}"),
            ":authority=shop:80",
            "user-agent=t",
        ])
    }

    pub(super) fn post(&mut self, path: &str) -> Vec<u8> {
        self.block(&[":method=POST", ":scheme=http", &format!(":path={path}"), ":authority=shop:80"])
    }

    pub(super) fn call(&mut self, path: &str) -> Vec<u8> {
        let path = format!(":path={path}");
        self.block(&[
            ":method=POST",
            ":scheme=http",
            &path,
            ":authority=shop:80",
            "content-type=application/grpc",
            "te=trailers",
        ])
    }

    pub(super) fn status(&mut self, status: u16) -> Vec<u8> {
        self.block(&[&format!(":status={status}"), "server=s", "date=today"])
    }
}
