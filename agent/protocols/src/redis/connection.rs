//! Two directions, and the exchanges between them.

use super::{
    Counters, Limits, RedisEvent, State,
    command::{Command, Replies},
    exchange::{Exchanges, Kind},
    frame,
    parser::{Parser, Place, Step},
    reply::{News, Reply},
    table::Effect,
};
use crate::{
    exchange::{CloseReason, Extent, Outcome, Party, Stamp},
    input::Input,
    keyvalue::Waits,
};

/// One connection that speaks Redis' protocol.
///
/// Each direction's bytes come in order. After every `handle_*` call, poll until there is no event
/// left.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    state: State,
    client: Parser<Command>,
    server: Parser<Reply>,
    exchanges: Exchanges,
    counters: Counters,
    /// What the client asks behind what is outstanding may have an unknown number of replies before its own:
    /// nothing is followed until the server has answered and the client begins anew.
    unsure: bool,
    /// The server sent something since the client's last operation.
    spoke: bool,
    /// `MULTI` was sent, and neither `EXEC` nor `DISCARD`.
    queueing: bool,
    replies: Replies,
    /// Arrays may be messages of subscriptions.
    subscribed: bool,
    monitored: bool,
    /// The last bytes of a reply that was lost sight of end like one.
    ended: bool,
    /// Several commands were sent without waiting.
    pipelined: bool,
    /// The last command was in one line, or may have been.
    inline: bool,
}

