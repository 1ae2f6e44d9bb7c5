//! What a client asks: the command's name, its text with every value masked, and what it does to the
//! connection.

use std::{borrow::Cow, sync::Arc};

use super::{
    frame,
    parser::{Assembly, Element, Value},
    table::{self, Effect, Info, LONGEST_NAME, Tail},
};
use crate::keyvalue::{KeyValueHead, System};

/// Arguments that are in the text.
const SHOWN: u64 = 64;
/// A run of letters and digits that is as long is taken for an identifier or a secret.
const TOKEN: usize = 16;
/// As many digits: a number that names somebody.
const LONG_NUMBER: usize = 13;

/// The command that is being read. Its buffers are used again for the next.
#[derive(Debug)]
pub(super) struct Command {
    limit: usize,
    pub(super) info: &'static Info,
    /// The name of a command that is not in the table.
    name: Option<Box<str>>,
    text: String,
    procedure: Option<Box<str>>,
    /// Arguments with the name.
    count: u64,
    next: u64,
    /// Arguments that belong to the last option.
    operands: u64,
    /// Keys that follow.
    keys: u64,
    /// Where the keys of a tail that names or begins them are.
    placed: bool,
    cut: bool,
    number: Option<u32>,
    pub(super) blocks: bool,
    pub(super) replies: Option<Replies>,
    subcommand_is_reply: bool,
    /// It came in one line.
    pub(super) is_line: bool,
    /// What it does to the connection was not seen.
    pub(super) is_unclear: bool,
}

/// `CLIENT REPLY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replies {
    On,
    Off,
    Skip,
}

/// How much of an argument is in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Whole,
    /// All but what in it looks like a secret.
    Key,
    Nothing,
}

