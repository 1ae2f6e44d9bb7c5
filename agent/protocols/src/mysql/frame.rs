//! What packets look like ("Command Phase", "Connection Phase").
//!
//! A packet is a length of three bytes, a sequence number and as many bytes; integers are little-endian. A
//! body may have been cut to the part that was wanted.

use super::Greeting;
use crate::reader::Reader;

/// The longest packet; one of this length is continued by the next.
pub(super) const LONGEST: u32 = 0xff_ffff;
pub(super) const HEADER: usize = 4;
/// Version of the greeting.
pub(super) const PROTOCOL: u8 = 10;

/// The first byte of a server's packet.
pub(super) const OK: u8 = 0;
pub(super) const INFILE: u8 = 0xfb;
pub(super) const EOF: u8 = 0xfe;
pub(super) const ERROR: u8 = 0xff;

/// Error number of MariaDB's progress reports, which end nothing.
const PROGRESS: u16 = 0xffff;
/// `COM_STMT_EXECUTE` of the statement that was prepared last (MariaDB).
pub(super) const LAST_STATEMENT: u32 = u32::MAX;

/// Capability flags.
pub(super) mod capability {
    pub(crate) const CONNECT_WITH_DB: u64 = 1 << 3;
    pub(crate) const COMPRESS: u64 = 1 << 5;
    pub(crate) const PROTOCOL_41: u64 = 1 << 9;
    pub(crate) const SSL: u64 = 1 << 11;
    pub(crate) const SECURE_CONNECTION: u64 = 1 << 15;
    pub(crate) const PLUGIN_AUTH_LENENC: u64 = 1 << 21;
    pub(crate) const DEPRECATE_EOF: u64 = 1 << 24;
    pub(crate) const OPTIONAL_METADATA: u64 = 1 << 25;
    pub(crate) const ZSTD: u64 = 1 << 26;
    pub(crate) const QUERY_ATTRIBUTES: u64 = 1 << 27;
    /// What only MySQL has: MariaDB's own are above them.
    pub(crate) const MYSQL_ONLY: u64 = OPTIONAL_METADATA | ZSTD | QUERY_ATTRIBUTES | 1 << 28;
    pub(crate) const MARIADB_ONLY: u64 = 0xffff_ffff << 32;
}

/// Status flags.
pub(super) mod status {
    pub(crate) const MORE_RESULTS: u16 = 1 << 3;
    pub(crate) const CURSOR: u16 = 1 << 6;
    pub(crate) const NO_BACKSLASH_ESCAPES: u16 = 1 << 9;
    pub(crate) const SESSION_CHANGED: u16 = 1 << 14;
}

/// The commands that are told apart.
pub(super) mod command {
    pub(crate) const QUIT: u8 = 0x01;
    pub(crate) const INIT_DB: u8 = 0x02;
    pub(crate) const QUERY: u8 = 0x03;
    pub(crate) const FIELD_LIST: u8 = 0x04;
    pub(crate) const PROCESS_INFO: u8 = 0x0a;
    pub(crate) const PING: u8 = 0x0e;
    pub(crate) const CHANGE_USER: u8 = 0x11;
    pub(crate) const BINLOG_DUMP: u8 = 0x12;
    pub(crate) const TABLE_DUMP: u8 = 0x13;
    pub(crate) const PREPARE: u8 = 0x16;
    pub(crate) const EXECUTE: u8 = 0x17;
    pub(crate) const LONG_DATA: u8 = 0x18;
    pub(crate) const CLOSE: u8 = 0x19;
    pub(crate) const RESET_STATEMENT: u8 = 0x1a;
    pub(crate) const SET_OPTION: u8 = 0x1b;
    pub(crate) const FETCH: u8 = 0x1c;
    pub(crate) const BINLOG_DUMP_GTID: u8 = 0x1e;
    pub(crate) const RESET_CONNECTION: u8 = 0x1f;
    pub(crate) const LAST: u8 = 0x20;
    pub(crate) const BULK_EXECUTE: u8 = 0xfa;
}

/// Bytes of query attributes in front of a statement that are looked at.
const ATTRIBUTES: usize = 1024;
/// Bytes of a login or an answer that are looked at, where it may name a database.
const NAMES: usize = 1024;

