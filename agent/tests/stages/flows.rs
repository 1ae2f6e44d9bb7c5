//! From records to exchanges: order, gaps, detection, ends.

use honeyguide::attribute::Value;
use honeyguide_common::verdict;

use crate::stream::{By, GET, MS, OK, Stream};

const BY: By = By(1, 1);

#[test]
fn times_are_those_of_the_first_byte_read_and_the_last_byte_sent() {
    let mut stream = Stream::new();
    stream.open(10, BY, 80, 5000);
    let first = stream.now + MS;
    stream.received(10, BY, &GET[..5]);
    stream.received(10, BY, &GET[5..]);
    stream.sent(10, BY, &OK[..20]);
    stream.sent(10, BY, &OK[20..]);
    let last = stream.now;
    let spans = stream.finish();
    let span = spans.server(1);
    assert_eq!((span.start, span.end), (first, last));
    assert_eq!(span.name, "GET /a");
    assert_eq!(span.attributes.find("http.response.status_code"), Some(&Value::Int(200)));
}

#[test]
fn a_protocol_is_detected_from_any_first_pieces() {
    for cut in 1..GET.len() {
        let mut stream = Stream::new();
        stream.open(10, BY, 80, 5000);
        stream.received(10, BY, &GET[..cut]);
        stream.received(10, BY, &GET[cut..]);
        stream.sent(10, BY, OK);
        assert_eq!(stream.finish().0.len(), 1, "cut at {cut}");
    }
}

#[test]
fn what_speaks_nothing_known_is_ignored_and_the_kernel_told() {
    let mut stream = Stream::new();
    stream.open(10, BY, 22, 5000);
    stream.sent(10, BY, b"SSH-2.0-OpenSSH\r\n");
    stream.received(10, BY, b"SSH-2.0-client\r\n");
    assert_eq!(stream.engine.flows.take_verdicts(), [(10, verdict::IGNORE)]);
    assert_eq!(stream.engine.flows.counters.ignored, 1);
    assert!(stream.finish().0.is_empty());
}

/// `Upgrade: h2c`: the answer to the request comes on stream 1, and HTTP/2 goes on (RFC 7540, 3.2).
#[test]
fn an_upgrade_to_http2_goes_on_and_its_request_is_one_span() {
    let mut stream = Stream::new();
    stream.open(10, BY, 80, 5000);
    let upgrade =
        b"GET /first HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
        HTTP2-Settings: AAMAAABk\r\n\r\n";
    stream.received(10, BY, upgrade);
    let start = stream.now;
    // The switch, SETTINGS and `:status: 404` in one write, then the body.
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let answer = b"\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x04\0\0\0\x01\x8d";
    stream.sent(10, BY, &[&switch[..], answer].concat());
    stream.sent(10, BY, b"\0\0\x02\0\x01\0\0\0\x01no");
    let end = stream.now;
    // The client's preface, SETTINGS, and `GET /` on stream 3; the answer 200.
    stream.received(
        10,
        BY,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x03\x01\x05\0\0\0\x03\x82\x86\x84",
    );
    stream.sent(10, BY, b"\0\0\x01\x01\x05\0\0\0\x03\x88");
    assert_eq!(stream.engine.flows.take_verdicts(), [(10, verdict::FRAMES)]);
    assert_eq!(stream.engine.flows.counters.upgraded, 1);
    let spans = stream.finish().0;
    let said = |span: &honeyguide::span::Span| {
        let of = |key| span.attributes.find(key).cloned();
        (of("url.path"), of("http.response.status_code"), of("honeyguide.damaged"))
    };
    let text = |text: &'static str| Some(Value::Str(text.into()));
    assert_eq!(
        spans.iter().map(said).collect::<Vec<_>>(),
        [(text("/first"), Some(Value::Int(404)), None), (text("/"), Some(Value::Int(200)), None)]
    );
    assert_eq!((spans[0].start, spans[0].end), (start, end));
}

#[test]
fn what_passes_in_a_tunnel_is_found() {
    let mut stream = Stream::new();
    stream.open(10, BY, 3128, 5000);
    stream.received(10, BY, b"CONNECT shop:80 HTTP/1.1\r\nHost: shop:80\r\n\r\n");
    stream.sent(10, BY, b"HTTP/1.1 200 Connection established\r\n\r\n");
    stream.received(10, BY, GET);
    stream.sent(10, BY, OK);
    assert_eq!(stream.finish().0.len(), 2);
}

