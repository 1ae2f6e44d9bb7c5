//! The table of functions that every Go program carries, stripped or not.
//!
//! Format: Go's `internal/abi` and `debug/gosym` (`pclntab.go`): the layouts of Go 1.2, 1.16, 1.18 and 1.20. The
//! first two hold addresses, the others offsets from the start of the Go code (`runtime.text`).

use memchr::memmem;

const GO_1_2: u32 = 0xffff_fffb;
const GO_1_16: u32 = 0xffff_fffa;
const GO_1_18: u32 = 0xffff_fff0;
const GO_1_20: u32 = 0xffff_fff1;

/// Two zero bytes, the code's quantum on x86_64, and the size of a pointer.
const MACHINE: [u8; 4] = [0, 0, 1, 8];
/// Functions of the largest programs are about a million.
const MAX_FUNCTIONS: u64 = 8 << 20;

/// The parts of a table that lead from names to addresses.
#[derive(Clone, Copy, Debug)]
pub(in crate::load) struct Pclntab<'a> {
    layout: Layout,
    /// Pairs of an address and the place of a description, in ascending order; one address more at the end.
    functions: &'a [u8],
    count: usize,
    /// What the places are relative to.
    descriptions: &'a [u8],
    names: &'a [u8],
    /// What the addresses are relative to.
    text: u64,
}

/// Where a function is: its first address, and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::load) struct Extent {
    pub(in crate::load) address: u64,
    pub(in crate::load) size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Addresses,
    Offsets,
}

/// Where a table begins in `bytes`, which may hold much else.
pub(in crate::load) fn locate(bytes: &[u8]) -> Option<usize> {
    let found = memmem::find_iter(bytes, &MACHINE).filter_map(|at| at.checked_sub(4));
    found
        .filter(|at| at % 8 == 0)
        .find(|at| bytes.get(*at..).is_some_and(|rest| Pclntab::read(rest, 0).is_some()))
}

/// The start of the Go code, where the header says it: since 1.18, and before 1.26 (0 in files whose loader fills
/// it in). It is the third word behind the header's first eight bytes.
pub(in crate::load) const TEXT_START: u64 = 8 + 2 * 8;

impl<'a> Pclntab<'a> {
    /// `text`: the start of the Go code, for tables that hold offsets from it.
    pub(in crate::load) fn read(bytes: &'a [u8], text: u64) -> Option<Self> {
        if bytes.get(4..8)? != MACHINE {
            return None;
        }
        let word = |index: usize| u64_at(bytes, 8 + 8 * index);
        let part = |index: usize| bytes.get(usize::try_from(word(index)?).ok()?..);
        let (layout, names, descriptions) = match u32_at(bytes, 0)? {
            GO_1_2 => (Layout::Addresses, bytes, bytes),
            GO_1_16 => (Layout::Addresses, part(2)?, part(6)?),
            GO_1_18 | GO_1_20 => (Layout::Offsets, part(3)?, part(7)?),
            _ => return None,
        };
        let functions = if u32_at(bytes, 0)? == GO_1_2 { bytes.get(16..)? } else { descriptions };
        let count = word(0).filter(|count| (1..=MAX_FUNCTIONS).contains(count))?;
        let count = usize::try_from(count).ok()?;
        let size = (2 * count + 1) * layout.width();
        Some(Self { layout, functions: functions.get(..size)?, count, descriptions, names, text })
    }

    /// The functions of these names, in their order.
    pub(in crate::load) fn find(&self, names: &[&str]) -> Vec<Option<Extent>> {
        let mut places: Vec<(u32, usize)> = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let pattern = [&[0], name.as_bytes(), &[0]].concat();
            let found = memmem::find_iter(self.names, &pattern).filter_map(|at| u32::try_from(at + 1).ok());
            places.extend(found.map(|at| (at, index)));
        }
        places.sort_unstable();
        let mut extents = vec![None; names.len()];
        if places.is_empty() {
            return extents;
        }
        for index in 0..self.count {
            let Some(name) = self.name(index) else { continue };
            let Ok(place) = places.binary_search_by_key(&name, |place| place.0) else { continue };
            let extent = &mut extents[places[place].1];
            if extent.is_none() {
                *extent = self.extent(index);
            }
        }
        extents
    }

    /// Where a function's name is, in the names.
    fn name(&self, index: usize) -> Option<u32> {
        let width = self.layout.width();
        let place = self.word((2 * index + 1) * width)?;
        // A description begins with the function's address, as wide as the table's.
        u32_at(self.descriptions, usize::try_from(place).ok()?.checked_add(width)?)
    }

    fn extent(&self, index: usize) -> Option<Extent> {
        let width = self.layout.width();
        let (start, end) = (self.word(2 * index * width)?, self.word(2 * (index + 1) * width)?);
        Some(Extent { address: self.text.checked_add(start)?, size: end.checked_sub(start)? })
    }

    fn word(&self, at: usize) -> Option<u64> {
        match self.layout {
            Layout::Addresses => u64_at(self.functions, at),
            Layout::Offsets => u32_at(self.functions, at).map(u64::from),
        }
    }
}

