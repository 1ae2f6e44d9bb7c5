//! Incoming context: W3C Trace Context Level 2 (`traceparent`, `tracestate`) and W3C Baggage.

use std::borrow::Cow;

use super::{SpanId, TraceId, redact::hex};

/// Trace flags, bit 0: the caller may have recorded the trace.
pub const SAMPLED: u8 = 0x01;
/// Trace flags, bit 1: the right-most seven bytes of the trace id are random (Level 2).
pub const RANDOM: u8 = 0x02;

/// The ids and flags a span is made with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub parent: Option<SpanId>,
    pub parent_is_remote: bool,
    pub trace_flags: u8,
    pub trace_state: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    pub trace_id: TraceId,
    pub parent: SpanId,
    /// Only `SAMPLED` and `RANDOM`; Level 2 asks that all others be cleared. Of a version above 00 only
    /// `SAMPLED`, the one bit that may be read.
    pub flags: u8,
}

/// What the context headers of a request say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// There was no `traceparent`. A `tracestate` alone says nothing.
    Absent,
    /// The header breaks the format: the trace is restarted, and the caller counts it.
    Malformed,
    Valid {
        parent: TraceParent,
        state: Option<Box<str>>,
        /// There was a `tracestate` and it was dropped as malformed.
        state_malformed: bool,
    },
}

impl Incoming {
    #[must_use]
    pub fn parent(&self) -> Option<&TraceParent> {
        match self {
            Self::Valid { parent, .. } => Some(parent),
            Self::Absent | Self::Malformed => None,
        }
    }
}

/// Reads both headers. A malformed `tracestate` does not affect `traceparent` (Trace Context 3.3).
#[must_use]
pub fn incoming(traceparent: Option<&str>, tracestate: Option<&str>) -> Incoming {
    let Some(traceparent) = traceparent else { return Incoming::Absent };
    let Some(parent) = TraceParent::parse(traceparent) else { return Incoming::Malformed };
    let state = tracestate.map(trace_state);
    let state_malformed = matches!(state, Some(None));
    Incoming::Valid {
        parent,
        state: state.flatten().filter(|s| !s.is_empty()).map(Into::into),
        state_malformed,
    }
}

impl TraceParent {
    /// Strict: lower-case hexadecimal, no zero ids, version `ff` refused, version `00` of exactly 55
    /// characters, later versions read by the rules of "Versioning of traceparent".
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let header = header.trim_matches([' ', '\t']).as_bytes();
        let [version] = bytes(header.get(..2)?)?;
        let exact = if version == 0 { header.len() == 55 } else { header.get(55).is_none_or(|b| *b == b'-') };
        if version == 0xff || !exact || header.get(2) != Some(&b'-') || header.get(35) != Some(&b'-') {
            return None;
        }
        let (trace_id, parent) = (TraceId(bytes(&header[3..35])?), SpanId(bytes(header.get(36..52)?)?));
        let [flags] = bytes(header.get(53..55)?)?;
        let known = if version == 0 { SAMPLED | RANDOM } else { SAMPLED };
        let valid = header[52] == b'-' && trace_id.is_valid() && parent.is_valid();
        valid.then_some(Self { trace_id, parent, flags: flags & known })
    }

    /// As a version 00 header.
    #[must_use]
    pub fn header(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace_id, self.parent, self.flags)
    }
}

/// The longest `tracestate` kept. The specification asks for 512 characters at least.
pub const MAX_TRACE_STATE: usize = 512;
const MAX_STATE_MEMBERS: usize = 32;
/// Of a state that is too long, members longer than this go first (Trace Context 3.3.1.5).
const LONG_MEMBER: usize = 128;

/// A valid `tracestate`, whole members only, at most [`MAX_TRACE_STATE`] long; `None` where a member is
/// malformed, a key is there twice, or there are more than 32 members.
fn trace_state(header: &str) -> Option<Cow<'_, str>> {
    let mut members: Vec<&str> = Vec::new();
    for member in header.split(',').map(|m| m.trim_matches([' ', '\t'])).filter(|m| !m.is_empty()) {
        let (key, value) = member.split_once('=')?;
        let twice = members.iter().any(|m| m.split_once('=').is_some_and(|(k, _)| k == key));
        if members.len() == MAX_STATE_MEMBERS || twice || !is_state_key(key) || !is_state_value(value) {
            return None;
        }
        members.push(member);
    }
    let length = |members: &[&str]| members.iter().map(|m| m.len() + 1).sum::<usize>().saturating_sub(1);
    if length(&members) > MAX_TRACE_STATE {
        members.retain(|m| m.len() <= LONG_MEMBER);
    }
    while length(&members) > MAX_TRACE_STATE {
        members.pop();
    }
    Some(if length(&members) == header.len() { Cow::Borrowed(header) } else { Cow::Owned(members.join(",")) })
}

