//! A symbol table, compact: where each function begins and how long it is. Names stay in the file until one is asked for.

use super::image::Image;

/// The most symbols of one file: Chromium has about a million functions.
pub(super) const MAX_SYMBOLS: usize = 4_000_000;
/// A longer name is cut.
const LONGEST_NAME: u64 = 4_096;

/// Functions by address.
#[derive(Clone, Debug)]
pub(super) struct Symbols {
    /// What `start` counts from.
    base: u64,
    entries: Vec<Entry>,
    names: Strings,
}

/// Where names are: each is ended by a zero byte.
#[derive(Clone, Debug)]
pub(super) struct Strings {
    pub(super) image: Image,
    pub(super) offset: u64,
    pub(super) size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    start: u32,
    /// 0 where the table does not say: up to the next.
    size: u32,
    name: u32,
}

/// A function as a table names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Symbol {
    pub(super) address: u64,
    pub(super) size: u64,
    /// Into the strings.
    pub(super) name: u32,
    /// Of several at one address the greatest is taken.
    pub(super) rank: u8,
}

impl Symbols {
    /// `None` where there are none.
    pub(super) fn new(mut symbols: Vec<Symbol>, names: Strings) -> Option<Self> {
        symbols.sort_unstable_by(|a, b| {
            a.address
                .cmp(&b.address)
                .then(b.rank.cmp(&a.rank))
                .then(b.size.cmp(&a.size))
                .then(a.name.cmp(&b.name))
        });
        symbols.dedup_by_key(|symbol| symbol.address);
        let base = symbols.first()?.address;
        let entries = symbols.iter().filter_map(|symbol| {
            Some(Entry {
                start: u32::try_from(symbol.address - base).ok()?,
                size: u32::try_from(symbol.size).unwrap_or(u32::MAX),
                name: symbol.name,
            })
        });
        Some(Self { base, entries: entries.collect(), names })
    }

    /// The name of the function that holds `address`, as the linker knows it.
    pub(super) fn find(&self, address: u64) -> Option<String> {
        let at = u32::try_from(address.checked_sub(self.base)?).ok()?;
        let end = self.entries.partition_point(|entry| entry.start <= at);
        // A function may lie within the extent of another (a loop's head, a hand-written entry).
        let candidates = self.entries[..end].iter().rev().take(8);
        let entry = candidates.copied().find(|entry| entry.size == 0 || at - entry.start < entry.size)?;
        self.names.read(entry.name)
    }

    /// Where the function begins that holds `address` behind its first byte, if the table says how long it is.
    pub(super) fn within(&self, address: u64) -> Option<u64> {
        let at = u32::try_from(address.checked_sub(self.base)?).ok()?;
        let end = self.entries.partition_point(|entry| entry.start < at);
        let mut candidates = self.entries[..end].iter().rev().take(8);
        let entry = candidates.find(|entry| at - entry.start < entry.size)?;
        Some(self.base + u64::from(entry.start))
    }

    /// Bytes of memory.
    pub(super) fn weight(&self) -> usize {
        let held = match &self.names.image {
            Image::Bytes(bytes) => bytes.len(),
            Image::File(_) => 0,
        };
        self.entries.capacity() * size_of::<Entry>() + held
    }
}

impl Strings {
    pub(super) fn read(&self, name: u32) -> Option<String> {
        let left = self.size.checked_sub(u64::from(name))?.min(LONGEST_NAME);
        let offset = self.offset.checked_add(u64::from(name))?;
        // Most names are short, and a read costs little more than its system call.
        for most in [left.min(128), left] {
            let mut bytes = vec![0; usize::try_from(most).ok()?];
            let read = self.image.read_at(&mut bytes, offset).ok()?;
            bytes.truncate(read);
            let end = bytes.iter().position(|byte| *byte == 0);
            if let Some(end) = end.or_else(|| (most == left).then_some(bytes.len())) {
                let name = String::from_utf8_lossy(&bytes[..end]).into_owned();
                return Some(name).filter(|name| !name.is_empty());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(symbols: &[(u64, u64, u32, u8)]) -> Symbols {
        let symbols = symbols.iter().map(|&(address, size, name, rank)| Symbol { address, size, name, rank });
        let names = b"\0one\0two\0three\0".as_slice();
        let strings = Strings { image: Image::Bytes(names.into()), offset: 0, size: names.len() as u64 };
        Symbols::new(symbols.collect(), strings).unwrap()
    }

    #[test]
    fn an_address_belongs_to_the_function_that_holds_it() {
        let table = table(&[(0x1000, 0x10, 1, 0), (0x1020, 0, 5, 0), (0x1040, 0x10, 9, 0)]);
        for (address, expect) in [
            (0xfff, None),
            (0x1000, Some("one")),
            (0x100f, Some("one")),
            (0x1010, None),
            (0x1020, Some("two")),
            (0x103f, Some("two")),
            (0x104f, Some("three")),
            (0x1050, Some("two")),
            (u64::MAX, None),
        ] {
            assert_eq!(table.find(address).as_deref(), expect, "{address:#x}");
        }
    }

    #[test]
    fn of_several_names_the_best_is_taken() {
        assert_eq!(table(&[(8, 4, 1, 1), (8, 4, 5, 3), (8, 4, 9, 2)]).find(9).as_deref(), Some("two"));
    }

    #[test]
    fn an_inner_function_does_not_end_the_outer() {
        let table = table(&[(0x100, 0x100, 1, 0), (0x120, 0x10, 5, 0)]);
        assert_eq!(table.find(0x128).as_deref(), Some("two"));
        assert_eq!(table.find(0x140).as_deref(), Some("one"));
        assert_eq!(
            [0x100, 0x101, 0x120, 0x121, 0x130].map(|at| table.within(at)),
            [None, Some(0x100), Some(0x100), Some(0x120), Some(0x100)]
        );
    }

    #[test]
    fn a_name_beyond_the_strings_is_none() {
        assert_eq!(table(&[(8, 4, 4_000, 1)]).find(9), None);
    }
}
