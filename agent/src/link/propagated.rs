//! Headers that were put into calls as they were sent: their ids are on the wire, and the spans take them over.

use std::collections::{HashMap, VecDeque};

use super::Token;
use crate::{decode::InjectedRecord, span::context::TraceParent};

/// What is known of connections whose requests carry headers.
#[derive(Debug, Default)]
pub(super) struct Propagated {
    /// The last header of each connection, by socket; in `order` of the first.
    headers: HashMap<u64, Header, foldhash::fast::FixedState>,
    order: VecDeque<u64>,
    /// The last request that was read on each connection: its offset and name.
    latest: HashMap<u64, (u64, Token), foldhash::fast::FixedState>,
}

#[derive(Clone, Copy, Debug)]
struct Header {
    offset: u32,
    before: u32,
    length: u32,
    sent: Sent,
}

/// What a call carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) context: TraceParent,
    /// The request that its sender had in hand.
    pub(super) cause: Option<Token>,
}

impl Propagated {
    /// What was sent with a record, and for which request.
    pub(super) fn sent(&self, record: &InjectedRecord) -> Sent {
        let cause = record.cause.and_then(|(socket, offset)| {
            self.latest.get(&socket).filter(|(latest, _)| *latest == offset).map(|(_, token)| *token)
        });
        Sent { context: record.context, cause }
    }

    /// `limit`: connections that are remembered.
    pub(super) fn handle(&mut self, record: &InjectedRecord, limit: usize) {
        let sent = self.sent(record);
        let header = Header { offset: record.offset, before: record.before, length: record.length, sent };
        if self.headers.insert(record.socket, header).is_none() {
            self.order.push_back(record.socket);
        }
        if self.order.len() > limit.max(1)
            && let Some(socket) = self.order.pop_front()
        {
            self.headers.remove(&socket);
        }
    }

    /// A request was read. `is_held`: whether a name still stands for one.
    pub(super) fn read(&mut self, token: Token, offset: u64, limit: usize, is_held: impl Fn(Token) -> bool) {
        self.latest.insert(token.socket, (offset, token));
        if self.latest.len() > 2 * limit.max(1) {
            self.latest.retain(|_, (_, token)| is_held(*token));
        }
    }

    /// What the call that begins at `offset` carries, and how many bytes were put into the stream before it.
    pub(super) fn of_call(&self, socket: u64, offset: u64) -> (Option<Sent>, u32) {
        let Some(header) = self.headers.get(&socket) else { return (None, 0) };
        #[allow(clippy::cast_possible_truncation)] // The kernel tells the lower half.
        let offset = offset as u32;
        if offset == header.offset {
            (Some(header.sent), header.before)
        } else {
            (None, header.before.wrapping_add(header.length))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::{SpanId, TraceId};

    fn record(socket: u64, offset: u32, before: u32, cause: Option<(u64, u64)>) -> InjectedRecord {
        let context = TraceParent { trace_id: TraceId([1; 16]), parent: SpanId([2; 8]), flags: 1 };
        InjectedRecord { time: 0, socket, cause, offset, before, length: 70, context, option: None }
    }

    #[test]
    fn a_header_is_its_requests_and_shifts_what_follows() {
        let mut propagated = Propagated::default();
        let request = Token { socket: 9, exchange: 4 };
        propagated.read(request, 500, 8, |_| true);
        propagated.handle(&record(1, 0, 0, Some((9, 500))), 8);
        let (sent, before) = propagated.of_call(1, 0);
        assert_eq!((sent.and_then(|sent| sent.cause), before), (Some(request), 0));
        assert_eq!(propagated.of_call(1, 40), (None, 70));
        assert_eq!(propagated.of_call(2, 0), (None, 0));
        propagated.handle(&record(1, 40, 70, Some((9, 0))), 8);
        let (sent, before) = propagated.of_call(1, 40);
        assert_eq!((sent.and_then(|sent| sent.cause), before), (None, 70), "another request was read since");
    }

    #[test]
    fn neither_headers_nor_requests_grow_without_bound() {
        let mut propagated = Propagated::default();
        for socket in 1..1000 {
            propagated.handle(&record(socket, 0, 0, None), 8);
            propagated.read(Token { socket, exchange: 0 }, 0, 8, |token| token.socket == 5);
        }
        assert!(propagated.headers.len() <= 8 && propagated.order.len() <= 8);
        assert!(propagated.latest.len() <= 17);
    }
}
