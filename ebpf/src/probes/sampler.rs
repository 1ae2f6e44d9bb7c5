//! CPU samples: what runs on this CPU now, at a steady rate.

use aya_ebpf::{
    EbpfContext as _,
    bindings::BPF_RB_NO_WAKEUP,
    helpers::{bpf_get_current_pid_tgid, generated::bpf_ringbuf_output},
    macros::perf_event,
    programs::PerfEventContext,
};
use honeyguide_common::{
    Failure,
    sample::{MAX_FRAMES, Sample},
};

use crate::{
    error,
    maps::{SAMPLES, UNWINDERS, WALK_ON_CPU, WALKS},
    memory, select,
    unwind::{
        self, Walk, field,
        start::{begin, kernel_stack},
    },
};

/// match-proto: `struct bpf_perf_event_data`, Linux 4.9
#[perf_event]
pub fn sample_cpu(ctx: PerfEventContext) -> u32 {
    let ids = bpf_get_current_pid_tgid();
    let (pid, tid) = ((ids >> 32) as u32, ids as u32);
    if pid == 0 || !select::is_profiled(pid) {
        return 0;
    }
    let Some(walk) = WALKS.get_ptr_mut(WALK_ON_CPU) else { return 0 };
    begin(walk, pid, tid, MAX_FRAMES);
    // SAFETY: the program's context.
    let from_user = unsafe { (*ctx.ctx).regs.cs } & 3 != 0;
    if !from_user {
        kernel_stack(ctx.as_ptr(), walk);
    }
    unwind::stack(&ctx, walk, pid, &UNWINDERS);
    send(walk);
    0
}

/// Goes on with the walk, and ends it.
#[perf_event]
pub fn unwind_native(ctx: PerfEventContext) -> u32 {
    let Some(walk) = WALKS.get_ptr_mut(WALK_ON_CPU) else { return 0 };
    unwind::native_frames(&ctx, walk, &UNWINDERS);
    send(walk);
    0
}

/// Adds the frames of CPython to a walk that has ended.
#[perf_event]
pub fn unwind_python(ctx: PerfEventContext) -> u32 {
    let Some(walk) = WALKS.get_ptr_mut(WALK_ON_CPU) else { return 0 };
    unwind::python_frames(&ctx, walk, &UNWINDERS);
    send(walk);
    0
}

/// Says of a walk's frames which are JavaScript's.
#[perf_event]
pub fn unwind_v8(ctx: PerfEventContext) -> u32 {
    let Some(walk) = WALKS.get_ptr_mut(WALK_ON_CPU) else { return 0 };
    unwind::v8_frames(&ctx, walk, &UNWINDERS);
    send(walk);
    0
}

#[inline(always)]
fn send(walk: *mut Walk) {
    let words = memory::below::<MAX_FRAMES>(unwind::end(walk));
    let size = size_of::<Sample>() as u64 + u64::from(words) * 8;
    field!(walk.sample.header.captured = words * 8);
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
