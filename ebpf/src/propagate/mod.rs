//! A `traceparent` for the requests that selected processes send, where the user asked for it.
//!
//! A connection that a selected process opens is put into a sockmap, so that each of its sends passes a program before it
//! leaves. A header is put in where it is certain that a request begins with this send, that its head is whole and that it
//! carries none. TCP's own numbers say where a request begins: nothing went before it, or exactly the one before it, whose
//! length its head tells.
//!
//! Where this kernel tells readers wrongly how much there is to read of connections in a sockmap (FIONREAD), a connection
//! leaves it within the send of its first request, before anything can be answered.

pub mod hand;
mod head;
pub mod option;

use core::ptr;

use aya_ebpf::{
    bindings::{
        BPF_SK_STORAGE_GET_F_CREATE, BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_HDR_OPT_LEN_CB,
        BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG, BPF_SOCK_OPS_PARSE_HDR_OPT_CB,
        BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG, bpf_sock, bpf_sock_ops, sk_msg_md,
    },
    cty::c_void,
    helpers::{
        bpf_get_current_pid_tgid,
        generated::{
            bpf_get_socket_cookie, bpf_map_delete_elem, bpf_msg_pop_data, bpf_msg_pull_data,
            bpf_msg_push_data, bpf_sk_storage_get, bpf_sock_hash_update, bpf_sock_ops_cb_flags_set,
        },
    },
};
use honeyguide_common::{
    propagation::{FOLLOW, LINE, OPTIONS, Outcome, TRIAL, VALUE},
    record::{Injected, KIND_INJECTED},
};

use self::head::Scan;
use crate::{
    emit,
    maps::{CONNECTIONS, OUTCOMES, OUTGOING, PROPAGATION},
    memory::{self, field},
    offsets, select, settings,
};

/// A head that is longer is left alone.
const MAX_HEAD: u32 = 64 << 10;
/// A message up to this is made one piece again, so that it leaves as one.
const MERGE: u32 = 32 << 10;

/// `Outgoing::mode`: being opened by a selected process, in the map, to be taken out, out of it.
const WANTED: u32 = 1;
const MEMBER: u32 = 2;
const LEAVING: u32 = 3;
const LEFT: u32 = 4;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Outgoing {
    pub cookie: u64,
    /// Whose hand the request is in that was read from here, as a key of `HANDS`; zeroes where none is open.
    pub hand: [u64; 2],
    /// The request that the sender of the current one has in hand: its socket and offset; 0 where none is known.
    pub cause: [u64; 2],
    pub scan: Scan,
    /// The header's line.
    pub line: [u8; LINE + 2],
    /// TCP's number of the first byte of the stream, and of the next request.
    origin: u32,
    next: u32,
    /// Bytes that were put in.
    pub shift: u32,
    mode: u32,
    begun: u32,
    /// The first byte of a request that was read by itself, with `head::LEAD`; else 0.
    pub lead: u32,
    /// Bytes that were received since the connection was first seen.
    pub received: u64,
    /// 1: the last that passed were received.
    pub receives: u32,
    /// 1: what is being sent carries a header.
    pub carries: u32,
}

/// A process begins to open a connection: a selected one, or the agent on trial.
#[inline(always)]
pub fn opening(sk: *const u8) {
    if !is_trial() && !select::caller().is_some_and(|caller| caller.by_pid) {
        return;
    }
    let Some(state) = storage(sk, BPF_SK_STORAGE_GET_F_CREATE) else {
        count(Outcome::NoRoom);
        return;
    };
    // SAFETY: socket storage lives while the program holds the socket; `sk` is the hook's own argument.
    unsafe {
        (*state).cookie = bpf_get_socket_cookie(sk.cast_mut().cast());
        (*state).mode = WANTED;
    }
}

/// Something happens to a connection that is known here.
#[inline(always)]
pub fn connection(ops: *mut bpf_sock_ops) {
    // SAFETY: fields of the program's context.
    let (op, sk) = unsafe { ((*ops).op, (*ops).__bindgen_anon_2.sk) };
    if op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB
        && op != BPF_SOCK_OPS_HDR_OPT_LEN_CB
        && op != BPF_SOCK_OPS_PARSE_HDR_OPT_CB
    {
        return;
    }
    if sk.is_null() {
        return;
    }
    let Some(state) = storage(sk.cast(), 0) else { return };
    // SAFETY: socket storage lives while the program holds the socket.
    let mode = unsafe { (*state).mode };
    if op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB {
        if mode == WANTED {
            join(ops, state);
        }
    } else if op == BPF_SOCK_OPS_HDR_OPT_LEN_CB {
        // Runs as a segment is made, within the send itself.
        if mode == LEAVING {
            leave(ops, state);
        }
    } else if (mode == MEMBER || mode == LEAVING) && has_payload(ops) {
        // The other side speaks first, or before all was sent.
        leave(ops, state);
    }
}

