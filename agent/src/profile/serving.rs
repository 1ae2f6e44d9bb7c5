//! Which request a thread was working for when it was sampled.
//!
//! Whoever reads a request works for it until its response is written: a goroutine, a Python context, or else the
//! thread. A sample belongs to a request where just one covers it, and where the one that read it wrote its response.
//! It is decided a little after the sample, when both are known; so nothing has to be noted in the kernel, and a request
//! that turns out to have been handed on claims nothing.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    ops::RangeInclusive,
    sync::Arc,
};

use foldhash::fast::RandomState;
use honeyguide_protocols::{Actor, Exchange};

use crate::{
    link::Token,
    span::{SpanId, TraceId},
};

/// Requests that are held at once; what comes beyond it claims no samples.
const MAX_HELD: usize = 262_144;
/// A request that ended is kept this long: samples wait as long before they are decided.
pub const PATIENCE: u64 = 1_000_000_000;
/// Its span may wait for its parent's to be decided.
const LONGEST_UNNAMED: u64 = 15_000_000_000;
/// A request that stays open so long claims nothing of before.
const LONGEST_OPEN: u64 = 60_000_000_000;

/// What a thread was working for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Served {
    /// Its span, where the trace was sampled.
    pub link: Option<(TraceId, SpanId)>,
    /// `http.route` or the like, with its value: what remains when the trace was not sampled.
    pub operation: Option<(&'static str, Arc<str>)>,
}

/// Whom a sample was taken of, and when.
#[derive(Clone, Debug)]
pub struct Asked {
    pub runner: Actor,
    /// Tasks of this process go from thread to thread.
    pub moves: bool,
    /// A moment, or for how long it was blocked.
    pub times: RangeInclusive<u64>,
}

/// What is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// No request, or it is not certain which.
    Nothing,
    /// A request that is not over, or whose place in its trace is not decided: ask again.
    NotYet,
    Served(Served),
}

/// The requests of the last moments.
///
/// There are thousands of requests to a sample. So they are written down in turn and no more, and what many samples belong
/// to is found in one go over them.
#[derive(Debug, Default)]
pub struct Serving {
    /// Those whose place in their trace is not decided.
    open: HashMap<Token, Open, RandomState>,
    done: VecDeque<Done>,
    /// Requests that found no place.
    pub dropped: u64,
}

#[derive(Debug)]
struct Open {
    reader: Actor,
    start: u64,
    end: Option<u64>,
    /// The one that read it wrote the response.
    kept: bool,
}

#[derive(Debug)]
struct Done {
    reader: Actor,
    start: u64,
    end: u64,
    /// `None` where it was handed on.
    served: Option<Served>,
}

impl Serving {
    /// A request was read.
    pub fn begin(&mut self, token: Token, reader: Actor, time: u64) {
        if self.open.len() + self.done.len() >= MAX_HELD {
            self.dropped += 1;
            return;
        }
        self.open.insert(token, Open { reader, start: time, end: None, kept: false });
    }

    /// It was answered, or given up.
    pub fn end<D>(&mut self, token: Token, exchange: &Exchange<D>) {
        let Some(open) = self.open.get_mut(&token) else { return };
        let writer = exchange.response.as_ref().map(|response| response.last);
        open.end = Some(writer.map_or(exchange.request.last.time, |last| last.time));
        open.kept = writer.is_some_and(|last| {
            let reader = open.reader;
            if reader.context != 0 && reader.context == last.actor.context {
                reader.pid == last.actor.pid
            } else {
                reader.tid == last.actor.tid
            }
        });
    }

    /// Its place in its trace is decided.
    pub fn name(&mut self, token: Token, served: Served) {
        if let Some(Open { reader, start, end: Some(end), kept }) = self.open.remove(&token) {
            self.done.push_back(Done { reader, start, end, served: kept.then_some(served) });
        }
    }

    /// What each of these worked for.
    #[must_use]
    pub fn find(&self, asked: &[Asked]) -> Vec<Found> {
        if asked.is_empty() {
            return Vec::new();
        }
        let mut search = Search::new(asked);
        for Done { reader, start, end, served } in &self.done {
            search.meet(reader, *start, Some(*end), Seen::of_done(served.as_ref()));
        }
        for Open { reader, start, end, kept } in self.open.values() {
            search.meet(
                reader,
                *start,
                *end,
                if end.is_some() && !kept { Seen::HandedOn } else { Seen::Open },
            );
        }
        search.finish()
    }

