use honeyguide_protocols::{
    CloseReason,
    exchange::{Extent, Outcome},
    sql::{self, Dialect, Statement},
};

use super::*;
use crate::attribute::Value;

fn exchange(system: System, operation: Operation, text: Option<&str>) -> Exchange<SqlDetail> {
    let prepared = (operation == Operation::Execute).then_some(if text.is_some() {
        Prepared::Known
    } else {
        Prepared::Unknown
    });
    let dialect = if system == System::PostgreSql { Dialect::Postgres } else { Dialect::MySql };
    Exchange {
        id: 1,
        request: Extent::default(),
        response: Some(Extent::default()),
        closed: None,
        outcome: Outcome::Complete,
        damaged: false,
        detail: SqlDetail {
            request: Arc::new(SqlHead {
                system,
                namespace: Some("shop".into()),
                operation,
                statement: text.map(|text| Statement { text: text.into(), truncated: false, dialect }),
                prepared,
            }),
            rows_returned: None,
            rows_affected: None,
            batch_size: None,
            failure: None,
            skipped: false,
        },
    }
}

fn query(text: &str) -> Exchange<SqlDetail> {
    exchange(System::PostgreSql, Operation::Query, Some(text))
}

fn head(exchange: &mut Exchange<SqlDetail>) -> &mut SqlHead {
    Arc::make_mut(&mut exchange.detail.request)
}

fn refused(sqlstate: Option<&str>, code: Option<u32>) -> Option<sql::Failure> {
    Some(sql::Failure { sqlstate: sqlstate.map(Into::into), code })
}

fn tcp(local: &str, remote: &str) -> Endpoints {
    Endpoints::Tcp { local: local.parse().unwrap(), remote: remote.parse().unwrap() }
}

fn span_at(exchange: &Exchange<SqlDetail>, role: Role, endpoints: &Endpoints) -> Span {
    let identity = Identity::default();
    let input = DbInput { role, endpoints, identity, start: 5, end: 9, resource: Arc::default() };
    build(exchange, input, &mut Statements::default())
}

fn span(exchange: &Exchange<SqlDetail>) -> Span {
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
    let mut exchange = query("SELECT * FROM users WHERE name = 'jdoe'");
    exchange.detail.rows_returned = Some(3);
    let span = span_at(&exchange, Role::Client, &tcp("10.0.0.1:51000", "10.0.0.2:5432"));
    assert_eq!((span.kind, &span.status, span.start, span.end), (SpanKind::Client, &Status::Unset, 5, 9));
    assert_eq!(
        lines(&span),
        "SELECT users\n\
         db.system.name=postgresql\n\
         db.namespace=shop\n\
         db.query.summary=SELECT users\n\
         db.query.text=SELECT * FROM users WHERE name = ?\n\
         db.response.returned_rows=3\n\
         server.address=10.0.0.2\n\
         network.peer.address=10.0.0.2\n\
         network.peer.port=5432\n"
    );
}

#[test]
fn the_span_of_the_database_itself() {
    let mut exchange = exchange(System::MariaDb, Operation::Execute, Some("DELETE FROM a WHERE b = \"x\""));
    exchange.detail.failure = refused(Some("42S02"), Some(1146));
    let span = span_at(&exchange, Role::Server, &tcp("10.0.0.2:3307", "10.0.0.1:51000"));
    assert_eq!((span.kind, &span.status), (SpanKind::Server, &Status::Error(Cow::Borrowed(""))));
    assert_eq!(
        lines(&span),
        "DELETE a\n\
         db.system.name=mariadb\n\
         db.namespace=shop\n\
         db.query.summary=DELETE a\n\
         db.query.text=DELETE FROM a WHERE b = ?\n\
         db.response.status_code=1146\n\
         error.type=1146\n\
         server.address=10.0.0.2\n\
         server.port=3307\n\
         network.peer.address=10.0.0.1\n\
         network.peer.port=51000\n"
    );
}

