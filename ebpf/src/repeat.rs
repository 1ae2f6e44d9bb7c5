//! Loops whose rounds the verifier need not tell apart: what they have in hand lies in memory.

use aya_ebpf::{cty::c_void, helpers::generated::bpf_loop};

use crate::settings;

/// What is done again and again. Its pointers are to memory of maps or of the ring.
pub trait Step {
    /// The round of this number, from 0. True when there is no more to do.
    fn step(&self, round: u64) -> bool;
}

/// What the callback is given, on the caller's stack.
#[repr(C)]
struct Repeated<S> {
    step: S,
    done: u64,
}

/// Does `step` until there is no more to do: up to `most` times, or `N` times where the kernel has no `bpf_loop`. True when
/// there is no more.
///
/// To the verifier a loop of its own is one round, and any other is all its rounds.
#[inline(always)]
pub fn repeat<const N: usize, S: Step>(step: S, most: u32) -> bool {
    if settings::LOOPS.load() == 0 {
        for round in 0..N {
            if step.step(round as u64) {
                return true;
            }
        }
        return false;
    }
    let mut state = Repeated { step, done: 0 };
    let callback = round::<S> as extern "C" fn(u64, *mut Repeated<S>) -> u64;
    // SAFETY: the callback takes what it is given, which lives until the helper returns.
    unsafe { bpf_loop(most, callback as *mut c_void, (&raw mut state).cast(), 0) };
    state.done != 0
}

extern "C" fn round<S: Step>(number: u64, state: *mut Repeated<S>) -> u64 {
    // SAFETY: as handed over by `repeat`.
    unsafe {
        (*state).done = u64::from((*state).step.step(number));
        (*state).done
    }
}
