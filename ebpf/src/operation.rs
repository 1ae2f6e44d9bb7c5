//! One socket operation: select, find the bytes, cut to the budget, emit.
//!
//! Only the edges of messages are copied: the first bytes after each change of direction, up to a budget;
//! beyond it the first few of each operation, where a chunk's size or the next message's head stands; and the
//! last few of what was cut. The rest is counted.

use aya_ebpf::helpers::{bpf_ktime_get_ns, bpf_probe_read_user};
use honeyguide_common::{
    Failure,
    record::{
        DIRECTION_SEND, EDGE, FLAG_EOF, MAX_CAPTURE, ORIGIN_BUFFER, ORIGIN_MESSAGE, ORIGIN_OTHER,
        ORIGIN_VECTOR,
    },
    verdict,
};

use crate::{
    call::{self, IoVec, UserBytes},
    emit::{self, Piece},
    error, frames, identity,
    maps::SocketState,
    select, settings, socket, times, tls,
};

/// Looks at one finished send or receive; `result` is its byte count, 0, or a negative errno.
#[inline(always)]
pub fn observe(sk: *const u8, result: i32, direction: u8) {
    if result < 0 && is_not_an_end(result) {
        call::end_batch();
        return;
    }
    if result == 0 && direction == DIRECTION_SEND {
        return;
    }
    let Some(caller) = select::caller() else { return };
    let Some(state) = socket::admit(sk, &caller, direction, result) else { return };
    let bytes = if result > 0 { call::user_bytes() } else { NO_BYTES };
    if settings::TRACE_TLS.load() != 0 && result > 0 {
        tls::look(state, &bytes, result as u32, direction);
    }
    // SAFETY: socket storage lives while the program holds the socket.
    if result > 0 && unsafe { (*state).verdict } == verdict::IGNORE {
        return;
    }
    record(state, &caller, &bytes, result, direction);
}

/// EINTR, EAGAIN and the kernel's own restarts: the caller tries again.
#[inline(always)]
fn is_not_an_end(result: i32) -> bool {
    result == -4 || result == -11 || result <= -512
}

/// A subprogram of its own: the stack it takes is not in use when the inside of TLS is told.
#[inline(never)]
fn record(
    state: *mut SocketState,
    caller: &select::Caller,
    bytes: &UserBytes,
    result: i32,
    direction: u8,
) -> u32 {
    let length = if result > 0 { result as u32 } else { 0 };
    // SAFETY: socket storage lives while the program holds the socket. Two threads that send on one socket
    // at once race on these words as they race on the stream itself.
    let (offset, budget, fresh, by_frame, preface) = unsafe {
        let offset = if direction == DIRECTION_SEND { (*state).sent } else { (*state).received };
        if direction == DIRECTION_SEND {
            (*state).sent = offset + u64::from(length);
        } else {
            (*state).received = offset + u64::from(length);
        }
        let preface = offset == 0 && begins_http2(bytes.address, vectors_of(bytes), length);
        if preface {
            (*state).whole = socket::BY_FRAME;
        }
        let fresh = (*state).direction != direction;
        let budget = if (*state).whole != 0 {
            MAX_CAPTURE as u32
        } else if fresh {
            settings::CAPTURE_BYTES.load()
        } else {
            (*state).budget
        };
        (*state).direction = direction;
        (*state).budget = budget.saturating_sub(length);
        (offset, at_least_an_edge(budget), fresh, (*state).whole == socket::BY_FRAME, preface)
    };
    let mut piece = Piece {
        // SAFETY: no arguments.
        time: unsafe { bpf_ktime_get_ns() },
        // SAFETY: as above.
        socket: unsafe { (*state).cookie },
        offset,
        who: identity::of_operation(caller.pid, direction),
        address: bytes.address,
        pid: caller.pid,
        tid: caller.tid,
        length,
        capture: 0,
        result: if result < 0 { result } else { 0 },
        flags: 0,
        direction,
        origin: bytes.origin,
    };
    if result == 0 {
        piece.flags = FLAG_EOF;
    }
    // A request begins with the first receive of a burst, a response ends with any of its sends.
    if settings::THREAD_TIMES.load() == 1 && (fresh || direction == DIRECTION_SEND) {
        times::tell(caller.tid, piece.time);
    }
    if by_frame && length > 0 && settings::LOOPS.load() != 0 {
        match bytes.origin {
            ORIGIN_BUFFER => {
                frames::emit(piece.socket, &mut piece, 0, u64::from(preface));
                return 0;
            }
            ORIGIN_VECTOR | ORIGIN_MESSAGE => {
                frames::emit(piece.socket, &mut piece, bytes.count, u64::from(preface));
                return 0;
            }
            _ => frames::pass(piece.socket, &piece),
        }
    }
    if bytes.origin == ORIGIN_VECTOR || bytes.origin == ORIGIN_MESSAGE {
        piece.capture = smaller(length, budget);
        vectors(&mut piece, bytes.count);
        return 0;
    }
    if bytes.origin == ORIGIN_BUFFER {
        piece.capture = smaller(length, budget);
    }
    emit::data(&piece)
}

