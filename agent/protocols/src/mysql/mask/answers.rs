//! Hiding what a server's packets hold that is a value, a challenge, or a text that may quote one. What a packet is the
//! parser says, since its bytes do not: of others nothing is shown but their headers.

use std::collections::VecDeque;

use crate::{
    mask::{self, HIDDEN, News, Walk},
    mysql::{
        frame::{self, EOF, ERROR, Ending, HEADER, INFILE, LONGEST, OK, PROTOCOL, Reading, status, u24_le},
        notes::Noted,
    },
};

/// Packets that were noted and did not come yet.
const NOTED: usize = 65_536;
/// The change of a session that tells its database (`SESSION_TRACK_SCHEMA`).
const SCHEMA: u8 = 1;

#[derive(Debug)]
pub(crate) struct AnswerMask {
    /// The offset of what comes next.
    at: u64,
    noted: VecDeque<Noted>,
    /// The header of a packet, `held` bytes of it, and where it began.
    header: [u8; HEADER],
    held: usize,
    begin: u64,
    length: u32,
    left: u32,
    /// The packet that is read goes on in the next.
    continues: bool,
    known: Option<Noted>,
    part: Part,
    compressed: bool,
}

/// What the next byte of a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    First,
    /// So many bytes that are nobody's secret, and what is behind them.
    Plain(u64, Next),
    Hide(u64, Next),
    /// The first byte of a number of variable length.
    Number(Number),
    /// The rest of one, `left` bytes.
    Rest {
        number: Number,
        left: u8,
        shift: u8,
        value: u64,
    },
    /// Status and warnings of an `OK` packet.
    Status {
        passed: u8,
        status: u16,
    },
    /// What kind of change of the session follows.
    Change,
    /// What shows whether an error's SQLSTATE follows.
    Mark,
    Version,
    Hidden,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Changes,
    Change,
    Mark,
    /// The rest of a greeting behind the first part of its challenge.
    Challenge,
    Capabilities,
    Nothing,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Affected,
    /// The key of a row.
    Inserted,
    /// Bytes of a text.
    Text,
    /// Bytes of all changes of the session, and of one.
    Changes,
    Change {
        kind: u8,
    },
}

impl Default for AnswerMask {
    fn default() -> Self {
        Self {
            at: 0,
            noted: VecDeque::new(),
            header: [0; HEADER],
            held: 0,
            begin: 0,
            length: 0,
            left: 0,
            continues: false,
            known: None,
            part: Part::Hidden,
            compressed: false,
        }
    }
}

impl Walk for AnswerMask {
    fn begins(&self, bytes: &[u8]) -> bool {
        let noted = self.noted.iter().any(|noted| noted.offset == self.at);
        !self.compressed && (noted || frame::is_lone_answer(bytes))
    }

    fn begin(&mut self) {
        (self.held, self.left, self.continues) = (0, 0, false);
    }

    fn step(&mut self, bytes: &mut [u8]) -> Option<usize> {
        if self.compressed {
            return None;
        }
        // Where the parser has found a packet there is one.
        let due = self.noted.iter().map(|noted| noted.offset).find(|&offset| offset >= self.at);
        if due == Some(self.at) {
            self.begin();
        }
        if self.left == 0 {
            return self.header(bytes[0]);
        }
        let next = due.filter(|&due| due > self.at).map_or(u64::MAX, |due| due - self.at);
        let bytes = mask::first(bytes, next.min(u64::from(self.left)));
        let mut passed = 0;
        while passed < bytes.len() {
            passed += self.hide(&mut bytes[passed..]);
        }
        // No more than `left`.
        self.left -= passed as u32;
        self.at += passed as u64;
        Some(passed)
    }

    fn pass(&mut self, unseen: u64) -> bool {
        let Some(left) = u32::try_from(unseen).ok().and_then(|unseen| self.left.checked_sub(unseen)) else {
            return false;
        };
        (self.left, self.part) = (left, Part::Hidden);
        true
    }

