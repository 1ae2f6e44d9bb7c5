//! An ELF file: its functions by their names, its sections, and the linker it asks for.
//!
//! Format: the System V ABI's "Object Files" and elf(5), 64-bit little-endian. A table is read as a whole, and only
//! what is asked for of it: programs of 100 MB are looked at while they start.

use std::{
    fs::File,
    os::{fd::AsRawFd as _, unix::fs::FileExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use memchr::memmem;

/// No function that is probed is longer.
const MAX_CODE: u64 = 64 << 10;
/// The largest table of symbols, or of their names, that is read.
const MAX_TABLE: u64 = 128 << 20;
/// Of code without a symbol this much is looked at.
const MAX_NAMELESS: u64 = 16 << 10;
const MAX_ENTRIES: u16 = 4_096;

const EM_X86_64: u16 = 62;
const ET_DYN: u16 = 3;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PF_X: u32 = 1;
const MAX_PATH: u64 = 4_096;
const SHT_SYMTAB: u32 = 2;
const SHT_RELA: u32 = 4;
const SHT_DYNSYM: u32 = 11;
const R_X86_64_RELATIVE: u64 = 8;
const STT_FUNC: u8 = 2;

const SECTION: usize = 64;
const SEGMENT: usize = 56;
const SYMBOL: usize = 24;
const RELOCATION: usize = 24;

/// A function's code, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::load) struct Function {
    pub(in crate::load) address: u64,
    /// Of its first byte, in the file: what a uprobe is attached to.
    pub(in crate::load) file_offset: u64,
    pub(in crate::load) code: Vec<u8>,
}

/// A file that is open, with its tables of sections and segments.
#[derive(Debug)]
pub(in crate::load) struct Elf {
    file: File,
    sections: Vec<u8>,
    segments: Vec<u8>,
    /// Which section holds the sections' names.
    names: usize,
}

impl Elf {
    /// # Errors
    /// Where the file cannot be read or is no ELF file of this machine's.
    pub(in crate::load) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut header = [0; 64];
        file.read_exact_at(&mut header, 0).context("not an ELF file")?;
        ensure!(header.starts_with(b"\x7fELF\x02\x01"), "not a 64-bit ELF file");
        ensure!(u16_at(&header, 18) == Some(EM_X86_64), "another architecture's");
        let table = |offset: usize, count: usize, size: usize| {
            let entries = u16_at(&header, count).unwrap_or(0).min(MAX_ENTRIES);
            let start = u64_at(&header, offset).unwrap_or(0);
            read(&file, start, u64::from(entries) * size as u64).unwrap_or_default()
        };
        let (segments, sections) = (table(32, 56, SEGMENT), table(40, 60, SECTION));
        let names = u16_at(&header, 62).unwrap_or(0);
        Ok(Self { file, sections, segments, names: usize::from(names) })
    }

    /// The dynamic linker that it asks for: `None` for a program that is its own.
    pub(in crate::load) fn interpreter(&self) -> Option<String> {
        let segment = self.segments.chunks_exact(SEGMENT).find(|s| u32_at(s, 0) == Some(PT_INTERP))?;
        let path = read(&self.file, u64_at(segment, 8)?, u64_at(segment, 32)?.min(MAX_PATH))?;
        String::from_utf8(string(&path, 0)?.to_vec()).ok()
    }

    /// Whether an address is one of code.
    pub(in crate::load) fn is_code(&self, address: u64) -> bool {
        self.segments.chunks_exact(SEGMENT).any(|segment| {
            let executable = u32_at(segment, 4).is_some_and(|flags| flags & PF_X != 0);
            let within = u64_at(segment, 16).and_then(|start| address.checked_sub(start));
            executable && within.is_some_and(|within| Some(within) < u64_at(segment, 32))
        })
    }

    /// A section's address and content, by its name.
    pub(in crate::load) fn section(&self, name: &str) -> Option<(u64, Vec<u8>)> {
        let section = self.section_named(name)?;
        Some((u64_at(section, 16)?, self.content(section)?))
    }

    fn section_named(&self, name: &str) -> Option<&[u8]> {
        let names = self.content(self.sections.chunks_exact(SECTION).nth(self.names)?)?;
        self.sections.chunks_exact(SECTION).find(|section| {
            let found = u32_at(section, 0).and_then(|at| string(&names, u64::from(at)));
            found == Some(name.as_bytes())
        })
    }

    /// The address that stands at an address when the program runs, as long as it is where it was linked to be: in
    /// a file that can be loaded anywhere the loader's list of what to change has it.
    pub(in crate::load) fn pointer(&self, address: u64) -> Option<u64> {
        let word = self.function(address, 8).and_then(|word| u64_at(&word.code, 0));
        if let Some(word) = word.filter(|word| *word != 0) {
            return Some(word);
        }
        for section in self.sections.chunks_exact(SECTION).filter(|s| u32_at(s, 4) == Some(SHT_RELA)) {
            let relocations = self.content(section)?;
            let relative = relocations.chunks_exact(RELOCATION).find(|relocation| {
                u64_at(relocation, 0) == Some(address) && u64_at(relocation, 8) == Some(R_X86_64_RELATIVE)
            });
            if let Some(relative) = relative {
                return u64_at(relative, 16);
            }
        }
        None
    }

    /// A path to the open file, for as long as it is open.
    pub(in crate::load) fn held(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }

    /// The functions that have one of `names`, in their order: `None` for those that are not defined here.
    pub(in crate::load) fn functions(&self, names: &[&str]) -> Vec<Option<Function>> {
        let mut found = vec![None; names.len()];
        for kind in [SHT_DYNSYM, SHT_SYMTAB] {
            if found.iter().any(Option::is_none) {
                for (index, kind, symbol) in self.named(kind, names) {
                    if kind == STT_FUNC && found[index].is_none() {
                        found[index] = self.function(symbol.address, symbol.size);
                    }
                }
            }
        }
        found
    }

    /// The code at an address, which has no name of its own.
    pub(in crate::load) fn code_at(&self, address: u64) -> Option<Function> {
        self.function(address, MAX_NAMELESS)
    }

    /// The sections of a kind, each with the strings it refers to.
    fn tables(&self, kind: u32) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
        self.sections.chunks_exact(SECTION).filter_map(move |section| {
            if u32_at(section, 4)? != kind {
                return None;
            }
            let link = u32_at(section, 40)? as usize;
            let strings = self.sections.chunks_exact(SECTION).nth(link)?;
            Some((self.content(section)?, self.content(strings)?))
        })
    }

    fn content(&self, section: &[u8]) -> Option<Vec<u8>> {
        read(&self.file, u64_at(section, 24)?, u64_at(section, 32)?)
    }

    /// The functions that have one of `parts` in their (mangled) names, each with the index of the part.
    pub(in crate::load) fn functions_with(&self, parts: &[&str]) -> Vec<(usize, Function)> {
        let mut found = Vec::new();
        for (symbols, strings) in self.tables(SHT_SYMTAB) {
            let places = parts.iter().enumerate().flat_map(|(index, part)| {
                let strings = &strings;
                occurrences(strings, part.as_bytes()).map(move |at| (start_of(strings, at), index))
            });
            let functions = named_at(&symbols, places.collect()).into_iter().filter(|s| s.1 == STT_FUNC);
            found.extend(
                functions.filter_map(|(part, _, symbol)| {
                    Some((part, self.function(symbol.address, symbol.size)?))
                }),
            );
        }
        found
    }

    /// The symbols that have one of `names`: each with the index of the name, and its kind.
    fn named(&self, kind: u32, names: &[&str]) -> Vec<(usize, u8, Symbol)> {
        let mut found = Vec::new();
        for (symbols, strings) in self.tables(kind) {
            let places = names.iter().enumerate().flat_map(|(index, name)| {
                occurrences(&strings, &[name.as_bytes(), &[0]].concat()).map(move |at| (at, index))
            });
            found.extend(named_at(&symbols, places.collect()));
        }
        found
    }

    /// The code of `size` bytes at an address of the file's own.
    pub(in crate::load) fn function(&self, address: u64, size: u64) -> Option<Function> {
        for segment in self.segments.chunks_exact(SEGMENT) {
            let (start, length) = (u64_at(segment, 16)?, u64_at(segment, 32)?);
            if u32_at(segment, 0)? != PT_LOAD {
                continue;
            }
            let Some(within) = address.checked_sub(start).filter(|within| *within < length) else { continue };
            let file_offset = u64_at(segment, 8)?.checked_add(within)?;
            let code = read(&self.file, file_offset, size.min(MAX_CODE).min(length - within))?;
            return Some(Function { address, file_offset, code });
        }
        None
    }
}

