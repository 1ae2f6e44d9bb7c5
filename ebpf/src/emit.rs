//! Records into the ring: reserved in place by size class, filled, submitted without waking the reader
//! unless it falls behind. A wake-up from the traced thread costs more than all the rest.

use core::ptr;

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    cty::c_void,
    helpers::{
        bpf_ktime_get_ns, bpf_ringbuf_query, bpf_ringbuf_reserve, bpf_ringbuf_submit,
        generated::bpf_probe_read_user,
    },
};
use honeyguide_common::{
    Failure,
    record::{self, CLASSES, Data, Header, MAX_VECTORS},
};

use crate::{
    call::IoVec,
    error,
    identity::Identity,
    maps::{EVENTS, RING_FILL},
    memory,
    repeat::{Step, repeat},
    settings,
};

/// One stretch of one socket operation, with the user memory it lies in.
#[derive(Clone, Copy)]
pub struct Piece {
    pub time: u64,
    pub socket: u64,
    pub offset: u64,
    pub who: Identity,
    pub address: u64,
    pub pid: u32,
    pub tid: u32,
    pub length: u32,
    /// How many of its first bytes to copy; at most `record::MAX_CAPTURE`.
    pub capture: u32,
    pub result: i32,
    pub flags: u16,
    pub direction: u8,
    pub origin: u8,
}

/// Emits a data record. A subprogram of its own: called from a loop, verified once.
#[inline(never)]
pub fn data(piece: &Piece) -> u32 {
    let capture = piece.capture;
    if capture == 0 {
        place::<{ CLASSES[0] }>(piece)
    } else if capture as usize <= CLASSES[1] {
        place::<{ CLASSES[1] }>(piece)
    } else if capture as usize <= CLASSES[2] {
        place::<{ CLASSES[2] }>(piece)
    } else if capture as usize <= CLASSES[3] {
        place::<{ CLASSES[3] }>(piece)
    } else {
        place::<{ CLASSES[4] }>(piece)
    }
    0
}

/// Emits a data record of an operation that moved several vectors; `piece.address` is their array.
#[inline(never)]
pub fn gathered(piece: &Piece, count: u64) -> u32 {
    let capture = piece.capture as usize;
    if capture <= CLASSES[1] {
        gather::<{ CLASSES[1] }>(piece, count)
    } else if capture <= CLASSES[2] {
        gather::<{ CLASSES[2] }>(piece, count)
    } else if capture <= CLASSES[3] {
        gather::<{ CLASSES[3] }>(piece, count)
    } else {
        gather::<{ CLASSES[4] }>(piece, count)
    }
    0
}

/// Emits a record of fixed layout; false if the ring is full.
#[inline(always)]
pub fn fixed<T: Copy>(record: &T, failure: Failure) -> bool {
    place_fixed(record, failure, false)
}

/// The same for a record that `write` makes in the ring itself, all of it.
#[inline(always)]
pub fn in_place<T: Copy>(failure: Failure, write: impl FnOnce(*mut T)) -> bool {
    let Some(slot) = reserve(size_of::<T>()) else {
        error::count(failure);
        return false;
    };
    write(slot.cast());
    submit(slot, false);
    true
}

/// The same, and wakes the reader: for what is rare and should be looked at while it lasts.
#[inline(always)]
pub fn urgent<T: Copy>(record: &T, failure: Failure) -> bool {
    place_fixed(record, failure, true)
}

#[inline(always)]
fn place_fixed<T: Copy>(record: &T, failure: Failure, wake: bool) -> bool {
    let Some(slot) = reserve(size_of::<T>()) else {
        error::count(failure);
        return false;
    };
    // SAFETY: the slot has room for a `T`, and the ring aligns to 8.
    unsafe { ptr::write(slot.cast::<T>(), *record) };
    submit(slot, wake);
    true
}

#[inline(always)]
pub fn header(kind: u16, flags: u16) -> Header {
    // SAFETY: no arguments.
    Header { kind, flags, captured: 0, time: unsafe { bpf_ktime_get_ns() } }
}

#[inline(always)]
fn place<const N: usize>(piece: &Piece) {
    let Some(slot) = reserve(size_of::<Data>() + N) else {
        error::count(Failure::RingFullData);
        return;
    };
    let mut captured = piece.capture;
    if captured as usize > N {
        captured = N as u32;
    }
    let mut flags = piece.flags;
    if N != 0 {
        // SAFETY: the slot has N bytes after the fixed part; the helper checks the user's address.
        let read = unsafe {
            bpf_probe_read_user(
                slot.add(size_of::<Data>()).cast::<c_void>(),
                captured,
                piece.address as *const c_void,
            )
        };
        if read != 0 {
            error::count(Failure::UserFault);
            captured = 0;
            flags |= record::FLAG_FAULT;
        }
    }
    let data = slot.cast::<Data>();
    // SAFETY: the slot has room for a `Data`.
    unsafe { write_data(data, piece, captured, flags) };
    let cut = piece.length > piece.capture && piece.length as usize >= record::TAIL;
    if cut && piece.address != 0 {
        let end = piece.address + u64::from(piece.length) - record::TAIL as u64;
        // SAFETY: the slot is reserved still.
        unsafe { read_tail(data, end, record::TAIL as u32) };
    }
    submit(slot, false);
}

