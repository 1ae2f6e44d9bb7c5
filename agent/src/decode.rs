//! From the ring's bytes to records, checked: a malformed record costs one counter.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use honeyguide_common::identity;
use honeyguide_common::record::{
    self, Arrived, Bind, Connection, Data, Header, Injected, Message, Open, Process, State, Task, Times, Wake,
};
use honeyguide_protocols::{Actor, Stamp, detect::Direction};
use zerocopy::FromBytes;

use crate::{
    flow::Endpoints,
    span::{
        SpanId, TraceId,
        context::{SAMPLED, TraceParent},
    },
};

/// One kernel record.
#[derive(Debug)]
pub enum Record<'a> {
    Data(DataRecord<'a>),
    Connection(ConnectionRecord),
    State(StateRecord),
    Bind(BindRecord),
    Process(ProcessRecord),
    Times(TimesRecord),
    Task(TaskRecord),
    Message(MessageRecord),
    Open(OpenRecord),
    Wake(WakeRecord),
    Injected(InjectedRecord),
    Arrived(ArrivedRecord),
}

/// A stretch of one direction's stream: `bytes` are its first, `tail` its last, the rest passed unseen.
#[derive(Debug)]
pub struct DataRecord<'a> {
    pub socket: u64,
    /// The inside of TLS: `offset` and `length` count plaintext.
    pub plaintext: bool,
    /// `socket` names a TLS session whose socket is not known yet.
    pub unbound: bool,
    pub stamp: Stamp,
    pub direction: Direction,
    /// Stream offset of the first byte, since the socket was first seen.
    pub offset: u64,
    /// Length of the stretch; 0 for an end of stream or an error.
    pub length: u64,
    pub bytes: &'a [u8],
    pub tail: [u8; record::TAIL],
    pub tail_length: usize,
    pub eof: bool,
    /// The errno the operation failed with, positive.
    pub error: Option<i32>,
    /// Of a goroutine, the lower half of its creator's id; else 0.
    pub creator: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionRecord {
    pub socket: u64,
    pub time: u64,
    pub pid: u32,
    pub endpoints: Endpoints,
    pub netns: u32,
    /// The stream has been seen from its first byte.
    pub from_start: bool,
    /// TCP sequence numbers of stream offset 0: of what is sent, of what is received.
    pub sequences: Option<(u32, u32)>,
    /// Identities of a unix socket and of its peer.
    pub unix: Option<(u64, u64)>,
}

/// The socket of a TLS session has become known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindRecord {
    /// As `DataRecord::socket` of an unbound record.
    pub session: u64,
    pub socket: u64,
    pub time: u64,
    /// Where the session's streams begin in the socket's.
    pub sent: u64,
    pub received: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateRecord {
    pub socket: u64,
    pub time: u64,
    pub change: StateChange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateChange {
    /// The traced side will send no more.
    LocalShutdown,
    /// The peer will send no more; what it sent may still be waiting to be read.
    RemoteShutdown,
    /// Both sides are done.
    Closed,
    /// The traced side gave the connection up with data unread.
    Abandoned,
    /// A reset, a timeout: the errno.
    Failed(i32),
    /// It is followed no longer, which says nothing of its ends. Of packet captures alone.
    Unobserved,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessRecord {
    pub time: u64,
    pub pid: u32,
    pub event: ProcessEvent,
    /// The kernel's name for the process, by the time of the event.
    pub comm: Comm,
}

/// A process's name as the kernel has it: at most 15 bytes, as a rule the beginning of its program's file name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comm([u8; record::COMM]);

impl Comm {
    #[must_use]
    pub fn new(bytes: [u8; record::COMM]) -> Self {
        Self(bytes)
    }

    /// Up to the first NUL; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.0.split(|byte| *byte == 0).next().unwrap_or_default())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessEvent {
    Fork {
        parent: u32,
    },
    Exec,
    Exit,
    /// It has loaded or unloaded libraries.
    Loaded,
    /// A socket of its began to listen.
    Listen {
        port: u16,
    },
}

/// What a thread had done with its time by the operation whose data record follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimesRecord {
    pub time: u64,
    pub tid: u32,
    pub spent: Spent,
}

/// A task of a runtime was made by another, or woken. Both are named as [`Actor::context`] does; a parent of 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskRecord {
    pub time: u64,
    pub pid: u32,
    pub child: u64,
    pub parent: u64,
    pub woken: bool,
}