/// Where a symbol of any kind is, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::load) struct Symbol {
    pub(in crate::load) address: u64,
    pub(in crate::load) size: u64,
}

/// A file's layout: what is needed to find what it holds in a process.
#[derive(Debug)]
pub(in crate::load) struct Image {
    elf: Elf,
    /// Addresses are chosen when it is loaded (`ET_DYN`).
    pub(in crate::load) moves: bool,
}

impl Image {
    /// # Errors
    /// As [`Elf::open`].
    pub(in crate::load) fn open(path: &Path) -> Result<Self> {
        let elf = Elf::open(path)?;
        let mut kind = [0; 2];
        elf.file.read_exact_at(&mut kind, 16).context("not an ELF file")?;
        Ok(Self { elf, moves: u16::from_le_bytes(kind) == ET_DYN })
    }

    /// The symbols with these names, as [`Elf::functions`] finds them.
    pub(in crate::load) fn symbols(&self, names: &[&str]) -> Vec<Option<Symbol>> {
        let mut found = vec![None; names.len()];
        for kind in [SHT_DYNSYM, SHT_SYMTAB] {
            if found.iter().any(Option::is_none) {
                for (index, _, symbol) in self.elf.named(kind, names) {
                    found[index].get_or_insert(symbol);
                }
            }
        }
        found
    }

