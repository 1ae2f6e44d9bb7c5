//! From an exchange with an SQL database to a span, by the stable semantic conventions for database client
//! spans, and for PostgreSQL, MySQL and MariaDB (1.44).
//!
//! [`Call`] is what the conventions derive from an exchange; spans and metrics both read it. The conventions
//! speak of clients alone: the span of the database's own process has the same attributes, and kind `SERVER`.
//!
//! `db.namespace` is the database that the connection was opened for. `db.response.status_code` is the
//! SQLSTATE of PostgreSQL and the error number of MySQL and MariaDB, as the conventions have it. `error.type`
//! is that code; `_OTHER` for a refusal without one; `pipeline_aborted` where the server did not run the
//! statement because it had refused an earlier one of the same pipeline; otherwise a name of
//! `Failure::of_outcome`.
//!
//! Beyond the conventions a span may carry the marks of `ending::mark`, and
//! - `honeyguide.db.statement` = `prepared_before`: the statement was prepared before its connection was
//!   watched, or while bytes were lost; its text is not known, and `db.operation.name` is the protocol's
//!   operation.

mod statements;

use std::{borrow::Cow, sync::Arc};

use honeyguide_protocols::{
    exchange::Exchange,
    sql::{Operation, Prepared, SqlDetail, SqlHead, SqlText, System},
};

pub use self::statements::{StatementCounters, Statements, TEXT_BYTES};
use super::{Span, SpanKind, Status, context::Identity, ending, ending::Failure, network};
use crate::{
    attribute::Attributes,
    flow::{Endpoints, Role},
    resource::Resource,
};

/// What a span needs beyond its exchange.
#[derive(Clone, Debug)]
pub struct DbInput<'a> {
    pub role: Role,
    pub endpoints: &'a Endpoints,
    pub identity: Identity,
    /// Nanoseconds since the Unix epoch.
    pub start: u64,
    /// Nanoseconds since the Unix epoch.
    pub end: u64,
    pub resource: Arc<Resource>,
}

/// What a database operation is measured by, whichever protocol carried it.
#[derive(Clone, Copy, Debug, PartialEq, Hash)]
pub struct Measured<'a> {
    /// `db.system.name`.
    pub system: &'static str,
    /// `db.namespace`.
    pub namespace: Option<&'a str>,
    /// `db.operation.name`.
    pub operation: Option<&'a str>,
    /// `db.query.summary`.
    pub summary: Option<&'a str>,
    /// `db.response.status_code`.
    pub status: Option<&'a str>,
    /// `error.type`.
    pub error: Option<&'a str>,
    /// `server.address`.
    pub server: Option<&'a str>,
    /// `server.port`, where it is not the system's own.
    pub port: Option<u16>,
}

impl Measured<'_> {
    /// What stands for the operation in a profile: an attribute of its span.
    #[must_use]
    pub fn name(&self) -> Option<(&'static str, Arc<str>)> {
        let summary = self.summary.map(|summary| ("db.query.summary", summary.into()));
        summary.or_else(|| Some(("db.operation.name", self.operation?.into())))
    }
}

impl DbInput<'_> {
    /// The span with its place; `failure` is the status's description, where it is an error.
    pub(super) fn span(
        self,
        name: Cow<'static, str>,
        attributes: Attributes,
        failure: Option<&'static str>,
    ) -> Span {
        let Self { role, identity, start, end, resource, .. } = self;
        Span {
            trace_id: identity.trace_id,
            span_id: identity.span_id,
            parent: identity.parent,
            parent_is_remote: identity.parent_is_remote,
            trace_flags: identity.trace_flags,
            trace_state: identity.trace_state,
            kind: match role {
                Role::Client => SpanKind::Client,
                Role::Server => SpanKind::Server,
            },
            name,
            start,
            end: end.max(start),
            attributes,
            links: Vec::new(),
            status: failure.map_or(Status::Unset, |description| Status::Error(Cow::Borrowed(description))),
            resource,
        }
    }
}

