//! What a runtime runs on its threads, and where the kernel finds which of it is running.

#[cfg(feature = "user")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `Data::identity`: nothing but the thread is known.
pub const NONE: u8 = 0;
/// A goroutine, by its id.
pub const GOROUTINE: u8 = 1;
/// A Python context (`PyContext *`); every asyncio task runs in one of its own.
pub const PYTHON: u8 = 2;
/// A task of tokio's, by its id.
pub const TOKIO: u8 = 3;

/// The most processes whose runtime is known.
pub const MAX_RUNTIMES: usize = 16_384;
/// The most outgoing requests of Go programs that wait to be written.
pub const MAX_CALLS: usize = 16_384;

/// How to find the identity of a process's current thread. Addresses are the process's own.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Runtime {
    /// [`GOROUTINE`], [`PYTHON`] or [`TOKIO`].
    pub kind: u32,
    /// Go: offset of `goid` in a `g`. Python: of `context` in a `PyThreadState`.
    pub first: u32,
    /// Go: offset of `parentGoid` in a `g`; 0 where there is none (before Go 1.21).
    /// Python: of the thread-specific value's block in the C library's thread descriptor.
    pub second: u32,
    /// Go: offset of `conn` in a `net/http.persistConn`; 0 where it is not known.
    pub third: u32,
    /// Go: the program's own code, of which alone the register is believed. Python: the address of the key under
    /// which each thread keeps its `PyThreadState` (`autoTSSkey`), and that of `PyContext_Type`. tokio: where the
    /// running task's id is, from the thread pointer on (`CONTEXT.current_task_id`).
    pub start: u64,
    pub end: u64,
}

const _: () = assert!(core::mem::size_of::<Runtime>() == 32);
