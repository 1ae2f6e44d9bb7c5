//! The static Huffman code of RFC 7541 section 5.2 and appendix B.

use std::ops::Range;

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

/// Hides symbols of a string, given as ranges in order. What comes of it has the same length, encoded and decoded, so that
/// a table takes as much room for it; nothing but these lengths is left of a run that is hidden. What is no such encoding
/// stays none.
pub(super) fn mask(bytes: &mut [u8], hidden: &[Range<usize>]) {
    let mut symbols = Vec::new();
    let room = 8 * bytes.len();
    match decode(bytes, &mut symbols).and_then(|()| masked(&symbols, hidden, room)) {
        Some(codes) => write(&codes, bytes),
        None => bytes.fill(u8::MAX),
    }
}

/// The codes of `symbols` in `room` bits, with other symbols where they are hidden.
fn masked(symbols: &[u8], hidden: &[Range<usize>], room: usize) -> Option<Vec<(u32, u32)>> {
    let mut codes: Vec<(u32, u32)> = symbols.iter().map(|symbol| code(*symbol)).collect();
    for run in hidden {
        let bits = |codes: &[(u32, u32)]| codes.iter().map(|(_, length)| *length as usize).sum::<usize>();
        let exact = bits(codes.get(run.clone())?);
        // What ends a string may take the padding as well, so that not even the number of bits is told.
        let most = if run.end == codes.len() { room - bits(&codes[..run.start]) } else { exact };
        let least = if run.end == codes.len() { most.saturating_sub(7) } else { exact };
        let lengths = (least..=most).rev().find_map(|bits| lengths(run.len(), bits))?;
        for (code, length) in codes[run.clone()].iter_mut().zip(lengths) {
            *code = self::code(MASKS[length]);
        }
    }
    Some(codes)
}

/// The lengths of `count` codes that take so many bits: the same for every string of that measure.
fn lengths(count: usize, bits: usize) -> Option<Vec<usize>> {
    if count == 0 {
        return (bits == 0).then(Vec::new);
    }
    let Some(mut over) = bits.checked_sub(8 * count).filter(|over| *over > 0) else {
        let (each, longer) = (bits / count, bits % count);
        return (each >= 5).then(|| (0..count).map(|at| each + usize::from(at < longer)).collect());
    };
    // Codes of 8 bits, and of those some that are longer. There are none of 9, 16 to 18 and 29 bits.
    let mut longest = over / 22;
    over %= 22;
    let spare = count.checked_sub(longest)?;
    let few: &[usize] = match (over, spare) {
        (0, _) => &[],
        (2..=7 | 11..=20, 1..) => &[8 + over],
        (1, 2..) => &[10, 7],
        (8, 2..) => &[12, 12],
        (9, 2..) => &[12, 13],
        (10, 2..) => &[13, 13],
        (21, 2..) => &[30, 7],
        (1, 1) => &[19, 20],
        (8, 1) => &[23, 23],
        (9, 1) => &[23, 24],
        (10, 1) => &[24, 24],
        _ => return None,
    };
    if spare == 1 && few.len() == 2 {
        longest = longest.checked_sub(1)?;
    }
    let mut lengths = vec![LONGEST as usize; longest];
    lengths.extend(few);
    lengths.resize(count, 8);
    Some(lengths)
}

/// A symbol's code and its length.
fn code(symbol: u8) -> (u32, u32) {
    let length = usize::from(LENGTHS[usize::from(symbol)]);
    let start = CODE.start[length] as usize;
    let order = &CODE.order[start..start + CODE.count[length] as usize];
    let at = order.iter().take_while(|other| **other != u16::from(symbol)).count();
    (CODE.first[length] + at as u32, length as u32)
}