/// Whether an exchange is a database operation of its own. One that prepares a statement is part of the
/// operation that runs it: its span would name the same query a second time. Where it was refused none runs,
/// and it is reported.
#[must_use]
pub fn is_reported(detail: &SqlDetail) -> bool {
    detail.request.operation != Operation::Prepare || detail.failure.is_some()
}

/// [`Call::new`] and [`Call::span`] in one.
#[must_use]
pub fn build(exchange: &Exchange<SqlDetail>, input: DbInput<'_>, statements: &mut Statements) -> Span {
    let text = statements.describe(&exchange.detail.request);
    Call::new(exchange, input.role, input.endpoints, text).span(input)
}

/// A database operation, read by the conventions.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    pub exchange: &'a Exchange<SqlDetail>,
    pub role: Role,
    pub endpoints: &'a Endpoints,
    /// What [`Statements::describe`] says of the statement.
    pub text: Option<Arc<SqlText>>,
    /// `server.address`.
    pub server: Option<Cow<'a, str>>,
    /// `server.port`, also where it is the system's own.
    port: Option<u16>,
    /// `db.response.status_code`.
    pub status: Option<Cow<'a, str>>,
    /// `error.type`.
    pub error: Option<Cow<'a, str>>,
    description: &'static str,
}

impl<'a> Call<'a> {
    #[must_use]
    pub fn new(
        exchange: &'a Exchange<SqlDetail>,
        role: Role,
        endpoints: &'a Endpoints,
        text: Option<Arc<SqlText>>,
    ) -> Self {
        let (server, port) = network::server(role, endpoints);
        let status = status(&exchange.detail);
        let (error, description) = error(exchange, status.as_ref());
        Self { exchange, role, endpoints, text, server, port, status, error, description }
    }

    #[must_use]
    pub fn head(&self) -> &'a SqlHead {
        &self.exchange.detail.request
    }

    /// `db.system.name`.
    #[must_use]
    pub fn system(&self) -> &'static str {
        match self.head().system {
            System::PostgreSql => "postgresql",
            System::MySql => "mysql",
            System::MariaDb => "mariadb",
        }
    }

    /// `db.query.summary`.
    #[must_use]
    pub fn summary(&self) -> Option<&str> {
        self.text.as_ref()?.summary.as_deref()
    }

    /// `db.operation.name`: the protocol's operation, where there is no text. It is never taken from the
    /// text, as the conventions ask.
    #[must_use]
    pub fn operation(&self) -> Option<&'static str> {
        if self.text.is_some() {
            return None;
        }
        match self.head().operation {
            Operation::Query => None,
            Operation::Execute => Some("EXECUTE"),
            Operation::Prepare => Some("PREPARE"),
            Operation::FunctionCall => Some("CALL"),
        }
    }

    /// What the metric has of it.
    #[must_use]
    pub fn measured(&self) -> Measured<'_> {
        Measured {
            system: self.system(),
            namespace: self.head().namespace.as_deref(),
            operation: self.operation(),
            summary: self.summary(),
            status: self.status.as_deref(),
            error: self.error.as_deref(),
            server: self.server.as_deref(),
            port: self.port(),
        }
    }

    /// `server.port`: where it is not the system's own.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        let own = match self.head().system {
            System::PostgreSql => 5432,
            System::MySql | System::MariaDb => 3306,
        };
        self.port.filter(|port| *port != own)
    }

    /// `db.operation.batch.size`: what was submitted, also where the server stopped on the way. A text that
    /// was cut off says less than the server.
    #[must_use]
    pub fn batch_size(&self) -> Option<u32> {
        let submitted = self.text.as_ref().map_or(0, |text| text.statements);
        let answered = self.exchange.detail.batch_size.unwrap_or(0);
        Some(submitted.max(answered)).filter(|size| *size > 1)
    }

    /// `input` must name the role and endpoints that this call was made with.
    #[must_use]
    pub fn span(&self, input: DbInput<'_>) -> Span {
        input.span(self.name(), self.attributes(), self.error.as_ref().map(|_| self.description))
    }

    /// The summary; else operation and target, either alone; else the system (database spans, "Name").
    fn name(&self) -> Cow<'static, str> {
        if let Some(summary) = self.summary() {
            return Cow::Owned(summary.to_owned());
        }
        match (self.operation(), self.target()) {
            (Some(operation), Some(target)) => Cow::Owned([operation, " ", &target].concat()),
            (None, Some(target)) => Cow::Owned(target.into_owned()),
            (Some(operation), None) => Cow::Borrowed(operation),
            (None, None) => Cow::Borrowed(self.system()),
        }
    }

    /// `db.namespace`, else `server.address:server.port`.
    fn target(&self) -> Option<Cow<'_, str>> {
        if let Some(namespace) = self.head().namespace.as_deref() {
            return Some(Cow::Borrowed(namespace));
        }
        self.server.as_deref().map(|server| network::authority(server, self.port))
    }

    fn attributes(&self) -> Attributes {
        let (detail, head) = (&self.exchange.detail, self.head());
        let mut attributes = Attributes::with_capacity(TYPICAL_ATTRIBUTES);
        attributes.set("db.system.name", self.system());
        if let Some(namespace) = &head.namespace {
            attributes.set("db.namespace", namespace.to_string());
        }
        if let Some(operation) = self.operation() {
            attributes.set("db.operation.name", operation);
        }
        if let Some(summary) = self.summary() {
            attributes.set("db.query.summary", summary.to_owned());
        }
        if let Some(text) = self.text.as_ref().filter(|text| !text.text.is_empty()) {
            attributes.set("db.query.text", text.text.clone());
        }
        if let Some(size) = self.batch_size() {
            attributes.set("db.operation.batch.size", size);
        }
        if let Some(rows) = detail.rows_returned.and_then(|rows| i64::try_from(rows).ok()) {
            attributes.set("db.response.returned_rows", rows);
        }
        if let Some(status) = &self.status {
            attributes.set("db.response.status_code", status.clone().into_owned());
        }
        if let Some(error) = &self.error {
            attributes.set("error.type", error.clone().into_owned());
        }
        if let Some(server) = &self.server {
            attributes.set("server.address", server.to_string());
        }
        if let Some(port) = self.port() {
            attributes.set("server.port", port);
        }
        network::set_peer(self.role, self.endpoints, &mut attributes);
        if head.prepared == Some(Prepared::Unknown) {
            attributes.set("honeyguide.db.statement", "prepared_before");
        }
        ending::mark(self.exchange, head.statement.as_ref().is_some_and(|s| s.truncated), &mut attributes);
        attributes
    }
}

