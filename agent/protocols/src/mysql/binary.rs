//! Values of the binary protocol, read far enough to pass over them.

use super::frame::{command, counted, length_encoded};
use crate::reader::Reader;

/// Types and marks of more parameters are not followed.
const PARAMETERS: usize = 1024;
/// Flag of `COM_STMT_BULK_EXECUTE`: the types are ahead of the rows.
const WITH_TYPES: u16 = 128;

/// The statement of a `COM_QUERY` body, behind the attributes that a client may send with it
/// (`CLIENT_QUERY_ATTRIBUTES`; `None` is not known). `None` where it is not seen.
pub(super) fn statement(body: &[u8], attributes: Option<bool>) -> Option<&[u8]> {
    debug_assert_eq!(body.first(), Some(&command::QUERY));
    let mut reader = Reader::new(body);
    reader.u8()?;
    let text = reader.rest();
    // The number of sets, which is always 1, is no byte of a text.
    let marked = matches!(*text, [0..=0xfa, 1, ..]);
    if !marked && attributes != Some(true) {
        return Some(text);
    }
    let count = usize::try_from(length_encoded(&mut reader)?).ok().filter(|&count| count <= PARAMETERS)?;
    length_encoded(&mut reader)?;
    if count == 0 {
        return Some(reader.rest());
    }
    let nulls = reader.take(count.div_ceil(8))?;
    // The types are sent.
    reader.u8().filter(|&bound| bound == 1)?;
    let mut types = Vec::with_capacity(count);
    for _ in 0..count {
        let [kind, _sign] = reader.array()?;
        types.push(kind);
        counted(&mut reader)?;
    }
    for (index, kind) in types.into_iter().enumerate() {
        if nulls[index / 8] >> (index % 8) & 1 == 1 {
            continue;
        }
        match size(kind) {
            Size::Fixed(bytes) => reader.take(bytes)?,
            Size::Counted => counted(&mut reader)?,
        };
    }
    Some(reader.rest())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Fixed(usize),
    /// A length is ahead of it.
    Counted,
}

/// By `enum_field_types`.
fn size(kind: u8) -> Size {
    match kind {
        0x06 => Size::Fixed(0),
        0x01 => Size::Fixed(1),
        0x02 | 0x0d => Size::Fixed(2),
        0x03 | 0x04 | 0x09 => Size::Fixed(4),
        0x05 | 0x08 => Size::Fixed(8),
        _ => Size::Counted,
    }
}

/// Counts the rows of a `COM_STMT_BULK_EXECUTE` as its bytes pass, without keeping any.
#[derive(Debug)]
pub(super) struct Rows {
    types: Vec<u8>,
    parameters: usize,
    column: usize,
    rows: u32,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At a type, or at its flags.
    Type {
        flags: bool,
    },
    /// At what says whether a value follows.
    Indicator,
    /// At the first byte of a length.
    Length,
    /// In a length of `left` more bytes.
    LongLength {
        left: u8,
        shift: u32,
        length: u64,
    },
    Value {
        left: u64,
    },
    /// Something was not seen or makes no sense.
    Unknown,
}

impl Rows {
    /// Begins behind the statement's number and the flags.
    pub(super) fn new(flags: u16, parameters: Option<u16>) -> Self {
        let known = parameters.map(usize::from).filter(|count| (1..=PARAMETERS).contains(count));
        let place = match known {
            Some(_) if flags & WITH_TYPES != 0 => Place::Type { flags: false },
            Some(_) | None => Place::Unknown,
        };
        Self { types: Vec::new(), parameters: known.unwrap_or(0), column: 0, rows: 0, place }
    }

    pub(super) fn lose(&mut self) {
        self.place = Place::Unknown;
    }

    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            self.place = match self.place {
                Place::Type { flags: false } => {
                    self.types.push(byte);
                    Place::Type { flags: true }
                }
                Place::Type { flags: true } if self.types.len() < self.parameters => {
                    Place::Type { flags: false }
                }
                Place::Type { flags: true } => Place::Indicator,
                Place::Indicator => match (byte, size(self.types[self.column])) {
                    (0, Size::Counted) => Place::Length,
                    (0, Size::Fixed(left @ 1..)) => Place::Value { left: left as u64 },
                    (0..=4, _) => self.value(),
                    (5.., _) => Place::Unknown,
                },
                Place::Length => match byte {
                    0 => self.value(),
                    1..=0xfa => Place::Value { left: u64::from(byte) },
                    0xfc => Place::LongLength { left: 2, shift: 0, length: 0 },
                    0xfd => Place::LongLength { left: 3, shift: 0, length: 0 },
                    0xfe => Place::LongLength { left: 8, shift: 0, length: 0 },
                    0xfb | 0xff => Place::Unknown,
                },
                Place::LongLength { left, shift, length } => {
                    let length = length | u64::from(byte) << shift;
                    match (left, length) {
                        (2.., _) => Place::LongLength { left: left - 1, shift: shift + 8, length },
                        (_, 0) => self.value(),
                        (_, 1..) => Place::Value { left: length },
                    }
                }
                Place::Value { left } => {
                    let passed = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[passed..];
                    self.place = match left - passed as u64 {
                        0 => self.value(),
                        left => Place::Value { left },
                    };
                    continue;
                }
                Place::Unknown => return,
            };
            bytes = rest;
        }
    }

    /// A value is over.
    fn value(&mut self) -> Place {
        self.column += 1;
        if self.column == self.parameters {
            self.column = 0;
            self.rows = self.rows.saturating_add(1);
        }
        Place::Indicator
    }

    /// Whole rows; `None` where they are not known.
    pub(super) fn count(&self) -> Option<u32> {
        (self.place == Place::Indicator && self.column == 0).then_some(self.rows)
    }
}
