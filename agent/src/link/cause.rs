//! What is known of a call's cause when it is sent.

use honeyguide_protocols::{Actor, Stamp};

use super::{
    Links, Parent, Rule, Threads, Token,
    execution::Step,
    hand,
    held::from_header,
    wake::{MAX_WAKERS, Wake, Woken},
};
use crate::span::context::Incoming;

pub(super) enum Cause {
    Known(Parent, Rule),
    /// These executions may turn out to be it.
    Later(Vec<Step>),
}

impl Links {
    /// What is known of the cause of a call that is sent at `at`, from what has happened until then.
    pub(super) fn cause_of_call(
        &self,
        at: Stamp,
        incoming: &Incoming,
        threads: Threads,
        turns: bool,
    ) -> Cause {
        let Stamp { time, actor } = at;
        if let Incoming::Valid { parent, .. } = incoming {
            // A proxy hands on the context it was given; a library in the process made its own.
            return match self.hands.holding_context(actor.pid, parent) {
                Some(token) => Cause::Known(Parent::Held(token), Rule::PassedOn),
                None => {
                    let (parent, rule) = from_header(incoming);
                    Cause::Known(parent, rule)
                }
            };
        }
        let open = self.hands.in_process(actor.pid);
        if open == 0 {
            return Cause::Known(Parent::None, Rule::None);
        }
        let mut lineage = self.executions.lineage(actor, time);
        if self.hands.of(lineage[0].execution, time) == hand::Held::None
            && let Some(woken) = self.wakes.of(actor)
        {
            if let Some(request) = self.woken_for(actor, woken, time, turns) {
                return Cause::Known(Parent::Held(request), Rule::Woken);
            }
            // It was made for whoever came first, and sends for others.
            lineage.truncate(1);
            return Cause::Later(lineage);
        }
        for (generation, step) in lineage.iter().enumerate() {
            let request = match self.hands.of(step.execution, step.time) {
                hand::Held::None => continue,
                hand::Held::One(request) => request,
                hand::Held::Several => break,
            };
            let rule = match generation {
                0 if step.execution.is_thread() => Rule::SameThread,
                0 => Rule::SameTask,
                _ => Rule::Ancestry,
            };
            let alone = open == 1;
            let exact = !step.execution.is_thread()
                || alone
                || (matches!(threads, Threads::Loyal | Threads::InTurns)
                    && self.discipline.is_believed(actor.tid, time));
            if exact {
                return Cause::Known(Parent::Held(request), rule);
            }
            break;
        }
        Cause::Later(lineage)
    }

    /// The same where whoever sends it does so for others: who has made that one says nothing.
    pub(super) fn cause_of_stream(&self, at: Stamp, incoming: &Incoming) -> Cause {
        let nobody = self.hands.in_process(at.actor.pid) == 0;
        if nobody || matches!(incoming, Incoming::Valid { .. }) {
            return self.cause_of_call(at, incoming, Threads::Shared, false);
        }
        Cause::Later(vec![Step { execution: self.executions.of(at.actor), time: at.time }])
    }

    /// The one request that an execution has in hand, or the one that made it had when it did.
    pub(super) fn in_hand(&self, actor: Actor, time: u64) -> Option<(Token, Rule)> {
        for (generation, step) in self.executions.lineage(actor, time).iter().enumerate() {
            match self.hands.of(step.execution, step.time) {
                hand::Held::None => {}
                hand::Held::One(request) => {
                    return Some((request, if generation == 0 { Rule::SameTask } else { Rule::Ancestry }));
                }
                hand::Held::Several => return None,
            }
        }
        None
    }

    /// The request of whoever has handed a call to the task that sends it: all that have woken it must have the same in
    /// hand. `turns`: its protocol has one call after another on a connection. Then whoever had the one before may have
    /// woken it once more, for the rest of the answer, and is meant only where nobody else is there.
    fn woken_for(&self, actor: Actor, woken: &Woken, at: u64, turns: bool) -> Option<Token> {
        if woken.by.len() > MAX_WAKERS {
            return None;
        }
        let wakes = woken.by.iter().filter(|wake| wake.time <= at);
        let mut requests: Vec<_> = wakes.map(|wake| self.request_of(actor, wake)).collect();
        if turns {
            // One that has nothing in hand any more is through with what it was answered.
            requests.retain(Option::is_some);
            if requests.iter().any(|request| *request != woken.before) {
                requests.retain(|request| *request != woken.before);
            }
        }
        let first = (*requests.first()?)?;
        requests.iter().all(|request| *request == Some(first)).then_some(first)
    }

    /// What a task that woke another had in hand, or the one that had made it.
    fn request_of(&self, woken: Actor, wake: &Wake) -> Option<Token> {
        let steps = self.executions.lineage(Actor { context: wake.by, ..woken }, wake.time);
        let mut held = steps.iter().map(|step| self.hands.of(step.execution, step.time));
        match held.find(|held| *held != hand::Held::None)? {
            hand::Held::One(request) => Some(request),
            hand::Held::None | hand::Held::Several => None,
        }
    }

    /// The request that a call for `asks` sends on, should its process be a proxy.
    pub(super) fn relayed(&mut self, at: Stamp, asks: u64) -> Option<Token> {
        if asks == 0 || !self.settings.inference {
            return None;
        }
        let pid = at.actor.pid;
        if !self.relays.knows(pid) {
            self.relays.begin(pid);
            for (token, held) in &self.held {
                if held.entry.as_ref().is_some_and(|entry| entry.pid == pid) && held.asks != 0 {
                    self.relays.read(*token, pid, held.asks);
                }
            }
            self.counters.forgotten_relays = self.relays.forgotten;
        }
        let request = self.relays.sent(pid, asks)?;
        let held = self.held.get(&request)?;
        (self.is_open(request) && held.request.last.time <= at.time).then_some(request)
    }

    /// A request is in nobody's hand any more.
    pub(super) fn leave_hand(&mut self, request: Token, entry: hand::Entry, asks: u64, answered: bool) {
        self.hands.leave(request, entry);
        self.sdks.leave(request);
        self.relays.leave(request, entry.pid, asks, answered);
    }
}
