//! Kernel records in a file, with what is needed to read them elsewhere: the clock and who the processes were.
//!
//! A file is a magic, then frames: length (u32, little-endian, of what follows), kind (u8), body.
//! Header values that hold secrets, and values, passwords and keys that databases are told or answer, are masked before they
//! are written, unless the user asked otherwise. Where that takes what comes later, bytes are asterisks first and overwritten: in a regular file; in a pipe they stay asterisks.

mod frames;
mod losses;
mod mask;
mod params;
mod reader;
mod statements;
#[cfg(test)]
mod tests;
mod writer;

pub use losses::Losses;
pub use reader::{Frame, Reader};
pub use writer::Writer;

/// File magic with the format's version.
const MAGIC: &[u8; 8] = b"HGREC\x01\r\n";
/// The longest frame that is read: a record of the largest class, with room.
const MAX_FRAME: usize = 1 << 20;

/// `Start` body: clock offset (i64), monotonic time (u64). First in the file.
const START: u8 = 1;
/// `Record` body: a kernel record, without the unwritten rest of its size class.
const RECORD: u8 = 2;
/// `Process` body: pid (u32), then the resource's attributes as a JSON array of `[key, value]`; [`INSTRUMENTED`] among them
/// says what is no attribute.
const PROCESS: u8 = 3;
/// The key of what is no attribute: the program runs under an SDK's automatic instrumentation.
const INSTRUMENTED: &str = "honeyguide.instrumented";
/// `Lost` body: the kernel's failure counters (u64 each), in the contract's order. Last in the file.
const LOST: u8 = 4;
