//! From an HTTP exchange to a span, by the stable semantic conventions for HTTP spans (1.44).
//!
//! [`Call`] is what the conventions derive from an exchange; spans and metrics both read it, so that they
//! cannot differ. Beyond the conventions a span may carry the marks of `ending::mark`.

mod failure;
mod forwarded;
mod target;

use std::{borrow::Cow, fmt::Write as _, net::SocketAddr, sync::Arc};

use honeyguide_protocols::{
    exchange::Exchange,
    http::{self, HttpDetail, RequestHead, Version},
};

use self::{forwarded::Origin, target::Target};
use super::{
    Span, SpanKind, Status,
    context::{Identity, baggage},
    ending, network,
    redact::Redaction,
};
use crate::{
    attribute::{Attributes, Value},
    flow::{Endpoints, Role},
    resource::Resource,
};

/// What the user may choose. Defaults: what the conventions require or recommend, and body sizes.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Methods reported as they are; all others are `_OTHER`. The whole list, case-sensitive
    /// (`OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS`).
    pub known_methods: Vec<Cow<'static, str>>,
    pub redaction: Redaction,
    /// Believe `Forwarded` and `X-Forwarded-For`: `client.*`, `server.*` and `url.scheme` of server spans
    /// then speak of the original request, as the conventions ask. Any client can forge these headers.
    pub trust_forwarded: bool,
    /// `http.request.body.size` and `http.response.body.size` (opt-in in the conventions).
    pub body_sizes: bool,
    /// `client.port`, `network.local.*`, and `network.transport` also for TCP (opt-in in the conventions).
    pub network_details: bool,
    /// `user_agent.original` of client spans (opt-in in the conventions).
    pub client_user_agent: bool,
    /// Baggage keys set as attributes of server spans, each under its own name.
    pub baggage: Vec<Box<str>>,
}

/// RFC 9110, PATCH (RFC 5789) and QUERY: what the conventions call known.
pub const KNOWN_METHODS: [&str; 10] =
    ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY"];

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            known_methods: KNOWN_METHODS.map(Cow::Borrowed).to_vec(),
            redaction: Redaction::default(),
            trust_forwarded: true,
            body_sizes: true,
            network_details: false,
            client_user_agent: false,
            baggage: Vec::new(),
        }
    }
}

/// What a span needs beyond its exchange.
#[derive(Clone, Debug)]
pub struct SpanInput<'a> {
    pub role: Role,
    pub endpoints: &'a Endpoints,
    /// The bytes came from a TLS library.
    pub encrypted: bool,
    pub identity: Identity,
    /// Nanoseconds since the Unix epoch.
    pub start: u64,
    /// Nanoseconds since the Unix epoch.
    pub end: u64,
    /// `http.route` of a server span, `url.template` of a client span: see [`super::route`].
    pub route: Option<Arc<str>>,
    pub resource: Arc<Resource>,
}

/// [`Call::new`] and [`Call::span`] in one.
#[must_use]
pub fn build(exchange: &Exchange<HttpDetail>, input: SpanInput<'_>, settings: &HttpSettings) -> Span {
    Call::new(exchange, input.role, input.endpoints, input.encrypted, settings).span(input, settings)
}

/// A request, read by the conventions. Known from the request's head on.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub head: &'a RequestHead,
    pub role: Role,
    pub endpoints: &'a Endpoints,
    /// `http.request.method`: a known method or `_OTHER`.
    pub method: Cow<'static, str>,
    /// `url.scheme`: `http` or `https`.
    pub scheme: &'static str,
    /// `server.address`.
    pub server: Option<Cow<'a, str>>,
    /// `server.port`: as sent, else the scheme's default where there is a `server` and the socket is TCP's.
    pub port: Option<u16>,
    target: Target<'a>,
    origin: Origin<'a>,
}

/// A request and how it ended.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    pub request: Request<'a>,
    pub exchange: &'a Exchange<HttpDetail>,
    /// `error.type`.
    pub error: Option<&'static str>,
    description: &'static str,
}

