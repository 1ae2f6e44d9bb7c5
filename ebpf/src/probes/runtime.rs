//! Functions of language runtimes that say which task an identity belongs to. The agent places each program where
//! the registers hold what is read here.

use aya_ebpf::{macros::uprobe, programs::ProbeContext};

use crate::identity;

/// match-proto: `func (pc *persistConn) roundTrip(req *transportRequest) (*Response, error)`, Go 1.17's registers:
/// the receiver in rax, the goroutine in r14
#[uprobe]
pub fn go_round_trip(ctx: ProbeContext) -> u32 {
    // SAFETY: the context of a uprobe is its registers.
    let (connection, g) = unsafe { ((*ctx.regs).rax, (*ctx.regs).r14) };
    identity::go_call(connection, g);
    0
}

/// Inside of `PyObject *PyContext_CopyCurrent(void)`, CPython 3.7: the new context in rax
#[uprobe]
pub fn python_copy_rax(ctx: ProbeContext) -> u32 {
    // SAFETY: the context of a uprobe is its registers.
    identity::python_copy(unsafe { (*ctx.regs).rax });
    0
}

/// The same where it is the argument of a call
#[uprobe]
pub fn python_copy_rdi(ctx: ProbeContext) -> u32 {
    // SAFETY: the context of a uprobe is its registers.
    identity::python_copy(unsafe { (*ctx.regs).rdi });
    0
}
