//! Goroutines, Python's contexts and threads that do one thing after another: who sent a call had its request.

use honeyguide::span::Span;

use crate::stream::{By, GET, MS, OK, Running, Stream, assert_child, assert_root};

/// One process, whose threads are told apart by their second number.
const FRONT: By = By(1, 1);

/// A request of its own, answered on socket `10 + number`.
fn reads(stream: &mut Stream, number: u16) {
    let socket = 10 + u64::from(number);
    stream.open(socket, FRONT, 80, 5000 + number);
    again(stream, number);
}

fn again(stream: &mut Stream, number: u16) {
    stream.received(10 + u64::from(number), FRONT, format!("GET /r{number} HTTP/1.1\r\n\r\n").as_bytes());
}

/// Sends a call on socket `20 + number`, and reads its answer.
fn calls(stream: &mut Stream, number: u16) {
    let socket = 20 + u64::from(number);
    stream.open(socket, FRONT, 6000 + number, 90);
    stream.sent(socket, FRONT, format!("GET /c{number} HTTP/1.1\r\nHost: b\r\n\r\n").as_bytes());
    stream.received(socket, FRONT, OK);
}

fn answers(stream: &mut Stream, number: u16) {
    stream.sent(10 + u64::from(number), FRONT, OK);
}

/// The span whose path is `/NAME`.
#[track_caller]
fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let is = |span: &&Span| {
        let path = span.attributes.text("url.path").or_else(|| span.attributes.text("url.full"));
        path.is_some_and(|path| path.ends_with(&format!("/{name}")))
    };
    spans.iter().find(is).unwrap_or_else(|| panic!("no span of {name}: {spans:#?}"))
}

fn rule(span: &Span) -> Option<&str> {
    span.attributes.text("honeyguide.link.rule")
}

#[test]
fn goroutines_of_one_thread_have_their_own_requests() {
    let mut stream = Stream::new();
    stream.speaks(1, "go");
    for number in [1, 2, 3] {
        stream.run(Running::Goroutine(100 + u64::from(number), 1));
        reads(&mut stream, number);
    }
    for number in [2, 3, 1] {
        stream.run(Running::Goroutine(100 + u64::from(number), 1));
        calls(&mut stream, number);
    }
    for number in [3, 1, 2] {
        stream.run(Running::Goroutine(100 + u64::from(number), 1));
        answers(&mut stream, number);
    }
    let spans = stream.finish().0;
    for number in [1, 2, 3] {
        let call = named(&spans, &format!("c{number}"));
        assert_child(call, named(&spans, &format!("r{number}")));
        assert_eq!(rule(call), Some("same_task"));
    }
}

#[test]
fn a_goroutines_children_call_for_its_request() {
    let mut stream = Stream::new();
    for number in [1, 2] {
        stream.run(Running::Goroutine(100 + u64::from(number), 1));
        reads(&mut stream, number);
    }
    // A child's id may be lower than its parent's, and what it makes is its parent's grandchild.
    stream.run(Running::Goroutine(90, 101));
    calls(&mut stream, 1);
    stream.run(Running::Goroutine(200, 90));
    calls(&mut stream, 2);
    for number in [1, 2] {
        stream.run(Running::Goroutine(100 + u64::from(number), 1));
        answers(&mut stream, number);
    }
    let spans = stream.finish().0;
    assert_child(named(&spans, "c1"), named(&spans, "r1"));
    assert_child(named(&spans, "c2"), named(&spans, "r1"));
    assert_eq!(rule(named(&spans, "c2")), Some("task_ancestry"));
}

/// A request of HTTP/2 on a stream, `end` and all: each field as it is, by the number of its name in RFC 7541, appendix A.
fn grpc_call(stream: u8, path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (name, value) in [(4, path), (1, "b"), (58, "grpc-go/1.64.0"), (31, "application/grpc")] {
        let name: &[u8] = if name < 15 { &[name] } else { &[0x0f, name - 15] };
        block.extend(name);
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    }
    let length = u8::try_from(block.len()).unwrap();
    [&[0, 0, length, 1, 5, 0, 0, 0, stream][..], &block].concat()
}

