//! Per connection: kernel records in order, both directions, gaps as values, and the protocol they speak.
//!
//! Time is that of the records. What a table cannot hold is dropped oldest first, and counted.

mod budget;
mod connection;
mod detection;
mod endpoints;
mod masking;
mod protocol;
mod unbound;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use honeyguide_common::verdict;
use honeyguide_protocols::{
    CloseReason, Stamp,
    detect::{Direction, Protocol},
    http2::Secrets,
    mysql,
};

use budget::Budget;
pub use connection::ConnectionInfo;
use connection::{Flow, Outcome};
pub use endpoints::{Endpoints, Role, Vantage};
pub use masking::{Hiding, Speech};
pub use protocol::{CallEvent, Detail, Head};

use unbound::Unbound;

use crate::decode::{BindRecord, ConnectionRecord, DataRecord, StateChange, StateRecord};

/// A socket that ended may still hold bytes its owner has yet to read; wait this long for them.
const END_LINGER: u64 = 100_000_000;
/// When the table is full, this share of it (the longest idle) goes at once.
const EVICTED_SHARE: usize = 16;

/// What a connection had to say.
#[derive(Debug)]
pub struct FlowEvent {
    pub connection: Arc<ConnectionInfo>,
    pub role: Role,
    pub event: CallEvent,
}

/// All connections that are followed.
#[derive(Debug)]
pub struct Flows {
    table: HashMap<u64, Flow, foldhash::fast::FixedState>,
    limit: usize,
    budget: Budget,
    ending: VecDeque<(u64, u64, CloseReason)>,
    events: VecDeque<FlowEvent>,
    verdicts: Vec<(u64, u8)>,
    unbound: Unbound,
    vantage: Vantage,
    secrets: Option<Secrets>,
    pub counters: FlowCounters,
}

/// What happened since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowCounters {
    pub opened: u64,
    pub closed: u64,
    /// Connections whose description was lost.
    pub undescribed: u64,
    /// Connections dropped because the table was full.
    pub evicted: u64,
    /// Connections found to speak nothing that is parsed.
    pub ignored: u64,
    /// Connections that went on in another protocol.
    pub upgraded: u64,
    /// Connections followed inside of TLS.
    pub encrypted: u64,
    /// Connections over TLS that ended with nothing of their inside seen.
    pub opaque: u64,
    /// Plaintext records dropped because their socket did not become known in time.
    pub unbound_dropped: u64,
    /// Connections given up after too many malformed messages.
    pub failed: u64,
    /// Connections given up because all of them held too much of messages that were not whole.
    pub over_budget: u64,
    /// Gaps that no record stands for: records were lost in the kernel.
    pub lost_stretches: u64,
    /// Records that came behind a later one of their direction.
    pub reordered: u64,
    /// Messages a parser could not read.
    pub malformed_messages: u64,
    /// Responses whose request was not seen.
    pub orphan_responses: u64,
    /// Requests or events a parser had no room for.
    pub parser_drops: u64,
}

/// How many connections are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowStates {
    pub detecting: u64,
    /// Those whose protocol is known, in the order of [`Protocol::ALL`].
    pub known: [u64; Protocol::ALL.len()],
    pub ignored: u64,
    /// Over TLS, of which the inside is not seen.
    pub opaque: u64,
}

impl FlowStates {
    #[must_use]
    pub fn by_name(&self) -> Vec<(&'static str, u64)> {
        let known = Protocol::ALL.iter().zip(self.known).map(|(protocol, count)| (protocol.name(), count));
        let rest = [("ignored", self.ignored), ("opaque", self.opaque)];
        [("detecting", self.detecting)].into_iter().chain(known).chain(rest).collect()
    }
}

impl Flows {
    /// `limit`: connections followed at once. `bytes`: what they hold of messages that are not whole yet.
    #[must_use]
    pub fn new(limit: usize, bytes: usize) -> Self {
        Self {
            table: HashMap::default(),
            limit: limit.max(1),
            budget: Budget::new(bytes),
            ending: VecDeque::new(),
            events: VecDeque::new(),
            verdicts: Vec::new(),
            unbound: Unbound::default(),
            vantage: Vantage::default(),
            secrets: None,
            counters: FlowCounters::default(),
        }
    }

    /// Of the connections that are described from now on.
    pub fn set_vantage(&mut self, vantage: Vantage) {
        self.vantage = vantage;
    }

    /// Of the connections from now on, says what of their bytes can be shown to anybody: everything but secrets. Only of
    /// HTTP/2; see [`Self::hiding`].
    pub fn mask(&mut self, secrets: Secrets) {
        self.secrets = Some(secrets);
    }

