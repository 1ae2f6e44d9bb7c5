use std::{
    io::Read as _,
    net::TcpListener,
    time::{Duration, SystemTime},
};

use honeyguide::export::{
    counters::SignalSnapshot,
    settings::{Compression, Protocol, RetrySettings},
};
use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    trace::v1::TracesData,
};
use prost::Message as _;

use crate::{
    peer::{Peer, Reply, reply},
    sample::{five_spans, metrics, otlp, spans, start, traces, with},
};

/// What is counted when all five spans arrive with the first request.
const DELIVERED: SignalSnapshot = SignalSnapshot {
    offered: 5,
    pending: 0,
    exported: 5,
    queue_full: 0,
    rejected: 0,
    permanent: 0,
    retries_exhausted: 0,
    shutdown: 0,
    requests: 1,
    retries: 0,
};

const LOST: SignalSnapshot = SignalSnapshot { exported: 0, ..DELIVERED };

fn protobuf(peer: &Peer) -> honeyguide::export::settings::OtlpSettings {
    otlp(&peer.url(), Protocol::HttpProtobuf)
}

fn span_count(message: &ExportTraceServiceRequest) -> usize {
    message.resource_spans.iter().flat_map(|r| &r.scope_spans).map(|s| s.spans.len()).sum()
}

#[test]
fn protobuf_arrives_with_its_headers() {
    let peer = Peer::start([]);
    let settings = with(protobuf(&peer), |signal| {
        signal.headers = vec![("Authorization".to_owned(), "Basic dTpw".to_owned())];
    });
    let exporters = start(settings);
    exporters.spans(spans(5));
    exporters.metrics(metrics(3));
    let summary = exporters.shutdown(Duration::from_secs(10));
    assert_eq!(traces(&summary), DELIVERED);
    let expect = SignalSnapshot { offered: 3, exported: 3, ..DELIVERED };
    assert_eq!(summary.destinations[0].metrics, expect);

    let mut requests = peer.requests();
    requests.sort_by(|a, b| a.path.cmp(&b.path));
    let [metrics, traces] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!((metrics.path.as_str(), traces.path.as_str()), ("/v1/metrics", "/v1/traces"));
    assert_eq!(traces.headers["content-type"], "application/x-protobuf");
    assert_eq!(traces.headers["user-agent"], concat!("honeyguide/", env!("CARGO_PKG_VERSION")));
    assert_eq!(traces.headers["authorization"], "Basic dTpw");
    assert_eq!(traces.headers.get("content-encoding"), None);
    assert_eq!(span_count(&ExportTraceServiceRequest::decode(traces.body.as_slice()).unwrap()), 5);
    let message = ExportMetricsServiceRequest::decode(metrics.body.as_slice()).unwrap();
    assert_eq!(message.resource_metrics[0].scope_metrics[0].metrics[0].name, "queue.depth");
}

#[test]
fn json_arrives_compressed() {
    for (compression, coding) in [(Compression::Gzip, "gzip"), (Compression::Zstd, "zstd")] {
        let peer = Peer::start([]);
        let settings = with(otlp(&peer.url(), Protocol::HttpJson), |signal| signal.compression = compression);
        assert_eq!(five_spans(settings), DELIVERED);
        let [request] = &peer.requests()[..] else { panic!("not one request") };
        assert_eq!(request.headers["content-type"], "application/json");
        assert_eq!(request.headers["content-encoding"], coding);
        let mut body = Vec::new();
        match compression {
            Compression::Gzip => {
                flate2::read::GzDecoder::new(request.body.as_slice()).read_to_end(&mut body).unwrap();
            }
            Compression::Zstd => body = zstd::decode_all(request.body.as_slice()).unwrap(),
            Compression::None => unreachable!(),
        }
        let message: TracesData = serde_json::from_slice(&body).unwrap();
        assert_eq!(message.resource_spans[0].scope_spans[0].spans.len(), 5);
    }
}

