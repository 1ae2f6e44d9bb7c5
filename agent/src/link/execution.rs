//! Executions: what does one thing after another. A thread, a goroutine, or a Python context (an asyncio task).
//!
//! A runtime's own names are used again: a context's address is another's after it was freed. Being made begins a
//! life; what was made by whom, and when, is known as long as somebody may ask.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use honeyguide_protocols::Actor;

/// Names one execution among all that are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Execution {
    /// 0 for a thread, whose id is nobody else's.
    pid: u32,
    /// Which life of the name it is; 0 where its beginning was not seen.
    life: u32,
    /// The actor's context, or the thread's id.
    name: u64,
}

/// An execution, and when it was to be asked what it had in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) execution: Execution,
    /// For the execution itself the time in question; for those before it, when it made the next.
    pub(super) time: u64,
}

#[derive(Debug)]
pub(super) struct Executions {
    living: HashMap<(u32, u64), Arc<Life>, foldhash::fast::FixedState>,
    /// In order of their beginnings; names that began again are skipped.
    begun: VecDeque<(u32, u64, u32)>,
    lives: u32,
    limit: usize,
    /// Lives forgotten because there were too many.
    pub(super) forgotten: u64,
}

#[derive(Debug)]
struct Life {
    execution: Execution,
    /// `None` where only its creator is known, and not when.
    born: Option<u64>,
    parent: Option<Arc<Life>>,
    depth: u8,
}

/// A line of ancestors is remembered no further: tasks that schedule themselves again would have no end.
const MAX_DEPTH: u8 = 24;
/// Of an execution and its ancestors this many are asked.
const MAX_STEPS: usize = 8;

impl Execution {
    fn thread(tid: u32) -> Self {
        Self { pid: 0, life: 0, name: u64::from(tid) }
    }

    /// A thread may work for several requests in turns; a task works for one at a time.
    pub(super) fn is_thread(self) -> bool {
        self.pid == 0
    }
}

impl Executions {
    /// `limit`: lives remembered at once.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            living: HashMap::default(),
            begun: VecDeque::new(),
            lives: 0,
            limit: limit.max(1),
            forgotten: 0,
        }
    }

    /// Context `child` of a process began, made by `parent` (0: by none).
    pub(super) fn begin(&mut self, pid: u32, child: u64, parent: u64, born: Option<u64>) {
        let parent = self.life_of(pid, parent).filter(|parent| parent.depth < MAX_DEPTH);
        self.lives = self.lives.wrapping_add(1).max(1);
        let execution = Execution { pid, life: self.lives, name: child };
        let depth = parent.as_ref().map_or(0, |parent| parent.depth + 1);
        self.remember(Life { execution, born, parent, depth });
    }

    /// Goroutine `child` was made by another, of whose id the lower half is known; it is never used again.
    pub(super) fn creator(&mut self, pid: u32, child: u64, parent: u32) {
        if self.living.contains_key(&(pid, child)) {
            return;
        }
        // Each processor takes ids in small batches: a child's may be the lower one.
        #[allow(clippy::cast_possible_truncation)] // The lower half is meant.
        let distance = parent.wrapping_sub(child as u32).cast_signed();
        let whole = child.wrapping_add_signed(i64::from(distance));
        let parent = self.life_of(pid, whole).filter(|parent| parent.depth < MAX_DEPTH);
        let depth = parent.as_ref().map_or(0, |parent| parent.depth + 1);
        self.remember(Life { execution: Execution { pid, life: 0, name: child }, born: None, parent, depth });
    }

    pub(super) fn of(&self, actor: Actor) -> Execution {
        if actor.context == 0 {
            return Execution::thread(actor.tid);
        }
        let unseen = Execution { pid: actor.pid, life: 0, name: actor.context };
        self.living.get(&(actor.pid, actor.context)).map_or(unseen, |life| life.execution)
    }

    /// `actor`'s execution at `time`, and those that made it.
    pub(super) fn lineage(&self, actor: Actor, time: u64) -> Vec<Step> {
        let mut steps = vec![Step { execution: self.of(actor), time }];
        if actor.context == 0 {
            return steps;
        }
        let mut life = self.living.get(&(actor.pid, actor.context));
        let mut time = time;
        while let Some(one) = life
            && steps.len() < MAX_STEPS
            && let Some(parent) = &one.parent
        {
            time = one.born.unwrap_or(time);
            steps.push(Step { execution: parent.execution, time });
            life = Some(parent);
        }
        steps
    }

    pub(super) fn len(&self) -> usize {
        self.begun.len()
    }

    fn life_of(&mut self, pid: u32, name: u64) -> Option<Arc<Life>> {
        if name & VALUE == 0 {
            return None;
        }
        if let Some(life) = self.living.get(&(pid, name)) {
            return Some(Arc::clone(life));
        }
        self.remember(Life {
            execution: Execution { pid, life: 0, name },
            born: None,
            parent: None,
            depth: 0,
        });
        self.living.get(&(pid, name)).map(Arc::clone)
    }

    fn remember(&mut self, life: Life) {
        let Execution { pid, life: number, name } = life.execution;
        self.living.insert((pid, name), Arc::new(life));
        self.begun.push_back((pid, name, number));
        while self.begun.len() > self.limit
            && let Some((pid, name, number)) = self.begun.pop_front()
        {
            if self.living.get(&(pid, name)).is_some_and(|life| life.execution.life == number) {
                self.living.remove(&(pid, name));
                self.forgotten += 1;
            }
        }
    }
}

