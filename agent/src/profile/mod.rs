//! CPU samples: which code ran, in which process, and what it is called.
//!
//! ```text
//!  sampler ──ring──▶ drain: decode → place addresses in files ──▶ gather ──▶ naming ──▶ flame, export
//!     ▲                 │ a process that is new or has changed     (equal stacks
//!     │                 ▼                                           added up)
//!     └── tables ─── keeper thread: maps → objects → unwind tables
//! ```
//!
//! The ring is never kept waiting for a file: [`Keeper`] reads maps and compiles tables on a thread of its own, and
//! samples of a process it has not seen yet wait for it, bounded in number and time. Names are looked up when a profile
//! is asked for, [`naming`] says how. Those of interpreted code are read at once, since its objects come and go.

mod decode;
mod drain;
pub mod gather;
mod interpreter;
mod jit;
mod keeper;
mod maps;
pub mod model;
pub mod named;
pub mod naming;
mod objects;
pub mod serving;
mod tables;
pub mod wait;
pub mod wanted;

pub use drain::{Drain, DrainCounters};
pub use keeper::{Keeper, KeeperCounters};