    /// Lets go of what no sample will ask for any more.
    pub fn forget(&mut self, now: u64) {
        // Not quite in the order of their ends: a place in a trace may take a moment.
        while self.done.front().is_some_and(|done| done.end + 2 * PATIENCE < now) {
            self.done.pop_front();
        }
        self.open.retain(|_, open| match open.end {
            Some(end) => end + LONGEST_UNNAMED >= now,
            None => open.start + LONGEST_OPEN >= now,
        });
    }
}

/// Samples, by whom they were taken of.
struct Search<'a> {
    asked: &'a [Asked],
    /// From the first moment that is asked for to the last: most requests are of another time.
    times: RangeInclusive<u64>,
    tasks: HashMap<(u32, u64), Line, RandomState>,
    threads: HashMap<u32, Line, RandomState>,
    /// Of each sample, by its task and by its thread.
    seen: Vec<[Option<Seen<'a>>; 2]>,
}

/// Those of one thread or task.
#[derive(Default)]
struct Line {
    /// The end of each, and its place among all; in that order.
    samples: Vec<(u64, usize)>,
    /// How long the longest one was blocked.
    longest: u64,
}

/// The only request that a sample lies in.
#[derive(Clone, Copy)]
enum Seen<'a> {
    Open,
    HandedOn,
    Served(&'a Served),
    /// It is not the only one, or the sample goes beyond it: who waits beyond a request waits for the next one.
    Uncertain,
}

impl<'a> Seen<'a> {
    fn of_done(served: Option<&'a Served>) -> Self {
        served.map_or(Self::HandedOn, Self::Served)
    }

    fn found(self) -> Found {
        match self {
            Self::Open => Found::NotYet,
            Self::HandedOn | Self::Uncertain => Found::Nothing,
            Self::Served(served) => Found::Served(served.clone()),
        }
    }
}

impl<'a> Search<'a> {
    fn new(asked: &'a [Asked]) -> Self {
        let (mut tasks, mut threads) = (HashMap::default(), HashMap::default());
        for (place, Asked { runner, moves, times }) in asked.iter().enumerate() {
            let task = (runner.context != 0).then(|| tasks.entry((runner.pid, runner.context)));
            // Where tasks move, the thread that read a request may run another's by now.
            let thread = (!moves).then(|| threads.entry(runner.tid));
            let lines = [task.map(Entry::or_default), thread.map(Entry::or_default)];
            for line in lines.into_iter().flatten() {
                let line: &mut Line = line;
                line.samples.push((*times.end(), place));
                line.longest = line.longest.max(times.end() - times.start());
            }
        }
        for line in tasks.values_mut().chain(threads.values_mut()) {
            line.samples.sort_unstable();
        }
        let first = asked.iter().map(|asked| *asked.times.start()).min().unwrap_or(u64::MAX);
        let last = asked.iter().map(|asked| *asked.times.end()).max().unwrap_or(0);
        Self { asked, times: first..=last, tasks, threads, seen: vec![[None; 2]; asked.len()] }
    }

    /// A request was read by this one; `end` where it is over.
    fn meet(&mut self, reader: &Actor, start: u64, end: Option<u64>, request: Seen<'a>) {
        if start > *self.times.end() || end.is_some_and(|end| end < *self.times.start()) {
            return;
        }
        let task = (reader.context != 0).then(|| self.tasks.get(&(reader.pid, reader.context))).flatten();
        for (by, line) in [task, self.threads.get(&reader.tid)].into_iter().enumerate() {
            let Some(line) = line else { continue };
            let first = line.samples.partition_point(|(to, _)| *to < start);
            for (to, place) in &line.samples[first..] {
                if end.is_some_and(|end| *to > end.saturating_add(line.longest)) {
                    break;
                }
                let asked = &self.asked[*place];
                let from = *asked.times.start();
                if asked.runner.pid != reader.pid || end.is_some_and(|end| from > end) {
                    continue;
                }
                let covered = start <= from && end.is_none_or(|end| *to <= end);
                let seen = &mut self.seen[*place][by];
                *seen = Some(if covered && seen.is_none() { request } else { Seen::Uncertain });
            }
        }
    }

