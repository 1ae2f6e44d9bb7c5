//! From frame to frame of CPython, from the innermost on, in the process's own memory. Nothing moves meanwhile: the
//! thread is the current one.

use aya_ebpf::helpers::bpf_probe_read_user;
use honeyguide_common::{
    interpreter::{
        CODE, DIRECT, ENTRY, ENTRY_EVERY, ENTRY_FLAG, ENTRY_OWNER, INSTRUCTION_ADDRESS, INSTRUCTION_BYTES,
        MAX_INTERPRETED, OWNER_NATIVE, Python, UNIT_SHIFT, UNIT_UNKNOWN, Walked,
    },
    sample::MAX_FRAMES,
};

use super::{Walk, field, start};
use crate::{
    identity::{python_state, word},
    maps::INTERPRETERS,
    memory,
    repeat::Step,
};

/// A walk over CPython's frames. At its end it is noted how that was.
pub struct Interpreted {
    walk: *mut Walk,
    layout: *const Python,
}

/// One more finds that there is no room.
pub const MOST: u32 = MAX_INTERPRETED as u32 + 1;

impl Interpreted {
    /// Begins, or goes on.
    #[inline(always)]
    pub fn new(walk: *mut Walk) -> Result<Self, Walked> {
        let layout = INTERPRETERS.get_ptr(field!(walk.sample.pid)).ok_or(Walked::None)?;
        if field!(walk.within) == 0 {
            // SAFETY: an element of the table; the agent writes it whole.
            let frame = first(unsafe { &*layout })?;
            field!(walk.frame = frame);
            field!(walk.within = 1);
        }
        Ok(Self { walk, layout })
    }
}

impl Step for Interpreted {
    #[inline(always)]
    fn step(&self, _: u64) -> bool {
        // SAFETY: as above.
        let Some(how) = frame(self.walk, unsafe { &*self.layout }) else { return false };
        start::walked(self.walk, how);
        true
    }
}

/// The thread's current frame; 0 where it has none.
#[inline(always)]
fn first(layout: &Python) -> Result<u64, Walked> {
    let state = python_state(layout.key, layout.block).ok_or(Walked::NoThread)?;
    if state == 0 {
        return Err(Walked::NoThread);
    }
    let holder = word(state + u64::from(layout.state)).ok_or(Walked::Fault)?;
    if layout.through == DIRECT || holder == 0 {
        return Ok(holder);
    }
    let place = holder + u64::from(layout.through);
    let frame = word(place).ok_or(Walked::Fault)?;
    if frame == 0 || is_code(layout, word(frame + u64::from(layout.code)).unwrap_or(0)) {
        return Ok(frame);
    }
    // `_PyEval_EvalFrameDefault` makes its own `_PyCFrame` the thread's before it has a frame. Behind that place is
    // `struct _PyCFrame *previous`.
    let previous = word(place + 8).ok_or(Walked::Fault)?;
    word(previous + u64::from(layout.through)).ok_or(Walked::Fault)
}

#[inline(always)]
fn is_code(layout: &Python, object: u64) -> bool {
    // `PyObject { Py_ssize_t ob_refcnt; PyTypeObject *ob_type; }`
    word(object + 8) == Some(layout.code_type)
}

/// Notes the frame in hand, and takes its caller's.
#[inline(always)]
fn frame(walk: *mut Walk, layout: &Python) -> Option<Walked> {
    let frame = field!(walk.frame);
    if frame == 0 {
        return Some(Walked::Complete);
    }
    let count = field!(walk.interpreted);
    let before = field!(walk.kernel) + field!(walk.frames);
    if count >= MAX_INTERPRETED as u64 || before + count >= field!(walk.room) {
        return Some(Walked::TooDeep);
    }
    let mut owner = 0;
    if layout.entry != ENTRY_EVERY {
        // SAFETY: bpf_probe_read_user checks the address.
        match unsafe { bpf_probe_read_user((frame + u64::from(layout.owner)) as *const u8) } {
            Ok(byte) => owner = byte,
            Err(_) => return Some(Walked::Fault),
        }
    }
    let noted = if layout.entry == ENTRY_OWNER && owner >= OWNER_NATIVE {
        ENTRY
    } else {
        let Some(code) = word(frame + u64::from(layout.code)) else { return Some(Walked::Fault) };
        let code = code & CODE;
        if !is_code(layout, code) {
            return Some(Walked::NoCode);
        }
        let entry = layout.entry == ENTRY_EVERY || (layout.entry == ENTRY_FLAG && owner != 0);
        code | unit(layout, frame, code) << UNIT_SHIFT | if entry { ENTRY } else { 0 }
    };
    let at = memory::below::<MAX_FRAMES>((before + count) as u32) as usize;
    // SAFETY: the index is below MAX_FRAMES.
    unsafe { (&raw mut (*walk).words).cast::<u64>().add(at).write(noted) };
    field!(walk.interpreted = count + 1);
    match word(frame + u64::from(layout.previous)) {
        Some(previous) => field!(walk.frame = previous),
        None => return Some(Walked::Fault),
    }
    None
}

/// Which of the code's instructions is running, in units of two bytes.
#[inline(always)]
fn unit(layout: &Python, frame: u64, code: u64) -> u64 {
    let Some(value) = word(frame + u64::from(layout.instruction)) else { return UNIT_UNKNOWN };
    let unit = if layout.instructions == INSTRUCTION_ADDRESS {
        value.wrapping_sub(code + u64::from(layout.first)) >> 1
    } else if layout.instructions == INSTRUCTION_BYTES {
        (value & 0xffff_ffff) >> 1
    } else {
        value & 0xffff_ffff
    };
    // Before its first instruction a frame is at -1.
    if unit < UNIT_UNKNOWN { unit } else { UNIT_UNKNOWN }
}
