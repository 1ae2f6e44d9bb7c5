//! Single situations, by name.

use std::sync::Arc;

use super::Wire;
use crate::{
    exchange::{CloseReason, Event, Outcome, Party::*, Stamp},
    fastcgi::{
        Connection, Counters, Limits, State,
        corpus::{answers, asks, begin, end, get, pairs, record},
    },
    http::{Forwarded, RequestHead, Version},
};

fn opened() -> Wire {
    Wire::new(Connection::opened(Limits::default()))
}

fn joined() -> Wire {
    Wire::new(Connection::new(Limits::default()))
}

const OK: &str = "Content-type: text/html\r\n\r\nok";

/// The connection works from here on.
#[track_caller]
fn check_recovered(wire: &mut Wire) {
    wire.send(Client, &asks(1, true, &get("/recovered"), b""));
    wire.exchanges.clear();
    wire.send(Server, &answers(1, OK));
    wire.expect(&["GET /recovered shop.example Http11 -> 200 Complete 0+208/2+56"]);
}

#[test]
fn an_exchange_carries_its_times() {
    let mut connection = Connection::new(Limits::default());
    let at = |time| Stamp { time, ..Stamp::default() };
    let asked = asks(1, true, &get("/a"), b"");
    let parameters_end = asked.len() as u64 - 8;
    connection.handle_bytes(Client, at(1), 0, &asked[..8]);
    connection.handle_bytes(Client, at(2), 8, &asked[8..100]);
    assert_eq!(connection.poll_event(), None);
    connection.handle_bytes(Client, at(3), 100, &asked[100..]);
    let Some(Event::Request { id: 0, extent, head }) = connection.poll_event() else { panic!() };
    assert_eq!((extent.first, extent.last, extent.offset), (at(1), at(3), 0));
    assert_eq!((extent.wire_bytes, &*head.target), (parameters_end, "/a"));
    let answered = answers(1, OK);
    connection.handle_bytes(Server, at(4), 0, &answered[..3]);
    assert_eq!(connection.poll_event(), None);
    connection.handle_bytes(Server, at(5), 3, &answered[3..20]);
    assert_eq!(connection.poll_event(), Some(Event::Response { id: 0, first: at(4) }));
    connection.handle_bytes(Server, at(6), 20, &answered[20..]);
    let Some(Event::Exchange(exchange)) = connection.poll_event() else { panic!() };
    let response = exchange.response.unwrap();
    assert_eq!((response.first, response.last, response.wire_bytes), (at(4), at(6), answered.len() as u64));
    assert_eq!((exchange.request.wire_bytes, exchange.closed), (asked.len() as u64, None));
}

#[track_caller]
fn head(params: &[(&str, &str)]) -> Arc<RequestHead> {
    let mut connection = Connection::opened(Limits::default());
    connection.handle_bytes(Client, Stamp::default(), 0, &asks(1, true, params, b""));
    let Some(Event::Request { head, .. }) = connection.poll_event() else { panic!("no request") };
    head
}

