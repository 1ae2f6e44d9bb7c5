//! YAML as a tree in which every key and value knows its line, and scalars keep their spelling.
//!
//! Only what a configuration needs: one document, plain keys, no anchors, no tags.

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use super::Problem;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A key with nothing behind it, `~` or `null`.
    Nothing,
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) node: Node,
}

const DEPTH_LIMIT: usize = 16;

/// `None` for an empty document. Keys are unique within their mapping.
pub(super) fn parse(text: &str) -> Result<Option<Node>, Problem> {
    let mut builder = Builder { parser: Parser::new_from_str(text) };
    let mut root = None;
    loop {
        let (event, span) = builder.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            Event::StreamEnd => return Ok(root),
            _ if root.is_some() => {
                return Err(problem(&span, "one document is allowed, and this is a second one"));
            }
            event => root = Some(builder.node(event, &span, 0)?),
        }
    }
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Problem> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                Err(Problem::at(error.marker().line(), format!("not YAML: {}", error.info())))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Node, Problem> {
        if depth > DEPTH_LIMIT {
            return Err(problem(span, "nested too deeply"));
        }
        let line = span.start.line();
        let value = match event {
            Event::Scalar(text, style, 0, None) => {
                let nothing = style == ScalarStyle::Plain && matches!(text.as_ref(), "" | "~" | "null");
                if nothing { Value::Nothing } else { Value::Text(text.into_owned()) }
            }
            Event::SequenceStart(0, None) => Value::List(self.list(depth)?),
            Event::MappingStart(0, None) => Value::Map(self.map(depth)?),
            Event::Alias(_) | Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) => {
                return Err(problem(span, "anchors, aliases and tags are not allowed here"));
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => return Err(problem(span, "not YAML: a value is missing")),
        };
        Ok(Node { line, value })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Problem> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, &span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<Entry>, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (key, span) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(entries),
                (Event::Scalar(key, ..), span) => (key.into_owned(), span),
                (_, span) => return Err(problem(&span, "a key must be plain text")),
            };
            let line = span.start.line();
            if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                return Err(Problem::at(line, format!("`{key}` stands twice; first on line {}", first.line)));
            }
            let (event, span) = self.next()?;
            let node = self.node(event, &span, depth + 1)?;
            entries.push(Entry { key, line, node });
        }
    }
}

fn problem(span: &Span, message: &str) -> Problem {
    Problem::at(span.start.line(), message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(line: usize, text: &str) -> Node {
        Node { line, value: Value::Text(text.into()) }
    }

    #[test]
    fn lines_and_spelling_are_kept() {
        let root = parse("# hello\na: 1.10\nb:\n  - x\n  - 'null'\nc:\n").unwrap().unwrap();
        let Value::Map(entries) = root.value else { panic!("not a map") };
        let expect = [
            Entry { key: "a".into(), line: 2, node: text(2, "1.10") },
            Entry {
                key: "b".into(),
                line: 3,
                node: Node { line: 4, value: Value::List(vec![text(4, "x"), text(5, "null")]) },
            },
        ];
        assert_eq!(entries[..2], expect);
        assert_eq!((entries[2].line, &entries[2].node.value), (6, &Value::Nothing));
    }

    #[test]
    fn an_empty_document_is_nothing() {
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse("# only a comment\n"), Ok(None));
    }

    #[track_caller]
    fn check(yaml: &str, line: usize, message: &str) {
        assert_eq!(parse(yaml), Err(Problem::at(line, message)));
    }

    #[test]
    fn what_is_refused_has_a_line() {
        check("a: 1\nb: 2\na: 3\n", 3, "`a` stands twice; first on line 1");
        check("a: &x 1\nb: *x\n", 1, "anchors, aliases and tags are not allowed here");
        check("a: 1\n---\nb: 2\n", 3, "one document is allowed, and this is a second one");
        check("? [a]\n: 1\n", 1, "a key must be plain text");
        check(&"[".repeat(99), 1, "nested too deeply");
        assert_eq!(parse("a: 1\n b: 2\n").unwrap_err().line, Some(2));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text in "[-:\\[\\]{}&*!|>'\"#%@a \n\t?,]{0,80}") {
            let _ = parse(&text);
        }
    }
}
