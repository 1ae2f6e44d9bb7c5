//! Processes that carry an OpenTelemetry SDK of their own: they report requests themselves, and what they report is not
//! reported twice.
//!
//! Four things tell of one: the process was started under automatic instrumentation; it exports traces over OTLP, and
//! not those that others send to it; a call goes on with the trace that an open request came with, by a context that no
//! request has brought; two calls of a request that came with none are of one trace, so there is a span above them.
//! Whoever passes a context on unchanged made no span for it, which takes the last two back.
//!
//! Such a process reports the requests that it serves, and its calls that carry a sampled context made there: the
//! header names their span. Of any other process such a header says nothing; it may be made up, as in a test with curl.

use std::collections::{HashMap, VecDeque, hash_map::Entry};

use super::Token;
use crate::{
    flow::Head,
    span::{
        SpanId, TraceId,
        context::{SAMPLED, TraceParent},
    },
};

/// Processes remembered; beyond it the one of the longest ago is forgotten, and found out anew.
const MAX_PROCESSES: usize = 32_768;
/// Contexts that requests have brought; also calls that are made after a response have them.
const MAX_BROUGHT: usize = 65_536;
/// OTLP 1: the path of HTTP's requests ends so (`v1/traces`), and that of gRPC is the method's.
const HTTP_EXPORT: &str = "/v1/traces";
const GRPC_EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

#[derive(Debug, Default)]
pub(super) struct Sdks {
    processes: HashMap<u32, Process, foldhash::fast::FixedState>,
    order: VecDeque<u32>,
    /// The traces that open requests came with, or that their first call had, by process.
    traces: HashMap<(u32, TraceId), u32, foldhash::fast::FixedState>,
    /// What to take back when a request is over; as many as are held.
    entered: HashMap<Token, (u32, TraceId), foldhash::fast::FixedState>,
    /// How many of those in the queue have each context.
    brought: HashMap<(u32, SpanId), u32, foldhash::fast::FixedState>,
    queue: VecDeque<(u32, SpanId)>,
    /// Processes that had to make room.
    pub(super) forgotten: u64,
}

/// What is known of a process.
#[derive(Clone, Copy, Debug, Default)]
struct Process {
    /// It was started under automatic instrumentation.
    started: bool,
    exports: bool,
    /// Others send their traces to it, so what it exports may be theirs.
    relays: bool,
    /// Its calls go on with the traces of its requests, by spans of its own.
    goes_on: bool,
}

impl Sdks {
    /// A process was started under automatic instrumentation.
    pub(super) fn started_under(&mut self, pid: u32) {
        self.learn(pid, |process| process.started = true);
    }

    /// A process has read a request, with this context.
    pub(super) fn read(&mut self, request: Token, pid: u32, context: Option<&TraceParent>, head: &Head) {
        if is_export(head) {
            self.learn(pid, |process| process.relays = true);
        }
        if let Some(context) = context {
            self.enter(request, pid, context.trace_id);
            self.bring(pid, context.parent);
        }
    }

    /// A process has sent a call.
    pub(super) fn exported(&mut self, pid: u32, head: &Head) {
        if is_export(head) {
            self.learn(pid, |process| process.exports = true);
        }
    }

    /// A process has sent a call with this context. `request`: the one that its sender has in hand. Says whether the
    /// context is of a span that was made there, if there is an SDK.
    pub(super) fn sent(&mut self, pid: u32, request: Option<Token>, context: &TraceParent) -> bool {
        if self.brought.contains_key(&(pid, context.parent)) {
            if let Some(process) = self.processes.get_mut(&pid) {
                process.goes_on = false;
            }
            return false;
        }
        if context.flags & SAMPLED == 0 {
            return false; // The SDK exports no span of it.
        }
        if self.traces.contains_key(&(pid, context.trace_id)) {
            self.learn(pid, |process| process.goes_on = true);
        } else if let Some(request) = request
            && !self.entered.contains_key(&request)
        {
            // The next call of this request finds its trace here.
            self.enter(request, pid, context.trace_id);
        }
        true
    }

