//! What a thread does right after it has read something: event loops, and runtimes that run tasks in turns.
//!
//! Code on such a thread runs until it has nothing more to do, and then the next read has its turn. So a call that
//! follows a read on its thread, with no other read in between, is as a rule a reaction to it: a request's first call
//! follows the reading of the request, its next call the reading of the answer before, its response the last answer.
//!
//! As a rule; timers, queues and full pools put others there. Two things tell whether the rule holds for a route. How
//! often a step of it (so many calls sent, so many open) is followed by so many reactions: a handler that reacts at
//! once does so always. And whether the chains that begin with requests end in their own responses: those that are
//! made up by chance end in others'. Only steps that keep to it are believed, and of them chains that close more
//! easily than ends that hang loose.

use std::collections::HashMap;

use super::Token;

/// Threads, steps and openings remembered; beyond it all of the kind are forgotten and learned anew.
const MAX_THREADS: usize = 65_536;
const MAX_STEPS: usize = 16_384;
const MAX_OPENED: usize = 16_384;
/// Reactions to one read that are told apart.
const REACTIONS: usize = 4;
/// Numbers of calls that are told apart.
const COUNTS: usize = 12;
/// Calls of one request that are followed.
const MAX_CALLS: usize = 64;

/// Samples before a rate says anything.
const ENOUGH: u32 = 16;
/// The same for a judgement: a burst at the beginning looks flawless for a while.
const PLENTY: u32 = 48;
/// A rate follows the last so many samples.
const WINDOW: f32 = 64.0;
/// A reaction that is rarer than that is nobody's in particular.
const USUAL: f32 = 0.8;
/// A step that is followed by a reaction less often is not due one.
const SELDOM: f32 = 0.1;
/// What chains that close must keep to, and what ends that hang loose must.
const CLOSED: f32 = 0.9;
const LOOSE: f32 = 0.985;
/// Of a process's answers, the share that another thread reads than the one that sent the call: beyond it tasks move.
const STRAY: f32 = 0.01;

#[derive(Debug, Default)]
pub(super) struct Reactions {
    threads: HashMap<u32, Trigger, foldhash::fast::FixedState>,
    courses: HashMap<Token, Course, foldhash::fast::FixedState>,
    calls: HashMap<Token, Call, foldhash::fast::FixedState>,
    /// By socket: what its opening was a reaction to.
    opened: HashMap<u64, Option<Edge>, foldhash::fast::FixedState>,
    steps: HashMap<Step, [Rate; REACTIONS], foldhash::fast::FixedState>,
    routes: HashMap<(u32, u64), Ends, foldhash::fast::FixedState>,
    /// By process: how often an answer is read by another thread than the one that sent the call.
    moves: HashMap<u32, Rate, foldhash::fast::FixedState>,
    /// How many open requests of each process wait for something that is due, a connection as a rule.
    starving: HashMap<u32, u32, foldhash::fast::FixedState>,
}

/// The last read on a thread.
#[derive(Clone, Copy, Debug)]
struct Trigger {
    step: Step,
    /// The request that it is, or that the answered call is thought to belong to.
    owner: Option<Token>,
    /// The call that was answered.
    call: Option<Token>,
    reactions: u8,
}

/// Where a request stands in its course: requests of one route that stand at one step do the same next, as a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Step {
    pid: u32,
    route: u64,
    sent: u8,
    open: u8,
}

/// A call, or an opening, is the `index`th reaction to a read that belongs to `owner`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    owner: Token,
    step: Step,
    index: u8,
}

#[derive(Debug)]
struct Course {
    pid: u32,
    route: u64,
    sent: u8,
    open: u8,
    calls: Vec<(Token, Edge)>,
    end: End,
    /// The thread that read it; `None` once others had a part in it.
    thread: Option<u32>,
    starved: bool,
}

/// What a response followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It was not written yet.
    Open,
    /// The request itself, or the answer to a call of its own.
    Own,
    /// The answer to a call that nobody else is thought to have caused.
    Free(Token),
    /// The answer to a call that is thought to be another request's; or another's response followed one of its own.
    Other,
    /// Nothing, or something after which others had reacted already.
    Nothing,
}

