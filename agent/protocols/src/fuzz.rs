//! Bodies of fuzz targets. Unit tests run them on fixed and random bytes, libFuzzer on its own (`cargo xtask fuzz`).

#[cfg(test)]
mod tests {
    mod seeds;
}

use std::sync::Arc;

use crate::{
    detect::detect,
    exchange::{CloseReason, Event, Party, Stamp},
    fastcgi,
    http1::{Connection, Limits, State},
    http2, memcached, mysql, postgres,
    reader::Reader,
    redis,
    sql::{self, Dialect},
};

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
    let limits = Limits { head: 256, parked: 128, outstanding: 4, failures: 3, ..Limits::default() };
    let mut reader = Reader::new(data);
    let opened = reader.u8().is_some_and(|byte| byte & 1 == 1);
    let mut connection = if opened { Connection::opened(limits) } else { Connection::new(limits) };
    let mut ledger = Ledger::default();
    let mut offsets = [0_u64; 2];
    let mut time = 0;
    while let (Some(control), Some(length)) = (reader.u8(), reader.u8()) {
        let (from, side) = if control & 1 == 0 { (Party::Client, 0) } else { (Party::Server, 1) };
        time += u64::from(control >> 4);
        let at = Stamp { time, ..Stamp::default() };
        let offset = &mut offsets[side];
        match control >> 1 & 7 {
            0..=4 => {
                let bytes = reader.take(usize::from(length)).unwrap_or_else(|| rest(&mut reader));
                connection.handle_bytes(from, at, *offset, bytes);
                *offset += bytes.len() as u64;
            }
            5 => {
                let tail = reader.take(usize::from(length & 15)).unwrap_or_else(|| rest(&mut reader));
                let gap = u64::from(length) * 7;
                connection.handle_gap(from, at, *offset, gap, tail);
                *offset += gap;
            }
            6 => *offset += u64::from(length),
            _ => connection.handle_shutdown(from, at),
        }
        ledger.drain(|| connection.poll_event());
        assert!(connection.buffered() <= 16 * 1024, "held {}", connection.buffered());
        assert!(connection.outstanding() <= limits.outstanding);
    }
    connection.handle_close(Stamp { time, ..Stamp::default() }, CloseReason::Finished);
    ledger.drain(|| connection.poll_event());
    assert_eq!(connection.state(), State::Closed);
    assert_eq!(ledger.open, Vec::<u64>::new());
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
    let mut reader = Reader::new(data);
    let mode = reader.u8().unwrap_or_default();
    let opened = mode & 1 == 1;
    let mut connection =
        if opened { http2::Connection::opened(limits) } else { http2::Connection::new(limits) };
    let mut ledger = Ledger::default();
    let mut offsets = [0_u64; 2];
    let mut time = 0;
    if mode & 2 == 2 {
        connection.handle_bytes(Party::Client, Stamp::default(), 0, http2::PREFACE);
        offsets[0] = http2::PREFACE.len() as u64;
    }
    while let (Some(control), Some(length)) = (reader.u8(), reader.u8()) {
        let (from, side) = if control & 1 == 0 { (Party::Client, 0) } else { (Party::Server, 1) };
        time += u64::from(control >> 4) * 100_000_000;
        let at = Stamp { time, ..Stamp::default() };
        let offset = &mut offsets[side];
        match control >> 1 & 7 {
            0..=4 => {
                let bytes = reader.take(usize::from(length)).unwrap_or_else(|| rest(&mut reader));
                connection.handle_bytes(from, at, *offset, bytes);
                *offset += bytes.len() as u64;
            }
            5 => {
                let tail = reader.take(usize::from(length & 15)).unwrap_or_else(|| rest(&mut reader));
                let gap = u64::from(length) * 7;
                connection.handle_gap(from, at, *offset, gap, tail);
                *offset += gap;
            }
            6 => *offset += u64::from(length),
            _ => connection.handle_shutdown(from, at),
        }
        ledger.drain(|| connection.poll_event());
        assert!(connection.buffered() <= 32 * 1024, "held {}", connection.buffered());
        assert!(connection.outstanding() <= limits.streams);
    }
    connection.handle_close(Stamp { time, ..Stamp::default() }, CloseReason::Finished);
    ledger.drain(|| connection.poll_event());
    assert_eq!(connection.state(), http2::State::Closed);
    assert_eq!(ledger.open, Vec::<u64>::new());
}

