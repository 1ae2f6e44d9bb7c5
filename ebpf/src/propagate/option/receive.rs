//! Options of what is received.

use core::ptr;

use aya_ebpf::{
    bindings::{
        BPF_SK_STORAGE_GET_F_CREATE, BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG, bpf_sock, bpf_sock_ops,
    },
    cty::c_void,
    helpers::generated::{bpf_load_hdr_opt, bpf_sk_storage_get, bpf_sock_ops_cb_flags_set},
};
use honeyguide_common::{
    propagation::{
        KEPT, OPTION_ID, OPTION_KIND, OPTION_LENGTH, OPTION_PLAINTEXT, OPTION_SAMPLED, OptionOutcome, TRIAL,
    },
    record::{Arrived, FLAG_PLAINTEXT, KIND_ARRIVED},
    verdict,
};

use super::{OFFSET_MASK, count, extent, stays_here};
use crate::{
    emit,
    maps::INCOMING,
    memory::{below, field},
    offsets,
    propagate::{Outgoing, hand, is_on},
    socket,
};

/// What TLS adds to a record of an AEAD cipher, at most: its header, a nonce, a tag (RFC 5246, 6.2.3.3; RFC 8446, 5.2 has
/// less).
const OVERHEAD: u32 = 29;
/// Of the inside of TLS a request that begins further behind the start of a send does not get its context.
const INSIDE: u32 = 1024;

/// The contexts that have come last on a connection.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Incoming {
    come: u32,
    padding: u32,
    contexts: [Context; KEPT],
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Context {
    /// As in `Arrived`.
    start: u32,
    length: u32,
    trace: [u64; 2],
    span: u64,
    /// 0: there is none.
    id: u32,
    /// 1: the agent knows of it.
    told: u32,
}

/// A connection was accepted. Its first bytes may have come with the end of the handshake.
#[inline(always)]
pub fn begin_connection(ops: *mut bpf_sock_ops, sk: *mut bpf_sock) {
    if stays_here(ops) && !is_on(TRIAL) {
        return;
    }
    // SAFETY: fields and helpers of the program's context.
    unsafe {
        let flags = (*ops).bpf_sock_ops_cb_flags | BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG;
        bpf_sock_ops_cb_flags_set(ops, flags as i32);
    }
    segment(ops, sk);
}

/// A segment has come that has an option which the kernel does not know.
#[inline(always)]
pub fn segment(ops: *mut bpf_sock_ops, sk: *mut bpf_sock) {
    let Some((sequence, length)) = extent(ops) else { return };
    if length == 0 {
        return;
    }
    let mut option = [0_u8; OPTION_LENGTH];
    let id = load(ops, &mut option);
    if id == 0 {
        return;
    }
    let bytes = option.as_ptr();
    // SAFETY: within the option, which is as long; fields of the program's context.
    unsafe {
        let span = bytes.add(20).cast::<u64>().read_unaligned();
        let trace =
            [bytes.add(4).cast::<u64>().read_unaligned(), bytes.add(12).cast::<u64>().read_unaligned()];
        // What comes over the wire may be anybody's: zeroes are no ids.
        if span == 0 || trace[0] | trace[1] == 0 {
            return;
        }
        let offset = u64::from_be(span) as u32 & OFFSET_MASK;
        let (start, length) = if id & OPTION_PLAINTEXT == 0 {
            // Bytes of the stream before this segment.
            let before = sequence.wrapping_sub((*ops).rcv_nxt.wrapping_sub((*ops).bytes_received as u32));
            let ahead = offset.wrapping_sub(before) & OFFSET_MASK;
            if ahead >= length {
                // Another segment of the same send.
                return;
            }
            (sequence.wrapping_add(ahead), length - ahead)
        } else {
            let inside = length.saturating_sub(OVERHEAD);
            let inside = if inside < INSIDE { inside } else { INSIDE };
            (offset, if inside == 0 { 1 } else { inside })
        };
        let Some(state) = storage(sk.cast(), BPF_SK_STORAGE_GET_F_CREATE) else {
            count(OptionOutcome::Untold);
            return;
        };
        let last = slot(state, (*state).come.wrapping_sub(1));
        if (*last).id != 0 && (*last).span == span && (*last).start == start {
            return;
        }
        count(OptionOutcome::Read);
        let context = slot(state, (*state).come);
        (*context).start = start;
        (*context).length = length;
        (*context).trace[0] = trace[0];
        (*context).trace[1] = trace[1];
        (*context).span = span;
        (*context).id = u32::from(id);
        (*context).told = 0;
        (*state).come = (*state).come.wrapping_add(1);
        let Some(known) = socket::find(sk.cast()) else { return };
        let ignored = (*known).verdict == verdict::IGNORE && id & OPTION_PLAINTEXT == 0;
        if (*known).described != 0 && !ignored {
            tell((*known).cookie, context);
        }
    }
}

