//! The records that travel through the ring buffer. All fields are little-endian as the CPU has them;
//! times are nanoseconds of CLOCK_MONOTONIC (`bpf_ktime_get_ns`).

#[cfg(feature = "user")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::propagation::VALUE;

/// `Header::kind`.
pub const KIND_DATA: u16 = 1;
pub const KIND_CONNECTION: u16 = 2;
pub const KIND_STATE: u16 = 3;
pub const KIND_FORK: u16 = 4;
pub const KIND_EXEC: u16 = 5;
pub const KIND_EXIT: u16 = 6;
pub const KIND_LISTEN: u16 = 7;
pub const KIND_TIMES: u16 = 8;
pub const KIND_BIND: u16 = 9;
pub const KIND_TASK: u16 = 10;
/// A process has loaded or unloaded libraries: a [`Process`] with neither argument nor name.
pub const KIND_LOADED: u16 = 11;
pub const KIND_OPEN: u16 = 12;
pub const KIND_INJECTED: u16 = 13;
pub const KIND_ARRIVED: u16 = 14;
pub const KIND_WAKE: u16 = 15;
pub const KIND_MESSAGE: u16 = 16;

/// `Data::direction`, as the traced process sees it.
pub const DIRECTION_SEND: u8 = 0;
pub const DIRECTION_RECEIVE: u8 = 1;

/// `Data::origin`: which family of system calls moved the bytes.
pub const ORIGIN_BUFFER: u8 = 0;
pub const ORIGIN_VECTOR: u8 = 1;
pub const ORIGIN_MESSAGE: u8 = 2;
/// sendfile, splice: there is no user buffer to read.
pub const ORIGIN_FILE: u8 = 3;
pub const ORIGIN_URING: u8 = 4;
pub const ORIGIN_COMPAT32: u8 = 5;
pub const ORIGIN_OTHER: u8 = 6;

/// `Header::flags` of a data record: the peer will send no more (a receive of 0 bytes).
pub const FLAG_EOF: u16 = 1;
/// User memory could not be read; `captured` is 0 although bytes passed.
pub const FLAG_FAULT: u16 = 1 << 1;
/// The plaintext of a TLS session; offsets count plaintext.
pub const FLAG_PLAINTEXT: u16 = 1 << 2;
/// `socket` names the session, since its socket is not known yet; a [`Bind`] will tell.
pub const FLAG_UNBOUND: u16 = 1 << 3;

/// `Header::flags` of an [`Injected`] record: it is a TCP option of the segments that carry the first bytes of a send, which
/// may be a request's. With [`FLAG_PLAINTEXT`] offsets count the inside of TLS, as in an [`Arrived`] one.
pub const FLAG_OPTION: u16 = 1;

/// `Header::flags` of a connection record: its first byte, in either direction, has been seen.
pub const FLAG_FROM_START: u16 = 1;
/// The TCP sequence numbers are valid.
pub const FLAG_SEQUENCES: u16 = 1 << 1;

/// `Connection::family`: AF_UNIX, AF_INET, AF_INET6.
pub const FAMILY_UNIX: u16 = 1;
pub const FAMILY_INET: u16 = 2;
pub const FAMILY_INET6: u16 = 10;

/// How many of an operation's last bytes a cut record carries.
pub const TAIL: usize = 16;
/// Of an operation beyond the budget this much is captured: the start of a chunk, or a short message.
pub const EDGE: u32 = CLASSES[1] as u32;
/// The longest path of a unix socket (`sun_path`).
pub const UNIX_PATH: usize = 108;
pub const COMM: usize = 16;

/// Payload room of a data record, by size class. A record takes the smallest class that fits.
pub const CLASSES: [usize; 5] = [0, 256, 1024, 4096, 16384];
/// The most bytes of one record that can be captured.
pub const MAX_CAPTURE: usize = CLASSES[4];
/// The most vectors of one operation that are read.
pub const MAX_VECTORS: usize = 32;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Header {
    pub kind: u16,
    pub flags: u16,
    /// Payload bytes that follow the record's fixed part. The rest of a size class is not written.
    pub captured: u32,
    pub time: u64,
}

