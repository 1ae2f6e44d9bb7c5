//! What messages look like ("Message Formats").

use crate::{
    exchange::Party,
    reader::Reader,
    sql::{Backslash, begins_statement},
};

/// Type byte of messages that have none: those that open a connection.
pub(super) const STARTUP: u8 = 0;
/// Type byte given to the one byte that answers an encryption request.
pub(super) const REPLY: u8 = 1;

/// Startup packets are shorter (MAX_STARTUP_PACKET_LENGTH).
const STARTUP_MAX: u32 = 10_000;
/// Messages of types that hold neither text nor data are shorter (as libpq has it).
const SHORT_MAX: u32 = 30_000;
/// No message is longer (MaxAllocSize).
const LONG_MAX: u32 = 0x4000_0000;

const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// Bytes of a body, other than text, that are looked at.
const NAMES: usize = 512;

/// Whether a message of this type and length (which counts itself) can be.
pub(super) fn is_valid(party: Party, kind: u8, length: u32) -> bool {
    let exact = |expect: u32| length == expect;
    match (party, kind) {
        (_, STARTUP) => (8..=STARTUP_MAX).contains(&length),
        (Party::Client, b'Q' | b'P' | b'B' | b'F' | b'd') => (5..=LONG_MAX).contains(&length),
        (Party::Client, b'p') => (4..=0x1_0000).contains(&length),
        (Party::Client, b'D' | b'E' | b'C' | b'f') => (5..=SHORT_MAX).contains(&length),
        (Party::Client, b'S' | b'H' | b'c' | b'X') => exact(4),
        (Party::Server, b'D' | b'T' | b'd' | b'V' | b'E' | b'N' | b'A') => (4..=LONG_MAX).contains(&length),
        (Party::Server, b'Z') => exact(5),
        (Party::Server, b'1' | b'2' | b'3' | b'n' | b's' | b'I' | b'c') => exact(4),
        (Party::Server, b'R' | b'K' | b'v') => (8..=SHORT_MAX).contains(&length),
        (Party::Server, b'C' | b'S' | b't' | b'G' | b'H' | b'W') => (5..=SHORT_MAX).contains(&length),
        (Party::Client | Party::Server, _) => false,
    }
}

/// Bytes of the body that are wanted. Passwords and bound values are never among them.
pub(super) fn wanted(party: Party, kind: u8, statement: usize) -> usize {
    match (party, kind) {
        (_, STARTUP) => STARTUP_MAX as usize,
        (Party::Client, b'Q') => statement + 1,
        (Party::Client, b'P') => NAMES + statement,
        (Party::Client, b'B' | b'D' | b'E' | b'C') => NAMES,
        (Party::Server, b'Z') => 1,
        (Party::Server, b'C' | b'S') => 64,
        (Party::Server, b'E') => 128,
        (Party::Client | Party::Server, _) => 0,
    }
}

/// What a connection is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Startup<'a> {
    Session { database: Option<&'a [u8]> },
    Encryption,
    Cancel,
}

impl<'a> Startup<'a> {
    /// Reads a startup packet's body.
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        match reader.u32()? {
            SSL_REQUEST | GSSENC_REQUEST => return Some(Self::Encryption),
            CANCEL_REQUEST => return Some(Self::Cancel),
            version if version >> 16 == 3 => {}
            _ => return None,
        }
        let (mut database, mut user) = (None, None);
        while let Some(name) = reader.until(0).filter(|name| !name.is_empty()) {
            let value = reader.until(0)?;
            match name {
                b"database" => database = Some(value),
                b"user" => user = Some(value),
                _ => {}
            }
        }
        // "Defaults to the user name."
        Some(Self::Session { database: database.filter(|name| !name.is_empty()).or(user) })
    }
}

/// What a `CommandComplete` tag says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) command: Command,
    pub(super) rows: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// `SELECT`, `FETCH`: the rows were sent.
    Returns,
    /// `INSERT`, `UPDATE`, `DELETE`, `MERGE`, `MOVE`.
    Affects,
    Copy,
    Other,
}

