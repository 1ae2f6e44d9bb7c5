//! Unwind tables: `.eh_frame` and `.debug_frame`, compiled into what the kernel searches
//! (`honeyguide_common::unwind`).

mod arm64;
mod cfi;
mod elf;
mod frame;
pub mod fuzz;
pub(crate) mod parts;
mod synthesis;
mod table;
mod x86_64;

use object::ReadRef;

pub use elf::{Architecture, Elf, Segment};
pub use table::{Row, Table};

/// Why there is no table.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("not a 64-bit little-endian ELF file of a known architecture")]
    NotElf,
    #[error("it is cut short or contradicts itself: {0}")]
    Damaged(&'static str),
    /// Frame pointers are all there is.
    #[error("no unwind information")]
    Nothing,
    #[error("its code spans more than 4 GiB")]
    TooWide,
    #[error("more than {0} of {1}")]
    TooMuch(u64, &'static str),
}

/// The table of a file, from its `.eh_frame` and, where that leaves addresses out, its `.debug_frame`.
///
/// # Errors
/// Where there is no unwind information, or the file is not what it should be.
pub fn compile<'data, R: ReadRef<'data>>(elf: &Elf<'data, R>) -> Result<Table, Error> {
    cfi::compile(elf)
}
