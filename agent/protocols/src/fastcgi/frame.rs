//! Bytes to record headers, parameters and the lines of a response's head.

use std::sync::Arc;

use super::Limits;
use crate::{
    exchange::Party,
    http::{Forwarded, RequestHead, Version, fnv1a, text},
    reader::Reader,
};

/// A record's type (section 8), by who sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Begin,
    Abort,
    End,
    Params,
    Stdin,
    Stdout,
    Stderr,
    Data,
    /// Of the connection and not of a request: its number is 0.
    Management,
}

/// What is ahead of every record (section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) request: u16,
    pub(super) length: u16,
    pub(super) padding: u8,
}

/// `FCGI_HEADER_LEN`.
pub(super) const HEADER: usize = 8;
/// What is in a begin and in an end record (sections 5.1 and 5.5).
pub(super) const BODY: usize = 8;

impl Header {
    /// `None` where no such record exists, or not in this direction.
    pub(super) fn parse(from: Party, bytes: [u8; HEADER]) -> Option<Self> {
        let [1, kind, high, low, long, short, padding, _] = bytes else { return None };
        let (kind, sender) = match kind {
            1 => (Kind::Begin, Party::Client),
            2 => (Kind::Abort, Party::Client),
            3 => (Kind::End, Party::Server),
            4 => (Kind::Params, Party::Client),
            5 => (Kind::Stdin, Party::Client),
            6 => (Kind::Stdout, Party::Server),
            7 => (Kind::Stderr, Party::Server),
            8 => (Kind::Data, Party::Client),
            9 => (Kind::Management, Party::Client),
            10 | 11 => (Kind::Management, Party::Server),
            _ => return None,
        };
        let (request, length) = (u16::from_be_bytes([high, low]), u16::from_be_bytes([long, short]));
        let fits = match kind {
            Kind::Begin | Kind::End => usize::from(length) == BODY,
            Kind::Abort => length == 0,
            _ => true,
        };
        let numbered = (request == 0) == (kind == Kind::Management);
        (sender == from && fits && numbered).then_some(Self { kind, request, length, padding })
    }
}

/// Whether these are the first bytes of a request: a begin record whose role exists. `None` while that is open.
pub(crate) fn looks_like_request(bytes: &[u8]) -> Option<bool> {
    if !is_prefix(bytes, 1) {
        return Some(false);
    }
    let (header, rest) = bytes.split_first_chunk()?;
    if !Header::parse(Party::Client, *header).is_some_and(|header| header.kind == Kind::Begin) {
        return Some(false);
    }
    // The role (two bytes), the flags, of which there is one, and five reserved bytes.
    let role =
        rest.first().is_none_or(|&high| high == 0) && rest.get(1).is_none_or(|role| (1..=3).contains(role));
    let flags = rest.get(2).is_none_or(|&flags| flags <= 1);
    let reserved = rest.iter().take(BODY).skip(3).all(|&byte| byte == 0);
    if role && flags && reserved { (rest.len() >= BODY).then_some(true) } else { Some(false) }
}

/// Whether these are the first bytes of a response: a head's line, or the end of a request. `None` while that is open.
pub(crate) fn looks_like_response(bytes: &[u8]) -> Option<bool> {
    if !(is_prefix(bytes, 6) || is_prefix(bytes, 3)) {
        return Some(false);
    }
    let (header, rest) = bytes.split_first_chunk()?;
    match Header::parse(Party::Server, *header) {
        Some(Header { kind: Kind::End, .. }) => {
            (rest.len() >= BODY).then(|| rest[4] <= 3 && rest[5..BODY] == [0; 3])
        }
        Some(Header { kind: Kind::Stdout, length: 1.., .. }) => {
            let name = rest.iter().take_while(|&&byte| byte.is_ascii_alphanumeric() || byte == b'-').count();
            match rest.get(name) {
                Some(b':') => Some(name > 0),
                None if name < LONGEST_NAME => None,
                Some(_) | None => Some(false),
            }
        }
        Some(_) | None => Some(false),
    }
}

/// Of a header's first bytes: the version and the type.
fn is_prefix(bytes: &[u8], kind: u8) -> bool {
    bytes.iter().zip([1, kind]).all(|(&byte, due)| byte == due)
}

/// A field's name is shorter.
const LONGEST_NAME: usize = 64;

/// The parameters of a request, piece by piece.
#[derive(Debug, Default)]
pub(super) struct Params {
    /// A pair that is not in one piece.
    buffer: Vec<u8>,
    /// Bytes of a pair that is too long, before the next.
    skip: u64,
    known: Known,
    truncated: bool,
    /// The first bytes of the pairs.
    first: Vec<u8>,
}

