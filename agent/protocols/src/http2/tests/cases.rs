//! Single situations, by name.

use super::{
    CONTINUATION, END_HEADERS, END_STREAM, GOAWAY, Hpack, ONLY, OPEN, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    Wire, data, frame, headers, hello, summary,
};
use crate::{
    exchange::{CloseReason, Event, Outcome, Party::*, Stamp},
    http1,
    http2::{Connection, Limits, State},
};

/// A connection that has begun, and both sides' compression.
struct Talk {
    wire: Wire,
    c: Hpack,
    s: Hpack,
    next: u32,
}

impl Talk {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let mut wire = Wire::new(Connection::opened(limits));
        wire.send(Client, &hello());
        wire.send(Server, &frame(SETTINGS, 0, 0, b""));
        Self { wire, c: Hpack::default(), s: Hpack::default(), next: 1 }
    }

    fn ask(&mut self, path: &str) -> u32 {
        let stream = self.next;
        self.next += 2;
        let block = self.c.get(path);
        self.wire.send(Client, &headers(ONLY, stream, &block));
        stream
    }

    fn answer(&mut self, stream: u32) {
        let block = self.s.status(200);
        self.wire.send(Server, &headers(ONLY, stream, &block));
    }

    /// A response whose second frame is out of sight, and with it what follows.
    fn answer_large(&mut self, stream: u32, tail: &[u8]) {
        let block = self.s.status(200);
        let body = data(0, stream, &[b'x'; 16_384]);
        let seen = [headers(OPEN, stream, &block), body[..8000].to_vec()].concat();
        self.wire.send_cut(Server, &seen, 60_000, tail);
    }

    /// The connection works from here on, though fields that were compressed before may be unknown.
    #[track_caller]
    fn check_recovered(&mut self) {
        self.wire.exchanges.clear();
        let path = format!("/n{}", self.next);
        let stream = self.ask(&path);
        self.answer(stream);
        let line = &self.wire.exchanges[0];
        assert!(line.starts_with(&format!("GET {path} 0 -> 200 0 Complete")), "{line}");
        self.wire.exchanges.clear();
    }
}

#[test]
fn an_exchange_carries_its_times_offsets_and_fingerprint() {
    let (mut c, mut s) = (Hpack::default(), Hpack::default());
    let mut connection = Connection::opened(Limits::default());
    let at = |time| Stamp { time, ..Stamp::default() };
    let hello = hello();
    let start = hello.len() as u64;
    connection.handle_bytes(Client, at(1), 0, &hello);
    let request = headers(OPEN, 1, &c.post("/up"));
    let length = request.len() as u64;
    connection.handle_bytes(Client, at(2), start, &request[..3]);
    connection.handle_bytes(Client, at(3), start + 3, &request[3..]);
    let Some(Event::Request { id: 0, extent, head }) = connection.poll_event() else { panic!() };
    assert_eq!((extent.first, extent.last, extent.offset, extent.wire_bytes), (at(2), at(3), start, length));
    assert_eq!((&*head.method, &*head.target, head.scheme.as_deref()), ("POST", "/up", Some("http")));
    assert_eq!((head.authority.as_deref(), head.truncated), (Some("shop:80"), false));
    assert_eq!(head.fingerprint, crate::http::fnv1a(&request[..request.len().min(64)]));
    connection.handle_bytes(Client, at(4), start + length, &data(END_STREAM, 1, b"body"));
    connection.handle_bytes(Server, at(5), 0, &headers(OPEN, 1, &s.block(&[":status=103"])));
    assert_eq!(connection.poll_event(), None);
    let answer = [headers(OPEN, 1, &s.status(200)), data(0, 1, &[0; 10])[..12].to_vec()].concat();
    let offset = 9 + 5;
    connection.handle_bytes(Server, at(6), offset, &answer);
    assert_eq!(connection.poll_event(), Some(Event::Response { id: 0, first: at(6) }));
    connection.handle_gap(Server, at(7), offset + answer.len() as u64, 7, b"");
    connection.handle_bytes(Server, at(8), offset + answer.len() as u64 + 7, &data(END_STREAM, 1, b"z"));
    let Some(Event::Exchange(exchange)) = connection.poll_event() else { panic!() };
    assert_eq!((exchange.request.first, exchange.request.last), (at(2), at(4)));
    let response = exchange.response.unwrap();
    assert_eq!((response.first, response.last, response.offset), (at(6), at(8), offset));
    assert_eq!((exchange.outcome, exchange.damaged), (Outcome::Complete, false));
    assert_eq!((exchange.detail.request_body, exchange.detail.response_body), (Some(4), Some(11)));
}

