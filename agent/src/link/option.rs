//! Contexts that travelled in TCP options: those of what was sent, and those that have come.
//!
//! An option belongs to a stretch of a stream, which a send has begun; of the requests that begin in it the first has its
//! context. Both ends know where the stretch begins, and both count in the same way.

use std::collections::{HashMap, VecDeque};

use honeyguide_common::propagation::OFFSET_BITS;

use super::{Token, propagated::Sent};
use crate::{
    decode::{ArrivedRecord, InjectedRecord, Stream},
    flow::ConnectionInfo,
    span::context::TraceParent,
};

/// What is known of connections whose segments have options.
#[derive(Debug, Default)]
pub(super) struct Options {
    connections: HashMap<u64, Known, foldhash::fast::FixedState>,
    /// In order of the first option.
    order: VecDeque<u64>,
    /// Those that came for requests, and for none.
    pub(super) found: u64,
    pub(super) unmatched: u64,
    /// Sends, and calls that were to leave next, that were forgotten because there were too many.
    pub(super) forgotten: u64,
}

/// The last of one connection's, oldest first.
#[derive(Debug, Default)]
struct Known {
    sent: VecDeque<Left>,
    come: VecDeque<Come>,
    /// Calls inside of TLS that are with their library, and leave next: their offsets.
    given: VecDeque<(Token, u32)>,
}

#[derive(Debug)]
struct Left {
    stream: Stream,
    start: u32,
    sent: Sent,
}

#[derive(Debug)]
struct Come {
    stream: Stream,
    start: u32,
    length: u32,
    context: TraceParent,
}

/// Of each kind on one connection.
const MOST: usize = 16;

impl Options {
    /// A send begins that has an option. The call that it is of, where the call was seen first: the program carries the
    /// ciphertext of its TLS itself.
    ///
    /// `limit`: connections that are remembered.
    pub(super) fn sent(
        &mut self,
        record: &InjectedRecord,
        stream: Stream,
        sent: Sent,
        limit: usize,
    ) -> Option<Token> {
        let known = self.of(record.socket, limit);
        while let Some((call, offset)) = known.given.pop_front() {
            // What was given before has left, and this call was not the first in it.
            if stream == Stream::Plaintext && is_from(offset, record.offset) {
                known.given.clear();
                return Some(call);
            }
        }
        known.sent.push_back(Left { stream, start: record.offset, sent });
        if known.sent.len() > MOST {
            known.sent.pop_front();
            self.forgotten += 1;
        }
        None
    }

    /// What the call carries that begins at `offset`, if it is the first in what was sent.
    pub(super) fn of_call(&mut self, connection: &ConnectionInfo, offset: u64) -> Option<Sent> {
        let known = self.connections.get_mut(&connection.socket)?;
        let (stream, offset) = (stream_of(connection), lower(offset));
        let at = known.sent.iter().rposition(|left| left.stream == stream && is_from(offset, left.start))?;
        known.sent.drain(..=at).next_back().map(|left| left.sent)
    }

    /// A call has ended at `offset`: what was sent before begins no other.
    pub(super) fn ended(&mut self, connection: &ConnectionInfo, offset: u64) {
        let Some(known) = self.connections.get_mut(&connection.socket) else { return };
        let (stream, end) = (stream_of(connection), lower(offset));
        known.sent.retain(|left| left.stream != stream || is_from(left.start, end));
    }

    /// A call inside of TLS has no option so far.
    pub(super) fn given(&mut self, call: Token, offset: u64, limit: usize) {
        let known = self.of(call.socket, limit);
        known.given.push_back((call, lower(offset)));
        if known.given.len() > MOST {
            known.given.pop_front();
            self.forgotten += 1;
        }
    }

    /// One has come.
    pub(super) fn come(&mut self, record: &ArrivedRecord, limit: usize) {
        let known = self.of(record.socket, limit);
        let ArrivedRecord { stream, start, length, context, .. } = *record;
        known.come.push_back(Come { stream, start, length, context });
        if known.come.len() > MOST {
            known.come.pop_front();
            self.unmatched += 1;
        }
    }

