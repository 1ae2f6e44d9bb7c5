//! TLS sessions: their plaintext, and which socket carries it.
//!
//! A library that reads and writes the socket itself does so between the entry and the exit of its function, on
//! the same thread: then the socket is certain. Where the program carries the ciphertext (memory BIOs), the session
//! belongs to the socket whose ciphertext the thread has read and given to no session yet, or to the one that
//! next sends ciphertext after the session made some. Until it is known, plaintext goes by the session's name.

use core::ptr;

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns, bpf_probe_read_user};
use honeyguide_common::{
    Failure,
    record::{
        Bind, DIRECTION_RECEIVE, DIRECTION_SEND, FLAG_PLAINTEXT, FLAG_UNBOUND, KIND_BIND, MAX_CAPTURE,
        ORIGIN_BUFFER, ORIGIN_FILE, ORIGIN_MESSAGE, ORIGIN_VECTOR,
    },
    tls::{CALL_SENDFILE, CALL_WRITE, CALL_WRITE_EX},
    verdict,
};

use crate::{
    call::{IoVec, UserBytes},
    emit::{self, Piece},
    error, frames, go,
    identity::{self, Identity},
    maps::{
        SocketState, TLS_SESSIONS, TLS_SOCKETS, TLS_THREADS, TlsSession, TlsSocket, TlsStream, TlsThread,
        VERDICTS,
    },
    operation, select, settings, socket,
};

/// Bytes that a session's function has moved.
#[derive(Clone, Copy)]
pub struct Plaintext {
    /// Of a buffer, or of an array of vectors; 0 where they are not in the process's memory.
    pub address: u64,
    /// 0: it is a buffer.
    pub vectors: u64,
    /// Where it is known already; else it is looked for.
    pub who: Identity,
    pub length: u32,
    pub direction: u8,
}

/// `SocketState::tls`: below `LOOKS_PLAIN` the number of operations that did not begin with a TLS record. A protocol
/// may change to TLS after a few messages; beyond that nobody looks any more.
pub const LOOKS_PLAIN: u8 = 8;
pub const LOOKS_ENCRYPTED: u8 = 255;

