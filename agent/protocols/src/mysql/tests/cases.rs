//! Single situations, by name.

use super::Wire;
use crate::{
    exchange::{CloseReason, Event, Outcome, Party::*, Stamp},
    mysql::{
        Connection, Limits, State,
        corpus::{
            BASE, COLUMN, COMPRESS, DENIED, EOF, EOF_MORE, OK, OK_3, OK_EOF, OK_MORE, ROW, SSL, answer,
            command, greeting, login, packets, query, squeezed, stored,
        },
        frame::{HEADER, LONGEST},
    },
};

fn joined() -> Wire {
    Wire::new(Connection::new(Limits::default()))
}

/// The connection works from here on.
#[track_caller]
fn check_recovered(wire: &mut Wire) {
    wire.exchanges.clear();
    wire.send(Client, &query("DELETE FROM n"));
    wire.send(Server, &answer(&[OK_3]));
    wire.expect(&["Query - `DELETE FROM n` -> rows -/3 Complete 18/11"]);
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
    assert_eq!((extent.first, extent.last, extent.offset, extent.wire_bytes), (at(1), at(2), 0, 13));
    assert_eq!(head.statement.as_ref().map(|statement| &*statement.text), Some("SELECT 1"));
    let reply = answer(&[b"\x01", COLUMN, EOF, &[b'r'; 100], EOF]);
    connection.handle_bytes(Server, at(3), 0, &reply[..60]);
    assert_eq!(connection.poll_event(), Some(Event::Response { id: 0, first: at(3) }));
    connection.handle_gap(Server, at(4), 60, 55, b"");
    connection.handle_bytes(Server, at(5), 115, &reply[115..]);
    let Some(Event::Exchange(exchange)) = connection.poll_event() else { panic!() };
    let response = exchange.response.unwrap();
    assert_eq!((response.first, response.last, response.wire_bytes), (at(3), at(5), reply.len() as u64));
    assert_eq!((exchange.outcome, exchange.damaged), (Outcome::Complete, false));
    assert_eq!(exchange.detail.rows_returned, Some(1));
}

#[test]
fn lost_rows_end_with_the_tail_of_an_operation() {
    let head = answer(&[b"\x01", COLUMN, EOF, ROW]);
    for end in [EOF, OK_EOF] {
        let tail = [&[b'r'; 5][..], &packets(200, &[end])].concat();
        let mut wire = joined();
        wire.send(Client, &query("SELECT 1"));
        wire.send_cut(Server, &head, 100_000, &[b'r'; 16]);
        wire.send_cut(Server, &[b'r'; 256], 100_000, &tail);
        let sizes = head.len() + 200_000 + 16 + 256 + tail.len();
        wire.expect(&[&format!("Query - `SELECT 1` -> rows -/- Complete 13/{sizes} damaged")]);
        check_recovered(&mut wire);
    }
}

#[test]
fn lost_rows_of_one_result_of_several() {
    let mut wire = joined();
    wire.send(Client, &query("SELECT 1; SELECT 2"));
    wire.send_cut(Server, &answer(&[b"\x01", COLUMN, EOF, ROW]), 100_000, &packets(9, &[EOF_MORE]));
    wire.expect(&[]);
    wire.send(Server, &packets(10, &[b"\x01", COLUMN, EOF, ROW, EOF]));
    wire.expect(&["Query - `SELECT 1; SELECT 2` -> rows -/- Complete 23/100136 damaged"]);
    // The last is an `OK` packet, and what announced it ends right before.
    let tail = packets(9, &[EOF_MORE, OK]);
    wire.send(Client, &query("CALL p()"));
    wire.send_cut(Server, &answer(&[b"\x01", COLUMN, EOF, ROW]), 100_000, &tail[tail.len() - 16..]);
    wire.expect(&["Query - `CALL p()` -> rows -/- Complete 13/100075 damaged"]);
    check_recovered(&mut wire);
}

#[test]
fn lost_rows_end_with_the_next_query() {
    let mut wire = joined();
    wire.send(Client, &query("SELECT 1"));
    wire.send_cut(Server, &answer(&[b"\x01", COLUMN, EOF, ROW]), 100_000, &[b'r'; 16]);
    wire.send_cut(Server, &[b'r'; 100], 5000, b"");
    wire.expect(&[]);
    wire.send(Client, &query("DELETE FROM n"));
    wire.expect(&["Query - `SELECT 1` -> rows -/- Lost 13/105175 damaged"]);
    wire.send(Server, &answer(&[OK_3]));
    wire.expect(&["Query - `DELETE FROM n` -> rows -/3 Complete 18/11"]);
}

#[test]
fn large_rows_are_passed_over_by_their_length() {
    let row = answer(&[b"\x01", COLUMN, EOF, &[b'r'; 100_000], EOF]);
    let mut wire = joined();
    wire.send(Client, &query("SELECT 1"));
    wire.send_cut(Server, &row[..8192], (row.len() - 8192 - 16) as u64, &row[row.len() - 16..]);
    wire.expect(&[&format!("Query - `SELECT 1` -> rows 1/- Complete 13/{}", row.len())]);
}

