//! Whether backslashes escape, where PostgreSQL's setting `standard_conforming_strings` is not known.

use super::{Dialect, lexer::Lexer};

/// The dialect that a statement of PostgreSQL was written in, and how much of it can be read by that: up to the
/// first string that ends elsewhere by the other rules, where both make sense of the whole.
pub(crate) fn read_alike(sql: &str, truncated: bool) -> (Dialect, usize) {
    if memchr::memmem::find(sql.as_bytes(), b"\\'").is_none() {
        return (Dialect::Postgres, sql.len());
    }
    let complete = |dialect| !truncated && Lexer::new(sql, dialect).all(|token| !token.open);
    match (complete(Dialect::Postgres), complete(Dialect::PostgresEscapes)) {
        (true, false) => (Dialect::Postgres, sql.len()),
        (false, true) => (Dialect::PostgresEscapes, sql.len()),
        (true, true) | (false, false) => (Dialect::Postgres, same(sql)),
    }
}

fn same(sql: &str) -> usize {
    let readings = Lexer::new(sql, Dialect::Postgres).zip(Lexer::new(sql, Dialect::PostgresEscapes));
    let mut differing = readings.filter(|(one, other)| one != other);
    differing.next().map_or(sql.len(), |(one, _)| one.start)
}
