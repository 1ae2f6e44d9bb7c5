//! The hand-written JSON against the protobuf messages, by way of a decoder that is not ours.

use std::sync::Arc;

use opentelemetry_proto::tonic::{metrics::v1::MetricsData, trace::v1::TracesData};
use prost::Message as _;

use super::*;
use crate::export::counters::Signal;
use crate::{
    attribute::{Attributes, Value},
    metrics::model::{Exemplar, HistogramPoint, Metric, MetricData, NumberPoint, Temporality},
    resource::Resource,
    span::{SpanId, SpanKind, SpanLink, Status, TraceId},
};

fn attributes(pairs: Vec<(&'static str, Value)>) -> Attributes {
    let mut attributes = Attributes::default();
    pairs.into_iter().for_each(|(key, value)| attributes.set(key, value));
    attributes
}

fn resource(service: &'static str) -> Arc<Resource> {
    Arc::new(Resource { attributes: attributes(vec![("service.name", service.into())]) })
}

fn plain(resource: &Arc<Resource>, id: u8) -> Span {
    Span {
        trace_id: TraceId([0xab; 16]),
        span_id: SpanId([id; 8]),
        parent: None,
        parent_is_remote: false,
        trace_flags: 1,
        trace_state: None,
        kind: SpanKind::Server,
        name: "GET /".into(),
        start: 1_700_000_000_000_000_000,
        end: 1_700_000_000_012_345_678,
        attributes: Attributes::default(),
        links: Vec::new(),
        status: Status::Unset,
        resource: Arc::clone(resource),
    }
}

/// Every field set, with values that are hard to write.
fn full(resource: &Arc<Resource>) -> Span {
    Span {
        parent: Some(SpanId([3; 8])),
        parent_is_remote: true,
        trace_flags: 0x03,
        trace_state: Some("a=1,b=\"2\"".into()),
        kind: SpanKind::Client,
        name: "quote \" backslash \\ tab \t nul \0 escape \u{1b} del \u{7f} ß 東 🐝".to_owned().into(),
        end: u64::MAX,
        attributes: attributes(vec![
            ("text", "line\nline\r".into()),
            ("empty", "".into()),
            ("int.min", i64::MIN.into()),
            ("int.max", i64::MAX.into()),
            ("true", true.into()),
            ("false", false.into()),
            ("tenth", 0.1.into()),
            ("one", 1.0.into()),
            ("tiny", f64::MIN_POSITIVE.into()),
            ("huge", f64::MAX.into()),
            ("list", vec!["a".to_owned(), "\"".to_owned()].into()),
            ("none", Vec::new().into()),
            ("key \"quoted\"", 0_i64.into()),
        ]),
        links: vec![
            SpanLink {
                trace_id: TraceId([5; 16]),
                span_id: SpanId([6; 8]),
                attributes: attributes(vec![("rule", "time".into())]),
            },
            SpanLink {
                trace_id: TraceId([7; 16]),
                span_id: SpanId([8; 8]),
                attributes: Attributes::default(),
            },
        ],
        status: Status::Error("timed \"out\"".into()),
        ..plain(resource, 2)
    }
}

fn collection(resource: &Arc<Resource>) -> ResourceMetrics {
    const BOUNDS: &[f64] = &[0.005, 0.1, 1.0, 10.0];
    let histogram = HistogramPoint {
        attributes: attributes(vec![("http.request.method", "GET".into())]),
        start: 1,
        time: u64::MAX,
        count: u64::MAX,
        sum: 12.5,
        min: Some(0.0),
        max: None,
        bounds: BOUNDS,
        buckets: vec![0, 1, u64::MAX, 3, 4],
        exemplars: vec![Exemplar {
            time: 1_700_000_000_000_000_000,
            value: 0.25,
            trace_id: TraceId([1; 16]),
            span_id: SpanId([2; 8]),
        }],
    };
    let bare = HistogramPoint { min: None, max: Some(1e-9), exemplars: Vec::new(), ..histogram.clone() };
    let number = |value| NumberPoint { attributes: Attributes::default(), start: 5, time: 6, value };
    let metric = |name, data| Metric { name, unit: "s", description: "A \"quoted\" text.", data };
    ResourceMetrics {
        resource: Arc::clone(resource),
        metrics: vec![
            metric(
                "h",
                MetricData::Histogram { temporality: Temporality::Delta, points: vec![histogram, bare] },
            ),
            metric(
                "s",
                MetricData::Sum {
                    temporality: Temporality::Cumulative,
                    monotonic: true,
                    points: vec![number(i64::MAX), number(i64::MIN)],
                },
            ),
            metric(
                "u",
                MetricData::Sum {
                    temporality: Temporality::Delta,
                    monotonic: false,
                    points: vec![number(1)],
                },
            ),
            metric("g", MetricData::Gauge { points: vec![number(-7)] }),
        ],
    }
}

fn json<T: Otlp>(items: &[T]) -> String {
    let mut out = Vec::new();
    T::json(items.iter(), &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_span_is_written_by_the_rules_of_otlp_json() {
    let mut span = plain(&resource("shop"), 1);
    span.attributes.set("http.response.status_code", 200_u16);
    let expect = format!(
        concat!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"shop"}}}}]}},"#,
            r#""scopeSpans":[{{"scope":{{"name":"honeyguide","version":"{}"}},"spans":["#,
            r#"{{"traceId":"abababababababababababababababab","spanId":"0101010101010101","flags":257,"name":"GET /","#,
            r#""kind":2,"startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000012345678","#,
            r#""attributes":[{{"key":"http.response.status_code","value":{{"intValue":"200"}}}}]}}]}}]}}]}}"#
        ),
        VERSION
    );
    assert_eq!(json(&[span]), expect);
}

