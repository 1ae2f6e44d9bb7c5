//! The two file formats, and the packets in them.
//!
//! Classic files: draft-ietf-opsawg-pcap. Blocks ("pcapng"): draft-ietf-opsawg-pcapng.

mod blocks;
mod classic;
mod source;

use std::io::Read;

use anyhow::{Result, bail};
use honeyguide_protocols::reader;

use self::{blocks::Blocks, classic::Classic, source::Source};

/// A packet as it was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Nanoseconds since the Unix epoch.
    pub time: u64,
    /// What `bytes` begins with, by the registry of link types.
    pub link: u16,
    /// Its length on the wire. `bytes` may be less: a capture can be limited to the first bytes of each packet.
    pub length: u64,
    pub bytes: &'a [u8],
}

/// The file makes no sense from some byte on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the capture makes no sense at byte {at}: {what}")]
pub struct Damage {
    pub at: u64,
    pub what: String,
}

/// Reads a capture of either format, packet after packet.
#[derive(Debug)]
pub struct Reader<R> {
    source: Source<R>,
    format: Format,
    packet: Vec<u8>,
}

#[derive(Debug)]
enum Format {
    Classic(Classic),
    Blocks(Blocks),
}

/// The longest packet that is read, unless the file's own limit is higher: libpcap's.
const MAX_PACKET: u32 = 262_144;
/// No limit of a file is believed beyond this.
const MAX_SNAPLEN: u32 = 1 << 24;
/// The last time that is told, in 2262: leaves room for arithmetic on it.
const MAX_TIME: u64 = i64::MAX as u64;

/// Whether a file that begins with these four bytes is a capture.
#[must_use]
pub fn is_capture(magic: [u8; 4]) -> bool {
    magic == blocks::MAGIC || Classic::knows(magic)
}

impl<R: Read> Reader<R> {
    /// # Errors
    /// Where the beginning is not that of a capture.
    pub fn new(source: R) -> Result<Self> {
        let mut source = Source::new(source);
        let mut magic = [0; 4];
        if !source.fill(&mut magic)? {
            bail!("it is shorter than its magic");
        }
        let format = if magic == blocks::MAGIC {
            Format::Blocks(Blocks::begin(&mut source)?)
        } else if Classic::knows(magic) {
            Format::Classic(Classic::begin(magic, &mut source)?)
        } else {
            bail!("wrong magic");
        };
        Ok(Self { source, format, packet: Vec::new() })
    }

    /// The next packet; `None` at the end, also where the last one is cut off.
    ///
    /// # Errors
    /// Where the file makes no sense or cannot be read; nothing after that can be found again.
    pub fn next_packet(&mut self) -> Result<Option<Packet<'_>>, Damage> {
        let found = match &mut self.format {
            Format::Classic(classic) => classic.next(&mut self.source, &mut self.packet),
            Format::Blocks(blocks) => blocks.next(&mut self.source, &mut self.packet),
        }?;
        Ok(found.map(|(time, link, length)| {
            let length = u64::from(length).max(self.packet.len() as u64);
            Packet { time: time.min(MAX_TIME), link, length, bytes: &self.packet }
        }))
    }

    /// The file ends in the middle of a packet: its writer was killed.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.source.truncated
    }

    /// Packets that the capturing program says it has lost.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        match &self.format {
            Format::Classic(_) => 0,
            Format::Blocks(blocks) => blocks.dropped(),
        }
    }
}

/// The byte order that a file was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    fn u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(bytes),
            Self::Big => u64::from_be_bytes(bytes),
        }
    }

    fn read_u16(self, reader: &mut reader::Reader<'_>) -> Option<u16> {
        reader.array().map(|bytes| self.u16(bytes))
    }

    fn read_u32(self, reader: &mut reader::Reader<'_>) -> Option<u32> {
        reader.array().map(|bytes| self.u32(bytes))
    }
}