/// How a packet is read, decided where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Greeting,
    Login,
    /// A client's part of an authentication.
    Secret,
    /// A server's part of one, which may end it.
    Auth,
    Command,
    /// A piece of a local file.
    File,
    /// The first packet of an answer, and the only one of many.
    Answer,
    /// The description of a column or a parameter.
    Definition,
    Row,
    /// What nobody asked for.
    Stray,
}

/// Bytes of the body that are wanted, by its first. Bound values and rows are never among them.
pub(super) fn wanted(reading: Reading, first: u8, statement: usize) -> usize {
    match (reading, first) {
        (Reading::Greeting | Reading::Auth | Reading::Answer | Reading::Definition | Reading::Row, ERROR) => {
            9
        }
        (Reading::Greeting | Reading::Login, _) => NAMES,
        (Reading::Secret | Reading::File, _) => 0,
        (Reading::Auth, OK) | (Reading::Answer, OK | EOF) => NAMES,
        (Reading::Answer, INFILE) | (Reading::Auth, _) => 1,
        (Reading::Answer, _) => 12,
        (Reading::Definition | Reading::Row, EOF) => NAMES,
        (Reading::Definition | Reading::Row | Reading::Stray, _) => 1,
        (Reading::Command, command::QUERY) => 1 + ATTRIBUTES + statement,
        (Reading::Command, command::PREPARE) => 1 + statement,
        (Reading::Command, command::INIT_DB | command::CHANGE_USER) => NAMES,
        (Reading::Command, command::EXECUTE) => 10,
        (Reading::Command, command::FETCH) => 9,
        (Reading::Command, command::BULK_EXECUTE) => 7,
        (Reading::Command, command::CLOSE | command::RESET_STATEMENT) => 5,
        (Reading::Command, _) => 1,
    }
}

/// Whether a client sends a command of this number and length.
pub(super) fn is_command(number: u8, length: u32) -> bool {
    match number {
        command::QUERY | command::PREPARE | command::INIT_DB | command::CHANGE_USER => length > 1,
        command::QUIT | command::PING | command::RESET_CONNECTION => length == 1,
        command::EXECUTE => length >= 10,
        command::LONG_DATA | command::BULK_EXECUTE => length >= 7,
        command::CLOSE | command::RESET_STATEMENT => length == 5,
        command::FETCH => length == 9,
        command::SET_OPTION => length == 3,
        _ => (1..=command::LAST).contains(&number),
    }
}

pub(super) fn u16_le(reader: &mut Reader<'_>) -> Option<u16> {
    reader.array().map(u16::from_le_bytes)
}

pub(super) fn u32_le(reader: &mut Reader<'_>) -> Option<u32> {
    reader.array().map(u32::from_le_bytes)
}

/// Three bytes of a packet's header.
pub(super) fn u24_le(bytes: [u8; 3]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0])
}

/// A length-encoded integer; `None` also where the byte stands for something else.
pub(super) fn length_encoded(reader: &mut Reader<'_>) -> Option<u64> {
    match reader.u8()? {
        small @ 0..=0xfa => Some(u64::from(small)),
        0xfc => u16_le(reader).map(u64::from),
        0xfd => reader.array().map(|bytes| u64::from(u24_le(bytes))),
        0xfe => reader.array().map(u64::from_le_bytes),
        0xfb | 0xff => None,
    }
}

/// Bytes behind their length.
pub(super) fn counted<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = usize::try_from(length_encoded(reader)?).ok()?;
    reader.take(length)
}

impl Greeting {
    /// Reads `HandshakeV10`.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let version = (reader.u8()? == PROTOCOL).then(|| reader.until(0))??;
        let mariadb = version.to_ascii_lowercase().windows(7).any(|part| part == b"mariadb");
        // Connection id, first part of the challenge, filler.
        reader.take(13)?;
        let mut capabilities = u64::from(u16_le(&mut reader)?);
        // Character set, status.
        if reader.take(3).is_some()
            && let Some(upper) = u16_le(&mut reader)
        {
            capabilities |= u64::from(upper) << 16;
            // MariaDB has more of them in the filler, behind the length of the challenge.
            let own = reader.take(7).and_then(|_| u32_le(&mut reader));
            if let (true, Some(own)) = (mariadb, own) {
                capabilities |= u64::from(own) << 32;
            }
        }
        Some(Self { mariadb, capabilities })
    }
}

