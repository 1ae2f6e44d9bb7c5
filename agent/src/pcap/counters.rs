//! What a capture held, and what of it could not be read.

use std::fmt;

use super::segment::Skipped;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub packets: u64,
    /// TCP segments.
    pub segments: u64,
    /// Packets of a link type that is not read.
    pub unknown_link: u64,
    /// Packets that are not IP, or not TCP.
    pub other: u64,
    /// Fragments of IP packets that carry TCP. They are not put together, so their bytes are lost.
    pub fragments: u64,
    /// Packets of which less than the headers was captured.
    pub cut: u64,
    /// Packets whose headers contradict themselves.
    pub malformed: u64,
    /// Connections that carried data.
    pub connections: u64,
    /// Those of them that were open before the capture began.
    pub joined: u64,
    /// Connections given up because there were too many.
    pub evicted: u64,
    /// Bytes of data, each once.
    pub bytes: u64,
    /// Bytes that came again.
    pub repeated: u64,
    /// Bytes of packets that were not captured whole.
    pub uncaptured: u64,
    /// Bytes that were due and never came.
    pub missing: u64,
    /// Segments that came before one that belongs in front of them.
    pub reordered: u64,
    /// Segments that belong nowhere in their connection: far away, or behind its end.
    pub stray: u64,
    /// Times that bytes were no longer waited for, because too many others waited behind them.
    pub forced: u64,
    /// Packets that the capturing program lost, by its own account.
    pub dropped: u64,
}

impl Counters {
    pub(super) fn skip(&mut self, skipped: Skipped) {
        *match skipped {
            Skipped::UnknownLink => &mut self.unknown_link,
            Skipped::NotIp | Skipped::NotTcp => &mut self.other,
            Skipped::Fragment => &mut self.fragments,
            Skipped::Cut => &mut self.cut,
            Skipped::Malformed => &mut self.malformed,
        } += 1;
    }
}

/// One line; what is 0 as it should be is left out.
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { packets, segments, connections, bytes, .. } = self;
        write!(f, "{packets} packets, {segments} of TCP")?;
        let packets = [
            (self.other, "of other protocols"),
            (self.unknown_link, "of a link type that is not read"),
            (self.fragments, "fragments, not put together"),
            (self.cut, "captured without their headers"),
            (self.malformed, "malformed"),
            (self.stray, "of no place in their connection"),
            (self.dropped, "lost by the capturing program"),
        ];
        for (count, what) in packets.into_iter().filter(|&(count, _)| count > 0) {
            write!(f, ", {count} {what}")?;
        }
        write!(f, " · {connections} connections")?;
        let connections =
            [(self.joined, "joined in the middle"), (self.evicted, "given up, there were too many")];
        for (count, what) in connections.into_iter().filter(|&(count, _)| count > 0) {
            write!(f, ", {count} {what}")?;
        }
        write!(f, " · {bytes} bytes, {} missing", self.missing)?;
        let bytes = [(self.uncaptured, "not captured"), (self.repeated, "sent again")];
        for (count, what) in bytes.into_iter().filter(|&(count, _)| count > 0) {
            write!(f, ", {count} {what}")?;
        }
        Ok(())
    }
}
