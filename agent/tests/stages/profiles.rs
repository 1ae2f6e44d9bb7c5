//! What a sample's thread worked for.

use honeyguide::profile::serving::{Asked, Found, PATIENCE, Served, Serving};
use honeyguide_protocols::Actor;

use crate::stream::{By, GET, MS, OK, Stream};

const SERVER: By = By(1, 1);

/// What the server's thread worked for half-way through a request with these bytes.
fn sampled_in(request: &[u8], answer: &[u8]) -> (Stream, Served) {
    let mut stream = Stream::new();
    stream.engine.serving = Some(Serving::default());
    stream.open(10, SERVER, 80, 5000);
    stream.received(10, SERVER, request);
    let time = stream.now;
    stream.wait(MS);
    stream.sent(10, SERVER, answer);
    stream.wait(PATIENCE);
    let runner = Actor { pid: 1, tid: 1, context: 0 };
    let asked = [Asked { runner, moves: false, times: time..=time }];
    let found = stream.engine.serving.as_ref().map(|serving| serving.find(&asked));
    match found.unwrap_or_default().pop() {
        Some(Found::Served(served)) => (stream, served),
        found => panic!("{found:?}"),
    }
}

#[test]
fn a_sample_knows_its_span_and_its_operation() {
    let (stream, served) = sampled_in(GET, OK);
    let spans = stream.finish();
    let span = spans.server(1);
    assert_eq!(served.link, Some((span.trace_id, span.span_id)));
    assert_eq!(served.operation, Some(("http.route", span.attributes.text("http.route").unwrap().into())));
}

/// The rate of traces is no rate of profiles.
#[test]
fn the_operation_is_known_of_a_request_that_is_not_sampled() {
    let unsampled = b"GET /orders/17 HTTP/1.1\r\nHost: a\r\n\
                      traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\n\r\n";
    let (stream, served) = sampled_in(unsampled, OK);
    assert_eq!(stream.engine.counters.not_sampled, 1);
    let operation = Some(("http.route", "/orders/{id}".into()));
    assert_eq!(served, Served { link: None, operation });

    let redis = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n";
    let (_, served) = sampled_in(redis, b"$1\r\nb\r\n");
    assert_eq!(served.operation, Some(("db.operation.name", "GET".into())));
}
