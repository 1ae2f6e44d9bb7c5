//! HTTP/2 connections are captured by the frame: headers and all that is not DATA in full, of DATA the start. Any
//! number of streams, of frames and of vectors in an operation, and a body costs next to nothing.
//!
//! Only a frame's length and kind are looked at (RFC 9113, 4.1). Where frames begin is known from a connection's
//! first byte on; else an operation is taken to begin with one, and believed when its frames end with it.
//!
//! Where the walk stands lies in a map: values read back from there are unknown to the verifier, so every round of
//! a loop looks the same to it. With variables in registers, Linux 6.1 follows each combination to the end.

use core::ptr;

use aya_ebpf::{
    cty::c_void,
    helpers::generated::{bpf_loop, bpf_probe_read_user},
};
use honeyguide_common::{
    Failure,
    record::{self, Data},
};

use crate::{
    call::IoVec,
    emit::{self, Piece},
    error,
    maps::{FRAMES, NO_FRAMES},
    memory,
};

/// Records of one operation, at most: what is beyond is cut.
const RECORDS: u32 = 256;
/// Steps of one record, at most: each copies, reads a frame's header or passes one by.
const STEPS: u32 = 1 << 14;
/// Of a DATA frame so much is captured, where a gRPC message or two begin.
const DUE: u32 = 64;
/// A payload shorter than this is copied with what follows it: a record of its own would cost more.
const WORTH_SKIPPING: u32 = 512;
/// Bytes of one operation that are captured while it is not known where frames begin.
const UNKNOWN: u32 = 64 << 10;
/// Vectors read at once: a read of user memory costs far more than its bytes.
const VECTORS: usize = 4;
/// A frame's header.
const HEADER: u32 = 9;
/// The client's preface (RFC 9113, 3.4), which stands where a frame would.
const PREFACE: u32 = 24;
const DATA: u8 = 0;

/// Where one direction of an HTTP/2 connection stands.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Progress {
    /// The stream offset that comes next.
    next: u64,
    /// Of the current operation: where its next byte is.
    base: u64,
    /// The vectors that come next.
    ahead: [IoVec; VECTORS],
    /// The next vector's number, and how many there are; none where the operation has a buffer.
    index: u32,
    vectors: u32,
    /// Bytes left of the vector, and of the operation.
    unread: u32,
    left: u32,
    /// Of the current record: bytes that were copied, and those of them that were read.
    captured: u32,
    walked: u32,
    /// Of the current frame: bytes left of its payload, and those of them that are to be captured.
    frame: u32,
    due: u32,
    /// A header of which more is to come, `held` bytes of it.
    header: [u8; 16],
    held: u8,
    /// The current frame is DATA.
    data: u8,
    /// Where frames begin is known.
    synced: u8,
    /// The current operation holds something that is no frame.
    lost: u8,
    /// Its memory could not be read.
    fault: u8,
    /// The current record, or the one before, ends with a payload that was skipped.
    bulk: u8,
    padding: [u8; 2],
}

/// One operation: what its records have in common, and where they are made.
#[repr(C)]
struct Operation {
    piece: *const Piece,
    walk: *mut Progress,
    slot: *mut u8,
}

/// Emits the records of an operation of `stream` (a socket's cookie, a TLS session's name) that moved `piece.length`
/// bytes. `vectors`: how many vectors `piece.address` is the array of; 0 where it is the buffer itself. `preface`: the
/// operation begins with the client's.
#[inline(never)]
pub fn emit(stream: u64, piece: &mut Piece, vectors: u64, preface: u64) -> u32 {
    let walk = find(stream, piece);
    if walk.is_null() {
        return 0;
    }
    // SAFETY: a map value. Two threads that send on one socket at once race on it as they race on the stream itself.
    unsafe {
        begin(walk, piece, vectors, preface);
        // Not a copy: the stacks of all that call each other share 512 bytes.
        let mut operation = Operation { piece: &raw const *piece, walk, slot: ptr::null_mut() };
        let callback = next_record as extern "C" fn(u64, *mut Operation) -> u64;
        bpf_loop(RECORDS, callback as *mut c_void, (&raw mut operation).cast(), 0);
        end(walk, piece);
    }
    0
}

