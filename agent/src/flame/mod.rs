//! Pictures and files of where time went: flamegraphs (SVG, HTML), folded stacks, pprof, a table for the terminal.
//!
//! Everything here works on a [`Graph`]: stacks merged into a tree, with one weight or, to compare two profiles, two.

mod files;
mod folded;
mod graph;
mod html;
mod layout;
mod output;
mod palette;
mod pprof;
mod summary;
mod svg;
mod text;

pub use files::compare_files;
pub use folded::{FoldedError, read_folded, write_folded};
pub use graph::{Graph, Label, Node, Weights};
pub use html::write_html;
pub use output::{Format, caption, comparison, graph, write};
pub use pprof::write_pprof;
pub use summary::{Summary, Top};
pub use svg::write_svg;

/// What a picture says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caption {
    /// "postgres (4711), 10 s at 99 Hz".
    pub title: String,
    /// "nanoseconds" or "samples": what weights count.
    pub unit: Unit,
    /// Of a comparison: the names of what came before and after.
    pub compared: Option<(String, String)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    #[default]
    Nanoseconds,
    Samples,
    /// Folded files do not say what they count.
    Unknown,
}

impl Unit {
    /// A weight for people: "1.25 s", "12 samples".
    #[must_use]
    pub fn text(self, weight: u64) -> String {
        match self {
            Self::Unknown => weight.to_string(),
            Self::Samples if weight == 1 => "1 sample".to_owned(),
            Self::Samples => format!("{weight} samples"),
            Self::Nanoseconds => {
                let value = weight as f64;
                match weight {
                    1_000_000_000.. => format!("{:.2} s", value / 1e9),
                    1_000_000.. => format!("{:.1} ms", value / 1e6),
                    1_000.. => format!("{:.0} µs", value / 1e3),
                    _ => format!("{weight} ns"),
                }
            }
        }
    }
}