#[test]
fn a_statement_that_was_prepared_before() {
    let exchange = exchange(System::MySql, Operation::Execute, None);
    let endpoints = Endpoints::Unix { path: Some("/run/mysqld.sock".into()) };
    assert_eq!(
        lines(&span_at(&exchange, Role::Client, &endpoints)),
        "EXECUTE shop\n\
         db.system.name=mysql\n\
         db.namespace=shop\n\
         db.operation.name=EXECUTE\n\
         server.address=/run/mysqld.sock\n\
         network.transport=unix\n\
         network.peer.address=/run/mysqld.sock\n\
         honeyguide.db.statement=prepared_before\n"
    );
}

#[test]
fn names() {
    let v4 = tcp("10.0.0.1:51000", "10.0.0.2:5432");
    let v6 = tcp("[::1]:51000", "[::1]:5433");
    let unix = Endpoints::Unix { path: Some("/tmp/s".into()) };
    let unknown = Endpoints::Unknown;
    let check = |operation, text, namespace: Option<&str>, endpoints: &Endpoints, expect: &str| {
        let mut exchange = exchange(System::PostgreSql, operation, text);
        head(&mut exchange).namespace = namespace.map(Into::into);
        assert_eq!(span_at(&exchange, Role::Client, endpoints).name, expect, "{operation:?} {text:?}");
    };
    check(Operation::Query, Some("select 1"), Some("shop"), &v4, "select");
    check(Operation::Query, Some(""), Some("shop"), &v4, "shop");
    check(Operation::Query, Some(""), None, &v4, "10.0.0.2:5432");
    check(Operation::Query, Some(""), None, &v6, "[::1]:5433");
    check(Operation::Query, Some(""), None, &unix, "/tmp/s");
    check(Operation::Query, Some(""), None, &unknown, "postgresql");
    check(Operation::Query, None, None, &unknown, "postgresql");
    check(Operation::Execute, None, Some("shop"), &v4, "EXECUTE shop");
    check(Operation::Execute, None, None, &v4, "EXECUTE 10.0.0.2:5432");
    check(Operation::Execute, None, None, &unknown, "EXECUTE");
    check(Operation::Prepare, None, None, &unknown, "PREPARE");
    check(Operation::FunctionCall, None, Some("shop"), &v4, "CALL shop");
}

#[test]
fn status_and_error_type() {
    let check = |system, failure, outcome, answered: bool, status: Option<&str>, error: Option<&str>| {
        let mut exchange = exchange(system, Operation::Query, Some("SELECT 1"));
        (exchange.detail.failure, exchange.outcome) = (failure, outcome);
        exchange.response = answered.then(Extent::default);
        let span = span(&exchange);
        let found = ["db.response.status_code", "error.type"].map(|key| span.attributes.text(key));
        assert_eq!(found, [status, error], "{exchange:?}");
        let described = error.is_some_and(|error| status != Some(error) && error != "_OTHER");
        match &span.status {
            Status::Unset => assert_eq!(error, None),
            Status::Error(text) => assert_eq!((error.is_some(), !text.is_empty()), (true, described)),
        }
    };
    let (postgres, mysql) = (System::PostgreSql, System::MySql);
    let (done, reset) = (Outcome::Complete, Outcome::Aborted(CloseReason::Error(104)));
    let closed = Outcome::Aborted(CloseReason::Finished);
    check(postgres, None, done, true, None, None);
    check(postgres, refused(Some("42P01"), None), done, true, Some("42P01"), Some("42P01"));
    check(postgres, refused(Some("57P01"), None), reset, true, Some("57P01"), Some("57P01"));
    check(postgres, refused(Some("02000"), None), done, true, Some("02000"), Some("02000"));
    check(postgres, refused(Some("01000"), None), done, true, Some("01000"), None);
    check(postgres, refused(None, None), done, true, None, Some("_OTHER"));
    check(mysql, refused(Some("23000"), Some(1062)), done, true, Some("1062"), Some("1062"));
    check(mysql, refused(Some("01000"), Some(1265)), done, true, Some("1265"), Some("1265"));
    check(mysql, refused(Some("HY000"), None), done, true, None, Some("_OTHER"));
    check(postgres, None, reset, false, None, Some("connection_reset"));
    check(postgres, None, reset, true, None, Some("connection_reset"));
    check(postgres, None, closed, false, None, Some("connection_closed"));
    check(postgres, None, closed, true, None, Some("incomplete_response"));
    check(postgres, None, Outcome::Lost, true, None, None);
    check(postgres, None, Outcome::Aborted(CloseReason::Unobserved), false, None, None);
}

