//! What V8 notes of machine code that it made: which function each place belongs to, of those that were compiled into
//! one.
//!
//! V8, src/objects/deoptimization-data.h and src/codegen/source-position{,-table}: code has a table of positions, each
//! with the number of an inlined call or none; a call has its own position, within another or none, and its function.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use super::{OBJECT, Reading, V8, WORD, at, small};
use crate::load::V8Code;

/// Processes, and pieces of code in each, that are remembered.
const MAX_PROCESSES: usize = 256;
const MAX_PIECES: usize = 4_096;
/// Code may be thrown away and other code come to lie in its place; it is looked at again after so long.
const CHECK: Duration = Duration::from_secs(1);
/// The beginning of a piece of code is looked for so far before one of its addresses, in steps of so much.
const MAX_CODE: u64 = 512 << 10;
const STEP: u64 = 4_096;
/// Bytes of a table of positions, and inlined calls of a piece of code. Their numbers have 16 bits.
const MAX_TABLE: u64 = 1 << 20;
const MAX_CALLS: u64 = 1 << 14;
/// Places and calls of all pieces together; beyond it all are read again.
const MAX_HELD: usize = 4 << 20;
/// Words that are looked at, of one address, while it is not known what objects with instructions begin with.
const MAX_LOOKS: usize = 4_096;
/// Calls within calls.
const MAX_DEPTH: usize = 64;

/// In a position: after one bit, 30 of the place in the source, and 16 of the call's number and 1.
const CALL_SHIFT: u32 = 31;
const CALL_MASK: i64 = 0xffff;
/// Bytes of a call, and where in it its function's number is.
const CALL: usize = 16;
const CALL_FUNCTION: usize = 8;
/// In a pointer that does not keep its object from being freed.
const WEAK: u64 = 2;

/// Pieces of code, by process and where they begin.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    processes: HashMap<u32, Process>,
    /// Places and calls that were read since all was forgotten.
    held: usize,
}

#[derive(Debug, Default)]
struct Process {
    /// The first word of every object that has instructions in it.
    map: Option<u64>,
    pieces: BTreeMap<u64, Piece>,
    /// Pages whose code was not found, and when they were looked at.
    nothing: HashMap<u64, Instant>,
}

#[derive(Debug)]
struct Piece {
    /// The last address of which it is known that it is in it.
    last: u64,
    checked: Instant,
    /// What describes it, as it was when it was read.
    described: Option<[u64; 2]>,
    calls: Calls,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Calls {
    /// From which instruction on which call, if any.
    places: Vec<(u32, Option<u16>)>,
    /// Within which call of another function's, and the function.
    calls: Vec<(Option<u16>, u64)>,
}

impl Compiled {
    /// The `SharedFunctionInfo`s of the calls at an address, innermost first, without that of the whole code.
    pub(super) fn inlined(
        &mut self,
        v8: &V8,
        layout: &V8Code,
        memory: &Reading,
        address: u64,
    ) -> Option<Vec<u64>> {
        let many = self.processes.len() >= MAX_PROCESSES && !self.processes.contains_key(&memory.pid());
        if many || self.held > MAX_HELD {
            self.processes.clear();
            self.held = 0;
        }
        let process = self.processes.entry(memory.pid()).or_default();
        let (start, piece) = process.piece(v8, layout, memory, address, &mut self.held)?;
        let instruction = address.checked_sub(start + u64::from(layout.instructions))?;
        Some(piece.calls.at(u32::try_from(instruction).ok()?))
    }
}

impl Process {
    fn piece(
        &mut self,
        v8: &V8,
        layout: &V8Code,
        memory: &Reading,
        address: u64,
        held: &mut usize,
    ) -> Option<(u64, &Piece)> {
        let known = self.pieces.range(..=address).next_back().filter(|(_, piece)| address <= piece.last);
        let known = known.map(|(start, piece)| (*start, piece.checked.elapsed() < CHECK));
        let start = match known {
            Some((start, true)) => start,
            _ => self.start_or_nothing(v8, layout, memory, address)?,
        };
        let is_fresh = known == Some((start, true));
        if !is_fresh {
            let described = describe(v8, layout, memory, start);
            let before = self.pieces.get_mut(&start).filter(|piece| piece.described == described);
            if let Some(piece) = before {
                (piece.last, piece.checked) = (piece.last.max(address), Instant::now());
            } else {
                // Whatever was believed to reach into it is no more.
                let reaches = |(other, piece): (&u64, &Piece)| (piece.last >= start).then_some(*other);
                if let Some(other) = self.pieces.range(..start).next_back().and_then(reaches) {
                    self.pieces.remove(&other);
                }
                if self.pieces.len() >= MAX_PIECES {
                    self.pieces.clear();
                }
                let calls = described.and_then(|described| read(v8, layout, memory, described));
                let calls = calls.unwrap_or_default();
                *held += calls.places.len() + calls.calls.len();
                let piece = Piece { last: address, checked: Instant::now(), described, calls };
                self.pieces.insert(start, piece);
            }
        }
        Some((start, self.pieces.get(&start)?))
    }

