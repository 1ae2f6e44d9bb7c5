//! Functions of an ELF file by their names, and the libraries it needs.
//!
//! Format: the System V ABI's "Object Files" and elf(5), 64-bit little-endian. A table is read as a whole, and only
//! what is asked for of it: programs of 100 MB are looked at while they start.

use std::{fs::File, os::unix::fs::FileExt as _, path::Path};

use anyhow::{Context as _, Result, ensure};

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
const SHT_SYMTAB: u32 = 2;
const SHT_DYNAMIC: u32 = 6;
const SHT_DYNSYM: u32 = 11;
const DT_NEEDED: u64 = 1;
const STT_FUNC: u8 = 2;

const SECTION: usize = 64;
const SEGMENT: usize = 56;
const SYMBOL: usize = 24;
const DYNAMIC: usize = 16;

/// A function's code, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::load) struct Function {
    pub(in crate::load) address: u64,
    /// Of its first byte, in the file: what a uprobe is attached to.
    pub(in crate::load) file_offset: u64,
    pub(in crate::load) code: Vec<u8>,
}

/// The functions that have one of `names`, in their order: `None` for those that are not defined here.
///
/// # Errors
/// Where the file cannot be read or is no ELF file of this machine's.
pub(in crate::load) fn functions(path: &Path, names: &[&str]) -> Result<Vec<Option<Function>>> {
    let elf = Elf::open(path)?;
    let mut found = vec![None; names.len()];
    for kind in [SHT_DYNSYM, SHT_SYMTAB] {
        if found.iter().any(Option::is_none) {
            elf.find(kind, names, &mut found)?;
        }
    }
    Ok(found)
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
    /// As [`functions`].
    pub(in crate::load) fn open(path: &Path) -> Result<Self> {
        let elf = Elf::open(path)?;
        let mut kind = [0; 2];
        elf.file.read_exact_at(&mut kind, 16).context("not an ELF file")?;
        Ok(Self { elf, moves: u16::from_le_bytes(kind) == ET_DYN })
    }

    /// The symbols with these names, as [`functions`] finds them.
    pub(in crate::load) fn symbols(&self, names: &[&str]) -> Vec<Option<Symbol>> {
        let mut found = vec![None; names.len()];
        for kind in [SHT_DYNSYM, SHT_SYMTAB] {
            if found.iter().all(Option::is_some) {
                break;
            }
            for (symbols, strings) in self.elf.tables(kind) {
                for symbol in symbols.chunks_exact(SYMBOL) {
                    if u16_at(symbol, 6) == Some(0) {
                        continue;
                    }
                    let Some(name) = u32_at(symbol, 0).and_then(|at| string(&strings, u64::from(at))) else {
                        continue;
                    };
                    if let Some(index) = names.iter().position(|wanted| wanted.as_bytes() == name)
                        && found[index].is_none()
                    {
                        let (address, size) =
                            (u64_at(symbol, 8).unwrap_or(0), u64_at(symbol, 16).unwrap_or(0));
                        found[index] = Some(Symbol { address, size });
                    }
                }
            }
        }
        found
    }

    /// `size` bytes of code at an address, or as many as there are.
    pub(in crate::load) fn code(&self, address: u64, size: u64) -> Option<Function> {
        self.elf.function(address, size)
    }

    /// The section of this name: its address, its length, and where it begins in the file.
    pub(in crate::load) fn section(&self, name: &str) -> Option<(Symbol, u64)> {
        let mut header = [0; 64];
        self.elf.file.read_exact_at(&mut header, 0).ok()?;
        let names = self.elf.sections.chunks_exact(SECTION).nth(usize::from(u16_at(&header, 62)?))?;
        let names = self.elf.content(names)?;
        self.elf.sections.chunks_exact(SECTION).find_map(|section| {
            let own = string(&names, u64::from(u32_at(section, 0)?))?;
            let symbol = Symbol { address: u64_at(section, 16)?, size: u64_at(section, 32)? };
            (own == name.as_bytes()).then_some((symbol, u64_at(section, 24)?))
        })
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

/// The code at an address, which has no name of its own.
pub(in crate::load) fn code_at(path: &Path, address: u64) -> Option<Function> {
    Elf::open(path).ok()?.function(address, MAX_NAMELESS)
}

/// The names of the libraries that the dynamic linker loads with it.
///
/// # Errors
/// As [`functions`].
pub(in crate::load) fn needed(path: &Path) -> Result<Vec<String>> {
    let elf = Elf::open(path)?;
    let mut needed = Vec::new();
    for (entries, strings) in elf.tables(SHT_DYNAMIC) {
        for entry in entries.chunks_exact(DYNAMIC) {
            if u64_at(entry, 0) == Some(DT_NEEDED)
                && let Some(name) = u64_at(entry, 8).and_then(|at| string(&strings, at))
            {
                needed.push(String::from_utf8_lossy(name).into_owned());
            }
        }
    }
    Ok(needed)
}

#[derive(Debug)]
struct Elf {
    file: File,
    sections: Vec<u8>,
    segments: Vec<u8>,
}

impl Elf {
    fn open(path: &Path) -> Result<Self> {
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
        Ok(Self { file, sections, segments })
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

    fn find(&self, kind: u32, names: &[&str], found: &mut [Option<Function>]) -> Result<()> {
        for (symbols, strings) in self.tables(kind) {
            for symbol in symbols.chunks_exact(SYMBOL) {
                let is_defined = u16_at(symbol, 6) != Some(0);
                if symbol[4] & 0xf != STT_FUNC || !is_defined {
                    continue;
                }
                let Some(name) = u32_at(symbol, 0).and_then(|at| string(&strings, u64::from(at))) else {
                    continue;
                };
                if let Some(index) = names.iter().position(|wanted| wanted.as_bytes() == name)
                    && found[index].is_none()
                {
                    let (address, size) = (u64_at(symbol, 8).unwrap_or(0), u64_at(symbol, 16).unwrap_or(0));
                    found[index] = self.function(address, size);
                }
            }
        }
        Ok(())
    }

    fn function(&self, address: u64, size: u64) -> Option<Function> {
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
        let found = functions(Path::new(LIBSSL), &["SSL_read", "no_such_function"]).unwrap();
        let function = found[0].as_ref().unwrap();
        let file = std::fs::read(LIBSSL).unwrap();
        let at = usize::try_from(function.file_offset).unwrap();
        assert_eq!(file[at..at + function.code.len()], function.code);
        assert!(function.code.len() > 16);
        assert_eq!(found[1], None);
        assert!(needed(Path::new(LIBSSL)).unwrap().iter().any(|name| name.starts_with("libcrypto.so")));
    }

    #[test]
    fn every_prefix_and_every_damaged_byte_of_the_header_is_read_without_panic() {
        let Ok(whole) = std::fs::read(LIBSSL) else { return };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("damaged.so");
        for at in 0..64 {
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(functions(&path, &["SSL_read"]).is_err());
            let mut damaged = whole[..4096].to_vec();
            damaged[at] ^= 0xff;
            std::fs::write(&path, &damaged).unwrap();
            let _ = (functions(&path, &["SSL_read"]), needed(&path));
        }
    }

    #[test]
    fn what_is_no_elf_file_is_an_error() {
        assert!(functions(Path::new("/proc/version"), &["SSL_read"]).is_err());
        assert!(functions(Path::new("/nonexistent"), &["SSL_read"]).is_err());
    }
}
