//! The gate before any copy: is this process, or this connection, selected?

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_task_btf};

use crate::{
    maps::{PORTS, SELECTED},
    memory, offsets, settings,
};

/// Kernel threads, io_uring workers and vhost workers: their saved registers are nobody's system call.
const NOT_A_USER_CALL: u32 = 0x0020_0000 | 0x10 | 0x4000;

/// Who is calling, and why we listen.
#[derive(Clone, Copy)]
pub struct Caller {
    pub pid: u32,
    pub tid: u32,
    pub by_pid: bool,
}

/// The current task, if it could be selected at all.
#[inline(always)]
pub fn caller() -> Option<Caller> {
    let ids = bpf_get_current_pid_tgid();
    let (pid, tid) = ((ids >> 32) as u32, ids as u32);
    if pid == settings::SELF_PID.load() {
        return None;
    }
    let by_pid = settings::SELECT_ALL.load() != 0 || is_selected(pid);
    (by_pid || settings::SELECT_PORTS.load() != 0).then_some(Caller { pid, tid, by_pid })
}

/// Whether stacks of this process are taken.
#[inline(always)]
pub fn is_profiled(pid: u32) -> bool {
    pid != settings::SELF_PID.load() && (settings::SELECT_ALL.load() != 0 || is_selected(pid))
}

#[inline(always)]
pub fn is_selected(pid: u32) -> bool {
    SELECTED.get_ptr(pid).is_some()
}

#[inline(always)]
pub fn is_port_selected(port: u16) -> bool {
    PORTS.get_ptr(port).is_some()
}

/// Whether the current task's registers hold a user's system call.
#[inline(always)]
pub fn has_user_call() -> bool {
    // SAFETY: no arguments; the current task outlives the program, and `flags` is a 32-bit field of it.
    let flags = unsafe { memory::typed_word(bpf_get_current_task_btf().cast(), &offsets::OFF_TASK_FLAGS) };
    flags & NOT_A_USER_CALL == 0
}
