//! Options of what is sent.

use core::ptr;

use aya_ebpf::{
    bindings::{BPF_SK_STORAGE_GET_F_CREATE, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG, bpf_sock, bpf_sock_ops},
    cty::c_void,
    helpers::{
        bpf_get_current_pid_tgid,
        generated::{bpf_reserve_hdr_opt, bpf_sk_storage_get, bpf_sock_ops_cb_flags_set, bpf_store_hdr_opt},
    },
};
use honeyguide_common::{
    propagation::{
        KEPT, OFFSET_BITS, OPTION_ID, OPTION_KIND, OPTION_LENGTH, OPTION_PLAINTEXT, OPTION_SAMPLED,
        OptionOutcome, TRIAL, VALUE,
    },
    record::{FLAG_OPTION, FLAG_PLAINTEXT, Injected, KIND_INJECTED},
    tls::{CALL_WRITE, CALL_WRITE_EX, GO_WRITE},
    verdict,
};

use super::{OFFSET_MASK, count, extent, stays_here};
use crate::{
    call, emit,
    maps::{GO_CALLS, GO_PROCESSES, TLS_SESSIONS, TLS_SOCKETS, TLS_THREADS, TlsStream, WRITES},
    memory::{self, below, field},
    offsets,
    propagate::{self, Outgoing, hand, is_on, is_trial},
    select, settings, socket,
    tls::{self, LOOKS_ENCRYPTED},
};

/// `args[0]` of the question how many bytes a header takes: it is for no segment yet (include/uapi/linux/bpf.h).
const BPF_WRITE_HDR_TCP_CURRENT_MSS: u32 = 1;

/// What is known of a connection whose segments get options.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Writes {
    /// The thread that is in a send, as `bpf_get_current_pid_tgid` has it; 0 where none is known to be.
    sender: u64,
    /// TCP's number of the first byte of the stream.
    origin: u32,
    /// Stretches so far.
    begun: u32,
    stretches: [Stretch; KEPT],
}

/// The bytes of a send.
#[repr(C)]
#[derive(Clone, Copy)]
struct Stretch {
    /// TCP's number of the first one.
    start: u32,
    /// 0: there is none.
    id: u32,
    trace: [u8; 16],
    span: u64,
    /// The request that its sender had in hand.
    cause: [u64; 2],
}

/// A connection was opened by a process that is looked at, or it was not.
#[inline(always)]
pub fn begin_connection(ops: *mut bpf_sock_ops, sk: *mut bpf_sock) {
    let Some(state) = propagate::storage(sk.cast(), 0) else { return };
    if stays_here(ops) && !is_on(TRIAL) {
        return;
    }
    let Some(writes) = storage(sk.cast(), BPF_SK_STORAGE_GET_F_CREATE) else {
        count(OptionOutcome::Untold);
        return;
    };
    // SAFETY: socket storage lives while the program holds the socket; fields and helpers of the program's context.
    unsafe {
        // Data that left with the SYN was sent unseen; the SYN counts as one.
        if (*ops).bytes_acked > 1 || (*state).mode == 0 {
            return;
        }
        (*writes).origin = (*ops).snd_nxt;
        let flags = (*ops).bpf_sock_ops_cb_flags | BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG;
        bpf_sock_ops_cb_flags_set(ops, flags as i32);
    }
}

/// How many bytes of a segment's header are wanted; asked for each that is made. It is also asked for one that is not there yet,
/// at the start of each send and in the sender's own time, since it must be known how much goes into a segment.
#[inline(always)]
pub fn reserve(ops: *mut bpf_sock_ops, sk: *mut bpf_sock) {
    let Some(writes) = storage(sk.cast(), 0) else { return };
    // SAFETY: socket storage lives while the program holds the socket; fields and helpers of the program's context.
    unsafe {
        if (*ops).__bindgen_anon_1.args[0] == BPF_WRITE_HDR_TCP_CURRENT_MSS {
            begin(sk, writes);
            if waits(writes, (*ops).snd_una) {
                bpf_reserve_hdr_opt(ops, OPTION_LENGTH as u32, 0);
            }
            return;
        }
        let length = (*ops).skb_len;
        if length == 0 || !waits(writes, (*ops).snd_una) {
            return;
        }
        let Some(sequence) = sequence_of(ops) else { return };
        if find(writes, sequence, length).is_some() && bpf_reserve_hdr_opt(ops, OPTION_LENGTH as u32, 0) != 0
        {
            count(OptionOutcome::NoRoom);
        }
    }
}

