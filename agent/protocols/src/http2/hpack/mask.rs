//! Where the secrets of a header block are, and how they are overwritten in place.
//!
//! Everything keeps its length, encoded and decoded: an entry of the dynamic table counts by its decoded length, so any
//! other would shift the indices of all that comes after an eviction.

use std::{iter, ops::Range};

use super::{super::Secrets, huffman};

/// A field that refers to index 0, which no table has (RFC 7541 section 6.1).
pub(super) const SENSELESS: u8 = 0x80;

/// The secrets of one block.
#[derive(Debug)]
pub(super) struct Hidden {
    secrets: Secrets,
    values: Vec<Value>,
    /// Where the field begins that was read last; the block's length where all were.
    pub(super) reached: usize,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Value {
    /// From the block's start: of the string, and what is left behind it.
    length: usize,
    behind: usize,
    huffman: bool,
    /// In the decoded string.
    hidden: Vec<Range<usize>>,
}

impl Hidden {
    pub(super) fn new(secrets: Secrets) -> Self {
        Self { secrets, values: Vec::new(), reached: 0, scratch: Vec::new() }
    }

    pub(super) fn begin(&mut self) {
        self.values.clear();
        self.reached = 0;
    }

    /// The value of a literal field, `behind` bytes before the block's end. Of a name that is not known all is hidden.
    pub(super) fn literal(&mut self, name: Option<&[u8]>, value: &[u8], huffman: bool, behind: usize) {
        self.scratch.clear();
        let text = match huffman {
            true => huffman::decode(value, &mut self.scratch).map(|()| &self.scratch[..]),
            false => Some(value),
        };
        let hidden = match (name, text) {
            (Some(name), Some(text)) => (self.secrets)(name, text),
            // What is no string of its kind is overwritten as a whole.
            (None, text) => iter::once(0..text.map_or(0, <[u8]>::len)).collect(),
            (Some(_), None) => iter::once(0..0).collect(),
        };
        if !hidden.is_empty() {
            self.values.push(Value { length: value.len(), behind, huffman, hidden });
        }
    }

    pub(super) fn apply(&self, block: &mut [u8]) {
        for value in &self.values {
            let Some(end) = block.len().checked_sub(value.behind) else { continue };
            let Some(string) = end.checked_sub(value.length).and_then(|start| block.get_mut(start..end))
            else {
                continue;
            };
            if value.huffman {
                huffman::mask(string, &value.hidden);
            } else {
                for range in &value.hidden {
                    if let Some(secret) = string.get_mut(range.clone()) {
                        secret.fill(b'*');
                    }
                }
            }
        }
        if let Some(rest) = block.get_mut(self.reached..) {
            rest.fill(SENSELESS);
        }
    }
}
