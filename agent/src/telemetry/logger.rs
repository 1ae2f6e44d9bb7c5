//! The agent's log: lines on standard error, for the person or the journal that reads it.

use std::io::{self, Write as _};

use log::{LevelFilter, Log, Metadata, Record};

/// Sends the `log` facade to standard error from now on. Only the first call has an effect.
pub fn install(level: LevelFilter) {
    if log::set_logger(&STDERR).is_ok() {
        log::set_max_level(level);
    }
}

static STDERR: Stderr = Stderr;

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries may say what goes wrong, not how they work.
        metadata.target().starts_with("honeyguide") || metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let level = record.level().as_str().to_ascii_lowercase();
            // A reader that went away is no reason to fail.
            let _ = writeln!(io::stderr(), "honeyguide: {level}: {}", record.args());
        }
    }

    fn flush(&self) {}
}
