//! A flamegraph as one HTML file: search, zoom, both ways up, and a table of functions. It loads nothing.

use std::io::{self, Write};

use super::{
    Caption, Graph, Unit,
    layout::{self, Place},
    palette,
    text::{json, xml},
};

/// Boxes below this part of the whole are left out; at a zoom of a thousand they would be a pixel wide.
const NARROWEST: f64 = 1e-6;

const PAGE: &str = include_str!("flame.html");
const SCRIPT: &str = include_str!("flame.js");

/// Writes `graph` as a page.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_html(graph: &Graph, caption: &Caption, out: &mut dyn Write) -> io::Result<()> {
    let title = xml(&caption.title);
    for (index, part) in PAGE.split("{{").enumerate() {
        let rest = if index == 0 {
            part
        } else {
            let (name, rest) = part.split_once("}}").unwrap_or(("", part));
            match name {
                "title" => out.write_all(title.as_bytes())?,
                "data" => data(graph, caption, out)?,
                "script" => out.write_all(SCRIPT.as_bytes())?,
                _ => {}
            }
            rest
        };
        out.write_all(rest.as_bytes())?;
    }
    Ok(())
}

/// `{names, nodes, …}`: each node is `[name, depth, left, width, total, own, before, colour]`, callers first.
fn data(graph: &Graph, caption: &Caption, out: &mut dyn Write) -> io::Result<()> {
    let compare = caption.compared.is_some();
    let places = layout::places(graph, compare, NARROWEST);
    let unit = match caption.unit {
        Unit::Nanoseconds => "ns",
        Unit::Samples => "samples",
        Unit::Unknown => "",
    };
    let root = graph.root().total;
    write!(out, r#"{{"unit":"{unit}","total":{},"before":{},"names":["#, root.now, root.before)?;
    for (index, name) in graph.names().iter().enumerate() {
        write!(out, "{}{}", if index > 0 { "," } else { "" }, json(name))?;
    }
    write!(out, "],")?;
    if let Some((before, after)) = &caption.compared {
        write!(out, r#""compared":[{},{}],"#, json(before), json(after))?;
    }
    write!(out, r#""legend":["#)?;
    let legend = if compare { Vec::new() } else { palette::legend(graph) };
    for (index, (word, colour)) in legend.iter().enumerate() {
        write!(out, r#"{}["{word}","{colour}"]"#, if index > 0 { "," } else { "" })?;
    }
    write!(out, r#"],"nodes":["#)?;
    for (index, place) in places.iter().enumerate() {
        node(graph, place, compare, index > 0, out)?;
    }
    write!(out, "]}}")
}

fn node(graph: &Graph, place: &Place, compare: bool, more: bool, out: &mut dyn Write) -> io::Result<()> {
    let node = &graph.nodes()[place.node];
    let colour = if place.node == 0 { "#e8e8ed".to_owned() } else { palette::colour(graph, node, compare) };
    write!(
        out,
        r#"{}[{},{},{:.9},{:.9},{},{},{},"{colour}"]"#,
        if more { "," } else { "" },
        node.label.name,
        place.depth,
        place.left,
        place.width,
        node.total.now,
        node.own.now,
        node.total.before,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{flame::Weights, profile::named::tests::stack};

    #[test]
    fn the_page_holds_its_data_and_nothing_breaks_out_of_it() {
        let mut graph = Graph::default();
        graph.add(None, &stack("main;</script><b>"), Weights::now(3));
        let caption = Caption { title: "x & y".to_owned(), unit: Unit::Samples, compared: None };
        let mut out = Vec::new();
        write_html(&graph, &caption, &mut out).unwrap();
        let page = String::from_utf8(out).unwrap();
        assert!(page.contains("<title>x &amp; y</title>"));
        assert_eq!(page.matches("</script>").count(), 2, "the data's and the page's own");
        assert!(!page.contains("{{"));
        let start = page.find(r#"type="application/json">"#).unwrap() + r#"type="application/json">"#.len();
        let end = start + page[start..].find("</script>").unwrap();
        let data: serde_json::Value = serde_json::from_str(&page[start..end]).unwrap();
        assert_eq!(data["names"][2], "</script><b>");
        assert_eq!(data["nodes"].as_array().unwrap().len(), 3);
        assert_eq!(data["total"], 3);
    }

    #[test]
    fn it_loads_nothing() {
        for part in [PAGE, SCRIPT] {
            assert!(!part.contains("http://") && !part.contains("https://") && !part.contains("src="));
        }
    }
}
