use honeyguide_protocols::{
    exchange::{Exchange, Extent, Outcome},
    grpc::RpcDetail,
    http::{HttpDetail, RequestHead, Version},
};

use super::*;
use crate::{attribute::Value, flow::Endpoints, metrics::model::MetricData, span::http::HttpSettings};

const SECOND: u64 = 1_000_000_000;

fn exchange(method: &str, status: u32) -> Exchange<HttpDetail> {
    let head = RequestHead {
        method: "POST".into(),
        target: format!("/{method}").into(),
        version: Version::Http2,
        authority: Some("cart:50051".into()),
        scheme: None,
        user_agent: None,
        forwarded: None,
        client: None,
        traceparent: None,
        tracestate: None,
        baggage: None,
        stream: 0,
        fingerprint: 1,
        truncated: false,
    };
    let rpc = RpcDetail {
        method: Some(method.into()),
        status: Some(status),
        has_message: false,
        request_messages: None,
        response_messages: None,
    };
    Exchange {
        id: 1,
        request: Extent::default(),
        response: None,
        closed: None,
        outcome: Outcome::Complete,
        damaged: false,
        detail: HttpDetail {
            request: Arc::new(head),
            response: None,
            request_body: None,
            response_body: None,
            rpc: Some(rpc),
        },
    }
}

#[test]
fn one_series_an_instrument_method_and_status() {
    let mut metrics = RpcMetrics::new(DurationSettings::default(), SECOND);
    let resource = Arc::default();
    for (method, status, role, count) in [
        ("a.B/C", 0, Role::Server, 3),
        ("a.B/C", 5, Role::Server, 2),
        ("a.B/C", 5, Role::Client, 1),
        ("a.B/D", 12, Role::Server, 4),
    ] {
        let exchange = exchange(method, status);
        let call = Call::new(&exchange, role, &Endpoints::Unknown, false, &HttpSettings::default()).unwrap();
        for _ in 0..count {
            let run = Run { start: 2 * SECOND, end: 2 * SECOND + 20_000_000, span: None };
            metrics.call_finished(&resource, &call, run);
        }
    }
    let mut collected = Vec::new();
    metrics.collect(3 * SECOND, &mut collected);
    let mut lines = Vec::new();
    for metric in collected.iter().flat_map(|of| &of.metrics) {
        let MetricData::Histogram { points, .. } = &metric.data else { panic!("{metric:?}") };
        for point in points {
            let text = |value: &Value| match value {
                Value::Str(text) => text.to_string(),
                Value::Int(number) => number.to_string(),
                Value::Double(_) | Value::Bool(_) | Value::StrArray(_) => panic!("{value:?}"),
            };
            let set: Vec<_> =
                point.attributes.iter().map(|(key, value)| format!("{key}={}", text(value))).collect();
            lines.push(format!("{} {} {}", metric.name, set.join(" "), point.count));
        }
    }
    let server = "server.address=cart server.port=50051";
    assert_eq!(
        lines,
        [
            format!(
                "rpc.server.call.duration rpc.system.name=grpc rpc.method=a.B/C rpc.response.status_code=OK {server} 3"
            ),
            format!(
                "rpc.server.call.duration rpc.system.name=grpc rpc.method=a.B/C rpc.response.status_code=NOT_FOUND {server} 2"
            ),
            format!(
                "rpc.server.call.duration rpc.system.name=grpc rpc.method=_OTHER rpc.response.status_code=UNIMPLEMENTED error.type=UNIMPLEMENTED {server} 4"
            ),
            format!(
                "rpc.client.call.duration rpc.system.name=grpc rpc.method=a.B/C rpc.response.status_code=NOT_FOUND error.type=NOT_FOUND {server} 1"
            ),
        ]
    );
}