/// What is kept.
#[derive(Debug, Default)]
struct Known {
    method: Option<Box<str>>,
    uri: Option<Box<str>>,
    script: Option<Box<str>>,
    path_info: Option<Box<str>>,
    query: Option<Box<str>>,
    protocol: Option<Version>,
    scheme: Option<Box<str>>,
    https: bool,
    host: Option<Box<str>>,
    server_name: Option<Box<str>>,
    server_port: Option<Box<str>>,
    user_agent: Option<Box<str>>,
    forwarded: Option<Box<str>>,
    forwarded_for: Option<Box<str>>,
    remote: Option<Box<str>>,
    traceparent: Option<Box<str>>,
    tracestate: Option<Box<str>>,
    baggage: Option<Box<str>>,
}

impl Params {
    pub(super) fn buffered(&self) -> usize {
        self.buffer.capacity() + self.first.capacity()
    }

    /// Bytes of the stream of pairs.
    pub(super) fn read(&mut self, mut bytes: &[u8], limits: &Limits) {
        if !self.truncated {
            let wanted = FINGERPRINT.saturating_sub(self.first.len()).min(bytes.len());
            self.first.extend_from_slice(&bytes[..wanted]);
        }
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        bytes = &bytes[skipped..];
        self.skip -= skipped as u64;
        if self.buffer.is_empty() {
            let read = self.pairs(bytes, limits);
            self.buffer.extend_from_slice(&bytes[read..]);
        } else if !bytes.is_empty() {
            self.buffer.extend_from_slice(bytes);
            let buffer = std::mem::take(&mut self.buffer);
            let read = self.pairs(&buffer, limits);
            self.buffer = buffer;
            self.buffer.drain(..read);
        }
    }

    /// Bytes of it were not seen: where the next pair begins is not known.
    pub(super) fn lose(&mut self) {
        self.buffer = Vec::new();
        self.skip = u64::MAX;
        self.truncated = true;
    }

    pub(super) fn knows_method(&self) -> bool {
        self.known.method.is_some()
    }

    /// All are here. False with it where the last pair is not whole.
    pub(super) fn finish(self, whole: bool) -> (Arc<RequestHead>, bool) {
        let ended = self.buffer.is_empty() && (self.skip == 0 || self.truncated);
        let truncated = self.truncated || !whole || !ended;
        // Both ends compute the same, though one of them may have seen more.
        let first = !truncated || self.first.len() == FINGERPRINT;
        let fingerprint = if first { fnv1a(&self.first) } else { 0 };
        (Arc::new(self.known.head(truncated, fingerprint)), ended)
    }

    /// Reads whole pairs, and says how many bytes they were.
    fn pairs(&mut self, bytes: &[u8], limits: &Limits) -> usize {
        let mut reader = Reader::new(bytes);
        loop {
            let read = reader.position();
            let (Some(name), Some(value)) = (length(&mut reader), length(&mut reader)) else { return read };
            let (Some(total), Ok(name)) = (name.checked_add(value), usize::try_from(name)) else {
                return read;
            };
            if total > limits.parameter as u64 {
                let rest = reader.rest();
                if name <= LONGEST_PARAMETER && rest.len() < name {
                    return read;
                }
                self.truncated |= rest.get(..name).is_some_and(is_kept);
                let here = usize::try_from(total).unwrap_or(usize::MAX).min(rest.len());
                self.skip = total - here as u64;
                reader.take(here);
                continue;
            }
            let Some(pair) = usize::try_from(total).ok().and_then(|total| reader.take(total)) else {
                return read;
            };
            let (name, value) = pair.split_at(name);
            self.known.set(name, value, limits);
        }
    }
}

/// A length below 128 is one byte, others are four (section 3.4).
fn length(reader: &mut Reader<'_>) -> Option<u64> {
    match reader.rest().first()? {
        0..=127 => reader.u8().map(u64::from),
        _ => reader.u32().map(|long| u64::from(long & 0x7fff_ffff)),
    }
}

/// A fingerprint covers as much of the parameters.
const FINGERPRINT: usize = 64;
/// The longest name that is kept.
const LONGEST_PARAMETER: usize = 20;

fn is_kept(name: &[u8]) -> bool {
    matches!(name, b"REQUEST_METHOD" | b"REQUEST_URI" | b"QUERY_STRING" | b"HTTP_TRACEPARENT")
}

