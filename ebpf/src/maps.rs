//! The tables shared with the agent, and what the kernel remembers of each socket.

use aya_ebpf::{
    btf_maps::{
        Array, ArrayOfMaps, HashMap, LruHashMap, PerCpuArray, ProgramArray, RingBuf, SkStorage, SockHash,
    },
    macros::btf_map,
};
use honeyguide_common::{
    Failure,
    identity::{MAX_CALLS, MAX_RUNTIMES, Runtime},
    interpreter::{MAX_INTERPRETERS, Python, V8},
    propagation::{self, MAX_CONNECTIONS, MAX_REQUESTS},
    record::WAITS,
    sample::{Blocked, MAX_BLOCKED},
    unwind::{CHUNK_FLAGS, CHUNK_WORDS, MAX_CHUNKS, MAX_PROCESSES, MAX_RULES, PROGRAMS, Process, Rule},
    verdict,
};

use crate::{
    frames::Progress,
    identity::Identity,
    propagate::{
        Outgoing,
        hand::Hand,
        option::{receive::Incoming, send::Writes},
    },
    unwind::Walk,
};

/// Records on their way to the agent, in one global order. The agent sets the size.
#[btf_map]
pub static EVENTS: RingBuf<[u8; 0], { 8 << 20 }> = RingBuf::new();

/// Selected processes, by process id.
#[btf_map]
pub static SELECTED: HashMap<u32, u8, { verdict::MAX_SELECTED }, { NO_PREALLOC }> = HashMap::new();

/// Selected ports, local or remote, in host byte order.
#[btf_map]
pub static PORTS: HashMap<u16, u8, { verdict::MAX_PORTS }, { NO_PREALLOC }> = HashMap::new();

/// How to find what runs on the threads of a process, by process id.
#[btf_map]
pub static RUNTIMES: HashMap<u32, Runtime, { MAX_RUNTIMES }, { NO_PREALLOC }> = HashMap::new();

/// Whose request a Go program's connection is about to write, by process id and descriptor.
#[btf_map]
pub static CALLS: LruHashMap<u64, Call, { MAX_CALLS }> = LruHashMap::new();

/// The agent's word on a connection, by socket cookie. Read until it is definite, then kept with the socket.
#[btf_map]
pub static VERDICTS: LruHashMap<u64, u8, { verdict::MAX_VERDICTS }> = LruHashMap::new();

/// One counter for each `Failure`.
#[btf_map]
pub static FAILURES: PerCpuArray<u64, { Failure::ALL.len() }> = PerCpuArray::new();

/// The most bytes that were waiting in the ring, and how many quarters of `settings::WAKEUP_BYTES` were when this CPU last
/// looked; 0 below a whole one.
#[btf_map]
pub static RING_FILL: PerCpuArray<[u64; 2], 1> = PerCpuArray::new();

/// Freed by the kernel with the socket.
#[btf_map]
pub static SOCKETS: SkStorage<SocketState> = SkStorage::new();

/// Where a thread stands in a sendmmsg or recvmmsg, by thread id.
#[btf_map]
pub static BATCHES: LruHashMap<u64, Batch, 1024> = LruHashMap::new();

/// What the threads that touch sockets do with their time, by thread id. Empty unless asked for.
#[btf_map]
pub static THREADS: LruHashMap<u32, ThreadTimes, 16384> = LruHashMap::new();

/// Zeroes, to begin an account from: the stack has no room for them.
#[btf_map]
pub static UNUSED: PerCpuArray<ThreadTimes, 1> = PerCpuArray::new();

/// Who has waited at a futex for a certain time only, by process id and address: a thread's id, or `wakes::SEVERAL`. Empty
/// unless wake-ups are told.
#[btf_map]
pub static TURNS: LruHashMap<[u64; 2], u32, 4096> = LruHashMap::new();

/// When each CPU has last turned to another thread, for each that asks; see `switches`.
#[btf_map]
pub static SWITCHED: PerCpuArray<u64, 2> = PerCpuArray::new();

/// Where a thread stands in a TLS library, by thread id.
#[btf_map]
pub static TLS_THREADS: LruHashMap<u64, TlsThread, 8192> = LruHashMap::new();

/// TLS sessions, by the library's own object and process id.
#[btf_map]
pub static TLS_SESSIONS: LruHashMap<[u64; 2], TlsSession, 16384> = LruHashMap::new();

