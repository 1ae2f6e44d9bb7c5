//! Kernel records made by hand, and the engine they run through.

use std::{collections::HashMap, net::Ipv4Addr, sync::Arc};

use honeyguide::{
    clock::Clock,
    decode::decode,
    engine::{Engine, EngineSettings, Processes},
    link::LinkSettings,
    metrics::http::HttpMetricSettings,
    resource::Resource,
    span::{Span, SpanKind, http::HttpSettings, id::IdGenerator, route::RouteSettings, sampler::Sampler},
};
use honeyguide_common::{
    identity,
    record::{self, Arrived, Connection, Data, Header, Injected, Message, Open, Process, State, Task, Wake},
};
use zerocopy::{FromZeros as _, IntoBytes as _};

pub(crate) const MS: u64 = 1_000_000;
const SENT: u8 = record::DIRECTION_SEND;
const RECEIVED: u8 = record::DIRECTION_RECEIVE;

/// An engine under test, on a clock that moves a millisecond with each record.
pub(crate) struct Stream {
    pub(crate) engine: Engine,
    processes: Known,
    pub(crate) now: u64,
    /// What runs on the threads now.
    running: Running,
    /// The next receive is the stream's end.
    ending: bool,
    offsets: HashMap<(u64, u8), u64>,
    spans: Vec<Span>,
}

#[derive(Default)]
struct Known(HashMap<u32, Arc<Resource>>);

impl Processes for Known {
    fn resource(&mut self, pid: u32) -> Arc<Resource> {
        Arc::clone(self.0.entry(pid).or_insert_with(|| named(pid, None)))
    }
}

fn named(pid: u32, language: Option<&'static str>) -> Arc<Resource> {
    let mut resource = Resource::default();
    resource.attributes.set("service.name", format!("process-{pid}"));
    if let Some(language) = language {
        resource.attributes.set("telemetry.sdk.language", language);
    }
    Arc::new(resource)
}

/// What runs on a thread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Running {
    Thread,
    /// A goroutine, and the one that made it.
    Goroutine(u64, u32),
    /// A Python context.
    Context(u64),
    /// A task of tokio's.
    Task(u64),
}

/// A thread of a process.
#[derive(Clone, Copy)]
pub(crate) struct By(pub(crate) u32, pub(crate) u32);

impl Stream {
    pub(crate) fn new() -> Self {
        Self::with(100_000, 65_536)
    }

    pub(crate) fn with(connections: usize, held: usize) -> Self {
        Self::set(connections, held, true)
    }

    /// An engine that reports also what an SDK reports.
    pub(crate) fn beside_sdks() -> Self {
        Self::set(100_000, 65_536, false)
    }

    fn set(connections: usize, held: usize, defer_to_sdk: bool) -> Self {
        let settings = EngineSettings {
            serving: false,
            connections,
            buffered_bytes: 64 << 20,
            link: LinkSettings {
                linger: 100 * MS,
                linger_alone: 10 * MS,
                limit: held,
                sampler: Sampler::default(),
                trace_context: true,
                defer_to_sdk,
                headers: true,
                options: true,
                inference: true,
                hold: 10_000 * MS,
            },
            http: HttpSettings::default(),
            routes: RouteSettings::default(),
            metrics: HttpMetricSettings::default(),
        };
        let engine = Engine::new(settings, IdGenerator::seeded(1), Clock::with_offset(0), 0).unwrap();
        let (processes, offsets) = (Known::default(), HashMap::new());
        Self {
            engine,
            processes,
            now: 1_000 * MS,
            running: Running::Thread,
            ending: false,
            offsets,
            spans: Vec::new(),
        }
    }

    /// The runtime of a process, as discovery would have found it.
    pub(crate) fn speaks(&mut self, pid: u32, language: &'static str) {
        self.processes.0.insert(pid, named(pid, Some(language)));
    }

    /// The process was started under an SDK's automatic instrumentation.
    pub(crate) fn instrumented(&mut self, pid: u32) {
        let resource = Resource { instrumented: true, ..(*named(pid, None)).clone() };
        self.processes.0.insert(pid, Arc::new(resource));
    }

    /// From here on this runs on the threads.
    pub(crate) fn run(&mut self, running: Running) {
        self.running = running;
    }

    /// A process begins another program.
    pub(crate) fn executed(&mut self, pid: u32) {
        let mut raw = Process::new_zeroed();
        raw.header = self.header(record::KIND_EXEC);
        raw.pid = pid;
        self.feed(raw.as_bytes());
    }

    /// A Python context was copied.
    pub(crate) fn copied(&mut self, pid: u32, parent: u64, child: u64) {
        let mut raw = Task::new_zeroed();
        raw.header = self.header(record::KIND_TASK);
        (raw.pid, raw.child, raw.parent, raw.identity) = (pid, child, parent, identity::PYTHON);
        self.feed(raw.as_bytes());
    }

    /// A task of tokio's was spawned.
    pub(crate) fn spawned(&mut self, pid: u32, parent: u64, child: u64) {
        self.concerned(pid, parent, child, record::TASK_MADE);
    }

