//! tokio's tasks: a connection's own task sends what others hand to it, and whoever does that wakes it.

use honeyguide::span::Span;

use crate::stream::{By, GET, OK, Running, Stream, assert_child};

const FRONT: By = By(1, 1);
/// The tasks of two clients' connections, which read requests and write responses.
const ONE: u64 = 11;
const OTHER: u64 = 12;
/// The task of a connection to what is called.
const POOLED: u64 = 50;

/// Two requests are open, and a connection that was made for the first of them.
fn stream() -> Stream {
    let mut stream = Stream::new();
    for (task, socket) in [(ONE, 11), (OTHER, 12)] {
        stream.run(Running::Task(task));
        stream.open(socket, FRONT, 80, 5000 + u16::try_from(socket).unwrap());
        stream.received(socket, FRONT, GET);
    }
    stream.spawned(1, ONE, POOLED);
    stream.open(20, FRONT, 6000, 90);
    stream
}

fn calls(stream: &mut Stream, path: &str) {
    stream.run(Running::Task(POOLED));
    stream.sent(20, FRONT, format!("GET /{path} HTTP/1.1\r\nHost: b\r\n\r\n").as_bytes());
}

fn is_answered(stream: &mut Stream) {
    stream.run(Running::Task(POOLED));
    stream.received(20, FRONT, OK);
}

/// The spans of the first request, of the other, and of the calls in their order.
fn finish(mut stream: Stream) -> Vec<Span> {
    for (task, socket) in [(ONE, 11), (OTHER, 12)] {
        stream.run(Running::Task(task));
        stream.sent(socket, FRONT, OK);
    }
    stream.finish().0
}

#[track_caller]
fn assert_ambiguous(span: &Span) {
    assert_eq!(span.attributes.text("honeyguide.link.rule"), Some("ambiguous"), "{span:#?}");
}

#[test]
fn whoever_wakes_the_connection_has_the_call() {
    let mut stream = stream();
    for (by, path) in [(ONE, "a"), (OTHER, "b"), (OTHER, "c"), (ONE, "d")] {
        stream.woken(1, by, POOLED);
        calls(&mut stream, path);
        is_answered(&mut stream);
    }
    let spans = finish(stream);
    for (call, request) in [(2, 0), (3, 1), (4, 1), (5, 0)] {
        assert_child(&spans[call], &spans[request]);
        assert_eq!(spans[call].attributes.text("honeyguide.link.rule"), Some("woken"));
    }
}

#[test]
fn the_one_before_may_wake_it_once_more_for_the_rest_of_its_answer() {
    let mut stream = stream();
    stream.woken(1, ONE, POOLED);
    calls(&mut stream, "a");
    is_answered(&mut stream);
    stream.woken(1, OTHER, POOLED);
    stream.woken(1, ONE, POOLED);
    calls(&mut stream, "b");
    is_answered(&mut stream);
    let spans = finish(stream);
    assert_child(&spans[2], &spans[0]);
    assert_child(&spans[3], &spans[1]);
}

#[test]
fn of_two_that_may_both_have_something_to_send_none_is_chosen() {
    let mut stream = stream();
    stream.woken(1, OTHER, POOLED);
    stream.woken(1, ONE, POOLED);
    calls(&mut stream, "a");
    is_answered(&mut stream);
    let spans = finish(stream);
    assert_ambiguous(&spans[2]);
}

/// It was made for the first request, and that is still open: that says nothing once others use it.
#[test]
fn a_connection_that_nobody_woke_is_not_its_makers() {
    let mut stream = stream();
    stream.woken(1, OTHER, POOLED);
    calls(&mut stream, "a");
    is_answered(&mut stream);
    calls(&mut stream, "b");
    is_answered(&mut stream);
    let spans = finish(stream);
    assert_child(&spans[2], &spans[1]);
    assert_ambiguous(&spans[3]);
}

#[test]
fn what_a_task_was_made_for_it_hands_on() {
    const CHILD: u64 = 70;
    let mut stream = stream();
    stream.spawned(1, OTHER, CHILD);
    stream.woken(1, CHILD, POOLED);
    calls(&mut stream, "a");
    is_answered(&mut stream);
    // A task that sends by itself, woken by nobody.
    stream.run(Running::Task(CHILD));
    stream.open(21, FRONT, 6001, 91);
    stream.sent(21, FRONT, GET);
    stream.received(21, FRONT, OK);
    let spans = finish(stream);
    assert_child(&spans[2], &spans[1]);
    assert_child(&spans[3], &spans[1]);
    assert_eq!(spans[3].attributes.text("honeyguide.link.rule"), Some("task_ancestry"));
}

/// Commands of several may be on their way at once: the last to wake it is not whose command is sent first.
#[test]
fn where_calls_overlap_all_must_be_of_one_request() {
    const GET_A: &[u8] = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n";
    let mut stream = stream();
    stream.open(30, FRONT, 6100, 6379);
    stream.woken(1, ONE, POOLED);
    stream.run(Running::Task(POOLED));
    stream.sent(30, FRONT, GET_A);
    stream.woken(1, ONE, POOLED);
    stream.woken(1, OTHER, POOLED);
    stream.sent(30, FRONT, GET_A);
    stream.sent(30, FRONT, GET_A);
    for _ in 0..3 {
        stream.received(30, FRONT, b"$1\r\nx\r\n");
    }
    let spans = finish(stream);
    assert_child(&spans[2], &spans[0]);
    assert_ambiguous(&spans[3]);
    assert_ambiguous(&spans[4]);
}
