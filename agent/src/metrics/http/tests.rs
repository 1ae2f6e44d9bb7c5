use honeyguide_protocols::{
    CloseReason,
    exchange::{Exchange, Extent, Outcome},
    http::{HttpDetail, RequestHead, ResponseHead, Version},
};

use super::*;
use crate::{
    attribute::{Attributes, Value},
    flow::Endpoints,
    span::http::HttpSettings,
};

const SECOND: u64 = 1_000_000_000;

fn exchange(method: &str, status: Option<u16>) -> Exchange<HttpDetail> {
    let request = Arc::new(RequestHead {
        method: method.into(),
        target: "/users/42".into(),
        version: Version::Http11,
        authority: Some("shop.example".into()),
        scheme: None,
        user_agent: None,
        forwarded: None,
        client: None,
        traceparent: None,
        tracestate: None,
        baggage: None,
        stream: 0,
        fingerprint: 0,
        truncated: false,
    });
    Exchange {
        id: 1,
        request: Extent::default(),
        response: None,
        closed: None,
        outcome: status.map_or(Outcome::Aborted(CloseReason::Error(104)), |_| Outcome::Complete),
        damaged: false,
        detail: HttpDetail {
            request,
            response: status.map(|status| ResponseHead { status, version: Version::Http11 }),
            request_body: None,
            response_body: Some(100),
            rpc: None,
        },
    }
}

fn call(exchange: &Exchange<HttpDetail>, role: Role) -> Call<'_> {
    Call::new(exchange, role, &Endpoints::Unknown, false, &HttpSettings::default())
}

struct Bench {
    metrics: HttpMetrics,
    resource: Arc<Resource>,
}

impl Bench {
    fn new(settings: HttpMetricSettings) -> Self {
        Self { metrics: HttpMetrics::new(settings, SECOND), resource: Arc::default() }
    }

    fn delta() -> HttpMetricSettings {
        HttpMetricSettings { temporality: Temporality::Delta, ..HttpMetricSettings::default() }
    }

    /// A request of half a second.
    fn finish(&mut self, method: &str, role: Role, route: &str, end: u64, span: Option<(TraceId, SpanId)>) {
        let exchange = exchange(method, Some(200));
        let (call, route) = (call(&exchange, role), Arc::from(route));
        let finished = Finished { call: &call, route: Some(&route), start: end - SECOND / 2, end, span };
        self.metrics.request_finished(&self.resource, &finished);
    }

    fn get(&mut self, route: &str, end: u64) {
        self.finish("GET", Role::Server, route, end, None);
    }

    /// A line a point: name, attributes, start..time in seconds, count or value.
    fn lines(&mut self, now: u64) -> Vec<String> {
        let mut out = Vec::new();
        for metric in self.metrics.collect(now).iter().flat_map(|r| &r.metrics) {
            let mut line = |attributes: &Attributes, start: u64, time: u64, number: String| {
                let values: Vec<_> = attributes.iter().map(|(k, v)| format!("{k}={}", show(v))).collect();
                let times = format!("{}..{}", start / SECOND, time / SECOND);
                out.push(format!("{} {{{}}} {times} {number}", metric.name, values.join(" ")));
            };
            match &metric.data {
                MetricData::Histogram { points, .. } => {
                    points.iter().for_each(|p| line(&p.attributes, p.start, p.time, p.count.to_string()));
                }
                MetricData::Sum { points, .. } | MetricData::Gauge { points } => {
                    points.iter().for_each(|p| line(&p.attributes, p.start, p.time, p.value.to_string()));
                }
            }
        }
        out
    }