/// A goroutine has sent on a stream of HTTP/2; the first one that does has opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageRecord {
    pub time: u64,
    pub pid: u32,
    pub stream: u32,
    /// Names the connection.
    pub connection: u64,
    /// As [`Actor::context`].
    pub goroutine: u64,
    /// As [`DataRecord::creator`].
    pub creator: u32,
}

/// A thread has woken another one of its process, or made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WakeRecord {
    pub time: u64,
    pub pid: u32,
    /// The thread that woke.
    pub by: u32,
    pub woken: u32,
    /// It was not woken but made.
    pub made: bool,
}

/// A connection is being opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenRecord {
    pub time: u64,
    pub socket: u64,
    pub pid: u32,
    pub tid: u32,
}

/// A `traceparent` was put into a request that is about to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InjectedRecord {
    pub time: u64,
    pub socket: u64,
    /// The request that its sender has in hand, by socket and offset.
    pub cause: Option<(u64, u64)>,
    /// The stream offset of the request's first byte as the sender counts, its lower half.
    pub offset: u32,
    /// Bytes that were put into the stream before this request, and into it.
    pub before: u32,
    pub length: u32,
    pub context: TraceParent,
    /// It is a TCP option: no byte was put in, and no request was looked at. `None`: it is a header.
    pub option: Option<Stream>,
}

/// What an offset counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Socket,
    /// The inside of TLS.
    Plaintext,
}

/// A context has come in a TCP option, for the request that begins first in a stretch of what was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrivedRecord {
    pub time: u64,
    pub socket: u64,
    pub stream: Stream,
    /// Its first byte: a sequence number, or the lower [`OFFSET_BITS`] bits of an offset in the inside of TLS.
    pub start: u32,
    pub length: u32,
    pub context: TraceParent,
}

/// Nanoseconds of a thread, by what it did with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    pub on_cpu: u64,
    pub run_queue: u64,
    /// By `record::WAIT_*`.
    pub blocked: [u64; record::WAITS],
}

/// The record is not what the contract says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Reads one record.
///
/// # Errors
/// [`Malformed`] where it is too short for its kind, of no known kind, or contradicts itself.
pub fn decode(bytes: &[u8]) -> Result<Record<'_>, Malformed> {
    let (header, _) = Header::read_from_prefix(bytes).map_err(|_| Malformed)?;
    if header.time > FURTHEST {
        return Err(Malformed);
    }
    Ok(match header.kind {
        record::KIND_DATA => Record::Data(data(bytes)?),
        record::KIND_CONNECTION => Record::Connection(connection(bytes)?),
        record::KIND_STATE => Record::State(state(bytes)?),
        record::KIND_BIND => Record::Bind(bind(bytes)?),
        record::KIND_FORK
        | record::KIND_EXEC
        | record::KIND_EXIT
        | record::KIND_LISTEN
        | record::KIND_LOADED => Record::Process(process(bytes, header.kind)?),
        record::KIND_TIMES => Record::Times(times(bytes)?),
        record::KIND_TASK => Record::Task(task(bytes)?),
        record::KIND_MESSAGE => Record::Message(message(bytes)?),
        record::KIND_OPEN => Record::Open(open(bytes)?),
        record::KIND_WAKE => Record::Wake(wake(bytes)?),
        record::KIND_INJECTED => Record::Injected(injected(bytes)?),
        record::KIND_ARRIVED => Record::Arrived(arrived(bytes)?),
        _ => return Err(Malformed),
    })
}

/// No machine counts nanoseconds or bytes so far. Leaves room for arithmetic: a recording may say anything.
const FURTHEST: u64 = u64::MAX >> 1;

