//! One log line for a kind of trouble, however often it strikes.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const INTERVAL: Duration = Duration::from_secs(30);

/// Lets a message through at once, and then at most every 30 seconds with the number left out between.
#[derive(Debug, Default)]
pub(super) struct Notice {
    last: Mutex<(Option<Instant>, u64)>,
}

impl Notice {
    pub(super) fn warn(&self, destination: &str, message: impl fmt::Display) {
        if let Some(silenced) = self.due(Instant::now()) {
            if silenced == 0 {
                log::warn!("export to {destination}: {message}");
            } else {
                log::warn!("export to {destination}: {message} ({silenced} more like this before)");
            }
        }
    }

    fn due(&self, now: Instant) -> Option<u64> {
        let mut state = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, silenced) = &mut *state;
        if last.is_some_and(|last| now.duration_since(last) < INTERVAL) {
            *silenced += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(silenced))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_passes_in_thirty_seconds() {
        let notice = Notice::default();
        let start = Instant::now();
        let at = |seconds| notice.due(start + Duration::from_secs(seconds));
        assert_eq!(
            [at(0), at(1), at(29), at(30), at(31), at(60)],
            [Some(0), None, None, Some(2), None, Some(1)]
        );
    }
}
