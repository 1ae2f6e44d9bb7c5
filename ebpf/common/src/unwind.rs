//! Unwind tables as the kernel searches them.
//!
//! Everything lies in one arena of 32-bit words, in chunks of [`CHUNK_WORDS`]; a *position* names a word
//! (`chunk * CHUNK_WORDS + index`). Three things lie there, none across the border of two chunks:
//!
//! - a **page of rows**: what is known of 64 KiB of code, a word each: the lower 16 bits of the address from which it
//!   holds, and above them the index of a [`Rule`]. Sorted; the first row's address is the page's first;
//! - a **directory**: for each 64 KiB of a file's code, position and count of its rows, a word each;
//! - the **mappings of a process**: [`MAPPING_WORDS`] each, sorted by address.
//!
//! Rules are few (a whole desktop needs some 10,000) and shared by all tables.

#[cfg(feature = "user")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// 1 MiB.
pub const CHUNK_WORDS: usize = 1 << 18;
pub const MAX_CHUNKS: usize = 256;
/// As many as 16 bits name.
pub const MAX_RULES: usize = 1 << 16;
/// Code bytes of a page of rows, as a power of two.
pub const PAGE_BITS: u32 = 16;
/// Processes whose mappings the kernel knows.
pub const MAX_PROCESSES: usize = 16_384;
/// Mappings of one process.
pub const MAX_MAPPINGS: usize = 4_096;
/// The size of a mapping in the arena.
pub const MAPPING_WORDS: usize = 10;
/// BPF_F_MMAPABLE: the agent fills a chunk through memory, not by system calls.
pub const CHUNK_FLAGS: usize = 1 << 10;

/// Tail-called programs.
pub const PROGRAMS: usize = 8;
pub const PROGRAM_NATIVE: u32 = 0;
pub const PROGRAM_PYTHON: u32 = 1;
pub const PROGRAM_V8: u32 = 2;

/// Rules that every table uses, at fixed places.
pub const RULE_NONE: u16 = 0;
pub const RULE_UNSUPPORTED: u16 = 1;
pub const RULE_END: u16 = 2;
pub const RULE_SIGNAL: u16 = 3;
pub const FIXED_RULES: [Rule; 4] =
    [Rule::of(CFA_NONE), Rule::of(CFA_UNSUPPORTED), Rule::of(CFA_END), Rule::of(CFA_SIGNAL)];

/// `Rule::cfa`: the file's information leaves this address out.
pub const CFA_NONE: u8 = 0;
/// There is a rule, of a kind that is not followed.
pub const CFA_UNSUPPORTED: u8 = 1;
/// The thread's first function: its return address is undefined.
pub const CFA_END: u8 = 2;
/// A signal's return trampoline: everything is in the `ucontext` at the stack pointer.
pub const CFA_SIGNAL: u8 = 3;
/// `register + cfa_offset`
pub const CFA_REGISTER: u8 = 4;
/// `*(register + cfa_offset) + extra`
pub const CFA_DEREF: u8 = 5;
/// `rsp + cfa_offset`, and 8 more where the last four bits of the address are `extra` or more: a PLT's entries.
pub const CFA_PLT: u8 = 6;

/// `Rule::fp`: the caller's frame pointer is in its register still.
pub const FP_SAME: u8 = 0;
/// At CFA + `fp_offset`.
pub const FP_AT_CFA: u8 = 1;
/// At the frame pointer + `fp_offset`.
pub const FP_AT_FP: u8 = 2;
/// It cannot be had.
pub const FP_UNDEFINED: u8 = 3;

/// `Rule::ra`: at CFA - 8 (x86_64, always), or at CFA + `extra` (arm64).
pub const RA_AT_CFA: u8 = 0;
/// In the link register still (arm64).
pub const RA_IN_LINK_REGISTER: u8 = 1;

/// DWARF's numbers of x86_64's registers (System V ABI, figure 3.36).
pub const X86_RBP: u8 = 6;
pub const X86_RSP: u8 = 7;
pub const X86_REGISTERS: usize = 16;

/// How to come from a frame to its caller's.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Rule {
    /// One of `CFA_*`: how to find the stack pointer before the call, which is the caller's.
    pub cfa: u8,
    /// DWARF's number.
    pub register: u8,
    /// One of `FP_*`.
    pub fp: u8,
    /// One of `RA_*`.
    pub ra: u8,
    pub cfa_offset: i32,
    pub extra: i32,
    pub fp_offset: i32,
}

impl Rule {
    #[must_use]
    pub const fn of(cfa: u8) -> Self {
        Self { cfa, register: 0, fp: FP_SAME, ra: RA_AT_CFA, cfa_offset: 0, extra: 0, fp_offset: 0 }
    }
}

/// A process's mappings: where in the arena, and how many.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Process {
    pub mappings: u32,
    pub count: u32,
}

/// Executable memory of a process, as it lies in the arena.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Mapping {
    pub start: u64,
    pub end: u64,
    /// What to subtract from an address to have the file's own.
    pub bias: u64,
    /// Position of the directory; 0: there is no table, frame pointers are all there is.
    pub directory: u32,
    /// The page of the directory's first entry.
    pub first_page: u32,
    pub pages: u32,
    pub padding: u32,
}

const _: () = {
    use core::mem::size_of;
    assert!(size_of::<Rule>() == 16);
    assert!(size_of::<Process>() == 8);
    assert!(size_of::<Mapping>() == 4 * MAPPING_WORDS);
    assert!(MAX_MAPPINGS * MAPPING_WORDS < CHUNK_WORDS);
    // A page has at most one row for each of its bytes.
    assert!(1 << PAGE_BITS <= CHUNK_WORDS);
};
