//! The protocols a connection may speak, behind one set of calls. A new one is a variant here.

use std::{
    hash::{BuildHasher as _, Hash as _, Hasher as _},
    sync::Arc,
};

use honeyguide_common::verdict;
use honeyguide_protocols::{
    CloseReason, Event, Exchange, Party, Stamp,
    detect::Protocol,
    fastcgi,
    http::{HttpDetail, RequestHead, Version},
    http1::{self, Successor},
    http2::{self, Secrets},
    keyvalue::{KeyValueDetail, KeyValueHead},
    memcached, mysql, postgres, redis,
    sql::{Dialect, SqlDetail, SqlHead, describe},
};

use super::FlowCounters;

/// What a request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    Http(Arc<RequestHead>),
    Sql(Arc<SqlHead>),
    KeyValue(Arc<KeyValueHead>),
}

/// What an exchange says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    Http(HttpDetail),
    Sql(SqlDetail),
    KeyValue(KeyValueDetail),
}

pub type CallEvent = Event<Head, Detail>;

/// How far a connection is to be believed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Good,
    /// It went on in another protocol, or encrypted.
    Upgraded,
    /// Too much of it made no sense.
    Failed,
}

#[derive(Debug)]
pub(super) enum Parser {
    Http1(Box<http1::Connection>),
    Http2(Box<http2::Connection>),
    Postgres(Box<postgres::Connection>),
    Redis(Box<redis::Connection>),
    Memcached(Box<memcached::Connection>),
    MySql(Box<mysql::Connection>),
    FastCgi(Box<fastcgi::Connection>),
}

/// The same call on whichever parser it is.
macro_rules! each {
    ($self:expr, $parser:ident => $call:expr) => {
        match $self {
            Self::Http1($parser) => $call,
            Self::Http2($parser) => $call,
            Self::Postgres($parser) => $call,
            Self::Redis($parser) => $call,
            Self::Memcached($parser) => $call,
            Self::MySql($parser) => $call,
            Self::FastCgi($parser) => $call,
        }
    };
}

impl Parser {
    /// `opened`: nothing of the connection was missed, and its client's first byte has this offset. `secrets`: those that
    /// nobody is to see in a recording.
    pub(super) fn new(protocol: Protocol, opened: Option<u64>, secrets: Option<Secrets>) -> Self {
        macro_rules! begin {
            // Those that do not mind where they begin.
            ($protocol:ident) => {
                begin!($protocol, |limits, _| $protocol::Connection::opened(limits))
            };
            ($protocol:ident, $opened:expr) => {{
                let limits = $protocol::Limits::default();
                Box::new(match opened {
                    Some(before) => $opened(limits, before),
                    None => $protocol::Connection::new(limits),
                })
            }};
        }
        match protocol {
            Protocol::Http1 => Self::Http1(begin!(http1, http1::Connection::opened_behind)),
            Protocol::Http2 => Self::masking(begin!(http2, http2::Connection::opened_behind), secrets),
            Protocol::Postgres => Self::Postgres(begin!(postgres)),
            Protocol::Redis => Self::Redis(begin!(redis, redis::Connection::opened_behind)),
            Protocol::Memcached => Self::Memcached(begin!(memcached)),
            Protocol::MySql if secrets.is_some() => Self::MySql(Box::new(begin!(mysql).noting())),
            Protocol::MySql => Self::MySql(begin!(mysql)),
            Protocol::FastCgi => Self::FastCgi(begin!(fastcgi)),
        }
    }

    /// HTTP/2 that answers `exchange`.
    pub(super) fn upgraded(exchange: &Exchange<HttpDetail>, secrets: Option<Secrets>) -> Self {
        let connection = http2::Connection::upgraded(http2::Limits::default(), exchange);
        Self::masking(Box::new(connection), secrets)
    }

    fn masking(connection: Box<http2::Connection>, secrets: Option<Secrets>) -> Self {
        Self::Http2(match secrets {
            Some(secrets) => Box::new(connection.masking(secrets)),
            None => connection,
        })
    }

    /// Some bytes of this party wait for others before they can be shown.
    pub(super) fn is_holding(&self, party: Party) -> bool {
        matches!(self, Self::Http2(parser) if parser.is_holding(party))
    }

