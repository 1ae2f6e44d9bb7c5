//! Header compression (RFC 7541), decoding only.
//!
//! A decoder may begin in the middle of a connection or lose a block. It then does not know the older
//! entries of the dynamic table and says so where a block refers to them; what is inserted from then on
//! decodes exactly.

mod huffman;
mod mask;
mod table;
#[cfg(test)]
mod tests;

use self::{
    mask::Hidden,
    table::{Entry, OVERHEAD, Table},
};
use super::Secrets;

/// A field of a header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Known {
        name: &'a [u8],
        value: &'a [u8],
    },
    /// A field that refers to an entry that was not seen.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Error {
    /// The block ends inside a field.
    Truncated,
    /// An integer above 2^32 - 1, or one that takes too many bytes to say less.
    Integer,
    /// A string that is not Huffman-coded as it says.
    Huffman,
    /// An index that no table has.
    Index,
    /// A table size above what was allowed, or set behind the start of a block.
    TableSize,
}

/// What became of a whole block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Whole,
    /// Longer than allowed when decompressed; the rest was read and not handed out.
    Cut,
}

/// One direction's decoder.
#[derive(Debug)]
pub(super) struct Decoder {
    table: Table,
    /// The largest table that the receiver allows.
    allowed: usize,
    /// Names that matter; the values of others are neither handed out nor held.
    wanted: fn(&[u8]) -> bool,
    name: Vec<u8>,
    value: Vec<u8>,
    hidden: Option<Hidden>,
}

/// What a field takes of the scratch buffers that is given back afterwards.
const SCRATCH_KEPT: usize = 1024;

impl Decoder {
    /// A decoder that sees every block from the first on and never holds more than `hard_limit` bytes.
    pub(super) fn new(hard_limit: usize, wanted: fn(&[u8]) -> bool) -> Self {
        Self {
            table: Table::new(hard_limit),
            allowed: table::INITIAL_SIZE,
            wanted,
            name: Vec::new(),
            value: Vec::new(),
            hidden: None,
        }
    }

    /// Notes where in each block secrets are, for [`Self::mask`]. Names are held then, whether or not they are wanted.
    pub(super) fn hide(&mut self, secrets: Secrets) {
        self.hidden = Some(Hidden::new(secrets));
    }

    /// Overwrites the secrets of the block that was decoded last, and what of it was not decoded. What comes of it
    /// decodes to fields of the same names and lengths, and fails where it failed.
    pub(super) fn mask(&self, block: &mut [u8]) {
        match &self.hidden {
            Some(hidden) => hidden.apply(block),
            None => block.fill(mask::SENSELESS),
        }
    }

    /// A block was lost, wholly or in part.
    pub(super) fn taint(&mut self) {
        self.table.taint();
    }

    /// The receiver's settings were not seen: any table size may be allowed.
    pub(super) fn allow_any(&mut self) {
        self.allowed = usize::MAX;
    }

    /// SETTINGS_HEADER_TABLE_SIZE of the receiver. It takes effect some time between its sending and its
    /// acknowledgement, so a larger value counts at once and a smaller one never.
    pub(super) fn allow(&mut self, size: usize) {
        self.allowed = self.allowed.max(size);
    }

    /// Some older entries are not known.
    #[cfg(test)]
    pub(super) fn is_incomplete(&self) -> bool {
        self.table.is_incomplete()
    }

    pub(super) fn buffered(&self) -> usize {
        self.table.buffered() + self.name.capacity() + self.value.capacity()
    }

    /// Hands out a block's fields in order, up to `list_limit` bytes of them (counted as in section 4.1).
    ///
    /// # Errors
    ///
    /// Where the block makes no sense or ends too early. What came before that holds; the table does
    /// not any more, and the caller taints it.
    pub(super) fn decode(
        &mut self,
        block: &[u8],
        list_limit: usize,
        mut emit: impl FnMut(Field<'_>),
    ) -> Result<Extent, Error> {
        let mut cursor = Cursor(block);
        let mut room = Some(list_limit);
        let mut started = false;
        if let Some(hidden) = &mut self.hidden {
            hidden.begin();
        }
        while let Some(&first) = cursor.0.first() {
            let mut limited = |field: Field<'_>| {
                let size = OVERHEAD
                    + match field {
                        Field::Known { name, value } => name.len() + value.len(),
                        Field::Unknown => 0,
                    };
                room = room.and_then(|room| room.checked_sub(size));
                if room.is_some() {
                    emit(field);
                }
            };
            if let Some(hidden) = &mut self.hidden {
                hidden.reached = block.len() - cursor.0.len();
            }
            match first {
                0x80.. => self.indexed(&mut cursor, &mut limited)?,
                0x40..0x80 => self.literal(&mut cursor, 6, true, &mut limited)?,
                0x20..0x40 => {
                    let size = cursor.integer(5)?;
                    if started || size > self.allowed {
                        return Err(Error::TableSize);
                    }
                    self.table.set_max_size(size);
                    continue;
                }
                0..0x20 => self.literal(&mut cursor, 4, false, &mut limited)?,
            }
            started = true;
        }
        if let Some(hidden) = &mut self.hidden {
            hidden.reached = block.len();
        }
        self.name.shrink_to(SCRATCH_KEPT);
        self.value.shrink_to(SCRATCH_KEPT);
        Ok(if room.is_some() { Extent::Whole } else { Extent::Cut })
    }

