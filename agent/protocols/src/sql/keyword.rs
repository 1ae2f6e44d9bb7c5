//! The words that tell operations and their targets apart.

/// What a word means where it stands for itself and not for an identifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Keyword {
    /// An identifier, or a word that tells nothing.
    #[default]
    Other,
    Select,
    /// `INSERT`, `REPLACE`.
    Insert,
    Update,
    Delete,
    Merge,
    With,
    Values,
    Table,
    Explain,
    /// `CREATE`, `ALTER`, `DROP`: an object's kind follows.
    Create,
    Alter,
    Drop,
    /// An operation on tables that are named right after it: `TRUNCATE`, `VACUUM`.
    Maintain,
    /// An operation on one named thing: `CALL`, `USE`, `DESCRIBE`.
    Call,
    Copy,
    Prepare,
    Declare,
    Start,
    Begin,
    /// An operation without a target.
    Command,
    From,
    Into,
    Using,
    Join,
    /// What ends a list of tables: `WHERE`, `GROUP`.
    Clause,
    As,
    On,
    Only,
    /// Between an operation and its target: `IF NOT EXISTS`, `IGNORE`.
    Modifier,
    Distinct,
    In,
    Is,
    Not,
    Boolean,
    /// The kind of an object whose definition may be a query: `VIEW`.
    Object,
    /// The kind of an object whose definition is not run now: `FUNCTION`, `INDEX`.
    Routine,
    /// The kind of an object that is named like a person: `USER`.
    Account,
    Transaction,
    Materialized,
    Outfile,
}

const LONGEST: usize = 13;

pub(super) fn keyword(word: &str) -> Keyword {
    use Keyword::*;
    let length = word.len();
    if !(2..=LONGEST).contains(&length) {
        return Other;
    }
    let mut upper = [0; LONGEST];
    let upper = &mut upper[..length];
    upper.copy_from_slice(word.as_bytes());
    upper.make_ascii_uppercase();
    // By length first: a comparison of known length is one instruction or two.
    match length {
        2 => match &*upper {
            b"AS" => As,
            b"ON" => On,
            b"IN" => In,
            b"IS" => Is,
            b"IF" | b"OR" => Modifier,
            b"DO" | b"XA" => Command,
            _ => Other,
        },
        3 => match &*upper {
            b"SET" => Clause,
            b"NOT" => Not,
            b"FOR" => Clause,
            b"USE" => Call,
            b"END" => Command,
            _ => Other,
        },
        4 => match &*upper {
            b"FROM" => From,
            b"JOIN" => Join,
            b"INTO" => Into,
            b"WITH" => With,
            b"ONLY" => Only,
            b"TRUE" => Boolean,
            b"CALL" | b"EXEC" => Call,
            b"COPY" => Copy,
            b"DROP" => Drop,
            b"VIEW" | b"TYPE" => Object,
            b"RULE" | b"PROC" => Routine,
            b"USER" | b"ROLE" => Account,
            b"LOCK" => Maintain,
            b"FULL" => Modifier,
            b"DESC" => Call,
            b"SHOW" | b"MOVE" | b"KILL" | b"LOAD" | b"HELP" => Command,
            _ => Other,
        },
        5 => match &*upper {
            b"WHERE" | b"GROUP" | b"ORDER" | b"LIMIT" | b"UNION" | b"MINUS" => Clause,
            b"FETCH" => Clause,
            b"USING" => Using,
            b"TABLE" => Table,
            b"INDEX" | b"EVENT" => Routine,
            b"FALSE" => Boolean,
            b"MERGE" => Merge,
            b"ALTER" => Alter,
            b"BEGIN" => Begin,
            b"START" => Start,
            b"APPLY" => Join,
            b"CHECK" => Maintain,
            b"QUICK" => Modifier,
            b"LOGIN" => Account,
            b"GRANT" | b"RESET" | b"CLOSE" | b"FLUSH" | b"PURGE" | b"ABORT" => Command,
            _ => Other,
        },
        6 => match &*upper {
            b"SELECT" => Select,
            b"INSERT" => Insert,
            b"UPDATE" => Update,
            b"DELETE" => Delete,
            b"VALUES" => Values,
            b"HAVING" | b"WINDOW" | b"OFFSET" | b"EXCEPT" => Clause,
            b"EXISTS" | b"IGNORE" | b"FREEZE" => Modifier,
            b"CREATE" => Create,
            b"TABLES" => Table,
            b"COMMIT" | b"NOTIFY" | b"LISTEN" | b"REVOKE" | b"UNLOCK" => Command,
            b"REPAIR" | b"RENAME" | b"VACUUM" => Maintain,
            b"SCHEMA" | b"DOMAIN" | b"SERVER" => Object,
            b"POLICY" => Routine,
            _ => Other,
        },
        7 => match &*upper {
            b"EXPLAIN" => Explain,
            b"REPLACE" => Insert,
            b"EXECUTE" => Call,
            b"PREPARE" => Prepare,
            b"DECLARE" => Declare,
            b"LATERAL" => Only,
            b"QUALIFY" => Clause,
            b"VERBOSE" | b"DELAYED" => Modifier,
            b"TRIGGER" => Routine,
            b"ANALYZE" | b"ANALYSE" | b"REINDEX" | b"REFRESH" | b"CLUSTER" => Maintain,
            b"DISCARD" | b"RELEASE" | b"COMMENT" => Command,
            b"OUTFILE" => Outfile,
            _ => Other,
        },
        8 => match &*upper {
            b"DISTINCT" => Distinct,
            b"ROLLBACK" | b"UNLISTEN" => Command,
            b"TRUNCATE" | b"OPTIMIZE" => Maintain,
            b"DATABASE" | b"SEQUENCE" => Object,
            b"FUNCTION" => Routine,
            b"DESCRIBE" => Call,
            b"DUMPFILE" => Outfile,
            _ => Other,
        },
        9 => match &*upper {
            b"RETURNING" | b"INTERSECT" => Clause,
            b"SAVEPOINT" => Command,
            b"PROCEDURE" | b"AGGREGATE" => Routine,
            b"EXTENSION" => Object,
            _ => Other,
        },
        _ => match &*upper {
            b"DEALLOCATE" | b"CHECKPOINT" => Command,
            b"TABLESPACE" | b"PUBLICATION" | b"SUBSCRIPTION" => Object,
            b"TRANSACTION" => Transaction,
            b"MATERIALIZED" => Materialized,
            b"CONCURRENTLY" | b"LOW_PRIORITY" | b"HIGH_PRIORITY" => Modifier,
            b"STRAIGHT_JOIN" => Join,
            _ => Other,
        },
    }
}

/// Whether a statement may begin with the word.
pub(crate) fn begins_statement(word: &str) -> bool {
    use Keyword::*;
    match keyword(word) {
        Select | Insert | Update | Delete | Merge | With | Values | Table | Explain | Create | Alter
        | Drop | Maintain | Call | Copy | Prepare | Declare | Start | Begin | Command => true,
        // `SET` and `FETCH` are clauses where they do not come first.
        Clause => word.eq_ignore_ascii_case("SET") || word.eq_ignore_ascii_case("FETCH"),
        Other | From | Into | Using | Join | As | On | Only | Modifier | Distinct | In | Is | Not
        | Boolean | Object | Routine | Account | Transaction | Materialized | Outfile => false,
    }
}