/// What a client opens a session with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Login<'a> {
    /// `SSLRequest`: the login follows inside.
    Encryption,
    Session {
        capabilities: u64,
        database: Option<&'a [u8]>,
    },
}

impl<'a> Login<'a> {
    /// Reads `HandshakeResponse41` or `SSLRequest`, or the response of before 4.1. `length` is the packet's.
    pub(super) fn parse(body: &'a [u8], length: u64) -> Option<Self> {
        use capability::{
            CONNECT_WITH_DB, MARIADB_ONLY, PLUGIN_AUTH_LENENC, PROTOCOL_41, SECURE_CONNECTION, SSL,
        };
        let mut reader = Reader::new(body);
        let lower = u16_le(&mut reader).map(u64::from)?;
        if lower & PROTOCOL_41 == 0 {
            reader.take(3)?;
            let known = reader.until(0).and_then(|_user| reader.until(0)).and_then(|_| reader.until(0));
            let database = known.filter(|_| lower & CONNECT_WITH_DB != 0);
            return Some(Self::Session { capabilities: lower, database });
        }
        let mut capabilities = lower | u64::from(u16_le(&mut reader)?) << 16;
        // The longest packet and the character set are ahead of a filler.
        let filler = reader.take(4 + 1).and_then(|_| reader.take(19))?;
        if filler.iter().any(|&byte| byte != 0) {
            return None;
        }
        let own = u32_le(&mut reader)?;
        if length == 32 && capabilities & SSL != 0 {
            return Some(Self::Encryption);
        }
        capabilities = capabilities & !MARIADB_ONLY | u64::from(own) << 32;
        let database = reader.until(0).and_then(|_user| {
            if capabilities & PLUGIN_AUTH_LENENC != 0 {
                counted(&mut reader)?;
            } else if capabilities & SECURE_CONNECTION != 0 {
                let length = reader.u8()?;
                reader.take(usize::from(length))?;
            } else {
                reader.until(0)?;
            }
            (capabilities & CONNECT_WITH_DB != 0).then(|| reader.until(0))?
        });
        Some(Self::Session { capabilities, database: database.filter(|name| !name.is_empty()) })
    }
}

/// The database of `COM_CHANGE_USER`; `None` where it is not seen, empty where none is chosen.
pub(super) fn changed_user_database(body: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(body);
    reader.u8()?;
    reader.until(0)?;
    let length = reader.u8()?;
    reader.take(usize::from(length))?;
    reader.until(0)
}

/// What the end of a result says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct End<'a> {
    pub(super) affected: Option<u64>,
    pub(super) status: Option<u16>,
    /// The session's database is now this one.
    pub(super) database: Option<&'a [u8]>,
}

impl<'a> End<'a> {
    /// Reads an `OK` packet, also one that stands for an `EOF`, or an `EOF` packet, which is of five bytes.
    pub(super) fn parse(body: &'a [u8], length: u64) -> Self {
        let mut reader = Reader::new(body);
        reader.u8();
        if body.first() == Some(&EOF) && length == 5 {
            let status = reader.take(2).and_then(|_warnings| u16_le(&mut reader));
            return Self { status, ..Self::default() };
        }
        let Some(affected) = length_encoded(&mut reader) else { return Self::default() };
        let status = length_encoded(&mut reader).and_then(|_insert_id| u16_le(&mut reader));
        let changed = status.is_some_and(|status| status & status::SESSION_CHANGED != 0);
        let database = if changed {
            reader.take(2).and_then(|_warnings| counted(&mut reader)).and_then(|_info| schema(&mut reader))
        } else {
            None
        };
        Self { affected: Some(affected), status, database }
    }

    pub(super) fn has(&self, flag: u16) -> bool {
        self.status.is_some_and(|status| status & flag != 0)
    }
}

/// The new schema among the changes of a session (`SESSION_TRACK_SCHEMA`).
fn schema<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let mut changes = Reader::new(counted(reader)?);
    while let Some(kind) = changes.u8() {
        let change = counted(&mut changes)?;
        if kind == 1 {
            return counted(&mut Reader::new(change));
        }
    }
    None
}

/// An `ERR` packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal<'a> {
    pub(super) code: Option<u16>,
    pub(super) sqlstate: Option<&'a str>,
}

