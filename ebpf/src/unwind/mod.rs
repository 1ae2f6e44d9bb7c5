//! The walk over a thread's user stack, without its help: by frame pointers, or by tables that the agent compiled from
//! the files' unwind information (`honeyguide_common::unwind`).
//!
//! A walk is longer than the verifier follows in one program, so it goes on in tail-called ones. What it has in hand
//! lies in a per-CPU element, whose values are unknown to the verifier: every round looks the same to it.

mod native;
pub mod python;
mod table;
pub mod v8;

use honeyguide_common::{
    sample::{MAX_FRAMES, MAX_USER_FRAMES, Outcome, Sample},
    unwind::{Mapping, X86_REGISTERS},
};

pub use native::frames;

/// One walk.
#[repr(C)]
pub struct Walk {
    /// Where the frame is: the instruction, the stack pointer and the frame pointer.
    pub pc: u64,
    pub sp: u64,
    pub fp: u64,
    /// 1: `pc` is the instruction itself, 0: the one after a call.
    pub exact: u64,
    /// 1: `registers` are this frame's.
    pub innermost: u64,
    /// 1: it is in the system call that returns from a signal's handler, and the registers are the trampoline's.
    pub returning: u64,
    /// As DWARF numbers them.
    pub registers: [u64; X86_REGISTERS],
    /// User frames so far.
    pub frames: u64,
    /// Kernel frames, which come first.
    pub kernel: u64,
    /// 0: the agent has not said what the process has mapped.
    pub known: u64,
    /// The process's mappings: position and count.
    pub mappings: u64,
    pub count: u64,
    /// The mapping of the last frame; the next one is in it as a rule.
    pub mapping: Mapping,
    /// An interpreter's frames so far, the one in hand, and whether that is known yet.
    pub interpreted: u64,
    pub frame: u64,
    pub within: u64,
    /// Of each user frame that was left by its frame pointer, that pointer; [`BASE_NOT_YET`] of one that had not been made,
    /// 0 of the others.
    pub bases: [u64; MAX_USER_FRAMES],
    /// Where a binary search stands.
    pub low: u64,
    /// What goes to the agent.
    pub sample: Sample,
    pub words: [u64; MAX_FRAMES],
}

/// In [`Walk::bases`].
pub const BASE_NOT_YET: u64 = 1;

/// What comes after a frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The caller's frame is in hand.
    Frame,
    End(Outcome),
}

/// Reads or writes a field of the walk in memory: what the verifier knows of a register, it forgets there.
macro_rules! field {
    ($walk:ident . $($name:ident).+) => {
        // SAFETY: a walk is an element of a per-CPU table, which nobody else touches while a program runs.
        unsafe { (&raw const (*$walk).$($name).+).read_volatile() }
    };
    ($walk:ident . $($name:ident).+ = $value:expr) => {{
        let value = $value;
        // SAFETY: as above.
        unsafe { (&raw mut (*$walk).$($name).+).write_volatile(value) }
    }};
}
pub(crate) use field;