    /// The context that has come for the request which begins at `offset`, if it is the first in its stretch.
    pub(super) fn of_request(&mut self, connection: &ConnectionInfo, offset: u64) -> Option<TraceParent> {
        let known = self.connections.get_mut(&connection.socket)?;
        let stream = stream_of(connection);
        let (begins, mask) = match (stream, connection.sequences) {
            (Stream::Socket, Some((_, received))) => (received.wrapping_add(lower(offset)), u32::MAX),
            (Stream::Socket, None) => return None,
            (Stream::Plaintext, _) => (lower(offset), (1 << OFFSET_BITS) - 1),
        };
        let is_its =
            |come: &Come| come.stream == stream && begins.wrapping_sub(come.start) & mask < come.length;
        let Some(at) = known.come.iter().rposition(is_its) else {
            // Whether the inside is counted from the same byte as at the other end is known by nothing else: no later request
            // may be taken for this one.
            if stream == Stream::Plaintext {
                self.unmatched += known.come.len() as u64;
                known.come.clear();
            }
            return None;
        };
        self.found += 1;
        self.unmatched += at as u64;
        known.come.drain(..=at).next_back().map(|come| come.context)
    }

    fn of(&mut self, socket: u64, limit: usize) -> &mut Known {
        if !self.connections.contains_key(&socket) {
            if self.order.len() >= limit.max(1)
                && let Some(oldest) = self.order.pop_front()
                && let Some(gone) = self.connections.remove(&oldest)
            {
                self.unmatched += gone.come.len() as u64;
                self.forgotten += (gone.sent.len() + gone.given.len()) as u64;
            }
            self.order.push_back(socket);
        }
        self.connections.entry(socket).or_default()
    }
}

fn stream_of(connection: &ConnectionInfo) -> Stream {
    if connection.encrypted { Stream::Plaintext } else { Stream::Socket }
}

/// Whether `offset` is not before `start`; both are lower halves.
fn is_from(offset: u32, start: u32) -> bool {
    offset.wrapping_sub(start) <= u32::MAX >> 1
}

