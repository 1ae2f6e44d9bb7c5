//! Stacks merged into a tree of calls.

use std::collections::HashMap;

use crate::profile::named::{FrameKind, Stack};

/// The most functions of one stack that are drawn; of longer ones the inner part is left out.
const MAX_DEPTH: usize = 1_024;

/// A tree of calls. Node 0 is the root, which stands for everything.
#[derive(Clone, Debug)]
pub struct Graph {
    nodes: Vec<Node>,
    /// Which child of a node has which function.
    children: HashMap<(usize, Label), usize, foldhash::fast::RandomState>,
    labels: HashMap<String, u32, foldhash::fast::RandomState>,
    names: Vec<String>,
}

/// A function in its place: called by its parent.
#[derive(Clone, Debug)]
pub struct Node {
    pub label: Label,
    /// Time in it and in what it called.
    pub total: Weights,
    /// Time in itself.
    pub own: Weights,
    /// By name.
    pub children: Vec<usize>,
}

/// A function's name, by number, and what runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    pub name: u32,
    pub kind: FrameKind,
    pub inlined: bool,
}

/// A weight, and of a comparison the same before. Both halves are scaled to their own whole by whoever draws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    pub now: u64,
    pub before: u64,
}

impl Default for Graph {
    fn default() -> Self {
        let mut graph = Self {
            nodes: Vec::new(),
            children: HashMap::default(),
            labels: HashMap::default(),
            names: Vec::new(),
        };
        let label = graph.label("all", FrameKind::Native, false);
        graph.nodes.push(Node::new(label));
        graph
    }
}

impl Graph {
    /// `outer`: what stands below the stack, such as the thread's name.
    pub fn add(&mut self, outer: Option<&str>, stack: &Stack, weights: Weights) {
        let cut = (!stack.complete).then_some("[incomplete]");
        let below = outer.into_iter().chain(cut).map(|name| (name, FrameKind::Native, false));
        self.add_functions(below.chain(stack.functions()), weights);
    }

    /// `functions` from the outermost to the innermost: name, kind, and whether it was inlined.
    pub fn add_functions<'a>(
        &mut self,
        functions: impl Iterator<Item = (&'a str, FrameKind, bool)>,
        weights: Weights,
    ) {
        let mut at = 0;
        self.nodes[at].total.add(weights);
        for (name, kind, inlined) in functions.take(MAX_DEPTH) {
            let label = self.label(name, kind, inlined);
            at = self.child(at, label);
            self.nodes[at].total.add(weights);
        }
        self.nodes[at].own.add(weights);
    }

    /// Children in the order of their names, so that equal profiles give equal pictures.
    pub fn sort(&mut self) {
        let Self { nodes, names, .. } = self;
        let labels: Vec<Label> = nodes.iter().map(|node| node.label).collect();
        for node in nodes.iter_mut() {
            node.children.sort_by(|&a, &b| {
                let (a, b) = (labels[a], labels[b]);
                names[a.name as usize]
                    .cmp(&names[b.name as usize])
                    .then(a.kind.cmp(&b.kind))
                    .then(a.inlined.cmp(&b.inlined))
            });
        }
    }

    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    #[must_use]
    pub fn root(&self) -> &Node {
        &self.nodes[0]
    }

    #[must_use]
    pub fn name(&self, label: Label) -> &str {
        &self.names[label.name as usize]
    }

    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Functions above each other in the longest stack.
    #[must_use]
    pub fn depth(&self) -> usize {
        let mut deepest = 0;
        let mut waiting = vec![(0, 0)];
        while let Some((node, depth)) = waiting.pop() {
            deepest = deepest.max(depth);
            waiting.extend(self.nodes[node].children.iter().map(|&child| (child, depth + 1)));
        }
        deepest
    }

    fn label(&mut self, name: &str, kind: FrameKind, inlined: bool) -> Label {
        let name = match self.labels.get(name) {
            Some(&known) => known,
            None => {
                let fresh = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
                self.labels.insert(name.to_owned(), fresh);
                self.names.push(name.to_owned());
                fresh
            }
        };
        Label { name, kind, inlined }
    }

    fn child(&mut self, parent: usize, label: Label) -> usize {
        let next = self.nodes.len();
        let child = *self.children.entry((parent, label)).or_insert(next);
        if child == next {
            self.nodes.push(Node::new(label));
            self.nodes[parent].children.push(child);
        }
        child
    }
}

impl Node {
    fn new(label: Label) -> Self {
        Self { label, total: Weights::default(), own: Weights::default(), children: Vec::new() }
    }
}

impl Weights {
    #[must_use]
    pub fn now(weight: u64) -> Self {
        Self { now: weight, before: 0 }
    }

    #[must_use]
    pub fn before(weight: u64) -> Self {
        Self { now: 0, before: weight }
    }

    fn add(&mut self, other: Self) {
        self.now = self.now.saturating_add(other.now);
        self.before = self.before.saturating_add(other.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::named::tests::stack;

    #[test]
    fn equal_beginnings_are_merged() {
        let mut graph = Graph::default();
        graph.add(None, &stack("main;b;c"), Weights::now(3));
        graph.add(None, &stack("main;a"), Weights::now(2));
        graph.add(None, &stack("main;b"), Weights::now(1));
        graph.sort();
        assert_eq!(graph.root().total.now, 6);
        assert_eq!(graph.depth(), 3);
        let main = &graph.nodes()[graph.root().children[0]];
        let children: Vec<_> = main
            .children
            .iter()
            .map(|&child| &graph.nodes()[child])
            .map(|node| (graph.name(node.label), node.total.now, node.own.now))
            .collect();
        assert_eq!(children, [("a", 2, 2), ("b", 4, 1)]);
    }

    #[test]
    fn a_stack_without_its_beginning_is_set_apart() {
        let mut graph = Graph::default();
        graph.add(None, &Stack { complete: false, ..stack("b") }, Weights::now(1));
        let first = &graph.nodes()[graph.root().children[0]];
        assert_eq!(graph.name(first.label), "[incomplete]");
    }

    #[test]
    fn endless_recursion_is_cut() {
        let mut graph = Graph::default();
        graph.add(None, &stack(&vec!["f"; 5_000].join(";")), Weights::now(1));
        assert_eq!(graph.depth(), MAX_DEPTH);
    }
}
