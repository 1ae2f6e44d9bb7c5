//! One thread that works on many requests in turns: what follows a read is a reaction to it, where that can be relied on.

use std::{collections::HashMap, ops::RangeInclusive};

use honeyguide::span::{Span, SpanKind};

use crate::stream::{By, MS, OK, Stream};

const LOOP: By = By(1, 1);
/// Requests in hand at any time.
const OPEN: usize = 8;
const REQUESTS: u64 = 600;

/// What a handler does, one step after each thing it waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Handler {
    /// A call, then another, then the response: each at once.
    Prompt,
    /// As prompt; the first call of each request carries a header with a trace of its own.
    Marked,
    /// As prompt, with a timer in front of each step.
    Timers,
    /// A call at once, a timer, another call, and the response at once.
    Between,
    /// As prompt, through fewer connections than requests: a call may wait until one is free.
    Queued,
}

/// What a request does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Its call `number` was answered on this connection; 0: the request itself comes.
    Read(u8, u64),
    /// A timer is over.
    Timer(u8),
}

struct Server {
    stream: Stream,
    handler: Handler,
    random: fastrand::Rng,
    open: Vec<(u64, Next)>,
    idle: Vec<u64>,
    waiting: Vec<(u64, u8)>,
    connections: u64,
}

impl Server {
    fn run(handler: Handler) -> Vec<Span> {
        let mut server = Self::new();
        server.load(handler, OPEN, 1..=REQUESTS);
        server.ended()
    }

    fn new() -> Self {
        let mut stream = Stream::new();
        stream.speaks(1, "nodejs");
        Self {
            stream,
            handler: Handler::Prompt,
            random: fastrand::Rng::with_seed(7),
            open: Vec::new(),
            idle: Vec::new(),
            waiting: Vec::new(),
            connections: 0,
        }
    }

    /// Works on these requests, so many at once, until it has none open.
    fn load(&mut self, handler: Handler, at_once: usize, mut coming: RangeInclusive<u64>) {
        self.handler = handler;
        loop {
            while self.open.len() < at_once
                && let Some(id) = coming.next()
            {
                self.open.push((id, Next::Read(0, 0)));
            }
            let ready: Vec<usize> = (0..self.open.len())
                .filter(|&at| !self.waiting.iter().any(|(id, _)| *id == self.open[at].0))
                .collect();
            if ready.is_empty() {
                break;
            }
            let at = ready[self.random.usize(..ready.len())];
            let (id, next) = self.open.swap_remove(at);
            self.step(id, next);
            if handler == Handler::Marked {
                self.stream.wait(5 * MS);
            }
        }
    }

    fn ended(mut self) -> Vec<Span> {
        self.stream.wait(3_000 * MS);
        self.stream.finish().0
    }

    fn step(&mut self, id: u64, next: Next) {
        match next {
            Next::Read(0, _) => {
                let socket = 1_000 + id;
                self.stream.open(socket, LOOP, 80, 5_000 + u16::try_from(id).unwrap());
                self.stream.received(socket, LOOP, format!("GET /r/{id} HTTP/1.1\r\n\r\n").as_bytes());
                self.after(id, 1, self.handler == Handler::Timers);
            }
            Next::Read(number, socket) => {
                self.stream.received(socket, LOOP, OK);
                // The pool hands the connection on before the handler hears of its answer.
                if let Some((id, number)) = (!self.waiting.is_empty()).then(|| self.waiting.remove(0)) {
                    self.call_on(socket, id, number);
                } else {
                    self.idle.push(socket);
                }
                let timer =
                    self.handler == Handler::Timers || (self.handler == Handler::Between && number == 1);
                self.after(id, number + 1, timer);
            }
            Next::Timer(number) => self.act(id, number),
        }
    }

    fn after(&mut self, id: u64, number: u8, timer: bool) {
        if timer {
            self.open.push((id, Next::Timer(number)));
        } else {
            self.act(id, number);
        }
    }

    fn act(&mut self, id: u64, number: u8) {
        if number == 3 {
            self.stream.sent(1_000 + id, LOOP, OK);
            return;
        }
        let full = self.handler == Handler::Queued && self.connections >= OPEN as u64 / 2;
        match self.idle.pop() {
            Some(socket) => self.call_on(socket, id, number),
            None if full => {
                self.waiting.push((id, number));
                self.open.push((id, Next::Read(number, 0)));
            }
            None => {
                self.connections += 1;
                let socket = 10 + self.connections;
                self.stream.connect(socket, LOOP);
                let port = 30_000 + u16::try_from(self.connections).unwrap();
                self.stream.open(socket, LOOP, port, 90);
                self.call_on(socket, id, number);
            }
        }
    }

