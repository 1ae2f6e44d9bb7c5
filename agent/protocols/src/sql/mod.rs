//! SQL text, read far enough to tell literals from the rest and operations from their targets.
//!
//! `lexer` cuts a statement, also one that was cut off, into tokens; `sanitize` writes
//! `db.query.text`; `summary` writes `db.query.summary`; `commenter` reads trace context from
//! comments. There is no grammar: what is not understood is left out of the summary, and what may
//! be a value is left out of the text.

mod commenter;
mod detail;
mod escapes;
mod keyword;
mod lexer;
mod sanitize;
mod summary;
#[cfg(test)]
mod tests;

pub use detail::{Failure, Operation, Prepared, SqlDetail, SqlHead, Statement, System};
pub(crate) use escapes::read_alike;
pub(crate) use keyword::begins_statement;

/// Whose rules of quoting and commenting hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Standard SQL with the quotings that are common besides: `` `a` ``, `[a]`, `$$a$$`.
    #[default]
    Generic,
    /// Backslashes escape in `E''` only (`standard_conforming_strings` on, the default since 9.1),
    /// comments nest, `?` is an operator.
    Postgres,
    /// The same with `standard_conforming_strings` off: backslashes escape in every string.
    PostgresEscapes,
    /// MySQL and MariaDB: backslashes escape, `"a"` is a string (`sql_mode` without `ANSI_QUOTES`
    /// and `NO_BACKSLASH_ESCAPES`), `#` begins a comment.
    MySql,
}

/// What can be told of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SqlText {
    /// `db.query.text`: every literal is `?`, comments are gone, lists of values behind `IN` are `(?)`.
    /// A batch of equal statements is one statement.
    pub text: String,
    /// `db.query.summary`: operations and targets as they were written, at most 255 characters.
    pub summary: Option<String>,
    /// Statements in the text, those that are empty not counted.
    pub statements: u32,
    /// A W3C `traceparent` that an SQL comment carried.
    pub traceparent: Option<Box<str>>,
}

/// Reads a statement, or several that are separated by semicolons.
///
/// `truncated` says that the text goes on: its last token may be cut, and is left out. At most
/// `limit` bytes of sanitised text are written, in whole tokens.
#[must_use]
pub fn describe(sql: &str, dialect: Dialect, truncated: bool, limit: usize) -> SqlText {
    sanitize::describe(sql, dialect, truncated, limit)
}
