//! Which protocol a connection speaks and who is its client, from the first bytes of each direction.

use crate::{exchange::Party, fastcgi, http1, http2, memcached, mysql, postgres, redis};

/// The direction of bytes as the traced process sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    Sent,
    Received,
}

/// The protocols that are parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.0 or 1.1.
    Http1,
    /// HTTP/2, as it is in cleartext.
    Http2,
    /// PostgreSQL's frontend/backend protocol 3.
    Postgres,
    /// Redis' RESP2 and RESP3.
    Redis,
    /// Memcached's text protocol.
    Memcached,
    /// The client/server protocol of MySQL and MariaDB.
    MySql,
    /// FastCGI, which carries HTTP's requests from a web server to an application server.
    FastCgi,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing speaks for a known protocol yet, and something still may.
    NeedMore,
    /// `client` is the direction of the requests.
    Speaks { protocol: Protocol, client: Direction },
    /// No protocol that is parsed.
    Unknown,
}

/// As many bytes of a direction as can matter; more need not be kept.
pub const LONGEST_PREFIX: usize = http1::LONG_LINE + 64;

/// Judges what is known of the two directions, each from the first byte of a socket operation on.
///
/// The bytes need not be the first of the connection: a response that is seen first shows the
/// client as well as a request does. One direction that makes no sense (the middle of a body) does
/// not rule out the other.
///
/// HTTP/2 is known by its preface or, in the middle of a connection, by whole frames with a header block
/// that reads as a request's or a response's. PostgreSQL is known by its startup packet or, in the middle, by
/// a statement or by messages that follow each other to the end of an operation. MySQL is known by the server's
/// greeting, which comes first, or the client's login; in the middle by a statement, the execution of a prepared
/// one, a refusal, or the description of columns.
/// FastCGI is known by the record that begins a request or, in the middle, by a response's first line or by the end of one.
/// Redis is known by a command that is an array, Memcached by a command that stores or by a value. Other lines of
/// text have to make sense as a command and as its answer.
#[must_use]
pub fn detect(sent: &[u8], received: &[u8]) -> Verdict {
    match (first(sent), first(received)) {
        // Both ends cannot ask, nor both answer.
        (First::Of(protocol, sender), First::Of(other, receiver))
            if protocol == other && sender == receiver =>
        {
            Verdict::Unknown
        }
        // A request is harder to come by than an answer: where the two disagree it decides.
        (First::Of(protocol, Party::Client), _) => Verdict::Speaks { protocol, client: Direction::Sent },
        (_, First::Of(protocol, Party::Client)) => Verdict::Speaks { protocol, client: Direction::Received },
        (First::Of(protocol, Party::Server), _) => Verdict::Speaks { protocol, client: Direction::Received },
        (_, First::Of(protocol, Party::Server)) => Verdict::Speaks { protocol, client: Direction::Sent },
        (First::Hint, First::Hint) => {
            if let Some(protocol) = lines(sent, received) {
                Verdict::Speaks { protocol, client: Direction::Sent }
            } else if let Some(protocol) = lines(received, sent) {
                Verdict::Speaks { protocol, client: Direction::Received }
            } else {
                Verdict::Unknown
            }
        }
        (First::Other, First::Other | First::Hint) | (First::Hint, First::Other) => Verdict::Unknown,
        (First::Open, _) | (_, First::Open) => Verdict::NeedMore,
    }
}

impl Protocol {
    pub const ALL: [Self; 7] =
        [Self::Http1, Self::Http2, Self::Postgres, Self::Redis, Self::Memcached, Self::MySql, Self::FastCgi];

    /// As the agent's own metrics name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Memcached => "memcached",
            Self::MySql => "mysql",
            Self::FastCgi => "fastcgi",
        }
    }
}

const _: () = {
    let mut i = 0;
    while i < Protocol::ALL.len() {
        assert!(Protocol::ALL[i] as usize == i);
        i += 1;
    }
};

impl Direction {
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Sent => Self::Received,
            Self::Received => Self::Sent,
        }
    }
}

/// What one direction's first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// Too few bytes to say.
    Open,
    /// Of a protocol, and who sent it.
    Of(Protocol, Party),
    /// A line that may be of a protocol, if the other direction agrees.
    Hint,
    Other,
}

