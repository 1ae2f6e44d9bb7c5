//! What the kernel remembers of each socket, and the record that describes it.

use core::ptr;

use aya_ebpf::{
    bindings::BPF_SK_STORAGE_GET_F_CREATE,
    cty::c_void,
    helpers::generated::{bpf_get_socket_cookie, bpf_probe_read_kernel, bpf_sk_storage_get},
};
use honeyguide_common::{
    Failure,
    record::{
        Connection, DIRECTION_SEND, FAMILY_INET, FAMILY_INET6, FAMILY_UNIX, FLAG_FROM_START, FLAG_SEQUENCES,
        KIND_CONNECTION, UNIX_PATH,
    },
    verdict,
};

use crate::{
    emit, error,
    maps::{SOCKETS, SocketState, VERDICTS},
    memory::{self, field},
    offsets, propagate,
    select::{self, Caller},
    settings, tls,
};

/// `SocketState::whole`, and a session's: the budget is for each operation, or there is none, and frames are looked at.
pub const BY_OPERATION: u8 = 1;
pub const BY_FRAME: u8 = 2;
/// `sk_shutdown`: the peer will send no more (include/net/sock.h).
const RCV_SHUTDOWN: u8 = 1;
const SOCK_STREAM: u16 = 1;
const IPPROTO_TCP: u16 = 6;
/// Go listens with MPTCP by default since 1.24.
const IPPROTO_MPTCP: u16 = 262;

/// The state of a socket that was admitted before.
#[inline(always)]
pub fn find(sk: *const u8) -> Option<*mut SocketState> {
    storage(sk, ptr::null_mut(), 0)
}

/// The state of a socket whose operations are to be recorded; makes and announces it the first time.
#[inline(always)]
pub fn admit(sk: *const u8, caller: &Caller, direction: u8, result: i32) -> Option<*mut SocketState> {
    let state = match find(sk) {
        Some(state) => state,
        None => {
            let state = create(sk, caller);
            if state.is_null() {
                return None;
            }
            state
        }
    };
    // SAFETY: socket storage lives while the program holds the socket.
    unsafe {
        if (*state).verdict == verdict::UNDECIDED {
            if let Some(word) = VERDICTS.get_ptr((*state).cookie) {
                (*state).verdict = *word;
                (*state).whole = whole(*word, (*state).whole);
            }
        }
        if !(caller.by_pid || (*state).by_port != 0) {
            return None;
        }
        if (*state).verdict == verdict::IGNORE && !is_watched(state, result) {
            return None;
        }
        if (*state).described == 0 && describe(sk, state, caller, direction, result) {
            (*state).described = 1;
            if settings::TCP_OPTION.load() != 0 {
                propagate::option::receive::described(sk, (*state).cookie);
            }
        }
    }
    Some(state)
}

/// How a stream is captured after the agent's verdict, that was captured `before`.
#[inline(always)]
pub fn whole(word: u8, before: u8) -> u8 {
    match word {
        verdict::WHOLE => BY_OPERATION,
        verdict::FRAMES => BY_FRAME,
        _ => before,
    }
}

/// What an ignored socket carries may be TLS, of which the plaintext is followed: then its operations lead to its
/// sessions, and its end is theirs.
///
/// # Safety
/// `state` must be valid.
#[inline(always)]
pub unsafe fn is_watched(state: *mut SocketState, result: i32) -> bool {
    if settings::TRACE_TLS.load() == 0 {
        return false;
    }
    // SAFETY: the caller's promise.
    let looks = unsafe { (*state).tls };
    looks == tls::LOOKS_ENCRYPTED || (looks < tls::LOOKS_PLAIN && result > 0)
}

/// Null where it is of no interest. A subprogram of its own, as `describe` is.
#[inline(never)]
fn create(sk: *const u8, caller: &Caller) -> *mut SocketState {
    let Some(mut fresh) = fresh(sk, caller) else { return ptr::null_mut() };
    let Some(state) = storage(sk, &raw mut fresh, u64::from(BPF_SK_STORAGE_GET_F_CREATE)) else {
        error::count(Failure::NoStorage);
        return ptr::null_mut();
    };
    state
}

