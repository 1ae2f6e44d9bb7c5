//! Rows of one trace gathered for a moment and arranged as a tree.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use super::row::Row;
use crate::span::{SpanId, TraceId};

/// Traces that may still grow.
#[derive(Debug, Default)]
pub(super) struct Forest {
    traces: HashMap<TraceId, Trace>,
    rows: usize,
}

#[derive(Debug)]
struct Trace {
    rows: Vec<Row>,
    /// When it is printed, complete or not.
    due: Instant,
    /// `due` is not moved beyond this.
    latest: Instant,
}

/// A row and its place.
#[derive(Debug, PartialEq)]
pub(super) struct Line<'a> {
    pub(super) row: &'a Row,
    /// One entry for each level below the root: does the branch go on below this line?
    pub(super) branches: Vec<bool>,
}

/// A trace is printed after this long without a new span,
const QUIET: Duration = Duration::from_millis(250);
/// and this long after its first one at the latest.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// With more rows than this, those that have waited longest are printed as they are.
const MAX_ROWS: usize = 4_096;
/// Deeper levels are shown at this depth.
const MAX_DEPTH: usize = 12;

impl Forest {
    pub(super) fn add(&mut self, row: Row, now: Instant) {
        self.rows += 1;
        let trace = self.traces.entry(row.trace_id).or_insert_with(|| Trace {
            rows: Vec::new(),
            due: now,
            latest: now + PATIENCE,
        });
        trace.rows.push(row);
        trace.due = (now + QUIET).min(trace.latest);
    }

    /// When the next trace is to be printed.
    pub(super) fn due(&self) -> Option<Instant> {
        self.traces.values().map(|trace| trace.due).min()
    }

    /// The traces that are due, and the oldest beyond the limit, by the start of their first span.
    pub(super) fn take_ripe(&mut self, now: Instant) -> Vec<Vec<Row>> {
        let mut ids: Vec<_> =
            self.traces.iter().map(|(id, trace)| (trace.due, *id, trace.rows.len())).collect();
        ids.sort_unstable();
        let mut excess = self.rows.saturating_sub(MAX_ROWS);
        let ripe = ids.into_iter().take_while(|(due, _, rows)| {
            let ripe = *due <= now || excess > 0;
            excess = excess.saturating_sub(*rows);
            ripe
        });
        let ripe: Vec<_> = ripe.collect();
        let traces =
            ripe.into_iter().filter_map(|(_, id, _)| self.traces.remove(&id)).map(|trace| trace.rows);
        let traces: Vec<_> = traces.collect();
        self.rows -= traces.iter().map(Vec::len).sum::<usize>();
        in_order(traces)
    }

    pub(super) fn take_all(&mut self) -> Vec<Vec<Row>> {
        self.rows = 0;
        in_order(self.traces.drain().map(|(_, trace)| trace.rows).collect())
    }
}

fn in_order(mut traces: Vec<Vec<Row>>) -> Vec<Vec<Row>> {
    for trace in &mut traces {
        trace.sort_by_key(|row| (row.start, row.span_id));
    }
    traces.sort_by_key(|trace| trace.first().map(|row| (row.start, row.trace_id)));
    traces
}

