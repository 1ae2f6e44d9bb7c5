//! Recordings of HTTP/2: nobody's secrets in them, and the same exchanges as without a mask.

mod databases;

use std::{fs, path::Path, sync::Arc};

use honeyguide_common::record::{self, Bind, Connection, Data, Header, State};
use honeyguide_protocols::{Event, Outcome};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::{Frame, Losses, Reader, Writer};
use crate::{
    clock::Clock,
    decode::{Record, decode},
    flow::{CallEvent, Detail, Flows, Head},
    resource::Resource,
};

const SENT: u8 = record::DIRECTION_SEND;
const RECEIVED: u8 = record::DIRECTION_RECEIVE;
const CANARY: &str = "cAnArY-7f3a~Z";
/// The same with Huffman's code (RFC 7541 appendix B).
const HUFFMAN_CANARY: [u8; 11] = [0x24, 0x35, 0x43, 0x67, 0x35, 0x9d, 0x95, 0x91, 0xff, 0xf7, 0xf7];

/// Records as a kernel makes them, of one socket.
#[derive(Default)]
struct Kernel {
    records: Vec<Vec<u8>>,
    offsets: [u64; 2],
    flags: u16,
    socket: u64,
    now: u64,
}

impl Kernel {
    fn new(socket: u64) -> Self {
        Self { socket, ..Self::default() }
    }

    /// A connection from its first byte on.
    fn opened(socket: u64) -> Self {
        let mut kernel = Self::new(socket);
        let mut raw = Connection::new_zeroed();
        raw.header = kernel.header(record::KIND_CONNECTION);
        raw.header.flags = record::FLAG_FROM_START;
        (raw.socket, raw.family) = (socket, record::FAMILY_INET);
        kernel.records.push(raw.as_bytes().to_vec());
        kernel
    }

    fn data(&mut self, direction: u8, bytes: &[u8]) {
        self.cut(direction, bytes, bytes.len(), b"");
    }

    /// An operation of `length` bytes of which only the first and the last were captured.
    fn cut(&mut self, direction: u8, bytes: &[u8], length: usize, tail: &[u8]) {
        let mut raw = Data::new_zeroed();
        raw.header = self.header(record::KIND_DATA);
        raw.header.flags = self.flags;
        raw.header.captured = u32::try_from(bytes.len()).unwrap();
        let offset = &mut self.offsets[usize::from(direction == RECEIVED)];
        (raw.socket, raw.offset, raw.direction, raw.pid) = (self.socket, *offset, direction, 7);
        *offset += length as u64;
        raw.length = u32::try_from(length).unwrap();
        raw.tail_length = u8::try_from(tail.len()).unwrap();
        raw.tail[..tail.len()].copy_from_slice(tail);
        self.records.push([raw.as_bytes(), bytes].concat());
    }

    /// A TLS session's socket has become known.
    fn bind(&mut self, session: u64, begins: [u64; 2]) {
        let mut raw = Bind::new_zeroed();
        raw.header = self.header(record::KIND_BIND);
        (raw.session, raw.socket) = (session, self.socket);
        [raw.sent, raw.received] = begins;
        self.records.push(raw.as_bytes().to_vec());
    }

    fn closed(&mut self) {
        let mut raw = State::new_zeroed();
        raw.header = self.header(record::KIND_STATE);
        (raw.socket, raw.from, raw.to) = (self.socket, record::TCP_LAST_ACK, record::TCP_CLOSE);
        self.records.push(raw.as_bytes().to_vec());
    }

    fn header(&mut self, kind: u16) -> Header {
        self.now += 1_000_000;
        Header { kind, flags: 0, captured: 0, time: self.now }
    }
}

/// What is in a file with a mask and in one without.
fn written(records: &[Vec<u8>]) -> [Vec<u8>; 2] {
    let directory = tempfile::tempdir().unwrap();
    [true, false].map(|mask| {
        let path = directory.path().join("a.hgr");
        let mut writer = Writer::create(&path, Clock::default(), 0, mask).unwrap();
        for record in records {
            writer.record(record, |_| Arc::new(Resource::named("a".to_owned()))).unwrap();
        }
        assert_eq!(writer.finish(&[0]).unwrap(), records.len() as u64);
        fs::read(&path).unwrap()
    })
}