    /// [`Self::start`]; where it finds nothing it is not asked again for a while.
    fn start_or_nothing(&mut self, v8: &V8, layout: &V8Code, memory: &Reading, address: u64) -> Option<u64> {
        let page = address / STEP;
        if self.nothing.get(&page).is_some_and(|looked| looked.elapsed() < CHECK) {
            return None;
        }
        let found = self.start(v8, layout, memory, address);
        if found.is_none() {
            if self.nothing.len() >= MAX_PIECES {
                self.nothing.clear();
            }
            self.nothing.insert(page, Instant::now());
        }
        found
    }

    /// Where the object begins that has an instruction in it: the next one before, in memory that has none else.
    fn start(&mut self, v8: &V8, layout: &V8Code, memory: &Reading, address: u64) -> Option<u64> {
        let mut end = address & !(WORD - 1);
        let lowest = end.saturating_sub(MAX_CODE);
        let mut looks = 0;
        while end > lowest {
            // A page at a time: what is before it may not be there.
            let begin = (end - 1) & !(STEP - 1);
            let bytes = memory.bytes(begin, (end - begin) as usize)?;
            for (index, word) in bytes.chunks_exact(8).enumerate().rev() {
                let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
                let start = begin + index as u64 * WORD;
                let is_start = match self.map {
                    Some(map) => word == map,
                    None => {
                        let may_be = word & (OBJECT | WEAK) == OBJECT && word >> 47 == 0;
                        looks += usize::from(may_be);
                        if looks > MAX_LOOKS {
                            return None;
                        }
                        may_be && v8.type_of(memory, start | OBJECT) == Some(layout.stream_type)
                    }
                };
                if is_start {
                    self.map = Some(word);
                    return Some(start);
                }
            }
            end = begin;
        }
        None
    }
}

/// The array for returning to the interpreter and the table of positions. Code that has none of the first was made of
/// one function alone.
fn describe(v8: &V8, layout: &V8Code, memory: &Reading, start: u64) -> Option<[u64; 2]> {
    let description = match layout.description {
        0 => start,
        offset => v8.field(memory, start, offset)?,
    };
    let deoptimization = v8.field(memory, description, layout.deoptimization)?;
    let positions = v8.field(memory, description, layout.positions)?;
    let is_of = |object, kinds: &[Option<u32>]| {
        v8.type_of(memory, object).is_some_and(|kind| kinds.contains(&Some(kind)))
    };
    (is_of(deoptimization, &layout.arrays) && is_of(positions, &layout.bytes))
        .then_some([deoptimization, positions])
}

fn read(v8: &V8, layout: &V8Code, memory: &Reading, [array, table]: [u64; 2]) -> Option<Calls> {
    let length = |array| v8.field(memory, array, layout.length).and_then(small).map(u64::from);
    let element = |array, index: u32| {
        v8.field(memory, array, index.checked_mul(WORD as u32)?.checked_add(layout.data)?)
    };
    if length(array)? <= u64::from(layout.inlined.max(layout.literals)) {
        return None;
    }
    let (literals, inlined) = (element(array, layout.literals)?, element(array, layout.inlined)?);
    let bytes = |array, most| {
        let length = length(array).filter(|length| *length <= most)?;
        memory.bytes(at(array, layout.data), usize::try_from(length).ok()?)
    };
    let functions = length(literals)?;
    let mut calls = Vec::new();
    for call in bytes(inlined, MAX_CALLS * CALL as u64)?.chunks_exact(CALL) {
        let position = i64::from_le_bytes(call.get(..8)?.try_into().ok()?);
        let number = call.get(CALL_FUNCTION..CALL_FUNCTION + 4)?.try_into().ok()?;
        let number = u32::from_le_bytes(number);
        let function = (u64::from(number) < functions).then(|| element(literals, number)).flatten()?;
        calls.push((call_of(position), function & !(OBJECT | WEAK)));
    }
    if calls.is_empty() {
        return None;
    }
    Some(Calls { places: places(&bytes(table, MAX_TABLE)?), calls })
}

impl Calls {
    fn at(&self, instruction: u32) -> Vec<u64> {
        // V8 says nothing of an instruction that has the position of the one before.
        let index = self.places.partition_point(|place| place.0 <= instruction).checked_sub(1);
        let mut call = index.and_then(|index| self.places[index].1);
        let mut functions = Vec::new();
        while let Some((outer, function)) = call.and_then(|call| self.calls.get(usize::from(call)))
            && functions.len() < MAX_DEPTH
        {
            functions.push(*function);
            call = *outer;
        }
        functions
    }
}

/// The table: for each place what is added to the instruction's number (less than 0: no statement begins there, and it is
/// the complement) and to the position, as numbers of seven bits a byte whose lowest bit is the sign.
fn places(table: &[u8]) -> Vec<(u32, Option<u16>)> {
    let mut places = Vec::new();
    let (mut instruction, mut position) = (0_i64, 0_i64);
    let mut bytes = table.iter();
    while let Some(step) = number(&mut bytes)
        && let Some(moved) = number(&mut bytes)
    {
        instruction = instruction.wrapping_add(if step < 0 { !step } else { step });
        position = position.wrapping_add(moved);
        let Ok(instruction) = u32::try_from(instruction) else { break };
        places.push((instruction, call_of(position)));
    }
    places
}

fn number<'a>(bytes: &mut impl Iterator<Item = &'a u8>) -> Option<i64> {
    let (mut value, mut shift) = (0_u64, 0);
    loop {
        let byte = *bytes.next()?;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
        shift += 7;
    }
}

