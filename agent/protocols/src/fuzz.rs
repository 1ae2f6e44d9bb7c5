//! Bodies of fuzz targets. Unit tests run them on fixed and random bytes, libFuzzer on its own (`cargo xtask fuzz`).

#[cfg(test)]
mod tests {
    mod seeds;
}
mod masking;
mod statements;
mod watched;

use crate::{
    detect::detect,
    exchange::{CloseReason, Event, Party, Stamp},
    fastcgi, http1, http2, memcached, mysql, postgres,
    reader::Reader,
    redis,
    sql::{self, Dialect},
};

pub use masking::masking;
pub use statements::statements;
pub(crate) use watched::Watched;

type Body = fn(&[u8]);

/// Every target, by name. `seeds.rs` has what each of them begins with.
pub const TARGETS: &[(&str, Body)] = &[
    ("detection", detection),
    ("fastcgi", fastcgi),
    ("hpack", hpack),
    ("http1", http1),
    ("http2", http2),
    ("masking", masking),
    ("memcached", memcached),
    ("mysql", mysql),
    ("postgres", postgres),
    ("redis", redis),
    ("sql", sql),
    ("statements", statements),
];

/// Any two prefixes have a verdict.
pub fn detection(data: &[u8]) {
    let split = data.first().map_or(0, |&at| usize::from(at).min(data.len()));
    let (sent, received) = data.split_at(split);
    let _ = detect(sent, received);
}

