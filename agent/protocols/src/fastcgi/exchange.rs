//! Joining: what belongs to a request has its number, in both directions.

use std::{collections::VecDeque, sync::Arc};

use super::{
    FastCgiEvent, Limits,
    frame::{Fields, Params},
};
use crate::{
    exchange::{CloseReason, Event, Exchange, Extent, Outcome, Party, Stamp},
    http::{HttpDetail, RequestHead, ResponseHead},
};

/// A request whose response is not over.
#[derive(Debug)]
pub(super) struct Asked {
    number: u16,
    told: Told,
    request: Extent,
    /// Bytes of its body, while all of them are counted.
    body: Option<u64>,
    response: Option<Extent>,
    /// What the response says, and how much of it follows its head.
    fields: Fields,
    payload: Option<u64>,
    damaged: bool,
}

/// What the parameters say.
#[derive(Debug)]
enum Told {
    /// They are on their way.
    Partly(Box<Params>),
    /// They were announced, under this id.
    Wholly(u64, Arc<RequestHead>),
}

#[derive(Debug, Default)]
pub(super) struct Exchanges {
    /// Few: web servers use a connection for one request at a time.
    asked: Vec<Asked>,
    events: VecDeque<FastCgiEvent>,
    next_id: u64,
    pub(super) dropped_events: u64,
    pub(super) dropped_requests: u64,
}

impl Exchanges {
    pub(super) fn len(&self) -> usize {
        self.asked.len()
    }

    pub(super) fn buffered(&self) -> usize {
        let held = |asked: &Asked| match &asked.told {
            Told::Partly(params) => params.buffered(),
            Told::Wholly(..) => 0,
        };
        self.asked.iter().map(held).sum()
    }

    pub(super) fn poll_event(&mut self) -> Option<FastCgiEvent> {
        self.events.pop_front()
    }

    pub(super) fn find(&mut self, number: u16) -> Option<&mut Asked> {
        self.asked.iter_mut().find(|asked| asked.number == number)
    }

    /// A request begins. The number may be another's whose end was not seen.
    pub(super) fn open(&mut self, number: u16, request: Extent, limits: &Limits) {
        self.finish(number, Outcome::Lost, limits);
        if self.asked.len() >= limits.outstanding {
            self.dropped_requests += 1;
            return;
        }
        self.asked.push(Asked {
            number,
            told: Told::Partly(Box::default()),
            request,
            body: Some(0),
            response: None,
            fields: Fields::default(),
            payload: Some(0),
            damaged: false,
        });
    }

    /// The parameters of a request are over, or nothing more will be known of them. False where they end in the middle of
    /// one.
    pub(super) fn announce(&mut self, number: u16, whole: bool, limits: &Limits) -> bool {
        let Some(asked) = self.asked.iter_mut().find(|asked| asked.number == number) else { return true };
        let Told::Partly(params) = &mut asked.told else { return true };
        let (head, ended) = std::mem::take(&mut **params).finish(whole);
        asked.damaged |= head.truncated;
        asked.told = Told::Wholly(self.next_id, Arc::clone(&head));
        let event = Event::Request { id: self.next_id, extent: asked.request, head };
        self.next_id += 1;
        self.emit(event, limits);
        ended
    }

    /// Part of the response passed.
    pub(super) fn answer(&mut self, number: u16, part: Extent, limits: &Limits) {
        // Whoever answers has read the parameters.
        self.announce(number, false, limits);
        let Some(asked) = self.asked.iter_mut().find(|asked| asked.number == number) else { return };
        if let Some(response) = &mut asked.response {
            grow(response, part);
            return;
        }
        asked.response = Some(part);
        if let Told::Wholly(id, _) = asked.told {
            self.emit(Event::Response { id, first: part.first }, limits);
        }
    }

    /// The request with this number is over. False where there is none.
    pub(super) fn finish(&mut self, number: u16, outcome: Outcome, limits: &Limits) -> bool {
        let Some(at) = self.asked.iter().position(|asked| asked.number == number) else { return false };
        self.end(at, outcome, None, limits);
        true
    }

