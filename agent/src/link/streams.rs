//! Whose stream of HTTP/2 a call has. All requests of a connection of grpc-go's are written by one goroutine, which belongs to
//! the connection. Whoever opens a stream gives its message to it, and is seen as it does (`Record::Message`): the stream's
//! number is then on the wire, too, before that or behind it.
//!
//! What is said names the connection by its address in the program's memory. Which socket that is shows where a process has
//! one call with a stream's number, and one word of it: from then on it is known. Connections that are used in turns have
//! the same numbers at the same time; then it shows by which number is on which wire in the same moment, several times.

use std::collections::{HashMap, HashSet, VecDeque};

use foldhash::fast::FixedState;

use super::{Rule, Token};

/// A word may come so long before its request is on the wire.
const EARLY: u64 = 1_000_000_000;
/// As a rule it does not take so long, in either order.
const AT_ONCE: u64 = 500_000;
/// So often must it be the same socket.
const VOTES: u8 = 3;
/// Calls that are over, and whose connection is not known yet.
const MAX_PENDING: usize = 256;

/// A stream of a process: of any of its connections.
type Number = (u32, u32);
/// A process, and an address in its memory.
type Connection = (u32, u64);

#[derive(Debug)]
pub(super) struct Streams {
    words: HashMap<Number, Vec<Word>, FixedState>,
    /// In the order in which they were said; those that are used up are skipped.
    order: VecDeque<(Number, u64)>,
    calls: HashMap<Token, Number, FixedState>,
    by_number: HashMap<Number, Vec<(Token, u64)>, FixedState>,
    pending: VecDeque<Over>,
    sockets: HashMap<Connection, u64, FixedState>,
    known: HashSet<u64, FixedState>,
    votes: HashMap<Connection, (u64, u8), FixedState>,
    limit: usize,
    /// Words, connections and calls forgotten because there were too many.
    pub(super) forgotten: u64,
}

/// A stream of `connection` was opened for `request`.
#[derive(Clone, Copy, Debug)]
struct Word {
    connection: u64,
    time: u64,
    request: Option<(Token, Rule)>,
}

/// A call that is over.
#[derive(Clone, Copy, Debug)]
struct Over {
    call: Token,
    number: Number,
    start: u64,
    end: u64,
}

/// What a call was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) call: Token,
    pub(super) request: Token,
    pub(super) rule: Rule,
}

