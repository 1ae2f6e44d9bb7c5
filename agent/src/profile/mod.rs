//! CPU samples: which code ran, in which process, as addresses that belong to files.
//!
//! ```text
//!  sampler ──ring──▶ drain: decode → place addresses in files ──▶ consumer
//!     ▲                 │ a process that is new or has changed
//!     │                 ▼
//!     └── tables ─── keeper thread: maps → objects → unwind tables
//! ```
//!
//! The ring is never kept waiting for a file: [`Keeper`] reads maps and compiles tables on a thread of its own, and
//! samples of a process it has not seen yet wait for it, bounded in number and time.

mod decode;
mod drain;
mod keeper;
mod maps;
pub mod model;
pub mod names;
mod objects;
mod tables;

pub use drain::{Drain, DrainCounters};
pub use keeper::{Keeper, KeeperCounters};