const TYPICAL_ATTRIBUTES: usize = 12;

fn status(detail: &SqlDetail) -> Option<Cow<'_, str>> {
    let failure = detail.failure.as_ref()?;
    match detail.request.system {
        System::PostgreSql => failure.sqlstate.as_deref().map(Cow::Borrowed),
        System::MySql | System::MariaDb => failure.code.map(|code| Cow::Owned(code.to_string())),
    }
}

/// `error.type` and the span status's description. The database's own code comes first: a connection that is
/// closed afterwards is closed because of it.
fn error<'a>(
    exchange: &Exchange<SqlDetail>,
    status: Option<&Cow<'a, str>>,
) -> (Option<Cow<'a, str>>, &'static str) {
    let detail = &exchange.detail;
    if detail.failure.is_some() && !is_warning(detail) {
        return (Some(status.cloned().unwrap_or(Cow::Borrowed("_OTHER"))), "");
    }
    if detail.skipped {
        return (Some(Cow::Borrowed("pipeline_aborted")), "an earlier command of the pipeline was refused");
    }
    match Failure::of_outcome(exchange.outcome, exchange.response.is_some()) {
        Some(Failure { kind, description }) => (Some(Cow::Borrowed(kind)), description),
        None => (None, ""),
    }
}

/// PostgreSQL's classes from 02 on are errors (PostgreSQL, `db.response.status_code`).
fn is_warning(detail: &SqlDetail) -> bool {
    let state = detail.failure.as_ref().and_then(|failure| failure.sqlstate.as_deref());
    detail.request.system == System::PostgreSql
        && state.is_some_and(|state| state.starts_with("00") || state.starts_with("01"))
}

#[cfg(test)]
mod tests;
