//! Which requests a profile is to be of.

use std::str::FromStr;

use super::serving::Served;
use crate::span::TraceId;

/// Requests by what they asked for, or by the trace that they belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// By `http.route`, or the method or statement of another protocol.
    Route(Pattern),
    Trace(TraceId),
}

/// A text in which `*` stands for anything, also for nothing. Everything else is itself: routes have braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Wanted {
    #[must_use]
    pub fn has(&self, served: &Served) -> bool {
        match self {
            Self::Route(pattern) => {
                served.operation.as_ref().is_some_and(|(_, operation)| pattern.matches(operation))
            }
            Self::Trace(trace) => served.link.is_some_and(|(id, _)| id == *trace),
        }
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Route(Pattern(text)) => f.write_str(text),
            Self::Trace(trace) => write!(f, "trace {trace}"),
        }
    }
}

impl Pattern {
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or("");
        let Some(mut rest) = text.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            // The earliest place leaves the most for what follows.
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

impl FromStr for Pattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            Err("a route such as /orders/{id}, or /orders/* is allowed")
        } else {
            Ok(Self(text.into()))
        }
    }
}

/// A trace id: 32 hexadecimal digits that are not all 0 (W3C Trace Context, section 3.2.2.3).
///
/// # Errors
/// What is allowed.
pub fn trace_id(text: &str) -> Result<TraceId, String> {
    let wrong = || "a trace id of 32 hexadecimal digits is allowed".to_owned();
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let id = TraceId(u128::from_str_radix(text, 16).map_err(|_| wrong())?.to_be_bytes());
    if id.is_valid() { Ok(id) } else { Err("the trace id of zeros names no trace".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::SpanId;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, expect) in [
            ("/a", "/a", true),
            ("/a", "/a/b", false),
            ("/a", "/", false),
            ("/users/{id}", "/users/{id}", true),
            ("/users/*", "/users/", true),
            ("/users/*", "/users/{id}/x", true),
            ("*/x", "/users/{id}/x", true),
            ("*/x", "/users/{id}/y", false),
            ("/a*b*c", "/abbc", true),
            ("/a*b*c", "/acb", false),
            ("/ab*b", "/ab", false),
            ("*", "", true),
            ("**", "x", true),
        ] {
            let pattern: Pattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(text), expect, "{pattern:?} {text}");
        }
        assert!("".parse::<Pattern>().is_err());
    }

    #[test]
    fn requests_are_told_by_route_and_by_trace() {
        let id = trace_id("4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
        let served =
            Served { link: Some((id, SpanId([1; 8]))), operation: Some(("http.route", "/a".into())) };
        assert!(Wanted::Trace(id).has(&served) && Wanted::Route("/a".parse().unwrap()).has(&served));
        assert!(!Wanted::Route("/b".parse().unwrap()).has(&served));
        assert!(!Wanted::Trace(id).has(&Served { link: None, ..served }));
        for bad in [
            "",
            "4bf9",
            "4bf92f3577b34da6a3ce929d0e0e473g",
            &"0".repeat(32),
            "+bf92f3577b34da6a3ce929d0e0e4736",
        ] {
            assert!(trace_id(bad).is_err(), "{bad}");
        }
    }
}
