//! A bounds-checked cursor over captured bytes.

/// Reads forward through a slice. `None` means incomplete: the cursor stays where it was, and the
/// caller tries again with more bytes.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Bytes read so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// What is left, without reading it.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.position..]
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.position == self.bytes.len()
    }

    /// Exactly `length` bytes.
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.rest().get(..length)?;
        self.position += length;
        Some(taken)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Network byte order, as are the wider ones.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A fixed number of bytes, for integers of any byte order.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = *self.rest().first_chunk()?;
        self.position += N;
        Some(taken)
    }

    /// Bytes up to the next `delimiter`, which is read and left out.
    pub fn until(&mut self, delimiter: u8) -> Option<&'a [u8]> {
        let rest = self.rest();
        let length = memchr::memchr(delimiter, rest)?;
        self.position += length + 1;
        Some(&rest[..length])
    }

    /// A line that ends in LF or CRLF, without its end (RFC 9112 section 2.2 allows both).
    pub fn line(&mut self) -> Option<&'a [u8]> {
        self.until(b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_forward_and_stays_where_bytes_are_missing() {
        let mut reader = Reader::new(b"\x01\x02\x03\x04\x05\x06\x07ab\r\nc\nrest");
        assert_eq!(reader.u8(), Some(1));
        assert_eq!(reader.u16(), Some(0x0203));
        assert_eq!(reader.u32(), Some(0x0405_0607));
        assert_eq!(reader.line(), Some(&b"ab"[..]));
        assert_eq!(reader.line(), Some(&b"c"[..]));
        assert_eq!(reader.line(), None);
        assert_eq!(reader.u64(), None);
        assert_eq!(reader.position(), 13);
        assert_eq!(reader.take(5), None);
        assert_eq!(reader.take(4), Some(&b"rest"[..]));
        assert!(reader.is_empty());
        assert_eq!(reader.u8(), None);
    }
}
