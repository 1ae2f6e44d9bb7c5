//! What TCP does, and what captures do to it.

use honeyguide::pcap::Limits;

use crate::{
    packets::{ACK, SYN},
    talk::{MS, Talk},
};

const OPEN: &str = "open 10.0.0.2:80 from 10.0.0.1:40000";
const JOIN: &str = "join 10.0.0.2:80 from 10.0.0.1:40000";

#[test]
fn a_whole_connection() {
    let mut talk = Talk::opened();
    talk.check(&[]);
    talk.client(0, 0, "GET");
    talk.server(0, 3, "200");
    talk.client(3, 3, "");
    talk.client_fin(3, 3, "");
    talk.server_fin(3, 4, "");
    talk.client(4, 4, "");
    talk.check(&[OPEN, "> GET", "< 200", "> end", "< end", "closed"]);
    let counters = talk.connections.counters;
    assert_eq!((counters.connections, counters.joined, counters.bytes, counters.missing), (1, 0, 6, 0));
}

#[test]
fn data_with_fin_and_in_a_syn() {
    let mut talk = Talk::new();
    talk.send(true, SYN, -1, -1, b"fast", 4);
    talk.syn_ack();
    talk.client_fin(4, 0, " open");
    talk.server_fin(0, 10, "bye");
    talk.check(&[OPEN, "> fast", ">  open", "> end", "< bye", "< end", "closed"]);
}

#[test]
fn out_of_order() {
    let mut talk = Talk::opened();
    talk.client(6, 0, "c");
    talk.client(3, 0, "bbb");
    talk.check(&[]);
    talk.client(0, 0, "aaa");
    talk.check(&[OPEN, "> aaa", "> bbb", "> c"]);
    assert_eq!(talk.connections.counters.reordered, 2);
}

#[test]
fn what_waited_could_be_read_when_the_missing_part_came() {
    let mut talk = Talk::opened();
    talk.client(3, 0, "bbb");
    talk.now += 200 * MS;
    talk.client(0, 0, "aaa");
    let now = talk.now;
    assert_eq!(talk.times, [now, now, now]);
}

#[test]
fn sent_again_whole_and_in_part() {
    let mut talk = Talk::opened();
    talk.client(0, 0, "abc");
    talk.client(0, 0, "abc");
    talk.client(1, 0, "bcde");
    talk.client(0, 0, "ab");
    talk.client(4, 0, "efg");
    talk.check(&[OPEN, "> abc", "> de", "> fg"]);
    assert_eq!(talk.connections.counters.repeated, 3 + 2 + 2 + 1);
}

#[test]
fn overlaps_of_what_waits() {
    let mut talk = Talk::opened();
    talk.client(4, 0, "efg");
    talk.client(2, 0, "cdefgh"); // Longer on both sides.
    talk.client(5, 0, "fghij"); // Begins inside.
    talk.client(4, 0, "e"); // Within.
    talk.client(1, 0, "b");
    talk.client(0, 0, "a");
    talk.check(&[OPEN, "> a", "> b", "> cdefgh", "> ij"]);
}

#[test]
fn probes_of_idle_connections_and_of_closed_windows() {
    let mut talk = Talk::opened();
    talk.client(0, 0, "ab");
    talk.client(1, 0, "b"); // A keep-alive probe with a byte, and one without.
    talk.client(1, 0, "");
    talk.server(-1, 2, "");
    talk.client(2, 0, "c"); // A probe of a window that is closed: the next byte, sent again with others later.
    talk.server(0, 2, "");
    talk.client(2, 0, "cde");
    talk.check(&[OPEN, "> ab", "> c", "> de"]);
    assert_eq!(talk.connections.counters.missing, 0);
}

#[test]
fn a_hole_that_was_acknowledged_is_a_gap_after_a_moment() {
    let mut talk = Talk::opened();
    talk.client(0, 0, "a");
    talk.client(4, 0, "efg");
    talk.server(0, 7, "ok");
    talk.check(&[OPEN, "> a"]);
    let before = talk.now;
    talk.now += 20 * MS;
    talk.server(2, 7, "!");
    assert_eq!(talk.times, [before - MS, before - MS, before, talk.now]);
    talk.check(&["> @4", "> efg", "< ok", "< !"]);
    assert_eq!(talk.connections.counters.missing, 3);
}

