mod cases;
mod copy;
mod corpus;

use super::{Connection, SqlEvent};
use crate::{
    exchange::{CloseReason, Event, Party, Stamp},
    sql::Prepared,
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

/// `operation namespace statement -> rows returned/affected … outcome request-wire/response-wire`
pub(super) fn summary(event: &SqlEvent) -> Option<String> {
    let Event::Exchange(exchange) = event else { return None };
    let (detail, head) = (&exchange.detail, &exchange.detail.request);
    let rows = |rows: Option<u64>| rows.map_or("-".to_owned(), |rows| rows.to_string());
    let statement = match (&head.statement, head.prepared) {
        (Some(statement), _) => format!("`{}{}`", statement.text, if statement.truncated { "…" } else { "" }),
        (None, Some(_)) => "?".to_owned(),
        (None, None) => "-".to_owned(),
    };
    let prepared = match head.prepared {
        Some(Prepared::Known) => " known",
        Some(Prepared::Unknown) => " unknown",
        None => "",
    };
    let failure = detail.failure.as_ref().map(|failure| failure.sqlstate.as_deref().unwrap_or("-----"));
    Some(format!(
        "{:?} {} {statement}{prepared} -> rows {}/{}{}{}{} {:?} {}/{}{}",
        head.operation,
        head.namespace.as_deref().unwrap_or("-"),
        rows(detail.rows_returned),
        rows(detail.rows_affected),
        detail.batch_size.map_or(String::new(), |size| format!(" batch {size}")),
        failure.map_or(String::new(), |state| format!(" {state}")),
        if detail.skipped { " skipped" } else { "" },
        exchange.outcome,
        exchange.request.wire_bytes,
        exchange.response.map_or(0, |response| response.wire_bytes),
        if exchange.damaged { " damaged" } else { "" },
    ))
}