/// The number of the call that a position is within.
fn call_of(position: i64) -> Option<u16> {
    u16::try_from((position >> CALL_SHIFT) & CALL_MASK).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_positions_is_read() {
        // Node 22's, of `rounds` in a program with six functions that were compiled into it.
        let table = [
            0x03, 0xac, 0x1a, 0x4f, 0x88, 0x01, 0x53, 0x80, 0xea, 0xff, 0xff, 0x5f, 0x17, 0xa4, 0x01, 0x57,
            0x5b, 0x1b, 0x18, 0x09, 0x30,
        ];
        let found = places(&table);
        let expect = [(1, None), (40, None), (81, Some(5)), (92, Some(5)), (135, Some(5)), (148, Some(5))];
        assert_eq!(found[..6], expect);
        for end in 0..table.len() {
            let part = places(&table[..end]);
            assert_eq!(part[..], found[..part.len()]);
        }
        assert_eq!(places(&[0xff; 64]), []);
    }

    #[test]
    fn calls_are_within_calls() {
        let calls = Calls {
            places: vec![(1, None), (10, Some(1)), (20, Some(0)), (30, None), (40, Some(7)), (50, Some(2))],
            calls: vec![(None, 0x100), (Some(0), 0x200), (Some(2), 0x300)],
        };
        for (instruction, expect) in
            [(0, &[][..]), (1, &[]), (10, &[0x200, 0x100]), (29, &[0x100]), (35, &[]), (45, &[])]
        {
            assert_eq!(calls.at(instruction), expect, "{instruction}");
        }
        assert_eq!(calls.at(50).len(), MAX_DEPTH, "a call within itself ends");
    }
}
