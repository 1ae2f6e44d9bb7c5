//! What threads do beside reading requests and sending calls: they open connections, begin to answer, and wake one another.

use honeyguide_protocols::Stamp;

use super::{Links, Parent, Rule, Threads, Token, handover::Worker};
use crate::{
    decode::{OpenRecord, WakeRecord},
    flow::Role,
};

impl Links {
    /// A thread has begun to open a connection.
    pub fn handle_open(&mut self, open: &OpenRecord) {
        if self.settings.inference {
            self.reactions.opened(open.socket, open.tid);
        }
    }

    /// The first byte of a response has passed.
    pub fn handle_response(&mut self, token: Token, role: Role, first: Stamp) {
        match role {
            Role::Server if first.actor.context == 0 => self.reactions.wrote(token, first.actor.tid),
            Role::Server => {}
            Role::Client => self.handovers.answered(token, first.actor.tid, first.time),
        }
    }

    /// A thread was woken by another one of its process, or made by it.
    pub fn handle_thread_wake(&mut self, wake: &WakeRecord) {
        if self.settings.inference {
            let WakeRecord { time, by, woken, made, .. } = *wake;
            let worker = |tid| Worker {
                tid,
                believed: self.discipline.is_believed(tid, time),
                calling: self.discipline.is_calling(tid),
            };
            let (by, woken) = (worker(by), worker(woken));
            if made {
                self.handovers.made(woken.tid);
            }
            self.handovers.woken(by, woken, time);
            self.count_forgotten();
        }
    }

    /// A request is over: the calls that others have made for it are known by who was woken with their answers.
    pub(super) fn handed_over(&mut self, request: Token, (start, end): (u64, u64)) {
        for call in self.handovers.ended(request, start) {
            let sent = self.held.get(&call).map(|held| held.request.first.time);
            if self.waiting.contains(call) && sent.is_some_and(|sent| (start..=end).contains(&sent)) {
                self.decide(call, Parent::Held(request), Rule::Woken);
            }
        }
    }
}

/// Whether what a thread does in a call of the kernel's is its own, and not a task's that moves between threads; and whether
/// it is woken for it.
pub(super) fn is_of_thread(threads: Threads, context: u64) -> bool {
    match threads {
        Threads::Loyal => true,
        Threads::Observed => context == 0,
        Threads::InTurns | Threads::Shared => false,
    }
}
