//! Single situations, by name.

use super::Wire;
use crate::{
    exchange::{CloseReason, Event, Outcome, Party::*, Stamp},
    http1::{Connection, Limits, State},
};

fn opened() -> Wire {
    Wire::new(Connection::opened(Limits::default()))
}

fn joined() -> Wire {
    Wire::new(Connection::new(Limits::default()))
}

const GET: &[u8] = b"GET /n HTTP/1.1\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const GET_OK: &str = "GET /n 0 -> 200 0 Complete 19/38";

/// The connection works from here on.
#[track_caller]
fn check_recovered(wire: &mut Wire) {
    wire.exchanges.clear();
    wire.send(Client, GET);
    wire.send(Server, OK);
    wire.expect(&[GET_OK]);
}

#[test]
fn an_exchange_ends_with_its_last_byte_and_carries_its_times() {
    let mut connection = Connection::opened(Limits::default());
    let at = |time| Stamp { time, ..Stamp::default() };
    connection.handle_bytes(Client, at(1), 0, b"POST / HTTP/1.1\r\nContent-Length: 10\r\n");
    assert_eq!(connection.poll_event(), None);
    connection.handle_bytes(Client, at(2), 37, b"\r\n12345");
    let Some(Event::Request { id: 0, extent, head }) = connection.poll_event() else { panic!() };
    assert_eq!((extent.first, extent.last, extent.offset, extent.wire_bytes), (at(1), at(2), 0, 39));
    assert_eq!(&*head.method, "POST");
    connection.handle_gap(Client, at(3), 44, 5, b"");
    connection.handle_bytes(Server, at(4), 0, b"HTTP/1.1 200 OK\r\n");
    assert_eq!(connection.poll_event(), None);
    connection.handle_bytes(Server, at(5), 17, b"Content-Length: 100000\r\n\r\nabc");
    assert_eq!(connection.poll_event(), Some(Event::Response { id: 0, first: at(4) }));
    connection.handle_gap(Server, at(5), 46, 99_996, b"");
    assert_eq!(connection.poll_event(), None);
    connection.handle_gap(Server, at(6), 100_042, 1, b"z");
    let Some(Event::Exchange(exchange)) = connection.poll_event() else { panic!() };
    assert_eq!((exchange.request.first, exchange.request.last), (at(1), at(3)));
    let response = exchange.response.unwrap();
    assert_eq!((response.first, response.last, response.wire_bytes), (at(4), at(6), 100_043));
    assert_eq!((exchange.outcome, exchange.damaged), (Outcome::Complete, false));
    assert_eq!((exchange.detail.request_body, exchange.detail.response_body), (Some(10), Some(100_000)));
}

#[test]
fn a_tail_carries_a_large_chunk_to_its_end() {
    let mut wire = opened();
    wire.send(Client, GET);
    wire.send_cut(
        Server,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\nxx",
        65_525,
        b"123456789\r\n0\r\n\r\n",
    );
    wire.expect(&["GET /n 0 -> 200 65536 Complete 19/65597"]);
    check_recovered(&mut wire);
}

#[test]
fn lost_chunk_framing_ends_with_a_likely_last_chunk() {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab";
    for (gap, tail) in [(5000, &b"...\r\n0\r\n\r\n"[..]), (5000, b"\r\n0\r\n\r\n")] {
        let mut wire = opened();
        wire.send(Client, GET);
        wire.send_cut(Server, HEAD, gap, tail);
        wire.expect(&[&format!("GET /n 0 -> 200 ? Complete 19/{} damaged", 52 + 5000 + tail.len())]);
        check_recovered(&mut wire);
    }
    // An operation of its own.
    let mut wire = opened();
    wire.send(Client, GET);
    wire.send_cut(Server, HEAD, 5000, b"");
    wire.skip(Server, 5, b"0\r\n\r\n");
    wire.expect(&["GET /n 0 -> 200 ? Complete 19/5057 damaged"]);
    check_recovered(&mut wire);
}

