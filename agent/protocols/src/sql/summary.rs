//! `db.query.summary`: operations and their targets, in order, as they were written.
//!
//! The rules are those of "Generating a summary of the query" in the semantic conventions for
//! database client spans. Where they are silent: `JOIN`ed tables and called functions are targets,
//! a subquery is an operation, common table expressions count under the names they are used by, and
//! the names of accounts, savepoints, cursors and settings are left out, since they are values.

use super::{
    Dialect,
    keyword::{Keyword, begins_statement},
    lexer::{Kind, Token},
};

/// Characters of a summary.
pub(super) const LONGEST: usize = 255;
/// Parentheses deeper than this are read as if they held nothing.
const DEPTH: usize = 32;

#[derive(Debug)]
pub(super) struct Summary<'a> {
    sql: &'a str,
    dialect: Dialect,
    frames: [Frame; DEPTH],
    depth: usize,
    /// The target that is being read: offsets of its start and end.
    target: Option<(usize, usize)>,
    /// A point that may join the next word to the one before.
    dotted: bool,
    previous: Keyword,
    current: Line,
    first: Line,
    statements: u32,
    /// Every statement so far has the summary of the first.
    alike: bool,
    /// Something other than space and comments was read of the current statement.
    begun: bool,
    /// The body of a routine: semicolons do not end the statement.
    body: bool,
}

/// What parentheses, or the statement itself, hold.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    verb: Keyword,
    expect: Expect,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expect {
    /// An operation may begin.
    #[default]
    Statement,
    /// As `Statement`, or a table, where parentheses are part of a list of tables.
    StatementOrTarget,
    /// The kind of the object that is created, altered or dropped.
    Object,
    Target,
    /// Behind a table, in a list of them.
    Tables,
    Body,
    /// Nothing more is to be told of this statement.
    Done,
}

/// A summary under construction.
#[derive(Debug, Default, PartialEq, Eq)]
struct Line {
    text: String,
    characters: usize,
    full: bool,
}

impl<'a> Summary<'a> {
    pub(super) fn new(sql: &'a str, dialect: Dialect) -> Self {
        Self {
            sql,
            dialect,
            frames: [Frame::default(); DEPTH],
            depth: 0,
            target: None,
            dotted: false,
            previous: Keyword::Other,
            current: Line::default(),
            first: Line::default(),
            statements: 0,
            alike: true,
            begun: false,
            body: false,
        }
    }

    /// Reads a token that is neither space nor a comment. True when it ended a statement.
    pub(super) fn read(&mut self, token: &Token<'a>, keyword: Keyword) -> bool {
        let joins = self.target.is_some_and(|(_, end)| end == token.start);
        let symbol = if token.kind == Kind::Symbol { token.text } else { "" };
        if symbol == "." {
            self.dotted = true;
            if let (true, Some((_, end))) = (joins, &mut self.target) {
                *end += 1;
            }
            return false;
        }
        let dotted = std::mem::take(&mut self.dotted);
        if dotted && matches!(token.kind, Kind::Word | Kind::Quoted) {
            self.previous = Keyword::Other;
            if let (true, Some((_, end))) = (joins, &mut self.target) {
                *end = token.start + token.text.len();
            }
            return false;
        }
        self.end_target();
        if symbol == ";" && !self.body {
            self.end_statement();
            return true;
        }
        self.begun = true;
        match symbol {
            "(" => self.open(),
            ")" => self.depth = self.depth.saturating_sub(1),
            _ if self.depth >= DEPTH => {}
            "," if self.frame().expect == Expect::Tables => self.frame().expect = Expect::Target,
            _ => self.item(token, keyword),
        }
        if !matches!(symbol, "(" | ")") {
            self.previous = keyword;
        }
        false
    }

    /// The summary and the number of statements. `cut` says that the text goes on.
    pub(super) fn finish(mut self, cut: bool) -> (Option<String>, u32) {
        if cut && self.dotted {
            self.target = None;
        }
        self.end_target();
        self.end_statement();
        let Self { first, statements, alike, .. } = self;
        let summary = match statements {
            0 => return (None, 0),
            1 => first.text,
            _ => {
                let mut batch = Line::default();
                batch.push("BATCH");
                if alike && !first.text.is_empty() {
                    // The words keep together: what does not fit is left out from its first word on.
                    first.text.split(' ').for_each(|word| batch.push(word));
                }
                batch.text
            }
        };
        (Some(summary).filter(|summary| !summary.is_empty()), statements)
    }