    /// What is exported under a name that begins so.
    pub(in crate::load) fn exported(&self, beginning: &str) -> Vec<(String, Symbol)> {
        let mut found = Vec::new();
        for (symbols, strings) in self.elf.tables(SHT_DYNSYM) {
            let starts: Vec<u32> = occurrences(&strings, beginning.as_bytes())
                .filter(|at| start_of(&strings, *at) == *at)
                .collect();
            let places = starts.iter().enumerate().map(|(index, at)| (*at, index)).collect();
            found.extend(named_at(&symbols, places).into_iter().filter_map(|(index, _, symbol)| {
                let name = string(&strings, u64::from(starts[index]))?;
                Some((String::from_utf8_lossy(name).into_owned(), symbol))
            }));
        }
        found
    }

    /// As [`super::go::functions`]: of a stripped program, too.
    pub(in crate::load) fn go_functions(&self, names: &[&str]) -> Option<Vec<Option<Function>>> {
        super::go::functions(&self.elf, names)
    }

    /// As [`Elf::functions_with`].
    pub(in crate::load) fn functions_with(&self, parts: &[&str]) -> Vec<(usize, Function)> {
        self.elf.functions_with(parts)
    }

    /// `size` bytes of code at an address, or as many as there are.
    pub(in crate::load) fn code(&self, address: u64, size: u64) -> Option<Function> {
        self.elf.function(address, size)
    }

    /// The section of this name: its address, its length, and where it begins in the file.
    pub(in crate::load) fn section(&self, name: &str) -> Option<(Symbol, u64)> {
        let section = self.elf.section_named(name)?;
        let symbol = Symbol { address: u64_at(section, 16)?, size: u64_at(section, 32)? };
        Some((symbol, u64_at(section, 24)?))
    }

    /// Bytes of the file.
    pub(in crate::load) fn read(&self, offset: u64, length: u64) -> Option<Vec<u8>> {
        read(&self.elf.file, offset, length)
    }

