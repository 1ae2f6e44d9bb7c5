//! Functions of an ELF file by their names.

use std::{fs::File, path::Path};

use anyhow::{Context as _, Result, ensure};
use object::{Object as _, ObjectSegment as _, ObjectSymbol as _, ReadCache, ReadRef as _, SymbolKind};

/// No function that is probed is longer; symbols without a size end here.
const MAX_CODE: u64 = 64 << 10;

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
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let cache = ReadCache::new(file);
    let elf = object::File::parse(&cache).context("not an ELF file")?;
    ensure!(elf.architecture() == object::Architecture::X86_64, "another architecture's");
    let mut found = vec![None; names.len()];
    for symbol in elf.dynamic_symbols().chain(elf.symbols()) {
        if symbol.kind() != SymbolKind::Text || symbol.is_undefined() {
            continue;
        }
        let Some(index) = symbol.name().ok().and_then(|name| names.iter().position(|wanted| *wanted == name))
        else {
            continue;
        };
        if found[index].is_some() {
            continue;
        }
        let address = symbol.address();
        for segment in elf.segments() {
            let (offset, size) = segment.file_range();
            let Some(within) = address.checked_sub(segment.address()).filter(|within| *within < size) else {
                continue;
            };
            let length = symbol.size().min(MAX_CODE).min(size - within);
            let file_offset = offset + within;
            if let Ok(code) = (&cache).read_bytes_at(file_offset, length) {
                found[index] = Some(Function { address, file_offset, code: code.to_vec() });
            }
        }
    }
    Ok(found)
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
    }

    #[test]
    fn what_is_no_elf_file_is_an_error() {
        assert!(functions(Path::new("/proc/version"), &["SSL_read"]).is_err());
        assert!(functions(Path::new("/nonexistent"), &["SSL_read"]).is_err());
    }
}
