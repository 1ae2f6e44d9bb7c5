//! One span on one line.

use std::fmt::Write as _;

use chrono::{DateTime, Local, Timelike as _};

use super::{
    text::{duration, plain},
    tree::Line,
};
use crate::{
    attribute::Value,
    span::{Span, SpanId, SpanKind, Status, TraceId},
};

/// What a line says of a span. All text is free of control characters already.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) parent: Option<SpanId>,
    /// Nanoseconds since the Unix epoch.
    pub(super) start: u64,
    /// Nanoseconds.
    duration: u64,
    service: String,
    kind: char,
    name: String,
    code: Option<i64>,
    error: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) coloured: bool,
}

const SERVICE: usize = 16;
/// Of the tree's branches, the arrow and the name together.
const NAME: usize = 44;
const ERROR: usize = 60;

const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";
const BOLD: &str = "1";
/// Of the 256 colours, some that differ from each other and from those that mean something.
const SERVICES: [&str; 8] =
    ["38;5;39", "38;5;141", "38;5;43", "38;5;215", "38;5;175", "38;5;109", "38;5;149", "38;5;180"];

impl From<&Span> for Row {
    fn from(span: &Span) -> Self {
        let code = match span.attributes.find("http.response.status_code") {
            Some(Value::Int(code)) => Some(*code),
            _ => None,
        };
        let error = span.attributes.text("error.type").map(str::to_owned).or_else(|| match &span.status {
            Status::Unset => None,
            Status::Error(message) if message.is_empty() => Some("error".to_owned()),
            Status::Error(message) => Some(message.clone().into_owned()),
        });
        Self {
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent: span.parent,
            start: span.start,
            duration: span.end.saturating_sub(span.start),
            service: plain(span.resource.service(), SERVICE),
            kind: match span.kind {
                SpanKind::Internal => '·',
                SpanKind::Server => '←',
                SpanKind::Client => '→',
            },
            name: plain(&span.name, NAME),
            code,
            // A status that is its own error type says nothing more.
            error: error
                .filter(|error| code.is_none_or(|code| *error != code.to_string()))
                .map(|error| plain(&error, ERROR)),
        }
    }
}

/// Appends the line and its end.
pub(super) fn write(out: &mut String, line: &Line<'_>, style: Style) {
    let row = line.row;
    style.paint(out, DIM, &clock(row.start));
    out.push_str("  ");
    style.paint(out, service_colour(&row.service), &format!("{:<SERVICE$}", row.service));
    out.push_str("  ");
    let branches = branches(&line.branches);
    style.paint(out, DIM, &format!("{branches}{} ", row.kind));
    let room = NAME.saturating_sub(branches.chars().count() + 2);
    let name = format!("{:<room$}", plain(&row.name, room));
    style.paint(out, if line.branches.is_empty() { BOLD } else { "" }, &name);
    out.push_str("  ");
    let status = row.code.map_or_else(|| "-".to_owned(), |code| code.to_string());
    style.paint(out, status_colour(row), &format!("{status:>3}"));
    let _ = write!(out, "  {:>8}  ", duration(row.duration));
    style.paint(out, DIM, &row.trace_id.to_string()[..8]);
    if let Some(error) = &row.error {
        out.push_str("  ");
        style.paint(out, RED, error);
    }
    out.push('\n');
}

impl Style {
    fn paint(self, out: &mut String, colour: &str, text: &str) {
        if !self.coloured || colour.is_empty() {
            out.push_str(text);
        } else {
            let _ = write!(out, "\x1b[{colour}m{text}\x1b[0m");
        }
    }
}

/// Local time; what cannot be one is shown as midnight of the epoch.
fn clock(nanoseconds: u64) -> String {
    let time = DateTime::from_timestamp_nanos(i64::try_from(nanoseconds).unwrap_or(0)).with_timezone(&Local);
    format!(
        "{:02}:{:02}:{:02}.{:03}",
        time.hour(),
        time.minute(),
        time.second(),
        nanoseconds / 1_000_000 % 1_000
    )
}

