//! Single situations, by name.

use super::Wire;
use crate::{
    exchange::{CloseReason, Event, Outcome, Party::*, Stamp},
    postgres::{
        Connection, Limits, State,
        corpus::{READY, SYNC, messages, packet},
    },
    sql::Backslash,
};

fn joined() -> Wire {
    Wire::new(Connection::new(Limits::default()))
}

fn query(text: &str) -> Vec<u8> {
    messages(&[(b'Q', format!("{text}\0").as_bytes())])
}

fn done(tag: &[u8]) -> Vec<u8> {
    messages(&[(b'C', tag), READY])
}

/// The connection works from here on.
#[track_caller]
fn check_recovered(wire: &mut Wire) {
    wire.exchanges.clear();
    wire.send(Client, &query("DELETE FROM n"));
    wire.send(Server, &done(b"DELETE 1\0"));
    wire.expect(&["Query - `DELETE FROM n` -> rows -/1 Complete 19/20"]);
}

#[test]
fn an_exchange_carries_its_times() {
    let mut connection = Connection::new(Limits::default());
    let at = |time| Stamp { time, ..Stamp::default() };
    let bytes = query("SELECT 1");
    connection.handle_bytes(Client, at(1), 0, &bytes[..7]);
    assert_eq!(connection.poll_event(), None);
    connection.handle_bytes(Client, at(2), 7, &bytes[7..]);
    let Some(Event::Request { id: 0, extent, head }) = connection.poll_event() else { panic!() };
    assert_eq!((extent.first, extent.last, extent.offset, extent.wire_bytes), (at(1), at(2), 0, 14));
    assert_eq!(head.statement.as_ref().map(|statement| &*statement.text), Some("SELECT 1"));
    let answer = messages(&[(b'D', &[7; 100]), (b'C', b"SELECT 1\0"), READY]);
    connection.handle_bytes(Server, at(3), 0, &answer[..50]);
    assert_eq!(connection.poll_event(), Some(Event::Response { id: 0, first: at(3) }));
    connection.handle_gap(Server, at(4), 50, 55, b"");
    connection.handle_bytes(Server, at(5), 105, &answer[105..]);
    let Some(Event::Exchange(exchange)) = connection.poll_event() else { panic!() };
    let response = exchange.response.unwrap();
    assert_eq!((response.first, response.last, response.wire_bytes), (at(3), at(5), 125));
    assert_eq!((exchange.outcome, exchange.damaged), (Outcome::Complete, false));
    assert_eq!(exchange.detail.rows_returned, Some(1));
}

#[test]
fn lost_rows_end_with_the_tail_of_an_operation() {
    let rows = messages(&[(b'D', &[7; 100]), (b'D', &[7; 100])]);
    let ending = done(b"SELECT 12345\0");
    let mut wire = joined();
    wire.send(Client, &query("SELECT 1"));
    wire.send_cut(Server, &rows, 100_000, &ending[ending.len() - 16..]);
    wire.expect(&["Query - `SELECT 1` -> rows 12345/- Complete 14/100226 damaged"]);
    check_recovered(&mut wire);
    // Where the number does not fit it is not guessed.
    let ending = done(b"SELECT 123456789\0");
    wire.send(Client, &query("SELECT 1"));
    wire.send_cut(Server, &rows, 100_000, &ending[ending.len() - 16..]);
    wire.expect(&["Query - `SELECT 1` -> rows -/- Complete 14/100226 damaged"]);
    check_recovered(&mut wire);
}

/// Drivers send them in as many operations as their buffers take, and servers read them so.
#[test]
fn long_values_are_executed_by_the_last_bytes() {
    let value = [b"\0\0\0\0\0\x01\0\0\x4e\x20".as_slice(), &[b'x'; 20_000], b"\0\0"].concat();
    let statement = (b'P', b"\0INSERT INTO n VALUES ($1)\0\0\0".as_slice());
    let (describe, execute) = ((b'D', b"P\0".as_slice()), (b'E', b"\0\0\0\0\0".as_slice()));
    let request = messages(&[statement, (b'B', &value), describe, execute, SYNC]);
    let answer = messages(&[(b'1', b""), (b'2', b""), (b'n', b""), (b'C', b"INSERT 0 1\0"), READY]);
    let length = request.len();
    let tail = &request[length - 16..];
    let told =
        format!("Execute - `INSERT INTO n VALUES ($1)` known -> rows -/1 Complete {length}/{}", answer.len());
    for (seen, edge) in [(8_192, 0), (8_192, 64), (1_000, 64), (8_192, 8_192)] {
        let mut wire = joined();
        wire.send(Client, &query("SELECT 1"));
        wire.send(Server, &done(b"SELECT 1\0"));
        wire.exchanges.clear();
        wire.send(Client, &request[..seen]);
        wire.send_cut(Client, &request[seen..seen + edge], (length - seen - edge - 16) as u64, tail);
        wire.send(Server, &answer);
        wire.expect(&[&told]);
        check_recovered(&mut wire);
    }
    // Something else lies in between: what was executed is not known.
    let longer = messages(&[statement, (b'B', &value), (b'D', b"Pp\0"), execute, SYNC]);
    let mut wire = joined();
    wire.send(Client, &longer[..8_192]);
    wire.send_cut(Client, &[], (longer.len() - 8_192 - 16) as u64, &longer[longer.len() - 16..]);
    wire.send(Server, &answer);
    assert!(!wire.exchanges.iter().any(|exchange| exchange.contains("Complete")), "{:?}", wire.exchanges);
    check_recovered(&mut wire);
}

