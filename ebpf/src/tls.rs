//! TLS sessions: their plaintext, and which socket carries it.
//!
//! A library that reads and writes the socket itself does so between the entry and the exit of its function, on
//! the same thread: then the socket is certain. Where the program carries the ciphertext (memory BIOs), the session
//! belongs to the socket whose ciphertext the thread has read and given to no session yet, or to the one that
//! next sends ciphertext after the session made some. Until it is known, plaintext goes by the session's name.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns, bpf_probe_read_user};
use honeyguide_common::{
    Failure,
    record::{
        Bind, DIRECTION_RECEIVE, DIRECTION_SEND, FLAG_PLAINTEXT, FLAG_UNBOUND, KIND_BIND, MAX_CAPTURE,
        ORIGIN_BUFFER, ORIGIN_MESSAGE, ORIGIN_VECTOR,
    },
    verdict,
};

use crate::{
    call::{IoVec, UserBytes},
    emit::{self, Piece},
    error, frames, identity,
    maps::{SocketState, TLS_SESSIONS, TLS_THREADS, TlsSession, TlsThread, VERDICTS},
    operation, select, settings, socket,
};

/// Which function runs on a thread.
pub const CALL_READ: u64 = 1;
pub const CALL_WRITE: u64 = 2;
pub const CALL_READ_EX: u64 = 3;
pub const CALL_WRITE_EX: u64 = 4;

/// `SocketState::tls`: below `LOOKS_PLAIN` the number of operations that did not begin with a TLS record. A protocol
/// may change to TLS after a few messages; beyond that nobody looks any more.
pub const LOOKS_PLAIN: u8 = 8;
pub const LOOKS_ENCRYPTED: u8 = 255;

/// Looks at one operation of a socket, and joins it to the session that the thread is busy with.
#[inline(always)]
pub fn look(state: *mut SocketState, bytes: &UserBytes, direction: u8) {
    // SAFETY: socket storage lives while the program holds the socket.
    unsafe {
        if (*state).tls < LOOKS_PLAIN {
            (*state).tls = if begins_a_record(bytes) { LOOKS_ENCRYPTED } else { (*state).tls + 1 };
        }
        if (*state).tls == LOOKS_ENCRYPTED {
            touch((*state).cookie, direction);
        }
    }
}

/// A content type from change_cipher_spec to application_data, and a version from SSL 3 to TLS 1.3
/// (RFC 8446 section 5.1).
#[inline(always)]
fn begins_a_record(bytes: &UserBytes) -> bool {
    let mut address = bytes.address;
    if bytes.origin == ORIGIN_VECTOR || bytes.origin == ORIGIN_MESSAGE {
        // SAFETY: bpf_probe_read_user checks the address.
        match unsafe { bpf_probe_read_user(address as *const IoVec) } {
            Ok(first) => address = first.base,
            Err(_) => return false,
        }
    } else if bytes.origin != ORIGIN_BUFFER {
        return false;
    }
    // SAFETY: bpf_probe_read_user checks the address.
    match unsafe { bpf_probe_read_user(address as *const [u8; 3]) } {
        Ok([kind, major, minor]) => kind >= 20 && kind <= 23 && major == 3 && minor <= 4,
        Err(_) => false,
    }
}

/// Ciphertext passed `socket` on this thread.
#[inline(never)]
fn touch(socket: u64, direction: u8) -> u32 {
    let thread = bpf_get_current_pid_tgid();
    let Some(entry) = TLS_THREADS.get_ptr_mut(thread) else {
        if direction == DIRECTION_RECEIVE {
            let fresh = TlsThread { fresh: socket, ..IDLE };
            let _ = TLS_THREADS.insert(thread, fresh, 0);
        }
        return 0;
    };
    // SAFETY: a map value that only its own thread uses.
    unsafe {
        if (*entry).session != 0 {
            (*entry).touched = socket;
        } else if direction == DIRECTION_RECEIVE {
            (*entry).fresh = socket;
        } else if (*entry).pending != 0 {
            let key = key((*entry).pending);
            (*entry).pending = 0;
            if let Some(session) = TLS_SESSIONS.get_ptr_mut(key) {
                bind(session, key, socket);
            }
        }
    }
    0
}

