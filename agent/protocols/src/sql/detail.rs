//! What an exchange with an SQL database says, whichever protocol carried it.

use std::sync::Arc;

use super::Dialect;

/// The values of `db.system.name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum System {
    PostgreSql,
    MySql,
    MariaDb,
}

/// What was asked, as far as the client's messages say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlHead {
    pub system: System,
    /// The database that the connection was opened for; `None` where its start was not seen.
    pub namespace: Option<Arc<str>>,
    pub operation: Operation,
    pub statement: Option<Statement>,
    /// What is known of the prepared statement that is executed; `None` where none is.
    pub prepared: Option<Prepared>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Statement text that is run at once.
    Query,
    /// A prepared statement is run.
    Execute,
    /// A statement is prepared or described, and not run.
    Prepare,
    /// A function is called by number.
    FunctionCall,
}

/// Statement text as it was sent: it may hold values and is to be sanitised before it is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Statement {
    pub text: Arc<str>,
    /// The text goes on.
    pub truncated: bool,
    /// By whose rules it is to be read.
    pub dialect: Dialect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Prepared {
    /// Its text is the statement.
    Known,
    /// It was prepared before the connection was watched, or while bytes were lost.
    Unknown,
}

/// An exchange's detail. Values that were bound are never part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlDetail {
    /// The same head that the request's event announced.
    pub request: Arc<SqlHead>,
    /// Rows that were sent to the client; `None` where the server did not say.
    pub rows_returned: Option<u64>,
    /// Rows that were inserted, updated, deleted or copied; `None` where the server did not say.
    pub rows_affected: Option<u64>,
    /// `db.operation.batch.size`: `None` where it is not a batch.
    pub batch_size: Option<u32>,
    pub failure: Option<Failure>,
    /// The server did not run it, since it had refused something before it in the same pipeline.
    pub skipped: bool,
}

/// The server's refusal. Its message is not kept: it may quote values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// SQLSTATE, five characters.
    pub sqlstate: Option<Box<str>>,
    /// The database's own error number, where it has one.
    pub code: Option<u32>,
}

/// Statement text may hold secrets, and debug output ends in logs.
impl std::fmt::Debug for Statement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { text, truncated, dialect: _ } = self;
        write!(f, "Statement({} bytes{})", text.len(), if *truncated { ", truncated" } else { "" })
    }
}
