//! Typed reading of the tree: a wrong key or value becomes a problem with its line, and reading goes on.

use super::{
    Problem,
    nearest::nearest,
    yaml::{Entry, Node, Value},
};

/// One mapping of the file, and where it stands (`otlp.tls`).
pub(super) struct Section<'a> {
    path: String,
    entries: &'a [Entry],
}

/// What was wrong so far.
#[derive(Default)]
pub(super) struct Problems(pub(super) Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, line: usize, message: String) {
        self.0.push(Problem::at(line, message));
    }

    fn value(&mut self, node: &Node, path: &str, allowed: &str) {
        let found = match &node.value {
            Value::Nothing => "empty".to_owned(),
            Value::Text(text) => format!("`{text}`"),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        };
        self.add(node.line, format!("`{path}` is {found}: {allowed}"));
    }
}

impl<'a> Section<'a> {
    /// The mapping `node`, whose keys must be among `known`. Nothing at all is an empty mapping.
    pub(super) fn new(node: Option<&'a Node>, path: &str, known: &[&str], problems: &mut Problems) -> Self {
        let entries: &[Entry] = match node.map(|node| (&node.value, node)) {
            None | Some((Value::Nothing, _)) => &[],
            Some((Value::Map(entries), _)) => entries,
            Some((Value::Text(_) | Value::List(_), node)) => {
                let path = if path.is_empty() { "the file" } else { path };
                problems.value(
                    node,
                    path,
                    &format!("a mapping with the keys {} is allowed", known.join(", ")),
                );
                &[]
            }
        };
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let hint = match nearest(&entry.key, known) {
                Some(word) => format!("; did you mean `{word}`?"),
                None => format!("; known here are {}", known.join(", ")),
            };
            problems.add(entry.line, format!("unknown key `{}`{hint}", join(path, &entry.key)));
        }
        Self { path: path.to_owned(), entries }
    }

    pub(super) fn node(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    pub(super) fn path(&self, key: &str) -> String {
        join(&self.path, key)
    }

    pub(super) fn section(&self, key: &str, known: &[&str], problems: &mut Problems) -> Section<'a> {
        Section::new(self.node(key), &self.path(key), known, problems)
    }

    /// The value of `key` as `parse` understands it; its error says what is allowed.
    pub(super) fn read<T>(
        &self,
        key: &str,
        problems: &mut Problems,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        item(self.node(key)?, &self.path(key), problems, parse)
    }

    pub(super) fn flag(&self, key: &str, problems: &mut Problems) -> Option<bool> {
        self.read(key, problems, boolean)
    }

    /// A list, or a single value in its place.
    pub(super) fn list<T>(
        &self,
        key: &str,
        problems: &mut Problems,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let node = self.node(key)?;
        let path = self.path(key);
        match &node.value {
            Value::Nothing => Some(Vec::new()),
            Value::List(items) => {
                Some(items.iter().filter_map(|node| item(node, &path, problems, &parse)).collect())
            }
            Value::Text(_) | Value::Map(_) => Some(item(node, &path, problems, parse).into_iter().collect()),
        }
    }

    /// A mapping from any text to text.
    pub(super) fn pairs(&self, key: &str, problems: &mut Problems) -> Option<Vec<(String, String)>> {
        let node = self.node(key)?;
        let path = self.path(key);
        match &node.value {
            Value::Nothing => Some(Vec::new()),
            Value::Map(entries) => Some(
                entries
                    .iter()
                    .filter_map(|entry| {
                        let text = |text: &str| Ok(text.to_owned());
                        Some((
                            entry.key.clone(),
                            item(&entry.node, &join(&path, &entry.key), problems, text)?,
                        ))
                    })
                    .collect(),
            ),
            Value::Text(_) | Value::List(_) => {
                problems.value(node, &path, "a mapping from names to text is allowed");
                None
            }
        }
    }
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("true or false is allowed".to_owned()),
    }
}

/// One of a few words.
pub(super) fn one_of<T: Copy>(words: &[(&str, T)], text: &str) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let hint = nearest(text, &words).map(|word| format!("; did you mean `{word}`?")).unwrap_or_default();
        format!("{} is allowed{hint}", words.join(", "))
    })
}

fn item<T>(
    node: &Node,
    path: &str,
    problems: &mut Problems,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    let parsed = match &node.value {
        Value::Text(text) => parse(text),
        Value::Nothing => Err("leave the key out or give it a value".to_owned()),
        Value::List(_) | Value::Map(_) => Err("a single value is allowed".to_owned()),
    };
    match parsed {
        Ok(value) => Some(value),
        Err(allowed) => {
            problems.value(node, path, &allowed);
            None
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
