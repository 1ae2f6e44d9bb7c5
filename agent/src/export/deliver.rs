//! The worker of one OTLP destination: takes batches, encodes each once, and sends it until it is
//! taken, refused, or its time is over.

use std::sync::Arc;

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    client::{Client, Encoding, Outcome, excerpt},
    counters::DropCause,
    notice::Notice,
    otlp::Otlp,
    queue::{Batch, Queue},
    retry::Backoff,
    settings::RetrySettings,
};

/// `None` until the agent shuts down; then the moment by which everything must have been sent.
pub(super) type Stop = watch::Receiver<Option<Instant>>;

pub(super) struct Delivery<T: Otlp> {
    pub(super) destination: String,
    pub(super) queue: Arc<Queue<T>>,
    pub(super) client: Client,
    pub(super) retry: RetrySettings,
    pub(super) in_flight: usize,
    pub(super) notices: Notices,
}

#[derive(Debug, Default)]
pub(super) struct Notices {
    overflow: Notice,
    retry: Notice,
    lost: Notice,
    peer: Notice,
}

impl<T: Otlp> Delivery<T> {
    /// Ends when the queue is closed and all it held is settled.
    pub(super) async fn run(self, stop: Stop) {
        let in_flight = self.in_flight.max(1);
        let this = Arc::new(self);
        let mut flights = JoinSet::new();
        let mut overflown = 0;
        while let Some(batch) = this.queue.next().await {
            let lost = this.queue.counters().snapshot().queue_full;
            if lost > overflown {
                let what = T::FILE.trim_end_matches(".jsonl");
                this.notices.overflow.warn(
                    &this.destination,
                    format_args!(
                        "it does not keep up; {lost} items of {what} dropped so far, the queue was full"
                    ),
                );
                overflown = lost;
            }
            flights.spawn(Arc::clone(&this).deliver(batch, stop.clone()));
            while flights.try_join_next().is_some() {}
            while flights.len() >= in_flight {
                flights.join_next().await;
            }
        }
        while flights.join_next().await.is_some() {}
    }

    async fn deliver(self: Arc<Self>, mut batch: Batch<T>, mut stop: Stop) {
        let message = match self.client.encoding() {
            Encoding::Protobuf => T::protobuf(batch.iter()),
            Encoding::Json => {
                let mut out = Vec::new();
                T::json(batch.iter(), &mut out);
                out
            }
        };
        batch.free_items();
        let body = match self.client.body(message) {
            Ok(body) => body,
            Err(error) => return self.give_up(batch, DropCause::Permanent, &error.to_string()),
        };
        let mut backoff = Backoff::new(self.retry);
        for attempt in 0.. {
            self.queue.counters().request(attempt);
            let (after, reason) = match self.client.send(body.clone()).await {
                Outcome::Accepted(answer) => {
                    if answer.rejected > 0 || !answer.message.is_empty() {
                        let (rejected, message) = (answer.rejected, excerpt(&answer.message));
                        self.notices.peer.warn(
                            &self.destination,
                            format_args!("{rejected} of {} rejected: {message}", batch.weight()),
                        );
                    }
                    return batch.partly_exported(answer.rejected);
                }
                Outcome::Permanent(reason) => return self.give_up(batch, DropCause::Permanent, &reason),
                Outcome::Retryable { after, reason } => (after, reason),
            };
            let Some(delay) = backoff.delay(after) else {
                return self.give_up(batch, DropCause::RetriesExhausted, &reason);
            };
            let deadline = *stop.borrow();
            if deadline.is_some_and(|deadline| Instant::now() + delay >= deadline) {
                return self.give_up(batch, DropCause::Shutdown, &reason);
            }
            self.notices.retry.warn(&self.destination, format_args!("{reason}; trying again in {delay:.1?}"));
            if deadline.is_some() {
                sleep(delay).await;
            } else {
                // At shutdown waiting ends: there is one more attempt at once.
                tokio::select! {
                    () = sleep(delay) => {}
                    _ = stop.wait_for(Option::is_some) => {}
                }
            }
        }
    }

    fn give_up(&self, batch: Batch<T>, cause: DropCause, reason: &str) {
        self.notices.lost.warn(&self.destination, format_args!("{} items dropped: {reason}", batch.weight()));
        batch.dropped(cause);
    }
}
