//! Hiding the secrets of HTTP/2's header blocks. Its fields are compressed by what was sent before, so connections are
//! followed as they will be when the recording is read, and of a connection that speaks HTTP/2 nothing is written but
//! what its parser has understood and shows.
//!
//! What databases are told and answer is hidden by `statements`, to which it tells what a connection speaks, and what
//! MySQL's parser has read of it.
//!
//! What is hidden of a block depends on all of it. Where it comes in several records, those before the last are
//! written with asterisks, and overwritten in the file when the block is known.

use std::{cmp::Reverse, collections::HashMap, ops::Range};

use honeyguide_protocols::{detect::Direction, http2::Secrets, mask};

use super::{
    losses::Losses,
    statements::{self, Statements, Stretch as Said},
};
use crate::{
    decode::{BindRecord, ConnectionRecord, DataRecord, StateChange, StateRecord},
    flow::{Flows, Speech},
};

/// Connections followed, and TLS sessions without a socket; the longest idle is forgotten first.
const CONNECTIONS: usize = 65_536;
const SESSIONS: usize = 4_096;
/// Bytes that all of them may hold of what is not whole.
const BUFFERED: usize = 64 << 20;
/// Stretches that wait to be shown, of all connections. Beyond it this share of them stays hidden, of whom most wait: a
/// session that never finds its socket costs no other.
const STRETCHES: usize = 65_536;
const GIVEN_UP_SHARE: usize = 16;

#[derive(Debug)]
pub(super) struct Frames {
    flows: Flows,
    /// Plaintext whose socket is not known yet, by its session: only to see whether it is HTTP/2.
    sessions: Flows,
    /// What was hidden and may be shown yet.
    hidden: HashMap<Key, Vec<Stretch>>,
    stretches: usize,
    given_up: u64,
    statements: Statements,
}

/// A socket or session, whether it is plaintext, and a direction.
type Key = (u64, bool, Direction);

/// Captured bytes, and where they are in the recording.
#[derive(Debug)]
struct Stretch {
    offset: u64,
    length: usize,
    place: u64,
    /// Which of them were hidden before, and stay so.
    struck: Vec<Range<usize>>,
}

/// Bytes to be written over those at `place` of the recording.
#[derive(Debug)]
pub(super) struct Patch {
    pub(super) place: u64,
    pub(super) bytes: Vec<u8>,
}

/// Where a record's captured bytes are in the recording, and the tail that was kept of its rest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    pub(super) captured: u64,
    pub(super) tail: u64,
}

impl Frames {
    pub(super) fn new(secrets: Secrets) -> Self {
        let mut flows = Flows::new(CONNECTIONS, BUFFERED);
        let mut sessions = Flows::new(SESSIONS, BUFFERED);
        flows.mask(secrets);
        sessions.mask(secrets);
        Self {
            flows,
            sessions,
            hidden: HashMap::new(),
            stretches: 0,
            given_up: 0,
            statements: Statements::default(),
        }
    }

    pub(super) fn connection(&mut self, record: ConnectionRecord) {
        self.flows.handle_connection(record);
    }

    /// Hides one operation's bytes, if they are HTTP/2's; what of them, and of earlier ones, can be shown.
    pub(super) fn data(
        &mut self,
        record: &DataRecord<'_>,
        captured: &mut [u8],
        tail: &mut [u8],
        places: Places,
    ) -> Vec<Patch> {
        let before = self.speech(record);
        self.flows.handle_data(record);
        let hiding = if record.unbound {
            self.sessions.handle_data(&DataRecord { plaintext: false, unbound: false, ..*record });
            self.sessions.take_shown(record.socket);
            self.sessions.hiding(record.socket, record.direction, false)
        } else {
            self.flows.hiding(record.socket, record.direction, record.plaintext)
        };
        // It may be the last that is read of it.
        let speech = self.speech(record).or(before);
        self.pass_time(record.stamp.time);
        let mut patches = Vec::new();
        if let Some(speech) = speech.filter(|speech| mask::hides(speech.protocol)) {
            let key = (record.socket, record.plaintext);
            if record.unbound
                && let Some(notes) = self.sessions.take_notes(record.socket)
            {
                self.statements.note(key, speech, &notes);
            }
            // What came before it was known is masked first.
            patches = self.show(record.socket, record.plaintext);
            for said in statements::stretches(record, captured, tail) {
                self.statements.hide(key, speech, said);
            }
            self.statements.settle(key);
        }
        let key = (record.socket, record.plaintext, record.direction);
        if let Some(from) = hiding.from {
            let end = record.offset.saturating_add(record.length);
            let last = end.saturating_sub(tail.len() as u64);
            let kept = &record.tail[..record.tail_length];
            for (bytes, original, offset, place) in
                [(captured, record.bytes, record.offset, places.captured), (tail, kept, last, places.tail)]
            {
                let plain = usize::try_from(from.saturating_sub(offset)).unwrap_or(usize::MAX);
                let Some(bytes) = bytes.get_mut(plain..).filter(|bytes| !bytes.is_empty()) else { continue };
                let struck = differences(bytes, original.get(plain..).unwrap_or_default());
                bytes.fill(b'*');
                let plain = plain as u64;
                let (offset, place) = (offset + plain, place + plain);
                self.hide(key, Stretch { offset, length: bytes.len(), place, struck });
            }
        }
        patches.extend(self.show(record.socket, record.plaintext));
        if !hiding.waits && !record.unbound {
            self.settle(key);
        }
        patches
    }

