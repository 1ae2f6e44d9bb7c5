//! Every stage and every channel, on one page.
//!
//! ```text
//!  kernel programs ──ring──▶ engine thread ──────────────────────────────▶ exporters, a thread each
//!                            decode → flow → protocol → link → span/metric    OTLP · files · terminal
//!       ▲                              │
//!       └── selection, verdicts ───────┘
//! ```
//!
//! The engine thread never waits for an exporter: each destination has a bounded queue and counts what
//! it has no room for. The kernel never waits for the engine: the ring is bounded and counts likewise.

mod flame;
mod live;
mod offline;
mod profiles;
mod sampler;
mod tracer;
mod who;
mod wiring;

use std::{
    fmt,
    io::{self, Write as _},
    path::Path,
};

use anyhow::Result;

use crate::{config::Settings, flame::Format};

pub use flame::{FlameSettings, RequestSettings};

/// Captures and exports until the duration is over or a signal comes: `run` and `attach`.
///
/// # Errors
/// Where the kernel or the privileges do not allow it (`load::Unsupported`), or a destination cannot be used.
pub fn run(settings: &Settings) -> Result<()> {
    live::run(settings)
}

/// Captures into a file; nothing is exported. `mask`: hide the values of headers that hold secrets.
///
/// # Errors
/// As [`run`], and where the file cannot be written.
pub fn record(settings: &Settings, path: &Path, mask: bool) -> Result<()> {
    live::record(settings, path, mask)
}

/// Samples what is selected for the duration, and writes a flamegraph.
///
/// # Errors
/// As [`run`], and where the file cannot be written.
pub fn flame(settings: &Settings, flame: &FlameSettings) -> Result<()> {
    flame::flame(settings, flame)
}

/// Draws two files of folded stacks as one picture, the second against the first; needs no privileges.
///
/// # Errors
/// Where one of them cannot be read or holds no stacks, and where `output` cannot be written.
pub fn compare(before: &Path, now: &Path, output: &Path, format: Format) -> Result<()> {
    flame::compare(before, now, output, format)
}

/// Runs a recording or a packet capture through the same stages, without privileges and with the same result every
/// time. Which of them a file is, its content says.
///
/// # Errors
/// Where the file cannot be read or is neither, or a destination cannot be used. Where a file makes no sense from some
/// byte on, what came before is exported all the same.
pub fn replay(settings: &Settings, path: &Path) -> Result<()> {
    offline::replay(settings, path)
}

/// One line to the person who started the agent; standard output belongs to the data.
fn status(line: fmt::Arguments<'_>) {
    // Nobody may be listening any more, and that is no reason to fail.
    let _ = writeln!(io::stderr(), "honeyguide: {line}");
}