/// A function begins.
#[inline(always)]
pub fn enter(session: u64, buffer: u64, count: u64, call: u64) {
    if select::caller().is_none() || session == 0 {
        return;
    }
    let thread = bpf_get_current_pid_tgid();
    match TLS_THREADS.get_ptr_mut(thread) {
        // SAFETY: a map value that only its own thread uses.
        Some(entry) => unsafe {
            (*entry).session = session;
            (*entry).buffer = buffer;
            (*entry).count = count;
            (*entry).call = call;
            (*entry).touched = 0;
        },
        None => {
            let _ = TLS_THREADS.insert(thread, TlsThread { session, buffer, count, call, ..IDLE }, 0);
        }
    }
}

/// A function ends: `result` is what it returns.
#[inline(always)]
pub fn leave(call: u64, result: i32) {
    let Some(thread) = TLS_THREADS.get_ptr_mut(bpf_get_current_pid_tgid()) else { return };
    // SAFETY: a map value that only its own thread uses.
    unsafe {
        if (*thread).session == 0 || (*thread).call != call {
            return;
        }
        finish(thread, call, result);
        (*thread).session = 0;
        if call != CALL_WRITE && call != CALL_WRITE_EX {
            (*thread).fresh = 0;
        }
    }
}

/// A handshake goes on: with a memory BIO the ciphertext that was just read is this session's. There is no exit to
/// look at, since the function ends in a jump to another.
#[inline(always)]
pub fn handshake(object: u64) {
    if select::caller().is_none() || object == 0 {
        return;
    }
    let Some(thread) = TLS_THREADS.get_ptr_mut(bpf_get_current_pid_tgid()) else { return };
    // SAFETY: a map value that only its own thread uses.
    unsafe {
        let fresh = (*thread).fresh;
        if fresh == 0 {
            return;
        }
        (*thread).fresh = 0;
        let key = key(object);
        if let Some(session) = find(key) {
            begin(session, fresh);
        }
    }
}

/// The library frees its object: another session may come to lie at the same address.
#[inline(always)]
pub fn forget(session: u64) {
    let _ = TLS_SESSIONS.remove(key(session));
}

/// # Safety
/// `thread` must be valid.
#[inline(always)]
unsafe fn finish(thread: *mut TlsThread, call: u64, result: i32) {
    // SAFETY: the caller's promise.
    let (address, count, touched, fresh) =
        unsafe { ((*thread).buffer, (*thread).count, (*thread).touched, (*thread).fresh) };
    // SAFETY: as above.
    let key = key(unsafe { (*thread).session });
    let writes = call == CALL_WRITE || call == CALL_WRITE_EX;
    let mut length = if result > 0 { result as u32 } else { 0 };
    if length != 0 && count != 0 {
        // SAFETY: bpf_probe_read_user checks the address.
        length = unsafe { bpf_probe_read_user(count as *const u64) }.unwrap_or(0) as u32;
    }
    if touched == 0 && fresh == 0 && length == 0 {
        return;
    }
    let Some(session) = find(key) else { return };
    // SAFETY: a map value; two threads that write to one session at once race as they race on the stream itself.
    unsafe {
        if touched != 0 {
            bind(session, key, touched);
        } else if !writes && fresh != 0 {
            if length == 0 {
                // A handshake may go on in here, too.
                begin(session, fresh);
            } else if (*session).socket == 0 {
                bind(session, key, fresh);
            }
        }
        if length == 0 {
            return;
        }
        let direction = if writes { DIRECTION_SEND } else { DIRECTION_RECEIVE };
        if (*session).socket == 0 {
            // A process that is not selected has bytes to show only where its connection is.
            if !select::caller().is_some_and(|caller| caller.by_pid) {
                return;
            }
            (*session).unbound = 1;
            if writes {
                (*thread).pending = (*thread).session;
            }
        }
        plaintext(session, key, address, length, direction);
    }
}