impl Layout {
    const fn width(self) -> usize {
        match self {
            Self::Addresses => 8,
            Self::Offsets => 4,
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[u8] = b"\0main.main\0crypto/tls.(*Conn).Read\0not.crypto/tls.(*Conn).Read\0";
    const MAIN: u32 = 1;
    const READ: u32 = 11;
    const TEXT: u64 = 0x40_1000;

    /// A table of two functions, `main.main` of 0x40 bytes and `Read` of 0x100, in one of the four layouts.
    fn table(magic: u32) -> Vec<u8> {
        let (addresses, header) = match magic {
            GO_1_2 => (true, 16),
            GO_1_16 => (true, 8 + 7 * 8),
            _ => (false, 8 + 8 * 8),
        };
        let width = if addresses { 8 } else { 4 };
        let put = |to: &mut Vec<u8>, value: u64| to.extend(&value.to_le_bytes()[..width]);
        let base = if addresses { TEXT } else { 0 };
        let names_first = magic != GO_1_2;
        let names_at = if names_first { header } else { 0 };
        let functions_at = if names_first { header + NAMES.len().next_multiple_of(8) } else { header };
        // Descriptions come behind the five words of the table of functions; what their places are relative to
        // is its start, and in Go 1.2 the start of all.
        let origin = if names_first { 0 } else { header };
        let described = origin + 5 * width;
        let far = if names_first { 0 } else { (described + 2 * (width + 4)) as u32 };
        let mut functions = Vec::new();
        for word in [base, described as u64, base + 0x40, (described + width + 4) as u64, base + 0x140] {
            put(&mut functions, word);
        }
        for (address, name) in [(base, MAIN), (base + 0x40, READ)] {
            put(&mut functions, address);
            functions.extend((name + far).to_le_bytes());
        }
        let mut bytes = magic.to_le_bytes().to_vec();
        bytes.extend(MACHINE);
        let words: Vec<usize> = match magic {
            GO_1_2 => vec![2],
            GO_1_16 => vec![2, 1, names_at, 0, 0, 0, functions_at],
            _ => vec![2, 1, 0, names_at, 0, 0, 0, functions_at],
        };
        bytes.extend(words.iter().flat_map(|word| (*word as u64).to_le_bytes()));
        if names_first {
            bytes.extend(NAMES);
            bytes.resize(functions_at, 0);
        }
        bytes.extend(functions);
        if !names_first {
            bytes.extend(NAMES);
        }
        bytes
    }

    const ALL: [u32; 4] = [GO_1_2, GO_1_16, GO_1_18, GO_1_20];

    #[test]
    fn functions_are_found_in_every_layout() {
        for magic in ALL {
            let bytes = table(magic);
            let text = if matches!(magic, GO_1_2 | GO_1_16) { 0 } else { TEXT };
            let found =
                Pclntab::read(&bytes, text).unwrap().find(&["crypto/tls.(*Conn).Read", "main.main", "x"]);
            let read = Extent { address: TEXT + 0x40, size: 0x100 };
            let main = Extent { address: TEXT, size: 0x40 };
            assert_eq!(found, [Some(read), Some(main), None], "{magic:x}");
        }
    }

    #[test]
    fn a_table_is_found_among_other_data() {
        let mut bytes = vec![0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8, 9, 9, 9, 9, 9, 9, 9, 9];
        bytes.extend(table(GO_1_20));
        assert_eq!(locate(&bytes), Some(16));
        assert_eq!(locate(&bytes[..16]), None);
    }

    #[test]
    fn every_prefix_and_every_damaged_byte_is_read_without_panic() {
        for magic in ALL {
            let whole = table(magic);
            for at in 0..whole.len() {
                let _ = Pclntab::read(&whole[..at], TEXT).map(|table| table.find(&["main.main"]));
                for bit in 0..8 {
                    let mut damaged = whole.clone();
                    damaged[at] ^= 1 << bit;
                    let _ = Pclntab::read(&damaged, TEXT).map(|table| table.find(&["main.main"]));
                    let _ = locate(&damaged);
                }
            }
        }
    }
}