    /// The routes of the server durations with their counts, and the starts.
    fn routes(&mut self, now: u64) -> Vec<String> {
        let prefix = "http.server.request.duration {";
        let lines = self.lines(now).into_iter().filter(|l| l.starts_with(prefix));
        lines
            .map(|l| {
                let route = l
                    .split_once("http.route=")
                    .map_or("overflow", |(_, rest)| rest.split(' ').next().unwrap());
                format!("{route} {}", l.rsplit_once('}').unwrap().1.trim())
            })
            .collect()
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Str(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Double(_) | Value::StrArray(_) => panic!("{value:?}"),
    }
}

#[test]
fn attributes_are_those_of_the_conventions() {
    let mut bench = Bench::new(HttpMetricSettings::default());
    bench.get("/users/{id}", 3 * SECOND);
    bench.finish("POST", Role::Client, "/ignored", 4 * SECOND, None);
    let reset = exchange("FOO", None);
    let call = call(&reset, Role::Server);
    let finished = Finished { call: &call, route: None, start: 0, end: 5 * SECOND, span: None };
    bench.metrics.request_finished(&Arc::clone(&bench.resource), &finished);
    assert_eq!(
        bench.lines(9 * SECOND),
        [
            "http.server.request.duration {http.request.method=GET url.scheme=http http.response.status_code=200 \
             http.route=/users/{id} network.protocol.version=1.1} 3..9 1",
            "http.server.request.duration {http.request.method=_OTHER url.scheme=http error.type=connection_reset \
             network.protocol.version=1.1} 5..9 1",
            "http.server.response.body.size {http.request.method=GET url.scheme=http http.response.status_code=200 \
             http.route=/users/{id} network.protocol.version=1.1} 3..9 1",
            "http.server.response.body.size {http.request.method=_OTHER url.scheme=http \
             error.type=connection_reset network.protocol.version=1.1} 5..9 1",
            "http.client.request.duration {http.request.method=POST server.address=shop.example server.port=80 \
             http.response.status_code=200 network.protocol.version=1.1} 4..9 1",
            "http.client.response.body.size {http.request.method=POST server.address=shop.example server.port=80 \
             http.response.status_code=200 network.protocol.version=1.1} 4..9 1",
        ]
    );
}

#[test]
fn cumulative_goes_on_with_its_start() {
    let mut bench = Bench::new(HttpMetricSettings::default());
    bench.get("/a", 3 * SECOND);
    assert_eq!(bench.routes(10 * SECOND), ["/a 3..10 1"]);
    bench.get("/a", 11 * SECOND);
    bench.get("/b", 4 * SECOND);
    assert_eq!(bench.routes(20 * SECOND), ["/a 3..20 2", "/b 10..20 1"]);
    assert_eq!(bench.routes(30 * SECOND), ["/a 3..30 2", "/b 10..30 1"]);
}

#[test]
fn delta_starts_anew_and_drops_what_is_idle() {
    let mut bench = Bench::new(Bench::delta());
    bench.get("/a", 3 * SECOND);
    bench.get("/b", 4 * SECOND);
    assert_eq!(bench.routes(10 * SECOND), ["/a 1..10 1", "/b 1..10 1"]);
    bench.get("/b", 11 * SECOND);
    assert_eq!(bench.routes(20 * SECOND), ["/b 10..20 1"]);
    assert_eq!((bench.routes(30 * SECOND), bench.metrics.series), (vec![], 0));
    bench.get("/a", 31 * SECOND);
    assert_eq!(bench.routes(40 * SECOND), ["/a 30..40 1"]);
    assert_eq!(bench.metrics.counters(), HttpMetricCounters::default());
}

#[test]
fn beyond_the_limit_is_overflow() {
    let mut bench = Bench::new(HttpMetricSettings { cardinality_limit: 2, ..HttpMetricSettings::default() });
    for route in ["/a", "/b", "/c", "/d", "/a"] {
        bench.get(route, 3 * SECOND);
    }
    assert_eq!(bench.routes(9 * SECOND), ["overflow 3..9 2", "/a 3..9 2", "/b 3..9 1"]);
    assert_eq!(bench.metrics.counters().overflowed, 2);
    let lines = bench.lines(10 * SECOND);
    assert_eq!(lines[0], "http.server.request.duration {otel.metric.overflow=true} 3..10 2");
}

#[test]
fn all_resources_share_a_bound() {
    let mut bench =
        Bench::new(HttpMetricSettings { max_series: 2, max_resources: 2, ..HttpMetricSettings::default() });
    let resources: [Arc<Resource>; 3] = Default::default();
    for resource in &resources {
        bench.resource = Arc::clone(resource);
        bench.get("/a", 2 * SECOND);
        bench.get("/b", 2 * SECOND);
    }
    assert_eq!(bench.routes(9 * SECOND), ["/a 2..9 1", "/b 2..9 1", "overflow 2..9 2"]);
    assert_eq!(bench.metrics.counters(), HttpMetricCounters { overflowed: 2, dropped: 2, evicted: 0 });
}

#[test]
fn an_idle_series_goes_and_comes_back_with_a_new_start() {
    let mut bench =
        Bench::new(HttpMetricSettings { idle_after: 15 * SECOND, ..HttpMetricSettings::default() });
    bench.get("/a", 3 * SECOND);
    assert_eq!(bench.routes(10 * SECOND), ["/a 3..10 1"]);
    assert_eq!(bench.routes(20 * SECOND), ["/a 3..20 1"]);
    assert!(bench.routes(30 * SECOND).is_empty());
    assert_eq!(bench.metrics.counters().evicted, 1);
    bench.get("/a", 31 * SECOND);
    assert_eq!(bench.routes(40 * SECOND), ["/a 31..40 1"]);
}

#[test]
fn a_resource_nobody_holds_goes_after_its_last_values_went_out() {
    let mut bench = Bench::new(HttpMetricSettings::default());
    bench.get("/a", 3 * SECOND);
    bench.resource = Arc::default();
    assert_eq!(bench.routes(10 * SECOND), ["/a 3..10 1"]);
    assert!(bench.routes(20 * SECOND).is_empty());
    assert_eq!((bench.metrics.resources.len(), bench.metrics.series), (0, 0));
}

#[test]
fn active_requests_go_up_and_down() {
    for settings in [HttpMetricSettings::default(), Bench::delta()] {
        let mut bench = Bench::new(settings);
        let exchange = exchange("GET", None);
        let (server, client) = (call(&exchange, Role::Server), call(&exchange, Role::Client));
        let resource = Arc::clone(&bench.resource);
        let mut start =
            |call: &Call<'_>| bench.metrics.request_started(&resource, &call.request, 3 * SECOND).unwrap();
        let (a, b, c) = (start(&server), start(&server), start(&client));
        let lines = |server: i64, client: i64, time: u64| {
            [
                format!(
                    "http.server.active_requests {{http.request.method=GET url.scheme=http}} 3..{time} {server}"
                ),
                format!(
                    "http.client.active_requests {{http.request.method=GET server.address=shop.example \
                     server.port=80}} 3..{time} {client}"
                ),
            ]
        };
        assert_eq!(bench.lines(10 * SECOND), lines(2, 1, 10));
        bench.metrics.request_ended(a);
        bench.metrics.request_ended(c);
        assert_eq!(bench.lines(20 * SECOND), lines(1, 0, 20));
        bench.metrics.request_ended(b);
        assert_eq!(bench.lines(30 * SECOND), lines(0, 0, 30));
    }
}

#[test]
fn a_request_that_outlives_its_resource_is_no_other_ones() {
    let mut bench = Bench::new(HttpMetricSettings::default());
    let exchange = exchange("GET", None);
    let call = call(&exchange, Role::Server);
    let gone = bench.metrics.request_started(&Arc::default(), &call.request, 2 * SECOND).unwrap();
    bench.lines(10 * SECOND);
    bench.lines(20 * SECOND);
    assert_eq!(bench.metrics.resources.len(), 0);
    let resource = Arc::clone(&bench.resource);
    let _kept = bench.metrics.request_started(&resource, &call.request, 21 * SECOND).unwrap();
    bench.metrics.request_ended(gone);
    assert!(bench.lines(30 * SECOND)[0].ends_with(" 1"));
}

#[test]
fn a_sampled_span_is_the_exemplar() {
    let mut bench = Bench::new(HttpMetricSettings::default());
    let span = (TraceId([1; 16]), SpanId([2; 8]));
    bench.finish("GET", Role::Server, "/a", 3 * SECOND, Some(span));
    bench.finish("GET", Role::Server, "/a", 4 * SECOND, None);
    let collected = bench.metrics.collect(9 * SECOND);
    let MetricData::Histogram { points, .. } = &collected[0].metrics[0].data else { panic!("{collected:?}") };
    let expect = Exemplar { time: 3 * SECOND, value: 0.5, trace_id: span.0, span_id: span.1 };
    assert_eq!(points[0].exemplars, [expect]);
    assert_eq!((points[0].count, points[0].sum, points[0].buckets[7]), (2, 1.0, 2));
}

#[test]
fn what_is_off_is_not_made() {
    let settings =
        HttpMetricSettings { body_sizes: false, active_requests: false, ..HttpMetricSettings::default() };
    let mut bench = Bench::new(settings);
    bench.get("/a", 3 * SECOND);
    let exchange = exchange("GET", None);
    let request = call(&exchange, Role::Server).request;
    assert!(bench.metrics.request_started(&Arc::clone(&bench.resource), &request, SECOND).is_none());
    assert_eq!(bench.lines(9 * SECOND).len(), 1);
}