/// A TLS session's socket has become known, and has said nothing before: its frames go on under the socket's name.
#[inline(always)]
pub fn rename(from: u64, to: u64) {
    for direction in [u64::from(record::DIRECTION_SEND), u64::from(record::DIRECTION_RECEIVE)] {
        if let Some(walk) = FRAMES.get_ptr([from, direction]) {
            // SAFETY: a map value, which is copied to another.
            let _ = FRAMES.insert([to, direction], unsafe { &*walk }, 0);
            let _ = FRAMES.remove([from, direction]);
        }
    }
}

/// Bytes passed that cannot be read: harmless inside of a frame's payload.
#[inline(always)]
pub fn pass(stream: u64, piece: &Piece) {
    let walk = find(stream, piece);
    if walk.is_null() {
        return;
    }
    // SAFETY: as in `emit`.
    unsafe {
        let inside = (*walk).next == piece.offset && (*walk).frame >= piece.length;
        (*walk).frame = if inside { (*walk).frame - piece.length } else { 0 };
        (*walk).due = 0;
        (*walk).synced &= u8::from(inside);
        (*walk).next = piece.offset + u64::from(piece.length);
    }
}

/// Null where there is no room. A subprogram of its own, so that the stack it takes is free again: Linux 6.1 gives all
/// that call each other 512 bytes, each rounded up to 32.
#[inline(never)]
fn find(stream: u64, piece: &Piece) -> *mut Progress {
    let key = [stream, u64::from(piece.direction)];
    if let Some(walk) = FRAMES.get_ptr_mut(key) {
        return walk;
    }
    let Some(unused) = NO_FRAMES.get_ptr(0) else { return ptr::null_mut() };
    // SAFETY: nobody writes to it.
    let _ = FRAMES.insert(key, unsafe { &*unused }, 0);
    let Some(walk) = FRAMES.get_ptr_mut(key) else {
        error::count(Failure::NoStorage);
        return ptr::null_mut();
    };
    walk
}

/// # Safety
/// `walk` must be valid.
#[inline(always)]
unsafe fn begin(walk: *mut Progress, piece: &Piece, vectors: u64, preface: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        if piece.offset == 0 {
            (*walk).synced = 1;
            (*walk).frame = if preface != 0 { PREFACE } else { 0 };
            (*walk).due = (*walk).frame;
            (*walk).data = 0;
            (*walk).held = 0;
        } else if (*walk).next != piece.offset || (*walk).synced == 0 {
            (*walk).synced = 0;
            (*walk).frame = 0;
            (*walk).held = 0;
        }
        (*walk).next = piece.offset + u64::from(piece.length);
        (*walk).lost = 0;
        (*walk).fault = 0;
        (*walk).bulk = 0;
        (*walk).index = 0;
        (*walk).left = piece.length;
        (*walk).unread = if vectors == 0 { piece.length } else { 0 };
        (*walk).base = piece.address;
        (*walk).vectors = if vectors > u64::from(u32::MAX) { u32::MAX } else { vectors as u32 };
    }
}

/// What is left of the operation is cut; and whether the next one is known to begin where.
///
/// # Safety
/// `walk` must be valid.
#[inline(always)]
unsafe fn end(walk: *mut Progress, piece: &mut Piece) {
    // SAFETY: the caller's promise.
    unsafe {
        let left = (*walk).left;
        if left > 0 {
            error::count(Failure::FramesCut);
            piece.offset += u64::from(piece.length - left);
            piece.length = left;
            piece.capture = 0;
            // The last bytes are found in a buffer alone.
            piece.address = if (*walk).vectors == 0 { (*walk).base } else { 0 };
            emit::data(piece);
        }
        let whole = left == 0 && (*walk).lost == 0 && (*walk).fault == 0;
        let ends = (*walk).frame == 0 && (*walk).held == 0;
        (*walk).synced = u8::from(whole && ((*walk).synced != 0 || ends));
    }
}

/// One more record of the operation; 1 where there is none.
extern "C" fn next_record(_index: u64, operation: *mut Operation) -> u64 {
    // SAFETY: the operation is that of `emit`, whose walk is a map value.
    unsafe {
        let walk = (*operation).walk;
        let left = (*walk).left;
        let done = (*(*operation).piece).length - left;
        if left == 0 || ((*walk).synced == 0 && done >= UNKNOWN) {
            return 1;
        }
        // A frame whose payload is skipped is mostly followed by another.
        let full = if left as usize <= TINY {
            fill::<TINY, TINY>(operation)
        } else if left as usize <= SMALL || (*walk).bulk != 0 || skips(walk) {
            fill::<SMALL, { SMALL / 2 }>(operation)
        } else if left as usize <= MIDDLE {
            fill::<MIDDLE, MIDDLE>(operation)
        } else {
            fill::<LARGE, MIDDLE>(operation)
        };
        u64::from(!full)
    }
}

