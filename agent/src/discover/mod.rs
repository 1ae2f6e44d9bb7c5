//! Which processes are traced: what the user selected, matched against the processes there are.
//!
//! Nothing here talks to the kernel's probes. [`Discovery`] says which process ids to select and to
//! deselect; the selected ports go to the kernel as they are.

mod discovery;
#[cfg(test)]
pub(crate) mod fake_proc;
mod listening;
mod open_process;
mod parse;
mod proc_root;
mod selection;

pub use discovery::{Discovery, SelectionChange};
pub use open_process::{Executable, OpenProcess};
pub use parse::Stat;
pub use proc_root::ProcRoot;
pub use selection::{ExeGlob, InvalidSelection, PortRange, Selection};
