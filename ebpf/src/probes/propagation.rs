//! Headers for outgoing requests, and options for what is sent: loaded and attached only where the user asked for them.
//!
//! What is asked of socket operations and states stands in programs of its own, beside those that capture: these stay as
//! they are, and each has the verifier's patience for itself.

use aya_ebpf::{
    macros::{btf_tracepoint, fexit, sk_msg, sock_ops},
    programs::{BtfTracePointContext, FExitContext, SkMsgContext, SockOpsContext},
};
use honeyguide_common::record::{TCP_CLOSE, TCP_SYN_SENT};

use crate::{
    memory, offsets,
    propagate::{self, hand, option},
};

/// `enum sk_action`
const SK_PASS: u32 = 1;
/// MSG_PEEK: the bytes stay in the socket and come again.
const MSG_PEEK: i32 = 2;

/// Follows the connections that selected processes open.
#[sock_ops]
pub fn propagate_connections(ctx: SockOpsContext) -> u32 {
    propagate::connection(ctx.ops);
    1
}

/// Sees what they send before it leaves.
#[sk_msg]
pub fn propagate_messages(ctx: SkMsgContext) -> u32 {
    propagate::message(ctx.msg);
    SK_PASS
}

/// Writes the options of connections to other hosts, and reads what comes from them.
#[sock_ops]
pub fn propagate_options(ctx: SockOpsContext) -> u32 {
    propagate::option::connection(ctx.ops);
    1
}

/// match-proto: `void inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`, Linux 4.16
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn propagate_states(ctx: BtfTracePointContext) -> i32 {
    let to = ctx.arg::<i32>(2) as u8;
    if to == TCP_SYN_SENT {
        propagate::opening(ctx.arg(0));
    } else if to == TCP_CLOSE {
        hand::closed(ctx.arg(0));
    }
    0
}

/// match-proto: `void sock_send_length(struct sock *sk, int ret, int flags)`, Linux 6.3
#[btf_tracepoint(function = "sock_send_length")]
pub fn propagate_sent(ctx: BtfTracePointContext) -> i32 {
    option::send::sent(ctx.arg(0));
    hand::sent(ctx.arg(0), ctx.arg(1));
    0
}

/// match-proto: `void sock_recv_length(struct sock *sk, int ret, int flags)`, Linux 6.3
#[btf_tracepoint(function = "sock_recv_length")]
pub fn propagate_received(ctx: BtfTracePointContext) -> i32 {
    if ctx.arg::<i32>(2) & MSG_PEEK == 0 {
        hand::received(ctx.arg(0), ctx.arg(1));
    }
    0
}

/// match-proto: `int inet_sendmsg(struct socket *sock, struct msghdr *msg, size_t size)`, Linux 5.15
#[fexit(function = "inet_sendmsg")]
pub fn propagate_inet_sent(ctx: FExitContext) -> i32 {
    sent(ctx.arg(0), ctx.arg(3))
}

/// match-proto: `int inet6_sendmsg(struct socket *sock, struct msghdr *msg, size_t size)`, Linux 5.15
#[fexit(function = "inet6_sendmsg")]
pub fn propagate_inet6_sent(ctx: FExitContext) -> i32 {
    sent(ctx.arg(0), ctx.arg(3))
}

/// match-proto: `int sock_recvmsg(struct socket *sock, struct msghdr *msg, int flags)`, Linux 5.15
#[fexit(function = "sock_recvmsg")]
pub fn propagate_sock_received(ctx: FExitContext) -> i32 {
    if ctx.arg::<i32>(2) & MSG_PEEK == 0 {
        // SAFETY: the first argument is a `struct socket *`.
        let sk = unsafe { memory::typed_pointer(ctx.arg(0), &offsets::OFF_SOCKET_SK) };
        hand::received(sk, ctx.arg(3));
    }
    0
}

#[inline(always)]
fn sent(socket: *const u8, result: i32) -> i32 {
    // SAFETY: every caller's first argument is a `struct socket *`.
    let sk = unsafe { memory::typed_pointer(socket, &offsets::OFF_SOCKET_SK) };
    option::send::sent(sk);
    hand::sent(sk, result);
    0
}
