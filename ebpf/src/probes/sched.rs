//! The scheduler's decisions about threads whose time is kept. Every other thread costs two failed look-ups
//! and a note of the time.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{call, memory, offsets, switches, times};

/// match-proto: `void sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next, …)`, Linux 4.18
#[btf_tracepoint(function = "sched_switch")]
pub fn sched_switch(ctx: BtfTracePointContext) -> i32 {
    let leaving = bpf_get_current_pid_tgid() as u32;
    if let Some(thread) = times::find(leaving) {
        let preempted = ctx.arg::<u64>(0) & 0xff != 0;
        let state = memory::field::<u32>(ctx.arg(1), &offsets::OFF_TASK_STATE).unwrap_or(0);
        let next = if preempted || state == 0 { times::RUNNABLE } else { times::blocked_in(call::current()) };
        times::present(thread);
        times::enter(thread, next);
    }
    switches::turn(switches::TIMES);
    let coming = memory::field::<u32>(ctx.arg(2), &offsets::OFF_TASK_PID).unwrap_or(0);
    if let Some(thread) = times::find(coming) {
        times::enter(thread, times::ON_CPU);
    }
    0
}

/// match-proto: `void sched_waking(struct task_struct *p)`, Linux 4.18
#[btf_tracepoint(function = "sched_waking")]
pub fn sched_waking(ctx: BtfTracePointContext) -> i32 {
    let tid = memory::field::<u32>(ctx.arg(0), &offsets::OFF_TASK_PID).unwrap_or(0);
    if let Some(thread) = times::find(tid) {
        times::wake(thread);
    }
    0
}
