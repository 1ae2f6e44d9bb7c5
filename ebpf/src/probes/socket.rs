//! Socket operations: one hook after each send and receive, whichever system call made it.
//!
//! An fexit program finds the return value behind the arguments (`bpf_get_func_ret` came with 5.17).

use aya_ebpf::{
    macros::{btf_tracepoint, fexit},
    programs::{BtfTracePointContext, FExitContext},
};
use honeyguide_common::record::{DIRECTION_RECEIVE, DIRECTION_SEND};

use crate::{memory, offsets, operation};

/// MSG_PEEK: the bytes stay in the socket and come again.
const MSG_PEEK: i32 = 2;

/// match-proto: `void sock_send_length(struct sock *sk, int ret, int flags)`, Linux 6.3
#[btf_tracepoint(function = "sock_send_length")]
pub fn sock_send_length(ctx: BtfTracePointContext) -> i32 {
    operation::observe(ctx.arg(0), ctx.arg(1), DIRECTION_SEND);
    0
}

/// match-proto: `void sock_recv_length(struct sock *sk, int ret, int flags)`, Linux 6.3
#[btf_tracepoint(function = "sock_recv_length")]
pub fn sock_recv_length(ctx: BtfTracePointContext) -> i32 {
    if ctx.arg::<i32>(2) & MSG_PEEK == 0 {
        operation::observe(ctx.arg(0), ctx.arg(1), DIRECTION_RECEIVE);
    }
    0
}

/// match-proto: `int inet_sendmsg(struct socket *sock, struct msghdr *msg, size_t size)`, Linux 5.15
#[fexit(function = "inet_sendmsg")]
pub fn inet_sendmsg(ctx: FExitContext) -> i32 {
    sent(ctx.arg(0), ctx.arg(3))
}

/// match-proto: `int inet6_sendmsg(struct socket *sock, struct msghdr *msg, size_t size)`, Linux 5.15
#[fexit(function = "inet6_sendmsg")]
pub fn inet6_sendmsg(ctx: FExitContext) -> i32 {
    sent(ctx.arg(0), ctx.arg(3))
}

/// match-proto: `int unix_stream_sendmsg(struct socket *sock, struct msghdr *msg, size_t len)`, Linux 5.15
#[fexit(function = "unix_stream_sendmsg")]
pub fn unix_stream_sendmsg(ctx: FExitContext) -> i32 {
    sent(ctx.arg(0), ctx.arg(3))
}

/// match-proto: `ssize_t inet_sendpage(struct socket *sock, struct page *page, int offset, size_t size, int flags)`,
/// Linux 5.15 to 6.4
#[fexit(function = "inet_sendpage")]
pub fn inet_sendpage(ctx: FExitContext) -> i32 {
    sent(ctx.arg(0), ctx.arg(5))
}

/// match-proto: `int sock_recvmsg(struct socket *sock, struct msghdr *msg, int flags)`, Linux 5.15
#[fexit(function = "sock_recvmsg")]
pub fn sock_recvmsg(ctx: FExitContext) -> i32 {
    if ctx.arg::<i32>(2) & MSG_PEEK == 0 {
        // SAFETY: the first argument is a `struct socket *`.
        let sk = unsafe { memory::typed_pointer(ctx.arg(0), &offsets::OFF_SOCKET_SK) };
        operation::observe(sk, ctx.arg(3), DIRECTION_RECEIVE);
    }
    0
}

#[inline(always)]
fn sent(socket: *const u8, result: i32) -> i32 {
    // SAFETY: every caller's first argument is a `struct socket *`.
    let sk = unsafe { memory::typed_pointer(socket, &offsets::OFF_SOCKET_SK) };
    operation::observe(sk, result, DIRECTION_SEND);
    0
}
