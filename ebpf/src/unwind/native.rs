//! From frame to frame in native code.

use aya_ebpf::helpers::bpf_probe_read_user;
use honeyguide_common::{
    sample::{FRAME_EXACT, MAX_FRAMES, MAX_USER_FRAMES, Outcome},
    unwind::{
        CFA_DEREF, CFA_END, CFA_PLT, CFA_REGISTER, CFA_SIGNAL, FP_AT_CFA, FP_AT_FP, FP_SAME, RA_AT_CFA, Rule,
        X86_RBP, X86_REGISTERS, X86_RSP,
    },
};

use super::{
    BASE_NOT_YET, Next, Walk, field,
    table::{self, Found},
};
use crate::{maps::SCRIPTS, memory, repeat::Step};

/// Where user addresses end (47 bits; programs get the rest only when they ask for it).
const USER_END: u64 = 1 << 47;

/// A signal's frame, from the `ucontext` that the stack pointer is at in the trampoline: registers of
/// `uc_mcontext` (arch/x86/include/uapi/asm/sigcontext.h `struct sigcontext_64`).
const SIGNAL_RBP: u64 = 120;
const SIGNAL_RSP: u64 = 160;
const SIGNAL_RIP: u64 = 168;

/// The first bytes of `mov $15, %rax; syscall` and `mov $15, %eax; syscall`: rt_sigreturn, in glibc's and Go's and in
/// musl's spelling.
const TRAMPOLINE: u64 = 0x0f00_0000_0fc0_c748;
const TRAMPOLINE_SHORT: u64 = 0x0005_0f00_0000_0fb8;
const SHORT_MASK: u64 = 0x00ff_ffff_ffff_ffff;

/// `push %rbp; mov %rsp, %rbp`, and within how many bytes of code it is looked for: V8's functions first see whether they
/// are valid still.
const MAKES_FRAME: [u8; 4] = [0x55, 0x48, 0x89, 0xe5];
const PROLOGUE: usize = 24;
/// `ret`, `int3`
const RETURN: u8 = 0xc3;
const PADDING: u8 = 0xcc;

/// A walk over native frames. At its end the outcome is noted.
pub struct Native(pub *mut Walk);

/// One more finds that there is no room.
pub const MOST: u32 = MAX_USER_FRAMES as u32 + 1;

impl Step for Native {
    #[inline(always)]
    fn step(&self, _: u64) -> bool {
        let Self(walk) = *self;
        let Next::End(outcome) = frame(walk) else { return false };
        field!(walk.sample.outcome = outcome as u16);
        true
    }
}

/// Notes the frame in hand, and takes its caller's.
#[inline(always)]
fn frame(walk: *mut Walk) -> Next {
    let pc = field!(walk.pc);
    if pc == 0 {
        return Next::End(Outcome::Complete);
    }
    if pc >= USER_END {
        return Next::End(Outcome::NoMapping);
    }
    let frames = field!(walk.frames);
    if frames >= MAX_USER_FRAMES as u64 {
        return Next::End(Outcome::TooDeep);
    }
    let exact = field!(walk.exact);
    let at = memory::below::<MAX_FRAMES>((field!(walk.kernel) + frames) as u32) as usize;
    let word = if exact != 0 { pc | FRAME_EXACT } else { pc };
    // SAFETY: the index is below MAX_FRAMES.
    unsafe { (&raw mut (*walk).words).cast::<u64>().add(at).write(word) };
    base(walk, frames, 0);
    field!(walk.frames = frames + 1);
    if field!(walk.known) == 0 {
        return by_frame_pointer(walk, Outcome::UnknownProcess);
    }
    // The call is what counts: it may be the last instruction of its function.
    let address = pc - u64::from(exact == 0);
    if !table::find_mapping(walk, address) {
        return without_rule(walk, pc, Outcome::NoMapping);
    }
    if field!(walk.mapping.directory) == 0 {
        return without_rule(walk, pc, Outcome::NoTable);
    }
    match table::find_rule(walk, address) {
        Found::Rule(index) => match table::rule(index) {
            // SAFETY: an element of the table.
            Some(rule) => apply(walk, unsafe { &*rule }, pc),
            None => Next::End(Outcome::Inconsistent),
        },
        Found::Nothing => without_rule(walk, pc, Outcome::NoRow),
        Found::Torn => Next::End(Outcome::Inconsistent),
    }
}

