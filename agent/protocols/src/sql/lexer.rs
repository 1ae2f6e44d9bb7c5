//! Statement text to tokens, by the lexical rules of each dialect.
//!
//! PostgreSQL: "Lexical Structure" (4.1). MySQL: "Language Structure" (11.1, 11.7). The tokens
//! follow each other without a gap, and no input is refused.

use super::Dialect;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Space,
    Comment,
    /// A string or a number, with its prefix and sign.
    Literal,
    /// `$1`, `?`, `:name`, `@name`.
    Parameter,
    /// A keyword or an identifier without quotes.
    Word,
    /// An identifier in quotes.
    Quoted,
    /// One byte of anything else, or `::`.
    Symbol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    /// Offset in the statement.
    pub(super) start: usize,
    /// The closing quote or the end of the comment is missing.
    pub(super) open: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Lexer<'a> {
    sql: &'a str,
    at: usize,
    dialect: Dialect,
    /// Something that has a value ends right before `at`: a sign is an operator there.
    operand: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(sql: &'a str, dialect: Dialect) -> Self {
        Self { sql, at: 0, dialect, operand: false }
    }

    /// Backslashes escape in strings without a prefix.
    fn escapes(&self) -> bool {
        matches!(self.dialect, Dialect::MySql | Dialect::PostgresEscapes)
    }

    fn bytes(&self) -> &'a [u8] {
        self.sql.as_bytes()
    }

    /// The byte `ahead` of the current one; 0 beyond the end, which begins nothing.
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    fn token(&mut self, kind: Kind, end: usize, open: bool) -> Token<'a> {
        let start = self.at;
        self.at = end.min(self.sql.len());
        Token { kind, text: self.sql.get(start..self.at).unwrap_or_default(), start, open }
    }

    /// A token that ends with the first `delimiter` at or after `from`, which is not doubled.
    fn quoted(&mut self, kind: Kind, from: usize, delimiter: u8, backslash: bool) -> Token<'a> {
        let bytes = self.bytes();
        let mut at = from;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let next = if backslash {
                memchr::memchr2(delimiter, b'\\', rest)
            } else {
                memchr::memchr(delimiter, rest)
            };
            let Some(length) = next else { return self.token(kind, bytes.len(), true) };
            at += length + 1;
            if bytes[at - 1] == b'\\' {
                // Whatever is escaped may be the first byte of a character: its rest is skipped too.
                at += 1;
            } else if bytes.get(at) == Some(&delimiter) {
                at += 1;
            } else {
                return self.token(kind, at, false);
            }
        }
    }

    fn line_comment(&mut self) -> Token<'a> {
        let rest = &self.bytes()[self.at..];
        let length = memchr::memchr2(b'\n', b'\r', rest);
        self.token(Kind::Comment, self.at + length.unwrap_or(rest.len()), false)
    }

    fn block_comment(&mut self) -> Token<'a> {
        let bytes = self.bytes();
        let nests = self.dialect != Dialect::MySql;
        let mut depth = 1_usize;
        let mut at = self.at + 2;
        while let Some(length) = memchr::memchr2(b'*', b'/', bytes.get(at..).unwrap_or_default()) {
            at += length;
            match (bytes[at], bytes.get(at + 1)) {
                (b'*', Some(b'/')) => {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        return self.token(Kind::Comment, at, false);
                    }
                }
                (b'/', Some(b'*')) if nests => {
                    depth += 1;
                    at += 2;
                }
                _ => at += 1,
            }
        }
        self.token(Kind::Comment, bytes.len(), true)
    }

    /// `/*!40101 …*/` and `/*M!100100 …*/` hold statement text: only their marks are left out.
    fn executable_mark(&self) -> Option<usize> {
        let length = match (self.peek(2), self.peek(3)) {
            (b'!', _) => 3,
            (b'M', b'!') => 4,
            _ => return None,
        };
        let digits = self.bytes()[self.at + length..].iter().take(6).take_while(|byte| byte.is_ascii_digit());
        Some(length + digits.count())
    }

    /// `$1`, `$$…$$`, `$tag$…$tag$`.
    fn dollar(&mut self) -> Token<'a> {
        let bytes = self.bytes();
        if self.peek(1).is_ascii_digit() {
            return self.parameter(1);
        }
        let tag = bytes[self.at + 1..].iter().take_while(|&&byte| is_word(byte) && byte != b'$').count();
        if bytes.get(self.at + 1 + tag) != Some(&b'$') {
            // A tag that may be cut off is not to be read as anything else.
            let end = self.at + 1 + tag;
            return if end == bytes.len() && tag > 0 {
                self.token(Kind::Literal, end, true)
            } else {
                self.token(Kind::Symbol, self.at + 1, false)
            };
        }
        let body = self.at + tag + 2;
        let delimiter = &bytes[self.at..body];
        let length = memchr::memmem::find(&bytes[body..], delimiter);
        let end = length.map_or(bytes.len(), |length| body + length + delimiter.len());
        self.token(Kind::Literal, end, length.is_none())
    }

    /// A mark of `mark` bytes and the word that follows.
    fn parameter(&mut self, mark: usize) -> Token<'a> {
        let end = self.word_end(self.at + mark);
        self.operand = true;
        self.token(Kind::Parameter, end, false)
    }

    fn word_end(&self, from: usize) -> usize {
        let rest = self.bytes().get(from..).unwrap_or_default();
        from + rest.iter().position(|&byte| !is_word(byte)).unwrap_or(rest.len())
    }

    fn word(&mut self) -> Token<'a> {
        let end = self.word_end(self.at + 1);
        let prefix = &self.bytes()[self.at..end];
        let next = self.bytes().get(end).copied();
        if next == Some(b'\'') {
            let standard = self.dialect != Dialect::MySql;
            let mysql = self.dialect == Dialect::MySql;
            match prefix {
                b"E" | b"e" if standard => return self.quoted(Kind::Literal, end + 1, b'\'', true),
                b"N" | b"n" | b"X" | b"x" | b"B" | b"b" => {
                    return self.quoted(Kind::Literal, end + 1, b'\'', self.escapes());
                }
                [b'_', ..] if mysql => return self.quoted(Kind::Literal, end + 1, b'\'', true),
                _ => {}
            }
        }
        if next == Some(b'"') && prefix[0] == b'_' && self.dialect == Dialect::MySql {
            return self.quoted(Kind::Literal, end + 1, b'"', true);
        }
        if matches!(prefix, b"U" | b"u") && next == Some(b'&') && self.dialect != Dialect::MySql {
            match self.bytes().get(end + 1) {
                Some(b'\'') => return self.quoted(Kind::Literal, end + 2, b'\'', self.escapes()),
                Some(b'"') => return self.quoted(Kind::Quoted, end + 2, b'"', false),
                Some(_) | None => {}
            }
        }
        self.operand = true;
        self.token(Kind::Word, end, false)
    }

    /// A number, from its first digit or point at `from`; a sign is before it.
    fn number(&mut self, from: usize) -> Token<'a> {
        let bytes = self.bytes();
        let mut at = from;
        let digits = |at: usize| bytes[at..].iter().take_while(|&&b| b.is_ascii_digit() || b == b'_').count();
        if bytes[at] == b'0' && matches!(bytes.get(at + 1), Some(b'x' | b'X' | b'o' | b'O' | b'b' | b'B')) {
            at = self.word_end(at);
            return self.token(Kind::Literal, at, false);
        }
        at += digits(at);
        let whole = at;
        if bytes.get(at) == Some(&b'.') {
            at += 1;
            at += digits(at);
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            if bytes.get(at + 1 + sign).is_some_and(u8::is_ascii_digit) {
                at += 1 + sign;
                at += digits(at);
            }
        }
        let end = self.word_end(at);
        if self.dialect == Dialect::MySql && end > at && at == whole && from == self.at {
            // An identifier may begin with digits.
            self.operand = true;
            return self.token(Kind::Word, end, false);
        }
        self.token(Kind::Literal, end, false)
    }

    fn symbol(&mut self) -> Token<'a> {
        self.operand = matches!(self.peek(0), b')' | b']');
        self.token(Kind::Symbol, self.at + 1, false)
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        use Dialect::{Generic, MySql, Postgres, PostgresEscapes};
        let &first = self.bytes().get(self.at)?;
        let operand = std::mem::take(&mut self.operand);
        let next = self.peek(1);
        let dialect = self.dialect;
        Some(match first {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => {
                let rest = &self.bytes()[self.at..];
                let length = rest.iter().position(|byte| !is_space(*byte)).unwrap_or(rest.len());
                self.token(Kind::Space, self.at + length, false)
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => self.word(),
            b'$' if dialect == MySql => self.word(),
            b'#' if dialect == Generic && is_word(next) => self.word(),
            b'0'..=b'9' => self.number(self.at),
            b'.' if !operand && next.is_ascii_digit() => self.number(self.at),
            b'-' if next == b'-' && (dialect != MySql || self.peek(2) <= b' ') => self.line_comment(),
            b'#' if dialect == MySql => self.line_comment(),
            b'+' | b'-' if !operand && next.is_ascii_digit() => self.number(self.at + 1),
            b'+' | b'-' if !operand && next == b'.' && self.peek(2).is_ascii_digit() => {
                self.number(self.at + 1)
            }
            b'/' if next == b'*' => match self.executable_mark() {
                Some(length) if dialect == MySql => self.token(Kind::Symbol, self.at + length, false),
                Some(_) | None => self.block_comment(),
            },
            b'\'' => self.quoted(Kind::Literal, self.at + 1, b'\'', self.escapes()),
            b'"' if dialect == MySql => self.quoted(Kind::Literal, self.at + 1, b'"', true),
            b'"' => self.identifier(b'"'),
            b'`' if !matches!(dialect, Postgres | PostgresEscapes) => self.identifier(b'`'),
            b'[' if dialect == Generic
                && !operand
                && (is_word(next) && !next.is_ascii_digit() || next == b'#') =>
            {
                self.identifier(b']')
            }
            b'$' => self.dollar(),
            b'?' if !matches!(dialect, Postgres | PostgresEscapes) => {
                let digits = self.bytes()[self.at + 1..].iter().take_while(|byte| byte.is_ascii_digit());
                let length = digits.count();
                self.operand = true;
                self.token(Kind::Parameter, self.at + 1 + length, false)
            }
            b':' if next == b':' => self.token(Kind::Symbol, self.at + 2, false),
            b':' if is_word(next) && (dialect == Generic || !next.is_ascii_digit()) => self.parameter(1),
            b'@' if is_word(next) => self.parameter(1),
            b'@' if next == b'@' && is_word(self.peek(2)) => self.parameter(2),
            _ => self.symbol(),
        })
    }
}

impl<'a> Lexer<'a> {
    fn identifier(&mut self, close: u8) -> Token<'a> {
        let token = self.quoted(Kind::Quoted, self.at + 1, close, false);
        self.operand = true;
        token
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// A byte that goes on a word in any dialect; every byte of a character beyond ASCII does.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}
