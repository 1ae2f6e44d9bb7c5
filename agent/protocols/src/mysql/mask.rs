//! Hiding what a client's packets hold that is a value or a password; `answers` does it for the server's.

mod answers;

pub(crate) use answers::AnswerMask;

use super::{
    frame::{HEADER, LONGEST, capability, command, is_command, u24_le},
    recognise,
};
use crate::{
    mask::{self, HIDDEN, News, Walk},
    sql::{Backslash, Dialect, Strings},
};

#[derive(Debug)]
pub(crate) struct Mask {
    /// The header of a packet, `held` bytes of it.
    header: [u8; HEADER],
    held: usize,
    left: u32,
    /// The packet that is read goes on in the next.
    continues: bool,
    part: Part,
    phase: Phase,
    statement: Strings,
    /// What a backslash is in the command that is read, and in the next one where all before are answered.
    backslash: Backslash,
    settled: Backslash,
    compressed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The next packet with a number may be a login.
    Login,
    Command,
}

/// What the next byte of a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The fixed part of a login, so many bytes of which have passed: capabilities are ahead.
    Fixed {
        passed: u8,
        capabilities: u32,
    },
    /// A name that ends with a zero, and what is behind it.
    User(Behind),
    /// The length of a password, of so many more bytes.
    Length {
        database: bool,
    },
    LongLength {
        left: u8,
        shift: u8,
        length: u64,
        database: bool,
    },
    /// So many bytes of a password.
    Password {
        left: u64,
        database: bool,
    },
    /// A password that ends with a zero.
    Terminated {
        database: bool,
    },
    Database,
    /// A command's number.
    Number,
    /// So many bytes that are nobody's secret.
    Plain(u32),
    /// What may be a number of attributes in front of a statement, then what says whether it is.
    Attributes,
    Marker(u8),
    Statement,
    Hidden,
}

/// How a password is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Counted { long: bool, database: bool },
    Terminated { database: bool },
}

impl Default for Mask {
    fn default() -> Self {
        Self {
            header: [0; HEADER],
            held: 0,
            left: 0,
            continues: false,
            part: Part::Hidden,
            phase: Phase::Login,
            statement: Strings::default(),
            backslash: Backslash::Unknown,
            settled: Backslash::Unknown,
            compressed: false,
        }
    }
}

impl Walk for Mask {
    fn begins(&self, bytes: &[u8]) -> bool {
        !self.compressed && (recognise::plausible_login(bytes) || recognise::plausible_command(bytes))
    }

    fn begin(&mut self) {
        (self.held, self.left, self.continues) = (0, 0, false);
        self.phase = Phase::Login;
    }

    fn step(&mut self, bytes: &mut [u8]) -> Option<usize> {
        if self.compressed {
            return None;
        }
        if self.left == 0 {
            return self.header(bytes[0]);
        }
        let bytes = mask::first(bytes, u64::from(self.left));
        let mut at = 0;
        while at < bytes.len() {
            at += self.hide(&mut bytes[at..]);
        }
        self.left -= u32::try_from(bytes.len()).unwrap_or(self.left);
        Some(bytes.len())
    }

    fn pass(&mut self, unseen: u64) -> bool {
        // It may have changed the session's mode.
        if unseen > 0 {
            self.settled = Backslash::Unknown;
        }
        let Some(left) = u32::try_from(unseen).ok().and_then(|unseen| self.left.checked_sub(unseen)) else {
            return false;
        };
        (self.left, self.part) = (left, Part::Hidden);
        true
    }

    fn ending(&self, _: &[u8]) -> usize {
        0
    }

    fn learn(&mut self, news: News<'_>) {
        match news {
            News::Compressed => self.compressed = true,
            News::Settled(backslash) => self.settled = backslash,
            News::Replies(_) | News::Notes(_) | News::Shifted(_) => {}
        }
    }
}

impl Mask {
    fn header(&mut self, byte: u8) -> Option<usize> {
        self.header[self.held] = byte;
        self.held += 1;
        if self.held < HEADER {
            return Some(1);
        }
        self.held = 0;
        let [a, b, c, sequence] = self.header;
        let (goes_on, length) = (self.continues, u24_le([a, b, c]));
        (self.left, self.continues) = (length, length == LONGEST);
        self.part = match sequence {
            // Nothing of a packet's second part is read.
            _ if goes_on => Part::Hidden,
            0 => Part::Number,
            1 | 2 if self.phase == Phase::Login && length >= 32 => Part::Fixed { passed: 0, capabilities: 0 },
            // Authentication, or a file, whose numbers may come round.
            u8::MAX => {
                self.continues = true;
                Part::Hidden
            }
            _ => Part::Hidden,
        };
        if !goes_on && (sequence == 0 || matches!(self.part, Part::Fixed { .. }) && length > 32) {
            self.phase = Phase::Command;
        }
        self.statement.clear();
        Some(1)
    }

