//! The parts of an ELF file that unwinding needs; the rest of it is never read.

use std::{borrow::Cow, io::Read as _};

use object::{
    LittleEndian, ReadRef,
    elf::{
        self, ELFCOMPRESS_ZLIB, ELFCOMPRESS_ZSTD, EM_AARCH64, EM_X86_64, FileHeader64, NT_GNU_BUILD_ID, PF_X,
        PT_GNU_EH_FRAME, PT_LOAD, PT_NOTE, ProgramHeader64, Rela64, SectionHeader64, Sym64,
    },
    read::elf::{
        CompressionHeader as _, FileHeader as _, ProgramHeader as _, SectionHeader as _, SectionTable,
    },
};

use super::Error;

type E = LittleEndian;

/// The largest section that is read. Node's `.eh_frame` has 15 MB, Chromium's about 60.
const MAX_SECTION: u64 = 512 << 20;
/// The largest symbol table that is looked at for where functions begin.
const MAX_SYMBOLS: u64 = 64 << 20;
/// A build id is 20 bytes as a rule.
const MAX_BUILD_ID: usize = 64;
/// The linkers of distributions make four to six.
const MAX_SEGMENTS: usize = 256;

/// What a file's code is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    X86_64,
    Arm64,
}

/// Memory that the loader maps from the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub address: u64,
    pub offset: u64,
    /// In the file.
    pub size: u64,
    pub executable: bool,
}

/// An opened file.
#[derive(Debug)]
pub struct Elf<'data, R: ReadRef<'data>> {
    data: R,
    pub architecture: Architecture,
    pub segments: Vec<Segment>,
    /// Where a program begins; 0 in a library.
    pub(super) entry: u64,
    /// Linked to fixed addresses.
    pub(super) fixed: bool,
    /// Address and size of `.eh_frame_hdr`.
    eh_frame_hdr: Option<(u64, u64)>,
    notes: Vec<&'data [u8]>,
    sections: Option<SectionTable<'data, FileHeader64<E>, R>>,
}

