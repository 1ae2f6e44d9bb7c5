use super::{Connection, HttpEvent, Limits, corpus::CASES};
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

/// `method target request-body -> status response-body outcome request-wire/response-wire`
pub(super) fn summary(event: &HttpEvent) -> Option<String> {
    let Event::Exchange(exchange) = event else { return None };
    let detail = &exchange.detail;
    let size = |size: Option<u64>| size.map_or("?".to_owned(), |size| size.to_string());
    Some(format!(
        "{} {} {} -> {} {} {:?} {}/{}{}",
        detail.request.method,
        detail.request.target,
        size(detail.request_body),
        detail.response.map_or("-".to_owned(), |response| response.status.to_string()),
        size(detail.response_body),
        exchange.outcome,
        exchange.request.wire_bytes,
        exchange.response.map_or(0, |response| response.wire_bytes),
        if exchange.damaged { " damaged" } else { "" },
    ))
}

#[test]
fn the_corpus_whole() {
    for case in CASES {
        for connection in [Connection::new(Limits::default()), Connection::opened(Limits::default())] {
            let mut wire = Wire::new(connection);
            for (from, bytes) in case.script {
                wire.send(*from, bytes);
            }
            wire.close();
            assert_eq!(wire.exchanges, case.expect, "{}", case.name);
            assert_eq!(wire.connection.counters(), super::Counters::default(), "{}", case.name);
        }
    }
}