#[test]
fn packets_of_the_longest_length_go_on() {
    let mut wire = joined();
    let mut request = vec![0xff, 0xff, 0xff, 0, 3];
    request.extend(b"INSERT INTO t VALUES ('");
    let text = LONGEST as usize - (request.len() - HEADER);
    wire.send_cut(Client, &request, text as u64, b"");
    wire.send(Client, &packets(1, &[b"'), (2)"]));
    wire.send(Server, &packets(2, &[OK_3]));
    let bytes = LONGEST as usize + 4 + 11;
    wire.expect(&[&format!("Query - `INSERT INTO t VALUES ('…` -> rows -/3 Complete {bytes}/11 damaged")]);
    // An empty one ends what is exactly as long.
    wire.send(Client, &query("SELECT 1"));
    wire.send(Server, &answer(&[b"\x01", COLUMN, EOF]));
    wire.send_cut(Server, &[0xff, 0xff, 0xff, 4, b'r'], u64::from(LONGEST) - 1, b"");
    wire.send(Server, &packets(5, &[b"", EOF]));
    wire.expect(&[&format!(
        "Query - `SELECT 1` -> rows 1/- Complete 13/{}",
        48 + 4 + LONGEST as usize + 4 + 9
    )]);
}

#[test]
fn statements_prepared_before_are_unknown() {
    let mut wire = joined();
    wire.send(Client, &command(0x17, b"\x05\0\0\0\0\x01\0\0\0"));
    wire.send(Server, &answer(&[b"\x01", COLUMN, EOF, EOF]));
    wire.expect(&["Execute - ? unknown -> rows 0/- Complete 14/57"]);
}

#[test]
fn attached_in_the_middle_of_rows() {
    let mut wire = joined();
    wire.send(Server, &[7; 1000]);
    wire.send(Server, &packets(9, &[ROW, EOF]));
    wire.expect(&[]);
    check_recovered(&mut wire);
}

