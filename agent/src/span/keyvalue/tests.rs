use std::sync::Arc;

use honeyguide_protocols::{
    exchange::Extent,
    keyvalue::{self, KeyValueHead},
};

use super::*;
use crate::{
    attribute::Value,
    span::{SpanKind, Status, context::Identity},
};

fn exchange(system: System, operation: &'static str, text: Option<&str>) -> Exchange<KeyValueDetail> {
    Exchange {
        id: 1,
        request: Extent::default(),
        response: Some(Extent::default()),
        closed: None,
        outcome: Outcome::Complete,
        damaged: false,
        detail: KeyValueDetail {
            request: Arc::new(KeyValueHead {
                system,
                operation: operation.into(),
                text: text.map(Into::into),
                procedure: None,
            }),
            database: (system == System::Redis).then_some(0),
            batch_size: None,
            failure: None,
            waits: Waits::Answer,
            transaction: None,
        },
    }
}

fn tcp(local: &str, remote: &str) -> Endpoints {
    Endpoints::Tcp { local: local.parse().unwrap(), remote: remote.parse().unwrap() }
}

fn span_at(exchange: &Exchange<KeyValueDetail>, role: Role, endpoints: &Endpoints) -> Span {
    let identity = Identity::default();
    let input = DbInput { role, endpoints, identity, start: 5, end: 9, resource: Arc::default() };
    Call::new(exchange, role, endpoints).span(input)
}

fn span(exchange: &Exchange<KeyValueDetail>) -> Span {
    span_at(exchange, Role::Client, &Endpoints::Unknown)
}

