//! Which user memory a socket operation moved: read from the registers saved at system-call entry.

use core::mem::offset_of;

use aya_ebpf::{
    bindings::pt_regs,
    helpers::{
        bpf_get_current_pid_tgid, bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_probe_read_user,
        bpf_task_pt_regs,
    },
};
use honeyguide_common::{Failure, record};

use crate::{
    error,
    maps::{BATCHES, Batch},
    memory, offsets, select,
};

/// Where an operation's bytes are, or why they cannot be had.
#[derive(Clone, Copy)]
pub struct UserBytes {
    /// One of `record::ORIGIN_*`.
    pub origin: u8,
    /// `ORIGIN_BUFFER`: the buffer. `ORIGIN_VECTOR`, `ORIGIN_MESSAGE`: the array of iovecs. Else 0.
    pub address: u64,
    /// Bytes of the buffer, or number of iovecs.
    pub count: u64,
}

/// The user's `struct iovec`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IoVec {
    pub base: u64,
    pub length: u64,
}

/// The leading fields of the user's `struct msghdr`, 64-bit (include/linux/socket.h `user_msghdr`).
#[repr(C)]
#[derive(Clone, Copy)]
struct MsgHdr {
    name: u64,
    name_length: u64,
    vector: u64,
    vector_count: u64,
}

/// x86_64 system calls that move socket bytes (arch/x86/entry/syscalls/syscall_64.tbl).
mod number {
    pub const READ: u64 = 0;
    pub const WRITE: u64 = 1;
    pub const READV: u64 = 19;
    pub const WRITEV: u64 = 20;
    pub const SENDFILE: u64 = 40;
    pub const SENDTO: u64 = 44;
    pub const RECVFROM: u64 = 45;
    pub const SENDMSG: u64 = 46;
    pub const RECVMSG: u64 = 47;
    pub const SPLICE: u64 = 275;
    pub const TEE: u64 = 276;
    pub const RECVMMSG: u64 = 299;
    pub const SENDMMSG: u64 = 307;
    pub const COPY_FILE_RANGE: u64 = 326;
    pub const PREADV2: u64 = 327;
    pub const PWRITEV2: u64 = 328;
    pub const IO_URING_ENTER: u64 = 426;
}

/// The code segment of 64-bit user code; 32-bit code has 0x23.
pub const USER_CS: u64 = 0x33;
/// The stack segment of user code.
const USER_SS: u64 = 0x2b;
/// More than any system call's number.
const MAX_CALL: u64 = 1024;
/// `THREAD_SIZE` of x86_64 (arch/x86/include/asm/page_64_types.h).
const THREAD_SIZE: u64 = 16 << 10;
/// `sizeof(struct mmsghdr)`, 64-bit.
const MMSGHDR: u64 = 64;

/// The system call the current task is in.
#[inline(always)]
pub fn current() -> u64 {
    // SAFETY: a typed pointer the verifier knows; the load is checked against `struct pt_regs`.
    unsafe { (*saved_registers()).orig_rax }
}

/// What Go's code had in its registers as it called the kernel: the address of the call, the goroutine (r14), and
/// the call's first argument.
#[inline(always)]
pub fn go_registers() -> (u64, u64, u64) {
    let regs = saved_registers();
    // SAFETY: a typed pointer the verifier knows; each load is checked against `struct pt_regs`.
    unsafe { ((*regs).rip, (*regs).r14, (*regs).rdi) }
}

/// Where the user's stack ends as the kernel is called.
#[inline(always)]
pub fn stack() -> u64 {
    // SAFETY: a typed pointer the verifier knows; the load is checked against `struct pt_regs`.
    unsafe { (*saved_registers()).rsp }
}

/// What `go_registers` tells, for a program that may not ask for the registers. They lie at the top of the task's stack, below 16 bytes
/// more where the kernel is built for FRED (`TOP_OF_KERNEL_STACK_PADDING`, Linux 6.9). They are believed where they are
/// those of a system call from 64-bit code.
#[inline(always)]
pub fn go_registers_on_stack() -> Option<(u64, u64, u64)> {
    let saved = saved_on_stack()?;
    let word = |offset| word(saved, offset);
    Some((word(offset_of!(pt_regs, rip))?, word(offset_of!(pt_regs, r14))?, word(offset_of!(pt_regs, rdi))?))
}

/// What the current task has asked the kernel to send, in a program that may not ask for the registers: the first bytes of
/// it, as far as they are read. `None` where it is in no call that sends from its memory.
#[inline(always)]
pub fn sending_on_stack() -> Option<[u8; 4]> {
    let saved = saved_on_stack()?;
    let second = word(saved, offset_of!(pt_regs, rsi))?;
    let call = word(saved, offset_of!(pt_regs, orig_rax))?;
    let vector = match call {
        // SAFETY: bpf_probe_read_user checks the address.
        number::WRITE | number::SENDTO => {
            return Some(unsafe { bpf_probe_read_user(second as *const [u8; 4]) }.unwrap_or([0; 4]));
        }
        number::WRITEV | number::PWRITEV2 => second,
        // SAFETY: as above.
        number::SENDMSG => unsafe { bpf_probe_read_user(second as *const MsgHdr) }.ok()?.vector,
        number::SENDMMSG => return Some([0; 4]),
        _ => return None,
    };
    // SAFETY: as above.
    let first = unsafe { bpf_probe_read_user(vector as *const IoVec) }.ok()?;
    // SAFETY: as above.
    Some(unsafe { bpf_probe_read_user(first.base as *const [u8; 4]) }.unwrap_or([0; 4]))
}

