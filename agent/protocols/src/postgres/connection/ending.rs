//! Answers whose ends are seen without their beginnings.

use super::Connection;
use crate::{
    exchange::Outcome,
    postgres::frame::{Command, Ending, Tag},
};

/// The last bytes of what could not be placed: an end may be in two operations.
#[derive(Debug, Default)]
pub(super) struct Trail {
    bytes: Vec<u8>,
    end: u64,
}

/// As much as an [`Ending`] can be.
const TRAIL: usize = 32;

impl Trail {
    /// `bytes` at `offset` of the stream, with those that came right before.
    pub(super) fn follow(&mut self, offset: u64, bytes: &[u8]) -> &[u8] {
        if self.end != offset {
            self.bytes.clear();
        }
        self.end = offset.saturating_add(bytes.len() as u64);
        self.bytes.extend_from_slice(&bytes[bytes.len().saturating_sub(TRAIL)..]);
        let older = self.bytes.len().saturating_sub(TRAIL);
        self.bytes.drain(..older);
        &self.bytes
    }
}

impl Connection {
    /// The server is ready, and how it got there was not seen.
    pub(super) fn ended(&mut self, ending: Ending) {
        let cycles = self.exchanges.cycles();
        // There are no more ends than there are cycles, and a command's is that of the cycle in which one runs.
        let first = cycles == ending.cycles
            || ending.cycles == 1 && ending.rows.is_some() && self.exchanges.only_first_cycle_runs();
        let sure = first && !self.unsure;
        self.unsure = false;
        self.skipping = false;
        self.foreign = false;
        if !sure {
            if self.exchanges.is_empty() {
                self.counters.orphan_responses += 1;
            }
            self.unsure = cycles > 1;
            return self.exchanges.finish_all(Outcome::Lost, &self.limits);
        }
        // Of several commands only the last has an end that was seen.
        let mut last = self.exchanges.first_cycle();
        while last > 0
            && let Some(unit) = self.exchanges.front()
        {
            last -= 1;
            let answered = unit.asked.as_ref().is_some_and(|asked| asked.answered);
            let only = last == 0 || last == 1 && self.exchanges.sync_is_next();
            if only && !answered {
                self.damage();
                let rows = ending.rows.map(|rows| Tag { command: Command::Returns, rows: Some(rows) });
                self.exchanges.command(rows);
            }
            let outcome = if only || answered { Outcome::Complete } else { Outcome::Lost };
            self.exchanges.finish(outcome, &self.limits);
        }
        for _ in 1..ending.cycles {
            for _ in 0..self.exchanges.first_cycle() {
                self.exchanges.finish(Outcome::Complete, &self.limits);
            }
        }
    }

    /// The client goes on, so what it was waiting for has come, or will not be recognised.
    pub(super) fn end_lost(&mut self) {
        self.exchanges.finish_all(Outcome::Lost, &self.limits);
        self.asked = true;
    }

    /// Whether a message answers something that was not seen, as all do up to the next `ReadyForQuery` when one
    /// cannot be the first answer to what was asked.
    pub(super) fn is_foreign(&mut self, kind: u8) -> bool {
        if kind == b'Z' {
            return std::mem::take(&mut self.foreign);
        }
        let first = self.exchanges.front().and_then(|unit| unit.first.take());
        if first.is_some_and(|first| !can_answer(kind, first)) {
            if let Some(unit) = self.exchanges.front() {
                unit.first = first;
            }
            self.foreign = true;
        }
        if self.foreign {
            self.unasked(kind);
        }
        self.foreign
    }
}

/// Whether a message of the server can be the first answer to a message of the client.
fn can_answer(kind: u8, first: u8) -> bool {
    match (first, kind) {
        (_, b'E') => true,
        (b'P', _) => kind == b'1',
        (b'B', _) => kind == b'2',
        (b'C', _) => kind == b'3',
        (b'D', _) => matches!(kind, b't' | b'T' | b'n'),
        (b'E', _) => !matches!(kind, b'1' | b'2' | b'3' | b't' | b'T' | b'n'),
        (b'Q' | b'F', _) => !matches!(kind, b'1' | b'2' | b'3' | b't' | b'n' | b's'),
        _ => true,
    }
}
