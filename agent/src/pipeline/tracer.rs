//! The kernel side: loaded, steered and drained, whatever becomes of the records.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use honeyguide_common::propagation::{OptionOutcome, Outcome};
use log::{debug, warn};

use super::{status, who::Who, wiring};
use crate::{
    clock::{self, Clock},
    config::{Profile, Settings},
    decode,
    load::{Arena, Control, Interpreters, Kernel, RuntimeCounters, TlsCounters},
    ring::Ring,
};

/// Records taken from the ring before anything else has its turn.
const ROUND: usize = 8_192;
/// An idle ring is looked at less and less often, down to once in this many poll intervals.
const IDLE: u32 = 10;
/// How often processes are scanned for what no event told, dead connections swept, the clocks compared.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// What becomes of the records.
pub(super) trait Sink {
    /// One record, as it came from the ring.
    fn record(&mut self, bytes: &[u8], steering: &mut Steering) -> Result<()>;

    /// A round is over: every record made before `now` was handed over. `ring`: its size.
    fn round(&mut self, now: u64, ring: u64, steering: &mut Steering) -> Result<()>;
}

pub(super) struct Tracer {
    kernel: Kernel,
    ring: Ring,
    pub(super) steering: Steering,
    started: Instant,
    stop: Arc<AtomicBool>,
}

/// The agent's hand on the kernel, and what it knows of processes and of the time.
pub(super) struct Steering {
    pub(super) control: Control,
    pub(super) who: Who,
    pub(super) clock: Clock,
    pub(super) tls: TlsCounters,
    pub(super) runtimes: RuntimeCounters,
    pub(super) headers: [u64; Outcome::ALL.len()],
    pub(super) options: [u64; OptionOutcome::ALL.len()],
    /// Housekeeping is due in this round.
    pub(super) housekeeping: bool,
}

impl Tracer {
    pub(super) fn start(settings: &Settings) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
            // A second signal ends the process at once; the kernel then takes the probes off.
            signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        let mut who = Who::new(settings);
        let mut kernel = Kernel::load(&wiring::load_settings(settings))?;
        for missing in &kernel.missing {
            warn!("without {missing}");
        }
        if kernel.follows_connections() == Some(false) {
            warn!(
                "this kernel tells readers wrongly how much there is to read of connections in a sockmap: only the first request of each connection gets a header"
            );
        }
        let (ring, mut control) = (kernel.take_ring()?, kernel.take_control()?);
        who.select(settings, &mut control)?;
        for pid in who.watched() {
            kernel.expect_tls(pid);
            kernel.expect_runtime(pid);
        }
        who.take_begun();
        kernel.poll_tls(&who.proc);
        kernel.poll_runtimes(&who.proc);
        let steering = Steering {
            control,
            who,
            clock: Clock::measure(),
            tls: TlsCounters::default(),
            runtimes: RuntimeCounters::default(),
            headers: [0; Outcome::ALL.len()],
            options: [0; OptionOutcome::ALL.len()],
            housekeeping: false,
        };
        // Tests and scripts wait for this line.
        status(format_args!("ready, capturing through {}", kernel.hook));
        Ok(Self { kernel, ring, steering, started: Instant::now(), stop })
    }

    /// Hands every record over until a signal comes or the duration is over, and then what is left.
    pub(super) fn drain(&mut self, settings: &Settings, sink: &mut impl Sink) -> Result<()> {
        let interval = settings.capture.poll_interval;
        let (mut wait, mut kept) = (interval, Instant::now());
        let mut end = None;
        let mut log = (settings.log >= log::LevelFilter::Debug).then(|| self.kernel.logger()).flatten();
        loop {
            let over = settings.duration.is_some_and(|duration| self.started.elapsed() >= duration);
            let stopping = self.stop.load(Relaxed) || over || self.steering.who.is_everyone_gone(settings);
            self.steering.housekeeping = kept.elapsed() >= HOUSEKEEPING;
            if self.steering.housekeeping {
                kept = Instant::now();
                self.steering.clock = Clock::measure();
                self.steering.who.scan(&mut self.steering.control);
                self.kernel.tidy_runtimes(&self.steering.who.proc);
                if settings.capture.tls {
                    self.kernel.tidy_tls(&self.steering.who.proc, &self.steering.who.watched());
                }
            }
            let now = clock::monotonic();
            let mut result = Ok(());
            let mut last = 0;
            let records = self.ring.drain(ROUND, |bytes| {
                last = decode::time(bytes).unwrap_or(last);
                if result.is_ok() {
                    result = sink.record(bytes, &mut self.steering);
                }
            });
            result?;
            for pid in self.steering.who.take_begun() {
                self.kernel.expect_tls(pid);
                self.kernel.expect_runtime(pid);
            }
            for pid in self.steering.who.take_loaded() {
                self.kernel.look_for_tls(&self.steering.who.proc, pid);
            }
            let mut looking = self.kernel.poll_tls(&self.steering.who.proc);
            looking |= self.kernel.poll_runtimes(&self.steering.who.proc);
            self.steering.tls = self.kernel.tls_counters();
            self.steering.runtimes = self.kernel.runtime_counters();
            self.steering.headers = self.kernel.outcomes();
            self.steering.options = self.kernel.option_outcomes();
            // Behind: what is still in the ring is older than now, and hardly older than what came out of it.
            let handled = if records < ROUND { now } else { last.min(now) };
            sink.round(handled, self.ring.size(), &mut self.steering)?;
            if let Some(log) = &mut log {
                log.flush();
            }
            // What was made after the end need not be waited for: under load there is always more.
            if stopping && (records < ROUND || last > *end.get_or_insert(now)) {
                return Ok(());
            }
            wait = if records > 0 || looking { interval } else { (wait * 2).min(interval * IDLE) };
            if !stopping {
                self.ring.wait(wait);
            }
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Begins to sample: the ring of samples, and the tables of the unwinder.
    pub(super) fn take_samples(&mut self, profile: &Profile) -> Result<(Ring, Arena, Interpreters)> {
        let taken = self.kernel.take_samples()?;
        if let Some(hz) = profile.hz {
            let event = self.kernel.start_sampling(hz)?;
            debug!("sampling at {hz} Hz by {event}");
        }
        self.kernel.start_off_cpu()?;
        Ok(taken)
    }

    /// The ring's size in bytes.
    pub(super) fn ring(&self) -> u64 {
        self.ring.size()
    }
}
