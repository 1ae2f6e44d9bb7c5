use std::{borrow::Cow, sync::Arc};

use honeyguide_protocols::{
    CloseReason,
    exchange::{Exchange, Extent, Outcome},
    http::{Forwarded, HttpDetail, RequestHead, ResponseHead, Version},
};

use super::*;

fn exchange(method: &str, target: &str, status: Option<u16>) -> Exchange<HttpDetail> {
    Exchange {
        id: 1,
        request: Extent::default(),
        response: status.map(|_| Extent::default()),
        closed: None,
        outcome: Outcome::Complete,
        damaged: false,
        detail: HttpDetail {
            request: Arc::new(RequestHead {
                method: method.into(),
                target: target.into(),
                version: Version::Http11,
                authority: Some("shop.example:8080".into()),
                scheme: None,
                user_agent: Some("curl/8".into()),
                forwarded: None,
                client: None,
                traceparent: None,
                tracestate: None,
                baggage: None,
                stream: 0,
                fingerprint: 0,
                truncated: false,
            }),
            response: status.map(|status| ResponseHead { status, version: Version::Http11 }),
            request_body: Some(0),
            response_body: Some(12),
            rpc: None,
        },
    }
}

fn head(exchange: &mut Exchange<HttpDetail>) -> &mut RequestHead {
    Arc::make_mut(&mut exchange.detail.request)
}

fn tcp() -> Endpoints {
    let address = |text: &str| text.parse().unwrap();
    Endpoints::Tcp { local: address("10.0.0.1:8080"), remote: address("10.0.0.2:51000") }
}

fn span_with(
    exchange: &Exchange<HttpDetail>,
    role: Role,
    endpoints: &Endpoints,
    route: Option<&str>,
    settings: &HttpSettings,
) -> Span {
    let input = SpanInput {
        role,
        endpoints,
        encrypted: false,
        identity: Identity::default(),
        start: 5,
        end: 9,
        route: route.map(Arc::from),
        resource: Arc::default(),
    };
    build(exchange, input, settings)
}

fn span(exchange: &Exchange<HttpDetail>, role: Role) -> Span {
    span_with(exchange, role, &tcp(), None, &HttpSettings::default())
}