    /// Section 6.1.
    fn indexed(&self, cursor: &mut Cursor<'_>, emit: &mut impl FnMut(Field<'_>)) -> Result<(), Error> {
        let index = cursor.integer(7)?;
        match self.table.entry(index).ok_or(Error::Index)? {
            // It is held for its name alone.
            Entry::Field { name, .. } if index > table::STATIC.len() && !(self.wanted)(name) => {}
            Entry::Field { name, value } => emit(Field::Known { name, value }),
            Entry::Ignored { .. } => {}
            Entry::Unknown => emit(Field::Unknown),
        }
        Ok(())
    }

    /// Section 6.2.
    fn literal(
        &mut self,
        cursor: &mut Cursor<'_>,
        prefix: u32,
        insert: bool,
        emit: &mut impl FnMut(Field<'_>),
    ) -> Result<(), Error> {
        let index = cursor.integer(prefix)?;
        self.name.clear();
        let name_length = if index == 0 {
            cursor.string()?.decode(&mut self.name)?;
            Some(self.name.len())
        } else {
            match self.table.entry(index).ok_or(Error::Index)? {
                Entry::Field { name, .. } => {
                    self.name.extend_from_slice(name);
                    Some(name.len())
                }
                Entry::Ignored { name_length } => Some(name_length),
                Entry::Unknown => None,
            }
        };
        let value = cursor.string()?;
        if let Some(hidden) = &mut self.hidden {
            let name = name_length.map(|_| &self.name[..]);
            hidden.literal(name, value.bytes, value.huffman, cursor.0.len());
        }
        let wanted = name_length == Some(self.name.len()) && (self.wanted)(&self.name);
        if !wanted && !insert {
            if name_length.is_none() {
                emit(Field::Unknown);
            }
            return Ok(());
        }
        self.value.clear();
        value.decode(&mut self.value)?;
        if wanted {
            emit(Field::Known { name: &self.name, value: &self.value });
        } else if name_length.is_none() {
            emit(Field::Unknown);
        }
        match name_length {
            _ if !insert => {}
            Some(_) if wanted => self.table.insert(&self.name, &self.value),
            Some(_) if self.hidden.is_some() => self.table.insert_name(&self.name, self.value.len()),
            Some(name_length) => self.table.insert_ignored(name_length, self.value.len()),
            None => self.table.insert_unknown(self.value.len()),
        }
        Ok(())
    }
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// Section 5.1; the first byte holds the integer's lowest `prefix` bits.
    fn integer(&mut self, prefix: u32) -> Result<usize, Error> {
        let (&first, mut rest) = self.0.split_first().ok_or(Error::Truncated)?;
        let full = (1_u8 << prefix).wrapping_sub(1);
        let mut value = u64::from(first & full);
        if first & full == full {
            for shift in (0..).step_by(7) {
                let (&byte, behind) = rest.split_first().ok_or(Error::Truncated)?;
                rest = behind;
                if shift > 28 {
                    return Err(Error::Integer);
                }
                value += u64::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
            }
        }
        self.0 = rest;
        u32::try_from(value).ok().and_then(|value| usize::try_from(value).ok()).ok_or(Error::Integer)
    }

    /// Section 5.2.
    fn string(&mut self) -> Result<Text<'a>, Error> {
        let huffman = self.0.first().is_some_and(|byte| byte & 0x80 != 0);
        let length = self.integer(7)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Error::Truncated)?;
        self.0 = rest;
        Ok(Text { bytes, huffman })
    }
}

struct Text<'a> {
    bytes: &'a [u8],
    huffman: bool,
}

impl Text<'_> {
    fn decode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.huffman {
            return huffman::decode(self.bytes, out).ok_or(Error::Huffman);
        }
        out.extend_from_slice(self.bytes);
        Ok(())
    }
}
