//! Where each function of a graph lies: left edge and width as parts of the whole, and its depth.

use super::{Graph, Node};

/// A function's box. `left` and `width` are between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) node: usize,
    pub(super) left: f64,
    pub(super) width: f64,
    pub(super) depth: usize,
}

/// The boxes at least `narrowest` wide, callers before the called, from left to right.
///
/// Of a comparison the width is the mean of both shares, so that what vanished and what is new are both seen.
pub(super) fn places(graph: &Graph, compare: bool, narrowest: f64) -> Vec<Place> {
    let mut places = Vec::new();
    let mut waiting = vec![Place { node: 0, left: 0.0, width: 1.0, depth: 0 }];
    while let Some(place) = waiting.pop() {
        let first = waiting.len();
        let mut left = place.left;
        for &child in &graph.nodes()[place.node].children {
            let width = share(graph, &graph.nodes()[child], compare);
            if width >= narrowest {
                waiting.push(Place { node: child, left, width, depth: place.depth + 1 });
            }
            left += width;
        }
        waiting[first..].reverse();
        places.push(place);
    }
    places
}

/// A node's part of the whole.
pub(super) fn share(graph: &Graph, node: &Node, compare: bool) -> f64 {
    let root = graph.root().total;
    let part = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    let now = part(node.total.now, root.now);
    if compare { f64::midpoint(now, part(node.total.before, root.before)) } else { now }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{flame::Weights, profile::named::tests::stack};

    #[test]
    fn boxes_lie_side_by_side_above_their_caller() {
        let mut graph = Graph::default();
        graph.add(None, &stack("main;a"), Weights::now(1));
        graph.add(None, &stack("main;b;c"), Weights::now(2));
        graph.add(None, &stack("main"), Weights::now(1));
        graph.sort();
        let places: Vec<_> = places(&graph, false, 0.0)
            .into_iter()
            .map(|place| {
                let name = graph.name(graph.nodes()[place.node].label).to_owned();
                (name, place.left, place.width, place.depth)
            })
            .collect();
        let expect = [
            ("all", 0.0, 1.0, 0),
            ("main", 0.0, 1.0, 1),
            ("a", 0.0, 0.25, 2),
            ("b", 0.25, 0.5, 2),
            ("c", 0.25, 0.5, 3),
        ];
        assert_eq!(places, expect.map(|(name, left, width, depth)| (name.to_owned(), left, width, depth)));
    }

    #[test]
    fn a_comparison_shows_what_vanished() {
        let mut graph = Graph::default();
        graph.add(None, &stack("old"), Weights::before(7));
        graph.add(None, &stack("new"), Weights::now(1));
        graph.sort();
        let widths: Vec<f64> = places(&graph, true, 0.0).iter().map(|place| place.width).collect();
        assert_eq!(widths, [1.0, 0.5, 0.5]);
        assert_eq!(places(&graph, false, 0.001).len(), 2);
    }
}
