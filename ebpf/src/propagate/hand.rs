//! Which trace a call belongs to: that of the one request its sender has in hand, else a new one.
//!
//! The agent decides late which request caused which call. A header cannot wait, so the kernel believes only what is certain
//! at once: the sender is the very execution that has read a request, and has no other. Where no execution is known but the
//! process, it is the process that has no other.

use aya_ebpf::{
    bindings::BPF_SK_STORAGE_GET_F_CREATE,
    cty::c_void,
    helpers::{
        bpf_probe_read_user,
        generated::{bpf_get_prandom_u32, bpf_get_socket_cookie, bpf_loop},
    },
};
use honeyguide_common::{
    identity::{NONE, PYTHON},
    propagation::{LINE, VALUE},
    record::DIRECTION_RECEIVE,
};

use super::{Outgoing, current_pid, head, option, storage};
use crate::{
    call,
    identity::{self, Identity},
    maps::HANDS,
    memory::field,
    offsets, select, settings,
};

const IPPROTO_TCP: u16 = 6;

/// The value begins behind the name.
pub const VALUE_AT: usize = 13;
const NAME: [u8; VALUE_AT] = *b"traceparent: ";
/// The parts of the value: the trace, the span, the flags.
const TRACE: usize = 3;
const SPAN: usize = 36;
const FLAGS: usize = 53;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Hand {
    /// As in the header.
    trace: [u8; 32],
    flags: [u8; 2],
    /// 1: the trace is known.
    known: u8,
    /// 1: there was another while one was open.
    mixed: u8,
    padding: [u8; 4],
    open: i64,
    /// The request, as `Data::socket` and `Data::offset`.
    socket: u64,
    offset: u64,
}

/// Bytes were received. Where others were sent before, a request may begin with them; Go's server reads the first byte of
/// one by itself.
#[inline(always)]
pub fn received(sk: *const u8, result: i32) {
    if result <= 0 || field::<u16>(sk, &offsets::OFF_PROTOCOL) != Some(IPPROTO_TCP) {
        return;
    }
    let Some(caller) = select::caller() else { return };
    if !caller.by_pid {
        return;
    }
    let Some(state) = storage(sk, BPF_SK_STORAGE_GET_F_CREATE) else { return };
    // SAFETY: socket storage lives while the program holds the socket. Two threads that receive on one socket at once race
    // on it as they race on the stream itself.
    unsafe {
        // What is received on a connection that was opened here are answers: its scan and its line are the sender's.
        if (*state).mode != 0 {
            return;
        }
        if (*state).cookie == 0 {
            (*state).cookie = bpf_get_socket_cookie(sk.cast_mut().cast());
        }
        let (offset, fresh, lead) = ((*state).received, (*state).receives == 0, (*state).lead);
        (*state).received = offset + u64::from(result as u32);
        (*state).receives = 1;
        (*state).lead = 0;
        if !fresh && lead == 0 {
            return;
        }
        let Some((address, length)) = call::received_bytes() else { return };
        let length = if length < u64::from(result as u32) { length as u32 } else { result as u32 };
        if length == 1 {
            let first = bpf_probe_read_user(address as *const u8).unwrap_or(0);
            if fresh && first.is_ascii_uppercase() {
                (*state).lead = head::LEAD | u32::from(first);
            }
            return;
        }
        (*state).scan.lead = if fresh { 0 } else { lead };
        head::scan(&raw mut (*state).scan, address, length, 1);
        if (*state).scan.found & head::REQUEST == 0 {
            return;
        }
        drop_hand(state);
        let who = identity::of_operation(caller.pid, DIRECTION_RECEIVE);
        let carried = (*state).scan.found & head::TRACEPARENT != 0;
        // Its own may be in a part of the head that comes later.
        let whole = (*state).scan.found & head::ENDED != 0;
        let known = if settings::TCP_OPTION.load() != 0
            && settings::TRACE_CONTEXT.load() != 0
            && whole
            && !carried
            && option::receive::of_request(sk, result as u32, state) != 0
        {
            1
        } else {
            trace_of(state)
        };
        let offset = offset - u64::from((*state).scan.lead != 0);
        take(state, key(caller.pid, caller.tid, &who), offset, known != 0);
    }
}

