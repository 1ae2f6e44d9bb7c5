//! TCP options: attached only where the user asked for them.

use anyhow::{Context as _, Result, bail, ensure};
use aya::Ebpf;
use honeyguide_common::propagation::{OPTIONS, OptionOutcome, TRIAL};

use super::{
    kernel_types, offsets,
    outcomes::Outcomes,
    propagation::{self, Common},
};

/// In the order of [`OptionOutcome::ALL`]. Dropping the programs lets every connection go.
pub(super) type Options = Outcomes<{ OptionOutcome::ALL.len() }>;

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
    let mut options = Options::take(ebpf, "OPTION_OUTCOMES")?;
    common.switches.set(TRIAL, 1, 0)?;
    let arrived = propagation::send(TRIAL_BYTES, b"");
    common.switches.set(TRIAL, 0, 0)?;
    ensure!(
        arrived.context("nothing can be sent over loopback, to try it")? == TRIAL_BYTES,
        "other bytes arrived"
    );
    let tried = options.end_trial();
    for outcome in [OptionOutcome::Begun, OptionOutcome::Written, OptionOutcome::Read] {
        if tried[outcome as usize] == 0 {
            bail!("this kernel does not hand an option on: none was {}", outcome.name());
        }
    }
    Ok(options)
}