impl<'data, R: ReadRef<'data>> Elf<'data, R> {
    /// Reads the headers.
    ///
    /// # Errors
    /// Where it is no ELF file that can be unwound here.
    pub fn parse(data: R) -> Result<Self, Error> {
        let header = FileHeader64::<E>::parse(data).map_err(|_| Error::NotElf)?;
        let endian = header.endian().map_err(|_| Error::NotElf)?;
        let architecture = match header.e_machine(endian) {
            EM_X86_64 => Architecture::X86_64,
            EM_AARCH64 => Architecture::Arm64,
            _ => return Err(Error::NotElf),
        };
        let programs =
            header.program_headers(endian, data).map_err(|_| Error::Damaged("the program headers"))?;
        let mut elf = Self {
            data,
            architecture,
            segments: Vec::new(),
            entry: header.e_entry(endian),
            fixed: header.e_type(endian) == elf::ET_EXEC,
            eh_frame_hdr: None,
            notes: Vec::new(),
            // A stripped file may have none, and one that lies about them is read without.
            sections: header.sections(endian, data).ok().filter(|sections| !sections.is_empty()),
        };
        for program in programs {
            elf.look(endian, program);
        }
        Ok(elf)
    }

    fn look(&mut self, endian: E, program: &ProgramHeader64<E>) {
        let (address, size) = (program.p_vaddr(endian), program.p_filesz(endian));
        match program.p_type(endian) {
            // Linkers make four or so. What is beyond the bound is as if it was not there.
            PT_LOAD if self.segments.len() < MAX_SEGMENTS => self.segments.push(Segment {
                address,
                offset: program.p_offset(endian),
                size,
                executable: program.p_flags(endian).contains(PF_X),
            }),
            PT_GNU_EH_FRAME => self.eh_frame_hdr = Some((address, size)),
            PT_NOTE if size <= 1 << 20 => self.notes.extend(program.data(endian, self.data).ok()),
            _ => {}
        }
    }

    /// The `NT_GNU_BUILD_ID` note.
    #[must_use]
    pub fn build_id(&self) -> Option<&'data [u8]> {
        let found = self.notes.iter().find_map(|bytes| build_id(bytes));
        found.or_else(|| build_id(self.section_data(".note.gnu.build-id")?))
    }

    /// Whether it has a section of that name.
    #[must_use]
    pub fn has_section(&self, name: &str) -> bool {
        self.header(name).is_some()
    }

    /// Address and bytes of a section that the loader maps.
    pub(super) fn loaded_section(&self, name: &str) -> Option<(u64, &'data [u8])> {
        Some((self.header(name)?.sh_addr(LittleEndian), self.section_data(name)?))
    }

    /// A section of debug information, which may be compressed.
    ///
    /// # Errors
    /// Where it is too large, or does not decompress.
    pub(super) fn debug_section(&self, name: &str) -> Result<Option<Cow<'data, [u8]>>, Error> {
        let Some(section) = self.header(name) else { return Ok(None) };
        let damaged = |_| Error::Damaged("a section's place");
        let Some((header, offset, length)) = section.compression(LittleEndian, self.data).map_err(damaged)?
        else {
            return Ok(self.section_data(name).map(Cow::Borrowed));
        };
        let size = header.ch_size(LittleEndian);
        if size > MAX_SECTION {
            return Err(Error::TooMuch(MAX_SECTION, "bytes of a section"));
        }
        let packed =
            self.data.read_bytes_at(offset, length).map_err(|()| Error::Damaged("a section's place"))?;
        let mut bytes = Vec::new();
        let read = match header.ch_type(LittleEndian) {
            ELFCOMPRESS_ZLIB => flate2::read::ZlibDecoder::new(packed).take(size).read_to_end(&mut bytes),
            ELFCOMPRESS_ZSTD => zstd::stream::read::Decoder::new(packed)
                .and_then(|decoder| decoder.take(size).read_to_end(&mut bytes)),
            _ => return Err(Error::Damaged("an unknown compression")),
        };
        match read {
            Ok(_) => Ok(Some(Cow::Owned(bytes))),
            Err(_) => Err(Error::Damaged("a compressed section")),
        }
    }

    /// Address and bytes of `.eh_frame` as `.eh_frame_hdr` tells: for files without sections.
    pub(super) fn eh_frame_by_header(&self) -> Option<(u64, &'data [u8])> {
        let (address, size) = self.eh_frame_hdr?;
        let bytes = self.memory(address)?;
        let header = gimli::EhFrameHdr::new(bytes.get(..usize::try_from(size).ok()?)?, gimli::LittleEndian);
        let bases = gimli::BaseAddresses::default().set_eh_frame_hdr(address);
        let pointer = header.parse(&bases, 8).ok()?.eh_frame_ptr().direct().ok()?;
        Some((pointer, self.memory(pointer)?))
    }

    /// Calls `found` with the address of every function that a symbol table names.
    pub(super) fn functions(&self, mut found: impl FnMut(u64)) {
        let Some(sections) = &self.sections else { return };
        for section in sections.iter() {
            let kind = section.sh_type(LittleEndian);
            let is_symbols = kind == elf::SHT_SYMTAB || kind == elf::SHT_DYNSYM;
            if !is_symbols || section.sh_size(LittleEndian) > MAX_SYMBOLS {
                continue;
            }
            let symbols = section.data_as_array::<Sym64<E>, _>(LittleEndian, self.data).unwrap_or_default();
            for symbol in symbols.iter().filter(|symbol| symbol.st_type() == elf::STT_FUNC) {
                found(symbol.st_value.get(LittleEndian));
            }
        }
    }

    /// Where its code is: the sections of it, or without sections what may be executed. Linkers put data between, and
    /// BOLT behind, into the same segment.
    pub(super) fn code_ranges(&self) -> Vec<(u64, u64)> {
        let range = |address: u64, size: u64| Some((address, address.checked_add(size)?));
        let sections = self.sections.iter().flat_map(SectionTable::iter);
        let mut ranges: Vec<(u64, u64)> = sections
            .filter(|section| section.sh_flags(LittleEndian).contains(elf::SHF_EXECINSTR))
            .filter_map(|section| range(section.sh_addr(LittleEndian), section.sh_size(LittleEndian)))
            .collect();
        if ranges.is_empty() {
            let segments = self.segments.iter().filter(|segment| segment.executable);
            ranges = segments.filter_map(|segment| range(segment.address, segment.size)).collect();
        }
        ranges
    }

    /// Whether it exports functions of V8's, or takes them from another file.
    pub(super) fn has_v8(&self) -> bool {
        const BEGINNING: &[u8] = b"\0_ZN2v8";
        self.section_data(".dynstr").is_some_and(|names| {
            names.len() as u64 <= MAX_SYMBOLS
                && names.windows(BEGINNING.len()).any(|window| window == BEGINNING)
        })
    }

    /// Calls `found` with what may be the address of a function: of a program at fixed addresses every word of its
    /// data, else those that the loader moves. At most so many bytes are read.
    pub(super) fn pointers(&self, most: u64, mut found: impl FnMut(u64)) {
        if self.fixed {
            let mut left = most;
            for segment in self.segments.iter().filter(|segment| !segment.executable) {
                let size = segment.size.min(left);
                left -= size;
                let bytes = self.data.read_bytes_at(segment.offset, size).unwrap_or_default();
                bytes
                    .chunks_exact(8)
                    .filter_map(|word| word.try_into().ok())
                    .map(u64::from_le_bytes)
                    .for_each(&mut found);
            }
            return;
        }
        let Some(sections) = &self.sections else { return };
        for section in sections.iter().filter(|section| section.sh_type(LittleEndian) == elf::SHT_RELA) {
            if section.sh_size(LittleEndian) > most {
                continue;
            }
            let relocations =
                section.data_as_array::<Rela64<E>, _>(LittleEndian, self.data).unwrap_or_default();
            for relocation in relocations {
                if relocation.r_type(LittleEndian, false) == elf::R_X86_64_RELATIVE {
                    found(relocation.r_addend.get(LittleEndian).cast_unsigned());
                }
            }
        }
    }

    /// So many of the file's bytes from an address on. What is read stays in memory, and so no more is.
    pub(super) fn code(&self, address: u64, size: u64) -> Option<&'data [u8]> {
        self.segments.iter().find_map(|segment| {
            let within = address.checked_sub(segment.address)?;
            within.checked_add(size).filter(|end| *end <= segment.size)?;
            self.data.read_bytes_at(segment.offset.checked_add(within)?, size).ok()
        })
    }

    /// The file's bytes from an address to the end of its segment.
    pub(super) fn memory(&self, address: u64) -> Option<&'data [u8]> {
        self.segments.iter().find_map(|segment| {
            let within = address.checked_sub(segment.address).filter(|within| *within < segment.size)?;
            let size = (segment.size - within).min(MAX_SECTION);
            self.data.read_bytes_at(segment.offset.checked_add(within)?, size).ok()
        })
    }

    fn header(&self, name: &str) -> Option<&'data SectionHeader64<E>> {
        Some(self.sections.as_ref()?.section_by_name(LittleEndian, name.as_bytes())?.1)
    }

    fn section_data(&self, name: &str) -> Option<&'data [u8]> {
        let section = self.header(name)?;
        if section.sh_size(LittleEndian) > MAX_SECTION || section.sh_type(LittleEndian) == elf::SHT_NOBITS {
            return None;
        }
        section.data(LittleEndian, self.data).ok()
    }
}

