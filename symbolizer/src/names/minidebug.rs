//! MiniDebugInfo: the symbols that `.dynsym` lacks, as an ELF file within the file, compressed by xz (Fedora and its
//! relatives; the convention is GDB's, "Debugging information in a special section").

use std::io::Read as _;

use lzma_rust2::XzReader;

/// The largest there is in practice is a few MiB.
const MOST: u64 = 64 << 20;

/// The decompressed file; `None` where it does not decompress or is too large.
pub(super) fn decompress(packed: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = XzReader::new(packed, false).take(MOST + 1).read_to_end(&mut bytes).ok()?;
    (read as u64 <= MOST).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_xz_is_none() {
        for bytes in [&b""[..], b"\xfd7zXZ\0", b"garbage that is long enough to have a header"] {
            assert_eq!(decompress(bytes), None);
        }
    }
}
