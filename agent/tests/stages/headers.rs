//! Headers that the kernel put into calls: the spans are what is on the wire.

use honeyguide::{
    link::Rule,
    span::{Span, SpanId, SpanKind, TraceId},
};

use crate::stream::{By, GET, OK, Running, Stream, assert_child, assert_root};

/// Process 1 reads a request on socket 10 (port 80) and calls port 90 over sockets 11 and 12.
const FRONT: By = By(1, 1);
const CALL: &[u8] = b"GET /b HTTP/1.1\r\nHost: b\r\n\r\n";

fn front_reads(stream: &mut Stream, request: &[u8]) {
    stream.open(10, FRONT, 80, 5000);
    stream.received(10, FRONT, request);
}

fn front_calls(stream: &mut Stream, socket: u64, by: By) {
    stream.open(socket, by, 6000 + u16::try_from(socket).unwrap(), 90);
    stream.sent(socket, by, CALL);
    stream.received(socket, by, OK);
}

fn trace(byte: u8) -> TraceId {
    TraceId([byte; 16])
}

fn span(byte: u8) -> SpanId {
    SpanId([byte; 8])
}

#[test]
fn a_call_has_the_ids_that_it_carries_and_its_request_the_trace() {
    for cause in [None, Some(10)] {
        let mut stream = Stream::new();
        front_reads(&mut stream, GET);
        stream.put_in(11, cause, (7, 8), 0);
        front_calls(&mut stream, 11, FRONT);
        stream.sent(10, FRONT, OK);
        let spans = stream.finish();
        let (server, client) = (spans.server(1), spans.client(1));
        assert_root(server);
        assert_child(client, server);
        assert_eq!((client.trace_id, client.span_id), (trace(7), span(8)));
    }
}

/// Whom the goroutine works for is not known to the engine; the kernel has said on the wire whose call it is.
#[test]
fn what_the_kernel_knew_of_a_calls_cause_holds() {
    let mut stream = Stream::new();
    front_reads(&mut stream, GET);
    stream.open(20, By(1, 2), 80, 5001);
    stream.received(20, By(1, 2), b"GET /other HTTP/1.1\r\n\r\n");
    stream.put_in(11, Some(10), (7, 8), 0);
    stream.run(Running::Goroutine(9, 0));
    front_calls(&mut stream, 11, By(1, 3));
    stream.run(Running::Thread);
    stream.sent(10, FRONT, OK);
    stream.sent(20, By(1, 2), OK);
    let spans = stream.finish();
    let server =
        spans.0.iter().find(|span| span.trace_id == trace(7) && span.kind == SpanKind::Server).unwrap();
    assert_root(server);
    assert_child(spans.client(1), server);
}

#[test]
fn a_request_with_a_trace_of_its_own_keeps_it() {
    let request =
        b"GET /a HTTP/1.1\r\ntraceparent: 00-01010101010101010101010101010101-0202020202020202-01\r\n\r\n";
    let mut stream = Stream::new();
    front_reads(&mut stream, request);
    // The kernel has read it, too.
    stream.put_in(11, Some(10), (1, 8), 0);
    front_calls(&mut stream, 11, FRONT);
    // This one's sender was not known: it has left with another trace, and is a root there.
    stream.put_in(12, None, (9, 10), 0);
    front_calls(&mut stream, 12, FRONT);
    stream.sent(10, FRONT, OK);
    assert_eq!(stream.engine.links.counters.with_header, 2);
    let by_rule = |stream: &Stream, rule: Rule| stream.engine.links.counters.by_rule[rule as usize];
    stream.wait(1_000_000_000);
    assert_eq!(by_rule(&stream, Rule::Apart), 1);
    let spans = stream.finish();
    let server = spans.server(1);
    assert_eq!((server.trace_id, server.parent), (trace(1), Some(span(2))));
    let of = |id: SpanId| -> &Span { spans.0.iter().find(|span| span.span_id == id).unwrap() };
    assert_child(of(span(8)), server);
    let apart = of(span(10));
    assert_root(apart);
    assert_eq!(apart.trace_id, trace(9));
    let links: Vec<_> = apart.links.iter().map(|link| (link.trace_id, link.span_id)).collect();
    assert_eq!(links, [(server.trace_id, server.span_id)]);
}

#[test]
fn the_first_header_names_the_trace_and_another_one_stands_apart() {
    let mut stream = Stream::new();
    front_reads(&mut stream, GET);
    stream.put_in(11, None, (7, 8), 0);
    front_calls(&mut stream, 11, FRONT);
    stream.put_in(12, None, (9, 10), 0);
    front_calls(&mut stream, 12, FRONT);
    stream.sent(10, FRONT, OK);
    let spans = stream.finish();
    let of = |id: SpanId| -> &Span { spans.0.iter().find(|span| span.span_id == id).unwrap() };
    assert_eq!(spans.server(1).trace_id, trace(7));
    assert_child(of(span(8)), spans.server(1));
    assert_root(of(span(10)));
    assert_eq!(of(span(10)).links.len(), 1);
}

/// The bytes that were put in are on the wire, and only there.
#[test]
fn both_ends_of_a_connection_meet_after_bytes_were_put_in() {
    let (back, mut stream) = (By(2, 2), Stream::new());
    stream.open(11, FRONT, 6000, 90);
    stream.open(21, back, 90, 6000);
    let with_header = [
        &CALL[..CALL.len() - 2],
        b"traceparent: 00-07070707070707070707070707070707-0808080808080808-01\r\n\r\n",
    ]
    .concat();
    stream.put_in(11, None, (7, 8), 0);
    stream.sent(11, FRONT, CALL);
    stream.received(21, back, &with_header);
    stream.sent(21, back, OK);
    stream.received(11, FRONT, OK);
    // The next one carries none.
    let plain = b"GET /c HTTP/1.1\r\nHost: b\r\n\r\n";
    stream.sent(11, FRONT, plain);
    stream.received(21, back, plain);
    stream.sent(21, back, OK);
    stream.received(11, FRONT, OK);
    assert_eq!(stream.engine.links.counters.without_header, 1);
    let spans = stream.finish();
    let name = "process-2";
    let servers: Vec<_> = spans.0.iter().filter(|span| span.resource.service() == name).collect();
    let clients: Vec<_> = spans.0.iter().filter(|span| span.kind == SpanKind::Client).collect();
    assert_eq!((servers.len(), clients.len()), (2, 2));
    for (server, client) in servers.into_iter().zip(clients) {
        assert_child(server, client);
    }
}