/// There is room in the header of a segment.
#[inline(always)]
pub fn write(ops: *mut bpf_sock_ops, sk: *mut bpf_sock) {
    let Some(writes) = storage(sk.cast(), 0) else { return };
    let Some((sequence, length)) = extent(ops) else { return };
    // SAFETY: as in `reserve`.
    unsafe {
        let Some(stretch) = find(writes, sequence, length) else { return };
        let mut option = [0_u8; OPTION_LENGTH];
        option[0] = OPTION_KIND;
        option[1] = OPTION_LENGTH as u8;
        let id = (*stretch).id as u16;
        option[2] = (id >> 8) as u8;
        option[3] = id as u8;
        let bytes = option.as_mut_ptr();
        ptr::copy_nonoverlapping((&raw const (*stretch).trace).cast::<u8>(), bytes.add(4), 16);
        ptr::copy_nonoverlapping((&raw const (*stretch).span).cast::<u8>(), bytes.add(20), 8);
        let stored = bpf_store_hdr_opt(ops, option.as_ptr().cast(), OPTION_LENGTH as u32, 0) == 0;
        count(if stored { OptionOutcome::Written } else { OptionOutcome::Refused });
    }
}

/// A send has ended.
#[inline(always)]
pub fn sent(sk: *const u8) {
    if settings::TCP_OPTION.load() == 0 {
        return;
    }
    if let Some(writes) = storage(sk, 0) {
        // SAFETY: socket storage lives while the program holds the socket.
        unsafe { (*writes).sender = 0 };
    }
    if let Some(state) = propagate::storage(sk, 0) {
        // SAFETY: as above.
        unsafe { (*state).carries = 0 };
    }
}

/// A send begins, if it is a send that is under way.
///
/// # Safety
/// `writes` must be valid.
#[inline(always)]
unsafe fn begin(sk: *mut bpf_sock, writes: *mut Writes) {
    let address = memory::address(sk.cast()) as *const u8;
    // Whoever interrupts a task finds no socket locked by a call; so the one that runs is the one that has it.
    if field::<u32>(address, &offsets::OFF_SOCK_OWNED).unwrap_or(0) == 0 {
        return;
    }
    let sender = bpf_get_current_pid_tgid();
    let pid = (sender >> 32) as u32;
    let selected =
        (settings::SELECT_ALL.load() != 0 || select::is_selected(pid)) && pid != settings::SELF_PID.load();
    if !(selected || is_trial()) || !select::has_user_call() {
        return;
    }
    // SAFETY: the caller's promise.
    unsafe {
        if (*writes).sender == sender {
            // It goes on.
            return;
        }
        let Some(first) = call::sending_on_stack() else { return };
        (*writes).sender = sender;
        let Some(state) = propagate::storage(sk.cast(), 0) else { return };
        if (*state).carries != 0 {
            return;
        }
        let Some(sequence) = field::<u32>(address, &offsets::OFF_WRITE_SEQ) else { return };
        let known = socket::find(sk.cast());
        let looks = known.map_or(0, |known| (*known).tls);
        let (offset, plaintext) = if looks == LOOKS_ENCRYPTED || is_a_record(first) {
            (begins((*state).cookie, sender), true)
        } else if known.is_some_and(|known| (*known).verdict == verdict::IGNORE) {
            return;
        } else {
            (Some(u64::from(sequence.wrapping_sub((*writes).origin))), false)
        };
        let Some(offset) = offset else { return };
        hand::compose(state);
        let last = slot(writes, (*writes).begun.wrapping_sub(1));
        let unsent = field::<u32>(address, &offsets::OFF_SND_NXT)
            .is_some_and(|next| (*last).start.wrapping_sub(next) as i32 >= 0);
        // What waits to be sent, and this, will leave in one segment, which has room for one option.
        let (id, cause) = ((*last).id as u16, (*last).cause);
        if unsent
            && id != 0
            && (id & OPTION_PLAINTEXT != 0) == plaintext
            && cause[0] == (*state).cause[0]
            && cause[1] == (*state).cause[1]
        {
            return;
        }
        let stretch = slot(writes, (*writes).begun);
        let sampled = hand::trace_in_line(state, (&raw mut (*stretch).trace).cast());
        let span = (hand::random() | 1) << OFFSET_BITS | offset & u64::from(OFFSET_MASK);
        hand::name_span(state, span);
        (*stretch).start = sequence;
        (*stretch).span = span.to_be();
        (*stretch).cause[0] = (*state).cause[0];
        (*stretch).cause[1] = (*state).cause[1];
        let sampled = if sampled { OPTION_SAMPLED } else { 0 };
        let inside = if plaintext { OPTION_PLAINTEXT } else { 0 };
        // A span that nobody hears of is nobody's parent.
        if !tell(state, offset as u32, plaintext) {
            (*stretch).id = 0;
            return;
        }
        (*stretch).id = u32::from(OPTION_ID | sampled | inside);
        (*writes).begun = (*writes).begun.wrapping_add(1);
        count(OptionOutcome::Begun);
    }
}