impl<'a> Request<'a> {
    #[must_use]
    pub fn new(
        head: &'a RequestHead,
        role: Role,
        endpoints: &'a Endpoints,
        encrypted: bool,
        settings: &HttpSettings,
    ) -> Self {
        let target = Target::parse(&head.method, &head.target);
        let trusted = head.forwarded.as_ref().filter(|_| role == Role::Server && settings.trust_forwarded);
        let origin = trusted.map(Origin::of).unwrap_or_default();
        let own = target.scheme.or(head.scheme.as_deref()).and_then(scheme);
        let scheme = origin.scheme.or(own).unwrap_or(if encrypted { "https" } else { "http" });
        let named = || target::host_and_port(target.authority.or(head.authority.as_deref())?);
        let (server, port) = match origin.host.or_else(named) {
            Some((host, port)) => {
                let standard = (!matches!(endpoints, Endpoints::Unix { .. })).then(|| default_port(scheme));
                (Some(Cow::Borrowed(host)), port.or(standard))
            }
            // No header names it.
            None => network::server(role, endpoints),
        };
        let method = settings.known_methods.iter().find(|m| ***m == *head.method).cloned();
        let method = method.unwrap_or(Cow::Borrowed("_OTHER"));
        Self { head, role, endpoints, method, scheme, server, port, target, origin }
    }

    /// The path, for [`super::route`]; empty for CONNECT.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.target.path
    }

    fn peer(&self) -> Option<SocketAddr> {
        match self.endpoints {
            Endpoints::Tcp { remote, .. } => Some(*remote),
            Endpoints::Unix { .. } | Endpoints::Unknown => None,
        }
    }

    fn name(&self, route: Option<&str>) -> Cow<'static, str> {
        let method = if self.method == "_OTHER" { Cow::Borrowed("HTTP") } else { self.method.clone() };
        match route {
            None => method,
            Some(route) => Cow::Owned([&method, " ", route].concat()),
        }
    }

    /// `url.full`: absolute, without credentials. Where nothing names the server it is the target alone.
    fn url_full(&self, redaction: &Redaction) -> String {
        let mut url = String::with_capacity(self.head.target.len() + 48);
        if self.target.scheme.is_some() {
            url.push_str(&self.head.target);
            return redaction.url(&url).into_owned();
        }
        let connect = self.target.path.is_empty() && self.target.authority.is_some();
        if let Some(server) = self.server.as_deref().filter(|s| !s.starts_with('/')) {
            if !connect {
                url.push_str(self.scheme);
                url.push(':');
            }
            url.push_str("//");
            let v6 = server.contains(':');
            url.extend([if v6 { "[" } else { "" }, server, if v6 { "]" } else { "" }]);
            if let Some(port) = self.port.filter(|p| connect || *p != default_port(self.scheme)) {
                let _ = write!(url, ":{port}"); // Writing to a string cannot fail.
            }
        }
        if self.target.path != "*" {
            url.push_str(&redaction.path(self.target.path));
        }
        if let Some(query) = self.target.query {
            url.push('?');
            url.push_str(&redaction.query(query));
        }
        url
    }

    fn set_server_side(&self, attributes: &mut Attributes, settings: &HttpSettings) {
        attributes.add("url.path", settings.redaction.path(self.target.path).into_owned());
        attributes.add("url.scheme", self.scheme);
        if let Some(query) = self.target.query {
            attributes.add("url.query", settings.redaction.query(query).into_owned());
        }
        let peer = self.peer().map(|p| (p.ip(), Some(p.port())));
        let told = || Some((self.head.client.as_deref()?.parse().ok()?, None));
        if let Some((address, port)) = self.origin.client.or_else(told).or(peer) {
            attributes.add("client.address", network::text(address));
            if let Some(port) = port.filter(|_| settings.network_details) {
                attributes.add("client.port", port);
            }
        }
    }

    /// What the user asked for of `baggage`; what the conventions say of the request stays as they say it.
    fn set_baggage(&self, attributes: &mut Attributes, settings: &HttpSettings) {
        let Some(header) = self.head.baggage.as_ref().filter(|_| !settings.baggage.is_empty()) else {
            return;
        };
        for (key, value) in baggage(header, |key| settings.baggage.iter().any(|k| **k == *key)) {
            if attributes.find(key).is_none() {
                attributes.set(key.to_owned(), value.into_owned());
            }
        }
    }

    fn set_network(&self, attributes: &mut Attributes, settings: &HttpSettings) {
        network::set_peer(self.role, self.endpoints, attributes);
        if !settings.network_details {
            return;
        }
        match self.endpoints {
            Endpoints::Tcp { local, .. } => {
                attributes.add("network.local.address", network::text(local.ip()));
                attributes.add("network.local.port", local.port());
                attributes.add("network.transport", "tcp");
            }
            Endpoints::Unix { path: Some(path) } if self.role == Role::Server => {
                attributes.add("network.local.address", path.to_string());
            }
            Endpoints::Unix { .. } | Endpoints::Unknown => {}
        }
    }
}

