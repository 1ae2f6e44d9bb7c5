//! The hand-written JSON against the protobuf messages, by way of a decoder that is not ours.

use std::sync::Arc;

use opentelemetry_proto::tonic::{metrics::v1::MetricsData, trace::v1::TracesData};
use prost::Message as _;

use super::*;
use crate::export::counters::Signal;
use crate::{
    attribute::{Attributes, Value},
    metrics::model::{Exemplar, HistogramPoint, Metric, MetricData, NumberPoint, Temporality},
    profile::named::{BuildId, FrameKind, Line, Location, Mapping, Measure, Point, Profile, Sample, Stack},
    resource::Resource,
    span::{SpanId, SpanKind, SpanLink, Status, TraceId},
};

fn attributes(pairs: Vec<(&'static str, Value)>) -> Attributes {
    let mut attributes = Attributes::default();
    pairs.into_iter().for_each(|(key, value)| attributes.set(key, value));
    attributes
}

fn resource(service: &'static str) -> Arc<Resource> {
    Arc::new(Resource { attributes: attributes(vec![("service.name", service.into())]), instrumented: false })
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
        (Signal::Profiles, r#"{"partialSuccess":{"rejectedProfiles":"2"}}"#, answer(2, "")),
        (traces, r#"{"partialSuccess":7}"#, answer(0, "")),
        (traces, "[]", None),
        (traces, "hello", None),
    ] {
        assert_eq!(Answer::from_json(signal, body.as_bytes()), expect, "{body}");
    }
}

/// Two processes that share a library; a stack that occurs twice, one linked.
fn profiles() -> Vec<Profile> {
    let mapping = Arc::new(Mapping {
        path: "/lib/libwork.so".into(),
        build_id: BuildId::Gnu("0aff".into()),
        start: 0x1000,
        end: 0x3000,
        offset: 0x1000,
    });
    let line = |function: &str, line| Line {
        function: function.into(),
        system_name: Some("_ZN4work3runE".into()),
        file: Some("work.rs".into()),
        line,
    };
    let place = |address, lines: Vec<Line>| {
        let mapping = Some(Arc::clone(&mapping));
        Arc::new(Location { kind: FrameKind::Native, mapping, address, lines })
    };
    let outer = place(0x1100, vec![line("inlined", 7), line("work::run", 3)]);
    let inner = place(0x2100, vec![line("leaf \"quoted\"", 0)]);
    let stack = Stack { locations: vec![inner, outer].into(), complete: true };
    let sample = |link, points: &[u64]| Sample {
        stack: stack.clone(),
        points: points.iter().map(|&time| Point { time, value: 10_000_000 }).collect(),
        thread: 4711,
        thread_name: "worker".into(),
        link,
        attributes: attributes(vec![("http.route", "/work/{id}".into())]),
    };
    let link = Some((TraceId([0xab; 16]), SpanId([0xcd; 8])));
    let profile = |service, samples| Profile {
        id: [7; 16],
        resource: resource(service),
        measure: Measure::Cpu,
        start: 1_700_000_000_000_000_000,
        duration: 1_000_000_000,
        period: 10_000_000,
        samples,
    };
    let first = 1_700_000_000_000_000_005;
    vec![
        profile("one", vec![sample(None, &[first, first + 10]), sample(link, &[first])]),
        // Beyond the profile's end.
        profile("two", vec![sample(link, &[first + 2_000_000_000])]),
    ]
}

#[test]
fn the_tables_of_profiles_begin_with_nothing_and_hold_nothing_twice() {
    let data = profiles::data(profiles().iter());
    let tables = data.dictionary.as_ref().unwrap();
    assert_eq!(tables.string_table[0], "");
    assert_eq!(tables.mapping_table.len(), 2);
    assert_eq!(tables.location_table.len(), 3);
    assert_eq!(tables.stack_table.len(), 2);
    assert_eq!(tables.link_table.len(), 2);
    assert_eq!(tables.function_table.len(), 4);
    // The build id, the frame's type, thread's id and name, the route.
    assert_eq!(tables.attribute_table.len(), 6);
    let mut strings = tables.string_table.clone();
    strings.sort();
    strings.dedup();
    assert_eq!(strings.len(), tables.string_table.len());
    let one = &data.resource_profiles[0].scope_profiles[0].profiles[0];
    assert_eq!(one.samples[0].values, [10_000_000, 10_000_000]);
    assert_eq!((one.samples[0].link_index, one.samples[1].link_index), (0, 1));
    let two = &data.resource_profiles[1].scope_profiles[0].profiles[0];
    assert_eq!(two.samples[0].timestamps_unix_nano, [two.time_unix_nano + two.duration_nano - 1]);
}

#[test]
fn profiles_are_the_same_in_both_encodings() {
    let data = profiles::data(profiles().iter());
    let mut json = Vec::new();
    Profile::json(profiles().iter(), &mut json);
    let mut ours: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let link = ours["dictionary"]["linkTable"][1].take();
    assert_eq!(link["traceId"], "ab".repeat(16));
    assert_eq!(link["spanId"], "cd".repeat(8));
    // The decoder that is not ours takes a link's ids for arrays of numbers.
    ours["dictionary"]["linkTable"][1] =
        serde_json::json!({"traceId": vec![0xab; 16], "spanId": vec![0xcd; 8]});
    ours["dictionary"]["linkTable"][0] = serde_json::json!({"traceId": [], "spanId": []});
    let mut whole = serde_json::to_value(&data).unwrap();
    quote(&mut whole, false);
    assert_contains(&whole, &ours, "");
    assert_eq!(Profile::protobuf(profiles().iter()), data.encode_to_vec());
}

/// The encoder that is not ours writes some 64-bit integers of profiles as numbers; they are strings by the mapping.
fn quote(value: &mut serde_json::Value, long: bool) {
    use serde_json::Value;
    const LONG: [&str; 11] = [
        "address",
        "memoryStart",
        "memoryLimit",
        "fileOffset",
        "durationNano",
        "timeUnixNano",
        "period",
        "values",
        "line",
        "column",
        "startLine",
    ];
    match value {
        Value::Number(number) if long => *value = Value::String(number.to_string()),
        Value::Array(items) => items.iter_mut().for_each(|item| quote(item, long)),
        Value::Object(fields) => {
            fields.iter_mut().for_each(|(key, value)| quote(value, LONG.contains(&key.as_str())));
        }
        _ => {}
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
