//! Go's own table of functions and lines, `.gopclntab`, which a stripped program keeps since the runtime needs it.
//!
//! Layouts of Go 1.2, 1.16, 1.18 and 1.20, as `debug/gosym` and `runtime/symtab.go` describe them; little-endian, 64 bits.

/// What one layout differs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    Go1_2,
    Go1_16,
    Go1_18,
    Go1_20,
}

/// The table, over the section's bytes.
#[derive(Clone, Copy, Debug)]
pub struct PcLnTab<'a> {
    data: &'a [u8],
    version: Version,
    /// An instruction's length is a multiple of this.
    quantum: u8,
    functions: usize,
    /// What entries count from.
    text_start: u64,
    names: usize,
    units: usize,
    files: usize,
    values: usize,
    table: usize,
}

/// A function of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function<'a> {
    pub name: &'a str,
    pub entry: u64,
    /// Where the next one begins.
    pub end: u64,
    /// Where its description lies.
    at: usize,
}

const LONGEST: usize = 4_096;

impl<'a> PcLnTab<'a> {
    /// `text_start`: where the code begins, for files that leave it to the loader. `None` where `data` is no such table.
    #[must_use]
    pub fn parse(data: &'a [u8], text_start: u64) -> Option<Self> {
        let version = match word(data, 0)? {
            0xffff_fffb => Version::Go1_2,
            0xffff_fffa => Version::Go1_16,
            0xffff_fff0 => Version::Go1_18,
            0xffff_fff1 => Version::Go1_20,
            _ => return None,
        };
        let (quantum, pointer) = (*data.get(6)?, *data.get(7)?);
        if !matches!(quantum, 1 | 2 | 4) || pointer != 8 || data.get(4..6)? != [0, 0] {
            return None;
        }
        let field = |index: usize| usize::try_from(long(data, 8 + index * 8)?).ok();
        let functions = field(0)?;
        let mut table = Self {
            data,
            version,
            quantum,
            functions,
            text_start: 0,
            names: 0,
            units: 0,
            files: 0,
            values: 0,
            table: 16,
        };
        match version {
            Version::Go1_2 => {
                let end = functions.checked_mul(16)?.checked_add(16)?;
                table.files = word(data, end.checked_add(8)?)? as usize;
            }
            Version::Go1_16 => {
                (table.names, table.units, table.files) = (field(2)?, field(3)?, field(4)?);
                (table.values, table.table) = (field(5)?, field(6)?);
            }
            Version::Go1_18 | Version::Go1_20 => {
                table.text_start = Some(field(2)? as u64).filter(|start| *start != 0).unwrap_or(text_start);
                (table.names, table.units, table.files) = (field(3)?, field(4)?, field(5)?);
                (table.values, table.table) = (field(6)?, field(7)?);
            }
        }
        // The last entry's end is a row of its own.
        table.row(functions)?;
        Some(table)
    }

