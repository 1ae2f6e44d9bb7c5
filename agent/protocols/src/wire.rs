//! A connection under test, of any protocol, and what its corpus is.

pub(crate) mod corpus;

use crate::{
    exchange::{CloseReason, Event, Party, Stamp},
    fuzz::Watched,
    mysql,
};

/// A conversation in order, and its exchanges as [`Told::summary`] writes them.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) script: Vec<(Party, Vec<u8>)>,
    pub(crate) expect: &'static [&'static str],
}

impl Case {
    pub(crate) fn of(name: &'static str, script: &[(Party, &[u8])], expect: &'static [&'static str]) -> Self {
        let script = script.iter().map(|(from, bytes)| (*from, bytes.to_vec())).collect();
        Self { name, script, expect }
    }
}

/// What tests ask of a protocol.
pub(crate) trait Told: Watched + Sized {
    /// A connection with the usual limits: seen from its first byte on, and joined.
    fn opened() -> Self;
    fn joined() -> Self;

    /// As the first, and what it reads is noted for masks that ask.
    fn noting() -> Self {
        Self::opened()
    }

    fn take_notes(&mut self) -> mysql::Notes {
        mysql::Notes::default()
    }

    /// An exchange in one line; nothing for other events.
    fn summary(event: &Event<Self::Head, Self::Detail>) -> Option<String>;

    /// Faults so far.
    fn failures(&self) -> u32;

    /// What was counted though nothing was wrong; `None` where all counters are zero.
    fn complaint(&self) -> Option<String>;
}

/// A connection under test: it keeps the offsets, and one operation is one nanosecond.
pub(crate) struct Wire<C> {
    pub(crate) connection: C,
    pub(crate) offsets: [u64; 2],
    pub(crate) time: u64,
    pub(crate) exchanges: Vec<String>,
}

impl<C: Told> Wire<C> {
    pub(crate) fn new(connection: C) -> Self {
        Self { connection, offsets: [0; 2], time: 0, exchanges: Vec::new() }
    }

    pub(crate) fn opened() -> Self {
        Self::new(C::opened())
    }

    pub(crate) fn joined() -> Self {
        Self::new(C::joined())
    }

    pub(crate) fn stamp(&mut self) -> Stamp {
        self.time += 1;
        Stamp { time: self.time, ..Stamp::default() }
    }

    pub(crate) fn send(&mut self, from: Party, bytes: &[u8]) {
        let at = self.stamp();
        let offset = &mut self.offsets[usize::from(from == Party::Server)];
        self.connection.handle_bytes(from, at, *offset, bytes);
        *offset += bytes.len() as u64;
        self.drain();
    }

    /// Bytes that pass with only their end seen.
    pub(crate) fn skip(&mut self, from: Party, length: u64, tail: &[u8]) {
        let at = self.stamp();
        let offset = &mut self.offsets[usize::from(from == Party::Server)];
        self.connection.handle_gap(from, at, *offset, length, tail);
        *offset += length;
        self.drain();
    }

    /// An operation of which the first bytes and the last were captured.
    pub(crate) fn send_cut(&mut self, from: Party, head: &[u8], gap: u64, tail: &[u8]) {
        self.send(from, head);
        self.time -= 1;
        self.skip(from, gap + tail.len() as u64, tail);
    }

    /// Bytes of which no record arrives.
    pub(crate) fn lose(&mut self, from: Party, length: u64) {
        self.offsets[usize::from(from == Party::Server)] += length;
    }

    pub(crate) fn shutdown(&mut self, from: Party) {
        let at = self.stamp();
        self.connection.handle_shutdown(from, at);
        self.drain();
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, exchanges: &[&str]) {
        assert_eq!(self.exchanges, exchanges);
        self.exchanges.clear();
    }

    pub(crate) fn close(&mut self) {
        let at = self.stamp();
        self.connection.handle_close(at, CloseReason::Finished);
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            self.exchanges.extend(C::summary(&event));
        }
    }
}
