//! SQL text, read far enough to tell literals from the rest and operations from their targets.
//!
//! `lexer` cuts a statement, also one that was cut off, into tokens; `sanitize` writes
//! `db.query.text`; `summary` writes `db.query.summary`; `commenter` reads trace context from
//! comments. There is no grammar: what is not understood is left out of the summary, and what may
//! be a value is left out of the text.

mod commenter;
mod detail;
mod keyword;
mod lexer;
mod mask;
mod sanitize;
mod summary;
#[cfg(test)]
mod tests;

pub use detail::{Failure, Operation, Prepared, SqlDetail, SqlHead, Statement, System};
pub(crate) use keyword::begins_statement;
pub(crate) use mask::Strings;

/// Whose rules of quoting and commenting hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Standard SQL with the quotings that are common besides: `` `a` ``, `[a]`, `$$a$$`.
    #[default]
    Generic,
    /// Comments nest, `?` is an operator.
    Postgres,
    /// MySQL and MariaDB: `"a"` is a string (`sql_mode` without `ANSI_QUOTES`; with it a name is taken for a
    /// value), `#` begins a comment.
    MySql,
}

/// What a backslash is in a string without a prefix. It depends on a setting of the session:
/// `standard_conforming_strings` of PostgreSQL, `NO_BACKSLASH_ESCAPES` in the `sql_mode` of MySQL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Backslash {
    /// Where it matters, what follows counts as part of the string.
    #[default]
    Unknown,
    /// It takes the meaning of the character behind it.
    Escapes,
    /// A character like others.
    Literal,
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
    describe_with(sql, dialect, Backslash::Unknown, truncated, limit)
}

/// The same where the session's rule of quoting is known.
#[must_use]
pub fn describe_with(
    sql: &str,
    dialect: Dialect,
    backslash: Backslash,
    truncated: bool,
    limit: usize,
) -> SqlText {
    sanitize::describe(sql, dialect, backslash, truncated, limit)
}
