//! Pairing: what the client asks waits in order, and the server answers in that order.

use std::{borrow::Cow, collections::VecDeque, sync::Arc};

use super::{Limits, RedisEvent, reply::Reply, table::Answer};
use crate::{
    exchange::{CloseReason, Event, Exchange, Extent, Outcome, Stamp},
    keyvalue::{Failure, KeyValueDetail, KeyValueHead, System, Unrun, Waits},
};

/// What waits for a reply.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) kind: Kind,
    pub(super) answer: Answer,
    /// The exchange, where there is one to report.
    asked: Option<Asked>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An exchange of its own.
    Call,
    /// It changes the database of the connection.
    Select(u32),
    Reset,
    /// Pushes answer it, each for itself; an error may.
    Subscription,
    Monitor,
    /// `MULTI`, and a command behind it, which may change the database.
    Part(Option<u32>),
    /// `EXEC` and `DISCARD`.
    End,
}

#[derive(Debug)]
struct Asked {
    id: u64,
    head: Arc<KeyValueHead>,
    request: Extent,
    response: Option<Extent>,
    waits: Waits,
    damaged: bool,
}

/// `MULTI` to `EXEC`; its `Asked` has the head of `MULTI`.
#[derive(Debug)]
struct Transaction {
    asked: Asked,
    /// The operation of all its commands, as long as it is the same.
    operation: Option<Cow<'static, str>>,
    text: String,
    /// The text of the last command, and whether it is that of all.
    same: Option<Box<str>>,
    is_same: bool,
    commands: u32,
    /// The first refusal of `MULTI` or of a command.
    refused: Option<Failure>,
    database: Option<u32>,
    ended: bool,
    discarded: bool,
}

#[derive(Debug, Default)]
pub(super) struct Exchanges {
    units: VecDeque<Unit>,
    /// In the order in which they began; the first is the one that is answered.
    transactions: VecDeque<Transaction>,
    /// Units that found no room, behind all others.
    beyond: u64,
    events: VecDeque<RedisEvent>,
    next_id: u64,
    closed: Option<Stamp>,
    database: Option<u32>,
    pub(super) dropped_events: u64,
    pub(super) dropped_requests: u64,
}

