//! Headers for outgoing requests: loaded and attached only where the user asked for them.

use aya_ebpf::{
    macros::{sk_msg, sock_ops},
    programs::{SkMsgContext, SockOpsContext},
};

use crate::propagate;

/// `enum sk_action`
const SK_PASS: u32 = 1;

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
