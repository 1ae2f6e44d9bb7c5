//! From the kernel's monotonic time to the time of day.

use rustix::time::{ClockId, clock_gettime};

/// What to add to a monotonic time, in nanoseconds, to get the time since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    offset: i64,
}

impl Clock {
    #[must_use]
    pub fn with_offset(offset: i64) -> Self {
        Self { offset }
    }

    /// Compares the two clocks now. The wall clock may be stepped or slewed: measure again now and then.
    #[must_use]
    pub fn measure() -> Self {
        // The narrowest of a few brackets: a reader may be interrupted between two readings.
        let best = (0..5)
            .map(|_| {
                let before = nanos(ClockId::Monotonic);
                let wall = nanos(ClockId::Realtime);
                let after = nanos(ClockId::Monotonic);
                (after - before, wall - (before + (after - before) / 2))
            })
            .min_by_key(|&(width, _)| width);
        Self { offset: best.map_or(0, |(_, offset)| offset) }
    }

    #[must_use]
    pub fn offset(self) -> i64 {
        self.offset
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub fn unix(self, monotonic: u64) -> u64 {
        monotonic.saturating_add_signed(self.offset)
    }
}

/// The kernel's monotonic clock now, in nanoseconds: the clock of every record.
#[must_use]
pub fn monotonic() -> u64 {
    u64::try_from(nanos(ClockId::Monotonic)).unwrap_or(0)
}

/// The time of day, in nanoseconds since the Unix epoch.
#[must_use]
pub fn now() -> u64 {
    u64::try_from(nanos(ClockId::Realtime)).unwrap_or(0)
}

fn nanos(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_offset_gives_the_time_of_day() {
        let unix = Clock::measure().unix(monotonic());
        let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        assert!(u128::from(unix) <= system && system - u128::from(unix) < 5_000_000_000);
        assert_eq!(Clock::with_offset(-5).unix(3), 0);
    }
}
