//! Functions of language runtimes that say which task an identity belongs to. The agent places each program where
//! the registers hold what is read here.

use aya_ebpf::{macros::uprobe, programs::ProbeContext};

use honeyguide_common::record::{TASK_MADE, TASK_WOKEN};

use crate::{grpc, identity, tokio};

/// match-proto: `func (pc *persistConn) roundTrip(req *transportRequest) (*Response, error)`, Go 1.17's registers:
/// the receiver in rax, the goroutine in r14
#[uprobe]
pub fn go_round_trip(ctx: ProbeContext) -> u32 {
    // SAFETY: the context of a uprobe is its registers.
    let (connection, g) = unsafe { ((*ctx.regs).rax, (*ctx.regs).r14) };
    identity::go_call(connection, g);
    0
}

/// match-proto: `func (t *http2Client) Write(s *Stream, hdr, data []byte, opts *Options) error` of grpc-go's transport, since
/// 1.69 `write(s *ClientStream, …)`: the receiver in rax, the stream in rbx, the goroutine in r14
#[uprobe]
pub fn go_grpc_write(ctx: ProbeContext) -> u32 {
    // SAFETY: the context of a uprobe is its registers.
    let (connection, stream, g) = unsafe { ((*ctx.regs).rax, (*ctx.regs).rbx, (*ctx.regs).r14) };
    grpc::sends(connection, stream, g);
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

/// match-proto: `unsafe fn wake_by_val(ptr: *const ())`, `unsafe fn wake_by_ref(ptr: *const ())` of
/// `tokio::runtime::task::waker`, tokio 1: the task's header in rdi
#[uprobe]
pub fn tokio_wake(ctx: ProbeContext) -> u32 {
    // SAFETY: the context of a uprobe is its registers.
    tokio::concerns(unsafe { (*ctx.regs).rdi }, TASK_WOKEN);
    0
}

/// match-proto: `fn schedule_option_task_without_yield(&self, task: Option<Notified>)` of tokio's `multi_thread::Handle`,
/// tokio 1.30: what was just made goes to be run
#[uprobe]
pub fn tokio_spawn(ctx: ProbeContext) -> u32 {
    // SAFETY: the context of a uprobe is its registers.
    let header = unsafe { (*ctx.regs).rsi };
    if header != 0 {
        tokio::concerns(header, TASK_MADE);
    }
    0
}