#[test]
fn lost_rows_end_with_the_next_query() {
    let rows = messages(&[(b'D', &[7; 100])]);
    let mut wire = joined();
    wire.send(Client, &query("SELECT 1"));
    wire.send_cut(Server, &rows, 100_000, &[7; 16]);
    wire.send_cut(Server, &[7; 100], 5000, b"");
    wire.expect(&[]);
    wire.send(Client, &query("DELETE FROM n"));
    wire.expect(&["Query - `SELECT 1` -> rows -/- Lost 14/105221 damaged"]);
    wire.send(Server, &done(b"DELETE 1\0"));
    wire.expect(&["Query - `DELETE FROM n` -> rows -/1 Complete 19/20"]);
}

#[test]
fn large_rows_are_passed_over_by_their_length() {
    let row = messages(&[(b'D', &[b'Z'; 100_000])]);
    let mut wire = joined();
    wire.send(Client, &query("SELECT 1"));
    wire.send_cut(Server, &row[..8192], 91_813, b"");
    wire.send(Server, &done(b"SELECT 1\0"));
    wire.expect(&["Query - `SELECT 1` -> rows 1/- Complete 14/100025"]);
}

#[test]
fn statements_prepared_before_are_unknown() {
    let mut wire = joined();
    wire.send(Client, &messages(&[(b'B', b"\0s1\0\0\0\0\0\0\0"), (b'E', b"\0\0\0\0\0"), SYNC]));
    wire.send(Server, &messages(&[(b'2', b""), (b'C', b"SELECT 0\0"), READY]));
    wire.expect(&["Execute - ? unknown -> rows 0/- Complete 30/25"]);
}

#[test]
fn attached_in_the_middle_of_rows() {
    let mut wire = joined();
    wire.send(Server, &[7; 1000]);
    wire.send(Server, &messages(&[(b'D', &[7; 10]), (b'C', b"SELECT 9\0"), READY]));
    wire.expect(&[]);
    check_recovered(&mut wire);
}

#[test]
fn requests_behind_unseen_ones_are_left_out() {
    let mut wire = joined();
    check_recovered(&mut wire);
    wire.skip(Client, 19, b"");
    wire.send(Client, &query("SELECT 1"));
    wire.send(Server, &done(b"SELECT 8\0"));
    wire.expect(&[]);
    assert_eq!(wire.connection.counters().dropped_requests, 1);
    check_recovered(&mut wire);
}

#[test]
fn encryption_ends_the_plaintext() {
    for (request, answer) in [(*b"\x04\xd2\x16\x2f", b"S"), (*b"\x04\xd2\x16\x30", b"G")] {
        let mut wire = Wire::new(Connection::opened(Limits::default()));
        wire.send(Client, &packet(&request));
        wire.send(Server, answer);
        assert_eq!(wire.connection.state(), State::Encrypted);
        wire.send(Client, &query("SELECT 1"));
        wire.expect(&[]);
    }
}

#[test]
fn a_cancel_request_is_no_query() {
    let mut wire = Wire::new(Connection::opened(Limits::default()));
    wire.send(Client, &packet(b"\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02"));
    wire.close();
    wire.expect(&[]);
    assert_eq!(wire.connection.counters().failures, 0);
}

#[test]
fn the_user_names_the_database_where_nothing_does() {
    let mut wire = Wire::new(Connection::opened(Limits::default()));
    wire.send(Client, &packet(b"\0\x03\0\0user\0bob\0\0"));
    wire.send(Server, &messages(&[(b'R', b"\0\0\0\0"), READY]));
    wire.send(Client, &query("SELECT 1"));
    wire.send(Server, &done(b"SELECT 1\0"));
    wire.expect(&["Query bob `SELECT 1` -> rows -/1 Complete 14/20"]);
}

