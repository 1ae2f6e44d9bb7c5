//! Where an exchange stands in its trace: decided when it is needed, parents first.

use super::{Links, MAX_DEPTH, Token, held::Parent};
use crate::{
    flow::Role,
    span::{
        SpanId, TraceId,
        context::{self, Identity},
    },
};

impl Links {
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
            // Whoever answers has read the request; whoever calls has sent the first byte.
            let by_sdk = match held.role {
                Role::Client => held.made && self.sdks.reports(held.request.first.actor.pid),
                Role::Server => self.sdks.reports(held.request.last.actor.pid),
            };
            let above = self.above(&parent);
            // What is below one that is not reported belongs to what is above it.
            let identity =
                if by_sdk { above.unwrap_or_default() } else { self.place(span_id, &parent, above) };
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

    fn place(&mut self, span_id: SpanId, parent: &Parent, above: Option<Identity>) -> Identity {
        let mut identity = Identity { span_id, ..Identity::default() };
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
                identity.trace_id = self.ids.trace_id();
                identity.trace_flags = context::RANDOM;
            }
        }
        self.settings.sampler.decide(&mut identity, flags);
        identity
    }
}