/// Runs before the connection's owner is told that it is open: all that it sends is seen.
#[inline(always)]
fn join(ops: *mut bpf_sock_ops, state: *mut Outgoing) {
    let flags = if follows() {
        BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG
    } else {
        BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG | BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG
    };
    // SAFETY: socket storage lives while the program holds the socket; the map as long as the program.
    unsafe {
        let mut key = (*state).cookie;
        let set = (*ops).bpf_sock_ops_cb_flags | flags;
        if bpf_sock_ops_cb_flags_set(ops, set as i32) != 0
            || bpf_sock_hash_update(ops, connections(), (&raw mut key).cast(), 0) != 0
        {
            count(Outcome::NoRoom);
            (*state).mode = LEFT;
            return;
        }
        (*state).mode = MEMBER;
    }
}

#[inline(always)]
fn leave(ops: *mut bpf_sock_ops, state: *mut Outgoing) {
    // The first is that of TCP options, too.
    let ours = if is_on(OPTIONS) {
        BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG
    } else {
        BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG | BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG
    };
    // SAFETY: as in `join`.
    unsafe {
        (*state).mode = LEFT;
        let mut key = (*state).cookie;
        bpf_map_delete_elem(connections(), (&raw mut key).cast());
        bpf_sock_ops_cb_flags_set(ops, ((*ops).bpf_sock_ops_cb_flags & !ours) as i32);
    }
}

/// Whether the segment that has come carries anything. The header's length is in words of four (RFC 9293, 3.1).
#[inline(always)]
fn has_payload(ops: *mut bpf_sock_ops) -> bool {
    // SAFETY: fields of the program's context; the segment's bounds are checked before it is read.
    unsafe {
        let (start, end) =
            ((*ops).__bindgen_anon_3.skb_data as usize, (*ops).__bindgen_anon_4.skb_data_end as usize);
        if start + 20 > end {
            return false;
        }
        let header = u32::from(*((start + 12) as *const u8) >> 4) * 4;
        (*ops).skb_len > header
    }
}

/// A send of a connection that is in the map.
#[inline(always)]
pub fn message(msg: *mut sk_msg_md) {
    // SAFETY: a field of the program's context.
    let sk = unsafe { (*msg).__bindgen_anon_3.sk };
    if sk.is_null() {
        return;
    }
    let Some(state) = storage(sk.cast(), 0) else { return };
    // SAFETY: socket storage lives while the program holds the socket, which is locked while it sends.
    unsafe {
        if (*state).mode != MEMBER {
            return;
        }
        match at_a_request(sk, state) {
            Some(true) => {}
            Some(false) => return,
            None => {
                give_up(state, Outcome::InFlight);
                return;
            }
        }
        if let Err(outcome) = request(msg, state) {
            give_up(state, outcome);
        }
    }
}

/// Whether this send begins with a message: none went before it, or exactly the one before it. `None`: what is sent cannot
/// be followed any more.
///
/// # Safety
/// `state` must be valid.
#[inline(always)]
unsafe fn at_a_request(sk: *mut bpf_sock, state: *mut Outgoing) -> Option<bool> {
    let sk = memory::address(sk.cast()) as *const u8;
    let write = field::<u32>(sk, &offsets::OFF_WRITE_SEQ)?;
    let una = field::<u32>(sk, &offsets::OFF_SND_UNA)?;
    // SAFETY: the caller's promise.
    unsafe {
        if (*state).begun == 0 {
            // The SYN counts as one.
            if field::<u64>(sk, &offsets::OFF_BYTES_ACKED)? > 1 {
                return None;
            }
            (*state).begun = 1;
            (*state).origin = write;
            (*state).next = write;
        }
        let ahead = write.wrapping_sub((*state).next) as i32;
        if ahead < 0 {
            return Some(false);
        }
        // With all acknowledged there is room for what is put in, and it goes whole.
        (ahead == 0 && write == una).then_some(true)
    }
}

/// # Safety
/// `state` must be valid.
#[inline(always)]
unsafe fn request(msg: *mut sk_msg_md, state: *mut Outgoing) -> Result<(), Outcome> {
    // SAFETY: the caller's promise; fields and helpers of the program's context.
    unsafe {
        let size = (*msg).size;
        let look = if size < MAX_HEAD { size } else { MAX_HEAD };
        if bpf_msg_pull_data(msg, 0, look, 0) != 0 {
            return Err(Outcome::NoRoom);
        }
        let start = memory::address((*msg).__bindgen_anon_1.data.cast());
        let end = memory::address((*msg).__bindgen_anon_2.data_end.cast());
        if end.wrapping_sub(start) < u64::from(look) {
            return Err(Outcome::NoRoom);
        }
        let scan = &raw mut (*state).scan;
        (*scan).lead = 0;
        head::scan(scan, start, look, 0);
        let found = (*scan).found;
        if found & head::REQUEST == 0 {
            return Err(Outcome::NotHttp);
        }
        if found & head::ENDED == 0 {
            return Err(if size > MAX_HEAD { Outcome::TooLong } else { Outcome::Split });
        }
        let mut added = 0;
        if found & head::TRACEPARENT != 0 {
            count(Outcome::Carried);
        } else {
            put_in(msg, state, size)?;
            added = LINE as u32;
        }
        (*state).carries = 1;
        if !follows() {
            (*state).mode = LEAVING;
            return Ok(());
        }
        if found & head::UNCLEAR != 0 || !head::body(scan) {
            return Err(Outcome::Unfollowed);
        }
        let length = (*scan).head + added + (*scan).body;
        (*state).next = (*state).next.wrapping_add(length);
    }
    Ok(())
}

