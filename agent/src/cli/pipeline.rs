//! Where the commands meet the pipeline.

use std::path::Path;

use anyhow::bail;

use crate::config::Settings;

const ABSENT: &str = "this build has no capture pipeline";

pub(super) fn run(settings: Settings) -> anyhow::Result<()> {
    drop(settings);
    bail!(ABSENT)
}

pub(super) fn record(settings: Settings, _recording: &Path) -> anyhow::Result<()> {
    drop(settings);
    bail!(ABSENT)
}

pub(super) fn replay(settings: Settings, _recording: &Path) -> anyhow::Result<()> {
    drop(settings);
    bail!(ABSENT)
}