impl Connection {
    /// A connection that may have been open for a while.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::with_place(limits, Place::Lost, None)
    }

    /// A connection that is seen from its first byte.
    #[must_use]
    pub fn opened(limits: Limits) -> Self {
        Self::with_place(limits, Place::Boundary, Some(0))
    }

    /// The same, where the client's first byte has offset `before`.
    #[must_use]
    pub fn opened_behind(limits: Limits, before: u64) -> Self {
        let mut connection = Self::opened(limits);
        connection.client.expected = Some(before);
        connection
    }

    fn with_place(limits: Limits, place: Place, database: Option<u32>) -> Self {
        Self {
            limits,
            state: State::Open,
            client: Parser::new(Command::new(limits.text), place),
            server: Parser::new(Reply::default(), place),
            exchanges: Exchanges::new(database),
            counters: Counters::default(),
            unsure: false,
            spoke: false,
            queueing: false,
            replies: Replies::On,
            subscribed: database.is_none(),
            monitored: false,
            ended: false,
            pipelined: false,
            inline: true,
        }
    }

    /// Bytes that passed the socket. Each call is taken for the start of a socket operation.
    ///
    /// `offset` is the stream offset of `bytes[0]` in its direction. An offset ahead of what is
    /// due is a gap; bytes that were handed over before are ignored.
    pub fn handle_bytes(&mut self, from: Party, at: Stamp, offset: u64, bytes: &[u8]) {
        self.handle(from, Input::seen(at, offset, bytes));
    }

    /// `length` bytes that passed unseen. `tail` is the last of them, where known, and ends the
    /// socket operation.
    pub fn handle_gap(&mut self, from: Party, at: Stamp, offset: u64, length: u64, tail: &[u8]) {
        let mut input = Input::unseen(at, offset, length, tail);
        let last = match from {
            Party::Client => self.client.last(),
            Party::Server => self.server.last(),
        };
        input.starts = input.gap == 0 && last != at;
        self.handle(from, input);
    }

    /// The party will send no more.
    pub fn handle_shutdown(&mut self, from: Party, at: Stamp) {
        match from {
            Party::Client => self.client.place_at(Place::Closed),
            Party::Server => {
                self.end_at(at, CloseReason::Finished);
                self.server.place_at(Place::Closed);
            }
        }
    }

    /// The connection is over; everything open ends.
    pub fn handle_close(&mut self, at: Stamp, reason: CloseReason) {
        self.end_at(at, reason);
        self.state = State::Closed;
        self.release();
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<RedisEvent> {
        self.exchanges.poll_event()
    }

    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            dropped_events: self.exchanges.dropped_events,
            dropped_requests: self.counters.dropped_requests + self.exchanges.dropped_requests,
            ..self.counters
        }
    }

    /// Commands whose answers are not over.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.exchanges.len()
    }

    /// Bytes held back for want of the rest.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.client.buffered() + self.server.buffered()
    }

    /// Whether commands follow one another without waiting, so that every byte between them counts.
    #[must_use]
    pub fn is_pipelined(&self) -> bool {
        self.pipelined
    }

    fn end_at(&mut self, at: Stamp, reason: CloseReason) {
        if self.state != State::Open {
            return;
        }
        if self.server.is_lost() && self.ended && self.exchanges.is_single() {
            self.exchanges.finish_single(Outcome::Complete, &self.limits);
        }
        self.exchanges.abort_all(at, reason, &self.limits);
    }

    fn handle(&mut self, from: Party, mut input: Input<'_>) {
        let (closed, expected) = match from {
            Party::Client => (self.client.is_closed(), &mut self.client.expected),
            Party::Server => (self.server.is_closed(), &mut self.server.expected),
        };
        if self.state != State::Open || closed || !input.place(expected) {
            return;
        }
        match from {
            Party::Client => self.read_commands(input),
            Party::Server => self.read_replies(input),
        }
    }

    fn read_commands(&mut self, mut input: Input<'_>) {
        let operation = input.starts;
        let waiting = self.exchanges.len();
        if operation || input.gap > 0 {
            self.turn();
        }
        while self.state == State::Open {
            match self.client.step(&mut input) {
                Step::More => break,
                Step::Message { extent, holes } => self.asked(extent, holes),
                Step::Unseen(begun) => {
                    // What it is was seen, and what is answered next answers it.
                    if let Some(extent) = begun.filter(|_| self.client.assembly.cut_off()) {
                        self.asked(extent, true);
                    }
                    self.lose_commands(&mut input, operation);
                }
                Step::Invalid => {
                    if self.fail() {
                        return;
                    }
                    self.lose_commands(&mut input, false);
                }
                Step::Hunt => {
                    let inline = self.inline && frame::looks_like_inline(input.bytes);
                    let begins = inline || frame::could_be_request(input.bytes) != Some(false);
                    if !input.starts || !begins {
                        self.doubt();
                        break;
                    }
                    self.client.place_at(Place::Boundary);
                }
            }
        }
        self.pipelined |= self.exchanges.len() > waiting + 1;
    }

    /// The client begins to send. What it waited for, if it did, has come.
    fn turn(&mut self) {
        if !std::mem::take(&mut self.spoke) {
            return;
        }
        if self.server.is_lost() && self.exchanges.is_single() {
            let outcome = if self.ended { Outcome::Complete } else { Outcome::Lost };
            self.exchanges.finish_single(outcome, &self.limits);
        }
        if self.exchanges.is_empty() {
            self.unsure = false;
            if self.server.is_lost() {
                self.server.place_at(Place::Boundary);
            }
        }
    }

    /// Where commands begin is not known any more, nor how many there were.
    fn lose_commands(&mut self, input: &mut Input<'_>, operation: bool) {
        self.doubt();
        self.pipelined = true;
        let unseen = input.gap;
        input.pass(unseen);
        // Behind bytes of which no record came an operation may begin, behind a cut one none does.
        input.starts = operation;
    }

    /// What is asked from here on cannot be paired with its answer.
    fn doubt(&mut self) {
        self.unsure = true;
        self.queueing = false;
        self.exchanges.abandon(&self.limits);
    }

    fn asked(&mut self, extent: Extent, holes: bool) {
        let effect = self.client.assembly.info.effect;
        self.inline = self.client.assembly.is_line;
        if effect == Effect::Replicates {
            return self.stop(State::Replicating);
        }
        if self.server.is_lost() && self.exchanges.is_empty() && !self.unsure {
            // Joined in the middle: what the server sends from here on answers this.
            self.server.place_at(Place::Boundary);
        }
        // It may change what those behind it are answered.
        if self.client.assembly.is_unclear {
            self.doubt();
        }
        if self.unsure {
            self.counters.dropped_requests += 1;
            return;
        }
        let command = &mut self.client.assembly;
        let (answer, request) = (command.info.answer, (extent, holes));
        let limits = &self.limits;
        if let Some(replies) = command.replies.filter(|_| !self.queueing) {
            self.replies = replies;
            if replies == Replies::On {
                let head = command.head();
                return self.exchanges.push(Kind::Call, answer, Some((head, Waits::Answer)), request, limits);
            }
            return self.exchanges.unanswered(command.head(), request, limits);
        }
        match self.replies {
            Replies::On => {}
            Replies::Off => return self.exchanges.unanswered(command.head(), request, limits),
            Replies::Skip => {
                self.replies = Replies::On;
                return self.exchanges.unanswered(command.head(), request, limits);
            }
        }
        if self.queueing {
            let (kind, ends) = match effect {
                Effect::Executes | Effect::Discards | Effect::Resets => (Kind::End, true),
                Effect::Selects => (Kind::Part(command.database()), false),
                _ => (Kind::Part(None), false),
            };
            self.queueing = !ends;
            let head = command.head();
            return self.exchanges.part(kind, &head, request, limits);
        }
        let waits = if command.blocks { Waits::Event } else { Waits::Answer };
        let kind = match effect {
            Effect::Begins => {
                self.queueing = true;
                return self.exchanges.begin(command.head(), request, limits);
            }
            Effect::Subscribes => {
                self.subscribed = true;
                return self.exchanges.push(Kind::Subscription, answer, None, request, limits);
            }
            Effect::Monitors => return self.exchanges.push(Kind::Monitor, answer, None, request, limits),
            Effect::Selects => command.database().map_or(Kind::Call, Kind::Select),
            Effect::Resets => Kind::Reset,
            Effect::None
            | Effect::Blocks
            | Effect::Replicates
            | Effect::Executes
            | Effect::Discards
            | Effect::Replies
            | Effect::Runs => Kind::Call,
        };
        self.exchanges.push(kind, answer, Some((command.head(), waits)), request, limits);
    }

    fn read_replies(&mut self, mut input: Input<'_>) {
        self.spoke = true;
        while self.state == State::Open {
            let unseen = input.gap;
            let lost = self.server.is_lost();
            match self.server.step(&mut input) {
                Step::More => {
                    if lost {
                        self.pass(input.at, input.offset, unseen);
                    }
                    if let Some(extent) = self.server.under_way().filter(|_| self.is_answer_under_way()) {
                        self.exchanges.start(extent, &self.limits);
                    }
                    return;
                }
                Step::Message { extent, holes } => self.replied(extent, holes),
                Step::Unseen(begun) => {
                    let unseen = input.gap;
                    input.pass(unseen);
                    self.lose_replies(begun);
                    self.pass(input.at, input.offset, unseen);
                }
                Step::Invalid => {
                    if self.fail() {
                        return;
                    }
                    self.lose_replies(None);
                }
                Step::Hunt => {
                    if lost {
                        self.pass(input.at, input.offset, unseen);
                    }
                    self.pass(input.at, input.offset, input.bytes.len() as u64);
                    self.ended = input.bytes.ends_with(b"\r\n");
                    return;
                }
            }
        }
    }

    /// Whether what the server has begun to send answers the front unit, as far as can be said.
    fn is_answer_under_way(&self) -> bool {
        !self.server.assembly.is_push() && !self.subscribed
    }

    /// Where replies begin is not known any more.
    fn lose_replies(&mut self, begun: Option<Extent>) {
        self.ended = false;
        if let Some(extent) = begun.filter(|_| self.is_answer_under_way()) {
            self.exchanges.touch(extent, &self.limits);
        }
        if self.exchanges.is_single() {
            return self.exchanges.damage();
        }
        self.exchanges.finish_all(Outcome::Lost, &self.limits);
        self.doubt();
    }

    /// Bytes of a reply that cannot be read.
    fn pass(&mut self, at: Stamp, offset: u64, bytes: u64) {
        if bytes > 0 {
            self.exchanges.touch(Extent { first: at, last: at, offset, wire_bytes: bytes }, &self.limits);
        }
    }

    fn replied(&mut self, extent: Extent, holes: bool) {
        let reply = &self.server.assembly;
        if reply.is_push() || self.subscribed && reply.kind == b'*' && reply.news != News::None {
            return self.pushed();
        }
        if self.monitored && reply.kind == b'+' && reply.timed {
            return;
        }
        // The confirmations of a subscription passed by before.
        while let Some(unit) = self.exchanges.front()
            && unit.kind == Kind::Subscription
            && !reply.is_error()
        {
            self.exchanges.pass_front();
        }
        let Some(unit) = self.exchanges.front() else {
            let known = self.exchanges.answered(reply, &self.limits);
            if !known && !self.unsure {
                self.counters.orphan_responses += 1;
                if self.client.under_way().is_some() {
                    // What is answered was whole: the rest of it passed unseen.
                    self.client.place_at(Place::Lost);
                    self.doubt();
                }
            }
            return;
        };
        if !reply.answers(unit.answer) {
            // It answers another command: one was missed, or asked before the connection was seen.
            self.exchanges.finish_all(Outcome::Lost, &self.limits);
            self.doubt();
            return;
        }
        self.monitored |= unit.kind == Kind::Monitor && !reply.is_error();
        self.exchanges.touch(extent, &self.limits);
        if holes {
            self.exchanges.damage();
        }
        self.exchanges.answered(reply, &self.limits);
    }

    /// Something that answers nothing, except that a subscription is confirmed so.
    fn pushed(&mut self) {
        let reply = &self.server.assembly;
        let confirms = matches!(reply.news, News::Subscribed | News::Unsubscribed);
        if confirms && self.exchanges.front().is_some_and(|unit| unit.kind == Kind::Subscription) {
            self.exchanges.pass_front();
        }
        if reply.news == News::Unsubscribed && reply.count == Some(0) && self.exchanges.is_empty() {
            self.subscribed = false;
        }
    }

    /// True when there were too many.
    fn fail(&mut self) -> bool {
        self.counters.failures += 1;
        let many = self.counters.failures >= self.limits.failures;
        if many {
            self.stop(State::Failed);
        }
        many
    }

    fn stop(&mut self, state: State) {
        self.exchanges.finish_all(Outcome::Lost, &self.limits);
        self.state = state;
        self.release();
    }

    fn release(&mut self) {
        self.client.place_at(Place::Closed);
        self.server.place_at(Place::Closed);
    }
}
