//! From an exchange with a key-value store to a span, by the stable semantic conventions for database client
//! spans and those for Redis (1.44). There are none for Memcached beyond the value of `db.system.name`.
//!
//! Like [`super::db`], whose [`DbInput`] it takes: the span of the store's own process has the same attributes,
//! and kind `SERVER`. What is decided here, and why:
//! - `db.operation.name` is in upper case for Redis. The conventions ask for the application's own spelling; on
//!   the wire it is the client library's, and each command would have several names.
//! - `db.query.text` holds keys and fields and no other argument, as in the conventions' example. Where a key
//!   holds what looks like an identifier or a token, that part is masked too. Memcached's holds no key.
//! - A transaction of Redis is one span, `MULTI` or `MULTI {command}`, with its `db.operation.batch.size`. That
//!   a client sent several commands at once is not the batch of the conventions: the wire does not tell it from
//!   several threads that share a connection. Each is a span.
//! - `db.namespace` is the database that the connection has selected, not part of the name.
//! - `db.response.status_code` and `error.type` are the first word of the error; `_OTHER` where that is no code.
//!   Otherwise `error.type` is a name of `Failure::of_outcome`.
//! - A command that waits for an event (`BLPOP`, `XREAD` with `BLOCK`, `WAIT`, …) has a span, since its thread
//!   waits, and `honeyguide.db.blocking`; it is no measurement of `db.client.operation.duration`, since it would
//!   hide how long the store takes. One that the client leaves is no error.
//! - A command to which the client wants no reply ends when it is sent, and has `honeyguide.db.unanswered`; it is
//!   no measurement either.
//! - `honeyguide.db.transaction` = `aborted` | `discarded`: it did not run, because a watched key had changed or
//!   the client gave it up. Neither is an error.

use std::borrow::Cow;

use honeyguide_protocols::{
    CloseReason,
    exchange::{Exchange, Outcome},
    keyvalue::{KeyValueDetail, KeyValueHead, System, Unrun, Waits},
};

use super::{
    Span,
    db::{DbInput, Measured},
    ending,
    ending::Failure,
    network,
};
use crate::{
    attribute::Attributes,
    flow::{Endpoints, Role},
};

/// An operation of a key-value store, read by the conventions.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    exchange: &'a Exchange<KeyValueDetail>,
    role: Role,
    endpoints: &'a Endpoints,
    /// `server.address`.
    server: Option<Cow<'a, str>>,
    /// `server.port`, also where it is the system's own.
    port: Option<u16>,
    namespace: Option<Cow<'static, str>>,
    /// `error.type`.
    error: Option<&'a str>,
    description: &'static str,
}

impl<'a> Call<'a> {
    #[must_use]
    pub fn new(exchange: &'a Exchange<KeyValueDetail>, role: Role, endpoints: &'a Endpoints) -> Self {
        let (server, port) = network::server(role, endpoints);
        let (error, description) = error(exchange);
        let namespace = exchange.detail.database.map(namespace);
        Self { exchange, role, endpoints, server, port, namespace, error, description }
    }

    /// Whether the duration says how long the store took.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.exchange.detail.waits == Waits::Answer
    }

    /// What the metric has of it.
    #[must_use]
    pub fn measured(&self) -> Measured<'_> {
        Measured {
            system: self.system(),
            namespace: self.namespace.as_deref(),
            operation: Some(&self.head().operation),
            summary: None,
            status: self.status(),
            error: self.error,
            server: self.server.as_deref(),
            port: self.other_port(),
        }
    }

    /// `input` must name the role and endpoints that this call was made with.
    #[must_use]
    pub fn span(&self, input: DbInput<'_>) -> Span {
        input.span(self.name(), self.attributes(), self.error.map(|_| self.description))
    }

    fn head(&self) -> &'a KeyValueHead {
        &self.exchange.detail.request
    }

    fn system(&self) -> &'static str {
        match self.head().system {
            System::Redis => "redis",
            System::Memcached => "memcached",
        }
    }

    /// `server.port`: where it is not the system's own.
    fn other_port(&self) -> Option<u16> {
        let own = match self.head().system {
            System::Redis => 6379,
            System::Memcached => 11211,
        };
        self.port.filter(|port| *port != own)
    }

    /// `db.response.status_code`.
    fn status(&self) -> Option<&'a str> {
        self.exchange.detail.failure.as_ref()?.code.as_deref()
    }

    /// Operation and target (database spans, "Name").
    fn name(&self) -> Cow<'static, str> {
        let head = self.head();
        let target = match (&head.procedure, &self.server) {
            (Some(procedure), _) => Cow::Borrowed(&**procedure),
            (None, Some(server)) => network::authority(server, self.port),
            (None, None) => return head.operation.clone(),
        };
        Cow::Owned([&*head.operation, " ", &*target].concat())
    }

    fn attributes(&self) -> Attributes {
        let (detail, head) = (&self.exchange.detail, self.head());
        let mut attributes = Attributes::with_capacity(TYPICAL_ATTRIBUTES);
        attributes.set("db.system.name", self.system());
        if let Some(namespace) = &self.namespace {
            attributes.set("db.namespace", namespace.clone());
        }
        attributes.set("db.operation.name", head.operation.clone());
        if let Some(text) = &head.text {
            attributes.set("db.query.text", text.to_string());
        }
        if let Some(procedure) = &head.procedure {
            attributes.set("db.stored_procedure.name", procedure.to_string());
        }
        if let Some(size) = detail.batch_size {
            attributes.set("db.operation.batch.size", size);
        }
        if let Some(status) = self.status() {
            attributes.set("db.response.status_code", status.to_owned());
        }
        if let Some(error) = self.error {
            attributes.set("error.type", error.to_owned());
        }
        if let Some(server) = &self.server {
            attributes.set("server.address", server.to_string());
        }
        if let Some(port) = self.other_port() {
            attributes.set("server.port", port);
        }
        network::set_peer(self.role, self.endpoints, &mut attributes);
        match detail.waits {
            Waits::Answer => {}
            Waits::Event => attributes.set("honeyguide.db.blocking", true),
            Waits::Nothing => attributes.set("honeyguide.db.unanswered", true),
        }
        match detail.transaction {
            None => {}
            Some(Unrun::Aborted) => attributes.set("honeyguide.db.transaction", "aborted"),
            Some(Unrun::Discarded) => attributes.set("honeyguide.db.transaction", "discarded"),
        }
        ending::mark(self.exchange, false, &mut attributes);
        attributes
    }
}

const TYPICAL_ATTRIBUTES: usize = 10;

/// `error.type` and the span status's description. The store's own code comes first: a connection that is closed
/// afterwards is closed because of it.
fn error(exchange: &Exchange<KeyValueDetail>) -> (Option<&str>, &'static str) {
    let detail = &exchange.detail;
    if let Some(failure) = &detail.failure {
        return (Some(failure.code.as_deref().unwrap_or("_OTHER")), "");
    }
    if detail.waits == Waits::Event && exchange.outcome == Outcome::Aborted(CloseReason::Finished) {
        return (None, "");
    }
    match Failure::of_outcome(exchange.outcome, exchange.response.is_some()) {
        Some(Failure { kind, description }) => (Some(kind), description),
        None => (None, ""),
    }
}

fn namespace(database: u32) -> Cow<'static, str> {
    /// As many as there are where nobody configured another number.
    const USUAL: [&str; 16] =
        ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"];
    match USUAL.get(database as usize) {
        Some(number) => Cow::Borrowed(number),
        None => Cow::Owned(database.to_string()),
    }
}

#[cfg(test)]
mod tests;