impl Tag {
    pub(super) fn parse(body: &[u8]) -> Self {
        let tag = body.split(|&byte| byte == 0).next().unwrap_or_default();
        let command = match tag.split(|&byte| byte == b' ').next().unwrap_or_default() {
            b"SELECT" | b"FETCH" => Command::Returns,
            b"INSERT" | b"UPDATE" | b"DELETE" | b"MERGE" | b"MOVE" => Command::Affects,
            b"COPY" => Command::Copy,
            _ => Command::Other,
        };
        Self { command, rows: Self::count(tag) }
    }

    /// The number behind the last space.
    fn count(tag: &[u8]) -> Option<u64> {
        let space = memchr::memrchr(b' ', tag)?;
        std::str::from_utf8(&tag[space + 1..]).ok()?.parse().ok()
    }
}

/// SQLSTATE, the `C` field of an `ErrorResponse`.
pub(super) fn sqlstate(body: &[u8]) -> Option<&str> {
    let mut reader = Reader::new(body);
    while let Some(kind) = reader.u8().filter(|&kind| kind != 0) {
        let value = reader.until(0)?;
        if kind == b'C' {
            let valid = value.len() == 5 && value.iter().all(u8::is_ascii_alphanumeric);
            return std::str::from_utf8(value).ok().filter(|_| valid);
        }
    }
    None
}

/// What a `ParameterStatus` says of backslashes in strings.
pub(super) fn backslash(body: &[u8]) -> Option<Backslash> {
    match body.strip_prefix(b"standard_conforming_strings\0")? {
        b"on\0" => Some(Backslash::Literal),
        b"off\0" => Some(Backslash::Escapes),
        _ => None,
    }
}

/// What the last bytes of a server's operation say when what comes before them was not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    /// `ReadyForQuery` messages that follow one another, with nothing between them but short acknowledgements.
    pub(super) cycles: usize,
    /// Rows of the command before the first of them. Its name may not have been seen.
    pub(super) rows: Option<u64>,
}

impl Ending {
    /// `ReadyForQuery` at the very end, which a server sends when it has no more to say.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = Self::ready(bytes)?;
        let mut cycles = 1;
        loop {
            let mut before = rest;
            while let [earlier @ .., b'1' | b'2' | b'3' | b'n', 0, 0, 0, 4] = before {
                before = earlier;
            }
            // Of the one before them the end may be all that was seen.
            let acknowledged = before.len() < rest.len();
            if acknowledged && let [.., 0, 0, 0, 5, b'I' | b'T' | b'E'] = before {
                cycles += 1;
                rest = Self::ready(before).unwrap_or_default();
            } else {
                break;
            }
        }
        let rows = rest.strip_suffix(b"\0").and_then(|rest| {
            let text = rest.iter().rev().take_while(|&&b| b == b' ' || b.is_ascii_alphanumeric()).count();
            Tag::count(&rest[rest.len() - text..])
        });
        Some(Self { cycles, rows })
    }

    fn ready(bytes: &[u8]) -> Option<&[u8]> {
        match bytes {
            [rest @ .., b'Z', 0, 0, 0, 5, b'I' | b'T' | b'E'] => Some(rest),
            _ => None,
        }
    }
}

/// How many of the last bytes of a server's operation, of which the rest cannot be placed, are an end that is looked for
/// there; see [`Ending`].
pub(super) fn answered(bytes: &[u8]) -> usize {
    let Some(mut rest) = Ending::ready(bytes) else { return 0 };
    loop {
        let mut before = rest;
        while let [earlier @ .., b'1' | b'2' | b'3' | b'n', 0, 0, 0, 4] = before {
            before = earlier;
        }
        rest = match (before.len() < rest.len(), Ending::ready(before), before) {
            (true, Some(earlier), _) => earlier,
            (true, None, [earlier @ .., 0, 0, 0, 5, b'I' | b'T' | b'E']) => {
                return bytes.len() - earlier.len();
            }
            _ => break,
        };
    }
    // The number behind the last space of a tag.
    let rows = rest.strip_suffix(b"\0").and_then(|tag| {
        let space = memchr::memrchr(b' ', tag)?;
        let digits = &tag[space + 1..];
        (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit)).then_some(digits.len() + 2)
    });
    bytes.len() - rest.len() + rows.unwrap_or_default()
}

/// Whether the last bytes of a client's operation end the data of a COPY; `Some(true)` with a `Sync` behind.
pub(super) fn ends_data(bytes: &[u8]) -> Option<bool> {
    let (rest, synced) = match bytes.strip_suffix(SYNC) {
        Some(rest) => (rest, true),
        None => (bytes, false),
    };
    rest.ends_with(DONE).then_some(synced)
}

