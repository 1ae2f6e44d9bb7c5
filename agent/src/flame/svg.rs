//! A flamegraph as one SVG file: a picture everywhere, and in a browser one that can be searched and zoomed.

use std::io::{self, Write};

use super::{
    Caption, Graph, Node, Unit,
    layout::{self, Place},
    palette,
    text::xml,
};

const WIDTH: f64 = 1_200.0;
const MARGIN: f64 = 10.0;
const ROW: f64 = 17.0;
const HEAD: f64 = 58.0;
const FOOT: f64 = 46.0;
/// Of a character of the labels, in pixels.
const LETTER: f64 = 6.6;
/// Narrower boxes are left out: nobody sees them, and they are most of the file.
const NARROWEST: f64 = 0.1;

const STYLE: &str = "text{font:11px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1d1d1f}\
.t{font:600 16px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}\
.s{font:12px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:#6e6e73}\
.b{cursor:pointer;fill:#0a60c2}.f{cursor:pointer}.f text{pointer-events:none}\
.f:hover rect{stroke:#1d1d1f;stroke-width:1}.m rect{fill:#c026d3!important}.m text{fill:#fff}";

/// Zoom by a click, search by a click or Ctrl+F, back by Escape.
const SCRIPT: &str = include_str!("svg.js");

/// Writes `graph` as a flamegraph: the outermost function at the bottom.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_svg(graph: &Graph, caption: &Caption, out: &mut dyn Write) -> io::Result<()> {
    let compare = caption.compared.is_some();
    let inner = WIDTH - 2.0 * MARGIN;
    let places = layout::places(graph, compare, NARROWEST / inner);
    let depth = places.iter().map(|place| place.depth).max().unwrap_or(0);
    let height = HEAD + ROW * (depth + 1) as f64 + FOOT;
    let bottom = height - FOOT;
    writeln!(
        out,
        r##"<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">
<style>{STYLE}</style>
<rect width="100%" height="100%" fill="#fbfbfd"/>
<text class="t" x="{MARGIN}" y="24">{}</text>
<text class="s" x="{MARGIN}" y="43">{}</text>
<text class="s b" id="reset" x="{:.0}" y="24" text-anchor="end" display="none">reset zoom</text>
<text class="s b" id="search" x="{:.0}" y="24" text-anchor="end" display="none">search</text>"##,
        xml(&caption.title),
        xml(&under(graph, caption)),
        WIDTH - MARGIN - 60.0,
        WIDTH - MARGIN,
    )?;
    writeln!(out, r#"<g id="frames" data-left="{MARGIN}" data-width="{inner}" data-letter="{LETTER}">"#)?;
    for place in &places {
        frame(graph, caption, place, bottom, out)?;
    }
    writeln!(out, "</g>")?;
    writeln!(out, r#"<text class="s" id="details" x="{MARGIN}" y="{:.0}"> </text>"#, height - 26.0)?;
    writeln!(
        out,
        r#"<text class="s" id="matched" x="{:.0}" y="{:.0}" text-anchor="end"> </text>"#,
        WIDTH - MARGIN,
        height - 26.0
    )?;
    legend(graph, compare, height - 8.0, out)?;
    writeln!(out, "<script><![CDATA[{SCRIPT}]]></script>\n</svg>")
}

fn frame(
    graph: &Graph,
    caption: &Caption,
    place: &Place,
    bottom: f64,
    out: &mut dyn Write,
) -> io::Result<()> {
    let node = &graph.nodes()[place.node];
    let compare = caption.compared.is_some();
    let inner = WIDTH - 2.0 * MARGIN;
    let (x, width) = (MARGIN + place.left * inner, place.width * inner);
    let y = bottom - ROW * (place.depth + 1) as f64;
    let name = graph.name(node.label);
    let fill = if place.node == 0 { "#e8e8ed".to_owned() } else { palette::colour(graph, node, compare) };
    writeln!(
        out,
        r#"<g class="f" data-l="{:.7}" data-w="{:.7}" data-d="{}"><title>{}</title><rect x="{x:.2}" y="{y:.0}" width="{:.2}" height="{:.0}" rx="1.5" fill="{fill}"/><text x="{:.2}" y="{:.0}">{}</text></g>"#,
        place.left,
        place.width,
        place.depth,
        xml(&title(graph, node, caption)),
        (width - 0.5).max(0.1),
        ROW - 1.0,
        x + 3.0,
        y + 12.0,
        xml(&fit(name, width)),
    )
}

/// What a box says under the pointer: the whole name and its share.
pub(super) fn title(graph: &Graph, node: &Node, caption: &Caption) -> String {
    let share = |part: u64, whole: u64| {
        if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
    };
    let (name, root) = (graph.name(node.label), graph.root().total);
    let now = share(node.total.now, root.now);
    match &caption.compared {
        None => format!("{name} ({}, {now:.2}%)", caption.unit.text(node.total.now)),
        Some((before, after)) => {
            let was = share(node.total.before, root.before);
            format!("{name} ({after} {now:.2}%, {before} {was:.2}%, {:+.2}%)", now - was)
        }
    }
}

fn under(graph: &Graph, caption: &Caption) -> String {
    match &caption.compared {
        None => caption.unit.text(graph.root().total.now),
        // Nobody knows what the numbers are of.
        Some((before, after)) if caption.unit == Unit::Unknown => {
            format!("red: more in {after}, blue: more in {before}; each as shares of its own whole")
        }
        Some((before, after)) => format!(
            "red: more in {after}, blue: more in {before}; each as shares of its own whole ({}, {})",
            caption.unit.text(graph.root().total.now),
            caption.unit.text(graph.root().total.before)
        ),
    }
}

fn legend(graph: &Graph, compare: bool, y: f64, out: &mut dyn Write) -> io::Result<()> {
    if compare {
        return Ok(());
    }
    let mut x = MARGIN;
    for (word, colour) in palette::legend(graph) {
        let (top, text) = (y - 9.0, x + 15.0);
        writeln!(
            out,
            r#"<rect x="{x:.0}" y="{top:.0}" width="10" height="10" rx="2" fill="{colour}"/><text class="s" x="{text:.0}" y="{y:.0}">{word}</text>"#
        )?;
        x += 30.0 + 7.0 * word.len() as f64;
    }
    Ok(())
}

/// As much of a name as its box has room for.
fn fit(name: &str, width: f64) -> String {
    let room = ((width - 6.0) / LETTER).max(0.0) as usize;
    if room < 3 {
        return String::new();
    }
    if name.chars().count() <= room {
        return name.to_owned();
    }
    name.chars().take(room - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{flame::Weights, profile::named::tests::stack};

    fn draw(graph: &Graph, compared: bool) -> String {
        let compared = compared.then(|| ("slow".to_owned(), "fast".to_owned()));
        let caption = Caption { title: "a <b>".to_owned(), unit: Unit::Samples, compared };
        let mut out = Vec::new();
        write_svg(graph, &caption, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_box_says_its_name_and_share() {
        let mut graph = Graph::default();
        graph.add(None, &stack("main;Vec<T>::push"), Weights::now(3));
        graph.add(None, &stack("main"), Weights::now(1));
        let svg = draw(&graph, false);
        assert!(svg.contains("<title>Vec&lt;T&gt;::push (3 samples, 75.00%)</title>"), "{svg}");
        assert!(svg.contains("a &lt;b&gt;"));
        assert_eq!(svg.matches("class=\"f\"").count(), 3);
    }

    #[test]
    fn a_comparison_says_both_shares() {
        let mut graph = Graph::default();
        graph.add(None, &stack("f"), Weights { now: 1, before: 30 });
        graph.add(None, &stack("g"), Weights { now: 1, before: 10 });
        assert!(draw(&graph, true).contains("<title>f (fast 50.00%, slow 75.00%, -25.00%)</title>"));
    }

    #[test]
    fn a_name_is_cut_to_its_box() {
        assert_eq!(fit("abcdefgh", 6.0 + 8.0 * LETTER), "abcdefgh");
        assert_eq!(fit("äbcdefgh", 6.5 + 4.0 * LETTER), "äbc…");
        assert_eq!(fit("abcdefgh", 10.0), "");
    }

    #[test]
    fn an_empty_graph_is_a_picture_too() {
        assert!(draw(&Graph::default(), false).contains("0 samples"));
    }
}
