//! Which of a runtime's tasks is running: read from the process's own memory, a few words of it.
//!
//! The agent says for each process where to look (`RUNTIMES`). What does not read, or is not what it should be,
//! is no identity: then the thread alone is known.

use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid, bpf_get_current_task_btf, bpf_ktime_get_ns, bpf_probe_read_user,
};
use honeyguide_common::{
    Failure,
    identity::{GOROUTINE, NONE, PYTHON, Runtime, TOKIO},
    record::{DIRECTION_SEND, KIND_TASK, TASK_MADE, Task},
};

use crate::{
    call, emit,
    maps::{CALLS, Call, RUNTIMES},
    memory, offsets, select, tokio,
};

/// An outgoing request is written at once by the goroutine that its connection has for that.
const CALL_LASTS: u64 = 1_000_000_000;
/// Of glibc's thread-specific values the first block lies in the thread descriptor: `struct pthread_key_data
/// { uintptr_t seq; void *data; } specific_1stblock[32]` (nptl/descr.h).
const FIRST_BLOCK: u32 = 32;

/// What runs on the current thread.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Identity {
    pub context: u64,
    pub parent: u32,
    /// One of `identity::*`.
    pub kind: u32,
}

impl Identity {
    pub const UNKNOWN: Self = Self { context: 0, parent: 0, kind: NONE as u32 };
}

/// The identity that does a socket operation; a Go client's is the goroutine that asked for it.
#[inline(always)]
pub fn of_operation(pid: u32, direction: u8) -> Identity {
    let mut found = Identity::UNKNOWN;
    look(pid, direction, &mut found);
    found
}

/// The identity that is about to send.
#[inline(always)]
pub fn of_sender(pid: u32) -> Identity {
    let mut found = Identity::UNKNOWN;
    let Some(runtime) = RUNTIMES.get_ptr(pid) else { return found };
    if !select::has_user_call() {
        return found;
    }
    // SAFETY: an element of the table; the agent writes it whole.
    let runtime = unsafe { &*runtime };
    found.kind = runtime.kind;
    if runtime.kind == u32::from(PYTHON) {
        found.context = python_context(runtime).unwrap_or(0);
    } else if runtime.kind == u32::from(TOKIO) {
        found.context = tokio::current(runtime).unwrap_or(0);
    } else if let Some((ip, g, fd)) = call::go_registers_on_stack()
        && ip >= runtime.start
        && ip < runtime.end
    {
        goroutine(runtime, g, &mut found);
        if runtime.third != 0 {
            on_behalf(pid, fd as u32, &mut found, false);
        }
    }
    found
}

/// The identity that a thread runs which was interrupted at `ip`. `g`: what it has in Go's register for the goroutine.
#[inline(always)]
pub fn of_sample(pid: u32, ip: u64, g: u64) -> Identity {
    let mut found = Identity::UNKNOWN;
    let Some(runtime) = RUNTIMES.get_ptr(pid) else { return found };
    // SAFETY: an element of the table; the agent writes it whole.
    let runtime = unsafe { &*runtime };
    if runtime.kind == u32::from(PYTHON) {
        if let Some(context) = python_context(runtime) {
            found.context = context;
            found.kind = u32::from(PYTHON);
        }
    } else if runtime.kind == u32::from(GOROUTINE) {
        // The process is Go's even where the runtime itself is running.
        found.kind = u32::from(GOROUTINE);
        if ip >= runtime.start && ip < runtime.end {
            goroutine(runtime, g, &mut found);
        }
    } else if runtime.kind == u32::from(TOKIO) {
        found.kind = u32::from(TOKIO);
        found.context = tokio::current(runtime).unwrap_or(0);
    }
    found
}

