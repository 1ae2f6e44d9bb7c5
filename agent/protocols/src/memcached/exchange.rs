//! Pairing: what the client asks waits in order, and the server answers in that order, except what was asked
//! quietly and is not answered at all.

use std::{borrow::Cow, collections::VecDeque, sync::Arc};

use super::{
    Limits, MemcachedEvent,
    frame::{Command, Kind, Line},
};
use crate::{
    exchange::{CloseReason, Event, Exchange, Extent, Outcome, Stamp},
    keyvalue::{Failure, KeyValueDetail, KeyValueHead, System, Waits},
};

/// A command that waits for its answer.
#[derive(Debug)]
struct Asked {
    id: u64,
    head: Arc<KeyValueHead>,
    kind: Kind,
    quiet: bool,
    identity: Option<u64>,
    request: Extent,
    response: Option<Extent>,
    failure: Option<Failure>,
    damaged: bool,
}

#[derive(Debug, Default)]
pub(super) struct Exchanges {
    asked: VecDeque<Asked>,
    /// Commands that found no room, behind all others.
    beyond: u64,
    events: VecDeque<MemcachedEvent>,
    next_id: u64,
    closed: Option<Stamp>,
    pub(super) dropped_events: u64,
    pub(super) dropped_requests: u64,
}

impl Exchanges {
    pub(super) fn len(&self) -> usize {
        self.asked.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.beyond == 0
    }

    pub(super) fn is_single(&self) -> bool {
        self.asked.len() == 1 && self.beyond == 0
    }

    pub(super) fn poll_event(&mut self) -> Option<MemcachedEvent> {
        self.events.pop_front()
    }

    /// Adds a command, and announces it.
    pub(super) fn push(&mut self, command: Command, request: Extent, damaged: bool, limits: &Limits) {
        if !command.noreply && (self.beyond > 0 || self.asked.len() >= limits.outstanding) {
            self.beyond += 1;
            self.dropped_requests += 1;
            return;
        }
        let Command { verb, noreply, quiet, identity, text, .. } = command;
        let operation = Cow::Borrowed(verb.name);
        let head = Arc::new(KeyValueHead {
            system: System::Memcached,
            operation,
            text: Some(text),
            procedure: None,
        });
        let id = self.next_id;
        self.next_id += 1;
        self.emit(Event::Request { id, extent: request, head: Arc::clone(&head) }, limits);
        let asked = Asked {
            id,
            head,
            kind: verb.kind,
            quiet,
            identity,
            request,
            response: None,
            failure: None,
            damaged,
        };
        if noreply || verb.kind == Kind::Quit {
            self.report(asked, Outcome::Complete, Waits::Nothing, limits);
        } else {
            self.asked.push_back(asked);
        }
    }

    /// Ends what was asked quietly and is not answered, before the command that this line answers. `identities`
    /// are those of the line.
    pub(super) fn settle(&mut self, line: Line, identities: impl Iterator<Item = u64>, limits: &Limits) {
        if !self.asked.front().is_some_and(|asked| asked.quiet) {
            return;
        }
        let loud = self.asked.iter().position(|asked| !asked.quiet);
        let until = loud.map_or(self.asked.len(), |loud| loud + 1);
        let mut named = None;
        for identity in identities {
            named = named.or(self.asked.range(..until).position(|asked| asked.identity == Some(identity)));
        }
        let fits = |asked: &Asked| !asked.quiet || line.answers_quiet(&asked.head.operation);
        let answered = match line {
            Line::MetaNoop => loud.unwrap_or(self.asked.len()),
            // Without a name it is one of those that can have it, of which the first is as good as any.
            _ => named.or(self.asked.range(..until).position(fits)).unwrap_or(until),
        };
        for asked in self.asked.drain(..answered).collect::<Vec<_>>() {
            self.report(asked, Outcome::Complete, Waits::Nothing, limits);
        }
    }

    /// What the first command is.
    pub(super) fn front(&self) -> Option<Kind> {
        self.asked.front().map(|asked| asked.kind)
    }

    /// Part of the answer to the first command passed.
    pub(super) fn touch(&mut self, part: Extent, limits: &Limits) {
        let Some(asked) = self.asked.front_mut() else { return };
        if let Some(response) = &mut asked.response {
            response.last = part.last;
            response.wire_bytes += part.wire_bytes;
            return;
        }
        asked.response = Some(part);
        let id = asked.id;
        self.emit(Event::Response { id, first: part.first }, limits);
    }

    pub(super) fn fail(&mut self, code: &'static str) {
        if let Some(asked) = self.asked.front_mut() {
            asked.failure = Some(Failure { code: Some(Cow::Borrowed(code)) });
        }
    }

    pub(super) fn damage(&mut self) {
        if let Some(asked) = self.asked.front_mut() {
            asked.damaged = true;
        }
    }

    /// The first command is over. False where there is none.
    pub(super) fn finish(&mut self, outcome: Outcome, limits: &Limits) -> bool {
        match self.asked.pop_front() {
            Some(asked) => {
                self.report(asked, outcome, Waits::Answer, limits);
                true
            }
            None => {
                let known = self.beyond > 0;
                self.beyond = self.beyond.saturating_sub(1);
                known
            }
        }
    }

    /// Everything ends without the end of its answer.
    pub(super) fn finish_all(&mut self, outcome: Outcome, limits: &Limits) {
        self.beyond = 0;
        while self.finish(outcome, limits) {}
    }

    /// The connection ended at `at`.
    pub(super) fn abort_all(&mut self, at: Stamp, reason: CloseReason, limits: &Limits) {
        self.closed = Some(at);
        self.finish_all(Outcome::Aborted(reason), limits);
    }

    fn report(&mut self, asked: Asked, outcome: Outcome, waits: Waits, limits: &Limits) {
        let exchange = Exchange {
            id: asked.id,
            request: asked.request,
            response: asked.response,
            outcome,
            closed: self.closed.filter(|_| matches!(outcome, Outcome::Aborted(_))),
            damaged: asked.damaged,
            detail: KeyValueDetail {
                request: asked.head,
                database: None,
                batch_size: None,
                failure: asked.failure,
                waits,
                transaction: None,
            },
        };
        self.emit(Event::Exchange(exchange), limits);
    }

    fn emit(&mut self, event: MemcachedEvent, limits: &Limits) {
        if self.events.len() < limits.events {
            self.events.push_back(event);
        } else {
            self.dropped_events += 1;
        }
    }
}