#[test]
fn the_json_of_spans_decodes_to_the_protobuf_message() {
    let (shop, cart) = (resource("shop"), resource("cart"));
    let spans = [plain(&shop, 1), full(&cart), plain(&shop, 9), plain(&resource("shop"), 10)];
    let bytes = Span::protobuf(spans.iter());
    let expect = TracesData::decode(bytes.as_slice()).unwrap();
    assert_eq!(serde_json::from_str::<TracesData>(&json(&spans)).unwrap(), expect);
    // Equal resources are one group, whichever allocation they come from.
    let sizes: Vec<_> = expect.resource_spans.iter().map(|group| group.scope_spans[0].spans.len()).collect();
    assert_eq!(sizes, [3, 1]);
}

#[test]
fn the_json_of_spans_says_what_the_other_encoder_says() {
    let spans = [plain(&resource("shop"), 1)];
    let message = TracesData::decode(Span::protobuf(spans.iter()).as_slice()).unwrap();
    let theirs: serde_json::Value = serde_json::to_value(&message).unwrap();
    let ours: serde_json::Value = serde_json::from_str(&json(&spans)).unwrap();
    assert_contains(&theirs, &ours, "");
}

#[test]
fn the_json_of_metrics_decodes_to_the_protobuf_message() {
    let collections = [collection(&resource("shop")), collection(&resource("cart"))];
    let bytes = ResourceMetrics::protobuf(collections.iter());
    let expect = MetricsData::decode(bytes.as_slice()).unwrap();
    let text = json(&collections);
    assert_eq!(serde_json::from_str::<MetricsData>(&text).unwrap(), expect);
    let ours: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_contains(&serde_json::to_value(&expect).unwrap(), &ours, "");
}

#[test]
fn numbers_json_has_no_words_for_are_named() {
    let mut span = plain(&resource("shop"), 1);
    for (key, value) in [("nan", f64::NAN), ("up", f64::INFINITY), ("down", f64::NEG_INFINITY)] {
        span.attributes.set(key, value);
    }
    let text = json(&[span]);
    for (key, word) in [("nan", "NaN"), ("up", "Infinity"), ("down", "-Infinity")] {
        let expect = format!(r#"{{"key":"{key}","value":{{"doubleValue":"{word}"}}}}"#);
        assert!(text.contains(&expect), "{text}");
    }
}

#[test]
fn answers_are_read_in_both_encodings() {
    let (traces, metrics) = (Signal::Traces, Signal::Metrics);
    let answer = |rejected, message: &str| Some(Answer { rejected, message: message.to_owned() });
    assert_eq!(Answer::from_protobuf(traces, b""), answer(0, ""));
    assert_eq!(Answer::from_protobuf(traces, b"\x0a\x06\x08\x03\x12\x02no"), answer(3, "no"));
    assert_eq!(Answer::from_protobuf(metrics, b"\x0a\x02\x08\x05"), answer(5, ""));
    assert_eq!(Answer::from_protobuf(traces, b"<html>"), None);
    for (signal, body, expect) in [
        (traces, "{}", answer(0, "")),
        (traces, r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"no"}}"#, answer(3, "no")),
        (metrics, r#"{"partialSuccess":{"rejectedDataPoints":4}}"#, answer(4, "")),
        (metrics, r#"{"partialSuccess":{"rejectedSpans":4}}"#, answer(0, "")),
        (traces, r#"{"partialSuccess":7}"#, answer(0, "")),
        (traces, "[]", None),
        (traces, "hello", None),
    ] {
        assert_eq!(Answer::from_json(signal, body.as_bytes()), expect, "{body}");
    }
}

/// Everything `ours` says, `theirs` says too; `theirs` also writes defaults.
fn assert_contains(theirs: &serde_json::Value, ours: &serde_json::Value, path: &str) {
    use serde_json::Value::{Array, Object};
    match (theirs, ours) {
        (Object(theirs), Object(ours)) => {
            for (key, value) in ours {
                let other = theirs.get(key).unwrap_or_else(|| panic!("{path}/{key} is missing"));
                assert_contains(other, value, &format!("{path}/{key}"));
            }
        }
        (Array(theirs), Array(ours)) => {
            assert_eq!(theirs.len(), ours.len(), "{path}");
            for (index, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
                assert_contains(theirs, ours, &format!("{path}/{index}"));
            }
        }
        _ => assert_eq!(theirs, ours, "{path}"),
    }
}
