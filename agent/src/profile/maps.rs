//! `/proc/PID/maps`: the executable memory of a process.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

/// A process may have as many mappings as `vm.max_map_count` allows, each of a line with a path.
const MAX_BYTES: u64 = 64 << 20;

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) offset: u64,
    /// 0: it is no file's.
    pub(super) inode: u64,
    /// Without ` (deleted)`; empty where it has none.
    pub(super) path: String,
}

/// The executable regions in ascending order, at most `limit`, and how many more there are.
///
/// # Errors
/// Where the process has gone, or may not be looked at.
pub(super) fn read(directory: &Path, limit: usize) -> io::Result<(Vec<Region>, u64)> {
    parse(File::open(directory.join("maps"))?, limit)
}

fn parse(file: impl Read, limit: usize) -> io::Result<(Vec<Region>, u64)> {
    let mut reader = BufReader::with_capacity(64 << 10, file.take(MAX_BYTES));
    let (mut regions, mut beyond) = (Vec::new(), 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok((regions, beyond));
        }
        let Some(region) = region(&line) else { continue };
        if regions.len() < limit {
            regions.push(region);
        } else {
            beyond += 1;
        }
    }
}

/// `7f2c…000-7f2c…000 r-xp 00028000 fe:00 1234   /usr/lib/libc.so.6`; none where it is not executable.
fn region(line: &[u8]) -> Option<Region> {
    // Most lines are not: nothing else is read of them.
    let space = line.iter().position(|byte| *byte == b' ')?;
    if line.get(space + 3) != Some(&b'x') {
        return None;
    }
    let text = String::from_utf8_lossy(line);
    let mut words = text.splitn(6, ' ');
    let (start, end) = words.next()?.split_once('-')?;
    let hex = |word: &str| u64::from_str_radix(word, 16).ok();
    let (start, end) = (hex(start)?, hex(end)?);
    let (_, offset, _) = (words.next()?, hex(words.next()?)?, words.next()?);
    let inode = words.next()?.parse().ok()?;
    let path = words.next().unwrap_or_default().trim();
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    (start < end).then(|| Region { start, end, offset, inode, path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
55d0a0000000-55d0a0001000 r--p 00000000 fe:00 77                         /usr/bin/with space
55d0a0001000-55d0a0002000 r-xp 00001000 fe:00 77                         /usr/bin/with space
7f0000000000-7f0000001000 rwxp 00000000 00:00 0 
7f0000002000-7f0000003000 r-xp 00000000 00:01 9                          /memfd:jit (deleted)
7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0                          [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
nonsense r-xp
";

    #[test]
    fn executable_lines_are_read() {
        let (regions, beyond) = parse(MAPS.as_bytes(), 100).unwrap();
        let shown: Vec<_> = regions.iter().map(|r| (r.start, r.offset, r.inode, r.path.as_str())).collect();
        assert_eq!(
            shown,
            [
                (0x55d0_a000_1000, 0x1000, 77, "/usr/bin/with space"),
                (0x7f00_0000_0000, 0, 0, ""),
                (0x7f00_0000_2000, 0, 9, "/memfd:jit"),
                (0x7ffd_0000_0000, 0, 0, "[vdso]"),
                (0xffff_ffff_ff60_0000, 0, 0, "[vsyscall]"),
            ]
        );
        assert_eq!(beyond, 0);
        let (regions, beyond) = parse(MAPS.as_bytes(), 2).unwrap();
        assert_eq!((regions.len(), beyond), (2, 3));
    }

    #[test]
    fn every_prefix_is_read() {
        for end in 0..MAPS.len() {
            parse(&MAPS.as_bytes()[..end], 3).unwrap();
        }
    }
}