fn is_state_key(key: &str) -> bool {
    let first = key.bytes().next();
    let start = first.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*/@".contains(&b);
    start && key.len() <= 256 && key.bytes().all(rest)
}

fn is_state_value(value: &str) -> bool {
    let length = (1..=256).contains(&value.len());
    length && value.bytes().all(|b| matches!(b, b' '..=b'~') && b != b',' && b != b'=')
}

/// Exactly `N` bytes from lower-case hexadecimal.
fn bytes<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    if digits.len() != 2 * N || digits.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = hex(pair[0])? << 4 | hex(pair[1])?;
    }
    Some(out)
}

/// W3C Baggage, 3.3.2: what is beyond these is dropped.
const MAX_BAGGAGE_MEMBERS: usize = 64;
const MAX_BAGGAGE_BYTES: usize = 8192;

/// Baggage entries whose key `allowed` accepts: the key as sent, the value percent-decoded (octets that
/// are not UTF-8 become U+FFFD). Properties are ignored; malformed members are skipped.
pub fn baggage<'a>(
    header: &'a str,
    allowed: impl Fn(&str) -> bool,
) -> impl Iterator<Item = (&'a str, Cow<'a, str>)> {
    let whole = header.len() <= MAX_BAGGAGE_BYTES;
    let end = if whole { header.len() } else { last_comma(header.as_bytes()) };
    header[..end]
        .split(',')
        .take(MAX_BAGGAGE_MEMBERS)
        .filter_map(|member| member.split(';').next()?.split_once('='))
        .map(|(key, value)| (key.trim_matches([' ', '\t']), value.trim_matches([' ', '\t'])))
        .filter(move |(key, value)| is_token(key) && value.bytes().all(is_baggage_octet) && allowed(key))
        .map(|(key, value)| (key, percent_decode(value)))
}

/// The end of the last member that ends within the limit.
fn last_comma(header: &[u8]) -> usize {
    header[..MAX_BAGGAGE_BYTES + 1].iter().rposition(|b| *b == b',').unwrap_or(0)
}

/// RFC 9110, 5.6.2.
fn is_token(text: &str) -> bool {
    let octet = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(octet)
}

fn is_baggage_octet(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && !b"\",;\\".contains(&byte)
}

