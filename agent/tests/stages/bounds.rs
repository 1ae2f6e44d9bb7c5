//! Nothing unbounded, nothing wrong, and counted: many open requests, many idle connections, many threads, processes
//! that end, fork or hand their connections on, and clocks that step.

use std::sync::{Mutex, MutexGuard, PoisonError};

use honeyguide::{attribute::Value, clock::Clock, span::SpanKind};

use crate::stream::{By, GET, MS, OK, Running, Stream, assert_child, assert_root};

const FRONT: By = By(1, 1);
const TCP_ESTABLISHED: u8 = 1;
const TCP_FIN_WAIT1: u8 = 4;
const TCP_CLOSE: u8 = 7;

/// Tests that take much memory take turns, since one of them measures it.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn port(number: u64) -> u16 {
    u16::try_from(number % 50_000).unwrap() + 1_000
}

/// Of this process, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Each with its own thread. 65,536 exchanges are held by default, of 100,000 connections.
#[test]
fn a_hundred_thousand_open_requests() {
    const OPEN: u64 = 100_000;
    const HELD: usize = 65_536;
    let _turn = turn();
    let mut stream = Stream::new();
    let before = resident();
    for number in 0..OPEN {
        let thread = By(1, u32::try_from(number).unwrap());
        stream.open(number, thread, 80, port(number));
        stream.received(number, thread, GET);
    }
    let taken = resident().saturating_sub(before);
    println!("{OPEN} open requests: {taken} KiB, {} bytes each", taken * 1024 / OPEN);
    // A connection, its parser and what is held of its request: 4 KiB each, and no buffer that grows.
    assert!(taken / 1024 < 600, "{taken} KiB");
    assert_eq!(stream.engine.links.len(), HELD);
    assert!(stream.engine.links.queued() <= 2 * HELD + 1_024);
    assert_eq!(stream.engine.links.counters.evicted, OPEN - HELD as u64);
    // One that was read last is known by its thread, the first is not held any more.
    for (socket, thread) in [(200_000, 99_999), (200_001, 0)] {
        let thread = By(1, thread);
        stream.open(socket, thread, 60_000, 90);
        stream.sent(socket, thread, b"GET /call HTTP/1.1\r\nHost: b\r\n\r\n");
        stream.received(socket, thread, OK);
    }
    for number in 0..OPEN {
        stream.sent(number, By(1, u32::try_from(number).unwrap()), OK);
    }
    let spans = stream.finish().0;
    assert_eq!(spans.len(), 100_002, "each is a span, whatever is known of its place");
    let linked = spans.iter().filter(|span| span.kind == SpanKind::Client && span.parent.is_some()).count();
    assert!(linked <= 1);
}

#[test]
fn fifty_thousand_idle_connections() {
    const IDLE: u64 = 50_000;
    let _turn = turn();
    let mut stream = Stream::new();
    for round in 0..2 {
        for number in 0..IDLE {
            if round == 0 {
                stream.open(number, FRONT, 80, port(number));
            }
            stream.received(number, FRONT, GET);
            stream.sent(number, FRONT, OK);
        }
        stream.wait(60_000 * MS);
        assert!(stream.engine.links.is_empty(), "an idle connection holds no exchange");
        assert_eq!((stream.engine.links.tasks(), stream.engine.links.undecided()), (0, 0));
    }
    assert_eq!(stream.engine.flows.len(), 50_000);
    assert_eq!(stream.engine.flows.counters.evicted, 0);
    assert_eq!(stream.finish().0.len(), 100_000);
}

/// One connection in front, and one of a pool behind: each call is of the request that is open then.
#[test]
fn connections_that_are_used_again() {
    const TIMES: usize = 1_000;
    let mut stream = Stream::new();
    stream.open(10, FRONT, 80, 5000);
    stream.open(11, FRONT, 6000, 90);
    for _ in 0..TIMES {
        stream.received(10, FRONT, GET);
        stream.sent(11, FRONT, GET);
        stream.received(11, FRONT, OK);
        stream.sent(10, FRONT, OK);
    }
    // Between requests the pool looks whether the connection lives.
    stream.sent(11, FRONT, GET);
    stream.received(11, FRONT, OK);
    let spans = stream.finish().0;
    let of = |kind| spans.iter().filter(move |span| span.kind == kind).collect::<Vec<_>>();
    let (servers, calls) = (of(SpanKind::Server), of(SpanKind::Client));
    assert_eq!((servers.len(), calls.len()), (TIMES, TIMES + 1));
    for (server, call) in servers.iter().zip(&calls) {
        assert_child(call, server);
        assert!(call.end <= server.end);
    }
    assert_root(calls[TIMES]);
}

