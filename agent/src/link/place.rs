//! The places of exchanges in their traces: ids are given from the root down, as late as possible.

use super::{Links, MAX_DEPTH, Parent, Token, reaction::Verdict};
use crate::{
    flow::Role,
    span::{
        SpanId, TraceId,
        context::{self, Identity},
    },
};

impl Links {
    /// The first exchange on the way up, from `token` itself on, whose parent or trace is not decided yet.
    pub(super) fn undecided_above(&self, token: Token) -> Option<Token> {
        if self.waiting.is_empty() && self.awaited == 0 {
            return None;
        }
        let mut at = token;
        for _ in 0..MAX_DEPTH {
            if self.waiting.contains(at) {
                return Some(at);
            }
            let held = self.held.get(&at)?;
            if held.awaits_trace {
                return Some(at);
            }
            match held.parent {
                Parent::Held(parent) => at = parent,
                Parent::None | Parent::Remote { .. } => return None,
            }
        }
        None
    }

    /// The candidates' places in their traces, which are let go.
    pub(super) fn names(&mut self, candidates: Vec<Token>) -> Vec<(TraceId, SpanId)> {
        let mut names = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            if self.undecided_above(candidate).is_none() {
                let identity = self.identity(candidate);
                if !self.held.get(&candidate).is_some_and(|held| held.by_sdk) {
                    names.push((identity.trace_id, identity.span_id));
                }
            }
            self.release(&Parent::Held(candidate));
        }
        names
    }

    /// The place of an exchange in its trace; decides that of its parents first.
    pub(super) fn identity(&mut self, token: Token) -> Identity {
        let mut chain = std::mem::take(&mut self.chain);
        let mut at = Some(token);
        while let Some(token) = at
            && chain.len() < MAX_DEPTH
            && let Some(held) = self.held.get(&token)
            && held.identity.is_none()
        {
            chain.push(token);
            at = match held.parent {
                Parent::Held(parent) => Some(parent),
                Parent::None | Parent::Remote { .. } => None,
            };
        }
        while let Some(token) = chain.pop() {
            let Some(held) = self.held.get(&token) else { continue };
            let (span_id, parent) = (held.span_id, held.parent.clone());
            let carried = (held.sent.map(|context| context.trace_id), held.adopted);
            // Whoever answers has read the request; whoever calls has sent the first byte.
            let by_sdk = match held.role {
                Role::Client => held.made && self.sdks.reports(held.request.first.actor.pid),
                Role::Server => self.sdks.reports(held.request.last.actor.pid),
            };
            let above = self.above(&parent);
            // What is below one that is not reported belongs to what is above it.
            let identity =
                if by_sdk { above.unwrap_or_default() } else { self.place(span_id, &parent, above, carried) };
            if let Some(held) = self.held.get_mut(&token) {
                (held.identity, held.by_sdk) = (Some(identity), by_sdk);
            }
        }
        self.chain = chain;
        self.held.get(&token).and_then(|held| held.identity.clone()).unwrap_or_default()
    }

    /// The identity of a parent that is reported by somebody.
    fn above(&self, parent: &Parent) -> Option<Identity> {
        let above = match parent {
            Parent::Held(token) => self.held.get(token).and_then(|held| held.identity.clone()),
            Parent::Remote { parent, state } => Some(Identity {
                trace_id: parent.trace_id,
                span_id: parent.parent,
                trace_flags: parent.flags,
                trace_state: state.clone(),
                parent_is_remote: true,
                ..Identity::default()
            }),
            Parent::None => None,
        };
        above.filter(|above| above.span_id.is_valid())
    }

    /// `sent`: the trace whose id it carries; `adopted`: that of one of its calls.
    fn place(
        &mut self,
        span_id: SpanId,
        parent: &Parent,
        above: Option<Identity>,
        (sent, adopted): (Option<TraceId>, Option<TraceId>),
    ) -> Identity {
        let mut identity = Identity { span_id, ..Identity::default() };
        // Its other end continues the trace that it carries, which therefore is its own.
        let above = above.filter(|above| sent.is_none_or(|sent| sent == above.trace_id));
        let flags = above.as_ref().map(|above| above.trace_flags);
        match above {
            Some(above) => {
                identity.trace_id = above.trace_id;
                identity.parent = Some(above.span_id);
                identity.parent_is_remote = matches!(parent, Parent::Remote { .. });
                identity.trace_flags = above.trace_flags;
                identity.trace_state = above.trace_state;
            }
            None => {
                identity.trace_id = sent.or(adopted).unwrap_or_else(|| self.ids.trace_id());
                identity.trace_flags = context::RANDOM;
            }
        }
        self.settings.sampler.decide(&mut identity, flags);
        identity
    }

    /// A call below `token` carries this trace's id. What has none yet, up to the root, takes it over: the first one counts.
    pub(super) fn adopt(&mut self, token: Token, trace: TraceId) {
        let mut at = token;
        for _ in 0..MAX_DEPTH {
            let Some(held) = self.held.get_mut(&at) else { return };
            if held.identity.is_some() || held.adopted.is_some_and(|adopted| adopted != trace) {
                return;
            }
            held.adopted = Some(trace);
            match held.parent {
                Parent::Held(parent) => at = parent,
                Parent::None | Parent::Remote { .. } => return,
            }
        }
    }

    /// Calls of a request wait to be judged: if they carry a trace, so does the request, which waits with them.
    pub(super) fn await_trace(&mut self, request: Token, calls: &[Token]) {
        let carries = |call: &Token| self.held.get(call).is_some_and(|held| held.sent.is_some());
        if calls.iter().any(carries)
            && let Some(held) = self.held.get_mut(&request)
            && !std::mem::replace(&mut held.awaits_trace, true)
        {
            self.awaited += 1;
        }
    }

    /// They were judged.
    pub(super) fn end_wait_for_trace(&mut self, verdict: &Verdict) {
        if let Some(held) = self.held.get_mut(&verdict.request)
            && std::mem::take(&mut held.awaits_trace)
        {
            self.awaited -= 1;
            self.ready.extend(held.blocked.drain(..));
        }
    }
}
