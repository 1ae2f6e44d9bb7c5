//! When to try again: exponential backoff with jitter, and the peer's own wish.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use tokio::time::Instant;

use super::settings::RetrySettings;

#[derive(Debug)]
pub(super) struct Backoff {
    settings: RetrySettings,
    started: Instant,
    next: Duration,
}

impl Backoff {
    /// The first attempt is made now.
    pub(super) fn new(settings: RetrySettings) -> Self {
        Self { settings, started: Instant::now(), next: settings.initial }
    }

    /// How long to wait after an attempt failed; `None` when the time for retries is over. A peer's
    /// `after` is a lower bound, and stretched a little so that not all clients come back at once.
    pub(super) fn delay(&mut self, after: Option<Duration>) -> Option<Duration> {
        let delay = match after {
            Some(after) => after.saturating_add(Duration::from_millis(100).mul_f64(random())),
            None => self.next.mul_f64(0.5 + random()),
        };
        self.next = self.next.saturating_mul(2).min(self.settings.max);
        (self.started.elapsed().saturating_add(delay) <= self.settings.max_elapsed).then_some(delay)
    }
}

/// From 0 to 1. Every `RandomState` has a key of its own, which is randomness enough for jitter.
fn random() -> f64 {
    let bits = RandomState::new().hash_one(0_u8) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(initial: u64, max: u64, max_elapsed: u64) -> RetrySettings {
        let [initial, max, max_elapsed] = [initial, max, max_elapsed].map(Duration::from_secs);
        RetrySettings { initial, max, max_elapsed }
    }

    #[test]
    fn the_delay_doubles_up_to_its_maximum_with_half_of_jitter() {
        let mut backoff = Backoff::new(seconds(1, 5, 1000));
        for middle in [1.0, 2.0, 4.0, 5.0, 5.0] {
            let delay = backoff.delay(None).unwrap().as_secs_f64();
            assert!((middle * 0.5..=middle * 1.5).contains(&delay), "{delay} around {middle}");
        }
    }

    #[test]
    fn a_peers_wish_is_a_lower_bound() {
        let mut backoff = Backoff::new(seconds(1, 5, 1000));
        let delay = backoff.delay(Some(Duration::from_secs(60))).unwrap();
        assert!((60.0..=60.1).contains(&delay.as_secs_f64()), "{delay:?}");
    }

    #[test]
    fn no_delay_reaches_beyond_the_time_for_retries() {
        let mut backoff = Backoff::new(seconds(1, 5, 30));
        assert_eq!(backoff.delay(Some(Duration::from_secs(31))), None);
        assert_eq!(backoff.delay(Some(Duration::MAX)), None);
        assert!(backoff.delay(None).is_some());
    }
}