/// Puts the line in front of the empty one that ends the head.
///
/// # Safety
/// `state` must be valid, and hold what was found in the head.
#[inline(always)]
unsafe fn put_in(msg: *mut sk_msg_md, state: *mut Outgoing, size: u32) -> Result<(), Outcome> {
    hand::compose(state);
    // SAFETY: the caller's promise; fields and helpers of the program's context.
    unsafe {
        let (at, line) = ((*state).scan.head - (*state).scan.ending, LINE as u32);
        if bpf_msg_push_data(msg, at, line, 0) != 0 {
            return Err(Outcome::NoRoom);
        }
        let pulled = bpf_msg_pull_data(msg, at, at + line, 0);
        let start = (*msg).__bindgen_anon_1.data as usize;
        let end = (*msg).__bindgen_anon_2.data_end as usize;
        if pulled != 0 || start + LINE > end {
            bpf_msg_pop_data(msg, at, line, 0);
            return Err(Outcome::NoRoom);
        }
        ptr::copy_nonoverlapping((&raw const (*state).line).cast::<u8>(), start as *mut u8, LINE);
        // Each piece would be sent by itself, and Nagle's algorithm would hold the second until the first is acknowledged.
        let whole = size + line;
        if whole > MERGE || bpf_msg_pull_data(msg, 0, whole, 0) != 0 {
            bpf_msg_pull_data(msg, 0, at + line, 0);
            count(Outcome::InPieces);
        }
        tell(state);
        (*state).shift += line;
    }
    count(Outcome::Injected);
    Ok(())
}

/// # Safety
/// `state` must be valid.
#[inline(always)]
unsafe fn tell(state: *mut Outgoing) {
    let Some(slot) = emit::reserve(size_of::<Injected>()) else {
        count(Outcome::Untold);
        return;
    };
    let record = slot.cast::<Injected>();
    // SAFETY: the slot has room for the record, and every byte of it is written.
    unsafe {
        (*record).header = emit::header(KIND_INJECTED, 0);
        (*record).socket = (*state).cookie;
        (*record).cause_socket = (*state).cause[0];
        (*record).cause_offset = (*state).cause[1];
        (*record).before = (*state).shift;
        (*record).offset = (*state).next.wrapping_sub((*state).origin).wrapping_sub((*state).shift);
        (*record).length = LINE as u32;
        let value = (&raw const (*state).line).cast::<u8>().add(hand::VALUE_AT);
        ptr::copy_nonoverlapping(value, (&raw mut (*record).value).cast::<u8>(), VALUE);
        (*record).padding = [0; 5];
    }
    emit::submit(slot, false);
}

/// The connection is taken out of the map with this send.
///
/// # Safety
/// `state` must be valid.
#[inline(always)]
unsafe fn give_up(state: *mut Outgoing, outcome: Outcome) {
    count(outcome);
    // SAFETY: the caller's promise.
    unsafe { (*state).mode = LEAVING };
}

/// Bytes that were put into what a socket has sent.
#[inline(always)]
pub fn shift(sk: *const u8) -> u32 {
    // SAFETY: socket storage lives while the program holds the socket.
    storage(sk, 0).map_or(0, |state| unsafe { (*state).shift })
}

#[inline(always)]
fn storage(sk: *const u8, flags: u32) -> Option<*mut Outgoing> {
    let map = (&raw const OUTGOING).cast_mut().cast::<c_void>();
    // SAFETY: the map lives as long as the program; `sk` comes from the program's context. Without a value it begins with
    // zeroes.
    let state = unsafe { bpf_sk_storage_get(map, sk.cast_mut().cast(), ptr::null_mut(), u64::from(flags)) };
    (!state.is_null()).then_some(state.cast())
}

#[inline(always)]
fn connections() -> *mut c_void {
    (&raw const CONNECTIONS).cast_mut().cast()
}

#[inline(always)]
fn follows() -> bool {
    is_on(FOLLOW)
}

/// Whether it is the agent's own connection that is opened, on trial.
#[inline(always)]
fn is_trial() -> bool {
    current_pid().0 == settings::SELF_PID.load() && is_on(TRIAL)
}

#[inline(always)]
fn is_on(switch: u32) -> bool {
    // SAFETY: an element of the table; the agent writes it whole.
    PROPAGATION.get_ptr(switch).is_some_and(|on| unsafe { *on } != 0)
}

#[inline(always)]
fn count(outcome: Outcome) {
    if let Some(counter) = OUTCOMES.get_ptr_mut(outcome as u32) {
        // SAFETY: a per-CPU slot of a map that lives as long as the program.
        unsafe { *counter += 1 };
    }
}

#[inline(always)]
fn current_pid() -> (u32, u32) {
    let ids = bpf_get_current_pid_tgid();
    ((ids >> 32) as u32, ids as u32)
}
