//! What the thread that served a request did with its time, exactly: as attributes of the server's span.
//!
//! Said only where it is certain to be that request's time: one thread read the request and wrote the whole
//! response, and read no other request in between.

use std::collections::{HashMap, VecDeque};

use honeyguide_common::record::{WAIT_DISK, WAIT_LOCK, WAIT_NETWORK, WAIT_OTHER, WAIT_SLEEP};
use honeyguide_protocols::{Exchange, Stamp, exchange::Outcome};

use crate::{
    attribute::Attributes,
    decode::{Spent, TimesRecord},
    link::Token,
};

type Map<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// Threads' times at their operations, until the exchanges these belong to are over.
#[derive(Debug)]
pub struct ThreadTimes {
    limit: usize,
    /// By thread and time of the operation.
    operations: Map<(u32, u64), Spent>,
    order: VecDeque<(u32, u64)>,
    /// How many requests each thread has read.
    reads: Map<u32, u64>,
    /// What `reads` said when a request was read.
    requests: Map<Token, u64>,
    /// The times of exchanges that are over.
    done: Map<Token, Spent>,
    /// Operations and requests that found no place: their spans go without times.
    pub dropped: u64,
}

impl ThreadTimes {
    /// `limit` bounds each of the tables.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            operations: Map::default(),
            order: VecDeque::new(),
            reads: Map::default(),
            requests: Map::default(),
            done: Map::default(),
            dropped: 0,
        }
    }

    pub fn handle(&mut self, record: &TimesRecord) {
        let key = (record.tid, record.time);
        if self.order.len() >= self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.dropped += u64::from(self.operations.remove(&oldest).is_some());
        }
        self.order.push_back(key);
        self.operations.insert(key, record.spent);
    }

    /// `tid` has read a request.
    pub fn request(&mut self, token: Token, tid: u32) {
        // Without times nothing is kept; at the bound nothing new is.
        if self.operations.is_empty() {
            return;
        }
        if self.requests.len() >= self.limit || self.reads.len() >= self.limit {
            // Ended threads leave their counters behind; open requests without one are merely left out.
            self.dropped += self.requests.len() as u64;
            self.requests.clear();
            self.reads.clear();
        }
        let reads = self.reads.entry(tid).or_default();
        *reads += 1;
        self.requests.insert(token, *reads);
    }

    /// The exchange is over: its times, if they are its own, wait for [`take`](Self::take).
    pub fn exchange<D>(&mut self, token: Token, exchange: &Exchange<D>) {
        let Some(read) = self.requests.remove(&token) else { return };
        let Some(response) = &exchange.response else { return };
        let (first, last) = (exchange.request.first, response.last);
        let before = self.operations.remove(&(first.actor.tid, first.time));
        let after = self.operations.remove(&(last.actor.tid, last.time));
        let alone = self.reads.get(&first.actor.tid) == Some(&read);
        let hand = |stamp: Stamp| (stamp.actor.pid, stamp.actor.tid);
        let own = hand(first) == hand(last) && exchange.outcome == Outcome::Complete;
        let (true, true, Some(before), Some(after)) = (alone, own, before, after) else { return };
        if self.done.len() >= self.limit {
            self.dropped += self.done.len() as u64;
            self.done.clear();
        }
        self.done.insert(token, after.since(before));
    }

    pub fn take(&mut self, token: Token) -> Option<Spent> {
        self.done.remove(&token)
    }
}

impl Spent {
    fn since(self, before: Self) -> Self {
        let mut spent = Self {
            on_cpu: self.on_cpu.saturating_sub(before.on_cpu),
            run_queue: self.run_queue.saturating_sub(before.run_queue),
            blocked: self.blocked,
        };
        for (after, before) in spent.blocked.iter_mut().zip(before.blocked) {
            *after = after.saturating_sub(before);
        }
        spent
    }

