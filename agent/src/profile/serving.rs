//! Which request a thread was working for when it was sampled.
//!
//! Whoever reads a request works for it until its response is written: a goroutine, a Python context, or else the
//! thread. A sample belongs to a request where just one covers it, and where the one that read it wrote its response.
//! It is decided a little after the sample, when both are known; so nothing has to be noted in the kernel, and a request
//! that turns out to have been handed on claims nothing.

use std::{collections::HashMap, ops::RangeInclusive, sync::Arc};

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

/// What is known of a moment of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// No request, or it is not certain which.
    Nothing,
    /// A request that is not over, or whose place in its trace is not decided: ask again.
    NotYet,
    Served(Arc<Served>),
}

/// The requests of the last moments, by whoever read them.
#[derive(Debug, Default)]
pub struct Serving {
    threads: HashMap<u32, Vec<Token>, RandomState>,
    tasks: HashMap<(u32, u64), Vec<Token>, RandomState>,
    held: HashMap<Token, Stretch, RandomState>,
    /// Requests that found no place.
    pub dropped: u64,
}

#[derive(Debug)]
struct Stretch {
    reader: Actor,
    start: u64,
    end: Option<u64>,
    /// The one that read it wrote the response.
    kept: bool,
    served: Option<Arc<Served>>,
}

impl Serving {
    /// A request was read.
    pub fn begin(&mut self, token: Token, reader: Actor, time: u64) {
        if self.held.len() >= MAX_HELD {
            self.dropped += 1;
            return;
        }
        self.threads.entry(reader.tid).or_default().push(token);
        if reader.context != 0 {
            self.tasks.entry((reader.pid, reader.context)).or_default().push(token);
        }
        self.held.insert(token, Stretch { reader, start: time, end: None, kept: false, served: None });
    }

    /// It was answered, or given up.
    pub fn end<D>(&mut self, token: Token, exchange: &Exchange<D>) {
        let Some(stretch) = self.held.get_mut(&token) else { return };
        let writer = exchange.response.as_ref().map(|response| response.last);
        stretch.end = Some(writer.map_or(exchange.request.last.time, |last| last.time));
        stretch.kept = writer.is_some_and(|last| {
            let reader = stretch.reader;
            if reader.context != 0 && reader.context == last.actor.context {
                reader.pid == last.actor.pid
            } else {
                reader.tid == last.actor.tid
            }
        });
    }

    /// Its place in its trace is decided.
    pub fn name(&mut self, token: Token, served: Served) {
        if let Some(stretch) = self.held.get_mut(&token) {
            stretch.served = Some(Arc::new(served));
        }
    }

    /// What `runner` worked for at a time, or for as long as it was blocked. `moves`: tasks of this process go from
    /// thread to thread.
    #[must_use]
    pub fn find(&self, runner: Actor, moves: bool, times: RangeInclusive<u64>) -> Found {
        let own = (runner.context != 0).then(|| self.tasks.get(&(runner.pid, runner.context))).flatten();
        if let Some(tokens) = own
            && let found @ (Found::NotYet | Found::Served(_)) = self.only(tokens, runner.pid, &times)
        {
            return found;
        }
        // Where tasks move, the thread that read a request may run another's by now.
        match self.threads.get(&runner.tid).filter(|_| !moves) {
            Some(tokens) => self.only(tokens, runner.pid, &times),
            None => Found::Nothing,
        }
    }

    /// Lets go of what no sample will ask for any more.
    pub fn forget(&mut self, now: u64) {
        self.held.retain(|_, stretch| match stretch.end {
            Some(end) if stretch.served.is_some() || !stretch.kept => end + 2 * PATIENCE >= now,
            Some(end) => end + LONGEST_UNNAMED >= now,
            None => stretch.start + LONGEST_OPEN >= now,
        });
        let held = &self.held;
        self.threads.retain(|_, tokens| {
            tokens.retain(|token| held.contains_key(token));
            !tokens.is_empty()
        });
        self.tasks.retain(|_, tokens| {
            tokens.retain(|token| held.contains_key(token));
            !tokens.is_empty()
        });
    }