/// Vectors read at once: a read of user memory costs far more than its bytes.
const CHUNK: usize = 4;
/// `Progress` lies where the fixed part comes later.
const _: () = assert!(size_of::<Progress>() <= size_of::<Data>());

/// Where gathering stands. It lies in the slot itself, where the fixed part comes later: values read back from
/// there are unknown to the verifier, so every round of the loop looks the same to it. With variables in
/// registers, older kernels follow each combination to the end.
#[repr(C)]
#[derive(Clone, Copy)]
struct Progress {
    /// The vectors being gathered: as many as one read brings.
    vectors: [IoVec; CHUNK],
    /// Bytes of the vectors so far.
    seen: u64,
    captured: u32,
    flags: u16,
    /// The last one gathered, by its place among those of its read.
    last: u16,
}

/// An operation that is being gathered.
struct Gather<const N: usize> {
    /// Reserved, with room for a `Data` and 2 N bytes, and begins with a `Progress`.
    slot: *mut u8,
    /// Of the vectors, and how many there are.
    address: u64,
    count: u64,
    length: u32,
    capture: u32,
}

impl<const N: usize> Step for Gather<N> {
    /// One vector.
    #[inline(always)]
    fn step(&self, index: u64) -> bool {
        let progress = self.slot.cast::<Progress>();
        // SAFETY: the slot has room for it, and is this program's alone until it is submitted.
        unsafe {
            let seen = (&raw const (*progress).seen).read_volatile();
            if index >= self.count || seen >= u64::from(self.length) {
                return true;
            }
            let place = memory::below::<CHUNK>(index as u32);
            if place == 0 {
                let address = self.address + index * size_of::<IoVec>() as u64;
                if !read_chunk(progress, address, self.count - index) {
                    return true;
                }
            }
            if !gather_one::<N>(self.slot, place as usize, self.capture) {
                return true;
            }
            (&raw mut (*progress).last).write_volatile(place as u16);
        }
        false
    }
}

/// Copies vector after vector, each behind the one before. The slot has twice the room, because the verifier
/// sees that an offset and a length are each within N, and not that their sum is.
#[inline(always)]
fn gather<const N: usize>(piece: &Piece, count: u64) {
    let Some(slot) = reserve(size_of::<Data>() + 2 * N) else {
        error::count(Failure::RingFullData);
        return;
    };
    let progress = slot.cast::<Progress>();
    // SAFETY: the slot has room for it, and is this program's alone until it is submitted.
    unsafe {
        (&raw mut (*progress).seen).write_volatile(0);
        (&raw mut (*progress).captured).write_volatile(0);
        (&raw mut (*progress).last).write_volatile(0);
        (&raw mut (*progress).flags).write_volatile(piece.flags);
    }
    let gather =
        Gather::<N> { slot, address: piece.address, count, length: piece.length, capture: piece.capture };
    repeat::<MAX_VECTORS, _>(gather, MAX_VECTORS as u32);
    // Field by field, before the fixed part takes their place: a copy of the whole would not fit the stack.
    // SAFETY: as above; the index is below CHUNK.
    let (seen, captured, flags, base, length) = unsafe {
        let last = (&raw const (*progress).last).read_volatile();
        let vector = (&raw const (*progress).vectors)
            .cast::<IoVec>()
            .add(memory::below::<CHUNK>(u32::from(last)) as usize);
        (
            (&raw const (*progress).seen).read_volatile(),
            (&raw const (*progress).captured).read_volatile(),
            (&raw const (*progress).flags).read_volatile() as u16,
            (&raw const (*vector).base).read_volatile(),
            (&raw const (*vector).length).read_volatile(),
        )
    };
    let data = slot.cast::<Data>();
    // SAFETY: the slot has room for a `Data`.
    unsafe { write_data(data, piece, captured, flags) };
    if captured < piece.length && flags & record::FLAG_FAULT == 0 {
        if seen == u64::from(piece.length) {
            let tail = if length < record::TAIL as u64 { length } else { record::TAIL as u64 };
            // SAFETY: the slot is reserved still.
            unsafe { read_tail(data, base + length - tail, tail as u32) };
        } else {
            error::count(Failure::VectorTail);
        }
    }
    submit(slot, false);
}

/// The next vectors, `left` of them at most: false where user memory could not be read.
///
/// # Safety
/// `progress` must be valid.
#[inline(always)]
unsafe fn read_chunk(progress: *mut Progress, address: u64, left: u64) -> bool {
    let count = if left > CHUNK as u64 { CHUNK as u32 } else { left as u32 };
    let bytes = memory::below::<128>(count * size_of::<IoVec>() as u32);
    let bytes =
        if bytes as usize > CHUNK * size_of::<IoVec>() { CHUNK * size_of::<IoVec>() } else { bytes as usize };
    // SAFETY: the vectors' room is CHUNK of them; the helper checks the user's address.
    unsafe {
        let to = (&raw mut (*progress).vectors).cast::<c_void>();
        if bpf_probe_read_user(to, bytes as u32, address as *const c_void) != 0 {
            fault(progress);
            return false;
        }
    }
    true
}