/// `key=value` a line.
fn lines(span: &Span) -> String {
    let value = |value: &Value| match value {
        Value::Str(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Double(number) => number.to_string(),
        Value::StrArray(list) => list.join(","),
    };
    span.attributes.iter().map(|(k, v)| format!("{k}={}\n", value(v))).collect()
}

#[test]
fn a_server_span() {
    let exchange = exchange("GET", "/users/42?sort=asc&token=x", Some(200));
    let span = span_with(&exchange, Role::Server, &tcp(), Some("/users/{id}"), &HttpSettings::default());
    assert_eq!(
        (span.name.as_ref(), span.kind, &span.status),
        ("GET /users/{id}", SpanKind::Server, &Status::Unset)
    );
    assert_eq!((span.start, span.end), (5, 9));
    assert_eq!(
        lines(&span),
        "http.request.method=GET\n\
         http.response.status_code=200\n\
         server.address=shop.example\n\
         server.port=8080\n\
         url.path=/users/42\n\
         url.scheme=http\n\
         url.query=sort=asc&token=REDACTED\n\
         client.address=10.0.0.2\n\
         http.route=/users/{id}\n\
         network.peer.address=10.0.0.2\n\
         network.peer.port=51000\n\
         network.protocol.version=1.1\n\
         user_agent.original=curl/8\n\
         http.request.body.size=0\n\
         http.response.body.size=12\n"
    );
}

#[test]
fn a_client_span() {
    let exchange = exchange("POST", "/pay?sig=x", Some(404));
    let span = span_with(&exchange, Role::Client, &tcp(), Some("/pay"), &HttpSettings::default());
    assert_eq!(span.name, "POST /pay");
    assert_eq!((span.kind, &span.status), (SpanKind::Client, &Status::Error(Cow::Borrowed(""))));
    assert_eq!(
        lines(&span),
        "http.request.method=POST\n\
         http.response.status_code=404\n\
         server.address=shop.example\n\
         server.port=8080\n\
         url.full=http://shop.example:8080/pay?sig=REDACTED\n\
         url.template=/pay\n\
         network.peer.address=10.0.0.2\n\
         network.peer.port=51000\n\
         network.protocol.version=1.1\n\
         error.type=404\n\
         http.request.body.size=0\n\
         http.response.body.size=12\n"
    );
}

#[test]
fn status_and_error_type() {
    let check = |status: Option<u16>, outcome: Outcome, role: Role, error: Option<&str>, described: bool| {
        let mut exchange = exchange("GET", "/", status);
        exchange.outcome = outcome;
        let span = span(&exchange, role);
        assert_eq!(span.attributes.text("error.type"), error, "{status:?} {outcome:?} {role:?}");
        match (&span.status, error) {
            (Status::Unset, None) => {}
            (Status::Error(text), Some(_)) => assert_eq!(!text.is_empty(), described, "{text}"),
            (status, error) => panic!("{status:?} with {error:?}"),
        }
    };
    let reset = Outcome::Aborted(CloseReason::Error(104));
    let closed = Outcome::Aborted(CloseReason::Finished);
    for role in [Role::Server, Role::Client] {
        check(Some(200), Outcome::Complete, role, None, false);
        check(Some(302), Outcome::Complete, role, None, false);
        check(Some(101), Outcome::Upgraded, role, None, false);
        check(Some(500), Outcome::Complete, role, Some("500"), false);
        check(Some(503), Outcome::Lost, role, Some("503"), false);
        check(Some(999), Outcome::Complete, role, Some("999"), false);
        check(None, Outcome::Lost, role, None, false);
        check(None, Outcome::Aborted(CloseReason::Unobserved), role, None, false);
        check(None, reset, role, Some("connection_reset"), true);
        check(Some(200), reset, role, Some("connection_reset"), true);
        check(Some(500), reset, role, Some("connection_reset"), true);
        check(None, closed, role, Some("connection_closed"), true);
        check(Some(200), closed, role, Some("incomplete_response"), true);
        check(None, Outcome::Aborted(CloseReason::Error(110)), role, Some("timeout"), true);
        check(None, Outcome::Aborted(CloseReason::Error(-1)), role, Some("socket_error"), true);
    }
    check(Some(404), Outcome::Complete, Role::Server, None, false);
    check(Some(404), Outcome::Complete, Role::Client, Some("404"), false);
}

#[test]
fn methods() {
    let check = |method: &str, name: &str, original: Option<&str>| {
        let span = span_with(
            &exchange(method, "/", None),
            Role::Server,
            &tcp(),
            Some("/"),
            &HttpSettings::default(),
        );
        assert_eq!(span.name, name);
        assert_eq!(span.attributes.text("http.request.method_original"), original);
    };
    check("GET", "GET /", None);
    check("QUERY", "QUERY /", None);
    check("get", "HTTP /", Some("get"));
    check("PROPFIND", "HTTP /", Some("PROPFIND"));
    let settings = HttpSettings { known_methods: vec!["PROPFIND".into()], ..HttpSettings::default() };
    let span = |method| span_with(&exchange(method, "/", None), Role::Client, &tcp(), None, &settings);
    assert_eq!((span("PROPFIND").name, span("GET").name), ("PROPFIND".into(), "HTTP".into()));
}

#[test]
fn full_urls_and_servers() {
    let check =
        |method: &str, target: &str, host: Option<&str>, url: &str, server: &str, port: Option<i64>| {
            let mut exchange = exchange(method, target, Some(200));
            head(&mut exchange).authority = host.map(Into::into);
            let span = span(&exchange, Role::Client);
            let found = (span.attributes.text("url.full"), span.attributes.text("server.address"));
            assert_eq!(found, (Some(url), Some(server)), "{target}");
            assert_eq!(span.attributes.find("server.port"), port.map(Value::Int).as_ref(), "{target}");
        };
    check("GET", "/a", Some("h"), "http://h/a", "h", Some(80));
    check("GET", "/a", Some("h:80"), "http://h/a", "h", Some(80));
    check("GET", "/a", Some("h:443"), "http://h:443/a", "h", Some(443));
    check("GET", "/a", Some("[::1]:9"), "http://[::1]:9/a", "::1", Some(9));
    check("GET", "/a", Some("u:p@h"), "http://h/a", "h", Some(80));
    check("GET", "/a", None, "http://10.0.0.2:51000/a", "10.0.0.2", Some(51000));
    check("OPTIONS", "*", Some("h:81"), "http://h:81", "h", Some(81));
    check("CONNECT", "h:443", Some("proxy"), "//h:443", "h", Some(443));
    check(
        "GET",
        "https://u:p@h/a?sig=x",
        Some("proxy"),
        "https://REDACTED:REDACTED@h/a?sig=REDACTED",
        "h",
        Some(443),
    );
}

#[test]
fn unix_sockets() {
    let endpoints = Endpoints::Unix { path: Some("/run/app.sock".into()) };
    let settings = HttpSettings { body_sizes: false, ..HttpSettings::default() };
    let mut exchange = exchange("GET", "/a", Some(200));
    head(&mut exchange).authority = None;
    head(&mut exchange).user_agent = None;
    let server = span_with(&exchange, Role::Server, &endpoints, None, &settings);
    assert_eq!(
        lines(&server),
        "http.request.method=GET\nhttp.response.status_code=200\nserver.address=/run/app.sock\nurl.path=/a\n\
         url.scheme=http\nnetwork.transport=unix\nnetwork.protocol.version=1.1\n"
    );
    let client = span_with(&exchange, Role::Client, &endpoints, None, &settings);
    assert_eq!(
        lines(&client),
        "http.request.method=GET\nhttp.response.status_code=200\nserver.address=/run/app.sock\nurl.full=/a\n\
         network.transport=unix\nnetwork.peer.address=/run/app.sock\nnetwork.protocol.version=1.1\n"
    );
}

#[test]
fn the_original_request_behind_a_proxy() {
    let mut exchange = exchange("GET", "/a", Some(200));
    let header = "for=203.0.113.7;host=www.example;proto=https";
    head(&mut exchange).forwarded = Some(Forwarded::Forwarded(header.into()));
    let seen = |trust_forwarded, role| {
        let settings = HttpSettings { trust_forwarded, ..HttpSettings::default() };
        let span = span_with(&exchange, role, &tcp(), None, &settings);
        ["client.address", "server.address", "url.scheme"]
            .map(|key| span.attributes.text(key).unwrap_or_default().to_owned())
            .join(" ")
    };
    assert_eq!(seen(true, Role::Server), "203.0.113.7 www.example https");
    assert_eq!(seen(false, Role::Server), "10.0.0.2 shop.example http");
    assert_eq!(seen(true, Role::Client), " shop.example ");
}

#[test]
fn damage_is_marked() {
    let mut exchange = exchange("GET", "/a?tok", None);
    (exchange.damaged, exchange.outcome) = (true, Outcome::Lost);
    head(&mut exchange).truncated = true;
    let span = span(&exchange, Role::Server);
    let own: Vec<_> = span.attributes.iter().filter(|(k, _)| k.starts_with("honeyguide.")).collect();
    let expect = [
        ("honeyguide.damaged", Value::Bool(true)),
        ("honeyguide.truncated", Value::Bool(true)),
        ("honeyguide.end", Value::from("lost")),
    ];
    assert_eq!(own, expect.iter().map(|(k, v)| (*k, v)).collect::<Vec<_>>());
}

#[test]
fn allowed_baggage_becomes_attributes() {
    let mut exchange = exchange("GET", "/", Some(200));
    head(&mut exchange).baggage = Some("tenant=a%20b;ttl=1, secret=x".into());
    let settings = HttpSettings { baggage: vec!["tenant".into()], ..HttpSettings::default() };
    let span = span_with(&exchange, Role::Server, &tcp(), None, &settings);
    assert_eq!((span.attributes.text("tenant"), span.attributes.text("secret")), (Some("a b"), None));
}

#[test]
fn an_end_before_the_start_is_the_start() {
    let exchange = exchange("GET", "/", None);
    let endpoints = Endpoints::Unknown;
    let input = SpanInput {
        role: Role::Server,
        endpoints: &endpoints,
        encrypted: true,
        identity: Identity::default(),
        start: 9,
        end: 5,
        route: None,
        resource: Arc::default(),
    };
    let span = build(&exchange, input, &HttpSettings::default());
    assert_eq!((span.start, span.end, span.attributes.text("url.scheme")), (9, 9, Some("https")));
}
