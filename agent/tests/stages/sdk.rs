//! Processes that carry an OpenTelemetry SDK: what they report is not reported twice, and traces stay whole.

use honeyguide::span::{Span, SpanKind};

use crate::stream::{By, GET, MS, OK, Stream, assert_root};

const FRONT: By = By(1, 1);
const BACK: By = By(2, 2);
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
/// The span of whoever called, and the one that an SDK has made of its own call.
const OUTSIDE: &str = "b7ad6b7169203331";
const MADE: &str = "00f067aa0ba902b7";

fn request(path: &str, parent: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\ntraceparent: 00-{TRACE}-{parent}-01\r\n\r\n").into_bytes()
}

/// A request to the front on socket 10, with the context of whoever called.
fn front_reads(stream: &mut Stream) {
    stream.open(10, FRONT, 80, 5000);
    stream.received(10, FRONT, &request("/front", OUTSIDE));
}

/// The front's SDK sends a call with a context of its own, and the back reads it.
fn front_calls(stream: &mut Stream) {
    stream.open(11, FRONT, 6000, 90);
    stream.sent(11, FRONT, &request("/back", MADE));
    stream.open(20, BACK, 90, 6000);
    stream.received(20, BACK, &request("/back", MADE));
    stream.sent(20, BACK, OK);
    stream.received(11, FRONT, OK);
}

fn parent(span: &Span) -> String {
    assert_eq!(span.trace_id.to_string(), TRACE, "one trace");
    span.parent.map(|parent| parent.to_string()).unwrap_or_default()
}

#[test]
fn neither_the_request_nor_the_call_has_a_second_span_and_what_is_behind_is_the_sdks_child() {
    let mut stream = Stream::new();
    front_reads(&mut stream);
    front_calls(&mut stream);
    stream.sent(10, FRONT, OK);
    stream.wait(1_000 * MS);
    assert_eq!(stream.engine.counters.left_to_sdk, 2);
    assert_eq!(stream.engine.counters.not_sampled, 0);
    let spans = stream.finish().0;
    let [back] = &spans[..] else { panic!("the back's request alone: {spans:#?}") };
    assert_eq!((back.kind, parent(back).as_str()), (SpanKind::Server, MADE));
}

#[test]
fn with_the_setting_off_all_are_reported() {
    let mut stream = Stream::beside_sdks();
    stream.instrumented(1);
    front_reads(&mut stream);
    front_calls(&mut stream);
    stream.sent(10, FRONT, OK);
    let spans = stream.finish().0;
    let kinds: Vec<SpanKind> = spans.iter().map(|span| span.kind).collect();
    assert_eq!(kinds, [SpanKind::Server, SpanKind::Client, SpanKind::Server]);
    assert_eq!([parent(&spans[0]), parent(&spans[1])], [OUTSIDE, MADE]);
    assert_eq!(parent(&spans[2]), spans[1].span_id.to_string());
}

/// A call that the SDK does not know of hangs below whoever called: what the SDK has named its own span is not seen.
#[test]
fn a_call_beside_the_sdk_stays_in_the_trace() {
    let mut stream = Stream::new();
    front_reads(&mut stream);
    front_calls(&mut stream);
    stream.open(12, FRONT, 6001, 91);
    stream.sent(12, FRONT, GET);
    stream.received(12, FRONT, OK);
    stream.sent(10, FRONT, OK);
    let spans = stream.finish().0;
    let calls: Vec<&Span> = spans.iter().filter(|span| span.kind == SpanKind::Client).collect();
    assert_eq!((calls.len(), parent(calls[0]).as_str()), (1, OUTSIDE));
}

#[test]
fn a_process_that_exports_traces_reports_what_it_serves() {
    let mut stream = Stream::new();
    stream.open(11, FRONT, 6000, 4318);
    stream.sent(11, FRONT, b"POST /v1/traces HTTP/1.1\r\nHost: c\r\nContent-Length: 2\r\n\r\nxx");
    stream.received(11, FRONT, OK);
    stream.open(10, FRONT, 80, 5000);
    stream.received(10, FRONT, GET);
    stream.open(12, FRONT, 6001, 91);
    stream.sent(12, FRONT, GET);
    stream.received(12, FRONT, OK);
    stream.sent(10, FRONT, OK);
    // Another process, and the same one after it has begun another program.
    stream.open(20, BACK, 80, 5001);
    stream.received(20, BACK, GET);
    stream.sent(20, BACK, OK);
    stream.wait(1_000 * MS);
    stream.executed(1);
    stream.open(13, FRONT, 80, 5002);
    stream.received(13, FRONT, GET);
    stream.sent(13, FRONT, OK);
    let spans = stream.finish().0;
    let kinds: Vec<SpanKind> = spans.iter().map(|span| span.kind).collect();
    assert_eq!(kinds, [SpanKind::Client, SpanKind::Client, SpanKind::Server, SpanKind::Server], "{spans:#?}");
    spans.iter().for_each(assert_root);
}