    /// Where records begin in a direction is not known any more.
    pub(super) fn lose(&mut self, from: Party, limits: &Limits) {
        match from {
            Party::Client => {
                let partly = self.asked.iter().filter(|asked| matches!(asked.told, Told::Partly(_)));
                for number in partly.map(|asked| asked.number).collect::<Vec<_>>() {
                    self.announce(number, false, limits);
                }
                self.asked.iter_mut().for_each(|asked| asked.body = None);
            }
            Party::Server => self.asked.iter_mut().for_each(Asked::lose),
        }
    }

    /// Bytes passed of which only the direction is known: they are of the request that is open, if there is just one.
    pub(super) fn pass(&mut self, from: Party, part: Extent, limits: &Limits) {
        let [asked] = &mut self.asked[..] else { return };
        match from {
            Party::Client => asked.ask(part),
            Party::Server => {
                let number = asked.number;
                self.answer(number, part, limits);
            }
        }
    }

    /// Every request ends with the connection, at `at`.
    pub(super) fn abort_all(&mut self, at: Stamp, reason: CloseReason, lost: bool, limits: &Limits) {
        while let Some(asked) = self.asked.last() {
            let outcome = match reason {
                CloseReason::Finished if lost && asked.response.is_some() => Outcome::Lost,
                reason => Outcome::Aborted(reason),
            };
            self.end(self.asked.len() - 1, outcome, Some(at), limits);
        }
    }

    pub(super) fn finish_all(&mut self, outcome: Outcome, limits: &Limits) {
        while !self.asked.is_empty() {
            self.end(self.asked.len() - 1, outcome, None, limits);
        }
    }

    fn end(&mut self, at: usize, outcome: Outcome, closed: Option<Stamp>, limits: &Limits) {
        let asked = &self.asked[at];
        if let Told::Partly(params) = &asked.told {
            if !params.knows_method() {
                self.asked.swap_remove(at);
                self.dropped_requests += 1;
                return;
            }
            self.announce(asked.number, false, limits);
        }
        let Asked { told, request, body, response, fields, payload, damaged, .. } =
            self.asked.swap_remove(at);
        let Told::Wholly(id, head) = told else { return };
        let status = fields.status().filter(|_| response.is_some());
        let ended = outcome == Outcome::Complete;
        let exchange = Exchange {
            id,
            request,
            response,
            outcome,
            closed: closed.filter(|_| matches!(outcome, Outcome::Aborted(_))),
            damaged: damaged || (ended && status.is_none() && response.is_some()),
            detail: HttpDetail {
                response: status.map(|status| ResponseHead { status, version: head.version }),
                request: head,
                request_body: body,
                response_body: payload.filter(|_| ended && fields.is_over()),
                rpc: None,
            },
        };
        self.emit(Event::Exchange(exchange), limits);
    }

    fn emit(&mut self, event: FastCgiEvent, limits: &Limits) {
        if self.events.len() < limits.events {
            self.events.push_back(event);
        } else {
            self.dropped_events += 1;
        }
    }
}

impl Asked {
    /// Part of the request passed.
    pub(super) fn ask(&mut self, part: Extent) {
        grow(&mut self.request, part);
    }

    pub(super) fn params(&mut self) -> Option<&mut Params> {
        match &mut self.told {
            Told::Partly(params) => Some(params),
            Told::Wholly(..) => None,
        }
    }

    /// Bytes of the request's body.
    pub(super) fn upload(&mut self, length: u64) {
        self.body = self.body.map(|body| body + length);
    }

    /// Bytes of the response, its head included.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        let head = self.fields.read(bytes);
        self.payload = self.payload.map(|payload| payload + (bytes.len() - head) as u64);
    }

    /// Bytes of it that were not seen.
    pub(super) fn skip(&mut self, length: u64) {
        self.fields.lose();
        self.payload = self.payload.filter(|_| self.fields.is_over()).map(|payload| payload + length);
    }

    /// The rest of the response cannot be told from what is around it.
    fn lose(&mut self) {
        self.fields.lose();
        self.payload = None;
    }
}

fn grow(message: &mut Extent, part: Extent) {
    message.last = part.last;
    message.wire_bytes += part.wire_bytes;
}
