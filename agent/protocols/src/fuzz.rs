//! Bodies of fuzz targets. Unit tests run them on fixed and random bytes, libFuzzer on its own (`cargo xtask fuzz`).

#[cfg(test)]
mod tests {
    mod seeds;
}

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
