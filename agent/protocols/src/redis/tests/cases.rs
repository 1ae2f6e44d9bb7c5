//! Single situations, by name.

use super::Wire;
use crate::{
    exchange::{CloseReason, Event, Outcome, Party::*, Stamp},
    redis::{
        Connection, Counters, Limits, State,
        corpus::{command, pipeline},
        looks_like_request,
    },
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
    wire.send(Client, &pipeline(&["TTL recovered"]));
    wire.exchanges.clear();
    wire.send(Server, b":-1\r\n");
    let line = wire.exchanges.concat();
    assert!(line.starts_with("TTL `TTL recovered` ") && line.ends_with(" -> Complete 28/5"), "{line}");
    wire.exchanges.clear();
}

/// What a command is told as.
#[track_caller]
fn check_text(words: &[&str], expect: &str) {
    let mut wire = opened();
    wire.send(Client, &command(words));
    wire.send(Server, b"-ERR\r\n");
    let line = wire.exchanges.concat();
    assert_eq!(line.split('`').nth(1), Some(expect));
    let mut wire = opened();
    for byte in command(words) {
        wire.send(Client, &[byte]);
    }
    wire.send(Server, b"-ERR\r\n");
    assert_eq!(wire.exchanges.concat().split('`').nth(1), Some(expect), "byte by byte");
}