    /// The request is over, or forgotten.
    pub(super) fn leave(&mut self, request: Token) {
        if let Some(key) = self.entered.remove(&request) {
            count_down(&mut self.traces, key);
        }
    }

    /// Whether there is an SDK in a process.
    pub(super) fn reports(&self, pid: u32) -> bool {
        self.processes.get(&pid).is_some_and(Process::reports)
    }

    /// The process is another now.
    pub(super) fn forget(&mut self, pid: u32) {
        if self.processes.remove(&pid).is_some() {
            self.order.retain(|known| *known != pid);
        }
    }

    fn enter(&mut self, request: Token, pid: u32, trace: TraceId) {
        *self.traces.entry((pid, trace)).or_default() += 1;
        self.entered.insert(request, (pid, trace));
    }

    fn bring(&mut self, pid: u32, span: SpanId) {
        *self.brought.entry((pid, span)).or_default() += 1;
        self.queue.push_back((pid, span));
        if self.queue.len() > MAX_BROUGHT
            && let Some(oldest) = self.queue.pop_front()
        {
            count_down(&mut self.brought, oldest);
        }
    }

    fn learn(&mut self, pid: u32, what: impl FnOnce(&mut Process)) {
        match self.processes.entry(pid) {
            Entry::Occupied(mut process) => what(process.get_mut()),
            Entry::Vacant(place) => {
                what(place.insert(Process::default()));
                self.order.push_back(pid);
                if self.order.len() > MAX_PROCESSES
                    && let Some(oldest) = self.order.pop_front()
                {
                    self.processes.remove(&oldest);
                    self.forgotten += 1;
                }
            }
        }
    }
}

impl Process {
    fn reports(&self) -> bool {
        self.started || self.goes_on || (self.exports && !self.relays)
    }
}

fn count_down<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32, foldhash::fast::FixedState>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

