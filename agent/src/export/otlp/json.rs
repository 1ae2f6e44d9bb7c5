//! Spans to OTLP/JSON, straight into a buffer. The format is protobuf's JSON mapping with OTLP's
//! exceptions (OTLP specification, "JSON Protobuf Encoding"): lowerCamelCase keys, ids in hex, 64-bit
//! integers as strings, enumerations as numbers. Fields at their default are left out.

use super::{
    SCOPE, VERSION, group,
    traces::{flags, kind},
};
use crate::{
    attribute::{Attributes, Value},
    resource::Resource,
    span::{Span, SpanLink, Status},
};

/// One `TracesData` object, without a line end.
pub(super) fn traces<'a>(spans: impl Iterator<Item = &'a Span>, out: &mut Vec<u8>) {
    raw(out, r#"{"resourceSpans":["#);
    list(out, group::by_resource(spans), |out, group| {
        resource_and_scope(out, group.resource, "scopeSpans");
        raw(out, r#","spans":["#);
        list(out, group.spans, span);
        raw(out, "]}]}");
    });
    raw(out, "]}");
}

/// `{"resource":{…},"<scopes>":[{"scope":{…}`, which the caller goes on with and closes.
pub(super) fn resource_and_scope(out: &mut Vec<u8>, resource: &Resource, scopes: &str) {
    raw(out, r#"{"resource":{"#);
    attributes(out, &resource.attributes, "");
    raw(out, r#"},""#);
    raw(out, scopes);
    raw(out, r#"":[{"scope":{"name":"#);
    string(out, SCOPE);
    raw(out, r#","version":"#);
    string(out, VERSION);
    raw(out, "}");
}

/// `"attributes":[…]` after `before`, or nothing where there are none.
pub(super) fn attributes(out: &mut Vec<u8>, attributes: &Attributes, before: &str) {
    if attributes.is_empty() {
        return;
    }
    raw(out, before);
    raw(out, r#""attributes":["#);
    list(out, attributes.iter(), |out, (key, value)| {
        raw(out, r#"{"key":"#);
        string(out, key);
        raw(out, r#","value":"#);
        any_value(out, value);
        raw(out, "}");
    });
    raw(out, "]");
}

pub(super) fn list<I: IntoIterator>(
    out: &mut Vec<u8>,
    items: I,
    mut write: impl FnMut(&mut Vec<u8>, I::Item),
) {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
}

pub(super) fn raw(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn integer(out: &mut Vec<u8>, number: impl itoa::Integer) {
    raw(out, itoa::Buffer::new().format(number));
}

/// A 64-bit integer is a string, since JSON readers may hold numbers as doubles.
pub(super) fn quoted_integer(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.push(b'"');
    integer(out, number);
    out.push(b'"');
}

/// Protobuf's JSON mapping has names for what JSON numbers cannot say.
pub(super) fn double(out: &mut Vec<u8>, number: f64) {
    if number.is_finite() {
        raw(out, zmij::Buffer::new().format_finite(number));
    } else if number.is_nan() {
        raw(out, r#""NaN""#);
    } else {
        raw(out, if number > 0.0 { r#""Infinity""# } else { r#""-Infinity""# });
    }
}

pub(super) fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    out.push(b'"');
}

pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while !is_plain(rest)
        && let Some(index) = rest.iter().position(|&byte| is_special(byte))
    {
        let (plain, byte) = (&rest[..index], rest[index]);
        out.extend_from_slice(plain);
        rest = &rest[index + 1..];
        match byte {
            b'"' => raw(out, r#"\""#),
            b'\\' => raw(out, r"\\"),
            b'\n' => raw(out, r"\n"),
            b'\r' => raw(out, r"\r"),
            b'\t' => raw(out, r"\t"),
            _ => {
                raw(out, r"\u00");
                out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// RFC 8259 section 7: a quotation mark, a backslash and controls are escaped.
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Whether nothing is special, eight bytes at a time: nearly always so.
fn is_plain(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk() else { return !bytes.iter().any(|&byte| is_special(byte)) };
    let (words, _) = bytes.as_chunks();
    !words.iter().chain([last]).any(|word| has_special(u64::from_ne_bytes(*word)))
}

/// [`is_special`] of any of eight bytes; never false where one is.
fn has_special(word: u64) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = ONES << 7;
    // The top bit of each byte below `limit` (at most 128), and perhaps of one above such a byte.
    let below = |bytes: u64, limit: u64| bytes.wrapping_sub(ONES * limit) & !bytes & TOPS;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    below(word, 0x20) | equal(b'"') | equal(b'\\') != 0
}

fn digit(nibble: u8) -> u8 {
    b"0123456789abcdef"[usize::from(nibble)]
}

fn span(out: &mut Vec<u8>, span: &Span) {
    raw(out, r#"{"traceId":"#);
    hex(out, &span.trace_id.0);
    raw(out, r#","spanId":"#);
    hex(out, &span.span_id.0);
    if let Some(state) = span.trace_state.as_deref().filter(|state| !state.is_empty()) {
        raw(out, r#","traceState":"#);
        string(out, state);
    }
    if let Some(parent) = span.parent {
        raw(out, r#","parentSpanId":"#);
        hex(out, &parent.0);
    }
    raw(out, r#","flags":"#);
    integer(out, flags(span));
    raw(out, r#","name":"#);
    string(out, &span.name);
    raw(out, r#","kind":"#);
    integer(out, kind(span.kind));
    raw(out, r#","startTimeUnixNano":"#);
    quoted_integer(out, span.start);
    raw(out, r#","endTimeUnixNano":"#);
    quoted_integer(out, span.end);
    attributes(out, &span.attributes, ",");
    if !span.links.is_empty() {
        raw(out, r#","links":["#);
        list(out, &span.links, link);
        raw(out, "]");
    }
    if let Status::Error(message) = &span.status {
        raw(out, r#","status":{"#);
        if !message.is_empty() {
            raw(out, r#""message":"#);
            string(out, message);
            raw(out, ",");
        }
        raw(out, r#""code":2}"#);
    }
    raw(out, "}");
}

fn link(out: &mut Vec<u8>, link: &SpanLink) {
    raw(out, r#"{"traceId":"#);
    hex(out, &link.trace_id.0);
    raw(out, r#","spanId":"#);
    hex(out, &link.span_id.0);
    attributes(out, &link.attributes, ",");
    raw(out, "}");
}

fn any_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Str(text) => {
            raw(out, r#"{"stringValue":"#);
            string(out, text);
        }
        Value::Int(number) => {
            raw(out, r#"{"intValue":"#);
            quoted_integer(out, *number);
        }
        Value::Double(number) => {
            raw(out, r#"{"doubleValue":"#);
            double(out, *number);
        }
        Value::Bool(flag) => raw(out, if *flag { r#"{"boolValue":true"# } else { r#"{"boolValue":false"# }),
        Value::StrArray(texts) => {
            raw(out, r#"{"arrayValue":{"values":["#);
            list(out, texts, |out, text| {
                raw(out, r#"{"stringValue":"#);
                string(out, text);
                raw(out, "}");
            });
            raw(out, "]}");
        }
    }
    raw(out, "}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_at_every_place_is_escaped_as_json_wants_it() {
        for length in 0..20 {
            for at in 0..=length {
                for character in (0..=0x100_u32).chain([0x2028, 0x1f600]).filter_map(char::from_u32) {
                    let text = ["a".repeat(at), character.into(), "é".repeat(length - at)].concat();
                    let mut written = Vec::new();
                    string(&mut written, &text);
                    assert_eq!(serde_json::from_slice::<String>(&written).unwrap(), text);
                    let escaped = written.len() > text.len() + 2;
                    assert_eq!(escaped, character < ' ' || character == '"' || character == '\\', "{text:?}");
                }
            }
        }
    }
}