/// What grpc-go writes is written by a goroutine that the first request has made.
#[test]
fn a_stream_is_for_the_request_of_the_goroutine_that_sends_on_it() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for said_first in [true, false] {
        let mut stream = Stream::new();
        for number in [1, 2] {
            stream.run(Running::Goroutine(100 + u64::from(number), 1));
            reads(&mut stream, number);
        }
        stream.run(Running::Goroutine(110, 101));
        stream.open(30, FRONT, 6000, 90);
        stream.sent(30, FRONT, preface);
        stream.received(30, FRONT, b"\0\0\0\x04\0\0\0\0\0");
        for (number, goroutine) in [(1, 102), (3, 101), (5, 102)] {
            if said_first {
                stream.asked(1, goroutine, number);
            }
            let number = u8::try_from(number).unwrap();
            stream.sent(30, FRONT, &grpc_call(number, &format!("/a.B/c{number}")));
            if !said_first {
                stream.asked(1, goroutine, u32::from(number));
            }
            // Status 200, and grpc-status 0.
            let trailers = b"\x88\0\x0bgrpc-status\x010";
            let frame = [&[0, 0, 16, 1, 5, 0, 0, 0, number][..], trailers].concat();
            stream.received(30, FRONT, &frame);
        }
        // One that nobody has said anything of.
        stream.sent(30, FRONT, &grpc_call(7, "/a.B/c7"));
        for number in [1, 2] {
            stream.run(Running::Goroutine(100 + u64::from(number), 1));
            answers(&mut stream, number);
        }
        let spans = stream.finish().0;
        let call = |number| {
            let method = format!("a.B/c{number}");
            spans.iter().find(|span| span.attributes.text("rpc.method") == Some(&method)).unwrap()
        };
        for (number, request) in [(1, "r2"), (3, "r1"), (5, "r2")] {
            assert_child(call(number), named(&spans, request));
            assert_eq!(rule(call(number)), Some("same_task"));
        }
        assert_root(call(7));
    }
}

#[test]
fn a_goroutine_of_nobodys_has_no_request() {
    let mut stream = Stream::new();
    for number in [1, 2] {
        stream.run(Running::Goroutine(100 + u64::from(number), 1));
        reads(&mut stream, number);
    }
    stream.run(Running::Goroutine(50, 7));
    calls(&mut stream, 1);
    for number in [1, 2] {
        stream.run(Running::Goroutine(100 + u64::from(number), 1));
        answers(&mut stream, number);
    }
    assert_root(named(&stream.finish().0, "c1"));
}

const LOOP: u64 = 0x7f00_0000_1000;
const TASK: u64 = 0x7f00_0000_2000;

/// asyncio reads requests in the loop's context; each handler is a task that was there before.
#[test]
fn who_writes_a_response_made_its_calls() {
    let mut stream = Stream::new();
    stream.speaks(1, "python");
    for number in [1_u16, 2, 3] {
        stream.copied(1, LOOP, TASK + u64::from(number));
    }
    stream.run(Running::Context(LOOP));
    for number in [1, 2, 3] {
        reads(&mut stream, number);
    }
    for (number, answer) in [(2, false), (3, false), (1, true), (3, true), (2, true)] {
        stream.run(Running::Context(TASK + u64::from(number)));
        if answer {
            answers(&mut stream, number);
        } else {
            calls(&mut stream, number);
        }
    }
    let spans = stream.finish().0;
    for number in [2, 3] {
        let call = named(&spans, &format!("c{number}"));
        assert_child(call, named(&spans, &format!("r{number}")));
        assert_eq!(rule(call), Some("response_writer"));
    }
}

