//! Packet captures in place of the kernel: from the packets of a file to the records that the engine takes.
//!
//! ```text
//! file → link layer → IP (→ tunnel → IP) → TCP segment → stream (in order, each byte once) → connection → records
//! ```
//!
//! A capture shows each connection once, from outside of both ends. Its records are told as the server would tell
//! them: `local` is the end that answers, what the client sends is received. Times are the packets' own.

mod connection;
mod connections;
mod counters;
mod file;
mod ip;
mod link;
mod reset;
mod segment;
mod stream;
mod tunnel;

pub use connections::{Connections, Limits};
pub use counters::Counters;
pub use file::{Damage, Packet, Reader, is_capture};
