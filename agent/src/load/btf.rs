//! The running kernel's own type information: where the fields are, and which hooks there are.
//!
//! Format: Documentation/bpf/btf.rst of the kernel. Only what is needed here is read: members of
//! structures by name, and whether a function or typedef exists.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};

const MAGIC: u16 = 0xeb9f;
const HEADER: usize = 24;

const INT: u32 = 1;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const VAR: u32 = 14;
const DATASEC: u32 = 15;
const DECL_TAG: u32 = 17;
const TYPE_TAG: u32 = 18;
const ENUM64: u32 = 19;

/// A parsed `/sys/kernel/btf/vmlinux`.
#[derive(Debug)]
pub(super) struct Btf {
    bytes: Vec<u8>,
    strings: usize,
    /// Byte position of each type; type id 0 is `void` and has none.
    types: Vec<u32>,
}

/// What kind of named thing to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Function,
    Typedef,
}

impl Btf {
    /// Reads the file.
    ///
    /// # Errors
    /// Where it cannot be read or is not BTF of this machine's byte order.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(bytes).with_context(|| format!("{} is not usable BTF", path.display()))
    }

    fn parse(bytes: Vec<u8>) -> Result<Self> {
        ensure!(bytes.len() >= HEADER, "shorter than its header");
        let magic = u16::from_le_bytes([bytes[0], bytes[1]]);
        ensure!(magic == MAGIC, "magic {magic:#x} instead of {MAGIC:#x}");
        let word = |at: usize| word(&bytes, at).context("truncated");
        let header = word(4)? as usize;
        let start = header + word(8)? as usize;
        let end = start + word(12)? as usize;
        let strings = header + word(16)? as usize;
        ensure!(end <= bytes.len() && strings <= bytes.len(), "sections beyond the end");
        let mut types = vec![0];
        let mut at = start;
        while at < end {
            types.push(u32::try_from(at)?);
            let info = word(at + 4)?;
            at += 12 + trailer(info)?;
        }
        Ok(Self { bytes, strings, types })
    }

    /// Byte offset of a member, searched through anonymous structures and unions; a path such as
    /// `ns.inum` steps into named ones.
    ///
    /// # Errors
    /// Where the structure or the member does not exist, or the member is a bit field.
    pub(super) fn offset(&self, structure: &str, path: &str) -> Result<u32> {
        let mut id = self.find_struct(structure).with_context(|| format!("no struct {structure}"))?;
        let mut bits = 0;
        for name in path.split('.') {
            let (at, inner) = self
                .member(id, name, 0)
                .with_context(|| format!("struct {structure} has no member {path}"))?;
            bits += at;
            id = self.resolve(inner);
        }
        ensure!(bits % 8 == 0, "{structure}.{path} is not at a byte");
        Ok(bits / 8)
    }

    #[must_use]
    pub(super) fn has(&self, kind: Named, name: &str) -> bool {
        let wanted = match kind {
            Named::Function => FUNC,
            Named::Typedef => TYPEDEF,
        };
        (1..self.types.len()).any(|id| self.kind(id) == wanted && self.name(id) == name.as_bytes())
    }

    fn find_struct(&self, name: &str) -> Option<usize> {
        (1..self.types.len()).find(|&id| {
            self.kind(id) == STRUCT && self.info(id) & 0xffff != 0 && self.name(id) == name.as_bytes()
        })
    }

    /// Offset in bits and type of a member.
    fn member(&self, id: usize, name: &str, depth: u32) -> Option<(u32, usize)> {
        if depth > 8 || !matches!(self.kind(id), STRUCT | UNION) {
            return None;
        }
        let info = self.info(id);
        let bitfields = info >> 31 == 1;
        let base = self.types[id] as usize + 12;
        for index in 0..(info & 0xffff) as usize {
            let at = base + index * 12;
            let own = self.string(word(&self.bytes, at)?);
            let inner = word(&self.bytes, at + 4)? as usize;
            let raw = word(&self.bytes, at + 8)?;
            let offset = if bitfields { raw & 0x00ff_ffff } else { raw };
            if own == name.as_bytes() {
                return Some((offset, inner));
            }
            if own.is_empty()
                && let Some((deeper, found)) = self.member(self.resolve(inner), name, depth + 1)
            {
                return Some((offset + deeper, found));
            }
        }
        None
    }

    /// Follows typedefs and qualifiers.
    fn resolve(&self, mut id: usize) -> usize {
        for _ in 0..16 {
            if id >= self.types.len() || !matches!(self.kind(id), TYPEDEF | VOLATILE | CONST | 11 | TYPE_TAG)
            {
                break;
            }
            id = word(&self.bytes, self.types[id] as usize + 8).map_or(0, |next| next as usize);
        }
        id
    }

    fn info(&self, id: usize) -> u32 {
        match self.types.get(id) {
            Some(&at) if id != 0 => word(&self.bytes, at as usize + 4).unwrap_or(0),
            _ => 0,
        }
    }

    fn kind(&self, id: usize) -> u32 {
        (self.info(id) >> 24) & 0x1f
    }

    fn name(&self, id: usize) -> &[u8] {
        self.types.get(id).and_then(|&at| word(&self.bytes, at as usize)).map_or(&[], |at| self.string(at))
    }

    fn string(&self, at: u32) -> &[u8] {
        let rest = self.bytes.get(self.strings + at as usize..).unwrap_or_default();
        &rest[..rest.iter().position(|&b| b == 0).unwrap_or(rest.len())]
    }
}

