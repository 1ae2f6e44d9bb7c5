//! What lines look like.

/// Values are at most that long, however the server is configured (`-I`).
const LONGEST_VALUE: u64 = 1 << 30;
/// A key is at most 250 bytes; encoded in base64 it is longer.
const LONGEST_KEY: usize = 340;
/// Arguments that are in a command's text.
const SHOWN: usize = 8;

/// A command's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) verb: Verb,
    /// Bytes of the value that follows.
    pub(super) data: Option<u64>,
    /// No answer is wanted.
    pub(super) noreply: bool,
    /// An answer is wanted only where it is not the usual one.
    pub(super) quiet: bool,
    /// What comes back with the answer: of an opaque token or of the key.
    pub(super) identity: Option<u64>,
    pub(super) text: Box<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verb {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Values, and `END`.
    Retrieve,
    Store,
    Count,
    Delete,
    Touch,
    /// Lines, and `END` or one that stands alone.
    Stats,
    /// One line.
    Other,
    Meta,
    /// `mn`, which is answered when everything before it is.
    MetaNoop,
    /// The connection is closed in answer.
    Quit,
    /// Log lines follow.
    Watch,
}

const VERBS: &[(&str, Kind)] = &[
    ("get", Kind::Retrieve),
    ("gets", Kind::Retrieve),
    ("gat", Kind::Retrieve),
    ("gats", Kind::Retrieve),
    ("set", Kind::Store),
    ("add", Kind::Store),
    ("replace", Kind::Store),
    ("append", Kind::Store),
    ("prepend", Kind::Store),
    ("cas", Kind::Store),
    ("incr", Kind::Count),
    ("decr", Kind::Count),
    ("delete", Kind::Delete),
    ("touch", Kind::Touch),
    ("mg", Kind::Meta),
    ("ms", Kind::Meta),
    ("md", Kind::Meta),
    ("ma", Kind::Meta),
    ("me", Kind::Meta),
    ("mn", Kind::MetaNoop),
    ("stats", Kind::Stats),
    ("version", Kind::Other),
    ("verbosity", Kind::Other),
    ("flush_all", Kind::Other),
    ("quit", Kind::Quit),
    ("shutdown", Kind::Quit),
    ("watch", Kind::Watch),
    ("slabs", Kind::Other),
    ("lru", Kind::Other),
    ("lru_crawler", Kind::Stats),
    ("cache_memlimit", Kind::Other),
    ("extstore", Kind::Other),
    ("refresh_certs", Kind::Other),
];

impl Verb {
    fn find(word: &[u8]) -> Option<Self> {
        let &(name, kind) = VERBS.iter().find(|(name, _)| name.as_bytes() == word)?;
        Some(Self { name, kind })
    }
}

impl Command {
    /// Reads a line, without its end. `None` where it is no command that is known.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let mut words = words(line);
        let verb = Verb::find(words.next()?)?;
        let mut command =
            Self { verb, data: None, noreply: false, quiet: false, identity: None, text: Box::default() };
        let mut text = String::with_capacity(24);
        text.push_str(verb.name);
        let mut key = None;
        for (index, word) in words.enumerate() {
            command.argument(index, word);
            if index == 0 {
                key = Some(word);
            }
            if matches!(verb.kind, Kind::Meta) && word == b"k" && index > 0 {
                command.identity = command.identity.or(key.map(hash));
            }
            match index {
                _ if index == SHOWN => text.push_str(" ..."),
                _ if index > SHOWN => {}
                _ if command.noreply => text.push_str(" noreply"),
                // A flag of a meta command is one letter; what follows it is a value.
                _ if verb.kind == Kind::Meta && index > 0 && word[0].is_ascii_alphabetic() => {
                    text.push(' ');
                    text.push(char::from(word[0]));
                }
                _ => text.push_str(" ?"),
            }
        }
        command.text = text.into();
        let needs_data = verb.kind == Kind::Store || verb.name == "ms";
        (!needs_data || command.data.is_some()).then_some(command)
    }

    /// The beginning of a line whose rest was not seen.
    pub(super) fn parse_start(line: &[u8]) -> Option<Self> {
        let verb = Verb::find(words(line).next()?)?;
        let text = format!("{} ? ...", verb.name).into();
        let command = Self { verb, data: None, noreply: false, quiet: false, identity: None, text };
        (verb.kind == Kind::Retrieve && line.len() > verb.name.len()).then_some(command)
    }

    fn argument(&mut self, index: usize, word: &[u8]) {
        match self.verb.kind {
            Kind::Store if index == 3 => self.data = length(word),
            Kind::Store if index > 3 => self.noreply = word == b"noreply",
            Kind::Count | Kind::Delete | Kind::Touch if index > 0 => self.noreply = word == b"noreply",
            Kind::Other => self.noreply = word == b"noreply",
            Kind::Meta if index == 1 && self.verb.name == "ms" => {
                // Before 1.6.10 the length was a flag.
                self.data = length(word.strip_prefix(b"S").unwrap_or(word));
            }
            Kind::Meta if index > 0 => match word {
                b"q" => self.quiet = true,
                [b'O', token @ ..] => self.identity = Some(hash(token)),
                _ => {}
            },
            _ => {}
        }
    }
}

