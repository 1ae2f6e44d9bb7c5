//! The maps that JIT compilers write for profilers: a line for each piece of code with its start and size in
//! hexadecimal and its name (`tools/perf/Documentation/jit-interface.txt`).

/// Pieces of one map. A long-running JavaScript program writes some ten thousand.
const MAX_ENTRIES: usize = 1_000_000;
const LONGEST_NAME: usize = 512;

/// A map that was read.
#[derive(Clone, Debug, Default)]
pub struct PerfMap {
    entries: Vec<Entry>,
    names: String,
    /// Lines that could not be read, and those beyond the bound.
    pub skipped: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u64,
    size: u64,
    /// Where in the names, and how long.
    name: (u32, u32),
    /// Later lines speak of newer code at the same place.
    order: u32,
}

impl PerfMap {
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let mut map = Self::default();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if map.entries.len() >= MAX_ENTRIES || map.add(line).is_none() {
                map.skipped += 1;
            }
        }
        map.entries.sort_unstable_by_key(|entry| (entry.start, entry.order));
        map
    }

    /// The newest code that holds `address`.
    #[must_use]
    pub fn find(&self, address: u64) -> Option<&str> {
        let end = self.entries.partition_point(|entry| entry.start <= address);
        // Code that was thrown away may have begun earlier and reached over what is there now.
        let holding =
            self.entries[..end].iter().rev().take(64).filter(|entry| address - entry.start < entry.size);
        let newest = holding.max_by_key(|entry| entry.order)?;
        let (at, length) = (newest.name.0 as usize, newest.name.1 as usize);
        self.names.get(at..at + length)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.names.capacity()
    }

    fn add(&mut self, line: &[u8]) -> Option<()> {
        let line = String::from_utf8_lossy(line);
        let (start, rest) = line.split_once(' ')?;
        let (size, name) = rest.split_once(' ')?;
        let number = |text: &str| u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok();
        let (start, size) = (number(start)?, number(size)?);
        let name: String = name.trim().chars().take(LONGEST_NAME).collect();
        if name.is_empty() || size == 0 {
            return None;
        }
        let at = u32::try_from(self.names.len()).ok()?;
        self.names.push_str(&name);
        let order = u32::try_from(self.entries.len()).ok()?;
        self.entries.push(Entry { start, size, name: (at, u32::try_from(name.len()).ok()?), order });
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_code_goes_before_older_at_its_place() {
        let map = PerfMap::parse(
            b"1000 100 LazyCompile:*work app.js:3\n2000 10 Stub\n1040 20 Function:~inner app.js:9\nnonsense\n\n",
        );
        for (address, expect) in [
            (0x1000, Some("LazyCompile:*work app.js:3")),
            (0x1041, Some("Function:~inner app.js:9")),
            (0x1060, Some("LazyCompile:*work app.js:3")),
            (0x1100, None),
            (0x200f, Some("Stub")),
            (0x0, None),
        ] {
            assert_eq!(map.find(address), expect, "{address:#x}");
        }
        assert_eq!((map.len(), map.skipped), (3, 1));
    }

    #[test]
    fn any_bytes_are_a_map() {
        for text in
            [&b""[..], b"\xff\xfe 1 x\n", b"0 0 x", b"ffffffffffffffff ffffffffffffffff x", b"1 1", b"1 1 "]
        {
            let map = PerfMap::parse(text);
            let _ = (map.find(0), map.find(u64::MAX));
        }
    }
}