#[test]
fn every_retryable_status_is_retried_and_no_other() {
    for status in ["429 Too Many Requests", "502 Bad Gateway", "503 Unavailable", "504 Gateway Timeout"] {
        let peer = Peer::start([reply(status, "", b"later"), reply(status, "", b"")]);
        let expect = SignalSnapshot { requests: 3, retries: 2, ..DELIVERED };
        assert_eq!(five_spans(protobuf(&peer)), expect, "{status}");
        let bodies: Vec<_> = peer.requests().into_iter().map(|request| request.body).collect();
        assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "a retry sends the same");
    }
    for status in
        ["400 Bad Request", "401 Unauthorized", "404 Not Found", "500 Internal Server Error", "301 Moved"]
    {
        let peer = Peer::start([reply(status, "location: /elsewhere\r\n", b"no")]);
        assert_eq!(five_spans(protobuf(&peer)), SignalSnapshot { permanent: 5, ..LOST }, "{status}");
    }
}

#[test]
fn retry_after_is_waited_for() {
    let date = || httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2));
    for wish in [&|| "1".to_owned(), &date as &dyn Fn() -> String] {
        let wish = wish();
        let wait = reply("503 Unavailable", &format!("retry-after: {wish}\r\n"), b"");
        let peer = Peer::start([wait]);
        let before = SystemTime::now();
        let expect = SignalSnapshot { requests: 2, retries: 1, ..DELIVERED };
        assert_eq!(five_spans(protobuf(&peer)), expect);
        // A lower bound only: dates have whole seconds.
        assert!(before.elapsed().unwrap() >= Duration::from_millis(950), "{wish} was not waited for");
    }
}

#[test]
fn a_wish_beyond_the_time_for_retries_ends_them() {
    let peer = Peer::start([reply("503 Unavailable", "retry-after: 3600\r\n", b"")]);
    assert_eq!(five_spans(protobuf(&peer)), SignalSnapshot { retries_exhausted: 5, ..LOST });
}

#[test]
fn partial_success_is_counted_and_not_retried() {
    let json = br#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}"#;
    let protobuf_body = b"\x0a\x0b\x08\x02\x12\x07too old";
    for answer in [
        reply("200 OK", "content-type: application/json\r\n", json),
        reply("200 OK", "content-type: application/x-protobuf\r\n", protobuf_body),
    ] {
        let peer = Peer::start([answer]);
        let expect = SignalSnapshot { exported: 3, rejected: 2, ..DELIVERED };
        assert_eq!(five_spans(protobuf(&peer)), expect);
    }
    // A peer that rejects more than it was sent has rejected all.
    let peer = Peer::start([reply("200 OK", "", b"\x0a\x02\x08\x7f")]);
    assert_eq!(five_spans(protobuf(&peer)), SignalSnapshot { rejected: 5, ..LOST });
}

#[test]
fn garbage_is_survived() {
    // Not HTTP at all, or a connection cut in the middle: retried.
    for garbage in [
        Reply::Bytes(b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n".to_vec()),
        Reply::Bytes(vec![0xff; 100_000]),
        Reply::Close,
    ] {
        let peer = Peer::start([garbage]);
        let counted = five_spans(protobuf(&peer));
        assert_eq!(counted, SignalSnapshot { requests: 2, retries: 1, ..DELIVERED });
    }
    // A 200 is a success by the specification, whatever the body holds.
    for body in [b"<html>hello</html>".to_vec(), vec![0xff; 300_000]] {
        let peer = Peer::start([reply("200 OK", "content-type: text/html\r\n", &body)]);
        assert_eq!(five_spans(protobuf(&peer)), DELIVERED);
    }
}

#[test]
fn a_hanging_peer_is_left_after_the_timeout() {
    let peer = Peer::start([Reply::Hang]);
    let settings = with(protobuf(&peer), |signal| signal.timeout = Duration::from_millis(100));
    assert_eq!(five_spans(settings), SignalSnapshot { requests: 2, retries: 1, ..DELIVERED });
}

#[test]
fn a_refused_connection_is_retried_until_the_time_is_over() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut settings = otlp(&format!("http://127.0.0.1:{port}"), Protocol::HttpProtobuf);
    settings.retry = RetrySettings { max_elapsed: Duration::from_millis(100), ..settings.retry };
    let counted = five_spans(settings);
    let (requests, retries) = (counted.requests, counted.retries);
    assert!(requests > 2 && retries == requests - 1, "{counted:?}");
    assert_eq!(counted, SignalSnapshot { retries_exhausted: 5, requests, retries, ..LOST });
}
