//! The symbol tables of an ELF file (System V ABI, "Symbol Table").

use object::{
    LittleEndian, ReadCache, ReadRef,
    elf::{self, FileHeader64, SectionHeader64, Sym64},
    read::elf::{FileHeader as _, SectionHeader as _, SectionTable, Sym as _},
};

use super::{
    image::Image,
    symbols::{MAX_SYMBOLS, Strings, Symbol, Symbols},
};

type E = LittleEndian;

/// The largest section that is read into memory.
const MAX_SECTION: u64 = 256 << 20;

/// What a file says of its symbols, and where else there are some.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// `.symtab`.
    pub(super) full: Option<Symbols>,
    /// `.dynsym`: what others may call.
    pub(super) dynamic: Option<Symbols>,
    pub(super) build_id: Option<Vec<u8>>,
    /// `.gnu_debuglink`: a file's name and the CRC-32 of its content.
    pub(super) debug_link: Option<(String, u32)>,
    /// `.gnu_debugdata`: another ELF file, compressed by xz.
    pub(super) minidebug: Option<Vec<u8>>,
    /// `.gopclntab`.
    pub(super) pclntab: Option<Vec<u8>>,
    /// Where `.text` begins.
    pub(super) text_start: u64,
}

/// Reads the tables of `image`; `None` where it is no 64-bit little-endian ELF file.
pub(super) fn read(image: &Image) -> Option<Found> {
    let cache = ReadCache::new(image.bytes());
    let header = FileHeader64::<E>::parse(&cache).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, &cache).ok()?;
    let find = |name: &str| sections.section_by_name(endian, name.as_bytes()).map(|(_, section)| section);
    let section = |name: &str| bytes(image, find(name)?);
    Some(Found {
        full: table(image, &sections, &cache, elf::SHT_SYMTAB),
        dynamic: table(image, &sections, &cache, elf::SHT_DYNSYM),
        build_id: section(".note.gnu.build-id").and_then(|bytes| bytes.get(16..).map(<[u8]>::to_vec)),
        debug_link: section(".gnu_debuglink").and_then(|bytes| debug_link(&bytes)),
        minidebug: section(".gnu_debugdata"),
        pclntab: section(".gopclntab").or_else(|| section(".data.rel.ro.gopclntab")),
        text_start: find(".text").map_or(0, |text| text.sh_addr(endian)),
    })
}

fn table<'data, R: ReadRef<'data>>(
    image: &Image,
    sections: &SectionTable<'data, FileHeader64<E>, R>,
    data: R,
    kind: elf::SectionType,
) -> Option<Symbols> {
    let endian = LittleEndian;
    let section = sections.iter().find(|section| section.sh_type(endian) == kind)?;
    let count = usize::try_from(section.sh_size(endian)).ok()? / size_of::<Sym64<E>>();
    if count > MAX_SYMBOLS {
        return None;
    }
    let symbols: &[Sym64<E>] = section.data_as_array(endian, data).ok()?;
    let strings = sections.section(object::SectionIndex(section.sh_link(endian) as usize)).ok()?;
    let names =
        Strings { image: image.clone(), offset: strings.sh_offset(endian), size: strings.sh_size(endian) };
    Symbols::new(symbols.iter().filter_map(|symbol| function(symbol, sections)).collect(), names)
}

fn function<'data, R: ReadRef<'data>>(
    symbol: &Sym64<E>,
    sections: &SectionTable<'data, FileHeader64<E>, R>,
) -> Option<Symbol> {
    let endian = LittleEndian;
    let index = symbol.st_shndx(endian);
    if index == elf::SHN_UNDEF || symbol.st_name(endian) == 0 {
        return None;
    }
    let kind = symbol.st_type();
    let typed = kind == elf::STT_FUNC || kind == elf::STT_GNU_IFUNC;
    // Functions in assembly have no type as a rule; labels of data have none either.
    if !typed {
        let section = sections.section(object::SectionIndex(usize::from(index.0))).ok()?;
        let code = section.sh_flags(endian).contains(elf::SHF_EXECINSTR);
        if kind != elf::STT_NOTYPE || !code {
            return None;
        }
    }
    let size = symbol.st_size(endian);
    let bind = match symbol.st_bind() {
        elf::STB_GLOBAL => 2,
        elf::STB_WEAK => 1,
        _ => 0,
    };
    let rank = u8::from(size > 0) << 3 | u8::from(typed) << 2 | bind;
    Some(Symbol { address: symbol.st_value(endian), size, name: symbol.st_name(endian), rank })
}

fn bytes(image: &Image, section: &SectionHeader64<E>) -> Option<Vec<u8>> {
    let endian = LittleEndian;
    if section.sh_type(endian) == elf::SHT_NOBITS {
        return None;
    }
    image.slice(section.sh_offset(endian), section.sh_size(endian), MAX_SECTION)
}

/// A name, zeroes up to a multiple of four, and a CRC-32.
fn debug_link(bytes: &[u8]) -> Option<(String, u32)> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let name = std::str::from_utf8(&bytes[..end]).ok()?;
    let crc = bytes.get((end + 1).next_multiple_of(4)..)?.get(..4)?;
    let is_plain = !name.is_empty() && !name.contains('/');
    is_plain.then(|| (name.to_owned(), u32::from_le_bytes([crc[0], crc[1], crc[2], crc[3]])))
}

#[cfg(test)]
mod tests {
    use std::{fs::File, sync::Arc};

    use super::*;

    #[test]
    fn this_very_program_has_its_functions() {
        let image = Image::File(Arc::new(File::open("/proc/self/exe").unwrap()));
        let found = read(&image).unwrap();
        let full = found.full.expect("tests are not stripped");
        assert!(full.weight() > 1_000);
        assert!(found.debug_link.is_none() && found.minidebug.is_none() && found.pclntab.is_none());
    }

    #[test]
    fn a_debug_link_is_a_plain_name() {
        assert_eq!(
            debug_link(b"ab.debug\0\0\0\0\x01\x02\x03\x04"),
            Some(("ab.debug".to_owned(), 0x0403_0201))
        );
        assert_eq!(debug_link(b"../../etc/x\0\x01\x02\x03\x04"), None);
        assert_eq!(debug_link(b"ab"), None);
        assert_eq!(debug_link(b"ab\0\0\x01\x02"), None);
    }

    #[test]
    fn what_is_no_elf_file_is_none() {
        for bytes in [&b""[..], b"\x7fELF", &[0; 4096]] {
            assert!(read(&Image::Bytes(bytes.into())).is_none());
        }
    }
}
