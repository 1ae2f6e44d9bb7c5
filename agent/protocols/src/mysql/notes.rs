//! What the parser has read, for those who hide what is in it: what a server's packet is depends on what was asked.

use super::frame::Reading;
use crate::sql::Backslash;

/// Packets that are noted at once; a record of the kernel's holds fewer.
const MOST: usize = 16_384;

/// What was read since the last notes were taken.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    pub(super) packets: Vec<Noted>,
    settled: Option<Backslash>,
}

/// A packet of the server's that the parser found where it was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    /// Stream offset of its header.
    pub(super) offset: u64,
    pub(super) reading: Reading,
    /// Its `OK` tells a prepared statement's number.
    pub(super) prepares: bool,
}

impl Notes {
    pub(super) fn packet(&mut self, packet: Noted) {
        if self.packets.len() < MOST {
            self.packets.push(packet);
        }
    }

    /// All that was asked is answered: the session's mode is this.
    pub(super) fn settle(&mut self, backslash: Backslash) {
        self.settled = Some(backslash);
    }

    pub(crate) fn settled(&self) -> Option<Backslash> {
        self.settled
    }
}
