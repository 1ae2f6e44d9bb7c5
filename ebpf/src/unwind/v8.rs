//! JavaScript's frames among the native ones that were walked: V8's machine code and its interpreter keep frame
//! pointers, and what function a frame belongs to lies at a fixed distance from its own.
//!
//! V8, src/execution/frame-constants.h: below the frame pointer is the context, and below it the function. Frames of
//! another kind have a number for it where the context would be: its lowest bit is 0, that of a pointer to an object is 1.

use honeyguide_common::{
    interpreter::{CODE, UNIT_SHIFT, V8, Walked},
    sample::{MAX_FRAMES, MAX_USER_FRAMES},
    unwind::X86_RSP,
};

use super::{BASE_NOT_YET, Walk, field, start};
use crate::{identity::word, maps::SCRIPTS, memory, repeat::Step};

/// What the lowest bits of a pointer to an object are (`kHeapObjectTagMask`, `kHeapObjectTag`).
const TAGS: u64 = 3;
const OBJECT: u64 = 1;
/// rdi, as DWARF numbers it: the function that is called (`kJSFunctionRegister`).
const FUNCTION: u8 = 5;

/// A walk over the native frames that were found. At its end it is noted how that was.
pub struct Scripts {
    walk: *mut Walk,
    layout: *const V8,
}

/// One more finds that there are no more.
pub const MOST: u32 = MAX_USER_FRAMES as u32 + 1;

impl Scripts {
    /// Begins, or goes on.
    #[inline(always)]
    pub fn new(walk: *mut Walk) -> Result<Self, Walked> {
        let layout = SCRIPTS.get_ptr(field!(walk.sample.pid)).ok_or(Walked::None)?;
        Ok(Self { walk, layout })
    }
}

impl Step for Scripts {
    #[inline(always)]
    fn step(&self, _: u64) -> bool {
        // SAFETY: an element of the table; the agent writes it whole.
        let Some(how) = look(self.walk, unsafe { &*self.layout }) else { return false };
        start::walked(self.walk, how);
        true
    }
}

/// Looks at the next native frame.
#[inline(always)]
fn look(walk: *mut Walk, layout: &V8) -> Option<Walked> {
    let index = field!(walk.within);
    if index >= field!(walk.frames) {
        return Some(Walked::Complete);
    }
    field!(walk.within = index + 1);
    let at = memory::below::<MAX_USER_FRAMES>(index as u32) as usize;
    // SAFETY: the index is below MAX_USER_FRAMES.
    let base = unsafe { (&raw const (*walk).bases).cast::<u64>().add(at).read() };
    if base != 0
        && let Some(shared) = function(walk, layout, base, index)
        && !note(walk, shared & CODE | index << UNIT_SHIFT)
    {
        return Some(Walked::TooDeep);
    }
    None
}

/// The `SharedFunctionInfo` of a frame's function. It is taken here, since it stays where it is for long, and the function
/// may be moved before the agent has seen the sample.
#[inline(always)]
fn function(walk: *mut Walk, layout: &V8, base: u64, index: u64) -> Option<u64> {
    let object = |address: u64, offset: i32| {
        word(address.wrapping_add(i64::from(offset) as u64)).filter(|object| object & TAGS == OBJECT)
    };
    let place = base.wrapping_add(i64::from(layout.function) as u64);
    let is_made = index != 0 || (base != BASE_NOT_YET && place >= register(walk, X86_RSP));
    let function = if is_made {
        object(base, layout.context)?;
        object(base, layout.function)?
    } else {
        let function = register(walk, FUNCTION);
        if function & TAGS != OBJECT {
            return None;
        }
        function
    };
    object(function - OBJECT, layout.shared)
}

/// Of the innermost frame.
#[inline(always)]
fn register(walk: *mut Walk, number: u8) -> u64 {
    // SAFETY: the number is one of theirs.
    unsafe { (&raw const (*walk).registers).cast::<u64>().add(number as usize).read() }
}

/// False where there is no room.
#[inline(always)]
fn note(walk: *mut Walk, word: u64) -> bool {
    let count = field!(walk.interpreted);
    let at = field!(walk.kernel) + field!(walk.frames) + count;
    if at >= field!(walk.room) {
        return false;
    }
    let at = memory::below::<MAX_FRAMES>(at as u32) as usize;
    // SAFETY: the index is below MAX_FRAMES.
    unsafe { (&raw mut (*walk).words).cast::<u64>().add(at).write(word) };
    field!(walk.interpreted = count + 1);
    true
}
