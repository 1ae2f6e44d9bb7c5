//! When the reactions of a request that is over are judged.
//!
//! Whoever was open beside it may show that its chain was made up by chance, and shows that a little later. So a
//! request waits for what follows; but no longer than until its process has none open. What comes after that was not there to be taken
//! for it, and how requests go then (through a pool that has become too small for them, say) speaks of others.

use std::collections::{HashMap, VecDeque};

use super::{
    Links, Parent, Rule, Token,
    reaction::{Judgement, Verdict},
};

/// Nanoseconds for which what follows is awaited, and where little is known of a route.
const JUDGE_AFTER: u64 = 100_000_000;
const JUDGE_BY: u64 = 2_000_000_000;
/// Requests that wait for what follows, and those of which too little is known; beyond it the oldest is judged at once.
const MAX_VERDICTS: usize = 16_384;

/// Requests that wait to be judged.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    /// By process, in the order in which they are due.
    fresh: HashMap<u32, VecDeque<Waits>, foldhash::fast::FixedState>,
    /// When each of them is due; those that were judged before leave their numbers here.
    due: VecDeque<(u64, u32, u64)>,
    /// Those that were looked at once, about in the order in which they are due.
    unknown: VecDeque<Waits>,
    /// How many there have been.
    added: u64,
}

#[derive(Debug)]
struct Waits {
    number: u64,
    due: u64,
    /// Then it is judged by what is known.
    latest: u64,
    verdict: Verdict,
}

impl Verdicts {
    /// A request is over. Comes back with the one that cannot wait any longer.
    fn add(&mut self, verdict: Verdict, now: u64) -> Option<Verdict> {
        let (due, latest) = (now.saturating_add(JUDGE_AFTER), now.saturating_add(JUDGE_BY));
        let (pid, number) = (verdict.pid, self.added);
        self.added += 1;
        self.due.push_back((due, pid, number));
        self.fresh.entry(pid).or_default().push_back(Waits { number, due, latest, verdict });
        let surplus = (self.due.len() > MAX_VERDICTS).then(|| self.due.pop_front()).flatten();
        let (_, pid, number) = surplus?;
        self.take(pid, number).map(|waits| waits.verdict)
    }

    /// Too little is known of its route yet.
    fn put_back(&mut self, waits: Waits, now: u64) -> Option<Verdict> {
        let due = now.saturating_add(JUDGE_AFTER).min(waits.latest);
        self.unknown.push_back(Waits { due, ..waits });
        let surplus = (self.unknown.len() > MAX_VERDICTS).then(|| self.unknown.pop_front()).flatten();
        surplus.map(|waits| waits.verdict)
    }

    /// The next that has waited long enough.
    fn next_due(&mut self, now: u64) -> Option<Waits> {
        while let Some(&(due, pid, number)) = self.due.front()
            && due <= now
        {
            self.due.pop_front();
            if let Some(waits) = self.take(pid, number) {
                return Some(waits);
            }
        }
        let is_due = self.unknown.front().is_some_and(|waits| waits.due <= now);
        is_due.then(|| self.unknown.pop_front()).flatten()
    }

    /// A process has no request open: those that it had wait no longer for others.
    fn of_idle(&mut self, pid: u32) -> VecDeque<Waits> {
        self.fresh.remove(&pid).unwrap_or_default()
    }

    /// A process's oldest one, if it is this.
    fn take(&mut self, pid: u32, number: u64) -> Option<Waits> {
        let fresh = self.fresh.get_mut(&pid)?;
        let is_first = fresh.front().is_some_and(|waits| waits.number == number);
        let first = is_first.then(|| fresh.pop_front()).flatten();
        if fresh.is_empty() {
            self.fresh.remove(&pid);
        }
        first
    }
}

impl Links {
    /// Its calls wait for the verdict, whoever else is answered meanwhile.
    pub(super) fn await_verdict(&mut self, verdict: Verdict, now: u64) {
        let calls: Vec<Token> = verdict.calls().filter(|call| self.waiting.contains(*call)).collect();
        if calls.is_empty() {
            return;
        }
        for call in &calls {
            self.waiting.keep(*call, true);
        }
        self.await_trace(verdict.request, &calls);
        self.hold(&Parent::Held(verdict.request));
        if let Some(surplus) = self.verdicts.add(verdict, now) {
            self.counters.hurried += 1;
            self.carry_out(&surplus);
        }
    }

    /// Judges what has waited long enough.
    pub(super) fn judge(&mut self, now: u64) {
        while let Some(waits) = self.verdicts.next_due(now) {
            self.judge_one(waits, now);
        }
    }

    /// A request of the process was the last that was open: what has come before it is judged as things are.
    pub(super) fn judge_idle(&mut self, pid: u32, now: u64) {
        for waits in self.verdicts.of_idle(pid) {
            self.judge_one(waits, now);
        }
    }

