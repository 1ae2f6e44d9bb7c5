//! The attribute set of the database metric, compared and hashed without building it.

use crate::{attribute::Attributes, metrics::registry::BorrowedKey, span::db::Measured};

#[derive(Debug)]
pub(super) struct Key {
    system: &'static str,
    namespace: Option<Box<str>>,
    operation: Option<Box<str>>,
    summary: Option<Box<str>>,
    status: Option<Box<str>>,
    error: Option<Box<str>>,
    server: Option<Box<str>>,
    port: Option<u16>,
}

#[derive(Debug, PartialEq, Hash)]
pub(super) struct KeyRef<'a>(pub(super) Measured<'a>);

impl BorrowedKey for KeyRef<'_> {
    type Owned = Key;

    fn matches(&self, owned: &Key) -> bool {
        let Key { system, namespace, operation, summary, status, error, server, port } = owned;
        self.0
            == Measured {
                system,
                namespace: namespace.as_deref(),
                operation: operation.as_deref(),
                summary: summary.as_deref(),
                status: status.as_deref(),
                error: error.as_deref(),
                server: server.as_deref(),
                port: *port,
            }
    }

    fn to_owned_key(&self) -> Key {
        let Measured { system, namespace, operation, summary, status, error, server, port } = self.0;
        Key {
            system,
            namespace: namespace.map(Into::into),
            operation: operation.map(Into::into),
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
        set("db.operation.name", operation.as_deref());
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
