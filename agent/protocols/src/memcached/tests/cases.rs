//! Single situations, by name.

use super::Wire;
use crate::{
    exchange::{CloseReason, Event, Outcome, Party::*, Stamp},
    memcached::{Connection, Counters, Limits, State},
};

fn opened() -> Wire {
    Wire::new(Connection::opened(Limits::default()))
}

fn joined() -> Wire {
    Wire::new(Connection::new(Limits::default()))
}

/// The connection works from here on.
#[track_caller]
fn check_recovered(wire: &mut Wire) {
    wire.send(Client, b"touch recovered 10\r\n");
    wire.exchanges.clear();
    wire.send(Server, b"NOT_FOUND\r\n");
    wire.expect(&["touch `touch ? ?` -> Complete 20/11"]);
}

#[test]
fn an_exchange_carries_its_times() {
    let mut connection = Connection::new(Limits::default());
    let at = |time| Stamp { time, ..Stamp::default() };
    connection.handle_bytes(Client, at(1), 0, b"set a 0 0 5\r\nval");
    assert_eq!(connection.poll_event(), None);
    connection.handle_bytes(Client, at(2), 16, b"ue\r\n");
    let Some(Event::Request { id: 0, extent, head }) = connection.poll_event() else { panic!() };
    assert_eq!((extent.first, extent.last, extent.offset, extent.wire_bytes), (at(1), at(2), 0, 20));
    assert_eq!(head.text.as_deref(), Some("set ? ? ? ?"));
    connection.handle_bytes(Server, at(3), 0, b"STO");
    assert_eq!(connection.poll_event(), Some(Event::Response { id: 0, first: at(3) }));
    connection.handle_bytes(Server, at(4), 3, b"RED\r\n");
    let Some(Event::Exchange(exchange)) = connection.poll_event() else { panic!() };
    let response = exchange.response.unwrap();
    assert_eq!((response.first, response.last, response.wire_bytes), (at(3), at(4), 8));
    assert_eq!((exchange.outcome, exchange.damaged), (Outcome::Complete, false));
}

#[test]
fn values_beyond_the_budget_are_skipped_by_their_length() {
    let value = [b'v'; 100_000];
    let mut wire = opened();
    let set = [b"set big 0 0 100000\r\n", &value[..], b"\r\n"].concat();
    wire.send_cut(Client, &set[..8192], set.len() as u64 - 8192 - 16, &set[set.len() - 16..]);
    wire.send(Server, b"STORED\r\n");
    wire.send(Client, b"get big small\r\nget small\r\n");
    let answer = [b"VALUE big 0 100000\r\n", &value[..], b"\r\nVALUE s 0 1\r\nx\r\nEND\r\nEND\r\n"].concat();
    wire.send_cut(Server, &answer[..8192], answer.len() as u64 - 8192 - 40, &answer[answer.len() - 40..]);
    wire.expect(&[
        "set `set ? ? ? ?` -> Complete 100022/8",
        "get `get ? ?` -> Complete 15/100043",
        "get `get ?` -> Complete 11/5",
    ]);
    assert_eq!(wire.connection.counters(), Counters::default());
}

#[test]
fn a_long_list_of_keys() {
    let keys = " some-key".repeat(3000);
    let line = format!("get{keys}\r\n");
    let mut wire = opened();
    wire.send(Client, line.as_bytes());
    wire.send(Server, b"END\r\n");
    wire.send_cut(
        Client,
        &line.as_bytes()[..8192],
        line.len() as u64 - 8192 - 16,
        &line.as_bytes()[line.len() - 16..],
    );
    wire.send(Server, b"END\r\n");
    wire.expect(&[
        &format!("get `get{} ...` -> Complete {}/5", " ?".repeat(8), line.len()),
        &format!("get `get ? ...` -> Complete {}/5 damaged", line.len()),
    ]);
    assert_eq!(wire.connection.counters(), Counters::default());
}

#[test]
fn an_answer_that_is_lost_sight_of_ends_with_the_next_command() {
    let mut wire = opened();
    wire.send(Client, b"get a b c\r\n");
    wire.send_cut(Server, b"VALUE a 0 1\r\nx\r\n", 20_000, b"x\r\nEND\r\n");
    wire.send(Client, b"get a\r\n");
    wire.expect(&["get `get ? ? ?` -> Complete 11/20024 damaged"]);
    wire.send(Server, b"END\r\n");
    wire.expect(&["get `get ?` -> Complete 7/5"]);
}