/// When a record was made; `None` where it is too short to tell.
#[must_use]
pub fn time(bytes: &[u8]) -> Option<u64> {
    Header::read_from_prefix(bytes).ok().map(|(header, _)| header.time)
}

/// The bytes of a record that mean something: a size class leaves a rest that is never written.
#[must_use]
pub fn meaningful(bytes: &[u8]) -> &[u8] {
    let Ok((header, _)) = Header::read_from_prefix(bytes) else { return bytes };
    let fixed = match header.kind {
        record::KIND_DATA => size_of::<Data>() + header.captured as usize,
        record::KIND_CONNECTION => size_of::<Connection>(),
        record::KIND_STATE => size_of::<State>(),
        record::KIND_TIMES => size_of::<Times>(),
        record::KIND_TASK => size_of::<Task>(),
        record::KIND_MESSAGE => size_of::<Message>(),
        record::KIND_OPEN => size_of::<Open>(),
        record::KIND_WAKE => size_of::<Wake>(),
        record::KIND_INJECTED => size_of::<Injected>(),
        record::KIND_ARRIVED => size_of::<Arrived>(),
        record::KIND_BIND => size_of::<Bind>(),
        _ => size_of::<Process>(),
    };
    &bytes[..fixed.min(bytes.len())]
}

fn data(bytes: &[u8]) -> Result<DataRecord<'_>, Malformed> {
    let (raw, payload) = Data::read_from_prefix(bytes).map_err(|_| Malformed)?;
    let captured = raw.header.captured;
    let bytes = payload.get(..captured as usize).ok_or(Malformed)?;
    let tail_length = usize::from(raw.tail_length);
    let direction = match raw.direction {
        record::DIRECTION_SEND => Direction::Sent,
        record::DIRECTION_RECEIVE => Direction::Received,
        _ => return Err(Malformed),
    };
    if captured > raw.length || tail_length > record::TAIL || raw.result > 0 || raw.offset > FURTHEST {
        return Err(Malformed);
    }
    Ok(DataRecord {
        socket: raw.socket,
        plaintext: raw.header.flags & record::FLAG_PLAINTEXT != 0,
        unbound: raw.header.flags & record::FLAG_UNBOUND != 0,
        stamp: Stamp {
            time: raw.header.time,
            actor: Actor { pid: raw.pid, tid: raw.tid, context: context(raw.identity, raw.context) },
        },
        direction,
        offset: raw.offset,
        length: u64::from(raw.length),
        bytes,
        tail: raw.tail,
        tail_length,
        eof: raw.header.flags & record::FLAG_EOF != 0,
        error: (raw.result < 0).then_some(raw.result.wrapping_neg()),
        creator: if raw.identity == identity::GOROUTINE { raw.parent } else { 0 },
    })
}

/// A kind of identity and its value in one word: addresses and ids leave the upper byte free.
#[must_use]
pub fn context(kind: u8, value: u64) -> u64 {
    match (kind, value) {
        (identity::NONE, _) | (_, 0) => 0,
        _ => u64::from(kind) << 56 | (value & ((1 << 56) - 1)),
    }
}

/// Whether such a word names a goroutine.
#[must_use]
pub fn is_goroutine(context: u64) -> bool {
    context >> 56 == u64::from(identity::GOROUTINE)
}

fn task(bytes: &[u8]) -> Result<TaskRecord, Malformed> {
    let (raw, _) = Task::read_from_prefix(bytes).map_err(|_| Malformed)?;
    let (child, parent) = (context(raw.identity, raw.child), context(raw.identity, raw.parent));
    if child == 0 {
        return Err(Malformed);
    }
    let woken = match raw.relation {
        record::TASK_MADE => false,
        record::TASK_WOKEN => true,
        _ => return Err(Malformed),
    };
    Ok(TaskRecord { time: raw.header.time, pid: raw.pid, child, parent, woken })
}