/// Fills `bytes` with codes, and with ones behind them.
fn write(codes: &[(u32, u32)], bytes: &mut [u8]) {
    bytes.fill(u8::MAX);
    let mut at = 0;
    for (code, length) in codes {
        for bit in (0..*length).rev() {
            if code >> bit & 1 == 0 {
                bytes[at / 8] &= !(0x80 >> (at % 8));
            }
            at += 1;
        }
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

/// By the length of its code, a symbol that stands for a hidden one: none that parts a URL or a field.
#[rustfmt::skip]
const MASKS: [u8; LONGEST as usize + 1] = [
    0, 0, 0, 0, 0, b'0', b'-', b'x', b'*', 0, b'!', b'+', b'>', b'~', b'^', b'`',
    0, 0, 0, b'\\', 128, 153, 129, 1, 9, 199, 192, 203, 2, 0, 22,
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
    use proptest::{collection::vec, prelude::*};

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
    fn a_symbol_stands_for_each_length() {
        for (length, symbol) in MASKS.into_iter().enumerate().filter(|(_, symbol)| *symbol != 0) {
            assert_eq!(usize::from(LENGTHS[usize::from(symbol)]), length);
        }
        let lengths: std::collections::BTreeSet<u8> = LENGTHS[..256].iter().copied().collect();
        assert_eq!(lengths.len(), MASKS.iter().filter(|symbol| **symbol != 0).count());
    }

    #[test]
    fn every_measure_that_symbols_can_have_is_met() {
        let known: Vec<usize> = (5..=30).filter(|length| MASKS[*length] != 0).collect();
        let mut sums = std::collections::BTreeSet::from([0]);
        for count in 1..=12 {
            sums = sums.iter().flat_map(|sum| known.iter().map(move |length| sum + length)).collect();
            for bits in 0..=31 * count {
                match lengths(count, bits) {
                    Some(found) => {
                        assert!(found.iter().all(|length| known.contains(length)), "{count} {bits}");
                        assert_eq!((found.len(), found.iter().sum::<usize>()), (count, bits));
                    }
                    None => assert!(!sums.contains(&bits), "{count} {bits}"),
                }
            }
        }
    }

    fn encoded(symbols: &[u8]) -> Vec<u8> {
        let codes: Vec<(u32, u32)> = symbols.iter().map(|symbol| code(*symbol)).collect();
        let bits: u32 = codes.iter().map(|(_, length)| length).sum();
        let mut bytes = vec![0; bits.div_ceil(8) as usize];
        write(&codes, &mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn what_is_hidden_leaves_its_measure_alone(
            symbols in vec(prop_oneof![3 => 32..127_u8, 1 => any::<u8>()], 0..60),
            cuts in (0..61_usize, 0..61_usize),
        ) {
            let plain = encoded(&symbols);
            prop_assert_eq!(decoded(&plain), Some(symbols.clone()));
            let at = |cut: usize| cut.min(symbols.len());
            let hidden = at(cuts.0.min(cuts.1))..at(cuts.0.max(cuts.1));
            let mut bytes = plain.clone();
            mask(&mut bytes, std::slice::from_ref(&hidden));
            let shown = decoded(&bytes).unwrap();
            prop_assert_eq!(shown.len(), symbols.len());
            for (at, (shown, symbol)) in shown.iter().zip(&symbols).enumerate() {
                if hidden.contains(&at) {
                    prop_assert!(MASKS.contains(shown));
                } else {
                    prop_assert_eq!(shown, symbol);
                }
            }
            // Whatever has the same measure gives the same.
            let mut other = symbols.clone();
            other[hidden.clone()].reverse();
            let mut other = encoded(&other);
            mask(&mut other, std::slice::from_ref(&hidden));
            prop_assert_eq!(other, bytes);
        }
    }

    #[test]
    fn what_is_no_code_stays_none() {
        for bytes in [&b"\x1e"[..], b"\xff\xff", b"secret\xff\xff\xff\xff"] {
            let mut masked = bytes.to_vec();
            mask(&mut masked, std::slice::from_ref(&(0..1)));
            assert!(decoded(&masked).is_none() && !masked.starts_with(b"secret"));
        }
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
