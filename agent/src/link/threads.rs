//! What threads do beside reading requests and sending calls: they open connections, begin to answer, and wake one another.

use honeyguide_protocols::{Actor, Stamp};

use super::{Links, Parent, Rule, Token, hand, handover::Hand};
use crate::{
    decode::{OpenRecord, WakeRecord},
    flow::Role,
};

impl Links {
    /// A thread has begun to open a connection.
    pub fn handle_open(&mut self, open: &OpenRecord) {
        let OpenRecord { time, socket, pid, tid } = *open;
        if self.settings.inference {
            self.reactions.opened(socket, tid);
            let hand = self.hand_of(pid, tid, time);
            self.handovers.opened(socket, hand);
        }
    }

    /// The first byte of a response has passed.
    pub fn handle_response(&mut self, token: Token, role: Role, first: Stamp) {
        let Stamp { time, actor } = first;
        match role {
            Role::Server if actor.context == 0 => {
                self.reactions.wrote(token, actor.tid);
                let hand = self.hand_of(actor.pid, actor.tid, time);
                self.handovers.wrote(token, hand);
            }
            Role::Server => {}
            Role::Client => {
                let known = self.held.get(&token).and_then(|held| match held.parent {
                    Parent::Held(request) => Some(request),
                    Parent::None | Parent::Remote { .. } => None,
                });
                self.handovers.answered(token, actor.tid, known, actor.context == 0);
            }
        }
    }

    /// A thread was woken by another one of its process, or made by it.
    pub fn handle_thread_wake(&mut self, wake: &WakeRecord) {
        let WakeRecord { time, pid, by, woken, wait } = *wake;
        let (by, woken) = (self.hand_of(pid, by, time), self.hand_of(pid, woken, time));
        self.handovers.woken(pid, by, woken, wait);
    }

    /// A request is over: what its threads have handed on to others, and what has come back, says which calls are its.
    pub(super) fn handed_over(&mut self, request: Token, (start, end): (u64, u64)) {
        for call in self.handovers.ended(request) {
            let sent = self.held.get(&call).map(|held| held.request.first.time);
            if self.waiting.contains(call) && sent.is_some_and(|sent| (start..=end).contains(&sent)) {
                self.decide(call, Parent::Held(request), Rule::Woken);
            }
        }
    }

    /// A thread, and the request that it works for if it does one thing after another.
    pub(super) fn hand_of(&self, pid: u32, tid: u32, time: u64) -> Hand {
        let thread = self.executions.of(Actor { pid, tid, context: 0 });
        let request = match self.hands.of(thread, time) {
            hand::Held::One(request) if self.discipline.is_believed(tid, time) => Some(request),
            hand::Held::One(_) | hand::Held::None | hand::Held::Several => None,
        };
        Hand { tid, request }
    }
}