    /// A task of tokio's was woken by another.
    pub(crate) fn woken(&mut self, pid: u32, by: u64, task: u64) {
        self.concerned(pid, by, task, record::TASK_WOKEN);
    }

    fn concerned(&mut self, pid: u32, parent: u64, child: u64, relation: u8) {
        let mut raw = Task::new_zeroed();
        raw.header = self.header(record::KIND_TASK);
        (raw.pid, raw.child, raw.parent, raw.identity) = (pid, child, parent, identity::TOKIO);
        raw.relation = relation;
        self.feed(raw.as_bytes());
    }

    /// A goroutine has sent a message on a stream of HTTP/2.
    pub(crate) fn asked(&mut self, pid: u32, goroutine: u64, stream: u32) {
        let mut raw = Message::new_zeroed();
        raw.header = self.header(record::KIND_MESSAGE);
        (raw.pid, raw.goroutine, raw.stream, raw.connection) = (pid, goroutine, stream, 0xc000);
        self.feed(raw.as_bytes());
    }

    /// A thread of a process was woken by another one.
    pub(crate) fn wakes(&mut self, pid: u32, by: u32, woken: u32) {
        let mut raw = Wake::new_zeroed();
        raw.header = self.header(record::KIND_WAKE);
        (raw.pid, raw.tid, raw.woken) = (pid, by, woken);
        self.feed(raw.as_bytes());
    }

    /// A thread begins to open a connection.
    pub(crate) fn connect(&mut self, socket: u64, by: By) {
        let mut raw = Open::new_zeroed();
        raw.header = self.header(record::KIND_OPEN);
        (raw.socket, raw.pid, raw.tid) = (socket, by.0, by.1);
        self.feed(raw.as_bytes());
    }

    /// A header was put into what is sent next on `socket`; its trace and span are of this byte alone. `cause`: the
    /// socket of the request that its sender had in hand.
    pub(crate) fn put_in(&mut self, socket: u64, cause: Option<u64>, ids: (u8, u8), before: u32) {
        self.carries(socket, cause, ids, (before, 70), 0);
    }

    /// What is sent next on `socket` has a TCP option.
    pub(crate) fn put_beside(&mut self, socket: u64, cause: Option<u64>, ids: (u8, u8)) {
        self.carries(socket, cause, ids, (0, 0), record::FLAG_OPTION);
    }

    fn carries(
        &mut self,
        socket: u64,
        cause: Option<u64>,
        (trace, span): (u8, u8),
        (before, length): (u32, u32),
        flags: u16,
    ) {
        let mut raw = Injected::new_zeroed();
        raw.header = self.header(record::KIND_INJECTED);
        raw.header.flags = flags;
        raw.socket = socket;
        raw.cause_socket = cause.unwrap_or_default();
        let offset = self.offsets.get(&(socket, SENT)).copied().unwrap_or_default();
        (raw.offset, raw.before, raw.length) = (u32::try_from(offset).unwrap(), before, length);
        let value =
            format!("00-{}-{}-01", format!("{trace:02x}").repeat(16), format!("{span:02x}").repeat(8));
        raw.value.copy_from_slice(value.as_bytes());
        self.feed(raw.as_bytes());
    }

    /// A segment of so many bytes has come on `socket`, of the connection to port `remote`, which begins with what is
    /// received next and has a TCP option.
    pub(crate) fn come_beside(&mut self, socket: u64, remote: u16, (trace, span): (u8, u8), length: u32) {
        let mut raw = Arrived::new_zeroed();
        raw.header = self.header(record::KIND_ARRIVED);
        let offset = self.offsets.get(&(socket, RECEIVED)).copied().unwrap_or_default();
        (raw.socket, raw.length, raw.sampled) = (socket, length, 1);
        raw.start = u32::from(remote) + u32::try_from(offset).unwrap();
        (raw.trace, raw.span) = ([trace; 16], [span; 8]);
        self.feed(raw.as_bytes());
    }

    /// A TCP connection from its first byte on. Both ends of one have the same ports, crosswise.
    pub(crate) fn open(&mut self, socket: u64, by: By, local: u16, remote: u16) {
        self.open_in(socket, by, local, remote, 1);
    }

    pub(crate) fn open_in(&mut self, socket: u64, by: By, local: u16, remote: u16, netns: u32) {
        let mut raw = Connection::new_zeroed();
        raw.header = self.header(record::KIND_CONNECTION);
        raw.header.flags = record::FLAG_FROM_START | record::FLAG_SEQUENCES;
        (raw.socket, raw.pid, raw.tid) = (socket, by.0, by.1);
        raw.family = record::FAMILY_INET;
        (raw.local_port, raw.remote_port, raw.netns) = (local, remote, netns);
        raw.local[..4].copy_from_slice(&Ipv4Addr::LOCALHOST.octets());
        raw.remote = raw.local;
        // Each direction's numbers begin at the sender's port, so both ends agree.
        (raw.send_sequence, raw.receive_sequence) = (u32::from(local), u32::from(remote));
        self.feed(raw.as_bytes());
    }