/// Any script of operations on an HTTP/2 connection, in the form of [`http2`]'s: what is shown of it without its
/// secrets is read as the same exchanges, and in the end is the same however it was taken.
///
/// # Panics
///
/// When it is not.
pub fn masking(data: &[u8]) {
    let mut script = Script::new(data);
    let begin = |mode: u8| match mode & 1 {
        1 => http2::Connection::opened(http2::Limits::default()),
        _ => http2::Connection::new(http2::Limits::default()),
    };
    let mut tape: Vec<(Party, Stamp, Operation<'_>)> = Vec::new();
    if script.mode & 2 == 2 {
        tape.push((Party::Client, Stamp::default(), Operation::Bytes(http2::PREFACE)));
    }
    tape.extend(&mut script);
    let mut watched = begin(script.mode).masking(http2::secrets_of_tests);
    let mut shown = Vec::new();
    let real = play(&mut watched, &tape, |connection| shown.extend(connection.take_shown()));
    assert_eq!(play(&mut begin(script.mode), &tape, |_| {}), real);

    let mut places = [0_u64; 2];
    let masked: Vec<(Operation<'_>, Vec<u8>)> = tape
        .iter()
        .map(|(from, _, operation)| {
            let place = &mut places[usize::from(*from == Party::Server)];
            *place += operation.length();
            let bytes = operation.bytes();
            let mut instead = vec![b'*'; bytes.len()];
            let start = place.saturating_sub(bytes.len() as u64);
            for piece in shown.iter().filter(|piece| piece.from == *from) {
                for (byte, offset) in piece.bytes.iter().zip(piece.offset..) {
                    let at = offset.checked_sub(start).and_then(|at| usize::try_from(at).ok());
                    if let Some(hidden) = at.and_then(|at| instead.get_mut(at)) {
                        *hidden = *byte;
                    }
                }
            }
            (*operation, instead)
        })
        .collect();
    let replayed: Vec<_> = tape
        .iter()
        .zip(&masked)
        .map(|((from, at, _), (operation, bytes))| (*from, *at, operation.with(bytes)))
        .collect();
    assert_eq!(play(&mut begin(script.mode), &replayed, |_| {}), real);
}

/// What a connection says of its operations, without what depends on bytes that are hidden.
fn play(
    connection: &mut http2::Connection,
    tape: &[(Party, Stamp, Operation<'_>)],
    mut after: impl FnMut(&mut http2::Connection),
) -> (Vec<http2::HttpEvent>, http2::Counters) {
    let mut events = Vec::new();
    let mut offsets = [0_u64; 2];
    let mut last = Stamp::default();
    for (from, at, operation) in tape {
        let offset = &mut offsets[usize::from(*from == Party::Server)];
        match *operation {
            Operation::Bytes(bytes) => connection.handle_bytes(*from, *at, *offset, bytes),
            Operation::Gap { length, tail } => connection.handle_gap(*from, *at, *offset, length, tail),
            Operation::Lost(_) => {}
            Operation::Shutdown => connection.handle_shutdown(*from, *at),
        }
        *offset += operation.length();
        last = *at;
        after(connection);
        events.extend(std::iter::from_fn(|| connection.poll_event()));
    }
    connection.handle_close(last, CloseReason::Finished);
    events.extend(std::iter::from_fn(|| connection.poll_event()));
    for event in &mut events {
        match event {
            Event::Request { head, .. } => Arc::make_mut(head).fingerprint = 0,
            Event::Exchange(exchange) => Arc::make_mut(&mut exchange.detail.request).fingerprint = 0,
            Event::Response { .. } => {}
        }
    }
    (events, connection.counters())
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
    let mut reader = Reader::new(data);
    let opened = reader.u8().is_some_and(|byte| byte & 1 == 1);
    let mut connection =
        if opened { postgres::Connection::opened(limits) } else { postgres::Connection::new(limits) };
    let mut ledger = Ledger::default();
    let mut offsets = [0_u64; 2];
    let mut time = 0;
    while let (Some(control), Some(length)) = (reader.u8(), reader.u8()) {
        let (from, side) = if control & 1 == 0 { (Party::Client, 0) } else { (Party::Server, 1) };
        time += u64::from(control >> 4);
        let at = Stamp { time, ..Stamp::default() };
        let offset = &mut offsets[side];
        match control >> 1 & 7 {
            0..=4 => {
                let bytes = reader.take(usize::from(length)).unwrap_or_else(|| rest(&mut reader));
                connection.handle_bytes(from, at, *offset, bytes);
                *offset += bytes.len() as u64;
            }
            5 => {
                let tail = reader.take(usize::from(length & 15)).unwrap_or_else(|| rest(&mut reader));
                let gap = u64::from(length) * 7;
                connection.handle_gap(from, at, *offset, gap, tail);
                *offset += gap;
            }
            6 => *offset += u64::from(length),
            _ => connection.handle_shutdown(from, at),
        }
        ledger.drain(|| connection.poll_event());
        assert!(connection.buffered() <= 32 * 1024, "held {}", connection.buffered());
        assert!(connection.outstanding() <= limits.outstanding);
    }
    connection.handle_close(Stamp { time, ..Stamp::default() }, CloseReason::Finished);
    ledger.drain(|| connection.poll_event());
    assert_eq!(connection.state(), postgres::State::Closed);
    assert_eq!(ledger.open, Vec::<u64>::new());
}

/// Any script of operations on a Redis connection, written as for [`http1`].
///
/// # Panics
///
/// When memory is not bounded, an exchange ends twice, or one stays open after the close.
pub fn redis(data: &[u8]) {
    let limits =
        redis::Limits { text: 64, batch: 2, outstanding: 6, failures: 3, ..redis::Limits::default() };
    let mut reader = Reader::new(data);
    let opened = reader.u8().is_some_and(|byte| byte & 1 == 1);
    let mut connection =
        if opened { redis::Connection::opened(limits) } else { redis::Connection::new(limits) };
    let mut ledger = Ledger::default();
    let mut offsets = [0_u64; 2];
    let mut time = 0;
    while let (Some(control), Some(length)) = (reader.u8(), reader.u8()) {
        let (from, side) = if control & 1 == 0 { (Party::Client, 0) } else { (Party::Server, 1) };
        time += u64::from(control >> 4);
        let at = Stamp { time, ..Stamp::default() };
        let offset = &mut offsets[side];
        match control >> 1 & 7 {
            0..=4 => {
                let bytes = reader.take(usize::from(length)).unwrap_or_else(|| rest(&mut reader));
                connection.handle_bytes(from, at, *offset, bytes);
                *offset += bytes.len() as u64;
            }
            5 => {
                let tail = reader.take(usize::from(length & 15)).unwrap_or_else(|| rest(&mut reader));
                let gap = u64::from(length) * 7;
                connection.handle_gap(from, at, *offset, gap, tail);
                *offset += gap;
            }
            6 => *offset += u64::from(length),
            _ => connection.handle_shutdown(from, at),
        }
        ledger.drain(|| connection.poll_event());
        assert!(connection.buffered() <= 64 * 1024, "held {}", connection.buffered());
        assert!(connection.outstanding() <= limits.outstanding);
    }
    connection.handle_close(Stamp { time, ..Stamp::default() }, CloseReason::Finished);
    ledger.drain(|| connection.poll_event());
    assert_eq!(connection.state(), redis::State::Closed);
    assert_eq!(ledger.open, Vec::<u64>::new());
}

/// Any script of operations on a FastCGI connection, written as for [`http1`].
///
/// # Panics
///
/// When memory is not bounded, an exchange ends twice, or one stays open after the close.
pub fn fastcgi(data: &[u8]) {
    let limits =
        fastcgi::Limits { parameter: 100, outstanding: 6, failures: 3, ..fastcgi::Limits::default() };
    let mut reader = Reader::new(data);
    let opened = reader.u8().is_some_and(|byte| byte & 1 == 1);
    let mut connection =
        if opened { fastcgi::Connection::opened(limits) } else { fastcgi::Connection::new(limits) };
    let mut ledger = Ledger::default();
    let mut offsets = [0_u64; 2];
    let mut time = 0;
    while let (Some(control), Some(length)) = (reader.u8(), reader.u8()) {
        let (from, side) = if control & 1 == 0 { (Party::Client, 0) } else { (Party::Server, 1) };
        time += u64::from(control >> 4);
        let at = Stamp { time, ..Stamp::default() };
        let offset = &mut offsets[side];
        match control >> 1 & 7 {
            0..=4 => {
                let bytes = reader.take(usize::from(length)).unwrap_or_else(|| rest(&mut reader));
                connection.handle_bytes(from, at, *offset, bytes);
                *offset += bytes.len() as u64;
            }
            5 => {
                let tail = reader.take(usize::from(length & 15)).unwrap_or_else(|| rest(&mut reader));
                let gap = u64::from(length) * 7;
                connection.handle_gap(from, at, *offset, gap, tail);
                *offset += gap;
            }
            6 => *offset += u64::from(length),
            _ => connection.handle_shutdown(from, at),
        }
        ledger.drain(|| connection.poll_event());
        assert!(connection.buffered() <= 16 * 1024, "held {}", connection.buffered());
        assert!(connection.outstanding() <= limits.outstanding);
    }
    connection.handle_close(Stamp { time, ..Stamp::default() }, CloseReason::Finished);
    ledger.drain(|| connection.poll_event());
    assert_eq!(connection.state(), fastcgi::State::Closed);
    assert_eq!(ledger.open, Vec::<u64>::new());
}

/// Any script of operations on a Memcached connection, written as for [`http1`].
///
/// # Panics
///
/// When memory is not bounded, an exchange ends twice, or one stays open after the close.
pub fn memcached(data: &[u8]) {
    let limits = memcached::Limits { outstanding: 6, failures: 3, ..memcached::Limits::default() };
    let mut reader = Reader::new(data);
    let opened = reader.u8().is_some_and(|byte| byte & 1 == 1);
    let mut connection =
        if opened { memcached::Connection::opened(limits) } else { memcached::Connection::new(limits) };
    let mut ledger = Ledger::default();
    let mut offsets = [0_u64; 2];
    let mut time = 0;
    while let (Some(control), Some(length)) = (reader.u8(), reader.u8()) {
        let (from, side) = if control & 1 == 0 { (Party::Client, 0) } else { (Party::Server, 1) };
        time += u64::from(control >> 4);
        let at = Stamp { time, ..Stamp::default() };
        let offset = &mut offsets[side];
        match control >> 1 & 7 {
            0..=4 => {
                let bytes = reader.take(usize::from(length)).unwrap_or_else(|| rest(&mut reader));
                connection.handle_bytes(from, at, *offset, bytes);
                *offset += bytes.len() as u64;
            }
            5 => {
                let tail = reader.take(usize::from(length & 15)).unwrap_or_else(|| rest(&mut reader));
                let gap = u64::from(length) * 7;
                connection.handle_gap(from, at, *offset, gap, tail);
                *offset += gap;
            }
            6 => *offset += u64::from(length),
            _ => connection.handle_shutdown(from, at),
        }
        ledger.drain(|| connection.poll_event());
        assert!(connection.buffered() <= 128 * 1024, "held {}", connection.buffered());
        assert!(connection.outstanding() <= limits.outstanding);
    }
    connection.handle_close(Stamp { time, ..Stamp::default() }, CloseReason::Finished);
    ledger.drain(|| connection.poll_event());
    assert_eq!(connection.state(), memcached::State::Closed);
    assert_eq!(ledger.open, Vec::<u64>::new());
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
    let mut reader = Reader::new(data);
    let opened = reader.u8().is_some_and(|byte| byte & 1 == 1);
    let mut connection =
        if opened { mysql::Connection::opened(limits) } else { mysql::Connection::new(limits) };
    let mut ledger = Ledger::default();
    let mut offsets = [0_u64; 2];
    let mut time = 0;
    while let (Some(control), Some(length)) = (reader.u8(), reader.u8()) {
        let (from, side) = if control & 1 == 0 { (Party::Client, 0) } else { (Party::Server, 1) };
        time += u64::from(control >> 4);
        let at = Stamp { time, ..Stamp::default() };
        let offset = &mut offsets[side];
        match control >> 1 & 7 {
            0..=4 => {
                let bytes = reader.take(usize::from(length)).unwrap_or_else(|| rest(&mut reader));
                connection.handle_bytes(from, at, *offset, bytes);
                *offset += bytes.len() as u64;
            }
            5 => {
                let tail = reader.take(usize::from(length & 15)).unwrap_or_else(|| rest(&mut reader));
                let gap = u64::from(length) * 7;
                connection.handle_gap(from, at, *offset, gap, tail);
                *offset += gap;
            }
            6 => *offset += u64::from(length),
            _ => connection.handle_shutdown(from, at),
        }
        ledger.drain(|| connection.poll_event());
        assert!(connection.buffered() <= 1280 * 1024, "held {}", connection.buffered());
        assert!(connection.outstanding() <= limits.outstanding);
    }
    connection.handle_close(Stamp { time, ..Stamp::default() }, CloseReason::Finished);
    ledger.drain(|| connection.poll_event());
    assert_eq!(connection.state(), mysql::State::Closed);
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