/// Bytes were sent: where a request was read before, its response.
#[inline(always)]
pub fn sent(sk: *const u8, result: i32) {
    if result <= 0 {
        return;
    }
    let Some(state) = storage(sk, 0) else { return };
    // SAFETY: as in `received`.
    unsafe {
        if (*state).receives != 0 {
            (*state).receives = 0;
            drop_hand(state);
        }
    }
}

/// The connection is over.
#[inline(always)]
pub fn closed(sk: *const u8) {
    if let Some(state) = storage(sk, 0) {
        // SAFETY: as in `received`.
        unsafe { drop_hand(state) };
    }
}

/// Puts the trace of the request that was scanned into the line; 0 where it is not known.
#[inline(never)]
fn trace_of(state: *mut Outgoing) -> u32 {
    if state.is_null() {
        return 0;
    }
    // SAFETY: a map value.
    unsafe {
        if settings::TRACE_CONTEXT.load() == 0 {
            // Whatever it comes with, now or in a later part of its head.
            begin_trace(state);
            return 1;
        }
        let found = (*state).scan.found;
        if found & head::TRACEPARENT != 0 {
            return u32::from(found & head::SEVERAL == 0 && value(state));
        }
        begin_trace(state);
        found & head::ENDED
    }
}

/// Makes the header's line, and says whose request it is for.
#[inline(never)]
pub fn compose(state: *mut Outgoing) -> u32 {
    if state.is_null() {
        return 0;
    }
    let (pid, tid) = current_pid();
    let who = identity::of_sender(pid);
    let key = key(pid, tid, &who);
    // SAFETY: map values; one that is evicted meanwhile leaves memory that is still an element's.
    unsafe {
        begin_trace(state);
        (*state).cause = [0; 2];
        if let Some(hand) = HANDS.get_ptr(key)
            && (*hand).open == 1
            && (*hand).mixed == 0
            && (*hand).known == 1
        {
            let line = (&raw mut (*state).line).cast::<u8>();
            core::ptr::copy_nonoverlapping(
                (&raw const (*hand).trace).cast::<u8>(),
                line.add(VALUE_AT + TRACE),
                32,
            );
            core::ptr::copy_nonoverlapping(
                (&raw const (*hand).flags).cast::<u8>(),
                line.add(VALUE_AT + FLAGS),
                2,
            );
            (*state).cause = [(*hand).socket, (*hand).offset];
        }
    }
    0
}

/// The trace of the line as bytes, and whether it is sampled.
///
/// # Safety
/// `state` and `trace` must be valid.
#[inline(always)]
pub unsafe fn trace_in_line(state: *const Outgoing, trace: *mut u8) -> bool {
    // SAFETY: the caller's promise; within the line.
    unsafe {
        let value = (&raw const (*state).line).cast::<u8>().add(VALUE_AT);
        let mut index = 0;
        while index < 16 {
            let digits = value.add(TRACE + 2 * index);
            *trace.add(index) = digit(*digits) << 4 | digit(*digits.add(1));
            index += 1;
        }
        digit(*value.add(FLAGS + 1)) & 1 != 0
    }
}

/// Of 0-9 and a-f.
#[inline(always)]
const fn digit(character: u8) -> u8 {
    (character & 0xf) + (character >> 6) * 9
}

/// Gives the line's span another id.
///
/// # Safety
/// `state` must be valid.
#[inline(always)]
pub unsafe fn name_span(state: *mut Outgoing, span: u64) {
    // SAFETY: the caller's promise; within the line.
    unsafe { hex((&raw mut (*state).line).cast::<u8>().add(VALUE_AT + SPAN), span) };
}

