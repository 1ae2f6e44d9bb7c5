//! Bytes to start lines, the few fields that matter, and chunk framing. No state between messages.

use std::sync::Arc;

use super::Limits;
use crate::{
    exchange::Party,
    http::{Forwarded, RequestHead, ResponseHead, Version, fnv1a, text},
    reader::Reader,
};

#[derive(Debug)]
pub(super) enum Scan {
    /// A whole head, `length` bytes up to and with its empty line.
    Complete {
        head: Head,
        length: usize,
    },
    Partial,
    Malformed,
}

#[derive(Debug)]
pub(super) struct Head {
    pub(super) start: Start,
    pub(super) declared: Declared,
    /// `Expect: 100-continue`: the body may never be sent.
    pub(super) expects: bool,
    /// What may follow the answer.
    pub(super) upgrades: Upgrades,
    /// The head was seen up to its end.
    pub(super) whole: bool,
}

/// What a request proposes to go on with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Upgrades {
    #[default]
    No,
    /// HTTP/2 without TLS, and nothing else (RFC 7540 section 3.2).
    Http2,
    /// Whatever the ends of a tunnel speak: CONNECT.
    Tunnel,
    /// Another protocol (a WebSocket), or one of several.
    Other,
}

#[derive(Debug)]
pub(super) enum Start {
    Request(Arc<RequestHead>),
    Response(ResponseHead),
}

/// What the fields say about the body's length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) length: Length,
    pub(super) coding: Coding,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Length {
    #[default]
    Absent,
    Bytes(u64),
    /// Not a number, or contradicting numbers.
    Invalid,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Coding {
    #[default]
    Absent,
    /// `chunked` is the final coding.
    Chunked,
    Other,
}

/// Reads a head that begins at `bytes[0]`.
pub(super) fn scan(party: Party, bytes: &[u8], limits: &Limits) -> Scan {
    let mut reader = Reader::new(bytes);
    let Some(line) = reader.line() else {
        return if plausible(party, bytes) { Scan::Partial } else { Scan::Malformed };
    };
    let Some(line) = StartLine::parse(party, line) else { return Scan::Malformed };
    let mut fields = Fields::default();
    if !fields.read(party, &mut reader) {
        return Scan::Partial;
    }
    let length = reader.position();
    let known = Known { start: &bytes[..length], whole: true };
    Scan::Complete { head: line.head(&fields, known, limits), length }
}

/// Reads what is there of a head whose rest is missing; `None` without a complete start line, unless it is a
/// request line too long to be seen whole.
pub(super) fn scan_known(party: Party, bytes: &[u8], limits: &Limits) -> Option<Head> {
    let mut reader = Reader::new(bytes);
    let line = match reader.line() {
        Some(line) => StartLine::parse(party, line)?,
        None => StartLine::long(party, bytes)?,
    };
    let mut fields = Fields::default();
    fields.read(party, &mut reader);
    Some(line.head(&fields, Known { start: bytes, whole: false }, limits))
}

/// Whether an unfinished start line may still become one.
pub(super) fn plausible(party: Party, bytes: &[u8]) -> bool {
    match party {
        Party::Server => {
            let length = bytes.len().min(STATUS_LINE.len());
            bytes[..length] == STATUS_LINE[..length]
        }
        Party::Client => match bytes.iter().take(METHOD_MAX + 1).position(|&byte| !is_token(byte)) {
            Some(end) => end > 0 && bytes[end] == b' ',
            None => bytes.len() <= METHOD_MAX,
        },
    }
}

/// `METHOD SP target SP HTTP/1.x`, any method; `None` while the line is incomplete.
///
/// A line too long to be seen whole counts when its method is a registered one.
pub(crate) fn looks_like_request(bytes: &[u8]) -> Option<bool> {
    if let Some(line) = Reader::new(bytes).line() {
        return Some(StartLine::parse(Party::Client, line).is_some());
    }
    if !plausible(Party::Client, bytes) {
        return Some(false);
    }
    (bytes.len() >= LONG_LINE && starts_with_known_method(bytes)).then_some(true)
}

/// `HTTP/1.x SP 3DIGIT`; `None` while incomplete.
pub(crate) fn looks_like_response(bytes: &[u8]) -> Option<bool> {
    if !plausible(Party::Server, bytes) {
        return Some(false);
    }
    let line = bytes.get(..STATUS_LINE.len() + 5)?;
    Some(StartLine::parse(Party::Server, line).is_some())
}

/// The start of a response that ends HTTP on its connection.
pub(super) fn switches_protocols(bytes: &[u8]) -> bool {
    let status = bytes.get(STATUS_LINE.len() + 1..STATUS_LINE.len() + 5);
    plausible(Party::Server, bytes) && status == Some(b" 101")
}

/// A method of the IANA registry and the space after it.
pub(super) fn starts_with_known_method(bytes: &[u8]) -> bool {
    let method = bytes.iter().take(METHOD_MAX + 1).position(|&byte| byte == b' ').map(|end| &bytes[..end]);
    method.is_some_and(is_known_method)
}

pub(super) fn is_known_method(method: &[u8]) -> bool {
    KNOWN_METHODS.contains(&method)
}

/// A request line that goes on beyond this is judged by what there is of it.
pub(crate) const LONG_LINE: usize = 4096;
/// Longest method taken for one.
pub(super) const METHOD_MAX: usize = 32;
const STATUS_LINE: &[u8] = b"HTTP/1.";
/// A fingerprint covers this much of a request's head.
const FINGERPRINT_MAX: usize = 64;

const KNOWN_METHODS: &[&[u8]] = &[
    b"GET",
    b"POST",
    b"PUT",
    b"HEAD",
    b"DELETE",
    b"OPTIONS",
    b"PATCH",
    b"CONNECT",
    b"TRACE",
    b"QUERY",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"REPORT",
    b"SEARCH",
    b"PURGE",
];

enum StartLine<'a> {
    Request { method: &'a [u8], target: &'a [u8], version: Version },
    Response(ResponseHead),
}

