//! Who caused whom.

use honeyguide::{
    link::Rule,
    span::{SpanId, SpanKind},
};

use crate::stream::{By, GET, MS, OK, Spans, Stream, assert_child, assert_root};

/// Process 1 has a thread that reads a request on socket 10 (port 80) and calls port 90 over socket 11.
const FRONT: By = By(1, 1);
/// Process 2 serves port 90 on socket 20.
const BACK: By = By(2, 2);

fn front_reads(stream: &mut Stream) {
    stream.open(10, FRONT, 80, 5000);
    stream.received(10, FRONT, GET);
}

fn front_calls(stream: &mut Stream, by: By) {
    stream.open(11, by, 6000, 90);
    stream.sent(11, by, b"GET /b HTTP/1.1\r\nHost: b\r\n\r\n");
}

#[test]
fn a_call_by_the_thread_that_read_the_only_request_is_its_child() {
    let mut stream = Stream::new();
    front_reads(&mut stream);
    front_calls(&mut stream, FRONT);
    stream.received(11, FRONT, OK);
    stream.sent(10, FRONT, OK);
    let spans = stream.finish();
    assert_root(spans.server(1));
    assert_child(spans.client(1), spans.server(1));
}

#[test]
fn another_threads_call_has_no_certain_cause() {
    let mut stream = Stream::new();
    front_reads(&mut stream);
    front_calls(&mut stream, By(1, 7));
    stream.received(11, By(1, 7), OK);
    stream.sent(10, FRONT, OK);
    assert_eq!(
        stream.engine.links.counters.by_rule[Rule::Ambiguous as usize],
        0,
        "counted when the span is made"
    );
    let spans = stream.finish();
    assert_root(spans.client(1));
}

#[test]
fn with_two_requests_in_hand_a_call_has_no_certain_cause() {
    for language in [None, Some("nodejs"), Some("go"), Some("python")] {
        let mut stream = Stream::new();
        if let Some(language) = language {
            stream.speaks(1, language);
        }
        front_reads(&mut stream);
        stream.open(12, FRONT, 80, 5001);
        stream.received(12, FRONT, GET);
        front_calls(&mut stream, FRONT);
        stream.received(11, FRONT, OK);
        stream.sent(10, FRONT, OK);
        stream.sent(12, FRONT, OK);
        let spans = stream.finish();
        assert_root(spans.client(1));
    }
}

/// Another thread's request is a rival where work moves between threads, and none where each does one thing after
/// another.
#[test]
fn a_request_on_another_thread_matters_where_work_moves_between_threads() {
    for (language, linked) in [("go", false), ("java", true), ("python", true), ("ruby", true)] {
        let mut stream = Stream::new();
        stream.speaks(1, language);
        front_reads(&mut stream);
        stream.open(12, By(1, 9), 80, 5001);
        stream.received(12, By(1, 9), GET);
        front_calls(&mut stream, FRONT);
        stream.received(11, FRONT, OK);
        stream.sent(10, FRONT, OK);
        stream.wait(500 * MS);
        stream.sent(12, By(1, 9), OK);
        let spans = stream.finish();
        let first = spans.0.iter().find(|span| span.end < 1_500 * MS && span.parent.is_none()).unwrap();
        if linked {
            assert_child(spans.client(1), first);
        } else {
            assert_root(spans.client(1));
        }
    }
}

#[test]
fn a_call_after_the_answer_is_nobodys_child() {
    let mut stream = Stream::new();
    front_reads(&mut stream);
    stream.sent(10, FRONT, OK);
    front_calls(&mut stream, FRONT);
    stream.received(11, FRONT, OK);
    let spans = stream.finish();
    assert_root(spans.client(1));
}

#[test]
fn where_the_other_end_does_not_show_nobody_waits_for_it_again() {
    let mut stream = Stream::new();
    front_reads(&mut stream);
    stream.sent(10, FRONT, OK);
    stream.wait(50 * MS);
    assert_eq!(stream.engine.links.len(), 1, "the other end may still show");
    stream.wait(60 * MS);
    assert_eq!(stream.engine.links.len(), 0);

    stream.received(10, FRONT, GET);
    stream.sent(10, FRONT, OK);
    stream.wait(15 * MS);
    assert_eq!(stream.engine.links.len(), 0);

    // The client is traced from now on.
    let client = By(3, 3);
    stream.open(30, client, 5000, 80);
    stream.lose_sent(30, 2 * GET.len() as u64);
    stream.sent(30, client, GET);
    stream.received(10, FRONT, GET);
    stream.sent(10, FRONT, OK);
    stream.received(30, client, OK);
    stream.wait(50 * MS);
    assert_eq!(stream.engine.links.len(), 2, "it has shown, and is waited for");
}

