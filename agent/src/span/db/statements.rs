//! What was told of statements before: a prepared statement that is run often is read once.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;
use honeyguide_protocols::sql::{self, Dialect, Prepared, SqlHead, SqlText, Statement, System};

/// Bytes of `db.query.text`, whole tokens.
pub const TEXT_BYTES: usize = 4_096;

/// Describes statements, and remembers prepared ones by their text's address and their system.
#[derive(Debug)]
pub struct Statements {
    known: HashMap<(usize, System), Known, RandomState>,
    limit: usize,
    counters: StatementCounters,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatementCounters {
    /// Statements that were read.
    pub described: u64,
    /// Statements in use that were forgotten because there were too many.
    pub forgotten: u64,
}

#[derive(Debug)]
struct Known {
    /// Held so that its address is not used again.
    source: Arc<str>,
    described: Arc<SqlText>,
}

impl Default for Statements {
    fn default() -> Self {
        Self::new(1_024)
    }
}

impl Statements {
    /// At most `limit` statements are remembered.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { known: HashMap::default(), limit, counters: StatementCounters::default() }
    }

    #[must_use]
    pub fn counters(&self) -> StatementCounters {
        self.counters
    }

    /// `None` where the statement's text is not known.
    pub fn describe(&mut self, head: &SqlHead) -> Option<Arc<SqlText>> {
        let statement = head.statement.as_ref()?;
        // The text of any other statement is not seen again under the same address.
        let prepared = head.prepared == Some(Prepared::Known);
        if !prepared || self.limit == 0 || statement.text.len() > LONGEST {
            return Some(self.read(head, statement));
        }
        let key = (statement.text.as_ptr().addr(), head.system);
        if let Some(known) = self.known.get(&key) {
            return Some(Arc::clone(&known.described));
        }
        self.make_room();
        let described = self.read(head, statement);
        let known = Known { source: Arc::clone(&statement.text), described: Arc::clone(&described) };
        self.known.insert(key, known);
        Some(described)
    }

    fn read(&mut self, head: &SqlHead, statement: &Statement) -> Arc<SqlText> {
        self.counters.described += 1;
        let dialect = match head.system {
            System::PostgreSql => Dialect::Postgres,
            System::MySql | System::MariaDb => Dialect::MySql,
        };
        let Statement { text, truncated } = statement;
        Arc::new(sql::describe_with(text, dialect, head.backslash, *truncated, TEXT_BYTES))
    }

    /// Statements that no connection holds go first. Where they are few all go, so that the search for them
    /// is not done for every new statement.
    fn make_room(&mut self) {
        if self.known.len() < self.limit {
            return;
        }
        self.known.retain(|_, known| Arc::strong_count(&known.source) > 1);
        if self.known.len() > self.limit / 4 * 3 {
            self.counters.forgotten += self.known.len() as u64;
            self.known.clear();
        }
    }
}

/// Longer texts are not remembered: they would be held for long after their connection.
const LONGEST: usize = 8_192;

#[cfg(test)]
mod tests {
    use honeyguide_protocols::sql::{Backslash, Operation};

    use super::*;

    fn head(text: &Arc<str>, system: System, prepared: Option<Prepared>) -> SqlHead {
        SqlHead {
            system,
            namespace: None,
            operation: Operation::Execute,
            statement: Some(Statement { text: Arc::clone(text), truncated: false }),
            backslash: Backslash::Unknown,
            prepared,
        }
    }

    fn read(statements: &mut Statements, text: &Arc<str>) -> u64 {
        let before = statements.counters().described;
        statements.describe(&head(text, System::PostgreSql, Some(Prepared::Known)));
        statements.counters().described - before
    }

    #[test]
    fn a_prepared_statement_is_read_once_for_each_system() {
        let mut statements = Statements::default();
        let text: Arc<str> = "SELECT \"a\" FROM t".into();
        let mut describe = |system, prepared| {
            let described = statements.describe(&head(&text, system, prepared)).unwrap();
            (described.text.clone(), statements.counters().described)
        };
        let known = Some(Prepared::Known);
        assert_eq!(describe(System::PostgreSql, known), ("SELECT \"a\" FROM t".to_owned(), 1));
        assert_eq!(describe(System::PostgreSql, known), ("SELECT \"a\" FROM t".to_owned(), 1));
        assert_eq!(describe(System::MySql, known), ("SELECT ? FROM t".to_owned(), 2));
        assert_eq!(describe(System::MySql, known), ("SELECT ? FROM t".to_owned(), 2));
        assert_eq!(describe(System::PostgreSql, None), ("SELECT \"a\" FROM t".to_owned(), 3));
        assert_eq!(describe(System::PostgreSql, None), ("SELECT \"a\" FROM t".to_owned(), 4));
    }

    #[test]
    fn what_nobody_holds_is_forgotten_first() {
        let mut statements = Statements::new(4);
        let texts: Vec<Arc<str>> = (0..3).map(|n| format!("SELECT a{n}").into()).collect();
        assert_eq!(texts.iter().map(|text| read(&mut statements, text)).sum::<u64>(), 3);
        assert_eq!(read(&mut statements, &"SELECT closed".into()), 1);
        let next: Arc<str> = "SELECT next".into();
        assert_eq!(read(&mut statements, &next), 1);
        assert_eq!(texts.iter().map(|text| read(&mut statements, text)).sum::<u64>(), 0);
        assert_eq!((statements.known.len(), statements.counters().forgotten), (4, 0));
        assert_eq!(read(&mut statements, &"SELECT more".into()), 1);
        assert_eq!((statements.known.len(), statements.counters().forgotten), (1, 4));
    }

    #[test]
    fn no_text_is_nothing_to_describe() {
        let mut unknown = head(&"".into(), System::PostgreSql, Some(Prepared::Unknown));
        unknown.statement = None;
        assert_eq!(Statements::default().describe(&unknown), None);
    }
}