    fn only(&self, tokens: &[Token], pid: u32, times: &RangeInclusive<u64>) -> Found {
        let (from, to) = (*times.start(), *times.end());
        let mut within = tokens
            .iter()
            .filter_map(|token| self.held.get(token))
            .filter(|stretch| stretch.reader.pid == pid)
            .filter(|stretch| stretch.start <= to && stretch.end.is_none_or(|end| from <= end));
        let (Some(stretch), None) = (within.next(), within.next()) else { return Found::Nothing };
        // Who waits beyond a request waits for the next one.
        if stretch.start > from || stretch.end.is_some_and(|end| to > end) {
            return Found::Nothing;
        }
        match (stretch.end, &stretch.served) {
            (Some(_), _) if !stretch.kept => Found::Nothing,
            (Some(_), Some(served)) => Found::Served(Arc::clone(served)),
            (Some(_) | None, _) => Found::NotYet,
        }
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

    fn served(id: u8) -> Served {
        Served { link: Some((TraceId([id; 16]), SpanId([id; 8]))), operation: None }
    }

    #[test]
    fn a_thread_works_for_what_it_has_read_until_it_answers() {
        let mut serving = Serving::default();
        serving.begin(A, by(1, 0), 10);
        assert_eq!(serving.find(by(1, 0), false, 15..=15), Found::NotYet);
        serving.end(A, &answered(20, by(1, 0)));
        assert_eq!(serving.find(by(1, 0), false, 15..=15), Found::NotYet);
        serving.name(A, served(1));
        let of = |time| serving.find(by(1, 0), false, time..=time);
        assert_eq!(of(15), Found::Served(Arc::new(served(1))));
        assert_eq!((of(9), of(21)), (Found::Nothing, Found::Nothing));
        assert_eq!(serving.find(by(2, 0), false, 15..=15), Found::Nothing);
    }

    #[test]
    fn a_wait_belongs_to_a_request_that_covers_it() {
        let mut serving = Serving::default();
        for (token, start, end) in [(A, 10, 20), (B, 30, 40)] {
            serving.begin(token, by(1, 0), start);
            serving.end(token, &answered(end, by(1, 0)));
            serving.name(token, served(u8::try_from(start).unwrap()));
        }
        let of = |times| serving.find(by(1, 0), false, times);
        assert_eq!(of(10..=20), Found::Served(Arc::new(served(10))));
        assert_eq!(of(31..=39), Found::Served(Arc::new(served(30))));
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
        assert_eq!(serving.find(by(1, 0), false, 15..=15), Found::Nothing);
    }

    #[test]
    fn two_requests_at_once_are_nobodys() {
        let mut serving = Serving::default();
        for (token, start, end) in [(A, 10, 30), (B, 20, 40)] {
            serving.begin(token, by(1, 0), start);
            serving.end(token, &answered(end, by(1, 0)));
            serving.name(token, served(u8::try_from(start).unwrap()));
        }
        assert_eq!(serving.find(by(1, 0), false, 25..=25), Found::Nothing);
        assert_eq!(serving.find(by(1, 0), false, 15..=15), Found::Served(Arc::new(served(10))));
        assert_eq!(serving.find(by(1, 0), false, 35..=35), Found::Served(Arc::new(served(20))));
    }

    #[test]
    fn a_goroutine_takes_its_request_to_another_thread() {
        let mut serving = Serving::default();
        for (token, goroutine) in [(A, 100), (B, 200)] {
            serving.begin(token, by(1, goroutine), 10);
            serving.end(token, &answered(20, by(2, goroutine)));
            serving.name(token, served(u8::try_from(goroutine).unwrap()));
        }
        assert_eq!(serving.find(by(3, 200), true, 15..=15), Found::Served(Arc::new(served(200))));
        assert_eq!(serving.find(by(1, 300), true, 15..=15), Found::Nothing);
        assert_eq!(serving.find(by(1, 0), true, 15..=15), Found::Nothing);
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let mut serving = Serving::default();
        serving.begin(A, by(1, 5), 10);
        serving.end(A, &answered(20, by(1, 5)));
        serving.name(A, served(1));
        serving.begin(B, by(2, 0), 10);
        serving.forget(20 + 2 * PATIENCE);
        assert_eq!(serving.held.len(), 2);
        serving.forget(21 + 2 * PATIENCE);
        assert_eq!((serving.held.len(), serving.threads.len(), serving.tasks.len()), (1, 1, 0));
        serving.forget(11 + LONGEST_OPEN);
        assert!(serving.held.is_empty() && serving.threads.is_empty());
    }
}
