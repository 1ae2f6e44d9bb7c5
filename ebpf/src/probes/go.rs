//! Functions of Go's `crypto/tls`. What each probe sits on is in its cookie.

use aya_ebpf::{
    EbpfContext as _, helpers::generated::bpf_get_attach_cookie, macros::uprobe, programs::ProbeContext,
};

use crate::go;

/// match-proto: `func (c *Conn) Write(b []byte) (int, error)`, `func (c *Conn) Read(b []byte) (int, error)`,
/// `func (c *Conn) clientHandshake(ctx context.Context) error`, `serverHandshake`; Go 1.17 (ABIInternal)
#[uprobe]
pub fn go_tls(ctx: ProbeContext) -> u32 {
    // SAFETY: the context of a uprobe is its registers.
    go::enter(unsafe { &*ctx.regs }, cookie(&ctx));
    0
}

/// At a return of `Read` or `Write`, or in what it has deferred.
#[uprobe]
pub fn go_tls_done(ctx: ProbeContext) -> u32 {
    // SAFETY: as above.
    go::leave(unsafe { &*ctx.regs }, cookie(&ctx));
    0
}

#[inline(always)]
fn cookie(ctx: &ProbeContext) -> u64 {
    // SAFETY: the helper takes the program's own context.
    unsafe { bpf_get_attach_cookie(ctx.as_ptr()) }
}
