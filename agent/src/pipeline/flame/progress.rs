//! A line that tells how far a recording is, where somebody looks.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// Twice a second is as often as one reads.
const AGAIN: Duration = Duration::from_millis(500);

/// Writes over itself; dropping it takes it away.
pub(super) struct Progress {
    begun: Instant,
    shown: Option<Instant>,
    duration: Option<Duration>,
    terminal: bool,
}

impl Progress {
    /// `duration`: after which the recording ends by itself.
    pub(super) fn new(duration: Option<Duration>) -> Self {
        Self { begun: Instant::now(), shown: None, duration, terminal: io::stderr().is_terminal() }
    }

    /// `samples`: how many there are so far.
    pub(super) fn show(&mut self, samples: u64) {
        if !self.terminal || self.shown.is_some_and(|shown| shown.elapsed() < AGAIN) {
            return;
        }
        self.shown = Some(Instant::now());
        // Nobody may be looking any more, and that is no reason to fail.
        let _ = write!(io::stderr(), "\r\x1b[K{}", line(self.begun.elapsed(), self.duration, samples));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// "honeyguide: 3 of 10 s, 297 recorded"
fn line(elapsed: Duration, duration: Option<Duration>, samples: u64) -> String {
    let seconds = elapsed.as_secs();
    match duration {
        Some(whole) => format!("honeyguide: {seconds} of {} s, {samples} recorded", whole.as_secs_f64()),
        None => format!("honeyguide: {seconds} s, {samples} recorded"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_how_far_the_recording_is() {
        let line = |duration| line(Duration::from_millis(3_400), duration, 297);
        assert_eq!(line(Some(Duration::from_secs(10))), "honeyguide: 3 of 10 s, 297 recorded");
        assert_eq!(line(Some(Duration::from_millis(4_500))), "honeyguide: 3 of 4.5 s, 297 recorded");
        assert_eq!(line(None), "honeyguide: 3 s, 297 recorded");
    }
}
