//! All connections of a capture.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
};

use super::{
    Packet,
    connection::{Connection, Sink},
    counters::Counters,
    segment::Segment,
};
use crate::decode::{Record, StateChange};

/// What may be held at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections, closed ones included until their addresses are needed again.
    pub connections: usize,
    /// Bytes of one connection that wait for others in front of them.
    pub waiting: usize,
    /// The same for all connections together.
    pub waiting_in_all: usize,
}

/// Takes packets in the order of their capture, hands out records in the order of the streams.
#[derive(Debug)]
pub struct Connections {
    limits: Limits,
    table: HashMap<Key, Box<Connection>, foldhash::fast::FixedState>,
    /// Those that wait for something, by when they stop to.
    due: BTreeSet<(u64, Key)>,
    /// Sum of what they hold.
    weight: usize,
    sockets: u64,
    now: u64,
    pub counters: Counters,
}

/// The two ends of a connection, the lower first.
type Key = (SocketAddr, SocketAddr);

/// When the table is full, this share of it (the longest idle) goes at once.
const EVICTED_SHARE: usize = 16;

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 100_000, waiting: 8 << 20, waiting_in_all: 256 << 20 }
    }
}

impl Connections {
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            table: HashMap::default(),
            due: BTreeSet::new(),
            weight: 0,
            sockets: 0,
            now: 0,
            counters: Counters::default(),
        }
    }

    /// One packet. `sink` takes each record, and says whether its connection is still of interest.
    pub fn handle(&mut self, packet: &Packet<'_>, sink: &mut dyn FnMut(Record<'_>) -> bool) {
        self.counters.packets += 1;
        self.now = self.now.max(packet.time);
        self.expire(sink);
        let segment = match Segment::read(packet) {
            Ok(segment) => segment,
            Err(skipped) => return self.counters.skip(skipped),
        };
        self.counters.segments += 1;
        let (source, destination) = (segment.source, segment.destination);
        let key = if source <= destination { (source, destination) } else { (destination, source) };
        let succeeded = self.table.get(&key).is_some_and(|connection| connection.is_succeeded_by(&segment));
        let mut before = if succeeded { self.table.remove(&key) } else { None };
        let mut belied = None;
        if let Some(before) = &mut before {
            self.update(key, before, sink, |connection, counters, sink| {
                belied = connection.take_belied(&segment);
                connection.close(StateChange::Unobserved, counters, sink);
            });
        }
        let mut connection = match self.table.remove(&key) {
            Some(connection) => connection,
            // The end of something that was not seen.
            None if segment.reset => return,
            None => {
                self.make_room(sink);
                self.sockets += 1;
                Box::new(Connection::new(self.sockets, &segment, before.as_deref()))
            }
        };
        self.update(key, &mut connection, sink, |connection, counters, sink| {
            if let Some(reset) = belied {
                connection.go_on(reset, counters, sink);
            }
            connection.handle(&segment, counters, sink);
        });
        let weight = connection.weight();
        if weight > self.limits.waiting || (weight > 0 && self.weight > self.limits.waiting_in_all) {
            self.counters.forced += 1;
            self.update(key, &mut connection, sink, Connection::flush);
        }
        self.table.insert(key, connection);
    }

    /// The end of the capture: what is held passes. The connections stay open, as far as anyone knows.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Record<'_>) -> bool) {
        let mut waiting: Vec<(u64, Key)> =
            self.due.iter().filter_map(|&(_, key)| Some((self.table.get(&key)?.socket, key))).collect();
        waiting.sort_unstable();
        for (_, key) in waiting {
            self.visit(key, sink, Connection::flush);
        }
    }

    /// Bytes that wait, with what they cost.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.weight
    }

    /// The time of the capture: the latest of any packet.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now
    }

    fn expire(&mut self, sink: &mut Sink<'_>) {
        while let Some(&(due, key)) = self.due.first()
            && due <= self.now
        {
            let now = self.now;
            self.visit(key, sink, |connection, counters, sink| connection.expire(now, counters, sink));
        }
    }

    fn visit(
        &mut self,
        key: Key,
        sink: &mut Sink<'_>,
        act: impl FnOnce(&mut Connection, &mut Counters, &mut Sink<'_>),
    ) {
        let Some(mut connection) = self.table.remove(&key) else { return };
        self.update(key, &mut connection, sink, act);
        self.table.insert(key, connection);
    }

    /// Does something to a connection that is out of the table, and keeps account of what it holds and waits for.
    fn update(
        &mut self,
        key: Key,
        connection: &mut Connection,
        sink: &mut Sink<'_>,
        act: impl FnOnce(&mut Connection, &mut Counters, &mut Sink<'_>),
    ) {
        let (due, weight, described) = (connection.due, connection.weight(), connection.described);
        act(connection, &mut self.counters, sink);
        if connection.described && !described {
            self.counters.connections += 1;
            self.counters.joined += u64::from(!connection.opened);
        }
        self.weight = self.weight - weight + connection.weight();
        if due != connection.due {
            if let Some(due) = due {
                self.due.remove(&(due, key));
            }
            if let Some(due) = connection.due {
                self.due.insert((due, key));
            }
        }
    }

    fn make_room(&mut self, sink: &mut Sink<'_>) {
        if self.table.len() < self.limits.connections.max(1) {
            return;
        }
        // Closed ones first: nothing is lost with them.
        let mut idle: Vec<(bool, u64, u64, Key)> = self
            .table
            .iter()
            .map(|(&key, connection)| (!connection.closed, connection.last_active, connection.socket, key))
            .collect();
        let count = (idle.len() / EVICTED_SHARE).max(1);
        idle.sort_unstable();
        for &(open, _, _, key) in &idle[..count] {
            self.counters.evicted += u64::from(open);
            if let Some(mut connection) = self.table.remove(&key) {
                self.update(key, &mut connection, sink, |connection, counters, sink| {
                    connection.close(StateChange::Unobserved, counters, sink);
                });
            }
        }
    }
}
