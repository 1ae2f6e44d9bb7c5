//! JavaScript's frames among the native ones that were walked: V8's machine code and its interpreter keep frame
//! pointers, and what function a frame belongs to lies at a fixed distance from its own.
//!
//! V8, src/execution/frame-constants.h: below the frame pointer is the context, and below it the function. Frames of
//! another kind have a number for it where the context would be: its lowest bit is 0, that of a pointer to an object is 1.

use honeyguide_common::{
    interpreter::{CODE, UNIT_SHIFT, V8, Walked},
    sample::{MAX_FRAMES, MAX_USER_FRAMES},
};

use super::{Walk, field};
use crate::{identity::word, maps::SCRIPTS, memory};

/// What the lowest bits of a pointer to an object are (`kHeapObjectTagMask`, `kHeapObjectTag`).
const TAGS: u64 = 3;
const OBJECT: u64 = 1;

/// Looks at up to `N` native frames; `None` where there are more.
#[inline(always)]
pub fn frames<const N: usize>(walk: *mut Walk) -> Option<Walked> {
    let Some(layout) = SCRIPTS.get_ptr(field!(walk.sample.pid)) else { return Some(Walked::None) };
    // SAFETY: an element of the table; the agent writes it whole.
    let layout = unsafe { &*layout };
    for _ in 0..N {
        let index = field!(walk.within);
        if index >= field!(walk.frames) {
            return Some(Walked::Complete);
        }
        field!(walk.within = index + 1);
        let at = memory::below::<MAX_USER_FRAMES>(index as u32) as usize;
        // SAFETY: the index is below MAX_USER_FRAMES.
        let base = unsafe { (&raw const (*walk).bases).cast::<u64>().add(at).read() };
        if base != 0
            && let Some(shared) = function(layout, base)
        {
            note(walk, shared & CODE | index << UNIT_SHIFT);
        }
    }
    None
}

/// The `SharedFunctionInfo` of a frame's function. It is taken here, since it stays where it is for long, and the function
/// may be moved before the agent has seen the sample.
#[inline(always)]
fn function(layout: &V8, base: u64) -> Option<u64> {
    let object = |address: u64, offset: i32| {
        word(address.wrapping_add(i64::from(offset) as u64)).filter(|object| object & TAGS == OBJECT)
    };
    object(base, layout.context)?;
    let function = object(base, layout.function)?;
    object(function - OBJECT, layout.shared)
}

#[inline(always)]
fn note(walk: *mut Walk, word: u64) {
    let count = field!(walk.interpreted);
    let at = (field!(walk.kernel) + field!(walk.frames) + count) as u32;
    let at = memory::below::<MAX_FRAMES>(at) as usize;
    // SAFETY: the index is below MAX_FRAMES.
    unsafe { (&raw mut (*walk).words).cast::<u64>().add(at).write(word) };
    field!(walk.interpreted = count + 1);
}
