//! Hiding secrets in captured bytes, in place and without changing their length: the values of headers that
//! hold credentials, and of query parameters that do. Of HTTP/1 and FastCGI; for HTTP/2 see `frames`.
//!
//! A value may come in several operations, a byte at a time if the sender likes, so what a line has been so
//! far is kept for each direction of each socket.

use std::{collections::HashMap, ops::Range, sync::LazyLock};

use honeyguide_protocols::detect::Direction;

use super::{
    frames::{Frames, Patch, Places},
    losses::Losses,
    params,
};
use crate::{decode::DataRecord, span::redact::Redaction};

/// Headers whose values are credentials or sessions.
const SECRET_HEADERS: [&[u8]; 8] = [
    b"authorization",
    b"proxy-authorization",
    b"cookie",
    b"set-cookie",
    b"x-api-key",
    b"api-key",
    b"x-auth-token",
    b"x-csrf-token",
];
/// No secret name is longer; room for space before the colon.
const NAME_MAX: usize = 64;
/// Directions remembered. Beyond it this share is forgotten, the longest idle: then a value cut in two may show its second
/// half.
const STREAMS: usize = 65_536;
const FORGOTTEN_SHARE: usize = 16;

#[derive(Debug)]
pub(super) struct Mask {
    streams: HashMap<(u64, u8), Stream>,
    /// Counts operations.
    clock: u64,
    forgotten: u64,
    pub(super) frames: Frames,
}

static REDACTION: LazyLock<Redaction> = LazyLock::new(Redaction::default);

#[derive(Debug)]
struct Stream {
    /// The offset that continues `place`.
    next: u64,
    place: Place,
    in_head: bool,
    /// Something passed unseen since the last byte.
    unseen: bool,
    /// Bytes that are still to come of a secret whose length is known.
    secret_left: usize,
    /// When it was last read.
    used: u64,
}

/// What the next byte belongs to.
#[derive(Debug)]
enum Place {
    /// A line begins; `folds` where a secret value goes on if it begins with space (RFC 9112 section 5.2).
    LineStart {
        folds: bool,
    },
    /// A header's name so far.
    Name(Vec<u8>),
    /// A value, or a line without one, that is no secret.
    Plain,
    Secret,
    /// A request line before its query.
    Target,
    /// A query parameter's name so far.
    Parameter(Vec<u8>),
    ParameterValue {
        secret: bool,
    },
}

/// What nobody is to see of the value of one of HTTP/2's fields.
fn secrets(name: &[u8], value: &[u8]) -> Vec<Range<usize>> {
    if is_secret_header(name) {
        std::iter::once(0..value.len()).collect()
    } else if name == b":path" {
        params::secrets_of_query(value, false, &REDACTION)
    } else {
        Vec::new()
    }
}

