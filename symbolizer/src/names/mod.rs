//! What code is called: symbol tables, separate debug files, Go's own tables, DWARF where it is asked for, the kernel's
//! symbols and the maps that JIT compilers write.
//!
//! Names come from the symbol table unless inlined functions are asked for: a table is read in milliseconds, debug
//! information of a gigabyte is not.

mod cache;
mod debug_file;
mod demangle;
mod dwarf;
mod elf;
mod image;
mod kernel;
mod minidebug;
mod pclntab;
mod perf_map;
mod split;
mod symbols;

use std::sync::Arc;

pub use cache::{Counters, Names, Object, Settings};
pub use demangle::demangle;
pub use image::{Bytes, Image};
pub use kernel::KernelNames;
pub use pclntab::PcLnTab;
pub use perf_map::PerfMap;

/// A function, and where in its source an address belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// Demangled.
    pub function: Arc<str>,
    /// As the linker knows it, where that differs.
    pub system_name: Option<Arc<str>>,
    pub file: Option<Arc<str>>,
    /// 0 where it is not known.
    pub line: u32,
}

/// The language that a name gives away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// C, C++, or what looks like it.
    #[default]
    Native,
    Rust,
    Go,
}

/// What an address is called: the functions that were inlined there, innermost first, and last the one that holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    pub names: Vec<Name>,
    pub language: Language,
}

impl Name {
    pub(crate) fn of_symbol(symbol: &str) -> (Self, Language) {
        // A full table spells a symbol's version out: `memcpy@@GLIBC_2.14`.
        let symbol = symbol.find('@').filter(|at| *at > 0).map_or(symbol, |at| &symbol[..at]);
        let (function, language) = demangle(symbol);
        let system_name = (function != symbol).then(|| symbol.into());
        (Self { function: function.into(), system_name, file: None, line: 0 }, language)
    }
}
