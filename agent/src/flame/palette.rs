//! Colours: what runs a function gives the hue, its name the shade; of a comparison the change gives both.

use super::{Graph, Label, Node};
use crate::profile::named::FrameKind;

/// `#rrggbb` for a node. `compare`: by how its share changed.
pub(super) fn colour(graph: &Graph, node: &Node, compare: bool) -> String {
    let (hue, saturation, light) = if compare { changed(graph, node) } else { plain(graph, node.label) };
    hex(hue, saturation, light)
}

/// The legend: a name and a colour for each kind that occurs.
pub(super) fn legend(graph: &Graph) -> Vec<(&'static str, String)> {
    let mut kinds: Vec<FrameKind> = graph.nodes()[1..].iter().map(|node| node.label.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.into_iter().map(|kind| (word(kind), hex(hue(kind), 0.75, 0.62))).collect()
}

/// By how much of the whole a node's share grew; negative where it shrank. Between -1 and 1.
pub(super) fn change(graph: &Graph, node: &Node) -> f64 {
    let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    let root = graph.root().total;
    share(node.total.now, root.now) - share(node.total.before, root.before)
}

fn plain(graph: &Graph, label: Label) -> (f64, f64, f64) {
    let shade = f64::from(hash(graph.name(label)) % 1_000) / 1_000.0;
    let light = if label.inlined { 0.74 } else { 0.60 };
    (hue(label.kind) + (shade - 0.5) * 22.0, 0.62 + shade * 0.2, light + (shade - 0.5) * 0.10)
}

/// Red grew, blue shrank; the deeper the more. A tenth of the whole is a great change.
fn changed(graph: &Graph, node: &Node) -> (f64, f64, f64) {
    let change = change(graph, node);
    let strength = (change.abs() / 0.1).min(1.0).sqrt();
    if strength < 0.05 {
        return (40.0, 0.06, 0.86);
    }
    (if change > 0.0 { 6.0 } else { 214.0 }, 0.35 + 0.5 * strength, 0.90 - 0.34 * strength)
}

fn hue(kind: FrameKind) -> f64 {
    match kind {
        FrameKind::Native => 36.0,
        FrameKind::Kernel => 208.0,
        FrameKind::Go => 186.0,
        FrameKind::Rust => 18.0,
        FrameKind::CPython => 140.0,
        FrameKind::V8 => 66.0,
        FrameKind::Jvm => 344.0,
        FrameKind::Ruby => 326.0,
        FrameKind::Php => 262.0,
        FrameKind::DotNet => 286.0,
        FrameKind::Jit => 100.0,
    }
}

fn word(kind: FrameKind) -> &'static str {
    match kind {
        FrameKind::Kernel => "kernel",
        FrameKind::Native => "native",
        FrameKind::Go => "Go",
        FrameKind::Rust => "Rust",
        FrameKind::CPython => "Python",
        FrameKind::V8 => "JavaScript",
        FrameKind::Jvm => "Java",
        FrameKind::Ruby => "Ruby",
        FrameKind::Php => "PHP",
        FrameKind::DotNet => ".NET",
        FrameKind::Jit => "JIT",
    }
}

/// FNV-1a: the same name has the same shade in every picture.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// HSL as CSS has it; written as hexadecimal, which everything that draws SVG understands.
fn hex(hue: f64, saturation: f64, light: f64) -> String {
    let saturation = saturation.clamp(0.0, 1.0);
    let light = light.clamp(0.0, 1.0);
    let channel = |n: f64| {
        let k = (n + hue.rem_euclid(360.0) / 30.0) % 12.0;
        let value = light - saturation * light.min(1.0 - light) * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0);
        // Within 0 to 255 by the clamps.
        (value * 255.0).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", channel(0.0), channel(8.0), channel(4.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flame::Weights;

    #[test]
    fn colours_are_css_s() {
        assert_eq!(hex(0.0, 1.0, 0.5), "#ff0000");
        assert_eq!(hex(120.0, 1.0, 0.5), "#00ff00");
        assert_eq!(hex(-120.0, 1.0, 0.5), "#0000ff");
        assert_eq!(hex(77.0, 0.0, 1.0), "#ffffff");
    }

    #[test]
    fn change_is_of_shares_and_not_of_sums() {
        let mut graph = Graph::default();
        let mut add = |name, now, before| {
            graph.add_functions([(name, FrameKind::Native, false)].into_iter(), Weights { now, before });
        };
        add("same", 100, 10);
        add("grew", 300, 10);
        add("gone", 0, 20);
        let changes: Vec<i64> =
            graph.nodes()[1..].iter().map(|node| (change(&graph, node) * 100.0).round() as i64).collect();
        assert_eq!(changes, [0, 50, -50]);
    }
}