#[derive(Debug)]
struct Call {
    owner: Option<Token>,
    tid: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    samples: u32,
    value: f32,
}

/// How responses of a route came about.
#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    /// They followed an answer of their own, or of nobody's.
    prompt: Rate,
    /// Of those that followed an answer at once, how many did not follow another's.
    consistent: Rate,
    /// How many of those that closed had so many calls; the last is all beyond.
    counts: [Rate; COUNTS],
}

/// What was seen of a request's calls, to be judged when enough is known of its route.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) request: Token,
    pub(super) pid: u32,
    route: u64,
    /// All its calls, known and supposed.
    sent: u8,
    one_thread: bool,
    calls: Vec<(Token, Edge)>,
    end: End,
}

impl Verdict {
    /// The calls that it is about.
    pub(super) fn calls(&self) -> impl Iterator<Item = Token> {
        let last = match self.end {
            End::Free(call) => Some(call),
            End::Open | End::Own | End::Other | End::Nothing => None,
        };
        self.calls.iter().map(|(call, _)| *call).chain(last)
    }
}

/// Whether calls are a request's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Too little is known of its route.
    NotYet,
    /// These are; the others may be anybody's.
    Own(Vec<Token>),
}

impl Reactions {
    /// A thread has read a request.
    pub(super) fn read(&mut self, request: Token, pid: u32, tid: u32, route: u64) {
        let step = Step { pid, route, sent: 0, open: 0 };
        self.turn(tid, Trigger { step, owner: Some(request), call: None, reactions: 0 });
        let course = Course {
            pid,
            route,
            sent: 0,
            open: 0,
            calls: Vec::new(),
            end: End::Open,
            thread: Some(tid),
            starved: false,
        };
        self.courses.insert(request, course);
    }

    /// A thread has begun to open a connection.
    pub(super) fn opened(&mut self, socket: u64, tid: u32) {
        let edge = self.react(tid);
        if self.opened.len() >= MAX_OPENED {
            self.opened.clear();
        }
        self.opened.insert(socket, edge);
    }

    /// A thread has sent a call. `known`: the request that certainly caused it.
    pub(super) fn sent(&mut self, call: Token, tid: u32, known: Option<Token>) {
        // The first on its connection was meant when that was opened.
        let edge = match self.opened.remove(&call.socket) {
            Some(edge) => edge,
            None => self.react(tid).filter(|edge| !self.may_have_waited(call, tid, edge)),
        };
        let mut owner = known;
        if known.is_none()
            && let Some(edge) = edge
            && self.is_usual(&edge)
        {
            owner = Some(edge.owner);
        }
        if let Some(course) = owner.and_then(|owner| self.courses.get_mut(&owner)) {
            course.sent = course.sent.saturating_add(1);
            course.open = course.open.saturating_add(1);
            course.thread = course.thread.filter(|thread| *thread == tid);
            if known.is_none()
                && course.calls.len() < MAX_CALLS
                && let Some(edge) = edge
            {
                course.calls.push((call, edge));
            }
        } else {
            owner = None;
        }
        self.calls.insert(call, Call { owner, tid });
    }

    /// A call was answered, and `tid` has read it; `None`: it was given up.
    pub(super) fn answered(&mut self, call: Token, pid: u32, tid: Option<u32>) {
        let sent = self.calls.get(&call).map(|call| (call.owner, call.tid));
        let owner = sent.and_then(|(owner, _)| owner);
        let moved = sent.zip(tid).is_some_and(|((_, sender), reader)| sender != reader);
        if sent.is_some() && tid.is_some() {
            if self.moves.len() >= MAX_THREADS {
                self.moves.clear();
            }
            self.moves.entry(pid).or_default().add(moved);
        }
        let mut step = Step { pid, route: 0, sent: u8::MAX, open: u8::MAX };
        if let Some(course) = owner.and_then(|owner| self.courses.get_mut(&owner)) {
            course.open = course.open.saturating_sub(1);
            course.thread = course.thread.filter(|thread| Some(*thread) == tid);
            step = Step { pid: course.pid, route: course.route, sent: course.sent, open: course.open };
        }
        let Some(tid) = tid else {
            self.calls.remove(&call);
            return;
        };
        // Its place is needed as long as reactions to it may come: until the thread's next turn.
        self.turn(tid, Trigger { step, owner, call: Some(call), reactions: 0 });
    }