    /// What can be shown of a connection's bytes since the last call, by direction and stream offset.
    pub fn take_shown(&mut self, socket: u64) -> Vec<(Direction, u64, Vec<u8>)> {
        self.table.get_mut(&socket).map_or_else(Vec::new, Flow::take_shown)
    }

    /// How the bytes of a direction are to be treated, as of now; `plaintext`: those inside of TLS.
    #[must_use]
    pub fn hiding(&self, socket: u64, direction: Direction, plaintext: bool) -> Hiding {
        self.table.get(&socket).map_or_else(Hiding::default, |flow| flow.hiding(direction, plaintext))
    }

    /// What MySQL's parser has read of a connection since the last call; `None` where it speaks anything else.
    pub fn take_notes(&mut self, socket: u64) -> Option<mysql::Notes> {
        self.table.get_mut(&socket).and_then(Flow::take_notes)
    }

    /// What a connection speaks, where that is known; `plaintext`: inside of TLS.
    #[must_use]
    pub fn speech(&self, socket: u64, plaintext: bool) -> Option<Speech> {
        self.table.get(&socket).and_then(|flow| flow.speech(plaintext))
    }

    pub fn handle_connection(&mut self, record: ConnectionRecord) {
        self.make_room();
        self.counters.opened += 1;
        let flow = Flow::described(record, self.vantage, self.secrets);
        self.table.insert(flow.info.socket, flow);
    }

    pub fn handle_data(&mut self, record: &DataRecord<'_>) {
        if record.unbound {
            self.counters.unbound_dropped += self.unbound.hold(record);
            return;
        }
        if !self.table.contains_key(&record.socket) {
            // Its description was lost with a full ring; the bytes still tell the protocol.
            self.make_room();
            self.counters.undescribed += 1;
            self.table.insert(record.socket, Flow::undescribed(record, self.secrets));
        }
        let Some(flow) = self.table.get_mut(&record.socket) else { return };
        let outcome = flow.handle_data(record, &mut self.counters, &mut self.events);
        match outcome {
            Outcome::Followed | Outcome::Again => {}
            Outcome::Keep(word) => self.verdicts.push((judged(record.socket, record.plaintext), word)),
            Outcome::Ignore => {
                self.verdicts.push((judged(record.socket, record.plaintext), verdict::IGNORE));
            }
            Outcome::Failed(errno) => {
                self.end(record.socket, record.stamp.time, CloseReason::Error(errno));
            }
        }
        if self.budget.is_due(record.bytes.len()) {
            self.keep_to_budget(record.stamp);
        }
    }

    /// Those that hold too much are only counted from now on.
    fn keep_to_budget(&mut self, at: Stamp) {
        for socket in self.budget.excess(&self.table) {
            let Some(flow) = self.table.get_mut(&socket) else { continue };
            self.counters.over_budget += 1;
            flow.give_up(Stamp { time: at.time, ..Stamp::default() }, &mut self.counters, &mut self.events);
            self.verdicts.push((judged(socket, flow.info.encrypted), verdict::IGNORE));
        }
    }

    /// What was held of a TLS session is its socket's.
    pub fn handle_bind(&mut self, record: BindRecord) {
        for held in self.unbound.take(record.session) {
            let begins = match held.direction {
                Direction::Sent => record.sent,
                Direction::Received => record.received,
            };
            self.handle_data(&held.record(record.socket, begins));
        }
    }

    pub fn handle_state(&mut self, record: &StateRecord) {
        let at = Stamp { time: record.time, ..Stamp::default() };
        match record.change {
            // What the peer sent before may still wait to be read; the reader will meet the end itself.
            StateChange::RemoteShutdown => {}
            StateChange::LocalShutdown => {
                if let Some(flow) = self.table.get_mut(&record.socket) {
                    flow.handle_local_shutdown(at, &mut self.counters, &mut self.events);
                }
            }
            // Who sent its own end first may have the peer's last bytes still to read.
            StateChange::Closed => self.end(record.socket, record.time, CloseReason::Finished),
            StateChange::Abandoned => self.close(record.socket, at, CloseReason::Finished),
            StateChange::Failed(errno) => self.end(record.socket, record.time, CloseReason::Error(errno)),
            StateChange::Unobserved => self.close(record.socket, at, CloseReason::Unobserved),
        }
    }