/// `gather` makes a task for each call, and their contexts come to lie where others' were.
#[test]
fn a_context_that_was_freed_and_made_again_is_another_tasks() {
    let mut stream = Stream::new();
    let (first, second, child) = (TASK, TASK + 0x100, TASK + 0x200);
    stream.copied(1, LOOP, first);
    stream.copied(1, LOOP, second);
    stream.run(Running::Context(LOOP));
    reads(&mut stream, 1);
    reads(&mut stream, 2);
    stream.copied(1, first, child);
    stream.run(Running::Context(child));
    calls(&mut stream, 1);
    stream.copied(1, second, child);
    calls(&mut stream, 2);
    stream.run(Running::Context(second));
    answers(&mut stream, 2);
    stream.run(Running::Context(first));
    answers(&mut stream, 1);
    let spans = stream.finish().0;
    assert_child(named(&spans, "c1"), named(&spans, "r1"));
    assert_child(named(&spans, "c2"), named(&spans, "r2"));
    assert_eq!(rule(named(&spans, "c2")), Some("task_ancestry"));
}

/// A task that a handler leaves behind calls while the same connection's task has its next request.
#[test]
fn what_a_task_left_behind_is_not_its_next_requests() {
    let mut stream = Stream::new();
    stream.copied(1, LOOP, TASK);
    stream.run(Running::Context(LOOP));
    reads(&mut stream, 1);
    stream.copied(1, TASK, TASK + 0x100);
    stream.run(Running::Context(TASK));
    answers(&mut stream, 1);
    stream.run(Running::Context(LOOP));
    reads(&mut stream, 2);
    stream.run(Running::Context(TASK + 0x100));
    calls(&mut stream, 1);
    stream.run(Running::Context(TASK));
    answers(&mut stream, 2);
    assert_root(named(&stream.finish().0, "c1"));
}

/// A context that is older than the agent has no beginning; it is told from others all the same.
#[test]
fn contexts_whose_beginning_was_not_seen_are_told_apart() {
    let mut stream = Stream::new();
    stream.run(Running::Context(LOOP));
    reads(&mut stream, 1);
    reads(&mut stream, 2);
    for number in [2, 1] {
        stream.run(Running::Context(TASK + u64::from(number)));
        calls(&mut stream, number);
    }
    for number in [1, 2] {
        stream.run(Running::Context(TASK + u64::from(number)));
        answers(&mut stream, number);
    }
    let spans = stream.finish().0;
    for number in [1, 2] {
        assert_child(named(&spans, &format!("c{number}")), named(&spans, &format!("r{number}")));
    }
}

/// A pool of threads, each blocked while it waits.
#[test]
fn a_thread_that_does_one_thing_after_another_is_believed() {
    let mut stream = Stream::new();
    stream.speaks(1, "java");
    for number in 1..=3_u16 {
        stream.open(10 + u64::from(number), By(1, u32::from(number)), 80, 5000 + number);
        stream.received(
            10 + u64::from(number),
            By(1, u32::from(number)),
            format!("GET /r{number} HTTP/1.1\r\n\r\n").as_bytes(),
        );
    }
    for number in [3_u16, 1, 2] {
        let (by, socket) = (By(1, u32::from(number)), 20 + u64::from(number));
        stream.open(socket, by, 6000 + number, 90);
        stream.sent(socket, by, format!("GET /c{number} HTTP/1.1\r\nHost: b\r\n\r\n").as_bytes());
        stream.received(socket, by, OK);
    }
    for number in [2_u16, 3, 1] {
        stream.sent(10 + u64::from(number), By(1, u32::from(number)), OK);
    }
    let spans = stream.finish().0;
    for number in 1..=3 {
        let call = named(&spans, &format!("c{number}"));
        assert_child(call, named(&spans, &format!("r{number}")));
        assert_eq!(rule(call), Some("response_writer"));
    }
}