    /// A thread has begun to write a request's response.
    pub(super) fn wrote(&mut self, request: Token, tid: u32) {
        let trigger = self.threads.get_mut(&tid);
        let mut end = End::Nothing;
        if let Some(trigger) = trigger {
            trigger.reactions = trigger.reactions.saturating_add(1);
            let first = trigger.reactions == 1;
            end = match (trigger.owner, trigger.call) {
                (Some(owner), _) if owner == request => End::Own,
                (None, Some(call)) if first => End::Free(call),
                (Some(_), Some(_)) if first => End::Other,
                _ => End::Nothing,
            };
            if end == End::Other
                && let Some(other) = trigger.owner
            {
                self.contest(other, request);
            }
        }
        let Some(course) = self.courses.get_mut(&request) else { return };
        if course.end == End::Open {
            course.end = end;
        }
        course.thread = course.thread.filter(|thread| *thread == tid);
        let ends = self.routes.entry((course.pid, course.route)).or_default();
        let prompt = matches!(end, End::Own | End::Free(_));
        ends.prompt.add(prompt);
        if prompt || end == End::Other {
            ends.consistent.add(course.end != End::Other && prompt);
        }
    }

    /// A request is over: what is to be judged of it, if anything.
    pub(super) fn ended(&mut self, request: Token) -> Option<Verdict> {
        let Course { pid, route, sent, calls, end, thread, starved, .. } = self.courses.remove(&request)?;
        if starved {
            self.fed(pid);
        }
        if end == End::Own {
            let ends = self.routes.entry((pid, route)).or_default();
            for (count, rate) in ends.counts.iter_mut().enumerate() {
                rate.add(count == usize::from(sent).min(COUNTS - 1));
            }
        }
        if self.routes.len() >= MAX_STEPS {
            self.routes.clear();
        }
        let any = !calls.is_empty() || matches!(end, End::Free(_));
        any.then_some(Verdict { request, pid, route, sent, one_thread: thread.is_some(), calls, end })
    }

    /// What is known by now of a request's calls.
    pub(super) fn judge(&self, verdict: &Verdict) -> Judgement {
        let ends = self.routes.get(&(verdict.pid, verdict.route)).copied().unwrap_or_default();
        let rates: Vec<Rate> = verdict.calls.iter().map(|(_, edge)| self.rate(edge)).collect();
        if ends.prompt.samples < PLENTY || rates.iter().any(|rate| rate.samples < PLENTY) {
            return Judgement::NotYet;
        }
        // Where tasks go from thread to thread, what a thread read last says less: all must have stayed on one.
        let moves = self.moves.get(&verdict.pid).is_some_and(|rate| rate.value > STRAY);
        if moves && !verdict.one_thread {
            return Judgement::Own(Vec::new());
        }
        let closed = verdict.end == End::Own;
        // Where responses follow answers as a rule, one that does not, or another's, puts the chain in doubt.
        let doubted = ends.prompt.value >= USUAL && !closed;
        let consistent = ends.consistent.samples < ENOUGH || ends.consistent.value >= CLOSED;
        // Where a few go wrong, a chain of another length than usual is one of them, as a rule.
        let flawless = ends.prompt.value >= LOOSE
            && ends.consistent.value >= LOOSE
            && rates.iter().all(|rate| rate.value >= LOOSE);
        let usual = ends.counts[usize::from(verdict.sent).min(COUNTS - 1)].value >= CLOSED;
        let fine = flawless || (usual && verdict.one_thread);
        let needed = if closed && fine && !moves { CLOSED } else { LOOSE };
        let mut own = Vec::new();
        if consistent && verdict.end != End::Other && (!doubted || matches!(verdict.end, End::Free(_))) {
            // A step that is not believed leaves those behind it hanging.
            let mut needed = needed;
            for ((call, _), rate) in verdict.calls.iter().zip(rates) {
                if rate.value >= needed {
                    own.push(*call);
                } else {
                    needed = LOOSE;
                }
            }
            if closed && (own.len() < verdict.calls.len() || !fine) {
                own.clear();
            }
        }
        if let End::Free(call) = verdict.end
            && consistent
            && ends.prompt.value >= LOOSE
        {
            own.push(call);
        }
        Judgement::Own(own)
    }

