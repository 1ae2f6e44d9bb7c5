//! Wake-ups between the threads of one process.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::wakes;

/// match-proto: `void sched_waking(struct task_struct *p)`, Linux 4.18
#[btf_tracepoint(function = "sched_waking")]
pub fn thread_wake(ctx: BtfTracePointContext) -> i32 {
    wakes::waking(ctx.arg(0));
    0
}