#[test]
fn both_ends_of_a_connection_meet_in_either_order() {
    for server_first in [false, true] {
        let mut stream = Stream::new();
        let call = |stream: &mut Stream| {
            stream.open(11, FRONT, 6000, 90);
            stream.sent(11, FRONT, GET);
        };
        let serve = |stream: &mut Stream| {
            stream.open(20, BACK, 90, 6000);
            stream.received(20, BACK, GET);
        };
        if server_first {
            serve(&mut stream);
            call(&mut stream);
            stream.received(11, FRONT, OK);
            stream.sent(20, BACK, OK);
        } else {
            call(&mut stream);
            serve(&mut stream);
            stream.sent(20, BACK, OK);
            stream.received(11, FRONT, OK);
        }
        let spans = stream.finish();
        let (client, server) = (spans.client(1), spans.server(2));
        assert_root(client);
        assert_child(server, client);
        assert!(server.end <= client.end, "an answer is sent before it is received");
    }
}

#[test]
fn the_second_request_of_a_kept_connection_meets_its_own_call() {
    let mut stream = Stream::new();
    stream.open(11, FRONT, 6000, 90);
    stream.open(20, BACK, 90, 6000);
    for _ in 0..3 {
        stream.sent(11, FRONT, GET);
        stream.received(20, BACK, GET);
        stream.sent(20, BACK, OK);
        stream.received(11, FRONT, OK);
    }
    let spans = stream.finish().0;
    assert_eq!(spans.len(), 6);
    for pair in spans.chunks(2) {
        assert_child(&pair[1], &pair[0]);
    }
    let mut traces: Vec<_> = spans.iter().map(|span| span.trace_id).collect();
    traces.dedup();
    assert_eq!(traces.len(), 3);
}

#[test]
fn the_same_loopback_ports_in_another_network_namespace_are_strangers() {
    let mut stream = Stream::new();
    stream.open_in(11, FRONT, 6000, 90, 1);
    stream.sent(11, FRONT, GET);
    stream.open_in(20, BACK, 90, 6000, 2);
    stream.received(20, BACK, GET);
    stream.sent(20, BACK, OK);
    stream.received(11, FRONT, OK);
    let spans = stream.finish();
    assert_root(spans.client(1));
    assert_root(spans.server(2));
}

