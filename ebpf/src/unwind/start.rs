//! Where a walk begins: at the registers that the current thread entered the kernel with.

use aya_ebpf::{
    cty::c_void,
    helpers::{
        bpf_get_current_task_btf, bpf_get_smp_processor_id, bpf_task_pt_regs,
        generated::{bpf_get_current_comm, bpf_get_stack},
    },
};
use honeyguide_common::{
    interpreter::{WALKED_SHIFT, Walked},
    record::COMM,
    sample::{FLAG_UNKNOWN_PROCESS, KIND_SAMPLE, MAX_KERNEL_FRAMES, Outcome, Sample},
    unwind::Process,
};

use super::{Walk, field};
use crate::{call, emit, identity, maps::PROCESSES, memory, offsets, settings};

/// arch/x86/entry/syscalls/syscall_64.tbl
const RT_SIGRETURN: i64 = 15;
/// include/linux/sched.h
pub const PF_KTHREAD: u32 = 0x0020_0000;

#[inline(always)]
pub fn walked(walk: *mut Walk, how: Walked) {
    let flags = field!(walk.sample.header.flags);
    field!(walk.sample.header.flags = flags | (how as u16) << WALKED_SHIFT);
}

/// `room`: words that the walk may find.
#[inline(always)]
pub fn begin(walk: *mut Walk, pid: u32, tid: u32, room: usize) {
    // SAFETY: an element of a per-CPU table; the helper takes the room there is for the name.
    unsafe {
        (*walk).sample = Sample {
            header: emit::header(KIND_SAMPLE, 0),
            pid,
            tid,
            cpu: bpf_get_smp_processor_id(),
            outcome: 0,
            kernel_frames: 0,
            user_frames: 0,
            weight: 0,
            context: 0,
            space: 0,
            identity: 0,
            comm: [0; COMM],
        };
        bpf_get_current_comm((&raw mut (*walk).sample.comm).cast(), COMM as u32);
    }
    field!(walk.kernel = 0);
    field!(walk.room = room as u64);
    field!(walk.frames = 0);
    field!(walk.interpreted = 0);
    field!(walk.within = 0);
}

#[inline(always)]
pub fn kernel_stack(ctx: *mut c_void, walk: *mut Walk) {
    const SIZE: u32 = (MAX_KERNEL_FRAMES * 8) as u32;
    // SAFETY: `words` has room for so many.
    let bytes = unsafe { bpf_get_stack(ctx, (&raw mut (*walk).words).cast(), SIZE, 0) };
    if bytes > 0 {
        field!(walk.kernel = bytes as u64 / 8);
    }
}

/// Where the user's stack begins. `NoUnwinder` unless something says otherwise.
#[inline(always)]
pub fn user_stack(walk: *mut Walk, pid: u32) -> Outcome {
    // SAFETY: no arguments; the current task outlives the program.
    let task = unsafe { bpf_get_current_task_btf() };
    // SAFETY: a typed pointer; `flags` is a 32-bit field.
    if unsafe { memory::typed_word(task.cast(), &offsets::OFF_TASK_FLAGS) } & PF_KTHREAD != 0 {
        return Outcome::NoUser;
    }
    let mm = memory::field::<u64>(task.cast(), &offsets::OFF_TASK_MM).unwrap_or(0);
    if mm == 0 {
        return Outcome::NoUser;
    }
    let executable = memory::field::<u64>(mm as *const u8, &offsets::OFF_MM_EXEC_VM).unwrap_or(0);
    field!(walk.sample.space = (mm ^ settings::ADDRESS_KEY.load()).wrapping_add(executable));
    // SAFETY: the helper takes the current task, and returns where its user registers are saved.
    let registers = unsafe { bpf_task_pt_regs(task) as *const aya_ebpf::bindings::pt_regs };
    // SAFETY: a typed pointer the verifier knows; each load is checked against `struct pt_regs`.
    let cs = unsafe { (*registers).cs };
    if cs != call::USER_CS {
        return Outcome::Compat32;
    }
    macro_rules! take {
        ($($number:literal $name:ident),+) => {
            $(
                // SAFETY: as above; the number is below that of the registers.
                unsafe {
                    let to = (&raw mut (*walk).registers).cast::<u64>().add($number);
                    to.write((*registers).$name);
                }
            )+
        };
    }
    take!(0 rax, 1 rdx, 2 rcx, 3 rbx, 4 rsi, 5 rdi, 6 rbp, 7 rsp, 8 r8, 9 r9, 10 r10, 11 r11, 12 r12, 13 r13,
        14 r14, 15 r15);
    // SAFETY: as above.
    let (pc, sp, fp, goroutine, call, next) = unsafe {
        (
            (*registers).rip,
            (*registers).rsp,
            (*registers).rbp,
            (*registers).r14,
            (*registers).orig_rax as i64,
            (*registers).rcx,
        )
    };
    field!(walk.pc = pc);
    field!(walk.sp = sp);
    field!(walk.fp = fp);
    let running = identity::of_sample(pid, pc, goroutine);
    field!(walk.sample.context = running.context);
    field!(walk.sample.identity = u64::from(running.kind));
    // In a system call the instruction is the one before: `syscall` puts the next one's address into rcx. An interrupt
    // or a fault (-1) leaves it to be run again, and a signal that is about to be handled begins at its handler.
    field!(walk.exact = u64::from(call < 0 || next != pc));
    field!(walk.innermost = 1);
    field!(walk.returning = u64::from(call == RT_SIGRETURN));
    // No address is in it.
    field!(walk.mapping.start = u64::MAX);
    field!(walk.mapping.end = 0);
    match PROCESSES.get_ptr(pid) {
        Some(process) => {
            // SAFETY: an element of the table; one that is removed meanwhile leaves memory that is still an element's.
            let Process { mappings, count } = unsafe { *process };
            field!(walk.known = 1);
            field!(walk.mappings = u64::from(mappings));
            field!(walk.count = u64::from(count));
        }
        None => {
            field!(walk.known = 0);
            field!(walk.sample.header.flags = FLAG_UNKNOWN_PROCESS);
        }
    }
    Outcome::NoUnwinder
}
