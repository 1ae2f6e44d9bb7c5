//! Pairing: what the client asks waits in order, and the server answers in that order.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Limits, SqlEvent,
    frame::{Command, Tag},
};
use crate::{
    exchange::{CloseReason, Event, Exchange, Extent, Outcome, Stamp},
    sql::{Failure, SqlDetail, SqlHead},
};

/// How the answers to a unit end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `Query`, `FunctionCall`: with `ReadyForQuery`.
    Simple,
    /// `Execute`: with `CommandComplete`, `EmptyQueryResponse` or `PortalSuspended`.
    Execute,
    /// Messages that a `Flush` ends: when all of them are answered.
    Flush { answers: u32 },
    /// Messages, or none, that a `Sync` ends: with `ReadyForQuery`.
    Sync,
}

/// Messages of the client that are answered together.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) kind: Kind,
    /// The exchange, unless there is none to report or it was reported.
    pub(super) asked: Option<Asked>,
    /// The type of its first message, until that is answered.
    pub(super) first: Option<u8>,
    pub(super) copy: Copying,
    /// The client said behind it that there is no more data.
    pub(super) copied: bool,
}

impl Unit {
    pub(super) fn ends_cycle(&self) -> bool {
        matches!(self.kind, Kind::Simple | Kind::Sync)
    }
}

