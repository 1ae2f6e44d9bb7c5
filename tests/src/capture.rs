//! What the agent wrote: spans and metrics read back from OTLP/JSON lines.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::profcheck::{self, Tally};

/// Everything one run of the agent left behind.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    pub spans: Vec<Span>,
    /// The newest value of every sum and gauge point whose name begins with `honeyguide.`, by name and attributes.
    pub accounting: BTreeMap<String, i64>,
    /// What its profiles hold. They have been checked.
    pub profiles: Tally,
    /// Standard output and error of the agent.
    pub said: String,
}

/// A span, with the HTTP attributes that tests ask for by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub trace_id: String,
    pub span_id: String,
    /// Empty for a root.
    pub parent_span_id: String,
    pub kind: Kind,
    pub name: String,
    /// Nanoseconds since the Unix epoch.
    pub start: u64,
    /// Nanoseconds since the Unix epoch.
    pub end: u64,
    pub error: bool,
    /// The ids of the spans that this one links to.
    pub links: Vec<String>,
    /// Span attributes; arrays and other compound values as JSON text.
    pub attributes: BTreeMap<String, String>,
    /// Resource attributes.
    pub resource: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Server,
    Client,
    Other,
}

impl Capture {
    /// Reads the files of `--out DIR`. A file that is not there is an empty one.
    ///
    /// # Errors
    /// When a line is not what OTLP/JSON allows, or profiles are not what the protocol asks for.
    pub fn read(directory: &Path, said: String) -> Result<Self> {
        let mut capture = Self::read_accounting(directory, said)?;
        for line in lines(&directory.join("traces.jsonl"))? {
            for group in array(&line, "resourceSpans") {
                let resource = attributes(group.get("resource").unwrap_or(&Value::Null));
                for span in array(group, "scopeSpans").iter().flat_map(|scope| array(scope, "spans")) {
                    capture.spans.push(Span::read(span, &resource)?);
                }
            }
        }
        Ok(capture)
    }

    /// The same without the spans.
    ///
    /// # Errors
    /// As for [`Capture::read`].
    pub fn read_accounting(directory: &Path, said: String) -> Result<Self> {
        let profiles = profcheck::check_directory(directory).with_context(|| said.clone())?;
        let mut capture = Self { said, profiles, ..Self::default() };
        for line in lines(&directory.join("metrics.jsonl"))? {
            let groups = array(&line, "resourceMetrics").iter();
            let scopes = groups.flat_map(|group| array(group, "scopeMetrics"));
            for metric in scopes.flat_map(|scope| array(scope, "metrics")) {
                capture.account(metric);
            }
        }
        Ok(capture)
    }

    fn account(&mut self, metric: &Value) {
        let name = text(metric, "name");
        if !name.starts_with("honeyguide.") {
            return;
        }
        for point in ["sum", "gauge"].iter().flat_map(|kind| array(&metric[kind], "dataPoints")) {
            let labels: Vec<String> =
                attributes(point).into_iter().map(|(k, v)| format!("{k}={v}")).collect();
            let key =
                if labels.is_empty() { name.clone() } else { format!("{name}{{{}}}", labels.join(",")) };
            if let Some(value) = integer(&point["asInt"]) {
                self.accounting.insert(key, value);
            }
        }
    }

    #[must_use]
    pub fn servers(&self) -> Vec<&Span> {
        self.of(Kind::Server)
    }

    #[must_use]
    pub fn clients(&self) -> Vec<&Span> {
        self.of(Kind::Client)
    }

    fn of(&self, kind: Kind) -> Vec<&Span> {
        self.spans.iter().filter(|span| span.kind == kind).collect()
    }

    /// The sum of everything that the agent says it lost, whatever the reason, with the counters that are not 0.
    #[must_use]
    pub fn dropped(&self) -> (i64, Vec<String>) {
        let lost = |name: &str| ["drop", "malformed", "lost"].iter().any(|word| name.contains(word));
        let counters = self.accounting.iter().filter(|&(name, &count)| lost(name) && count != 0);
        let named: Vec<String> = counters.clone().map(|(name, count)| format!("{name} {count}")).collect();
        (counters.map(|(_, count)| count).sum(), named)
    }
}

