//! The chunked transfer coding (RFC 9112 section 7.1), byte by byte and across bytes not seen.

/// Where in the coding the next byte stands.
///
/// ```text
/// chunked-body = *( chunk-size [ chunk-ext ] CRLF chunk-data CRLF ) last-chunk trailers CRLF
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunked {
    Size { value: u64, digits: u8 },
    Extension { value: u64 },
    SizeEnd { value: u64 },
    Data { left: u64 },
    DataEnd { carriage: bool },
    Trailers(BlankLine),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    More,
    End,
    Malformed,
}

/// Looks for the empty line that ends a section of fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum BlankLine {
    /// Nothing of the line seen yet.
    #[default]
    Fresh,
    /// Only a carriage return so far.
    Carriage,
    Filled,
}

impl Chunked {
    pub(super) const START: Self = Self::Size { value: 0, digits: 0 };

    /// Reads on; gives the bytes used and adds chunk data to `payload`.
    pub(super) fn advance(&mut self, bytes: &[u8], payload: &mut u64) -> (usize, Progress) {
        let mut used = 0;
        while let Some(&byte) = bytes.get(used) {
            match *self {
                Self::Data { left } => {
                    let there = bytes.len() - used;
                    let taken = usize::try_from(left).map_or(there, |left| left.min(there));
                    used += taken;
                    self.consume_data(taken as u64, left, payload);
                    continue;
                }
                Self::Extension { value } => {
                    match memchr::memchr(b'\n', &bytes[used..]) {
                        None => return (bytes.len(), Progress::More),
                        Some(end) => used += end + 1,
                    }
                    *self = Self::after_size(value);
                    continue;
                }
                Self::Trailers(mut line) => {
                    let (taken, found) = line.find(&bytes[used..]);
                    *self = Self::Trailers(line);
                    return (used + taken, if found { Progress::End } else { Progress::More });
                }
                Self::Size { value, digits } => match (byte, hex(byte)) {
                    (_, Some(_)) if digits == 16 => return (used, Progress::Malformed),
                    (_, Some(digit)) => *self = Self::Size { value: value << 4 | digit, digits: digits + 1 },
                    _ if digits == 0 => return (used, Progress::Malformed),
                    (b'\r', _) => *self = Self::SizeEnd { value },
                    (b'\n', _) => *self = Self::after_size(value),
                    (b';' | b' ' | b'\t', _) => *self = Self::Extension { value },
                    _ => return (used, Progress::Malformed),
                },
                Self::SizeEnd { value } if byte == b'\n' => *self = Self::after_size(value),
                Self::DataEnd { carriage: false } if byte == b'\r' => {
                    *self = Self::DataEnd { carriage: true }
                }
                Self::DataEnd { .. } if byte == b'\n' => *self = Self::START,
                Self::SizeEnd { .. } | Self::DataEnd { .. } => return (used, Progress::Malformed),
            }
            used += 1;
        }
        (used, Progress::More)
    }

    /// Passes over up to `gap` unseen bytes; less than all of them when the framing is not known further.
    pub(super) fn skip(&mut self, gap: u64, payload: &mut u64) -> u64 {
        let Self::Data { left } = *self else { return 0 };
        let taken = left.min(gap);
        self.consume_data(taken, left, payload);
        taken
    }

    fn consume_data(&mut self, taken: u64, left: u64, payload: &mut u64) {
        *payload = payload.saturating_add(taken);
        *self =
            if taken == left { Self::DataEnd { carriage: false } } else { Self::Data { left: left - taken } };
    }

    fn after_size(value: u64) -> Self {
        if value == 0 { Self::Trailers(BlankLine::Fresh) } else { Self::Data { left: value } }
    }
}

impl BlankLine {
    /// Bytes up to and with the empty line's end, and whether it was found.
    pub(super) fn find(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut used = 0;
        while used < bytes.len() {
            let rest = &bytes[used..];
            let end = memchr::memchr(b'\n', rest);
            let part = &rest[..end.unwrap_or(rest.len())];
            *self = match (*self, part) {
                (state, []) => state,
                (Self::Fresh, b"\r") => Self::Carriage,
                _ => Self::Filled,
            };
            let Some(end) = end else { return (bytes.len(), false) };
            used += end + 1;
            if *self != Self::Filled {
                return (used, true);
            }
            *self = Self::Fresh;
        }
        (used, false)
    }
}

fn hex(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expect: (usize, Progress), data: u64) {
        let (mut state, mut payload) = (Chunked::START, 0);
        assert_eq!(state.advance(bytes, &mut payload), expect);
        assert_eq!(payload, data);
        // Byte by byte comes to the same.
        let (mut state, mut payload, mut used) = (Chunked::START, 0, 0);
        let mut progress = Progress::More;
        for byte in bytes.chunks(1) {
            let (taken, now) = state.advance(byte, &mut payload);
            used += taken;
            progress = now;
            if now != Progress::More {
                break;
            }
        }
        assert_eq!((used, progress, payload), (expect.0, expect.1, data));
    }

    #[test]
    fn framing() {
        check(b"3\r\nabc\r\n0\r\n\r\nHTTP", (13, Progress::End), 3);
        check(b"A;x=\"y\"\r\n0123456789\r\n00\r\nTrailer: 1\r\n\r\n", (39, Progress::End), 10);
        check(b"3 \nabc\n0\n\n", (10, Progress::End), 3);
        check(b"3\r\nab", (5, Progress::More), 2);
        check(b"x\r\n", (0, Progress::Malformed), 0);
        check(b"\r\n", (0, Progress::Malformed), 0);
        check(b"3\rx", (2, Progress::Malformed), 0);
        check(b"3\r\nabcd", (6, Progress::Malformed), 3);
        check(b"11111111111111111\r\n", (16, Progress::Malformed), 0);
    }

    #[test]
    fn unseen_bytes_are_counted_inside_a_chunk_only() {
        let mut payload = 0;
        let mut state = Chunked::START;
        assert_eq!(state.skip(5, &mut payload), 0);
        assert_eq!(state.advance(b"10\r\nab", &mut payload), (6, Progress::More));
        assert_eq!(state.skip(10, &mut payload), 10);
        assert_eq!(state.skip(10, &mut payload), 4);
        assert_eq!(state.skip(6, &mut payload), 0);
        assert_eq!((state, payload), (Chunked::DataEnd { carriage: false }, 16));
    }
}