/// The captured part of a head.
#[derive(Clone, Copy)]
struct Known<'a> {
    start: &'a [u8],
    whole: bool,
}

impl<'a> StartLine<'a> {
    fn parse(party: Party, line: &'a [u8]) -> Option<Self> {
        match party {
            Party::Client => {
                let end = line.iter().take(METHOD_MAX + 1).position(|&byte| !is_token(byte))?;
                let (method, rest) = line.split_at(end);
                let rest = rest.strip_prefix(b" ")?;
                let split = memchr::memrchr(b' ', rest)?;
                let version = version(&rest[split + 1..])?;
                let target = rest[..split].trim_ascii();
                (!method.is_empty() && !target.is_empty()).then_some(Self::Request {
                    method,
                    target,
                    version,
                })
            }
            Party::Server => {
                let (start, rest) = line.split_at_checked(STATUS_LINE.len() + 1)?;
                let version = version(start)?;
                // RFC 9112 section 4 lets a recipient take any white space for the space, and most do.
                let status = rest.trim_ascii_start();
                let [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', reason @ ..] = status else {
                    return None;
                };
                let digit = |byte: u8| u16::from(byte - b'0');
                let apart = status.len() < rest.len() && reason.first().is_none_or(u8::is_ascii_whitespace);
                let status = digit(*a) * 100 + digit(*b) * 10 + digit(*c);
                apart.then_some(Self::Response(ResponseHead { status, version }))
            }
        }
    }

    /// The start of a request line that goes on; its version is taken for the common one.
    fn long(party: Party, bytes: &'a [u8]) -> Option<Self> {
        if party == Party::Server || bytes.len() < LONG_LINE || !starts_with_known_method(bytes) {
            return None;
        }
        let (method, target) = bytes.split_at(memchr::memchr(b' ', bytes)?);
        let target = target.trim_ascii_start();
        (!target.is_empty()).then_some(Self::Request { method, target, version: Version::Http11 })
    }

