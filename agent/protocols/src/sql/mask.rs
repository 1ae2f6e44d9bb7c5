//! Hiding the strings of a statement that comes in pieces. Quotes and backslashes stay, so it is read as the same tokens.

use std::ops::Range;

use super::{
    Backslash, Dialect,
    lexer::{Kind, Lexer},
};
use crate::mask::HIDDEN;

/// Of a statement as many bytes are read; behind them all is hidden. Parsers keep no more.
const KEPT: usize = 4096;

/// A statement so far.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    /// Bytes beyond ASCII are letters here.
    text: String,
}

impl Strings {
    /// Hides what `bytes`, which go on the statement, hold of strings. Where it is not known what a backslash is, it is what
    /// is a string in either reading.
    pub(crate) fn hide(&mut self, bytes: &mut [u8], dialect: Dialect, backslash: Backslash) {
        let room = KEPT.saturating_sub(self.text.len()).min(bytes.len());
        let (bytes, beyond) = bytes.split_at_mut(room);
        beyond.fill(HIDDEN);
        let before = self.text.len();
        self.text.extend(bytes.iter().map(|&byte| if byte.is_ascii() { char::from(byte) } else { LETTER }));
        let readings: &[Backslash] = match (dialect, backslash) {
            // The rest is hidden there, as it is where the statement is told.
            (Dialect::Generic | Dialect::Postgres, Backslash::Unknown) => &[Backslash::Unknown],
            (Dialect::MySql, Backslash::Unknown) => &EITHER,
            // From here on the mode may be another.
            (Dialect::MySql, _) if self.names_mode() => &EITHER,
            (_, Backslash::Escapes) => &[Backslash::Escapes],
            (_, Backslash::Literal) => &[Backslash::Literal],
        };
        let text = &self.text;
        let tokens = readings.iter().flat_map(|&reading| Lexer::new(text, dialect, reading));
        for token in tokens.filter(|token| token.kind == Kind::Literal) {
            let inside = inside(token.text, token.open);
            for at in token.start + inside.start..token.start + inside.end {
                let Some(byte) = at.checked_sub(before).and_then(|at| bytes.get_mut(at)) else { continue };
                if !matches!(byte, b'\'' | b'"' | b'\\' | b'$') && !byte.is_ascii_whitespace() {
                    *byte = HIDDEN;
                }
            }
        }
    }

    /// Whether the variable that says what a backslash is is in it.
    fn names_mode(&self) -> bool {
        self.text.as_bytes().windows(MODE.len()).any(|word| word.eq_ignore_ascii_case(MODE))
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
    }
}

const EITHER: [Backslash; 2] = [Backslash::Escapes, Backslash::Literal];
const MODE: &[u8] = b"sql_mode";

/// Any letter that is no prefix of a string.
const LETTER: char = 'q';

/// Where the string is in its token; nothing of a number.
fn inside(token: &str, open: bool) -> Range<usize> {
    if let Some(rest) = token.strip_prefix('$') {
        let mark = rest.find('$').map_or(token.len(), |end| end + 2);
        let end = if open { token.len() } else { token.len() - mark };
        return mark.min(end)..end;
    }
    let quote = token.find(['\'', '"']).unwrap_or(token.len());
    quote..token.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::describe_with;

    #[track_caller]
    fn check(dialect: Dialect, sql: &str, expect: &str) {
        for split in 0..=sql.len() {
            let mut strings = Strings::default();
            let mut bytes = sql.as_bytes().to_vec();
            let (first, second) = bytes.split_at_mut(split);
            let backslash = match dialect {
                Dialect::MySql => Backslash::Escapes,
                Dialect::Generic | Dialect::Postgres => Backslash::Unknown,
            };
            strings.hide(first, dialect, backslash);
            strings.hide(second, dialect, backslash);
            assert_eq!(String::from_utf8_lossy(&bytes), expect, "{split}");
        }
        let told = |sql: &str| describe_with(sql, dialect, Backslash::Escapes, false, 4096);
        assert_eq!(told(expect), told(sql));
    }

    #[test]
    fn strings_are_hidden_and_nothing_else() {
        for dialect in [Dialect::Postgres, Dialect::MySql] {
            check(
                dialect,
                "SELECT a1 FROM t WHERE b = 'it''s' AND c = 12",
                "SELECT a1 FROM t WHERE b = '**''*' AND c = 12",
            );
            check(dialect, "ALTER USER bob PASSWORD 'x y'", "ALTER USER bob PASSWORD '* *'");
            check(dialect, "SELECT 1 /* it's */ , 'é€'", "SELECT 1 /* it's */ , '*****'");
        }
        check(Dialect::Postgres, "SELECT E'a\\'b', \"it's\"", "SELECT E'*\\'*', \"it's\"");
        check(Dialect::Postgres, "DO $$ a $b$ $$, x", "DO $$ * $*$ $$, x");
        check(Dialect::MySql, "SELECT \"a\", `it's`, 'a\\'b' # it's", "SELECT \"*\", `it's`, '*\\'*' # it's");
    }

    #[test]
    fn what_is_behind_the_longest_is_hidden() {
        let mut strings = Strings::default();
        let mut bytes = vec![b'a'; KEPT + 7];
        strings.hide(&mut bytes, Dialect::Postgres, Backslash::Unknown);
        assert_eq!(bytes, [vec![b'a'; KEPT], vec![HIDDEN; 7]].concat());
    }
}