    /// Ends what has waited long enough; `now` is on the records' clock.
    pub fn handle_time(&mut self, now: u64) {
        while let Some(&(due, socket, reason)) = self.ending.front()
            && due <= now
        {
            self.ending.pop_front();
            self.close(socket, Stamp { time: due - END_LINGER, ..Stamp::default() }, reason);
        }
    }

    /// Forgets unix sockets of processes that are gone: nothing tells of their end.
    pub fn sweep(&mut self, now: u64, is_alive: impl Fn(u32) -> bool) {
        let gone: Vec<u64> = self
            .table
            .values()
            .filter(|flow| matches!(flow.info.endpoints, Endpoints::Unix { .. } | Endpoints::Unknown))
            .filter(|flow| !is_alive(flow.info.pid))
            .map(|flow| flow.info.socket)
            .collect();
        for socket in gone {
            self.close(socket, Stamp { time: now, ..Stamp::default() }, CloseReason::Finished);
        }
    }

    /// Ends every connection: the agent stops watching.
    pub fn close_all(&mut self, now: u64) {
        // What was ending has ended, and how is known.
        self.handle_time(u64::MAX);
        let mut sockets: Vec<u64> = self.table.keys().copied().collect();
        sockets.sort_unstable();
        for socket in sockets {
            self.close(socket, Stamp { time: now, ..Stamp::default() }, CloseReason::Unobserved);
        }
    }

    pub fn poll_event(&mut self) -> Option<FlowEvent> {
        self.events.pop_front()
    }

    /// The verdicts since the last call, for the kernel.
    pub fn take_verdicts(&mut self) -> Vec<(u64, u8)> {
        std::mem::take(&mut self.verdicts)
    }

    #[must_use]
    pub fn states(&self) -> FlowStates {
        let mut states = FlowStates::default();
        for flow in self.table.values() {
            flow.count_state(&mut states);
        }
        states
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// A connection that fails, or ends while something is expected of it, ends a little later.
    fn end(&mut self, socket: u64, time: u64, reason: CloseReason) {
        let Some(flow) = self.table.get_mut(&socket) else { return };
        if reason == CloseReason::Finished && !flow.is_waiting() {
            self.close(socket, Stamp { time, ..Stamp::default() }, reason);
        } else if flow.start_ending() {
            self.ending.push_back((time + END_LINGER, socket, reason));
        }
    }

    fn close(&mut self, socket: u64, at: Stamp, reason: CloseReason) {
        if let Some(mut flow) = self.table.remove(&socket) {
            self.counters.closed += 1;
            flow.handle_close(at, reason, &mut self.counters, &mut self.events);
        }
    }

    fn make_room(&mut self) {
        if self.table.len() < self.limit {
            return;
        }
        let mut idle: Vec<(u64, u64)> =
            self.table.values().map(|flow| (flow.last_active, flow.info.socket)).collect();
        let count = (idle.len() / EVICTED_SHARE).max(1);
        idle.select_nth_unstable(count - 1);
        for &(last_active, socket) in &idle[..count] {
            self.counters.evicted += 1;
            self.close(socket, Stamp { time: last_active, ..Stamp::default() }, CloseReason::Unobserved);
        }
    }
}

/// What a verdict is about: a socket, or the inside of TLS on it.
fn judged(socket: u64, plaintext: bool) -> u64 {
    if plaintext { verdict::plaintext(socket) } else { socket }
}

#[cfg(test)]
mod tests {
    use honeyguide_protocols::{Event, Outcome};

    use super::*;

    const TCP: Endpoints = Endpoints::Unknown;

    fn record(time: u64, direction: Direction, bytes: &[u8]) -> DataRecord<'_> {
        DataRecord {
            socket: 1,
            plaintext: false,
            unbound: false,
            stamp: Stamp { time, ..Stamp::default() },
            direction,
            offset: 0,
            length: bytes.len() as u64,
            bytes,
            tail: [0; 16],
            tail_length: 0,
            eof: false,
            error: None,
            creator: 0,
        }
    }

    struct Watched(Flows);

    impl Watched {
        fn new() -> Self {
            let mut flows = Flows::new(8, 1 << 20);
            flows.handle_connection(ConnectionRecord {
                socket: 1,
                time: 0,
                pid: 7,
                endpoints: TCP,
                netns: 0,
                from_start: true,
                sequences: None,
                unix: None,
            });
            Self(flows)
        }

        fn data(&mut self, time: u64, direction: Direction, bytes: &[u8]) {
            self.0.handle_data(&record(time, direction, bytes));
        }