fn is_secret_header(name: &[u8]) -> bool {
    SECRET_HEADERS.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

impl Default for Mask {
    fn default() -> Self {
        Self { streams: HashMap::new(), clock: 0, forgotten: 0, frames: Frames::new(secrets) }
    }
}

impl Mask {
    /// Masks one operation's captured bytes and the tail that was kept of its rest. What is to be written over them,
    /// and over those of earlier operations, is returned.
    pub(super) fn operation(
        &mut self,
        record: &DataRecord<'_>,
        bytes: &mut [u8],
        tail: &mut [u8],
        places: Places,
    ) -> Vec<Patch> {
        self.lines(record, bytes, tail);
        self.frames.data(record, bytes, tail, places)
    }

    fn lines(&mut self, record: &DataRecord<'_>, bytes: &mut [u8], tail: &mut [u8]) {
        let key = (record.socket, stream(record));
        if self.streams.len() >= STREAMS && !self.streams.contains_key(&key) {
            self.make_room();
        }
        self.clock += 1;
        let fresh = || Stream {
            next: record.offset,
            place: Place::LineStart { folds: false },
            in_head: false,
            unseen: false,
            secret_left: 0,
            used: 0,
        };
        let stream = self.streams.entry(key).or_insert_with(fresh);
        stream.used = self.clock;
        if record.offset != stream.next {
            stream.pass_unseen();
        }
        stream.read(bytes, &REDACTION);
        if (record.bytes.len() as u64) < record.length {
            stream.pass_unseen();
            if stream.in_head {
                // Of a head's rest only its end matters.
                hide(tail, |byte| matches!(byte, b'\r' | b'\n'));
                stream.in_head = !tail.ends_with(b"\n\r\n");
                stream.place = if stream.in_head { Place::Secret } else { Place::LineStart { folds: false } };
            }
        }
        stream.next = record.offset + record.length;
    }

    fn make_room(&mut self) {
        let mut used: Vec<u64> = self.streams.values().map(|stream| stream.used).collect();
        let (_, last, _) = used.select_nth_unstable(STREAMS / FORGOTTEN_SHARE);
        let (before, last) = (self.streams.len(), *last);
        self.streams.retain(|_, stream| stream.used > last);
        self.forgotten += (before - self.streams.len()) as u64;
    }

    /// What there was no room for.
    pub(super) fn losses(&self) -> Losses {
        Losses { streams: self.forgotten, ..self.frames.losses() }
    }

    /// The socket is closed.
    pub(super) fn forget(&mut self, socket: u64) {
        for stream in 0..4 {
            self.streams.remove(&(socket, stream));
        }
        self.frames.forget(socket);
    }
}

/// Plaintext and ciphertext of a connection have offsets of their own.
fn stream(record: &DataRecord<'_>) -> u8 {
    u8::from(record.direction == Direction::Received) | u8::from(record.plaintext) << 1
}

impl Stream {
    /// The rest of a head may begin inside a secret; anything else begins with a line, as far as is known.
    fn pass_unseen(&mut self) {
        self.place = if self.in_head { Place::Secret } else { Place::LineStart { folds: false } };
        self.unseen = true;
        self.secret_left = 0;
    }

    fn read(&mut self, bytes: &mut [u8], redaction: &Redaction) {
        let unseen = std::mem::take(&mut self.unseen);
        let within = matches!(self.place, Place::Secret | Place::Parameter(_) | Place::ParameterValue { .. });
        // A message mostly begins with an operation; inside a secret, whatever looks like one does not.
        if (unseen || !within) && (bytes.starts_with(b"HTTP/1.") || is_request_line(bytes)) {
            (self.place, self.in_head) = (Place::LineStart { folds: false }, true);
        }
        for byte in bytes.iter_mut() {
            self.step(byte, redaction);
        }
        let known = self.secret_left.min(bytes.len());
        bytes[..known].fill(b'*');
        self.secret_left -= known;
        if let left @ 1.. = params::mask(&mut bytes[known..], redaction) {
            self.secret_left = left;
        }
    }

    fn step(&mut self, byte: &mut u8, redaction: &Redaction) {
        if *byte == b'\n' {
            let folds = matches!(self.place, Place::Secret);
            if matches!(self.place, Place::LineStart { .. }) {
                self.in_head = false; // The empty line.
            }
            self.place = Place::LineStart { folds };
            return;
        }
        match &mut self.place {
            Place::LineStart { .. } if *byte == b'\r' => {}
            Place::LineStart { folds: true } if matches!(byte, b' ' | b'\t') => self.place = Place::Secret,
            Place::LineStart { .. } => self.place = Place::Name(vec![*byte]),
            Place::Name(name) if *byte == b':' => {
                // A record of FastCGI's may be ahead of the first line.
                let trimmed = name.trim_ascii();
                let name = trimmed.rsplit(|byte| !byte.is_ascii_graphic()).next().unwrap_or(trimmed);
                self.place = if is_secret_header(name) { Place::Secret } else { Place::Plain };
            }
            Place::Name(name) if *byte == b' ' && is_method(name) => self.place = Place::Target,
            Place::Name(name) | Place::Parameter(name) if name.len() >= NAME_MAX => self.place = Place::Plain,
            Place::Parameter(name) if *byte == b'=' => {
                let secret = std::str::from_utf8(name).is_ok_and(|name| redaction.is_secret(name));
                self.place = Place::ParameterValue { secret };
            }
            Place::Parameter(name) if matches!(byte, b'&' | b';') => name.clear(),
            Place::Parameter(_) | Place::ParameterValue { .. } if *byte == b' ' => self.place = Place::Plain,
            Place::Name(name) | Place::Parameter(name) => name.push(*byte),
            Place::Target if *byte == b'?' => self.place = Place::Parameter(Vec::new()),
            Place::Target if *byte == b' ' => self.place = Place::Plain,
            Place::ParameterValue { .. } if matches!(byte, b'&' | b';') => {
                self.place = Place::Parameter(Vec::new());
            }
            Place::Secret if !matches!(byte, b' ' | b'\t' | b'\r') => *byte = b'*',
            Place::ParameterValue { secret: true } => *byte = b'*',
            Place::Plain | Place::Secret | Place::Target | Place::ParameterValue { secret: false } => {}
        }
    }
}

fn hide(bytes: &mut [u8], keep: impl Fn(u8) -> bool) {
    for byte in bytes.iter_mut().filter(|byte| !keep(**byte)) {
        *byte = b'*';
    }
}

fn is_request_line(bytes: &[u8]) -> bool {
    let method = bytes.iter().take(NAME_MAX).position(|&byte| byte == b' ');
    method.is_some_and(|end| {
        let target = &bytes[end + 1..];
        is_method(&bytes[..end])
            && (matches!(target.first(), Some(b'/' | b'*')) || target.starts_with(b"http"))
    })
}

fn is_method(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use honeyguide_protocols::Stamp;

    use super::*;

    /// Masks operations of one direction, each with the length of what was not captured of it and its tail.
    #[derive(Default)]
    struct Sender {
        mask: Mask,
        socket: u64,
        offset: u64,
    }

    impl Sender {
        #[track_caller]
        fn check(&mut self, input: &[u8], expect: &[u8]) {
            self.check_cut(input, 0, b"", expect, b"");
        }

        #[track_caller]
        fn check_cut(&mut self, input: &[u8], unseen: u64, tail: &[u8], expect: &[u8], expect_tail: &[u8]) {
            let length = input.len() as u64 + unseen + tail.len() as u64;
            let record = DataRecord {
                socket: self.socket,
                plaintext: false,
                unbound: false,
                stamp: Stamp::default(),
                direction: Direction::Sent,
                offset: self.offset,
                length,
                bytes: input,
                tail: [0; 16],
                tail_length: tail.len(),
                eof: false,
                error: None,
                creator: 0,
            };
            self.offset += length;
            let (mut bytes, mut tail) = (input.to_vec(), tail.to_vec());
            self.mask.lines(&record, &mut bytes, &mut tail);
            assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(expect));
            assert_eq!(String::from_utf8_lossy(&tail), String::from_utf8_lossy(expect_tail));
        }
    }

    #[track_caller]
    fn check(input: &[u8], expect: &[u8]) {
        Sender::default().check(input, expect);
    }

    #[test]
    fn values_of_secret_headers_are_masked_and_nothing_else() {
        check(
            b"GET / HTTP/1.1\r\nAuthorization: Bearer abc\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nAuthorization: ****** ***\r\nHost: a\r\n\r\n",
        );
        check(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nX: y", b"HTTP/1.1 200 OK\r\nSet-Cookie: ***\r\nX: y");
        check(b"COOKIE:a=b; c=d", b"COOKIE:**** ***");
        check(b"x-cookie: plain\r\n", b"x-cookie: plain\r\n");
        check(b"\x01\x06\0\x01\0\x20\0\0Set-Cookie: a=b\r\n", b"\x01\x06\0\x01\0\x20\0\0Set-Cookie: ***\r\n");
        check(b"", b"");
    }

    #[test]
    fn neither_a_folded_line_nor_space_before_the_colon_hides_a_secret() {
        check(b"Cookie:\r\n a=b\r\n\tc=d\r\nX: y\r\n z", b"Cookie:\r\n ***\r\n\t***\r\nX: y\r\n z");
        check(b"authorization : abc\r\n", b"authorization : ***\r\n");
    }

    #[test]
    fn secrets_of_the_query_are_masked() {
        check(
            b"GET /a?page=2&password=abc&sig=x HTTP/1.1\r\nHost: a?sig=b\r\n\r\n",
            b"GET /a?page=2&password=***&sig=* HTTP/1.1\r\nHost: a?sig=b\r\n\r\n",
        );
    }

    #[test]
    fn every_split_is_masked_as_the_whole() {
        let input =
            b"POST /a?sig=abc&b=c HTTP/1.1\r\nA: b\r\nCookie: abc\r\n def\r\nHost: a\r\n\r\nbody: x\r\n";
        let expect =
            b"POST /a?sig=***&b=c HTTP/1.1\r\nA: b\r\nCookie: ***\r\n ***\r\nHost: a\r\n\r\nbody: x\r\n";
        for split in 0..=input.len() {
            let mut sender = Sender::default();
            sender.check(&input[..split], &expect[..split]);
            sender.check(&input[split..], &expect[split..]);
        }
        let mut sender = Sender::default();
        sender.check(b"Cookie: ", b"Cookie: ");
        sender.check(b"GET /a", b"*** **");
        let mut sender = Sender::default();
        for at in 0..input.len() {
            sender.check(&input[at..=at], &expect[at..=at]);
        }
    }

    #[test]
    fn a_parameter_of_fastcgi_that_comes_in_two_operations_is_masked_in_both() {
        let mut sender = Sender::default();
        sender.check(
            b"\x01\x04\0\x01\0\x13\0\0\x0b\x06HTTP_COOKIEabc",
            b"\x01\x04\0\x01\0\x13\0\0\x0b\x06HTTP_COOKIE***",
        );
        sender.check(b"defGHI", b"***GHI");
        sender.check(b"abc", b"abc");
    }

    /// Neither a busy machine nor a program that opens more and more connections makes another's secret show.
    #[test]
    fn the_longest_idle_is_forgotten_and_counted() {
        let mut sender = Sender { socket: 1, ..Sender::default() };
        sender.check(b"Cookie: ", b"Cookie: ");
        let mut at = sender.offset;
        for socket in 2..2 * STREAMS as u64 {
            (sender.socket, sender.offset) = (socket, 0);
            sender.check(b"Cookie: a", b"Cookie: *");
            if socket % 10_000 == 0 {
                (sender.socket, sender.offset) = (1, at);
                sender.check(b"b", b"*");
                at = sender.offset;
            }
        }
        assert!(sender.mask.streams.len() <= STREAMS);
        let forgotten = sender.mask.losses().streams;
        assert_eq!(forgotten as usize + sender.mask.streams.len(), 2 * STREAMS - 1);
    }

    #[test]
    fn what_follows_an_unseen_part_of_a_head_may_be_a_secret() {
        let mut sender = Sender::default();
        sender.check_cut(b"GET / HTTP/1.1\r\nCoo", 9_000, b"sid=abc", b"GET / HTTP/1.1\r\nCoo", b"*******");
        sender.check(b"def\r\nHost: a\r\n\r\n", b"***\r\nHost: a\r\n\r\n");
        sender.check(b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n");
        sender.check_cut(b"X: y\r\n", 9_000, b"abc\r\n\r\n", b"X: y\r\n", b"***\r\n\r\n");
        sender.check_cut(b"a body", 9_000, b"\r\n3e8\r\n", b"a body", b"\r\n3e8\r\n");
    }
}