    fn head(&self, fields: &Fields<'_>, known: Known<'_>, limits: &Limits) -> Head {
        let start = match *self {
            Self::Response(head) => Start::Response(head),
            Self::Request { method, target, version } => {
                let (scheme, target_authority) = absolute_form(target);
                // RFC 9112 section 3.2.3: a path, which some send, names nobody.
                let connect = (method == b"CONNECT" && target[0] != b'/').then_some(target);
                let value = |raw: &[u8]| text(raw, limits.value);
                let fingerprinted = known.start.len().min(FINGERPRINT_MAX);
                let fingerprint = if known.whole || fingerprinted == FINGERPRINT_MAX {
                    fnv1a(&known.start[..fingerprinted])
                } else {
                    0
                };
                Start::Request(Arc::new(RequestHead {
                    method: text(method, METHOD_MAX),
                    target: text(target, limits.target),
                    version,
                    // RFC 9112 section 3.2.2: the absolute form's authority replaces Host.
                    authority: target_authority.or(fields.host).or(connect).map(value),
                    scheme: scheme.map(value),
                    user_agent: fields.user_agent.map(value),
                    forwarded: (fields.forwarded.map(value).map(Forwarded::Forwarded))
                        .or_else(|| fields.forwarded_for.map(value).map(Forwarded::XForwardedFor)),
                    client: None,
                    traceparent: fields.traceparent.map(value),
                    tracestate: fields.tracestate.joined(limits.value),
                    baggage: fields.baggage.joined(limits.value),
                    stream: 0,
                    fingerprint,
                    truncated: !known.whole || target.len() > limits.target,
                }))
            }
        };
        let connect = matches!(self, Self::Request { method: b"CONNECT", .. });
        let upgrades = if connect { Upgrades::Tunnel } else { fields.upgrades };
        Head { start, declared: fields.declared, expects: fields.expects, upgrades, whole: known.whole }
    }
}

fn version(bytes: &[u8]) -> Option<Version> {
    match bytes.strip_prefix(STATUS_LINE)? {
        b"0" => Some(Version::Http10),
        [b'1'..=b'9'] => Some(Version::Http11),
        _ => None,
    }
}

/// Scheme and authority of an absolute-form target.
fn absolute_form(target: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
    if target[0] == b'/' {
        return (None, None);
    }
    let Some(end) = target.iter().position(|byte| !byte.is_ascii_alphanumeric()) else { return (None, None) };
    let (scheme, rest) = target.split_at(end);
    let Some(rest) = rest.strip_prefix(b"://") else { return (None, None) };
    let authority = rest.split(|byte| matches!(byte, b'/' | b'?' | b'#')).next().unwrap_or_default();
    // Credentials are no part of where a request goes.
    let authority = memchr::memrchr(b'@', authority).map_or(authority, |at| &authority[at + 1..]);
    (Some(scheme), (!authority.is_empty()).then_some(authority))
}

#[derive(Default)]
struct Fields<'a> {
    declared: Declared,
    expects: bool,
    upgrades: Upgrades,
    host: Option<&'a [u8]>,
    user_agent: Option<&'a [u8]>,
    forwarded: Option<&'a [u8]>,
    forwarded_for: Option<&'a [u8]>,
    traceparent: Option<&'a [u8]>,
    tracestate: List<'a>,
    baggage: List<'a>,
}

/// The values of a field that may come in several lines.
#[derive(Default)]
struct List<'a>(Option<&'a [u8]>, Vec<&'a [u8]>);

#[derive(Clone, Copy)]
enum Name {
    ContentLength,
    TransferEncoding,
    Expect,
    Upgrade,
    Host,
    UserAgent,
    Forwarded,
    XForwardedFor,
    Traceparent,
    Tracestate,
    Baggage,
}

