//! Contexts that calls carry and requests come with, where the agent hands them on.

use super::{Links, Token, propagated::Sent};
use crate::{
    decode::{ArrivedRecord, InjectedRecord},
    flow::ConnectionInfo,
    span::context::{Incoming, TraceParent},
};

impl Links {
    /// A header was put into a call that is about to be sent, or what is about to be sent has a TCP option.
    pub fn handle_injected(&mut self, record: &InjectedRecord) {
        let Some(stream) = record.option else {
            self.propagated.handle(record, self.settings.limit);
            return;
        };
        let sent = self.propagated.sent(record);
        if let Some(call) = self.options.sent(record, stream, sent, self.settings.limit)
            && let Some(held) = self.held.get_mut(&call)
            && held.identity.is_none()
        {
            held.span_id = sent.context.parent;
            held.sent = Some(sent.context);
            self.adopt(call, sent.context.trace_id);
        }
        self.count_options();
    }

    /// A context has come in a TCP option.
    pub fn handle_arrived(&mut self, record: &ArrivedRecord) {
        self.options.come(record, self.settings.limit);
        self.count_options();
    }

    fn count_options(&mut self) {
        self.counters.options_found = self.options.found;
        self.counters.options_unmatched = self.options.unmatched;
        self.counters.options_forgotten = self.options.forgotten;
    }

    /// The context that a call carries in a TCP option. What carries one in its bytes goes by that.
    pub(super) fn option_of_call(
        &mut self,
        token: Token,
        connection: &ConnectionInfo,
        offset: u64,
        incoming: &Incoming,
    ) -> Option<Sent> {
        if !self.settings.options {
            return None;
        }
        let sent = self.options.of_call(connection, offset);
        if *incoming != Incoming::Absent {
            return None;
        }
        if sent.is_none() && connection.encrypted {
            self.options.given(token, offset, self.settings.limit);
            self.count_options();
        }
        sent
    }

    /// The context that a request has come with in a TCP option. What its bytes say counts for more.
    pub(super) fn option_of_request(
        &mut self,
        connection: &ConnectionInfo,
        offset: u64,
        incoming: &Incoming,
    ) -> Option<TraceParent> {
        if !self.settings.options {
            return None;
        }
        let parent = self.options.of_request(connection, offset);
        self.count_options();
        parent.filter(|_| self.settings.trace_context && *incoming == Incoming::Absent)
    }
}