/// Any text in any dialect, cut or whole.
///
/// # Panics
///
/// When a text or a summary is longer than it may be.
pub fn sql(data: &[u8]) {
    let Some((&control, data)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(data);
    let dialect = [Dialect::Generic, Dialect::Postgres, Dialect::MySql][usize::from(control & 3).min(2)];
    let limit = if control & 4 == 0 { 4096 } else { usize::from(control) };
    let found = sql::describe(&text, dialect, control & 8 != 0, limit);
    assert!(found.text.len() <= limit);
    if let Some(summary) = found.summary {
        assert!(!summary.is_empty() && summary.chars().count() <= 255, "{summary}");
    }
}

/// Any script of operations on an HTTP/1 connection.
///
/// Each operation is a control byte, a length byte, and as many bytes of data as it asks for.
///
/// # Panics
///
/// When memory is not bounded, an exchange ends twice, or one stays open after the close.
pub fn http1(data: &[u8]) {
    let limits =
        http1::Limits { head: 256, parked: 128, outstanding: 4, failures: 3, ..http1::Limits::default() };
    let bounds = Bounds { held: 16 * 1024, outstanding: limits.outstanding, ..Bounds::default() };
    run(data, &bounds, |opened| match opened {
        true => http1::Connection::opened(limits),
        false => http1::Connection::new(limits),
    });
}

/// Any script of operations on an HTTP/2 connection, in the form of [`http1`]'s. With bit 1 of the first
/// byte the client's preface is ahead of it.
///
/// # Panics
///
/// When memory is not bounded, an exchange ends twice, or one stays open after the close.
pub fn http2(data: &[u8]) {
    let limits = http2::Limits {
        block: 512,
        list: 2048,
        table: 1024,
        streams: 4,
        parked: 2,
        failures: 3,
        ..http2::Limits::default()
    };
    let bounds =
        Bounds { held: 32 * 1024, outstanding: limits.streams, prelude: http2::PREFACE, tick: 100_000_000 };
    run(data, &bounds, |opened| match opened {
        true => http2::Connection::opened(limits),
        false => http2::Connection::new(limits),
    });
}

/// Any header blocks, each a length byte and as many bytes, on one decoder.
///
/// # Panics
///
/// When memory is not bounded.
pub fn hpack(data: &[u8]) {
    http2::decode_any(data);
}

/// Any script of operations on a PostgreSQL connection, written as for [`http1`].
///
/// # Panics
///
/// When memory is not bounded, an exchange ends twice, or one stays open after the close.
pub fn postgres(data: &[u8]) {
    let limits = postgres::Limits {
        statement: 64,
        statements: 4,
        statement_bytes: 200,
        portals: 2,
        outstanding: 6,
        failures: 3,
        ..postgres::Limits::default()
    };
    let bounds = Bounds { held: 32 * 1024, outstanding: limits.outstanding, ..Bounds::default() };
    run(data, &bounds, |opened| match opened {
        true => postgres::Connection::opened(limits),
        false => postgres::Connection::new(limits),
    });
}

/// Any script of operations on a Redis connection, written as for [`http1`].
///
/// # Panics
///
/// When memory is not bounded, an exchange ends twice, or one stays open after the close.
pub fn redis(data: &[u8]) {
    let limits =
        redis::Limits { text: 64, batch: 2, outstanding: 6, failures: 3, ..redis::Limits::default() };
    let bounds = Bounds { held: 64 * 1024, outstanding: limits.outstanding, ..Bounds::default() };
    run(data, &bounds, |opened| match opened {
        true => redis::Connection::opened(limits),
        false => redis::Connection::new(limits),
    });
}

/// Any script of operations on a FastCGI connection, written as for [`http1`].
///
/// # Panics
///
/// When memory is not bounded, an exchange ends twice, or one stays open after the close.
pub fn fastcgi(data: &[u8]) {
    let limits =
        fastcgi::Limits { parameter: 100, outstanding: 6, failures: 3, ..fastcgi::Limits::default() };
    let bounds = Bounds { held: 16 * 1024, outstanding: limits.outstanding, ..Bounds::default() };
    run(data, &bounds, |opened| match opened {
        true => fastcgi::Connection::opened(limits),
        false => fastcgi::Connection::new(limits),
    });
}

/// Any script of operations on a Memcached connection, written as for [`http1`].
///
/// # Panics
///
/// When memory is not bounded, an exchange ends twice, or one stays open after the close.
pub fn memcached(data: &[u8]) {
    let limits = memcached::Limits { outstanding: 6, failures: 3, ..memcached::Limits::default() };
    let bounds = Bounds { held: 128 * 1024, outstanding: limits.outstanding, ..Bounds::default() };
    run(data, &bounds, |opened| match opened {
        true => memcached::Connection::opened(limits),
        false => memcached::Connection::new(limits),
    });
}

/// Any script of operations on a MySQL connection, written as for [`http1`].
///
/// # Panics
///
/// When memory is not bounded, an exchange ends twice, or one stays open after the close.
pub fn mysql(data: &[u8]) {
    let limits = mysql::Limits {
        statement: 64,
        statements: 4,
        statement_bytes: 200,
        outstanding: 6,
        failures: 3,
        inflated: 4096,
        ..mysql::Limits::default()
    };
    let bounds = Bounds { held: 1280 * 1024, outstanding: limits.outstanding, ..Bounds::default() };
    run(data, &bounds, |opened| match opened {
        true => mysql::Connection::opened(limits),
        false => mysql::Connection::new(limits),
    });
}

/// What must hold of a connection, and how it is driven.
struct Bounds {
    /// Bytes held at any time, and requests without their whole answer.
    held: usize,
    outstanding: usize,
    /// What the client says first with bit 1 of the first byte.
    prelude: &'static [u8],
    /// Nanoseconds of a unit of time.
    tick: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { held: usize::MAX, outstanding: usize::MAX, prelude: b"", tick: 1 }
    }
}

/// Runs a script on a connection; `open` makes it, seen from its first byte on or not.
fn run<C: Watched>(data: &[u8], bounds: &Bounds, open: impl FnOnce(bool) -> C) {
    let mut script = Script::new(data);
    let mut connection = open(script.mode & 1 == 1);
    let mut ledger = Ledger::default();
    let mut offsets = [0_u64; 2];
    let mut last = Stamp::default();
    if script.mode & 2 == 2 && !bounds.prelude.is_empty() {
        connection.handle_bytes(Party::Client, last, 0, bounds.prelude);
        offsets[0] = bounds.prelude.len() as u64;
    }
    for (from, at, operation) in &mut script {
        last = Stamp { time: at.time * bounds.tick, ..at };
        let offset = &mut offsets[usize::from(from == Party::Server)];
        operation.hand_to(&mut connection, from, last, *offset);
        *offset += operation.length();
        ledger.drain(|| connection.poll_event());
        assert!(connection.buffered() <= bounds.held, "held {}", connection.buffered());
        assert!(connection.outstanding() <= bounds.outstanding);
    }
    connection.handle_close(last, CloseReason::Finished);
    ledger.drain(|| connection.poll_event());
    assert!(connection.is_closed());
    assert_eq!(ledger.open, Vec::<u64>::new());
}