/// Puts a trace that has come as bytes into the line.
///
/// # Safety
/// `state` must be valid.
#[inline(always)]
pub unsafe fn put_trace(state: *mut Outgoing, trace: &[u64; 2], sampled: bool) {
    // SAFETY: the caller's promise; within the line.
    unsafe {
        begin_trace(state);
        let value = (&raw mut (*state).line).cast::<u8>().add(VALUE_AT);
        hex(value.add(TRACE), u64::from_be(trace[0]));
        hex(value.add(TRACE + 16), u64::from_be(trace[1]));
        *value.add(FLAGS + 1) = if sampled { b'1' } else { b'0' };
    }
}

/// A line with a new trace and a new span.
///
/// # Safety
/// `state` must be valid.
#[inline(always)]
unsafe fn begin_trace(state: *mut Outgoing) {
    // SAFETY: the caller's promise.
    unsafe {
        let line = (&raw mut (*state).line).cast::<u8>();
        core::ptr::copy_nonoverlapping(NAME.as_ptr(), line, VALUE_AT);
        let value = line.add(VALUE_AT);
        *value = b'0';
        *value.add(1) = b'0';
        *value.add(TRACE - 1) = b'-';
        *value.add(SPAN - 1) = b'-';
        *value.add(FLAGS - 1) = b'-';
        let low = random();
        hex(value.add(TRACE), random());
        hex(value.add(TRACE + 16), low);
        // Zero is no id.
        hex(value.add(SPAN), random() | 1);
        let sampled = low & ((1 << 56) - 1) >= settings::REJECT_BELOW.load();
        *value.add(FLAGS) = b'0';
        *value.add(FLAGS + 1) = if sampled { b'1' } else { b'0' };
        *line.add(LINE - 2) = b'\r';
        *line.add(LINE - 1) = b'\n';
    }
}

#[inline(always)]
pub fn random() -> u64 {
    // SAFETY: no arguments.
    unsafe { u64::from(bpf_get_prandom_u32()) << 32 | u64::from(bpf_get_prandom_u32()) }
}

/// A subprogram of its own: unrolled five times it took most of the stack.
///
/// # Safety
/// There must be room for sixteen digits.
#[inline(never)]
unsafe fn hex(to: *mut u8, number: u64) {
    let mut index = 0;
    while index < 16 {
        let digit = (number >> (60 - 4 * index)) as u8 & 0xf;
        // Ten and more are letters.
        let letter = ((digit + 6) >> 4) * 39;
        // SAFETY: the caller's promise.
        unsafe { *to.add(index) = digit + b'0' + letter };
        index += 1;
    }
}

/// Reads the header's value into the line, behind the name; false where it is not of version 00, or breaks the format.
///
/// # Safety
/// `state` must be valid.
#[inline(always)]
unsafe fn value(state: *mut Outgoing) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let to = (&raw mut (*state).line).cast::<u8>().add(VALUE_AT);
        if !head::copy(&raw mut (*state).scan, to) {
            return false;
        }
        (*state).scan.digits = 0;
        let mut context = state;
        let callback = check as extern "C" fn(u64, *mut *mut Outgoing) -> u64;
        // The round behind the last character ends it, so that a wrong one does not look like the end.
        let all = VALUE as u32 + 1;
        bpf_loop(all, callback as *mut c_void, (&raw mut context).cast(), 0) == i64::from(all)
            && (*state).scan.digits == 3
    }
}