#[test]
fn a_hole_that_nobody_acknowledged_may_still_be_filled() {
    let mut talk = Talk::opened();
    talk.client(3, 0, "def");
    talk.now += 3_000 * MS;
    talk.client(0, 0, "abc");
    talk.check(&[OPEN, "> abc", "> def"]);
    talk.client(9, 0, "jkl");
    talk.now += 11_000 * MS;
    talk.server(0, 6, "");
    talk.check(&["> @9", "> jkl"]);
}

#[test]
fn unseen_bytes_at_the_end_are_a_gap_too() {
    let mut talk = Talk::opened();
    talk.client(0, 0, "ab");
    talk.server(0, 5, "ok");
    talk.check(&[OPEN, "> ab"]);
    talk.finish();
    talk.check(&["> @5", "< ok"]);
    assert_eq!(talk.connections.counters.missing, 3);
}

#[test]
fn a_response_that_was_captured_before_its_request() {
    let mut talk = Talk::opened();
    talk.server(0, 3, "200");
    talk.client(0, 0, "GET");
    talk.client_fin(3, 6, "");
    talk.server(3, 3, "end");
    talk.check(&[OPEN, "> GET", "< 200", "< end", "> end"]);
    assert_eq!(talk.connections.counters.missing, 0);
}

/// No two ends can have seen such an order; it must still come to an end.
#[test]
fn two_directions_that_wait_for_each_other() {
    let mut talk = Talk::opened();
    talk.client(0, 3, "abc");
    talk.server(0, 3, "def");
    talk.check(&[]);
    talk.finish();
    talk.check(&[OPEN, "> abc", "< def"]);
}

#[test]
fn packets_that_were_not_captured_whole() {
    let mut talk = Talk::opened();
    talk.send(true, ACK, 0, 0, b"GET /", 20);
    talk.send(true, ACK, 20, 0, b"", 5);
    talk.client(25, 0, "z");
    talk.send(true, ACK, 23, 0, b"y", 10);
    talk.check(&[OPEN, "> GET /+15", "> +5", "> z", "> +7"]);
    let counters = talk.connections.counters;
    assert_eq!((counters.uncaptured, counters.missing, counters.repeated), (27, 0, 3));
}

#[test]
fn a_segment_of_64_kib_that_the_card_will_cut() {
    let mut talk = Talk::opened();
    let data = "x".repeat(65_500);
    talk.client(0, 0, &data);
    talk.client(65_500, 0, &data);
    talk.check(&[OPEN, &format!("> {data}"), &format!("> {data}")]);
}

#[test]
fn resets_of_either_side() {
    for (client, end) in [(true, "reset"), (false, "abandoned")] {
        let mut talk = Talk::opened();
        talk.client(0, 0, "GET");
        if client {
            talk.client_rst(7);
        } else {
            talk.server_rst(0);
        }
        talk.client(3, 0, "late");
        talk.check(&[OPEN, "> GET", end]);
        assert_eq!(talk.connections.counters.stray, 1);
    }
}

/// Somebody between the ends made it, or it has an option that makes its receiver throw it away.
#[test]
fn a_reset_that_both_ends_go_on_behind_was_none() {
    let mut talk = Talk::opened();
    talk.client_rst(0);
    talk.client(0, 0, "GET");
    talk.check(&[]);
    talk.server(0, 3, "200");
    talk.client(3, 3, "GET");
    talk.check(&[JOIN, "> GET", "< 200", "> GET"]);
    // The server's, with bytes on their way to it; its client has not read it.
    talk.server_rst(3);
    talk.client(6, 3, "late");
    talk.server(0, 6, "200");
    talk.server(6, 6, "behind");
    talk.server(3, 6, "404");
    talk.client(10, 3, "?");
    talk.check(&["abandoned"]);
    talk.client(10, 6, "");
    talk.check(&["join 10.0.0.2:80 from 10.0.0.1:40000", "< 404", "< behind"]);
    let counters = talk.connections.counters;
    assert_eq!((counters.connections, counters.joined, counters.stray, counters.repeated), (2, 2, 2, 3));
}

