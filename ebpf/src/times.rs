//! What a thread does with its time: on a CPU, waiting for one, blocked and why. Exact, from the scheduler.

use aya_ebpf::helpers::{bpf_get_current_task_btf, bpf_ktime_get_ns};
use honeyguide_common::{
    Failure,
    record::{Header, KIND_TIMES, Times, WAIT_DISK, WAIT_LOCK, WAIT_NETWORK, WAIT_OTHER, WAIT_SLEEP, WAITS},
};

use crate::{
    emit,
    maps::{THREADS, ThreadTimes, UNUSED},
    memory, offsets, switches,
};

pub const ON_CPU: u64 = 0;
pub const RUNNABLE: u64 = 1;
const BLOCKED: u64 = 2;

/// Emits the current thread's times as of `now`; its first operation begins the account. Two subprograms and a
/// record that is written in place: each has little room on the stack.
#[inline(always)]
pub fn tell(tid: u32, now: u64) {
    if find(tid).is_none() {
        begin(tid, now);
    }
    report(tid, now);
}

#[inline(never)]
fn begin(tid: u32, now: u64) -> u32 {
    let Some(unused) = UNUSED.get_ptr(0) else { return 0 };
    // SAFETY: the table's only element, which nobody writes.
    let _ = THREADS.insert(tid, unsafe { &*unused }, 0);
    if let Some(thread) = find(tid) {
        // SAFETY: as in `report`.
        unsafe { (*thread).since = now };
    }
    0
}

#[inline(never)]
fn report(tid: u32, now: u64) -> u32 {
    let Some(thread) = find(tid) else { return 0 };
    present(thread);
    account(thread, now);
    let header = Header { kind: KIND_TIMES, flags: 0, captured: 0, time: now };
    emit::in_place(Failure::RingFullTimes, |slot: *mut Times| {
        // SAFETY: the slot has room for it; `thread` is an element of the table, and one that is evicted meanwhile
        // leaves memory that is still an element's.
        unsafe {
            (*slot).header = header;
            (*slot).tid = tid;
            (*slot).padding = 0;
            (*slot).on_cpu = (*thread).on_cpu;
            (*slot).run_queue = (*thread).run_queue;
            (*slot).blocked = *(&raw const (*thread).blocked).cast::<[u64; WAITS]>();
        }
    });
    0
}

#[inline(always)]
pub fn find(tid: u32) -> Option<*mut ThreadTimes> {
    // Thread 0 is each CPU's idle task.
    if tid == 0 { None } else { THREADS.get_ptr_mut(tid) }
}

/// The current thread runs, whatever is known of it: where the switch to it was not told, since its CPU last turned to
/// another.
#[inline(always)]
pub fn present(thread: *mut ThreadTimes) {
    // SAFETY: as in `report`.
    unsafe {
        if (*thread).state != ON_CPU {
            let last = switches::last(switches::TIMES);
            // Else it was woken since then, or has come from another CPU: the scheduler's own account says when it was picked.
            account(thread, if last > (*thread).since { last } else { picked() });
            (*thread).state = ON_CPU;
        }
    }
}

/// When the current thread was picked to run. The scheduler's account is exact when it is switched away from, and a tick old
/// at most before: by so much this is late then.
#[inline(always)]
fn picked() -> u64 {
    // SAFETY: neither has arguments.
    let (task, now) = unsafe { (bpf_get_current_task_btf() as *const u8, bpf_ktime_get_ns()) };
    let total = memory::field::<u64>(task, &offsets::OFF_TASK_RAN).unwrap_or(0);
    let before = memory::field::<u64>(task, &offsets::OFF_TASK_RAN_BEFORE).unwrap_or(0);
    now.saturating_sub(total.saturating_sub(before))
}

/// The thread is in another state from now on.
#[inline(always)]
pub fn enter(thread: *mut ThreadTimes, state: u64) {
    // SAFETY: no arguments.
    account(thread, unsafe { bpf_ktime_get_ns() });
    // SAFETY: as in `report`. The scheduler moves one thread on one CPU at a time.
    unsafe { (*thread).state = state };
}

/// It is woken: what it waited for has come, and what it waits for now is a CPU. One that is not asleep stays as it is.
#[inline(always)]
pub fn wake(thread: *mut ThreadTimes) {
    // SAFETY: as in `report`.
    if unsafe { (*thread).state } >= BLOCKED {
        enter(thread, RUNNABLE);
    }
}

/// The state of a thread that blocks in this system call.
#[inline(always)]
pub fn blocked_in(call: u64) -> u64 {
    BLOCKED + wait(call) as u64
}

/// Adds the time since the last change to the state it was spent in.
#[inline(always)]
fn account(thread: *mut ThreadTimes, now: u64) {
    // SAFETY: as in `report`.
    unsafe {
        let since = (*thread).since;
        // The time was taken before the thread was preempted: what came after it has its account.
        if now <= since {
            return;
        }
        (*thread).since = now;
        let spent = now - since;
        let state = (*thread).state;
        if state == ON_CPU {
            (*thread).on_cpu += spent;
        } else if state == RUNNABLE {
            (*thread).run_queue += spent;
        } else {
            // The verifier has to see the bound.
            let kind = memory::below::<{ ThreadTimes::ROOM }>((state - BLOCKED) as u32) as usize;
            *(&raw mut (*thread).blocked).cast::<u64>().add(kind) += spent;
        }
    }
}

/// x86_64's numbers (arch/x86/entry/syscalls/syscall_64.tbl). A read or write may be of a socket, a pipe or a file;
/// it is `other`, as a pipe's is: sockets that are waited for are, as a rule, polled or received from.
#[inline(always)]
fn wait(call: u64) -> usize {
    match call {
        // poll, select, accept, connect, sendto, recvfrom, sendmsg, recvmsg, epoll_wait, pselect6, ppoll, epoll_pwait,
        // accept4, recvmmsg, sendmmsg, epoll_pwait2
        7 | 23 | 42..=47 | 232 | 270 | 271 | 281 | 288 | 299 | 307 | 441 => WAIT_NETWORK,
        // open, pread64, pwrite64, msync, fsync, fdatasync, openat, preadv, pwritev, syncfs, sync_file_range
        2 | 17 | 18 | 26 | 74 | 75 | 257 | 277 | 295 | 296 | 306 | 327 | 328 => WAIT_DISK,
        // futex, futex_waitv, futex_wait
        202 | 449 | 455 => WAIT_LOCK,
        // nanosleep, clock_nanosleep
        35 | 230 => WAIT_SLEEP,
        _ => WAIT_OTHER,
    }
}