impl Streams {
    /// `limit`: words remembered at once, and connections.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            words: HashMap::default(),
            order: VecDeque::new(),
            calls: HashMap::default(),
            by_number: HashMap::default(),
            pending: VecDeque::new(),
            sockets: HashMap::default(),
            known: HashSet::default(),
            votes: HashMap::default(),
            limit: limit.max(1),
            forgotten: 0,
        }
    }

    /// Somebody who has `request` in hand has sent on this stream; the first who does has opened it.
    pub(super) fn said(
        &mut self,
        number: Number,
        connection: u64,
        time: u64,
        request: Option<(Token, Rule)>,
    ) {
        let words = self.words.entry(number).or_default();
        if words.iter().any(|word| word.connection == connection) {
            return;
        }
        words.push(Word { connection, time, request });
        self.order.push_back((number, connection));
        if self.order.len() > self.limit
            && let Some((number, connection)) = self.order.pop_front()
            && self.use_up(number, connection)
        {
            self.forgotten += 1;
        }
    }

    /// A call was sent on this stream of its connection.
    pub(super) fn sent(&mut self, call: Token, number: Number, time: u64) {
        if self.calls.insert(call, number).is_none() {
            self.by_number.entry(number).or_default().push((call, time));
        }
    }

    /// Whether all of a connection's requests are written by one that does so for others.
    pub(super) fn is_known(&self, socket: u64) -> bool {
        self.known.contains(&socket)
    }

    /// A call is over, which lasted from `start` to `end`. What is known by it: of this one, or of earlier ones as well.
    pub(super) fn ended(&mut self, call: Token, (start, end): (u64, u64)) -> Vec<Asked> {
        let Some(number) = self.calls.remove(&call) else { return Vec::new() };
        let over = Over { call, number, start, end };
        let before = self.known.len();
        let mut asked = Vec::new();
        if let Some(word) = self.own(&over).or_else(|| self.learned(&over)) {
            self.use_up(number, word.connection);
            asked.extend(word.request.map(|(request, rule)| Asked { call, request, rule }));
        } else if self.words.contains_key(&number) {
            self.pending.push_back(over);
            if self.pending.len() > MAX_PENDING {
                self.pending.pop_front();
                self.forgotten += 1;
            }
        }
        if let Some(calls) = self.by_number.get_mut(&number) {
            calls.retain(|(other, _)| *other != call);
            if calls.is_empty() {
                self.by_number.remove(&number);
            }
        }
        if self.known.len() > before {
            for over in std::mem::take(&mut self.pending) {
                let Some(word) = self.own(&over) else {
                    self.pending.push_back(over);
                    continue;
                };
                self.use_up(over.number, word.connection);
                let of = |(request, rule)| Asked { call: over.call, request, rule };
                asked.extend(word.request.map(of));
            }
        }
        asked
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// The word of a call whose connection is known.
    fn own(&self, over: &Over) -> Option<Word> {
        let socket = over.call.socket;
        let of_it = |word: &&Word| self.socket(over.number.0, word) == Some(socket);
        self.during(over).find(of_it).copied()
    }

    /// The word of a call whose connection is known by that from now on.
    fn learned(&mut self, over: &Over) -> Option<Word> {
        let (pid, socket) = (over.number.0, over.call.socket);
        if let Some(word) = self.only(over) {
            self.learn((pid, word.connection), socket);
            return Some(word);
        }
        let word = self.only_at_once(over)?;
        if self.votes.len() >= self.limit {
            self.forgotten += self.votes.len() as u64;
            self.votes.clear();
        }
        let vote = self.votes.entry((pid, word.connection)).or_insert((socket, 0));
        *vote = if vote.0 == socket { (socket, vote.1 + 1) } else { (socket, 1) };
        if vote.1 < VOTES {
            return None;
        }
        self.learn((pid, word.connection), socket);
        Some(word)
    }

    /// A word that can be no other call's.
    fn only(&self, over: &Over) -> Option<Word> {
        // Of a connection that has such a call at the moment it is that call's.
        let has_own = |socket| self.others(over).any(|(other, _)| other.socket == socket);
        let free = |word: &&Word| !self.socket(over.number.0, word).is_some_and(has_own);
        let word = single(self.during(over).filter(free))?;
        self.others(over).all(|(other, _)| self.known.contains(&other.socket)).then_some(*word)
    }

    /// A word that was said when the call was sent, and no other call.
    fn only_at_once(&self, over: &Over) -> Option<Word> {
        let near = |word: &Word, start: u64| word.time.abs_diff(start) <= 2 * AT_ONCE;
        let word = single(self.during(over).filter(|word| near(word, over.start)))?;
        let at_once = word.time.abs_diff(over.start) <= AT_ONCE;
        (at_once && !self.others(over).any(|(_, start)| near(word, *start))).then_some(*word)
    }

    /// The calls that have the same number at the moment.
    fn others(&self, over: &Over) -> impl Iterator<Item = &(Token, u64)> {
        let calls = self.by_number.get(&over.number).map_or(&[][..], Vec::as_slice);
        let own = over.call;
        calls.iter().filter(move |(other, _)| *other != own)
    }

    fn during(&self, over: &Over) -> impl Iterator<Item = &Word> {
        let times = over.start.saturating_sub(EARLY)..=over.end;
        let words = self.words.get(&over.number).map_or(&[][..], Vec::as_slice);
        words.iter().filter(move |word| times.contains(&word.time))
    }

    fn socket(&self, pid: u32, word: &Word) -> Option<u64> {
        self.sockets.get(&(pid, word.connection)).copied()
    }

    fn learn(&mut self, connection: Connection, socket: u64) {
        self.votes.remove(&connection);
        if self.sockets.len() >= self.limit {
            self.forgotten += self.sockets.len() as u64;
            self.sockets.clear();
            self.known.clear();
        }
        // An address is another connection's after it was freed.
        if let Some(before) = self.sockets.insert(connection, socket) {
            self.known.remove(&before);
        }
        self.known.insert(socket);
    }

    /// False where it was already.
    fn use_up(&mut self, number: Number, connection: u64) -> bool {
        let Some(words) = self.words.get_mut(&number) else { return false };
        let before = words.len();
        words.retain(|word| word.connection != connection);
        let used = words.len() < before;
        if words.is_empty() {
            self.words.remove(&number);
        }
        used
    }
}