    /// The first address that the file is loaded at, as it is written in the file.
    pub(in crate::load) fn first_address(&self) -> Option<u64> {
        let loads = self.elf.segments.chunks_exact(SEGMENT).filter(|s| u32_at(s, 0) == Some(PT_LOAD));
        loads.filter_map(|segment| u64_at(segment, 16)).min().map(|address| address & !0xfff)
    }
}

/// Names were looked for in the strings: a symbol's name is now a number to compare.
fn named_at(symbols: &[u8], mut places: Vec<(u32, usize)>) -> Vec<(usize, u8, Symbol)> {
    places.sort_unstable();
    let mut found = Vec::new();
    for symbol in symbols.chunks_exact(SYMBOL) {
        let is_defined = u16_at(symbol, 6) != Some(0);
        let Some(name) = u32_at(symbol, 0).filter(|_| is_defined) else { continue };
        let Ok(place) = places.binary_search_by_key(&name, |place| place.0) else { continue };
        let (address, size) = (u64_at(symbol, 8).unwrap_or(0), u64_at(symbol, 16).unwrap_or(0));
        found.push((places[place].1, symbol[4] & 0xf, Symbol { address, size }));
    }
    found
}

/// Where `pattern` is. With its zero at the end it is a whole string or the end of one: tables share ends.
fn occurrences(strings: &[u8], pattern: &[u8]) -> impl Iterator<Item = u32> + use<> {
    let places: Vec<usize> = memmem::find_iter(strings, pattern).collect();
    places.into_iter().filter_map(|at| u32::try_from(at).ok())
}

/// Where the string begins that is at `at`.
fn start_of(strings: &[u8], at: u32) -> u32 {
    let before = strings.get(..at as usize).unwrap_or_default();
    memchr::memrchr(0, before).map_or(0, |zero| zero as u32 + 1)
}

fn read(file: &File, offset: u64, length: u64) -> Option<Vec<u8>> {
    // A damaged file may claim anything; a vector of that size is not made before the file is known to have it.
    let end = offset.checked_add(length)?;
    if length > MAX_TABLE || end > file.metadata().ok()?.len() {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}

fn string(strings: &[u8], at: u64) -> Option<&[u8]> {
    let rest = strings.get(usize::try_from(at).ok()?..)?;
    Some(&rest[..rest.iter().position(|byte| *byte == 0)?])
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBSSL: &str = "/usr/lib/x86_64-linux-gnu/libssl.so.3";

    #[test]
    fn functions_are_found_by_name_and_what_is_not_there_is_none() {
        if !Path::new(LIBSSL).exists() {
            eprintln!("skipped: there is no {LIBSSL}");
            return;
        }
        let found = Elf::open(Path::new(LIBSSL)).unwrap().functions(&["SSL_read", "no_such_function"]);
        let function = found[0].as_ref().unwrap();
        let file = std::fs::read(LIBSSL).unwrap();
        let at = usize::try_from(function.file_offset).unwrap();
        assert_eq!(file[at..at + function.code.len()], function.code);
        assert!(function.code.len() > 16);
        assert_eq!(found[1], None);
    }

    #[test]
    fn every_prefix_and_every_damaged_byte_of_the_header_is_read_without_panic() {
        let Ok(whole) = std::fs::read(LIBSSL) else { return };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("damaged.so");
        for at in 0..64 {
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(Elf::open(&path).is_err());
            let mut damaged = whole[..4096].to_vec();
            damaged[at] ^= 0xff;
            std::fs::write(&path, &damaged).unwrap();
            let _ = Elf::open(&path)
                .map(|elf| (elf.functions(&["SSL_read"]), elf.interpreter(), elf.section(".text")));
        }
    }

    #[test]
    fn what_is_no_elf_file_is_an_error() {
        assert!(Elf::open(Path::new("/proc/version")).is_err());
        assert!(Elf::open(Path::new("/nonexistent")).is_err());
    }
}