/// The part of an actor's context that is not its kind.
const VALUE: u64 = (1 << 56) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    const A: u64 = 0xa000;
    const B: u64 = 0xb000;
    const C: u64 = 0xc000;

    fn actor(context: u64) -> Actor {
        Actor { pid: 1, tid: 7, context }
    }

    fn line(executions: &Executions, context: u64, time: u64) -> Vec<(u64, u64)> {
        executions.lineage(actor(context), time).iter().map(|s| (s.execution.name, s.time)).collect()
    }

    #[test]
    fn without_a_context_the_thread_is_the_execution() {
        let executions = Executions::new(8);
        assert!(executions.of(actor(0)).is_thread());
        assert_ne!(executions.of(actor(0)), executions.of(Actor { tid: 8, ..actor(0) }));
        assert!(!executions.of(actor(A)).is_thread());
        assert_eq!(line(&executions, 0, 5), [(7, 5)]);
    }

    #[test]
    fn a_line_is_followed_with_the_times_at_which_each_was_made() {
        let mut executions = Executions::new(8);
        executions.begin(1, B, A, Some(10));
        executions.begin(1, C, B, Some(20));
        assert_eq!(line(&executions, C, 30), [(C, 30), (B, 20), (A, 10)]);
    }

    #[test]
    fn an_address_that_is_used_again_is_another_and_its_children_keep_their_parents() {
        let mut executions = Executions::new(8);
        executions.begin(1, B, A, Some(10));
        let first = executions.of(actor(B));
        executions.begin(1, C, B, Some(20));
        executions.begin(1, B, 0, Some(25));
        assert_ne!(executions.of(actor(B)), first);
        assert_eq!(executions.lineage(actor(C), 30)[1].execution, first);
        assert_eq!(line(&executions, B, 30), [(B, 30)]);
        // The same address in another process.
        assert_ne!(executions.of(Actor { pid: 2, ..actor(B) }), executions.of(actor(B)));
    }

    #[test]
    fn goroutines_are_asked_at_the_time_in_question_since_their_beginning_is_not_seen() {
        let mut executions = Executions::new(8);
        let kind = 1 << 56;
        executions.creator(1, kind | 0x1_0000_0005, 0xffff_fff0);
        executions.creator(1, kind | 0x1_0000_0005, 3);
        executions.creator(1, kind | 0x2_0000_0005, 9);
        assert_eq!(line(&executions, kind | 0x2_0000_0005, 30)[1], (kind | 0x2_0000_0009, 30));
        assert_eq!(
            line(&executions, kind | 0x1_0000_0005, 30),
            [(kind | 0x1_0000_0005, 30), (kind | 0xffff_fff0, 30)]
        );
    }

    #[test]
    fn neither_many_lives_nor_long_lines_grow_without_bound() {
        let mut executions = Executions::new(100);
        for at in 1..=10_000 {
            executions.begin(1, at, at - 1, Some(at));
        }
        assert_eq!(executions.len(), 100);
        assert!(executions.living.len() <= 100);
        assert!(executions.forgotten > 9_000);
        assert!(executions.lineage(actor(10_000), 0).len() <= MAX_STEPS);
        for _ in 0..10_000 {
            executions.begin(1, 5, 5, None);
        }
        assert!(executions.living[&(1, 5)].depth <= MAX_DEPTH);
    }
}
