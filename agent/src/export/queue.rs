//! The bounded queue before each destination. The producer never waits: what finds no room is
//! counted and dropped. A batch is handed out when it is full or its first item has waited long
//! enough; room is given back only when the batch is delivered or given up, so that batches being
//! retried count towards the limit too.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::{
    counters::{DestinationCounters, DropCause, Signal, SignalCounters},
    settings::QueueSettings,
};
use crate::{
    metrics::model::{MetricData, ResourceMetrics},
    profile::named::Profile,
    span::Span,
};

/// What can be queued. The weight is what limits and counters count: spans, data points, samples.
pub(super) trait Item: Send + Sync + 'static {
    const SIGNAL: Signal;

    fn weight(&self) -> usize;
}

impl Item for Span {
    const SIGNAL: Signal = Signal::Traces;

    fn weight(&self) -> usize {
        1
    }
}

impl Item for ResourceMetrics {
    const SIGNAL: Signal = Signal::Metrics;

    fn weight(&self) -> usize {
        let points = self.metrics.iter().map(|metric| match &metric.data {
            MetricData::Histogram { points, .. } => points.len(),
            MetricData::Sum { points, .. } | MetricData::Gauge { points } => points.len(),
        });
        points.sum()
    }
}

impl Item for Profile {
    const SIGNAL: Signal = Signal::Profiles;

    fn weight(&self) -> usize {
        self.samples.len()
    }
}

#[derive(Debug)]
pub(super) struct Queue<T> {
    settings: QueueSettings,
    counters: Arc<DestinationCounters>,
    state: Mutex<State<T>>,
    wake: Notify,
}

#[derive(Debug)]
struct State<T> {
    chunks: VecDeque<Chunk<T>>,
    /// Weight of `chunks`.
    waiting: usize,
    /// Weight of `chunks` and of every batch handed out and not settled.
    held: usize,
    /// When the first chunk came.
    since: Option<Instant>,
    closed: bool,
}

/// A run of items in a vector that other destinations share.
#[derive(Debug)]
struct Chunk<T> {
    items: Arc<Vec<T>>,
    from: usize,
    to: usize,
}

/// Items taken from a queue. It must be settled; when dropped unsettled it counts as lost at shutdown.
#[derive(Debug)]
pub(super) struct Batch<T: Item> {
    queue: Arc<Queue<T>>,
    chunks: Vec<Chunk<T>>,
    weight: usize,
    unsettled: usize,
}

impl<T: Item> Queue<T> {
    pub(super) fn new(settings: QueueSettings, counters: Arc<DestinationCounters>) -> Arc<Self> {
        let settings = QueueSettings {
            max_queue: settings.max_queue.max(1),
            max_batch: settings.max_batch.clamp(1, settings.max_queue.max(1)),
            ..settings
        };
        let state = State { chunks: VecDeque::new(), waiting: 0, held: 0, since: None, closed: false };
        Arc::new(Self { settings, counters, state: Mutex::new(state), wake: Notify::new() })
    }

    pub(super) fn counters(&self) -> &SignalCounters {
        self.counters.of(T::SIGNAL)
    }

    /// Queues as many of `items`, in order, as there is room for.
    pub(super) fn push(&self, items: &Arc<Vec<T>>) {
        let total: usize = items.iter().map(T::weight).sum();
        let mut state = self.state();
        let room = if state.closed { 0 } else { self.settings.max_queue.saturating_sub(state.held) };
        let (mut to, mut accepted) = (items.len(), total);
        while accepted > room {
            to -= 1;
            accepted -= items[to].weight();
        }
        self.counters().offer(accepted as u64, (total - accepted) as u64);
        if accepted == 0 {
            return;
        }
        let was = state.waiting;
        state.chunks.push_back(Chunk { items: Arc::clone(items), from: 0, to });
        state.waiting += accepted;
        state.held += accepted;
        if was == 0 {
            state.since = Some(Instant::now());
        }
        let due = was == 0 || (was < self.settings.max_batch && state.waiting >= self.settings.max_batch);
        drop(state);
        if due {
            self.wake.notify_one();
        }
    }