#[inline(always)]
fn apply(walk: *mut Walk, rule: &Rule, pc: u64) -> Next {
    let sp = field!(walk.sp);
    let fp = field!(walk.fp);
    let offset = i64::from(rule.cfa_offset) as u64;
    let extra = i64::from(rule.extra) as u64;
    let cfa = match rule.cfa {
        CFA_REGISTER | CFA_DEREF => {
            let base = if rule.register == X86_RSP {
                sp
            } else if rule.register == X86_RBP {
                fp
            } else if field!(walk.innermost) != 0 {
                let number = memory::below::<X86_REGISTERS>(u32::from(rule.register)) as usize;
                // SAFETY: below the number of registers.
                unsafe { (&raw const (*walk).registers).cast::<u64>().add(number).read_volatile() }
            } else {
                return Next::End(Outcome::Unsupported);
            };
            let at = base.wrapping_add(offset);
            if rule.cfa == CFA_REGISTER {
                at
            } else {
                match read(at) {
                    Some(value) => value.wrapping_add(extra),
                    None => return Next::End(Outcome::Fault),
                }
            }
        }
        CFA_PLT => sp.wrapping_add(offset).wrapping_add(if pc & 15 >= extra { 8 } else { 0 }),
        CFA_END => return Next::End(Outcome::Complete),
        CFA_SIGNAL => return signal(walk),
        _ => return Next::End(Outcome::Unsupported),
    };
    if rule.ra != RA_AT_CFA {
        return Next::End(Outcome::Unsupported);
    }
    // The caller's stack is above; only the innermost frame of a function that pushed nothing is as high.
    if cfa <= sp {
        return Next::End(Outcome::NoProgress);
    }
    let Some(caller) = read(cfa.wrapping_sub(8)) else { return Next::End(Outcome::Fault) };
    if rule.fp != FP_SAME {
        let at = if rule.fp == FP_AT_CFA {
            cfa.wrapping_add(i64::from(rule.fp_offset) as u64)
        } else if rule.fp == FP_AT_FP {
            fp.wrapping_add(i64::from(rule.fp_offset) as u64)
        } else {
            0
        };
        match read(at) {
            Some(value) => field!(walk.fp = value),
            None if at == 0 => field!(walk.fp = 1),
            None => return Next::End(Outcome::Fault),
        }
    }
    called(walk, caller, cfa)
}

/// The frame in hand is that of a call that returns to `caller`.
#[inline(always)]
fn called(walk: *mut Walk, caller: u64, sp: u64) -> Next {
    field!(walk.pc = caller);
    field!(walk.sp = sp);
    field!(walk.exact = 0);
    field!(walk.innermost = 0);
    Next::Frame
}

/// The frame that a signal interrupted: its instruction was running.
#[inline(always)]
fn signal(walk: *mut Walk) -> Next {
    let context = field!(walk.sp);
    let (Some(fp), Some(sp), Some(pc)) =
        (read(context + SIGNAL_RBP), read(context + SIGNAL_RSP), read(context + SIGNAL_RIP))
    else {
        return Next::End(Outcome::Fault);
    };
    called(walk, pc, sp);
    field!(walk.fp = fp);
    field!(walk.exact = 1);
    Next::Frame
}

/// No table tells of this address.
#[inline(always)]
fn without_rule(walk: *mut Walk, pc: u64, cause: Outcome) -> Next {
    let code = read(pc).unwrap_or(0);
    if field!(walk.innermost) & field!(walk.returning) != 0
        || code == TRAMPOLINE
        || code & SHORT_MASK == TRAMPOLINE_SHORT
    {
        return signal(walk);
    }
    // Only there is a function without rules known to make its frame like this.
    if field!(walk.innermost) != 0
        && SCRIPTS.get_ptr(field!(walk.sample.pid)).is_some()
        && let Some(made) = prologue(pc)
    {
        let sp = field!(walk.sp).wrapping_add(made);
        let Some(caller) = read(sp) else { return Next::End(Outcome::Fault) };
        base(walk, field!(walk.frames).wrapping_sub(1), BASE_NOT_YET);
        return called(walk, caller, sp.wrapping_add(8));
    }
    by_frame_pointer(walk, cause)
}

/// Where the caller's frame pointer is still in its register: how far above the stack pointer the return address is.
#[inline(always)]
fn prologue(pc: u64) -> Option<u64> {
    // SAFETY: the helper checks the address.
    let code: [u8; PROLOGUE] = unsafe { bpf_probe_read_user(pc as *const [u8; PROLOGUE]) }.ok()?;
    if code[..3] == MAKES_FRAME[1..] {
        return Some(8);
    }
    for at in 0..=PROLOGUE - MAKES_FRAME.len() {
        if code[at] == MAKES_FRAME[0]
            && code[at + 1] == MAKES_FRAME[1]
            && code[at + 2] == MAKES_FRAME[2]
            && code[at + 3] == MAKES_FRAME[3]
        {
            return Some(0);
        }
        // What follows is another function.
        if code[at] == RETURN || code[at] == PADDING {
            return None;
        }
    }
    None
}

/// By the convention that a frame pointer points at the caller's, with the return address above it, and that the
/// first function of a thread has none (System V ABI, 3.4.1). `cause`: what it means where that does not hold.
#[inline(always)]
fn by_frame_pointer(walk: *mut Walk, cause: Outcome) -> Next {
    let fp = field!(walk.fp);
    if fp == 0 {
        return Next::End(if cause == Outcome::UnknownProcess { cause } else { Outcome::Complete });
    }
    if fp & 7 != 0 || fp >= USER_END {
        return Next::End(cause);
    }
    let (Some(next), Some(caller)) = (read(fp), read(fp + 8)) else { return Next::End(cause) };
    if next == fp {
        return Next::End(cause);
    }
    base(walk, field!(walk.frames).wrapping_sub(1), fp);
    called(walk, caller, fp + 16);
    field!(walk.fp = next);
    Next::Frame
}

/// Notes what a frame was left by.
#[inline(always)]
fn base(walk: *mut Walk, frame: u64, pointer: u64) {
    let at = memory::below::<MAX_USER_FRAMES>(frame as u32) as usize;
    // SAFETY: the index is below MAX_USER_FRAMES.
    unsafe { (&raw mut (*walk).bases).cast::<u64>().add(at).write(pointer) };
}

#[inline(always)]
fn read(address: u64) -> Option<u64> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(address as *const u64) }.ok()
}
