//! What tells the protocol from others.

use super::{
    binary, compress,
    frame::{self, EOF, ERROR, HEADER, INFILE, Login, OK, PROTOCOL, capability, command, u24_le},
};
use crate::{reader::Reader, sql::begins_statement};

/// A greeting is not longer.
const GREETING: u32 = 1024;
/// A login is not longer, with all the attributes that a client may name. A record of TLS would be.
const LOGIN: u32 = 0x1_0000;
/// Of a statement this much must be text.
const TEXT: usize = 64;

/// Whether bytes at the start of an operation are a client's. `None` is too few to say.
pub(crate) fn looks_like_client(bytes: &[u8]) -> Option<bool> {
    match plain_client(bytes) {
        Some(false) => compressed_client(bytes),
        decided => decided,
    }
}

/// Whether bytes at the start of an operation are a server's. `None` is too few to say.
pub(crate) fn looks_like_server(bytes: &[u8]) -> Option<bool> {
    // Headers are in one piece: a server or a client reads them by themselves, and nobody reads less.
    let Some((length, sequence, body)) = packet(bytes) else { return Some(false) };
    let Some(&first) = body.first() else { return (sequence > 1 || length == 0).then_some(false) };
    match (sequence, first) {
        (0, PROTOCOL) if (40..=GREETING).contains(&length) => greeting(&body[1..], length),
        (1, ERROR) if (9..=2048).contains(&length) => match body.get(3..9) {
            Some([b'#', state @ ..]) => Some(state.iter().all(u8::is_ascii_alphanumeric)),
            Some(_) => Some(false),
            None => None,
        },
        // So many columns, and the first is described: its catalog is always `def`.
        (1, 1..=0xfa) if length == 1 => {
            let described = bytes.get(HEADER + 1..)?;
            let prefix = described.get(3..described.len().min(8)).unwrap_or_default();
            if !b"\x02\x03def".starts_with(prefix) {
                return Some(false);
            }
            (prefix.len() == 5).then_some(true)
        }
        // An `OK` packet may be anything.
        (1, OK) if (7..=512).contains(&length) && body.len() <= length as usize => None,
        _ => Some(false),
    }
}

/// Whether bytes where a server's greeting may begin can be one.
pub(super) fn plausible_greeting(bytes: &[u8]) -> bool {
    let Some((length, 0, body)) = packet(bytes) else { return false };
    let fits = (40..=GREETING).contains(&length);
    fits && body
        .split_first()
        .is_none_or(|(&first, rest)| first == PROTOCOL && greeting(rest, length) != Some(false))
}

/// Whether bytes where a client's login may begin are one, or nothing but its header.
pub(super) fn plausible_login(bytes: &[u8]) -> bool {
    packet(bytes).is_some_and(|(length, sequence, body)| match body {
        [] => (1..=2).contains(&sequence) && (32..=LOGIN).contains(&length),
        _ => login(length, sequence, body) == Some(true),
    })
}

/// Whether bytes where a client's command may begin can be one: weaker than what tells the protocol.
pub(super) fn plausible_command(bytes: &[u8]) -> bool {
    let Some((length, sequence, body)) = packet(bytes) else { return false };
    if sequence != 0 || length == 0 {
        return false;
    }
    match body.first() {
        None => true,
        Some(&command::QUERY | &command::PREPARE) => is_text(strip_attributes(body)),
        Some(&number) => frame::is_command(number, length),
    }
}

/// Whether bytes where an answer may begin can be one; `sequence` is the number that is due, where it is
/// known.
pub(super) fn plausible_answer(sequence: Option<u8>, bytes: &[u8]) -> bool {
    let Some((length, found, body)) = packet(bytes) else { return false };
    if sequence.is_some_and(|due| due != found) || length == 0 {
        return false;
    }
    match body.first() {
        None => true,
        // `OK` packets, MySQL's count of columns that are not described.
        Some(&OK) => length >= 7 || length == 2,
        Some(&ERROR) => length >= 3,
        Some(&(EOF | INFILE)) => true,
        Some(1..=0xfa) => length <= 2 || body[0] == 1 && length <= 4,
        Some(0xfc..=0xfd) => length <= 5,
    }
}

/// The first packet: its length, sequence number, and what is at hand of its body.
fn packet(bytes: &[u8]) -> Option<(u32, u8, &[u8])> {
    let (&[a, b, c, sequence], body) = bytes.split_first_chunk::<HEADER>()?;
    let length = u24_le([a, b, c]);
    Some((length, sequence, &body[..body.len().min(length as usize)]))
}

