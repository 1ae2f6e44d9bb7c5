use honeyguide_protocols::{
    Party,
    exchange::Extent,
    http::{RequestHead, ResponseHead, Version},
};

use super::*;

fn exchange(status: Option<u32>) -> Exchange<HttpDetail> {
    let head = RequestHead {
        method: "POST".into(),
        target: "/shop.Cart/Add".into(),
        version: Version::Http2,
        authority: Some("cart.internal:50051".into()),
        scheme: Some("http".into()),
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
    Exchange {
        id: 1,
        request: Extent::default(),
        response: Some(Extent::default()),
        closed: None,
        outcome: Outcome::Complete,
        damaged: false,
        detail: HttpDetail {
            request: Arc::new(head),
            response: Some(ResponseHead { status: 200, version: Version::Http2 }),
            request_body: Some(7),
            response_body: Some(7),
            rpc: Some(RpcDetail {
                method: Some("shop.Cart/Add".into()),
                status,
                has_message: false,
                request_messages: Some(1),
                response_messages: Some(1),
            }),
        },
    }
}

fn span(exchange: &Exchange<HttpDetail>, role: Role) -> Span {
    let (near, far) = ("10.0.0.1:41000".parse().unwrap(), "10.0.0.2:50051".parse().unwrap());
    let endpoints = match role {
        Role::Client => Endpoints::Tcp { local: near, remote: far },
        Role::Server => Endpoints::Tcp { local: far, remote: near },
    };
    let call = Call::new(exchange, role, &endpoints, false, &HttpSettings::default()).unwrap();
    call.span(RpcInput { identity: Identity::default(), start: 5, end: 9, resource: Arc::default() })
}

/// The name, `!` for an error, then the attributes of the call itself.
fn said(exchange: &Exchange<HttpDetail>, role: Role) -> String {
    let span = span(exchange, role);
    let mark = if span.status == Status::Unset { "" } else { "!" };
    let text = |key: &str| span.attributes.text(key).unwrap_or("-").to_owned();
    let keys = ["rpc.method", "rpc.response.status_code", "error.type"].map(text).join(" ");
    format!("{}{mark} {keys}", span.name)
}

#[test]
fn a_call_that_went_well_has_these_attributes_and_no_others() {
    let expect = |role, own: &[(&str, Value)]| {
        let span = span(&exchange(Some(0)), role);
        let mut wanted = vec![
            ("rpc.system.name", Value::from("grpc")),
            ("rpc.method", "shop.Cart/Add".into()),
            ("rpc.response.status_code", "OK".into()),
            ("server.address", "cart.internal".into()),
            ("server.port", 50051_u16.into()),
        ];
        wanted.extend_from_slice(own);
        let said: Vec<_> = span.attributes.iter().map(|(key, value)| (key, value.clone())).collect();
        assert_eq!(said, wanted);
        assert_eq!(
            (span.name.as_ref(), span.status, span.start, span.end),
            ("shop.Cart/Add", Status::Unset, 5, 9)
        );
    };
    expect(
        Role::Client,
        &[("network.peer.address", "10.0.0.2".into()), ("network.peer.port", 50051_u16.into())],
    );
    expect(
        Role::Server,
        &[
            ("client.address", "10.0.0.1".into()),
            ("network.peer.address", "10.0.0.1".into()),
            ("network.peer.port", 41000_u16.into()),
        ],
    );
}

#[test]
fn what_is_an_error_depends_on_the_side() {
    for (number, name, server) in [
        (1, "CANCELLED", false),
        (2, "UNKNOWN", true),
        (3, "INVALID_ARGUMENT", false),
        (4, "DEADLINE_EXCEEDED", true),
        (5, "NOT_FOUND", false),
        (13, "INTERNAL", true),
        (14, "UNAVAILABLE", true),
        (15, "DATA_LOSS", true),
        (16, "UNAUTHENTICATED", false),
        (99, "99", false),
    ] {
        let exchange = exchange(Some(number));
        assert_eq!(said(&exchange, Role::Client), format!("shop.Cart/Add! shop.Cart/Add {name} {name}"));
        let wanted = if server {
            format!("shop.Cart/Add! shop.Cart/Add {name} {name}")
        } else {
            format!("shop.Cart/Add shop.Cart/Add {name} -")
        };
        assert_eq!(said(&exchange, Role::Server), wanted);
    }
}

#[test]
fn a_method_the_server_does_not_have_is_no_name() {
    let exchange = exchange(Some(12));
    assert_eq!(said(&exchange, Role::Server), "grpc! _OTHER UNIMPLEMENTED UNIMPLEMENTED");
    let span = span(&exchange, Role::Server);
    assert_eq!(span.attributes.text("rpc.method_original"), Some("shop.Cart/Add"));
    assert_eq!(said(&exchange, Role::Client), "shop.Cart/Add! shop.Cart/Add UNIMPLEMENTED UNIMPLEMENTED");
}

#[test]
fn an_end_without_a_status_has_the_one_a_library_gives_it() {
    let mut reset = exchange(None);
    for (code, name) in
        [(0x2, "INTERNAL"), (0x7, "UNAVAILABLE"), (0x8, "CANCELLED"), (0xb, "RESOURCE_EXHAUSTED")]
    {
        reset.outcome = Outcome::Reset { by: Party::Client, code };
        assert_eq!(said(&reset, Role::Client), format!("shop.Cart/Add! shop.Cart/Add {name} {name}"));
    }
    let mut proxy = exchange(None);
    proxy.detail.response = Some(ResponseHead { status: 503, version: Version::Http2 });
    assert_eq!(said(&proxy, Role::Client), "shop.Cart/Add! shop.Cart/Add UNAVAILABLE UNAVAILABLE");
    let mut gone = exchange(None);
    gone.outcome = Outcome::Aborted(CloseReason::Error(104));
    assert_eq!(said(&gone, Role::Client), "shop.Cart/Add! shop.Cart/Add UNAVAILABLE UNAVAILABLE");
}

#[test]
fn an_end_that_was_not_seen_has_no_status() {
    let mut lost = exchange(None);
    lost.outcome = Outcome::Lost;
    assert_eq!(said(&lost, Role::Client), "shop.Cart/Add shop.Cart/Add - -");
    let mut damaged = exchange(None);
    damaged.damaged = true;
    assert_eq!(said(&damaged, Role::Client), "shop.Cart/Add shop.Cart/Add - -");
    let mut nameless = exchange(Some(0));
    if let Some(rpc) = &mut nameless.detail.rpc {
        rpc.method = None;
    }
    assert_eq!(said(&nameless, Role::Client), "grpc - OK -");
}

#[test]
fn plain_http_is_no_call() {
    let mut plain = exchange(None);
    plain.detail.rpc = None;
    let settings = HttpSettings::default();
    assert!(Call::new(&plain, Role::Client, &Endpoints::Unknown, false, &settings).is_none());
}
