//! The attribute set of the RPC metrics, compared and hashed without building it.

use crate::{
    attribute::Attributes,
    metrics::registry::BorrowedKey,
    span::rpc::{Call, SYSTEM},
};

#[derive(Debug, PartialEq, Hash)]
pub(super) struct KeyRef<'a> {
    method: Option<&'a str>,
    status: Option<&'a str>,
    error: Option<&'a str>,
    server: Option<&'a str>,
    port: Option<u16>,
}

#[derive(Debug)]
pub(super) struct Key {
    method: Option<Box<str>>,
    status: Option<Box<str>>,
    error: Option<Box<str>>,
    server: Option<Box<str>>,
    port: Option<u16>,
}

impl<'a> KeyRef<'a> {
    pub(super) fn of(call: &'a Call<'_>) -> Self {
        Self {
            method: call.method(),
            status: call.status.as_deref(),
            error: call.error.as_deref(),
            server: call.request.server.as_deref(),
            port: call.request.port,
        }
    }
}

impl BorrowedKey for KeyRef<'_> {
    type Owned = Key;

    fn matches(&self, owned: &Key) -> bool {
        let Key { method, status, error, server, port } = owned;
        *self
            == KeyRef {
                method: method.as_deref(),
                status: status.as_deref(),
                error: error.as_deref(),
                server: server.as_deref(),
                port: *port,
            }
    }

    fn to_owned_key(&self) -> Key {
        let Self { method, status, error, server, port } = *self;
        Key {
            method: method.map(Into::into),
            status: status.map(Into::into),
            error: error.map(Into::into),
            server: server.map(Into::into),
            port,
        }
    }
}

impl Key {
    pub(super) fn attributes(&self) -> Attributes {
        let Self { method, status, error, server, port } = self;
        let mut attributes = Attributes::with_capacity(6);
        attributes.set("rpc.system.name", SYSTEM);
        let mut set = |key: &'static str, value: Option<&str>| {
            if let Some(value) = value {
                attributes.set(key, value.to_owned());
            }
        };
        set("rpc.method", method.as_deref());
        set("rpc.response.status_code", status.as_deref());
        set("error.type", error.as_deref());
        set("server.address", server.as_deref());
        if let Some(port) = port {
            attributes.set("server.port", *port);
        }
        attributes
    }
}