/// Whether bytes at the start of an operation are a client's. `None` is too few to say.
pub(crate) fn looks_like_frontend(bytes: &[u8]) -> Option<bool> {
    match *bytes.first()? {
        0 => looks_like_startup(bytes),
        kind @ (b'Q' | b'P' | b'B') => {
            let Some(length) = length(bytes) else {
                return could_be_header(Party::Client, bytes);
            };
            if !is_valid(Party::Client, kind, length) {
                return Some(false);
            }
            let body = &bytes[5..];
            let body = &body[..body.len().min(length as usize - 4)];
            match kind {
                b'Q' => statement(body, body.len() == length as usize - 4),
                b'P' => match memchr::memchr(0, body) {
                    Some(name) if is_text(&body[..name]) => statement(&body[name + 1..], false),
                    None if is_text(body) && body.len() < NAMES => None,
                    Some(_) | None => Some(false),
                },
                // Bound values may be anything: the messages behind them must be right.
                _ => chain(Party::Client, bytes).map(|chain| chain.exact && chain.asks && chain.messages > 1),
            }
        }
        _ => Some(false),
    }
}

/// Whether bytes at the start of an operation are a server's. `None` is too few to say.
pub(crate) fn looks_like_backend(bytes: &[u8]) -> Option<bool> {
    let kind = *bytes.first()?;
    if !b"ZRTDC12E3SNKIstn".contains(&kind) {
        return Some(false);
    }
    match chain(Party::Server, bytes) {
        Some(Chain { messages: 0, .. }) => Some(false),
        Some(chain) if chain.exact && chain.ready => Some(true),
        Some(chain) if chain.messages > 2 => Some(true),
        Some(chain) if chain.exact => Some(kind == b'R' || kind == b'E' && bytes.get(5) == Some(&b'S')),
        Some(_) => None,
        None => could_be_header(Party::Server, bytes),
    }
}

/// Where in the last bytes of an operation what was bound before is executed, with a `Sync` behind it, of which `unseen` bytes
/// are not there: exactly so many as what drivers send in between, a `Describe` of the portal. All of it is of the portal without
/// a name.
pub(super) fn execution(unseen: u64, tail: &[u8]) -> Option<usize> {
    let at = tail.len().checked_sub(EXECUTE.len() + ROWS + SYNC.len())?;
    let (before, rest) = tail.split_at(at);
    let executes = rest.starts_with(EXECUTE) && rest.ends_with(SYNC);
    let described = unseen + at as u64 == DESCRIBE.len() as u64 && DESCRIBE.ends_with(before);
    (executes && described).then_some(at)
}

/// How many of the last bytes of a client's operation, of which the rest cannot be placed, are an end that is looked for
/// there.
pub(super) fn ending(bytes: &[u8]) -> usize {
    let synced = if bytes.ends_with(SYNC) { SYNC.len() } else { 0 };
    let rest = &bytes[..bytes.len() - synced];
    if rest.ends_with(DONE) {
        return synced + DONE.len();
    }
    let Some(at) = rest.len().checked_sub(EXECUTE.len() + ROWS).filter(|_| synced > 0) else { return synced };
    if !rest[at..].starts_with(EXECUTE) {
        return synced;
    }
    let before = &rest[..at];
    let described = if DESCRIBE.ends_with(before) { before.len() } else { 0 };
    synced + EXECUTE.len() + ROWS + described
}

/// Whether bytes where a message must begin can be one: weaker than what tells the protocol.
pub(super) fn plausible(party: Party, bytes: &[u8]) -> bool {
    if party == Party::Client && looks_like_startup(bytes) == Some(true) {
        return true;
    }
    match chain(party, bytes) {
        None => could_be_header(party, bytes).is_none(),
        Some(chain) => chain.messages > 0,
    }
}

