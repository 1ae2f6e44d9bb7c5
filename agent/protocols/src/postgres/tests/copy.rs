//! COPY, whose data passes between the messages that ask and those that answer ("COPY Operations").

use super::Wire;
use crate::{
    exchange::Party::*,
    postgres::{
        Connection, Limits,
        corpus::{READY, SYNC, messages, packet},
    },
};

const COPY: &[(u8, &[u8])] =
    &[(b'P', b"\0COPY t FROM STDIN\0\0\0"), (b'B', b"\0\0\0\0\0\0\0\0"), (b'E', b"\0\0\0\0\0")];
const EXECUTE: &[(u8, &[u8])] =
    &[(b'P', b"\0DELETE FROM n\0\0\0"), (b'B', b"\0\0\0\0\0\0\0\0"), (b'E', b"\0\0\0\0\0"), SYNC];
const COPYING: &[(u8, &[u8])] = &[(b'1', b""), (b'2', b""), (b'G', b"\0\0\x01\0\0")];
const DATA: (u8, &[u8]) = (b'd', b"secret\n");
const DONE: (u8, &[u8]) = (b'c', b"");
const FAIL: (u8, &[u8]) = (b'f', b"secret\0");
const COPIED: (u8, &[u8]) = (b'C', b"COPY 2\0");
const ERROR: (u8, &[u8]) = (b'E', b"SERROR\0C22P02\0\0");

/// A connection seen from its start, and one that was joined later.
fn wires() -> [Wire; 2] {
    let mut opened = Wire::new(Connection::opened(Limits::default()));
    opened.send(Client, &packet(b"\0\x03\0\0user\0-\0\0"));
    opened.send(Server, &messages(&[(b'R', &[0; 4]), READY]));
    [opened, Wire::new(Connection::new(Limits::default()))]
}

/// What follows is answered by its own answer.
#[track_caller]
fn check_recovered(wire: &mut Wire) {
    wire.exchanges.clear();
    for rows in 1..4_u8 {
        wire.send(Client, &messages(EXECUTE));
        let tag = [b"DELETE ", &[b'0' + rows, 0][..]].concat();
        wire.send(Server, &messages(&[(b'1', b""), (b'2', b""), (b'C', &tag), READY]));
        wire.expect(&[&format!("Execute - `DELETE FROM n` known -> rows -/{rows} Complete 50/30")]);
    }
    assert_eq!((wire.connection.outstanding(), wire.connection.counters().failures), (0, 0));
}

fn with(first: &[(u8, &[u8])], more: &[(u8, &[u8])]) -> Vec<u8> {
    messages(&[first, more].concat())
}

/// As libpq and tokio-postgres do it: `Sync` goes out with `Execute`, before it is known that this is a COPY.
#[test]
fn a_sync_during_copy_in_is_not_answered() {
    for mut wire in wires() {
        wire.send(Client, &with(COPY, &[SYNC]));
        wire.send(Server, &messages(COPYING));
        wire.send(Client, &messages(&[DATA, DATA]));
        wire.send(Client, &messages(&[DONE, SYNC]));
        wire.send(Server, &messages(&[COPIED, READY]));
        wire.expect(&["Execute - `COPY t FROM STDIN` known -> rows -/2 Complete 88/38"]);
        check_recovered(&mut wire);
    }
}

#[test]
fn nor_is_one_that_is_seen_after_the_response() {
    for mut wire in wires() {
        wire.send(Client, &messages(COPY));
        wire.send(Server, &messages(COPYING));
        wire.send(Client, &messages(&[SYNC]));
        wire.send(Client, &messages(&[DATA, (b'H', b""), SYNC, DATA, DONE]));
        wire.send(Client, &messages(&[SYNC]));
        wire.send(Server, &messages(&[COPIED, READY]));
        wire.expect(&["Execute - `COPY t FROM STDIN` known -> rows -/2 Complete 98/38"]);
        check_recovered(&mut wire);
    }
}