/// The exchanges in a recording, without what depends on hidden bytes.
fn exchanges(file: &[u8]) -> Vec<CallEvent> {
    let mut reader = Reader::new(file).unwrap();
    let mut flows = Flows::new(16, 1 << 20);
    while let Some(frame) = reader.next_frame().unwrap() {
        let Frame::Record(bytes) = frame else { continue };
        match decode(bytes).unwrap() {
            Record::Data(data) => flows.handle_data(&data),
            Record::Connection(connection) => flows.handle_connection(connection),
            Record::State(state) => flows.handle_state(&state),
            Record::Bind(bind) => flows.handle_bind(bind),
            other => panic!("{other:?}"),
        }
    }
    flows.close_all(u64::MAX >> 2);
    let plain = |head: &mut Arc<honeyguide_protocols::http::RequestHead>| {
        let head = Arc::make_mut(head);
        head.fingerprint = 0;
        if let Some((before, value)) = head.target.split_once("sig=") {
            let value = value.replace(|byte| byte != '&', "*");
            head.target = format!("{before}sig={value}").into();
        }
    };
    std::iter::from_fn(|| flows.poll_event())
        .map(|mut event| {
            match &mut event.event {
                Event::Request { head: Head::Http(head), .. } => plain(head),
                Event::Exchange(exchange) => match &mut exchange.detail {
                    Detail::Http(detail) => plain(&mut detail.request),
                    Detail::Sql(_) | Detail::KeyValue(_) => {}
                },
                _ => {}
            }
            event.event
        })
        .collect()
}

/// What was captured in the recording with a mask, of records that hold `count` whole exchanges and secrets.
#[track_caller]
fn check(kernel: &Kernel, count: usize) -> Vec<u8> {
    check_of(kernel, count, &[&CANARY.as_bytes()[..6], &HUFFMAN_CANARY])
}

/// The same with these secrets.
#[track_caller]
fn check_of(kernel: &Kernel, count: usize, canaries: &[&[u8]]) -> Vec<u8> {
    let [masked, plain] = written(&kernel.records);
    let (found, expect) = (exchanges(&masked), exchanges(&plain));
    let complete = expect
        .iter()
        .filter(|event| matches!(event, Event::Exchange(exchange) if exchange.outcome == Outcome::Complete));
    assert_eq!(complete.count(), count);
    assert_eq!(found, expect);
    assert_eq!(masked.len(), plain.len());
    for canary in canaries {
        assert!(said(&plain).iter().any(|said| holds(said, canary)));
        assert!(!said(&masked).iter().any(|said| holds(said, canary)));
    }
    said(&masked).concat()
}

/// All that was captured in a recording, by direction.
fn said(file: &[u8]) -> [Vec<u8>; 2] {
    let mut reader = Reader::new(file).unwrap();
    let mut said = [Vec::new(), Vec::new()];
    while let Some(frame) = reader.next_frame().unwrap() {
        if let Frame::Record(bytes) = frame
            && let Ok(Record::Data(data)) = decode(bytes)
        {
            said[data.direction as usize].extend(data.bytes);
        }
    }
    said
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

fn string(text: &[u8], huffman: bool) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap() | u8::from(huffman) << 7], text].concat()
}

/// `GET /PATH?sig=CANARY&n=1`, with an Authorization field that is indexed, and a cookie.
fn request(stream: u8, path: &str) -> Vec<u8> {
    let target = format!("/{path}?sig={CANARY}&n=1");
    let block = [
        &b"\x82\x86\x04"[..],
        &string(target.as_bytes(), false),
        b"\x41",
        &string(b"shop", false),
        b"\x57",
        &string(&HUFFMAN_CANARY, true),
        b"\x10\x06cookie",
        &string(CANARY.as_bytes(), false),
    ]
    .concat();
    frame(1, 5, stream, &block)
}