impl<'a> Refusal<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Self {
        let mut reader = Reader::new(body);
        reader.u8();
        let code = u16_le(&mut reader);
        let state = reader.u8().filter(|&mark| mark == b'#').and_then(|_| reader.take(5));
        let state = state.filter(|state| state.iter().all(u8::is_ascii_alphanumeric));
        Self { code, sqlstate: state.and_then(|state| std::str::from_utf8(state).ok()) }
    }

    /// MariaDB's progress report, behind which the answer goes on.
    pub(super) fn is_progress(&self) -> bool {
        self.code == Some(PROGRESS)
    }
}

/// What `COM_STMT_PREPARE` is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prepared {
    pub(super) statement: u32,
    pub(super) columns: u16,
    pub(super) parameters: u16,
    /// Descriptions of both follow.
    pub(super) described: bool,
}

impl Prepared {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        reader.u8().filter(|&ok| ok == OK)?;
        let statement = u32_le(&mut reader)?;
        let (columns, parameters) = (u16_le(&mut reader)?, u16_le(&mut reader)?);
        // Filler and warnings.
        let described = reader.take(3).and_then(|_| reader.u8()) != Some(0);
        Some(Self { statement, columns, parameters, described })
    }
}

/// The columns that a result begins with, and whether their descriptions follow. The length tells whether a
/// byte says so: with MySQL's `CLIENT_OPTIONAL_RESULTSET_METADATA` in front of the number, with MariaDB's
/// `MARIADB_CLIENT_CACHE_METADATA` behind it.
pub(super) fn columns(body: &[u8], length: u64) -> Option<(u16, bool)> {
    let number = |reader: &mut Reader<'_>| u16::try_from(length_encoded(reader)?).ok().filter(|&n| n > 0);
    if body.len() as u64 != length {
        return None;
    }
    let mut plain = Reader::new(body);
    match (number(&mut plain), plain.rest()) {
        (Some(count), []) => return Some((count, true)),
        (Some(count), &[follows @ (0 | 1)]) => return Some((count, follows == 1)),
        _ => {}
    }
    let mut marked = Reader::new(body);
    let follows = marked.u8().filter(|&mark| mark <= 1)? == 1;
    let count = number(&mut marked)?;
    marked.is_empty().then_some((count, follows))
}

/// Whether an operation is one `OK` or `ERR` packet.
pub(super) fn is_lone_answer(bytes: &[u8]) -> bool {
    match bytes.split_first_chunk::<HEADER>() {
        Some((&[a, b, c, 1], body @ [OK | ERROR, ..])) => {
            body.len() >= 7 && u24_le([a, b, c]) as usize == body.len()
        }
        Some(_) | None => false,
    }
}

/// What the last bytes of a server's operation say when what comes before them was not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) sequence: u8,
    pub(super) status: u16,
}

impl Ending {
    /// As many bytes as can matter.
    pub(super) const LENGTH: usize = 16;

    /// The end of rows at the very end: an `EOF` packet, an `OK` packet that stands for one, or the `OK`
    /// packet of a last result behind such an end that announces it.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        Self::find(bytes).map(|(_, ending)| ending)
    }

    /// The same, and how many of the last bytes say so.
    pub(super) fn find(bytes: &[u8]) -> Option<(usize, Self)> {
        for (length, eof) in [(5, true), (7, false), (8, false), (9, false), (10, false)] {
            let Some(at) = bytes.len().checked_sub(HEADER + length) else { break };
            let (&[a, b, c, sequence, ref body @ ..], before) = (&bytes[at..], &bytes[..at]) else {
                continue;
            };
            if u24_le([a, b, c]) as usize != length {
                continue;
            }
            let announced = match *before {
                [.., EOF, _, _, low, high] => u16::from_le_bytes([low, high]),
                [.., 0, low, high, _, _] => u16::from_le_bytes([low, high]),
                _ => 0,
            };
            let ends = body[0] == EOF
                || body[0] == OK && announced & status::MORE_RESULTS != 0 && announced < 0x1000;
            let end = End::parse(body, length as u64);
            let whole = eof || end.affected.is_some();
            if let (true, true, Some(status)) = (ends, whole, end.status) {
                let announcement = if body[0] == OK { 5 } else { 0 };
                return Some((HEADER + length + announcement, Self { sequence, status }));
            }
        }
        None
    }
}