    fn finish(self) -> Vec<Found> {
        let of = |seen: Option<Seen<'_>>| seen.map_or(Found::Nothing, Seen::found);
        self.seen
            .into_iter()
            .map(|[task, thread]| match of(task) {
                Found::Nothing => of(thread),
                found @ (Found::NotYet | Found::Served(_)) => found,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use honeyguide_protocols::{
        Outcome, Stamp,
        exchange::{Exchange, Extent},
    };

    use super::*;

    const A: Token = Token { socket: 1, exchange: 0 };
    const B: Token = Token { socket: 2, exchange: 0 };

    fn by(tid: u32, context: u64) -> Actor {
        Actor { pid: 7, tid, context }
    }

    fn answered(time: u64, writer: Actor) -> Exchange<()> {
        let last = Stamp { time, actor: writer };
        Exchange {
            id: 0,
            request: Extent::default(),
            response: Some(Extent { last, ..Extent::default() }),
            outcome: Outcome::Complete,
            closed: None,
            damaged: false,
            detail: (),
        }
    }

    fn find(serving: &Serving, runner: Actor, moves: bool, times: RangeInclusive<u64>) -> Found {
        serving.find(&[Asked { runner, moves, times }]).remove(0)
    }

    fn served(id: u8) -> Served {
        Served { link: Some((TraceId([id; 16]), SpanId([id; 8]))), operation: None }
    }

    #[test]
    fn a_thread_works_for_what_it_has_read_until_it_answers() {
        let mut serving = Serving::default();
        serving.begin(A, by(1, 0), 10);
        assert_eq!(find(&serving, by(1, 0), false, 15..=15), Found::NotYet);
        serving.end(A, &answered(20, by(1, 0)));
        assert_eq!(find(&serving, by(1, 0), false, 15..=15), Found::NotYet);
        serving.name(A, served(1));
        let of = |time| find(&serving, by(1, 0), false, time..=time);
        assert_eq!(of(15), Found::Served(served(1)));
        assert_eq!((of(9), of(21)), (Found::Nothing, Found::Nothing));
        assert_eq!(find(&serving, by(2, 0), false, 15..=15), Found::Nothing);
    }

    #[test]
    fn a_wait_belongs_to_a_request_that_covers_it() {
        let mut serving = Serving::default();
        for (token, start, end) in [(A, 10, 20), (B, 30, 40)] {
            serving.begin(token, by(1, 0), start);
            serving.end(token, &answered(end, by(1, 0)));
            serving.name(token, served(u8::try_from(start).unwrap()));
        }
        let of = |times| find(&serving, by(1, 0), false, times);
        assert_eq!(of(10..=20), Found::Served(served(10)));
        assert_eq!(of(31..=39), Found::Served(served(30)));
        // For the next request, into it, and over several.
        for times in [20..=29, 21..=29, 9..=11, 15..=25, 25..=35, 15..=35, 5..=50] {
            assert_eq!(of(times.clone()), Found::Nothing, "{times:?}");
        }
    }

    #[test]
    fn what_was_handed_on_claims_nothing() {
        let mut serving = Serving::default();
        serving.begin(A, by(1, 0), 10);
        serving.end(A, &answered(20, by(2, 0)));
        serving.name(A, served(1));
        assert_eq!(find(&serving, by(1, 0), false, 15..=15), Found::Nothing);
    }

    #[test]
    fn two_requests_at_once_are_nobodys() {
        let mut serving = Serving::default();
        for (token, start, end) in [(A, 10, 30), (B, 20, 40)] {
            serving.begin(token, by(1, 0), start);
            serving.end(token, &answered(end, by(1, 0)));
            serving.name(token, served(u8::try_from(start).unwrap()));
        }
        assert_eq!(find(&serving, by(1, 0), false, 25..=25), Found::Nothing);
        assert_eq!(find(&serving, by(1, 0), false, 15..=15), Found::Served(served(10)));
        assert_eq!(find(&serving, by(1, 0), false, 35..=35), Found::Served(served(20)));
    }

    #[test]
    fn a_goroutine_takes_its_request_to_another_thread() {
        let mut serving = Serving::default();
        for (token, goroutine) in [(A, 100), (B, 200)] {
            serving.begin(token, by(1, goroutine), 10);
            serving.end(token, &answered(20, by(2, goroutine)));
            serving.name(token, served(u8::try_from(goroutine).unwrap()));
        }
        assert_eq!(find(&serving, by(3, 200), true, 15..=15), Found::Served(served(200)));
        assert_eq!(find(&serving, by(1, 300), true, 15..=15), Found::Nothing);
        assert_eq!(find(&serving, by(1, 0), true, 15..=15), Found::Nothing);
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let mut serving = Serving::default();
        serving.begin(A, by(1, 5), 10);
        serving.end(A, &answered(20, by(1, 5)));
        serving.name(A, served(1));
        serving.begin(B, by(2, 0), 10);
        let held = |serving: &Serving| (serving.open.len(), serving.done.len());
        serving.forget(20 + 2 * PATIENCE);
        assert_eq!(held(&serving), (1, 1));
        serving.forget(21 + 2 * PATIENCE);
        assert_eq!(held(&serving), (1, 0));
        serving.forget(11 + LONGEST_OPEN);
        assert_eq!(held(&serving), (0, 0));
    }

    #[test]
    fn places_that_are_decided_out_of_turn_are_found() {
        let mut serving = Serving::default();
        for (token, start, end) in [(A, 10, 20), (B, 30, 40)] {
            serving.begin(token, by(1, 0), start);
            serving.end(token, &answered(end, by(1, 0)));
        }
        serving.name(B, served(2));
        assert_eq!(find(&serving, by(1, 0), false, 15..=15), Found::NotYet);
        serving.name(A, served(1));
        for (time, id) in [(15, 1), (35, 2)] {
            assert_eq!(find(&serving, by(1, 0), false, time..=time), Found::Served(served(id)));
        }
    }

    #[test]
    fn one_that_is_open_beside_one_that_is_over_is_as_uncertain() {
        let mut serving = Serving::default();
        serving.begin(A, by(1, 0), 10);
        serving.begin(B, by(1, 0), 12);
        serving.end(B, &answered(20, by(1, 0)));
        serving.name(B, served(2));
        assert_eq!(find(&serving, by(1, 0), false, 15..=15), Found::Nothing);
        assert_eq!(find(&serving, by(1, 0), false, 11..=11), Found::NotYet);
    }

    #[test]
    fn no_more_are_held_than_the_limit() {
        let mut serving = Serving::default();
        let token = |exchange| Token { socket: 1, exchange };
        for exchange in 0..MAX_HELD as u64 {
            serving.begin(token(exchange), by(1, 0), exchange);
            serving.end(token(exchange), &answered(exchange, by(1, 0)));
            serving.name(token(exchange), served(1));
        }
        serving.begin(token(u64::MAX), by(1, 0), 1);
        assert_eq!((serving.done.len(), serving.dropped), (MAX_HELD, 1));
        serving.forget(3 * PATIENCE);
        serving.begin(token(u64::MAX), by(1, 0), 1);
        assert_eq!((serving.open.len(), serving.done.len(), serving.dropped), (1, 0, 1));
    }

    /// As many as a search takes at once.
    #[test]
    fn each_of_many_finds_its_own() {
        let mut serving = Serving::default();
        for (exchange, tid) in (0..300_u64).zip((1..4).cycle()) {
            let token = Token { socket: 1, exchange };
            serving.begin(token, by(tid, 0), 10 * exchange);
            serving.end(token, &answered(10 * exchange + 9, by(tid, 0)));
            serving.name(token, Served { operation: Some(("n", exchange.to_string().into())), link: None });
        }
        let moment = |time| Asked { runner: by(2, 0), moves: false, times: time..=time };
        let blocked = Asked { times: 11..=2_000, ..moment(0) };
        let asked: Vec<_> = (0..3_000).rev().map(moment).chain([blocked]).collect();
        for (asked, found) in asked.iter().zip(serving.find(&asked)) {
            let time = *asked.times.start();
            let own = asked.times.start() == asked.times.end() && time / 10 % 3 == 1;
            let operation = Some(("n", (time / 10).to_string().into()));
            let expected = if own { Found::Served(Served { operation, link: None }) } else { Found::Nothing };
            assert_eq!(found, expected, "{time}");
        }
    }
}
