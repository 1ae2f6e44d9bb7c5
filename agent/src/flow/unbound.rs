//! Plaintext of TLS sessions whose socket is not known yet, held until it is.

use std::collections::{HashMap, VecDeque};

use honeyguide_common::record::TAIL;
use honeyguide_protocols::{Stamp, detect::Direction};

use crate::decode::DataRecord;

/// Sessions that wait at once; beyond it the one that has waited longest is given up.
const SESSIONS: usize = 256;
/// Records held of one session; as a rule its first write binds it.
const RECORDS: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Unbound {
    held: HashMap<u64, Vec<Held>, foldhash::fast::FixedState>,
    /// In the order in which they began to wait.
    order: VecDeque<u64>,
}

/// A record, kept.
#[derive(Debug)]
pub(super) struct Held {
    stamp: Stamp,
    pub(super) direction: Direction,
    offset: u64,
    length: u64,
    bytes: Vec<u8>,
    tail: [u8; TAIL],
    tail_length: usize,
}

impl Unbound {
    /// Keeps a record; how many were dropped for it, or with it.
    pub(super) fn hold(&mut self, record: &DataRecord<'_>) -> u64 {
        let mut dropped = 0;
        if !self.held.contains_key(&record.socket) {
            if self.order.len() >= SESSIONS
                && let Some(oldest) = self.order.pop_front()
            {
                dropped += self.held.remove(&oldest).map_or(0, |records| records.len() as u64);
            }
            self.order.push_back(record.socket);
        }
        let records = self.held.entry(record.socket).or_default();
        if records.len() >= RECORDS {
            return dropped + 1;
        }
        records.push(Held {
            stamp: record.stamp,
            direction: record.direction,
            offset: record.offset,
            length: record.length,
            bytes: record.bytes.to_vec(),
            tail: record.tail,
            tail_length: record.tail_length,
        });
        dropped
    }

    /// What was held of a session, which waits no longer.
    pub(super) fn take(&mut self, session: u64) -> Vec<Held> {
        let found = self.held.remove(&session).unwrap_or_default();
        self.order.retain(|waiting| *waiting != session);
        found
    }
}

impl Held {
    /// `begins`: where the session's stream begins in the socket's.
    pub(super) fn record(&self, socket: u64, begins: u64) -> DataRecord<'_> {
        DataRecord {
            socket,
            plaintext: true,
            unbound: false,
            stamp: self.stamp,
            direction: self.direction,
            offset: self.offset.saturating_add(begins),
            length: self.length,
            bytes: &self.bytes,
            tail: self.tail,
            tail_length: self.tail_length,
            eof: false,
            error: None,
            creator: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(unbound: &mut Unbound, session: u64, offset: u64) -> u64 {
        let held = Held {
            stamp: Stamp::default(),
            direction: Direction::Sent,
            offset,
            length: 3,
            bytes: b"GET".to_vec(),
            tail: [0; TAIL],
            tail_length: 0,
        };
        unbound.hold(&DataRecord { unbound: true, ..held.record(session, 0) })
    }

    #[test]
    fn what_a_session_said_is_given_out_once_and_in_order() {
        let mut unbound = Unbound::default();
        assert_eq!((hold(&mut unbound, 7, 0), hold(&mut unbound, 7, 3), hold(&mut unbound, 8, 0)), (0, 0, 0));
        let offsets: Vec<u64> = unbound.take(7).iter().map(|held| held.record(1, 100).offset).collect();
        assert_eq!(offsets, [100, 103]);
        assert!(unbound.take(7).is_empty());
        assert_eq!(unbound.take(8).len(), 1);
    }

    #[test]
    fn sessions_and_records_are_bounded_and_counted() {
        let mut unbound = Unbound::default();
        let dropped: u64 = (0..20).map(|offset| hold(&mut unbound, 1, offset)).sum();
        assert_eq!(dropped, 4);
        let dropped: u64 = (2..=SESSIONS as u64 + 1).map(|session| hold(&mut unbound, session, 0)).sum();
        assert_eq!((dropped, unbound.take(1).len(), unbound.take(2).len()), (16, 0, 1));
    }
}