fn is_export(head: &Head) -> bool {
    let Head::Http(head) = head else { return false };
    let path = head.target.split('?').next().unwrap_or_default();
    &*head.method == "POST" && (path.ends_with(HTTP_EXPORT) || path == GRPC_EXPORT)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use honeyguide_protocols::http::{RequestHead, Version};

    use super::*;

    const TRACE: TraceId = TraceId([1; 16]);
    const OTHER: TraceId = TraceId([2; 16]);

    fn token(exchange: u64) -> Token {
        Token { socket: 1, exchange }
    }

    fn context(trace_id: TraceId, span: u8) -> TraceParent {
        TraceParent { trace_id, parent: SpanId([span; 8]), flags: SAMPLED }
    }

    fn head(method: &str, target: &str) -> Head {
        Head::Http(Arc::new(RequestHead {
            method: method.into(),
            target: target.into(),
            version: Version::Http11,
            authority: None,
            scheme: None,
            user_agent: None,
            forwarded: None,
            client: None,
            traceparent: None,
            tracestate: None,
            baggage: None,
            stream: 0,
            fingerprint: 0,
            truncated: false,
        }))
    }

    fn reads(sdks: &mut Sdks, request: u64, pid: u32, context: &TraceParent) {
        sdks.read(token(request), pid, Some(context), &head("GET", "/"));
    }

    fn sends(sdks: &mut Sdks, pid: u32, request: Option<u64>, context: &TraceParent) -> bool {
        sdks.sent(pid, request.map(token), context)
    }

    #[test]
    fn a_call_that_goes_on_with_an_open_requests_trace_tells() {
        let mut sdks = Sdks::default();
        reads(&mut sdks, 1, 7, &context(TRACE, 1));
        assert!(sends(&mut sdks, 7, Some(1), &context(OTHER, 2)));
        assert!(sends(&mut sdks, 8, None, &context(TRACE, 2)));
        assert!(!sdks.reports(7) && !sdks.reports(8));
        assert!(sends(&mut sdks, 7, None, &context(TRACE, 2)));
        assert!(sdks.reports(7) && !sdks.reports(8));
    }

    #[test]
    fn two_calls_of_a_request_in_one_trace_have_a_span_above_them() {
        let mut sdks = Sdks::default();
        sends(&mut sdks, 7, Some(1), &context(TRACE, 1));
        sends(&mut sdks, 7, Some(2), &context(OTHER, 2));
        assert!(!sdks.reports(7));
        sends(&mut sdks, 7, Some(1), &context(TRACE, 3));
        assert!(sdks.reports(7));
        sdks.leave(token(1));
        sdks.leave(token(2));
        assert!(sdks.traces.is_empty() && sdks.entered.is_empty());
    }

    #[test]
    fn what_is_over_tells_nothing_and_leaves_nothing() {
        let mut sdks = Sdks::default();
        reads(&mut sdks, 1, 7, &context(TRACE, 1));
        reads(&mut sdks, 2, 7, &context(TRACE, 2));
        sdks.leave(token(1));
        sdks.leave(token(1));
        sdks.leave(token(2));
        sends(&mut sdks, 7, None, &context(TRACE, 3));
        assert!(!sdks.reports(7));
        assert!(sdks.traces.is_empty() && sdks.entered.is_empty());
    }

    /// A proxy's call goes out when its client is gone; another request of the same trace is open.
    #[test]
    fn what_was_brought_is_known_when_its_request_is_over() {
        let mut sdks = Sdks::default();
        reads(&mut sdks, 1, 7, &context(TRACE, 1));
        sdks.leave(token(1));
        reads(&mut sdks, 2, 7, &context(TRACE, 2));
        assert!(!sends(&mut sdks, 7, None, &context(TRACE, 1)));
        assert!(!sdks.reports(7));
    }

    /// A request was not seen, so its context seems to be made: that is not believed for long.
    #[test]
    fn whoever_passes_contexts_on_reports_nothing() {
        let mut sdks = Sdks::default();
        reads(&mut sdks, 1, 7, &context(TRACE, 1));
        assert!(sends(&mut sdks, 7, None, &context(TRACE, 9)));
        assert!(sdks.reports(7));
        assert!(!sends(&mut sdks, 7, Some(1), &context(TRACE, 1)));
        assert!(!sdks.reports(7));
    }

    #[test]
    fn what_is_not_sampled_is_exported_by_nobody() {
        let mut sdks = Sdks::default();
        let quiet = |span| TraceParent { flags: 0, ..context(TRACE, span) };
        reads(&mut sdks, 1, 7, &quiet(1));
        assert!(!sends(&mut sdks, 7, Some(1), &quiet(2)));
        assert!(!sdks.reports(7));
    }

    #[test]
    fn exports_tell_unless_they_may_be_of_others() {
        let mut sdks = Sdks::default();
        for (pid, path) in [(7, "/v1/traces"), (8, GRPC_EXPORT), (9, "/v1/metrics")] {
            sdks.exported(pid, &head("POST", path));
        }
        sdks.exported(10, &head("GET", "/v1/traces"));
        assert_eq!([7, 8, 9, 10].map(|pid| sdks.reports(pid)), [true, true, false, false]);
        // A proxy in front of a collector, and the collector.
        sdks.read(token(1), 7, None, &head("POST", "/otlp/v1/traces"));
        sdks.read(token(2), 11, None, &head("POST", "/v1/traces"));
        sdks.exported(11, &head("POST", "/v1/traces"));
        assert!(!sdks.reports(7) && !sdks.reports(11));
    }

    #[test]
    fn everything_is_bounded() {
        let mut sdks = Sdks::default();
        for pid in 0..100_000 {
            sdks.started_under(pid);
            sdks.started_under(pid);
            reads(&mut sdks, u64::from(pid), pid, &context(TRACE, 1));
            sdks.leave(token(pid.into()));
        }
        assert_eq!((sdks.processes.len(), sdks.order.len()), (MAX_PROCESSES, MAX_PROCESSES));
        assert_eq!((sdks.brought.len(), sdks.queue.len()), (MAX_BROUGHT, MAX_BROUGHT));
        assert_eq!(sdks.forgotten, 100_000 - MAX_PROCESSES as u64);
        assert!(sdks.reports(99_999) && !sdks.reports(0));
    }
}
