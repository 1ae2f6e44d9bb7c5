//! `db.query.text` without values, written in the same pass that feeds the summary.
//!
//! "Sanitization of `db.query.text`" in the semantic conventions for database client spans: every
//! literal becomes `?`, lists behind `IN` are collapsed. Text that looks parameterised is treated the
//! same, since a statement may hold parameters and literals at once.

use super::{
    Backslash, Dialect, SqlText, commenter,
    keyword::{Keyword, keyword},
    lexer::{Kind, Lexer, Token},
    summary::Summary,
};

pub(super) fn describe(
    sql: &str,
    dialect: Dialect,
    backslash: Backslash,
    truncated: bool,
    limit: usize,
) -> SqlText {
    let mut lexer = Lexer::new(sql, dialect, backslash);
    let mut text = Text::new(sql.len().min(limit), limit);
    let mut summary = Summary::new(sql, dialect);
    let mut traceparent = None;
    // Keywords of the last two tokens that were not space.
    let mut before = [Keyword::Other; 2];
    let mut dotted = false;
    while let Some(token) = lexer.next() {
        let cut = truncated && token.start + token.text.len() == sql.len();
        match token.kind {
            Kind::Space => text.space(token.text),
            Kind::Comment => {
                if traceparent.is_none() {
                    traceparent = commenter::traceparent(token.text);
                }
                text.joint = true;
            }
            // What is cut may become another word, or the beginning of a literal.
            Kind::Word | Kind::Quoted | Kind::Parameter if cut => {}
            Kind::Word | Kind::Quoted | Kind::Parameter | Kind::Symbol | Kind::Literal => {
                let keyword = match token.kind {
                    Kind::Word if !dotted => keyword(token.text),
                    Kind::Word | Kind::Quoted | Kind::Parameter => Keyword::Other,
                    Kind::Space | Kind::Comment | Kind::Symbol | Kind::Literal => Keyword::Other,
                };
                dotted = token.text == ".";
                text.write(&token, masked(&token, keyword, before));
                if summary.read(&token, keyword) {
                    text.end_statement();
                }
                if token.text == "("
                    && before[1] == Keyword::In
                    && let Some(after) = skip_values(lexer)
                {
                    text.push("?");
                    lexer = after;
                }
                before = [before[1], keyword];
            }
        }
    }
    text.end_statement();
    let (summary, statements) = summary.finish(truncated);
    SqlText { text: text.finish(), summary, statements, traceparent }
}

/// Whether the token is a value.
fn masked(token: &Token<'_>, keyword: Keyword, before: [Keyword; 2]) -> bool {
    match token.kind {
        Kind::Literal => true,
        // Its quote never closes: it may have been meant as a string.
        Kind::Quoted => token.open,
        Kind::Word => {
            let tested = before[1] == Keyword::Is || before == [Keyword::Is, Keyword::Not];
            keyword == Keyword::Boolean && !tested
        }
        Kind::Parameter | Kind::Symbol | Kind::Space | Kind::Comment => false,
    }
}

/// The position at the end of a list of two or more values, if it holds nothing else: at its closing
/// parenthesis, or where the text ends.
fn skip_values(mut lexer: Lexer<'_>) -> Option<Lexer<'_>> {
    let mut values = 0;
    loop {
        let before = lexer;
        match lexer.next() {
            None if values > 1 => return Some(before),
            Some(Token { kind: Kind::Symbol, text: ")", .. }) if values > 1 => return Some(before),
            Some(Token { kind: Kind::Literal | Kind::Parameter, .. }) => values += 1,
            Some(Token { kind: Kind::Space | Kind::Comment, .. }) => {}
            Some(Token { kind: Kind::Symbol, text: ",", .. }) => {}
            Some(_) | None => return None,
        }
    }
}

/// The text that is written.
struct Text {
    out: String,
    limit: usize,
    full: bool,
    /// A comment was left out between the last token and the next.
    joint: bool,
    /// Where the statement that is being written begins.
    start: usize,
    /// The first statement.
    first: Option<std::ops::Range<usize>>,
    statements: u32,
    alike: bool,
}

impl Text {
    fn new(expected: usize, limit: usize) -> Self {
        Self {
            out: String::with_capacity(expected),
            limit,
            full: false,
            joint: false,
            start: 0,
            first: None,
            statements: 0,
            alike: true,
        }
    }

    fn space(&mut self, space: &str) {
        self.joint = false;
        if !self.out.is_empty() {
            self.push(space);
        }
    }

    fn write(&mut self, token: &Token<'_>, masked: bool) {
        if std::mem::take(&mut self.joint)
            && self.out.as_bytes().last().is_some_and(|byte| !byte.is_ascii_whitespace())
        {
            self.push(" ");
        }
        self.push(if masked { "?" } else { token.text });
    }

    fn push(&mut self, text: &str) {
        if self.full || self.out.len() + text.len() > self.limit {
            self.full = true;
        } else {
            self.out.push_str(text);
        }
    }

    fn end_statement(&mut self) {
        let written = &self.out[self.start..];
        let trimmed = written.trim_end_matches(|last: char| last == ';' || last.is_ascii_whitespace());
        let leading = trimmed.len() - trimmed.trim_ascii_start().len();
        let range = self.start + leading..self.start + trimmed.len();
        self.start = self.out.len();
        if range.is_empty() {
            return;
        }
        self.statements += 1;
        match &self.first {
            None => self.first = Some(range),
            Some(first) => self.alike &= self.out[first.clone()] == self.out[range],
        }
    }

    fn finish(mut self) -> String {
        if let (2.., true, false, Some(first)) = (self.statements, self.alike, self.full, self.first) {
            self.out.truncate(first.end);
            self.out.drain(..first.start);
        }
        self.out.truncate(self.out.trim_ascii_end().len());
        self.out
    }
}
