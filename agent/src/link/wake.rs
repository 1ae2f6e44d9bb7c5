//! Who has woken a task. A client's connection is a task of its own in some runtimes; whoever hands it something to
//! send wakes it, and it sends that next.

use std::collections::{HashMap, VecDeque};

use honeyguide_protocols::Actor;

use super::Token;

/// Different tasks that have woken one for a single thing that it sends. One more is remembered, and says that there were
/// too many.
pub(super) const MAX_WAKERS: usize = 8;

#[derive(Debug)]
pub(super) struct Wakes {
    tasks: HashMap<(u32, u64), Woken, foldhash::fast::FixedState>,
    /// In the order in which they were woken first.
    order: VecDeque<(u32, u64)>,
    limit: usize,
    /// Tasks forgotten because there were too many.
    pub(super) forgotten: u64,
}

/// What is known of a task that others wake.
#[derive(Debug, Default)]
pub(super) struct Woken {
    /// Since it last sent or was answered.
    pub(super) by: Vec<Wake>,
    /// The request of the last call that it has sent; `None` where that is not known.
    pub(super) before: Option<Token>,
}

/// By whom, named as an actor's context, and when last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wake {
    pub(super) by: u64,
    pub(super) time: u64,
}

impl Wakes {
    /// `limit`: tasks remembered at once.
    pub(super) fn new(limit: usize) -> Self {
        Self { tasks: HashMap::default(), order: VecDeque::new(), limit: limit.max(1), forgotten: 0 }
    }

    /// Task `woken` of a process was woken by its task `by`.
    pub(super) fn wake(&mut self, pid: u32, woken: u64, by: u64, time: u64) {
        let key = (pid, woken);
        if !self.tasks.contains_key(&key) {
            self.order.push_back(key);
            if self.order.len() > self.limit
                && let Some(oldest) = self.order.pop_front()
            {
                self.tasks.remove(&oldest);
                self.forgotten += 1;
            }
        }
        let wakes = &mut self.tasks.entry(key).or_default().by;
        if let Some(wake) = wakes.iter_mut().find(|wake| wake.by == by) {
            wake.time = time;
        } else if wakes.len() <= MAX_WAKERS {
            wakes.push(Wake { by, time });
        } else if let Some(oldest) = wakes.iter_mut().min_by_key(|wake| wake.time) {
            *oldest = Wake { by, time };
        }
    }

    /// `None`: nobody has ever woken it.
    pub(super) fn of(&self, actor: Actor) -> Option<&Woken> {
        self.tasks.get(&(actor.pid, actor.context))
    }

    /// A task has sent a call, of `request` where that is known: what it was woken for before is done.
    pub(super) fn sent(&mut self, actor: Actor, time: u64, request: Option<Token>) {
        if let Some(woken) = self.done(actor, time) {
            woken.before = request;
        }
    }

    /// It has read an answer.
    pub(super) fn answered(&mut self, actor: Actor, time: u64) {
        self.done(actor, time);
    }

    fn done(&mut self, actor: Actor, time: u64) -> Option<&mut Woken> {
        if actor.context == 0 {
            return None;
        }
        let woken = self.tasks.get_mut(&(actor.pid, actor.context))?;
        woken.by.retain(|wake| wake.time > time);
        Some(woken)
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(context: u64) -> Actor {
        Actor { pid: 1, tid: 1, context }
    }

    fn wakers(wakes: &Wakes, context: u64) -> Option<Vec<u64>> {
        wakes.of(task(context)).map(|woken| woken.by.iter().map(|wake| wake.by).collect())
    }

    #[test]
    fn what_a_task_was_woken_for_is_done_when_it_has_sent() {
        let mut wakes = Wakes::new(8);
        assert_eq!(wakers(&wakes, 5), None);
        wakes.wake(1, 5, 7, 10);
        wakes.wake(1, 5, 8, 20);
        wakes.wake(1, 5, 7, 30);
        assert_eq!(wakers(&wakes, 5), Some(vec![7, 8]));
        assert!(wakes.of(Actor { pid: 2, ..task(5) }).is_none());
        wakes.sent(task(5), 20, None);
        assert_eq!(wakers(&wakes, 5), Some(vec![7]));
        wakes.answered(task(5), 30);
        // It is known that it is woken for others.
        assert_eq!(wakers(&wakes, 5), Some(vec![]));
    }

    #[test]
    fn neither_many_tasks_nor_many_wakers_grow_without_bound() {
        let mut wakes = Wakes::new(100);
        for at in 0..10_000 {
            wakes.wake(1, at, 7, at);
            wakes.wake(1, 9_999, at, at);
        }
        assert!(wakes.len() <= 100 && wakes.tasks.len() <= 100);
        assert!(wakes.forgotten >= 9_899);
        assert!(wakes.tasks.values().all(|woken| woken.by.len() <= MAX_WAKERS + 1));
    }
}
