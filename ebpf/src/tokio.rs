//! tokio: which task a thread runs, and which tasks it makes and wakes.
//!
//! A client's connection is a task of its own in hyper and in many drivers: it writes what others have handed to it,
//! and whoever does that wakes it.

use aya_ebpf::helpers::bpf_probe_read_user;
use honeyguide_common::identity::{Runtime, TOKIO};

use crate::identity::{relate, runtime_of_caller, thread_pointer, word};

/// `Header { state, queue_next, vtable, … }`, `#[repr(C)]` since tokio 1.0.
const VTABLE: u64 = 16;
/// `Vtable`: seven functions, then the offsets of the trailer, of the scheduler, and of the task's id (tokio 1.18,
/// 1.21, 1.24). A compiler puts what is never null first and leaves the rest in its order.
const OFFSETS: u64 = 7 * 8;
/// A future may be large, but its id is in front of it.
const FURTHEST: u64 = 4_096;

/// The id of the task that the current thread polls; `None` where it polls none.
#[inline(always)]
pub fn current(runtime: &Runtime) -> Option<u64> {
    word(thread_pointer()?.wrapping_add(runtime.start)).filter(|id| *id != 0)
}

/// The current task makes or wakes the one whose header is at `header`. `relation`: one of `TASK_*`.
#[inline(always)]
pub fn concerns(header: u64, relation: u8) {
    let Some((caller, runtime)) = runtime_of_caller(TOKIO) else { return };
    // Timers and the operating system's events wake from outside of any task: they say nothing.
    let Some(parent) = current(runtime) else { return };
    let Some(child) = id(header) else { return };
    relate(&caller, TOKIO, child, parent, relation);
}

/// What lies there is what it should be, or there is no id: `Cell { header, Core { scheduler, task_id, stage }, Trailer }`.
#[inline(always)]
fn id(header: u64) -> Option<u64> {
    let table = word(header + VTABLE)?;
    // SAFETY: bpf_probe_read_user checks the address.
    let [trailer, scheduler, id] =
        unsafe { bpf_probe_read_user((table + OFFSETS) as *const [u64; 3]) }.ok()?;
    if scheduler > id || id >= trailer || id > FURTHEST {
        return None;
    }
    word(header + id).filter(|id| *id != 0)
}