#[test]
fn a_gap_inside_a_payload_is_exact() {
    let mut talk = Talk::new();
    let stream = talk.ask("/big");
    let block = talk.s.status(200);
    let body = data(END_STREAM, stream, &[b'x'; 16_384]);
    let seen = [headers(OPEN, stream, &block), body[..8000].to_vec()].concat();
    talk.wire.send_cut(Server, &seen, (body.len() - 8000 - 16) as u64, &body[body.len() - 16..]);
    talk.wire.expect(&["GET /big 0 -> 200 16384 Complete 27/16413"]);
    talk.check_recovered();
    assert_eq!(talk.wire.connection.counters().lost_framing, 0);
}

#[test]
fn a_large_response_ends_with_what_the_tail_shows() {
    let mut talk = Talk::new();
    let stream = talk.ask("/big");
    let end = data(END_STREAM, stream, b"");
    talk.answer_large(stream, &[&b"xxxxxxx"[..], &end].concat());
    talk.wire.expect(&["GET /big 0 -> 200 ? Complete 27/68036 damaged"]);
    talk.check_recovered();
}

#[test]
fn a_large_response_without_a_visible_end_ends_with_the_next_request() {
    let mut talk = Talk::new();
    let stream = talk.ask("/big");
    talk.answer_large(stream, b"xxxxxxxxxxxxxxxx");
    talk.wire.skip(Server, 30_000, b"xxxxxxxxxxxxxxxx");
    talk.wire.expect(&[]);
    let second = talk.ask("/next");
    talk.wire.expect(&["GET /big 0 -> 200 ? Lost 27/98036 damaged"]);
    talk.answer(second);
    // What the server compressed before the gap is not known any more; `:status: 200` is everyone's.
    talk.wire.expect(&["GET /next 0 -> 200 0 Complete 19/12 damaged"]);
    talk.check_recovered();
    assert_eq!(talk.wire.connection.counters().failures, 0);
}

#[test]
fn concurrent_streams_in_doubt_end_with_their_frames_or_with_silence() {
    let mut talk = Talk::new();
    let (first, second) = (talk.ask("/1"), talk.ask("/2"));
    talk.answer_large(first, b"xxxxxxxxxxxxxxxx");
    talk.wire.send(Server, &frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0]));
    talk.ask("/3");
    talk.wire.expect(&[]);
    talk.answer(second);
    talk.wire.expect(&["GET /2 0 -> 200 0 Complete 17/12 damaged"]);
    talk.wire.time += 2_000_000_000;
    talk.ask("/4");
    talk.wire.expect(&["GET /1 0 -> 200 ? Lost 25/16413 damaged"]);
    assert_eq!(talk.wire.connection.outstanding(), 2);
}

#[test]
fn an_upload_out_of_sight_does_not_lose_the_next_request() {
    let mut talk = Talk::new();
    let block = talk.c.post("/up");
    let body = data(0, 1, &[b'x'; 16_384]);
    talk.wire.send_cut(Client, &[headers(OPEN, 1, &block), body[..8000].to_vec()].concat(), 60_000, b"xxxx");
    talk.answer(1);
    talk.wire.expect(&["POST /up ? -> 200 0 Complete 68027/20"]);
    talk.next = 3;
    let stream = talk.ask("/up");
    talk.answer(stream);
    // The path was indexed before the gap.
    let line = talk.wire.exchanges.pop().unwrap();
    assert_eq!(line, "GET _ 0 -> 200 0 Complete 16/12 damaged");
    talk.check_recovered();
}