    fn ending(&self, bytes: &[u8]) -> usize {
        let last = &bytes[bytes.len().saturating_sub(Ending::LENGTH)..];
        if self.compressed { 0 } else { Ending::find(last).map_or(0, |(length, _)| length.min(last.len())) }
    }

    fn place(&mut self, offset: u64) {
        self.at = offset;
        // A header may have begun before.
        let from = if self.held > 0 { self.begin } else { offset };
        while self.noted.front().is_some_and(|noted| noted.offset < from) {
            self.noted.pop_front();
        }
    }

    fn learn(&mut self, news: News<'_>) {
        match news {
            News::Compressed => self.compressed = true,
            News::Notes(notes) => {
                let room = NOTED.saturating_sub(self.noted.len());
                self.noted.extend(notes.packets.iter().take(room));
            }
            News::Shifted(by) => {
                self.at = self.at.saturating_add(by);
                self.begin = self.begin.saturating_add(by);
                for noted in &mut self.noted {
                    noted.offset = noted.offset.saturating_add(by);
                }
            }
            News::Replies(_) | News::Settled(_) => {}
        }
    }
}

impl AnswerMask {
    fn header(&mut self, byte: u8) -> Option<usize> {
        if self.held == 0 {
            self.begin = self.at;
        }
        self.header[self.held] = byte;
        self.held += 1;
        self.at += 1;
        if self.held < HEADER {
            return Some(1);
        }
        self.held = 0;
        while self.noted.front().is_some_and(|noted| noted.offset < self.begin) {
            self.noted.pop_front();
        }
        let found = self.noted.front().is_some_and(|noted| noted.offset == self.begin);
        self.known = if found { self.noted.pop_front() } else { None };
        let [a, b, c, _] = self.header;
        let length = u24_le([a, b, c]);
        // Nothing of a packet's second part is read.
        self.part = if self.continues { Part::Hidden } else { Part::First };
        (self.length, self.left, self.continues) = (length, length, length == LONGEST);
        Some(1)
    }

    /// Hides what is to be hidden of the first bytes of a packet, and says how many they were.
    fn hide(&mut self, bytes: &mut [u8]) -> usize {
        let byte = bytes[0];
        self.part = match self.part {
            Part::First => {
                let (shown, part) = self.first(byte);
                if !shown {
                    bytes[0] = HIDDEN;
                }
                part
            }
            Part::Plain(left, next) | Part::Hide(left, next) => {
                let hides = matches!(self.part, Part::Hide(..));
                let bytes = mask::first(bytes, left);
                if hides {
                    bytes.fill(HIDDEN);
                }
                let left = left - bytes.len() as u64;
                self.part = run(hides, left, next);
                return bytes.len();
            }
            Part::Number(number) => {
                let more = match byte {
                    0xfc => 2,
                    0xfd => 3,
                    0xfe => 8,
                    0xfb | 0xff => {
                        self.part = Part::Hidden;
                        return 1;
                    }
                    _ => 0,
                };
                if more > 0 {
                    Part::Rest { number, left: more, shift: 0, value: 0 }
                } else {
                    if number == Number::Inserted && byte > 0 {
                        bytes[0] = HIDDEN;
                    }
                    number.is(u64::from(byte))
                }
            }
            Part::Rest { number, left, shift, value } => {
                if number == Number::Inserted {
                    bytes[0] = HIDDEN;
                }
                let value = value | u64::from(byte) << shift;
                match left {
                    1 => number.is(value),
                    _ => Part::Rest { number, left: left - 1, shift: shift + 8, value },
                }
            }
            Part::Status { passed: passed @ 0..=1, status } => {
                Part::Status { passed: passed + 1, status: status | u16::from(byte) << (8 * passed) }
            }
            Part::Status { passed: 2, status } => Part::Status { passed: 3, status },
            Part::Status { status, .. } if status & status::SESSION_CHANGED != 0 => {
                Part::Number(Number::Text)
            }
            Part::Status { .. } => Part::Hidden,
            Part::Change => Part::Number(Number::Change { kind: byte }),
            Part::Mark if byte == b'#' => Part::Plain(5, Next::Nothing),
            Part::Mark => {
                bytes[0] = HIDDEN;
                Part::Hidden
            }
            Part::Version if byte == 0 => Part::Plain(4, Next::Challenge),
            Part::Version => Part::Version,
            Part::Hidden => {
                bytes.fill(HIDDEN);
                return bytes.len();
            }
        };
        1
    }