    /// What passes is compressed.
    pub(super) fn is_compressed(&self) -> bool {
        matches!(self, Self::MySql(parser) if parser.is_compressed())
    }

    /// What MySQL's parser has read since the last call, if it was asked to note it.
    pub(super) fn take_notes(&mut self) -> Option<mysql::Notes> {
        match self {
            Self::MySql(parser) => Some(parser.take_notes()),
            Self::Http1(_)
            | Self::Http2(_)
            | Self::Postgres(_)
            | Self::Redis(_)
            | Self::Memcached(_)
            | Self::FastCgi(_) => None,
        }
    }

    /// HTTP/2's parser, which says what of its bytes can be shown.
    pub(super) fn http2(&mut self) -> Option<&mut http2::Connection> {
        match self {
            Self::Http2(parser) => Some(parser),
            Self::Http1(_)
            | Self::Postgres(_)
            | Self::Redis(_)
            | Self::Memcached(_)
            | Self::MySql(_)
            | Self::FastCgi(_) => None,
        }
    }

    /// What an upgraded connection goes on with, where that is known; once.
    pub(super) fn take_successor(&mut self) -> Option<Successor> {
        match self {
            Self::Http1(parser) => parser.take_successor(),
            Self::Http2(_)
            | Self::Postgres(_)
            | Self::Redis(_)
            | Self::Memcached(_)
            | Self::MySql(_)
            | Self::FastCgi(_) => None,
        }
    }

    pub(super) fn protocol(&self) -> Protocol {
        match self {
            Self::Http1(_) => Protocol::Http1,
            Self::Http2(_) => Protocol::Http2,
            Self::Postgres(_) => Protocol::Postgres,
            Self::Redis(_) => Protocol::Redis,
            Self::Memcached(_) => Protocol::Memcached,
            Self::MySql(_) => Protocol::MySql,
            Self::FastCgi(_) => Protocol::FastCgi,
        }
    }

    pub(super) fn handle_bytes(&mut self, from: Party, at: Stamp, offset: u64, bytes: &[u8]) {
        each!(self, parser => parser.handle_bytes(from, at, offset, bytes));
    }

    pub(super) fn handle_gap(&mut self, from: Party, at: Stamp, offset: u64, length: u64, tail: &[u8]) {
        each!(self, parser => parser.handle_gap(from, at, offset, length, tail));
    }

    pub(super) fn handle_shutdown(&mut self, from: Party, at: Stamp) {
        each!(self, parser => parser.handle_shutdown(from, at));
    }

    /// Bytes held for want of the rest.
    pub(super) fn buffered(&self) -> usize {
        each!(self, parser => parser.buffered())
    }

    pub(super) fn handle_close(&mut self, at: Stamp, reason: CloseReason) {
        each!(self, parser => parser.handle_close(at, reason));
    }

    pub(super) fn poll_event(&mut self) -> Option<CallEvent> {
        match self {
            Self::Http1(parser) => parser.poll_event().map(|event| lift(event, Head::Http, Detail::Http)),
            Self::Http2(parser) => parser.poll_event().map(|event| lift(event, Head::Http, Detail::Http)),
            Self::Postgres(parser) => parser.poll_event().map(|event| lift(event, Head::Sql, Detail::Sql)),
            Self::Redis(parser) => {
                parser.poll_event().map(|event| lift(event, Head::KeyValue, Detail::KeyValue))
            }
            Self::Memcached(parser) => {
                parser.poll_event().map(|event| lift(event, Head::KeyValue, Detail::KeyValue))
            }
            Self::MySql(parser) => parser.poll_event().map(|event| lift(event, Head::Sql, Detail::Sql)),
            Self::FastCgi(parser) => parser.poll_event().map(|event| lift(event, Head::Http, Detail::Http)),
        }
    }

    /// What the server said of itself before the connection went on encrypted.
    pub(super) fn greeting(&self) -> Option<mysql::Greeting> {
        match self {
            Self::MySql(parser) => parser.greeting(),
            Self::Http1(_)
            | Self::Http2(_)
            | Self::Postgres(_)
            | Self::Redis(_)
            | Self::Memcached(_)
            | Self::FastCgi(_) => None,
        }
    }

