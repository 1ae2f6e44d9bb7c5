//! Pairing: requests wait in order, and each response belongs to the first (RFC 9112 section 9.3.2).

use std::{collections::VecDeque, sync::Arc};

use super::{HttpEvent, Limits, frame::Upgrades};
use crate::{
    exchange::{Event, Exchange, Extent, Outcome, Stamp},
    http::{HttpDetail, RequestHead, ResponseHead},
};

/// A request whose exchange is not over.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) id: u64,
    pub(super) head: Arc<RequestHead>,
    pub(super) request: Extent,
    pub(super) request_body: Option<u64>,
    pub(super) response: Option<ResponseHead>,
    pub(super) asked: Asked,
    pub(super) damaged: bool,
}

/// What bears on a request's answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// `Expect: 100-continue` was asked and not yet answered.
    pub(super) expects: bool,
    /// The answer may end HTTP on this connection.
    pub(super) upgrades: Upgrades,
    pub(super) doubt: Doubt,
    /// Another request was outstanding at the same time.
    pub(super) pipelined: bool,
}

/// Whether the next response is surely this request's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    None,
    /// A response without a request passed just before: it may have been the answer.
    Raced,
    /// Requests before this one may have been missed.
    Missed,
}

/// What the server's side of an exchange has shown when it ends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answer {
    pub(super) extent: Option<Extent>,
    pub(super) body: Option<u64>,
    /// The connection's end, where that is what ended it.
    pub(super) closed: Option<Stamp>,
}

#[derive(Debug, Default)]
pub(super) struct Exchanges {
    pending: VecDeque<Pending>,
    events: VecDeque<HttpEvent>,
    next_id: u64,
    pub(super) dropped_events: u64,
}

impl Exchanges {
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn poll_event(&mut self) -> Option<HttpEvent> {
        self.events.pop_front()
    }

    pub(super) fn front(&mut self) -> Option<&mut Pending> {
        self.pending.front_mut()
    }

    /// Ids on the queue follow each other, since they leave it at its ends only.
    pub(super) fn find(&mut self, id: u64) -> Option<&mut Pending> {
        let first = self.pending.front()?.id;
        self.pending.get_mut(usize::try_from(id.checked_sub(first)?).ok()?)
    }

    /// Announces a request and gives its id.
    pub(super) fn open(
        &mut self,
        head: Arc<RequestHead>,
        request: Extent,
        mut asked: Asked,
        limits: &Limits,
    ) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        asked.pipelined |= !self.pending.is_empty();
        if let Some(last) = self.pending.back_mut() {
            last.asked.pipelined = true;
        }
        let damaged = head.truncated;
        self.emit(Event::Request { id, extent: request, head: Arc::clone(&head) }, limits);
        self.pending.push_back(Pending {
            id,
            head,
            request,
            request_body: None,
            response: None,
            asked,
            damaged,
        });
        id
    }

    /// The front request's final response began.
    pub(super) fn answer(&mut self, response: ResponseHead, first: Stamp, whole: bool, limits: &Limits) {
        let Some(front) = self.pending.front_mut() else { return };
        front.response = Some(response);
        front.damaged |= !whole;
        let id = front.id;
        self.emit(Event::Response { id, first }, limits);
    }

    /// The front request's exchange is over.
    pub(super) fn finish(&mut self, outcome: Outcome, answer: Answer, limits: &Limits) -> Option<Pending> {
        let front = self.pending.pop_front()?;
        self.report(&front, outcome, answer, limits);
        Some(front)
    }

    /// The front request is answered by another protocol: its exchange, which is not over and not reported.
    pub(super) fn hand_over(&mut self, answer: Answer) -> Option<Exchange<HttpDetail>> {
        let front = self.pending.pop_front()?;
        Some(exchange(&front, Outcome::Upgraded, answer))
    }

    /// Every request behind the front is given up; true when there were any.
    pub(super) fn lose_behind_front(&mut self, limits: &Limits) -> bool {
        let lost = self.pending.split_off(self.pending.len().min(1));
        for request in &lost {
            self.report(request, Outcome::Lost, Answer::default(), limits);
        }
        !lost.is_empty()
    }

    /// Every request ends without an answer.
    pub(super) fn finish_all(&mut self, outcome: Outcome, closed: Option<Stamp>, limits: &Limits) {
        while self.finish(outcome, Answer { closed, ..Answer::default() }, limits).is_some() {}
    }

    fn report(&mut self, request: &Pending, outcome: Outcome, answer: Answer, limits: &Limits) {
        self.emit(Event::Exchange(exchange(request, outcome, answer)), limits);
    }

    fn emit(&mut self, event: HttpEvent, limits: &Limits) {
        if self.events.len() < limits.events {
            self.events.push_back(event);
        } else {
            self.dropped_events += 1;
        }
    }
}

fn exchange(request: &Pending, outcome: Outcome, answer: Answer) -> Exchange<HttpDetail> {
    Exchange {
        id: request.id,
        request: request.request,
        response: answer.extent,
        outcome,
        closed: answer.closed.filter(|_| matches!(outcome, Outcome::Aborted(_))),
        damaged: request.damaged,
        detail: HttpDetail {
            request: Arc::clone(&request.head),
            response: request.response,
            request_body: request.request_body,
            response_body: answer.body,
            rpc: None,
        },
    }
}
