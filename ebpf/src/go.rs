//! The inside of TLS in Go programs.
//!
//! A goroutine waits for its bytes without a thread, may go on with another one, and its stack may have moved
//! meanwhile. What names it is its g, which is in r14 in Go code and in the registers of a system call alike. So
//! the socket of a `*tls.Conn` is the one its goroutine used within the connection's handshake, read or write:
//! certain, whatever the connection is wrapped in.

use aya_ebpf::{
    bindings::pt_regs,
    helpers::{bpf_get_current_pid_tgid, bpf_probe_read_user},
};
use honeyguide_common::{
    record::{DIRECTION_RECEIVE, DIRECTION_SEND},
    tls::{GO_HANDSHAKE, GO_WRITE, GoExit},
};

use crate::{
    call,
    identity::{self, Identity},
    maps::{GO_CALLS, GO_PROCESSES, GoCall},
    select,
    tls::{self, Plaintext},
};

/// A function begins: `(*Conn).Write(c, b)`, `Read(c, b)`, `clientHandshake(c, ctx)`, `serverHandshake(c, ctx)`.
#[inline(always)]
pub fn enter(regs: &pt_regs, call: u64) {
    if select::caller().is_none() {
        return;
    }
    if call == GO_HANDSHAKE {
        // A connection of before may have lain at the same address.
        tls::forget(regs.rax);
    }
    let begun = GoCall {
        conn: regs.rax,
        buffer: regs.rbx,
        depth: stack_top(regs.r14).wrapping_sub(regs.rsp),
        call,
        touched: 0,
        who: Identity::UNKNOWN,
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
    let (mut conn, mut buffer, mut touched, mut who) = (0, 0, 0, Identity::UNKNOWN);
    if let Some(entry) = GO_CALLS.get_ptr_mut(key(regs.r14)) {
        // SAFETY: a map value that only its own goroutine uses.
        unsafe {
            let depth = stack_top(regs.r14).wrapping_sub(frame);
            if (*entry).call == exit.call && (*entry).depth == depth {
                conn = (*entry).conn;
                buffer = (*entry).buffer;
                who = (*entry).who;
            }
            touched = (*entry).touched;
            (*entry).call = 0;
            (*entry).touched = 0;
        }
    }
    if moved == 0 || moved > u64::from(u32::MAX >> 1) {
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
    let bytes = Plaintext { address: buffer, vectors: 0, who, length: moved as u32, direction };
    tls::passed(conn, touched, &bytes);
}

/// Ciphertext passed `socket` in a system call of this goroutine's.
#[inline(never)]
pub fn touch(socket: u64, direction: u8) -> u32 {
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
        if (*entry).call == GO_HANDSHAKE && tls::shakes_hands((*entry).conn, socket) {
            return 0;
        }
        let writes = (*entry).call == GO_WRITE;
        if writes == (direction == DIRECTION_SEND) {
            (*entry).touched = socket;
            // Who asked for it is told once, by the file descriptor, which only the system call has.
            if writes && (*entry).who.kind == Identity::UNKNOWN.kind {
                (*entry).who = identity::of_operation(pid, direction);
            }
        }
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

const IDLE: GoCall = GoCall { conn: 0, buffer: 0, depth: 0, call: 0, touched: 0, who: Identity::UNKNOWN };
