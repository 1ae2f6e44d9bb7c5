//! Hiding what databases are told and answer that is a value, a password or a key. Which connection speaks what is known by
//! following it as a reader will; see `frames`.

use std::collections::HashMap;

use honeyguide_protocols::{
    Party,
    detect::{Direction, Protocol},
    mask::Mask,
    mysql::Notes,
};

use crate::{decode::DataRecord, flow::Speech};

/// Connections remembered. Beyond it this share is forgotten, the longest idle: of them all is hidden until a message
/// begins with an operation.
const STREAMS: usize = 65_536;
const FORGOTTEN_SHARE: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Statements {
    /// By socket or session, and whether it is plaintext.
    streams: HashMap<(u64, bool), Stream>,
    /// Counts operations.
    clock: u64,
    forgotten: u64,
}

#[derive(Debug)]
struct Stream {
    protocol: Protocol,
    client: Direction,
    mask: Mask,
    used: u64,
}

/// A stretch of a stream, and whether it begins an operation.
#[derive(Debug)]
pub(super) struct Stretch<'a> {
    pub(super) direction: Direction,
    pub(super) offset: u64,
    pub(super) bytes: &'a mut [u8],
    pub(super) starts: bool,
}

impl Statements {
    /// Hides what is to be hidden of a stretch of a connection that speaks like this: nothing, where it is no database's.
    pub(super) fn hide(&mut self, key: (u64, bool), speech: Speech, stretch: Stretch<'_>) {
        let Speech { client, compressed, .. } = speech;
        let Stretch { direction, offset, bytes, starts } = stretch;
        let Some(stream) = self.stream(key, speech) else { return };
        if compressed {
            stream.mask.compressed();
        }
        let from = if direction == client { Party::Client } else { Party::Server };
        stream.mask.hide(from, offset, bytes, starts);
    }

    /// What the parser has read of what is hidden next.
    pub(super) fn note(&mut self, key: (u64, bool), speech: Speech, notes: &Notes) {
        if let Some(stream) = self.stream(key, speech) {
            stream.mask.note(notes);
        }
    }

    /// All that the parser has read is hidden.
    pub(super) fn settle(&mut self, key: (u64, bool)) {
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.mask.settle();
        }
    }

    fn stream(&mut self, key: (u64, bool), speech: Speech) -> Option<&mut Stream> {
        let Speech { protocol, client, .. } = speech;
        let known = self.streams.get(&key);
        if known.is_none_or(|stream| stream.protocol != protocol || stream.client != client) {
            self.streams.remove(&key);
            let mask = Mask::new(protocol)?;
            self.make_room();
            self.streams.insert(key, Stream { protocol, client, mask, used: 0 });
        }
        self.clock += 1;
        let stream = self.streams.get_mut(&key)?;
        stream.used = self.clock;
        Some(stream)
    }

    /// The session is this socket's, where what is sent and what is received begins at `begins`.
    pub(super) fn bind(&mut self, session: u64, socket: u64, begins: [u64; 2]) {
        if let Some(mut stream) = self.streams.remove(&(session, true)) {
            let client = stream.client as usize;
            stream.mask.shift([begins[client], begins[1 - client]]);
            self.streams.insert((socket, true), stream);
        }
    }

    pub(super) fn forget(&mut self, socket: u64) {
        for plaintext in [false, true] {
            self.streams.remove(&(socket, plaintext));
        }
    }

    /// Connections forgotten while they were masked.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn make_room(&mut self) {
        if self.streams.len() < STREAMS {
            return;
        }
        let mut used: Vec<u64> = self.streams.values().map(|stream| stream.used).collect();
        let (_, last, _) = used.select_nth_unstable(STREAMS / FORGOTTEN_SHARE);
        let (before, last) = (self.streams.len(), *last);
        self.streams.retain(|_, stream| stream.used > last);
        self.forgotten += (before - self.streams.len()) as u64;
    }
}

/// The parts of an operation that were captured.
pub(super) fn stretches<'a>(
    record: &DataRecord<'_>,
    captured: &'a mut [u8],
    tail: &'a mut [u8],
) -> [Stretch<'a>; 2] {
    let (direction, offset) = (record.direction, record.offset);
    let seen = captured.len() as u64;
    // Where the tail reaches into what was captured, it is of the same bytes.
    let last = offset.saturating_add(record.length).saturating_sub(tail.len() as u64);
    let again = usize::try_from(offset.saturating_add(seen).saturating_sub(last))
        .unwrap_or(usize::MAX)
        .min(tail.len());
    let (same, tail) = tail.split_at_mut(again);
    same.fill(b'*');
    [
        Stretch { direction, offset, bytes: captured, starts: true },
        Stretch { direction, offset: last.saturating_add(again as u64), bytes: tail, starts: false },
    ]
}
