//! Hiding secrets in captured bytes, in place and without changing their length.

/// Headers whose values are credentials or sessions.
const SECRET_HEADERS: [&[u8]; 8] = [
    b"authorization",
    b"proxy-authorization",
    b"cookie",
    b"set-cookie",
    b"x-api-key",
    b"api-key",
    b"x-auth-token",
    b"x-csrf-token",
];

/// Replaces the values of secret header lines by asterisks, wherever in `bytes` such a line begins.
/// A line that is cut off at the front is not recognised: an operation mostly carries whole heads.
pub(super) fn headers(bytes: &mut [u8]) {
    let mut at = 0;
    while at < bytes.len() {
        let end = bytes[at..].iter().position(|&b| b == b'\n').map_or(bytes.len(), |n| at + n);
        let line = &mut bytes[at..end];
        if let Some(colon) = line.iter().position(|&b| b == b':')
            && SECRET_HEADERS.iter().any(|name| line[..colon].eq_ignore_ascii_case(name))
        {
            for byte in &mut line[colon + 1..] {
                if !matches!(*byte, b' ' | b'\t' | b'\r') {
                    *byte = b'*';
                }
            }
        }
        at = end + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &[u8], expect: &[u8]) {
        let mut bytes = input.to_vec();
        headers(&mut bytes);
        assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(expect));
    }

    #[test]
    fn values_of_secret_headers_are_masked_and_nothing_else() {
        check(
            b"GET / HTTP/1.1\r\nAuthorization: Bearer abc\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nAuthorization: ****** ***\r\nHost: a\r\n\r\n",
        );
        check(b"COOKIE:a=b; c=d", b"COOKIE:**** ***");
        check(b"x-cookie: plain\r\n", b"x-cookie: plain\r\n");
        check(b"", b"");
    }
}