#[test]
fn a_response_recorded_before_its_question() {
    let [mut wire, _] = wires();
    wire.send(Server, &messages(COPYING));
    wire.send(Client, &with(COPY, &[SYNC]));
    wire.send(Client, &messages(&[DATA, DONE, SYNC]));
    wire.send(Server, &messages(&[COPIED, READY]));
    wire.expect(&["Execute - `COPY t FROM STDIN` known -> rows -/2 Complete 76/38"]);
    check_recovered(&mut wire);
}

#[test]
fn a_sync_of_its_own_ends_what_it_always_did() {
    for mut wire in wires() {
        // Flush goes out with Execute.
        wire.send(Client, &with(COPY, &[(b'H', b"")]));
        wire.send(Server, &messages(COPYING));
        wire.send(Client, &messages(&[DATA, DONE, SYNC]));
        wire.send(Server, &messages(&[COPIED]));
        wire.send(Server, &messages(&[READY]));
        wire.expect(&["Execute - `COPY t FROM STDIN` known -> rows -/2 Complete 71/38"]);
        check_recovered(&mut wire);
    }
}

/// Nothing of it waits for the server.
#[test]
fn all_at_once() {
    for mut wire in wires() {
        wire.send(Client, &[with(COPY, &[SYNC, DATA, DONE, SYNC]), messages(EXECUTE)].concat());
        wire.send(Server, &messages(COPYING));
        wire.send(Server, &messages(&[COPIED, READY]));
        let answer = [(b'1', &b""[..]), (b'2', b""), (b'C', b"DELETE 7\0"), READY];
        wire.send(Server, &messages(&answer));
        wire.expect(&[
            "Execute - `COPY t FROM STDIN` known -> rows -/2 Complete 54/38",
            "Execute - `DELETE FROM n` known -> rows -/7 Complete 50/30",
        ]);
        check_recovered(&mut wire);
    }
}

#[test]
fn all_at_once_and_refused_before_it_copies() {
    for mut wire in wires() {
        wire.send(Client, &[with(COPY, &[SYNC, DATA, DONE, SYNC]), messages(EXECUTE)].concat());
        wire.send(Server, &messages(&[(b'1', b""), (b'2', b""), ERROR, READY, READY]));
        wire.send(Server, &messages(&[(b'1', b""), (b'2', b""), (b'C', b"DELETE 7\0"), READY]));
        wire.expect(&[
            "Execute - `COPY t FROM STDIN` known -> rows -/- 22P02 Complete 54/30",
            "Execute - `DELETE FROM n` known -> rows -/7 Complete 50/30",
        ]);
        check_recovered(&mut wire);
    }
}

#[test]
fn refused_before_it_copies() {
    for mut wire in wires() {
        wire.send(Client, &with(COPY, &[SYNC]));
        wire.send(Server, &messages(&[ERROR, READY]));
        wire.expect(&["Execute - `COPY t FROM STDIN` known -> rows -/- 22P02 Complete 54/20"]);
        // tokio-postgres gives up what it never began.
        wire.send(Client, &messages(&[FAIL, SYNC]));
        wire.send(Server, &messages(&[READY]));
        check_recovered(&mut wire);
    }
}

/// The server says so at once, and passes over what the client goes on sending.
#[test]
fn refused_midway() {
    for mut wire in wires() {
        wire.send(Client, &with(COPY, &[SYNC]));
        wire.send(Server, &messages(COPYING));
        wire.send(Client, &messages(&[DATA]));
        wire.send(Server, &messages(&[ERROR]));
        wire.expect(&["Execute - `COPY t FROM STDIN` known -> rows -/- 22P02 Complete 66/40"]);
        wire.send(Client, &messages(&[DATA, DATA]));
        wire.send(Client, &messages(&[DONE, SYNC]));
        wire.send(Server, &messages(&[READY]));
        wire.expect(&[]);
        check_recovered(&mut wire);
    }
}

#[test]
fn refused_midway_by_a_server_that_had_not_read_the_first_sync() {
    for mut wire in wires() {
        wire.send(Client, &with(COPY, &[SYNC]));
        wire.send(Server, &messages(&[COPYING, &[ERROR, READY]].concat()));
        wire.expect(&["Execute - `COPY t FROM STDIN` known -> rows -/- 22P02 Complete 54/40"]);
        wire.send(Client, &messages(&[DATA, DONE, SYNC]));
        wire.send(Server, &messages(&[READY]));
        wire.expect(&[]);
        check_recovered(&mut wire);
    }
}