/// A scanner's machine resets what its scanner has opened, and the scanner goes on by itself. The server does not.
#[test]
fn what_is_not_acknowledged_behind_a_reset_belongs_nowhere() {
    let mut talk = Talk::opened();
    talk.client_rst(0);
    talk.client(0, 0, "GET");
    talk.client(0, 0, "GET");
    talk.server(0, 0, "late");
    talk.server_rst(0);
    for number in 0..1_000 {
        talk.client(3 + number * 100, 0, &"x".repeat(100));
        assert!(talk.connections.waiting() <= 64 * 1024);
    }
    talk.finish();
    talk.check(&[]);
    assert_eq!(talk.connections.counters.stray, 1_003);
    // The next of the same ports has nothing of it.
    talk.first = [1 << 31, 1 << 30];
    talk.client(0, 0, "two");
    talk.server(0, 3, "ok");
    talk.check(&[JOIN, "> two", "< ok"]);
    assert_eq!(talk.connections.waiting(), 0);
}

#[test]
fn a_reset_from_far_away_is_not_believed() {
    let mut talk = Talk::opened();
    talk.client(0, 0, "GET");
    talk.client_rst(1 << 30);
    talk.server(0, 3, "200");
    talk.check(&[OPEN, "> GET", "< 200"]);
    assert_eq!(talk.connections.counters.stray, 1);
}

#[test]
fn a_refused_or_scanned_port_is_no_connection() {
    let mut talk = Talk::new();
    talk.syn();
    talk.server_rst(-1);
    talk.open();
    talk.client_rst(0);
    talk.finish();
    talk.check(&[]);
    assert_eq!(talk.connections.counters.connections, 0);
}

#[test]
fn sequence_numbers_wrap() {
    let mut talk = Talk::new();
    talk.first = [u32::MAX - 2, u32::MAX];
    talk.open();
    talk.client(0, 0, "ab");
    talk.client(5, 0, "fg");
    talk.client(2, 0, "cde");
    talk.server(0, 7, "xyz");
    talk.client(0, 3, "ab");
    talk.check(&[OPEN, "> ab", "> cde", "> fg", "< xyz"]);
}

#[test]
fn a_syn_that_is_sent_again() {
    let mut talk = Talk::new();
    talk.syn();
    talk.syn();
    talk.syn_ack();
    talk.syn_ack();
    talk.client(0, 0, "GET");
    talk.syn_ack();
    talk.check(&[OPEN, "> GET"]);
    assert_eq!(talk.connections.counters.connections, 1);
}

#[test]
fn the_same_ports_again() {
    let mut talk = Talk::opened();
    talk.client(0, 0, "one");
    talk.client_fin(3, 0, "");
    talk.server_fin(0, 4, "");
    talk.check(&[OPEN, "> one", "> end", "< end", "closed"]);
    talk.first = [77_000, 99];
    talk.open();
    talk.client(0, 0, "two");
    talk.client(5, 0, "?!");
    talk.check(&[OPEN, "> two"]);
    // Its end was not captured. What waits is told before the next one begins.
    talk.first = [123_456_789, 7];
    talk.syn_ack();
    talk.client(0, 0, "three");
    talk.check(&["> @5", "> ?!", "unobserved", OPEN, "> three"]);
    assert_eq!(talk.connections.counters.connections, 3);
}

#[test]
fn the_same_ports_again_without_a_handshake() {
    let mut talk = Talk::opened();
    talk.client(0, 0, "one");
    talk.client_rst(3);
    talk.check(&[OPEN, "> one", "reset"]);
    talk.first = [1 << 31, 1 << 30];
    talk.client(0, 0, "two");
    talk.check(&[JOIN, "> two"]);
    assert_eq!(talk.connections.counters.joined, 1);
}

#[test]
fn a_connection_that_was_open_before() {
    let mut talk = Talk::new();
    talk.client(500, 70, ""); // Says nothing of where its own bytes begin: a probe repeats one.
    talk.client(501, 70, "GET");
    talk.server(70, 504, "200");
    talk.check(&[JOIN, "> GET", "< 200"]);
    assert_eq!(talk.connections.counters.missing, 0);
}

#[test]
fn the_first_packet_of_a_connection_that_was_open_before_is_the_servers() {
    let mut talk = Talk::new();
    talk.server(70, 500, "tail");
    // Whom it spoke to is taken for the server until the protocol shows otherwise.
    talk.check(&["join 10.0.0.1:40000 from 10.0.0.2:80", "> tail"]);
}

