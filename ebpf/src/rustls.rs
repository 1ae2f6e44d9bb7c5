//! The inside of TLS in Rust programs: rustls.
//!
//! It touches no socket: the program reads ciphertext and hands it over, and writes what it is given. Both happen on
//! one thread without a pause between. A connection's object moves about while it is set up, so what was
//! just read on the thread decides whose the plaintext is; what is written goes where it was read, or to the
//! socket that the thread writes to next.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_probe_read_user};
use honeyguide_common::{
    record::{DIRECTION_RECEIVE, DIRECTION_SEND},
    tls::CALL_RUSTLS,
};

use crate::{
    identity::Identity,
    maps::{TLS_THREADS, TlsThread},
    select,
    tls::{self, IDLE, Plaintext},
};

/// A record's plaintext is at most 2^14 bytes (RFC 8446 section 5.1).
const MAX_PLAINTEXT: u64 = 1 << 14;

/// `CommonState::take_received_plaintext(&mut self, bytes: Payload<'_>)`: a slice, or a vector. Both are three
/// words: a capacity (of a slice a value that is none), the address, the length.
#[inline(always)]
pub fn received(object: u64, payload: u64) {
    if select::caller().is_none() {
        return;
    }
    let Some([_, address, length]) = words::<3>(payload) else { return };
    if length == 0 || length > MAX_PLAINTEXT {
        return;
    }
    let key = tls::key(object);
    let Some(session) = tls::find(key) else { return };
    let fresh = match TLS_THREADS.get_ptr(bpf_get_current_pid_tgid()) {
        // SAFETY: a map value that only its own thread uses.
        Some(thread) => unsafe { (*thread).fresh },
        None => 0,
    };
    // SAFETY: a map value; a connection is used by one thread at a time.
    unsafe {
        if fresh != 0 {
            tls::bind(session, key, fresh);
        } else if (*session).socket == 0 && !tls::waits(session) {
            return;
        }
        let bytes = Plaintext {
            address,
            vectors: 0,
            who: Identity::UNKNOWN,
            length: length as u32,
            direction: DIRECTION_RECEIVE,
        };
        tls::plaintext(session, key, &bytes);
    }
}

/// `CommonState::send_appdata_encrypt(&mut self, payload: OutboundChunks<'_>, …) -> usize` begins. Four words: an
/// array of slices with its length and the range of bytes within; or 0, and a slice.
#[inline(always)]
pub fn send(object: u64, payload: u64) {
    if select::caller().is_none() || object == 0 {
        return;
    }
    let Some([slices, second, third, _]) = words::<4>(payload) else { return };
    let (buffer, count) = match (slices, third) {
        (0, _) => (second, 0),
        (slices, 0) => (slices, second),
        // From somewhere within: counted, not seen.
        _ => (0, 0),
    };
    let thread = bpf_get_current_pid_tgid();
    match TLS_THREADS.get_ptr_mut(thread) {
        // SAFETY: a map value that only its own thread uses.
        Some(entry) => unsafe {
            (*entry).session = object;
            (*entry).buffer = buffer;
            (*entry).count = count;
            (*entry).call = CALL_RUSTLS;
        },
        None => {
            let begun = TlsThread { session: object, buffer, count, call: CALL_RUSTLS, ..IDLE };
            let _ = TLS_THREADS.insert(thread, begun, 0);
        }
    }
}

/// It ends: `moved` of the bytes were taken.
#[inline(always)]
pub fn sent(moved: u64) {
    let Some(thread) = TLS_THREADS.get_ptr_mut(bpf_get_current_pid_tgid()) else { return };
    // SAFETY: a map value that only its own thread uses.
    let (object, address, vectors) = unsafe {
        if (*thread).session == 0 || (*thread).call != CALL_RUSTLS {
            return;
        }
        let object = (*thread).session;
        (*thread).session = 0;
        (object, (*thread).buffer, (*thread).count)
    };
    if moved == 0 || moved > u64::from(u32::MAX >> 1) {
        return;
    }
    let key = tls::key(object);
    let Some(session) = tls::find(key) else { return };
    // SAFETY: as in `received`.
    unsafe {
        if (*session).socket == 0 {
            if !tls::waits(session) {
                return;
            }
            (*thread).pending = object;
        }
        let bytes = Plaintext {
            address,
            vectors,
            who: Identity::UNKNOWN,
            length: moved as u32,
            direction: DIRECTION_SEND,
        };
        tls::plaintext(session, key, &bytes);
    }
}

#[inline(always)]
fn words<const N: usize>(address: u64) -> Option<[u64; N]> {
    // SAFETY: bpf_probe_read_user checks the address.
    unsafe { bpf_probe_read_user(address as *const [u64; N]) }.ok()
}