/// # Safety
/// `state` must be valid.
#[inline(always)]
unsafe fn tell(state: *mut Outgoing, offset: u32, plaintext: bool) -> bool {
    let Some(slot) = emit::reserve(size_of::<Injected>()) else {
        count(OptionOutcome::Untold);
        return false;
    };
    let record = slot.cast::<Injected>();
    // SAFETY: the slot has room for the record, and every byte of it is written.
    unsafe {
        let flags = if plaintext { FLAG_OPTION | FLAG_PLAINTEXT } else { FLAG_OPTION };
        let before = if plaintext { 0 } else { (*state).shift };
        (*record).header = emit::header(KIND_INJECTED, flags);
        (*record).socket = (*state).cookie;
        (*record).cause_socket = (*state).cause[0];
        (*record).cause_offset = (*state).cause[1];
        (*record).before = before;
        (*record).offset = offset.wrapping_sub(before);
        (*record).length = 0;
        let value = (&raw const (*state).line).cast::<u8>().add(hand::VALUE_AT);
        ptr::copy_nonoverlapping(value, (&raw mut (*record).value).cast::<u8>(), VALUE);
        (*record).padding = [0; 5];
    }
    emit::submit(slot, false);
    true
}

/// The content types and versions of TLS (RFC 8446, 5.1).
#[inline(always)]
fn is_a_record(first: [u8; 4]) -> bool {
    first[0] >= 20 && first[0] <= 23 && first[1] == 3 && first[2] <= 4
}