fn first(bytes: &[u8]) -> First {
    let bytes = &bytes[..bytes.len().min(LONGEST_PREFIX)];
    let whole = bytes;
    let blank = bytes.iter().take_while(|&&byte| matches!(byte, b'\r' | b'\n')).count();
    let bytes = &bytes[blank..];
    if bytes.is_empty() {
        return First::Open;
    }
    // Its first byte is a version that no text begins with, and two bytes of it are little to go by.
    if whole.len() >= 2 {
        match (fastcgi::looks_like_request(whole), fastcgi::looks_like_response(whole)) {
            (Some(true), _) => return First::Of(Protocol::FastCgi, Party::Client),
            (_, Some(true)) => return First::Of(Protocol::FastCgi, Party::Server),
            (None, _) | (_, None) => return First::Open,
            (Some(false), Some(false)) => {}
        }
    }
    // What is MySQL's beyond doubt begins with a length, which may be any character.
    match (mysql::looks_like_client(whole), mysql::looks_like_server(whole)) {
        (Some(true), _) => return First::Of(Protocol::MySql, Party::Client),
        (_, Some(true)) => return First::Of(Protocol::MySql, Party::Server),
        (Some(false) | None, Some(false) | None) => {}
    }
    if bytes[0] == 0 && postgres::looks_like_frontend(bytes) == Some(true) {
        return First::Of(Protocol::Postgres, Party::Client);
    }
    // A frame begins with a zero, or is longer than any at a connection's start; HTTP/1 never does.
    if bytes[0] == 0 || bytes[0] == http2::PREFACE[0] {
        match http2::first(bytes) {
            http2::First::From(party) => return First::Of(Protocol::Http2, party),
            http2::First::Open => return First::Open,
            http2::First::Other => {}
        }
    }
    match redis::looks_like_request(bytes) {
        Some(true) => return First::Of(Protocol::Redis, Party::Client),
        None => return First::Open,
        Some(false) => {}
    }
    match (http1::looks_like_request(bytes), http1::looks_like_response(bytes)) {
        (Some(true), _) => First::Of(Protocol::Http1, Party::Client),
        (_, Some(true)) => First::Of(Protocol::Http1, Party::Server),
        (Some(false), Some(false)) => match typed(whole) {
            First::Other => text(bytes),
            found => found,
        },
        _ if bytes.len() >= http1::LONG_LINE => First::Other,
        _ => First::Open,
    }
}

/// What is no HTTP: a protocol whose messages begin with a type and a length, or a length alone.
fn typed(bytes: &[u8]) -> First {
    match (postgres::looks_like_frontend(bytes), postgres::looks_like_backend(bytes)) {
        (Some(true), _) => First::Of(Protocol::Postgres, Party::Client),
        (_, Some(true)) => First::Of(Protocol::Postgres, Party::Server),
        (Some(false), Some(false))
            if mysql::looks_like_client(bytes).is_some() && mysql::looks_like_server(bytes).is_some() =>
        {
            First::Other
        }
        _ if bytes.len() >= http1::LONG_LINE => First::Other,
        _ => First::Open,
    }
}

/// What is neither HTTP nor typed: lines of text, of which few tell a protocol by themselves.
fn text(bytes: &[u8]) -> First {
    if memcached::is_request(bytes) {
        return First::Of(Protocol::Memcached, Party::Client);
    }
    if memcached::is_reply(bytes) {
        return First::Of(Protocol::Memcached, Party::Server);
    }
    let is_hint = redis::looks_like_inline(bytes)
        || redis::looks_like_reply(bytes)
        || memcached::could_be_request(bytes)
        || memcached::could_be_reply(bytes);
    let begins = bytes[0].is_ascii_alphanumeric() || b"+-:$,(#_%~>=!|".contains(&bytes[0]);
    let is_text = bytes.iter().all(|&byte| matches!(byte, b' '..=b'~' | b'\r'));
    let goes_on = begins && is_text && bytes.len() < SHORT_LINE;
    if is_hint {
        First::Hint
    } else if goes_on {
        First::Open
    } else {
        First::Other
    }
}

/// A line of text that says something ends in as many bytes.
const SHORT_LINE: usize = 64;