    /// Nothing more is accepted; what waits is handed out without delay.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.wake.notify_one();
    }

    /// Gives up what waits; for a queue whose consumer is gone.
    pub(super) fn abandon(&self) {
        let mut state = self.state();
        state.chunks.clear();
        let lost = std::mem::take(&mut state.waiting);
        state.held -= lost;
        self.counters().drop(DropCause::Shutdown, lost as u64);
    }

    /// The next batch, or `None` once the queue is closed and empty. Has one consumer.
    pub(super) async fn next(self: &Arc<Self>) -> Option<Batch<T>> {
        loop {
            let deadline = {
                let mut state = self.state();
                let due = state.since.map(|since| since + self.settings.delay);
                let now = Instant::now();
                if state.waiting > 0
                    && (state.closed
                        || state.waiting >= self.settings.max_batch
                        || due.is_some_and(|due| due <= now))
                {
                    return Some(self.take(&mut state, now));
                }
                if state.closed {
                    return None;
                }
                due.filter(|_| state.waiting > 0)
            };
            match deadline {
                // Both the end of the delay and a wake-up lead to another look.
                Some(deadline) => drop(timeout_at(deadline, self.wake.notified()).await),
                None => self.wake.notified().await,
            }
        }
    }

    fn take(self: &Arc<Self>, state: &mut State<T>, now: Instant) -> Batch<T> {
        let (mut chunks, mut weight) = (Vec::new(), 0);
        while let Some(mut chunk) = state.chunks.pop_front() {
            let from = chunk.from;
            while chunk.from < chunk.to {
                let next = chunk.items[chunk.from].weight();
                // One item may be larger than a batch; it then is a batch of its own.
                if weight > 0 && weight + next > self.settings.max_batch {
                    break;
                }
                weight += next;
                chunk.from += 1;
            }
            if chunk.from > from {
                chunks.push(Chunk { items: Arc::clone(&chunk.items), from, to: chunk.from });
            }
            if chunk.from < chunk.to {
                state.chunks.push_front(chunk);
                break;
            }
        }
        state.waiting -= weight;
        state.since = (state.waiting > 0).then_some(now);
        Batch { queue: Arc::clone(self), chunks, weight, unsettled: weight }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release(&self, weight: usize) {
        self.state().held -= weight;
    }
}

impl<T: Item> Batch<T> {
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.chunks.iter().flat_map(|chunk| &chunk.items[chunk.from..chunk.to])
    }

    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// Lets go of the items, which are encoded by now; the batch goes on counting.
    pub(super) fn free_items(&mut self) {
        self.chunks = Vec::new();
    }

    pub(super) fn exported(mut self) {
        self.settle_exported(self.unsettled);
    }

    /// The peer took all but `rejected`.
    pub(super) fn partly_exported(mut self, rejected: u64) {
        let rejected = usize::try_from(rejected).unwrap_or(usize::MAX).min(self.unsettled);
        self.settle_exported(self.unsettled - rejected);
        self.settle_dropped(DropCause::Rejected);
    }

    pub(super) fn dropped(mut self, cause: DropCause) {
        self.settle_dropped(cause);
    }

    /// Gives the room back without settling: from here the caller counts what it holds.
    pub(super) fn taken_over(mut self) {
        self.queue.release(self.unsettled);
        self.unsettled = 0;
    }

    fn settle_exported(&mut self, count: usize) {
        self.queue.counters().export(count as u64);
        self.queue.release(count);
        self.unsettled -= count;
    }

    fn settle_dropped(&mut self, cause: DropCause) {
        self.queue.counters().drop(cause, self.unsettled as u64);
        self.queue.release(self.unsettled);
        self.unsettled = 0;
    }
}

impl<T: Item> Drop for Batch<T> {
    fn drop(&mut self) {
        if self.unsettled > 0 {
            self.settle_dropped(DropCause::Shutdown);
        }
    }
}
