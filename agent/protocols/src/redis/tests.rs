mod cases;
mod corpus;

use super::{Connection, RedisEvent};
use crate::{
    exchange::{CloseReason, Event, Party, Stamp},
    keyvalue::Waits,
};

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

/// `operation text database -> … outcome request-wire/response-wire`
pub(super) fn summary(event: &RedisEvent) -> Option<String> {
    let Event::Exchange(exchange) = event else { return None };
    let (detail, head) = (&exchange.detail, &exchange.detail.request);
    let text = head.text.as_ref().map_or("-".to_owned(), |text| format!("`{text}`"));
    let failure = detail.failure.as_ref().map(|failure| failure.code.as_deref().unwrap_or("-----"));
    Some(format!(
        "{} {text} {} -> {}{}{}{}{:?} {}/{}{}",
        head.operation,
        detail.database.map_or("-".to_owned(), |number| number.to_string()),
        if detail.waits == Waits::Answer { String::new() } else { format!("waits {:?} ", detail.waits) },
        detail.batch_size.map_or(String::new(), |size| format!("batch {size} ")),
        failure.map_or(String::new(), |code| format!("{code} ")),
        detail.transaction.map_or(String::new(), |unrun| format!("{unrun:?} ")),
        exchange.outcome,
        exchange.request.wire_bytes,
        exchange.response.map_or(0, |response| response.wire_bytes),
        if exchange.damaged { " damaged" } else { "" },
    ))
}