#[inline(always)]
fn fresh(sk: *const u8, caller: &Caller) -> Option<SocketState> {
    let family = field::<u16>(sk, &offsets::OFF_FAMILY)?;
    if field::<u16>(sk, &offsets::OFF_TYPE)? != SOCK_STREAM {
        return None;
    }
    let protocol = field::<u16>(sk, &offsets::OFF_PROTOCOL)?;
    let inet = (family == FAMILY_INET || family == FAMILY_INET6)
        && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP);
    if !inet && family != FAMILY_UNIX {
        return None;
    }
    let mut by_port = 0;
    if inet && settings::SELECT_PORTS.load() != 0 {
        let local = field::<u16>(sk, &offsets::OFF_LOCAL_PORT)?;
        let remote = u16::from_be(field::<u16>(sk, &offsets::OFF_REMOTE_PORT)?);
        by_port = u8::from(select::is_port_selected(local) || select::is_port_selected(remote));
    }
    if by_port == 0 && !caller.by_pid && family == FAMILY_UNIX {
        return None;
    }
    Some(SocketState {
        // SAFETY: `sk` is the hook's own argument, which the helper accepts.
        cookie: unsafe { bpf_get_socket_cookie(sk.cast_mut().cast()) },
        sent: 0,
        received: 0,
        budget: 0,
        direction: u8::MAX,
        // Remembered for sockets of nobody's, so that the port is looked up once.
        verdict: verdict::UNDECIDED,
        by_port,
        described: 0,
        tcp: u8::from(inet && protocol == IPPROTO_TCP),
        tls: 0,
        whole: 0,
        padding: [0; 5],
    })
}

#[inline(always)]
fn storage(sk: *const u8, value: *mut SocketState, flags: u64) -> Option<*mut SocketState> {
    let map = (&raw const SOCKETS).cast_mut().cast::<c_void>();
    // SAFETY: the map lives as long as the program; `sk` is the hook's own argument.
    let state = unsafe { bpf_sk_storage_get(map, sk.cast_mut().cast(), value.cast(), flags) };
    (!state.is_null()).then_some(state.cast())
}

/// Emits the connection record; false if the ring is full. A subprogram of its own: the stack it takes is free again
/// when the operation is looked at.
#[inline(never)]
fn describe(sk: *const u8, state: *const SocketState, caller: &Caller, direction: u8, result: i32) -> bool {
    // SAFETY: as in `admit`.
    let (cookie, tcp, sent, received) =
        unsafe { ((*state).cookie, (*state).tcp, (*state).sent, (*state).received) };
    // Made in the ring itself: on the stack it would take the room of what is called later.
    emit::in_place(Failure::RingFullConnection, |slot: *mut Connection| {
        // SAFETY: the slot has room for the record, of which every byte is written before it is read.
        let record = unsafe {
            ptr::write_bytes(slot, 0, 1);
            &mut *slot
        };
        record.header = emit::header(KIND_CONNECTION, 0);
        record.socket = cookie;
        record.pid = caller.pid;
        record.tid = caller.tid;
        record.family = field::<u16>(sk, &offsets::OFF_FAMILY).unwrap_or(0);
        if let Some(net) = field::<*const u8>(sk, &offsets::OFF_NET) {
            record.netns = field::<u32>(net, &offsets::OFF_NET_INUM).unwrap_or(0);
        }
        if record.family == FAMILY_UNIX {
            unix(sk, record);
        } else {
            inet(sk, record);
        }
        if tcp != 0 {
            let moved = if result > 0 { result as u32 } else { 0 };
            // What was put in is none of the sender's bytes.
            let added = if settings::PROPAGATE.load() != 0 { propagate::shift(sk) } else { 0 };
            sequences(sk, record, direction, moved, [sent as u32, received as u32, added]);
        }
    })
}

#[inline(always)]
fn inet(sk: *const u8, record: &mut Connection) {
    record.local_port = field::<u16>(sk, &offsets::OFF_LOCAL_PORT).unwrap_or(0);
    record.remote_port = u16::from_be(field::<u16>(sk, &offsets::OFF_REMOTE_PORT).unwrap_or(0));
    if record.family == FAMILY_INET {
        let local = field::<[u8; 4]>(sk, &offsets::OFF_LOCAL_V4).unwrap_or([0; 4]);
        let remote = field::<[u8; 4]>(sk, &offsets::OFF_REMOTE_V4).unwrap_or([0; 4]);
        record.local[..4].copy_from_slice(&local);
        record.remote[..4].copy_from_slice(&remote);
    } else {
        record.local = field::<[u8; 16]>(sk, &offsets::OFF_LOCAL_V6).unwrap_or([0; 16]);
        record.remote = field::<[u8; 16]>(sk, &offsets::OFF_REMOTE_V6).unwrap_or([0; 16]);
    }
}

