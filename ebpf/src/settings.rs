//! What the agent sets before loading. The map that holds these is frozen, so the verifier sees constants.

use aya_ebpf::Global;

/// The agent's own process, which is never traced.
#[unsafe(no_mangle)]
pub static SELF_PID: Global<u32> = Global::new(0);
/// 1: every process is selected.
#[unsafe(no_mangle)]
pub static SELECT_ALL: Global<u8> = Global::new(0);
/// 1: the `PORTS` table selects connections of any process.
#[unsafe(no_mangle)]
pub static SELECT_PORTS: Global<u8> = Global::new(0);
/// 1: threads' times are kept, and told with their socket operations.
#[unsafe(no_mangle)]
pub static THREAD_TIMES: Global<u8> = Global::new(0);
/// 1: TLS sessions are joined to their sockets.
#[unsafe(no_mangle)]
pub static TRACE_TLS: Global<u8> = Global::new(0);
/// 1: the opening of connections by selected processes is told.
#[unsafe(no_mangle)]
pub static TRACE_OPENS: Global<u8> = Global::new(0);
/// 1: wake-ups between the threads of selected processes are told.
#[unsafe(no_mangle)]
pub static TRACE_WAKES: Global<u8> = Global::new(0);
/// 1: the kernel has `bpf_loop` (5.17): HTTP/2 is captured by the frame, and a stack is walked in one program.
#[unsafe(no_mangle)]
pub static LOOPS: Global<u8> = Global::new(0);
/// 1: headers are put into the requests of selected processes, or options into their segments.
#[unsafe(no_mangle)]
pub static PROPAGATE: Global<u8> = Global::new(0);
/// 1: contexts go in TCP options, to other hosts.
#[unsafe(no_mangle)]
pub static TCP_OPTION: Global<u8> = Global::new(0);
/// 1: the traces that requests come with are gone on with.
#[unsafe(no_mangle)]
pub static TRACE_CONTEXT: Global<u8> = Global::new(0);
/// Traces whose 56 random bits are below this are not sampled; beyond all of them: none is.
#[unsafe(no_mangle)]
pub static REJECT_BELOW: Global<u64> = Global::new(0);
/// Bytes captured of one burst in one direction.
#[unsafe(no_mangle)]
pub static CAPTURE_BYTES: Global<u32> = Global::new(8192);
/// The ring wakes its reader when it holds this much; until then the reader polls.
#[unsafe(no_mangle)]
pub static WAKEUP_BYTES: Global<u64> = Global::new(1 << 20);
/// A random key, so that recordings do not carry kernel addresses.
#[unsafe(no_mangle)]
pub static ADDRESS_KEY: Global<u64> = Global::new(0);
/// Nanoseconds for which a thread must be blocked before it is told.
#[unsafe(no_mangle)]
pub static OFF_CPU_LEAST: Global<u64> = Global::new(0);
