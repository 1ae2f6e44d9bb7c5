//! What was told of statements before: one that is run often is read once, also where every run sends its text.

use std::{hash::BuildHasher, sync::Arc};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use honeyguide_protocols::sql::{self, Dialect, Prepared, SqlHead, SqlText, Statement};

/// Bytes of `db.query.text`, whole tokens.
pub const TEXT_BYTES: usize = 4_096;

/// Describes statements, and remembers those that were prepared or hold no value: others hardly come again.
#[derive(Debug)]
pub struct Statements {
    /// Asked for since `older` was made. When it is half of what may be remembered, it becomes `older`.
    recent: HashTable<Known>,
    older: HashTable<Known>,
    limit: usize,
    hasher: RandomState,
    counters: StatementCounters,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatementCounters {
    /// Statements that were read.
    pub described: u64,
    /// Statements that were forgotten because there were too many.
    pub forgotten: u64,
}

#[derive(Debug)]
struct Known {
    hash: u64,
    text: Arc<str>,
    dialect: Dialect,
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
        Self {
            recent: HashTable::new(),
            older: HashTable::new(),
            limit,
            hasher: RandomState::default(),
            counters: StatementCounters::default(),
        }
    }

    #[must_use]
    pub fn counters(&self) -> StatementCounters {
        self.counters
    }

    /// `None` where the statement's text is not known.
    pub fn describe(&mut self, head: &SqlHead) -> Option<Arc<SqlText>> {
        let statement = head.statement.as_ref()?;
        let Statement { text, truncated, dialect } = statement;
        if self.limit < 2 || *truncated || text.len() > LONGEST {
            return Some(self.read(statement));
        }
        let hash = self.hasher.hash_one((&**text, dialect));
        let same = |known: &Known| known.dialect == *dialect && known.text == *text;
        if let Some(known) = self.recent.find(hash, same) {
            return Some(Arc::clone(&known.described));
        }
        let known = match self.older.find_entry(hash, same) {
            Ok(known) => known.remove().0,
            Err(_) => {
                let described = self.read(statement);
                if head.prepared != Some(Prepared::Known) && *described.text != **text {
                    return Some(described);
                }
                Known { hash, text: Arc::clone(text), dialect: *dialect, described }
            }
        };
        if self.recent.len() >= self.limit / 2 {
            self.counters.forgotten += self.older.len() as u64;
            self.older = std::mem::take(&mut self.recent);
        }
        let described = Arc::clone(&known.described);
        self.recent.insert_unique(hash, known, |known| known.hash);
        Some(described)
    }

    fn read(&mut self, statement: &Statement) -> Arc<SqlText> {
        self.counters.described += 1;
        let Statement { text, truncated, dialect } = statement;
        Arc::new(sql::describe(text, *dialect, *truncated, TEXT_BYTES))
    }
}

/// Longer texts are not remembered: they would be held for long.
const LONGEST: usize = 8_192;

#[cfg(test)]
mod tests {
    use honeyguide_protocols::sql::{Operation, System};

    use super::*;

    fn head(text: &str, dialect: Dialect, prepared: Option<Prepared>) -> SqlHead {
        SqlHead {
            system: System::PostgreSql,
            namespace: None,
            operation: Operation::Execute,
            statement: Some(Statement { text: text.into(), truncated: false, dialect }),
            prepared,
        }
    }

    fn read(statements: &mut Statements, text: &str, prepared: Option<Prepared>) -> u64 {
        let before = statements.counters().described;
        statements.describe(&head(text, Dialect::Postgres, prepared));
        statements.counters().described - before
    }

    #[test]
    fn a_statement_is_read_once_for_each_dialect() {
        let mut statements = Statements::default();
        let mut describe = |dialect, prepared| {
            let described = statements.describe(&head("SELECT \"a\" FROM t", dialect, prepared)).unwrap();
            (described.text.clone(), statements.counters().described)
        };
        let known = Some(Prepared::Known);
        assert_eq!(describe(Dialect::Postgres, known), ("SELECT \"a\" FROM t".to_owned(), 1));
        assert_eq!(describe(Dialect::Postgres, None), ("SELECT \"a\" FROM t".to_owned(), 1));
        assert_eq!(describe(Dialect::MySql, known), ("SELECT ? FROM t".to_owned(), 2));
        assert_eq!(describe(Dialect::MySql, known), ("SELECT ? FROM t".to_owned(), 2));
    }

    #[test]
    fn a_text_with_values_is_remembered_where_it_was_prepared() {
        let mut statements = Statements::default();
        assert_eq!([None; 2].map(|prepared| read(&mut statements, "SELECT 1", prepared)), [1, 1]);
        let known = [Some(Prepared::Known); 2];
        assert_eq!(known.map(|prepared| read(&mut statements, "SELECT 1", prepared)), [1, 0]);
        assert_eq!([None; 2].map(|prepared| read(&mut statements, "SELECT $1", prepared)), [1, 0]);
    }

    #[test]
    fn what_is_not_asked_for_is_forgotten_first() {
        let mut statements = Statements::new(8);
        for number in 0..100 {
            assert_eq!(read(&mut statements, "SELECT often", None), u64::from(number == 0));
            assert_eq!(read(&mut statements, &format!("SELECT a{number}"), None), 1);
        }
        assert!(statements.recent.len() + statements.older.len() <= 8);
        assert_eq!(read(&mut statements, "SELECT a98", None), 0);
        assert_eq!(read(&mut statements, "SELECT a0", None), 1);
        assert!(statements.counters().forgotten >= 90);
    }

    #[test]
    fn a_text_that_was_cut_is_not_taken_for_a_whole_one() {
        let mut statements = Statements::default();
        let mut cut = head("SELECT a FROM t", Dialect::Postgres, None);
        assert_eq!(statements.describe(&cut).unwrap().text, "SELECT a FROM t");
        cut.statement.as_mut().unwrap().truncated = true;
        assert_eq!(statements.describe(&cut).unwrap().text.trim_end(), "SELECT a FROM");
    }

    #[test]
    fn no_text_is_nothing_to_describe() {
        let mut unknown = head("", Dialect::Postgres, Some(Prepared::Unknown));
        unknown.statement = None;
        assert_eq!(Statements::default().describe(&unknown), None);
    }
}