fn plain_client(bytes: &[u8]) -> Option<bool> {
    let mut rest = bytes;
    loop {
        let Some((length, sequence, body)) = packet(rest) else {
            // Behind a short command the next one may begin.
            return if rest.len() < bytes.len() { None } else { Some(false) };
        };
        if length == 0 {
            return Some(false);
        }
        if sequence != 0 {
            return login(length, sequence, body);
        }
        let &number = body.first()?;
        let whole = body.len() == length as usize;
        match number {
            command::QUERY | command::PREPARE if length > 1 => {
                return statement(strip_attributes(body), whole);
            }
            command::EXECUTE if length >= 10 => {
                let mut reader = Reader::new(&body[1..]);
                let number = frame::u32_le(&mut reader)?;
                let flags = reader.u8()?;
                let iterations = frame::u32_le(&mut reader)?;
                return Some(number > 0 && flags < 16 && iterations == 1);
            }
            command::BULK_EXECUTE if length >= 7 => {
                let mut reader = Reader::new(&body[1..]);
                let number = frame::u32_le(&mut reader)?;
                let flags = frame::u16_le(&mut reader)?;
                return Some((1..1 << 24).contains(&number) && flags & !192 == 0 && flags & 128 != 0);
            }
            // These are too short to tell by themselves.
            command::PING | command::RESET_CONNECTION if length == 1 => {}
            command::CLOSE | command::RESET_STATEMENT if length == 5 => {}
            command::INIT_DB if (2..=257).contains(&length) && is_text(&body[1..]) => {}
            _ => return Some(false),
        }
        if !whole {
            return None;
        }
        rest = &rest[HEADER + length as usize..];
    }
}

/// The compressed protocol, by what is inside of its first packet.
fn compressed_client(bytes: &[u8]) -> Option<bool> {
    compress::peek(bytes).map_or(Some(false), |inner| plain_client(&inner))
}

/// `HandshakeResponse41` or `SSLRequest`. The first is the second packet of a connection, or the third behind
/// an `SSLRequest`.
fn login(length: u32, sequence: u8, body: &[u8]) -> Option<bool> {
    if sequence > 2 || !(32..=LOGIN).contains(&length) {
        return Some(false);
    }
    let mut reader = Reader::new(body);
    let capabilities = u64::from(frame::u32_le(&mut reader)?);
    if capabilities & capability::PROTOCOL_41 == 0 {
        return Some(false);
    }
    reader.take(4 + 1 + 19 + 4)?;
    match Login::parse(body, u64::from(length)) {
        Some(Login::Encryption) => Some(sequence == 1),
        Some(Login::Session { .. }) => Some(length > 32),
        None => Some(false),
    }
}

/// What is behind a greeting's protocol number: a version, as `10.11.4-MariaDB`, and a filler that is zero.
fn greeting(bytes: &[u8], length: u32) -> Option<bool> {
    let version = &bytes[..memchr::memchr(0, bytes).unwrap_or(bytes.len())];
    let is_version = version.iter().all(u8::is_ascii_graphic)
        || version.iter().all(|&byte| byte == b' ' || byte.is_ascii_graphic());
    if version.len() > 128 || version.len() + 30 > length as usize || !is_version {
        return Some(false);
    }
    if version.first().is_some_and(|first| !first.is_ascii_digit()) {
        return Some(false);
    }
    // Connection id and eight bytes of the challenge are ahead of the filler.
    bytes.get(version.len() + 13).map(|&filler| filler == 0 && version.contains(&b'.'))
}

/// The text of a statement behind the command, and behind attributes that may be ahead of it.
fn strip_attributes(body: &[u8]) -> &[u8] {
    let text = body.get(1..).unwrap_or_default();
    if body.first() != Some(&command::QUERY) {
        return text;
    }
    binary::statement(body, None).unwrap_or_default()
}

/// Whether text begins like a statement. `whole` says that its end is there.
fn statement(text: &[u8], whole: bool) -> Option<bool> {
    let mut rest = text;
    if !is_text(rest) {
        return Some(false);
    }
    let open = if whole { Some(false) } else { None };
    loop {
        rest = rest.trim_ascii_start();
        match rest {
            [b'(' | b';', tail @ ..] => rest = tail,
            [b'/', b'*', b'!', tail @ ..] => {
                let digits = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
                rest = &tail[digits..];
            }
            [b'/', b'*', tail @ ..] => match memchr::memmem::find(tail, b"*/") {
                Some(comment) => rest = &tail[comment + 2..],
                None => return open,
            },
            [b'-', b'-', tail @ ..] | [b'#', tail @ ..] => match memchr::memchr(b'\n', tail) {
                Some(comment) => rest = &tail[comment + 1..],
                None => return open,
            },
            _ => break,
        }
    }
    let word = rest.iter().take_while(|&&byte| byte.is_ascii_alphabetic() || byte == b'_').count();
    if word == rest.len() && !whole && word < 16 {
        return None;
    }
    Some(std::str::from_utf8(&rest[..word]).is_ok_and(begins_statement))
}

fn is_text(bytes: &[u8]) -> bool {
    let mut first = bytes[..bytes.len().min(TEXT)].iter();
    first.all(|&byte| byte >= b' ' || matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c))
}