/// One vector of those that were read: false where user memory could not be read.
///
/// # Safety
/// `slot` must be reserved with room for a `Data` and 2 N bytes, and begin with a `Progress`.
#[inline(always)]
unsafe fn gather_one<const N: usize>(slot: *mut u8, index: usize, capture: u32) -> bool {
    let progress = slot.cast::<Progress>();
    // SAFETY: the caller's promise; the helpers check the user's addresses.
    unsafe {
        let vector = (&raw const (*progress).vectors).cast::<IoVec>().add(index);
        let length = (&raw const (*vector).length).read_volatile();
        let seen = (&raw const (*progress).seen).read_volatile();
        (&raw mut (*progress).seen).write_volatile(seen + length);
        let captured = (&raw const (*progress).captured).read_volatile();
        if captured >= capture || captured >= N as u32 {
            return true;
        }
        let room = capture - captured;
        let take = if u64::from(room) < length { room } else { length as u32 };
        let mut take = memory::below::<{ 2 * record::MAX_CAPTURE }>(take);
        if take > N as u32 {
            take = N as u32;
        }
        let to = slot.add(size_of::<Data>() + memory::below::<N>(captured) as usize).cast::<c_void>();
        let base = (&raw const (*vector).base).read_volatile();
        if bpf_probe_read_user(to, take, base as *const c_void) != 0 {
            fault(progress);
            return false;
        }
        (&raw mut (*progress).captured).write_volatile(captured + take);
    }
    true
}

/// # Safety
/// `progress` must be valid.
#[inline(always)]
unsafe fn fault(progress: *mut Progress) {
    error::count(Failure::UserFault);
    // SAFETY: the caller's promise.
    unsafe {
        let flags = (&raw const (*progress).flags).read_volatile();
        (&raw mut (*progress).flags).write_volatile(flags | record::FLAG_FAULT);
    }
}

/// # Safety
/// `data` must have room for a `Data`.
#[inline(always)]
pub unsafe fn write_data(data: *mut Data, piece: &Piece, captured: u32, flags: u16) {
    // Field by field: a record that is made first and then written takes twelve words of the stack.
    // SAFETY: as promised by the caller.
    unsafe {
        (*data).header = Header { kind: record::KIND_DATA, flags, captured, time: piece.time };
        (*data).socket = piece.socket;
        (*data).offset = piece.offset;
        (*data).pid = piece.pid;
        (*data).tid = piece.tid;
        (*data).context = piece.who.context;
        (*data).length = piece.length;
        (*data).result = piece.result;
        (*data).direction = piece.direction;
        (*data).origin = piece.origin;
        (*data).tail_length = 0;
        (*data).identity = piece.who.kind as u8;
        (*data).parent = piece.who.parent;
        (*data).tail = [0; record::TAIL];
    }
}

/// # Safety
/// `data` must be a written `Data`.
#[inline(always)]
unsafe fn read_tail(data: *mut Data, from: u64, length: u32) {
    let length = if length > record::TAIL as u32 { record::TAIL as u32 } else { length };
    // SAFETY: `tail` has TAIL bytes; the helper checks the user's address.
    unsafe {
        if bpf_probe_read_user((&raw mut (*data).tail).cast(), length, from as *const c_void) == 0 {
            (*data).tail_length = length as u8;
        }
    }
}

#[inline(always)]
pub fn reserve(size: usize) -> Option<*mut u8> {
    // SAFETY: the map lives as long as the program, and the size is a constant at every call.
    let slot = unsafe { bpf_ringbuf_reserve(ring(), size as u64, 0) }.cast::<u8>();
    (!slot.is_null()).then_some(slot)
}

#[inline(always)]
pub fn submit(slot: *mut u8, wake: bool) {
    // SAFETY: the slot was reserved by `reserve`, and is given back once.
    unsafe {
        let wake = wake | is_falling_behind(bpf_ringbuf_query(ring(), u64::from(BPF_RB_AVAIL_DATA)));
        let flags = if wake { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP };
        bpf_ringbuf_submit(slot.cast(), u64::from(flags));
    }
}

/// Whether so many bytes that wait are a reason to wake the reader: once for each quarter of `WAKEUP_BYTES` from there on.
/// A reader that was woken and has no CPU yet would only be woken again, by every record, at the traced thread's cost.
#[inline(always)]
fn is_falling_behind(waiting: u64) -> bool {
    let Some(fill) = RING_FILL.get_ptr_mut(0) else { return false };
    let enough = settings::WAKEUP_BYTES.load();
    let reached = if waiting < enough { 0 } else { (waiting * 4).checked_div(enough).unwrap_or(0) };
    // SAFETY: a map value of this CPU.
    unsafe {
        let [most, before] = &mut *fill;
        if *most < waiting {
            *most = waiting;
        }
        let further = reached > *before;
        *before = reached;
        further
    }
}

#[inline(always)]
fn ring() -> *mut c_void {
    (&raw const EVENTS).cast_mut().cast()
}