/// Descriptions are taken for what they are without knowing what the sides have agreed on.
#[test]
fn joined_where_answers_to_prepare_may_end_either_way() {
    for eof in [false, true] {
        let mut wire = joined();
        for number in [1, 2] {
            wire.send(Client, &command(0x16, b"UPDATE t SET a = ?"));
            let prepared = [0, number, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
            let bodies: &[&[u8]] = if eof { &[&prepared, COLUMN, EOF] } else { &[&prepared, COLUMN] };
            wire.send(Server, &answer(bodies));
            wire.exchanges.clear();
            wire.send(Client, &command(0x17, &[number, 0, 0, 0, 0, 1, 0, 0, 0]));
            wire.send(Server, &answer(&[OK_3]));
            wire.expect(&["Execute - `UPDATE t SET a = ?` known -> rows -/3 Complete 14/11"]);
        }
        assert_eq!(wire.connection.counters().orphan_responses, 0);
    }
}

#[test]
fn requests_behind_unseen_ones_are_left_out() {
    let mut wire = joined();
    check_recovered(&mut wire);
    wire.skip(Client, 19, b"");
    wire.send(Client, &query("SELECT 1"));
    wire.send(Server, &[answer(&[OK_3]), answer(&[b"\x01", COLUMN, EOF, EOF])].concat());
    wire.expect(&[]);
    assert_eq!(wire.connection.counters().dropped_requests, 1);
    check_recovered(&mut wire);
}

#[test]
fn encryption_ends_the_plaintext() {
    let mut wire = Wire::new(Connection::opened(Limits::default()));
    wire.send(Server, &greeting("10.11.4-MariaDB", BASE | SSL));
    let full = login(1, BASE | SSL, 0, "");
    let request = [&[32, 0, 0, 1], &full[HEADER..HEADER + 32]].concat();
    wire.send(Client, &request);
    assert_eq!(wire.connection.state(), State::Encrypted);
    wire.send(Client, &query("SELECT 1"));
    wire.expect(&[]);
    // Inside of it the login comes first.
    let mut inside = Wire::new(Connection::opened(Limits::default()));
    inside.connection.set_greeting(wire.connection.greeting().unwrap());
    inside.send(Client, &login(2, BASE | SSL, 0, "shop"));
    inside.send(Server, &packets(3, &[OK]));
    inside.send(Client, &query("SELECT 1"));
    inside.send(Server, &answer(&[OK_3]));
    inside.expect(&["mariadb Query shop `SELECT 1` -> rows -/3 Complete 13/11"]);
}

#[test]
fn a_replica_is_left_alone() {
    let mut wire = joined();
    check_recovered(&mut wire);
    wire.send(Client, &command(0x12, b"\x04\0\0\0\0\0\x01\0\0\0binlog.1"));
    assert_eq!(wire.connection.state(), State::Replicating);
}

#[test]
fn several_results_without_rows() {
    let mut wire = joined();
    wire.send(Client, &query("DELETE FROM a; DELETE FROM b"));
    wire.send(Server, &answer(&[OK_MORE, OK_3]));
    wire.send(Client, &query("DELETE FROM a; DELETE FROM b"));
    wire.send(Server, &answer(&[OK_MORE, DENIED]));
    wire.expect(&[
        "Query - `DELETE FROM a; DELETE FROM b` -> rows -/4 Complete 33/22",
        "Query - `DELETE FROM a; DELETE FROM b` -> rows -/1 1146/42S02 Complete 33/52",
    ]);
}

#[test]
fn an_open_exchange_ends_with_the_connection() {
    let mut wire = joined();
    wire.send(Client, &query("SELECT sleep(9)"));
    let at = wire.stamp();
    wire.connection.handle_close(at, CloseReason::Error(104));
    wire.drain();
    wire.expect(&["Query - `SELECT sleep(9)` -> rows -/- Aborted(Error(104)) 20/0"]);
}

#[test]
fn sequence_numbers_that_cannot_be_are_failures() {
    let mut wire = Wire::new(Connection::opened(Limits::default()));
    wire.send(Server, &greeting("8.0.36", BASE));
    wire.send(Client, &login(1, BASE, 0, "shop"));
    wire.send(Server, &packets(2, &[OK]));
    for _ in 0..7 {
        wire.send(Client, b"\xff\xff\xff\x09SELECT");
        assert_eq!(wire.connection.state(), State::Open);
        wire.send(Server, &answer(&[OK]));
        wire.send(Client, &query("SELECT 1"));
        wire.send(Server, &answer(&[OK]));
    }
    assert!(wire.connection.buffered() < 1024);
    wire.send(Client, b"\xff\xff\xff\x09SELECT");
    assert_eq!(wire.connection.state(), State::Failed);
}

#[test]
fn statements_and_their_text_are_bounded() {
    let limits = Limits { statements: 4, statement_bytes: 1000, statement: 300, ..Limits::default() };
    let mut wire = Wire::new(Connection::new(limits));
    for number in 1..11 {
        wire.send(Client, &command(0x16, &[b'x'; 500]));
        wire.send(Server, &answer(&[&[0, number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]));
    }
    assert_eq!(wire.connection.counters().dropped_statements, 7);
    assert!(wire.connection.buffered() < 3000);
    assert_eq!(wire.exchanges.len(), 10);
    assert!(wire.exchanges[0].starts_with(&format!("Prepare - `{}…`", "x".repeat(300))));
}

/// What is inflated is bounded, and what follows is read all the same.
#[test]
fn a_bomb_is_only_counted() {
    let limits = Limits { inflated: 4096, ..Limits::default() };
    let mut wire = Wire::new(Connection::opened(limits));
    wire.send(Server, &greeting("8.0.36", BASE | COMPRESS));
    wire.send(Client, &login(1, BASE | COMPRESS, 0, "shop"));
    wire.send(Server, &packets(2, &[OK]));
    let row = vec![b'r'; 15_000_000];
    wire.send(Client, &stored(0, &query("SELECT 1")));
    wire.send(Server, &squeezed(1, &answer(&[b"\x01", COLUMN, EOF, &row]), false));
    assert!(wire.connection.buffered() < 600_000, "{}", wire.connection.buffered());
    wire.send(Server, &stored(2, &packets(5, &[EOF])));
    wire.expect(&["Query shop `SELECT 1` -> rows 1/- Complete 13/15000061"]);
}

#[test]
fn compressed_packets_that_were_not_seen_whole() {
    for zstd in [false, true] {
        let mut wire = joined();
        let rows = answer(&[b"\x01", COLUMN, EOF, &[b'r'; 300], &[b's'; 300], EOF]);
        let packed = squeezed(1, &rows, zstd);
        for missing in 1..packed.len() {
            wire.send(Client, &squeezed(0, &query("SELECT a FROM t WHERE b = 'aaaaaaaaaaaaaaaa'"), zstd));
            wire.send_cut(Server, &packed[..missing], (packed.len() - missing) as u64, b"");
            wire.send(Client, &stored(0, &query("SELECT 2")));
            wire.send(Server, &stored(1, &answer(&[OK_3])));
            let last = wire.exchanges.pop().unwrap_or_default();
            assert_eq!(last, "Query - `SELECT 2` -> rows -/3 Complete 13/11", "{missing}");
            let first = wire.exchanges.pop().unwrap_or_default();
            let known = first.contains("rows -/- Lost") || first.contains("rows 2/- Complete");
            assert!(known && wire.exchanges.is_empty(), "{missing}: {first}");
        }
        assert_eq!(wire.connection.counters().failures, 0);
    }
}