impl<'a> Fields<'a> {
    /// Reads field lines; true when the empty line was among them.
    fn read(&mut self, party: Party, reader: &mut Reader<'a>) -> bool {
        let base = reader.rest();
        let origin = reader.position();
        // A field's value may go on in the next lines (obs-fold), so it is kept when the next begins.
        let mut open: Option<(Name, usize, usize)> = None;
        loop {
            let line_start = reader.position() - origin;
            let line = reader.line();
            let line_end = line_start + line.map_or(0, <[u8]>::len);
            if let (Some([b' ' | b'\t', ..]), Some((_, _, end))) = (line, &mut open) {
                *end = line_end;
                continue;
            }
            if let Some((name, start, end)) = open.take() {
                self.keep(name, base[start..end].trim_ascii());
            }
            match line {
                None => return false,
                Some([]) => return true,
                Some(line) => {
                    open =
                        self.name(party, line).map(|(name, colon)| (name, line_start + colon + 1, line_end));
                }
            }
        }
    }

    /// The field a line begins, if it is one to keep, and where its colon is.
    fn name(&mut self, party: Party, line: &[u8]) -> Option<(Name, usize)> {
        // Most fields are none of these; their first letter tells.
        match (line.first()? | 0x20, party) {
            (b'c' | b't', _) | (b'b' | b'e' | b'f' | b'h' | b'u' | b'x', Party::Client) => {}
            _ => return None,
        }
        let colon = line.iter().take(NAME_MAX).position(|&byte| byte == b':')?;
        let raw = &line[..colon];
        let known = Name::of(raw.trim_ascii_end())?;
        let framing = matches!(known, Name::ContentLength | Name::TransferEncoding);
        match party {
            Party::Server => framing.then_some((known, colon)),
            // RFC 9112 section 5.1: a request with space before the colon is refused, so whether its
            // body is read at all depends on the server.
            Party::Client if raw.len() != raw.trim_ascii_end().len() => {
                if framing {
                    self.declared.length = Length::Invalid;
                }
                None
            }
            Party::Client => Some((known, colon)),
        }
    }

    fn keep(&mut self, name: Name, value: &'a [u8]) {
        let first = |slot: &mut Option<&'a [u8]>| {
            slot.get_or_insert(value);
        };
        match name {
            Name::ContentLength => self.declared.length = self.declared.length.and(content_length(value)),
            Name::TransferEncoding => self.declared.coding = transfer_coding(value),
            Name::Expect => self.expects |= value.eq_ignore_ascii_case(b"100-continue"),
            Name::Upgrade => {
                let http2 = self.upgrades == Upgrades::No && value.eq_ignore_ascii_case(b"h2c");
                self.upgrades = if http2 { Upgrades::Http2 } else { Upgrades::Other };
            }
            Name::Host => first(&mut self.host),
            Name::UserAgent => first(&mut self.user_agent),
            Name::Forwarded => first(&mut self.forwarded),
            Name::XForwardedFor => first(&mut self.forwarded_for),
            Name::Traceparent => first(&mut self.traceparent),
            Name::Tracestate => self.tracestate.push(value),
            Name::Baggage => self.baggage.push(value),
        }
    }
}

/// Names that matter are shorter; room for stray space before the colon.
const NAME_MAX: usize = 32;

impl Name {
    fn of(raw: &[u8]) -> Option<Self> {
        let is = |name: &[u8]| raw.eq_ignore_ascii_case(name);
        match raw.len() {
            4 if is(b"host") => Some(Self::Host),
            6 if is(b"expect") => Some(Self::Expect),
            7 if is(b"baggage") => Some(Self::Baggage),
            7 if is(b"upgrade") => Some(Self::Upgrade),
            9 if is(b"forwarded") => Some(Self::Forwarded),
            10 if is(b"user-agent") => Some(Self::UserAgent),
            10 if is(b"tracestate") => Some(Self::Tracestate),
            11 if is(b"traceparent") => Some(Self::Traceparent),
            14 if is(b"content-length") => Some(Self::ContentLength),
            15 if is(b"x-forwarded-for") => Some(Self::XForwardedFor),
            17 if is(b"transfer-encoding") => Some(Self::TransferEncoding),
            _ => None,
        }
    }
}