/// Bytes that follow a type's three words.
fn trailer(info: u32) -> Result<usize> {
    let count = (info & 0xffff) as usize;
    Ok(match (info >> 24) & 0x1f {
        INT | VAR | DECL_TAG => 4,
        ARRAY => 12,
        STRUCT | UNION | DATASEC | ENUM64 => count * 12,
        ENUM | FUNC_PROTO => count * 8,
        0..=18 => 0,
        other => bail!("unknown kind {other}"),
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes([four[0], four[1], four[2], four[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// struct outer { int a; struct { int b; }; struct inner { int c; } d; }
    fn sample() -> Vec<u8> {
        let strings = b"\0int\0outer\0a\0b\0c\0d\0inner\0hook\0";
        let mut types = Vec::new();
        let mut push = |words: &[u32]| words.iter().for_each(|w| types.extend_from_slice(&w.to_le_bytes()));
        push(&[1, 1 << 24, 4, 32]); // 1: int
        push(&[0, 4 << 24 | 1, 4, 13, 1, 0]); // 2: anonymous { b }
        push(&[19, 4 << 24 | 1, 4, 15, 1, 0]); // 3: inner { c }
        push(&[5, 4 << 24 | 3, 12, 11, 1, 0, 0, 2, 32, 17, 4, 64]); // 4: outer
        push(&[0, 8 << 24, 3]); // 5: unnamed typedef of inner
        push(&[25, 12 << 24, 0]); // 6: func hook
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&MAGIC.to_le_bytes());
        bytes.extend_from_slice(&[1, 0]);
        let len = u32::try_from(types.len()).unwrap();
        for w in [24, 0, len, len, u32::try_from(strings.len()).unwrap()] {
            bytes.extend_from_slice(&u32::to_le_bytes(w));
        }
        // outer.d is of type 4 in the words above; point it at `inner` (3).
        let d_type = types.len() - 12 - 12 - 8;
        types[d_type..d_type + 4].copy_from_slice(&3_u32.to_le_bytes());
        bytes.extend_from_slice(&types);
        bytes.extend_from_slice(strings);
        bytes
    }

    #[test]
    fn members_are_found_through_anonymous_and_named_structures() {
        let btf = Btf::parse(sample()).unwrap();
        assert_eq!(btf.offset("outer", "a").unwrap(), 0);
        assert_eq!(btf.offset("outer", "b").unwrap(), 4);
        assert_eq!(btf.offset("outer", "d.c").unwrap(), 8);
        assert!(btf.offset("outer", "nothing").is_err());
        assert!(btf.offset("missing", "a").is_err());
        assert!(btf.has(Named::Function, "hook"));
        assert!(!btf.has(Named::Typedef, "hook"));
    }

    #[test]
    fn every_prefix_is_refused_or_read_without_panic() {
        let whole = sample();
        for end in 0..whole.len() {
            if let Ok(btf) = Btf::parse(whole[..end].to_vec()) {
                let _ = btf.offset("outer", "d.c");
            }
        }
    }
}
