//! Where probes sit in the code of programs and libraries.

mod elf;
mod sites;

pub(super) use elf::{Function, Image, code_at, functions, needed};
pub(super) use sites::{Site, entry, exits, returns, tails};