        fn state(&mut self, time: u64, change: StateChange) {
            self.0.handle_state(&StateRecord { socket: 1, time, change });
        }

        fn ended(&mut self) -> Vec<(Outcome, Option<u64>)> {
            std::iter::from_fn(|| self.0.poll_event())
                .filter_map(|event| match event.event {
                    Event::Exchange(exchange) => {
                        Some((exchange.outcome, exchange.closed.map(|closed| closed.time)))
                    }
                    Event::Request { .. } | Event::Response { .. } => None,
                })
                .collect()
        }
    }

    #[test]
    fn a_client_that_closed_its_half_may_read_its_answer_when_the_kernel_is_done() {
        let mut watched = Watched::new();
        watched.data(1, Direction::Sent, b"GET / HTTP/1.1\r\n\r\n");
        watched.state(2, StateChange::LocalShutdown);
        watched.state(3, StateChange::Closed);
        watched.data(4, Direction::Received, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(watched.ended(), [(Outcome::Complete, None)]);
        watched.0.handle_time(3 + END_LINGER);
        assert!(watched.0.is_empty());
    }

    #[test]
    fn connections_that_hold_most_are_given_up_beyond_the_budget() {
        let mut flows = Flows::new(100, 64 << 10);
        let mut send = |socket, bytes: &[u8]| {
            flows.handle_data(&DataRecord {
                socket,
                length: bytes.len() as u64,
                ..record(1, Direction::Sent, bytes)
            });
        };
        // A head without end, and small ones beside it.
        let endless = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'a'; 20_000]].concat();
        for socket in 1..=6 {
            send(socket, &endless);
        }
        for socket in 7..50 {
            send(socket, b"GET /small HTTP/1.1\r\nHo");
        }
        send(50, &endless);
        let held: usize = flows.table.values().map(Flow::buffered).sum();
        assert!(held <= 64 << 10, "{held}");
        assert!((3..=5).contains(&flows.counters.over_budget), "{:?}", flows.counters);
        assert_eq!(flows.take_verdicts().len() as u64, flows.counters.over_budget);
        let states = flows.states();
        assert_eq!(states.ignored, flows.counters.over_budget);
        assert!(states.known[Protocol::Http1 as usize] >= 43, "small ones go on: {states:?}");
    }

    /// The verdict is about the plaintext: the socket's own is about the ciphertext.
    #[test]
    fn what_is_given_up_inside_of_tls_is_the_inside() {
        let plaintext = |socket, offset, bytes| DataRecord {
            socket,
            plaintext: true,
            offset,
            length: 1_000_000,
            ..record(1, Direction::Sent, bytes)
        };
        let mut flows = Flows::new(100, 64 << 10);
        flows.handle_data(&plaintext(1, 0, b"SSH-2.0-OpenSSH\r\n"));
        for chunk in 0..300 {
            flows.handle_data(&plaintext(1, (chunk + 1) * 1_000_000, b"\x01\x02\x03"));
        }
        assert_eq!(flows.take_verdicts().first(), Some(&(verdict::plaintext(1), verdict::IGNORE)));

        let endless = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'a'; 20_000]].concat();
        for socket in 2..=7 {
            let length = endless.len() as u64;
            flows.handle_data(&DataRecord { length, ..plaintext(socket, 0, &endless) });
        }
        assert!(flows.counters.over_budget > 0);
        let verdicts = flows.take_verdicts();
        assert_eq!(verdicts.len() as u64, flows.counters.over_budget);
        assert!(verdicts.iter().all(|(stream, word)| *word == verdict::IGNORE && *stream > 1 << 63));
    }

    #[test]
    fn what_failed_just_before_the_end_has_failed() {
        let mut watched = Watched::new();
        watched.data(1, Direction::Sent, b"GET / HTTP/1.1\r\n\r\n");
        watched.state(3, StateChange::Failed(104));
        watched.0.close_all(5);
        assert_eq!(watched.ended(), [(Outcome::Aborted(CloseReason::Error(104)), Some(3))]);
    }

    #[test]
    fn a_call_that_is_given_up_ends_when_its_connection_does() {
        let mut watched = Watched::new();
        watched.data(1, Direction::Sent, b"GET / HTTP/1.1\r\n\r\n");
        watched.state(3, StateChange::Closed);
        watched.0.handle_time(2 + END_LINGER);
        assert_eq!(watched.ended(), []);
        watched.0.handle_time(3 + END_LINGER);
        assert_eq!(watched.ended(), [(Outcome::Aborted(CloseReason::Finished), Some(3))]);
    }
}