    /// Whether the first byte of a packet is shown, and what is behind it.
    fn first(&self, byte: u8) -> (bool, Part) {
        const END: Part = Part::Number(Number::Affected);
        let short = self.length < LONGEST;
        let Some(Noted { reading, prepares, .. }) = self.known else {
            // No row is so short that begins so: it is the end of some.
            let end = byte == EOF && (5..=10).contains(&self.length);
            let part = match self.length {
                5 if end => Part::Plain(4, Next::Nothing),
                _ if end => END,
                _ => Part::Hidden,
            };
            return (matches!(byte, OK | EOF | ERROR), part);
        };
        let part = match (reading, byte) {
            (Reading::Login | Reading::Secret | Reading::Command | Reading::File, _) => {
                return (false, Part::Hidden);
            }
            (Reading::Stray, _) => return (matches!(byte, OK | EOF | ERROR), Part::Hidden),
            (_, ERROR) if short => Part::Plain(2, Next::Mark),
            (Reading::Greeting, PROTOCOL) => Part::Version,
            (Reading::Auth, OK) => END,
            (Reading::Greeting | Reading::Auth, _) => {
                return (matches!(byte, 1 | EOF), Part::Hidden);
            }
            (Reading::Answer | Reading::Definition | Reading::Row, EOF) if self.length == 5 => {
                Part::Plain(4, Next::Nothing)
            }
            (Reading::Answer | Reading::Definition | Reading::Row, EOF) if short => END,
            (Reading::Definition | Reading::Row, _) | (Reading::Answer, INFILE) => Part::Hidden,
            (Reading::Answer, OK) if prepares => Part::Plain(11, Next::Nothing),
            // Without descriptions, the number of columns is behind a zero.
            (Reading::Answer, OK) if self.length < 7 => Part::Plain(3, Next::Nothing),
            (Reading::Answer, OK) => END,
            // A number of columns, and whether their descriptions follow.
            (Reading::Answer, 0xfc | 0xfd) if self.length <= 5 => Part::Plain(4, Next::Nothing),
            (Reading::Answer, 1) if self.length <= 4 => Part::Plain(3, Next::Nothing),
            (Reading::Answer, _) if self.length <= 2 => Part::Plain(1, Next::Nothing),
            (Reading::Answer, _) => Part::Hidden,
        };
        (true, part)
    }
}

/// So many bytes, hidden or not.
fn run(hides: bool, left: u64, next: Next) -> Part {
    match (left, hides) {
        (0, _) => match next {
            Next::Changes => Part::Number(Number::Changes),
            Next::Change => Part::Change,
            Next::Mark => Part::Mark,
            Next::Challenge => Part::Hide(8, Next::Capabilities),
            // Capabilities, character set and status are between the two parts of the challenge, with its length.
            Next::Capabilities => Part::Plain(19, Next::Nothing),
            Next::Nothing => Part::Hidden,
        },
        (_, true) => Part::Hide(left, next),
        (_, false) => Part::Plain(left, next),
    }
}

impl Number {
    /// What is behind it.
    fn is(self, value: u64) -> Part {
        match self {
            Self::Affected => Part::Number(Self::Inserted),
            Self::Inserted => Part::Status { passed: 0, status: 0 },
            Self::Text => run(true, value, Next::Changes),
            Self::Changes => Part::Change,
            Self::Change { kind: SCHEMA } => run(false, value, Next::Change),
            Self::Change { .. } => run(true, value, Next::Change),
        }
    }
}
