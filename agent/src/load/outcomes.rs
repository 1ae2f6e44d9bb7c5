//! What became of the contexts that the kernel's programs hand on.

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray},
};

/// A program's counters, one for each of N outcomes, without what its trial has counted.
pub(super) struct Outcomes<const N: usize> {
    table: PerCpuArray<MapData, u64>,
    before: [u64; N],
}

impl<const N: usize> std::fmt::Debug for Outcomes<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outcomes").finish_non_exhaustive()
    }
}

impl<const N: usize> Outcomes<N> {
    /// # Errors
    /// Where there is no such map, or it was taken already.
    pub(super) fn take(ebpf: &mut Ebpf, name: &str) -> Result<Self> {
        let map = ebpf.take_map(name).with_context(|| format!("no map {name}"))?;
        Ok(Self { table: PerCpuArray::try_from(map)?, before: [0; N] })
    }

    /// A trial is over: what it has counted.
    pub(super) fn end_trial(&mut self) -> [u64; N] {
        let counted = self.counted();
        for (before, count) in self.before.iter_mut().zip(counted) {
            *before += count;
        }
        counted
    }

    pub(super) fn counted(&self) -> [u64; N] {
        let mut index = 0;
        self.before.map(|before| {
            let values = self.table.get(&index, 0);
            index += 1;
            values.map_or(0, |values| values.iter().sum::<u64>()).saturating_sub(before)
        })
    }
}