    /// The same, for the parser of what is inside.
    pub(super) fn set_greeting(&mut self, greeting: mysql::Greeting) {
        match self {
            Self::MySql(parser) => parser.set_greeting(greeting),
            Self::Http1(_)
            | Self::Http2(_)
            | Self::Postgres(_)
            | Self::Redis(_)
            | Self::Memcached(_)
            | Self::FastCgi(_) => {}
        }
    }

    /// Requests without their whole answer.
    pub(super) fn outstanding(&self) -> usize {
        each!(self, parser => parser.outstanding())
    }

    pub(super) fn standing(&self) -> Standing {
        match self {
            Self::Http1(parser) => match parser.state() {
                http1::State::Open | http1::State::Closed => Standing::Good,
                http1::State::Upgraded => Standing::Upgraded,
                http1::State::Failed => Standing::Failed,
            },
            Self::Http2(parser) => match parser.state() {
                http2::State::Open | http2::State::Closed => Standing::Good,
                http2::State::Failed => Standing::Failed,
            },
            Self::Postgres(parser) => match parser.state() {
                postgres::State::Open | postgres::State::Closed => Standing::Good,
                postgres::State::Encrypted => Standing::Upgraded,
                postgres::State::Failed => Standing::Failed,
            },
            Self::Redis(parser) => match parser.state() {
                redis::State::Open | redis::State::Closed => Standing::Good,
                redis::State::Replicating => Standing::Upgraded,
                redis::State::Failed => Standing::Failed,
            },
            Self::Memcached(parser) => match parser.state() {
                memcached::State::Open | memcached::State::Closed => Standing::Good,
                memcached::State::Watching => Standing::Upgraded,
                memcached::State::Failed => Standing::Failed,
            },
            Self::MySql(parser) => match parser.state() {
                mysql::State::Open | mysql::State::Closed => Standing::Good,
                mysql::State::Encrypted | mysql::State::Replicating => Standing::Upgraded,
                mysql::State::Failed => Standing::Failed,
            },
            Self::FastCgi(parser) => match parser.state() {
                fastcgi::State::Open | fastcgi::State::Closed => Standing::Good,
                fastcgi::State::Failed => Standing::Failed,
            },
        }
    }

    /// What the kernel should do from here on, after as many exchanges; `None` while that is open.
    pub(super) fn verdict(&self, exchanges: u64) -> Option<u8> {
        let (pipelined, settled) = match self {
            Self::Http1(_) | Self::Postgres(_) | Self::FastCgi(_) => (false, SETTLED),
            Self::Http2(_) => return Some(verdict::FRAMES),
            Self::Redis(parser) => (parser.is_pipelined(), SETTLED_PIPELINE),
            Self::Memcached(parser) => (parser.is_pipelined(), SETTLED_PIPELINE),
            Self::MySql(parser) => (parser.is_pipelined(), SETTLED),
        };
        if pipelined { Some(verdict::WHOLE) } else { (exchanges >= settled).then_some(verdict::KEEP) }
    }

    /// Adds what went wrong on this connection, at its end.
    pub(super) fn count(&self, into: &mut FlowCounters) {
        let (failures, orphans, drops) = match self {
            Self::Http1(parser) => {
                let seen = parser.counters();
                (seen.failures, seen.orphan_responses, seen.dropped_requests + seen.dropped_events)
            }
            Self::Http2(parser) => {
                let seen = parser.counters();
                (seen.failures, seen.orphan_responses, seen.dropped_requests + seen.dropped_events)
            }
            Self::Postgres(parser) => {
                let seen = parser.counters();
                let drops = seen.dropped_requests + seen.dropped_events + seen.dropped_statements;
                (seen.failures, seen.orphan_responses, drops)
            }
            Self::Redis(parser) => {
                let seen = parser.counters();
                (seen.failures, seen.orphan_responses, seen.dropped_requests + seen.dropped_events)
            }
            Self::Memcached(parser) => {
                let seen = parser.counters();
                (seen.failures, seen.orphan_responses, seen.dropped_requests + seen.dropped_events)
            }
            Self::MySql(parser) => {
                let seen = parser.counters();
                let drops = seen.dropped_requests + seen.dropped_events + seen.dropped_statements;
                (seen.failures, seen.orphan_responses, drops)
            }
            Self::FastCgi(parser) => {
                let seen = parser.counters();
                (seen.failures, seen.orphan_responses, seen.dropped_requests + seen.dropped_events)
            }
        };
        into.malformed_messages += u64::from(failures);
        into.orphan_responses += orphans;
        into.parser_drops += drops;
    }
}