impl Command {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            info: &table::UNKNOWN,
            name: None,
            text: String::new(),
            procedure: None,
            count: 0,
            next: 0,
            operands: 0,
            keys: 0,
            placed: false,
            cut: false,
            number: None,
            blocks: false,
            replies: None,
            subcommand_is_reply: false,
            is_line: false,
            is_unclear: false,
        }
    }

    /// The number of the database that `SELECT` names.
    pub(super) fn database(&self) -> Option<u32> {
        self.number
    }

    pub(super) fn head(&mut self) -> Arc<KeyValueHead> {
        let operation = match self.name.take() {
            Some(name) => Cow::Owned(name.into_string()),
            None => Cow::Borrowed(self.info.name),
        };
        let procedure = self.procedure.take();
        Arc::new(KeyValueHead {
            system: System::Redis,
            operation,
            text: Some(self.text.as_str().into()),
            procedure,
        })
    }

    /// The rest of it was not seen. False where what it does to the connection may depend on that.
    pub(super) fn cut_off(&mut self) -> bool {
        if !self.cut {
            self.cut = true;
            self.text.push_str(" ...");
        }
        self.next > 0 && !self.is_unclear && self.info.effect != Effect::Replies
    }

    fn argument(&mut self, start: Option<&[u8]>, length: u64) {
        let index = self.next;
        self.next += 1;
        if index == 0 {
            return self.named(start, length);
        }
        self.is_unclear |= start.is_none() && index <= 2 && self.info.effect == Effect::Replies;
        self.note(index, start.unwrap_or_default());
        let kept = self.keeps(index, start.unwrap_or_default());
        if self.cut {
            return;
        }
        if index > SHOWN || self.text.len() >= self.limit {
            self.cut = true;
            self.text.push_str(" ...");
            return;
        }
        self.text.push(' ');
        match start.filter(|_| kept) {
            // A digest has the look of a secret.
            Some(_) if index == 1 && self.procedure.is_some() => {
                self.text.push_str(self.procedure.as_deref().unwrap_or_default());
            }
            Some(start) => push_key(&mut self.text, start, length),
            None => self.text.push('?'),
        }
    }

    /// Takes the next argument without writing any text: how much of it is there. `None` of `start` where not all that is
    /// looked at was seen.
    pub(super) fn shows(&mut self, start: Option<&[u8]>, length: u64) -> Shown {
        let index = self.next;
        self.next += 1;
        if index == 0 {
            self.named(start, length);
            return if start.is_some_and(table::is_name) { Shown::Whole } else { Shown::Nothing };
        }
        let start = start.unwrap_or_default();
        match (self.keeps(index, start), self.info.effect) {
            // A digest has the look of a secret.
            (true, Effect::Runs) if index == 1 => Shown::Whole,
            (true, _) => Shown::Key,
            (false, _) => Shown::Nothing,
        }
    }

    /// The name is next.
    pub(super) fn is_at_name(&self) -> bool {
        self.next == 0
    }

    fn named(&mut self, start: Option<&[u8]>, length: u64) {
        self.is_unclear = start.is_none();
        let name = start.filter(|_| length <= LONGEST_NAME as u64).unwrap_or_default();
        if let Some(info) = table::find(name) {
            self.info = info;
            self.text.push_str(info.name);
        } else if table::is_name(name) {
            let name = String::from_utf8_lossy(name).to_ascii_uppercase();
            self.text.push_str(&name);
            self.info = table::of_module(&name);
            self.name = Some(name.into());
        } else {
            self.text.push_str(self.info.name);
        }
        self.blocks = self.info.effect == Effect::Blocks;
    }

    /// What an argument means for the connection.
    fn note(&mut self, index: u64, argument: &[u8]) {
        match (self.info.effect, index) {
            (Effect::Selects, 1) => self.number = frame::number(argument).and_then(|n| u32::try_from(n).ok()),
            (Effect::Replies, 1) => self.subcommand_is_reply = argument.eq_ignore_ascii_case(b"REPLY"),
            (Effect::Replies, 2) if self.subcommand_is_reply => {
                self.replies = [(&b"ON"[..], Replies::On), (b"OFF", Replies::Off), (b"SKIP", Replies::Skip)]
                    .into_iter()
                    .find(|(word, _)| argument.eq_ignore_ascii_case(word))
                    .map(|(_, replies)| replies);
            }
            (Effect::Runs, 1) => {
                let is_name = argument.iter().all(|&byte| table::is_of_name(byte));
                let text = String::from_utf8_lossy(argument);
                self.procedure = Some(text.into()).filter(|_| is_name && !argument.is_empty());
            }
            _ => {}
        }
    }

    /// Whether an argument is no value.
    fn keeps(&mut self, index: u64, argument: &[u8]) -> bool {
        let rule = self.info.rule;
        let (kept, masked) = (u64::from(rule.keep), u64::from(rule.mask));
        if index <= kept {
            return true;
        }
        if index <= kept + masked {
            return false;
        }
        match rule.tail {
            Tail::Values => false,
            Tail::Keys => true,
            Tail::KeysAndOne => index + 1 < self.count,
            Tail::Pairs => (index - kept - masked) % 2 == 1,
            Tail::Options => self.is_option(argument),
            Tail::CountedKeys | Tail::CountedKeysAndOptions if !self.placed => {
                self.placed = true;
                let count = frame::number(argument);
                self.keys = count.unwrap_or(0);
                count.is_some()
            }
            Tail::CountedKeys | Tail::CountedKeysAndOptions if self.keys > 0 => {
                self.keys -= 1;
                true
            }
            Tail::CountedKeys => false,
            Tail::CountedKeysAndOptions => self.is_option(argument),
            Tail::Streams if self.placed => {
                let is_key = self.keys > 0;
                self.keys = self.keys.saturating_sub(1);
                is_key
            }
            Tail::Streams => {
                let free = self.operands == 0;
                if free && argument.eq_ignore_ascii_case(b"STREAMS") {
                    self.placed = true;
                    self.keys = self.count.saturating_sub(index + 1) / 2;
                }
                self.blocks |= free && argument.eq_ignore_ascii_case(b"BLOCK");
                self.is_option(argument)
            }
        }
    }

    fn is_option(&mut self, argument: &[u8]) -> bool {
        if self.operands > 0 {
            self.operands -= 1;
            return false;
        }
        let operands = table::option(argument);
        self.operands = operands.unwrap_or(0);
        operands.is_some()
    }
}