#[test]
fn commands_that_were_not_seen_do_not_shift_those_that_were() {
    let mut wire = opened();
    wire.send(Client, b"get a\r\n");
    wire.lose(Client, 40);
    wire.send(Client, b"incr d 1\r\n");
    wire.send(Server, b"END\r\nSTORED\r\n1\r\n");
    wire.expect(&["get `get ?` -> Complete 7/5"]);
    assert_eq!(wire.connection.counters().dropped_requests, 1);
    check_recovered(&mut wire);
}

#[test]
fn an_answer_that_cannot_be_the_commands_ends_the_trust() {
    let mut wire = joined();
    wire.send(Client, b"incr a 1\r\n");
    wire.send(Server, b"STORED\r\n");
    wire.send(Server, b"3\r\n");
    wire.expect(&["incr `incr ? ?` -> Lost 10/0"]);
    check_recovered(&mut wire);
}

#[test]
fn more_than_may_be_outstanding_is_counted_and_shifts_nothing() {
    let limits = Limits { outstanding: 1, ..Limits::default() };
    let mut wire = Wire::new(Connection::opened(limits));
    wire.send(Client, b"get a\r\nincr b 1\r\nset c 0 0 1\r\nx\r\n");
    wire.send(Server, b"END\r\n5\r\nSTORED\r\n");
    wire.expect(&["get `get ?` -> Complete 7/5"]);
    assert_eq!(wire.connection.counters(), Counters { dropped_requests: 2, ..Counters::default() });
    check_recovered(&mut wire);
}

#[test]
fn hostile_lines_are_refused() {
    for line in
        ["set a 0 0 4294967295", "set a 0 0 -1", "set a 0 0", "set a 0 0 x", "ms a x", "GET a", "\x16\x03"]
    {
        let mut wire = opened();
        wire.send(Client, format!("{line}\r\n").as_bytes());
        assert_eq!(wire.connection.counters().failures, 1, "{line}");
        assert!(wire.connection.buffered() < 1024);
    }
    for line in ["VALUE a 0 99999999999", "VALUE a", "VA x", "+OK", "HTTP/1.1 200 OK", "12x", ""] {
        let mut wire = opened();
        wire.send(Client, b"get a\r\n");
        wire.send(Server, format!("{line}\r\n").as_bytes());
        assert_eq!(wire.connection.counters().failures, 1, "{line}");
        check_recovered(&mut wire);
    }
    let mut wire = opened();
    for _ in 0..100 {
        wire.send(Client, &[b'a'; 1000]);
        assert!(wire.connection.buffered() <= 128 * 1024);
    }
    assert_eq!(wire.connection.counters().failures, 1);
    for _ in 0..8 {
        wire.send(Server, b"HTTP/1.1 400 Bad Request\r\n");
        wire.send(Client, b"get a\r\n");
    }
    assert_eq!(wire.connection.state(), State::Failed);
}

#[test]
fn quiet_commands_are_told_apart_by_what_comes_back() {
    let mut wire = opened();
    wire.send(Client, b"mg a v q O1\r\nmg b v q O2\r\nmg c v O3\r\n");
    wire.send(Server, b"VA 1 O2\r\nx\r\nVA 1 O3\r\nx\r\n");
    wire.expect(&[
        "mg `mg ? v q O` -> waits Nothing Complete 13/0",
        "mg `mg ? v q O` -> Complete 13/12",
        "mg `mg ? v O` -> Complete 11/12",
    ]);
    // A miss that is told belongs to the one that is not quiet.
    wire.send(Client, b"mg a v q\r\nmg b v\r\n");
    wire.send(Server, b"EN\r\n");
    wire.expect(&["mg `mg ? v q` -> waits Nothing Complete 10/0", "mg `mg ? v` -> Complete 8/4"]);
}

#[test]
fn the_log_is_not_followed() {
    let mut wire = opened();
    wire.send(Client, b"watch fetchers\r\n");
    assert_eq!(wire.connection.state(), State::Watching);
    wire.send(Server, b"OK\r\nts=1 gid=1 type=item_get key=secret\r\n");
    wire.close();
    wire.expect(&[]);
}

#[test]
fn the_connection_ends_first() {
    let mut wire = opened();
    wire.send(Client, b"get a\r\nget b\r\n");
    wire.send(Server, b"VALUE a 0 100\r\nxx");
    wire.connection.handle_close(Stamp::default(), CloseReason::Error(104));
    wire.drain();
    wire.expect(&["get `get ?` -> Aborted(Error(104)) 7/0", "get `get ?` -> Aborted(Error(104)) 7/0"]);
}
