//! Functions of TLS libraries. The agent places each program: at an instruction that every call passes while the
//! arguments still are in their registers, and at those that every return passes with the result in rax. Which
//! function it is, is in the cookie.

use aya_ebpf::{
    EbpfContext as _, helpers::generated::bpf_get_attach_cookie, macros::uprobe, programs::ProbeContext,
};

use honeyguide_common::tls::{CALL_READ_EX, CALL_WRITE_EX};

use crate::tls;

/// match-proto: `int SSL_read(SSL *ssl, void *buf, int num)`, `int SSL_write(SSL *ssl, const void *buf, int num)`,
/// `int SSL_read_ex(SSL *ssl, void *buf, size_t num, size_t *readbytes)`, `SSL_write_ex`,
/// `ossl_ssize_t SSL_sendfile(SSL *s, int fd, off_t offset, size_t size, int flags)`,
/// `ssize_t gnutls_record_recv(gnutls_session_t session, void *data, size_t size)`,
/// `ssize_t gnutls_record_send(gnutls_session_t session, const void *data, size_t size)`
#[uprobe]
pub fn tls_enter(ctx: ProbeContext) -> u32 {
    let call = cookie(&ctx);
    let argument = |index| ctx.arg::<u64>(index).unwrap_or(0);
    let count = if call == CALL_READ_EX || call == CALL_WRITE_EX { argument(3) } else { 0 };
    tls::enter(argument(0), argument(1), count, call);
    0
}

#[uprobe]
pub fn tls_leave(ctx: ProbeContext) -> u32 {
    // SAFETY: the context of a uprobe is its registers.
    let result = unsafe { (*ctx.regs).rax } as i32;
    tls::leave(cookie(&ctx), result);
    0
}

/// match-proto: `int SSL_do_handshake(SSL *ssl)`
#[uprobe]
pub fn tls_handshake(ctx: ProbeContext) -> u32 {
    tls::handshake(ctx.arg(0).unwrap_or(0));
    0
}

/// match-proto: `void SSL_free(SSL *ssl)`, `int SSL_clear(SSL *ssl)`, `void gnutls_deinit(gnutls_session_t session)`
#[uprobe]
pub fn tls_free(ctx: ProbeContext) -> u32 {
    tls::forget(ctx.arg(0).unwrap_or(0));
    0
}

#[inline(always)]
fn cookie(ctx: &ProbeContext) -> u64 {
    // SAFETY: the helper takes the program's own context.
    unsafe { bpf_get_attach_cookie(ctx.as_ptr()) }
}
