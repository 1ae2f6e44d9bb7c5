//! The PROXY protocol, versions 1 and 2 (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>): what a load balancer
//! says of its client, in front of the connection's own bytes.

/// The length of such a header at the start of `bytes`, which has to be there whole: its sender writes it in one go.
///
/// Nothing else begins like it: an HTTP request line with such a method ends in a version.
#[must_use]
pub fn header_length(bytes: &[u8]) -> Option<usize> {
    if bytes.starts_with(SIGNATURE) { binary(bytes) } else { text(bytes) }
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 1, with its line's end.
const LONGEST_LINE: usize = 107;

fn text(bytes: &[u8]) -> Option<usize> {
    let rest = bytes.strip_prefix(b"PROXY ")?;
    let known = [&b"TCP4 "[..], b"TCP6 ", b"UNKNOWN"].iter().any(|family| rest.starts_with(family));
    let line = &bytes[..bytes.len().min(LONGEST_LINE)];
    let end = memchr::memchr(b'\n', line).filter(|&end| known && line[end - 1] == b'\r')?;
    Some(end + 1)
}

fn binary(bytes: &[u8]) -> Option<usize> {
    let rest = bytes.strip_prefix(SIGNATURE)?;
    // Version 2, and whether the connection is a client's or the balancer's own.
    let [0x20 | 0x21, _family, high, low, ..] = *rest else { return None };
    let length = SIGNATURE.len() + 4 + usize::from(u16::from_be_bytes([high, low]));
    (length <= bytes.len()).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_text() {
        for line in [
            "PROXY TCP4 10.0.0.1 10.0.0.2 4000 80\r\n",
            "PROXY TCP6 ffff::1 ffff::2 65535 443\r\n",
            "PROXY UNKNOWN\r\n",
            "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
        ] {
            let whole = format!("{line}GET / HTTP/1.1\r\n\r\n");
            assert_eq!(header_length(whole.as_bytes()), Some(line.len()), "{line:?}");
            for length in 0..line.len() {
                assert_eq!(header_length(&line.as_bytes()[..length]), None, "{length} of {line:?}");
            }
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "1".repeat(LONGEST_LINE));
        for other in [
            &long,
            "PROXY / HTTP/1.1\r\n",
            "PROXY TCP4 a\n",
            "proxy TCP4 a\r\n",
            " PROXY TCP4 a\r\n",
            "PROXY \n",
        ] {
            assert_eq!(header_length(other.as_bytes()), None, "{other:?}");
        }
    }

    #[test]
    fn a_binary_header() {
        let header = [SIGNATURE, b"\x21\x11\0\x0f\x0a\0\0\x01\x0a\0\0\x02\x0f\xa0\0\x50\x04\0\0"].concat();
        assert_eq!(header_length(&[&header[..], b"GET /"].concat()), Some(header.len()));
        for length in 0..header.len() {
            assert_eq!(header_length(&header[..length]), None, "{length} bytes");
        }
        // "LOCAL", with nothing to say.
        assert_eq!(header_length(&[SIGNATURE, b"\x20\0\0\0"].concat()), Some(16));
        for version in [0x10, 0x22, 0x31] {
            assert_eq!(header_length(&[SIGNATURE, &[version, 0, 0, 0]].concat()), None);
        }
    }
}