#[inline(always)]
fn saved_on_stack() -> Option<u64> {
    // SAFETY: the current task outlives the program; the helper's result is typed.
    let task = memory::address(unsafe { bpf_get_current_task_btf() }.cast());
    let stack = memory::field::<u64>(task as *const u8, &offsets::OFF_TASK_STACK)?;
    let top = stack + THREAD_SIZE - size_of::<pt_regs>() as u64;
    saved_at(top).or_else(|| saved_at(top - 16))
}

#[inline(always)]
fn saved_at(address: u64) -> Option<u64> {
    let is_call = word(address, offset_of!(pt_regs, cs))? == USER_CS
        && word(address, offset_of!(pt_regs, ss))? == USER_SS
        && word(address, offset_of!(pt_regs, orig_rax))? < MAX_CALL;
    is_call.then_some(address)
}

#[inline(always)]
fn word(saved: u64, offset: usize) -> Option<u64> {
    // SAFETY: bpf_probe_read_kernel checks the address.
    unsafe { bpf_probe_read_kernel((saved + offset as u64) as *const u64) }.ok()
}

/// Reads the current task's saved registers.
#[inline(always)]
pub fn user_bytes() -> UserBytes {
    let none = |origin| UserBytes { origin, address: 0, count: 0 };
    if !select::has_user_call() {
        error::count(Failure::Uring);
        return none(record::ORIGIN_URING);
    }
    let regs = saved_registers();
    // SAFETY: a typed pointer the verifier knows; each load is checked against `struct pt_regs`.
    let (call, cs, second, third) = unsafe { ((*regs).orig_rax, (*regs).cs, (*regs).rsi, (*regs).rdx) };
    if cs != USER_CS {
        error::count(Failure::Compat32);
        return none(record::ORIGIN_COMPAT32);
    }
    let found = |origin, address, count| UserBytes { origin, address, count };
    match call {
        number::READ | number::WRITE | number::SENDTO | number::RECVFROM => {
            found(record::ORIGIN_BUFFER, second, third)
        }
        number::READV | number::WRITEV | number::PREADV2 | number::PWRITEV2 => {
            found(record::ORIGIN_VECTOR, second, third)
        }
        number::SENDMSG | number::RECVMSG => message(second),
        number::SENDMMSG | number::RECVMMSG => {
            let index = batch_index(second, third as u32);
            message(second + u64::from(index & 1023) * MMSGHDR)
        }
        number::SENDFILE | number::SPLICE | number::TEE | number::COPY_FILE_RANGE => {
            error::count(Failure::FileBytes);
            found(record::ORIGIN_FILE, 0, 0)
        }
        number::IO_URING_ENTER => {
            error::count(Failure::Uring);
            found(record::ORIGIN_URING, 0, 0)
        }
        _ => {
            error::count(Failure::UnknownCall);
            found(record::ORIGIN_OTHER, 0, 0)
        }
    }
}

/// The first buffer of a receive, and its room; nothing is counted. `None` where there is none to be found.
#[inline(always)]
pub fn received_bytes() -> Option<(u64, u64)> {
    if !select::has_user_call() {
        return None;
    }
    let regs = saved_registers();
    // SAFETY: as in `user_bytes`.
    let (call, cs, second, third) = unsafe { ((*regs).orig_rax, (*regs).cs, (*regs).rsi, (*regs).rdx) };
    if cs != USER_CS {
        return None;
    }
    let vector = match call {
        number::READ | number::RECVFROM => return Some((second, third)),
        number::READV => second,
        // SAFETY: bpf_probe_read_user checks the address.
        number::RECVMSG => unsafe { bpf_probe_read_user(second as *const MsgHdr) }.ok()?.vector,
        _ => return None,
    };
    // SAFETY: as above.
    let first = unsafe { bpf_probe_read_user(vector as *const IoVec) }.ok()?;
    Some((first.base, first.length))
}

#[inline(always)]
fn message(header: u64) -> UserBytes {
    // SAFETY: bpf_probe_read_user checks the address.
    match unsafe { bpf_probe_read_user(header as *const MsgHdr) } {
        Ok(m) => UserBytes { origin: record::ORIGIN_MESSAGE, address: m.vector, count: m.vector_count },
        Err(_) => {
            error::count(Failure::UserFault);
            UserBytes { origin: record::ORIGIN_OTHER, address: 0, count: 0 }
        }
    }
}

/// sendmmsg and recvmmsg fire once for each message and do not say which. They take them in order and
/// stop early only on an error, which fires too: so count, and start again after an error or the last.
#[inline(always)]
fn batch_index(vector: u64, length: u32) -> u32 {
    let thread = bpf_get_current_pid_tgid();
    let index = match BATCHES.get_ptr(thread) {
        // SAFETY: a map value read by the thread it belongs to.
        Some(batch) => unsafe { if (*batch).vector == vector { (*batch).index } else { 0 } },
        None => 0,
    };
    if index + 1 >= length {
        let _ = BATCHES.remove(thread);
    } else {
        let _ = BATCHES.insert(thread, Batch { vector, index: index + 1, padding: 0 }, 0);
    }
    index
}

/// An operation failed: if it was one of a batch, the batch is over.
#[inline(always)]
pub fn end_batch() {
    let regs = saved_registers();
    // SAFETY: as in `user_bytes`.
    let call = unsafe { (*regs).orig_rax };
    if call == number::RECVMMSG || call == number::SENDMMSG {
        let _ = BATCHES.remove(bpf_get_current_pid_tgid());
    }
}

#[inline(always)]
fn saved_registers() -> *const pt_regs {
    // SAFETY: the helper takes the current task, and returns where its user registers are saved.
    unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) as *const pt_regs }
}