impl<'a> List<'a> {
    fn push(&mut self, value: &'a [u8]) {
        match self.0 {
            None => self.0 = Some(value),
            Some(_) => self.1.push(value),
        }
    }

    fn joined(&self, max: usize) -> Option<Box<str>> {
        let first = self.0?;
        if self.1.is_empty() {
            return Some(text(first, max));
        }
        let mut whole = first.to_vec();
        for value in &self.1 {
            if whole.len() >= max {
                break;
            }
            whole.push(b',');
            whole.extend_from_slice(value);
        }
        Some(text(&whole, max))
    }
}

impl Length {
    /// RFC 9112 section 6.3: repeated equal lengths are one, different ones are none.
    fn and(self, other: Self) -> Self {
        if self == Self::Absent || self == other { other } else { Self::Invalid }
    }
}

fn content_length(value: &[u8]) -> Length {
    value.split(|&byte| byte == b',').fold(Length::Absent, |sum, item| {
        let digits = item.trim_ascii();
        let number = (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
            .then(|| {
                digits.iter().try_fold(0_u64, |number, digit| {
                    number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
                })
            })
            .flatten();
        sum.and(number.map_or(Length::Invalid, Length::Bytes))
    })
}

/// The final coding decides (RFC 9112 section 6.3); a later field line overrides an earlier one.
fn transfer_coding(value: &[u8]) -> Coding {
    let last = value.rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii).find(|item| !item.is_empty());
    if last.is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked")) {
        Coding::Chunked
    } else {
        Coding::Other
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(head: &str) -> (RequestHead, Declared) {
        match scan(Party::Client, head.as_bytes(), &Limits::default()) {
            Scan::Complete { head: Head { start: Start::Request(request), declared, .. }, length } => {
                assert_eq!(length, head.len());
                (Arc::unwrap_or_clone(request), declared)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keeps_the_fields_that_matter() {
        let (head, declared) = request(
            "POST /a?b=c HTTP/1.1\r\nhOST:x.example:8080\r\nUser-Agent:  curl/8 \r\nX-Forwarded-For: 10.0.0.1\r\n\
             Forwarded: for=10.0.0.2\r\nTraceparent: 00-1-2-01\r\ntracestate: a=1\r\nTRACESTATE: b=2\r\n\
             baggage: k=v\r\n folded=1\r\nContent-Length: 5\r\nCookie: x\r\n\r\n",
        );
        assert_eq!(&*head.method, "POST");
        assert_eq!(&*head.target, "/a?b=c");
        assert_eq!(head.version, Version::Http11);
        assert_eq!(head.authority.as_deref(), Some("x.example:8080"));
        assert_eq!(head.scheme, None);
        assert_eq!(head.user_agent.as_deref(), Some("curl/8"));
        assert_eq!(head.forwarded, Some(Forwarded::Forwarded("for=10.0.0.2".into())));
        assert_eq!(head.traceparent.as_deref(), Some("00-1-2-01"));
        assert_eq!(head.tracestate.as_deref(), Some("a=1,b=2"));
        assert_eq!(head.baggage.as_deref(), Some("k=v   folded=1"));
        assert!(!head.truncated);
        assert_eq!(declared, Declared { length: Length::Bytes(5), coding: Coding::Absent });
    }

    #[test]
    fn target_forms() {
        let (head, _) = request("GET HTTP://user:pw@a.example:1/x HTTP/1.0\r\nHost: b\r\n\r\n");
        assert_eq!(head.scheme.as_deref(), Some("HTTP"));
        assert_eq!(head.authority.as_deref(), Some("a.example:1"));
        assert_eq!(head.version, Version::Http10);
        let (head, _) = request("CONNECT a.example:443 HTTP/1.1\r\n\r\n");
        assert_eq!((head.scheme.as_deref(), head.authority.as_deref()), (None, Some("a.example:443")));
        let (head, _) = request("CONNECT / HTTP/1.1\r\n\r\n");
        assert_eq!(head.authority, None);
        let (head, _) = request("OPTIONS * HTTP/1.1\nHost: c\n\n");
        assert_eq!((&*head.target, head.authority.as_deref()), ("*", Some("c")));
    }

    #[test]
    fn the_fingerprint_is_of_the_first_64_bytes() {
        let long = "GET /0123456789012345678901234567890123456789012345678901234567890 HTTP/1.1\r\n\r\n";
        let (head, _) = request(long);
        assert_eq!(head.fingerprint, fnv1a(&long.as_bytes()[..64]));
        let (head, _) = request("GET / HTTP/1.1\r\n\r\n");
        assert_eq!(head.fingerprint, fnv1a(b"GET / HTTP/1.1\r\n\r\n"));
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    }

    #[track_caller]
    fn check_declared(fields: &str, length: Length, coding: Coding) {
        let (_, declared) = request(&format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n"));
        assert_eq!(declared, Declared { length, coding }, "{fields:?}");
    }

    #[test]
    fn lengths_and_codings() {
        check_declared("Content-Length: 5\r\nContent-Length: 5", Length::Bytes(5), Coding::Absent);
        check_declared("Content-Length: 5, 5", Length::Bytes(5), Coding::Absent);
        check_declared("Content-Length: 5\r\nContent-Length: 6", Length::Invalid, Coding::Absent);
        check_declared("Content-Length: +5", Length::Invalid, Coding::Absent);
        check_declared("Content-Length:", Length::Invalid, Coding::Absent);
        check_declared("Content-Length: 1\r\n 0", Length::Invalid, Coding::Absent);
        check_declared("Content-Length: 99999999999999999999", Length::Invalid, Coding::Absent);
        check_declared("Content-Length : 5", Length::Invalid, Coding::Absent);
        check_declared("Transfer-Encoding: gzip, Chunked", Length::Absent, Coding::Chunked);
        check_declared("Transfer-Encoding: chunked, gzip", Length::Absent, Coding::Other);
        check_declared(
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
            Length::Absent,
            Coding::Chunked,
        );
        check_declared("Transfer-Encoding:\r\n\tchunked", Length::Absent, Coding::Chunked);
        check_declared("Transfer-Encoding: xchunked", Length::Absent, Coding::Other);
        check_declared("Transfer-Encoding: chunked\r\nContent-Length: 3", Length::Bytes(3), Coding::Chunked);
        check_declared("X: Content-Length: 5", Length::Absent, Coding::Absent);
    }

    #[test]
    fn white_space_in_a_status_line() {
        for line in
            ["HTTP/1.1 200", "HTTP/1.1  200 OK", "HTTP/1.1\t200\tOK", "HTTP/1.1 200\rOK", "HTTP/1.0 200 "]
        {
            let whole = format!("{line}\r\n\r\n");
            match scan(Party::Server, whole.as_bytes(), &Limits::default()) {
                Scan::Complete { head: Head { start: Start::Response(response), .. }, .. } => {
                    assert_eq!(response.status, 200, "{line:?}");
                }
                other => panic!("{line:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_start_line() {
        for line in [
            "GET / HTTP/2.0",
            "GET /",
            "GET  HTTP/1.1",
            " GET / HTTP/1.1",
            "G(T / HTTP/1.1",
            "GET / HTTP/1.11",
            "GET\t/ HTTP/1.1",
        ] {
            let whole = format!("{line}\r\n\r\n");
            assert!(
                matches!(scan(Party::Client, whole.as_bytes(), &Limits::default()), Scan::Malformed),
                "{line}"
            );
        }
        for line in [
            "HTTP/1.1 20",
            "HTTP/1.1 2000",
            "HTTP/1.1200",
            "HTTP/1.1 0200",
            "HTTP/1.1 200\0 OK",
            "HTTP/1.10 200",
            "HTTP/2 200",
            "http/1.1 200 OK",
            "HTTP/1.1 099 x",
        ] {
            let whole = format!("{line}\r\n\r\n");
            assert!(
                matches!(scan(Party::Server, whole.as_bytes(), &Limits::default()), Scan::Malformed),
                "{line}"
            );
        }
    }
}