/// Bytes that passed a socket; `captured` of them follow.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Data {
    pub header: Header,
    /// The socket's cookie: unique on this host until reboot.
    pub socket: u64,
    /// Bytes that passed in this direction before this record, since the socket was first seen.
    pub offset: u64,
    pub pid: u32,
    pub tid: u32,
    /// The runtime's own name for what is running; 0 where `identity` is [`crate::identity::NONE`].
    pub context: u64,
    /// Bytes of the stream this record stands for.
    pub length: u32,
    /// 0, or the negative errno the operation returned.
    pub result: i32,
    pub direction: u8,
    pub origin: u8,
    pub tail_length: u8,
    /// One of `identity::*`: what `context` is.
    pub identity: u8,
    /// Of a goroutine the lower half of its creator's id, else 0.
    pub parent: u32,
    /// The operation's last bytes where it was cut, `tail_length` of them.
    pub tail: [u8; TAIL],
}

/// A socket's description, once, before its first data record.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Connection {
    pub header: Header,
    pub socket: u64,
    pub pid: u32,
    pub tid: u32,
    pub family: u16,
    /// Host byte order.
    pub local_port: u16,
    pub remote_port: u16,
    pub path_length: u16,
    /// IPv4 addresses take the first four bytes.
    pub local: [u8; 16],
    pub remote: [u8; 16],
    /// Network namespace, as the inode number of `/proc/PID/ns/net`.
    pub netns: u32,
    /// TCP sequence number of stream offset 0, in each direction.
    pub send_sequence: u32,
    pub receive_sequence: u32,
    pub padding: u32,
    /// Opaque identities of a unix socket and its peer: equal for the two ends' records, crosswise.
    pub unix_self: u64,
    pub unix_peer: u64,
    pub path: [u8; UNIX_PATH],
    pub padding2: [u8; 4],
}

/// A TCP state change of a socket that was described before.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct State {
    pub header: Header,
    pub socket: u64,
    /// TCP_ESTABLISHED = 1 … TCP_CLOSE = 7 (include/net/tcp_states.h).
    pub from: u8,
    pub to: u8,
    pub padding: [u8; 2],
    /// `sk_err`, positive; 0 where the connection ended in order.
    pub error: i32,
}

/// A TLS session's socket has become known.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Bind {
    pub header: Header,
    /// As `Data::socket` of a record with [`FLAG_UNBOUND`].
    pub session: u64,
    pub socket: u64,
    /// Where the session's streams begin in the socket's: an object that has moved (rustls) goes on elsewhere.
    pub sent: u64,
    pub received: u64,
}

/// `Task::relation`: `parent` has made `child`.
pub const TASK_MADE: u8 = 0;
/// It has woken it: what `child` does next may be on its behalf.
pub const TASK_WOKEN: u8 = 1;

/// A task of a runtime was made or woken by another: a Python context copied, a task of tokio's spawned.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Task {
    pub header: Header,
    pub pid: u32,
    pub tid: u32,
    /// As `Data::context` and `Data::identity`.
    pub child: u64,
    pub parent: u64,
    pub identity: u8,
    /// `TASK_*`.
    pub relation: u8,
    pub padding: [u8; 6],
}

/// A goroutine sends a message on a stream of HTTP/2 that it has opened; another one writes it to the connection.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Message {
    pub header: Header,
    pub pid: u32,
    /// Its number on the wire.
    pub stream: u32,
    /// Names the connection: an address in the process's memory.
    pub connection: u64,
    pub goroutine: u64,
    /// The lower half of the id of the goroutine that made this one; 0 where it is not known.
    pub parent: u32,
    pub padding: u32,
}

/// `Header::flags` of a wake-up: the thread was not woken but made.
pub const WAKE_MADE: u16 = 1;