fn looks_like_startup(bytes: &[u8]) -> Option<bool> {
    let mut reader = Reader::new(bytes);
    let Some(length) = reader.u32() else {
        return bytes.iter().all(|&byte| byte == 0).then_some(false).and(None);
    };
    if !(8..=STARTUP_MAX).contains(&length) {
        return Some(false);
    }
    let code = reader.u32()?;
    let rest = reader.rest();
    match code {
        SSL_REQUEST | GSSENC_REQUEST => Some(length == 8 && rest.is_empty()),
        CANCEL_REQUEST => Some((16..=268).contains(&length) && bytes.len() <= length as usize),
        _ if code >> 16 != 3 || code & 0xffff > 0xff => Some(false),
        _ if bytes.len() > length as usize => Some(false),
        _ if rest.is_empty() => None,
        _ => Some(rest[0].is_ascii_lowercase() && (bytes.len() < length as usize || rest.ends_with(b"\0\0"))),
    }
}

/// Whether text begins like a statement, which may be empty. `whole` says that its end is there.
fn statement(text: &[u8], whole: bool) -> Option<bool> {
    let end = memchr::memchr(0, text);
    if whole && end != Some(text.len().saturating_sub(1)) {
        return Some(false);
    }
    let mut rest = &text[..end.unwrap_or(text.len())];
    if !is_text(rest) {
        return Some(false);
    }
    loop {
        rest = rest.trim_ascii_start();
        match rest {
            [b'(' | b';', tail @ ..] => rest = tail,
            [b'/', b'*', tail @ ..] => match memchr::memmem::find(tail, b"*/") {
                Some(comment) => rest = &tail[comment + 2..],
                None => return end.is_some().then_some(false),
            },
            [b'-', b'-', tail @ ..] => match memchr::memchr(b'\n', tail) {
                Some(comment) => rest = &tail[comment + 1..],
                None => return end.is_some().then_some(false),
            },
            _ => break,
        }
    }
    let word = rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    if rest.is_empty() || word == rest.len() && end.is_none() && word < 16 {
        return if end.is_some() { Some(whole) } else { None };
    }
    Some(std::str::from_utf8(&rest[..word]).is_ok_and(begins_statement))
}

fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte >= b' ' || matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c))
}

fn length(bytes: &[u8]) -> Option<u32> {
    bytes.get(1..5).and_then(|length| length.try_into().ok()).map(u32::from_be_bytes)
}

/// Fewer than five bytes: `Some(false)` where no length can follow.
fn could_be_header(party: Party, bytes: &[u8]) -> Option<bool> {
    let long = bytes.get(1).is_some_and(|&byte| byte > 0x40);
    (long || !is_valid_kind(party, bytes[0])).then_some(false)
}

fn is_valid_kind(party: Party, kind: u8) -> bool {
    kind > 1 && [4, 5, 8].iter().any(|&length| is_valid(party, kind, length))
}

/// Messages that follow each other.
#[derive(Clone, Copy, Debug, Default)]
struct Chain {
    /// Whole headers.
    messages: u32,
    /// The last one ends where the bytes do.
    exact: bool,
    /// The last one asks for an answer.
    asks: bool,
    /// The last one is `ReadyForQuery`.
    ready: bool,
}

/// Follows messages through the bytes. `None` is fewer than a header; no messages, a wrong one.
fn chain(party: Party, bytes: &[u8]) -> Option<Chain> {
    let mut chain = Chain::default();
    let mut rest = bytes;
    while let Some(length) = length(rest) {
        let kind = rest[0];
        if kind < 2 || !is_valid(party, kind, length) {
            return Some(Chain::default());
        }
        let end = length as usize + 1;
        let status = kind != b'Z' || rest.get(5).is_none_or(|status| matches!(status, b'I' | b'T' | b'E'));
        if !status {
            return Some(Chain::default());
        }
        chain.messages += 1;
        chain.asks = matches!(kind, b'S' | b'H');
        chain.ready = kind == b'Z';
        chain.exact = rest.len() == end;
        match rest.get(end..) {
            Some(next) => rest = next,
            None => return Some(chain),
        }
    }
    if !rest.is_empty() && could_be_header(party, rest).is_some() {
        return Some(Chain::default());
    }
    (chain.messages > 0).then_some(chain)
}

const DESCRIBE: &[u8] = b"D\0\0\0\x06P\0";
/// A number of rows follows.
const EXECUTE: &[u8] = b"E\0\0\0\x09\0";
const ROWS: usize = 4;
const SYNC: &[u8] = b"S\0\0\0\x04";
const DONE: &[u8] = b"c\0\0\0\x04";