    pub(crate) fn sent(&mut self, socket: u64, by: By, bytes: &[u8]) {
        self.data(socket, by, SENT, bytes, bytes.len(), b"");
    }

    pub(crate) fn received(&mut self, socket: u64, by: By, bytes: &[u8]) {
        self.data(socket, by, RECEIVED, bytes, bytes.len(), b"");
    }

    /// The peer will send no more.
    pub(crate) fn ended(&mut self, socket: u64, by: By) {
        self.ending = true;
        self.data(socket, by, RECEIVED, b"", 0, b"");
        self.ending = false;
    }

    /// An operation of `length` bytes of which only the first and the last were captured.
    pub(crate) fn sent_cut(&mut self, socket: u64, by: By, bytes: &[u8], length: usize, tail: &[u8]) {
        self.data(socket, by, SENT, bytes, length, tail);
    }

    /// Bytes whose record was lost.
    pub(crate) fn lose_received(&mut self, socket: u64, length: u64) {
        *self.offsets.entry((socket, RECEIVED)).or_default() += length;
    }

    pub(crate) fn lose_sent(&mut self, socket: u64, length: u64) {
        *self.offsets.entry((socket, SENT)).or_default() += length;
    }

    pub(crate) fn state(&mut self, socket: u64, from: u8, to: u8, error: i32) {
        let mut raw = State::new_zeroed();
        raw.header = self.header(record::KIND_STATE);
        (raw.socket, raw.from, raw.to, raw.error) = (socket, from, to, error);
        self.feed(raw.as_bytes());
    }

    /// Time passes without records.
    pub(crate) fn wait(&mut self, nanos: u64) {
        self.now += nanos;
        self.engine.handle_time(self.now, &mut self.processes);
        self.spans.extend(self.engine.take_spans());
    }

    /// The end of the stream, and every span it gave, in the order of their start.
    pub(crate) fn finish(mut self) -> Spans {
        self.wait(1_000 * MS);
        self.engine.close(self.now, &mut self.processes);
        self.spans.extend(self.engine.take_spans());
        assert!(self.engine.links.is_empty(), "nothing is held after the end");
        self.spans.sort_by_key(|span| (span.start, span.kind == SpanKind::Server));
        Spans(self.spans)
    }

    fn data(&mut self, socket: u64, by: By, direction: u8, bytes: &[u8], length: usize, tail: &[u8]) {
        let mut raw = Data::new_zeroed();
        raw.header = self.header(record::KIND_DATA);
        raw.header.captured = u32::try_from(bytes.len()).unwrap();
        if self.ending {
            raw.header.flags = record::FLAG_EOF;
        }
        let offset = self.offsets.entry((socket, direction)).or_default();
        (raw.socket, raw.offset, raw.direction) = (socket, *offset, direction);
        *offset += length as u64;
        (raw.pid, raw.tid) = (by.0, by.1);
        (raw.identity, raw.context, raw.parent) = match self.running {
            Running::Thread => (identity::NONE, 0, 0),
            Running::Goroutine(id, creator) => (identity::GOROUTINE, id, creator),
            Running::Context(address) => (identity::PYTHON, address, 0),
            Running::Task(id) => (identity::TOKIO, id, 0),
        };
        raw.length = u32::try_from(length).unwrap();
        raw.tail_length = u8::try_from(tail.len()).unwrap();
        raw.tail[..tail.len()].copy_from_slice(tail);
        let mut record = raw.as_bytes().to_vec();
        record.extend_from_slice(bytes);
        self.feed(&record);
    }

    fn header(&mut self, kind: u16) -> Header {
        self.now += MS;
        Header { kind, flags: 0, captured: 0, time: self.now }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.engine.handle(decode(bytes).unwrap(), &mut self.processes);
    }
}

pub(crate) struct Spans(pub(crate) Vec<Span>);

impl Spans {
    /// The one span of this kind whose process is `pid`.
    #[track_caller]
    pub(crate) fn one(&self, kind: SpanKind, pid: u32) -> &Span {
        let name = format!("process-{pid}");
        let mut found = self.0.iter().filter(|span| span.kind == kind && span.resource.service() == name);
        let first = found.next().unwrap_or_else(|| panic!("no {kind:?} span of {name}: {:#?}", self.0));
        assert!(found.next().is_none(), "more than one {kind:?} span of {name}: {:#?}", self.0);
        first
    }

    #[track_caller]
    pub(crate) fn server(&self, pid: u32) -> &Span {
        self.one(SpanKind::Server, pid)
    }

    #[track_caller]
    pub(crate) fn client(&self, pid: u32) -> &Span {
        self.one(SpanKind::Client, pid)
    }
}

#[track_caller]
pub(crate) fn assert_child(child: &Span, parent: &Span) {
    assert_eq!(child.trace_id, parent.trace_id, "one trace");
    assert_eq!(child.parent, Some(parent.span_id), "{} is the child of {}", child.name, parent.name);
    assert!(child.start >= parent.start, "a child does not start before its parent");
}

#[track_caller]
pub(crate) fn assert_root(span: &Span) {
    assert_eq!(span.parent, None, "{} is a root", span.name);
}

pub(crate) const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
