//! One segment of a path: a word that names something, or a value that could be another.

use std::borrow::Cow;

use crate::span::context::percent_decode;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment<'a> {
    /// Kept as it is, as long as there are not too many.
    Word(&'a str),
    /// A placeholder, possibly with a fixed part around it (`{id}.pdf`, `{id}:cancel`).
    Value(Cow<'static, str>),
}

/// The longest word kept.
const MAX_WORD: usize = 64;
/// Beyond this nothing is looked at more closely.
const MAX_LOOKED_AT: usize = 256;

pub(super) fn classify(segment: &str) -> Segment<'_> {
    // Matrix parameters (`;jsessionid=…`) are no part of a route.
    let segment = segment.split(';').next().unwrap_or_default();
    if segment.bytes().all(|b| b.is_ascii_alphabetic()) && segment.len() <= MAX_WORD {
        return Segment::Word(segment);
    }
    if segment.len() > MAX_LOOKED_AT {
        return value("{token}");
    }
    if segment.bytes().all(|b| b.is_ascii_digit()) {
        return value("{id}");
    }
    if segment.bytes().all(|b| b.is_ascii_alphanumeric()) {
        // Nothing can stand around a value, and nothing is encoded.
        return match kind(segment) {
            Some(kind) => value(kind),
            None if segment.len() > MAX_WORD => value("{token}"),
            None => Segment::Word(segment),
        };
    }
    let decoded = percent_decode(segment);
    if let Some(whole) = compound(&decoded) {
        return Segment::Value(Cow::Owned(whole));
    }
    if let Some(kind) = kind(&decoded) {
        return value(kind);
    }
    match decoded {
        Cow::Owned(_) => value("{segment}"), // Words of a route need no encoding.
        Cow::Borrowed(_) if !segment.is_ascii() => value("{segment}"),
        Cow::Borrowed(_) if segment.len() > MAX_WORD => value("{token}"),
        Cow::Borrowed(_) => Segment::Word(segment),
    }
}

fn value(placeholder: &'static str) -> Segment<'static> {
    Segment::Value(Cow::Borrowed(placeholder))
}

/// What a whole text is, where it is a value.
fn kind(text: &str) -> Option<&'static str> {
    let shape = Shape::of(text);
    if shape.others == 0 && shape.letters == 0 && shape.digits > 0 && shape.marks == 0 {
        return Some("{id}");
    }
    let hit = if is_uuid(text) {
        "{uuid}"
    } else if is_email(text) {
        "{email}"
    } else if text.len() > 1 && text.starts_with('@') {
        "{handle}"
    } else if shape.digits == 0 {
        return is_padded_base64(text).then_some("{token}");
    } else if is_date(text) {
        "{date}"
    } else if is_phone(text, &shape) {
        "{phone}"
    } else if text.parse::<std::net::Ipv4Addr>().is_ok()
        || shape.others > 1 && text.parse::<std::net::Ipv6Addr>().is_ok()
    {
        "{ip}"
    } else if is_list(text) {
        "{ids}"
    } else if text.parse::<f64>().is_ok() {
        "{number}"
    } else if is_hash(text) {
        "{hash}"
    } else if is_padded_base64(text) || is_token(text, &shape) {
        "{token}"
    } else if is_numbered(text, &shape) {
        "{id}"
    } else {
        return None;
    };
    Some(hit)
}

/// Values with something fixed around them: `{id}.pdf`, `{id}:cancel`, `Users({id})`, `page={value}`.
fn compound(text: &str) -> Option<String> {
    if let Some((name, verb)) = text.rsplit_once(':')
        && verb.bytes().all(|b| b.is_ascii_alphabetic())
        && let Some(kind) = kind(name)
    {
        return Some(format!("{kind}:{verb}"));
    }
    if let Some((name, argument)) = text.split_once('(')
        && argument.ends_with(')')
        && is_name(name)
    {
        return Some(if argument == ")" { text.to_owned() } else { format!("{name}({{id}})") });
    }
    if let Some((name, argument)) = text.split_once('=')
        && is_name(name)
        && !argument.trim_start_matches('=').is_empty()
    {
        return Some(format!("{name}={{value}}"));
    }
    let (stem, extension) = text.rsplit_once('.')?;
    let plain = extension.len() <= 8 && extension.bytes().all(|b| b.is_ascii_alphanumeric());
    if stem.is_empty() || !plain || !extension.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let extension = extension.to_ascii_lowercase();
    let marked = stem.contains(['.', '-', '_']);
    if let Some(kind) = kind(stem).filter(|kind| !marked || *kind != "{token}") {
        return Some(format!("{kind}.{extension}"));
    }
    // The hash that a bundler puts into a file's name, and `jquery-3.7.1.min.js`.
    let mut parts = stem.split(['.', '-', '_']);
    let fingerprint = parts.any(|p| p.len() >= 6 && kind(p).is_some() || p.len() >= 8 && is_mixed(p));
    fingerprint.then(|| format!("{{file}}.{extension}"))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
}