/// A connection has become known to the agent: so does what has come before.
#[inline(never)]
pub fn described(sk: *const u8, cookie: u64) -> u32 {
    let Some(state) = storage(sk, 0) else { return 0 };
    let mut back = KEPT as u32;
    while back > 0 {
        // SAFETY: socket storage lives while the program holds the socket.
        unsafe {
            let context = slot(state, (*state).come.wrapping_sub(back));
            if (*context).id != 0 && (*context).told == 0 {
                tell(cookie, context);
            }
        }
        back -= 1;
    }
    0
}

/// Puts the trace into the line that the request has come with which begins in the last `moved` bytes that were read.
/// A subprogram of its own for the sake of the stack; 0 where there is none.
#[inline(never)]
pub fn of_request(sk: *const u8, moved: u32, outgoing: *mut Outgoing) -> u32 {
    if outgoing.is_null() {
        return 0;
    }
    let Some(state) = storage(sk, 0) else { return 0 };
    let Some(copied) = field::<u32>(sk, &offsets::OFF_COPIED_SEQ) else { return 0 };
    // SAFETY: socket storage lives while the program holds the socket.
    unsafe {
        // A first byte that was read by itself goes before.
        let first = copied.wrapping_sub(moved).wrapping_sub(u32::from((*outgoing).scan.lead != 0));
        let context = of_byte(state, first);
        if context.is_null() {
            return 0;
        }
        let trace = [(*context).trace[0], (*context).trace[1]];
        hand::put_trace(outgoing, &trace, (*context).id as u16 & OPTION_SAMPLED != 0);
    }
    1
}

/// What has come for a byte of the stream, or null. A subprogram of its own, as the caller is.
///
/// # Safety
/// `state` must be valid.
#[inline(never)]
unsafe fn of_byte(state: *mut Incoming, byte: u32) -> *mut Context {
    let mut back = 1;
    while back <= KEPT as u32 {
        // SAFETY: the caller's promise.
        unsafe {
            let context = slot(state, (*state).come.wrapping_sub(back));
            let id = (*context).id as u16;
            if id != 0
                && id & OPTION_PLAINTEXT == 0
                && byte.wrapping_sub((*context).start) < (*context).length
            {
                return context;
            }
        }
        back += 1;
    }
    ptr::null_mut()
}

/// The option of a segment, whichever bits its id has; 0 where it has none.
#[inline(always)]
fn load(ops: *mut bpf_sock_ops, option: &mut [u8; OPTION_LENGTH]) -> u16 {
    let mut bits = 0;
    while bits < 4 {
        let id = OPTION_ID | bits;
        option[0] = OPTION_KIND;
        // What is searched for: the kind, and four bytes with it.
        option[1] = 4;
        option[2] = (id >> 8) as u8;
        option[3] = id as u8;
        // SAFETY: a helper of the program's context; the option is as long.
        let found = unsafe { bpf_load_hdr_opt(ops, option.as_mut_ptr().cast(), OPTION_LENGTH as u32, 0) };
        if found == OPTION_LENGTH as i64 {
            return id;
        }
        bits += 1;
    }
    0
}

/// # Safety
/// `context` must be valid.
#[inline(always)]
unsafe fn tell(cookie: u64, context: *mut Context) {
    let Some(slot) = emit::reserve(size_of::<Arrived>()) else {
        count(OptionOutcome::Untold);
        return;
    };
    let record = slot.cast::<Arrived>();
    // SAFETY: the slot has room for the record, and every byte of it is written.
    unsafe {
        let id = (*context).id as u16;
        let flags = if id & OPTION_PLAINTEXT != 0 { FLAG_PLAINTEXT } else { 0 };
        (*record).header = emit::header(KIND_ARRIVED, flags);
        (*record).socket = cookie;
        (*record).start = (*context).start;
        (*record).length = (*context).length;
        ptr::copy_nonoverlapping(
            (&raw const (*context).trace).cast::<u8>(),
            (&raw mut (*record).trace).cast(),
            16,
        );
        ptr::copy_nonoverlapping(
            (&raw const (*context).span).cast::<u8>(),
            (&raw mut (*record).span).cast(),
            8,
        );
        (*record).sampled = u32::from(id & OPTION_SAMPLED);
        (*record).padding = 0;
        (*context).told = 1;
    }
    emit::submit(slot, false);
}

/// # Safety
/// `state` must be valid.
#[inline(always)]
unsafe fn slot(state: *mut Incoming, index: u32) -> *mut Context {
    // SAFETY: the caller's promise; within the array.
    unsafe { (&raw mut (*state).contexts).cast::<Context>().add(below::<KEPT>(index) as usize) }
}

#[inline(always)]
fn storage(sk: *const u8, flags: u32) -> Option<*mut Incoming> {
    let map = (&raw const INCOMING).cast_mut().cast::<c_void>();
    // SAFETY: the map lives as long as the program; `sk` comes from the program's context. Without a value it begins with
    // zeroes.
    let state = unsafe { bpf_sk_storage_get(map, sk.cast_mut().cast(), ptr::null_mut(), u64::from(flags)) };
    (!state.is_null()).then_some(state.cast())
}