fn single<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PID: u32 = 7;
    /// Two connections, by their addresses, and their sockets.
    const A: (u64, u64) = (0xc000, 1);
    const B: (u64, u64) = (0xd000, 2);

    fn call(connection: (u64, u64), exchange: u64) -> Token {
        Token { socket: connection.1, exchange }
    }

    fn request(exchange: u64) -> Token {
        Token { socket: 99, exchange }
    }

    fn asked(call: Token, exchange: u64) -> Asked {
        Asked { call, request: request(exchange), rule: Rule::SameTask }
    }

    fn said(streams: &mut Streams, connection: (u64, u64), stream: u32, time: u64) {
        streams.said((PID, stream), connection.0, time, Some((request(time), Rule::SameTask)));
    }

    #[test]
    fn a_call_is_its_streams() {
        let mut streams = Streams::new(8);
        streams.sent(call(A, 0), (PID, 1), 10);
        said(&mut streams, A, 1, 20);
        said(&mut streams, A, 1, 30);
        // Said before it is on the wire.
        said(&mut streams, A, 3, 25);
        streams.sent(call(A, 1), (PID, 3), 30);
        assert_eq!(streams.ended(call(A, 1), (30, 50)), [asked(call(A, 1), 25)]);
        assert_eq!(streams.ended(call(A, 0), (10, 40)), [asked(call(A, 0), 20)], "the first word counts");
        assert_eq!(streams.ended(call(A, 0), (10, 40)), []);
        assert!(streams.is_known(A.1) && !streams.is_known(B.1));
        assert!(streams.words.is_empty() && streams.by_number.is_empty());
    }

    #[test]
    fn connections_with_the_same_numbers_are_told_apart_as_soon_as_one_is_known() {
        let mut streams = Streams::new(8);
        for (connection, time) in [(A, 10), (B, 11)] {
            streams.sent(call(connection, 0), (PID, 1), time);
            said(&mut streams, connection, 1, time);
        }
        assert_eq!(streams.ended(call(A, 0), (10, 20)), []);
        assert_eq!(streams.ended(call(B, 0), (11, 20)), []);
        // A third one, alone, shows which is which, of the first one too.
        streams.sent(call(A, 1), (PID, 3), 30);
        said(&mut streams, A, 3, 30);
        let both = [asked(call(A, 1), 30), asked(call(A, 0), 10)];
        assert_eq!(streams.ended(call(A, 1), (30, 40)), both);
        for (connection, time) in [(A, 50), (B, 51)] {
            streams.sent(call(connection, 2), (PID, 7), time);
            said(&mut streams, connection, 7, time);
        }
        assert_eq!(streams.ended(call(A, 2), (50, 60)), [asked(call(A, 2), 50)]);
        let both = [asked(call(B, 2), 51), asked(call(B, 0), 11)];
        assert_eq!(streams.ended(call(B, 2), (51, 60)), both);
        assert!(streams.words.is_empty() && streams.pending.is_empty());
    }

    /// As a balancer does that takes them in turns: their numbers are the same all the time.
    #[test]
    fn connections_in_step_are_told_apart_by_the_moment() {
        for (apart, told) in [(8 * AT_ONCE, true), (AT_ONCE, false)] {
            let mut streams = Streams::new(100);
            let mut all = Vec::new();
            for number in 0..10 {
                let start = u64::from(number) * 20 * AT_ONCE;
                let times = [(A, start), (B, start + apart)];
                for (connection, start) in times {
                    streams.sent(call(connection, u64::from(number)), (PID, 2 * number + 1), start);
                    said(&mut streams, connection, 2 * number + 1, start + 1);
                }
                for (connection, start) in times {
                    let end = start + 15 * AT_ONCE;
                    all.extend(streams.ended(call(connection, u64::from(number)), (start, end)));
                }
            }
            assert_eq!(all.len(), if told { 20 } else { 0 }, "{apart}");
            for Asked { call, request, .. } in all {
                let late = if call.socket == B.1 { apart } else { 0 };
                assert_eq!(request.exchange, call.exchange * 20 * AT_ONCE + late + 1);
            }
        }
    }

    #[test]
    fn what_was_said_at_another_time_means_another_call() {
        let mut streams = Streams::new(8);
        said(&mut streams, A, 1, 10);
        streams.sent(call(A, 0), (PID, 1), 20 + EARLY);
        assert_eq!(streams.ended(call(A, 0), (20 + EARLY, 30 + EARLY)), []);
        // A connection that nobody speaks of has a stream of the same number.
        said(&mut streams, A, 5, 10);
        streams.sent(call(A, 1), (PID, 5), 10);
        streams.sent(call(B, 0), (PID, 5), 10);
        assert_eq!(streams.ended(call(B, 0), (10, 20)), []);
        assert_eq!(streams.ended(call(A, 1), (10, 20)), [asked(call(A, 1), 10)]);
    }

    #[test]
    fn no_more_is_held_than_the_limits() {
        let mut streams = Streams::new(2);
        for stream in [1, 3, 5] {
            said(&mut streams, A, stream, 10);
            streams.sent(call(A, u64::from(stream)), (PID, stream), 10);
        }
        assert_eq!((streams.len(), streams.forgotten), (2, 1));
        assert_eq!(streams.ended(call(A, 1), (10, 20)), []);
        assert_eq!(streams.ended(call(A, 3), (10, 20)), [asked(call(A, 3), 10)]);
        let mut streams = Streams::new(10_000);
        for stream in (0..2 * MAX_PENDING as u32).map(|stream| 2 * stream + 1) {
            for connection in [A, B] {
                said(&mut streams, connection, stream, 10);
                streams.sent(call(connection, u64::from(stream)), (PID, stream), 10);
            }
            for connection in [A, B] {
                assert_eq!(streams.ended(call(connection, u64::from(stream)), (10, 20)), []);
            }
        }
        assert_eq!((streams.pending.len(), streams.forgotten), (MAX_PENDING, 3 * MAX_PENDING as u64));
    }
}