/// Where in the inside of a connection's TLS the bytes begin that are about to leave as ciphertext; `None` where there are no new
/// ones, or nobody wants to know. A library that sends by itself does so before its function ends, and then the function's
/// bytes are not counted yet; else they were given to the session before.
#[inline(always)]
unsafe fn begins(cookie: u64, thread: u64) -> Option<u64> {
    // SAFETY: a map's value.
    let stream = TLS_SOCKETS.get_ptr_mut(cookie).map(|found| unsafe { &raw mut (*found).stream });
    // SAFETY: map values.
    unsafe {
        if stream.is_some_and(|stream| (*stream).verdict == verdict::IGNORE) {
            return None;
        }
        let before = stream.map_or(0, |stream| (*stream).sent);
        if let Some(entry) = TLS_THREADS.get_ptr(thread)
            && (*entry).session != 0
        {
            if (*entry).call != CALL_WRITE && (*entry).call != CALL_WRITE_EX {
                return None;
            }
            // Of a function that has sent before the bytes have begun.
            return ((*entry).touched == 0).then(|| before + unbound(tls::key((*entry).session)));
        }
        let pid = (thread >> 32) as u32;
        if GO_PROCESSES.get_ptr(pid).is_some()
            && let Some((_, g, _)) = call::go_registers_on_stack()
            && let Some(entry) = GO_CALLS.get_ptr([g, u64::from(pid)])
            && (*entry).call != 0
        {
            if (*entry).call != GO_WRITE || (*entry).shakes != 0 {
                return None;
            }
            return ((*entry).touched == 0).then(|| before + unbound(tls::key((*entry).conn)));
        }
        let stream: *mut TlsStream = stream?;
        let left = (*stream).left;
        if left >= (*stream).sent {
            return None;
        }
        (*stream).left = (*stream).sent;
        Some(left)
    }
}

/// What a session has said that has no socket yet.
#[inline(always)]
fn unbound(key: [u64; 2]) -> u64 {
    let Some(session) = TLS_SESSIONS.get_ptr(key) else { return 0 };
    // SAFETY: a map value.
    unsafe { if (*session).socket == 0 { (*session).stream.sent } else { 0 } }
}

/// Whether some of what has an option is not acknowledged.
///
/// # Safety
/// `writes` must be valid.
#[inline(always)]
unsafe fn waits(writes: *mut Writes, acknowledged: u32) -> bool {
    // SAFETY: the caller's promise. The last one is acknowledged last.
    unsafe {
        let last = slot(writes, (*writes).begun.wrapping_sub(1));
        let waits = (*last).id != 0 && (*last).start.wrapping_sub(acknowledged) as i32 >= 0;
        if !waits {
            // Numbers come again.
            (*last).id = 0;
        }
        waits
    }
}

/// The last stretch that begins within a segment: no other does between its start and the segment's end.
///
/// # Safety
/// `writes` must be valid.
#[inline(always)]
unsafe fn find(writes: *mut Writes, sequence: u32, length: u32) -> Option<*mut Stretch> {
    let mut back = 1;
    while back <= KEPT as u32 {
        // SAFETY: the caller's promise.
        unsafe {
            let stretch = slot(writes, (*writes).begun.wrapping_sub(back));
            if (*stretch).id != 0 && (*stretch).start.wrapping_sub(sequence) < length {
                return Some(stretch);
            }
        }
        back += 1;
    }
    None
}

/// # Safety
/// `writes` must be valid.
#[inline(always)]
unsafe fn slot(writes: *mut Writes, index: u32) -> *mut Stretch {
    // SAFETY: the caller's promise; within the array.
    unsafe { (&raw mut (*writes).stretches).cast::<Stretch>().add(below::<KEPT>(index) as usize) }
}

/// The number of the first byte of a segment that is being made. Its header is not written yet, and the context does not have
/// it: it is where TCP keeps it.
#[inline(always)]
fn sequence_of(ops: *mut bpf_sock_ops) -> Option<u32> {
    let context = memory::address(ops.cast()) as *const u8;
    let segment = field::<*const u8>(context, &offsets::OFF_SOCK_OPS_SKB)?;
    field::<u32>(segment.wrapping_add(offsets::OFF_SKB_CB.load() as usize), &offsets::OFF_TCP_CB_SEQ)
}

#[inline(always)]
fn storage(sk: *const u8, flags: u32) -> Option<*mut Writes> {
    let map = (&raw const WRITES).cast_mut().cast::<c_void>();
    // SAFETY: the map lives as long as the program; `sk` comes from the program's context. Without a value it begins with
    // zeroes.
    let state = unsafe { bpf_sk_storage_get(map, sk.cast_mut().cast(), ptr::null_mut(), u64::from(flags)) };
    (!state.is_null()).then_some(state.cast())
}
