//! Who hands work to whom: a thread that waits for some is woken by the one that has it, or made by it.
//!
//! Most of what the scheduler tells is something else: the network, timers and other processes wake threads as well, in
//! whatever thread's time. So both must be in `futex(2)`, at the same address. Whoever waits for a lock of the C library's
//! asks for a plain wait, whoever waits for work (a condition, a semaphore) for one with a mask: the former is passed over.
//! So is an interpreter's lock, which threads take in turns: several wait for it, none for long.

use aya_ebpf::{
    bindings::{pt_regs, task_struct},
    helpers::{bpf_get_current_task_btf, bpf_task_pt_regs},
};
use honeyguide_common::{
    Failure,
    record::{KIND_WAKE, WAKE_MADE, Wake},
};

use crate::{call::USER_CS, emit, maps::TURNS, memory, offsets, select, settings};

/// arch/x86/entry/syscalls/syscall_64.tbl
const FUTEX: u64 = 202;
/// include/uapi/linux/futex.h
const COMMAND: u64 = 0x7f;
const WAIT_BITSET: u64 = 9;
/// In `TURNS`: more than one thread. Thread 0 is each CPU's idle task.
pub const SEVERAL: u32 = 0;

/// `task` is about to be woken.
#[inline(always)]
pub fn waking(task: *const u8) {
    let Some(caller) = select::caller() else { return };
    // SAFETY: the tracepoint's argument, and the field has 32 bits.
    let pid = unsafe { memory::typed_word(task, &offsets::OFF_TASK_TGID) };
    if pid != caller.pid || !caller.by_pid || !select::has_user_call() {
        return;
    }
    // SAFETY: no arguments; a typed pointer.
    let waker = registers(unsafe { bpf_get_current_task_btf() }.cast());
    let sleeper = registers(task);
    // SAFETY: typed pointers the verifier knows; each load is checked against `struct pt_regs`.
    let (calls, segments, addresses, command, timeout) = unsafe {
        (
            ((*waker).orig_rax, (*sleeper).orig_rax),
            ((*waker).cs, (*sleeper).cs),
            ((*waker).rdi, (*sleeper).rdi),
            (*sleeper).rsi & COMMAND,
            (*sleeper).r10,
        )
    };
    if calls != (FUTEX, FUTEX)
        || segments != (USER_CS, USER_CS)
        || addresses.0 != addresses.1
        || command != WAIT_BITSET
    {
        return;
    }
    // SAFETY: the tracepoint's argument, and the field has 32 bits.
    let tid = unsafe { memory::typed_word(task, &offsets::OFF_TASK_PID) };
    if timeout == 0 || !is_turn(pid, tid, addresses.0) {
        tell(&caller, tid, 0);
    }
}

/// The current task has made a thread.
#[inline(always)]
pub fn made(task: *const u8) {
    if settings::TRACE_WAKES.load() == 0 {
        return;
    }
    if let Some(caller) = select::caller()
        && caller.by_pid
    {
        // SAFETY: the tracepoint's argument, and the field has 32 bits.
        tell(&caller, unsafe { memory::typed_word(task, &offsets::OFF_TASK_PID) }, WAKE_MADE);
    }
}

/// Thread `tid` would have waited for a certain time only: whether others do so at the same futex.
#[inline(always)]
fn is_turn(pid: u32, tid: u32, address: u64) -> bool {
    let key = [u64::from(pid), address];
    // SAFETY: an element of the table, which lives as long as the program.
    let before = TURNS.get_ptr(key).map(|waiter| unsafe { *waiter });
    match before {
        Some(waiter) if waiter == tid => false,
        Some(SEVERAL) => true,
        Some(_) => {
            let _ = TURNS.insert(key, SEVERAL, 0);
            true
        }
        None => {
            let _ = TURNS.insert(key, tid, 0);
            false
        }
    }
}

#[inline(always)]
fn tell(caller: &select::Caller, woken: u32, flags: u16) {
    let (pid, tid) = (caller.pid, caller.tid);
    let record = Wake { header: emit::header(KIND_WAKE, flags), pid, tid, woken, padding: 0 };
    emit::fixed(&record, Failure::RingFullWake);
}

/// What a task had in its registers as it called the kernel.
#[inline(always)]
fn registers(task: *const u8) -> *const pt_regs {
    // SAFETY: the helper takes a task, which outlives the program, and returns where its user registers are saved.
    unsafe { bpf_task_pt_regs(task.cast_mut().cast::<task_struct>()) as *const pt_regs }
}