    fn call_on(&mut self, socket: u64, id: u64, number: u8) {
        if self.handler == Handler::Marked && number == 1 {
            let byte = u8::try_from(id % 250 + 1).unwrap();
            self.stream.put_in(socket, None, (byte, byte), 0);
        }
        let call = format!("GET /c/{id}/{number} HTTP/1.1\r\nHost: b\r\n\r\n");
        self.stream.sent(socket, LOOP, call.as_bytes());
        self.open.retain(|(other, _)| *other != id);
        self.open.push((id, Next::Read(number, socket)));
    }
}

/// How many calls have their own request as their parent, another's, or none.
fn score(spans: &[Span]) -> (usize, usize, usize) {
    score_of(spans, 1..=REQUESTS)
}

/// The same of the calls of some requests.
fn score_of(spans: &[Span], requests: RangeInclusive<u64>) -> (usize, usize, usize) {
    let number = |text: &str| text.split('/').find_map(|part| part.parse::<u64>().ok());
    let servers: HashMap<_, _> = spans
        .iter()
        .filter(|span| span.kind == SpanKind::Server)
        .map(|span| (span.span_id, span.attributes.text("url.path").and_then(number)))
        .collect();
    let (mut right, mut wrong, mut none) = (0, 0, 0);
    for span in spans.iter().filter(|span| span.kind == SpanKind::Client) {
        let url = span.attributes.text("url.full").unwrap();
        let own = number(url.split("/c/").nth(1).unwrap());
        if !own.is_some_and(|own| requests.contains(&own)) {
            continue;
        }
        match span.parent.map(|parent| servers[&parent]) {
            None => none += 1,
            Some(parent) if parent == own => right += 1,
            Some(_) => wrong += 1,
        }
    }
    assert_eq!(right + wrong + none, 2 * requests.count());
    (right, wrong, none)
}

#[test]
fn reactions_at_once_are_given_to_their_requests() {
    let (right, wrong, none) = score(&Server::run(Handler::Prompt));
    assert_eq!((wrong, none), (0, 0), "{right} right");
}

/// Which call is whose is known only after the request has ended: so long its trace is not named.
#[test]
fn requests_take_over_the_traces_of_calls_that_are_given_to_them_late() {
    let spans = Server::run(Handler::Marked);
    let (right, wrong, none) = score(&spans);
    assert_eq!((wrong, none), (0, 0), "{right} right");
    let marked = |span: &&Span| span.trace_id.0 == [span.trace_id.0[0]; 16];
    assert_eq!(spans.iter().filter(marked).count(), spans.len());
}

#[test]
fn timers_in_front_of_everything_leave_nothing_to_go_by() {
    let (_, wrong, none) = score(&Server::run(Handler::Timers));
    assert!(wrong == 0 && none > 1_000, "{wrong} wrong, {none} without a parent");
}

/// The first call is known by what comes before it, the last by what comes after.
#[test]
fn a_timer_between_two_calls_leaves_them_their_ends() {
    let (right, wrong, none) = score(&Server::run(Handler::Between));
    assert!(wrong == 0 && right > 1_000, "{right} right, {wrong} wrong, {none} without a parent");
}

#[test]
fn calls_that_waited_for_a_connection_are_not_given_to_whom_it_was_taken_from() {
    let (right, wrong, _) = score(&Server::run(Handler::Queued));
    assert!(wrong <= 1, "{right} right, {wrong} wrong");
}

/// What comes after all that was open speaks of a pool that is too small for it, and not of what was before.
#[test]
fn requests_are_not_judged_by_the_next_load() {
    let mut server = Server::new();
    server.load(Handler::Prompt, OPEN, 1..=REQUESTS);
    server.load(Handler::Queued, 3 * OPEN, REQUESTS + 1..=2 * REQUESTS);
    let spans = server.ended();
    let (right, wrong, none) = score_of(&spans, 1..=REQUESTS);
    assert_eq!((wrong, none), (0, 0), "{right} right");
    let (right, wrong, none) = score_of(&spans, REQUESTS + 1..=2 * REQUESTS);
    assert!(wrong == 0, "{right} right, {wrong} wrong, {none} without a parent");
}

/// A burst that the pool is too small for is judged as soon as it is over: by itself, and not by the calm before it.
#[test]
fn bursts_between_calm_times_are_not_believed_because_of_those() {
    let mut server = Server::new();
    let mut first = 1;
    let mut bursts = Vec::new();
    for round in 0..40_u64 {
        server.load(Handler::Prompt, OPEN, first..=first + 59);
        let burst = first + 60..=first + 60 + 10 + round;
        first = burst.end() + 1;
        server.load(Handler::Queued, 3 * OPEN, burst.clone());
        bursts.push(burst);
    }
    let spans = server.ended();
    let (right, wrong, none) = score_of(&spans, 1..=first - 1);
    assert_eq!(wrong, 0, "{right} right, {none} without a parent");
}