/// What lines of an answer begin with, but for numbers.
pub(super) const WORDS: [&[u8]; 30] = [
    b"VALUE",
    b"END",
    b"STAT",
    b"ITEM",
    b"VA",
    b"HD",
    b"EN",
    b"NF",
    b"NS",
    b"EX",
    b"ME",
    b"MN",
    b"ERROR",
    b"CLIENT_ERROR",
    b"SERVER_ERROR",
    b"STORED",
    b"NOT_STORED",
    b"EXISTS",
    b"NOT_FOUND",
    b"DELETED",
    b"TOUCHED",
    b"OK",
    b"RESET",
    b"VERSION",
    b"BUSY",
    b"BADCLASS",
    b"NOSPARE",
    b"NOTFULL",
    b"UNSAFE",
    b"SAME",
];

/// A line of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// `VALUE`: a value of as many bytes follows, and then more lines.
    Value(u64),
    End,
    /// `STAT` and its like.
    Stat,
    /// `VA`: a value follows.
    MetaValue(u64),
    /// Another answer to a meta command, by its code.
    Meta([u8; 2]),
    MetaNoop,
    Error(&'static str),
    /// What answers a command by itself.
    Answer(Answer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Stored,
    NotStored,
    Exists,
    NotFound,
    Deleted,
    Touched,
    Number,
    Other,
}

impl Line {
    /// Reads a line, without its end.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let mut words = words(line);
        Some(match words.next()? {
            b"VALUE" => {
                let (_key, _flags) = (words.next()?, words.next()?);
                Self::Value(length(words.next()?)?)
            }
            b"END" => Self::End,
            b"STAT" | b"ITEM" => Self::Stat,
            b"VA" => Self::MetaValue(length(words.next()?)?),
            &[a, b] if [*b"HD", *b"EN", *b"NF", *b"NS", *b"EX", *b"ME"].contains(&[a, b]) => {
                Self::Meta([a, b])
            }
            b"MN" => Self::MetaNoop,
            b"ERROR" => Self::Error("ERROR"),
            b"CLIENT_ERROR" => Self::Error("CLIENT_ERROR"),
            b"SERVER_ERROR" => Self::Error("SERVER_ERROR"),
            b"STORED" => Self::Answer(Answer::Stored),
            b"NOT_STORED" => Self::Answer(Answer::NotStored),
            b"EXISTS" => Self::Answer(Answer::Exists),
            b"NOT_FOUND" => Self::Answer(Answer::NotFound),
            b"DELETED" => Self::Answer(Answer::Deleted),
            b"TOUCHED" => Self::Answer(Answer::Touched),
            b"OK" | b"RESET" | b"VERSION" | b"BUSY" | b"BADCLASS" | b"NOSPARE" | b"NOTFULL" | b"UNSAFE"
            | b"SAME" => Self::Answer(Answer::Other),
            // A number may be padded with spaces.
            word if word.iter().all(u8::is_ascii_digit) && words.next().is_none() => {
                Self::Answer(Answer::Number)
            }
            _ => return None,
        })
    }

    /// Whether a meta command that was asked quietly is answered so.
    pub(super) fn answers_quiet(self, verb: &str) -> bool {
        match (verb, self) {
            (_, Self::Error(_)) => true,
            ("mg", line) => matches!(line, Self::MetaValue(_)) || line == Self::Meta(*b"HD"),
            (_, Self::Meta(code)) => code == *b"NS" || code == *b"EX" || verb == "ms" && code == *b"NF",
            _ => false,
        }
    }

    /// Whether a command of that kind can have this line in its answer.
    pub(super) fn answers(self, kind: Kind) -> bool {
        use Answer::{Deleted, Exists, NotFound, NotStored, Number, Other, Stored, Touched};
        match (kind, self) {
            (_, Self::Error(_)) => true,
            (Kind::Retrieve, line) => matches!(line, Self::Value(_) | Self::End),
            (Kind::Store, Self::Answer(answer)) => {
                matches!(answer, Stored | NotStored | Exists | NotFound)
            }
            (Kind::Count, Self::Answer(answer)) => matches!(answer, Number | NotFound),
            (Kind::Delete, Self::Answer(answer)) => matches!(answer, Deleted | NotFound),
            (Kind::Touch, Self::Answer(answer)) => matches!(answer, Touched | NotFound),
            (Kind::Stats, line) => {
                matches!(line, Self::Stat | Self::End | Self::Answer(Other) | Self::Meta(_))
            }
            (Kind::Meta, line) => matches!(line, Self::Meta(_) | Self::MetaValue(_) | Self::Answer(NotFound)),
            (Kind::MetaNoop, line) => line == Self::MetaNoop,
            (Kind::Other | Kind::Quit | Kind::Watch, line) => matches!(line, Self::Answer(_) | Self::End),
            (Kind::Store | Kind::Count | Kind::Delete | Kind::Touch, _) => false,
        }
    }
}

