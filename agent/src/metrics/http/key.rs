//! The attribute sets of the HTTP metrics, compared and hashed without building them.

use std::{borrow::Cow, sync::Arc};

use crate::{
    attribute::{Attributes, Value},
    flow::Role,
    metrics::registry::BorrowedKey,
    span::http::{Call, Request},
};

/// What is left out of a set is empty here.
#[derive(Debug, PartialEq, Hash)]
pub(super) struct KeyRef<'a> {
    method: &'a Cow<'static, str>,
    scheme: &'static str,
    status: Option<u16>,
    error: Option<&'static str>,
    version: &'static str,
    route: Option<&'a Arc<str>>,
    server: Option<&'a str>,
    port: Option<u16>,
}

#[derive(Debug)]
pub(super) struct Key {
    method: Cow<'static, str>,
    scheme: &'static str,
    status: Option<u16>,
    error: Option<&'static str>,
    version: &'static str,
    route: Option<Arc<str>>,
    server: Option<Box<str>>,
    port: Option<u16>,
}

impl<'a> KeyRef<'a> {
    pub(super) fn active(request: &'a Request<'_>) -> Self {
        let (scheme, server, port) = match request.role {
            Role::Server => (request.scheme, None, None),
            Role::Client => ("", request.server.as_deref(), request.port),
        };
        Self {
            method: &request.method,
            scheme,
            status: None,
            error: None,
            version: "",
            route: None,
            server,
            port,
        }
    }

    pub(super) fn finished(call: &'a Call<'_>, route: Option<&'a Arc<str>>) -> Self {
        let (status, error, version) = (call.status(), call.error, call.version());
        Self { status, error, version, route, ..Self::active(&call.request) }
    }
}

impl BorrowedKey for KeyRef<'_> {
    type Owned = Key;

    fn matches(&self, owned: &Key) -> bool {
        let Key { method, scheme, status, error, version, route, server, port } = owned;
        let (scheme, status, error, version, port) = (*scheme, *status, *error, *version, *port);
        let (route, server) = (route.as_ref(), server.as_deref());
        *self == KeyRef { method, scheme, status, error, version, route, server, port }
    }

    fn to_owned_key(&self) -> Key {
        let Self { method, scheme, status, error, version, route, server, port } = *self;
        let (method, route, server) = (method.clone(), route.cloned(), server.map(Into::into));
        Key { method, scheme, status, error, version, route, server, port }
    }
}

impl Key {
    /// Server: method and scheme. Client: server and method.
    pub(super) fn active(&self, role: Role) -> Attributes {
        let mut attributes = Attributes::with_capacity(8);
        attributes.set("http.request.method", Value::Str(self.method.clone()));
        if role == Role::Server {
            attributes.set("url.scheme", self.scheme);
        }
        if let Some(server) = &self.server {
            attributes.set("server.address", server.to_string());
        }
        if let Some(port) = self.port {
            attributes.set("server.port", port);
        }
        attributes
    }

    pub(super) fn finished(&self, role: Role) -> Attributes {
        let mut attributes = self.active(role);
        if let Some(error) = self.error {
            attributes.set("error.type", error);
        }
        if let Some(status) = self.status {
            attributes.set("http.response.status_code", status);
        }
        if let Some(route) = &self.route {
            let key = if role == Role::Server { "http.route" } else { "url.template" };
            attributes.set(key, route.to_string());
        }
        attributes.set("network.protocol.version", self.version);
        attributes
    }
}