/// How a text is made up.
#[derive(Default)]
struct Shape {
    letters: usize,
    digits: usize,
    /// `-`, `_` and `.`.
    marks: usize,
    others: usize,
    /// Runs of digits.
    runs: usize,
    upper: bool,
    lower: bool,
}

impl Shape {
    fn of(text: &str) -> Self {
        let (mut shape, mut before) = (Self::default(), false);
        for byte in text.bytes() {
            match byte {
                b'0'..=b'9' => {
                    shape.digits += 1;
                    shape.runs += usize::from(!before);
                }
                b'a'..=b'z' => (shape.letters, shape.lower) = (shape.letters + 1, true),
                b'A'..=b'Z' => (shape.letters, shape.upper) = (shape.letters + 1, true),
                b'-' | b'_' | b'.' => shape.marks += 1,
                _ => shape.others += 1,
            }
            before = byte.is_ascii_digit();
        }
        shape
    }
}

/// RFC 9562, with or without braces.
fn is_uuid(text: &str) -> bool {
    let text = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_email(text: &str) -> bool {
    let Some((name, host)) = text.rsplit_once('@') else { return false };
    !name.is_empty() && host.contains('.') && !host.starts_with('.') && !text.contains(' ')
}

/// ISO 8601 in its usual lengths: a month, a day, a week, and what follows a day with `T` or a blank.
fn is_date(text: &str) -> bool {
    let shaped = |shape: &str| {
        text.len() == shape.len()
            && text
                .bytes()
                .zip(shape.bytes())
                .all(|(b, s)| if s == b'0' { b.is_ascii_digit() } else { b == s })
    };
    let year = text.starts_with("19") || text.starts_with("20");
    let time = |t: &str| t.bytes().all(|b| b.is_ascii_digit() || b":.+-ZT ".contains(&b));
    let moment = text.is_char_boundary(10) && text.len() > 10 && {
        let (day, rest) = text.split_at(10);
        rest.starts_with(['T', ' ']) && is_date(day) && time(rest)
    };
    year && (shaped("0000-00-00")
        || shaped("0000-00")
        || shaped("0000-W00")
        || shaped("0000_00_00")
        || moment)
}

/// International form: a plus and 7 to 15 digits (E.164), separators allowed.
fn is_phone(text: &str, shape: &Shape) -> bool {
    let marks = |b: u8| b.is_ascii_digit() || b" -().".contains(&b);
    text.strip_prefix('+').is_some_and(|rest| rest.bytes().all(marks)) && (7..=15).contains(&shape.digits)
}

/// Numbers with commas between them; a pair of coordinates as well.
fn is_list(text: &str) -> bool {
    text.contains(',') && text.bytes().all(|b| b.is_ascii_digit() || b",.-".contains(&b))
}

/// Hexadecimal, eight digits or more, at least one of them no letter; `0x` before it is enough for any.
fn is_hash(text: &str) -> bool {
    let hex = |t: &str| t.bytes().all(|b| b.is_ascii_hexdigit());
    match text.strip_prefix("0x") {
        Some(rest) => !rest.is_empty() && hex(rest),
        None => text.len() >= 8 && hex(text),
    }
}

fn is_padded_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    body.len() < text.len() && body.len() >= 4 && text.len().is_multiple_of(4) && body.bytes().all(is_base64)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte)
}

/// A random identifier: letters and digits mixed as words are not. ULID, KSUID, nanoid, video ids, JWT.
fn is_token(text: &str, shape: &Shape) -> bool {
    if text.bytes().any(|b| !is_base64(b) && b != b'.' && b != b'~') {
        return false;
    }
    let ulid =
        text.len() == 26 && text.starts_with(|c| matches!(c, '0'..='7')) && shape.marks + shape.others == 0;
    let tagged = text.rsplit_once(['_', '-']).is_some_and(|(_, tail)| {
        let tail_shape = Shape::of(tail);
        tail.len() >= 10 && tail_shape.upper && tail_shape.lower && tail_shape.digits > 0
    });
    let parts = || text.split(['-', '_', '.']).any(|p| p.len() >= 8 && is_mixed(p));
    ulid || tagged || is_mixed(text) || text.len() >= 20 && parts()
}

/// Letters and digits alternate: both cases with two runs of digits, one case with three, or a text of 16
/// and more without a mark that has a quarter of digits.
fn is_mixed(text: &str) -> bool {
    let shape = Shape::of(text);
    let cases = shape.upper && shape.lower;
    let dense = text.len() >= 16 && shape.marks == 0 && shape.runs >= 2 && shape.digits * 8 >= text.len();
    let marked = shape.marks > 0 && (!cases || text.len() < 10);
    text.len() >= 8 && shape.letters > 0 && (dense || !marked && shape.runs >= if cases { 2 } else { 3 })
}

/// A word and a number of three digits or more: `order-1042`, `user_7781`, `INV20240001`, `how-to-12345`.
fn is_numbered(text: &str, shape: &Shape) -> bool {
    let tail = text.bytes().rev().take_while(u8::is_ascii_digit).count();
    let part = |p: &str| p.len() >= 3 && p.bytes().all(|b| b.is_ascii_digit());
    shape.others == 0 && (tail >= 4 || text.split(['-', '_', '.']).any(part))
}