#[derive(Debug)]
pub(super) struct Asked {
    id: u64,
    head: Arc<SqlHead>,
    pub(super) request: Extent,
    response: Option<Extent>,
    /// Commands completed, or that failed.
    commands: u32,
    rows_returned: Option<u64>,
    rows_affected: Option<u64>,
    failure: Option<Failure>,
    pub(super) damaged: bool,
    /// Rows of the command that is running.
    pub(super) rows: u64,
    /// It was answered, and `Sync` may yet fail it.
    pub(super) answered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copying {
    No,
    /// Also where both sides send.
    In,
    Out,
}

#[derive(Debug, Default)]
pub(super) struct Exchanges {
    /// When the connection ended.
    closed: Option<Stamp>,
    units: VecDeque<Unit>,
    events: VecDeque<SqlEvent>,
    next_id: u64,
    pub(super) dropped_events: u64,
}

impl Exchanges {
    pub(super) fn len(&self) -> usize {
        self.units.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    pub(super) fn poll_event(&mut self) -> Option<SqlEvent> {
        self.events.pop_front()
    }

    pub(super) fn front(&mut self) -> Option<&mut Unit> {
        self.units.front_mut()
    }

    pub(super) fn back(&mut self) -> Option<&mut Unit> {
        self.units.back_mut()
    }

    /// Whether the unit behind the front is a `Sync`.
    pub(super) fn sync_is_next(&self) -> bool {
        self.units.get(1).is_some_and(|unit| unit.kind == Kind::Sync)
    }

    /// The server takes data for the front unit, and the client has not ended it.
    pub(super) fn copies_in(&self) -> bool {
        self.units.front().is_some_and(|unit| unit.copy == Copying::In && !unit.copied)
    }

    /// The server takes data for the front unit from now on. A `Sync` ahead of the end of the data is not answered.
    pub(super) fn copy_in(&mut self) {
        while self.units.front().is_some_and(|unit| !unit.copied)
            && self.units.get(1).is_some_and(|unit| unit.kind == Kind::Sync && unit.asked.is_none())
            && let Some(sync) = self.units.remove(1)
            && let Some(unit) = self.units.front_mut()
        {
            unit.copied = sync.copied;
        }
    }

    /// More of what the front unit asks passed.
    pub(super) fn ask_more(&mut self, last: Stamp, bytes: u64) {
        if let Some(asked) = self.units.front_mut().and_then(|unit| unit.asked.as_mut()) {
            asked.request.last = last;
            asked.request.wire_bytes += bytes;
        }
    }

    /// Units that `ReadyForQuery` ends.
    pub(super) fn cycles(&self) -> usize {
        self.units.iter().filter(|unit| unit.ends_cycle()).count()
    }

    /// A command runs in the first cycle and in no other.
    pub(super) fn only_first_cycle_runs(&self) -> bool {
        let runs = |unit: &Unit| matches!(unit.kind, Kind::Simple | Kind::Execute);
        let first = self.first_cycle();
        self.units.iter().take(first).any(runs) && !self.units.iter().skip(first).any(runs)
    }

    /// Units up to the first that ends a cycle.
    pub(super) fn first_cycle(&self) -> usize {
        let end = self.units.iter().position(Unit::ends_cycle);
        end.map_or(self.units.len(), |end| end + 1)
    }

    /// Adds a unit, and announces it where there is something to tell.
    pub(super) fn push(
        &mut self,
        kind: Kind,
        first: Option<u8>,
        asked: Option<(Arc<SqlHead>, Extent, bool)>,
        limits: &Limits,
    ) {
        let asked = asked.map(|(head, request, damaged)| {
            let id = self.next_id;
            self.next_id += 1;
            self.emit(Event::Request { id, extent: request, head: Arc::clone(&head) }, limits);
            Asked {
                id,
                head,
                request,
                response: None,
                commands: 0,
                rows_returned: None,
                rows_affected: None,
                failure: None,
                damaged,
                rows: 0,
                answered: false,
            }
        });
        self.units.push_back(Unit { kind, asked, first, copy: Copying::No, copied: false });
    }

    /// Part of the answer to the front unit passed.
    pub(super) fn touch(&mut self, part: Extent, limits: &Limits) {
        let Some(asked) = self.units.front_mut().and_then(|unit| unit.asked.as_mut()) else { return };
        if let Some(response) = &mut asked.response {
            response.last = part.last;
            response.wire_bytes += part.wire_bytes;
            return;
        }
        asked.response = Some(part);
        let id = asked.id;
        self.emit(Event::Response { id, first: part.first }, limits);
    }

    /// The answer to the front unit began and is not to be counted yet.
    pub(super) fn begin(&mut self, part: Extent, limits: &Limits) {
        let Some(asked) = self.units.front_mut().and_then(|unit| unit.asked.as_mut()) else { return };
        if asked.response.is_none() {
            self.touch(Extent { wire_bytes: 0, ..part }, limits);
        }
    }

    pub(super) fn command(&mut self, tag: Option<Tag>) {
        let Some(unit) = self.units.front_mut() else { return };
        let copy = std::mem::replace(&mut unit.copy, Copying::No);
        unit.copied = false;
        let Some(asked) = &mut unit.asked else { return };
        asked.commands += 1;
        let sent = std::mem::take(&mut asked.rows);
        let Some(Tag { command, rows }) = tag else { return };
        let (returned, affected) = match (command, copy) {
            // A SELECT that sends no rows creates a table.
            (Command::Returns, _) if sent == 0 && rows > Some(0) && !asked.damaged => (None, rows),
            (Command::Returns, _) | (Command::Copy, Copying::Out) => (rows, None),
            (Command::Affects, _) => ((sent > 0).then_some(sent), rows),
            (Command::Copy, Copying::No | Copying::In) => (None, rows),
            (Command::Other, _) => ((sent > 0).then_some(sent), None),
        };
        add(&mut asked.rows_returned, returned);
        add(&mut asked.rows_affected, affected);
    }

    /// As many rows as were asked for were sent, and there are more.
    pub(super) fn suspended(&mut self) {
        let Some(asked) = self.units.front_mut().and_then(|unit| unit.asked.as_mut()) else { return };
        let sent = std::mem::take(&mut asked.rows);
        asked.commands += 1;
        asked.rows_returned = (!asked.damaged).then_some(sent);
    }

    pub(super) fn fail(&mut self, sqlstate: Option<&str>) {
        let Some(unit) = self.units.front_mut() else { return };
        unit.copy = Copying::No;
        let Some(asked) = &mut unit.asked else { return };
        // What `Sync` refuses was counted when it ran.
        asked.commands += u32::from(!asked.answered);
        asked.rows = 0;
        asked.failure = Some(Failure { sqlstate: sqlstate.map(Into::into), code: None });
    }

    /// The front unit is over.
    pub(super) fn finish(&mut self, outcome: Outcome, limits: &Limits) -> Option<Kind> {
        let unit = self.units.pop_front()?;
        if let Some(asked) = unit.asked {
            self.report(asked, outcome, false, limits);
        }
        Some(unit.kind)
    }

    /// The front unit's exchange is over, and its `ReadyForQuery` is still to come.
    pub(super) fn finish_exchange(&mut self, outcome: Outcome, limits: &Limits) {
        if let Some(asked) = self.units.front_mut().and_then(|unit| unit.asked.take()) {
            self.report(asked, outcome, false, limits);
        }
    }

    /// The server did not run the front unit.
    pub(super) fn skip(&mut self, limits: &Limits) {
        if let Some(Unit { asked: Some(asked), .. }) = self.units.pop_front() {
            self.report(asked, Outcome::Complete, true, limits);
        }
    }

    /// Whether the front unit was answered, though its cycle is not over.
    pub(super) fn is_answered(&self) -> bool {
        let asked = self.units.front().and_then(|unit| unit.asked.as_ref());
        asked.is_some_and(|asked| asked.commands > 0 || asked.failure.is_some())
    }

    /// What waits behind the front unit ends without an answer.
    pub(super) fn finish_rest(&mut self, outcome: Outcome, limits: &Limits) {
        let front = self.units.pop_front();
        self.finish_all(outcome, limits);
        self.units.extend(front);
    }

    /// Everything ends without the end of its answer.
    pub(super) fn finish_all(&mut self, outcome: Outcome, limits: &Limits) {
        while let Some(unit) = self.units.front() {
            let over = unit.asked.as_ref().is_some_and(|asked| asked.failure.is_some());
            self.finish(if over { Outcome::Complete } else { outcome }, limits);
        }
    }

    /// The connection ended at `at`.
    pub(super) fn abort_all(&mut self, at: Stamp, reason: CloseReason, limits: &Limits) {
        self.closed = Some(at);
        self.finish_all(Outcome::Aborted(reason), limits);
    }

    fn report(&mut self, asked: Asked, outcome: Outcome, skipped: bool, limits: &Limits) {
        let exchange = Exchange {
            id: asked.id,
            request: asked.request,
            response: asked.response,
            outcome,
            closed: self.closed.filter(|_| matches!(outcome, Outcome::Aborted(_))),
            damaged: asked.damaged,
            detail: SqlDetail {
                request: asked.head,
                rows_returned: asked.rows_returned,
                rows_affected: asked.rows_affected,
                batch_size: (asked.commands > 1).then_some(asked.commands),
                failure: asked.failure,
                skipped,
            },
        };
        self.emit(Event::Exchange(exchange), limits);
    }

    fn emit(&mut self, event: SqlEvent, limits: &Limits) {
        if self.events.len() < limits.events {
            self.events.push_back(event);
        } else {
            self.dropped_events += 1;
        }
    }
}

fn add(total: &mut Option<u64>, rows: Option<u64>) {
    if let Some(rows) = rows {
        *total = Some(total.unwrap_or(0).saturating_add(rows));
    }
}

/// A part of a message stream that was passed over.
pub(super) fn passed(at: Stamp, offset: u64, bytes: u64) -> Extent {
    Extent { first: at, last: at, offset, wire_bytes: bytes }
}
