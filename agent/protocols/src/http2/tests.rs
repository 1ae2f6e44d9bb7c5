mod captured;
mod cases;
mod corpus;
mod masking;

use httlib_hpack::Encoder;

use super::{Connection, Counters, HttpEvent, Limits, PREFACE};
use crate::{exchange::Event, wire::Told};

type Wire = crate::wire::Wire<Connection>;

impl Told for Connection {
    fn opened() -> Self {
        Self::opened(Limits::default())
    }

    fn joined() -> Self {
        Self::new(Limits::default())
    }

    fn summary(event: &HttpEvent) -> Option<String> {
        summary(event)
    }

    fn failures(&self) -> u32 {
        self.counters().failures
    }

    fn complaint(&self) -> Option<String> {
        let counters = self.counters();
        (counters != Counters::default()).then(|| format!("{counters:?}"))
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
