//! TCP segments (RFC 9293).

use std::net::SocketAddr;

use super::{Packet, ip, link, tunnel};

/// One TCP segment as the capture has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment<'a> {
    /// Nanoseconds since the Unix epoch.
    pub(super) time: u64,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) sequence: u32,
    pub(super) acknowledgement: Option<u32>,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) reset: bool,
    /// What was captured of its data.
    pub(super) bytes: &'a [u8],
    /// The length of its data on the wire.
    pub(super) length: u64,
}

/// Why a packet is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    UnknownLink,
    NotIp,
    NotTcp,
    Fragment,
    /// The capture kept less of it than its headers.
    Cut,
    /// A header contradicts itself.
    Malformed,
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const RESET: u8 = 4;
const ACKNOWLEDGEMENT: u8 = 16;
/// Packets within packets within packets: a cluster's network over a company's.
const MAX_TUNNELS: usize = 4;
/// More data than any one segment has, also before it is cut: IPv6 with its jumbo option, in kernels of today.
const MAX_LENGTH: u64 = 1 << 20;

impl<'a> Segment<'a> {
    /// Checksums are not looked at: where the network card makes them, a capture has them wrong.
    pub(super) fn read(packet: &Packet<'a>) -> Result<Self, Skipped> {
        let carried = link::network(packet.link, packet.bytes)?;
        let before = (packet.bytes.len() - carried.len()) as u64;
        let mut datagram = ip::datagram(carried, packet.length.saturating_sub(before))?;
        let mut tunnels = 0;
        while datagram.protocol != ip::TCP && tunnels < MAX_TUNNELS {
            datagram = tunnel::inner(&datagram)?;
            tunnels += 1;
        }
        if datagram.protocol != ip::TCP {
            return Err(Skipped::NotTcp);
        }
        let header: &[u8; 14] = datagram.bytes.first_chunk().ok_or(Skipped::Cut)?;
        let word =
            |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let port = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let (own, flags) = (usize::from(header[12] >> 4) * 4, header[13]);
        let length = datagram.length.checked_sub(own as u64).filter(|&length| length <= MAX_LENGTH);
        let Some(length) = length.filter(|_| own >= 20) else { return Err(Skipped::Malformed) };
        Ok(Self {
            time: packet.time,
            source: SocketAddr::new(datagram.source, port(0)),
            destination: SocketAddr::new(datagram.destination, port(2)),
            sequence: word(4),
            acknowledgement: (flags & ACKNOWLEDGEMENT != 0).then(|| word(8)),
            syn: flags & SYN != 0,
            fin: flags & FIN != 0,
            reset: flags & RESET != 0,
            // Its options may be cut off, and all of its data with them.
            bytes: datagram.bytes.get(own..).unwrap_or_default(),
            length,
        })
    }
}