const TINY: usize = 64;
const SMALL: usize = 256;
const MIDDLE: usize = 1024;
const LARGE: usize = 4096;

/// Makes one record with room for N bytes, copied in pieces of up to C. The slot has room for both, because the
/// verifier sees that an offset is within N and a length within C, and not that their sum is within N.
///
/// # Safety
/// `operation` must be that of `emit`.
#[inline(always)]
unsafe fn fill<const N: usize, const C: usize>(operation: *mut Operation) -> bool {
    let Some(slot) = emit::reserve(size_of::<Data>() + N + C) else {
        error::count(Failure::RingFullData);
        return false;
    };
    // SAFETY: the caller's promise; the slot has room for a `Data`.
    unsafe {
        let walk = (*operation).walk;
        let before = (*walk).left;
        (*walk).captured = 0;
        (*walk).walked = 0;
        (*walk).bulk = 0;
        (*operation).slot = slot;
        let callback = step::<N, C> as extern "C" fn(u64, *mut Operation) -> u64;
        bpf_loop(STEPS, callback as *mut c_void, operation.cast(), 0);
        let piece = (*operation).piece;
        let flags = if (*walk).fault != 0 { record::FLAG_FAULT } else { 0 };
        let done = u64::from((*piece).length - before);
        let data = slot.cast::<Data>();
        emit::write_data(data, &*piece, (*walk).captured, (*piece).flags | flags);
        (*data).offset = (*piece).offset + done;
        (*data).length = before - (*walk).left;
        emit::submit(slot, false);
        (*walk).fault == 0
    }
}

/// One step of filling a record; 1 where it is done.
extern "C" fn step<const N: usize, const C: usize>(_index: u64, operation: *mut Operation) -> u64 {
    // SAFETY: the operation is that of `emit`; its walk is a map value, and its slot has room for a `Data`, N and C.
    unsafe {
        let walk = (*operation).walk;
        let (captured, walked) = ((*walk).captured, (*walk).walked);
        if walked < captured && (*walk).lost == 0 {
            read::<N>(walk, (*operation).slot, captured - walked);
            return 0;
        }
        let left = (*walk).left;
        if left == 0 {
            return 1;
        }
        if (*walk).unread == 0 {
            return next_vector(walk, (*(*operation).piece).address);
        }
        let unread = (*walk).unread;
        let most = if unread < left { unread } else { left };
        if skips(walk) {
            let frame = (*walk).frame;
            let skipped = if most < frame { most } else { frame };
            (*walk).bulk = 1;
            (*walk).frame = frame - skipped;
            advance(walk, skipped);
            return 0;
        }
        // What follows bytes that were skipped is another record's.
        if (*walk).bulk != 0 || captured >= N as u32 {
            return 1;
        }
        let room = N as u32 - captured;
        let mut take = if most < room { most } else { room };
        take = memory::below::<{ 8 * LARGE }>(take);
        if take > C as u32 {
            take = C as u32;
        }
        let to = (*operation).slot.add(size_of::<Data>() + memory::below::<N>(captured) as usize);
        if bpf_probe_read_user(to.cast::<c_void>(), take, (*walk).base as *const c_void) != 0 {
            return fault(walk);
        }
        (*walk).captured = captured + take;
        advance(walk, take);
        0
    }
}

/// The next bytes are of a body, and their number is all that matters. A short rest is skipped where the record's end
/// was skipped anyhow.
///
/// # Safety
/// `walk` must be valid.
#[inline(always)]
unsafe fn skips(walk: *const Progress) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let worth = if (*walk).bulk != 0 { 1 } else { WORTH_SKIPPING };
        (*walk).data != 0 && (*walk).due == 0 && (*walk).synced != 0 && (*walk).frame >= worth
    }
}

/// # Safety
/// `walk` must be valid.
#[inline(always)]
unsafe fn advance(walk: *mut Progress, bytes: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        (*walk).base += u64::from(bytes);
        (*walk).unread -= bytes;
        (*walk).left -= bytes;
    }
}