/// The name, then `key=value` a line.
fn lines(span: &Span) -> String {
    let value = |value: &Value| match value {
        Value::Str(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Double(_) | Value::StrArray(_) => panic!("{value:?}"),
    };
    let attributes = span.attributes.iter().map(|(k, v)| format!("{k}={}\n", value(v)));
    std::iter::once(format!("{}\n", span.name)).chain(attributes).collect()
}

#[test]
fn a_client_span() {
    let exchange = exchange(System::Redis, "HSET", Some("HSET myhash field1 ?"));
    let span = span_at(&exchange, Role::Client, &tcp("10.0.0.1:51000", "10.0.0.2:6379"));
    assert_eq!((span.kind, &span.status, span.start, span.end), (SpanKind::Client, &Status::Unset, 5, 9));
    assert_eq!(
        lines(&span),
        "HSET 10.0.0.2:6379\n\
         db.system.name=redis\n\
         db.namespace=0\n\
         db.operation.name=HSET\n\
         db.query.text=HSET myhash field1 ?\n\
         server.address=10.0.0.2\n\
         network.peer.address=10.0.0.2\n\
         network.peer.port=6379\n"
    );
}

#[test]
fn the_span_of_the_store_itself() {
    let mut exchange = exchange(System::Redis, "MULTI SET", Some("SET a ?; SET b ?"));
    exchange.detail.database = Some(17);
    exchange.detail.batch_size = Some(2);
    exchange.detail.failure = Some(keyvalue::Failure { code: Some("OOM".into()) });
    let span = span_at(&exchange, Role::Server, &tcp("[::1]:6380", "[::1]:51000"));
    assert_eq!((span.kind, &span.status), (SpanKind::Server, &Status::Error(Cow::Borrowed(""))));
    assert_eq!(
        lines(&span),
        "MULTI SET [::1]:6380\n\
         db.system.name=redis\n\
         db.namespace=17\n\
         db.operation.name=MULTI SET\n\
         db.query.text=SET a ?; SET b ?\n\
         db.operation.batch.size=2\n\
         db.response.status_code=OOM\n\
         error.type=OOM\n\
         server.address=::1\n\
         server.port=6380\n\
         network.peer.address=::1\n\
         network.peer.port=51000\n"
    );
}

#[test]
fn a_unix_socket_has_no_port() {
    let endpoints = Endpoints::Unix { path: Some("/run/redis.sock".into()) };
    let exchange = exchange(System::Redis, "PING", Some("PING"));
    assert_eq!(
        lines(&span_at(&exchange, Role::Client, &endpoints)),
        "PING /run/redis.sock\n\
         db.system.name=redis\n\
         db.namespace=0\n\
         db.operation.name=PING\n\
         db.query.text=PING\n\
         server.address=/run/redis.sock\n\
         network.transport=unix\n\
         network.peer.address=/run/redis.sock\n"
    );
}

#[test]
fn memcached_has_no_namespace_and_a_port_of_its_own() {
    let exchange = exchange(System::Memcached, "get", Some("get ?"));
    assert_eq!(
        lines(&span_at(&exchange, Role::Client, &tcp("10.0.0.1:51000", "10.0.0.2:11211"))),
        "get 10.0.0.2:11211\n\
         db.system.name=memcached\n\
         db.operation.name=get\n\
         db.query.text=get ?\n\
         server.address=10.0.0.2\n\
         network.peer.address=10.0.0.2\n\
         network.peer.port=11211\n"
    );
}

#[test]
fn a_script_is_the_target() {
    let mut exchange = exchange(System::Redis, "FCALL", Some("FCALL pay 0"));
    Arc::make_mut(&mut exchange.detail.request).procedure = Some("pay".into());
    let span = span(&exchange);
    assert_eq!(span.name, "FCALL pay");
    assert_eq!(span.attributes.text("db.stored_procedure.name"), Some("pay"));
}

/// `error.type`, `db.response.status_code`, and whether it is measured.
#[track_caller]
fn check(
    change: impl FnOnce(&mut Exchange<KeyValueDetail>),
    error: Option<&str>,
    status: Option<&str>,
    measured: bool,
) {
    let mut exchange = exchange(System::Redis, "BLPOP", None);
    change(&mut exchange);
    let span = span(&exchange);
    assert_eq!(span.attributes.text("error.type"), error);
    assert_eq!(span.attributes.text("db.response.status_code"), status);
    assert_eq!(span.status != Status::Unset, error.is_some());
    assert_eq!(Call::new(&exchange, Role::Client, &Endpoints::Unknown).is_measured(), measured);
}

#[test]
fn what_is_an_error_and_what_is_measured() {
    let failure = |code: Option<&'static str>| Some(keyvalue::Failure { code: code.map(Cow::Borrowed) });
    let finished = Outcome::Aborted(CloseReason::Finished);
    check(|_| {}, None, None, true);
    check(|e| e.detail.failure = failure(Some("WRONGTYPE")), Some("WRONGTYPE"), Some("WRONGTYPE"), true);
    check(|e| e.detail.failure = failure(None), Some("_OTHER"), None, true);
    check(|e| e.detail.transaction = Some(Unrun::Aborted), None, None, true);
    check(|e| (e.outcome, e.response) = (finished, None), Some("connection_closed"), None, true);
    check(|e| e.detail.waits = Waits::Event, None, None, false);
    check(|e| (e.detail.waits, e.outcome, e.response) = (Waits::Event, finished, None), None, None, false);
    check(|e| e.detail.waits = Waits::Nothing, None, None, false);
    check(
        |e| (e.detail.waits, e.outcome) = (Waits::Event, Outcome::Aborted(CloseReason::Error(104))),
        Some("connection_reset"),
        None,
        false,
    );
}

#[test]
fn marks() {
    let mut exchange = exchange(System::Redis, "XREAD", None);
    exchange.detail.waits = Waits::Event;
    exchange.detail.transaction = Some(Unrun::Discarded);
    assert_eq!(
        lines(&span(&exchange)),
        "XREAD\ndb.system.name=redis\ndb.namespace=0\ndb.operation.name=XREAD\n\
         honeyguide.db.blocking=true\nhoneyguide.db.transaction=discarded\n"
    );
    exchange.detail.waits = Waits::Nothing;
    assert_eq!(span(&exchange).attributes.find("honeyguide.db.unanswered"), Some(&Value::Bool(true)));
}
