//! The static Huffman code of RFC 7541 section 5.2 and appendix B.

/// Appends what `bytes` encode; `None` where they are no such encoding.
pub(super) fn decode(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = bytes.iter();
    // The bits not yet decoded, from the top.
    let (mut bits, mut count) = (0_u64, 0_u32);
    loop {
        while count <= 56
            && let Some(&byte) = rest.next()
        {
            bits |= u64::from(byte) << (56 - count);
            count += 8;
        }
        let ones = u64::MAX.checked_shr(count).unwrap_or(0);
        let (symbol, length) = symbol(bits | ones);
        if length > count {
            // Padding: fewer than eight bits, all set.
            return (count < 8 && bits | ones == u64::MAX).then_some(());
        }
        // The end-of-string symbol must not occur.
        out.push(u8::try_from(symbol).ok()?);
        bits <<= length;
        count -= length;
    }
}

/// The symbol that the topmost bits spell, and how many of them do.
fn symbol(bits: u64) -> (u16, u32) {
    let (symbol, length) = CODE.short[(bits >> (64 - SHORT)) as usize];
    if length > 0 {
        return (u16::from(symbol), u32::from(length));
    }
    // The code is canonical: codes of one length follow each other, in the order of their symbols.
    let mut length = SHORT + 1;
    loop {
        let code = (bits >> (64 - length)) as u32;
        let at = code.wrapping_sub(CODE.first[length as usize]);
        if at < CODE.count[length as usize] || length == LONGEST {
            let at = (CODE.start[length as usize] + at) as usize;
            return (CODE.order.get(at).copied().unwrap_or(END_OF_STRING), length);
        }
        length += 1;
    }
}

const SYMBOLS: usize = 257;
const END_OF_STRING: u16 = 256;
/// Codes up to this length are looked up in one step.
const SHORT: u32 = 10;
const LONGEST: u32 = 30;

/// Appendix B, by symbol.
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

struct Code {
    /// Symbol and length by the first bits; length 0 where the code is longer.
    short: [(u8, u8); 1 << SHORT],
    /// By length: the first code, how many there are, and where their symbols start in `order`.
    first: [u32; LONGEST as usize + 1],
    count: [u32; LONGEST as usize + 1],
    start: [u32; LONGEST as usize + 1],
    /// Symbols by length, then by value.
    order: [u16; SYMBOLS],
}

static CODE: Code = Code::new();

impl Code {
    #[allow(clippy::cast_possible_truncation)] // Symbols are below 257.
    const fn new() -> Self {
        let mut code = Self {
            short: [(0, 0); 1 << SHORT],
            first: [0; LONGEST as usize + 1],
            count: [0; LONGEST as usize + 1],
            start: [0; LONGEST as usize + 1],
            order: [0; SYMBOLS],
        };
        let (mut length, mut next, mut placed) = (1, 0_u32, 0);
        while length <= LONGEST {
            next <<= 1;
            code.first[length as usize] = next;
            code.start[length as usize] = placed as u32;
            let mut symbol = 0;
            while symbol < SYMBOLS {
                if LENGTHS[symbol] as u32 == length {
                    code.order[placed] = symbol as u16;
                    if length <= SHORT {
                        let spare = SHORT - length;
                        let mut low = 0;
                        while low < 1 << spare {
                            code.short[((next << spare) | low) as usize] = (symbol as u8, length as u8);
                            low += 1;
                        }
                    }
                    placed += 1;
                    next += 1;
                }
                symbol += 1;
            }
            code.count[length as usize] = next - code.first[length as usize];
            length += 1;
        }
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode(bytes, &mut out).map(|()| out)
    }

    #[test]
    fn the_code_is_complete() {
        let spaces: u64 = LENGTHS.iter().map(|&length| 1 << (LONGEST - u32::from(length))).sum();
        assert_eq!(spaces, 1 << LONGEST);
        // Appendix B's first, last and longest.
        assert_eq!(symbol(0x1ff8 << 51), (0, 13));
        assert_eq!(symbol(0x03ff_ffee << 38), (255, 26));
        assert_eq!(symbol(0x3fff_fffe << 34), (22, 30));
        assert_eq!(symbol(u64::MAX), (END_OF_STRING, 30));
    }

    #[test]
    fn padding_is_short_and_all_ones() {
        assert_eq!(decoded(b""), Some(vec![]));
        assert_eq!(decoded(b"\x1f"), Some(b"a".to_vec()));
        assert_eq!(decoded(b"\x1e"), None);
        assert_eq!(decoded(b"\x1f\xff"), None);
        assert_eq!(decoded(b"\xff"), None);
        assert_eq!(decoded(b"\xff\xff\xff\xff"), None);
        assert_eq!(decoded(b"\x00\x00\x00\x00\x00"), Some(b"00000000".to_vec()));
        assert_eq!(decoded(b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), Some(vec![b'0'; 16]));
    }
}
