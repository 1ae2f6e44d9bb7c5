//! The inside of TLS in Go programs.
//!
//! A goroutine waits for its bytes without a thread, may go on with another one, and its stack may have moved
//! meanwhile. What names it is its g, which is in r14 in Go code and in the registers of a system call alike. So
//! the socket of a `*tls.Conn` is the one its goroutine used within the connection's handshake, read or write:
//! certain, whatever the connection is wrapped in.
//!
//! What is read is told when the read ends, before its caller has it. What is written is told as it leaves: before the
//! write has ended the peer may have answered, and another goroutine have read that.

use aya_ebpf::{
    bindings::pt_regs,
    helpers::{bpf_get_current_pid_tgid, bpf_probe_read_user},
};
use honeyguide_common::{
    record::{DIRECTION_RECEIVE, DIRECTION_SEND},
    tls::{GO_HANDSHAKE, GO_READ, GO_WRITE, GoExit},
};

use crate::{
    call,
    identity::{self, Identity},
    maps::{GO_CALLS, GO_PROCESSES, GoCall, TLS_SESSIONS},
    select,
    tls::{self, Plaintext},
};

/// A function begins: `(*Conn).Write(c, b)`, `Read(c, b)`, `clientHandshake(c, ctx)`, `serverHandshake(c, ctx)`.
#[inline(always)]
pub fn enter(regs: &pt_regs, call: u64) {
    if select::caller().is_none() {
        return;
    }
    let depth = stack_top(regs.r14).wrapping_sub(regs.rsp);
    if call == GO_HANDSHAKE {
        // A connection of before may have lain at the same address.
        tls::forget(regs.rax);
        if let Some(outer) = GO_CALLS.get_ptr_mut(key(regs.r14)) {
            // SAFETY: a map value that only its own goroutine uses.
            unsafe {
                let moves = (*outer).call == GO_WRITE || (*outer).call == GO_READ;
                if moves && (*outer).conn == regs.rax && (*outer).depth < depth {
                    (*outer).shakes = 1;
                    return;
                }
            }
        }
    }
    let begun = GoCall {
        conn: regs.rax,
        buffer: regs.rbx,
        depth,
        call,
        back: word(regs.rsp),
        length: if call == GO_WRITE { regs.rcx } else { 0 },
        ..IDLE
    };
    let _ = GO_CALLS.insert(key(regs.r14), begun, 0);
}

/// A function ends.
#[inline(always)]
pub fn leave(regs: &pt_regs, cookie: u64) {
    if select::caller().is_none() {
        return;
    }
    let exit = GoExit::told(cookie);
    let (frame, moved) = if exit.deferred {
        // Behind the return address of the deferred call is the frame of the function.
        let function = regs.rsp + 8;
        (function + u64::from(exit.size), word(function + u64::from(exit.result)))
    } else {
        (regs.rsp, regs.rax)
    };
    let (mut conn, mut buffer, mut touched, mut told, mut who) = (0, 0, 0, 0, Identity::UNKNOWN);
    if let Some(entry) = GO_CALLS.get_ptr_mut(key(regs.r14)) {
        // SAFETY: a map value that only its own goroutine uses.
        unsafe {
            let depth = stack_top(regs.r14).wrapping_sub(frame);
            if (*entry).call == exit.call && (*entry).depth == depth {
                conn = (*entry).conn;
                buffer = (*entry).buffer;
                told = (*entry).told;
                who = (*entry).who;
            }
            touched = (*entry).touched;
            (*entry).call = 0;
            (*entry).touched = 0;
        }
    }
    // A write that fails has moved less than it was given. Nothing more can be written to its connection.
    if moved <= told || moved > MAX_LENGTH {
        return;
    }
    if conn == 0 && exit.keeps_arguments {
        conn = word(frame + 8);
        buffer = word(frame + 16);
    }
    if conn == 0 {
        return;
    }
    let direction = if exit.call == GO_WRITE { DIRECTION_SEND } else { DIRECTION_RECEIVE };
    let length = (moved - told) as u32;
    let bytes = Plaintext { address: buffer + told, vectors: 0, who, length, direction };
    tls::passed(conn, touched, &bytes);
}

