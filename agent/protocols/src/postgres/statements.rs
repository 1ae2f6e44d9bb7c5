//! The session's prepared statements and portals, as far as the client's messages tell them.

use std::{collections::HashMap, sync::Arc};

use super::Limits;
use crate::sql::SqlHead;

#[derive(Debug, Default)]
pub(super) struct Statements {
    statements: HashMap<Box<[u8]>, Arc<SqlHead>>,
    portals: HashMap<Box<[u8]>, Arc<SqlHead>>,
    text_bytes: usize,
    pub(super) dropped: u64,
}

impl Statements {
    /// A statement was prepared. `head` is what its execution asks.
    pub(super) fn prepare(&mut self, name: &[u8], head: Arc<SqlHead>, limits: &Limits) {
        self.forget(name);
        let bytes = name.len() + length(&head);
        if self.statements.len() >= limits.statements || self.text_bytes + bytes > limits.statement_bytes {
            self.dropped += 1;
            return;
        }
        self.text_bytes += bytes;
        self.statements.insert(name.into(), head);
    }

    pub(super) fn statement(&self, name: &[u8]) -> Option<&Arc<SqlHead>> {
        self.statements.get(name)
    }

    /// A portal was bound to a statement; `None` is one that is not known.
    pub(super) fn bind(&mut self, portal: &[u8], head: Option<Arc<SqlHead>>, limits: &Limits) {
        let Some(head) = head else {
            self.portals.remove(portal);
            return;
        };
        if let Some(bound) = self.portals.get_mut(portal) {
            *bound = head;
        } else if self.portals.len() < limits.portals {
            self.portals.insert(portal.into(), head);
        } else {
            self.dropped += 1;
        }
    }

    pub(super) fn portal(&self, name: &[u8]) -> Option<&Arc<SqlHead>> {
        self.portals.get(name)
    }

    pub(super) fn forget(&mut self, statement: &[u8]) {
        if let Some(head) = self.statements.remove(statement) {
            self.text_bytes -= statement.len() + length(&head);
        }
    }

    pub(super) fn close_portal(&mut self, portal: &[u8]) {
        self.portals.remove(portal);
    }

    pub(super) fn clear_portals(&mut self) {
        self.portals.clear();
    }

    /// What was seen may no longer hold.
    pub(super) fn clear(&mut self) {
        *self = Self { dropped: self.dropped, ..Self::default() };
    }

    /// Bytes of names and text that are held, where portals share those of their statements.
    pub(super) fn bytes(&self) -> usize {
        self.text_bytes
    }
}

fn length(head: &SqlHead) -> usize {
    head.statement.as_ref().map_or(0, |statement| statement.text.len())
}