    fn judge_one(&mut self, waits: Waits, now: u64) {
        if waits.latest <= now || self.reactions.judge(&waits.verdict) != Judgement::NotYet {
            self.carry_out(&waits.verdict);
        } else if let Some(surplus) = self.verdicts.put_back(waits, now) {
            self.counters.hurried += 1;
            self.carry_out(&surplus);
        }
    }

    fn carry_out(&mut self, verdict: &Verdict) {
        let request = Parent::Held(verdict.request);
        let own = match self.reactions.judge(verdict) {
            Judgement::Own(own) => own,
            Judgement::NotYet => Vec::new(),
        };
        let started = self.held.get(&verdict.request).map(|held| held.request.last.time);
        for call in verdict.calls() {
            self.waiting.keep(call, false);
            let sent = self.held.get(&call).map(|held| held.request.first.time);
            if own.contains(&call) && self.waiting.contains(call) && started <= sent {
                self.decide(call, request.clone(), Rule::Reaction);
            } else if self.waiting.is_settled(call) {
                self.give_up(call);
            }
        }
        self.end_wait_for_trace(verdict);
        self.release(&request);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::reaction::Reactions, *};

    fn verdict(pid: u32, number: u64) -> Verdict {
        let mut reactions = Reactions::default();
        let token = |exchange| Token { socket: u64::from(pid), exchange };
        reactions.read(token(2 * number), pid, pid, 0);
        reactions.sent(token(2 * number + 1), pid, None);
        reactions.ended(token(2 * number)).unwrap()
    }

    fn numbers(waits: impl IntoIterator<Item = Waits>) -> Vec<u64> {
        waits.into_iter().map(|waits| waits.verdict.request.exchange / 2).collect()
    }

    #[test]
    fn a_request_waits_for_what_follows() {
        let mut verdicts = Verdicts::default();
        assert!(verdicts.add(verdict(1, 1), 10).is_none() && verdicts.add(verdict(2, 2), 20).is_none());
        assert!(verdicts.next_due(9 + JUDGE_AFTER).is_none());
        assert_eq!(numbers(verdicts.next_due(10 + JUDGE_AFTER)), [1]);
        assert_eq!(numbers(verdicts.next_due(20 + JUDGE_AFTER)), [2]);
        assert!(verdicts.next_due(u64::MAX).is_none() && verdicts.fresh.is_empty());
    }

    #[test]
    fn a_process_that_has_nothing_open_has_nothing_to_wait_for() {
        let mut verdicts = Verdicts::default();
        for number in 1..=3 {
            verdicts.add(verdict(1, number), number);
            verdicts.add(verdict(2, number), number);
        }
        assert_eq!(numbers(verdicts.of_idle(1)), [1, 2, 3]);
        assert!(verdicts.of_idle(1).is_empty());
        verdicts.add(verdict(1, 4), 50);
        let due = |verdicts: &mut Verdicts, now| numbers(std::iter::from_fn(|| verdicts.next_due(now)));
        assert_eq!(due(&mut verdicts, 49 + JUDGE_AFTER), [1, 2, 3], "the other process's");
        assert_eq!(due(&mut verdicts, 50 + JUDGE_AFTER), [4]);
    }

    #[test]
    fn little_known_is_looked_at_again_until_it_is_too_late() {
        let mut verdicts = Verdicts::default();
        verdicts.add(verdict(1, 1), 0);
        let mut now = 0;
        let mut looked = 0;
        while now < JUDGE_BY {
            now += JUDGE_AFTER;
            let waits = verdicts.next_due(now).unwrap();
            looked += 1;
            if waits.latest > now {
                assert!(verdicts.put_back(waits, now).is_none() && verdicts.of_idle(1).is_empty());
            }
        }
        assert_eq!((looked, now), (JUDGE_BY / JUDGE_AFTER, JUDGE_BY));
        assert!(verdicts.next_due(u64::MAX).is_none());
    }

    #[test]
    fn neither_those_that_wait_nor_what_is_left_of_them_grows_without_bound() {
        let mut verdicts = Verdicts::default();
        let mut surplus = Vec::new();
        for number in 0..MAX_VERDICTS as u64 + 100 {
            surplus
                .extend(verdicts.add(verdict(1, number), number).map(|verdict| verdict.request.exchange / 2));
        }
        assert_eq!(surplus, (0..100).collect::<Vec<_>>());
        assert_eq!(verdicts.fresh[&1].len(), MAX_VERDICTS);
        for number in 0..2 * MAX_VERDICTS as u64 {
            verdicts.of_idle(1);
            assert!(verdicts.add(verdict(1, number), 1 << 40).is_none());
        }
        assert!(verdicts.due.len() <= MAX_VERDICTS && verdicts.fresh[&1].len() == 1);
        let mut hurried = 0;
        for number in 0..MAX_VERDICTS as u64 + 100 {
            let waits = Waits { number, due: 0, latest: JUDGE_BY, verdict: verdict(1, number) };
            hurried += u64::from(verdicts.put_back(waits, 0).is_some());
        }
        assert_eq!((hurried, verdicts.unknown.len()), (100, MAX_VERDICTS));
    }
}