    /// Hides what is to be hidden of the first bytes of a packet, and says how many they were.
    fn hide(&mut self, bytes: &mut [u8]) -> usize {
        let byte = bytes[0];
        self.part = match self.part {
            Part::Fixed { passed: passed @ 0..=3, capabilities } => Part::Fixed {
                passed: passed + 1,
                capabilities: capabilities | u32::from(byte) << (8 * passed),
            },
            Part::Fixed { passed: passed @ ..=30, capabilities } => {
                Part::Fixed { passed: passed + 1, capabilities }
            }
            Part::Fixed { capabilities, .. } => logs_in(capabilities),
            Part::User(behind) if byte == 0 => match behind {
                Behind::Counted { long: true, database } => {
                    Part::LongLength { left: 0, shift: 0, length: 0, database }
                }
                Behind::Counted { long: false, database } => Part::Length { database },
                Behind::Terminated { database } => Part::Terminated { database },
            },
            Part::User(_) => self.part,
            Part::Length { database } => password(u64::from(byte), database),
            Part::LongLength { left: 0, database, .. } => match byte {
                0..=0xfa => password(u64::from(byte), database),
                0xfc => Part::LongLength { left: 2, shift: 0, length: 0, database },
                0xfd => Part::LongLength { left: 3, shift: 0, length: 0, database },
                0xfe => Part::LongLength { left: 8, shift: 0, length: 0, database },
                0xfb | 0xff => Part::Hidden,
            },
            Part::LongLength { left, shift, length, database } => {
                let length = length | u64::from(byte) << shift;
                match left {
                    1 => password(length, database),
                    _ => Part::LongLength { left: left - 1, shift: shift + 8, length, database },
                }
            }
            Part::Password { mut left, database } => {
                let length = mask::cover(bytes, &mut left);
                self.part = password(left, database);
                return length;
            }
            Part::Terminated { database } if byte == 0 => password(0, database),
            Part::Terminated { .. } => {
                bytes[0] = HIDDEN;
                self.part
            }
            Part::Database if byte == 0 => Part::Hidden,
            Part::Database => Part::Database,
            Part::Number => self.command(byte),
            Part::Plain(left) => {
                let length = mask::first(bytes, u64::from(left)).len();
                let left = left - u32::try_from(length).unwrap_or(left);
                self.part = if left == 0 { Part::Hidden } else { Part::Plain(left) };
                return length;
            }
            Part::Attributes => Part::Marker(byte),
            // As `binary::statement` has it. Attributes are values: they hide the statement behind them.
            Part::Marker(0) if byte == 1 => Part::Statement,
            Part::Marker(1..=0xfa) if byte == 1 => {
                bytes[0] = HIDDEN;
                Part::Hidden
            }
            Part::Marker(first) => {
                self.statement.hide(&mut [first], Dialect::MySql, self.backslash);
                self.statement.hide(&mut bytes[..1], Dialect::MySql, self.backslash);
                Part::Statement
            }
            Part::Statement => {
                self.statement.hide(bytes, Dialect::MySql, self.backslash);
                return bytes.len();
            }
            Part::Hidden => {
                bytes.fill(HIDDEN);
                return bytes.len();
            }
        };
        1
    }

    fn command(&mut self, number: u8) -> Part {
        self.backslash = self.settled;
        // Those are not answered.
        if !matches!(number, command::CLOSE | command::LONG_DATA) {
            self.settled = Backslash::Unknown;
        }
        match number {
            command::QUERY => Part::Attributes,
            command::PREPARE => Part::Statement,
            command::CHANGE_USER => Part::User(Behind::Counted { long: false, database: true }),
            command::EXECUTE => Part::Plain(9),
            command::LONG_DATA | command::BULK_EXECUTE => Part::Plain(6),
            // A database or a table, and numbers.
            command::INIT_DB | command::FIELD_LIST => Part::Plain(u32::MAX),
            _ if is_command(number, self.left) => Part::Plain(8),
            _ => Part::Hidden,
        }
    }
}

/// What is behind the fixed part of a login.
fn logs_in(capabilities: u32) -> Part {
    let has = |flag: u64| u64::from(capabilities) & flag != 0;
    let database = has(capability::CONNECT_WITH_DB);
    let long = has(capability::PLUGIN_AUTH_LENENC);
    if !has(capability::PROTOCOL_41) {
        Part::Hidden
    } else if long || has(capability::SECURE_CONNECTION) {
        Part::User(Behind::Counted { long, database })
    } else {
        Part::User(Behind::Terminated { database })
    }
}

/// So many bytes of a password are next, and the database's name behind them.
fn password(left: u64, database: bool) -> Part {
    match left {
        0 if database => Part::Database,
        0 => Part::Hidden,
        _ => Part::Password { left, database },
    }
}