    fn frame(&mut self) -> &mut Frame {
        &mut self.frames[self.depth.min(DEPTH - 1)]
    }

    fn open(&mut self) {
        use Keyword::{Copy, Delete, Select, Update, With};
        if self.depth + 1 < DEPTH {
            let previous = self.previous;
            let frame = self.frame();
            let listed = matches!(frame.verb, Select | Update | Delete);
            let expect = match frame.expect {
                // Columns that are joined on.
                Expect::Target if previous == Keyword::Using => {
                    frame.expect = Expect::Tables;
                    Expect::Done
                }
                Expect::Target if listed => Expect::StatementOrTarget,
                Expect::Target if frame.verb == Copy => {
                    frame.expect = Expect::Body;
                    Expect::Statement
                }
                Expect::Target => Expect::Done,
                Expect::StatementOrTarget => Expect::StatementOrTarget,
                Expect::Done => Expect::Done,
                Expect::Statement | Expect::Object | Expect::Tables | Expect::Body => Expect::Statement,
            };
            if expect == Expect::StatementOrTarget {
                frame.expect = Expect::Tables;
            }
            // These let operations other than SELECT begin inside.
            let verb = if matches!(frame.verb, With | Copy) { frame.verb } else { Keyword::Other };
            self.frames[self.depth + 1] = Frame { verb, expect };
        }
        self.depth += 1;
    }

    fn item(&mut self, token: &Token<'a>, keyword: Keyword) {
        match (token.kind, self.frame().expect) {
            (Kind::Word, Expect::Done) => {
                self.body |= keyword == Keyword::Begin && self.frame().verb == Keyword::Routine;
                if keyword == Keyword::Transaction && self.previous == Keyword::Start {
                    self.current.push(token.text);
                }
            }
            (Kind::Word, Expect::Statement) => self.verb(token, keyword),
            (Kind::Word, Expect::StatementOrTarget)
                if matches!(keyword, Keyword::Select | Keyword::With | Keyword::Values) =>
            {
                self.verb(token, keyword);
            }
            (Kind::Word | Kind::Quoted, Expect::StatementOrTarget) => {
                *self.frame() = Frame { verb: Keyword::Select, expect: Expect::Target };
                self.target(token, keyword);
            }
            (Kind::Word, Expect::Object) => self.object(token, keyword),
            (Kind::Word | Kind::Quoted, Expect::Target) => self.target(token, keyword),
            (Kind::Literal, Expect::Target) if self.names_table(token) => self.target(token, keyword),
            (Kind::Literal | Kind::Parameter, Expect::Target) => {
                let frame = self.frame();
                frame.expect = after(frame.verb);
            }
            (Kind::Word, Expect::Body | Expect::Tables) => self.clause(token, keyword),
            (Kind::Literal, Expect::Statement | Expect::StatementOrTarget) => {
                self.frame().expect = Expect::Body;
            }
            _ => {}
        }
    }

    /// A string where only a table can be meant.
    fn names_table(&mut self, token: &Token<'a>) -> bool {
        let quote = token.text.as_bytes()[0];
        let quoted = match self.dialect {
            Dialect::Generic => quote == b'\'',
            Dialect::MySql => quote == b'"',
            Dialect::Postgres | Dialect::PostgresEscapes => false,
        };
        let verb = self.frame().verb;
        quoted
            && !token.open
            && matches!(verb, Keyword::Select | Keyword::Insert | Keyword::Update | Keyword::Delete)
    }

