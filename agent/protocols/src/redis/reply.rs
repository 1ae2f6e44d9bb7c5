//! What a server answers, as far as it matters: its kind, its error, and whether it is an answer at all.

use std::borrow::Cow;

use super::{
    parser::{Assembly, Element, Value},
    table::Answer,
};

/// An error's first word is shorter.
pub(super) const LONGEST_CODE: usize = 32;
/// The kinds of elements in which errors and strings come.
const SIMPLE_ERROR: u8 = b'-';
const LONG_ERROR: u8 = b'!';

/// The reply that is being read.
#[derive(Debug, Default)]
pub(super) struct Reply {
    /// The first byte.
    pub(super) kind: u8,
    pub(super) null: bool,
    /// It is `+QUEUED`.
    pub(super) queued: bool,
    /// It is a line of `MONITOR`: it begins with a time.
    pub(super) timed: bool,
    /// How the array begins.
    pub(super) news: News,
    /// The third element, where that is a number.
    pub(super) count: Option<u64>,
    /// Its error, or the first error in it.
    error: Option<Code>,
}

/// What a message of a subscription begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum News {
    #[default]
    None,
    /// `subscribe` and its like.
    Subscribed,
    /// `unsubscribe` and its like.
    Unsubscribed,
    /// `message` and its like.
    Message,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Code {
    word: [u8; LONGEST_CODE],
    length: u8,
}

impl Reply {
    pub(super) fn is_error(&self) -> bool {
        matches!(self.kind, SIMPLE_ERROR | LONG_ERROR)
    }

    pub(super) fn is_push(&self) -> bool {
        self.kind == b'>'
    }

    /// The code of the reply's error, or of the first one among its elements. The inner one is `None` where the
    /// error does not begin with a code.
    pub(super) fn error(&self) -> Option<Option<Cow<'static, str>>> {
        self.error.map(Code::text)
    }

    /// Whether a command with such an answer can have this one.
    pub(super) fn answers(&self, answer: Answer) -> bool {
        if self.null || self.is_error() || self.queued || self.kind == 0 {
            return true;
        }
        match answer {
            Answer::Any => true,
            Answer::Status => self.kind == b'+',
            Answer::Number => matches!(self.kind, b':' | b'(' | b'#' | b','),
            Answer::Text => matches!(self.kind, b'$' | b'=' | b'+'),
            Answer::Many => matches!(self.kind, b'*' | b'~' | b'%'),
        }
    }
}

impl Assembly for Reply {
    const COMMANDS: bool = false;

    fn begin(&mut self) {
        *self = Self::default();
    }

    fn element(&mut self, element: Element<'_>) {
        let Element { index, kind, value } = element;
        if index == 0 {
            self.kind = kind;
            self.null = matches!(value, Value::Null);
        }
        match (kind, value) {
            (SIMPLE_ERROR, Value::Line(line)) => self.fail(line),
            (LONG_ERROR, Value::Text { start, .. }) => self.fail(start.unwrap_or_default()),
            (b'+', Value::Line(line)) if index == 0 => {
                self.queued = line == b"QUEUED";
                self.timed = line.first().is_some_and(u8::is_ascii_digit);
            }
            (b'$', Value::Text { start: Some(start), length }) if index == 1 && length <= 12 => {
                self.news = News::parse(start);
            }
            (b':', Value::Line(line)) if index == 3 => self.count = super::frame::number(line),
            _ => {}
        }
    }

    fn line(&mut self, _: &[u8]) -> bool {
        false
    }
}

impl Reply {
    fn fail(&mut self, message: &[u8]) {
        if self.error.is_none() {
            self.error = Some(Code::parse(message));
        }
    }
}

impl News {
    pub(super) const WORDS: [&[u8]; 9] = [
        b"message",
        b"pmessage",
        b"smessage",
        b"subscribe",
        b"psubscribe",
        b"ssubscribe",
        b"unsubscribe",
        b"punsubscribe",
        b"sunsubscribe",
    ];

    pub(super) fn parse(word: &[u8]) -> Self {
        match word {
            b"message" | b"pmessage" | b"smessage" => Self::Message,
            b"subscribe" | b"psubscribe" | b"ssubscribe" => Self::Subscribed,
            b"unsubscribe" | b"punsubscribe" | b"sunsubscribe" => Self::Unsubscribed,
            _ => Self::None,
        }
    }
}

impl Code {
    /// "The first upper-case word after the -, up to the first space or newline". Scripts and modules may write
    /// what they like there, which is no code.
    fn parse(message: &[u8]) -> Self {
        let end = message.iter().position(|&b| matches!(b, b' ' | b'\r' | b'\n')).unwrap_or(message.len());
        let word = &message[..end];
        let is_code = word.first().is_some_and(u8::is_ascii_uppercase)
            && word.iter().all(|&b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        let mut code = Self { word: [0; LONGEST_CODE], length: 0 };
        if is_code && let Some(place) = code.word.get_mut(..word.len()) {
            place.copy_from_slice(word);
            code.length = u8::try_from(word.len()).unwrap_or(0);
        }
        code
    }

    fn text(self) -> Option<Cow<'static, str>> {
        const COMMON: [&str; 6] = ["ERR", "WRONGTYPE", "MOVED", "ASK", "NOSCRIPT", "BUSY"];
        let word = std::str::from_utf8(&self.word[..usize::from(self.length)]).ok()?;
        if word.is_empty() {
            return None;
        }
        let known = COMMON.into_iter().find(|known| *known == word);
        Some(known.map_or_else(|| Cow::Owned(word.to_owned()), Cow::Borrowed))
    }
}