#[test]
fn given_up_by_the_client() {
    for mut wire in wires() {
        wire.send(Client, &with(COPY, &[SYNC]));
        wire.send(Server, &messages(COPYING));
        wire.send(Client, &messages(&[DATA, FAIL, SYNC]));
        wire.send(Server, &messages(&[ERROR, READY]));
        wire.expect(&["Execute - `COPY t FROM STDIN` known -> rows -/- 22P02 Complete 83/40"]);
        check_recovered(&mut wire);
        wire.send(Client, &messages(&[(b'Q', b"COPY t FROM STDIN\0")]));
        wire.send(Server, &messages(&[(b'G', b"\0\0\x01\0\0")]));
        wire.send(Client, &messages(&[DATA, FAIL]));
        wire.send(Server, &messages(&[ERROR, READY]));
        wire.expect(&["Query - `COPY t FROM STDIN` -> rows -/- 22P02 Complete 47/36"]);
        check_recovered(&mut wire);
    }
}

#[test]
fn refused_midway_in_a_simple_query() {
    for mut wire in wires() {
        wire.send(Client, &messages(&[(b'Q', b"COPY t FROM STDIN\0")]));
        wire.send(Server, &messages(&[(b'G', b"\0\0\x01\0\0")]));
        wire.send(Client, &messages(&[DATA]));
        wire.send(Server, &messages(&[ERROR, READY]));
        wire.expect(&["Query - `COPY t FROM STDIN` -> rows -/- 22P02 Complete 35/36"]);
        wire.send(Client, &messages(&[DATA, DONE]));
        check_recovered(&mut wire);
    }
}

#[test]
fn several_in_one_query() {
    for mut wire in wires() {
        wire.send(Client, &messages(&[(b'Q', b"COPY t FROM STDIN; COPY u FROM STDIN\0")]));
        for end in [&[COPIED][..], &[COPIED, READY]] {
            wire.send(Server, &messages(&[(b'G', b"\0\0\x01\0\0")]));
            wire.send(Client, &messages(&[DATA, DONE]));
            wire.send(Server, &messages(end));
        }
        wire.expect(&["Query - `COPY t FROM STDIN; COPY u FROM STDIN` -> rows -/4 batch 2 Complete 76/50"]);
        check_recovered(&mut wire);
    }
}

/// `Sync` is read after the data was sent.
#[test]
fn a_sync_after_copy_out_is_answered() {
    for mut wire in wires() {
        let ask = [(b'P', &b"\0COPY t TO STDOUT\0\0\0"[..]), COPY[1], COPY[2], SYNC];
        wire.send(Client, &messages(&ask));
        wire.send(Server, &messages(&[(b'1', b""), (b'2', b""), (b'H', b"\0\0\x01\0\0"), DATA]));
        wire.send(Server, &messages(&[DATA, DONE, COPIED, READY]));
        wire.expect(&["Execute - `COPY t TO STDOUT` known -> rows 2/- Complete 53/67"]);
        check_recovered(&mut wire);
        // It fails midway.
        wire.send(Client, &messages(&ask));
        wire.send(Server, &messages(&[(b'1', b""), (b'2', b""), (b'H', b"\0\0\x01\0\0"), DATA]));
        wire.send(Server, &messages(&[ERROR, READY]));
        wire.expect(&["Execute - `COPY t TO STDOUT` known -> rows -/- 22P02 Complete 53/52"]);
        check_recovered(&mut wire);
    }
}