#[test]
fn fields_from_before_the_attach_are_unknown_and_later_ones_exact() {
    let (mut c, mut s) = (Hpack::default(), Hpack::default());
    c.get("/old");
    s.status(302);
    let mut wire = Wire::joined();
    wire.offsets = [1000, 2000];
    wire.send(Client, &headers(ONLY, 7, &c.get("/old")));
    wire.send(Server, &headers(ONLY, 7, &s.status(302)));
    wire.send(Client, &headers(ONLY, 9, &c.block(&[":method=PATCH", ":path=/new", "user-agent=t"])));
    wire.send(Server, &headers(ONLY, 9, &s.status(307)));
    wire.send(Client, &headers(ONLY, 11, &c.block(&[":method=PATCH", ":path=/new"])));
    wire.send(Server, &headers(ONLY, 11, &s.status(307)));
    wire.expect(&[
        "GET _ 0 -> - 0 Complete 14/12 damaged",
        "PATCH /new 0 -> 307 0 Complete 22/16 damaged",
        "PATCH /new 0 -> 307 0 Complete 11/12 damaged",
    ]);
    assert_eq!(wire.connection.counters(), crate::http2::Counters::default());
}

#[test]
fn a_lost_piece_of_a_block_taints_what_is_older() {
    let mut talk = Talk::new();
    let stream = talk.ask("/1");
    talk.answer(stream);
    let block = headers(ONLY, 3, &talk.c.get("/2"));
    let cut = block.len() - 2;
    talk.wire.send_cut(Client, &block[..cut], 2, b"");
    talk.answer(3);
    talk.next = 5;
    let stream = talk.ask("/1");
    talk.answer(stream);
    talk.wire.expect(&[
        "GET /1 0 -> 200 0 Complete 25/20",
        "GET /2 0 -> 200 0 Complete 17/12 damaged",
        "GET _ 0 -> 200 0 Complete 14/12 damaged",
    ]);
    talk.check_recovered();
}

#[test]
fn an_upgraded_connection_answers_its_first_request() {
    let request = b"GET /up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let mut before = http1::Connection::opened(http1::Limits::default());
    before.handle_bytes(Client, Stamp::default(), 0, request);
    before.handle_bytes(Server, Stamp::default(), 0, switch);
    let Some(Event::Request { id: 0, .. }) = before.poll_event() else { panic!() };
    assert_eq!(before.poll_event(), None);
    let Some(http1::Successor::Http2(exchange)) = before.take_successor() else { panic!() };
    let mut wire = Wire::new(Connection::upgraded(Limits::default(), &exchange));
    let (mut c, mut s) = (Hpack::default(), Hpack::default());
    wire.offsets[0] = request.len() as u64;
    // The switch and the first frames came in one operation, which is handed over again.
    let answer = [headers(OPEN, 1, &s.status(200)), data(END_STREAM, 1, b"hello")].concat();
    wire.send(Server, &[&switch[..], &frame(SETTINGS, 0, 0, b""), &answer].concat());
    wire.expect(&["GET /up 0 -> 200 5 Complete 106/34"]);
    wire.send(Client, &[hello(), headers(ONLY, 3, &c.get("/2"))].concat());
    wire.send(Server, &headers(ONLY, 3, &s.status(200)));
    wire.expect(&["GET /2 0 -> 200 0 Complete 25/12"]);
}