/// Looks at one operation of a socket, and joins it to the session that the thread is busy with.
#[inline(always)]
pub fn look(state: *mut SocketState, bytes: &UserBytes, length: u32, direction: u8) {
    // SAFETY: socket storage lives while the program holds the socket.
    unsafe {
        if (*state).tls < LOOKS_PLAIN {
            (*state).tls = if begins_a_record(bytes) { LOOKS_ENCRYPTED } else { (*state).tls + 1 };
        }
        if (*state).tls == LOOKS_ENCRYPTED {
            touch((*state).cookie, direction);
            if go::touch((*state).cookie, length, direction) != 0 {
                go::tell((*state).cookie);
            }
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
        let session = settle(thread, call, result);
        if !session.is_null() {
            tell(thread, call, session);
        }
        (*thread).session = 0;
        if !writes(call) {
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

/// The library frees or clears its object: another session may come to lie at the same address.
#[inline(always)]
pub fn forget(session: u64) {
    let _ = TLS_SESSIONS.remove(key(session));
}

/// Whether `socket` is the session's, which it is if there is none yet.
#[inline(always)]
pub fn carries(session: u64, socket: u64) -> bool {
    let key = key(session);
    let Some(session) = find(key) else { return false };
    // SAFETY: a map value; of a connection one goroutine shakes hands, and one writes.
    unsafe {
        if (*session).socket == 0 {
            bind(session, key, socket);
        }
        (*session).socket == socket
    }
}

/// Plaintext passed a session that is named by its object; `touched` is the socket of the same call, or 0.
#[inline(always)]
pub fn passed(session: u64, touched: u64, bytes: &Plaintext) {
    let key = key(session);
    let Some(session) = find(key) else { return };
    // SAFETY: a map value; see `settle`.
    unsafe {
        if (*session).socket == 0 {
            if touched != 0 {
                bind(session, key, touched);
            } else if !waits(session) {
                return;
            }
        }
        tell_passed(session, key, touched, bytes);
    }
}

/// # Safety
/// `session` must be valid.
#[inline(always)]
pub unsafe fn tell_passed(session: *mut TlsSession, key: [u64; 2], touched: u64, bytes: &Plaintext) {
    // SAFETY: the caller's promise.
    unsafe {
        plaintext(session, key, bytes);
        if settings::TCP_OPTION.load() != 0 && bytes.direction == DIRECTION_SEND && touched != 0 {
            has_left(session, key);
        }
    }
}

/// All that a session was given to send has left with the function that it was given to.
///
/// # Safety
/// `session` must be valid.
#[inline(always)]
unsafe fn has_left(session: *mut TlsSession, key: [u64; 2]) {
    // SAFETY: the caller's promise; a map value.
    unsafe {
        let stream = stream_of((*session).socket, key[0], key[1]);
        if !stream.is_null() {
            (*stream).left = (*stream).sent;
        }
    }
}

/// Which socket a session has, as far as a call shows it. Returns the session where there is plaintext to tell, and leaves in
/// `moved` how much: a value from memory is any to the verifier, which else followed each way through here to the end.
///
/// # Safety
/// `thread` must be valid.
#[inline(never)]
unsafe fn settle(thread: *mut TlsThread, call: u64, result: i32) -> *mut TlsSession {
    // SAFETY: the caller's promise.
    let (count, touched, fresh) = unsafe { ((*thread).count, (*thread).touched, (*thread).fresh) };
    // SAFETY: as above.
    let key = key(unsafe { (*thread).session });
    let writes = writes(call);
    let mut length = if result > 0 { result as u32 } else { 0 };
    if length != 0 && count != 0 {
        // SAFETY: bpf_probe_read_user checks the address.
        length = unsafe { bpf_probe_read_user(count as *const u64) }.unwrap_or(0) as u32;
    }
    if touched == 0 && fresh == 0 && length == 0 {
        return ptr::null_mut();
    }
    let Some(session) = find(key) else { return ptr::null_mut() };
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
            return ptr::null_mut();
        }
        if (*session).socket == 0 {
            if !waits(session) {
                return ptr::null_mut();
            }
            if writes {
                (*thread).pending = (*thread).session;
            }
        }
        (&raw mut (*thread).moved).write_volatile(u64::from(length));
    }
    session
}

/// Tells the plaintext of a call.
///
/// # Safety
/// `thread` and `session` must be valid.
#[inline(always)]
unsafe fn tell(thread: *mut TlsThread, call: u64, session: *mut TlsSession) {
    let writes = writes(call);
    // SAFETY: the caller's promise.
    unsafe {
        let key = key((*thread).session);
        let bytes = Plaintext {
            address: if call == CALL_SENDFILE { 0 } else { (*thread).buffer },
            vectors: 0,
            who: Identity::UNKNOWN,
            length: (&raw const (*thread).moved).read_volatile() as u32,
            direction: if writes { DIRECTION_SEND } else { DIRECTION_RECEIVE },
        };
        plaintext(session, key, &bytes);
        if settings::TCP_OPTION.load() != 0 && writes && (*thread).touched != 0 {
            has_left(session, key);
        }
    }
}

/// Whether what a session without a socket has to say is held until it has one. Of a process that is not selected
/// nothing is: its bytes are wanted only where its connection is.
///
/// # Safety
/// `session` must be valid.
#[inline(always)]
pub unsafe fn waits(session: *mut TlsSession) -> bool {
    if !select::caller().is_some_and(|caller| caller.by_pid) {
        return false;
    }
    // SAFETY: the caller's promise.
    unsafe { (*session).unbound = 1 };
    true
}

#[inline(always)]
fn writes(call: u64) -> bool {
    call == CALL_WRITE || call == CALL_WRITE_EX || call == CALL_SENDFILE
}

/// # Safety
/// `session` must be valid.
#[inline(never)]
pub unsafe fn plaintext(session: *mut TlsSession, key: [u64; 2], bytes: &Plaintext) -> u32 {
    let Plaintext { address, vectors, who, length, direction } = *bytes;
    let ids = bpf_get_current_pid_tgid();
    let who = if who.kind == Identity::UNKNOWN.kind {
        identity::of_operation((ids >> 32) as u32, direction)
    } else {
        who
    };
    // SAFETY: the caller's promise.
    let (socket, flags, offset, budget, by_frame, preface) = unsafe {
        (*session).spoke = 1;
        let stream = match (*session).socket {
            0 => &raw mut (*session).stream,
            socket => stream_of(socket, key[0], key[1]),
        };
        if stream.is_null() {
            return 0;
        }
        if (*stream).verdict == verdict::UNDECIDED && (*session).socket != 0 {
            ask(stream, (*session).socket);
        }
        if (*stream).verdict == verdict::IGNORE {
            return 0;
        }
        let offset = if direction == DIRECTION_SEND { (*stream).sent } else { (*stream).received };
        if direction == DIRECTION_SEND {
            (*stream).sent = offset + u64::from(length);
        } else {
            (*stream).received = offset + u64::from(length);
        }
        let fresh = (*stream).direction != direction;
        let preface = offset == 0 && operation::begins_http2(address, vectors, length);
        if preface {
            (*stream).whole = socket::BY_FRAME;
        }
        let by_frame = (*stream).whole == socket::BY_FRAME;
        let budget = if (*stream).whole != 0 {
            MAX_CAPTURE as u32
        } else if fresh {
            settings::CAPTURE_BYTES.load()
        } else {
            (*stream).budget
        };
        (*stream).direction = direction;
        (*stream).budget = budget.saturating_sub(length);
        match (*session).socket {
            0 => (name(key), FLAG_PLAINTEXT | FLAG_UNBOUND, offset, budget, by_frame, preface),
            socket => (socket, FLAG_PLAINTEXT, offset, budget, by_frame, preface),
        }
    };
    let mut piece = Piece {
        // SAFETY: no arguments.
        time: unsafe { bpf_ktime_get_ns() },
        socket,
        offset,
        who,
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
    if by_frame && settings::LOOPS.load() != 0 {
        let stream = if flags & FLAG_UNBOUND != 0 { socket } else { verdict::plaintext(socket) };
        if address != 0 {
            return frames::emit(stream, &mut piece, vectors, u64::from(preface));
        }
        frames::pass(stream, &piece);
    }
    if address == 0 {
        piece.capture = 0;
        piece.origin = ORIGIN_FILE;
        return emit::data(&piece);
    }
    if vectors == 0 {
        return emit::data(&piece);
    }
    piece.origin = ORIGIN_VECTOR;
    operation::vectors(&mut piece, vectors);
    0
}

/// What the agent says of what is inside: that the connection has been open for a while and is read by the frame, or
/// that nobody wants to know more.
///
/// # Safety
/// `stream` must be valid.
#[inline(always)]
unsafe fn ask(stream: *mut TlsStream, socket: u64) {
    let Some(word) = VERDICTS.get_ptr(verdict::plaintext(socket)) else { return };
    // SAFETY: map values.
    unsafe {
        (*stream).verdict = *word;
        (*stream).whole = socket::whole(*word, (*stream).whole);
    }
}

#[inline(always)]
pub fn find(key: [u64; 2]) -> Option<*mut TlsSession> {
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
        if (*session).spoke == 0 {
            (*session).socket = socket;
        }
    }
}

/// # Safety
/// `session` must be valid.
#[inline(always)]
pub unsafe fn bind(session: *mut TlsSession, key: [u64; 2], socket: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        if (*session).socket == socket {
            return;
        }
        // Of another socket: the object was cleared and used again.
        (*session).socket = socket;
        if (*session).unbound != 0 {
            (*session).unbound = 0;
            bring(session, key, socket);
        }
    }
}

/// What the session has said before its socket was known is the socket's.
///
/// # Safety
/// `session` must be valid.
#[inline(never)]
unsafe fn bring(session: *mut TlsSession, key: [u64; 2], socket: u64) -> u32 {
    // SAFETY: the caller's promise.
    unsafe {
        let stream = stream_of(socket, key[0], key[1]);
        if stream.is_null() {
            return 0;
        }
        if (*session).stream.whole == socket::BY_FRAME && (*stream).sent + (*stream).received == 0 {
            frames::rename(name(key), verdict::plaintext(socket));
        }
        emit::in_place(Failure::RingFullConnection, |record: *mut Bind| {
            (&raw mut (*record).header).write(emit::header(KIND_BIND, 0));
            (*record).session = name(key);
            (*record).socket = socket;
            (*record).sent = (*stream).sent;
            (*record).received = (*stream).received;
        });
        (*stream).sent += (*session).stream.sent;
        (*stream).received += (*session).stream.received;
        (*stream).whole |= (*session).stream.whole;
        (*session).stream = SILENT;
    }
    0
}

/// The stream inside of a socket, or null. A subprogram of its own for the sake of the stack, as `frames::find` is.
#[inline(never)]
fn stream_of(socket: u64, object: u64, process: u64) -> *mut TlsStream {
    let session = [object, process];
    let found = match TLS_SOCKETS.get_ptr_mut(socket) {
        Some(found) => found,
        None => {
            let _ = TLS_SOCKETS.insert(socket, TlsSocket { session, stream: SILENT }, 0);
            match TLS_SOCKETS.get_ptr_mut(socket) {
                Some(made) => made,
                None => {
                    error::count(Failure::NoStorage);
                    return ptr::null_mut();
                }
            }
        }
    };
    // SAFETY: a map value; two threads that use one connection at once race as they race on the stream itself.
    unsafe {
        let before = (*found).session;
        if before[0] != session[0] {
            // The object has moved (rustls), or was cleared: another one may come to lie where it was.
            let _ = TLS_SESSIONS.remove(before);
            (*found).session = session;
        } else if before[1] != session[1] {
            (*found).session = session;
        }
        &raw mut (*found).stream
    }
}

/// One direction of a socket has ended, or all of it: another connection's session may come to lie where its session
/// was. A session that goes on in the other direction finds its socket again, and with it its streams.
#[inline(never)]
pub fn ended(socket: u64, wholly: u32) -> u32 {
    let Some(found) = TLS_SOCKETS.get_ptr(socket) else { return 0 };
    // SAFETY: a map value.
    let key = unsafe { (*found).session };
    if let Some(session) = TLS_SESSIONS.get_ptr(key)
        // SAFETY: a map value.
        && unsafe { (*session).socket == socket }
    {
        let _ = TLS_SESSIONS.remove(key);
    }
    if wholly != 0 {
        let _ = TLS_SOCKETS.remove(socket);
    }
    0
}

#[inline(always)]
pub fn key(session: u64) -> [u64; 2] {
    [session, bpf_get_current_pid_tgid() >> 32]
}

/// What userspace calls a session: the object's address is the program's secret.
#[inline(always)]
fn name(key: [u64; 2]) -> u64 {
    key[0] ^ (key[1] << 40) ^ settings::ADDRESS_KEY.load()
}

pub const IDLE: TlsThread =
    TlsThread { session: 0, buffer: 0, count: 0, call: 0, touched: 0, fresh: 0, pending: 0, moved: 0 };
const UNUSED: TlsSession = TlsSession { socket: 0, stream: SILENT, unbound: 0, spoke: 0 };
/// No direction yet, so that the first burst has its budget.
const SILENT: TlsStream = TlsStream {
    sent: 0,
    received: 0,
    left: 0,
    budget: 0,
    direction: u8::MAX,
    whole: 0,
    verdict: verdict::UNDECIDED,
    padding: [0; 1],
};