impl Known {
    fn set(&mut self, name: &[u8], value: &[u8], limits: &Limits) {
        let place = match name {
            b"REQUEST_METHOD" => &mut self.method,
            b"REQUEST_URI" => &mut self.uri,
            b"SCRIPT_NAME" => &mut self.script,
            b"PATH_INFO" => &mut self.path_info,
            b"QUERY_STRING" => &mut self.query,
            b"SERVER_PROTOCOL" => return self.protocol = version(value),
            b"REQUEST_SCHEME" => &mut self.scheme,
            b"HTTPS" => return self.https = !matches!(value, b"" | b"off"),
            b"HTTP_HOST" => &mut self.host,
            b"SERVER_NAME" => &mut self.server_name,
            b"SERVER_PORT" => &mut self.server_port,
            b"HTTP_USER_AGENT" => &mut self.user_agent,
            b"HTTP_FORWARDED" => &mut self.forwarded,
            b"HTTP_X_FORWARDED_FOR" => &mut self.forwarded_for,
            b"REMOTE_ADDR" => &mut self.remote,
            b"HTTP_TRACEPARENT" => &mut self.traceparent,
            b"HTTP_TRACESTATE" => &mut self.tracestate,
            b"HTTP_BAGGAGE" => &mut self.baggage,
            _ => return,
        };
        // Servers pass on what they do not have as an empty value. The last of several counts, as in PHP.
        *place = (!value.is_empty()).then(|| text(value, limits.value));
    }

    fn head(self, truncated: bool, fingerprint: u64) -> RequestHead {
        let target = self.target();
        let named = self.server_name.filter(|name| &**name != "_").map(|name| match &self.server_port {
            Some(port) => format!("{name}:{port}").into_boxed_str(),
            None => name,
        });
        let forwarded =
            (self.forwarded.map(Forwarded::Forwarded)).or(self.forwarded_for.map(Forwarded::XForwardedFor));
        RequestHead {
            method: self.method.unwrap_or_default(),
            target,
            version: self.protocol.unwrap_or(Version::Http11),
            authority: self.host.or(named),
            scheme: self.scheme.or_else(|| self.https.then(|| "https".into())),
            user_agent: self.user_agent,
            forwarded,
            // The peer is the web server.
            client: self.remote,
            traceparent: self.traceparent,
            tracestate: self.tracestate,
            baggage: self.baggage,
            stream: 0,
            fingerprint,
            truncated,
        }
    }

    /// As the client sent it, or else as CGI's variables tell it (RFC 3875, sections 4.1.5, 4.1.7 and 4.1.13).
    fn target(&self) -> Box<str> {
        if let Some(uri) = &self.uri {
            return uri.clone();
        }
        let mut target = String::new();
        target.extend([&self.script, &self.path_info].into_iter().flatten().map(|part| &**part));
        if let Some(query) = self.query.as_ref().filter(|_| !target.is_empty()) {
            target.extend(["?", query]);
        }
        target.into()
    }
}

/// The protocol of the request that the web server was sent.
fn version(value: &[u8]) -> Option<Version> {
    Some(match value.strip_prefix(b"HTTP/")? {
        b"1.0" => Version::Http10,
        b"1.1" => Version::Http11,
        b"2" | b"2.0" => Version::Http2,
        b"3" | b"3.0" => Version::Http3,
        _ => return None,
    })
}

/// A response's head (RFC 3875, section 6.3), piece by piece.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// The start of the line that is due.
    line: Vec<u8>,
    length: usize,
    status: Option<u16>,
    redirects: bool,
    ended: bool,
    lost: bool,
}

/// As much of a line matters: `Status: 200`.
const LINE: usize = 24;
/// A head is shorter than this, with long cookies.
const LONGEST_HEAD: usize = 64 * 1024;

impl Fields {
    /// Bytes of the response; says how many of them belong to the head.
    pub(super) fn read(&mut self, bytes: &[u8]) -> usize {
        let mut read = 0;
        while !self.ended && !self.lost {
            let rest = &bytes[read..];
            let end = memchr::memchr(b'\n', rest);
            let part = &rest[..end.unwrap_or(rest.len())];
            let room = LINE.saturating_sub(self.line.len()).min(part.len());
            self.line.extend_from_slice(&part[..room]);
            self.length += part.len();
            read += part.len();
            if self.length > LONGEST_HEAD {
                self.lose();
            }
            if end.is_none() {
                break;
            }
            read += 1;
            self.end_line();
        }
        read
    }

    /// Bytes of it, or of what is behind it, were not seen.
    pub(super) fn lose(&mut self) {
        self.lost |= !self.ended;
    }

    pub(super) fn is_over(&self) -> bool {
        self.ended
    }

    /// 200 where it does not say, or 302 where it names another place (section 6.3.3); `None` where that was not seen.
    pub(super) fn status(&self) -> Option<u16> {
        let silent = if self.redirects { 302 } else { 200 };
        self.status.or(self.ended.then_some(silent))
    }

    fn end_line(&mut self) {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        if line.is_empty() {
            self.ended = true;
        } else if let Some(value) = field(line, b"status") {
            let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let number = std::str::from_utf8(&value[..digits]).ok().and_then(|digits| digits.parse().ok());
            self.status = number.filter(|status| (100..=999).contains(status)).or(self.status);
        } else if field(line, b"location").is_some() {
            self.redirects = true;
        }
        self.line.clear();
    }
}

/// The value of a line whose name is this one, in whichever case.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":")?;
    found.eq_ignore_ascii_case(name).then(|| value.trim_ascii_start())
}