#[inline(never)]
fn look(pid: u32, direction: u8, found: &mut Identity) -> u32 {
    let Some(runtime) = RUNTIMES.get_ptr(pid) else { return 0 };
    if !select::has_user_call() {
        return 0;
    }
    // SAFETY: an element of the table; the agent writes it whole.
    let runtime = unsafe { &*runtime };
    if runtime.kind == u32::from(PYTHON) {
        if let Some(context) = python_context(runtime) {
            found.context = context;
            found.kind = u32::from(PYTHON);
        }
    } else if runtime.kind == u32::from(GOROUTINE) {
        let (ip, g, fd) = call::go_registers();
        if ip < runtime.start || ip >= runtime.end {
            return 0;
        }
        goroutine(runtime, g, found);
        if direction == DIRECTION_SEND && runtime.third != 0 {
            on_behalf(pid, fd as u32, found, true);
        }
    } else if runtime.kind == u32::from(TOKIO)
        && let Some(task) = tokio::current(runtime)
    {
        found.context = task;
        found.kind = u32::from(TOKIO);
    }
    0
}

/// `runtime.g`'s id, and its creator's.
#[inline(always)]
fn goroutine(runtime: &Runtime, g: u64, found: &mut Identity) {
    // SAFETY: bpf_probe_read_user checks the address.
    let Ok(id) = (unsafe { bpf_probe_read_user((g + u64::from(runtime.first)) as *const u64) }) else {
        return;
    };
    // g0 and gsignal, on whose stacks the runtime itself runs, have none.
    if id == 0 {
        return;
    }
    found.context = id;
    found.kind = u32::from(GOROUTINE);
    if runtime.second != 0 {
        // SAFETY: as above.
        let parent = unsafe { bpf_probe_read_user((g + u64::from(runtime.second)) as *const u64) };
        found.parent = parent.unwrap_or(0) as u32;
    }
}

/// The goroutine at `g`.
#[inline(always)]
pub fn of_goroutine(runtime: &Runtime, g: u64) -> Identity {
    let mut found = Identity::UNKNOWN;
    goroutine(runtime, g, &mut found);
    found
}

/// `net/http`'s connections have a goroutine that writes; the request is another's, which left word. `take`: it is over with
/// this operation.
#[inline(always)]
fn on_behalf(pid: u32, fd: u32, found: &mut Identity, take: bool) {
    let key = call_key(pid, fd);
    let Some(call) = CALLS.get_ptr(key) else { return };
    // SAFETY: an element of the table; one that is evicted meanwhile leaves memory that is still an element's.
    let (goroutine, parent, time) = unsafe { ((*call).goroutine, (*call).parent, (*call).time) };
    if take {
        let _ = CALLS.remove(key);
    }
    // SAFETY: no arguments.
    if unsafe { bpf_ktime_get_ns() }.saturating_sub(time) < CALL_LASTS {
        found.context = goroutine;
        found.parent = parent;
    }
}

/// A goroutine asks `net/http.(*persistConn).roundTrip` for a request on a connection. `net.Conn` is an interface
/// (type, data); behind it are a `*net.TCPConn`, its `*netFD`, and in that `pfd.Sysfd` after a mutex of two words.
/// A `*tls.Conn` begins with the `net.Conn` below it.
#[inline(always)]
pub fn go_call(connection: u64, g: u64) {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let Some(runtime) = RUNTIMES.get_ptr(pid) else { return };
    // SAFETY: an element of the table; the agent writes it whole.
    let runtime = unsafe { &*runtime };
    if runtime.kind != u32::from(GOROUTINE) || runtime.third == 0 {
        return;
    }
    let mut found = Identity::UNKNOWN;
    goroutine(runtime, g, &mut found);
    let Some(fd) = go_descriptor(connection + u64::from(runtime.third)) else { return };
    if found.kind == 0 {
        return;
    }
    // SAFETY: no arguments.
    let time = unsafe { bpf_ktime_get_ns() };
    let call = Call { goroutine: found.context, time, parent: found.parent, padding: 0 };
    let _ = CALLS.insert(call_key(pid, fd), call, 0);
}

/// The descriptor of the connection behind the interface at `address`.
#[inline(always)]
fn go_descriptor(address: u64) -> Option<u32> {
    let connection = word(address + 8)?;
    let first = word(connection)?;
    // Of a `*net.TCPConn` this is the `*netFD`; of a `*tls.Conn` the type word of the interface below.
    if let Some(fd) = descriptor(first) {
        return Some(fd);
    }
    descriptor(word(word(connection + 8)?)?)
}

