//! CPython's tables from instructions to lines, in their three spellings.

/// The line of an instruction, which is numbered in units of two bytes; 0 where it has none. `version`: 0x030b is 3.11.
pub(super) fn line(version: u16, table: &[u8], first: u32, unit: u16) -> u32 {
    let byte = u64::from(unit) * 2;
    let line = match version {
        ..=0x0309 => by_increments(table, first, byte),
        0x030a => by_ranges(table, first, byte),
        _ => by_locations(table, first, u64::from(unit)),
    };
    line.and_then(|line| u32::try_from(line).ok()).unwrap_or(0)
}

/// `co_lnotab` (Objects/lnotab_notes.txt, 3.9): pairs of what to add to the address, and to the line from there on.
fn by_increments(table: &[u8], first: u32, byte: u64) -> Option<i64> {
    let (mut line, mut at) = (i64::from(first), 0);
    for pair in table.chunks_exact(2) {
        at += u64::from(pair[0]);
        if at > byte {
            break;
        }
        line += i64::from(pair[1].cast_signed());
    }
    Some(line)
}

/// `co_linetable` (Objects/lnotab_notes.txt, 3.10): pairs of a range's length and what to add to the line before it;
/// -128: the range has no line.
fn by_ranges(table: &[u8], first: u32, byte: u64) -> Option<i64> {
    let (mut line, mut end) = (i64::from(first), 0);
    for pair in table.chunks_exact(2) {
        end += u64::from(pair[0]);
        let step = pair[1].cast_signed();
        if step != i8::MIN {
            line += i64::from(step);
        }
        if byte < end {
            return (step != i8::MIN).then_some(line);
        }
    }
    None
}

/// `co_linetable` (Objects/locations.md, 3.11): entries of a byte `1cccclll` and more that have no such mark; `c` is
/// the kind, `l` the length in units less one.
fn by_locations(table: &[u8], first: u32, unit: u64) -> Option<i64> {
    let (mut line, mut end) = (i64::from(first), 0);
    let mut rest = table;
    while let Some((&head, tail)) = rest.split_first() {
        let next = tail.iter().position(|byte| byte & 0x80 != 0).unwrap_or(tail.len());
        let (own, after) = tail.split_at(next);
        rest = after;
        let kind = head >> 3 & 15;
        match kind {
            10..=12 => line += i64::from(kind) - 10,
            13 | 14 => line += signed(own),
            _ => {}
        }
        end += u64::from(head & 7) + 1;
        if unit < end {
            return (kind != 15).then_some(line);
        }
    }
    None
}

/// A number of six bits a byte, the lowest first, whose lowest bit is the sign.
fn signed(bytes: &[u8]) -> i64 {
    let mut value = 0_u64;
    for (place, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x3f) << (6 * place);
        if byte & 0x40 == 0 {
            break;
        }
    }
    let size = (value >> 1).cast_signed();
    if value & 1 != 0 { -size } else { size }
}

#[cfg(test)]
mod tests;