#[test]
fn lost_chunk_framing_ends_with_the_next_request_or_the_close() {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab";
    let mut wire = opened();
    wire.send(Client, GET);
    wire.send_cut(Server, HEAD, 5000, b"Trailer: x\r\n\r\n");
    wire.expect(&[]);
    wire.send(Client, GET);
    wire.expect(&["GET /n 0 -> 200 ? Lost 19/5066 damaged"]);
    wire.send(Server, OK);
    wire.expect(&[GET_OK]);
    wire.send(Client, GET);
    wire.send_cut(Server, HEAD, 5000, b"");
    wire.close();
    wire.expect(&["GET /n 0 -> 200 ? Lost 19/5052 damaged"]);
}

#[test]
fn attached_in_the_middle_of_an_upload() {
    let mut wire = joined();
    wire.send(Client, b"rest of a body");
    wire.skip(Client, 5000, b"0123456789abcdef");
    wire.send(Server, b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    wire.expect(&[]);
    check_recovered(&mut wire);
    assert_eq!(wire.connection.counters().orphan_responses, 1);
    assert_eq!(wire.connection.counters().failures, 0);
}

#[test]
fn attached_in_the_middle_of_a_response() {
    let mut wire = joined();
    wire.send(Server, b"rest of a body");
    wire.skip(Server, 5000, b"");
    check_recovered(&mut wire);
    let mut wire = joined();
    wire.send(Server, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
    wire.send(Server, b"HTTP/1.1 200 OK in a body");
    check_recovered(&mut wire);
}

#[test]
fn a_response_lost_at_the_attach_shifts_nothing() {
    let mut wire = joined();
    // The answer's record came before the request's.
    wire.send(Server, b"HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n");
    wire.send(Client, b"PUT /1 HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    wire.send(Client, GET);
    wire.expect(&["PUT /1 0 -> - ? Lost 38/0"]);
    wire.send(Server, OK);
    wire.expect(&[GET_OK]);
}

#[test]
fn the_client_gives_up() {
    let mut wire = opened();
    wire.send(Client, GET);
    wire.shutdown(Client);
    wire.expect(&[]);
    wire.close();
    wire.expect(&["GET /n 0 -> - ? Aborted(Finished) 19/0"]);
}

#[test]
fn the_server_closes_early() {
    let mut wire = opened();
    wire.send(Client, GET);
    wire.send(Server, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    wire.shutdown(Server);
    wire.expect(&["GET /n 0 -> 200 ? Aborted(Finished) 19/42"]);
    wire.close();
    wire.expect(&[]);
}

#[test]
fn a_response_until_close_ends_with_the_shutdown_or_is_reset() {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\nabc";
    let mut wire = opened();
    wire.send(Client, GET);
    wire.send(Server, HEAD);
    wire.skip(Server, 100, b"");
    wire.expect(&[]);
    wire.shutdown(Server);
    wire.expect(&["GET /n 0 -> 200 103 Complete 19/122"]);
    let mut wire = opened();
    wire.send(Client, GET);
    wire.send(Server, HEAD);
    wire.connection.handle_close(Stamp::default(), CloseReason::Error(104));
    wire.drain();
    wire.expect(&["GET /n 0 -> 200 ? Aborted(Error(104)) 19/22"]);
    assert_eq!(wire.connection.state(), State::Closed);
}

#[test]
fn an_early_error_does_not_wait_for_the_upload() {
    let mut wire = opened();
    wire.send(Client, b"POST /u HTTP/1.1\r\nContent-Length: 100\r\n\r\n0123456789");
    wire.send(Server, b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n");
    wire.expect(&["POST /u ? -> 413 0 Complete 51/38"]);
    wire.skip(Client, 80, b"");
    wire.send(Client, b"GET /n HTT");
    check_recovered(&mut wire);
}

#[test]
fn a_head_longer_than_the_buffer_is_truncated_and_passed() {
    let mut wire = opened();
    let mut request = b"GET /long HTTP/1.1\r\nHost: x\r\nCookie: ".to_vec();
    request.resize(100_000, b'c');
    request.extend_from_slice(b"\r\n\r\n");
    for part in request.chunks(1000) {
        wire.send(Client, part);
    }
    assert!(wire.connection.buffered() < 2048);
    wire.send(Server, OK);
    wire.expect(&["GET /long 0 -> 200 0 Complete 100004/38 damaged"]);
    check_recovered(&mut wire);
}

#[test]
fn a_head_longer_than_what_was_captured() {
    let mut wire = opened();
    wire.send_cut(Client, b"GET /cut HTTP/1.1\r\nHost: x\r\nCookie: aaaa", 9000, b"aaaa\r\n\r\n");
    wire.send(Server, OK);
    wire.expect(&["GET /cut ? -> 200 0 Complete 9048/38 damaged"]);
    check_recovered(&mut wire);
    // The body begins somewhere in what was not seen.
    wire.send_cut(Client, b"POST /cut HTTP/1.1\r\nContent-Length: 9\r\nCookie: aaaa", 9000, b"123456789");
    wire.send(Server, OK);
    wire.expect(&["POST /cut ? -> 200 0 Complete 9060/38 damaged"]);
    check_recovered(&mut wire);
}

#[test]
fn contradicting_lengths_leave_the_end_to_the_other_side() {
    let mut wire = opened();
    wire.send(Client, b"POST /s HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 40\r\n\r\nhelloGET /smuggled HTTP/1.1\r\n\r\n");
    wire.send(Client, b"GET /smuggled HTTP/1.1\r\n\r\n");
    wire.send(Server, b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n");
    wire.expect(&["POST /s ? -> 400 0 Complete 116/38"]);
    check_recovered(&mut wire);
}

#[test]
fn transfer_encoding_overrides_content_length() {
    let mut wire = opened();
    wire.send(
        Client,
        b"POST /s HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /n HTTP/1.1\r\n\r\n",
    );
    wire.send(Server, OK);
    wire.send(Server, OK);
    wire.expect(&["POST /s 0 -> 200 0 Complete 72/38", GET_OK]);
}

#[test]
fn garbage_is_counted_skipped_and_in_the_end_too_much() {
    let mut wire = opened();
    for count in 1..8 {
        wire.send(Client, b"\x00\x01\x02 garbage");
        assert_eq!(wire.connection.counters().failures, count);
        // The garbage may have held a request, whose answer this would then be.
        wire.send(Client, GET);
        wire.send(Server, OK);
        wire.expect(&["GET /n 0 -> - ? Lost 19/0"]);
        check_recovered(&mut wire);
    }
    assert!(!wire.connection.failed());
    wire.send(Client, GET);
    wire.send(Client, b"(");
    assert!(wire.connection.failed());
    wire.expect(&["GET /n 0 -> - ? Lost 19/0"]);
    wire.send(Client, GET);
    wire.expect(&[]);
}

#[test]
fn a_response_that_is_none_costs_its_exchange_only() {
    let mut wire = opened();
    wire.send(Client, GET);
    wire.send(Server, b"220 ready\r\n");
    wire.send(Client, GET);
    wire.expect(&["GET /n 0 -> - ? Lost 19/0 damaged"]);
    wire.send(Server, OK);
    wire.expect(&[GET_OK]);
    assert_eq!(wire.connection.counters().failures, 1);
}

#[test]
fn an_unfinished_request_can_be_refused() {
    let mut wire = opened();
    wire.send(Client, b"GET /slow HTTP/1.1\r\nHost: x\r\nX: ");
    wire.send(Server, b"HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n");
    wire.shutdown(Server);
    wire.close();
    wire.expect(&["GET /slow ? -> 408 0 Complete 32/43 damaged"]);
}

#[test]
fn an_unasked_response_answers_nothing_later() {
    let mut wire = opened();
    wire.send(Server, b"HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n");
    assert!(wire.connection.buffered() > 0);
    wire.time += 1_000_000_000;
    check_recovered(&mut wire);
    assert_eq!(wire.connection.counters().orphan_responses, 1);
}

#[test]
fn outstanding_requests_are_bounded() {
    let mut wire = Wire::new(Connection::opened(Limits { outstanding: 3, ..Limits::default() }));
    for _ in 0..5 {
        wire.send(Client, GET);
    }
    assert_eq!(wire.connection.outstanding(), 3);
    assert_eq!(wire.connection.counters().dropped_requests, 2);
    for _ in 0..5 {
        wire.send(Server, OK);
    }
    wire.expect(&[GET_OK; 3]);
    check_recovered(&mut wire);
}

#[test]
fn bytes_handed_over_twice_count_once() {
    let mut wire = opened();
    wire.send(Client, GET);
    wire.offsets[0] -= 10;
    wire.send(Client, &GET[9..]);
    wire.send(Server, OK);
    wire.expect(&[GET_OK]);
}

/// `cargo test --release -p honeyguide-protocols cost -- --ignored --nocapture`
#[test]
#[ignore = "prints a measurement"]
fn cost() {
    let request = b"GET /api/v1/items/42?full=1 HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101\r\nAccept: application/json\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en\r\nConnection: keep-alive\r\nCookie: session=0123456789abcdef0123456789abcdef\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n";
    let response = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\n{\"ok\": true}";
    let mut connection = Connection::opened(Limits::default());
    let mut ended = 0_u64;
    for round in 0..5 {
        let count = 1_000_000_u64;
        let start = std::time::Instant::now();
        for index in 0..count {
            let exchange = round * count + index;
            let at = Stamp { time: exchange, ..Stamp::default() };
            connection.handle_bytes(Client, at, exchange * request.len() as u64, request);
            connection.handle_bytes(Server, at, exchange * response.len() as u64, response);
            while let Some(event) = connection.poll_event() {
                ended += u64::from(matches!(event, Event::Exchange(_)));
            }
        }
        println!("{} ns per exchange", start.elapsed().as_nanos() / u128::from(count));
    }
    assert_eq!(ended, 5_000_000);
}

#[test]
fn a_target_longer_than_what_is_captured_is_a_request_with_the_start_of_it() {
    let mut wire = opened();
    let line = [b"GET /", "u".repeat(8_000).as_bytes()].concat();
    wire.send_cut(Client, &line, 50_000, b"X: y\r\n\r\n");
    wire.send(Server, OK);
    let seen = wire.exchanges.pop().unwrap();
    assert!(seen.starts_with("GET /uuuu") && seen.contains(" -> 200 0 Complete "), "{seen}");
    assert!(seen.ends_with(" damaged"), "{seen}");
    check_recovered(&mut wire);
    // What is no known method may be anything.
    let mut wire = joined();
    wire.send_cut(Client, &[b"XYZ /", "u".repeat(8_000).as_bytes()].concat(), 50_000, b"");
    wire.expect(&[]);
}

#[test]
fn what_the_end_of_the_connection_cuts_off_ends_with_it() {
    let at = |time| Stamp { time, ..Stamp::default() };
    let closed = |request: &[u8], response: &[u8]| {
        let mut connection = Connection::opened(Limits::default());
        connection.handle_bytes(Client, at(1), 0, request);
        connection.handle_bytes(Server, at(2), 0, response);
        connection.handle_close(at(9), CloseReason::Finished);
        std::iter::from_fn(|| connection.poll_event())
            .filter_map(|event| match event {
                Event::Exchange(exchange) => Some((exchange.outcome, exchange.closed)),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    let aborted = (Outcome::Aborted(CloseReason::Finished), Some(at(9)));
    assert_eq!(closed(GET, b""), [aborted]);
    assert_eq!(closed(GET, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"), [aborted]);
    assert_eq!(closed(GET, b"HTTP/1.0 200 OK\r\n\r\nab"), [(Outcome::Complete, None)]);
    assert_eq!(closed(GET, OK), [(Outcome::Complete, None)]);
}