/// A replication stream: either side sends until both have said that they are done.
#[test]
fn copy_both() {
    for mut wire in wires() {
        wire.send(Client, &messages(&[(b'Q', b"START_REPLICATION 0/0\0")]));
        wire.send(Server, &messages(&[(b'W', b"\0\0\0")]));
        wire.send(Server, &messages(&[(b'd', b"w0secret"), (b'd', b"ksecret")]));
        wire.send(Client, &messages(&[(b'd', b"rsecret")]));
        wire.send(Client, &messages(&[DONE]));
        wire.send(Server, &messages(&[DATA, DONE, (b'C', b"START_STREAMING\0"), READY]));
        wire.expect(&["Query - `START_REPLICATION 0/0` -> rows -/- Complete 44/77"]);
        check_recovered(&mut wire);
    }
}

/// Much data in small messages: most of it is counted and not seen.
#[test]
fn data_that_was_not_seen() {
    let row = messages(&[DATA]);
    for ask in [with(COPY, &[SYNC]), messages(&[(b'Q', b"COPY t FROM STDIN\0")])] {
        let simple = ask[0] == b'Q';
        let name = if simple { "Query" } else { "Execute" };
        let known = if simple { "" } else { " known" };
        let end = if simple { messages(&[DONE]) } else { messages(&[DONE, SYNC]) };
        let tail = [&row[row.len() - (16 - end.len())..], &end].concat();
        let size = ask.len() + 100_000 + row.len() + 5_000 + 16;
        for seen in [true, false] {
            // Without the `Sync` it is not known that `ReadyForQuery` belongs to it.
            let answered = if simple { 28 } else { 32 + if seen { 6 } else { 0 } };
            let expect =
                format!("{name} - `COPY t FROM STDIN`{known} -> rows -/2 Complete {size}/{answered}");
            for mut wire in wires() {
                wire.send(Client, &ask);
                wire.send(Server, &messages(if simple { &COPYING[2..] } else { COPYING }));
                wire.send_cut(Client, &row, 100_000 - 16, &[7; 16]);
                // The end of another operation, with its last bytes or without.
                if seen {
                    wire.skip(Client, 5_016, &tail);
                } else {
                    wire.skip(Client, 5_016, b"");
                }
                wire.send(Server, &messages(&[COPIED, READY]));
                wire.expect(&[&expect]);
                check_recovered(&mut wire);
            }
        }
    }
}

#[test]
fn data_that_was_not_seen_and_refused() {
    for mut wire in wires() {
        wire.send(Client, &with(COPY, &[SYNC]));
        wire.send(Server, &messages(COPYING));
        wire.send_cut(Client, &messages(&[DATA]), 1_000, &[7; 16]);
        wire.send(Server, &messages(&[ERROR]));
        wire.expect(&["Execute - `COPY t FROM STDIN` known -> rows -/- 22P02 Complete 1082/40"]);
        wire.skip(Client, 1_000, b"");
        wire.skip(Client, 1_000, &[7; 16]);
        wire.send(Server, &messages(&[READY]));
        wire.expect(&[]);
        check_recovered(&mut wire);
    }
}

/// What is asked behind lost data may be what is answered next, or not.
#[test]
fn what_was_asked_behind_unseen_data_is_left_out() {
    for mut wire in wires() {
        wire.send(Client, &with(COPY, &[SYNC]));
        wire.send(Server, &messages(COPYING));
        wire.send_cut(Client, &messages(&[DATA]), 1_000, b"");
        wire.send(Client, &messages(EXECUTE));
        wire.send(Server, &messages(&[COPIED, READY]));
        wire.expect(&["Execute - `COPY t FROM STDIN` known -> rows -/2 Complete 1116/32"]);
        wire.send(Server, &messages(&[(b'1', b""), (b'2', b""), (b'C', b"DELETE 7\0"), READY]));
        wire.expect(&[]);
        check_recovered(&mut wire);
    }
}

#[test]
fn rows_of_a_copy_out_that_were_not_seen() {
    for mut wire in wires() {
        wire.send(Client, &messages(&[(b'Q', b"COPY t TO STDOUT\0")]));
        wire.send_cut(Server, &messages(&[(b'H', b"\0\0\x01\0\0"), DATA]), 100_000, &[7; 16]);
        wire.skip(Server, 1_016, &messages(&[DONE, COPIED, READY])[7..]);
        wire.expect(&["Query - `COPY t TO STDOUT` -> rows 2/- Complete 22/101054 damaged"]);
        check_recovered(&mut wire);
    }
}