#[test]
fn ten_thousand_streams_are_bounded_and_counted() {
    let mut talk = Talk::new();
    for _ in 0..10_000 {
        talk.ask("/flood");
    }
    assert_eq!(talk.wire.connection.outstanding(), 1000);
    assert_eq!(talk.wire.connection.counters().dropped_requests, 9000);
    for stream in (1..20_000).step_by(2) {
        talk.wire.send(Client, &frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    assert_eq!(talk.wire.connection.outstanding(), 0);
    assert_eq!(talk.wire.exchanges.len(), 1000);
    talk.check_recovered();
}

#[test]
fn a_flood_of_continuations_is_bounded() {
    let mut talk = Talk::new();
    talk.wire.send(Client, &headers(END_STREAM, 1, &[0x82, 0x86, 0x84]));
    for _ in 0..1000 {
        // A field that is neither wanted nor indexed.
        let field = [&[0, 1, b'a', 0x7f, 0xe9, 0x06][..], &[b'x'; 1000]].concat();
        talk.wire.send(Client, &frame(CONTINUATION, 0, 1, &field));
        assert!(talk.wire.connection.buffered() <= 160 * 1024);
    }
    talk.wire.send(Client, &frame(CONTINUATION, END_HEADERS, 1, b""));
    talk.answer(1);
    talk.wire.expect(&["GET / 0 -> 200 0 Complete 1015021/20 damaged"]);
    talk.next = 3;
    talk.check_recovered();
}

#[test]
fn a_header_bomb_is_cut() {
    let mut talk = Talk::new();
    let mut block = talk.c.block(&[":method=GET", ":scheme=http", ":path=/bomb"]);
    let value = "v".repeat(3000);
    block.extend(talk.c.block(&[&format!("tracestate={value}")]));
    block.extend(vec![0xbe; 10_000]);
    talk.wire.send(Client, &headers(ONLY, 1, &block));
    talk.answer(1);
    let line = talk.wire.exchanges.pop().unwrap();
    assert!(line.starts_with("GET /bomb 0 -> 200 0 Complete") && line.ends_with("damaged"), "{line}");
    assert!(talk.wire.connection.buffered() < 32 * 1024);
    talk.next = 3;
    talk.check_recovered();
}

#[test]
fn requests_that_are_taken_back_at_once_are_told_and_hold_nothing() {
    let mut talk = Talk::new();
    for _ in 0..10_000 {
        let stream = talk.ask("/flood");
        talk.wire.send(Client, &frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    assert_eq!(talk.wire.exchanges.len(), 10_000);
    assert!(talk.wire.exchanges.iter().all(|line| line.contains("Reset")), "{}", talk.wire.exchanges[0]);
    assert_eq!(
        (talk.wire.connection.outstanding(), talk.wire.connection.counters().dropped_requests),
        (0, 0)
    );
    assert!(talk.wire.connection.buffered() < 4096);
    talk.check_recovered();
}

#[test]
fn resets_of_streams_that_never_were_are_nothing() {
    let mut talk = Talk::new();
    for stream in (1..20_000).step_by(2) {
        talk.wire.send(Client, &frame(RST_STREAM, 0, stream + 100_000, &[0, 0, 0, 8]));
        talk.wire.send(Server, &frame(RST_STREAM, 0, stream + 100_000, &[0, 0, 0, 7]));
    }
    talk.wire.expect(&[]);
    assert!(talk.wire.connection.buffered() < 4096);
    talk.check_recovered();
}

#[test]
fn settings_of_any_length_and_number_are_bounded() {
    let mut talk = Talk::new();
    // The header table's size, as large as it can be said.
    let settings = [0, 1, 0xff, 0xff, 0xff, 0xff].repeat(2730);
    for _ in 0..1000 {
        talk.wire.send(Server, &frame(SETTINGS, 0, 0, &settings));
        talk.wire.send(Client, &frame(SETTINGS, 0, 0, &settings));
        assert!(talk.wire.connection.buffered() < 4096);
    }
    talk.check_recovered();
    // In two pieces, so that it has to be held.
    let whole = frame(SETTINGS, 0, 0, &settings);
    talk.wire.send(Client, &whole[..9000]);
    assert!(talk.wire.connection.buffered() < 4096);
    talk.wire.send(Client, &whole[9000..]);
    talk.check_recovered();
    assert_eq!(talk.wire.connection.counters().failures, 0);
}

/// Each with as much as is kept of a request.
#[test]
fn the_heads_of_open_streams_are_bounded() {
    let mut talk = Talk::new();
    let long = "v".repeat(4096);
    let fields = ["tracestate", "baggage", "user-agent", "x-forwarded-for", ":authority"];
    for number in 0..1000_u32 {
        let path = format!(":path=/{}", "p".repeat(4095));
        let mut block = talk.c.block(&[":method=GET", ":scheme=http", &path]);
        for name in fields {
            block.extend(talk.c.block(&[&format!("{name}={long}")]));
        }
        let [first, second] = [&block[..block.len() / 2], &block[block.len() / 2..]];
        talk.wire.send(Client, &headers(END_STREAM, 2 * number + 1, first));
        talk.wire.send(Client, &frame(CONTINUATION, END_HEADERS, 2 * number + 1, second));
        assert!(talk.wire.connection.buffered() <= (2 << 20) + (256 << 10), "{number}");
    }
    let counters = talk.wire.connection.counters();
    assert_eq!(
        (counters.dropped_requests as usize, counters.failures),
        (1000 - talk.wire.connection.outstanding(), 0)
    );
    assert!(talk.wire.connection.outstanding() > 70, "{}", talk.wire.connection.outstanding());
    for stream in (1..2000).step_by(2) {
        talk.wire.send(Client, &frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    assert_eq!(talk.wire.connection.outstanding(), 0);
    assert!(talk.wire.connection.buffered() <= 256 << 10);
    talk.next = 2001;
    talk.check_recovered();
}

/// The longest frame there is, said in the middle of a connection, where nobody knows what was agreed on. What comes
/// after it is found, whatever it was.
#[test]
fn frames_of_sixteen_mebibytes_hold_little() {
    for (kind, flags, stream) in
        [(0, 0, 1), (1, OPEN, 3), (4, 0, 0), (5, 0, 1), (7, 0, 0), (9, OPEN, 1), (0x42, 0, 0)]
    {
        let mut wire = Wire::joined();
        let mut hpack = Hpack::default();
        // Something that shows where frames begin.
        wire.send(Client, &frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0]));
        wire.send(Client, &headers(ONLY, 1, &hpack.get("/before")));
        wire.send(Client, &[0xff, 0xff, 0xff, kind, flags, 0, 0, 0, stream]);
        let mut left = (1 << 24) - 1;
        while left > 0 {
            let piece = left.min(128 << 10);
            wire.send(Client, &[0x41; 128 << 10][..piece]);
            left -= piece;
            assert!(wire.connection.buffered() <= 160 * 1024, "{kind}: {}", wire.connection.buffered());
        }
        wire.expect(&[]);
        wire.send(Client, &headers(ONLY, 101, &hpack.get("/after")));
        wire.send(Server, &headers(ONLY, 101, &Hpack::default().status(200)));
        let line = wire.exchanges.pop().unwrap_or_default();
        assert!(line.starts_with("GET /after 0 -> 200 0 Complete 20/20"), "{kind}: {line}");
        wire.expect(&[]);
        // SETTINGS of that length, a client's promise and a CONTINUATION of nothing are none.
        let senseless = matches!(kind, 4 | 5 | 9);
        assert_eq!(wire.connection.counters().failures, u32::from(senseless), "{kind}");
    }
}

/// Lengths of 4 GiB: of a name and a value (RFC 7541, 5.2), of gRPC's message, of padding as far as it goes.
#[test]
fn lengths_of_four_gibibytes_cost_themselves() {
    let most = [0x7f, 0x80, 0xff, 0xff, 0xff, 0x0f];
    let name = [&[0x82, 0x86, 0x84, 0x40][..], &most, b"name"].concat();
    let value = [&[0x82, 0x86, 0x84, 0x40, 4][..], b"name", &most, b"value"].concat();
    for block in [name, value] {
        let mut talk = Talk::new();
        talk.wire.send(Client, &headers(ONLY, 1, &block));
        assert_eq!(talk.wire.connection.counters().failures, 1);
        assert!(talk.wire.connection.buffered() < 4096);
        talk.next = 3;
        talk.check_recovered();
    }
    let mut talk = Talk::new();
    let block =
        talk.c.block(&[":method=POST", ":scheme=http", ":path=/s/M", "content-type=application/grpc"]);
    talk.wire.send(Client, &headers(OPEN, 1, &block));
    talk.wire.send(Client, &data(END_STREAM, 1, b"\0\xff\xff\xff\xffshort"));
    talk.answer(1);
    assert!(
        talk.wire.exchanges[0].starts_with("POST /s/M 10 -> 200 0 Complete"),
        "{:?}",
        talk.wire.exchanges
    );
    assert!(talk.wire.connection.buffered() < 4096);
    // More padding than there is payload (RFC 9113, 6.1).
    let block = talk.c.get("/padded");
    talk.wire.send(Client, &headers(OPEN, 3, &block));
    talk.wire.send(Client, &frame(0, 8 | END_STREAM, 3, &[255, 1, 2]));
    talk.wire.send(Client, &frame(1, 8 | END_HEADERS | END_STREAM, 5, &[255, 0x82]));
    talk.next = 7;
    talk.check_recovered();
}

/// Both sides agree on a table of 4 GiB, and the client fills it.
#[test]
fn a_table_of_any_size_is_bounded() {
    let mut talk = Talk::new();
    talk.wire.send(Server, &frame(SETTINGS, 0, 0, &[0, 1, 0xff, 0xff, 0xff, 0xff]));
    // Size 2^32 - 1 (RFC 7541, 6.3), and fields that are kept, of a thousand bytes each.
    let size = [0x3f, 0xe0, 0xff, 0xff, 0xff, 0x0f];
    let field = [&[0x40, 10][..], b"tracestate", &[0x7f, 0xe9, 0x06], &[b'x'; 1000]].concat();
    for number in 0..2000 {
        let start: &[u8] = if number == 0 { &size } else { &[] };
        let block = [start, &[0x82, 0x86, 0x84], &field[..]].concat();
        talk.wire.send(Client, &headers(ONLY, talk.next, &block));
        talk.answer(talk.next);
        talk.next += 2;
        assert!(talk.wire.connection.buffered() <= 80 * 1024, "{}", talk.wire.connection.buffered());
    }
    assert_eq!((talk.wire.exchanges.len(), talk.wire.connection.counters().failures), (2000, 0));
}

/// RFC 9113, 6.10: nothing comes between the parts of a header block.
#[test]
fn what_comes_between_the_parts_of_a_block_breaks_it() {
    let between = [
        data(0, 1, b"x"),
        frame(CONTINUATION, END_HEADERS, 3, b""),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0]),
        headers(ONLY, 3, &[0x82, 0x86, 0x84]),
    ];
    for other in between {
        let mut talk = Talk::new();
        talk.wire.send(Client, &headers(END_STREAM, 1, &[0x82, 0x86]));
        talk.wire.send(Client, &other);
        assert_eq!(talk.wire.connection.counters().failures, 1, "{other:?}");
        talk.wire.send(Client, &frame(CONTINUATION, END_HEADERS, 1, &[0x84]));
        talk.next = 5;
        talk.check_recovered();
    }
}

#[test]
fn garbage_is_counted_and_in_the_end_too_much() {
    let mut talk = Talk::new();
    for count in 1..8 {
        talk.wire.send(Client, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff garbage");
        assert_eq!(talk.wire.connection.counters().failures, count);
        talk.check_recovered();
    }
    talk.ask("/last");
    talk.wire.send(Client, b"GET / HTTP/1.1\r\n\r\n");
    assert!(talk.wire.connection.failed());
    talk.wire.expect(&["GET /last 0 -> - ? Lost 19/0 damaged"]);
    talk.ask("/ignored");
    talk.wire.expect(&[]);
    talk.wire.close();
    assert_eq!(talk.wire.connection.state(), State::Closed);
}

/// Bytes that are never a frame: a wrong guess, another protocol from some point on.
#[test]
fn noise_without_end_is_given_up() {
    let mut talk = Talk::new();
    let stream = talk.ask("/asked");
    // Two of them break what was known, and the rest is counted 256 by 256.
    for count in 0..256 * 6 {
        assert!(!talk.wire.connection.failed(), "{count}");
        let from = if count % 2 == 0 { Client } else { Server };
        talk.wire.send(from, &[0xee; 1000]);
    }
    assert!(talk.wire.connection.failed());
    talk.answer(stream);
    talk.wire.expect(&["GET /asked 0 -> - ? Lost 29/0 damaged"]);
}

/// A body without end of which the start was missed, while the other side says now and then that it reads.
#[test]
fn a_body_joined_in_the_middle_is_no_noise() {
    let mut wire = Wire::joined();
    for _ in 0..10_000 / 200 {
        for _ in 0..200 {
            wire.send(Server, &[0xee; 1000]);
        }
        wire.send(Client, &frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0]));
    }
    assert_eq!(wire.connection.counters().failures, 0);
    wire.send(Client, &headers(ONLY, 101, &Hpack::default().get("/after")));
    wire.send(Server, &headers(ONLY, 101, &Hpack::default().status(200)));
    assert!(wire.exchanges[0].starts_with("GET /after 0 -> 200"), "{:?}", wire.exchanges);
}

#[test]
fn a_senseless_block_costs_itself() {
    let mut talk = Talk::new();
    talk.wire.send(Client, &headers(ONLY, 1, &[0x82, 0x86, 0x84, 0xfe]));
    assert_eq!(talk.wire.connection.counters().failures, 1);
    talk.answer(1);
    talk.wire.expect(&["GET / 0 -> 200 0 Complete 13/20 damaged"]);
    talk.next = 3;
    talk.check_recovered();
}

#[test]
fn the_end_of_the_connection_ends_what_is_open() {
    let mut talk = Talk::new();
    let stream = talk.ask("/1");
    let block = talk.s.status(200);
    talk.wire.send(Server, &headers(OPEN, stream, &block));
    talk.ask("/2");
    talk.wire.shutdown(Client);
    talk.wire.expect(&[]);
    talk.wire.connection.handle_close(Stamp::default(), CloseReason::Error(104));
    talk.wire.drain();
    talk.wire
        .expect(&["GET /1 0 -> 200 ? Aborted(Error(104)) 25/20", "GET /2 0 -> - ? Aborted(Error(104)) 17/0"]);
    let mut talk = Talk::new();
    let stream = talk.ask("/1");
    talk.answer_large(stream, b"");
    talk.wire.shutdown(Server);
    talk.wire.expect(&["GET /1 0 -> 200 ? Lost 25/68020 damaged"]);
}

#[test]
fn orphans_and_events_are_bounded() {
    let mut wire = Wire::joined();
    let mut s = Hpack::default();
    for stream in (1..2001).step_by(2) {
        wire.send(Server, &headers(OPEN, stream, &s.status(200)));
    }
    assert!(wire.connection.buffered() < 64 * 1024);
    wire.send(Client, &headers(ONLY, 5001, &Hpack::default().get("/1")));
    assert_eq!(wire.connection.counters().orphan_responses, 64);
    let mut connection = Connection::opened(Limits { events: 4, ..Limits::default() });
    let mut c = Hpack::default();
    let requests: Vec<u8> = (0..10).flat_map(|index| headers(ONLY, index * 2 + 1, &c.get("/"))).collect();
    connection.handle_bytes(Client, Stamp::default(), 0, &[hello(), requests].concat());
    assert_eq!(connection.counters().dropped_events, 6);
    assert!(connection.poll_event().is_some_and(|event| summary(&event).is_none()));
}

#[test]
fn bytes_handed_over_twice_count_once() {
    let mut talk = Talk::new();
    let stream = talk.ask("/1");
    talk.wire.offsets[0] -= 10;
    talk.wire.send(Client, &[0; 10]);
    talk.answer(stream);
    talk.wire.send(Server, &frame(GOAWAY, 0, 0, &[0; 8]));
    talk.wire.expect(&["GET /1 0 -> 200 0 Complete 25/20"]);
    talk.check_recovered();
}

/// `cargo test --release -p honeyguide-protocols cost -- --ignored --nocapture`
#[test]
#[ignore = "prints a measurement"]
fn cost() {
    const EXCHANGES: u32 = 200_000;
    for round in 0..5 {
        let mut connection = Connection::opened(Limits::default());
        let (mut c, mut s) = (Hpack::default(), Hpack::default());
        connection.handle_bytes(Client, Stamp::default(), 0, &hello());
        let mut offsets = [hello().len() as u64, 0];
        let wire: Vec<_> = (0..EXCHANGES)
            .map(|index| {
                let stream = index * 2 + 1;
                let request = c.block(&[
                    ":method=GET",
                    ":scheme=http",
                    &format!(":path=/api/v1/items/{}?full=1", index % 50),
                    ":authority=shop.example:8080",
                    "user-agent=Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101",
                    "accept=application/json",
                    "cookie=session=0123456789abcdef0123456789abcdef",
                    &format!("traceparent=00-4bf92f3577b34da6a3ce929d{index:08x}-00f067aa0ba902b7-01"),
                ]);
                let response =
                    s.block(&[":status=200", "server=nginx/1.22.1", "content-type=application/json"]);
                let answer = [headers(OPEN, stream, &response), data(END_STREAM, stream, b"{\"ok\": true}")];
                (headers(ONLY, stream, &request), answer.concat())
            })
            .collect();
        let mut ended = 0;
        let start = std::time::Instant::now();
        for (index, (request, answer)) in wire.iter().enumerate() {
            let at = Stamp { time: index as u64, ..Stamp::default() };
            connection.handle_bytes(Client, at, offsets[0], request);
            connection.handle_bytes(Server, at, offsets[1], answer);
            offsets = [offsets[0] + request.len() as u64, offsets[1] + answer.len() as u64];
            while let Some(event) = connection.poll_event() {
                ended += u32::from(matches!(event, Event::Exchange(_)));
            }
        }
        println!("round {round}: {} ns per exchange", start.elapsed().as_nanos() / u128::from(EXCHANGES));
        assert_eq!(ended, EXCHANGES);
    }
}
