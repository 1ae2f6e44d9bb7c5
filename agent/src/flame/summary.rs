//! The few figures that the terminal shows.

use std::{collections::HashMap, fmt};

use super::{Graph, Unit};

/// How many functions are listed.
const TOP: usize = 10;
const LONGEST: usize = 70;

/// Where the time went, in short: each function's share itself and with what it called, and its own time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub unit: Unit,
    pub whole: u64,
    /// By their own time, most first.
    pub top: Vec<Top>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Top {
    pub name: String,
    /// In the function itself.
    pub own: u64,
    /// In it and in what it called, recursion counted once.
    pub total: u64,
}

impl Summary {
    #[must_use]
    pub fn of(graph: &Graph, unit: Unit) -> Self {
        let mut sums: HashMap<u32, (u64, u64)> = HashMap::new();
        // Depth first, with the functions that are open: an inner call of the same one adds nothing to its total.
        let mut open: HashMap<u32, usize> = HashMap::new();
        let mut waiting: Vec<(usize, bool)> =
            graph.root().children.iter().map(|&child| (child, true)).collect();
        while let Some((index, enter)) = waiting.pop() {
            let node = &graph.nodes()[index];
            let times = open.entry(node.label.name).or_default();
            if !enter {
                *times -= 1;
                continue;
            }
            let sum = sums.entry(node.label.name).or_default();
            sum.0 += node.own.now;
            if *times == 0 {
                sum.1 += node.total.now;
            }
            *times += 1;
            waiting.push((index, false));
            waiting.extend(node.children.iter().map(|&child| (child, true)));
        }
        let name = |index: u32| graph.names()[index as usize].clone();
        let mut top: Vec<Top> =
            sums.into_iter().map(|(index, (own, total))| Top { name: name(index), own, total }).collect();
        top.sort_by(|a, b| (b.own, b.total).cmp(&(a.own, a.total)).then_with(|| a.name.cmp(&b.name)));
        top.retain(|top| top.own > 0);
        top.truncate(TOP);
        Self { unit, whole: graph.root().total.now, top }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |part: u64| if self.whole == 0 { 0.0 } else { part as f64 * 100.0 / self.whole as f64 };
        writeln!(f, "{:>7} {:>7} {:>10}  function", "self", "total", "time")?;
        for Top { name, own, total } in &self.top {
            let cut: String = name.chars().take(LONGEST).collect();
            let more = if cut.len() < name.len() { "…" } else { "" };
            let time = self.unit.text(*own);
            writeln!(f, "{:>6.1}% {:>6.1}% {time:>10}  {cut}{more}", share(*own), share(*total))?;
        }
        write!(f, "{:>26}  in all", self.unit.text(self.whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{flame::Weights, profile::named::tests::stack};

    #[test]
    fn recursion_is_counted_once() {
        let mut graph = Graph::default();
        graph.add(None, &stack("main;f;g;f"), Weights::now(2));
        graph.add(None, &stack("main;f"), Weights::now(3));
        graph.add(None, &stack("main;g"), Weights::now(1));
        let Summary { top, whole, .. } = Summary::of(&graph, Unit::Samples);
        let rows: Vec<_> = top.iter().map(|top| (top.name.as_str(), top.own, top.total)).collect();
        assert_eq!(rows, [("f", 5, 5), ("g", 1, 3)]);
        assert_eq!(whole, 6);
    }

    #[test]
    fn the_table_is_readable() {
        let mut graph = Graph::default();
        graph.add(None, &stack("main;work"), Weights::now(1_500_000_000));
        graph.add(None, &stack("main"), Weights::now(500_000_000));
        let text = Summary::of(&graph, Unit::Nanoseconds).to_string();
        assert_eq!(
            text,
            "   self   total       time  function\n  75.0%   75.0%     1.50 s  work\n  25.0%  100.0%   500.0 ms  main\n                    2.00 s  in all"
        );
    }
}