/// A load balancer says who its client is, in front of what that sends: the PROXY protocol, of both versions, written with
/// the first request or before it.
#[test]
fn what_a_proxy_says_first_hides_no_request() {
    let text = &b"PROXY TCP4 10.9.9.9 10.0.0.2 4000 80\r\n"[..];
    let binary = &b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\x09\x09\x09\x0a\0\0\x02\x0f\xa0\0\x50"[..];
    let preface = &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..];
    let get = |stream: u8| [&b"\0\0\x03\x01\x05\0\0\0"[..], &[stream], b"\x82\x86\x84"].concat();
    let ok = |stream: u8| [&b"\0\0\x01\x01\x05\0\0\0"[..], &[stream], b"\x88"].concat();
    let redis = |key: char| format!("*2\r\n$3\r\nGET\r\n$1\r\n{key}\r\n").into_bytes();
    let asks_and_answers = [
        ([GET.to_vec(), GET.to_vec()], [OK.to_vec(), OK.to_vec()], "GET /a"),
        ([[preface, &get(1)].concat(), get(3)], [ok(1), ok(3)], "GET /"),
        ([redis('a'), redis('b')], [b"$1\r\nx\r\n".to_vec(), b"$1\r\ny\r\n".to_vec()], "GET 127.0.0.1:80"),
    ];
    for header in [text, binary] {
        for ([first, second], answers, name) in &asks_and_answers {
            for cut in 0..header.len() + first.len() {
                // Its sender writes it in one go.
                let cut = if cut < header.len() { 0 } else { cut };
                let all = [header, first].concat();
                let mut stream = Stream::new();
                stream.open(10, BY, 80, 5000);
                for piece in [&all[..cut], &all[cut..]].into_iter().filter(|piece| !piece.is_empty()) {
                    stream.received(10, BY, piece);
                }
                stream.sent(10, BY, &answers[0]);
                stream.received(10, BY, second);
                stream.sent(10, BY, &answers[1]);
                let spans = stream.finish();
                let whole = |span: &&honeyguide::span::Span| {
                    span.name == *name && span.attributes.find("honeyguide.end").is_none()
                };
                assert_eq!(spans.0.iter().filter(whole).count(), 2, "{name} cut at {cut}: {:?}", spans.0);
                assert_eq!(spans.0.len(), 2);
            }
        }
    }
}

#[test]
fn a_tunnel_of_something_else_is_left_alone_soon() {
    let mut stream = Stream::new();
    stream.open(10, BY, 3128, 5000);
    stream.received(10, BY, b"CONNECT shop:443 HTTP/1.1\r\nHost: shop:443\r\n\r\n");
    stream.sent(10, BY, b"HTTP/1.1 200 Connection established\r\n\r\n");
    for _ in 0..20 {
        stream.received(10, BY, b"\x16\x03\x01\x02\x00");
        stream.sent(10, BY, b"\x16\x03\x03\x02\x00");
    }
    assert_eq!(stream.engine.flows.take_verdicts().first(), Some(&(10, verdict::IGNORE)));
    assert_eq!(stream.finish().0.len(), 1);
}

/// Nothing probes the library that encrypts it.
#[test]
fn tls_that_cannot_be_looked_into_is_counted() {
    let mut stream = Stream::new();
    stream.open(10, BY, 443, 5000);
    stream.received(10, BY, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    stream.sent(10, BY, b"\x16\x03\x03\x00\x7a\x02");
    assert_eq!(stream.engine.flows.states().opaque, 1);
    assert_eq!(stream.engine.flows.take_verdicts().first(), Some(&(10, verdict::IGNORE)));
    stream.state(10, 1, 7, 0);
    assert_eq!(stream.engine.flows.counters.opaque, 1);
    assert!(stream.finish().0.is_empty());
}

/// What began as HTTP/2 and is something else: no span is made up, and the kernel stops recording.
#[test]
fn http2_that_becomes_noise_is_given_up() {
    let mut stream = Stream::new();
    stream.open(10, BY, 80, 5000);
    let request =
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84";
    stream.received(10, BY, request);
    stream.sent(10, BY, b"\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x05\0\0\0\x01\x88");
    let mut noise = 1_u32;
    for _ in 0..1100 {
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise.to_be_bytes()[0] | 0x80
        })
        .take(1000)
        .collect();
        stream.received(10, BY, &bytes);
        stream.sent(10, BY, &bytes);
    }
    let verdicts = stream.engine.flows.take_verdicts();
    assert_eq!(
        (verdicts.first(), verdicts.get(1)),
        (Some(&(10, verdict::FRAMES)), Some(&(10, verdict::IGNORE)))
    );
    assert_eq!((stream.engine.flows.counters.failed, stream.engine.flows.states().ignored), (1, 1));
    assert!(stream.engine.flows.counters.malformed_messages >= 8);
    assert_eq!(stream.finish().0.len(), 1);
}

#[test]
fn a_busy_connection_is_kept_without_further_questions() {
    let mut stream = Stream::new();
    stream.open(10, BY, 80, 5000);
    for _ in 0..20 {
        stream.received(10, BY, GET);
        stream.sent(10, BY, OK);
    }
    assert_eq!(stream.engine.flows.take_verdicts(), [(10, verdict::KEEP)]);
    assert_eq!(stream.finish().0.len(), 20);
}

