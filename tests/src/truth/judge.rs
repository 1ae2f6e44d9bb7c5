//! Holds spans against what is true.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Load;
use crate::capture::{Capture, Kind, Span};

/// What became of the calls of one load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Score {
    pub requests: usize,
    /// Calls that were made: the sum of all below except `twice`.
    pub calls: usize,
    /// The parent is the server span of the request that made the call.
    pub right: usize,
    /// It is something else.
    pub wrong: usize,
    /// No parent, but an attribute or span links say that there were several candidates.
    pub ambiguous: usize,
    /// Of those, the ones whose links name the right request.
    pub among_links: usize,
    /// No parent and nothing that says so.
    pub unlinked: usize,
    /// Calls without a span.
    pub missing: usize,
    /// Spans of a call that had one already.
    pub twice: usize,
    /// By the rule that made the link: how many are right and how many wrong.
    pub rules: BTreeMap<String, (usize, usize)>,
    /// What the wrong ones were, for a person.
    pub examples: Vec<String>,
}

/// More would not be read.
const EXAMPLES: usize = 5;
/// Names the rule that gave a span its parent.
const RULE: &str = "honeyguide.link.rule";
/// The rule of a span that could have several parents.
const AMBIGUOUS: &str = "ambiguous";

impl Score {
    /// Of the calls, from 0 to 1; 0 where there were none.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // Counts of one bounded run are far below 2^52.
    pub fn share(&self, count: usize) -> f64 {
        if self.calls == 0 { 0.0 } else { count as f64 / self.calls as f64 }
    }

    fn judge(&mut self, call: &Span, id: u64, spans: &HashMap<&str, &Span>, requests: &HashMap<&str, u64>) {
        let parent = call.parent_span_id.as_str();
        if requests.get(parent) == Some(&id) && spans[parent].trace_id == call.trace_id {
            self.right += 1;
            self.rule(call).0 += 1;
        } else if !parent.is_empty() {
            self.wrong += 1;
            self.rule(call).1 += 1;
            if self.examples.len() < EXAMPLES {
                self.examples.push(wrong(call, id, spans));
            }
        } else if !call.links.is_empty() || call.get(RULE) == AMBIGUOUS {
            self.ambiguous += 1;
            let named = |link: &String| requests.get(link.as_str()) == Some(&id);
            self.among_links += usize::from(call.links.iter().any(named));
        } else {
            self.unlinked += 1;
        }
    }

    fn rule(&mut self, call: &Span) -> &mut (usize, usize) {
        self.rules.entry(call.get(RULE).to_owned()).or_default()
    }
}

/// A score for each of `loads`, from a capture that holds them all.
#[must_use]
pub fn judge(capture: &Capture, loads: &[Load]) -> Vec<Score> {
    let spans: HashMap<&str, &Span> =
        capture.spans.iter().map(|span| (span.span_id.as_str(), span)).collect();
    let requests: HashMap<&str, u64> = capture
        .servers()
        .into_iter()
        .filter_map(|span| Some((span.span_id.as_str(), request(span)?)))
        .collect();
    let mut calls = HashMap::<u64, Vec<(u64, &Span)>>::new();
    for span in capture.clients() {
        if let Some((id, number)) = call(span) {
            calls.entry(id).or_default().push((number, span));
        }
    }
    let score = |load: &Load| {
        let mut score = Score { requests: load.answered.len(), ..Score::default() };
        score.calls = score.requests * load.pattern.calls();
        for id in &load.answered {
            let mut seen = HashSet::new();
            for &(number, span) in calls.get(id).into_iter().flatten() {
                if seen.insert(number) {
                    score.judge(span, *id, &spans, &requests);
                } else {
                    score.twice += 1;
                }
            }
            score.missing += load.pattern.calls().saturating_sub(seen.len());
        }
        score
    };
    loads.iter().map(score).collect()
}

/// The number of the request that a server span is.
fn request(span: &Span) -> Option<u64> {
    let mut parts = span.path().strip_prefix('/')?.split('/');
    matches!(parts.next()?, "seq" | "pause" | "fan").then_some(())?;
    parts.next()?.parse().ok()
}

