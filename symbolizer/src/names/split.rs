//! Names for the parts of functions that lie elsewhere than the function and have no symbol: a part jumps back into its
//! function, and into no other.

use std::{collections::HashMap, sync::Arc};

use object::ReadCache;

use super::{image::Image, symbols::Symbols};
use crate::unwind::{Elf, Segment, parts};

/// What a name takes beside its bytes.
const NAME: usize = 64;

/// The parts of one file, and what those are called that were asked for.
#[derive(Debug)]
pub(super) struct Parts {
    /// Begin and end.
    ranges: Vec<(u64, u64)>,
    /// Where their code is in the file.
    code: Vec<Segment>,
    names: HashMap<u64, Option<Arc<str>>>,
    weight: usize,
}

impl Parts {
    pub(super) fn read(image: &Image) -> Self {
        let cache = ReadCache::new(image.bytes());
        let read = Elf::parse(&cache).map(|elf| (parts::find(&elf), elf.segments));
        let (ranges, mut code) = read.unwrap_or_default();
        code.retain(|segment| segment.executable);
        let weight = size_of_val(&*ranges) + size_of_val(&*code);
        Self { ranges, code, names: HashMap::new(), weight }
    }

    /// The function that the part at `address` belongs to.
    pub(super) fn find(&mut self, image: &Image, symbols: &[Symbols], address: u64) -> Option<String> {
        let after = self.ranges.partition_point(|(start, _)| *start <= address);
        let (start, end) = *self.ranges.get(after.checked_sub(1)?)?;
        if address >= end {
            return None;
        }
        if let Some(known) = self.names.get(&start) {
            return known.as_deref().map(str::to_owned);
        }
        let name = self.owner(image, symbols, start, end);
        self.weight += NAME + name.as_ref().map_or(0, String::len);
        self.names.insert(start, name.as_deref().map(Into::into));
        name
    }

    /// Bytes of memory.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// The one function that the part's jumps lead into. A jump to a function's beginning is a call.
    fn owner(&self, image: &Image, symbols: &[Symbols], start: u64, end: u64) -> Option<String> {
        let length = (end - start).min(parts::MAX_CODE);
        let code = self.code.iter().find_map(|segment| {
            let within = start.checked_sub(segment.address)?;
            within.checked_add(length).filter(|end| *end <= segment.size)?;
            image.slice(segment.offset.checked_add(within)?, length, parts::MAX_CODE)
        })?;
        let mut owner = None;
        for target in parts::jumps(&code, start, end) {
            let Some(found) = symbols.iter().find_map(|symbols| symbols.within(target)) else { continue };
            if *owner.get_or_insert(found) != found {
                return None;
            }
        }
        let owner = owner?;
        symbols.iter().find_map(|symbols| symbols.find(owner))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{
        fs::File,
        path::{Path, PathBuf},
        process::Command,
    };

    use super::*;
    use crate::names::elf;

    const SOURCE: &str = "
        #include <stdlib.h>
        #include <stdio.h>
        __attribute__((cold)) int report(const char *text, int value) { return printf(text, value); }
        __attribute__((noinline)) int work(int value) {
            char text[64];
            for (int round = 0; round < value; round++) {
                snprintf(text, sizeof text, \"%d\", round);
                if (__builtin_expect(text[0] == 'x', 0)) {
                    value += report(text, round);
                    if (value > 7) abort();
                    report(\"again\", value);
                }
            }
            return value;
        }
        int main(int count, char **words) { return work(count + atoi(words[0])); }
    ";

    fn image(path: &Path) -> Image {
        Image::File(Arc::new(File::open(path).unwrap()))
    }

    /// A program of which a function has a part elsewhere, with all symbols and stripped.
    pub(in crate::names) fn compiled(directory: &Path) -> [PathBuf; 2] {
        let [source, whole, stripped] = ["a.c", "whole", "stripped"].map(|name| directory.join(name));
        std::fs::write(&source, SOURCE).unwrap();
        let run = |command: &mut Command| assert!(command.status().unwrap().success());
        run(Command::new("cc").args(["-O2", "-rdynamic", "-o"]).args([&whole, &source]));
        run(Command::new("strip").arg("-o").args([&stripped, &whole]));
        [whole, stripped]
    }

    #[test]
    fn a_part_that_lies_elsewhere_is_its_functions() {
        let directory = tempfile::tempdir().unwrap();
        let [whole, stripped] = compiled(directory.path());
        let full = elf::read(&image(&whole)).unwrap().full.unwrap();
        let bare = image(&stripped);
        let symbols = [elf::read(&bare).unwrap().dynamic.unwrap()];
        let mut parts = Parts::read(&bare);
        let mut named = 0;
        for (start, end) in parts.ranges.clone() {
            if full.find(start).as_deref() == Some("work.cold") {
                assert_eq!(symbols[0].find(start), None);
                for address in [start, end - 1] {
                    assert_eq!(parts.find(&bare, &symbols, address).as_deref(), Some("work"));
                }
                named += 1;
            } else {
                // The linkage tables, for one.
                assert_eq!(parts.find(&bare, &symbols, start), None, "{:?}", full.find(start));
            }
            assert_ne!(parts.find(&bare, &symbols, end).as_deref(), Some("work"));
        }
        assert_eq!(named, 1, "{:x?}", parts.ranges);
    }

    #[test]
    fn garbage_has_no_parts() {
        let image = Image::Bytes(b"\x7fELF and nothing else".as_slice().into());
        assert_eq!(Parts::read(&image).find(&image, &[], 0x1000), None);
    }
}
