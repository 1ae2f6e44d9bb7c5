//! Where the lines of scripts begin.

use std::collections::HashMap;

/// Scripts that are remembered, and the lines of all of them.
const MAX_SCRIPTS: usize = 1_024;
const MAX_LINES: usize = 4 << 20;

/// What is known of a script for as long as it lies where it does: the process, the script, and its source's address.
pub(super) type Key = (u32, u64, u64);

/// Ends of lines, by script.
#[derive(Debug, Default)]
pub(super) struct Sources {
    known: HashMap<Key, Vec<u32>>,
    lines: usize,
}

impl Sources {
    /// The line, from 1, of a position in a source, which is read when it is not known. `None` where it cannot be read.
    pub(super) fn line(
        &mut self,
        key: Key,
        position: u32,
        read: impl FnOnce() -> Option<Vec<u16>>,
    ) -> Option<u32> {
        if !self.known.contains_key(&key) {
            let ends = ends(&read()?);
            if self.known.len() >= MAX_SCRIPTS || self.lines + ends.len() > MAX_LINES {
                self.known.clear();
                self.lines = 0;
            }
            self.lines += ends.len();
            self.known.insert(key, ends);
        }
        let ends = self.known.get(&key)?;
        u32::try_from(ends.partition_point(|end| *end < position)).ok()?.checked_add(1)
    }
}

/// Positions of what ends a line (ECMA-262, LineTerminatorSequence).
fn ends(source: &[u16]) -> Vec<u32> {
    let ends = source.iter().enumerate().filter(|(at, unit)| match **unit {
        0x0a | 0x2028 | 0x2029 => true,
        0x0d => source.get(at + 1) != Some(&0x0a),
        _ => false,
    });
    ends.filter_map(|(at, _)| u32::try_from(at).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_lie_in_lines() {
        let text: Vec<u16> = "ab\ncd\r\ne\rf\u{2028}g".encode_utf16().collect();
        let mut sources = Sources::default();
        for (position, line) in [(0, 1), (2, 1), (3, 2), (6, 2), (7, 3), (9, 4), (11, 5), (500, 5)] {
            assert_eq!(sources.line((1, 2, 3), position, || Some(text.clone())), Some(line), "{position}");
        }
        assert_eq!(sources.line((1, 2, 3), 3, || None), Some(2), "it is remembered");
        assert_eq!(sources.line((1, 2, 4), 3, || None), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut sources = Sources::default();
        for script in 0..3 {
            sources.line((0, script, 0), 0, || Some(vec![10; MAX_LINES / 2 + 1]));
        }
        assert!(sources.lines <= MAX_LINES && sources.known.len() == 1);
    }
}