#[test]
fn what_is_kept_of_the_parameters() {
    let found = head(&[
        ("REQUEST_METHOD", "PUT"),
        ("REQUEST_URI", "/a?b"),
        ("SCRIPT_NAME", "/index.php"),
        ("SERVER_PROTOCOL", "HTTP/3.0"),
        ("REQUEST_SCHEME", "https"),
        ("HTTP_HOST", "a.example"),
        ("SERVER_NAME", "b.example"),
        ("HTTP_USER_AGENT", "curl/8"),
        ("REMOTE_ADDR", "192.0.2.7"),
        ("HTTP_X_FORWARDED_FOR", "198.51.100.1"),
        ("HTTP_TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("HTTP_TRACESTATE", "a=b"),
        ("HTTP_BAGGAGE", "c=d"),
        ("HTTP_AUTHORIZATION", "Bearer secret"),
    ]);
    assert_eq!((&*found.method, &*found.target, found.version), ("PUT", "/a?b", Version::Http3));
    assert_eq!((found.scheme.as_deref(), found.authority.as_deref()), (Some("https"), Some("a.example")));
    assert_eq!((found.user_agent.as_deref(), found.tracestate.as_deref()), (Some("curl/8"), Some("a=b")));
    assert_eq!(found.client.as_deref(), Some("192.0.2.7"));
    assert_eq!(found.forwarded, Some(Forwarded::XForwardedFor("198.51.100.1".into())));
    assert!(found.traceparent.as_deref().is_some_and(|parent| parent.ends_with("-b7ad6b7169203331-01")));
    assert_eq!(found.baggage.as_deref(), Some("c=d"));
    assert!(!found.truncated && found.fingerprint != 0 && !format!("{found:?}").contains("secret"));
}

#[test]
fn where_parameters_are_missing() {
    let found =
        head(&[("REQUEST_METHOD", "GET"), ("SERVER_NAME", "_"), ("HTTPS", "on"), ("SERVER_PROTOCOL", "x")]);
    assert_eq!((&*found.target, found.authority.as_deref(), found.version), ("", None, Version::Http11));
    assert_eq!(found.scheme.as_deref(), Some("https"));
    let found =
        head(&[("REQUEST_METHOD", "GET"), ("REQUEST_URI", ""), ("SCRIPT_NAME", "/a"), ("HTTPS", "off")]);
    assert_eq!((&*found.target, found.scheme.as_deref()), ("/a", None));
    let (long, mut params) = ("x".repeat(20_000), get("/a"));
    params.insert(2, ("HTTP_COOKIE", &long));
    assert!(!head(&params).truncated, "one that nobody wants may be as long as it likes");
    params.insert(0, ("REQUEST_URI", &long));
    assert!(head(&params).truncated);
}

/// 200 where it does not say (RFC 3875, section 6.3.3), in whichever way lines end.
#[test]
fn what_a_head_says() {
    for (text, status, body) in [
        ("Content-type: a\r\n\r\nabc", 200, "3"),
        ("Content-type: a\n\nabc", 200, "3"),
        ("STATUS:404\r\n\r\n", 404, "0"),
        ("Status: 404 Not Found\r\nContent-type: a\r\n\r\n", 404, "0"),
        ("Status: frob\r\n\r\n", 200, "0"),
        ("Status: 99999\r\n\r\n", 200, "0"),
        ("Location: http://a/\r\n\r\n", 302, "0"),
        ("Location: http://a/\r\nStatus: 301\r\n\r\n", 301, "0"),
        ("X-Status: 404\r\n\r\nStatus: 500\r\n", 200, "13"),
    ] {
        let mut wire = opened();
        wire.send(Client, &asks(1, true, &get("/a"), b""));
        wire.send(Server, &answers(1, text));
        let [found] = &wire.exchanges[..] else { panic!("{text:?}: {:?}", wire.exchanges) };
        let expect = format!("GET /a shop.example Http11 -> {status} Complete 0+200/{body}+");
        assert!(found.starts_with(&expect) && !found.contains("damaged"), "{text:?}: {found}");
    }
}

/// More than is captured: of each operation the first bytes, of the last one its end as well.
#[test]
fn a_long_response_ends_where_its_last_record_does() {
    let mut wire = opened();
    wire.send(Client, &asks(1, true, &get("/a"), b""));
    let first = record(6, 1, format!("Content-type: a\r\n\r\n{}", "x".repeat(8_000)).as_bytes());
    wire.send(Server, &first);
    // One record, and what is left of a cut operation.
    let long = [record(6, 1, &[b'y'; 40_000]), record(6, 1, &[b'z'; 20_000]), end(1, 0)].concat();
    wire.send(Server, &long[..256]);
    wire.time -= 1;
    wire.skip(Server, long.len() as u64 - 256, &long[long.len() - 16..]);
    wire.expect(&["GET /a shop.example Http11 -> 200 Complete 0+200/-+68064"]);
    check_recovered(&mut wire);
}

#[test]
fn a_long_body_is_counted_while_records_follow_each_other() {
    let mut wire = opened();
    let body = [b'x'; 30_000];
    let asked = asks(1, true, &get("/a"), &body);
    wire.send(Client, &asked[..8192]);
    wire.skip(Client, asked.len() as u64 - 8192, &asked[asked.len() - 16..]);
    wire.send(Server, &answers(1, OK));
    wire.expect(&["GET /a shop.example Http11 -> 200 Complete 30000+30208/2+56"]);
    check_recovered(&mut wire);
}

#[test]
fn a_gap_in_the_parameters_costs_what_is_in_it() {
    let mut wire = opened();
    let asked = asks(1, true, &get("/a"), b"");
    wire.send(Client, &asked[..80]);
    wire.lose(Client, 20);
    wire.send(Client, &asked[100..]);
    wire.send(Server, &answers(1, OK));
    wire.expect(&["GET  - Http11 -> 200 Complete 0+200/2+56 truncated damaged"]);
    check_recovered(&mut wire);
}

/// The web server writes them at once, of which the first bytes and the last are captured; both ends agree on what it is.
#[test]
fn more_parameters_than_are_captured() {
    let (cookie, mut params) = ("c".repeat(9_000), get("/a"));
    params.push(("HTTP_COOKIE", &cookie));
    let whole = head(&params);
    let asked = asks(1, true, &params, b"");
    let mut connection = Connection::opened(Limits::default());
    connection.handle_bytes(Client, Stamp::default(), 0, &asked[..8192]);
    assert_eq!(connection.poll_event(), None);
    connection.handle_gap(
        Client,
        Stamp::default(),
        8192,
        asked.len() as u64 - 8192,
        &asked[asked.len() - 16..],
    );
    let Some(Event::Request { head: cut, .. }) = connection.poll_event() else { panic!() };
    assert_eq!(
        (&cut.target, &cut.method, cut.fingerprint),
        (&whole.target, &whole.method, whole.fingerprint)
    );
    assert!(cut.truncated && !whole.truncated);
    let mut wire = opened();
    wire.connection = connection;
    wire.offsets[0] = asked.len() as u64;
    wire.send(Server, &answers(1, OK));
    wire.exchanges.clear();
    check_recovered(&mut wire);
}

/// php-fpm reads the end of a request's body, where nobody asked for the body, together with the next request.
#[test]
fn the_end_of_a_body_may_be_read_late() {
    let mut wire = opened();
    for _ in 0..3 {
        let asked = asks(1, true, &get("/a"), b"");
        let (request, rest) = asked.split_at(asked.len() - 8);
        wire.send(Client, request);
        wire.send(Server, &answers(1, OK));
        wire.expect(&["GET /a shop.example Http11 -> 200 Complete 0+192/2+56"]);
        wire.send(Client, rest);
    }
    assert_eq!(wire.connection.counters(), Counters::default());
}

#[test]
fn joined_in_the_middle() {
    let mut wire = joined();
    wire.send(Server, &record(6, 1, b"rest of a response"));
    wire.send(Server, &end(1, 0));
    assert_eq!(wire.connection.counters().orphan_responses, 1);
    wire.send(Client, &record(5, 1, b""));
    check_recovered(&mut wire);
    assert_eq!(wire.connection.counters().failures, 0);
}

#[test]
fn an_end_without_an_answer() {
    for (reason, outcome) in [
        (CloseReason::Finished, Outcome::Aborted(CloseReason::Finished)),
        (CloseReason::Error(104), Outcome::Aborted(CloseReason::Error(104))),
    ] {
        let mut wire = opened();
        wire.send(Client, &asks(1, false, &get("/a"), b""));
        wire.send(Server, &record(6, 1, b"Status: 200\r\n"));
        let at = wire.stamp();
        wire.connection.handle_close(at, reason);
        let event = std::iter::from_fn(|| wire.connection.poll_event()).last();
        let Some(Event::Exchange(exchange)) = event else { panic!() };
        assert_eq!((exchange.outcome, exchange.closed), (outcome, Some(at)));
        assert_eq!(wire.connection.state(), State::Closed);
    }
}

/// The web server gives up: the application ends the request, or the connection does.
#[test]
fn a_request_that_is_given_up() {
    let mut wire = opened();
    wire.send(Client, &asks(1, true, &get("/a"), b""));
    wire.send(Client, &record(2, 1, b""));
    wire.send(Server, &end(1, 0));
    wire.expect(&["GET /a shop.example Http11 -> Complete 0+208/-+16 damaged"]);
}

#[test]
fn a_number_that_is_used_again_ends_what_had_it() {
    let mut wire = opened();
    wire.send(Client, &asks(1, true, &get("/a"), b""));
    wire.send(Client, &asks(1, true, &get("/b"), b""));
    wire.send(Server, &answers(1, OK));
    wire.expect(&[
        "GET /a shop.example Http11 -> Lost 0+200/-+0",
        "GET /b shop.example Http11 -> 200 Complete 0+200/2+56",
    ]);
}

#[test]
fn bounds() {
    let limits = Limits { outstanding: 3, ..Limits::default() };
    let mut wire = Wire::new(Connection::opened(limits));
    for number in 1..=10 {
        wire.send(Client, &begin(number, true));
        wire.send(Client, &record(4, number, &pairs(&[("A", &"x".repeat(10_000))])[..8_000]));
    }
    assert_eq!(wire.connection.outstanding(), 3);
    assert_eq!(wire.connection.counters().dropped_requests, 7);
    assert!(wire.connection.buffered() <= 3 * 2 * limits.parameter, "{}", wire.connection.buffered());
}

#[test]
fn what_is_not_fastcgi_is_given_up() {
    let mut wire = opened();
    for _ in 0..20 {
        wire.send(Client, &begin(1, true));
        wire.send(Client, b"GET / HTTP/1.1\r\n\r\n");
    }
    assert_eq!(wire.connection.state(), State::Failed);
    assert_eq!(wire.connection.counters().failures, Limits::default().failures);
}
