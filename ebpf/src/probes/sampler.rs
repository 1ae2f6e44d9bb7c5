//! CPU samples: what runs on this CPU now, at a steady rate.

use aya_ebpf::{
    EbpfContext as _,
    bindings::BPF_RB_NO_WAKEUP,
    helpers::{
        bpf_get_current_pid_tgid, bpf_get_current_task_btf, bpf_get_smp_processor_id, bpf_task_pt_regs,
        generated::{bpf_get_current_comm, bpf_get_stack, bpf_ringbuf_output},
    },
    macros::perf_event,
    programs::PerfEventContext,
};
use honeyguide_common::{
    Failure,
    interpreter::{MAX_INTERPRETED, WALKED_SHIFT, Walked},
    record::COMM,
    sample::{
        FLAG_UNKNOWN_PROCESS, KIND_SAMPLE, MAX_FRAMES, MAX_KERNEL_FRAMES, MAX_USER_FRAMES, Outcome, Sample,
    },
    unwind::{PROGRAM_NATIVE, PROGRAM_PYTHON, PROGRAM_V8, Process},
};

use crate::{
    call, emit, error, identity,
    maps::{INTERPRETERS, PROCESSES, SAMPLES, SCRIPTS, UNWINDERS, WALKS},
    memory, offsets, select, settings,
    unwind::{self, Walk, field},
};

/// Native and interpreted frames of one program, and native ones that are looked at for V8. The kernel allows 33 tail calls (`MAX_TAIL_CALL_CNT`), which the longest
/// of both stacks share.
const FRAMES: usize = 12;
const INTERPRETED: usize = 56;
const LOOKED_AT: usize = 64;
const TAIL_CALLS: usize = 33;
/// arch/x86/entry/syscalls/syscall_64.tbl
const RT_SIGRETURN: i64 = 15;
const PF_KTHREAD: u32 = 0x0020_0000;

/// match-proto: `struct bpf_perf_event_data`, Linux 4.9
#[perf_event]
pub fn sample_cpu(ctx: PerfEventContext) -> u32 {
    let ids = bpf_get_current_pid_tgid();
    let (pid, tid) = ((ids >> 32) as u32, ids as u32);
    if pid == 0 || pid == settings::SELF_PID.load() {
        return 0;
    }
    if settings::SELECT_ALL.load() == 0 && !select::is_selected(pid) {
        return 0;
    }
    let Some(walk) = WALKS.get_ptr_mut(0) else { return 0 };
    begin(walk, pid, tid);
    // SAFETY: the program's context.
    let from_user = unsafe { (*ctx.ctx).regs.cs } & 3 != 0;
    if !from_user {
        kernel_stack(&ctx, walk);
    }
    let outcome = user_stack(walk, pid);
    if outcome == Outcome::NoUnwinder {
        // SAFETY: no more is done here when it succeeds.
        unsafe { UNWINDERS.tail_call(&ctx, PROGRAM_NATIVE) };
    }
    finish(walk, outcome);
    0
}

/// Goes on with the walk, and ends it.
#[perf_event]
pub fn unwind_native(ctx: PerfEventContext) -> u32 {
    let Some(walk) = WALKS.get_ptr_mut(0) else { return 0 };
    let outcome = match unwind::frames::<FRAMES>(walk) {
        Some(outcome) => outcome,
        None => {
            // SAFETY: as above.
            unsafe { UNWINDERS.tail_call(&ctx, PROGRAM_NATIVE) };
            Outcome::NoUnwinder
        }
    };
    if INTERPRETERS.get_ptr(field!(walk.sample.pid)).is_some() {
        field!(walk.sample.outcome = outcome as u16);
        // SAFETY: as above.
        unsafe { UNWINDERS.tail_call(&ctx, PROGRAM_PYTHON) };
        walked(walk, Walked::NoProgram);
    } else if SCRIPTS.get_ptr(field!(walk.sample.pid)).is_some() {
        field!(walk.sample.outcome = outcome as u16);
        // SAFETY: as above.
        unsafe { UNWINDERS.tail_call(&ctx, PROGRAM_V8) };
        walked(walk, Walked::NoProgram);
    }
    finish(walk, outcome);
    0
}