#[test]
fn an_open_exchange_ends_with_the_connection() {
    let mut wire = joined();
    wire.send(Client, &query("SELECT pg_sleep(9)"));
    let at = wire.stamp();
    wire.connection.handle_close(at, CloseReason::Error(104));
    wire.drain();
    wire.expect(&["Query - `SELECT pg_sleep(9)` -> rows -/- Aborted(Error(104)) 24/0"]);
    // The server's last word was the reason.
    let mut wire = joined();
    wire.send(Client, &query("SELECT pg_sleep(9)"));
    wire.send(Server, &messages(&[(b'E', b"SFATAL\0C57P01\0Mx\0\0")]));
    wire.close();
    wire.expect(&["Query - `SELECT pg_sleep(9)` -> rows -/- 57P01 Complete 24/23"]);
}

#[test]
fn lengths_that_cannot_be_are_failures_and_hold_no_memory() {
    let mut wire = Wire::new(Connection::opened(Limits::default()));
    wire.send(Client, &packet(b"\0\x03\0\0user\0bob\0\0"));
    for _ in 0..7 {
        wire.send(Client, b"Q\xff\xff\xff\xffSELECT");
        assert_eq!(wire.connection.state(), State::Open);
        wire.send(Client, &query("SELECT 1"));
    }
    assert!(wire.connection.buffered() < 1024);
    wire.send(Client, b"Q\xff\xff\xff\xffSELECT");
    assert_eq!(wire.connection.state(), State::Failed);
}

#[test]
fn statements_and_their_text_are_bounded() {
    let limits =
        Limits { statements: 4, statement_bytes: 1000, statement: 300, portals: 2, ..Limits::default() };
    let mut wire = Wire::new(Connection::new(limits));
    for index in 0..10_u8 {
        let name = [b's', b'0' + index, 0];
        let parse = [&name[..], &[b'x'; 500], b"\0\0\0"].concat();
        wire.send(Client, &messages(&[(b'P', &parse), SYNC]));
        wire.send(Server, &messages(&[(b'1', b""), READY]));
    }
    assert_eq!(wire.connection.counters().dropped_statements, 7);
    assert!(wire.connection.buffered() < 3000);
    assert_eq!(wire.exchanges.len(), 10);
    assert!(wire.exchanges[0].starts_with(&format!("Prepare - `{}…`", "x".repeat(300))));
}

#[test]
fn text_ends_with_its_first_nul_and_is_utf8() {
    let mut wire = joined();
    wire.send(Client, &messages(&[(b'Q', b"SELECT '\xc3\xa9\0secret\0")]));
    wire.send(Server, &done(b"SELECT 1\0"));
    wire.send(Client, &messages(&[(b'Q', b"SELECT '\xff'\0")]));
    wire.send(Server, &done(b"SELECT 1\0"));
    wire.expect(&[
        "Query - `SELECT 'é` -> rows -/1 Complete 23/20",
        "Query - `SELECT '\u{fffd}'` -> rows -/1 Complete 16/20",
    ]);
}

#[test]
fn an_answer_recorded_before_its_query() {
    let mut wire = Wire::new(Connection::opened(Limits::default()));
    wire.send(Client, &packet(b"\0\x03\0\0user\0u\0database\0shop\0\0"));
    wire.send(Server, &messages(&[(b'R', &[0; 4]), READY]));
    for _ in 0..3 {
        wire.send(Server, &messages(&[(b'T', &[0; 9]), (b'D', &[7; 10]), (b'C', b"SELECT 1\0"), READY]));
        wire.expect(&[]);
        wire.send(Client, &query("SELECT 1"));
        wire.expect(&["Query shop `SELECT 1` -> rows 1/- Complete 14/49"]);
    }
    assert_eq!((wire.connection.counters().orphan_responses, wire.connection.outstanding()), (0, 0));
}

#[test]
fn answers_recorded_before_their_pipeline() {
    let mut wire = Wire::new(Connection::opened(Limits::default()));
    wire.send(Client, &packet(b"\0\x03\0\0user\0u\0\0"));
    let answer: [(u8, &[u8]); 5] = [(b'1', b""), (b'2', b""), (b'D', &[7; 10]), (b'C', b"SELECT 1\0"), READY];
    wire.send(Server, &messages(&answer));
    wire.send(Server, &messages(&answer));
    let asked: [(u8, &[u8]); 4] =
        [(b'P', b"\0SELECT 1\0\0\0"), (b'B', b"\0\0\0\0\0\0\0\0"), (b'E', b"\0\0\0\0\0"), SYNC];
    wire.send(Client, &messages(&asked));
    wire.expect(&["Execute u `SELECT 1` known -> rows 1/- Complete 45/45"]);
    // The second one is asked in two operations.
    wire.send(Client, &messages(&asked[..3]));
    wire.send(Client, &messages(&asked[3..]));
    wire.expect(&["Execute u `SELECT 1` known -> rows 1/- Complete 40/39"]);
    assert_eq!((wire.connection.counters().orphan_responses, wire.connection.outstanding()), (0, 0));
}

