//! Interpreters' own stacks: where the kernel finds them, and how their frames travel behind a sample's addresses.
//!
//! A frame of CPython is a word: the address of its code object, in the upper 16 bits the instruction's number within
//! that code ([`UNIT_UNKNOWN`] where there is none), and [`ENTRY`] where the interpreter's native function was called
//! anew for it: frames from one such mark to the next belong to one native frame. The mark may stand alone.
//!
//! A frame of V8 is a word, too: the address of its `SharedFunctionInfo`, and in the upper 16 bits which of the sample's
//! user frames it is. V8's frames, compiled or interpreted, are frames of the machine's.

#[cfg(feature = "user")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// In a frame's word. Objects are aligned to 8 bytes at least.
pub const ENTRY: u64 = 1;
pub const CODE: u64 = 0x0000_ffff_ffff_fff8;
pub const UNIT_SHIFT: u32 = 48;
pub const UNIT_UNKNOWN: u64 = 0xffff;

/// The most frames of one stack (CPython raises `RecursionError` at 1,000 unless told otherwise), and the most processes
/// whose interpreter is known.
pub const MAX_INTERPRETED: usize = 1_024;
pub const MAX_INTERPRETERS: usize = 4_096;

/// Where in `Header::flags` of a sample the [`Walked`] is.
pub const WALKED_SHIFT: u16 = 4;
pub const WALKED_MASK: u16 = 7;

/// `Python::entry`: every frame has a native one (before 3.11).
pub const ENTRY_EVERY: u32 = 0;
/// The byte at `owner` says so (3.11).
pub const ENTRY_FLAG: u32 = 1;
/// A frame of no code, whose `owner` is [`OWNER_NATIVE`] or more, is before it (3.12 and later).
pub const ENTRY_OWNER: u32 = 2;
/// `FRAME_OWNED_BY_CSTACK` (3.12, 3.13), `FRAME_OWNED_BY_INTERPRETER` (3.14).
pub const OWNER_NATIVE: u8 = 3;

/// `Python::instruction` is an `int` of bytes (3.9), or of two bytes each (3.10).
pub const INSTRUCTION_BYTES: u32 = 0;
pub const INSTRUCTION_UNITS: u32 = 1;
/// It is an address within the code.
pub const INSTRUCTION_ADDRESS: u32 = 2;

/// `Python::through`: the thread's state has the frame itself.
pub const DIRECT: u32 = u32::MAX;

/// How to find the frames of a CPython process's current thread. Addresses are the process's own, the rest is offsets.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Python {
    /// As `Runtime::start` of a Python process.
    pub key: u64,
    /// `PyCode_Type`.
    pub code_type: u64,
    /// Of the thread-specific values' first block in the C library's thread descriptor.
    pub block: u32,
    /// In a `PyThreadState`: of the current frame, or of what points to it.
    pub state: u32,
    /// Of the current frame in what `state` points to, or [`DIRECT`].
    pub through: u32,
    /// In a frame.
    pub code: u32,
    pub previous: u32,
    pub instruction: u32,
    pub owner: u32,
    /// One of `INSTRUCTION_*`.
    pub instructions: u32,
    /// One of `ENTRY_*`.
    pub entry: u32,
    /// Of the first instruction in a code object.
    pub first: u32,
}

/// How to tell JavaScript's frames of a V8 process from others. Offsets are from the frame pointer, and in objects from
/// their first byte (a pointer to one is tagged with 1).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct V8 {
    /// Of the context, or of a number that tells what other kind of frame it is.
    pub context: i32,
    /// Of the `JSFunction`.
    pub function: i32,
    /// Of the `SharedFunctionInfo` in a `JSFunction`.
    pub shared: i32,
    pub padding: u32,
}

/// How the walk over an interpreter's frames ended.
#[repr(u16)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Walked {
    /// The process has no known interpreter.
    None = 0,
    Complete = 1,
    /// More frames than are taken.
    TooDeep = 2,
    /// The thread is not the interpreter's.
    NoThread = 3,
    /// Its memory could not be read.
    Fault = 4,
    /// What should be a frame is none.
    NoCode = 5,
    /// The walk's program did not run.
    NoProgram = 6,
}

impl Walked {
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Complete,
        Self::TooDeep,
        Self::NoThread,
        Self::Fault,
        Self::NoCode,
        Self::NoProgram,
    ];

    /// `None` where the number is none of them.
    #[must_use]
    pub fn from_flags(flags: u16) -> Option<Self> {
        Self::ALL.get(usize::from(flags >> WALKED_SHIFT & WALKED_MASK)).copied()
    }

    /// In words, for summaries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Complete => "complete",
            Self::TooDeep => "too_deep",
            Self::NoThread => "no_thread_state",
            Self::Fault => "fault",
            Self::NoCode => "no_code",
            Self::NoProgram => "no_program",
        }
    }
}

const _: () = {
    assert!(core::mem::size_of::<Python>() == 56);
    assert!(core::mem::size_of::<V8>() == 16);
    let mut i = 0;
    while i < Walked::ALL.len() {
        assert!(Walked::ALL[i] as usize == i);
        i += 1;
    }
};