const NO_BYTES: UserBytes = UserBytes { origin: ORIGIN_OTHER, address: 0, count: 0 };

/// 0 for a buffer.
#[inline(always)]
fn vectors_of(bytes: &UserBytes) -> u64 {
    if bytes.origin == ORIGIN_VECTOR || bytes.origin == ORIGIN_MESSAGE { bytes.count } else { 0 }
}

#[inline(always)]
pub fn begins_http2(address: u64, vectors: u64, length: u32) -> bool {
    if vectors == 0 {
        return is_http2_preface(address, length);
    }
    // SAFETY: bpf_probe_read_user checks the address.
    let first = unsafe { bpf_probe_read_user(address as *const IoVec) };
    first.is_ok_and(|first| is_http2_preface(first.base, length))
}

/// The agent's verdict comes after the first requests. The client's preface says it at once (RFC 9113, 3.4); it is
/// looked for in the first bytes of a connection alone.
#[inline(always)]
fn is_http2_preface(address: u64, length: u32) -> bool {
    const PREFACE: [u8; 8] = *b"PRI * HT";
    if length < PREFACE.len() as u32 {
        return false;
    }
    // SAFETY: bpf_probe_read_user checks the address; 0 is no address of a user's.
    let start = unsafe { bpf_probe_read_user(address as *const [u8; 8]) };
    start.is_ok_and(|start| u64::from_ne_bytes(start) == u64::from_ne_bytes(PREFACE))
}

/// One vector is a plain buffer; several are gathered.
#[inline(always)]
pub fn vectors(piece: &mut Piece, count: u64) {
    if count > 1 {
        emit::gathered(piece, count);
        return;
    }
    // SAFETY: bpf_probe_read_user checks the address.
    match unsafe { bpf_probe_read_user(piece.address as *const IoVec) } {
        Ok(only) => {
            piece.address = only.base;
            emit::data(piece);
        }
        Err(_) => {
            error::count(Failure::UserFault);
            piece.capture = 0;
            piece.address = 0;
            emit::data(piece);
        }
    }
}

/// What a streamed response is made of, and pipelined ones, is small writes, one after another. Without their
/// first bytes the end of none but the first would be seen.
#[inline(always)]
pub fn at_least_an_edge(budget: u32) -> u32 {
    let setting = settings::CAPTURE_BYTES.load();
    let edge = if setting < EDGE { setting } else { EDGE };
    if budget < edge { edge } else { budget }
}

#[inline(always)]
pub fn smaller(length: u32, budget: u32) -> u32 {
    let least = if length < budget { length } else { budget };
    if least > MAX_CAPTURE as u32 { MAX_CAPTURE as u32 } else { least }
}
