//! Functions of TLS libraries. The agent places each program: at an instruction that every call passes while the
//! arguments still are in their registers, and at those that every return passes with the result in rax.

use aya_ebpf::{macros::uprobe, programs::ProbeContext};

use crate::tls::{self, CALL_READ, CALL_READ_EX, CALL_WRITE, CALL_WRITE_EX};

/// match-proto: `int SSL_read(SSL *ssl, void *buf, int num)`,
/// `ssize_t gnutls_record_recv(gnutls_session_t session, void *data, size_t size)`
#[uprobe]
pub fn tls_read(ctx: ProbeContext) -> u32 {
    enter(&ctx, CALL_READ)
}

#[uprobe]
pub fn tls_read_done(ctx: ProbeContext) -> u32 {
    leave(&ctx, CALL_READ)
}

/// match-proto: `int SSL_write(SSL *ssl, const void *buf, int num)`,
/// `ssize_t gnutls_record_send(gnutls_session_t session, const void *data, size_t size)`
#[uprobe]
pub fn tls_write(ctx: ProbeContext) -> u32 {
    enter(&ctx, CALL_WRITE)
}

#[uprobe]
pub fn tls_write_done(ctx: ProbeContext) -> u32 {
    leave(&ctx, CALL_WRITE)
}

/// match-proto: `int SSL_read_ex(SSL *ssl, void *buf, size_t num, size_t *readbytes)`
#[uprobe]
pub fn tls_read_ex(ctx: ProbeContext) -> u32 {
    enter(&ctx, CALL_READ_EX)
}

#[uprobe]
pub fn tls_read_ex_done(ctx: ProbeContext) -> u32 {
    leave(&ctx, CALL_READ_EX)
}

/// match-proto: `int SSL_write_ex(SSL *ssl, const void *buf, size_t num, size_t *written)`
#[uprobe]
pub fn tls_write_ex(ctx: ProbeContext) -> u32 {
    enter(&ctx, CALL_WRITE_EX)
}

#[uprobe]
pub fn tls_write_ex_done(ctx: ProbeContext) -> u32 {
    leave(&ctx, CALL_WRITE_EX)
}

/// match-proto: `int SSL_do_handshake(SSL *ssl)`
#[uprobe]
pub fn tls_handshake(ctx: ProbeContext) -> u32 {
    tls::handshake(ctx.arg(0).unwrap_or(0));
    0
}

/// match-proto: `void SSL_free(SSL *ssl)`, `void gnutls_deinit(gnutls_session_t session)`
#[uprobe]
pub fn tls_free(ctx: ProbeContext) -> u32 {
    tls::forget(ctx.arg(0).unwrap_or(0));
    0
}

#[inline(always)]
fn enter(ctx: &ProbeContext, call: u64) -> u32 {
    let argument = |index| ctx.arg::<u64>(index).unwrap_or(0);
    let count = if call == CALL_READ_EX || call == CALL_WRITE_EX { argument(3) } else { 0 };
    tls::enter(argument(0), argument(1), count, call);
    0
}

#[inline(always)]
fn leave(ctx: &ProbeContext, call: u64) -> u32 {
    // SAFETY: the context of a uprobe is its registers.
    let result = unsafe { (*ctx.regs).rax } as i32;
    tls::leave(call, result);
    0
}
