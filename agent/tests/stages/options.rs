//! TCP options: a call's span has the ids that left with it, and a request's parent is what came with it.

use honeyguide::{
    link::Rule,
    span::{SpanId, TraceId},
};

use crate::stream::{By, GET, OK, Stream, assert_child, assert_root};

/// Process 1 reads requests on socket 10 (port 80) and calls port 90, elsewhere, over socket 11.
const FRONT: By = By(1, 1);
const CALL: &[u8] = b"GET /b HTTP/1.1\r\nHost: b\r\n\r\n";
const OWN: &[u8] =
    b"GET /a HTTP/1.1\r\ntraceparent: 00-01010101010101010101010101010101-0202020202020202-01\r\n\r\n";

fn trace(byte: u8) -> TraceId {
    TraceId([byte; 16])
}

fn span(byte: u8) -> SpanId {
    SpanId([byte; 8])
}

fn by_rule(stream: &Stream, rule: Rule) -> u64 {
    stream.engine.links.counters.by_rule[rule as usize]
}

#[test]
fn a_call_has_the_ids_that_left_with_it_and_its_request_the_trace() {
    for cause in [None, Some(10)] {
        let mut stream = Stream::new();
        stream.open(10, FRONT, 80, 5000);
        stream.received(10, FRONT, GET);
        stream.open(11, FRONT, 6000, 90);
        stream.put_beside(11, cause, (7, 8));
        stream.sent(11, FRONT, CALL);
        stream.received(11, FRONT, OK);
        stream.sent(10, FRONT, OK);
        let spans = stream.finish();
        let (server, client) = (spans.server(1), spans.client(1));
        assert_root(server);
        assert_child(client, server);
        assert_eq!((client.trace_id, client.span_id), (trace(7), span(8)));
    }
}

#[test]
fn a_requests_parent_is_what_came_with_it() {
    let mut stream = Stream::new();
    stream.open(10, FRONT, 80, 5000);
    let length = u32::try_from(GET.len()).unwrap();
    for ids in [(7, 8), (9, 10)] {
        stream.come_beside(10, 5000, ids, length);
        stream.received(10, FRONT, GET);
        stream.sent(10, FRONT, OK);
    }
    // Nothing came with this one.
    stream.received(10, FRONT, GET);
    stream.sent(10, FRONT, OK);
    stream.wait(1_000_000_000);
    assert_eq!(by_rule(&stream, Rule::TcpOption), 2);
    assert_eq!(stream.engine.links.counters.options_found, 2);
    let spans = stream.finish();
    let places: Vec<_> = spans.0.iter().map(|span| (span.trace_id, span.parent)).collect();
    assert_eq!(places[..2], [(trace(7), Some(span(8))), (trace(9), Some(span(10)))]);
    assert_root(&spans.0[2]);
}

#[test]
fn what_the_bytes_say_counts_for_more_at_both_ends() {
    let mut stream = Stream::new();
    stream.open(10, FRONT, 80, 5000);
    stream.come_beside(10, 5000, (7, 8), u32::try_from(OWN.len()).unwrap());
    stream.received(10, FRONT, OWN);
    stream.sent(10, FRONT, OK);
    stream.open(11, FRONT, 6000, 90);
    stream.put_beside(11, None, (9, 10));
    stream.sent(11, FRONT, OWN);
    stream.received(11, FRONT, OK);
    let spans = stream.finish();
    assert_eq!((spans.server(1).trace_id, spans.server(1).parent), (trace(1), Some(span(2))));
    assert_ne!(spans.client(1).span_id, span(10));
    assert_eq!(spans.client(1).trace_id, trace(1));
}

/// Both ends are seen after all, in two network namespaces of one host.
#[test]
fn what_is_seen_at_both_ends_needs_no_option() {
    let (back, mut stream) = (By(2, 2), Stream::new());
    stream.open(11, FRONT, 6000, 90);
    stream.open(21, back, 90, 6000);
    stream.put_beside(11, None, (7, 8));
    stream.sent(11, FRONT, CALL);
    stream.come_beside(21, 6000, (7, 8), u32::try_from(CALL.len()).unwrap());
    stream.received(21, back, CALL);
    stream.sent(21, back, OK);
    stream.received(11, FRONT, OK);
    stream.wait(1_000_000_000);
    assert_eq!((by_rule(&stream, Rule::Wire), by_rule(&stream, Rule::TcpOption)), (1, 0));
    let spans = stream.finish();
    assert_child(spans.server(2), spans.client(1));
    assert_eq!(spans.client(1).span_id, span(8));
}