/// Reads on in what was copied and not read yet, `ahead` bytes: a payload, or a header.
///
/// # Safety
/// `walk` must be valid, and `slot` have room for a `Data` and N bytes.
#[inline(always)]
unsafe fn read<const N: usize>(walk: *mut Progress, slot: *const u8, ahead: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        let walked = (*walk).walked;
        let frame = (*walk).frame;
        if frame > 0 {
            let passed = if ahead < frame { ahead } else { frame };
            (*walk).frame = frame - passed;
            (*walk).due = (*walk).due.saturating_sub(passed);
            (*walk).walked = walked + passed;
            return;
        }
        let bytes = slot.add(size_of::<Data>() + memory::below::<N>(walked) as usize);
        let held = (*walk).held;
        if held == 0 && ahead >= HEADER {
            // The last of them lies in the room behind N at the most.
            let length = [*bytes, *bytes.add(1), *bytes.add(2)];
            let (kind, stream) = (*bytes.add(3), *bytes.add(5));
            (*walk).walked = walked + HEADER;
            start(walk, length, kind, stream);
            return;
        }
        // A header in pieces.
        let at = memory::below::<16>(u32::from(held)) as usize;
        (&raw mut (*walk).header).cast::<u8>().add(at).write(*bytes);
        (*walk).walked = walked + 1;
        (*walk).held = held + 1;
        if u32::from(held) + 1 >= HEADER {
            (*walk).held = 0;
            let header = (*walk).header;
            start(walk, [header[0], header[1], header[2]], header[3], header[5]);
        }
    }
}

/// A frame begins, if this is one.
///
/// # Safety
/// `walk` must be valid.
#[inline(always)]
unsafe fn start(walk: *mut Progress, length: [u8; 3], kind: u8, stream: u8) {
    let length = u32::from(length[0]) << 16 | u32::from(length[1]) << 8 | u32::from(length[2]);
    let fits = match kind {
        2 => length == 5,
        3 | 8 => length == 4,
        6 => length == 8,
        _ => true,
    };
    // SAFETY: the caller's promise.
    unsafe {
        // The reserved bit of the stream's number is 0.
        if !fits || kind > 0x10 || stream & 0x80 != 0 {
            (*walk).lost = 1;
            (*walk).synced = 0;
            return;
        }
        (*walk).frame = length;
        (*walk).data = u8::from(kind == DATA);
        (*walk).due = if length < DUE { length } else { DUE };
    }
}

/// The next vector of the operation, some of which were read before; 1 where there is none.
///
/// # Safety
/// `walk` must be valid; `array` is the user's.
#[inline(always)]
unsafe fn next_vector(walk: *mut Progress, array: u64) -> u64 {
    // SAFETY: the caller's promise; the helper checks the user's address.
    unsafe {
        let index = (*walk).index;
        if index >= (*walk).vectors {
            return fault(walk);
        }
        let at = memory::below::<VECTORS>(index);
        let ahead = (&raw mut (*walk).ahead).cast::<IoVec>();
        if at == 0 {
            let left = (*walk).vectors - index;
            let count = if left < VECTORS as u32 { left } else { VECTORS as u32 };
            let bytes = memory::below::<128>(count * size_of::<IoVec>() as u32);
            let bytes = if bytes > ROOM { ROOM } else { bytes };
            let from = array + u64::from(index) * size_of::<IoVec>() as u64;
            if bpf_probe_read_user(ahead.cast::<c_void>(), bytes, from as *const c_void) != 0 {
                return fault(walk);
            }
        }
        let vector = ahead.add(at as usize);
        (*walk).index = index + 1;
        (*walk).base = (*vector).base;
        let left = (*walk).left;
        let length = (*vector).length;
        (*walk).unread = if length < u64::from(left) { length as u32 } else { left };
    }
    0
}

const ROOM: u32 = (VECTORS * size_of::<IoVec>()) as u32;

/// The rest of the operation cannot be read.
///
/// # Safety
/// `walk` must be valid.
#[inline(always)]
unsafe fn fault(walk: *mut Progress) -> u64 {
    error::count(Failure::UserFault);
    // SAFETY: the caller's promise.
    unsafe {
        (*walk).fault = 1;
        (*walk).left = 0;
    }
    1
}