/// Both clients close their half when they have asked; they are answered nevertheless.
#[test]
fn half_closed_sockets() {
    let mut stream = Stream::new();
    stream.open(10, FRONT, 80, 5000);
    stream.received(10, FRONT, GET);
    stream.ended(10, FRONT);
    stream.open(11, FRONT, 6000, 90);
    stream.sent(11, FRONT, GET);
    stream.state(11, TCP_ESTABLISHED, TCP_FIN_WAIT1, 0);
    stream.received(11, FRONT, OK);
    stream.sent(10, FRONT, OK);
    let answered = stream.now;
    for socket in [10, 11] {
        stream.state(socket, TCP_ESTABLISHED, TCP_CLOSE, 0);
    }
    let spans = stream.finish();
    let (request, call) = (spans.server(1), spans.client(1));
    assert_child(call, request);
    for span in [request, call] {
        assert_eq!(span.attributes.text("error.type"), None, "{span:#?}");
        assert_eq!(span.attributes.find("http.response.status_code"), Some(&Value::Int(200)));
    }
    assert_eq!(request.end, answered);
}

/// Each is counted, and the request is the root of a trace of its own.
#[test]
fn contexts_that_break_the_format() {
    let contexts = [
        "",
        "00",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
        "\u{e9}0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ];
    let mut stream = Stream::new();
    for (number, context) in contexts.iter().enumerate() {
        let socket = 10 + number as u64;
        stream.open(socket, FRONT, 80, port(socket));
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\ntraceparent: {context}\r\n\r\n");
        stream.received(socket, FRONT, request.as_bytes());
        stream.sent(socket, FRONT, OK);
    }
    stream.wait(1_000 * MS);
    assert_eq!(stream.engine.links.counters.malformed_context, contexts.len() as u64);
    let spans = stream.finish().0;
    assert_eq!(spans.len(), contexts.len());
    spans.iter().for_each(assert_root);
    let traces: std::collections::HashSet<_> = spans.iter().map(|span| span.trace_id).collect();
    assert_eq!(traces.len(), contexts.len());
}

/// A thread for each request, as some servers have it.
#[test]
fn a_flood_of_new_threads() {
    let _turn = turn();
    let mut stream = Stream::with(1_000, 4_096);
    stream.speaks(1, "python");
    for number in 0..100_000_u32 {
        let (thread, call) = (By(1, 10 + number), 1_000_000 + u64::from(number));
        stream.open(number.into(), thread, 80, port(number.into()));
        stream.received(number.into(), thread, GET);
        stream.open(call, thread, port(call), 90);
        stream.sent(call, thread, GET);
        stream.received(call, thread, OK);
        stream.sent(number.into(), thread, OK);
        stream.wait(MS);
        assert!(stream.engine.links.len() <= 4_096 && stream.engine.flows.len() <= 1_000);
    }
    let spans = stream.finish().0;
    assert_eq!(spans.len(), 200_000);
    let linked = spans.iter().filter(|span| span.kind == SpanKind::Client && span.parent.is_some()).count();
    assert_eq!(linked, 100_000);
}

/// The kernel closes what it had open.
#[test]
fn a_process_that_ends_inside_of_a_request() {
    let mut stream = Stream::new();
    stream.open(10, FRONT, 80, 5000);
    stream.received(10, FRONT, GET);
    stream.open(11, FRONT, 6000, 90);
    stream.sent(11, FRONT, GET);
    for socket in [10, 11] {
        stream.state(socket, TCP_ESTABLISHED, TCP_CLOSE, 0);
    }
    stream.wait(1_000 * MS);
    assert!(stream.engine.links.is_empty());
    // Its ids are another's now, which has nothing of it in hand.
    stream.open(12, FRONT, 6001, 90);
    stream.sent(12, FRONT, GET);
    stream.received(12, FRONT, OK);
    let spans = stream.finish();
    let request = spans.server(1);
    assert_eq!(request.attributes.text("error.type"), Some("connection_closed"), "it was not answered");
    let calls: Vec<_> = spans.0.iter().filter(|span| span.kind == SpanKind::Client).collect();
    let [within, after] = &calls[..] else { panic!("{calls:#?}") };
    assert_child(within, request);
    assert_eq!(within.attributes.text("error.type"), Some("connection_closed"));
    assert_root(after);
}

/// The child has the parent's connection, and answers; what it calls is not said to be anybody's.
#[test]
fn a_fork_while_a_request_is_open() {
    const CHILD: By = By(2, 2);
    let mut stream = Stream::new();
    stream.open(10, FRONT, 80, 5000);
    stream.received(10, FRONT, GET);
    stream.open(11, CHILD, 6000, 90);
    stream.sent(11, CHILD, GET);
    stream.received(11, CHILD, OK);
    stream.sent(10, CHILD, OK);
    // The parent goes on with another request on the same thread, and with a call of that.
    stream.open(12, FRONT, 80, 5001);
    stream.received(12, FRONT, GET);
    stream.open(13, FRONT, 6001, 90);
    stream.sent(13, FRONT, GET);
    stream.received(13, FRONT, OK);
    stream.sent(12, FRONT, OK);
    let spans = stream.finish().0;
    let of = |kind| spans.iter().filter(move |span| span.kind == kind).collect::<Vec<_>>();
    let (servers, calls) = (of(SpanKind::Server), of(SpanKind::Client));
    assert_eq!((servers.len(), calls.len()), (2, 2));
    assert_root(calls[0]);
    assert_child(calls[1], servers[1]);
}

/// A supervisor accepts, and hands the connection to a worker over a unix socket.
#[test]
fn a_connection_that_another_process_was_given() {
    const WORKER: By = By(2, 2);
    let mut stream = Stream::new();
    stream.open(10, FRONT, 80, 5000);
    for request in 0..2 {
        stream.received(10, WORKER, GET);
        stream.open(20 + request, WORKER, 6000 + port(request), 90);
        stream.sent(20 + request, WORKER, GET);
        stream.received(20 + request, WORKER, OK);
        stream.sent(10, WORKER, OK);
    }
    // The supervisor's own calls have nothing to do with it.
    stream.open(30, FRONT, 6100, 90);
    stream.sent(30, FRONT, GET);
    stream.received(30, FRONT, OK);
    let spans = stream.finish().0;
    let of = |kind| spans.iter().filter(move |span| span.kind == kind).collect::<Vec<_>>();
    let (servers, calls) = (of(SpanKind::Server), of(SpanKind::Client));
    assert_eq!((servers.len(), calls.len()), (2, 3));
    for request in 0..2 {
        assert_child(calls[request], servers[request]);
        assert_eq!(servers[request].resource, calls[request].resource, "the worker's");
    }
    assert_root(calls[2]);
    assert_ne!(calls[2].resource, servers[0].resource);
}

/// A goroutine's id, a thread's and a process's: all three come again while an old request is still open.
#[test]
fn ids_that_repeat_have_no_certain_cause() {
    let mut stream = Stream::new();
    stream.run(Running::Goroutine(7, 1));
    for socket in [10, 11] {
        stream.open(socket, FRONT, 80, port(socket));
        stream.received(socket, FRONT, GET);
    }
    stream.open(20, FRONT, 6000, 90);
    stream.sent(20, FRONT, GET);
    stream.received(20, FRONT, OK);
    stream.run(Running::Goroutine(8, 1));
    for socket in [10, 11] {
        stream.sent(socket, FRONT, OK);
    }
    let spans = stream.finish();
    assert_root(spans.client(1));
}

#[test]
fn a_clock_that_steps_moves_spans_and_does_not_stretch_them() {
    const HOUR: i64 = 3_600_000_000_000;
    for step in [HOUR, -HOUR] {
        let mut stream = Stream::new();
        stream.engine.set_clock(Clock::with_offset(2 * HOUR));
        stream.open(10, FRONT, 80, 5000);
        stream.received(10, FRONT, GET);
        stream.open(11, FRONT, 6000, 90);
        stream.sent(11, FRONT, GET);
        stream.engine.set_clock(Clock::with_offset(2 * HOUR + step));
        stream.received(11, FRONT, OK);
        stream.sent(10, FRONT, OK);
        let spans = stream.finish();
        let (request, call) = (spans.server(1), spans.client(1));
        assert_child(call, request);
        assert!(call.end <= request.end && request.end - request.start < 100 * MS, "{request:#?}");
    }
}