fn message(bytes: &[u8]) -> Result<MessageRecord, Malformed> {
    let (raw, _) = Message::read_from_prefix(bytes).map_err(|_| Malformed)?;
    let goroutine = context(identity::GOROUTINE, raw.goroutine);
    // RFC 9113, section 5.1.1: a client's streams have odd numbers of 31 bits.
    if goroutine == 0 || raw.stream.is_multiple_of(2) || raw.stream >> 31 != 0 {
        return Err(Malformed);
    }
    Ok(MessageRecord {
        time: raw.header.time,
        pid: raw.pid,
        stream: raw.stream,
        connection: raw.connection,
        goroutine,
        creator: raw.parent,
    })
}

fn open(bytes: &[u8]) -> Result<OpenRecord, Malformed> {
    let (raw, _) = Open::read_from_prefix(bytes).map_err(|_| Malformed)?;
    Ok(OpenRecord { time: raw.header.time, socket: raw.socket, pid: raw.pid, tid: raw.tid })
}

fn wake(bytes: &[u8]) -> Result<WakeRecord, Malformed> {
    let (raw, _) = Wake::read_from_prefix(bytes).map_err(|_| Malformed)?;
    let made = raw.header.flags & record::WAKE_MADE != 0;
    Ok(WakeRecord { time: raw.header.time, pid: raw.pid, by: raw.tid, woken: raw.woken, made })
}

fn injected(bytes: &[u8]) -> Result<InjectedRecord, Malformed> {
    let (raw, _) = Injected::read_from_prefix(bytes).map_err(|_| Malformed)?;
    let value = std::str::from_utf8(&raw.value).map_err(|_| Malformed)?;
    Ok(InjectedRecord {
        time: raw.header.time,
        socket: raw.socket,
        cause: (raw.cause_socket != 0).then_some((raw.cause_socket, raw.cause_offset)),
        offset: raw.offset,
        before: raw.before,
        length: raw.length,
        context: TraceParent::parse(value).ok_or(Malformed)?,
        option: (raw.header.flags & record::FLAG_OPTION != 0).then(|| stream(raw.header.flags)),
    })
}

fn arrived(bytes: &[u8]) -> Result<ArrivedRecord, Malformed> {
    let (raw, _) = Arrived::read_from_prefix(bytes).map_err(|_| Malformed)?;
    let (trace_id, parent) = (TraceId(raw.trace), SpanId(raw.span));
    // What comes over the wire may be anybody's.
    if !trace_id.is_valid() || !parent.is_valid() {
        return Err(Malformed);
    }
    let flags = if raw.sampled == 0 { 0 } else { SAMPLED };
    Ok(ArrivedRecord {
        time: raw.header.time,
        socket: raw.socket,
        stream: stream(raw.header.flags),
        start: raw.start,
        length: raw.length,
        context: TraceParent { trace_id, parent, flags },
    })
}

fn stream(flags: u16) -> Stream {
    if flags & record::FLAG_PLAINTEXT == 0 { Stream::Socket } else { Stream::Plaintext }
}

fn times(bytes: &[u8]) -> Result<TimesRecord, Malformed> {
    let (raw, _) = Times::read_from_prefix(bytes).map_err(|_| Malformed)?;
    let spent = Spent { on_cpu: raw.on_cpu, run_queue: raw.run_queue, blocked: raw.blocked };
    Ok(TimesRecord { time: raw.header.time, tid: raw.tid, spent })
}

fn connection(bytes: &[u8]) -> Result<ConnectionRecord, Malformed> {
    let (raw, _) = Connection::read_from_prefix(bytes).map_err(|_| Malformed)?;
    let endpoints = match raw.family {
        record::FAMILY_UNIX => {
            let path = raw.path.get(..usize::from(raw.path_length)).ok_or(Malformed)?;
            Endpoints::Unix { path: unix_path(path) }
        }
        record::FAMILY_INET | record::FAMILY_INET6 => Endpoints::Tcp {
            local: SocketAddr::new(address(raw.family, raw.local), raw.local_port),
            remote: SocketAddr::new(address(raw.family, raw.remote), raw.remote_port),
        },
        _ => return Err(Malformed),
    };
    let flags = raw.header.flags;
    Ok(ConnectionRecord {
        socket: raw.socket,
        time: raw.header.time,
        pid: raw.pid,
        endpoints,
        netns: raw.netns,
        from_start: flags & record::FLAG_FROM_START != 0,
        sequences: (flags & record::FLAG_SEQUENCES != 0).then_some((raw.send_sequence, raw.receive_sequence)),
        unix: (raw.unix_self != 0 && raw.unix_peer != 0).then_some((raw.unix_self, raw.unix_peer)),
    })
}

