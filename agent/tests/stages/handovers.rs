//! Pools of threads: a call is the request's whose thread was woken by the one that has read the call's answer.

use honeyguide::span::Span;

use crate::stream::{By, GET, OK, Stream, assert_child, assert_root};

/// Threads of process 1 that read requests and wait for others, each on a connection of its own: 10 and its number.
const ONE: u32 = 1;
const OTHER: u32 = 2;
/// Threads of a pool, which make calls on theirs: 20 and their number.
const POOLED: u32 = 11;
const SECOND: u32 = 12;

fn socket(tid: u32) -> u64 {
    10 + u64::from(tid)
}

fn stream() -> Stream {
    let mut stream = Stream::new();
    for (tid, port) in [(ONE, 80), (OTHER, 80), (POOLED, 6001), (SECOND, 6002)] {
        let remote = if port == 80 { 5000 + u16::try_from(tid).unwrap() } else { 90 };
        stream.open(socket(tid), By(1, tid), port, remote);
    }
    // The agent has come at last; the pool waits.
    stream.wakes(1, 90, 91);
    for tid in [ONE, OTHER] {
        stream.received(socket(tid), By(1, tid), GET);
    }
    stream
}

fn calls(stream: &mut Stream, tid: u32) {
    stream.sent(socket(tid), By(1, tid), b"GET /c HTTP/1.1\r\nHost: b\r\n\r\n");
    stream.received(socket(tid), By(1, tid), OK);
}

/// The spans of the first request, of the other, and of the calls in their order.
fn finish(mut stream: Stream) -> Vec<Span> {
    for tid in [OTHER, ONE] {
        stream.sent(socket(tid), By(1, tid), OK);
    }
    stream.finish().0
}

fn rule(span: &Span) -> Option<&str> {
    span.attributes.text("honeyguide.link.rule")
}

#[test]
fn whoever_waits_for_the_answer_has_the_call() {
    let mut stream = stream();
    for (by, worker) in [(OTHER, POOLED), (ONE, SECOND), (ONE, POOLED)] {
        stream.wakes(1, by, worker);
        calls(&mut stream, worker);
        stream.wakes(1, worker, by);
    }
    let spans = finish(stream);
    for (call, request) in [(2, 1), (3, 0), (4, 0)] {
        assert_child(&spans[call], &spans[request]);
        assert_eq!(rule(&spans[call]), Some("woken"));
    }
}

#[test]
fn a_wake_up_from_one_side_alone_says_nothing() {
    let mut stream = stream();
    // Nobody waits for it yet.
    stream.wakes(1, ONE, POOLED);
    calls(&mut stream, POOLED);
    // It was woken for another request.
    stream.wakes(1, ONE, POOLED);
    calls(&mut stream, POOLED);
    stream.wakes(1, POOLED, OTHER);
    // It has come by itself.
    calls(&mut stream, SECOND);
    stream.wakes(1, SECOND, OTHER);
    let spans = finish(stream);
    for call in &spans[2..5] {
        assert_root(call);
        assert_eq!(rule(call), Some("ambiguous"));
    }
}