/// A thread of a selected process has woken another one of it, or made it: what that does next may be on its behalf.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Wake {
    pub header: Header,
    pub pid: u32,
    /// The thread that woke, and the one that was woken.
    pub tid: u32,
    pub woken: u32,
    pub padding: u32,
}

/// A selected process has begun to open a TCP connection.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Open {
    pub header: Header,
    pub socket: u64,
    pub pid: u32,
    pub tid: u32,
}

/// A `traceparent` was put into a request that is about to be sent; its data record follows.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Injected {
    pub header: Header,
    pub socket: u64,
    /// The request that the sender has in hand: its socket, and as `Data::offset` its first byte. Socket 0: none.
    pub cause_socket: u64,
    pub cause_offset: u64,
    /// The stream offset of the request's first byte, its lower half, as the sender counts.
    pub offset: u32,
    /// Bytes that were put into the stream before this request.
    pub before: u32,
    /// Bytes that were put into it.
    pub length: u32,
    /// The value of the header.
    pub value: [u8; VALUE],
    pub padding: [u8; 5],
}

/// A segment has come that carries a context in a TCP option, for the request that begins first in a stretch of its bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Arrived {
    pub header: Header,
    pub socket: u64,
    /// The stretch's first byte: its sequence number; or as the option has it the offset in the inside of TLS, of which
    /// there are `propagation::OFFSET_BITS`.
    pub start: u32,
    /// The stretch's length.
    pub length: u32,
    pub trace: [u8; 16],
    pub span: [u8; 8],
    /// `propagation::OPTION_SAMPLED`.
    pub sampled: u32,
    pub padding: u32,
}

/// A process was forked, replaced its image, ended, or began to listen.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Process {
    pub header: Header,
    pub pid: u32,
    /// Of a fork the parent's process id, of a listening socket its port, else 0.
    pub argument: u32,
    pub comm: [u8; COMM],
}

/// What a thread waits for, by the system call it sleeps in: the indices of `Times::blocked`.
pub const WAIT_NETWORK: usize = 0;
/// Storage: file reads and writes, synchronisation, page faults on files.
pub const WAIT_DISK: usize = 1;
/// A futex: mutexes, condition variables, joins.
pub const WAIT_LOCK: usize = 2;
pub const WAIT_SLEEP: usize = 3;
pub const WAIT_OTHER: usize = 4;
pub const WAITS: usize = 5;

/// What a thread has done with its time since it was first seen, up to a socket operation of its own; the data
/// record of that operation follows, with the same thread and the same time. Nanoseconds.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Times {
    pub header: Header,
    pub tid: u32,
    pub padding: u32,
    pub on_cpu: u64,
    /// Runnable, and waiting for a CPU.
    pub run_queue: u64,
    pub blocked: [u64; WAITS],
}

pub const TCP_ESTABLISHED: u8 = 1;
pub const TCP_SYN_SENT: u8 = 2;
pub const TCP_FIN_WAIT1: u8 = 4;
pub const TCP_CLOSE: u8 = 7;
pub const TCP_CLOSE_WAIT: u8 = 8;
pub const TCP_LAST_ACK: u8 = 9;
pub const TCP_LISTEN: u8 = 10;

const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(size_of::<Header>() == 16);
    assert!(size_of::<Data>() == 80 && align_of::<Data>() == 8);
    assert!(offset_of!(Data, tail) == 64 && offset_of!(Data, parent) == 60);
    assert!(size_of::<Task>() == 48);
    assert!(size_of::<Wake>() == 32);
    assert!(size_of::<Open>() == 32);
    assert!(size_of::<Connection>() == 216 && offset_of!(Connection, path) == 104);
    assert!(size_of::<State>() == 32);
    assert!(size_of::<Bind>() == 48);
    assert!(size_of::<Injected>() == 112);
    assert!(size_of::<Arrived>() == 64);
    assert!(size_of::<Process>() == 40);
    assert!(size_of::<Times>() == 80);
};
