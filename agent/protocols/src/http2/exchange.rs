//! What a connection reports of its streams.

use std::{collections::VecDeque, sync::Arc};

use super::{HttpEvent, Limits, stream::Stream};
use crate::{
    exchange::{Event, Exchange, Extent, Outcome, Stamp},
    grpc::RpcDetail,
    http::{HttpDetail, RequestHead, UNKNOWN},
};

#[derive(Debug, Default)]
pub(super) struct Exchanges {
    events: VecDeque<HttpEvent>,
    next_id: u64,
    pub(super) dropped_events: u64,
}

impl Exchanges {
    /// The first exchange to be announced has the number `next_id`.
    pub(super) fn from(next_id: u64) -> Self {
        Self { next_id, ..Self::default() }
    }

    pub(super) fn poll_event(&mut self) -> Option<HttpEvent> {
        self.events.pop_front()
    }

    /// Announces a request and gives its id.
    pub(super) fn open(&mut self, head: &Arc<RequestHead>, extent: Extent, limits: &Limits) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.emit(Event::Request { id, extent, head: Arc::clone(head) }, limits);
        id
    }

    /// The final response to a request began.
    pub(super) fn answer(&mut self, id: u64, first: Stamp, limits: &Limits) {
        self.emit(Event::Response { id, first }, limits);
    }

    pub(super) fn finish(
        &mut self,
        stream: &Stream,
        outcome: Outcome,
        closed: Option<Stamp>,
        limits: &Limits,
    ) {
        let Some(asked) = &stream.asked else { return };
        let (request, response) = (&stream.request, stream.response.as_ref());
        let ended = matches!(outcome, Outcome::Complete | Outcome::Upgraded);
        let exact = response.filter(|response| ended && response.exact);
        let exchange = Exchange {
            id: asked.id,
            request: request.extent,
            response: response.map(|response| response.extent),
            outcome,
            closed,
            damaged: stream.damaged || stream.doubtful.is_some(),
            detail: HttpDetail {
                request: Arc::clone(&asked.head),
                response: stream.response_head(),
                request_body: (request.ended && request.exact).then_some(request.payload),
                response_body: exact.map(|response| response.payload),
                rpc: stream.grpc.then(|| rpc(stream, &asked.head)),
            },
        };
        self.emit(Event::Exchange(exchange), limits);
    }

    fn emit(&mut self, event: HttpEvent, limits: &Limits) {
        if self.events.len() < limits.events {
            self.events.push_back(event);
        } else {
            self.dropped_events += 1;
        }
    }
}

fn rpc(stream: &Stream, head: &RequestHead) -> RpcDetail {
    let method = head.target.strip_prefix('/').unwrap_or(&head.target);
    RpcDetail {
        method: (method != UNKNOWN).then(|| method.into()),
        status: stream.grpc_status,
        has_message: stream.grpc_message,
        request_messages: stream.request.messages.count(),
        response_messages: match &stream.response {
            Some(response) => response.messages.count(),
            None if stream.doubtful.is_some() => None,
            None => Some(0),
        },
    }
}
