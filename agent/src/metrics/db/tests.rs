use honeyguide_protocols::{
    exchange::{Exchange, Extent, Outcome},
    sql::{Dialect, Failure, Operation, Prepared, SqlDetail, SqlHead, Statement, System},
};

use super::*;
use crate::{
    attribute::{Attributes, Value},
    flow::Endpoints,
    metrics::{
        http::HttpMetrics,
        model::{Exemplar, MetricData, Temporality},
    },
    span::{
        SpanId, TraceId,
        db::{Call, Statements},
    },
};

const SECOND: u64 = 1_000_000_000;

fn exchange(text: Option<&str>, sqlstate: Option<&str>) -> Exchange<SqlDetail> {
    Exchange {
        id: 1,
        request: Extent::default(),
        response: Some(Extent::default()),
        closed: None,
        outcome: Outcome::Complete,
        damaged: false,
        detail: SqlDetail {
            request: Arc::new(SqlHead {
                system: System::PostgreSql,
                namespace: Some("shop".into()),
                operation: Operation::Execute,
                statement: text.map(|text| Statement {
                    text: text.into(),
                    truncated: false,
                    dialect: Dialect::Postgres,
                }),
                prepared: text.is_none().then_some(Prepared::Unknown),
            }),
            rows_returned: Some(1),
            rows_affected: None,
            batch_size: None,
            failure: sqlstate.map(|state| Failure { sqlstate: Some(state.into()), code: None }),
            skipped: false,
        },
    }
}

struct Bench {
    metrics: DbMetrics,
    resource: Arc<Resource>,
}

impl Bench {
    fn new(settings: DurationSettings) -> Self {
        Self { metrics: DbMetrics::new(settings, SECOND), resource: Arc::default() }
    }

    /// An operation of 20 ms.
    fn finish(&mut self, exchange: &Exchange<SqlDetail>, role: Role, remote: &str, run: Run) {
        let endpoints =
            Endpoints::Tcp { local: "10.0.0.1:51000".parse().unwrap(), remote: remote.parse().unwrap() };
        let text = Statements::default().describe(&exchange.detail.request);
        let call = Call::new(exchange, role, &endpoints, text);
        let finished = Finished { role, measured: call.measured(), run };
        self.metrics.request_finished(&self.resource, &finished);
    }

    fn query(&mut self, text: &str, end: u64) {
        self.finish(&exchange(Some(text), None), Role::Client, "10.0.0.2:5432", run(end));
    }

    /// A line a point: attributes, start..time in seconds, count.
    fn lines(&mut self, now: u64) -> Vec<String> {
        let mut collected = Vec::new();
        self.metrics.collect(now, &mut collected);
        let mut out = Vec::new();
        for metric in collected.iter().flat_map(|of| &of.metrics) {
            assert_eq!((metric.name, metric.unit), ("db.client.operation.duration", "s"));
            let MetricData::Histogram { points, .. } = &metric.data else { panic!("{metric:?}") };
            out.extend(points.iter().map(|point| {
                let times = format!("{}..{}", point.start / SECOND, point.time / SECOND);
                format!("{} {times} {}", show(&point.attributes), point.count)
            }));
        }
        out
    }
}

fn run(end: u64) -> Run {
    Run { start: end - SECOND / 50, end, span: None }
}

fn show(attributes: &Attributes) -> String {
    let values = attributes.iter().map(|(key, value)| match value {
        Value::Str(text) => format!("{key}={text}"),
        Value::Int(number) => format!("{key}={number}"),
        Value::Bool(flag) => format!("{key}={flag}"),
        Value::Double(_) | Value::StrArray(_) => panic!("{value:?}"),
    });
    values.collect::<Vec<_>>().join(" ")
}

#[test]
fn attributes_are_those_of_the_conventions() {
    let mut bench = Bench::new(DurationSettings::default());
    for (text, sqlstate, role, remote) in [
        (Some("SELECT * FROM a WHERE b = 1"), None, Role::Client, "10.0.0.2:5432"),
        (Some("SELECT * FROM a WHERE b = 22"), None, Role::Client, "10.0.0.2:5432"),
        (Some("SELECT * FROM a WHERE b = 1"), Some("42P01"), Role::Client, "10.0.0.2:6432"),
        (None, None, Role::Client, "10.0.0.2:5432"),
        (Some("SELECT * FROM a"), None, Role::Server, "10.0.0.2:5432"),
    ] {
        bench.finish(&exchange(text, sqlstate), role, remote, run(3 * SECOND));
    }
    assert_eq!(
        bench.lines(9 * SECOND),
        [
            "db.system.name=postgresql db.namespace=shop db.query.summary=SELECT a server.address=10.0.0.2 3..9 2",
            "db.system.name=postgresql db.namespace=shop db.query.summary=SELECT a db.response.status_code=42P01 \
             error.type=42P01 server.address=10.0.0.2 server.port=6432 3..9 1",
            "db.system.name=postgresql db.namespace=shop db.operation.name=EXECUTE server.address=10.0.0.2 3..9 1",
        ]
    );
}

