//! What of one direction's bytes can be shown to anybody: frames, with the secrets of header blocks overwritten.
//!
//! Nothing is shown unless it was understood. A header block waits until it is whole, since what is hidden of a string
//! depends on all of it.

use super::{
    Secrets,
    frame::{HEADER, Header},
    hpack::Decoder,
};
use crate::exchange::Party;

/// Bytes that can be shown, in the place of those at `offset` of the party's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub from: Party,
    pub offset: u64,
    pub bytes: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Mask {
    pub(super) secrets: Secrets,
    shown: Vec<(u64, Vec<u8>)>,
    /// A header of which more is to come, in as many pieces as it came in.
    header: Vec<(u64, Vec<u8>)>,
    /// The payload of the current frame, which holds a part of a block, and where it begins.
    payload: Vec<u8>,
    offset: u64,
    /// The block's parts so far: where they are, and their length.
    parts: Vec<(u64, usize)>,
}

/// No frame: PING is 8 bytes long (RFC 9113 section 6.7).
const INVALID: [u8; HEADER] = [0, 0, 0, 6, 0, 0, 0, 0, 0];

impl Mask {
    pub(super) fn new(secrets: Secrets) -> Self {
        Self {
            secrets,
            shown: Vec::new(),
            header: Vec::new(),
            payload: Vec::new(),
            offset: 0,
            parts: Vec::new(),
        }
    }

    pub(super) fn take_shown(&mut self, from: Party) -> Vec<Shown> {
        std::mem::take(&mut self.shown)
            .into_iter()
            .map(|(offset, bytes)| Shown { from, offset, bytes })
            .collect()
    }

    pub(super) fn is_holding(&self) -> bool {
        !(self.header.is_empty() && self.payload.is_empty() && self.parts.is_empty())
    }

    pub(super) fn buffered(&self) -> usize {
        let shown: usize = self.shown.iter().map(|(_, bytes)| bytes.capacity()).sum();
        shown + self.payload.capacity() + self.parts.capacity() * size_of::<(u64, usize)>()
    }

    pub(super) fn show(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        match self.shown.last_mut() {
            Some((start, before)) if *start + before.len() as u64 == offset => {
                before.extend_from_slice(bytes);
            }
            Some(_) | None => self.shown.push((offset, bytes.to_vec())),
        }
    }

    /// A part of a frame's header.
    pub(super) fn hold_header(&mut self, offset: u64, bytes: &[u8]) {
        self.header.push((offset, bytes.to_vec()));
    }

    /// The header is whole. Of one that is none only that is shown: it may be anything.
    pub(super) fn header(&mut self, valid: bool) {
        let mut invalid = &INVALID[..];
        for (offset, bytes) in std::mem::take(&mut self.header) {
            let (instead, rest) = invalid.split_at(bytes.len().min(invalid.len()));
            invalid = rest;
            self.show(offset, if valid { &bytes } else { instead });
        }
    }

    /// A piece of a payload that holds a part of a header block; `limit`: so much of it may be known in the end.
    pub(super) fn hold(&mut self, offset: u64, bytes: &[u8], limit: usize) {
        if self.payload.is_empty() {
            self.offset = offset;
        }
        let room = limit.saturating_sub(self.payload.len());
        self.payload.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The frame is at its end, and so much of its payload is known. `spoilt`: the block was given up before.
    pub(super) fn fragment(&mut self, header: &Header, known: &[u8], spoilt: bool) {
        let payload = std::mem::take(&mut self.payload);
        if spoilt {
            return;
        }
        let (offset, payload) = (self.offset, &payload[..known.len().min(payload.len())]);
        let Some(fragment) = header.fragment_range(payload) else {
            // More padding than payload.
            self.show(offset, &payload[..payload.len().min(usize::from(header.is_padded()))]);
            return;
        };
        self.show(offset, &payload[..fragment.start]);
        self.show(offset + fragment.end as u64, &payload[fragment.end..]);
        self.parts.push((offset + fragment.start as u64, fragment.len()));
    }

    /// The block is at its end, or at the end of what is known of it.
    pub(super) fn block(&mut self, bytes: &[u8], decoder: &Decoder) {
        let mut masked = bytes.to_vec();
        decoder.mask(&mut masked);
        let mut rest = &masked[..];
        for (offset, length) in std::mem::take(&mut self.parts) {
            let (part, behind) = rest.split_at(length.min(rest.len()));
            self.show(offset, part);
            rest = behind;
        }
    }

    /// Frame boundaries are lost.
    pub(super) fn lose(&mut self) {
        self.header.clear();
        self.payload.clear();
        self.parts.clear();
    }
}