/// The same, with the fields of before by their index: Authorization is the newest entry.
fn again(stream: u8, path: &str) -> Vec<u8> {
    let target = format!("/{path}?sig={CANARY}&n=1");
    frame(1, 5, stream, &[&b"\x82\x86\x04"[..], &string(target.as_bytes(), false), b"\xbf\xbe"].concat())
}

fn answer(stream: u8) -> Vec<u8> {
    let block = [&b"\x88\x77"[..], &string(&HUFFMAN_CANARY, true)].concat();
    [frame(1, 4, stream, &block), frame(0, 1, stream, b"hello")].concat()
}

/// What a client and a server say to each other; three exchanges.
fn conversation() -> Vec<(u8, Vec<u8>)> {
    let preface = &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..];
    vec![
        (SENT, [preface, &frame(4, 0, 0, b""), &request(1, "a")].concat()),
        (RECEIVED, [frame(4, 0, 0, b""), answer(1)].concat()),
        (SENT, again(3, "b")),
        (RECEIVED, answer(3)),
        (SENT, again(5, "c")),
        (RECEIVED, answer(5)),
    ]
}

#[test]
fn in_pieces_of_every_size() {
    for size in (1..60).chain([1000]) {
        let mut kernel = Kernel::opened(1);
        for (direction, bytes) in conversation() {
            bytes.chunks(size).for_each(|piece| kernel.data(direction, piece));
        }
        kernel.closed();
        let masked = check(&kernel, 3);
        assert!(holds(&masked, b"/a?sig=") && holds(&masked, b"&n=1"), "pieces of {size}");
    }
}

#[test]
fn inside_of_tls() {
    let mut kernel = Kernel::opened(1);
    kernel.data(SENT, b"\x16\x03\x01\x00\x02ab");
    kernel.offsets = [0; 2];
    kernel.flags = record::FLAG_PLAINTEXT;
    for (direction, bytes) in conversation() {
        bytes.chunks(11).for_each(|piece| kernel.data(direction, piece));
    }
    check(&kernel, 3);
}

/// What a session says goes by its own name until its socket is known.
#[test]
fn inside_of_tls_before_its_socket_is_known() {
    for size in [13, 1000] {
        let mut kernel = Kernel::opened(1);
        kernel.data(SENT, b"\x16\x03\x01\x00\x02ab");
        kernel.offsets = [0; 2];
        kernel.socket = 99;
        for (turn, (direction, bytes)) in conversation().into_iter().enumerate() {
            kernel.flags = record::FLAG_PLAINTEXT | if turn == 0 { record::FLAG_UNBOUND } else { 0 };
            bytes.chunks(size).for_each(|piece| kernel.data(direction, piece));
            if turn == 0 {
                kernel.socket = 1;
                kernel.bind(99, [0, 0]);
            }
        }
        check(&kernel, 3);
    }
}

#[test]
fn a_session_that_never_finds_its_socket_shows_nothing() {
    let mut kernel = Kernel::new(99);
    kernel.flags = record::FLAG_PLAINTEXT | record::FLAG_UNBOUND;
    for (direction, bytes) in conversation() {
        bytes.chunks(20).for_each(|piece| kernel.data(direction, piece));
    }
    check(&kernel, 0);
}

/// What it says is much, and waits for ever: others are shown all the same.
#[test]
fn a_session_that_never_finds_its_socket_costs_no_other() {
    const FLOOD: usize = 70_000;
    let mut kernel = Kernel::opened(1);
    let mut script = conversation().into_iter();
    let (_, first) = script.next().unwrap();
    let (begin, rest) = first.split_at(first.len() - 20);
    kernel.data(SENT, begin);
    let mut lost = Kernel::new(99);
    lost.flags = record::FLAG_PLAINTEXT | record::FLAG_UNBOUND;
    (0..FLOOD).for_each(|_| lost.data(SENT, CANARY.as_bytes()));
    kernel.records.append(&mut lost.records);
    kernel.data(SENT, rest);
    script.for_each(|(direction, bytes)| kernel.data(direction, &bytes));
    let masked = check(&kernel, 3);
    assert!(holds(&masked, b"/a?sig="));

    let directory = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(&directory.path().join("a.hgr"), Clock::default(), 0, true).unwrap();
    for record in &kernel.records {
        writer.record(record, |_| Arc::new(Resource::named("a".to_owned()))).unwrap();
    }
    let losses = writer.losses();
    // The flow holds 16 records of a session.
    let expect = Losses { unbound: FLOOD as u64 - 16, stretches: 65_536 - 1, ..Losses::default() };
    assert_eq!(losses, expect);
}

