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
    record::{self, CLASSES, Data, Header},
};

use crate::{error, maps::EVENTS, settings};

/// One stretch of one socket operation, with the user memory it lies in.
#[derive(Clone, Copy)]
pub struct Piece {
    pub time: u64,
    pub socket: u64,
    pub offset: u64,
    pub context: u64,
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

/// Emits a record of fixed layout; false if the ring is full.
#[inline(always)]
pub fn fixed<T: Copy>(record: &T, failure: Failure) -> bool {
    place_fixed(record, failure, false)
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
            bpf_probe_read_user(slot.add(size_of::<Data>()).cast::<c_void>(), captured, piece.address as *const c_void)
        };
        if read != 0 {
            error::count(Failure::UserFault);
            captured = 0;
            flags |= record::FLAG_FAULT;
        }
    }
    let data = slot.cast::<Data>();
    // SAFETY: the slot has room for a `Data`; every field is written before the slot is submitted.
    unsafe {
        ptr::write(
            data,
            Data {
                header: Header { kind: record::KIND_DATA, flags, captured, time: piece.time },
                socket: piece.socket,
                offset: piece.offset,
                pid: piece.pid,
                tid: piece.tid,
                context: piece.context,
                length: piece.length,
                result: piece.result,
                direction: piece.direction,
                origin: piece.origin,
                tail_length: 0,
                padding: [0; 5],
                tail: [0; record::TAIL],
            },
        );
        let cut = piece.length > piece.capture && piece.length as usize >= record::TAIL;
        if cut && piece.address != 0 {
            let end = piece.address + u64::from(piece.length) - record::TAIL as u64;
            let tail = (&raw mut (*data).tail).cast::<c_void>();
            if bpf_probe_read_user(tail, record::TAIL as u32, end as *const c_void) == 0 {
                (*data).tail_length = record::TAIL as u8;
            }
        }
    }
    submit(slot, false);
}

#[inline(always)]
fn reserve(size: usize) -> Option<*mut u8> {
    // SAFETY: the map lives as long as the program, and the size is a constant at every call.
    let slot = unsafe { bpf_ringbuf_reserve(ring(), size as u64, 0) }.cast::<u8>();
    (!slot.is_null()).then_some(slot)
}

#[inline(always)]
fn submit(slot: *mut u8, wake: bool) {
    // SAFETY: the slot was reserved by `reserve`, and is given back once.
    unsafe {
        let wake =
            wake || bpf_ringbuf_query(ring(), u64::from(BPF_RB_AVAIL_DATA)) >= settings::WAKEUP_BYTES.load();
        let flags = if wake { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP };
        bpf_ringbuf_submit(slot.cast(), u64::from(flags));
    }
}

#[inline(always)]
fn ring() -> *mut c_void {
    (&raw const EVENTS).cast_mut().cast()
}