    /// Sets the attributes, all in nanoseconds; of the kinds of waiting those that occurred.
    pub fn describe(&self, attributes: &mut Attributes) {
        let number = |nanoseconds: u64| i64::try_from(nanoseconds).unwrap_or(i64::MAX);
        attributes.set("honeyguide.time.on_cpu", number(self.on_cpu));
        attributes.set("honeyguide.time.run_queue", number(self.run_queue));
        attributes.set("honeyguide.time.blocked", number(self.blocked.iter().sum()));
        for (kind, key) in [
            (WAIT_NETWORK, "honeyguide.time.blocked.network"),
            (WAIT_DISK, "honeyguide.time.blocked.disk"),
            (WAIT_LOCK, "honeyguide.time.blocked.lock"),
            (WAIT_SLEEP, "honeyguide.time.blocked.sleep"),
            (WAIT_OTHER, "honeyguide.time.blocked.other"),
        ] {
            if self.blocked[kind] > 0 {
                attributes.set(key, number(self.blocked[kind]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use honeyguide_protocols::{Actor, exchange::Extent};

    use super::*;

    fn stamp(tid: u32, time: u64) -> Stamp {
        Stamp { time, actor: Actor { pid: 1, tid, context: 0 } }
    }

    fn exchange(read: Stamp, written: Stamp) -> Exchange<()> {
        let extent = |stamp| Extent { first: stamp, last: stamp, offset: 0, wire_bytes: 1 };
        Exchange {
            id: 0,
            request: extent(read),
            response: Some(extent(written)),
            outcome: Outcome::Complete,
            closed: None,
            damaged: false,
            detail: (),
        }
    }

    fn at(tid: u32, time: u64, on_cpu: u64, slept: u64) -> TimesRecord {
        let mut spent = Spent { on_cpu, run_queue: 5, ..Spent::default() };
        spent.blocked[WAIT_SLEEP] = slept;
        TimesRecord { time, tid, spent }
    }

    const FIRST: Token = Token { socket: 1, exchange: 0 };
    const SECOND: Token = Token { socket: 2, exchange: 0 };

    #[test]
    fn the_difference_between_reading_and_having_written() {
        let mut times = ThreadTimes::new(8);
        times.handle(&at(7, 100, 40, 10));
        times.request(FIRST, 7);
        times.handle(&at(7, 200, 70, 60));
        times.exchange(FIRST, &exchange(stamp(7, 100), stamp(7, 200)));
        let mut attributes = Attributes::default();
        times.take(FIRST).unwrap().describe(&mut attributes);
        let said: Vec<_> = attributes.iter().map(|(key, value)| (key, value.clone())).collect();
        assert_eq!(
            said,
            [
                ("honeyguide.time.on_cpu", 30_i64.into()),
                ("honeyguide.time.run_queue", 0_i64.into()),
                ("honeyguide.time.blocked", 50_i64.into()),
                ("honeyguide.time.blocked.sleep", 50_i64.into()),
            ]
        );
        assert_eq!(times.take(FIRST), None);
        assert!(times.operations.is_empty());
    }

    #[test]
    fn another_request_in_between_or_another_thread_leaves_it_unsaid() {
        let mut times = ThreadTimes::new(8);
        times.handle(&at(7, 100, 0, 0));
        times.request(FIRST, 7);
        times.handle(&at(7, 120, 0, 0));
        times.request(SECOND, 7);
        times.handle(&at(7, 200, 9, 0));
        times.exchange(FIRST, &exchange(stamp(7, 100), stamp(7, 200)));
        times.handle(&at(8, 300, 9, 0));
        times.exchange(SECOND, &exchange(stamp(7, 120), stamp(8, 300)));
        assert_eq!((times.take(FIRST), times.take(SECOND)), (None, None));
    }

    #[test]
    fn the_tables_are_bounded_and_what_they_drop_is_counted() {
        let mut times = ThreadTimes::new(4);
        for time in 0..100 {
            times.handle(&at(7, time, time, 0));
            times.request(Token { socket: time, exchange: 0 }, 7);
        }
        assert!(times.operations.len() <= 4 && times.requests.len() <= 4);
        assert_eq!(times.dropped, 96 + 96);
    }
}