/// Stack samples on their way to the agent. The agent sets the size.
#[btf_map]
pub static SAMPLES: RingBuf<[u8; 0], { 4 << 20 }> = RingBuf::new();

/// The arena of unwind tables: see `honeyguide_common::unwind`. The agent adds chunks as it needs them.
#[btf_map]
pub static CHUNKS: ArrayOfMaps<Array<[u32; CHUNK_WORDS], 1, CHUNK_FLAGS>, MAX_CHUNKS> = ArrayOfMaps::new();

#[btf_map]
pub static RULES: Array<Rule, MAX_RULES> = Array::new();

/// Processes whose mappings are in the arena, by process id.
#[btf_map]
pub static PROCESSES: HashMap<u32, Process, MAX_PROCESSES, { NO_PREALLOC }> = HashMap::new();

/// How to find the frames of CPython, by process id.
#[btf_map]
pub static INTERPRETERS: HashMap<u32, Python, { MAX_INTERPRETERS }, { NO_PREALLOC }> = HashMap::new();

/// How to tell the frames of JavaScript, by process id.
#[btf_map]
pub static SCRIPTS: HashMap<u32, V8, { MAX_INTERPRETERS }, { NO_PREALLOC }> = HashMap::new();

/// What a walk over a stack has in hand. A sample may interrupt the scheduler, so each has its own.
#[btf_map]
pub static WALKS: PerCpuArray<Walk, 2> = PerCpuArray::new();
pub const WALK_ON_CPU: u32 = 0;
pub const WALK_OFF_CPU: u32 = 1;

/// The programs that a sample's walk goes on in, by `unwind::PROGRAM_*`.
#[btf_map]
pub static UNWINDERS: ProgramArray<PROGRAMS> = ProgramArray::new();

/// Those that the walk of a thread goes on in which blocks: programs call those of their own type alone.
#[btf_map]
pub static OFF_CPU_UNWINDERS: ProgramArray<PROGRAMS> = ProgramArray::new();

/// Threads of selected processes that block, or have, by thread id. All of its memory is there from the start: nothing
/// can be allocated where the scheduler holds its lock. The agent sets the size.
#[btf_map]
pub static BLOCKED: HashMap<u32, Blocked, { MAX_BLOCKED as usize }> = HashMap::new();

/// Zeroes, to begin from.
#[btf_map]
pub static NOT_BLOCKED: PerCpuArray<Blocked, 1> = PerCpuArray::new();

/// The plaintext of a socket, whatever session carries it at the moment.
#[btf_map]
pub static TLS_SOCKETS: LruHashMap<u64, TlsSocket, 16384> = LruHashMap::new();

/// Processes whose program is Go's, and of which the agent has put probes on its TLS.
#[btf_map]
pub static GO_PROCESSES: HashMap<u32, u8, { verdict::MAX_GO }, { NO_PREALLOC }> = HashMap::new();

/// Where a goroutine stands in crypto/tls, by its g and process id.
#[btf_map]
pub static GO_CALLS: LruHashMap<[u64; 2], GoCall, 8192> = LruHashMap::new();

/// Where the frames of HTTP/2 connections are, by socket cookie or name of a TLS session, and direction. The longest
/// idle one is forgotten when it is full, and found again.
#[btf_map]
pub static FRAMES: LruHashMap<[u64; 2], Progress, 8192> = LruHashMap::new();

/// Zeroes, to begin from.
#[btf_map]
pub static NO_FRAMES: PerCpuArray<Progress, 1> = PerCpuArray::new();

/// Connections whose sends are looked at before they leave, by socket cookie. Empty unless headers are put in.
#[btf_map]
pub static CONNECTIONS: SockHash<u64, MAX_CONNECTIONS> = SockHash::new();

/// What is known of a connection for that, and of a request that was read. Freed by the kernel with the socket.
#[btf_map]
pub static OUTGOING: SkStorage<Outgoing> = SkStorage::new();

/// The trace of the request that an execution has in hand, by process, kind of identity and identity.
#[btf_map]
pub static HANDS: LruHashMap<[u64; 2], Hand, MAX_REQUESTS> = LruHashMap::new();

/// `propagation::FOLLOW` and `TRIAL`: the agent tries this kernel, and sets what it has found.
#[btf_map]
pub static PROPAGATION: Array<u32, { propagation::SWITCHES }> = Array::new();