impl Assembly for Command {
    const COMMANDS: bool = true;

    fn begin(&mut self) {
        self.info = &table::UNKNOWN;
        self.text.clear();
        (self.name, self.procedure, self.number, self.replies) = (None, None, None, None);
        (self.count, self.next, self.operands, self.keys) = (0, 0, 0, 0);
        (self.placed, self.cut, self.blocks) = (false, false, false);
        (self.subcommand_is_reply, self.is_line, self.is_unclear) = (false, false, false);
    }

    fn element(&mut self, element: Element<'_>) {
        match element.value {
            Value::Elements(count) => self.count = count,
            Value::Text { start, length } => self.argument(start, length),
            Value::Line(_) | Value::Stream | Value::Null => {}
        }
    }

    /// Words between blanks; a word may be quoted.
    fn line(&mut self, line: &[u8]) -> bool {
        let name = line.trim_ascii_start();
        let name = name.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        if !table::is_name(name) {
            return false;
        }
        self.is_line = true;
        self.count = Words(line).count() as u64;
        for word in Words(line) {
            self.argument(Some(&word[..word.len().min(super::parser::KEPT)]), word.len() as u64);
        }
        true
    }
}

/// The words of an inline command, as `sdssplitargs` splits them. Quotes are left out, what is escaped within
/// them stays as it is.
struct Words<'a>(&'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0.trim_ascii_start();
        let (&first, inside) = rest.split_first()?;
        let (word, rest) = if matches!(first, b'"' | b'\'') {
            let mut escaped = false;
            let end = inside.iter().position(|&byte| {
                let ends = byte == first && !escaped;
                escaped = byte == b'\\' && !escaped;
                ends
            });
            end.map_or((inside, &b""[..]), |end| (&inside[..end], &inside[end + 1..]))
        } else {
            let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
            rest.split_at(end)
        };
        self.0 = rest;
        Some(word)
    }
}

/// A key in the syntax of `redis-cli`. What in it looks like an identifier or a secret is masked: session tokens
/// and names of people are often part of keys.
fn push_key(text: &mut String, start: &[u8], length: u64) {
    let cut = (start.len() as u64) < length;
    let key =
        std::str::from_utf8(start).ok().filter(|key| !key.contains(|c: char| c.is_control() || c == '@'));
    let Some(key) = key else { return text.push('?') };
    let quoted =
        key.is_empty() || key.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\'));
    if quoted {
        text.push('"');
    }
    for (_, part, separator) in parts(key) {
        if is_sensitive_part(part) {
            text.push('?');
        } else if quoted {
            for c in part.chars() {
                if matches!(c, '"' | '\\') {
                    text.push('\\');
                }
                text.push(c);
            }
        } else {
            text.push_str(part);
        }
        text.push_str(separator);
    }
    if cut {
        text.push_str("...");
    }
    if quoted {
        text.push('"');
    }
}

/// The parts of a key between separators: where each begins, and what separates it from the next.
pub(super) fn parts(key: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    let is_separator = |c: char| matches!(c, ':' | '/' | '.' | '{' | '}' | '|' | ',' | ';' | '=' | ' ');
    let mut next = 0;
    key.split_inclusive(is_separator).map(move |whole| {
        let at = next;
        next += whole.len();
        let (part, separator) = match whole.char_indices().next_back() {
            Some((at, last)) if is_separator(last) => whole.split_at(at),
            _ => (whole, ""),
        };
        (at, part, separator)
    })
}

/// A long run of letters and digits together, a long number, or a UUID.
pub(super) fn is_sensitive_part(part: &str) -> bool {
    if part.len() < LONG_NUMBER {
        return false;
    }
    let mut hex = 0;
    for run in part.split(['-', '_']) {
        let digits = run.bytes().filter(u8::is_ascii_digit).count();
        let mixed = digits > 0 && digits < run.len();
        if mixed && run.len() >= TOKEN || digits == run.len() && digits >= LONG_NUMBER {
            return true;
        }
        if run.len() >= 4 && run.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            hex += run.len();
        }
    }
    hex >= 24
}
