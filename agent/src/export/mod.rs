//! Where finished spans, metrics and profiles leave the agent: OTLP peers, files, the terminal.
//!
//! Every destination has a bounded queue per signal and a thread of its own, so that a dead peer or
//! a paused terminal delays nobody else. Whoever hands signals over never waits.

pub mod counters;
pub mod settings;

mod client;
mod deliver;
mod file;
mod lines;
mod notice;
mod otlp;
mod queue;
mod retry;
mod terminal;

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use self::{
    client::Client,
    counters::{DestinationCounters, DestinationSnapshot, ExportCounters},
    deliver::{Delivery, Stop},
    file::{LazyFile, LineFile},
    otlp::Otlp,
    queue::Queue,
    settings::{
        ExportSettings, FileSettings, OtlpSettings, Print, QueueSettings, SignalSettings, TerminalSettings,
    },
};
use crate::{metrics::model::ResourceMetrics, profile::named::Profile, span::Span};

/// Every destination, running.
#[derive(Debug)]
pub struct Exporters {
    destinations: Vec<Destination>,
}

/// What became of everything, when all is over. Nothing is pending any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportSummary {
    pub destinations: Vec<DestinationSnapshot>,
}

#[derive(Debug)]
struct Destination {
    counters: Arc<DestinationCounters>,
    queues: Queues,
    stop: watch::Sender<Option<Instant>>,
    /// Closed when the thread ends.
    ended: mpsc::Receiver<()>,
}

/// `None` for a signal that the destination does not take.
#[derive(Debug)]
struct Queues {
    traces: Option<Arc<Queue<Span>>>,
    metrics: Option<Arc<Queue<ResourceMetrics>>>,
    profiles: Option<Arc<Queue<Profile>>>,
}

impl Exporters {
    /// Opens files, loads certificates and starts the threads. Does not connect: a peer that is down
    /// now may be up later.
    ///
    /// # Errors
    /// On an endpoint, header, certificate or directory that cannot be used, naming it.
    pub fn start(settings: ExportSettings, counters: &ExportCounters) -> anyhow::Result<Self> {
        let ExportSettings { otlp, file, terminal } = settings;
        let mut destinations = Vec::new();
        for otlp in otlp {
            destinations.push(start_otlp(otlp, counters)?);
        }
        if let Some(file) = file {
            destinations.push(start_file(&file, counters)?);
        }
        destinations.extend(start_terminal(terminal, counters)?);
        Ok(Self { destinations })
    }

    /// Hands `batch` to every destination that takes spans. Never waits; what a queue has no room
    /// for is dropped there and counted.
    pub fn spans(&self, batch: Vec<Span>) {
        offer(batch, self.destinations.iter().filter_map(|destination| destination.queues.traces.as_deref()));
    }

    /// The same for metrics.
    pub fn metrics(&self, batch: Vec<ResourceMetrics>) {
        offer(
            batch,
            self.destinations.iter().filter_map(|destination| destination.queues.metrics.as_deref()),
        );
    }

    /// The same for profiles. Those without samples are left out.
    pub fn profiles(&self, mut batch: Vec<Profile>) {
        batch.retain(|profile| !profile.samples.is_empty());
        offer(
            batch,
            self.destinations.iter().filter_map(|destination| destination.queues.profiles.as_deref()),
        );
    }

    /// Sends what is queued, for `timeout` at most, and stops. What is left then is counted as
    /// dropped by the shutdown.
    #[must_use]
    pub fn shutdown(self, timeout: Duration) -> ExportSummary {
        let deadline = Instant::now() + timeout;
        for destination in &self.destinations {
            destination.close();
            let _ = destination.stop.send(Some(deadline));
        }
        let snapshots = self.destinations.into_iter().map(|destination| destination.finish(deadline));
        ExportSummary { destinations: snapshots.collect() }
    }
}

/// One OTLP `ProfilesData` message as JSON: for a file of its own.
#[must_use]
pub fn profiles_json(profiles: &[Profile]) -> Vec<u8> {
    let mut out = Vec::new();
    Profile::json(profiles.iter(), &mut out);
    out
}

fn offer<'a, T: Otlp>(batch: Vec<T>, queues: impl Iterator<Item = &'a Queue<T>>) {
    if batch.is_empty() {
        return;
    }
    let batch = Arc::new(batch);
    for queue in queues {
        queue.push(&batch);
    }
}

fn start_otlp(settings: OtlpSettings, counters: &ExportCounters) -> anyhow::Result<Destination> {
    let OtlpSettings { name, traces, metrics, profiles, queue, retry } = settings;
    let counters = counters.register(&name);
    let delivery = Parts { name: &name, queue, retry, counters: &counters };
    let traces = traces.map(|signal| delivery.of::<Span>(&signal)).transpose()?;
    let metrics = metrics.map(|signal| delivery.of::<ResourceMetrics>(&signal)).transpose()?;
    let profiles = profiles.map(|signal| delivery.of::<Profile>(&signal)).transpose()?;
    let queues = Queues {
        traces: traces.as_ref().map(|delivery| Arc::clone(&delivery.queue)),
        metrics: metrics.as_ref().map(|delivery| Arc::clone(&delivery.queue)),
        profiles: profiles.as_ref().map(|delivery| Arc::clone(&delivery.queue)),
    };
    Destination::start(Arc::clone(&counters), queues, move |stop: Stop| async move {
        tokio::join!(run(traces, &stop), run(metrics, &stop), run(profiles, &stop));
    })
}

async fn run<T: Otlp>(delivery: Option<Delivery<T>>, stop: &Stop) {
    if let Some(delivery) = delivery {
        delivery.run(stop.clone()).await;
    }
}

