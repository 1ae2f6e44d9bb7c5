//! Processes that carry an OpenTelemetry SDK of their own: they report requests themselves, and what they report is not
//! reported twice.
//!
//! A call whose `traceparent` was made in the process has a span there. That the process reports the requests that it
//! serves as well, three things tell: such a call goes on with the trace that a request of its came with; two calls of
//! a request that came with none are of one trace, so there is a span above them; or it exports traces over OTLP.

use std::collections::{HashMap, HashSet, VecDeque};

use super::Token;
use crate::{flow::Head, span::TraceId};

/// Processes remembered; beyond it the one of the longest ago is forgotten, and found out anew.
const MAX_PROCESSES: usize = 32_768;
/// OTLP 1: the path of HTTP's requests ends so (`v1/traces`), and that of gRPC is the method's.
const HTTP_EXPORT: &str = "/v1/traces";
const GRPC_EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

#[derive(Debug, Default)]
pub(super) struct Sdks {
    /// Those that report the requests they serve.
    serving: HashSet<u32, foldhash::fast::FixedState>,
    order: VecDeque<u32>,
    /// The traces that open requests came with, or that their first call had, by process.
    traces: HashMap<(u32, TraceId), u32, foldhash::fast::FixedState>,
    /// What to take back when a request is over; as many as are held.
    entered: HashMap<Token, (u32, TraceId), foldhash::fast::FixedState>,
}

impl Sdks {
    /// A process has read a request that belongs to a trace.
    pub(super) fn enter(&mut self, request: Token, pid: u32, trace: TraceId) {
        *self.traces.entry((pid, trace)).or_default() += 1;
        self.entered.insert(request, (pid, trace));
    }

    /// The request is over, or forgotten.
    pub(super) fn leave(&mut self, request: Token) {
        let Some(key) = self.entered.remove(&request) else { return };
        if let Some(count) = self.traces.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.traces.remove(&key);
            }
        }
    }

    /// A process has sent a call with a context that it made, of this trace. `request`: the one that its sender has in
    /// hand.
    pub(super) fn made(&mut self, pid: u32, request: Option<Token>, trace: TraceId) {
        if self.traces.contains_key(&(pid, trace)) {
            self.serves(pid);
        } else if let Some(request) = request
            && !self.entered.contains_key(&request)
        {
            // The next call of this request finds its trace here.
            self.enter(request, pid, trace);
        }
    }

    /// A process has sent a call.
    pub(super) fn sent(&mut self, pid: u32, head: &Head) {
        if is_export(head) {
            self.serves(pid);
        }
    }

    /// Whether a process reports the requests that it serves.
    pub(super) fn reports(&self, pid: u32) -> bool {
        self.serving.contains(&pid)
    }

    /// The process is another now.
    pub(super) fn forget(&mut self, pid: u32) {
        if self.serving.remove(&pid) {
            self.order.retain(|known| *known != pid);
        }
    }

    fn serves(&mut self, pid: u32) {
        if self.serving.insert(pid) {
            self.order.push_back(pid);
            if self.order.len() > MAX_PROCESSES
                && let Some(oldest) = self.order.pop_front()
            {
                self.serving.remove(&oldest);
            }
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
    use super::*;

    const TRACE: TraceId = TraceId([1; 16]);
    const OTHER: TraceId = TraceId([2; 16]);

    fn token(exchange: u64) -> Token {
        Token { socket: 1, exchange }
    }

    #[test]
    fn a_call_that_goes_on_with_an_open_requests_trace_tells() {
        let mut sdks = Sdks::default();
        sdks.enter(token(1), 7, TRACE);
        sdks.made(7, Some(token(1)), OTHER);
        sdks.made(8, None, TRACE);
        assert!(!sdks.reports(7) && !sdks.reports(8));
        sdks.made(7, None, TRACE);
        assert!(sdks.reports(7) && !sdks.reports(8));
    }

    #[test]
    fn two_calls_of_a_request_in_one_trace_have_a_span_above_them() {
        let mut sdks = Sdks::default();
        sdks.made(7, Some(token(1)), TRACE);
        sdks.made(7, Some(token(2)), OTHER);
        assert!(!sdks.reports(7));
        sdks.made(7, Some(token(1)), TRACE);
        assert!(sdks.reports(7));
        sdks.leave(token(1));
        sdks.leave(token(2));
        assert!(sdks.traces.is_empty() && sdks.entered.is_empty());
    }

    #[test]
    fn what_is_over_tells_nothing_and_leaves_nothing() {
        let mut sdks = Sdks::default();
        sdks.enter(token(1), 7, TRACE);
        sdks.enter(token(2), 7, TRACE);
        sdks.leave(token(1));
        sdks.leave(token(1));
        sdks.leave(token(2));
        sdks.made(7, None, TRACE);
        assert!(!sdks.reports(7));
        assert!(sdks.traces.is_empty() && sdks.entered.is_empty());
    }

    #[test]
    fn processes_are_bounded() {
        let mut sdks = Sdks::default();
        for pid in 0..100_000 {
            sdks.serves(pid);
            sdks.serves(pid);
        }
        assert_eq!((sdks.serving.len(), sdks.order.len()), (MAX_PROCESSES, MAX_PROCESSES));
        assert!(sdks.reports(99_999) && !sdks.reports(0));
    }
}
