//! TCP options: attached only where the user asked for them.

use anyhow::{Context as _, Result, bail, ensure};
use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray},
};
use honeyguide_common::propagation::{OPTIONS, OptionOutcome, TRIAL};

use super::{
    kernel_types, offsets,
    propagation::{self, Common},
};

/// The attached program's table. Dropping the programs lets every connection go.
pub(super) struct Options {
    outcomes: PerCpuArray<MapData, u64>,
    /// What the trial has counted.
    before: [u64; OptionOutcome::ALL.len()],
}

/// What is sent to try it: no request of any protocol.
const TRIAL_BYTES: &[u8] = b"honeyguide looks whether an option arrives\n";

/// Attaches what writes options and reads them, and tries it on a connection of our own.
///
/// # Errors
/// Where the kernel refuses, or no option arrives, or other bytes.
pub(super) fn attach(ebpf: &mut Ebpf, common: &mut Common) -> Result<Options> {
    offsets::of_options(&kernel_types()?)?;
    common.switches.set(OPTIONS, 1, 0)?;
    propagation::attach_to_sockets(ebpf, common, "propagate_options")?;
    let outcomes =
        PerCpuArray::try_from(ebpf.take_map("OPTION_OUTCOMES").context("no map OPTION_OUTCOMES")?)?;
    let mut options = Options { outcomes, before: [0; OptionOutcome::ALL.len()] };
    common.switches.set(TRIAL, 1, 0)?;
    let arrived = propagation::send(TRIAL_BYTES, b"");
    common.switches.set(TRIAL, 0, 0)?;
    ensure!(
        arrived.context("nothing can be sent over loopback, to try it")? == TRIAL_BYTES,
        "other bytes arrived"
    );
    options.before = options.counted();
    for outcome in [OptionOutcome::Begun, OptionOutcome::Written, OptionOutcome::Read] {
        if options.before[outcome as usize] == 0 {
            bail!("this kernel does not hand an option on: none was {}", outcome.name());
        }
    }
    Ok(options)
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").finish_non_exhaustive()
    }
}

impl Options {
    /// In the order of [`OptionOutcome::ALL`].
    pub(super) fn outcomes(&self) -> [u64; OptionOutcome::ALL.len()] {
        let mut counted = self.counted();
        for (count, before) in counted.iter_mut().zip(self.before) {
            *count = count.saturating_sub(before);
        }
        counted
    }

    fn counted(&self) -> [u64; OptionOutcome::ALL.len()] {
        OptionOutcome::ALL
            .map(|outcome| self.outcomes.get(&(outcome as u32), 0).map_or(0, |values| values.iter().sum()))
    }
}