fn address(family: u16, bytes: [u8; 16]) -> IpAddr {
    if family == record::FAMILY_INET {
        return IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]));
    }
    let v6 = Ipv6Addr::from(bytes);
    v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4)
}

/// A path ends at its first NUL; an abstract name begins with one, written `@` as ss(8) does.
fn unix_path(bytes: &[u8]) -> Option<Box<str>> {
    let (mark, name) = match bytes.split_first()? {
        (0, rest) => ("@", rest),
        _ => ("", bytes),
    };
    let name = name.split(|&b| b == 0).next().unwrap_or_default();
    if mark.is_empty() && name.is_empty() {
        return None;
    }
    Some(format!("{mark}{}", String::from_utf8_lossy(name)).into_boxed_str())
}

fn state(bytes: &[u8]) -> Result<StateRecord, Malformed> {
    let (raw, _) = State::read_from_prefix(bytes).map_err(|_| Malformed)?;
    let change = match raw.to {
        record::TCP_FIN_WAIT1 => StateChange::LocalShutdown,
        record::TCP_CLOSE_WAIT => StateChange::RemoteShutdown,
        record::TCP_LAST_ACK => StateChange::Closed,
        record::TCP_CLOSE if raw.error != 0 => StateChange::Failed(raw.error),
        // Straight from an open state, without an error of the peer's: closed with data unread.
        record::TCP_CLOSE if raw.from == record::TCP_ESTABLISHED || raw.from == record::TCP_CLOSE_WAIT => {
            StateChange::Abandoned
        }
        record::TCP_CLOSE => StateChange::Closed,
        _ => return Err(Malformed),
    };
    Ok(StateRecord { socket: raw.socket, time: raw.header.time, change })
}

fn bind(bytes: &[u8]) -> Result<BindRecord, Malformed> {
    let (raw, _) = Bind::read_from_prefix(bytes).map_err(|_| Malformed)?;
    Ok(BindRecord {
        session: raw.session,
        socket: raw.socket,
        time: raw.header.time,
        sent: raw.sent,
        received: raw.received,
    })
}

fn process(bytes: &[u8], kind: u16) -> Result<ProcessRecord, Malformed> {
    let (raw, _) = Process::read_from_prefix(bytes).map_err(|_| Malformed)?;
    let event = match kind {
        record::KIND_FORK => ProcessEvent::Fork { parent: raw.argument },
        record::KIND_EXEC => ProcessEvent::Exec,
        record::KIND_LOADED => ProcessEvent::Loaded,
        record::KIND_LISTEN => {
            ProcessEvent::Listen { port: u16::try_from(raw.argument).map_err(|_| Malformed)? }
        }
        _ => ProcessEvent::Exit,
    };
    Ok(ProcessRecord { time: raw.header.time, pid: raw.pid, event, comm: Comm::new(raw.comm) })
}

#[cfg(test)]
mod tests {
    use zerocopy::{FromZeros as _, IntoBytes as _};

    use super::*;

