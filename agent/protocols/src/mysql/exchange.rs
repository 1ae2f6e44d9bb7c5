//! Pairing: what the client asks waits in order, and the server answers in that order.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Limits, SqlEvent,
    frame::{End, Refusal},
};
use crate::{
    exchange::{CloseReason, Event, Exchange, Extent, Outcome, Stamp},
    sql::{Failure, SqlDetail, SqlHead},
};

/// How a command is answered, and what its success means.
#[derive(Debug)]
pub(super) enum Kind {
    /// Results, as `COM_QUERY`. Its success may choose a database.
    Query { database: Option<Arc<str>> },
    /// Results, as `COM_STMT_EXECUTE`. `last` is the statement prepared just before.
    Execute { last: bool },
    /// A statement's number. What its execution will ask.
    Prepare(Arc<SqlHead>),
    /// Rows alone, as `COM_STMT_FETCH`.
    Rows,
    /// An authentication.
    ChangeUser { database: Option<Arc<str>> },
    /// One packet.
    Other,
    /// One packet; its success chooses a database.
    InitDb { database: Arc<str> },
    /// One packet; its success closes all statements.
    Reset,
}

/// Which packet of an answer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaiting {
    First,
    /// Descriptions of columns, then perhaps an `EOF`.
    Columns {
        left: u16,
    },
    Rows,
    /// Descriptions of a prepared statement's parameters and columns, behind each perhaps an `EOF`.
    Definitions {
        parameters: u16,
        columns: u16,
    },
    /// The client sends a file.
    File,
}

/// A command, and what of its answer is still to come.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) kind: Kind,
    pub(super) awaiting: Awaiting,
    /// The sequence number that is due; `None` where it is not certain.
    pub(super) sequence: Option<u8>,
    /// The exchange, unless the command is none that is reported.
    pub(super) asked: Option<Asked>,
}

/// What is to be reported.
#[derive(Debug)]
pub(super) struct Asked {
    id: u64,
    head: Arc<SqlHead>,
    pub(super) request: Extent,
    response: Option<Extent>,
    batch: Option<u32>,
    /// Rows of the result that is running.
    pub(super) rows: u64,
    returned: Option<u64>,
    affected: Option<u64>,
    failure: Option<Failure>,
    pub(super) damaged: bool,
    /// A part of the answer was not seen: what was counted is not all.
    pub(super) uncounted: bool,
    pub(super) skipped: bool,
}

/// A command that is to be reported.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) head: Arc<SqlHead>,
    pub(super) extent: Extent,
    pub(super) batch: Option<u32>,
    pub(super) damaged: bool,
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

    /// The sequence numbers that are due of the front command's answer and of the next one's, where there are
    /// such commands.
    pub(super) fn due(&self) -> (Option<Option<u8>>, Option<Option<u8>>) {
        let due = |index: usize| self.units.get(index).map(|unit| unit.sequence);
        (due(0), due(1))
    }

    pub(super) fn asked(&mut self) -> Option<&mut Asked> {
        self.units.front_mut().and_then(|unit| unit.asked.as_mut())
    }

    /// Adds a command, and announces it where there is something to tell.
    pub(super) fn push(
        &mut self,
        kind: Kind,
        sequence: Option<u8>,
        request: Option<Request>,
        limits: &Limits,
    ) {
        let asked = request.map(|Request { head, extent, batch, damaged }| {
            let id = self.next_id;
            self.next_id += 1;
            self.emit(Event::Request { id, extent, head: Arc::clone(&head) }, limits);
            Asked {
                id,
                head,
                request: extent,
                response: None,
                batch,
                rows: 0,
                returned: None,
                affected: None,
                failure: None,
                damaged,
                uncounted: false,
                skipped: false,
            }
        });
        let awaiting = if matches!(kind, Kind::Rows) { Awaiting::Rows } else { Awaiting::First };
        self.units.push_back(Unit { kind, awaiting, sequence, asked });
    }

    /// Part of the answer to the front command passed.
    pub(super) fn touch(&mut self, part: Extent, limits: &Limits) {
        let Some(asked) = self.asked() else { return };
        if let Some(response) = &mut asked.response {
            response.last = part.last;
            response.wire_bytes += part.wire_bytes;
            return;
        }
        asked.response = Some(part);
        let id = asked.id;
        self.emit(Event::Response { id, first: part.first }, limits);
    }

    /// The answer to the front command began and is not to be counted yet.
    pub(super) fn begin(&mut self, part: Extent, limits: &Limits) {
        if self.asked().is_some_and(|asked| asked.response.is_none()) {
            self.touch(Extent { wire_bytes: 0, ..part }, limits);
        }
    }

    /// A result with rows is over.
    pub(super) fn rows_end(&mut self) {
        if let Some(asked) = self.asked() {
            let rows = std::mem::take(&mut asked.rows);
            add(&mut asked.returned, Some(rows));
        }
    }

    /// A result without rows is over.
    pub(super) fn done(&mut self, end: &End<'_>) {
        if let Some(asked) = self.asked() {
            add(&mut asked.affected, end.affected);
            asked.uncounted |= end.affected.is_none();
        }
    }

    pub(super) fn fail(&mut self, refusal: &Refusal<'_>) {
        if let Some(asked) = self.asked() {
            asked.rows = 0;
            asked.failure = Some(Failure {
                sqlstate: refusal.sqlstate.map(Into::into),
                code: refusal.code.map(u32::from),
            });
        }
    }

    /// The front command is over.
    pub(super) fn finish(&mut self, outcome: Outcome, limits: &Limits) -> Option<Kind> {
        let unit = self.units.pop_front()?;
        if let Some(asked) = unit.asked {
            self.report(asked, outcome, limits);
        }
        Some(unit.kind)
    }

    /// Everything ends without the end of its answer.
    pub(super) fn finish_all(&mut self, outcome: Outcome, limits: &Limits) {
        while !self.units.is_empty() {
            self.finish(outcome, limits);
        }
    }

    /// The connection ended at `at`.
    pub(super) fn abort_all(&mut self, at: Stamp, reason: CloseReason, limits: &Limits) {
        self.closed = Some(at);
        self.finish_all(Outcome::Aborted(reason), limits);
    }

    fn report(&mut self, asked: Asked, outcome: Outcome, limits: &Limits) {
        let known = |rows: Option<u64>| rows.filter(|_| !asked.uncounted);
        let exchange = Exchange {
            id: asked.id,
            request: asked.request,
            response: asked.response,
            outcome,
            closed: self.closed.filter(|_| matches!(outcome, Outcome::Aborted(_))),
            damaged: asked.damaged,
            detail: SqlDetail {
                rows_returned: known(asked.returned),
                rows_affected: known(asked.affected),
                request: asked.head,
                batch_size: asked.batch.filter(|&size| size > 1),
                failure: asked.failure.filter(|_| !asked.skipped),
                skipped: asked.skipped,
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