    /// An exchange leaves, however far it has come.
    pub(super) fn forget(&mut self, token: Token) {
        if let Some(course) = self.courses.remove(&token)
            && course.starved
        {
            self.fed(course.pid);
        }
        self.calls.remove(&token);
    }

    /// A new read on a thread: the last one had as many reactions as it will have.
    fn turn(&mut self, tid: u32, next: Trigger) {
        if self.threads.len() >= MAX_THREADS && !self.threads.contains_key(&tid) {
            self.threads.clear();
        }
        let Some(last) = self.threads.insert(tid, next) else { return };
        if let Some(call) = last.call {
            self.calls.remove(&call);
        }
        if self.steps.len() >= MAX_STEPS {
            self.steps.clear();
        }
        let rates = self.steps.entry(last.step).or_default();
        // The reaction that did not come: one more than there were.
        let next = rates.get(usize::from(last.reactions)).copied().unwrap_or_default();
        let unknown = next.samples < ENOUGH;
        let due = if unknown { last.reactions == 0 } else { next.value >= SELDOM };
        for (index, rate) in (1..).zip(rates) {
            rate.add(last.reactions >= index);
        }
        if due
            && let Some(course) = last.owner.and_then(|owner| self.courses.get_mut(&owner))
            && !course.starved
        {
            course.starved = true;
            *self.starving.entry(course.pid).or_default() += 1;
        }
    }

    /// Whether a call may be one that had to wait for its connection: it goes out as the one before is answered, and
    /// some request of the process waits for something.
    fn may_have_waited(&self, call: Token, tid: u32, edge: &Edge) -> bool {
        let freed = self.threads.get(&tid).and_then(|trigger| trigger.call);
        freed.is_some_and(|freed| freed.socket == call.socket) && self.starving.contains_key(&edge.step.pid)
    }

    fn fed(&mut self, pid: u32) {
        if let Some(count) = self.starving.get_mut(&pid) {
            *count -= 1;
            if *count == 0 {
                self.starving.remove(&pid);
            }
        }
    }

    /// The thread does something: a reaction to its last read.
    fn react(&mut self, tid: u32) -> Option<Edge> {
        let trigger = self.threads.get_mut(&tid)?;
        trigger.reactions = trigger.reactions.saturating_add(1);
        let owner = trigger.owner?;
        let index = trigger.reactions;
        (usize::from(index) <= REACTIONS).then_some(Edge { owner, step: trigger.step, index })
    }

    fn is_usual(&self, edge: &Edge) -> bool {
        let rate = self.rate(edge);
        rate.samples < ENOUGH || rate.value >= USUAL
    }

    fn rate(&self, edge: &Edge) -> Rate {
        let rates = self.steps.get(&edge.step);
        rates.and_then(|rates| rates.get(usize::from(edge.index) - 1)).copied().unwrap_or_default()
    }

    /// The response of another followed an answer that was thought to be `owner`'s: one of them is wrong. Where responses
    /// do not follow answers as a rule, that says nothing.
    fn contest(&mut self, owner: Token, other: Token) {
        let Some(route) = self.courses.get(&other).map(|course| (course.pid, course.route)) else { return };
        let ends = self.routes.get(&route).copied().unwrap_or_default();
        if ends.prompt.samples >= ENOUGH && ends.prompt.value < USUAL {
            return;
        }
        if let Some(course) = self.courses.get_mut(&owner) {
            course.end = End::Other;
        }
    }
}

impl Rate {
    fn add(&mut self, hit: bool) {
        self.samples = self.samples.saturating_add(1);
        #[allow(clippy::cast_precision_loss)] // Below the window's size.
        let weight = (self.samples.min(1 << 16) as f32).min(WINDOW);
        let sample = if hit { 1.0 } else { 0.0 };
        self.value += (sample - self.value) / weight;
    }
}
