//! Folded stacks: a line for each stack, functions separated by semicolons, then a space and the weight. What most
//! flamegraph tools read.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, BufRead, Write},
};

use super::{Graph, Weights};
use crate::profile::named::FrameKind;

/// A longer line is no stack.
const MAX_LINE: u64 = 1 << 20;
/// Suffixes that tell what runs a function, as several tools write them.
const KERNEL: &str = "_[k]";
const JIT: &str = "_[j]";
const INLINED: &str = "_[i]";

/// Why folded stacks could not be read.
#[derive(Debug)]
pub enum FoldedError {
    Io(io::Error),
    /// The line, from 1, and what is wrong with it.
    Line(usize, &'static str),
}

/// Writes what `graph` holds now, in the order of the lines.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_folded(graph: &Graph, out: &mut dyn Write) -> io::Result<()> {
    let mut lines = BTreeMap::new();
    let mut waiting = vec![(0, String::new())];
    while let Some((index, path)) = waiting.pop() {
        let node = &graph.nodes()[index];
        if node.own.now > 0 && index != 0 {
            lines.insert(path.clone(), node.own.now);
        }
        for &child in &node.children {
            let label = graph.nodes()[child].label;
            let mut below = path.clone();
            if index != 0 {
                below.push(';');
            }
            below.extend(graph.name(label).chars().map(|c| if matches!(c, ';' | '\n') { ':' } else { c }));
            below.push_str(match (label.inlined, label.kind) {
                (true, _) => INLINED,
                (false, FrameKind::Kernel) => KERNEL,
                (false, FrameKind::Jit) => JIT,
                (false, _) => "",
            });
            waiting.push((child, below));
        }
    }
    for (path, weight) in lines {
        writeln!(out, "{path} {weight}")?;
    }
    Ok(())
}

/// Reads folded stacks; `weigh` says where a weight counts.
///
/// # Errors
/// On a line that does not end in a weight, and when `input` cannot be read.
pub fn read_folded(
    mut input: impl BufRead,
    graph: &mut Graph,
    weigh: impl Fn(u64) -> Weights,
) -> Result<(), FoldedError> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = io::Read::take(&mut input, MAX_LINE).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        if read as u64 == MAX_LINE {
            return Err(FoldedError::Line(number, "the line is too long"));
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (stack, weight) = text.rsplit_once(' ').ok_or(FoldedError::Line(number, "there is no weight"))?;
        let weight = weight.parse().map_err(|_| FoldedError::Line(number, "the weight is no number"))?;
        graph.add_functions(stack.split(';').map(function), weigh(weight));
    }
    Ok(())
}

fn function(text: &str) -> (&str, FrameKind, bool) {
    if let Some(name) = text.strip_suffix(KERNEL) {
        (name, FrameKind::Kernel, false)
    } else if let Some(name) = text.strip_suffix(JIT) {
        (name, FrameKind::Jit, false)
    } else if let Some(name) = text.strip_suffix(INLINED) {
        (name, FrameKind::Native, true)
    } else {
        (text, FrameKind::Native, false)
    }
}

impl fmt::Display for FoldedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Line(number, what) => write!(f, "line {number}: {what}"),
        }
    }
}

impl std::error::Error for FoldedError {}

impl From<io::Error> for FoldedError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Graph, FoldedError> {
        let mut graph = Graph::default();
        read_folded(text.as_bytes(), &mut graph, Weights::now)?;
        graph.sort();
        Ok(graph)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = "main;a b(int, char) 3\nmain;read;sys_read_[k] 7\nmain;x_[i] 1\n";
        let mut out = Vec::new();
        write_folded(&read(text).unwrap(), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }

    #[test]
    fn a_line_without_a_weight_is_named() {
        for (text, expect) in [
            ("main;a 3\nmain", "line 2: there is no weight"),
            ("main x", "line 1: the weight is no number"),
            ("main -1", "line 1: the weight is no number"),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), expect, "{text}");
        }
        assert_eq!(read("\n# made by hand\n").unwrap().nodes().len(), 1);
    }

    #[test]
    fn separators_within_a_name_do_not_part_it() {
        let mut graph = Graph::default();
        graph.add_functions([("a;b\nc", FrameKind::Native, false)].into_iter(), Weights::now(1));
        let mut out = Vec::new();
        write_folded(&graph, &mut out).unwrap();
        assert_eq!(out, b"a:b:c 1\n");
    }
}