/// Exchanges after which the kernel is told to stop asking about a connection.
const SETTLED: u64 = 16;
/// The same where commands may be sent without waiting: a pool's connection may begin to do so late.
const SETTLED_PIPELINE: u64 = 1_024;

/// A client names the server to its proxy (RFC 9112, section 3.2.2), which asks that server for the rest (3.2.1).
fn origin_form(target: &str) -> &str {
    match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').map_or("/", |at| &rest[at..]),
        Some(_) | None => target,
    }
}

/// What `link` reads of a request.
impl Head {
    /// A hash of the first bytes on the wire, equal at both ends; 0 where the protocol has none.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        match self {
            Self::Http(head) => head.fingerprint,
            Self::Sql(_) | Self::KeyValue(_) => 0,
        }
    }

    #[must_use]
    pub fn is_http(&self) -> bool {
        matches!(self, Self::Http(_))
    }

    /// A hash of method and target, as a proxy leaves them; 0 where the protocol has none.
    #[must_use]
    pub fn asks(&self) -> u64 {
        let Self::Http(head) = self else { return 0 };
        let mut hasher = foldhash::fast::FixedState::default().build_hasher();
        head.method.hash(&mut hasher);
        origin_form(&head.target).as_bytes().hash(&mut hasher);
        hasher.finish()
    }

    /// A hash that requests of one kind share: method and path without what tells one from the next.
    #[must_use]
    pub fn route(&self) -> u64 {
        let Self::Http(head) = self else { return 0 };
        let target = head.target.as_bytes();
        let path = target.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
        let mut hasher = foldhash::fast::FixedState::default().build_hasher();
        head.method.hash(&mut hasher);
        for segment in path.split(|byte| *byte == b'/') {
            let varies = segment.iter().any(u8::is_ascii_digit);
            if varies { b"{}" } else { segment }.hash(&mut hasher);
        }
        hasher.finish()
    }

    /// The number of its stream in HTTP/2; 0 elsewhere.
    #[must_use]
    pub fn stream(&self) -> u32 {
        match self {
            Self::Http(head) => head.stream,
            Self::Sql(_) | Self::KeyValue(_) => 0,
        }
    }

    /// Whether the library that sends it has one goroutine for each connection, which writes what others ask for.
    #[must_use]
    pub fn is_written_for_others(&self) -> bool {
        let Self::Http(head) = self else { return false };
        head.stream != 0 && head.user_agent.as_deref().is_some_and(|agent| agent.contains("grpc-go/"))
    }

    /// Whether a client sends no request on a connection before the last one was answered. HTTP/1.1 allows it, and hardly
    /// any client does.
    #[must_use]
    pub fn takes_turns(&self) -> bool {
        matches!(self, Self::Http(head) if matches!(head.version, Version::Http10 | Version::Http11))
    }

    /// W3C trace context that the request carries: headers, or a comment in a statement (SQL commenter).
    #[must_use]
    pub fn trace_context(&self) -> (Option<Box<str>>, Option<&str>) {
        match self {
            Self::Http(head) => (head.traceparent.clone(), head.tracestate.as_deref()),
            Self::Sql(head) => {
                let statement = head.statement.as_ref().filter(|s| s.text.contains("traceparent"));
                let found = statement.and_then(|statement| {
                    describe(&statement.text, Dialect::Generic, statement.truncated, 0).traceparent
                });
                (found, None)
            }
            Self::KeyValue(_) => (None, None),
        }
    }
}

fn lift<R, D>(
    event: Event<R, D>,
    head: impl FnOnce(R) -> Head,
    detail: impl FnOnce(D) -> Detail,
) -> CallEvent {
    match event {
        Event::Request { id, extent, head: request } => Event::Request { id, extent, head: head(request) },
        Event::Response { id, first } => Event::Response { id, first },
        Event::Exchange(exchange) => Event::Exchange(exchange.map(detail)),
    }
}