#[allow(clippy::cast_possible_truncation)] // The kernel tells the lower half.
fn lower(offset: u64) -> u32 {
    offset as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        flow::Endpoints,
        span::{SpanId, TraceId},
    };

    const RECEIVED: u32 = u32::MAX - 9;

    fn connection(socket: u64, encrypted: bool) -> ConnectionInfo {
        ConnectionInfo {
            socket,
            pid: 7,
            endpoints: Endpoints::Unknown,
            netns: 0,
            sequences: Some((5, RECEIVED)),
            unix: None,
            encrypted,
        }
    }

    fn context(name: u8) -> TraceParent {
        TraceParent { trace_id: TraceId([name; 16]), parent: SpanId([name; 8]), flags: 1 }
    }

    fn send(options: &mut Options, name: u8, stream: Stream, offset: u32) -> Option<Token> {
        let context = context(name);
        let (time, before, length) = (0, 0, 0);
        let record = InjectedRecord {
            time,
            socket: 1,
            cause: None,
            offset,
            before,
            length,
            context,
            option: Some(stream),
        };
        options.sent(&record, stream, Sent { context, cause: None }, 8)
    }

    fn come(options: &mut Options, name: u8, stream: Stream, start: u32, length: u32) {
        options.come(&ArrivedRecord { time: 0, socket: 1, stream, start, length, context: context(name) }, 8);
    }

    fn sent(options: &mut Options, encrypted: bool, offset: u64) -> Option<u8> {
        options.of_call(&connection(1, encrypted), offset).map(|sent| sent.context.parent.0[0])
    }

    fn of_request(options: &mut Options, encrypted: bool, offset: u64) -> Option<u8> {
        options.of_request(&connection(1, encrypted), offset).map(|context| context.parent.0[0])
    }

    #[test]
    fn the_first_call_in_a_send_has_its_context() {
        let mut options = Options::default();
        for (name, offset) in [(1, 0), (2, 24), (3, 100)] {
            assert_eq!(send(&mut options, name, Stream::Socket, offset), None);
        }
        // HTTP/2's preface is ahead of the first; the send at 24 goes on with it.
        assert_eq!(sent(&mut options, false, 60), Some(2));
        assert_eq!(sent(&mut options, false, 80), None, "the second of the same send");
        assert_eq!(sent(&mut options, true, 100), None, "another stream");
        assert_eq!(sent(&mut options, false, 100), Some(3));
        assert_eq!(sent(&mut options, false, 200), None);
        assert_eq!(send(&mut options, 4, Stream::Socket, u32::MAX - 1), None);
        assert_eq!(sent(&mut options, false, 1 << 32), Some(4), "offsets wrap");
    }

    /// Its body was sent in several parts, and of the next call's send nothing was told.
    #[test]
    fn what_a_call_has_sent_is_not_the_next_ones() {
        let mut options = Options::default();
        for (name, offset) in [(1, 0), (2, 4_096), (3, 9_000)] {
            send(&mut options, name, Stream::Socket, offset);
        }
        assert_eq!(sent(&mut options, false, 0), Some(1));
        options.ended(&connection(1, false), 9_000);
        assert_eq!(sent(&mut options, false, 9_000), Some(3));
        options.ended(&connection(1, false), 10_000);
        send(&mut options, 4, Stream::Socket, 9_500);
        options.ended(&connection(1, false), 10_000);
        assert_eq!(sent(&mut options, false, 10_000), None);
    }

    #[test]
    fn a_call_that_is_with_its_library_leaves_with_the_next_send() {
        let mut options = Options::default();
        let call = |exchange| Token { socket: 1, exchange };
        options.given(call(0), 50, 8);
        options.given(call(1), 90, 8);
        options.given(call(2), 120, 8);
        assert_eq!(send(&mut options, 1, Stream::Plaintext, 90), Some(call(1)));
        assert_eq!(send(&mut options, 2, Stream::Plaintext, 200), None, "120 has left with 90");
        assert_eq!(sent(&mut options, true, 210), Some(2));
    }

    #[test]
    fn a_context_is_the_first_requests_in_its_stretch_alone() {
        let mut options = Options::default();
        come(&mut options, 1, Stream::Socket, RECEIVED, 30);
        come(&mut options, 2, Stream::Socket, RECEIVED.wrapping_add(30), 40);
        assert_eq!(of_request(&mut options, false, 80), None, "beyond both");
        assert_eq!(of_request(&mut options, false, 0), Some(1));
        assert_eq!(of_request(&mut options, false, 20), None, "the second of the same send");
        assert_eq!(of_request(&mut options, false, 35), Some(2));
        assert_eq!((options.found, options.unmatched), (2, 0));
        come(&mut options, 3, Stream::Socket, RECEIVED.wrapping_add(100), 10);
        come(&mut options, 4, Stream::Socket, RECEIVED.wrapping_add(110), 10);
        assert_eq!(of_request(&mut options, false, 110), Some(4));
        assert_eq!((options.found, options.unmatched), (3, 1), "3 was none's");
    }

    #[test]
    fn inside_of_tls_offsets_are_believed_while_they_fit() {
        let mut options = Options::default();
        come(&mut options, 1, Stream::Plaintext, 0, 80);
        assert_eq!(of_request(&mut options, true, 0), Some(1));
        come(&mut options, 2, Stream::Plaintext, 0x12, 80);
        assert_eq!(of_request(&mut options, true, (7 << OFFSET_BITS) + 0x12), Some(2), "the lower bits");
        // The other end has counted from elsewhere: what comes for one request must not become another's.
        come(&mut options, 3, Stream::Plaintext, 200, 80);
        assert_eq!(of_request(&mut options, true, 100), None);
        assert_eq!(of_request(&mut options, true, 200), None);
        assert_eq!((options.found, options.unmatched), (2, 1));
    }

    #[test]
    fn nothing_grows_without_bound() {
        let mut options = Options::default();
        for start in 0..100 {
            come(&mut options, 1, Stream::Socket, start, 1);
            send(&mut options, 1, Stream::Socket, start);
            options.given(Token { socket: 1, exchange: 0 }, 0, 8);
        }
        let known = &options.connections[&1];
        assert!(known.come.len() <= MOST && known.sent.len() <= MOST && known.given.len() <= MOST);
        for socket in 1..1000 {
            options.given(Token { socket, exchange: 0 }, 0, 8);
        }
        assert!(options.connections.len() <= 8 && options.order.len() <= 8);
        assert_eq!(options.unmatched, 100, "each is counted once");
        let left: usize =
            options.connections.values().map(|known| known.sent.len() + known.given.len()).sum();
        // All but the last that was given to the first library have left with a send.
        assert_eq!(options.forgotten + left as u64, 100 + 1 + 999);
    }
}
