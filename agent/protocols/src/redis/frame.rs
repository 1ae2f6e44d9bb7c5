//! What elements look like ("RESP protocol description").

use super::table;

/// No string is longer (`proto-max-bulk-len` as it is by default).
const LONGEST_STRING: u64 = 512 << 20;
/// No command has more arguments (`INT_MAX` for some, 1024 × 1024 for most).
const MOST_ARGUMENTS: u64 = 1 << 20;
/// No aggregate has more elements.
const MOST_ELEMENTS: u64 = 1 << 32;
/// Lines that are longer are not read. Inline commands may be four times as long (`PROTO_INLINE_MAX_SIZE`).
pub(super) const LONGEST_LINE: usize = 16 * 1024;

/// The first line of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// The line is the value.
    Line,
    /// That many bytes follow, and CRLF.
    Text(u64),
    /// That many elements follow.
    Elements(u64),
    /// Chunks follow, each with a length.
    Chunks,
    /// Elements follow, up to an end.
    Stream,
    /// The end of a stream.
    End,
    Null,
}

impl Header {
    /// Reads a line, without its end.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let (&kind, rest) = line.split_first()?;
        match kind {
            b'+' | b'-' => Some(Self::Line),
            b':' => is_number(rest).then_some(Self::Line),
            b',' => (!rest.is_empty() && rest.len() <= 64).then_some(Self::Line),
            b'(' => is_number(rest).then_some(Self::Line),
            b'#' => matches!(rest, b"t" | b"f").then_some(Self::Line),
            b'_' => rest.is_empty().then_some(Self::Null),
            b'$' | b'!' | b'=' => match rest {
                b"-1" => Some(Self::Null),
                b"?" if kind == b'$' => Some(Self::Chunks),
                _ => number(rest).filter(|&length| length <= LONGEST_STRING).map(Self::Text),
            },
            b'*' | b'~' | b'>' => match rest {
                b"-1" if kind == b'*' => Some(Self::Null),
                b"?" if kind != b'>' => Some(Self::Stream),
                _ => number(rest).filter(|&count| count <= MOST_ELEMENTS).map(Self::Elements),
            },
            b'%' | b'|' => match rest {
                b"?" if kind == b'%' => Some(Self::Stream),
                _ => number(rest).filter(|&count| count <= MOST_ELEMENTS).map(|n| Self::Elements(2 * n)),
            },
            b';' => number(rest).filter(|&length| length <= LONGEST_STRING).map(Self::Text),
            b'.' => rest.is_empty().then_some(Self::End),
            _ => None,
        }
    }

    /// As many arguments as a command has; nothing else begins one.
    pub(super) fn arguments(line: &[u8]) -> Option<u64> {
        match line.strip_prefix(b"*")? {
            // Redis takes both for nothing.
            b"-1" => Some(0),
            rest => number(rest).filter(|&count| count <= MOST_ARGUMENTS),
        }
    }
}

/// A line that ends in CRLF: without its end, and its length with it. `None` where the end is not there;
/// `Some(None)` where it is a bare LF.
pub(super) fn line(bytes: &[u8]) -> Option<Option<(&[u8], usize)>> {
    let end = memchr::memchr(b'\n', bytes)?;
    Some(bytes[..end].strip_suffix(b"\r").map(|line| (line, end + 1)))
}

/// Decimal digits, at most 19 of them.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, &digit| {
        digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
    })
}

fn is_number(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// Whether bytes at the start of an operation are a command: an array of strings that begins with the name of
/// one. `None` is too few to say.
pub(crate) fn looks_like_request(bytes: &[u8]) -> Option<bool> {
    array_of_strings(bytes, |name| table::find(name).is_some())
}

/// The same where the name is not known, but could be one: of a module, or a new one. It may be an answer as well.
pub(crate) fn could_be_request(bytes: &[u8]) -> Option<bool> {
    array_of_strings(bytes, table::is_name)
}

fn array_of_strings(bytes: &[u8], begins: impl Fn(&[u8]) -> bool) -> Option<bool> {
    if bytes.first()? != &b'*' {
        return Some(false);
    }
    let Some((count, mut rest)) = header(bytes, b'*') else {
        return not(could_be_header(bytes));
    };
    if count == 0 || count > MOST_ARGUMENTS {
        return Some(false);
    }
    for index in 0..count {
        if rest.is_empty() {
            return if index == 0 { None } else { Some(true) };
        }
        if rest[0] != b'$' {
            return Some(false);
        }
        let Some((length, text)) = header(rest, b'$') else {
            return if could_be_header(rest) { (index > 0).then_some(true) } else { Some(false) };
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if index == 0 {
            if length > table::LONGEST_NAME {
                return Some(false);
            }
            let Some(name) = text.get(..length) else {
                return not(text.iter().all(|&byte| table::is_of_name(byte)));
            };
            if !begins(name) {
                return Some(false);
            }
        }
        match text.get(length..) {
            Some(end) if end.len() >= 2 && &end[..2] == b"\r\n" => rest = &end[2..],
            Some(end) if end.len() < 2 && b"\r\n".starts_with(end) => return Some(true),
            Some(_) => return Some(false),
            None => return Some(true),
        }
    }
    Some(true)
}

/// Whether bytes at the start of an operation are whole lines that begin with the name of a command: an inline
/// command, if the other side answers like Redis.
pub(crate) fn looks_like_inline(bytes: &[u8]) -> bool {
    let Some(end) = memchr::memchr(b'\n', bytes) else { return false };
    let line = bytes[..end].trim_ascii();
    let word = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    table::find(word).is_some() && is_text(line)
}

/// Whether bytes at the start of an operation begin with an element that a server may answer with: alone it is
/// no evidence.
pub(crate) fn looks_like_reply(bytes: &[u8]) -> bool {
    match line(bytes) {
        Some(Some((line, _))) => Header::parse(line).is_some() && is_text(line),
        Some(None) | None => false,
    }
}

/// A line of a kind and a number, and what follows it.
fn header(bytes: &[u8], kind: u8) -> Option<(u64, &[u8])> {
    let (line, length) = line(&bytes[..bytes.len().min(24)])??;
    Some((number(line.strip_prefix(&[kind])?)?, &bytes[length..]))
}

/// Whether what has no end yet can become a header.
fn could_be_header(bytes: &[u8]) -> bool {
    let digits = &bytes[1..];
    let digits = digits.strip_suffix(b"\r").unwrap_or(digits);
    digits.len() < 10 && digits.iter().all(u8::is_ascii_digit)
}

fn not(possible: bool) -> Option<bool> {
    if possible { None } else { Some(false) }
}

fn is_text(line: &[u8]) -> bool {
    line.iter().all(|&byte| byte >= b' ' || byte == b'\t')
}
