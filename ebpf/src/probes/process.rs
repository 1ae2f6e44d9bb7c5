//! The life of processes: children inherit the selection, and discovery hears of new programs at once.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::btf_tracepoint, programs::BtfTracePointContext};
use aya_log_ebpf::debug;
use honeyguide_common::{
    Failure,
    record::{COMM, KIND_EXEC, KIND_EXIT, KIND_FORK, Process},
    verdict,
};

use crate::{
    blocked, emit, error,
    maps::{RUNTIMES, SELECTED},
    memory, offsets, select, settings, wakes,
};

/// match-proto: `void sched_process_fork(struct task_struct *parent, struct task_struct *child)`, Linux 4.18
#[btf_tracepoint(function = "sched_process_fork")]
pub fn sched_process_fork(ctx: BtfTracePointContext) -> i32 {
    let child: *const u8 = ctx.arg(1);
    let parent_pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let Some(child_pid) = memory::field::<u32>(child, &offsets::OFF_TASK_TGID) else { return 0 };
    // A thread belongs to its process already.
    if child_pid == parent_pid {
        wakes::made(child);
        return 0;
    }
    if parent_pid == settings::SELF_PID.load() {
        return 0;
    }
    if select::is_selected(parent_pid) {
        if SELECTED.insert(child_pid, verdict::SELECTED, 0).is_err() {
            error::count(Failure::SelectionFull);
        }
        // A copy of its parent, with everything at the same address.
        if let Some(runtime) = RUNTIMES.get_ptr(parent_pid) {
            // SAFETY: an element of the table; the agent writes it whole.
            let _ = RUNTIMES.insert(child_pid, unsafe { *runtime }, 0);
        }
        debug!(&ctx, "process {} is selected with its parent {}", child_pid, parent_pid);
    }
    emit_process(KIND_FORK, child_pid, parent_pid, child)
}

/// match-proto: `void sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`, Linux 4.18
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(ctx: BtfTracePointContext) -> i32 {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let _ = RUNTIMES.remove(pid);
    // A thread that was not its process's first one takes over its id.
    blocked::forget(ctx.arg::<u32>(1));
    emit_process(KIND_EXEC, pid, 0, ctx.arg(0))
}

/// match-proto: `void sched_process_exit(struct task_struct *p)`, Linux 4.18; later kernels add arguments
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit(ctx: BtfTracePointContext) -> i32 {
    let ids = bpf_get_current_pid_tgid();
    let (pid, tid) = ((ids >> 32) as u32, ids as u32);
    // The group's leader stands for the process; its other threads come and go.
    if pid != tid {
        return 0;
    }
    let _ = SELECTED.remove(pid);
    let _ = RUNTIMES.remove(pid);
    emit_process(KIND_EXIT, pid, 0, ctx.arg(0))
}

#[inline(always)]
fn emit_process(kind: u16, pid: u32, argument: u32, task: *const u8) -> i32 {
    let comm = memory::field::<[u8; COMM]>(task, &offsets::OFF_TASK_COMM).unwrap_or([0; COMM]);
    let record = Process { header: emit::header(kind, 0), pid, argument, comm };
    // A program may last only milliseconds, and its name and its file are read from /proc.
    if kind == KIND_EXEC {
        emit::urgent(&record, Failure::RingFullProcess);
    } else {
        emit::fixed(&record, Failure::RingFullProcess);
    }
    0
}
