//! The kinds of file that a profile can be written as, told by the file's name.

use std::{
    io::{self, Write},
    path::Path,
    str::FromStr,
};

use super::{Caption, Graph, Unit, Weights, write_folded, write_html, write_pprof, write_svg};
use crate::{export, profile::named::Profile};

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Svg,
    Html,
    Folded,
    Pprof,
    /// One OTLP `ProfilesData` message as JSON.
    Otlp,
}

impl Format {
    /// By the ending of a file's name.
    ///
    /// # Errors
    /// Where it has none that is known, with those that are.
    pub fn of(path: &Path) -> Result<Self, String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        ENDINGS.iter().find(|(ending, _)| name.ends_with(ending) && name.len() > ending.len()).map_or_else(
            || {
                let known: Vec<&str> = ENDINGS.iter().map(|(ending, _)| *ending).collect();
                Err(format!("the file's name has to end in one of {}", known.join(", ")))
            },
            |(_, format)| Ok(*format),
        )
    }

    /// Whether two profiles can be compared in it.
    #[must_use]
    pub fn compares(self) -> bool {
        matches!(self, Self::Svg | Self::Html)
    }
}

const ENDINGS: [(&str, Format); 5] = [
    (".svg", Format::Svg),
    (".html", Format::Html),
    (".folded", Format::Folded),
    (".pb.gz", Format::Pprof),
    (".otlp.json", Format::Otlp),
];

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::of(Path::new(text))
    }
}

/// The profiles as one tree: threads by their names, then their functions.
#[must_use]
pub fn graph(profiles: &[Profile]) -> Graph {
    let mut graph = Graph::default();
    add(&mut graph, profiles, Weights::now);
    graph.sort();
    graph
}

/// Two sets of profiles as one tree to compare.
#[must_use]
pub fn comparison(before: &[Profile], now: &[Profile]) -> Graph {
    let mut graph = Graph::default();
    add(&mut graph, before, Weights::before);
    add(&mut graph, now, Weights::now);
    graph.sort();
    graph
}

fn add(graph: &mut Graph, profiles: &[Profile], weigh: impl Fn(u64) -> Weights) {
    for sample in profiles.iter().flat_map(|profile| &profile.samples) {
        graph.add(Some(&sample.thread_name), &sample.stack, weigh(sample.value()));
    }
}

/// Writes `profiles`, of which `graph` was made, as `format`.
///
/// # Errors
/// When `out` cannot be written.
pub fn write(
    format: Format,
    profiles: &[Profile],
    graph: &Graph,
    caption: &Caption,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        Format::Svg => write_svg(graph, caption, out),
        Format::Html => write_html(graph, caption, out),
        Format::Folded => write_folded(graph, out),
        Format::Pprof => write_pprof(profiles, out),
        Format::Otlp => {
            out.write_all(&export::profiles_json(profiles))?;
            out.write_all(b"\n")
        }
    }
}

/// A caption of what was recorded.
#[must_use]
pub fn caption(title: String) -> Caption {
    Caption { title, unit: Unit::Nanoseconds, compared: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_format() {
        for (name, expect) in [
            ("a.svg", Some(Format::Svg)),
            ("dir.x/b.html", Some(Format::Html)),
            ("c.folded", Some(Format::Folded)),
            ("c.pb.gz", Some(Format::Pprof)),
            ("c.otlp.json", Some(Format::Otlp)),
            ("c.json", None),
            (".svg", None),
            ("svg", None),
            ("", None),
        ] {
            assert_eq!(Format::of(Path::new(name)).ok(), expect, "{name}");
        }
        assert_eq!(
            "x.txt".parse::<Format>().unwrap_err(),
            "the file's name has to end in one of .svg, .html, .folded, .pb.gz, .otlp.json"
        );
    }
}