/// RFC 3986, 2.1. A `%` without two digits stays as it is.
pub(crate) fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1..at + 3).and_then(|p| Some(hex(p[0])? << 4 | hex(p[1])?));
        match (bytes[at], pair) {
            (b'%', Some(byte)) => (at, ()) = (at + 3, out.push(byte)),
            (byte, _) => (at, ()) = (at + 1, out.push(byte)),
        }
    }
    Cow::Owned(String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    #[test]
    fn traceparents() {
        let check = |header: &str, flags: Option<u8>| {
            assert_eq!(TraceParent::parse(header).map(|p| p.flags), flags, "{header}");
        };
        check(&format!("00-{ID}-{PARENT}-01"), Some(1));
        check(&format!("00-{ID}-{PARENT}-00"), Some(0));
        check(&format!("00-{ID}-{PARENT}-03"), Some(3));
        check(&format!("00-{ID}-{PARENT}-ff"), Some(3));
        check(&format!(" 00-{ID}-{PARENT}-01\t"), Some(1));
        check(&format!("cc-{ID}-{PARENT}-03"), Some(1));
        check(&format!("cc-{ID}-{PARENT}-01-more"), Some(1));
        check(&format!("cc-{ID}-{PARENT}-01.more"), None);
        check(&format!("cc-{ID}-{PARENT}-0"), None);
        check(&format!("00-{ID}-{PARENT}-01-more"), None);
        check(&format!("ff-{ID}-{PARENT}-01"), None);
        check(&format!("0x-{ID}-{PARENT}-01"), None);
        check(&format!("00_{ID}-{PARENT}-01"), None);
        check(&format!("00-{ID}_{PARENT}-01"), None);
        check(&format!("00-{ID}-{PARENT}_01"), None);
        check(&format!("00-{ID}-{PARENT}-0"), None);
        check(&format!("00-{ID}-{PARENT}-0g"), None);
        check(&format!("00-{ID}-{PARENT}-0A"), None);
        check(&format!("00-{}-{PARENT}-01", ID.to_uppercase()), None);
        check(&format!("00-{ID}-0000000000000000-01"), None);
        check(&format!("00-{}-{PARENT}-01", "0".repeat(32)), None);
        check(&format!("00-{ID}-{PARENT}-01,00-{ID}-{PARENT}-01"), None);
        check("", None);
        check("00", None);
    }

    #[test]
    fn tracestates() {
        let check = |header: &str, expect: Option<&str>| {
            let found = incoming(Some(&format!("00-{ID}-{PARENT}-01")), Some(header));
            let Incoming::Valid { state, state_malformed, .. } = found else { panic!("{found:?}") };
            assert_eq!(state.as_deref(), expect.filter(|s| !s.is_empty()), "{header}");
            assert_eq!(state_malformed, expect.is_none(), "{header}");
        };
        check("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"));
        check("a=1 , b=2 ,,", Some("a=1,b=2"));
        check("a= 1", Some("a= 1"));
        check("1tenant@sys/x*_-=v", Some("1tenant@sys/x*_-=v"));
        check("", Some(""));
        check(" ,", Some(""));
        check("A=1", None);
        check("a", None);
        check("a=", None);
        check("=1", None);
        check("a=1=2", None);
        check("a=1,a=2", None);
        check("a=\u{7f}", None);
        check("a=é", None);
        let members = |n: usize| (0..n).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join(",");
        check(&members(32), Some(&members(32)));
        check(&members(33), None);
        check(&format!("{}=v", "k".repeat(257)), None);
        check(&format!("k={}", "v".repeat(257)), None);
        // 3.3.1.5: long members go first, then whole members from the end.
        let (long, short) = (format!("l={}", "v".repeat(200)), format!("k={}", "v".repeat(98)));
        check(
            &format!("{long},a{short},b{short},c{short},d{short}"),
            Some(&format!("a{short},b{short},c{short},d{short}")),
        );
        let six: Vec<_> = "abcdef".chars().map(|c| format!("{c}{short}")).collect();
        check(&six.join(","), Some(&six[..5].join(",")));
    }

    #[test]
    fn traceparent_decides() {
        assert_eq!(incoming(None, Some("a=1")), Incoming::Absent);
        assert_eq!(incoming(Some("00-x"), Some("a=1")), Incoming::Malformed);
    }

    #[test]
    fn baggage_members() {
        let check = |header: &str, expect: &[(&str, &str)]| {
            let found: Vec<_> = baggage(header, |key| key != "no").collect();
            let found: Vec<_> = found.iter().map(|(k, v)| (*k, v.as_ref())).collect();
            assert_eq!(found, expect, "{header}");
        };
        check("a=1,b=2", &[("a", "1"), ("b", "2")]);
        check(" a = 1 ; p=q ; r , b=2", &[("a", "1"), ("b", "2")]);
        check("a=x%20y%C3%A9", &[("a", "x yé")]);
        check("a=%FF%zz%", &[("a", "\u{fffd}%zz%")]);
        check("a=b=c", &[("a", "b=c")]);
        check("a=", &[("a", "")]);
        check("no=1,a=2", &[("a", "2")]);
        check("a,=1,b c=2,d=\"x\",e=f g,h=1", &[("h", "1")]);
        check("", &[]);
        let many: Vec<_> = (0..70).map(|i| format!("k{i}=v")).collect();
        assert_eq!(baggage(&many.join(","), |_| true).count(), 64);
        let long = format!("a=1,b={}", "v".repeat(8192));
        check(&long, &[("a", "1")]);
        let exact = format!("a=1,b={},c=2", "v".repeat(8192 - 6));
        assert_eq!(baggage(&exact, |_| true).count(), 2);
    }

    proptest! {
        #[test]
        fn a_traceparent_round_trips(id: [u8; 16], parent: [u8; 8], flags in 0..4_u8) {
            let parent = TraceParent { trace_id: TraceId(id), parent: SpanId(parent), flags };
            prop_assume!(parent.trace_id.is_valid() && parent.parent.is_valid());
            prop_assert_eq!(TraceParent::parse(&parent.header()), Some(parent));
        }

        #[test]
        fn any_header_is_survived(text in "\\PC{0,120}", near in "[0-9a-f]{2}-[0-9a-fA]{32}-[0-9a-f]{16}-[0-9a-fé-]{2,4}") {
            for text in [&text, &near] {
                let _ = (incoming(Some(text), Some(text)), trace_state(text), baggage(text, |_| true).count());
            }
        }

        #[test]
        fn a_kept_state_is_short_and_valid(text in "([a-c]{1,3}=[ -~]{1,140},? ?){0,12}") {
            if let Some(state) = trace_state(&text) {
                prop_assert!(state.len() <= MAX_TRACE_STATE);
                let again = trace_state(&state);
                prop_assert_eq!(again.as_deref(), Some(state.as_ref()));
            }
        }
    }
}