/// Notes are 4-byte aligned but for some of 8 (`.note.gnu.property`), which hold no build id.
fn build_id(notes: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| Some(u32::from_le_bytes(notes.get(at..at + 4)?.try_into().ok()?));
    let mut at = 0_usize;
    loop {
        let (name, size, kind) = (word(at)? as usize, word(at + 4)? as usize, word(at + 8)?);
        let start = at.checked_add(12)?;
        let data = start.checked_add(name.checked_next_multiple_of(4)?)?;
        let end = data.checked_add(size)?;
        if kind == NT_GNU_BUILD_ID.0 && notes.get(start..start + 4) == Some(b"GNU\0") {
            return notes.get(data..end).filter(|id| !id.is_empty() && id.len() <= MAX_BUILD_ID);
        }
        at = end.checked_next_multiple_of(4)?;
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn data_in_the_segment_of_the_code_is_no_code() {
        let directory = tempfile::tempdir().unwrap();
        let (source, program) = (directory.path().join("a.c"), directory.path().join("a"));
        std::fs::write(&source, "int main(void) { return 0; }").unwrap();
        let mut cc = Command::new("cc");
        // One segment for everything that is not written, as BOLT leaves it.
        cc.args(["-Wl,-z,noseparate-code", "-o"]).args([&program, &source]);
        assert!(cc.status().unwrap().success());
        let bytes = std::fs::read(program).unwrap();
        let mut elf = Elf::parse(&*bytes).unwrap();
        let (data, _) = elf.loaded_section(".eh_frame").unwrap();
        let (text, _) = elf.loaded_section(".text").unwrap();
        let has =
            |ranges: &[(u64, u64)], address| ranges.iter().any(|range| (range.0..range.1).contains(&address));
        let ranges = elf.code_ranges();
        assert!(has(&ranges, text) && !has(&ranges, data), "{ranges:x?}");
        // Without sections the segment is all that is known.
        elf.sections = None;
        let ranges = elf.code_ranges();
        assert!(has(&ranges, text) && has(&ranges, data), "{ranges:x?}");
    }
}