#[test]
fn different_bytes_at_the_same_place_are_strangers() {
    let mut stream = Stream::new();
    stream.open(11, FRONT, 6000, 90);
    stream.sent(11, FRONT, b"GET /one HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.open(20, BACK, 90, 6000);
    stream.received(20, BACK, b"GET /two HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.sent(20, BACK, OK);
    stream.received(11, FRONT, OK);
    assert_root(stream.finish().server(2));
}

const OUTSIDE: &[u8] =
    b"GET /a HTTP/1.1\r\nHost: a\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";
const OUTSIDE_SPAN: SpanId = SpanId([0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);

#[test]
fn a_traceparent_is_honoured_and_a_malformed_one_counted() {
    let mut stream = Stream::new();
    stream.open(10, FRONT, 80, 5000);
    stream.received(10, FRONT, OUTSIDE);
    stream.sent(10, FRONT, OK);
    stream.received(10, FRONT, b"GET /a HTTP/1.1\r\ntraceparent: 00-zz\r\n\r\n");
    stream.sent(10, FRONT, OK);
    assert_eq!(stream.engine.links.counters.malformed_context, 1);
    let spans = stream.finish().0;
    assert_eq!((spans[0].parent, spans[0].parent_is_remote), (Some(OUTSIDE_SPAN), true));
    assert_eq!(spans[0].trace_id.to_string(), "0af7651916cd43dd8448eb211c80319c");
    assert_root(&spans[1]);
}

/// A proxy that hands the header on names the request exactly, whatever else it has in hand.
#[test]
fn a_context_passed_on_links_through_a_busy_proxy() {
    let mut stream = Stream::new();
    stream.open(12, FRONT, 80, 5001);
    stream.received(12, FRONT, GET);
    stream.open(10, FRONT, 80, 5000);
    stream.received(10, FRONT, OUTSIDE);
    stream.open(11, FRONT, 6000, 90);
    stream.sent(11, FRONT, OUTSIDE);
    stream.open(20, BACK, 90, 6000);
    stream.received(20, BACK, OUTSIDE);
    stream.sent(20, BACK, OK);
    stream.received(11, FRONT, OK);
    stream.sent(10, FRONT, OK);
    stream.sent(12, FRONT, OK);
    let spans = stream.finish();
    let entry = spans.0.iter().find(|span| span.parent == Some(OUTSIDE_SPAN)).unwrap();
    assert_child(spans.client(1), entry);
    assert_child(spans.server(2), spans.client(1));
}

/// Sixteen requests are read before the first of them is sent on, the last one first; then they are sent on as `asked` says,
/// in four rounds.
fn batches(before: &str, asked: impl Fn(u16) -> u16) -> Spans {
    let mut stream = Stream::new();
    let line = |before: &str, number: u16| {
        format!("GET {before}/n/{number} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
    };
    for number in 0..16 {
        stream.open(u64::from(number), FRONT, 80, 5000 + number);
        stream.open(100 + u64::from(number), FRONT, 6000 + number, 90);
    }
    for round in 0..4 {
        let numbers = || (0..16).map(|socket| (u64::from(socket), round * 16 + socket));
        for (socket, number) in numbers() {
            stream.received(socket, FRONT, &line(before, number));
        }
        for (socket, number) in numbers().rev() {
            stream.sent(100 + socket, FRONT, &line("", asked(number)));
        }
        for (socket, _) in numbers() {
            stream.received(100 + socket, FRONT, OK);
        }
        for (socket, _) in numbers() {
            stream.sent(socket, FRONT, OK);
        }
    }
    stream.finish()
}

#[test]
fn a_proxy_asks_for_what_it_is_asked_for() {
    // The second names the server, as clients do to a proxy that they are set up for.
    for before in ["", "http://a"] {
        let spans = batches(before, |number| number).0;
        let calls: Vec<_> = spans.iter().filter(|span| span.kind == SpanKind::Client).collect();
        assert_eq!((spans.len(), calls.len()), (128, 64));
        for call in calls {
            let request = spans.iter().find(|span| Some(span.span_id) == call.parent).unwrap();
            let path = request.attributes.text("url.path").unwrap();
            assert!(call.attributes.text("url.full").unwrap().ends_with(path), "{call:?} by {request:?}");
        }
    }
}

/// It may well be asked for one of the things that it asks for.
#[test]
fn whoever_asks_for_other_things_is_no_proxy() {
    for shift in [1, 8, 64] {
        let spans = batches("", |number| number + shift).0;
        assert!(spans.iter().all(|span| span.parent.is_none()), "{shift}");
    }
}

/// A library inside the caller made a span of its own: the call is that span's child.
#[test]
fn a_context_made_in_the_process_is_the_calls_parent() {
    let mut stream = Stream::new();
    front_reads(&mut stream);
    stream.open(11, FRONT, 6000, 90);
    stream.sent(11, FRONT, OUTSIDE);
    stream.received(11, FRONT, OK);
    stream.sent(10, FRONT, OK);
    let spans = stream.finish();
    assert_eq!(spans.client(1).parent, Some(OUTSIDE_SPAN));
}

#[test]
fn a_request_that_outlives_what_it_caused_keeps_its_place() {
    let mut stream = Stream::new();
    stream.open(11, FRONT, 6000, 90);
    stream.sent(11, FRONT, GET);
    stream.open(20, BACK, 90, 6000);
    stream.received(20, BACK, GET);
    stream.open(21, BACK, 7000, 91);
    stream.sent(21, BACK, b"GET /c HTTP/1.1\r\n\r\n");
    stream.received(21, BACK, OK);
    // The inner call is exported long before what caused it has an end.
    stream.wait(5_000 * MS);
    stream.sent(20, BACK, OK);
    stream.received(11, FRONT, OK);
    let spans = stream.finish();
    assert_child(spans.server(2), spans.client(1));
    assert_child(spans.client(2), spans.server(2));
}

#[test]
fn held_exchanges_are_bounded() {
    let mut stream = Stream::with(1_000, 8);
    for socket in 0..100_u16 {
        stream.open(u64::from(socket), By(1, u32::from(socket)), 80, 5000 + socket);
        stream.received(u64::from(socket), By(1, u32::from(socket)), GET);
    }
    assert!(stream.engine.links.len() <= 8);
    assert_eq!(stream.engine.links.counters.evicted, 92);
    for socket in 0..100_u16 {
        stream.sent(u64::from(socket), By(1, u32::from(socket)), OK);
    }
    // Evicted exchanges lose their links, not their spans.
    assert_eq!(stream.finish().0.len(), 100);
}

/// A long poll: whatever comes and goes meanwhile leaves nothing behind.
#[test]
fn a_request_that_stays_open_holds_no_memory_of_the_others() {
    let mut stream = Stream::new();
    front_reads(&mut stream);
    stream.open(20, BACK, 90, 6000);
    for _ in 0..20_000 {
        stream.received(20, BACK, GET);
        stream.sent(20, BACK, OK);
        stream.wait(MS);
    }
    assert!(stream.engine.links.len() < 200, "{} held", stream.engine.links.len());
    assert!(stream.engine.links.queued() < 2_000, "{} queued", stream.engine.links.queued());
    stream.sent(10, FRONT, OK);
    assert_eq!(stream.finish().0.len(), 20_001);
}
