//! From the ring to the consumer.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use honeyguide_common::{interpreter::Walked, sample::Outcome};

use super::{
    Keeper,
    decode::{Decoded, decode},
    interpreter::Frames,
    keeper::Memory,
    model::Consumer,
};
use crate::{discover::ProcRoot, ring::Ring};

/// Records taken at once.
const ROUND: usize = 8_192;
/// Samples of processes that are not known yet wait so long, and so many of them.
const PATIENCE: Duration = Duration::from_millis(300);
const WAITING: usize = 8_192;
/// A process whose memory keeps changing is looked at so often, and never for more than a twentieth of the time.
const AGAIN: Duration = Duration::from_millis(200);
const SHARE: u32 = 20;
/// Processes about which it is remembered when they were last asked for.
const ASKED: usize = 16_384;

/// The reading end of the sampler.
#[derive(Debug)]
pub struct Drain {
    ring: Ring,
    /// Nanoseconds that a sample of what runs stands for; 0 where there are none.
    period: u64,
    waiting: VecDeque<(Instant, Decoded)>,
    asked: HashMap<u32, Instant>,
    frames: Frames,
    pub counters: DrainCounters,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainCounters {
    pub samples: u64,
    /// In the order of [`Outcome::ALL`].
    pub outcomes: [u64; Outcome::ALL.len()],
    pub malformed: u64,
    /// Samples whose process was gone before it was looked at: their addresses belong to no file.
    pub placeless: u64,
    /// Walks over an interpreter's frames, in the order of [`Walked::ALL`].
    pub walked: [u64; Walked::ALL.len()],
    /// Frames of interpreted code that could not be read.
    pub unread: u64,
}

impl DrainCounters {
    /// Of the samples, those whose stacks are whole.
    #[must_use]
    pub fn complete(&self) -> u64 {
        Outcome::ALL
            .iter()
            .zip(self.outcomes)
            .filter(|(outcome, _)| outcome.is_complete())
            .map(|(_, n)| n)
            .sum()
    }
}

impl Drain {
    /// `hz`: of the samples of what runs.
    #[must_use]
    pub fn new(ring: Ring, hz: Option<u32>, proc: ProcRoot) -> Self {
        Self {
            ring,
            period: hz.map_or(0, |hz| 1_000_000_000 / u64::from(hz.max(1))),
            waiting: VecDeque::new(),
            asked: HashMap::new(),
            frames: Frames::new(proc),
            counters: DrainCounters::default(),
        }
    }

    /// Nanoseconds between two samples of a CPU; 0 where what runs is not sampled.
    #[must_use]
    pub fn period(&self) -> u64 {
        self.period
    }

    /// Hands over what is in the ring, and what has waited long enough.
    pub fn poll(&mut self, keeper: &Keeper, consumer: &mut impl Consumer) {
        let now = Instant::now();
        let mut fresh = Vec::new();
        let (period, counters) = (self.period, &mut self.counters);
        self.ring.drain(ROUND, |bytes| match decode(bytes, period) {
            Ok(decoded) => fresh.push(decoded),
            Err(_) => counters.malformed += 1,
        });
        let mut memories = HashMap::new();
        for decoded in fresh {
            self.take(decoded, now, keeper, &mut memories, consumer);
        }
        while let Some((since, decoded)) = self.waiting.pop_front() {
            let memory = keeper.memory(decoded.sample.pid);
            let patient = now.duration_since(since) < PATIENCE && self.waiting.len() < WAITING;
            if memory.is_none() && patient {
                // The ones behind it have come later still.
                self.waiting.push_front((since, decoded));
                break;
            }
            self.hand_over(decoded, memory.as_deref(), consumer);
        }
    }

    /// Takes a record that came another way than by the ring.
    pub fn add(&mut self, record: &[u8]) {
        match decode(record, self.period) {
            Ok(decoded) => self.waiting.push_back((Instant::now(), decoded)),
            Err(_) => self.counters.malformed += 1,
        }
    }

    /// Hands over everything, waiting for nobody any more.
    pub fn finish(&mut self, keeper: &Keeper, consumer: &mut impl Consumer) {
        let deadline = Instant::now() + PATIENCE;
        self.poll(keeper, consumer);
        while !self.waiting.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
            self.poll(keeper, consumer);
        }
        for (_, decoded) in std::mem::take(&mut self.waiting) {
            let memory = keeper.memory(decoded.sample.pid);
            self.hand_over(decoded, memory.as_deref(), consumer);
        }
    }

    fn take(
        &mut self,
        decoded: Decoded,
        now: Instant,
        keeper: &Keeper,
        memories: &mut HashMap<u32, Option<Arc<Memory>>>,
        consumer: &mut impl Consumer,
    ) {
        let pid = decoded.sample.pid;
        // No user memory, nothing to place.
        if decoded.sample.outcome == Outcome::NoUser {
            self.hand_over(decoded, None, consumer);
            return;
        }
        let memory = memories.entry(pid).or_insert_with(|| keeper.memory(pid)).clone();
        let changed = memory.as_ref().is_none_or(|memory| memory.space != decoded.space);
        if changed || decoded.unknown || decoded.sample.outcome == Outcome::NoMapping {
            self.ask(pid, decoded.space, now, memory.as_deref(), keeper);
        }
        match memory {
            Some(memory) => self.hand_over(decoded, Some(&memory), consumer),
            None => self.waiting.push_back((now, decoded)),
        }
    }

    fn ask(&mut self, pid: u32, space: u64, now: Instant, memory: Option<&Memory>, keeper: &Keeper) {
        let pause = memory.map_or(AGAIN, |memory| AGAIN.max(memory.took * SHARE));
        if self.asked.get(&pid).is_some_and(|last| now.duration_since(*last) < pause) {
            return;
        }
        if self.asked.len() >= ASKED {
            self.asked.retain(|_, last| now.duration_since(*last) < AGAIN);
        }
        if keeper.look(pid, space) {
            self.asked.insert(pid, now);
        }
    }

    fn hand_over(&mut self, decoded: Decoded, memory: Option<&Memory>, consumer: &mut impl Consumer) {
        let Decoded { mut sample, interpreted, .. } = decoded;
        self.counters.samples += 1;
        self.counters.walked[sample.walked as usize] += 1;
        self.counters.outcomes[sample.outcome as usize] += 1;
        match memory {
            Some(memory) => {
                for frame in &mut sample.user {
                    frame.mapping = memory.find(frame.lookup_address()).map(Arc::clone);
                }
                if let Some(interpreter) = memory.interpreter.as_deref().filter(|_| !interpreted.is_empty()) {
                    sample.interpreted =
                        self.frames.read(sample.pid, interpreter, &interpreted, &sample.user);
                    self.counters.unread = self.frames.unread;
                }
            }
            None => self.counters.placeless += u64::from(!sample.user.is_empty()),
        }
        consumer.sample(sample);
    }
}