/// What could have been anybody's says so, and whose.
#[test]
fn an_ambiguous_call_is_linked_to_its_candidates() {
    let mut stream = Stream::new();
    stream.speaks(1, "nodejs");
    reads(&mut stream, 1);
    reads(&mut stream, 2);
    calls(&mut stream, 1);
    answers(&mut stream, 1);
    answers(&mut stream, 2);
    let spans = stream.finish().0;
    let call = named(&spans, "c1");
    assert_root(call);
    assert_eq!(rule(call), Some("ambiguous"));
    let mut candidates: Vec<_> = call.links.iter().map(|link| link.span_id).collect();
    let mut expect = vec![named(&spans, "r1").span_id, named(&spans, "r2").span_id];
    candidates.sort_unstable();
    expect.sort_unstable();
    assert_eq!(candidates, expect);
}

/// A long poll keeps neither the calls of others nor its own for longer than the setting says.
#[test]
fn a_call_waits_no_longer_than_it_may() {
    let mut stream = Stream::new();
    stream.run(Running::Context(LOOP));
    reads(&mut stream, 1);
    stream.run(Running::Context(TASK));
    calls(&mut stream, 1);
    stream.wait(9_000 * MS);
    assert_eq!(stream.engine.links.undecided(), 1);
    stream.wait(2_000 * MS);
    assert_eq!((stream.engine.links.undecided(), stream.engine.links.counters.hurried), (0, 1));
    stream.run(Running::Context(TASK));
    answers(&mut stream, 1);
    let spans = stream.finish().0;
    assert_eq!(rule(named(&spans, "c1")), Some("ambiguous"));
}

/// A child process that inherited the connection answers.
#[test]
fn a_response_by_another_process_claims_nothing() {
    let mut stream = Stream::new();
    stream.speaks(1, "java");
    reads(&mut stream, 1);
    reads(&mut stream, 2);
    stream.open(21, By(1, 4), 6001, 90);
    stream.sent(21, By(1, 4), GET);
    stream.received(21, By(1, 4), OK);
    stream.sent(11, By(9, 4_000), OK);
    answers(&mut stream, 2);
    assert_root(stream.finish().client(1));
}

/// What was open when the process died ends with its connections; nobody waits for it.
#[test]
fn a_process_that_dies_inside_requests_leaves_nothing() {
    use honeyguide_common::record::{TCP_CLOSE, TCP_ESTABLISHED};
    let mut stream = Stream::new();
    stream.run(Running::Context(LOOP));
    for number in 0..10 {
        reads(&mut stream, number);
    }
    stream.run(Running::Context(TASK));
    for number in 0..10 {
        calls(&mut stream, number);
    }
    for number in 0..10 {
        stream.state(10 + number, TCP_ESTABLISHED, TCP_CLOSE, 0);
    }
    stream.wait(1_000 * MS);
    assert_eq!((stream.engine.links.undecided(), stream.engine.links.len()), (0, 0));
    assert_eq!(stream.finish().0.len(), 20);
}

#[test]
fn floods_of_tasks_and_of_undecided_calls_are_bounded() {
    let mut stream = Stream::with(100_000, 4_096);
    stream.run(Running::Context(LOOP));
    reads(&mut stream, 1);
    for number in 0..100_000_u64 {
        stream.copied(1, LOOP, TASK + number * 0x100);
        if number % 10 == 0 {
            stream.run(Running::Context(TASK + number * 0x100));
            stream.sent(1_000 + number, FRONT, b"GET /c HTTP/1.1\r\nHost: b\r\n\r\n");
        }
    }
    let links = &stream.engine.links;
    assert!(links.tasks() <= 4 * 4_096, "{} tasks", links.tasks());
    assert!(links.len() <= 4_096 && links.undecided() <= 4_096, "{} held", links.len());
    assert!(links.counters.forgotten_tasks > 80_000 && links.counters.evicted > 5_000);
    stream.run(Running::Context(LOOP));
    answers(&mut stream, 1);
    assert_eq!(stream.finish().0.len(), 10_001);
}