    /// The function that holds `address`.
    #[must_use]
    pub fn find(&self, address: u64) -> Option<Function<'a>> {
        let (mut low, mut high) = (0, self.functions);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.row(middle)?.0 <= address { low = middle + 1 } else { high = middle }
        }
        let function = self.function(low.checked_sub(1)?)?;
        (address < function.end).then_some(function)
    }

    /// Every function, by address.
    pub fn functions(self) -> impl Iterator<Item = Function<'a>> {
        (0..self.functions).filter_map(move |index| self.function(index))
    }

    /// The file and the line of `address` within `function`.
    #[must_use]
    pub fn line(&self, function: &Function<'a>, address: u64) -> Option<(&'a str, u32)> {
        let offset = address.checked_sub(function.entry)?;
        // entry, name, args, deferreturn, pcsp, pcfile, pcln, npcdata, compilation unit: words but for the first.
        let first = if self.version >= Version::Go1_18 { 4 } else { 8 };
        let field = |index: usize| word(self.data, function.at.checked_add(first + index * 4)?);
        let file = self.value(field(4)?, offset)?;
        let line = u32::try_from(self.value(field(5)?, offset)?).ok()?;
        let file = u32::try_from(file).ok()?;
        let name = match self.version {
            Version::Go1_2 => {
                let at = self.files.checked_add((file as usize).checked_mul(4)?)?;
                word(self.data, at)? as usize
            }
            Version::Go1_16 | Version::Go1_18 | Version::Go1_20 => {
                let unit = field(7)?.checked_add(file)? as usize;
                let offset = word(self.data, self.units.checked_add(unit.checked_mul(4)?)?)?;
                self.files.checked_add(offset as usize)?
            }
        };
        Some((text(self.data, name)?, line))
    }

    fn function(&self, index: usize) -> Option<Function<'a>> {
        let (entry, offset) = self.row(index)?;
        let (end, _) = self.row(index + 1)?;
        let base = if self.version == Version::Go1_2 { 0 } else { self.table };
        let at = base.checked_add(offset)?;
        let first = if self.version >= Version::Go1_18 { 4 } else { 8 };
        let name = word(self.data, at.checked_add(first)?)? as usize;
        let name = text(self.data, self.names.checked_add(name)?)?;
        Some(Function { name, entry, end, at })
    }

    /// Where a function begins, and where its description lies.
    fn row(&self, index: usize) -> Option<(u64, usize)> {
        let wide = self.version < Version::Go1_18;
        let size = if wide { 16 } else { 8 };
        let at = self.table.checked_add(index.checked_mul(size)?)?;
        if wide {
            let entry = long(self.data, at)?;
            // The last row is an end alone.
            let offset = if index == self.functions { 0 } else { long(self.data, at + 8)? };
            Some((entry, usize::try_from(offset).ok()?))
        } else {
            let entry = self.text_start.checked_add(u64::from(word(self.data, at)?))?;
            let offset = if index == self.functions { 0 } else { word(self.data, at + 4)? };
            Some((entry, offset as usize))
        }
    }

    /// Runs through a table of values by program counter: pairs of a zigzag difference of the value and a difference of
    /// the counter.
    fn value(&self, table: u32, offset: u64) -> Option<i64> {
        let mut at = self.values.checked_add(table as usize)?;
        let (mut value, mut counter) = (-1_i64, 0_u64);
        // Each pair is two bytes at least, so this ends with the data.
        loop {
            let difference = self.varint(&mut at)?;
            if difference == 0 && counter > 0 {
                return None;
            }
            let magnitude = i64::from(difference >> 1);
            value += if difference & 1 == 1 { !magnitude } else { magnitude };
            counter = counter.checked_add(u64::from(self.varint(&mut at)?) * u64::from(self.quantum))?;
            if offset < counter {
                return Some(value);
            }
        }
    }

    fn varint(&self, at: &mut usize) -> Option<u32> {
        let mut value = 0_u32;
        for shift in (0..32).step_by(7) {
            let byte = *self.data.get(*at)?;
            *at += 1;
            value |= u32::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn long(data: &[u8], at: usize) -> Option<u64> {
    let bytes = data.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn text(data: &[u8], at: usize) -> Option<&str> {
    let rest = data.get(at..)?;
    let rest = &rest[..rest.len().min(LONGEST)];
    let end = rest.iter().position(|byte| *byte == 0)?;
    std::str::from_utf8(&rest[..end]).ok().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One function `main.run` of 16 bytes at 0x1000 in `a.go`: lines 7, and 9 from its eighth byte on.
    fn go1_20() -> Vec<u8> {
        let mut data = Vec::new();
        data.extend(0xffff_fff1_u32.to_le_bytes());
        data.extend([0, 0, 1, 8]);
        for field in [1_u64, 1, 0x1000, 72, 84, 88, 96, 112] {
            data.extend(field.to_le_bytes());
        }
        assert_eq!(data.len(), 72);
        data.extend(b"\0main.run\0\0\0"); // 72: names
        data.extend(0_u32.to_le_bytes()); // 84: units
        data.extend(b"a.go\0\0\0\0"); // 88: files
        data.extend([2, 16, 0, 16, 8, 4, 8, 0]); // 96: file 0; lines 7 and 9
        data.extend([0; 8]);
        assert_eq!(data.len(), 112);
        data.extend(0_u32.to_le_bytes());
        data.extend(12_u32.to_le_bytes());
        data.extend(16_u32.to_le_bytes());
        for field in [0_u32, 1, 0, 0, 0, 0, 3, 0, 0] {
            data.extend(field.to_le_bytes());
        }
        data
    }

    #[test]
    fn a_function_its_file_and_its_lines() {
        let data = go1_20();
        let table = PcLnTab::parse(&data, 0).unwrap();
        let function = table.find(0x1009).unwrap();
        assert_eq!((function.name, function.entry, function.end), ("main.run", 0x1000, 0x1010));
        assert_eq!(table.line(&function, 0x1000), Some(("a.go", 7)));
        assert_eq!(table.line(&function, 0x1009), Some(("a.go", 9)));
        assert_eq!(table.find(0xfff), None);
        assert_eq!(table.find(0x1010), None);
        assert_eq!(table.functions().count(), 1);
    }

    #[test]
    fn a_cut_or_changed_table_is_never_more_than_wrong() {
        let data = go1_20();
        let look = |data: &[u8]| {
            if let Some(table) = PcLnTab::parse(data, 0x1000) {
                for function in table.functions().take(100) {
                    let _ = table.line(&function, function.entry + 9);
                }
                let _ = table.find(0x1004);
            }
        };
        for length in 0..data.len() {
            look(&data[..length]);
        }
        for at in 0..data.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut changed = data.clone();
                changed[at] = byte;
                look(&changed);
            }
        }
    }
}