/// One counter for each `propagation::Outcome`.
#[btf_map]
pub static OUTCOMES: PerCpuArray<u64, { propagation::Outcome::ALL.len() }> = PerCpuArray::new();

/// What is known of a connection whose segments get options. Freed by the kernel with the socket.
#[btf_map]
pub static WRITES: SkStorage<Writes> = SkStorage::new();

/// The contexts that have come last on a connection. Freed by the kernel with the socket.
#[btf_map]
pub static INCOMING: SkStorage<Incoming> = SkStorage::new();

/// One counter for each `propagation::OptionOutcome`.
#[btf_map]
pub static OPTION_OUTCOMES: PerCpuArray<u64, { propagation::OptionOutcome::ALL.len() }> = PerCpuArray::new();

const NO_PREALLOC: usize = 1;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct SocketState {
    pub cookie: u64,
    /// Bytes that passed since the socket was first seen.
    pub sent: u64,
    pub received: u64,
    /// Bytes that may still be captured of the current burst.
    pub budget: u32,
    /// The direction of the current burst.
    pub direction: u8,
    pub verdict: u8,
    /// Selected by port, whoever owns it.
    pub by_port: u8,
    /// The connection record is in the ring.
    pub described: u8,
    pub tcp: u8,
    /// One of `tls::LOOKS_*`.
    pub tls: u8,
    /// 0: the budget is for each burst; or one of `socket::BY_*`.
    pub whole: u8,
    pub padding: [u8; 5],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ThreadTimes {
    /// When the state below began.
    pub since: u64,
    /// 0: on a CPU; 1: waiting for one; 2 and up: blocked, for `record::WAIT_… + 2`.
    pub state: u64,
    pub on_cpu: u64,
    pub run_queue: u64,
    /// By kind of wait; room for a power of two, which a mask can bound.
    pub blocked: [u64; Self::ROOM],
}

impl ThreadTimes {
    pub const ROOM: usize = WAITS.next_power_of_two();
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Call {
    pub goroutine: u64,
    pub time: u64,
    pub parent: u32,
    pub padding: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Batch {
    /// The user's vector: another address is another call.
    pub vector: u64,
    pub index: u32,
    pub padding: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct TlsThread {
    /// The session whose function is running; 0: none is.
    pub session: u64,
    pub buffer: u64,
    /// Where the function writes how many bytes it moved; 0 where it returns that. Of rustls the number of vectors.
    pub count: u64,
    /// One of `honeyguide_common::tls::CALL_*`.
    pub call: u64,
    /// The socket that the running function used.
    pub touched: u64,
    /// The socket of which ciphertext was read outside of any function, for a session to take.
    pub fresh: u64,
    /// The session that made ciphertext, for a socket to take.
    pub pending: u64,
    /// Of the current call, how many bytes of plaintext.
    pub moved: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct GoCall {
    /// The `*tls.Conn`.
    pub conn: u64,
    pub buffer: u64,
    /// Where its frame begins, from the top of the goroutine's stack: Go moves stacks, and this stays.
    pub depth: u64,
    /// One of `honeyguide_common::tls::GO_*`; 0 where none is known of.
    pub call: u64,
    /// The socket that the call used, in the direction of its bytes.
    pub touched: u64,
    /// For whom it writes.
    pub who: Identity,
    /// Where it returns to: what is there in its frame as long as it runs.
    pub back: u64,
    /// Of a write: the bytes that it was given, those that have been told, and those that left as ciphertext.
    pub length: u64,
    pub told: u64,
    pub left: u64,
    /// 1: it has to shake hands first, and what has left may be that.
    pub shakes: u64,
}

/// The session's plaintext streams: those of its socket, once that is known.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TlsSession {
    /// 0 while it is not known.
    pub socket: u64,
    pub stream: TlsStream,
    /// Records were emitted without a socket.
    pub unbound: u32,
    /// Plaintext has passed.
    pub spoke: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct TlsSocket {
    /// The session, as a key of `TLS_SESSIONS`.
    pub session: [u64; 2],
    pub stream: TlsStream,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct TlsStream {
    /// Plaintext bytes so far.
    pub sent: u64,
    pub received: u64,
    /// Of what was sent, what has left as ciphertext, where contexts go in TCP options.
    pub left: u64,
    pub budget: u32,
    pub direction: u8,
    /// As a socket's.
    pub whole: u8,
    pub verdict: u8,
    pub padding: [u8; 1],
}