    /// A session's socket is known; what of its bytes can be shown.
    pub(super) fn bind(&mut self, record: BindRecord) -> Vec<Patch> {
        for (direction, begins) in [(Direction::Sent, record.sent), (Direction::Received, record.received)] {
            let Some(stretches) = self.hidden.remove(&(record.session, true, direction)) else { continue };
            let moved = stretches
                .into_iter()
                .map(|stretch| Stretch { offset: stretch.offset.saturating_add(begins), ..stretch });
            self.hidden.entry((record.socket, true, direction)).or_default().extend(moved);
        }
        let over = StateRecord { socket: record.session, time: record.time, change: StateChange::Unobserved };
        self.sessions.handle_state(&over);
        self.statements.bind(record.session, record.socket, [record.sent, record.received]);
        self.flows.handle_bind(record);
        let patches = self.show(record.socket, true);
        for direction in [Direction::Sent, Direction::Received] {
            if !self.flows.hiding(record.socket, direction, true).waits {
                self.settle((record.socket, true, direction));
            }
        }
        patches
    }

    pub(super) fn state(&mut self, record: &StateRecord) {
        self.flows.handle_state(record);
        self.pass_time(record.time);
    }

    /// The socket is closed.
    pub(super) fn forget(&mut self, socket: u64) {
        for plaintext in [false, true] {
            for direction in [Direction::Sent, Direction::Received] {
                self.settle((socket, plaintext, direction));
            }
        }
        self.statements.forget(socket);
    }

    /// What a record's connection speaks.
    fn speech(&self, record: &DataRecord<'_>) -> Option<Speech> {
        if record.unbound {
            return self.sessions.speech(record.socket, false);
        }
        self.flows.speech(record.socket, record.plaintext)
    }

    /// What there was no room for.
    pub(super) fn losses(&self) -> Losses {
        let [flows, sessions] = [&self.flows, &self.sessions].map(|flows| flows.counters);
        Losses {
            connections: flows.evicted + flows.over_budget,
            sessions: sessions.evicted + sessions.over_budget,
            unbound: flows.unbound_dropped,
            stretches: self.given_up,
            statements: self.statements.forgotten(),
            streams: 0,
        }
    }

    fn pass_time(&mut self, now: u64) {
        for flows in [&mut self.flows, &mut self.sessions] {
            flows.handle_time(now);
            while flows.poll_event().is_some() {}
            flows.take_verdicts();
        }
    }

    fn hide(&mut self, key: Key, stretch: Stretch) {
        if self.stretches >= STRETCHES {
            self.give_up();
        }
        self.stretches += 1;
        self.hidden.entry(key).or_default().push(stretch);
    }

    fn give_up(&mut self) {
        let mut waiting: Vec<(usize, Key)> =
            self.hidden.iter().map(|(key, stretches)| (stretches.len(), *key)).collect();
        waiting.sort_unstable_by_key(|(count, _)| Reverse(*count));
        for (_, key) in waiting {
            self.given_up += self.settle(key) as u64;
            if self.stretches <= STRETCHES - STRETCHES / GIVEN_UP_SHARE {
                return;
            }
        }
    }

    /// Nothing that was hidden will be shown; how much that was.
    fn settle(&mut self, key: Key) -> usize {
        let settled = self.hidden.remove(&key).map_or(0, |stretches| stretches.len());
        self.stretches = self.stretches.saturating_sub(settled);
        settled
    }

    fn show(&mut self, socket: u64, plaintext: bool) -> Vec<Patch> {
        let mut patches = Vec::new();
        let speech = self.flows.speech(socket, plaintext).filter(|speech| mask::hides(speech.protocol));
        if let Some(speech) = speech
            && let Some(notes) = self.flows.take_notes(socket)
        {
            self.statements.note((socket, plaintext), speech, &notes);
        }
        for (index, (direction, offset, mut bytes)) in self.flows.take_shown(socket).into_iter().enumerate() {
            if let Some(speech) = speech {
                // Of each operation the first bytes, then the last.
                let starts = index % 2 == 0;
                let said = Said { direction, offset, bytes: &mut bytes, starts };
                self.statements.hide((socket, plaintext), speech, said);
            }
            let Some(stretches) = self.hidden.get(&(socket, plaintext, direction)) else { continue };
            let end = offset + bytes.len() as u64;
            for stretch in stretches {
                let (from, to) =
                    (offset.max(stretch.offset), end.min(stretch.offset + stretch.length as u64));
                if from < to
                    && let (Ok(start), Ok(stop)) =
                        (usize::try_from(from - offset), usize::try_from(to - offset))
                {
                    let skipped = from - stretch.offset;
                    let mut bytes = bytes[start..stop].to_vec();
                    stretch.strike(usize::try_from(skipped).unwrap_or(usize::MAX), &mut bytes);
                    patches.push(Patch { place: stretch.place + skipped, bytes });
                }
            }
        }
        patches
    }
}

impl Stretch {
    /// Hides what was hidden before in `bytes`, which are this stretch's behind so many of them.
    fn strike(&self, skipped: usize, bytes: &mut [u8]) {
        for struck in &self.struck {
            let (from, to) = (struck.start.saturating_sub(skipped), struck.end.saturating_sub(skipped));
            let to = to.min(bytes.len());
            if let Some(bytes) = bytes.get_mut(from..to) {
                bytes.fill(b'*');
            }
        }
    }
}

/// Where two are not the same.
fn differences(a: &[u8], b: &[u8]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for at in (0..a.len()).filter(|&at| b.get(at) != a.get(at)) {
        match found.last_mut() {
            Some(last) if last.end == at => last.end = at + 1,
            _ => found.push(at..at + 1),
        }
    }
    found
}
