//! When each CPU has last turned to another thread. Not every switch is told: the kernel may keep a process from being
//! traced (a virtual machine's first one, seen of `perf record -e sched:sched_switch` as well), and then neither the switch
//! from its threads is told, nor whom an interrupt wakes meanwhile. The thread after it runs since that process's turn at
//! the earliest, which was told.

use aya_ebpf::helpers::bpf_ktime_get_ns;

use crate::maps::SWITCHED;

/// Who asks: each hears of a switch on its own.
pub const TIMES: u32 = 0;
pub const WAITS: u32 = 1;

/// This CPU turns to another thread. Returns when it last did.
#[inline(always)]
pub fn turn(who: u32) -> u64 {
    let Some(last) = SWITCHED.get_ptr_mut(who) else { return 0 };
    // SAFETY: an element of a per-CPU table, which only this program writes, on its own CPU; no arguments.
    unsafe { last.replace(bpf_ktime_get_ns()) }
}

#[inline(always)]
pub fn last(who: u32) -> u64 {
    // SAFETY: as above.
    SWITCHED.get_ptr(who).map_or(0, |last| unsafe { *last })
}