impl Span {
    fn read(json: &Value, resource: &BTreeMap<String, String>) -> Result<Self> {
        let time = |key: &str| -> Result<u64> {
            // The protocol's JSON mapping writes 64-bit integers as strings.
            let text = json[key].as_str().with_context(|| format!("`{key}` is not a string in {json}"))?;
            text.parse().with_context(|| format!("`{key}` is not a number: {text}"))
        };
        let kind = match json["kind"].as_i64() {
            Some(2) => Kind::Server,
            Some(3) => Kind::Client,
            Some(_) => Kind::Other,
            None => bail!("a span without a kind: {json}"),
        };
        let span = Self {
            trace_id: text(json, "traceId"),
            span_id: text(json, "spanId"),
            parent_span_id: text(json, "parentSpanId"),
            kind,
            name: text(json, "name"),
            start: time("startTimeUnixNano")?,
            end: time("endTimeUnixNano")?,
            error: json["status"]["code"].as_i64() == Some(2),
            links: array(json, "links").iter().map(|link| text(link, "spanId")).collect(),
            attributes: attributes(json),
            resource: resource.clone(),
        };
        let hex = |id: &str, length: usize| id.len() == length && id.bytes().all(|b| b.is_ascii_hexdigit());
        if !hex(&span.trace_id, 32) || !hex(&span.span_id, 16) {
            bail!("bad ids in {json}");
        }
        if span.end < span.start {
            bail!("a span that ends before it starts: {json}");
        }
        Ok(span)
    }

    /// The value of an attribute, empty where it is not set.
    #[must_use]
    pub fn get(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    #[must_use]
    pub fn method(&self) -> &str {
        self.get("http.request.method")
    }

    /// The response status; 0 where there was none.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.get("http.response.status_code").parse().unwrap_or(0)
    }

    /// `url.path` of a server span, the path inside `url.full` of a client span.
    #[must_use]
    pub fn path(&self) -> &str {
        if self.kind == Kind::Server {
            return self.get("url.path");
        }
        let full = self.get("url.full");
        let rest = full.split_once("://").map_or(full, |(_, rest)| rest);
        let path = rest.find('/').map_or("", |slash| &rest[slash..]);
        path.split(['?', '#']).next().unwrap_or(path)
    }

    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.end - self.start)
    }

    #[must_use]
    pub fn service(&self) -> &str {
        self.resource.get("service.name").map_or("", String::as_str)
    }
}

fn lines(file: &Path) -> Result<Vec<Value>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("{}:{}", file.display(), number + 1))
    };
    text.lines().enumerate().map(parse).collect()
}

fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn attributes(value: &Value) -> BTreeMap<String, String> {
    let pairs = array(value, "attributes").iter();
    pairs.map(|pair| (text(pair, "key"), any_value(&pair["value"]))).collect()
}

fn any_value(value: &Value) -> String {
    let single = ["stringValue", "intValue", "doubleValue", "boolValue"];
    match single.iter().find_map(|kind| value.get(kind)) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    const TRACES: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeSpans":[{"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","name":"GET","kind":3,"startTimeUnixNano":"1000","endTimeUnixNano":"3500","attributes":[{"key":"http.response.status_code","value":{"intValue":"404"}},{"key":"url.full","value":{"stringValue":"http://h:1/a/b?c"}}],"status":{"code":2}}]}]}]}"#;
    const METRICS: &str = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"honeyguide.records.dropped","sum":{"dataPoints":[{"asInt":"3","attributes":[{"key":"reason","value":{"stringValue":"ring"}}]}]}},{"name":"http.server.active_requests","sum":{"dataPoints":[{"asInt":"9"}]}}]}]}]}"#;

    #[test]
    fn otlp_json_reads_back() {
        let scratch = Scratch::new("capture").unwrap();
        fs::write(scratch.join("traces.jsonl"), TRACES).unwrap();
        fs::write(scratch.join("metrics.jsonl"), METRICS).unwrap();
        let capture = Capture::read(scratch.path(), String::new()).unwrap();
        let [span] = capture.clients()[..] else { panic!("{capture:?}") };
        assert_eq!((span.status(), span.path(), span.service(), span.error), (404, "/a/b", "shop", true));
        assert_eq!(span.duration(), Duration::from_nanos(2500));
        assert_eq!(capture.dropped(), (3, vec!["honeyguide.records.dropped{reason=ring} 3".to_owned()]));
    }

    #[test]
    fn a_time_that_is_a_json_number_is_refused() {
        let scratch = Scratch::new("capture").unwrap();
        fs::write(scratch.join("traces.jsonl"), TRACES.replace("\"1000\"", "1000")).unwrap();
        assert!(Capture::read(scratch.path(), String::new()).is_err());
    }
}
