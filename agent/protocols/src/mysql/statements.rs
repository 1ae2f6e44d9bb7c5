//! The session's prepared statements, as far as both sides tell them.

use std::{collections::HashMap, sync::Arc};

use super::Limits;
use crate::sql::SqlHead;

#[derive(Debug, Default)]
pub(super) struct Statements {
    known: HashMap<u32, Known>,
    text_bytes: usize,
    pub(super) dropped: u64,
}

#[derive(Debug)]
struct Known {
    /// What its execution asks.
    head: Arc<SqlHead>,
    parameters: u16,
}

impl Statements {
    /// The server gave a statement its number.
    pub(super) fn prepare(&mut self, number: u32, head: Arc<SqlHead>, parameters: u16, limits: &Limits) {
        self.forget(number);
        let bytes = length(&head);
        if self.known.len() >= limits.statements || self.text_bytes + bytes > limits.statement_bytes {
            self.dropped += 1;
            return;
        }
        self.text_bytes += bytes;
        self.known.insert(number, Known { head, parameters });
    }

    pub(super) fn head(&self, number: u32) -> Option<&Arc<SqlHead>> {
        self.known.get(&number).map(|known| &known.head)
    }

    pub(super) fn parameters(&self, number: u32) -> Option<u16> {
        self.known.get(&number).map(|known| known.parameters)
    }

    pub(super) fn forget(&mut self, number: u32) {
        if let Some(known) = self.known.remove(&number) {
            self.text_bytes -= length(&known.head);
        }
    }

    /// What was seen may no longer hold.
    pub(super) fn clear(&mut self) {
        *self = Self { dropped: self.dropped, ..Self::default() };
    }

    /// Bytes of text that are held.
    pub(super) fn bytes(&self) -> usize {
        self.text_bytes
    }
}

fn length(head: &SqlHead) -> usize {
    head.statement.as_ref().map_or(0, |statement| statement.text.len())
}
