//! Threads that block: where, since when, and until when.

use aya_ebpf::{
    bindings::{BPF_RB_NO_WAKEUP, task_struct},
    helpers::{
        bpf_ktime_get_ns,
        generated::{bpf_get_task_stack, bpf_probe_read_kernel, bpf_ringbuf_output},
    },
};
use honeyguide_common::{
    Failure,
    sample::{Blocked, FLAG_OFF_CPU, MAX_KERNEL_FRAMES, Sample},
};

use crate::{
    error,
    maps::{BLOCKED, NOT_BLOCKED, SAMPLES, WALK_OFF_CPU, WALKS},
    memory, settings,
    unwind::{self, Walk, field},
};

/// The current thread leaves its CPU, which had turned to it at `begun`, to wait for something. False where there is no
/// room to keep it.
#[inline(always)]
pub fn leave(tid: u32, begun: u64) -> bool {
    let Some(thread) = find(tid).or_else(|| add(tid)) else { return false };
    missed(thread, begun);
    // Whoever wakes it may do so from now on, while its stack is walked.
    // SAFETY: an element of the table; one that is removed meanwhile leaves memory that is still an element's.
    unsafe {
        (&raw mut (*thread).woken).write_volatile(0);
        (&raw mut (*thread).since).write_volatile(bpf_ktime_get_ns());
    }
    true
}

/// It has gone on without being seen to, at `begun`: what it waited for is told now, without the kernel's part of its stack.
#[inline(always)]
fn missed(thread: *mut Blocked, begun: u64) {
    // SAFETY: as in `leave`.
    let (since, woken) = unsafe { ((*thread).since, (*thread).woken) };
    if since == 0 {
        return;
    }
    let end = if woken == 0 { begun } else { woken };
    // It ran on another CPU in between.
    if end < since {
        error::count(Failure::WaitUnended);
        return;
    }
    let spent = end - since;
    if spent < settings::OFF_CPU_LEAST.load() {
        return;
    }
    // SAFETY: as in `leave`; the sample and the words behind it are one piece of memory of more than that size.
    let failed = unsafe {
        let sample = &raw mut (*thread).sample;
        (*sample).header.time = end;
        (*sample).header.flags |= FLAG_OFF_CPU;
        (*sample).weight = spent;
        let words = memory::below::<{ Blocked::ROOM }>((*sample).header.captured / 8);
        let size = size_of::<Sample>() as u64 + u64::from(words) * 8;
        let ring = (&raw const SAMPLES).cast_mut().cast();
        bpf_ringbuf_output(ring, sample.cast(), size, u64::from(BPF_RB_NO_WAKEUP))
    };
    if failed != 0 {
        error::count(Failure::RingFullSample);
    }
}

#[inline(always)]
fn add(tid: u32) -> Option<*mut Blocked> {
    let nothing = NOT_BLOCKED.get_ptr(0)?;
    // SAFETY: the table's only element, which nobody writes.
    if BLOCKED.insert(tid, unsafe { &*nothing }, 0).is_err() {
        error::count(Failure::BlockedFull);
    }
    find(tid)
}

/// Keeps the user's part of its stack until it goes on.
#[inline(always)]
pub fn keep(walk: *mut Walk) {
    let words = memory::below::<{ Blocked::ROOM }>(unwind::end(walk));
    field!(walk.sample.header.captured = words * 8);
    let Some(thread) = find(field!(walk.sample.tid)) else { return };
    let size = size_of::<Sample>() as u32 + words * 8;
    // SAFETY: both are a sample and words behind it, one piece of memory of more than that size each.
    unsafe {
        bpf_probe_read_kernel((&raw mut (*thread).sample).cast(), size, (&raw const (*walk).sample).cast());
    }
}

/// What it waited for has come. From now on it waits for a CPU, which is not counted.
#[inline(always)]
pub fn wake(tid: u32) {
    let Some(thread) = find(tid) else { return };
    // SAFETY: as in `leave`.
    unsafe {
        if (*thread).since != 0 && (*thread).woken == 0 {
            (*thread).woken = bpf_ktime_get_ns();
        }
    }
}

/// It goes on: what it waited for is told if that took long enough. `task`: a typed pointer to it.
#[inline(always)]
pub fn resume(tid: u32, task: *mut task_struct) {
    let Some(thread) = find(tid) else { return };
    // SAFETY: as in `leave`.
    let (since, woken) = unsafe { ((*thread).since, (*thread).woken) };
    if since == 0 {
        return;
    }
    // One that was woken on its way off the CPU has not been seen to be.
    let end = if woken != 0 {
        woken
    } else {
        // SAFETY: no arguments.
        unsafe { bpf_ktime_get_ns() }
    };
    let spent = end.saturating_sub(since);
    // SAFETY: as in `leave`.
    unsafe { (*thread).since = 0 };
    if spent < settings::OFF_CPU_LEAST.load() {
        return;
    }
    let Some(walk) = WALKS.get_ptr_mut(WALK_OFF_CPU) else { return };
    // SAFETY: as in `leave`.
    unsafe {
        let sample = &raw mut (*walk).sample;
        *sample = (*thread).sample;
        (*sample).header.time = end;
        (*sample).header.flags |= FLAG_OFF_CPU;
        (*sample).weight = spent;
    }
    send(walk, thread, task);
}

/// The kernel's part of its stack is as it left it, and is walked only now.
#[inline(always)]
fn send(walk: *mut Walk, thread: *const Blocked, task: *mut task_struct) {
    const SIZE: u32 = (MAX_KERNEL_FRAMES * 8) as u32;
    // SAFETY: `words` has room for so many; `task` is typed.
    let bytes = unsafe { bpf_get_task_stack(task, (&raw mut (*walk).words).cast(), SIZE, 0) };
    let kernel = if bytes > 0 { (bytes as u32) / 8 } else { 0 };
    field!(walk.sample.kernel_frames = kernel as u8);
    let kernel = memory::below::<{ MAX_KERNEL_FRAMES + 1 }>(kernel);
    let words = memory::below::<{ Blocked::ROOM }>(field!(walk.sample.header.captured) / 8);
    field!(walk.sample.header.captured = (kernel + words) * 8);
    let size = size_of::<Sample>() as u64 + u64::from(kernel + words) * 8;
    // SAFETY: there is more room for both than their bounds add up to, and the sample and the words behind it are one
    // piece of memory. Nobody is woken: where the scheduler holds its lock nobody could be.
    let failed = unsafe {
        let behind = (&raw mut (*walk).words).cast::<u64>().add(kernel as usize);
        bpf_probe_read_kernel(behind.cast(), words * 8, (&raw const (*thread).words).cast());
        let ring = (&raw const SAMPLES).cast_mut().cast();
        bpf_ringbuf_output(ring, (&raw mut (*walk).sample).cast(), size, u64::from(BPF_RB_NO_WAKEUP))
    };
    if failed != 0 {
        error::count(Failure::RingFullSample);
    }
}

/// It has ended.
#[inline(always)]
pub fn forget(tid: u32) {
    let _ = BLOCKED.remove(tid);
}

#[inline(always)]
fn find(tid: u32) -> Option<*mut Blocked> {
    // Thread 0 is each CPU's idle task.
    if tid == 0 { None } else { BLOCKED.get_ptr_mut(tid) }
}