/// Adds the frames of CPython to a walk that has ended.
#[perf_event]
pub fn unwind_python(ctx: PerfEventContext) -> u32 {
    let Some(walk) = WALKS.get_ptr_mut(0) else { return 0 };
    match unwind::python::frames::<INTERPRETED>(walk) {
        Some(how) => walked(walk, how),
        None => {
            // SAFETY: as above.
            unsafe { UNWINDERS.tail_call(&ctx, PROGRAM_PYTHON) };
            walked(walk, Walked::NoProgram);
        }
    }
    send(walk);
    0
}

/// Says of a walk's frames which are JavaScript's.
#[perf_event]
pub fn unwind_v8(ctx: PerfEventContext) -> u32 {
    let Some(walk) = WALKS.get_ptr_mut(0) else { return 0 };
    match unwind::v8::frames::<LOOKED_AT>(walk) {
        Some(how) => walked(walk, how),
        None => {
            // SAFETY: as above.
            unsafe { UNWINDERS.tail_call(&ctx, PROGRAM_V8) };
            walked(walk, Walked::NoProgram);
        }
    }
    send(walk);
    0
}

#[inline(always)]
fn walked(walk: *mut Walk, how: Walked) {
    let flags = field!(walk.sample.header.flags);
    field!(walk.sample.header.flags = flags | (how as u16) << WALKED_SHIFT);
}

#[inline(always)]
fn begin(walk: *mut Walk, pid: u32, tid: u32) {
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
    field!(walk.frames = 0);
    field!(walk.interpreted = 0);
    field!(walk.within = 0);
}

#[inline(always)]
fn kernel_stack(ctx: &PerfEventContext, walk: *mut Walk) {
    const SIZE: u32 = (MAX_KERNEL_FRAMES * 8) as u32;
    // SAFETY: `words` has room for so many.
    let bytes = unsafe { bpf_get_stack(ctx.as_ptr(), (&raw mut (*walk).words).cast(), SIZE, 0) };
    if bytes > 0 {
        field!(walk.kernel = bytes as u64 / 8);
    }
}

/// Where the user's stack begins. `NoUnwinder` unless something says otherwise.
#[inline(always)]
fn user_stack(walk: *mut Walk, pid: u32) -> Outcome {
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

#[inline(always)]
fn finish(walk: *mut Walk, outcome: Outcome) {
    field!(walk.sample.outcome = outcome as u16);
    send(walk);
}

#[inline(always)]
fn send(walk: *mut Walk) {
    let (kernel, frames, interpreted) = (field!(walk.kernel), field!(walk.frames), field!(walk.interpreted));
    field!(walk.sample.kernel_frames = kernel as u8);
    field!(walk.sample.user_frames = frames as u8);
    let words = memory::below::<MAX_FRAMES>((kernel + frames + interpreted) as u32);
    let size = size_of::<Sample>() as u64 + u64::from(words) * 8;
    field!(walk.sample.header.captured = words * 8);
    const {
        assert!(
            core::mem::offset_of!(Walk, words) == core::mem::offset_of!(Walk, sample) + size_of::<Sample>()
        )
    };
    // Nobody is woken: the ring holds many seconds of samples, and the agent looks many times a second.
    // SAFETY: the sample and the words behind it are one piece of memory of more than that size.
    let failed = unsafe {
        let ring = (&raw const SAMPLES).cast_mut().cast();
        bpf_ringbuf_output(ring, (&raw mut (*walk).sample).cast(), size, u64::from(BPF_RB_NO_WAKEUP))
    };
    if failed != 0 {
        error::count(Failure::RingFullSample);
    }
}

const _: () = {
    // One more round finds that there is nothing more.
    let native = MAX_USER_FRAMES / FRAMES + 1;
    let interpreted = MAX_INTERPRETED / INTERPRETED + 1;
    assert!(native + interpreted <= TAIL_CALLS);
    assert!(native + MAX_USER_FRAMES / LOOKED_AT + 1 <= TAIL_CALLS);
};
