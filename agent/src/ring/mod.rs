//! The reading end of the kernel's ring buffer.

use std::{os::fd::AsFd as _, time::Duration};

use anyhow::{Context as _, Result};
use aya::maps::{Map, MapData, RingBuf};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Records in the order the kernel made them.
pub struct Ring {
    ring: RingBuf<MapData>,
    size: u64,
    high_water: u64,
    /// Bytes taken since the ring was last found empty.
    run: u64,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("size", &self.size).field("high_water", &self.high_water).finish()
    }
}

impl Ring {
    pub(crate) fn new(map: Map) -> Result<Self> {
        let size = match &map {
            Map::RingBuf(data) => data.info().map_or(0, |info| u64::from(info.max_entries())),
            _ => 0,
        };
        let ring = RingBuf::try_from(map).context("the ring cannot be mapped")?;
        Ok(Self { ring, size, high_water: 0, run: 0 })
    }

    /// Hands every waiting record to `handle`, at most `limit` of them, and says how many there were.
    /// The room of a record is given back as soon as `handle` returns.
    pub fn drain(&mut self, limit: usize, mut handle: impl FnMut(&[u8])) -> usize {
        let mut records = 0;
        while records < limit {
            let Some(record) = self.ring.next() else { break };
            self.run += record.len() as u64 + 8;
            records += 1;
            handle(&record);
        }
        self.high_water = self.high_water.max(self.run);
        if records < limit {
            self.run = 0;
        }
        records
    }

    /// Waits until the kernel says the ring is filling up, or the time is over, or a signal came.
    pub fn wait(&self, timeout: Duration) {
        let mut fds = [PollFd::from_borrowed_fd(self.ring.as_fd(), PollFlags::IN)];
        let timeout = Timespec::try_from(timeout).unwrap_or_default();
        let _ = poll(&mut fds, Some(&timeout));
    }

    /// The most bytes that were waiting at once, as far as draining can tell, and the ring's size.
    #[must_use]
    pub fn high_water(&self) -> (u64, u64) {
        (self.high_water.min(self.size), self.size)
    }
}
