//! Searching the arena.

use core::arch::asm;

use honeyguide_common::unwind::{CHUNK_WORDS, MAPPING_WORDS, MAX_MAPPINGS, PAGE_BITS, RULE_NONE, Rule};

use super::{Walk, field};
use crate::maps::{CHUNKS, RULES};

/// Rounds that find one of so many.
const PAGE_ROUNDS: u32 = PAGE_BITS + 1;
const MAPPING_ROUNDS: u32 = MAX_MAPPINGS.ilog2() + 1;

/// What is known of an address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Rule(u16),
    /// The file's information leaves it out.
    Nothing,
    /// Contradictory: a table is being replaced.
    Torn,
}

/// Makes the mapping that holds `address` the walk's; false where there is none.
#[inline(always)]
pub fn find_mapping(walk: *mut Walk, address: u64) -> bool {
    if field!(walk.mapping.start) <= address && address < field!(walk.mapping.end) {
        return true;
    }
    let count = field!(walk.count);
    let position = field!(walk.mappings) as u32;
    if count == 0 {
        return false;
    }
    let Some(chunk) = chunk(position) else { return false };
    field!(walk.low = 0);
    let mut left = count as u32;
    for _ in 0..MAPPING_ROUNDS {
        let half = left >> 1;
        let low = field!(walk.low) as u32;
        let at = position.wrapping_add((low + half).wrapping_mul(MAPPING_WORDS as u32));
        // SAFETY: a pair within the chunk.
        if unsafe { pair(chunk, at) } <= address {
            field!(walk.low = u64::from(low + half));
        }
        left -= half;
        if left <= 1 {
            break;
        }
    }
    let at = position.wrapping_add((field!(walk.low) as u32).wrapping_mul(MAPPING_WORDS as u32));
    // SAFETY: pairs within the chunk.
    let (start, end) = unsafe { (pair(chunk, at), pair(chunk, at + 2)) };
    if address < start || address >= end {
        return false;
    }
    // SAFETY: as above.
    let (bias, table, pages) = unsafe { (pair(chunk, at + 4), pair(chunk, at + 6), pair(chunk, at + 8)) };
    field!(walk.mapping.start = start);
    field!(walk.mapping.end = end);
    field!(walk.mapping.bias = bias);
    field!(walk.mapping.directory = table as u32);
    field!(walk.mapping.first_page = (table >> 32) as u32);
    field!(walk.mapping.pages = pages as u32);
    true
}

/// The rule for an address of the walk's mapping, which has a table.
#[inline(always)]
pub fn find_rule(walk: *mut Walk, address: u64) -> Found {
    let inside = address.wrapping_sub(field!(walk.mapping.bias));
    let page = (inside >> PAGE_BITS).wrapping_sub(u64::from(field!(walk.mapping.first_page)));
    if page >= u64::from(field!(walk.mapping.pages)) {
        return Found::Nothing;
    }
    let directory = field!(walk.mapping.directory);
    let Some(entries) = chunk(directory) else { return Found::Torn };
    // SAFETY: a pair within the chunk.
    let entry = unsafe { pair(entries, directory.wrapping_add(page as u32 * 2)) };
    let (rows, count) = (entry as u32, (entry >> 32) as u32);
    if count == 0 {
        return Found::Nothing;
    }
    let Some(chunk) = chunk(rows) else { return Found::Torn };
    let wanted = inside as u32 & 0xffff;
    field!(walk.low = u64::from(rows));
    let mut left = count;
    for _ in 0..PAGE_ROUNDS {
        let half = left >> 1;
        let at = field!(walk.low) as u32 + half;
        // SAFETY: a word within the chunk.
        if unsafe { word(chunk, at) } & 0xffff <= wanted {
            field!(walk.low = u64::from(at));
        }
        left -= half;
        if left <= 1 {
            break;
        }
    }
    let at = field!(walk.low) as u32;
    // SAFETY: a word within the chunk.
    match (unsafe { word(chunk, at) } >> 16) as u16 {
        RULE_NONE => Found::Nothing,
        rule => Found::Rule(rule),
    }
}

#[inline(always)]
pub fn rule(index: u16) -> Option<*const Rule> {
    RULES.get_ptr(u32::from(index))
}

#[inline(always)]
fn chunk(position: u32) -> Option<*const u32> {
    // A constant 0 of its own: the linker makes one of `&0` and of a setting whose value is 0 until the agent sets it.
    let key = 0_u32;
    let words = CHUNKS.get_value(position / CHUNK_WORDS as u32, &key)?;
    Some(words.as_ptr())
}

/// # Safety
/// `chunk` must be a chunk's first word.
#[inline(always)]
unsafe fn word(chunk: *const u32, position: u32) -> u32 {
    let mut index = u64::from(position);
    // The verifier needs to see the bound, and the compiler would reason it away.
    // SAFETY: an AND of a register with a constant, which leaves a word's index.
    unsafe {
        asm!("{0} &= {1}", inout(reg) index, const CHUNK_WORDS - 1, options(pure, nomem, nostack));
        *chunk.add(index as usize)
    }
}

/// Two words from an even position.
///
/// # Safety
/// As [`word`].
#[inline(always)]
unsafe fn pair(chunk: *const u32, position: u32) -> u64 {
    let mut index = u64::from(position);
    // SAFETY: as in `word`; an even index has one behind it.
    unsafe {
        asm!("{0} &= {1}", inout(reg) index, const CHUNK_WORDS - 2, options(pure, nomem, nostack));
        *chunk.add(index as usize).cast::<u64>()
    }
}
