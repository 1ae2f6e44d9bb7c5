//! Streams whose exchange is not over.

use std::{collections::BTreeMap, sync::Arc};

use super::parser::{Block, Data};
use crate::{
    exchange::{Extent, Outcome, Stamp},
    grpc::Messages,
    http::{RequestHead, ResponseHead, Version},
};

/// RFC 9113 section 5.1, as far as both directions show it:
///
/// ```text
/// idle ── request's HEADERS ──▶ asked ── final HEADERS ──▶ answered ── END_STREAM, RST_STREAM ──▶ reported
///   └── response's HEADERS (its record came first) ──▶ parked ── request's HEADERS ──▶ answered
/// ```
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// `None` while the stream is parked.
    pub(super) asked: Option<Asked>,
    pub(super) request: Message,
    /// From the final response's first byte on.
    pub(super) response: Option<Message>,
    pub(super) head: Answer,
    /// Either side's `content-type` is gRPC's.
    pub(super) grpc: bool,
    pub(super) grpc_status: Option<u32>,
    pub(super) grpc_message: bool,
    pub(super) damaged: bool,
    /// Frame boundaries of the server were lost since: its end may have passed. When that was noticed.
    pub(super) doubtful: Option<Stamp>,
    /// How a parked stream ended.
    pub(super) over: Option<Outcome>,
}

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) id: u64,
    pub(super) head: Arc<RequestHead>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Answer {
    #[default]
    Due,
    /// It passed, and its status could not be read.
    Unknown,
    Status(u16),
}

/// One direction of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    pub(super) extent: Extent,
    /// DATA without padding.
    pub(super) payload: u64,
    /// `payload` is right.
    pub(super) exact: bool,
    pub(super) ended: bool,
    pub(super) messages: Messages,
}

impl Default for Message {
    fn default() -> Self {
        let extent = Extent::default();
        Self { extent, payload: 0, exact: true, ended: false, messages: Messages::NONE }
    }
}

impl Message {
    pub(super) fn begun(extent: Extent) -> Self {
        Self { extent, ..Self::default() }
    }

    pub(super) fn grow(&mut self, at: Stamp, wire: u64) {
        self.extent.last = at;
        self.extent.wire_bytes += wire;
    }

    pub(super) fn read(&mut self, at: Stamp, data: &Data<'_>) {
        self.grow(at, data.wire);
        self.payload += data.gap + data.bytes.len() as u64;
        if data.inexact {
            self.lose();
        }
        self.messages.skip(data.gap);
        self.messages.read(data.bytes);
        self.ended |= data.ends_stream;
    }

    /// Some of it was not seen.
    pub(super) fn lose(&mut self) {
        self.exact = false;
        self.messages.lose();
    }
}

impl Stream {
    pub(super) fn absorb(&mut self, block: &Block) {
        self.grpc |= block.fields.grpc;
        self.grpc_status = block.fields.grpc_status.or(self.grpc_status);
        self.grpc_message |= block.fields.grpc_message;
        self.damaged |= !block.whole || block.fields.unknown;
    }

    /// Bytes of its request.
    fn size(&self) -> usize {
        self.asked.as_ref().map_or(0, |asked| asked.head.size())
    }

    pub(super) fn response_head(&self) -> Option<ResponseHead> {
        match self.head {
            Answer::Status(status) => Some(ResponseHead { status, version: Version::Http2 }),
            Answer::Due | Answer::Unknown => None,
        }
    }
}

/// In the order of their numbers, which is the order of their requests.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: BTreeMap<u32, Stream>,
    parked: BTreeMap<u32, Stream>,
    /// Bytes of the open streams' requests.
    held: usize,
}

impl Streams {
    pub(super) fn is_open(&self, stream: u32) -> bool {
        self.open.contains_key(&stream)
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn buffered(&self) -> usize {
        (self.open.len() + self.parked.len()) * size_of::<Stream>() + self.held
    }

    /// Bytes of the open streams' requests.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn insert(&mut self, number: u32, stream: Stream) {
        self.held += stream.size();
        if let Some(before) = self.open.insert(number, stream) {
            self.held -= before.size();
        }
    }

    pub(super) fn asked(&mut self, number: u32) -> Option<&mut Stream> {
        self.open.get_mut(&number)
    }

    /// The stream, or its place among those whose request may yet come, which `may_park`.
    pub(super) fn answering(&mut self, number: u32, may_park: bool) -> Option<&mut Stream> {
        if self.open.contains_key(&number) {
            return self.open.get_mut(&number);
        }
        if may_park { Some(self.parked.entry(number).or_default()) } else { self.parked.get_mut(&number) }
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<Stream> {
        self.open.remove(&number).inspect(|stream| self.held -= stream.size())
    }

    pub(super) fn pop(&mut self) -> Option<Stream> {
        self.open.pop_first().map(|(_, stream)| stream).inspect(|stream| self.held -= stream.size())
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Stream)> {
        self.open.iter_mut().map(|(&number, stream)| (number, stream))
    }

    /// The only open stream.
    pub(super) fn only(&mut self) -> Option<&mut Stream> {
        if self.open.len() == 1 { self.open.values_mut().next() } else { None }
    }

    pub(super) fn numbers(&self, matches: impl Fn(u32, &Stream) -> bool) -> Vec<u32> {
        self.open
            .iter()
            .filter(|&(&number, stream)| matches(number, stream))
            .map(|(&number, _)| number)
            .collect()
    }

    pub(super) fn parked(&self) -> usize {
        self.parked.len()
    }

    pub(super) fn unpark(&mut self, number: u32) -> Option<Stream> {
        self.parked.remove(&number)
    }

    /// Forgets responses below `number`: requests come in order, theirs will not any more. How many.
    pub(super) fn drop_parked(&mut self, number: u32) -> u64 {
        if self.parked.is_empty() {
            return 0;
        }
        let kept = self.parked.split_off(&number);
        std::mem::replace(&mut self.parked, kept).len() as u64
    }
}