/// The opaque token and the key that came back with an answer to a meta command.
pub(super) fn identities(line: &[u8]) -> impl Iterator<Item = u64> {
    words(line).skip(1).filter_map(|word| match word {
        [b'O' | b'k', token @ ..] => Some(hash(token)),
        _ => None,
    })
}

/// Whether a whole line at the start of an operation is a command that nothing else has.
pub(crate) fn is_request(bytes: &[u8]) -> bool {
    let Some(line) = whole_line(bytes) else { return false };
    let numbers = |word: &[u8]| word.strip_prefix(b"-").unwrap_or(word).iter().all(u8::is_ascii_digit);
    let is_store = Command::parse(line).is_some_and(|command| command.verb.kind == Kind::Store);
    is_store && words(line).skip(2).take(3).all(numbers) && words(line).count() <= 7
}

/// Whether a whole line may be a command, if the other side answers like Memcached.
pub(crate) fn could_be_request(bytes: &[u8]) -> bool {
    whole_line(bytes).is_some_and(|line| Command::parse(line).is_some())
}

/// Whether a whole line at the start of an operation is an answer that nothing else has.
pub(crate) fn is_reply(bytes: &[u8]) -> bool {
    let Some(line) = whole_line(bytes) else { return false };
    match Line::parse(line) {
        Some(Line::Value(_)) => words(line).count() <= 5,
        Some(Line::Answer(Answer::Stored | Answer::NotStored)) => words(line).count() == 1,
        _ => false,
    }
}

/// Whether a whole line may be an answer, if the other side asks like Memcached's client.
pub(crate) fn could_be_reply(bytes: &[u8]) -> bool {
    whole_line(bytes).is_some_and(|line| Line::parse(line).is_some())
}

fn whole_line(bytes: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(b'\n', bytes)?;
    let line = bytes[..end].strip_suffix(b"\r")?;
    line.iter().all(|&byte| byte >= b' ').then_some(line)
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&byte| byte == b' ').filter(|word| !word.is_empty())
}

fn length(word: &[u8]) -> Option<u64> {
    let short = !word.is_empty() && word.len() <= 10;
    let number = short.then(|| std::str::from_utf8(word).ok()?.parse::<u64>().ok()).flatten();
    number.filter(|&length| length <= LONGEST_VALUE)
}

/// FNV-1a of a token or a key, which itself is not kept.
fn hash(token: &[u8]) -> u64 {
    token[..token.len().min(LONGEST_KEY)]
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