#[test]
fn keys_are_told_and_values_are_not() {
    check_text(&["HMSET", "myhash", "field1", "Hello", "field2", "World"], "HMSET myhash field1 ? field2 ?");
    check_text(&["zadd", "z", "NX", "CH", "1", "member"], "ZADD z NX CH ? ?");
    check_text(
        &["EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "2", "a", "b", "v"],
        "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 2 a b ?",
    );
    check_text(&["FCALL", "my_function", "0", "v"], "FCALL my_function 0 ?");
    check_text(&["EVAL", "return 1", "x", "k", "v"], "EVAL ? ? ? ?");
    check_text(
        &["ZUNIONSTORE", "to", "2", "a", "b", "WEIGHTS", "2", "3", "AGGREGATE", "max"],
        "ZUNIONSTORE to 2 a b WEIGHTS ? ? AGGREGATE ?",
    );
    check_text(&["BLMPOP", "0", "1", "a", "LEFT", "COUNT", "2"], "BLMPOP ? 1 a LEFT COUNT ?");
    check_text(
        &["XREADGROUP", "GROUP", "g", "STREAMS", "COUNT", "1", "STREAMS", "a", "b", ">", ">"],
        "XREADGROUP GROUP ? ? COUNT ? STREAMS a b ? ?",
    );
    check_text(&["SCAN", "0", "MATCH", "secret*", "COUNT", "10"], "SCAN ? MATCH ? COUNT ?");
    check_text(&["CONFIG", "SET", "requirepass", "secret"], "CONFIG SET requirepass ?");
    check_text(&["ACL", "SETUSER", "bob", "on", ">secret"], "ACL SETUSER ? ? ?");
    check_text(&["HELLO", "3", "AUTH", "SETNAME", "ON", "SETNAME", "OFF"], "HELLO 3 AUTH ? ? SETNAME ?");
    check_text(&["JSON.SET", "doc", "$", "{}"], "JSON.SET doc ? ?");
    check_text(&["MY.COMMAND", "a", "b"], "MY.COMMAND ? ?");
    check_text(&["frobnicate", "a"], "FROBNICATE ?");
    check_text(&["no name", "a"], "_OTHER ?");
    check_text(&["b840fc02d524045429941cc15f59e41cb7be6c52", "SET", "a", "b"], "_OTHER ? ? ?");
}

#[test]
fn a_key_that_names_somebody_is_masked_there() {
    check_text(&["GET", "session:9f86d081884c7d659a2feaa0c55ad015"], "GET session:?");
    check_text(&["GET", "user:550e8400-e29b-41d4-a716-446655440000:cart"], "GET user:?:cart");
    check_text(&["GET", "card:4111111111111111"], "GET card:?");
    check_text(&["GET", "bob@example.com"], "GET ?");
    check_text(&["GET", "key:000000000042"], "GET key:000000000042");
    check_text(&["GET", "daily-report-2024-01-15"], "GET daily-report-2024-01-15");
    check_text(&["GET", "with \"blanks\" in it"], "GET \"with \\\"blanks\\\" in it\"");
    check_text(&["GET", ""], "GET \"\"");
    check_text(&["GET", "a\nb"], "GET ?");
    check_text(&["GET", &"k".repeat(200)], &format!("GET {}...", "k".repeat(128)));
}

#[test]
fn a_long_command_is_cut() {
    let words: Vec<&str> = ["MGET"].into_iter().chain(std::iter::repeat_n("key", 1000)).collect();
    let shown = format!("MGET{} ...", " key".repeat(64));
    check_text(&words, &shown);
    let key = "k".repeat(100);
    let words: Vec<&str> = ["DEL"].into_iter().chain(std::iter::repeat_n(&*key, 100)).collect();
    check_text(&words, &format!("DEL{} ...", format!(" {key}").repeat(6)));
}

#[test]
fn an_exchange_carries_its_times() {
    let mut connection = Connection::new(Limits::default());
    let at = |time| Stamp { time, ..Stamp::default() };
    let bytes = pipeline(&["GET a"]);
    connection.handle_bytes(Client, at(1), 0, &bytes[..7]);
    assert_eq!(connection.poll_event(), None);
    connection.handle_bytes(Client, at(2), 7, &bytes[7..]);
    let Some(Event::Request { id: 0, extent, head }) = connection.poll_event() else { panic!() };
    assert_eq!((extent.first, extent.last, extent.offset, extent.wire_bytes), (at(1), at(2), 0, 20));
    assert_eq!(head.text.as_deref(), Some("GET a"));
    connection.handle_bytes(Server, at(3), 0, b"$1000\r\nabc");
    // Which reply it is is not certain on a connection that may have subscriptions.
    connection.handle_gap(Server, at(4), 10, 900, b"");
    let rest = [b'x'; 99];
    connection.handle_bytes(Server, at(5), 910, &rest[..97]);
    connection.handle_bytes(Server, at(6), 1007, b"\r\n");
    assert_eq!(connection.poll_event(), Some(Event::Response { id: 0, first: at(3) }));
    let Some(Event::Exchange(exchange)) = connection.poll_event() else { panic!() };
    let response = exchange.response.unwrap();
    assert_eq!((response.first, response.last, response.wire_bytes), (at(3), at(6), 1009));
    assert_eq!((exchange.outcome, exchange.damaged), (Outcome::Complete, true));
}

#[test]
fn values_beyond_the_budget_are_skipped_by_their_length() {
    let mut wire = opened();
    let set = command(&["SET", "big", &"v".repeat(100_000)]);
    wire.send_cut(Client, &set[..8192], set.len() as u64 - 8192 - 16, &set[set.len() - 16..]);
    wire.send(Server, b"+OK\r\n");
    wire.send(Client, &pipeline(&["GET big", "GET small"]));
    let value = [b"$100000\r\n", &[b'v'; 100_000][..], b"\r\n$1\r\nx\r\n"].concat();
    wire.send_cut(Server, &value[..8192], value.len() as u64 - 8192 - 16, &value[value.len() - 16..]);
    wire.expect(&[
        "SET `SET big ?` 0 -> Complete 100033/5",
        "GET `GET big` 0 -> Complete 22/100011",
        "GET `GET small` 0 -> Complete 24/7",
    ]);
    assert_eq!(wire.connection.counters(), Counters::default());
}

#[test]
fn a_command_that_is_cut_off_is_told_as_far_as_it_was_seen() {
    let words: Vec<&str> = ["RPUSH", "list"].into_iter().chain(std::iter::repeat_n("secret", 1000)).collect();
    let push = command(&words);
    let mut wire = opened();
    wire.send(Client, &pipeline(&["GET a"]));
    wire.send_cut(Client, &push[..100], push.len() as u64 - 116, &push[push.len() - 16..]);
    wire.send(Server, b"$-1\r\n:1000\r\n");
    wire.expect(&[
        "GET `GET a` 0 -> Complete 20/5",
        "RPUSH `RPUSH list ? ? ? ? ? ? ...` 0 -> Complete 100/7 damaged",
    ]);
    check_recovered(&mut wire);
}

#[test]
fn a_reply_that_is_lost_sight_of_ends_with_the_next_command() {
    let elements = "$5\r\nvalue\r\n".repeat(900);
    let whole = format!("*900\r\n{elements}");
    let (head, rest) = whole.as_bytes().split_at(1000);
    let tail = &rest[rest.len() - 16..];
    let mut wire = opened();
    wire.send(Client, &pipeline(&["LRANGE list 0 -1"]));
    wire.send_cut(Server, head, rest.len() as u64 - 16, tail);
    wire.expect(&[]);
    wire.send(Client, &pipeline(&["GET a"]));
    wire.expect(&[&format!("LRANGE `LRANGE list ? ?` 0 -> Complete 41/{} damaged", whole.len())]);
    wire.send(Server, b"$-1\r\n");
    wire.expect(&["GET `GET a` 0 -> Complete 20/5"]);
    // Or with the connection.
    wire.send(Client, &pipeline(&["LRANGE list 0 -1"]));
    wire.send_cut(Server, head, rest.len() as u64 - 16, tail);
    wire.close();
    wire.expect(&[&format!("LRANGE `LRANGE list ? ?` 0 -> Complete 41/{} damaged", whole.len())]);
    // An operation that ends in the middle of it is not its end.
    let mut wire = opened();
    wire.send(Client, &pipeline(&["LRANGE list 0 -1"]));
    wire.send_cut(Server, head, rest.len() as u64 - 20, &rest[rest.len() - 20..rest.len() - 4]);
    wire.send(Client, &pipeline(&["GET a"]));
    let line = wire.exchanges.concat();
    assert!(line.contains(" Lost ") && line.ends_with(" damaged"), "{line}");
}

#[test]
fn replies_to_several_that_are_lost_sight_of_are_not_guessed() {
    let mut wire = opened();
    wire.send(Client, &pipeline(&["GET a", "LRANGE l 0 1", "GET c"]));
    wire.send(Server, b"$1\r\nx\r\n*1000\r\n");
    wire.skip(Server, 5000, b"\r\n");
    wire.expect(&[
        "GET `GET a` 0 -> Complete 20/7",
        "LRANGE `LRANGE l ? ?` 0 -> Lost 37/7",
        "GET `GET c` 0 -> Lost 20/0",
    ]);
    check_recovered(&mut wire);
}

#[test]
fn commands_that_were_not_seen_do_not_shift_those_that_were() {
    let mut wire = opened();
    wire.send(Client, &pipeline(&["GET a"]));
    wire.lose(Client, 40);
    wire.send(Client, &pipeline(&["GET d"]));
    wire.send(Server, b"$1\r\na\r\n:2\r\n:3\r\n$1\r\nd\r\n");
    wire.expect(&["GET `GET a` 0 -> Complete 20/7"]);
    assert_eq!(wire.connection.counters().dropped_requests, 1);
    check_recovered(&mut wire);
}

#[test]
fn a_reply_that_cannot_be_the_commands_ends_the_trust() {
    let mut wire = joined();
    // The reply to something before.
    wire.send(Client, &pipeline(&["LLEN a"]));
    wire.send(Server, b"$3\r\nold\r\n");
    wire.send(Server, b":3\r\n");
    wire.expect(&["LLEN `LLEN a` - -> Lost 21/0"]);
    check_recovered(&mut wire);
}

#[test]
fn more_than_may_be_outstanding_is_counted_and_shifts_nothing() {
    let limits = Limits { outstanding: 2, ..Limits::default() };
    let mut wire = Wire::new(Connection::opened(limits));
    wire.send(Client, &pipeline(&["GET a", "MULTI", "GET b", "EXEC", "GET c"]));
    wire.send(Server, b"$-1\r\n+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n$1\r\nc\r\n");
    wire.expect(&["MULTI - 0 -> batch 0 Lost 15/0", "GET `GET a` 0 -> Complete 20/5"]);
    assert_eq!(wire.connection.counters(), Counters { dropped_requests: 3, ..Counters::default() });
    check_recovered(&mut wire);
}

#[test]
fn hostile_lengths_are_refused_or_cost_nothing() {
    for line in [
        "$4294967295",
        "$99999999999999999999",
        "$-2",
        "*4294967297",
        "*-2",
        "$",
        "*",
        ":",
        ":1x",
        "#x",
        "_x",
        ";1",
        ".",
        "~-1",
        "!?",
        "|?",
        "\x00",
        "HTTP/1.1 200 OK",
    ] {
        let mut wire = opened();
        wire.send(Client, &pipeline(&["GET a"]));
        wire.send(Server, format!("{line}\r\n").as_bytes());
        assert_eq!(wire.connection.counters().failures, 1, "{line}");
        assert!(wire.connection.buffered() < 1024);
        check_recovered(&mut wire);
    }
    for line in ["*1048577", "*2\r\n$-1", "*1\r\n:1", "*1\r\n$4294967295", "GET / HTTP/1.1\r\n:", "\x16\x03"]
    {
        let mut wire = opened();
        wire.send(Client, format!("{line}\r\n").as_bytes());
        assert_eq!(wire.connection.counters().failures, 1, "{line}");
    }
    let mut wire = opened();
    wire.send(Client, &pipeline(&["GET a", "GET b"]));
    wire.send(Server, "*1000000000\r\n".repeat(1000).as_bytes());
    wire.send(Server, &b"*?\r\n".repeat(16));
    assert_eq!(wire.connection.counters().failures, 0);
    wire.send(Server, b"*?\r\n");
    assert_eq!(wire.connection.counters().failures, 1);
    assert!(wire.connection.buffered() < 1024);
}

#[test]
fn a_line_without_end_is_given_up() {
    let mut wire = opened();
    wire.send(Client, b"GET ");
    for _ in 0..100 {
        wire.send(Client, &[b'a'; 1000]);
        assert!(wire.connection.buffered() <= 64 * 1024);
    }
    assert_eq!(wire.connection.counters().failures, 1);
}

#[test]
fn what_is_not_redis_is_given_up() {
    let mut wire = opened();
    for _ in 0..8 {
        wire.send(Client, &pipeline(&["GET a"]));
        wire.send(Server, b"HTTP/1.1 400 Bad Request\r\n");
    }
    assert_eq!(wire.connection.state(), State::Failed);
}

#[test]
fn a_replica_is_not_followed() {
    let mut wire = opened();
    wire.send(Client, &pipeline(&["PING", "PSYNC ? -1"]));
    assert_eq!(wire.connection.state(), State::Replicating);
    wire.send(Server, b"+PONG\r\n+FULLRESYNC 8de1787ba490483314a4d30f1c628bc5025eb761 0\r\n$5\r\nREDIS");
    wire.close();
    wire.expect(&["PING `PING` 0 -> Lost 14/0"]);
}

#[test]
fn a_worker_that_is_stopped_while_it_waits() {
    let mut wire = opened();
    wire.send(Client, &pipeline(&["BLPOP queue 0"]));
    wire.close();
    wire.expect(&["BLPOP `BLPOP queue ?` 0 -> waits Event Aborted(Finished) 33/0"]);
    let mut wire = opened();
    wire.send(Client, &pipeline(&["GET a", "MULTI", "GET b"]));
    wire.connection.handle_close(Stamp::default(), CloseReason::Error(104));
    wire.drain();
    wire.expect(&["GET `GET a` 0 -> Aborted(Error(104)) 20/0", "GET `GET b` 0 -> Aborted(Error(104)) 35/0"]);
}

#[test]
fn a_transaction_that_began_before() {
    let mut wire = joined();
    wire.send(Client, &pipeline(&["SET a b", "EXEC"]));
    wire.send(Server, b"+QUEUED\r\n*1\r\n+OK\r\n");
    wire.expect(&["SET `SET a ?` - -> Lost 27/9 damaged", "EXEC `EXEC` - -> Complete 14/9"]);
}

#[test]
fn what_begins_like_a_command() {
    assert_eq!(looks_like_request(b"*1\r\n$4\r\nPING\r\n"), Some(true));
    let set = command(&["SET", "a", "b"]);
    for length in 1..=set.len() {
        let expect = (length > 10).then_some(true);
        assert_eq!(looks_like_request(&set[..length]), expect, "{length} bytes");
    }
    for other in [
        &b"*2\r\n$7\r\nmessage\r\n"[..],
        b"*2\r\n:1\r\n",
        b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*x",
        b"*1\n",
        b"*1\r\n$4\r\nPINGPONG",
        b"+OK\r\n",
    ] {
        assert_eq!(looks_like_request(other), Some(false), "{}", String::from_utf8_lossy(other));
    }
}