#[test]
fn only_one_direction_is_captured() {
    let mut talk = Talk::new();
    talk.syn();
    talk.client(0, 0, "one");
    talk.client(3, 4, "two");
    talk.now += 20 * MS;
    talk.client(6, 8, "three");
    talk.finish();
    talk.check(&[OPEN, "> one", "< @4", "> two", "< @8", "> three"]);
    assert_eq!(talk.connections.counters.missing, 8);
}

#[test]
fn a_handshake_of_which_half_was_captured() {
    for missing in ["syn", "syn-ack"] {
        let mut talk = Talk::new();
        if missing == "syn" {
            talk.syn_ack();
        } else {
            talk.syn();
        }
        talk.client(0, 0, "GET");
        talk.server(0, 3, "200");
        talk.check(&[OPEN, "> GET", "< 200"]);
    }
}

#[test]
fn what_is_far_away_or_behind_the_end_belongs_nowhere() {
    let mut talk = Talk::opened();
    talk.client(0, 0, "a");
    talk.client(1 << 29, 0, "far");
    talk.server(0, 1 << 29, "ok");
    talk.client_fin(1, 2, "");
    talk.client(2, 2, "behind");
    talk.check(&[OPEN, "> a", "< ok", "> end"]);
    assert_eq!(talk.connections.counters.stray, 2);
}

#[test]
fn nobody_reads_it_any_more() {
    let mut talk = Talk::opened();
    talk.bored_by = 6;
    talk.client(0, 0, "a");
    talk.client(6, 0, "zz");
    talk.server(0, 1, "tls tls");
    talk.client(1, 7, "ignored");
    talk.server(7, 8, "ignored");
    talk.client_fin(8, 14, "");
    talk.server_fin(14, 9, "");
    talk.told.drain(..1);
    talk.check(&["> a", "< tls tls", "closed"]);
    assert_eq!((talk.connections.waiting(), talk.connections.counters.bytes), (0, 22));
}

#[test]
fn memory_is_bounded_for_each_and_for_all() {
    let limits = Limits { connections: 64, waiting: 3_000, waiting_in_all: 10_000 };
    let mut talk = Talk::with(limits);
    talk.open();
    for number in 1..200 {
        talk.client(number * 10, 0, "0123456789");
        assert!(talk.connections.waiting() <= 3_000);
    }
    assert_eq!(talk.told[..3], [OPEN.to_owned(), "> @10".to_owned(), "> 0123456789".to_owned()]);
    let told = talk.told.iter().filter(|line| *line == "> 0123456789").count();
    assert_eq!((told, talk.connections.counters.missing), (199, 10));
    talk.told.clear();
    for port in 1..60 {
        talk.port = port;
        talk.open();
        talk.client(1, 0, &"x".repeat(1_000));
        assert!(talk.connections.waiting() <= 10_000, "{}", talk.connections.waiting());
    }
    assert_eq!(talk.connections.counters.forced, 1 + 51);
}

#[test]
fn connections_are_bounded_and_the_closed_go_first() {
    let mut talk = Talk::with(Limits { connections: 4, ..Limits::default() });
    for port in 1..=4 {
        talk.port = port;
        talk.open();
        talk.client(0, 0, "hi");
    }
    talk.client_rst(2);
    talk.told.clear();
    for port in 5..=6 {
        talk.port = port;
        talk.open();
        talk.client(0, 0, "hi");
    }
    let expect = [
        "open 10.0.0.2:80 from 10.0.0.1:5",
        "> hi",
        "unobserved",
        "open 10.0.0.2:80 from 10.0.0.1:6",
        "> hi",
    ];
    talk.check(&expect);
    assert_eq!(talk.connections.counters.evicted, 1);
}

/// Two pieces are held, and the one that begins first ends last: an end between their ends is none, and the connection is not
/// waited for forever.
#[test]
fn an_end_within_what_is_held_is_none() {
    let mut talk = Talk::opened();
    talk.client(5, 0, "bb");
    // Its sender had more of the server than the capture has.
    talk.client(0, 3, "aaaaabbccc");
    talk.client_fin(7, 0, "");
    talk.now += 60_000 * MS;
    talk.client(10, 3, "dd");
    talk.check(&[OPEN, "< @3", "> aaaaabbccc", "> dd"]);
}
