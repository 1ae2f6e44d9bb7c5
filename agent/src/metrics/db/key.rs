//! The attribute set of the database metric, compared and hashed without building it.

use std::sync::Arc;

use crate::{attribute::Attributes, metrics::registry::BorrowedKey, span::db::Call};

#[derive(Debug, PartialEq, Hash)]
pub(super) struct KeyRef<'a> {
    system: &'static str,
    namespace: Option<&'a Arc<str>>,
    operation: Option<&'static str>,
    summary: Option<&'a str>,
    status: Option<&'a str>,
    error: Option<&'a str>,
    server: Option<&'a str>,
    port: Option<u16>,
}

#[derive(Debug)]
pub(super) struct Key {
    system: &'static str,
    namespace: Option<Arc<str>>,
    operation: Option<&'static str>,
    summary: Option<Box<str>>,
    status: Option<Box<str>>,
    error: Option<Box<str>>,
    server: Option<Box<str>>,
    port: Option<u16>,
}

impl<'a> KeyRef<'a> {
    pub(super) fn of(call: &'a Call<'_>) -> Self {
        Self {
            system: call.system(),
            namespace: call.head().namespace.as_ref(),
            operation: call.operation(),
            summary: call.summary(),
            status: call.status.as_deref(),
            error: call.error.as_deref(),
            server: call.server.as_deref(),
            port: call.port(),
        }
    }
}

impl BorrowedKey for KeyRef<'_> {
    type Owned = Key;

    fn matches(&self, owned: &Key) -> bool {
        let Key { system, namespace, operation, summary, status, error, server, port } = owned;
        *self
            == KeyRef {
                system,
                namespace: namespace.as_ref(),
                operation: *operation,
                summary: summary.as_deref(),
                status: status.as_deref(),
                error: error.as_deref(),
                server: server.as_deref(),
                port: *port,
            }
    }

    fn to_owned_key(&self) -> Key {
        let Self { system, namespace, operation, summary, status, error, server, port } = *self;
        Key {
            system,
            namespace: namespace.cloned(),
            operation,
            summary: summary.map(Into::into),
            status: status.map(Into::into),
            error: error.map(Into::into),
            server: server.map(Into::into),
            port,
        }
    }
}

impl Key {
    pub(super) fn attributes(&self) -> Attributes {
        let Self { system, namespace, operation, summary, status, error, server, port } = self;
        let mut attributes = Attributes::with_capacity(8);
        attributes.set("db.system.name", *system);
        let mut set = |key: &'static str, value: Option<&str>| {
            if let Some(value) = value {
                attributes.set(key, value.to_owned());
            }
        };
        set("db.namespace", namespace.as_deref());
        set("db.operation.name", *operation);
        set("db.query.summary", summary.as_deref());
        set("db.response.status_code", status.as_deref());
        set("error.type", error.as_deref());
        set("server.address", server.as_deref());
        if let Some(port) = port {
            attributes.set("server.port", *port);
        }
        attributes
    }
}