/// What the signals of an OTLP destination share.
struct Parts<'a> {
    name: &'a str,
    queue: QueueSettings,
    retry: settings::RetrySettings,
    counters: &'a Arc<DestinationCounters>,
}

impl Parts<'_> {
    fn of<T: Otlp>(&self, signal: &SignalSettings) -> anyhow::Result<Delivery<T>> {
        Ok(Delivery {
            destination: self.name.to_owned(),
            queue: Queue::new(self.queue, Arc::clone(self.counters)),
            client: Client::new::<T>(signal)?,
            retry: self.retry,
            in_flight: self.queue.in_flight,
            notices: deliver::Notices::default(),
        })
    }
}

fn start_file(settings: &FileSettings, counters: &ExportCounters) -> anyhow::Result<Destination> {
    let traces_file = LineFile::open(&settings.directory, Span::FILE)?;
    let metrics_file = LineFile::open(&settings.directory, ResourceMetrics::FILE)?;
    let profiles_file = LazyFile::new(&settings.directory, Profile::FILE);
    let counters = counters.register("file");
    let traces = Queue::new(settings.queue, Arc::clone(&counters));
    let metrics = Queue::new(settings.queue, Arc::clone(&counters));
    let profiles = Queue::new(settings.queue, Arc::clone(&counters));
    let queues = Queues {
        traces: Some(Arc::clone(&traces)),
        metrics: Some(Arc::clone(&metrics)),
        profiles: Some(Arc::clone(&profiles)),
    };
    let path = |name| settings.directory.join(name).display().to_string();
    let paths = [Span::FILE, ResourceMetrics::FILE, Profile::FILE].map(path);
    Destination::start(counters, queues, |_| async {
        let [traces_path, metrics_path, profiles_path] = paths;
        tokio::join!(
            lines::write(traces, traces_file, traces_path),
            lines::write(metrics, metrics_file, metrics_path),
            lines::write(profiles, profiles_file, profiles_path)
        );
    })
}

fn start_terminal(
    settings: TerminalSettings,
    counters: &ExportCounters,
) -> anyhow::Result<Option<Destination>> {
    if settings.print == Print::None {
        return Ok(None);
    }
    let counters = counters.register("terminal");
    let limits = QueueSettings {
        max_batch: 512,
        delay: Duration::from_millis(50),
        in_flight: 1,
        ..QueueSettings::default()
    };
    let traces = Queue::new(limits, Arc::clone(&counters));
    if settings.print == Print::Spans {
        let queues = Queues { traces: Some(Arc::clone(&traces)), metrics: None, profiles: None };
        return Destination::start(counters, queues, move |_| terminal::print_spans(traces, settings.colour))
            .map(Some);
    }
    let metrics = Queue::new(limits, Arc::clone(&counters));
    let profiles = Queue::new(limits, Arc::clone(&counters));
    let queues = Queues {
        traces: Some(Arc::clone(&traces)),
        metrics: Some(Arc::clone(&metrics)),
        profiles: Some(Arc::clone(&profiles)),
    };
    let start = Destination::start(counters, queues, |_| async {
        let name = || "standard output".to_owned();
        tokio::join!(
            lines::write(traces, terminal::Stdout, name()),
            lines::write(metrics, terminal::Stdout, name()),
            lines::write(profiles, terminal::Stdout, name())
        );
    });
    start.map(Some)
}

impl Destination {
    /// Runs `work` on a thread and a runtime of its own until it ends or the time to shut down is over.
    fn start<F: Future<Output = ()>>(
        counters: Arc<DestinationCounters>,
        queues: Queues,
        work: impl FnOnce(Stop) -> F + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (stop, mut stopped) = watch::channel(None);
        let (alive, ended) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(2)
            .build()
            .context("cannot start the runtime of an exporter")?;
        let run = move || {
            runtime.block_on(async {
                let work = work(stopped.clone());
                let deadline = async {
                    if let Ok(Some(deadline)) = stopped.wait_for(Option::is_some).await.map(|stop| *stop) {
                        sleep_until(deadline).await;
                    }
                };
                tokio::select! {
                    () = work => {}
                    () = deadline => {}
                }
            });
            // Name resolution may hang in a thread of its own; it is not waited for.
            runtime.shutdown_background();
            drop(alive);
        };
        thread::Builder::new()
            .name("export".to_owned())
            .spawn(run)
            .with_context(|| format!("cannot start the thread of exporter {}", counters.name))?;
        Ok(Self { counters, queues, stop, ended })
    }

    fn close(&self) {
        self.queues.traces.as_ref().inspect(|queue| queue.close());
        self.queues.metrics.as_ref().inspect(|queue| queue.close());
        self.queues.profiles.as_ref().inspect(|queue| queue.close());
    }

    fn finish(self, deadline: Instant) -> DestinationSnapshot {
        /// For the worker to see the deadline itself. One that hangs in a write to a disk or a
        /// terminal is left behind.
        const GRACE: Duration = Duration::from_millis(500);
        let patience = deadline.saturating_duration_since(Instant::now()) + GRACE;
        let _: Result<(), mpsc::RecvTimeoutError> = self.ended.recv_timeout(patience);
        self.queues.traces.as_ref().inspect(|queue| queue.abandon());
        self.queues.metrics.as_ref().inspect(|queue| queue.abandon());
        self.queues.profiles.as_ref().inspect(|queue| queue.abandon());
        let mut snapshot = self.counters.snapshot();
        for signal in [&mut snapshot.traces, &mut snapshot.metrics, &mut snapshot.profiles] {
            signal.shutdown += std::mem::take(&mut signal.pending);
        }
        snapshot
    }
}