/// Joined in the middle: with a whole header block, and with a part of one that does not tell yet what it is.
#[test]
fn a_connection_of_before() {
    // Pieces that are no whole frames are not read, masked or not.
    for (cut, count) in [(10, 0), (30, 0), (1000, 2)] {
        let mut kernel = Kernel::new(1);
        for (direction, bytes) in conversation().split_off(2) {
            bytes.chunks(cut).for_each(|piece| kernel.data(direction, piece));
        }
        check(&kernel, count);
    }
    // An operation begins within a frame.
    let mut kernel = Kernel::new(1);
    kernel.data(SENT, b"\x00\x10the rest of something");
    for (direction, bytes) in conversation() {
        kernel.data(direction, bytes.strip_prefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap_or(&bytes));
    }
    check(&kernel, 3);
}

/// It is not known for HTTP/2 before there is an answer: a proxy's own line is before it, or the end of something else.
#[test]
fn what_is_behind_something_else() {
    let mut script = conversation();
    let (_, first) = script.remove(0);
    let ends = frame(1, 5, 7, &request(7, "z")[9..]);
    let odd = [
        (true, [b"PROXY TCP4 10.0.0.1 10.0.0.2 4000 80\r\n".to_vec(), first.clone()]),
        (true, [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\n\0\0\x01\n\0\0\x02\x0f\xa0\0\x50".to_vec(), first]),
        (false, [b"\x00\x10the rest of an upload".to_vec(), ends.clone()]),
        (false, [vec![b'x'; 3000], ends]),
    ];
    for (opened, [before, behind]) in odd {
        for apart in [false, true] {
            let mut kernel = if opened { Kernel::opened(1) } else { Kernel::new(1) };
            if apart {
                kernel.data(RECEIVED, &before);
                kernel.data(RECEIVED, &behind);
            } else {
                kernel.data(RECEIVED, &[&before[..], &behind].concat());
            }
            for (direction, bytes) in &script {
                kernel.data(1 - direction, bytes);
            }
            let [masked, plain] = written(&kernel.records);
            assert_eq!(exchanges(&masked), exchanges(&plain));
            assert!(holds(&plain, CANARY.as_bytes()) && holds(&plain, &HUFFMAN_CANARY));
            assert!(
                !holds(&masked, CANARY.as_bytes()) && !holds(&masked, &HUFFMAN_CANARY),
                "{apart} {before:?}"
            );
        }
    }
}

/// What was not known at first, and is HTTP/1, is there but for its own secrets.
#[test]
fn another_protocol_that_is_joined_late() {
    let mut kernel = Kernel::new(1);
    let request = format!("GET /a?sig={CANARY}&n=1 HTTP/1.1\r\nHost: a\r\nCookie: {CANARY}\r\n\r\n");
    for piece in request.as_bytes().chunks(3) {
        kernel.data(SENT, piece);
    }
    kernel.data(RECEIVED, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let [masked, plain] = written(&kernel.records);
    assert_eq!(exchanges(&masked), exchanges(&plain));
    assert_eq!(exchanges(&plain).len(), 3);
    let [masked, plain] = [masked, plain].map(|file| said(&file).concat());
    assert!(holds(&plain, CANARY.as_bytes()) && !holds(&masked, b"cAnA") && !holds(&masked, b"7f3a"));
    assert!(holds(&masked, b"GET /a?sig=") && holds(&masked, b"Host: a"));
}

/// What a proxy says in front of a request is needed to find the request again.
#[test]
fn a_request_behind_a_proxys_header() {
    let header = b"PROXY TCP4 10.0.0.1 10.0.0.2 4000 80\r\n";
    let request = format!("GET /a?sig={CANARY}&n=1 HTTP/1.1\r\nHost: a\r\nCookie: {CANARY}\r\n\r\n");
    let all = [&header[..], request.as_bytes()].concat();
    for cut in header.len()..all.len() {
        let mut kernel = Kernel::opened(1);
        kernel.data(RECEIVED, &all[..cut]);
        kernel.data(RECEIVED, &all[cut..]);
        kernel.data(SENT, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let [masked, plain] = written(&kernel.records);
        assert_eq!(exchanges(&masked), exchanges(&plain), "cut at {cut}");
        assert_eq!(exchanges(&plain).len(), 3);
        let masked = said(&masked).concat();
        assert!(holds(&masked, b"PROXY TCP4 10.0.0.1") && !holds(&masked, b"cAnA"), "cut at {cut}");
    }
}

/// What is sent within a stream of HTTP/2 is hidden as it would be without one.
#[test]
fn a_request_within_a_stream() {
    let mut kernel = Kernel::opened(1);
    for (direction, bytes) in conversation() {
        kernel.data(direction, &bytes);
    }
    let within =
        format!("\r\nGET /inner HTTP/1.1\r\nHost: a\r\nAuthorization: {CANARY}\r\nAccept: all\r\n\r\n");
    kernel.data(SENT, &[again(7, "d"), frame(0, 1, 7, within.as_bytes())].concat());
    kernel.data(RECEIVED, &answer(7));
    let masked = check(&kernel, 4);
    assert!(holds(&masked, b"GET /inner HTTP/1.1") && holds(&masked, b"Accept: all"));
}

/// Of an operation the first and the last bytes were captured, and then some were lost.
#[test]
fn what_was_not_captured() {
    let mut script = conversation();
    let (_, first) = script.remove(0);
    let mut kernel = Kernel::opened(1);
    kernel.cut(SENT, &first[..60], first.len(), &first[first.len() - 16..]);
    for (direction, bytes) in &script {
        kernel.data(*direction, bytes);
    }
    kernel.offsets[0] += 30;
    for (direction, bytes) in [(SENT, request(7, "d")), (RECEIVED, answer(7)), (SENT, again(9, "e"))] {
        kernel.data(direction, &bytes);
    }
    let [masked, plain] = written(&kernel.records);
    assert_eq!(exchanges(&masked), exchanges(&plain));
    assert!(!holds(&masked, b"cAnArY") && !holds(&masked, b"7f3a") && !holds(&masked, &HUFFMAN_CANARY[..6]));
}

/// What is before the upgrade is HTTP/1, masked as such.
#[test]
fn an_upgrade_of_http1() {
    let mut kernel = Kernel::opened(1);
    let asked = format!(
        "GET /u?sig={CANARY}&n=1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAAQAAP__\r\nCookie: {CANARY}\r\n\r\n"
    );
    kernel.data(SENT, asked.as_bytes());
    let switching = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    kernel.data(RECEIVED, &[&switching[..], &frame(4, 0, 0, b""), &answer(1)].concat());
    let preface = &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..];
    kernel.data(SENT, &[preface, &frame(4, 0, 0, b""), &request(3, "a")].concat());
    kernel.data(RECEIVED, &answer(3));
    let masked = check(&kernel, 2);
    assert!(holds(&masked, b"Upgrade: h2c") && holds(&masked, b"101 Switching"));
}

/// A pipe cannot be overwritten: what waits stays hidden.
#[test]
fn into_a_pipe() {
    let script = conversation();
    let mut kernel = Kernel::opened(1);
    for (direction, bytes) in &script {
        bytes.chunks(50).for_each(|piece| kernel.data(*direction, piece));
    }
    let (mut reader, pipe) = std::io::pipe().unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&pipe));
    let mut writer = Writer::create(Path::new(&path), Clock::default(), 0, true).unwrap();
    drop(pipe);
    for record in &kernel.records {
        writer.record(record, |_| Arc::new(Resource::named("a".to_owned()))).unwrap();
    }
    writer.finish(&[0]).unwrap();
    let mut found = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut found).unwrap();
    assert!(!holds(&found, b"cAnArY") && !holds(&found, &HUFFMAN_CANARY));
    assert_eq!(found.len(), written(&kernel.records)[0].len());
}
