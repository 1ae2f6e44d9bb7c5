//! The walk over a thread's user stack, without its help: by frame pointers, or by tables that the agent compiled from
//! the files' unwind information (`honeyguide_common::unwind`).
//!
//! What a walk has in hand lies in a per-CPU element, whose values are unknown to the verifier: every round looks the same to
//! it. Where the kernel has no `bpf_loop`, a walk is longer than the verifier follows in one program, and goes on in
//! tail-called ones.

mod native;
mod python;
pub mod start;
mod table;
mod v8;

use aya_ebpf::{EbpfContext, btf_maps::ProgramArray};
use honeyguide_common::{
    interpreter::{MAX_INTERPRETED, Walked},
    sample::{MAX_FRAMES, MAX_USER_FRAMES, Outcome, Sample},
    unwind::{Mapping, PROGRAM_NATIVE, PROGRAM_PYTHON, PROGRAM_V8, PROGRAMS, X86_REGISTERS},
};

use self::{native::Native, python::Interpreted, v8::Scripts};
use crate::{
    maps::{INTERPRETERS, SCRIPTS},
    repeat::repeat,
};

/// Native and interpreted frames of one program, and native ones that are looked at for V8, where there is no `bpf_loop`.
/// The kernel allows 33 tail calls (`MAX_TAIL_CALL_CNT`), which the longest of both stacks share.
const FRAMES: usize = 12;
const INTERPRETED: usize = 56;
const LOOKED_AT: usize = 64;
const TAIL_CALLS: usize = 33;

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
    /// Words that there is room for where it is kept.
    pub room: u64,
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

/// Walks the current thread's stack, of process `pid`, in this program's `programs`, the last of which sends it. Returns
/// only where there is nothing to walk.
#[inline(always)]
pub fn stack(ctx: &impl EbpfContext, walk: *mut Walk, pid: u32, programs: &ProgramArray<PROGRAMS>) {
    let outcome = start::user_stack(walk, pid);
    field!(walk.sample.outcome = outcome as u16);
    if outcome == Outcome::NoUnwinder {
        // SAFETY: no more is done here when it succeeds.
        unsafe { programs.tail_call(ctx, PROGRAM_NATIVE) };
    }
}

/// Goes on with the native frames. Returns where the walk has ended.
#[inline(always)]
pub fn native_frames(ctx: &impl EbpfContext, walk: *mut Walk, programs: &ProgramArray<PROGRAMS>) {
    if !repeat::<FRAMES, _>(Native(walk), native::MOST) {
        // SAFETY: as above.
        unsafe { programs.tail_call(ctx, PROGRAM_NATIVE) };
    }
    if INTERPRETERS.get_ptr(field!(walk.sample.pid)).is_some() {
        // SAFETY: as above.
        unsafe { programs.tail_call(ctx, PROGRAM_PYTHON) };
        start::walked(walk, Walked::NoProgram);
    } else if SCRIPTS.get_ptr(field!(walk.sample.pid)).is_some() {
        // SAFETY: as above.
        unsafe { programs.tail_call(ctx, PROGRAM_V8) };
        start::walked(walk, Walked::NoProgram);
    }
}

/// Adds the frames of CPython to a walk that has ended. Returns where there are no more.
#[inline(always)]
pub fn python_frames(ctx: &impl EbpfContext, walk: *mut Walk, programs: &ProgramArray<PROGRAMS>) {
    match Interpreted::new(walk).map(|frames| repeat::<INTERPRETED, _>(frames, python::MOST)) {
        Ok(true) => {}
        Ok(false) => {
            // SAFETY: as above.
            unsafe { programs.tail_call(ctx, PROGRAM_PYTHON) };
            start::walked(walk, Walked::NoProgram);
        }
        Err(how) => start::walked(walk, how),
    }
}

/// Says of the frames of a walk that has ended which are JavaScript's. Returns where there are no more.
#[inline(always)]
pub fn v8_frames(ctx: &impl EbpfContext, walk: *mut Walk, programs: &ProgramArray<PROGRAMS>) {
    match Scripts::new(walk).map(|frames| repeat::<LOOKED_AT, _>(frames, v8::MOST)) {
        Ok(true) => {}
        Ok(false) => {
            // SAFETY: as above.
            unsafe { programs.tail_call(ctx, PROGRAM_V8) };
            start::walked(walk, Walked::NoProgram);
        }
        Err(how) => start::walked(walk, how),
    }
}

/// Counts what the walk has found. Returns how many words they are.
#[inline(always)]
pub fn end(walk: *mut Walk) -> u32 {
    let (kernel, frames, interpreted) = (field!(walk.kernel), field!(walk.frames), field!(walk.interpreted));
    field!(walk.sample.kernel_frames = kernel as u8);
    field!(walk.sample.user_frames = frames as u8);
    (kernel + frames + interpreted) as u32
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

const _: () = {
    // What goes to the agent is one piece of memory.
    assert!(core::mem::offset_of!(Walk, words) == core::mem::offset_of!(Walk, sample) + size_of::<Sample>());
    // One more round finds that there is nothing more.
    let native = MAX_USER_FRAMES / FRAMES + 1;
    let interpreted = MAX_INTERPRETED / INTERPRETED + 1;
    assert!(native + interpreted <= TAIL_CALLS);
    assert!(native + MAX_USER_FRAMES / LOOKED_AT + 1 <= TAIL_CALLS);
};