/// One character of a value. `digits`: 1 once the trace is not all zeroes, and 2 once the span is not.
extern "C" fn check(index: u64, context: *mut *mut Outgoing) -> u64 {
    if index >= VALUE as u64 {
        return 1;
    }
    // SAFETY: as handed over by `value`; a map value, and within the line.
    unsafe {
        let state = *context;
        let line = (&raw const (*state).line).cast::<u8>();
        let character = *line.add(VALUE_AT + index as usize);
        let index = index as usize;
        if index == TRACE - 1 || index == SPAN - 1 || index == FLAGS - 1 {
            return u64::from(character != b'-');
        }
        let is_digit = character >= b'0' && character <= b'9';
        let is_letter = character >= b'a' && character <= b'f';
        if !(is_digit || is_letter) {
            return 1;
        }
        if character != b'0' {
            if index < TRACE {
                return 1;
            }
            if index < SPAN {
                (*state).scan.digits |= 1;
            } else if index < FLAGS {
                (*state).scan.digits |= 2;
            }
        }
    }
    0
}

/// The request in `state` is in a hand.
///
/// # Safety
/// `state` must be valid.
#[inline(always)]
unsafe fn take(state: *mut Outgoing, key: [u64; 2], offset: u64, known: bool) {
    // SAFETY: the caller's promise; map values.
    unsafe {
        let fresh = match HANDS.get_ptr_mut(key) {
            Some(hand) if (*hand).open > 0 => {
                (*hand).mixed = 1;
                add(&raw mut (*hand).open, 1);
                (*state).hand = key;
                return;
            }
            Some(hand) => hand,
            None => {
                if HANDS.insert(key, EMPTY, 0).is_err() {
                    return;
                }
                let Some(hand) = HANDS.get_ptr_mut(key) else { return };
                hand
            }
        };
        let line = (&raw const (*state).line).cast::<u8>().add(VALUE_AT);
        core::ptr::copy_nonoverlapping(line.add(TRACE), (&raw mut (*fresh).trace).cast::<u8>(), 32);
        core::ptr::copy_nonoverlapping(line.add(FLAGS), (&raw mut (*fresh).flags).cast::<u8>(), 2);
        (*fresh).socket = (*state).cookie;
        (*fresh).offset = offset;
        (*fresh).known = u8::from(known);
        add(&raw mut (*fresh).open, 1);
        // Another thread may have read one meanwhile.
        (*fresh).mixed = u8::from((&raw const (*fresh).open).read_volatile() > 1);
        (*state).hand = key;
    }
}

/// The request that was read on this socket is in nobody's hand any more.
///
/// # Safety
/// `state` must be valid.
#[inline(always)]
unsafe fn drop_hand(state: *mut Outgoing) {
    // SAFETY: the caller's promise; map values.
    unsafe {
        let key = (*state).hand;
        if key[0] == 0 {
            return;
        }
        (*state).hand = [0; 2];
        if let Some(hand) = HANDS.get_ptr_mut(key) {
            add(&raw mut (*hand).open, -1);
            let open = (&raw const (*hand).open).read_volatile();
            if open < 0 {
                // It was forgotten meanwhile and made anew, or counted twice.
                (&raw mut (*hand).open).write_volatile(0);
            }
            if open <= 0 {
                (*hand).mixed = 0;
                (*hand).known = 0;
            }
        }
    }
}

/// # Safety
/// `number` must be valid.
#[inline(always)]
unsafe fn add(number: *mut i64, value: i64) {
    // SAFETY: the caller's promise. Threads may meet here, and this target's core has no atomic addition.
    unsafe {
        core::arch::asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) number, in(reg) value, options(nostack))
    };
}

/// A Python thread without a context of its own, and else a process, is one execution.
#[inline(always)]
fn key(pid: u32, tid: u32, who: &Identity) -> [u64; 2] {
    let kind = u64::from(pid) << 32 | u64::from(who.kind);
    if who.kind != u32::from(NONE) && who.context != 0 {
        [kind, who.context]
    } else if who.kind == u32::from(PYTHON) {
        [kind, 1 << 63 | u64::from(tid)]
    } else {
        [kind, 0]
    }
}

const EMPTY: Hand = Hand {
    trace: [0; 32],
    flags: [0; 2],
    known: 0,
    mixed: 0,
    padding: [0; 4],
    open: 0,
    socket: 0,
    offset: 0,
};