    fn sample_data(payload: &[u8], length: u32) -> Vec<u8> {
        let mut raw = Data::new_zeroed();
        raw.header.kind = record::KIND_DATA;
        raw.header.captured = u32::try_from(payload.len()).unwrap();
        raw.length = length;
        raw.direction = record::DIRECTION_RECEIVE;
        let mut bytes = raw.as_bytes().to_vec();
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn data_carries_what_was_captured_of_what_passed() {
        let mut bytes = sample_data(b"GET / ", 4000);
        bytes.extend_from_slice(b"rest of the size class");
        let Ok(Record::Data(data)) = decode(&bytes) else { panic!("not data") };
        assert_eq!((data.bytes, data.length, data.direction), (&b"GET / "[..], 4000, Direction::Received));
        assert_eq!(meaningful(&bytes).len(), size_of::<Data>() + 6);
    }

    #[test]
    fn contradictions_and_every_prefix_are_malformed() {
        let bytes = sample_data(b"GET / HTTP/1.1\r\n", 16);
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]).err(), Some(Malformed), "prefix of {end}");
        }
        assert!(decode(&sample_data(b"more than passed", 3)).is_err());
        for (at, value) in [(0, 99), (15, 0x80), (31, 0x80), (56, 2), (58, 17)] {
            let mut wrong = bytes.clone();
            wrong[at] = value;
            assert!(decode(&wrong).is_err(), "byte {at} = {value}");
        }
    }

    #[test]
    fn a_context_that_has_come_is_checked() {
        let mut raw = Arrived::new_zeroed();
        (raw.header.kind, raw.header.flags) = (record::KIND_ARRIVED, record::FLAG_PLAINTEXT);
        (raw.socket, raw.start, raw.length, raw.sampled) = (3, 4, 5, 1);
        assert!(decode(raw.as_bytes()).is_err(), "no ids");
        (raw.trace, raw.span) = ([6; 16], [7; 8]);
        for end in 0..size_of::<Arrived>() {
            assert!(decode(&raw.as_bytes()[..end]).is_err(), "prefix of {end}");
        }
        let Ok(Record::Arrived(arrived)) = decode(raw.as_bytes()) else { panic!("no context") };
        let context = TraceParent { trace_id: TraceId([6; 16]), parent: SpanId([7; 8]), flags: SAMPLED };
        assert_eq!((arrived.socket, arrived.stream, arrived.context), (3, Stream::Plaintext, context));
        assert_eq!((arrived.start, arrived.length), (4, 5));
    }

    #[test]
    fn a_thread_is_woken_or_made() {
        let mut raw = Wake::new_zeroed();
        (raw.header.kind, raw.pid, raw.tid, raw.woken) = (record::KIND_WAKE, 7, 8, 9);
        for (flags, made) in [(0, false), (record::WAKE_MADE, true)] {
            raw.header.flags = flags;
            let Ok(Record::Wake(wake)) = decode(raw.as_bytes()) else { panic!("not a wake-up") };
            assert_eq!(wake, WakeRecord { time: 0, pid: 7, by: 8, woken: 9, made });
        }
        for end in 0..size_of::<Wake>() {
            assert!(decode(&raw.as_bytes()[..end]).is_err(), "prefix of {end}");
        }
    }

    #[test]
    fn a_process_has_its_name() {
        let mut raw = Process::new_zeroed();
        (raw.header.kind, raw.pid) = (record::KIND_EXEC, 7);
        raw.comm[..9].copy_from_slice(b"ng\xffnx\0old");
        let Ok(Record::Process(process)) = decode(raw.as_bytes()) else { panic!("not a process") };
        assert_eq!((process.pid, process.event), (7, ProcessEvent::Exec));
        assert_eq!(process.comm.text(), "ng\u{fffd}nx");
        assert_eq!(Comm::new([b'x'; 16]).text(), "x".repeat(16));
        assert_eq!(Comm::default().text(), "");
    }

    #[test]
    fn mapped_addresses_are_plain_and_abstract_names_have_their_mark() {
        let mapped = Ipv4Addr::new(10, 1, 2, 3).to_ipv6_mapped().octets();
        assert_eq!(address(record::FAMILY_INET6, mapped), IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3)));
        assert_eq!(unix_path(b"/run/app.sock\0\0").as_deref(), Some("/run/app.sock"));
        assert_eq!(unix_path(b"\0bus\0").as_deref(), Some("@bus"));
        assert_eq!(unix_path(b""), None);
        assert_eq!(unix_path(b"\0").as_deref(), Some("@"));
    }
}
