//! When a process is worth a look for what it has mapped.

use std::time::{Duration, Instant};

/// After it was selected or has begun a program a process is looked at now, and again after each of these times (ms): the
/// linker tells of what it loads, but not every program's linker can be asked.
const AGAIN: [u64; 5] = [5, 15, 30, 100, 500];
/// While many processes begin, the next look is the last.
const MANY: usize = 32;
/// Processes waiting to be looked at.
const MAX_DUE: usize = 4_096;
/// Processes looked at again in one round of housekeeping, for what they have loaded since.
const MAX_AGAIN: usize = 64;

/// The processes to look at.
#[derive(Debug, Default)]
pub(in crate::load) struct Watch {
    due: Vec<Due>,
    /// Where the next housekeeping begins.
    next: u32,
    /// Processes that were not looked at because there were too many.
    pub(in crate::load) dropped: u64,
}

/// A look that is due.
#[derive(Clone, Copy, Debug)]
pub(in crate::load) struct Due {
    pub(in crate::load) pid: u32,
    at: Instant,
    look: usize,
}

impl Due {
    pub(in crate::load) fn is_first(self) -> bool {
        self.look == 0
    }
}

impl Watch {
    /// A process was selected, or has begun another program.
    pub(in crate::load) fn expect(&mut self, pid: u32) {
        if self.due.len() >= MAX_DUE {
            self.dropped += 1;
            return;
        }
        self.due.push(Due { pid, at: Instant::now(), look: 0 });
    }

    /// The looks whose time has come.
    pub(in crate::load) fn ripe(&mut self) -> Vec<Due> {
        let now = Instant::now();
        self.due.extract_if(.., |due| due.at <= now).collect()
    }

    /// The process was there: it is looked at again, a little later, for a while.
    pub(in crate::load) fn again(&mut self, due: Due) {
        let next = if self.due.len() < MANY { due.look } else { due.look.max(AGAIN.len() - 1) };
        if let Some(delay) = AGAIN.get(next) {
            self.due.push(Due {
                pid: due.pid,
                at: Instant::now() + Duration::from_millis(*delay),
                look: next + 1,
            });
        }
    }

    /// Whether one is to be looked at soon.
    pub(in crate::load) fn is_close(&self) -> bool {
        self.due.iter().any(|due| due.look < AGAIN.len())
    }

    /// Some of `processes` (in ascending order), others each time.
    pub(in crate::load) fn some(&mut self, processes: &[u32]) -> Vec<u32> {
        let later = processes.partition_point(|pid| *pid < self.next);
        let (before, after) = processes.split_at(later);
        let some: Vec<u32> = after.iter().chain(before).take(MAX_AGAIN).copied().collect();
        self.next = some.last().map_or(0, |pid| pid + 1);
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_looked_at_at_once_and_some_more_times() {
        let mut watch = Watch::default();
        watch.expect(7);
        let [first] = watch.ripe()[..] else { panic!() };
        assert!(first.is_first() && !watch.is_close());
        watch.again(first);
        assert!(watch.is_close() && watch.ripe().is_empty());
        watch.again(Due { look: AGAIN.len(), ..first });
        assert_eq!(watch.due.len(), 1);
    }

    #[test]
    fn beyond_the_bound_processes_are_counted() {
        let mut watch = Watch::default();
        (0..5_000).for_each(|pid| watch.expect(pid));
        assert_eq!((watch.ripe().len(), watch.dropped), (MAX_DUE, 5_000 - MAX_DUE as u64));
    }

    #[test]
    fn housekeeping_goes_round_all_processes() {
        let mut watch = Watch::default();
        let processes: Vec<u32> = (0..100).collect();
        let (one, two) = (watch.some(&processes), watch.some(&processes));
        assert_eq!((one[0], one.len(), two[0], two[36]), (0, 64, 64, 0));
        assert!(watch.some(&[]).is_empty());
    }
}