/// The operations that a fuzzer's bytes stand for: a byte for the mode, then for each a control byte (bit 0 the side, bits 1
/// to 3 the kind, the upper four the time that passes), a length byte, and as many bytes of data as it asks for.
struct Script<'a> {
    mode: u8,
    reader: Reader<'a>,
    time: u64,
}

/// What happens on one side of a connection.
#[derive(Clone, Copy, Debug)]
enum Operation<'a> {
    Bytes(&'a [u8]),
    Gap { length: u64, tail: &'a [u8] },
    Lost(u64),
    Shutdown,
}

impl<'a> Script<'a> {
    fn new(data: &'a [u8]) -> Self {
        let mut reader = Reader::new(data);
        let mode = reader.u8().unwrap_or_default();
        Self { mode, reader, time: 0 }
    }
}

impl<'a> Iterator for Script<'a> {
    type Item = (Party, Stamp, Operation<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (control, length) = (self.reader.u8()?, self.reader.u8()?);
        let from = if control & 1 == 0 { Party::Client } else { Party::Server };
        self.time += u64::from(control >> 4);
        let mut take =
            |length: u8| self.reader.take(usize::from(length)).unwrap_or_else(|| rest(&mut self.reader));
        let operation = match control >> 1 & 7 {
            0..=4 => Operation::Bytes(take(length)),
            5 => Operation::Gap { length: u64::from(length) * 7, tail: take(length & 15) },
            6 => Operation::Lost(u64::from(length)),
            _ => Operation::Shutdown,
        };
        Some((from, Stamp { time: self.time, ..Stamp::default() }, operation))
    }
}

impl<'a> Operation<'a> {
    fn hand_to<C: Watched>(&self, connection: &mut C, from: Party, at: Stamp, offset: u64) {
        match *self {
            Self::Bytes(bytes) => connection.handle_bytes(from, at, offset, bytes),
            Self::Gap { length, tail } => connection.handle_gap(from, at, offset, length, tail),
            Self::Lost(_) => {}
            Self::Shutdown => connection.handle_shutdown(from, at),
        }
    }

    /// Bytes of the stream that it covers.
    fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Gap { length, .. } | Self::Lost(length) => *length,
            Self::Shutdown => 0,
        }
    }

    /// Those that are seen, which are its last.
    fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) | Self::Gap { tail: bytes, .. } => bytes,
            Self::Lost(_) | Self::Shutdown => &[],
        }
    }

    fn with<'b>(self, bytes: &'b [u8]) -> Operation<'b> {
        match self {
            Self::Bytes(_) => Operation::Bytes(bytes),
            Self::Gap { length, .. } => Operation::Gap { length, tail: bytes },
            Self::Lost(length) => Operation::Lost(length),
            Self::Shutdown => Operation::Shutdown,
        }
    }
}

/// Holds that every exchange opens once and ends once.
#[derive(Default)]
struct Ledger {
    open: Vec<u64>,
    next: u64,
}

impl Ledger {
    fn drain<R, D>(&mut self, mut poll: impl FnMut() -> Option<Event<R, D>>) {
        while let Some(event) = poll() {
            match event {
                Event::Request { id, .. } => {
                    assert_eq!(id, self.next);
                    self.next += 1;
                    self.open.push(id);
                }
                Event::Response { id, .. } => assert!(self.open.contains(&id)),
                Event::Exchange(exchange) => {
                    let at = self.open.iter().position(|&id| id == exchange.id);
                    assert!(at.is_some(), "exchange {} ended unannounced or twice", exchange.id);
                    self.open.retain(|&id| id != exchange.id);
                }
            }
        }
    }
}

fn rest<'a>(reader: &mut Reader<'a>) -> &'a [u8] {
    let rest = reader.rest();
    reader.take(rest.len()).unwrap_or_default()
}
