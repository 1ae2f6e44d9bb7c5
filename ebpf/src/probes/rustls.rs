//! Functions of rustls, at their entries and at the return of the one that writes. Rust's own convention is not
//! fixed, but for these arguments it is the machine's: a pointer to the object, and one to what does not fit registers.

use aya_ebpf::{macros::uprobe, programs::ProbeContext};

use crate::rustls;

/// `fn take_received_plaintext(&mut self, bytes: Payload<'_>)`, rustls 0.22 and 0.23
#[uprobe]
pub fn rustls_received(ctx: ProbeContext) -> u32 {
    rustls::received(ctx.arg(0).unwrap_or(0), ctx.arg(1).unwrap_or(0));
    0
}

/// `fn send_appdata_encrypt(&mut self, payload: OutboundChunks<'_>, limit: Limit, …) -> usize`, rustls 0.23
#[uprobe]
pub fn rustls_send(ctx: ProbeContext) -> u32 {
    rustls::send(ctx.arg(0).unwrap_or(0), ctx.arg(1).unwrap_or(0));
    0
}

#[uprobe]
pub fn rustls_sent(ctx: ProbeContext) -> u32 {
    // SAFETY: the context of a uprobe is its registers.
    rustls::sent(unsafe { (*ctx.regs).rax });
    0
}