#[test]
fn what_the_server_skipped_failed() {
    let mut exchange = query("SELECT 1");
    exchange.detail.skipped = true;
    let span = span(&exchange);
    assert_eq!(span.attributes.text("error.type"), Some("pipeline_aborted"));
    assert_eq!(span.status, Status::Error(Cow::Borrowed("an earlier command of the pipeline was refused")));
}

#[test]
fn batches() {
    let check = |text: Option<&str>, answered: Option<u32>, expect: Option<i64>| {
        let mut exchange = exchange(System::PostgreSql, Operation::Query, text);
        exchange.detail.batch_size = answered;
        let span = span(&exchange);
        assert_eq!(
            span.attributes.find("db.operation.batch.size"),
            expect.map(Value::Int).as_ref(),
            "{text:?}"
        );
    };
    check(Some("SELECT 1"), None, None);
    check(Some("SELECT 1;"), None, None);
    check(Some("SELECT 1; SELECT 2"), Some(2), Some(2));
    check(Some("SELECT 1; nonsense; SELECT 3"), Some(2), Some(3));
    check(Some("INSERT INTO a VALUES (?)"), Some(4), Some(4));
    check(None, Some(2), Some(2));
    check(None, Some(1), None);
}

#[test]
fn preparing_is_reported_where_it_was_refused() {
    let check = |operation, failure: Option<sql::Failure>, expect| {
        let mut exchange = exchange(System::PostgreSql, operation, Some("SELECT 1"));
        exchange.detail.failure = failure;
        assert_eq!(is_reported(&exchange.detail), expect, "{operation:?}");
    };
    check(Operation::Query, None, true);
    check(Operation::Execute, None, true);
    check(Operation::FunctionCall, None, true);
    check(Operation::Prepare, None, false);
    check(Operation::Prepare, refused(Some("42601"), None), true);
}

#[test]
fn a_long_statement_is_cut_between_tokens() {
    let long = format!("SELECT a FROM t WHERE b = {}", "c + ".repeat(2_000));
    let span = span(&query(&long));
    let text = span.attributes.text("db.query.text").unwrap();
    assert!(text.len() > TEXT_BYTES - 4 && text.len() <= TEXT_BYTES && long.starts_with(text), "{text}");
    assert_eq!(span.name, "SELECT t");
}

#[test]
fn damage_is_marked() {
    let mut exchange = query("SELECT a FROM t WHERE b = 'secr");
    (exchange.damaged, exchange.outcome) = (true, Outcome::Lost);
    head(&mut exchange).statement.as_mut().unwrap().truncated = true;
    let span = span(&exchange);
    let own: Vec<_> = span.attributes.iter().filter(|(k, _)| k.starts_with("honeyguide.")).collect();
    let expect = [
        ("honeyguide.damaged", Value::Bool(true)),
        ("honeyguide.truncated", Value::Bool(true)),
        ("honeyguide.end", Value::from("lost")),
    ];
    assert_eq!(own, expect.iter().map(|(k, v)| (*k, v)).collect::<Vec<_>>());
    assert_eq!(span.attributes.text("db.query.text").map(|text| text.contains("secr")), Some(false));
}

#[test]
fn an_end_before_the_start_is_the_start() {
    let (endpoints, identity) = (Endpoints::Unknown, Identity::default());
    let input = DbInput {
        role: Role::Client,
        endpoints: &endpoints,
        identity,
        start: 9,
        end: 5,
        resource: Arc::default(),
    };
    let span = build(&query("SELECT 1"), input, &mut Statements::default());
    assert_eq!((span.start, span.end), (9, 9));
}
