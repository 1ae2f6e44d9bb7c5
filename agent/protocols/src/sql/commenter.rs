//! Trace context in SQL comments, as SQL Commenter writes it:
//! `/*key='value',traceparent='00-…-01'*/`, keys and values percent-encoded, `'` written `\'`.

/// Hexadecimal digits of the parts of a `traceparent` (W3C Trace Context section 3.2).
const PARTS: [usize; 4] = [2, 32, 16, 2];
const LENGTH: usize = 55;
const KEY: &[u8] = b"traceparent";

/// The `traceparent` in a comment, if there is a valid one.
pub(super) fn traceparent(comment: &str) -> Option<Box<str>> {
    let bytes = comment.as_bytes();
    let mut from = 0;
    while let Some(found) = memchr::memmem::find(&bytes[from..], KEY) {
        let start = from + found;
        from = start + KEY.len();
        let begins =
            start.checked_sub(1).is_some_and(|at| matches!(bytes[at], b'*' | b',' | b' ' | b'-' | b'\''));
        let value = strip_spaces(&bytes[from..]).strip_prefix(b"=").map(strip_spaces);
        let value = value.and_then(|value| value.strip_prefix(b"'"));
        if let (true, Some(decoded)) = (begins, value.and_then(decode)) {
            return Some(decoded);
        }
    }
    None
}

fn strip_spaces(bytes: &[u8]) -> &[u8] {
    let spaces = bytes.iter().take_while(|&&byte| byte == b' ').count();
    &bytes[spaces..]
}

/// Decodes up to the closing quote.
fn decode(encoded: &[u8]) -> Option<Box<str>> {
    let mut value = String::with_capacity(LENGTH);
    let mut rest = encoded;
    loop {
        let byte = match rest {
            [b'\'', ..] => break,
            [b'%', high, low, tail @ ..] => {
                rest = tail;
                hex(*high)? << 4 | hex(*low)?
            }
            [byte, tail @ ..] => {
                rest = tail;
                *byte
            }
            [] => return None,
        };
        if !byte.is_ascii() || value.len() == LENGTH {
            return None;
        }
        value.push(char::from(byte));
    }
    is_traceparent(&value).then(|| value.into_boxed_str())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn is_traceparent(value: &str) -> bool {
    let mut parts = value.split('-');
    let shaped = PARTS.iter().all(|&length| {
        parts.next().is_some_and(|part| {
            part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    });
    let zero = |range: std::ops::Range<usize>| value.as_bytes()[range].iter().all(|&byte| byte == b'0');
    shaped && parts.next().is_none() && !value.starts_with("ff") && !zero(3..35) && !zero(36..52)
}
