//! Probes in the code of programs and libraries: which functions, at which instructions, in which files.
//!
//! A feature says in a [`Plan`] which of its programs belong where in a file; [`AttachTable`] puts them there once
//! for each file, for all processes, and takes them off when nobody uses the file any more. [`Watch`] says when a
//! process is worth a look, and [`mapped`] what it has mapped.

mod elf;
pub(super) mod go;
mod gopclntab;
mod mapped;
mod plan;
mod programs;
mod sites;
mod table;
mod watch;

pub(super) use elf::{Elf, Function, Image, Symbol};
pub(super) use mapped::{inside, mapped};
pub(super) use plan::{Missed, Plan, Target};
pub(super) use programs::{detach, load, program};
pub(super) use sites::{entry, passage, returns, tails};
pub(super) use table::{AttachCounters, AttachTable};
pub(super) use watch::Watch;
