//! Time off the CPU: where threads block, walked as they leave, and for how long, told as they go on.
//!
//! A thread's memory can be read only while it is the current one, and there is no hook that runs on it when it comes
//! back; so the walk is before its worth is known. Every other thread of the machine costs a failed look-up or two, and a note of
//! the time.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::btf_tracepoint, programs::BtfTracePointContext};
use honeyguide_common::sample::Blocked;

use crate::{
    blocked,
    maps::{OFF_CPU_UNWINDERS, WALK_OFF_CPU, WALKS},
    memory, offsets, select, switches,
    unwind::{
        self,
        start::{PF_KTHREAD, begin},
    },
};

/// include/linux/sched.h
const TASK_DEAD: u32 = 0x80;

/// match-proto: `void sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next, …)`, Linux 4.18
#[btf_tracepoint(function = "sched_switch")]
pub fn off_cpu_switch(ctx: BtfTracePointContext) -> i32 {
    // First, since a walk does not come back here.
    // SAFETY: the tracepoint's argument, and the field has 32 bits.
    blocked::resume(unsafe { memory::typed_word(ctx.arg(2), &offsets::OFF_TASK_PID) }, ctx.arg(2));
    let begun = switches::turn(switches::WAITS);
    let ids = bpf_get_current_pid_tgid();
    let (pid, tid) = ((ids >> 32) as u32, ids as u32);
    // SAFETY: as above.
    let state = unsafe { memory::typed_word(ctx.arg(1), &offsets::OFF_TASK_STATE) };
    let preempted = ctx.arg::<u64>(0) & 0xff != 0;
    // It could run on: that is time in the run queue.
    if pid == 0 || preempted || state == 0 {
        return 0;
    }
    // SAFETY: as above. The kernel's own threads wait for work.
    if unsafe { memory::typed_word(ctx.arg(1), &offsets::OFF_TASK_FLAGS) } & PF_KTHREAD != 0 {
        return 0;
    }
    if state & TASK_DEAD != 0 {
        blocked::forget(tid);
        return 0;
    }
    if !select::is_profiled(pid) || !blocked::leave(tid, begun) {
        return 0;
    }
    let Some(walk) = WALKS.get_ptr_mut(WALK_OFF_CPU) else { return 0 };
    begin(walk, pid, tid, Blocked::MAX_FRAMES);
    unwind::stack(&ctx, walk, pid, &OFF_CPU_UNWINDERS);
    blocked::keep(walk);
    0
}

/// Goes on with the walk.
#[btf_tracepoint(function = "sched_switch")]
pub fn off_cpu_native(ctx: BtfTracePointContext) -> i32 {
    let Some(walk) = WALKS.get_ptr_mut(WALK_OFF_CPU) else { return 0 };
    unwind::native_frames(&ctx, walk, &OFF_CPU_UNWINDERS);
    blocked::keep(walk);
    0
}

/// Adds the frames of CPython to a walk that has ended.
#[btf_tracepoint(function = "sched_switch")]
pub fn off_cpu_python(ctx: BtfTracePointContext) -> i32 {
    let Some(walk) = WALKS.get_ptr_mut(WALK_OFF_CPU) else { return 0 };
    unwind::python_frames(&ctx, walk, &OFF_CPU_UNWINDERS);
    blocked::keep(walk);
    0
}

/// Says of a walk's frames which are JavaScript's.
#[btf_tracepoint(function = "sched_switch")]
pub fn off_cpu_v8(ctx: BtfTracePointContext) -> i32 {
    let Some(walk) = WALKS.get_ptr_mut(WALK_OFF_CPU) else { return 0 };
    unwind::v8_frames(&ctx, walk, &OFF_CPU_UNWINDERS);
    blocked::keep(walk);
    0
}

/// match-proto: `void sched_waking(struct task_struct *p)`, Linux 4.18
#[btf_tracepoint(function = "sched_waking")]
pub fn off_cpu_wake(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the tracepoint's argument, and the field has 32 bits.
    blocked::wake(unsafe { memory::typed_word(ctx.arg(0), &offsets::OFF_TASK_PID) });
    0
}