/// The path is the listening side's: an accepted socket shares its listener's address, a client's own is
/// mostly empty, and then the peer's is taken.
#[inline(always)]
fn unix(sk: *const u8, record: &mut Connection) {
    let peer = field::<*const u8>(sk, &offsets::OFF_UNIX_PEER).unwrap_or(ptr::null());
    record.unix_self = memory::address(sk) ^ settings::ADDRESS_KEY.load();
    if !peer.is_null() {
        record.unix_peer = peer as u64 ^ settings::ADDRESS_KEY.load();
    }
    let own = field::<*const u8>(sk, &offsets::OFF_UNIX_ADDR).unwrap_or(ptr::null());
    let address = if own.is_null() && !peer.is_null() {
        field::<*const u8>(peer, &offsets::OFF_UNIX_ADDR).unwrap_or(ptr::null())
    } else {
        own
    };
    if address.is_null() {
        return;
    }
    // `len` counts the two bytes of the family before the path.
    let length = field::<u32>(address, &offsets::OFF_UNIX_LEN).unwrap_or(0).saturating_sub(2);
    let length = if length as usize > UNIX_PATH { UNIX_PATH as u32 } else { length };
    let path = address.wrapping_add(offsets::OFF_UNIX_NAME.load() as usize + 2);
    // SAFETY: the record has UNIX_PATH bytes for it; the helper checks the kernel address.
    let read = unsafe { bpf_probe_read_kernel((&raw mut record.path).cast(), length, path.cast()) };
    if read == 0 {
        record.path_length = length as u16;
    }
}

/// TCP numbers every byte, and both ends use the same numbers: they name a position in the stream
/// without any need to have seen its start. Taken after the operation, so its own bytes are subtracted.
#[inline(always)]
fn sequences(sk: *const u8, record: &mut Connection, direction: u8, moved: u32, passed: [u32; 3]) {
    let [sent, received, added] = passed;
    let (Some(write), Some(copied), Some(next), Some(una), Some(bytes_in), Some(acked)) = (
        field::<u32>(sk, &offsets::OFF_WRITE_SEQ),
        field::<u32>(sk, &offsets::OFF_COPIED_SEQ),
        field::<u32>(sk, &offsets::OFF_RCV_NXT),
        field::<u32>(sk, &offsets::OFF_SND_UNA),
        field::<u64>(sk, &offsets::OFF_BYTES_RECEIVED),
        field::<u64>(sk, &offsets::OFF_BYTES_ACKED),
    ) else {
        return;
    };
    let write = write.wrapping_sub(added);
    // A read that also met the peer's FIN has counted it: one number more than there were bytes.
    let shutdown = field::<u8>(sk, &offsets::OFF_SHUTDOWN).unwrap_or(0);
    let fin = u32::from(shutdown & RCV_SHUTDOWN != 0 && copied == next);
    let (just_sent, just_read) = if direction == DIRECTION_SEND { (moved, 0) } else { (0, moved) };
    record.send_sequence = write.wrapping_sub(just_sent).wrapping_sub(sent);
    record.receive_sequence = copied.wrapping_sub(fin).wrapping_sub(just_read).wrapping_sub(received);
    record.header.flags = FLAG_SEQUENCES;
    // An active opener's acknowledged bytes count its SYN, so "nothing before" is 0 or 1.
    let sent_before =
        acked.wrapping_add(u64::from(write.wrapping_sub(una))).wrapping_sub(u64::from(just_sent));
    let unread = u64::from(next.wrapping_sub(copied));
    let read_before = bytes_in.wrapping_sub(unread).wrapping_sub(u64::from(just_read) + u64::from(fin));
    if sent == 0 && received == 0 && sent_before <= 1 && read_before == 0 {
        record.header.flags |= FLAG_FROM_START;
    }
}