impl Exchanges {
    pub(super) fn new(database: Option<u32>) -> Self {
        Self { database, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.units.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.units.is_empty() && self.beyond == 0
    }

    pub(super) fn poll_event(&mut self) -> Option<RedisEvent> {
        self.events.pop_front()
    }

    pub(super) fn front(&self) -> Option<&Unit> {
        self.units.front()
    }

    /// Adds a unit, and announces it where there is something to tell.
    pub(super) fn push(
        &mut self,
        kind: Kind,
        answer: Answer,
        asked: Option<(Arc<KeyValueHead>, Waits)>,
        request: (Extent, bool),
        limits: &Limits,
    ) {
        if self.beyond > 0 || self.units.len() >= limits.outstanding {
            self.beyond += 1;
            self.dropped_requests += 1;
            return;
        }
        let asked = asked.map(|(head, waits)| self.announce(head, waits, request, limits));
        self.units.push_back(Unit { kind, answer, asked });
    }

    /// A command that is not answered is over when it is sent.
    pub(super) fn unanswered(&mut self, head: Arc<KeyValueHead>, request: (Extent, bool), limits: &Limits) {
        let asked = self.announce(head, Waits::Nothing, request, limits);
        self.report(asked, Outcome::Complete, Ending::default(), limits);
    }

    /// `MULTI`.
    pub(super) fn begin(&mut self, head: Arc<KeyValueHead>, request: (Extent, bool), limits: &Limits) {
        let dropped = self.dropped_requests;
        self.push(Kind::Part(None), Answer::Any, None, request, limits);
        if self.dropped_requests > dropped {
            return;
        }
        let asked = self.announce(head, Waits::Answer, request, limits);
        self.transactions.push_back(Transaction {
            asked,
            operation: None,
            text: String::new(),
            same: None,
            is_same: true,
            commands: 0,
            refused: None,
            database: None,
            ended: false,
            discarded: false,
        });
    }

    /// A command behind `MULTI`, or its end.
    pub(super) fn part(
        &mut self,
        kind: Kind,
        head: &Arc<KeyValueHead>,
        (part, damaged): (Extent, bool),
        limits: &Limits,
    ) {
        let dropped = self.dropped_requests;
        self.push(kind, Answer::Any, None, (part, damaged), limits);
        let open = self.transactions.back_mut().filter(|transaction| !transaction.ended);
        let Some(transaction) = open else { return };
        if self.dropped_requests > dropped {
            // Without all of its replies its end is not known.
            return self.abandon(limits);
        }
        transaction.asked.request.last = part.last;
        transaction.asked.request.wire_bytes += part.wire_bytes;
        transaction.asked.damaged |= damaged;
        match kind {
            Kind::End => {
                transaction.ended = true;
                transaction.discarded = &*head.operation != "EXEC";
            }
            _ => transaction.add(head, limits),
        }
    }

    /// The end of the transaction that is open will not be seen.
    pub(super) fn abandon(&mut self, limits: &Limits) {
        let open = self.transactions.back().is_some_and(|transaction| !transaction.ended);
        if open && let Some(transaction) = self.transactions.pop_back() {
            self.report_transaction(transaction, Outcome::Lost, Ending::default(), limits);
        }
    }

    /// Part of the answer to the front unit passed.
    pub(super) fn touch(&mut self, part: Extent, limits: &Limits) {
        let Some(unit) = self.units.front_mut() else { return };
        let asked = match unit.kind {
            Kind::End => self.transactions.front_mut().map(|transaction| &mut transaction.asked),
            _ => unit.asked.as_mut(),
        };
        let Some(asked) = asked else { return };
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
    pub(super) fn start(&mut self, part: Extent, limits: &Limits) {
        let asked = self.units.front().and_then(|unit| unit.asked.as_ref());
        if asked.is_some_and(|asked| asked.response.is_none()) {
            self.touch(Extent { wire_bytes: 0, ..part }, limits);
        }
    }

    pub(super) fn damage(&mut self) {
        if let Some(asked) = self.units.front_mut().and_then(|unit| unit.asked.as_mut()) {
            asked.damaged = true;
        }
    }

    /// Whether the front unit is the only one, and an exchange of its own.
    pub(super) fn is_single(&self) -> bool {
        self.beyond == 0 && self.units.len() == 1 && self.units[0].asked.is_some()
    }

    /// The reply to the front unit: it is over. False where there is none.
    pub(super) fn answered(&mut self, reply: &Reply, limits: &Limits) -> bool {
        let Some(unit) = self.units.pop_front() else {
            let known = self.beyond > 0;
            self.beyond = self.beyond.saturating_sub(1);
            return known;
        };
        let refusal = || reply.error().filter(|_| reply.is_error()).map(|code| Failure { code });
        match unit.kind {
            Kind::Part(database) => {
                if let Some(transaction) = self.transactions.front_mut() {
                    transaction.refused = transaction.refused.take().or_else(refusal);
                    transaction.database = database.filter(|_| !reply.is_error()).or(transaction.database);
                }
            }
            Kind::End => self.end_transaction(reply, limits),
            Kind::Call | Kind::Select(_) | Kind::Reset | Kind::Subscription | Kind::Monitor => {
                if let Some(mut asked) = unit.asked {
                    // It is part of a transaction that began before the connection was seen.
                    asked.damaged |= reply.queued;
                    let outcome = if reply.queued { Outcome::Lost } else { Outcome::Complete };
                    self.report(asked, outcome, Ending { failure: refusal(), ..Ending::default() }, limits);
                }
                match unit.kind {
                    Kind::Select(number) if !reply.is_error() && !reply.queued => {
                        self.database = Some(number);
                    }
                    Kind::Reset if !reply.is_error() => self.database = Some(0),
                    _ => {}
                }
            }
        }
        true
    }

    /// The front unit is over without a reply of its own.
    pub(super) fn pass_front(&mut self) {
        self.units.pop_front();
    }

    /// The only unit's reply was not seen as a whole.
    pub(super) fn finish_single(&mut self, outcome: Outcome, limits: &Limits) {
        if let Some(Unit { asked: Some(asked), .. }) = self.units.pop_front() {
            self.report(asked, outcome, Ending::default(), limits);
        }
    }

    /// Everything ends without the end of its answer.
    pub(super) fn finish_all(&mut self, outcome: Outcome, limits: &Limits) {
        self.beyond = 0;
        while let Some(unit) = self.units.pop_front() {
            if let Some(asked) = unit.asked {
                self.report(asked, outcome, Ending::default(), limits);
            }
            if unit.kind == Kind::End
                && let Some(transaction) = self.transactions.pop_front()
            {
                self.report_transaction(transaction, outcome, Ending::default(), limits);
            }
        }
        // Those that have no end yet.
        while let Some(transaction) = self.transactions.pop_front() {
            self.report_transaction(transaction, outcome, Ending::default(), limits);
        }
    }

    /// The connection ended at `at`.
    pub(super) fn abort_all(&mut self, at: Stamp, reason: CloseReason, limits: &Limits) {
        self.closed = Some(at);
        self.finish_all(Outcome::Aborted(reason), limits);
    }

    fn end_transaction(&mut self, reply: &Reply, limits: &Limits) {
        let Some(transaction) = self.transactions.pop_front() else { return };
        let (failure, unrun) = if reply.is_error() {
            (Some(Failure { code: reply.error().flatten() }), None)
        } else if transaction.discarded {
            (None, Some(Unrun::Discarded))
        } else if reply.null {
            (None, Some(Unrun::Aborted))
        } else {
            self.database = transaction.database.or(self.database);
            (reply.error().map(|code| Failure { code }), None)
        };
        let ending = Ending { failure, unrun, batch_size: None };
        self.report_transaction(transaction, Outcome::Complete, ending, limits);
    }

    fn report_transaction(
        &mut self,
        transaction: Transaction,
        outcome: Outcome,
        Ending { failure, unrun, .. }: Ending,
        limits: &Limits,
    ) {
        let Transaction { mut asked, operation, text, same, is_same, commands, refused, .. } = transaction;
        let alone = commands == 1;
        let (operation, text) = match operation {
            // A transaction of one command is that command.
            Some(operation) if alone => (operation, same),
            Some(operation) if commands > 1 => {
                (Cow::Owned(["MULTI ", &operation].concat()), if is_same { same } else { Some(text.into()) })
            }
            _ => (Cow::Borrowed("MULTI"), Some(text.into()).filter(|_| commands > 0)),
        };
        let head = KeyValueHead { system: System::Redis, operation, text, procedure: None };
        asked.head = Arc::new(head);
        let failure = failure.or(refused.filter(|_| unrun.is_none()));
        let ending = Ending { failure, batch_size: (!alone).then_some(commands), unrun };
        self.report(asked, outcome, ending, limits);
    }

    fn announce(
        &mut self,
        head: Arc<KeyValueHead>,
        waits: Waits,
        (request, damaged): (Extent, bool),
        limits: &Limits,
    ) -> Asked {
        let id = self.next_id;
        self.next_id += 1;
        self.emit(Event::Request { id, extent: request, head: Arc::clone(&head) }, limits);
        Asked { id, head, request, response: None, waits, damaged }
    }

    fn report(&mut self, asked: Asked, outcome: Outcome, ending: Ending, limits: &Limits) {
        let exchange = Exchange {
            id: asked.id,
            request: asked.request,
            response: asked.response,
            outcome,
            closed: self.closed.filter(|_| matches!(outcome, Outcome::Aborted(_))),
            damaged: asked.damaged,
            detail: KeyValueDetail {
                request: asked.head,
                database: self.database,
                batch_size: ending.batch_size,
                failure: ending.failure,
                waits: asked.waits,
                transaction: ending.unrun,
            },
        };
        self.emit(Event::Exchange(exchange), limits);
    }

    fn emit(&mut self, event: RedisEvent, limits: &Limits) {
        if self.events.len() < limits.events {
            self.events.push_back(event);
        } else {
            self.dropped_events += 1;
        }
    }
}

/// What is said of an exchange when it is over.
#[derive(Debug, Default)]
struct Ending {
    failure: Option<Failure>,
    batch_size: Option<u32>,
    unrun: Option<Unrun>,
}

impl Transaction {
    fn add(&mut self, head: &Arc<KeyValueHead>, limits: &Limits) {
        let text = head.text.as_deref().unwrap_or_default();
        match (self.commands, &self.operation) {
            (0, _) => self.operation = Some(head.operation.clone()),
            (_, Some(operation)) if *operation != head.operation => self.operation = None,
            _ => {}
        }
        match &self.same {
            None => self.same = Some(text.into()),
            Some(same) => self.is_same &= **same == *text,
        }
        self.commands += 1;
        if self.commands as usize <= limits.batch {
            if self.commands > 1 {
                self.text.push_str("; ");
            }
            self.text.push_str(text);
        } else if self.commands as usize == limits.batch + 1 {
            self.text.push_str("; ...");
        }
    }
}