#[test]
fn a_lost_record_costs_its_exchange_at_most() {
    let mut stream = Stream::new();
    stream.open(10, BY, 80, 5000);
    stream.received(10, BY, GET);
    stream.sent(10, BY, OK);
    // The request and the answer of the second exchange are lost in the kernel.
    stream.lose_received(10, GET.len() as u64);
    stream.lose_sent(10, OK.len() as u64);
    stream.received(10, BY, GET);
    stream.sent(10, BY, OK);
    stream.received(10, BY, GET);
    stream.sent(10, BY, OK);
    assert_eq!(stream.engine.flows.counters.lost_stretches, 2);
    let spans = stream.finish().0;
    let whole = |span: &&honeyguide::span::Span| span.attributes.find("honeyguide.damaged").is_none();
    assert!((2..=3).contains(&spans.len()), "{spans:#?}");
    assert!(spans.iter().filter(whole).count() >= 2, "{spans:#?}");
}

#[test]
fn a_long_body_is_counted_by_its_cut_records() {
    let mut stream = Stream::new();
    stream.open(10, BY, 80, 5000);
    stream.received(10, BY, GET);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    stream.sent_cut(10, BY, head, head.len() + 60_000, b"0123456789abcdef");
    stream.sent_cut(10, BY, b"", 40_000, b"0123456789abcdef");
    let end = stream.now;
    stream.received(10, BY, GET);
    stream.sent(10, BY, OK);
    let spans = stream.finish().0;
    assert_eq!(spans.len(), 2);
    assert_eq!(spans[0].end, end);
    assert_eq!(spans[0].attributes.find("http.response.body.size"), Some(&Value::Int(100_000)));
    assert_eq!(spans[0].attributes.find("honeyguide.damaged"), None);
}

#[test]
fn a_chunked_body_ends_at_the_tail_of_a_cut_record() {
    let mut stream = Stream::new();
    stream.open(10, BY, 80, 5000);
    stream.received(10, BY, GET);
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2000\r\n";
    stream.sent(10, BY, head);
    stream.sent_cut(10, BY, b"", 0x2000 + 2 + 40_000, b"123456789\r\n0\r\n\r\n");
    let end = stream.now;
    stream.wait(300 * MS);
    let spans = stream.finish().0;
    assert_eq!((spans.len(), spans[0].end), (1, end));
}

#[test]
fn a_reset_ends_the_request_with_its_error() {
    let mut stream = Stream::new();
    stream.open(10, BY, 80, 5000);
    stream.received(10, BY, GET);
    stream.state(10, 1, 7, libc::ECONNRESET);
    let spans = stream.finish();
    let span = spans.server(1);
    assert_eq!(span.attributes.text("error.type"), Some("connection_reset"));
    assert_eq!(span.attributes.find("http.response.status_code"), None);
}

/// The reset is known before the bytes that came with it are read.
#[test]
fn bytes_read_after_a_reset_still_count() {
    let mut stream = Stream::new();
    stream.open(10, BY, 6000, 90);
    stream.sent(10, BY, GET);
    stream.state(10, 1, 7, libc::ECONNRESET);
    stream.received(10, BY, OK);
    let spans = stream.finish();
    let span = spans.client(1);
    assert_eq!(span.attributes.find("http.response.status_code"), Some(&Value::Int(200)));
    assert_eq!(span.attributes.text("error.type"), None);
}

#[test]
fn a_response_without_length_ends_when_its_sender_closes() {
    let mut stream = Stream::new();
    stream.open(10, BY, 80, 5000);
    stream.received(10, BY, b"GET /a HTTP/1.0\r\n\r\n");
    stream.sent(10, BY, b"HTTP/1.0 200 OK\r\n\r\nsome");
    stream.sent(10, BY, b" body");
    let end = stream.now;
    stream.state(10, 1, 4, 0);
    let spans = stream.finish();
    assert_eq!(spans.server(1).end, end);
    assert_eq!(spans.server(1).attributes.find("http.response.body.size"), Some(&Value::Int(9)));
}

#[test]
fn what_was_in_flight_at_the_start_is_not_reported_as_whole() {
    let mut stream = Stream::new();
    // No connection record, and the first thing seen is the middle of an answer.
    stream.lose_sent(10, 5_000);
    stream.sent(10, BY, b"the rest of some body, and no HTTP");
    stream.received(10, BY, GET);
    stream.sent(10, BY, OK);
    let spans = stream.finish().0;
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].name, "GET /a");
}

#[test]
fn the_table_of_connections_is_bounded() {
    let mut stream = Stream::with(64, 1_000);
    for socket in 0..1_000_u16 {
        stream.open(u64::from(socket), BY, 80, socket + 1);
        stream.received(u64::from(socket), BY, GET);
        stream.sent(u64::from(socket), BY, OK);
    }
    assert!(stream.engine.flows.len() <= 64);
    assert!(stream.engine.flows.counters.evicted >= 1_000 - 64);
    assert_eq!(stream.finish().0.len(), 1_000);
}