impl<'a> Call<'a> {
    #[must_use]
    pub fn new(
        exchange: &'a Exchange<HttpDetail>,
        role: Role,
        endpoints: &'a Endpoints,
        encrypted: bool,
        settings: &HttpSettings,
    ) -> Self {
        let request = Request::new(&exchange.detail.request, role, endpoints, encrypted, settings);
        let failure = failure::of(exchange, role);
        let (error, description) = failure.map_or((None, ""), |f| (Some(f.kind), f.description));
        Self { request, exchange, error, description }
    }

    /// `http.response.status_code`.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.exchange.detail.response.as_ref().map(|r| r.status)
    }

    /// `network.protocol.version`: the response's where there is one, since the server has the last word.
    #[must_use]
    pub fn version(&self) -> &'static str {
        let detail = &self.exchange.detail;
        version(detail.response.as_ref().map_or(detail.request.version, |r| r.version))
    }

    /// `input` must name the role and endpoints that this call was made with.
    #[must_use]
    pub fn span(&self, input: SpanInput<'_>, settings: &HttpSettings) -> Span {
        let SpanInput { identity, start, end, route, resource, .. } = input;
        Span {
            trace_id: identity.trace_id,
            span_id: identity.span_id,
            parent: identity.parent,
            parent_is_remote: identity.parent_is_remote,
            trace_flags: identity.trace_flags,
            trace_state: identity.trace_state,
            kind: match self.request.role {
                Role::Client => SpanKind::Client,
                Role::Server => SpanKind::Server,
            },
            name: self.request.name(route.as_deref()),
            start,
            end: end.max(start),
            attributes: self.attributes(route.as_deref(), settings),
            links: Vec::new(),
            status: if self.error.is_some() {
                Status::Error(Cow::Borrowed(self.description))
            } else {
                Status::Unset
            },
            resource,
        }
    }

    fn attributes(&self, route: Option<&str>, settings: &HttpSettings) -> Attributes {
        let (request, head) = (&self.request, self.request.head);
        let mut attributes = Attributes::with_capacity(TYPICAL_ATTRIBUTES);
        attributes.add("http.request.method", Value::Str(request.method.clone()));
        if request.method == "_OTHER" && *head.method != *http::UNKNOWN {
            attributes.add("http.request.method_original", head.method.to_string());
        }
        if let Some(status) = self.status() {
            attributes.add("http.response.status_code", status);
        }
        if let Some(server) = &request.server {
            attributes.add("server.address", server.to_string());
        }
        if let Some(port) = request.port {
            attributes.add("server.port", port);
        }
        match request.role {
            Role::Server => request.set_server_side(&mut attributes, settings),
            Role::Client => attributes.add("url.full", request.url_full(&settings.redaction)),
        }
        if let Some(route) = route {
            let key = if request.role == Role::Server { "http.route" } else { "url.template" };
            attributes.add(key, route.to_owned());
        }
        request.set_network(&mut attributes, settings);
        attributes.add("network.protocol.version", self.version());
        let wanted = request.role == Role::Server || settings.client_user_agent;
        if let Some(agent) = head.user_agent.as_ref().filter(|_| wanted) {
            attributes.add("user_agent.original", agent.to_string());
        }
        if let Some(error) = self.error {
            attributes.add("error.type", error);
        }
        if settings.body_sizes {
            self.set_body_sizes(&mut attributes);
        }
        ending::mark(self.exchange, request.head.truncated, &mut attributes);
        if request.role == Role::Server {
            request.set_baggage(&mut attributes, settings);
        }
        attributes
    }

    fn set_body_sizes(&self, attributes: &mut Attributes) {
        let HttpDetail { request_body, response_body, .. } = &self.exchange.detail;
        if let Some(size) = request_body.and_then(|s| i64::try_from(s).ok()) {
            attributes.add("http.request.body.size", size);
        }
        if let Some(size) = response_body.and_then(|s| i64::try_from(s).ok()) {
            attributes.add("http.response.body.size", size);
        }
    }
}

const TYPICAL_ATTRIBUTES: usize = 18;

/// `http` or `https` of what names one of them; WebSocket's schemes stand for theirs (RFC 6455, 3).
fn scheme(text: &str) -> Option<&'static str> {
    let is = |name| text.eq_ignore_ascii_case(name);
    if is("http") || is("ws") {
        Some("http")
    } else if is("https") || is("wss") {
        Some("https")
    } else {
        None
    }
}

fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
        Version::Http2 => "2",
        Version::Http3 => "3",
    }
}

#[cfg(test)]
mod tests;
