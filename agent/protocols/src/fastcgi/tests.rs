mod cases;
mod corpus;

use super::{Connection, FastCgiEvent};
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

    /// Bytes of which no record arrives.
    fn lose(&mut self, from: Party, length: u64) {
        self.offsets[usize::from(from == Party::Server)] += length;
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

/// `method target authority version -> status outcome request-body+wire/response-body+wire`
pub(super) fn summary(event: &FastCgiEvent) -> Option<String> {
    let Event::Exchange(exchange) = event else { return None };
    let (detail, head) = (&exchange.detail, &exchange.detail.request);
    let size = |size: Option<u64>| size.map_or("-".to_owned(), |size| size.to_string());
    Some(format!(
        "{} {} {} {:?} -> {}{:?} {}+{}/{}+{}{}{}",
        head.method,
        head.target,
        head.authority.as_deref().unwrap_or("-"),
        head.version,
        detail.response.map_or(String::new(), |response| format!("{} ", response.status)),
        exchange.outcome,
        size(detail.request_body),
        exchange.request.wire_bytes,
        size(detail.response_body),
        exchange.response.map_or(0, |response| response.wire_bytes),
        if head.truncated { " truncated" } else { "" },
        if exchange.damaged { " damaged" } else { "" },
    ))
}
