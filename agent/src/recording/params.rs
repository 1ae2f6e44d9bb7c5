//! Hiding secrets among FastCGI's parameters: a request's headers are there under names such as `HTTP_COOKIE`.
//!
//! A pair is the length of the name, that of the value, the name and the value; a length is one byte, or four of which
//! the first has its top bit set (FastCGI specification, section 3.4). So a name is told by the lengths in front of it,
//! wherever a record begins.

use std::ops::Range;

use crate::span::redact::Redaction;

/// Parameters whose values are credentials or sessions.
const SECRETS: [&[u8]; 10] = [
    b"HTTP_AUTHORIZATION",
    b"HTTP_PROXY_AUTHORIZATION",
    b"HTTP_COOKIE",
    b"HTTP_X_API_KEY",
    b"HTTP_API_KEY",
    b"HTTP_X_AUTH_TOKEN",
    b"HTTP_X_CSRF_TOKEN",
    b"AUTH_PASSWORD",
    b"PHP_AUTH_PW",
    b"REMOTE_PASSWD",
];
/// Those that hold a query.
const QUERIES: [&[u8]; 3] = [b"QUERY_STRING", b"REQUEST_URI", b"HTTP_REFERER"];

/// Masks what one operation's bytes hold. Returns how many bytes of a secret are still to come.
pub(super) fn mask(bytes: &mut [u8], redaction: &Redaction) -> usize {
    let mut left = 0;
    let mut at = 0;
    while let Some((name, start, length)) = next_pair(bytes, at) {
        let end = bytes.len().min(start.saturating_add(length));
        if SECRETS.contains(&name) {
            bytes[start..end].fill(b'*');
            left = length - (end - start);
        } else {
            mask_query(&mut bytes[start..end], name == QUERIES[0], redaction);
        }
        at = end.max(at + 1);
    }
    left
}

/// The next pair of interest at or behind `at`: its name, and where its value begins and how long it is.
fn next_pair(bytes: &[u8], at: usize) -> Option<(&'static [u8], usize, usize)> {
    for start in at.max(2)..bytes.len() {
        // All names begin with one of few letters.
        if !matches!(bytes[start], b'H' | b'A' | b'P' | b'R' | b'Q') {
            continue;
        }
        let names = SECRETS.iter().chain(&QUERIES);
        let Some(name) = names.into_iter().copied().find(|name| bytes[start..].starts_with(name)) else {
            continue;
        };
        if let Some(length) = value_length(&bytes[..start], name.len()) {
            return Some((name, start + name.len(), length));
        }
    }
    None
}

/// The length of the value, from the bytes in front of a name of this length.
fn value_length(before: &[u8], name: usize) -> Option<usize> {
    if let [.., named, a @ 0x80..=0xff, b, c, d] = *before
        && usize::from(named) == name
    {
        return Some(u32::from_be_bytes([a & 0x7f, b, c, d]) as usize);
    }
    match *before {
        [.., named, value @ 0..=0x7f] if usize::from(named) == name => Some(usize::from(value)),
        _ => None,
    }
}

/// Masks the values of secret parameters. `bare`: all of it is the query.
fn mask_query(bytes: &mut [u8], bare: bool, redaction: &Redaction) {
    for secret in secrets_of_query(bytes, bare, redaction) {
        bytes[secret].fill(b'*');
    }
}

/// Where the values of secret parameters are, in order.
pub(super) fn secrets_of_query(bytes: &[u8], bare: bool, redaction: &Redaction) -> Vec<Range<usize>> {
    let query = if bare { Some(0) } else { bytes.iter().position(|&byte| byte == b'?').map(|mark| mark + 1) };
    let Some(mut start) = query else { return Vec::new() };
    let mut secrets = Vec::new();
    for parameter in bytes[start..].split(|byte| matches!(byte, b'&' | b';')) {
        let end = start + parameter.len();
        if let Some(equals) = parameter.iter().position(|&byte| byte == b'=')
            && std::str::from_utf8(&parameter[..equals]).is_ok_and(|name| redaction.is_secret(name))
        {
            secrets.push(start + equals + 1..end);
        }
        start = end + 1;
    }
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> Vec<u8> {
        let mut bytes = vec![u8::try_from(name.len()).unwrap()];
        match u8::try_from(value.len()) {
            Ok(short @ 0..=0x7f) => bytes.push(short),
            _ => bytes.extend((u32::try_from(value.len()).unwrap() | 1 << 31).to_be_bytes()),
        }
        bytes.extend([name, value].concat().into_bytes());
        bytes
    }

    fn masked(bytes: &[u8]) -> (Vec<u8>, usize) {
        let mut bytes = bytes.to_vec();
        let left = mask(&mut bytes, &Redaction::default());
        (bytes, left)
    }

    #[test]
    fn values_of_secret_parameters_are_masked_and_nothing_else() {
        let long = "x".repeat(300);
        let of = |cookie: &str, auth: &str, query: &str, uri: &str| {
            let head = [1, 4, 0, 1, 2, 0, 0, 0];
            let pairs = [
                pair("REQUEST_METHOD", "GET"),
                pair("QUERY_STRING", query),
                pair("HTTP_COOKIE", cookie),
                pair("HTTP_HOST", "a"),
                pair("HTTP_AUTHORIZATION", auth),
                pair("REQUEST_URI", uri),
                pair("HTTP_X_COOKIE", "HTTP_COOKIE is plain"),
            ];
            [&head[..], &pairs.concat()].concat()
        };
        let (bytes, left) = masked(&of("a=b", &long, "a=b&password=c", "/x?sig=abc&d=e"));
        let expect = of("***", &"*".repeat(300), "a=b&password=*", "/x?sig=***&d=e");
        assert_eq!((String::from_utf8_lossy(&bytes), left), (String::from_utf8_lossy(&expect), 0));
    }

    #[test]
    fn what_of_a_value_is_still_to_come_is_told() {
        let whole = pair("HTTP_COOKIE", "abcdef");
        let (bytes, left) = masked(&[&[0, 0], &whole[..whole.len() - 2]].concat());
        assert!(bytes.ends_with(b"HTTP_COOKIE****"));
        assert_eq!(left, 2);
    }

    #[test]
    fn other_bytes_are_as_they_were() {
        for bytes in [&b""[..], b"HTTP_COOKIE", b"\x0b\xffHTTP_COOKIEabc", b"GET /HTTP_COOKIE HTTP/1.1\r\n"] {
            assert_eq!(masked(bytes), (bytes.to_vec(), 0));
        }
    }
}