/// Two requests with the same context are open: each call of a proxy's hands on one of them, nobody knows which.
#[test]
fn a_proxy_that_hands_contexts_on_has_no_sdk() {
    let mut stream = Stream::new();
    front_reads(&mut stream);
    stream.open(13, FRONT, 80, 5001);
    stream.received(13, FRONT, &request("/front", OUTSIDE));
    stream.open(11, FRONT, 6000, 90);
    stream.sent(11, FRONT, &request("/back", OUTSIDE));
    stream.received(11, FRONT, OK);
    stream.sent(10, FRONT, OK);
    stream.sent(13, FRONT, OK);
    let spans = stream.finish().0;
    assert_eq!(spans.len(), 3);
    assert!(spans.iter().all(|span| parent(span) == OUTSIDE));
}

#[test]
fn a_malformed_context_says_nothing_of_an_sdk() {
    let mut stream = Stream::new();
    front_reads(&mut stream);
    stream.open(11, FRONT, 6000, 90);
    stream.sent(11, FRONT, b"GET /b HTTP/1.1\r\nHost: b\r\ntraceparent: 00-xyz\r\n\r\n");
    stream.received(11, FRONT, OK);
    stream.sent(10, FRONT, OK);
    stream.wait(1_000 * MS);
    assert_eq!(stream.engine.links.counters.malformed_context, 1);
    let spans = stream.finish();
    assert_eq!(spans.client(1).parent, Some(spans.server(1).span_id));
}

/// As a proxy in front of a collector does: what it hands on is not its own, and its other requests are nobody else's.
#[test]
fn whoever_hands_on_the_exports_of_others_has_no_sdk() {
    const EXPORT: &[u8] = b"POST /v1/traces HTTP/1.1\r\nHost: c\r\nContent-Length: 2\r\n\r\nxx";
    let mut stream = Stream::new();
    stream.open(10, FRONT, 80, 5000);
    stream.received(10, FRONT, EXPORT);
    stream.open(11, FRONT, 6000, 4318);
    stream.sent(11, FRONT, EXPORT);
    stream.received(11, FRONT, OK);
    stream.sent(10, FRONT, OK);
    stream.received(10, FRONT, GET);
    stream.sent(10, FRONT, OK);
    assert_eq!(stream.finish().0.len(), 3);
}

/// The first request already, without a context and without a call.
#[test]
fn a_program_under_automatic_instrumentation_reports_what_it_serves() {
    let mut stream = Stream::new();
    stream.instrumented(1);
    stream.open(10, FRONT, 80, 5000);
    stream.received(10, FRONT, GET);
    stream.open(12, FRONT, 6001, 91);
    stream.sent(12, FRONT, GET);
    stream.received(12, FRONT, OK);
    stream.sent(10, FRONT, OK);
    stream.wait(1_000 * MS);
    assert_eq!(stream.engine.counters.left_to_sdk, 1);
    let spans = stream.finish().0;
    assert_eq!(spans.iter().map(|span| span.kind).collect::<Vec<_>>(), [SpanKind::Client]);
    assert_root(&spans[0]);
}

/// The SDK exports nothing of a trace that is not sampled; whether the agent does is its own sampler's decision.
#[test]
fn what_the_sdk_does_not_sample_is_not_left_to_it() {
    let mut stream = Stream::new();
    stream.instrumented(1);
    stream.open(11, FRONT, 6000, 90);
    let call = format!("GET / HTTP/1.1\r\nHost: a\r\ntraceparent: 00-{TRACE}-{MADE}-00\r\n\r\n");
    stream.sent(11, FRONT, call.as_bytes());
    stream.received(11, FRONT, OK);
    stream.wait(1_000 * MS);
    let counters = stream.engine.counters;
    assert_eq!((counters.left_to_sdk, counters.not_sampled), (0, 1));
}

/// As curl does in a test, or a generator of load: there is no span but the agent's.
#[test]
fn a_context_that_is_made_up_says_nothing() {
    let mut stream = Stream::new();
    stream.open(11, FRONT, 6000, 90);
    stream.sent(11, FRONT, &request("/back", MADE));
    stream.received(11, FRONT, OK);
    let spans = stream.finish();
    assert_eq!(parent(spans.client(1)), MADE);
}

/// Only the second call of a request without a context tells; the first is not decided before.
#[test]
fn calls_in_one_trace_below_a_request_without_a_context() {
    let mut stream = Stream::new();
    stream.open(10, FRONT, 80, 5000);
    stream.received(10, FRONT, GET);
    for (socket, local, span) in [(11, 6000, MADE), (12, 6001, OUTSIDE)] {
        stream.open(socket, FRONT, local, 90);
        stream.sent(socket, FRONT, &request("/back", span));
        stream.received(socket, FRONT, OK);
    }
    stream.sent(10, FRONT, OK);
    stream.wait(1_000 * MS);
    assert_eq!(stream.engine.counters.left_to_sdk, 3);
    assert_eq!(stream.finish().0.len(), 0);
}