/// The number of the request that a client span belongs to, and its own among that request's calls.
#[must_use]
pub fn call(span: &Span) -> Option<(u64, u64)> {
    if span.kind != Kind::Client {
        return None;
    }
    let Some(rest) = span.path().strip_prefix("/up/") else {
        return statement(span).or_else(|| numbers(span.get("rpc.method").strip_prefix("truth.Up/r")?));
    };
    let (id, number) = rest.split_once('/')?;
    Some((id.parse().ok()?, number.parse().ok()?))
}

/// The same of a statement, on either side.
pub(super) fn statement(span: &Span) -> Option<(u64, u64)> {
    numbers(span.get("db.query.text").split_once(" AS r")?.1)
}

/// `1000017_2`
fn numbers(text: &str) -> Option<(u64, u64)> {
    let (id, number) = text.split_once('_')?;
    Some((id.parse().ok()?, number.parse().ok()?))
}

fn wrong(call: &Span, id: u64, spans: &HashMap<&str, &Span>) -> String {
    let own = format!("a call of {id} ({})", self::call(call).map_or(0, |(_, number)| number));
    let given = match spans.get(call.parent_span_id.as_str()) {
        Some(parent) => {
            let into = i128::from(call.start) - i128::from(parent.start);
            format!("{} {}, {} µs after its start", parent.name, parent.path(), into / 1000)
        }
        None => format!("{}, which has no span", call.parent_span_id),
    };
    format!("{own} was given to {given} {}", call.get(RULE)).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::Pattern;
    use std::{collections::BTreeMap, time::Duration};

    fn span(kind: Kind, id: &str, parent: &str, attribute: (&str, &str)) -> Span {
        Span {
            trace_id: "t".to_owned(),
            span_id: id.to_owned(),
            parent_span_id: parent.to_owned(),
            kind,
            name: "GET".to_owned(),
            start: 1,
            end: 2,
            error: false,
            links: Vec::new(),
            attributes: BTreeMap::from([(attribute.0.to_owned(), attribute.1.to_owned())]),
            resource: BTreeMap::new(),
        }
    }

    fn server(id: &str, path: &str) -> Span {
        span(Kind::Server, id, "", ("url.path", path))
    }

    fn client(parent: &str, call: &str) -> Span {
        span(Kind::Client, "c", parent, ("url.full", &format!("http://127.0.0.1:1/up/{call}")))
    }

    fn judged(spans: Vec<Span>, answered: Vec<u64>) -> Score {
        let load = Load { pattern: Pattern::Seq, connections: 1, answered, took: Duration::ZERO };
        judge(&Capture { spans, ..Capture::default() }, &[load]).remove(0)
    }

    #[test]
    fn every_call_is_one_of_the_kinds() {
        let candidates = Span { links: vec!["s1".to_owned(), "s2".to_owned()], ..client("", "2/1") };
        let spans = vec![
            server("s1", "/seq/1"),
            server("s2", "/seq/2"),
            server("s3", "/seq/3"),
            client("s1", "1/1"),
            client("s2", "1/2"),
            candidates,
            client("", "2/2"),
            client("", "2/2"),
            client("elsewhere", "3/1"),
        ];
        let score = judged(spans, vec![1, 2, 3]);
        assert_eq!((score.requests, score.calls), (3, 6));
        assert_eq!((score.right, score.wrong, score.ambiguous, score.unlinked), (1, 2, 1, 1));
        assert_eq!((score.missing, score.twice, score.among_links), (1, 1, 1));
        assert_eq!(score.rules[""], (1, 2));
        assert_eq!(score.examples[1], "a call of 3 (1) was given to elsewhere, which has no span");
    }

    #[test]
    fn a_parent_of_another_trace_is_wrong() {
        let other = Span { trace_id: "u".to_owned(), ..client("s1", "1/1") };
        let score = judged(vec![server("s1", "/seq/1"), other, client("s1", "1/2")], vec![1]);
        assert_eq!((score.right, score.wrong), (1, 1));
    }

    #[test]
    fn a_statement_carries_its_number_in_a_name() {
        let sql = span(Kind::Client, "c", "", ("db.query.text", "SELECT pg_sleep(?) AS r1000017_2"));
        assert_eq!(call(&sql), Some((1_000_017, 2)));
        let rpc = span(Kind::Client, "c", "", ("rpc.method", "truth.Up/r1000017_2"));
        assert_eq!(call(&rpc), Some((1_000_017, 2)));
        assert_eq!(call(&span(Kind::Client, "c", "", ("db.query.text", "BEGIN"))), None);
        assert_eq!(call(&server("s", "/up/1/1")), None);
    }
}