    fn verb(&mut self, token: &Token<'a>, keyword: Keyword) {
        use Keyword::*;
        let outer = self.frame().verb;
        let inside = self.depth > 0;
        let allowed = match keyword {
            Select | With => true,
            Insert | Update | Delete | Merge => !inside || matches!(outer, With | Copy),
            // `ANALYZE` and `VERBOSE` are options.
            Maintain | Modifier | Other if outer == Explain => false,
            _ => !inside && outer != With,
        };
        let expect = match keyword {
            // Names and columns of common table expressions, options of EXPLAIN.
            _ if !allowed && matches!(outer, With | Explain) => return,
            With if allowed => {
                self.frame().verb = With;
                return;
            }
            Select | Delete | Declare | Prepare | Values if allowed => Expect::Body,
            Explain if allowed => Expect::Statement,
            Insert | Update | Merge | Maintain | Call | Copy | Table if allowed => Expect::Target,
            Create | Alter | Drop if allowed => Expect::Object,
            Start | Begin | Command if allowed => Expect::Done,
            Clause if allowed && begins_statement(token.text) => Expect::Done,
            _ => {
                self.frame().expect = Expect::Body;
                return;
            }
        };
        self.current.push(token.text);
        *self.frame() = Frame { verb: keyword, expect };
    }

    /// Words before the kind of the object, such as `OR REPLACE` and `UNIQUE`, are left out.
    fn object(&mut self, token: &Token<'a>, keyword: Keyword) {
        use Keyword::*;
        let frame = self.frame();
        match keyword {
            Table | Object => frame.expect = Expect::Target,
            Routine if frame.verb == Drop => frame.expect = Expect::Target,
            Routine => *frame = Frame { verb: Routine, expect: Expect::Target },
            Account => frame.expect = Expect::Done,
            _ => return,
        }
        self.current.push(token.text);
    }

    fn target(&mut self, token: &Token<'a>, keyword: Keyword) {
        use Keyword::*;
        let verb = self.frame().verb;
        if token.kind == Kind::Word {
            match keyword {
                Only => return,
                Into | Modifier if verb != Select => return,
                Not | On if matches!(verb, Create | Alter | Drop | Routine) => return,
                Maintain if verb == Maintain => return,
                Table | Materialized | Object | Routine if verb == Maintain => {
                    return self.current.push(token.text);
                }
                Table if verb == Insert => return,
                Select | With => return self.verb(token, keyword),
                // No target where one was due.
                Outfile | Clause => {
                    self.frame().expect = Expect::Body;
                    return;
                }
                _ => {}
            }
        }
        self.target = Some((token.start, token.start + token.text.len()));
        self.frame().expect = after(verb);
    }

    fn clause(&mut self, token: &Token<'a>, keyword: Keyword) {
        use Keyword::*;
        let previous = self.previous;
        let Frame { verb, expect } = *self.frame();
        let next = match keyword {
            Select => {
                self.current.push(token.text);
                self.frame().verb = Select;
                Expect::Body
            }
            From if matches!(verb, Select | Delete | Update) && previous != Distinct => Expect::Target,
            Into if verb == Select => Expect::Target,
            Using if matches!(verb, Delete | Merge) => Expect::Target,
            Join if expect == Expect::Tables => Expect::Target,
            As if verb == Prepare => Expect::Statement,
            Clause => Expect::Body,
            _ => return,
        };
        self.frame().expect = next;
    }

    fn end_target(&mut self) {
        if let Some((start, end)) = self.target.take() {
            self.current.push(self.sql.get(start..end).unwrap_or_default());
        }
    }

    fn end_statement(&mut self) {
        self.frames[0] = Frame::default();
        self.depth = 0;
        self.previous = Keyword::Other;
        if !std::mem::take(&mut self.begun) {
            return;
        }
        self.statements += 1;
        if self.statements == 1 {
            self.first = std::mem::take(&mut self.current);
        } else {
            self.alike &= self.first == self.current;
            self.current = Line::default();
        }
    }
}

/// What to expect behind a target.
fn after(verb: Keyword) -> Expect {
    use Keyword::*;
    match verb {
        Select | Delete | Update | Drop | Maintain | Table => Expect::Tables,
        Insert | Merge | Copy | Create => Expect::Body,
        _ => Expect::Done,
    }
}

impl Line {
    /// Adds a word if all of it fits, and if all before it did.
    fn push(&mut self, word: &str) {
        let characters = word.chars().count();
        let separator = usize::from(!self.text.is_empty());
        if self.full || self.characters + separator + characters > LONGEST {
            self.full = true;
            return;
        }
        if separator == 1 {
            self.text.push(' ');
        } else {
            self.text.reserve(64);
        }
        self.text.push_str(word);
        self.characters += separator + characters;
    }
}