/// `poll.FD { fdmu { state u64; rsema, wsema u32 }; Sysfd int; … }`, with which a `netFD` begins.
#[inline(always)]
fn descriptor(file: u64) -> Option<u32> {
    // SAFETY: bpf_probe_read_user checks the address.
    let [_, semaphores, fd] = unsafe { bpf_probe_read_user(file as *const [u64; 3]) }.ok()?;
    // Descriptors are small; a type's words are not.
    (semaphores == 0 && fd < MAX_DESCRIPTOR).then_some(fd as u32)
}

/// `fs.nr_open`'s default; what is larger is no descriptor.
const MAX_DESCRIPTOR: u64 = 1 << 20;

/// The current thread's `PyThreadState`, by the key that CPython keeps it under also while the GIL is released: `key`
/// is its address, `block` where the thread descriptor has its first values.
#[inline(always)]
pub fn python_state(key: u64, block: u32) -> Option<u64> {
    // `Py_tss_t { int _is_initialized; pthread_key_t _key; }`
    // SAFETY: bpf_probe_read_user checks the address.
    let [initialized, key] = unsafe { bpf_probe_read_user(key as *const [u32; 2]) }.ok()?;
    if initialized != 1 || key >= FIRST_BLOCK {
        return None;
    }
    let base = thread_pointer()?;
    word(base + u64::from(block) + u64::from(key) * 16 + 8)
}

/// The context in the current thread's `PyThreadState`.
#[inline(always)]
fn python_context(runtime: &Runtime) -> Option<u64> {
    let state = python_state(runtime.start, runtime.second)?;
    let context = word(state + u64::from(runtime.first))?;
    // A thread that has not used any has none yet.
    if context == 0 {
        return Some(0);
    }
    is_context(runtime, context).then_some(context)
}

/// Where the current thread keeps what is its own (x86_64: `fs`).
#[inline(always)]
pub fn thread_pointer() -> Option<u64> {
    // SAFETY: the current task outlives the program; the helper's result is typed.
    let task = memory::address(unsafe { bpf_get_current_task_btf() }.cast());
    memory::field::<u64>(task as *const u8, &offsets::OFF_TASK_FS)
}

#[inline(always)]
fn is_context(runtime: &Runtime, object: u64) -> bool {
    // `PyObject { Py_ssize_t ob_refcnt; PyTypeObject *ob_type; }`
    word(object + 8) == Some(runtime.end)
}

/// `child` may be the context that the current one is being copied to: the place is chosen so that it is, or is
/// something of another type.
#[inline(always)]
pub fn python_copy(child: u64) {
    let Some((caller, runtime)) = runtime_of_caller(PYTHON) else { return };
    if child == 0 || !is_context(runtime, child) {
        return;
    }
    let Some(parent) = python_context(runtime) else { return };
    relate(&caller, PYTHON, child, parent, TASK_MADE);
}

/// The current task, if it is selected and has a runtime of this kind.
#[inline(always)]
pub fn runtime_of_caller(kind: u8) -> Option<(select::Caller, &'static Runtime)> {
    let caller = select::caller()?;
    // SAFETY: an element of the table, which lives as long as the program; the agent writes it whole.
    let runtime = unsafe { &*RUNTIMES.get_ptr(caller.pid)? };
    (runtime.kind == u32::from(kind)).then_some((caller, runtime))
}

/// Tells of two tasks of one process. `relation`: one of `TASK_*`.
#[inline(always)]
pub fn relate(caller: &select::Caller, identity: u8, child: u64, parent: u64, relation: u8) {
    if child == parent {
        return;
    }
    let record = Task {
        header: emit::header(KIND_TASK, 0),
        pid: caller.pid,
        tid: caller.tid,
        child,
        parent,
        identity,
        relation,
        padding: [0; 6],
    };
    emit::fixed(&record, Failure::RingFullTask);
}

#[inline(always)]
pub fn word(address: u64) -> Option<u64> {
    // SAFETY: bpf_probe_read_user checks the address.
    unsafe { bpf_probe_read_user(address as *const u64) }.ok()
}

#[inline(always)]
fn call_key(pid: u32, fd: u32) -> u64 {
    u64::from(pid) << 32 | u64::from(fd)
}