fn branches(branches: &[bool]) -> String {
    let Some((last, above)) = branches.split_last() else { return String::new() };
    let above = above.iter().map(|on| if *on { "│ " } else { "  " });
    above.chain([if *last { "├ " } else { "└ " }]).collect()
}

fn status_colour(row: &Row) -> &'static str {
    match row.code {
        Some(500..) => RED,
        Some(400..500) => YELLOW,
        Some(300..400) => CYAN,
        Some(200..300) if row.error.is_none() => GREEN,
        _ if row.error.is_some() => RED,
        _ => "",
    }
}

/// The same service has the same colour in every run.
fn service_colour(service: &str) -> &'static str {
    let hash = service.bytes().fold(5_381_usize, |hash, byte| hash.wrapping_mul(33) ^ usize::from(byte));
    SERVICES[hash % SERVICES.len()]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{attribute::Attributes, resource::Resource};

    fn span(name: &'static str, kind: SpanKind) -> Span {
        let mut resource = Resource::default();
        resource.attributes.set("service.name", "shop\u{1b}[2J");
        Span {
            trace_id: TraceId([0xa1; 16]),
            span_id: SpanId([1; 8]),
            parent: None,
            parent_is_remote: false,
            trace_flags: 1,
            trace_state: None,
            kind,
            name: name.into(),
            start: 1_700_000_000_042_999_999,
            end: 1_700_000_000_055_399_999,
            attributes: Attributes::default(),
            links: Vec::new(),
            status: Status::Unset,
            resource: Arc::new(resource),
        }
    }

    /// The line without the hours and minutes, which depend on the machine's time zone.
    fn line(span: &Span, branches: &[bool], coloured: bool) -> String {
        let (row, branches) = (Row::from(span), branches.to_vec());
        let mut out = String::new();
        write(&mut out, &Line { row: &row, branches }, Style { coloured });
        let (_, rest) = out.split_once(':').unwrap();
        rest.split_once(':').unwrap().1.to_owned()
    }

    #[test]
    fn columns_stand_at_the_same_place_at_every_depth() {
        let mut ok = span("GET /orders/{id}", SpanKind::Server);
        ok.attributes.set("http.response.status_code", 200_u16);
        let mut failed = span("GET /a/very/long/route/that/goes/on/and/on/{id}", SpanKind::Client);
        failed.attributes.set("error.type", "timeout\u{7}");
        failed.status = Status::Error("".into());
        let mut server = span("render", SpanKind::Internal);
        server.attributes.set("http.response.status_code", 503_u16);
        server.attributes.set("error.type", "503");
        for (span, branches, name, status, error) in [
            (&ok, &[][..], "← GET /orders/{id}", "200", ""),
            (&failed, &[true], "├ → GET /a/very/long/route/that/goes/on/and…", "  -", "  timeout�"),
            (&server, &[true, false], "│ └ · render", "503", ""),
        ] {
            let expect =
                format!("20.042  shop�[2J          {name:<44}  {status}   12.4 ms  a1a1a1a1{error}\n");
            assert_eq!(line(span, branches, false), expect);
        }
    }

    #[test]
    fn colours_come_and_go_with_the_style() {
        let mut failed = span("GET", SpanKind::Client);
        failed.attributes.set("http.response.status_code", 404_u16);
        let coloured = line(&failed, &[], true);
        assert!(coloured.contains("\u{1b}[33m404\u{1b}[0m"), "{coloured:?}");
        // Six painted columns, the first cut off by `line`; the service's own escape sequence is none.
        assert_eq!(coloured.matches('\u{1b}').count(), 11, "{coloured:?}");
        assert_eq!(line(&failed, &[], false).matches('\u{1b}').count(), 0);
    }

    #[test]
    fn a_status_without_a_code_says_what_went_wrong() {
        let mut failed = span("work", SpanKind::Internal);
        failed.status = Status::Error("out of\nmemory".into());
        assert!(line(&failed, &[], false).ends_with("    -   12.4 ms  a1a1a1a1  out of�memory\n"));
        failed.status = Status::Error("".into());
        assert!(line(&failed, &[], false).ends_with("    -   12.4 ms  a1a1a1a1  error\n"));
    }
}