/// Rows, sorted by start, in the order of the tree: every child below its parent.
pub(super) fn arrange(rows: &[Row]) -> Vec<Line<'_>> {
    let known: HashSet<SpanId> = rows.iter().map(|row| row.span_id).collect();
    let mut children: HashMap<SpanId, Vec<&Row>> = HashMap::new();
    let mut stack: Vec<(&Row, Vec<bool>)> = Vec::new();
    for row in rows.iter().rev() {
        match row.parent.filter(|parent| known.contains(parent) && *parent != row.span_id) {
            Some(parent) => children.entry(parent).or_default().push(row),
            None => stack.push((row, Vec::new())),
        }
    }
    let mut lines = Vec::with_capacity(rows.len());
    loop {
        while let Some((row, branches)) = stack.pop() {
            // In reverse: the last child is pushed first, and nothing goes on below it.
            for (index, child) in children.remove(&row.span_id).unwrap_or_default().into_iter().enumerate() {
                let mut branches = branches.clone();
                if branches.len() >= MAX_DEPTH {
                    branches.pop();
                }
                branches.push(index > 0);
                stack.push((child, branches));
            }
            lines.push(Line { row, branches });
        }
        // Parents in a circle hang on no root; broken data is shown all the same.
        let Some(&id) = children.keys().min() else { return lines };
        stack.extend(children.remove(&id).into_iter().flatten().map(|row| (row, Vec::new())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::field_reassign_with_default, reason = "the other fields are private to `row`")]
    fn row(id: u8, parent: u8, start: u64) -> Row {
        let mut row = Row::default();
        row.span_id = SpanId([id; 8]);
        row.parent = (parent > 0).then_some(SpanId([parent; 8]));
        row.start = start;
        row
    }

    fn shape(rows: &[Row]) -> Vec<(u8, String)> {
        let branches = |line: &Line<'_>| line.branches.iter().map(|on| if *on { '|' } else { '.' }).collect();
        arrange(rows).iter().map(|line| (line.row.span_id.0[0], branches(line))).collect()
    }

    fn expect(lines: &[(u8, &str)]) -> Vec<(u8, String)> {
        lines.iter().map(|(id, branches)| (*id, (*branches).to_owned())).collect()
    }

    #[test]
    fn children_stand_below_their_parents_in_order_of_start() {
        let rows = [row(1, 0, 10), row(2, 1, 20), row(3, 2, 30), row(4, 1, 40), row(5, 9, 50)];
        let lines = [(1, ""), (2, "|"), (3, "|."), (4, "."), (5, "")];
        assert_eq!(shape(&rows), expect(&lines));
    }

    #[test]
    fn every_row_of_broken_data_is_shown_once() {
        // 1 and 2 are each other's parent, 3 is its own, 4 comes twice.
        let rows = [row(1, 2, 10), row(2, 1, 20), row(3, 3, 30), row(4, 3, 40), row(4, 3, 50)];
        let lines = shape(&rows);
        let mut ids: Vec<_> = lines.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        assert_eq!(ids, [1, 2, 3, 4, 4]);
    }

    #[test]
    fn deep_traces_stop_moving_to_the_right() {
        let rows: Vec<_> = (1..=40).map(|id| row(id, id - 1, u64::from(id))).collect();
        let depths: Vec<_> = arrange(&rows).iter().map(|line| line.branches.len()).collect();
        assert_eq!(depths, (0..40).map(|depth: usize| depth.min(MAX_DEPTH)).collect::<Vec<_>>());
    }

    #[test]
    fn a_trace_waits_for_quiet_but_not_for_ever() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut forest = Forest::default();
        forest.add(row(2, 1, 20), at(0));
        assert_eq!(forest.take_ripe(at(200)), Vec::<Vec<Row>>::new());
        forest.add(row(1, 0, 10), at(200));
        assert_eq!(forest.due(), Some(at(450)));
        assert_eq!(forest.take_ripe(at(450)), [vec![row(1, 0, 10), row(2, 1, 20)]]);
        assert_eq!(forest.due(), None);
        for ms in (0..=1_400).step_by(100) {
            forest.add(row(1, 0, ms), at(1_000 + ms));
        }
        assert_eq!(forest.due(), Some(at(2_500)));
    }

    #[test]
    fn beyond_the_limit_the_oldest_traces_are_printed_early() {
        let start = Instant::now();
        let mut forest = Forest::default();
        let of = |trace: u16, start| {
            let mut row = row(1, 0, start);
            row.trace_id.0[..2].copy_from_slice(&trace.to_be_bytes());
            row
        };
        for trace in 0..5_000_u16 {
            forest.add(of(trace, u64::from(trace)), start + Duration::from_micros(u64::from(trace)));
        }
        let printed = forest.take_ripe(start + Duration::from_millis(5));
        assert_eq!(printed.len(), 5_000 - MAX_ROWS);
        assert_eq!(printed[0], [of(0, 0)]);
        assert_eq!(forest.rows, MAX_ROWS);
    }
}