/// Which protocol has such a command and such an answer.
fn lines(asked: &[u8], answered: &[u8]) -> Option<Protocol> {
    let redis = redis::looks_like_inline(asked) || redis::could_be_request(asked) == Some(true);
    if redis && redis::looks_like_reply(answered) && !is_pop3(answered) {
        return Some(Protocol::Redis);
    }
    let memcached = memcached::could_be_request(asked) && memcached::could_be_reply(answered);
    memcached.then_some(Protocol::Memcached)
}

/// Whether a server's first line is a POP3 server's, which greets with `+OK` and a text (RFC 1939, section 4) and knows
/// `AUTH` and `QUIT` too. Nothing follows Redis' `+OK`.
fn is_pop3(answered: &[u8]) -> bool {
    let line = answered.split(|&byte| byte == b'\n').next().unwrap_or_default();
    line.trim_ascii().strip_prefix(b"+OK").is_some_and(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sent: &[u8], received: &[u8], expect: Verdict) {
        assert_eq!(detect(sent, received), expect);
        let mirrored = match expect {
            Verdict::Speaks { protocol, client } => Verdict::Speaks { protocol, client: client.opposite() },
            Verdict::NeedMore | Verdict::Unknown => expect,
        };
        assert_eq!(detect(received, sent), mirrored);
    }

    const SENT: Verdict = Verdict::Speaks { protocol: Protocol::Http1, client: Direction::Sent };

    #[test]
    fn a_request_line_of_any_method_names_the_client() {
        check(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"", SENT);
        check(b"GET / HTTP/1.0\n", b"", SENT);
        check(b"\r\nPOST http://a/b HTTP/1.1\r\n", b"", SENT);
        check(b"FROBNICATE * HTTP/1.1\r\n", b"", SENT);
        check(b"CONNECT a:443 HTTP/1.1\r\n", b"\x16\x03\x01", SENT);
    }

    #[test]
    fn a_response_seen_first_names_the_client() {
        check(b"", b"HTTP/1.1 200 OK\r\n", SENT);
        check(b"", b"HTTP/1.0 404", SENT);
        check(b"tail of an upload", b"HTTP/1.1 201 Created\r\n", SENT);
    }

    #[test]
    fn prefixes_wait_for_more() {
        for whole in [&b"GET /index.html HTTP/1.1\r\n"[..], b"PRI / HTTP/1.1\r\n"] {
            for length in 0..whole.len() - 1 {
                check(&whole[..length], b"", Verdict::NeedMore);
            }
            check(whole, b"", SENT);
        }
        for length in 0.."HTTP/1.1 200".len() {
            check(b"", &b"HTTP/1.1 200"[..length], Verdict::NeedMore);
        }
    }

    #[test]
    fn a_known_method_with_a_very_long_target_is_http() {
        let mut line = b"\r\nGET /".to_vec();
        line.resize(LONGEST_PREFIX, b'a');
        check(&line, b"", SENT);
        line[2..7].copy_from_slice(b"GOT /");
        check(&line, b"\x01", Verdict::Unknown);
    }

    #[test]
    fn others_are_unknown_once_both_sides_say_so() {
        check(b"\x16\x03\x01\x02\x00", b"\x16\x03\x03", Verdict::Unknown);
        check(b"SSH-2.0-a\r\n", b"SSH-2.0-b\r\n", Verdict::Unknown);
        check(b"OPTIONS rtsp://a RTSP/1.0\r\n", b"RTSP/1.0 200 OK\r\n", Verdict::Unknown);
        check(b"HTTP/2.0 200\r\n", b"GET / HTTP/3.1\r\n", Verdict::Unknown);
        check(b"GET /\r\n", b"<html>", Verdict::Unknown);
        check(b" GET / HTTP/1.1\r\n", b"<html>", Verdict::Unknown);
        check(b"\x00\x01", b"", Verdict::NeedMore);
        check(b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n", Verdict::Unknown);
    }

    const SENT_2: Verdict = Verdict::Speaks { protocol: Protocol::Http2, client: Direction::Sent };
    /// An empty SETTINGS frame, and a GET and a 200 without more.
    const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
    const GET: &[u8] = b"\0\0\x03\x01\x05\0\0\0\x07\x82\x86\x84";
    const OK: &[u8] = b"\0\0\x01\x01\x05\0\0\0\x07\x88";

    #[test]
    fn http2_with_prior_knowledge() {
        for length in 0..http2::PREFACE.len() {
            check(&http2::PREFACE[..length], SETTINGS, Verdict::NeedMore);
        }
        check(http2::PREFACE, b"", SENT_2);
        check(http2::PREFACE, SETTINGS, SENT_2);
        check(http2::PREFACE, http2::PREFACE, Verdict::Unknown);
    }

    #[test]
    fn http2_in_the_middle_is_known_by_its_header_blocks() {
        let window = b"\0\0\x04\x08\0\0\0\0\0\0\0\x10\0";
        let trailers = b"\0\0\x04\x01\x05\0\0\0\x05\0\x01a\0";
        check(GET, b"", SENT_2);
        check(b"", OK, SENT_2);
        check(&[window, GET].concat(), b"\0\0", SENT_2);
        check(b"tail of an upload", &[window, OK].concat(), SENT_2);
        check(GET, OK, SENT_2);
        check(GET, GET, Verdict::Unknown);
        for silent in [&window[..], trailers, SETTINGS, b"\0", b"\0\0\x04\x08\0\0"] {
            check(silent, b"", Verdict::NeedMore);
        }
        for length in 0..GET.len() {
            check(&GET[..length], b"", Verdict::NeedMore);
        }
    }

    #[test]
    fn what_is_nearly_http2_is_not() {
        let not = |at: usize, byte: u8| {
            let mut bytes = GET.to_vec();
            bytes[at] = byte;
            check(&bytes, b"\x01", Verdict::Unknown);
        };
        not(0, 1); // Too long.
        not(1, 0x41);
        not(3, 0x33); // No such kind.
        not(4, 0x45); // No such flag.
        not(5, 0x80); // The reserved bit.
        not(8, 0); // No stream.
        not(9, 0x80); // No such field.
        not(10, 0x20); // A table size behind a field.
        check(&[0; 64], b"\x01", Verdict::Unknown);
        check(b"\0\0\x04\x08\0\0\0\0\0\0\0\x10\0\0\xff", b"\x01", Verdict::Unknown);
    }

    const POSTGRES: Verdict = Verdict::Speaks { protocol: Protocol::Postgres, client: Direction::Sent };

    #[test]
    fn postgres_is_told_from_its_startup_packet() {
        check(b"\0\0\0\x08\x04\xd2\x16\x2f", b"", POSTGRES);
        check(b"\0\0\0\x08\x04\xd2\x16\x30", b"N", POSTGRES);
        let startup = b"\0\0\0\x12\0\x03\0\0user\0bob\0\0";
        check(startup, b"", POSTGRES);
        for length in 0..9 {
            check(&startup[..length], b"", Verdict::NeedMore);
        }
    }

    #[test]
    fn postgres_is_told_in_the_middle() {
        check(b"Q\0\0\0\x16 /* a */ select 1\0", b"", POSTGRES);
        check(b"Q\0\0\0\x0dSELECT 1\0", b"", POSTGRES);
        check(b"P\0\0\0\x12s1\0SELECT $1\0\0\0", b"", POSTGRES);
        check(b"B\0\0\0\x0c\0s\0\0\0\0\0\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04", b"", POSTGRES);
        check(b"", b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I", POSTGRES);
        check(b"\x17\x03", b"2\0\0\0\x04D\0\0\0\x06\0\0C\0\0\0\x0dSELECT 1\0", POSTGRES);
        check(b"", b"Z\0\0\0\x05T", POSTGRES);
    }

    #[test]
    fn what_only_resembles_postgres_is_not() {
        check(b"Q\0\0\0\x0dFROBNI 1\0", b"\x01", Verdict::Unknown);
        check(b"Q\0\0\0\x0cSELECT 1\0", b"\x01", Verdict::Unknown);
        check(b"Q\xff\0\0\x0dSELECT 1\0", b"\x01", Verdict::Unknown);
        check(b"\0\0\0\x12\0\x02\0\0user\0bob\0\0", b"\x01", Verdict::Unknown);
        check(b"", b"Z\0\0\0\x05X", Verdict::NeedMore);
        check(b"\x01", b"Z\0\0\0\x05X", Verdict::Unknown);
        check(b"PUT / HTTP/1.1\r\n", b"Z\0\0\0\x05I", SENT);
    }

    const FASTCGI: Verdict = Verdict::Speaks { protocol: Protocol::FastCgi, client: Direction::Sent };

    #[test]
    fn fastcgi_is_told_by_what_begins_a_request() {
        let begin = b"\x01\x01\0\x01\0\x08\0\0\0\x01\x01\0\0\0\0\0";
        check(begin, b"", FASTCGI);
        check(&[&begin[..], b"\x01\x04\0\x01"].concat(), b"", FASTCGI);
        for length in 2..begin.len() {
            check(&begin[..length], b"", Verdict::NeedMore);
        }
        for (at, byte) in [(0, 2), (1, 12), (3, 0), (5, 9), (9, 4), (10, 2), (15, 1)] {
            let mut other = *begin;
            other[at] = byte;
            assert_ne!(detect(&other, b"\x7f"), FASTCGI, "{at}");
        }
    }

    #[test]
    fn fastcgi_is_told_in_the_middle_by_its_answers() {
        let end = b"\x01\x03\0\x01\0\x08\0\0\0\0\0\0\0\0\0\0";
        check(b"", end, FASTCGI);
        check(b"rest of an upload", b"\x01\x06\0\x01\0\x20\0\0Content-type: text/html", FASTCGI);
        check(b"", &end[..9], Verdict::NeedMore);
        check(b"", b"\x01\x06\0\x01\0\x20\0\0Conte", Verdict::NeedMore);
        check(b"\x7f", b"\x01\x06\0\x01\0\x20\0\0<html>", Verdict::Unknown);
    }

    const REDIS: Verdict = Verdict::Speaks { protocol: Protocol::Redis, client: Direction::Sent };

    #[test]
    fn redis_is_told_from_a_command() {
        let get = b"*2\r\n$3\r\nget\r\n$1\r\na\r\n";
        check(b"*1\r\n$4\r\nPING\r\n", b"", REDIS);
        check(get, b"", REDIS);
        check(get, b"$1\r\nx\r\n", REDIS);
        // A reply that looks like a command is none.
        check(get, b"*1\r\n$9\r\nlastvalue\r\n", REDIS);
        for length in 0..11 {
            check(&get[..length], b"", Verdict::NeedMore);
        }
        check(get, get, Verdict::Unknown);
        // One that is not known is told by its answer.
        let unknown = b"*2\r\n$8\r\nMY.QUERY\r\n$1\r\na\r\n";
        check(unknown, b"", Verdict::NeedMore);
        check(unknown, b"-ERR unknown command\r\n", REDIS);
        check(unknown, b"\x16\x03\x01", Verdict::Unknown);
    }

    #[test]
    fn redis_without_arrays_needs_an_answer() {
        for answer in ["+PONG\r\n", "$-1\r\n", ":1\r\n", "-ERR unknown\r\n", "*0\r\n", "_\r\n"] {
            check(b"PING\r\n", answer.as_bytes(), REDIS);
            check(b"", answer.as_bytes(), Verdict::NeedMore);
        }
        check(b"PING\r\n", b"", Verdict::NeedMore);
        check(b"get key\n", b"$1\r\n", REDIS);
        // POP3 and others answer alike.
        check(b"USER bob\r\n", b"+OK\r\n", Verdict::Unknown);
        for command in ["AUTH\r\n", "AUTH PLAIN\r\n", "QUIT\r\n"] {
            let answers = b"+OK mail.example ready\r\n-ERR no such mechanism\r\n";
            check(command.as_bytes(), answers, Verdict::Unknown);
        }
        check(b"AUTH secret\r\n", b"+OK\r\n", REDIS);
        check(b"PING\r\n", b"PONG\r\n", Verdict::Unknown);
        check(b"PING\r\n", b"\x16\x03\x01", Verdict::Unknown);
        check(b"PING\r\n", b"PING\r\n", Verdict::Unknown);
    }

    const MEMCACHED: Verdict = Verdict::Speaks { protocol: Protocol::Memcached, client: Direction::Sent };

    #[test]
    fn memcached_is_told_from_what_it_stores_and_from_values() {
        check(b"set key 0 -1 5 noreply\r\nvalue\r\n", b"", MEMCACHED);
        check(b"", b"VALUE key 0 5\r\nvalue\r\nEND\r\n", MEMCACHED);
        check(b"", b"STORED\r\n", MEMCACHED);
        let set = b"cas key 0 0 1 17\r\n";
        for length in 0..set.len() - 1 {
            check(&set[..length], b"", Verdict::NeedMore);
        }
        // Redis' `SET`, in a line, has other words.
        check(b"set key 0 x 5\r\n", b"", Verdict::NeedMore);
        check(b"set key 0 x 5\r\n", b"-ERR syntax error\r\n", REDIS);
    }

    #[test]
    fn a_line_that_both_know_is_told_by_its_answer() {
        check(b"get key\r\n", b"", Verdict::NeedMore);
        check(b"get key\r\n", b"END\r\n", MEMCACHED);
        check(b"get key\r\n", b"VALUE key 0 1\r\n", MEMCACHED);
        check(b"get key\r\n", b"$-1\r\n", REDIS);
        check(b"mg key v\r\n", b"EN\r\n", MEMCACHED);
        check(b"version\r\n", b"VERSION 1.6\r\n", MEMCACHED);
        check(b"version\r\n", b"SSH-2.0\r\n", Verdict::Unknown);
        check(b"END\r\n", b"END\r\n", Verdict::Unknown);
        check(b"\x80\0\0\x03\0\0\0\0", b"\x81\0\0\x03", Verdict::Unknown);
    }

    const MYSQL: Verdict = Verdict::Speaks { protocol: Protocol::MySql, client: Direction::Sent };
    const GREETING: &[u8] = b"\x50\0\0\0\x0a5.5.5-10.11.4-MariaDB\0\x07\0\0\0salt1234\0\x0d\xa2\xff\x02\0";
    const SELECT: &[u8] = b"\x09\0\0\0\x03SELECT 1";

    #[test]
    fn mysql_is_told_from_its_opening() {
        check(b"", GREETING, MYSQL);
        // Also where its length is the first byte of another protocol's message.
        for length in b"GHPQRSTZBDCE" {
            let greeting = [&[*length], &GREETING[1..]].concat();
            check(b"", &greeting, MYSQL);
        }
        for length in 4..40 {
            check(b"", &GREETING[..length], Verdict::NeedMore);
        }
        let login = [&b"\x48\0\0\x01\x0d\xa2\x0a\0\0\0\0\x01\x2d"[..], &[0; 23], b"bob\0\x14"].concat();
        check(&login, b"", MYSQL);
        check(&login, GREETING, MYSQL);
        let tls = [&b"\x20\0\0\x01\x0d\xaa\x0a\0\0\0\0\x01\x2d"[..], &[0; 23]].concat();
        check(&tls, b"", MYSQL);
    }

    #[test]
    fn mysql_is_told_in_the_middle() {
        check(SELECT, b"", MYSQL);
        check(b"\x0b\0\0\0\x03\0\x01SELECT 1", b"", MYSQL);
        check(b"\x12\0\0\0\x16UPDATE a SET b = ?", b"", MYSQL);
        check(b"\x1e\0\0\0\x03/*!40101 SET NAMES utf8 */ # a", b"", MYSQL);
        check(b"\x0a\0\0\0\x17\x01\0\0\0\0\x01\0\0\0", b"", MYSQL);
        check(b"\x01\0\0\0\x0e\x09\0\0\0\x03SELECT 1", b"", MYSQL);
        check(b"", b"\x01\0\0\x01\x01\x17\0\0\x02\x03def\0", MYSQL);
        check(b"\x17\x03", b"\x1e\0\0\x01\xff\x28\x04#42000You have", MYSQL);
        // A short one inside of the compressed protocol.
        check(b"\x0d\0\0\0\0\0\0\x09\0\0\0\x03SELECT 1", b"", MYSQL);
        check(SELECT, SELECT, Verdict::Unknown);
        for length in 4..11 {
            check(&SELECT[..length], b"", Verdict::NeedMore);
        }
    }

    #[test]
    fn what_only_resembles_mysql_is_not() {
        check(b"\x09\0\0\0\x03FROBNI 1", b"\x01", Verdict::Unknown);
        check(b"\x09\0\0\x03\x03SELECT 1", b"\x01", Verdict::Unknown);
        check(b"\x09\0\0\0\x43SELECT 1", b"\x01", Verdict::Unknown);
        check(b"\x0a\0\0\0\x17\x01\0\0\0\0\x02\0\0\0", b"\x01", Verdict::Unknown);
        // MongoDB: a length of four bytes, numbers, an operation.
        let mongo = b"\x23\0\0\0\x03\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x0e\0\0\0\x10ping\0\x01\0\0\0\0";
        check(mongo, b"\x01", Verdict::Unknown);
    }
}