/// # Safety
/// `session` must be valid.
#[inline(never)]
unsafe fn plaintext(
    session: *mut TlsSession,
    key: [u64; 2],
    address: u64,
    length: u32,
    direction: u8,
) -> u32 {
    let ids = bpf_get_current_pid_tgid();
    // SAFETY: the caller's promise.
    let (socket, flags, offset, budget, by_frame, preface) = unsafe {
        let offset = if direction == DIRECTION_SEND { (*session).sent } else { (*session).received };
        if direction == DIRECTION_SEND {
            (*session).sent = offset + u64::from(length);
        } else {
            (*session).received = offset + u64::from(length);
        }
        let fresh = (*session).direction != direction;
        let preface = offset == 0 && operation::is_http2_preface(address, length);
        if preface {
            (*session).whole = socket::BY_FRAME;
        }
        if (*session).verdict == verdict::UNDECIDED && (*session).socket != 0 {
            ask(session);
        }
        let by_frame = (*session).whole == socket::BY_FRAME;
        let budget = if (*session).whole != 0 {
            MAX_CAPTURE as u32
        } else if fresh {
            settings::CAPTURE_BYTES.load()
        } else {
            (*session).budget
        };
        (*session).direction = direction;
        (*session).budget = budget.saturating_sub(length);
        match (*session).socket {
            0 => (name(key), FLAG_PLAINTEXT | FLAG_UNBOUND, offset, budget, by_frame, preface),
            socket => (socket, FLAG_PLAINTEXT, offset, budget, by_frame, preface),
        }
    };
    let piece = Piece {
        // SAFETY: no arguments.
        time: unsafe { bpf_ktime_get_ns() },
        socket,
        offset,
        who: identity::of_operation((ids >> 32) as u32, direction),
        address,
        pid: (ids >> 32) as u32,
        tid: ids as u32,
        length,
        capture: operation::smaller(length, operation::at_least_an_edge(budget)),
        result: 0,
        flags,
        direction,
        origin: ORIGIN_BUFFER,
    };
    if by_frame && settings::WALK_FRAMES.load() != 0 {
        return frames::emit(name(key), &piece, 0, u64::from(preface));
    }
    emit::data(&piece)
}

/// What the agent says of the session: its connection may have been open for a while.
///
/// # Safety
/// `session` must be valid.
#[inline(always)]
unsafe fn ask(session: *mut TlsSession) {
    // SAFETY: the caller's promise.
    unsafe {
        let Some(word) = VERDICTS.get_ptr(verdict::plaintext((*session).socket)) else { return };
        (*session).verdict = *word;
        if *word == verdict::FRAMES {
            (*session).whole = socket::BY_FRAME;
        }
    }
}

#[inline(always)]
fn find(key: [u64; 2]) -> Option<*mut TlsSession> {
    if let Some(session) = TLS_SESSIONS.get_ptr_mut(key) {
        return Some(session);
    }
    let _ = TLS_SESSIONS.insert(key, UNUSED, 0);
    let session = TLS_SESSIONS.get_ptr_mut(key);
    if session.is_none() {
        error::count(Failure::NoStorage);
    }
    session
}

/// Ciphertext of a handshake: what was read last counts, until there is plaintext.
///
/// # Safety
/// `session` must be valid.
#[inline(always)]
unsafe fn begin(session: *mut TlsSession, socket: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        if (*session).sent == 0 && (*session).received == 0 {
            (*session).socket = socket;
        }
    }
}

/// # Safety
/// `session` must be valid.
#[inline(always)]
unsafe fn bind(session: *mut TlsSession, key: [u64; 2], socket: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        if (*session).socket == socket {
            return;
        }
        if (*session).socket != 0 {
            // The object was cleared and used again.
            *session = UNUSED;
        }
        (*session).socket = socket;
        if (*session).unbound != 0 {
            (*session).unbound = 0;
            let record = Bind { header: emit::header(KIND_BIND, 0), session: name(key), socket };
            emit::fixed(&record, Failure::RingFullConnection);
        }
    }
}

#[inline(always)]
fn key(session: u64) -> [u64; 2] {
    [session, bpf_get_current_pid_tgid() >> 32]
}

/// What userspace calls a session: the object's address is the program's secret.
#[inline(always)]
fn name(key: [u64; 2]) -> u64 {
    key[0] ^ (key[1] << 40) ^ settings::ADDRESS_KEY.load()
}

const IDLE: TlsThread =
    TlsThread { session: 0, buffer: 0, count: 0, call: 0, touched: 0, fresh: 0, pending: 0 };
/// No direction yet, so that the first burst has its budget.
const UNUSED: TlsSession = TlsSession {
    socket: 0,
    sent: 0,
    received: 0,
    budget: 0,
    direction: u8::MAX,
    unbound: 0,
    whole: 0,
    verdict: verdict::UNDECIDED,
};