#[test]
fn a_refusal_recorded_before_its_query() {
    let mut wire = joined();
    wire.send(Client, &query("SELECT 1"));
    wire.send(Server, &done(b"SELECT 1\0"));
    wire.exchanges.clear();
    wire.send(Server, &messages(&[(b'E', b"SERROR\0C42P01\0\0"), READY]));
    wire.send(Client, &query("SELECT 2"));
    wire.expect(&["Query - `SELECT 2` -> rows -/- 42P01 Complete 14/26"]);
    check_recovered(&mut wire);
}

#[test]
fn an_answer_long_before_a_query_is_not_its() {
    let mut wire = joined();
    wire.send(Client, &query("SELECT 1"));
    wire.send(Server, &done(b"SELECT 1\0"));
    wire.exchanges.clear();
    wire.send(Server, &done(b"SELECT 8\0"));
    wire.time += 200_000_000;
    wire.send(Client, &query("SELECT 2"));
    wire.expect(&[]);
    wire.send(Server, &done(b"DELETE 2\0"));
    wire.expect(&["Query - `SELECT 2` -> rows -/2 Complete 14/20"]);
    assert_eq!(wire.connection.counters().orphan_responses, 1);
}

#[test]
fn what_is_parked_is_bounded() {
    let mut wire = joined();
    wire.send(Client, &query("SELECT 1"));
    wire.send(Server, &done(b"SELECT 1\0"));
    wire.exchanges.clear();
    for _ in 0..10_000 {
        wire.send(Server, &done(b"SELECT 8\0"));
        assert!(wire.connection.buffered() < 256 * 1024);
    }
    wire.time += 200_000_000;
    wire.send(Client, &query("SELECT 2"));
    assert_eq!(wire.connection.counters().orphan_responses, 10_000);
    wire.send(Server, &done(b"DELETE 2\0"));
    wire.expect(&["Query - `SELECT 2` -> rows -/2 Complete 14/20"]);
    wire.close();
    assert_eq!(wire.connection.buffered(), 0);
}

#[test]
fn an_end_in_two_operations() {
    let rows = messages(&[(b'D', &[7; 100])]);
    let ending = done(b"SELECT 1234\0");
    for cut in 1..ending.len() {
        let mut wire = joined();
        wire.send(Client, &query("SELECT 1"));
        wire.send_cut(Server, &rows, 100_000, &[7; 16]);
        wire.send(Server, &ending[..cut]);
        wire.send(Server, &ending[cut..]);
        wire.expect(&["Query - `SELECT 1` -> rows 1234/- Complete 14/100144 damaged"]);
        check_recovered(&mut wire);
    }
}

/// What an answer begins with tells that it belongs to something that was not seen.
#[test]
fn an_answer_to_something_else() {
    let foreign: [&[(u8, &[u8])]; 4] = [
        &[(b'3', b""), READY],
        &[(b'1', b""), (b't', b"\0\0"), (b'n', b""), READY],
        &[(b'2', b""), (b'D', &[7; 10]), (b'C', b"SELECT 9\0"), READY],
        &[(b'2', b""), (b'E', b"SERROR\0C42P01\0\0"), READY],
    ];
    for messages_of_others in foreign {
        let mut wire = joined();
        wire.send(Client, &query("SELECT 1"));
        wire.send(Server, &messages(messages_of_others));
        wire.expect(&[]);
        wire.send(Server, &done(b"DELETE 2\0"));
        wire.expect(&["Query - `SELECT 1` -> rows -/2 Complete 14/20"]);
        check_recovered(&mut wire);
    }
}

/// Nothing but the startup packet tells that a connection is seen from its first byte: of a unix socket nobody knows.
#[test]
fn a_startup_packet_is_the_start() {
    let mut wire = joined();
    wire.send(Client, &packet(b"\0\x03\0\0user\0u\0database\0shop\0\0"));
    let setting = b"standard_conforming_strings\0off\0";
    wire.send(Server, &messages(&[(b'R', &[0; 4]), (b'S', setting), (b'K', &[0; 8]), READY]));
    let bytes = query("SELECT 1");
    wire.connection.handle_bytes(Client, Stamp::default(), wire.offsets[0], &bytes);
    let Some(Event::Request { head, .. }) = wire.connection.poll_event() else { panic!() };
    assert_eq!((head.namespace.as_deref(), head.backslash), (Some("shop"), Backslash::Escapes));
    assert_eq!(wire.connection.counters().orphan_responses, 0);
}
