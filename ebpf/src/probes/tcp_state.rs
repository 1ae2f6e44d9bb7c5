//! The end of a TCP connection, or of one direction of it; and the start of listening.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, generated::bpf_get_socket_cookie},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use honeyguide_common::{
    Failure,
    record::{
        COMM, KIND_LISTEN, KIND_OPEN, KIND_STATE, Open, Process, State, TCP_CLOSE, TCP_CLOSE_WAIT,
        TCP_FIN_WAIT1, TCP_LAST_ACK, TCP_LISTEN, TCP_SYN_SENT,
    },
    verdict,
};

use crate::{emit, memory, offsets, select, settings, socket, tls};

/// match-proto: `void inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`, Linux 4.16
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    let to = ctx.arg::<i32>(2) as u8;
    if to == TCP_FIN_WAIT1 || to == TCP_CLOSE_WAIT || to == TCP_LAST_ACK || to == TCP_CLOSE {
        changed(ctx.arg(0), ctx.arg::<i32>(1) as u8, to);
    } else if to == TCP_SYN_SENT {
        opening(ctx.arg(0));
    } else if to == TCP_LISTEN {
        listening(ctx.arg(0));
    }
    0
}

/// Runs in listen(2), so the current process is the one that will accept, or the parent of those.
#[inline(always)]
fn listening(sk: *const u8) {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let port = memory::field::<u16>(sk, &offsets::OFF_LOCAL_PORT).unwrap_or(0);
    let record =
        Process { header: emit::header(KIND_LISTEN, 0), pid, argument: u32::from(port), comm: [0; COMM] };
    emit::urgent(&record, Failure::RingFullProcess);
}

/// Runs in connect(2): who opens a connection has, as a rule, something to send on it.
#[inline(always)]
fn opening(sk: *const u8) {
    let Some(caller) = select::caller() else { return };
    if !caller.by_pid || settings::TRACE_OPENS.load() == 0 {
        return;
    }
    let record = Open {
        header: emit::header(KIND_OPEN, 0),
        // SAFETY: `sk` is the hook's own argument, which the helper accepts.
        socket: unsafe { bpf_get_socket_cookie(sk.cast_mut().cast()) },
        pid: caller.pid,
        tid: caller.tid,
    };
    emit::fixed(&record, Failure::RingFullOpen);
}

/// Only sockets whose data was recorded are known; the others are nobody's concern.
#[inline(always)]
fn changed(sk: *const u8, from: u8, to: u8) {
    let Some(state) = socket::find(sk) else { return };
    // SAFETY: socket storage lives while the program holds the socket.
    let (cookie, state_verdict, described) =
        unsafe { ((*state).cookie, (*state).verdict, (*state).described) };
    // SAFETY: as above.
    if unsafe { (*state).tls } == tls::LOOKS_ENCRYPTED && to != TCP_CLOSE_WAIT {
        tls::ended(cookie, u32::from(to == TCP_CLOSE));
    }
    // SAFETY: as above.
    let ignored = state_verdict == verdict::IGNORE && !unsafe { socket::is_watched(state, 0) };
    if ignored || described == 0 {
        return;
    }
    let error = memory::field::<i32>(sk, &offsets::OFF_ERROR).unwrap_or(0);
    let record =
        State { header: emit::header(KIND_STATE, 0), socket: cookie, from, to, padding: [0; 2], error };
    emit::fixed(&record, Failure::RingFullState);
}