/// Joined while data passes: nothing of it is reported, and the next request is.
#[test]
fn joined_while_it_copies() {
    for asked in [with(COPY, &[SYNC]), messages(&[(b'Q', b"COPY t FROM STDIN\0")])] {
        let simple = asked[0] == b'Q';
        let end = if simple { messages(&[DONE]) } else { messages(&[DONE, SYNC]) };
        let script = [
            (Client, asked),
            (Server, messages(if simple { &COPYING[2..] } else { COPYING })),
            (Client, messages(&[DATA])),
            (Client, messages(&[DATA])),
            (Client, end),
            (Server, messages(&[COPIED, READY])),
        ];
        for from in 1..script.len() {
            let mut wire = Wire::new(Connection::new(Limits::default()));
            script[from..].iter().for_each(|(party, bytes)| wire.send(*party, bytes));
            wire.expect(&[]);
            check_recovered(&mut wire);
        }
    }
}

const CLOSE: (u8, &[u8]) = (b'C', b"Ss1\0");
const CLOSED: (u8, &[u8]) = (b'3', b"");

/// As tokio-postgres does it: the statement is closed in a cycle of its own, which does not wait for the COPY's.
#[test]
fn the_statement_is_closed_behind_data_that_was_not_seen() {
    for mut wire in wires() {
        wire.send(Client, &with(COPY, &[SYNC]));
        wire.send(Server, &messages(COPYING));
        let end = messages(&[DATA, DONE, SYNC, CLOSE, SYNC]);
        wire.send_cut(Client, &messages(&[DATA]), 100_000, &end[end.len() - 16..]);
        wire.send(Server, &messages(&[COPIED, READY]));
        wire.expect(&["Execute - `COPY t FROM STDIN` known -> rows -/2 Complete 100082/32"]);
        // The next request does not wait for that either.
        wire.send(Client, &messages(EXECUTE));
        wire.send(Server, &messages(&[CLOSED, READY]));
        wire.send(Server, &messages(&[(b'1', b""), (b'2', b""), (b'C', b"DELETE 5\0"), READY]));
        wire.expect(&["Execute - `DELETE FROM n` known -> rows -/5 Complete 50/30"]);
        check_recovered(&mut wire);
    }
}

#[test]
fn the_statement_is_closed_while_rows_pass_unseen() {
    for mut wire in wires() {
        wire.send(Client, &with(&[(b'P', b"\0COPY t TO STDOUT\0\0\0")], &[COPY[1], COPY[2], SYNC]));
        wire.send(Server, &messages(&[(b'1', b""), (b'2', b""), (b'H', b"\0\0\x01\0\0")]));
        wire.send_cut(Server, &messages(&[DATA, DATA]), 100_000, &[7; 16]);
        wire.send(Client, &messages(&[CLOSE, SYNC]));
        wire.expect(&[]);
        wire.skip(Server, 1_016, &messages(&[DONE, COPIED, READY])[7..]);
        wire.expect(&["Execute - `COPY t TO STDOUT` known -> rows 2/- Complete 53/101076 damaged"]);
        wire.send(Server, &messages(&[CLOSED, READY]));
        check_recovered(&mut wire);
        // Both ends are in one operation, and of the first there is only its last bytes.
        wire.send(Client, &with(&[(b'P', b"\0COPY t TO STDOUT\0\0\0")], &[COPY[1], COPY[2], SYNC]));
        wire.send(Server, &messages(&[(b'1', b""), (b'2', b""), (b'H', b"\0\0\x01\0\0")]));
        wire.send(Client, &messages(&[CLOSE, SYNC]));
        let end = messages(&[COPIED, READY, CLOSED, READY]);
        wire.send_cut(Server, &messages(&[DATA, DATA]), 100_000, &end[end.len() - 16..]);
        wire.expect(&["Execute - `COPY t TO STDOUT` known -> rows -/- Complete 53/100060 damaged"]);
        check_recovered(&mut wire);
    }
}