/// `length` bytes of ciphertext passed `socket` in a system call of this goroutine's. Returns whether some of what it writes
/// is to be told.
#[inline(never)]
pub fn touch(socket: u64, length: u32, direction: u8) -> u32 {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    if GO_PROCESSES.get_ptr(pid).is_none() || !select::has_user_call() {
        return 0;
    }
    let (_, g, _) = call::go_registers();
    let Some(entry) = GO_CALLS.get_ptr_mut(key(g)) else {
        // A goroutine that was waiting in its read before there were probes.
        if direction == DIRECTION_RECEIVE {
            let _ = GO_CALLS.insert(key(g), GoCall { touched: socket, ..IDLE }, 0);
        }
        return 0;
    };
    // SAFETY: a map value that only its own goroutine uses.
    unsafe {
        let call = (*entry).call;
        let shakes = call == GO_HANDSHAKE || (*entry).shakes != 0;
        if shakes && tls::carries((*entry).conn, socket) && call == GO_HANDSHAKE {
            return 0;
        }
        let writes = call == GO_WRITE;
        if writes != (direction == DIRECTION_SEND) {
            return 0;
        }
        (*entry).touched = socket;
        if !writes {
            return 0;
        }
        // Who asked for it is told once, by the file descriptor, which only the system call has.
        if (*entry).who.kind == Identity::UNKNOWN.kind {
            (*entry).who = identity::of_operation(pid, direction);
        }
        u32::from(!shakes && leaves(entry, g, length) && tls::carries((*entry).conn, socket))
    }
}

/// What a write was given is told as it leaves: with its first ciphertext as much as that can be, and the rest when more
/// has left than it was given, since ciphertext is longer. (Of a large write each TLS record is a system call.)
///
/// # Safety
/// `entry` must be valid.
#[inline(always)]
unsafe fn leaves(entry: *mut GoCall, g: u64, length: u32) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let (given, told) = ((*entry).length, (*entry).told);
        let left = (*entry).left + u64::from(length);
        (*entry).left = left;
        if given > MAX_LENGTH || told == given || told != 0 && left <= given {
            return false;
        }
        // One that could not begin to write has ended unseen.
        let frame = stack_top(g).wrapping_sub((*entry).depth);
        call::stack() < frame && word(frame) == (*entry).back
    }
}

/// Tells what this goroutine's write has sent to `socket` and was not told before. It has little on its stack: all that call
/// each other share 512 bytes.
#[inline(never)]
pub fn tell(socket: u64) -> u32 {
    let (_, g, _) = call::go_registers();
    let Some(entry) = GO_CALLS.get_ptr_mut(key(g)) else { return 0 };
    // SAFETY: a map value that only its own goroutine uses.
    unsafe {
        let key = tls::key((*entry).conn);
        let Some(session) = TLS_SESSIONS.get_ptr_mut(key) else { return 0 };
        let (given, told, left) = ((*entry).length, (*entry).told, (*entry).left);
        let until = if left < given { left } else { given };
        (*entry).told = until;
        let bytes = Plaintext {
            address: (*entry).buffer + told,
            vectors: 0,
            who: (*entry).who,
            length: (until - told) as u32,
            direction: DIRECTION_SEND,
        };
        tls::tell_passed(session, key, socket, &bytes);
    }
    0
}

/// The end of a goroutine's stack: `g.stack.hi`, its second word.
#[inline(always)]
fn stack_top(g: u64) -> u64 {
    word(g + 8)
}

#[inline(always)]
fn word(address: u64) -> u64 {
    // SAFETY: bpf_probe_read_user checks the address.
    unsafe { bpf_probe_read_user(address as *const u64) }.unwrap_or(0)
}

#[inline(always)]
fn key(g: u64) -> [u64; 2] {
    [g, bpf_get_current_pid_tgid() >> 32]
}

/// More than that is no length.
const MAX_LENGTH: u64 = (u32::MAX >> 1) as u64;
const IDLE: GoCall = GoCall {
    conn: 0,
    buffer: 0,
    depth: 0,
    call: 0,
    touched: 0,
    who: Identity::UNKNOWN,
    back: 0,
    length: 0,
    told: 0,
    left: 0,
    shakes: 0,
};
