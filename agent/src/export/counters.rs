//! What became of everything handed to `export`, per destination and signal. Spans are counted for
//! traces, data points for metrics, samples for profiles. Everything offered is pending, exported or dropped for one cause.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The counters of every destination, shared between the workers and the agent's own telemetry.
#[derive(Debug, Default)]
pub struct ExportCounters {
    destinations: Mutex<Vec<Arc<DestinationCounters>>>,
}

#[derive(Debug)]
pub struct DestinationCounters {
    /// `otlp`, `file`, `terminal`, or what the configuration calls it.
    pub name: String,
    pub traces: SignalCounters,
    pub metrics: SignalCounters,
    pub profiles: SignalCounters,
}

#[derive(Debug, Default)]
pub struct SignalCounters {
    /// Handed to this destination, whether or not there was room.
    offered: AtomicU64,
    /// Accepted, and neither delivered nor given up yet.
    pending: AtomicU64,
    exported: AtomicU64,
    dropped: [AtomicU64; DropCause::ALL.len()],
    requests: AtomicU64,
    retries: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Traces,
    Metrics,
    Profiles,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropCause {
    /// The destination did not keep up.
    QueueFull,
    /// The peer took the request and rejected some of it (OTLP partial success).
    Rejected,
    /// The peer refused the request for good, or the file could not be written.
    Permanent,
    /// Every attempt failed until the time for retries was over.
    RetriesExhausted,
    /// Still undelivered when the time to shut down was over.
    Shutdown,
}

/// The counters of one signal at one destination, read at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSnapshot {
    pub offered: u64,
    pub pending: u64,
    pub exported: u64,
    pub queue_full: u64,
    pub rejected: u64,
    pub permanent: u64,
    pub retries_exhausted: u64,
    pub shutdown: u64,
    pub requests: u64,
    pub retries: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationSnapshot {
    pub name: String,
    pub traces: SignalSnapshot,
    pub metrics: SignalSnapshot,
    pub profiles: SignalSnapshot,
}

impl ExportCounters {
    /// A consistent list of destinations, in the order they were started.
    #[must_use]
    pub fn snapshot(&self) -> Vec<DestinationSnapshot> {
        let destinations = self.destinations.lock().unwrap_or_else(PoisonError::into_inner);
        destinations.iter().map(|destination| destination.snapshot()).collect()
    }

    pub(super) fn register(&self, name: &str) -> Arc<DestinationCounters> {
        let counters = Arc::new(DestinationCounters {
            name: name.to_owned(),
            traces: SignalCounters::default(),
            metrics: SignalCounters::default(),
            profiles: SignalCounters::default(),
        });
        self.destinations.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&counters));
        counters
    }
}

impl DestinationCounters {
    #[must_use]
    pub fn of(&self, signal: Signal) -> &SignalCounters {
        match signal {
            Signal::Traces => &self.traces,
            Signal::Metrics => &self.metrics,
            Signal::Profiles => &self.profiles,
        }
    }

    #[must_use]
    pub fn snapshot(&self) -> DestinationSnapshot {
        DestinationSnapshot {
            name: self.name.clone(),
            traces: self.traces.snapshot(),
            metrics: self.metrics.snapshot(),
            profiles: self.profiles.snapshot(),
        }
    }
}

impl SignalCounters {
    #[must_use]
    pub fn snapshot(&self) -> SignalSnapshot {
        let dropped = |cause: DropCause| self.dropped[cause as usize].load(Relaxed);
        SignalSnapshot {
            offered: self.offered.load(Relaxed),
            pending: self.pending.load(Relaxed),
            exported: self.exported.load(Relaxed),
            queue_full: dropped(DropCause::QueueFull),
            rejected: dropped(DropCause::Rejected),
            permanent: dropped(DropCause::Permanent),
            retries_exhausted: dropped(DropCause::RetriesExhausted),
            shutdown: dropped(DropCause::Shutdown),
            requests: self.requests.load(Relaxed),
            retries: self.retries.load(Relaxed),
        }
    }

    /// `accepted` were queued, `refused` found no room.
    pub(super) fn offer(&self, accepted: u64, refused: u64) {
        self.offered.fetch_add(accepted + refused, Relaxed);
        self.pending.fetch_add(accepted, Relaxed);
        self.dropped[DropCause::QueueFull as usize].fetch_add(refused, Relaxed);
    }

    pub(super) fn export(&self, count: u64) {
        self.pending.fetch_sub(count, Relaxed);
        self.exported.fetch_add(count, Relaxed);
    }

    pub(super) fn drop(&self, cause: DropCause, count: u64) {
        self.pending.fetch_sub(count, Relaxed);
        self.dropped[cause as usize].fetch_add(count, Relaxed);
    }

    pub(super) fn request(&self, attempt: u32) {
        self.requests.fetch_add(1, Relaxed);
        if attempt > 0 {
            self.retries.fetch_add(1, Relaxed);
        }
    }
}

impl DropCause {
    pub const ALL: [Self; 5] =
        [Self::QueueFull, Self::Rejected, Self::Permanent, Self::RetriesExhausted, Self::Shutdown];
}

impl SignalSnapshot {
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.queue_full + self.rejected + self.permanent + self.retries_exhausted + self.shutdown
    }
}