#[test]
fn cumulative_goes_on_and_delta_starts_anew() {
    let of = |summary: &str, rest: &str| {
        format!(
            "db.system.name=postgresql db.namespace=shop db.query.summary={summary} server.address=10.0.0.2 {rest}"
        )
    };
    for (temporality, expect) in [
        (
            Temporality::Cumulative,
            [vec![("SELECT a", "3..10 1")], vec![("SELECT a", "3..20 1"), ("SELECT b", "11..20 1")]],
        ),
        (Temporality::Delta, [vec![("SELECT a", "1..10 1")], vec![("SELECT b", "10..20 1")]]),
    ] {
        let mut bench = Bench::new(DurationSettings { temporality, ..DurationSettings::default() });
        let [first, second] = expect.map(|lines| lines.iter().map(|(s, r)| of(s, r)).collect::<Vec<_>>());
        bench.query("SELECT x FROM a", 3 * SECOND);
        assert_eq!(bench.lines(10 * SECOND), first);
        bench.query("SELECT x FROM b", 11 * SECOND);
        assert_eq!(bench.lines(20 * SECOND), second);
    }
}

#[test]
fn what_is_beyond_a_limit_is_counted() {
    let settings =
        DurationSettings { cardinality_limit: 1, max_resources: 1, idle_after: SECOND, ..Default::default() };
    let mut bench = Bench::new(settings);
    for table in ["a", "b", "c"] {
        bench.query(&format!("SELECT x FROM {table}"), 3 * SECOND);
    }
    let kept = std::mem::take(&mut bench.resource);
    bench.query("SELECT x FROM a", 3 * SECOND);
    bench.resource = kept;
    let mut counters = DurationCounters { overflowed: 2, dropped: 1, evicted: 0 };
    assert_eq!(bench.metrics.counters(), counters);
    let lines = bench.lines(9 * SECOND);
    assert_eq!((lines.len(), lines[0].as_str()), (2, "otel.metric.overflow=true 3..9 2"));
    counters.evicted = 1;
    assert_eq!(bench.metrics.counters(), counters);
    assert_eq!(bench.lines(10 * SECOND), Vec::<String>::new());
}

#[test]
fn a_sampled_span_is_the_exemplar() {
    let mut bench = Bench::new(DurationSettings::default());
    let span = Some((TraceId([1; 16]), SpanId([2; 8])));
    let exchange = exchange(Some("SELECT 1"), None);
    bench.finish(&exchange, Role::Client, "10.0.0.2:5432", Run { span, ..run(3 * SECOND) });
    let mut collected = Vec::new();
    bench.metrics.collect(9 * SECOND, &mut collected);
    let MetricData::Histogram { points, .. } = &collected[0].metrics[0].data else { panic!("{collected:?}") };
    let expect =
        Exemplar { time: 3 * SECOND, value: 0.02, trace_id: TraceId([1; 16]), span_id: SpanId([2; 8]) };
    assert_eq!(points[0].exemplars, [expect]);
    assert_eq!((points[0].bounds, &points[0].buckets), (&SECONDS[..], &vec![0, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
}

#[test]
fn a_resource_has_one_entry_and_goes_with_its_process() {
    let mut bench = Bench::new(DurationSettings::default());
    let mut http = HttpMetrics::new(Default::default(), SECOND);
    bench.query("SELECT 1", 3 * SECOND);
    let other = ResourceMetrics { resource: Arc::default(), metrics: Vec::new() };
    let mut collected = http.collect(9 * SECOND);
    collected.push(other.clone());
    collected.push(ResourceMetrics { resource: Arc::clone(&bench.resource), metrics: Vec::new() });
    bench.metrics.collect(9 * SECOND, &mut collected);
    let shape: Vec<_> =
        collected.iter().map(|of| (Arc::ptr_eq(&of.resource, &other.resource), of.metrics.len())).collect();
    assert_eq!(shape, [(true, 0), (false, 1)]);
    drop(collected);
    bench.resource = Arc::default();
    assert_eq!(bench.lines(20 * SECOND), Vec::<String>::new());
}
