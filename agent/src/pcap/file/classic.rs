//! Classic files: a header, then each packet behind its own.

use std::io::Read;

use honeyguide_protocols::reader;

use super::{Damage, MAX_PACKET, MAX_SNAPLEN, Order, Source};

#[derive(Debug)]
pub(super) struct Classic {
    order: Order,
    /// Nanoseconds in a unit of the fraction.
    unit: u64,
    /// Bytes of a packet's header.
    header: usize,
    link: u16,
    longest: u32,
}

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
/// A variant of Linux 2.2's libpcap: eight more bytes in each packet's header.
const PATCHED: u32 = 0xa1b2_cd34;
/// Bytes of the file's header after the magic.
const FILE_HEADER: usize = 20;

impl Classic {
    pub(super) fn knows(magic: [u8; 4]) -> bool {
        order(magic).is_some()
    }

    pub(super) fn begin<R: Read>(magic: [u8; 4], source: &mut Source<R>) -> Result<Self, Damage> {
        let Some(order) = order(magic) else { return Err(source.damage("wrong magic")) };
        let mut header = [0; FILE_HEADER];
        if !source.expect(&mut header)? {
            return Err(source.damage("it is shorter than its header"));
        }
        // Version, time zone and accuracy are of no use; the upper bits of the last word tell of checksums.
        let [_, _, _, snaplen, link] = words(&header, order);
        let (unit, header) = match order.u32(magic) {
            NANOSECONDS => (1, 16),
            PATCHED => (1000, 24),
            _ => (1000, 16),
        };
        let longest = if snaplen > MAX_SNAPLEN { MAX_PACKET } else { snaplen.max(MAX_PACKET) };
        Ok(Self { order, unit, header, link: (link & 0xffff) as u16, longest })
    }

    /// Time, link type and length of the next packet, whose bytes go to `packet`.
    pub(super) fn next<R: Read>(
        &self,
        source: &mut Source<R>,
        packet: &mut Vec<u8>,
    ) -> Result<Option<(u64, u16, u32)>, Damage> {
        let mut header = [0; 24];
        if !source.fill(&mut header[..self.header])? {
            return Ok(None);
        }
        let [seconds, fraction, captured, length] = words(&header, self.order);
        if captured > self.longest {
            return Err(source.damage(format!("a packet of {captured} bytes")));
        }
        packet.resize(captured as usize, 0);
        if !source.expect(packet)? {
            return Ok(None);
        }
        let time = u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * self.unit;
        Ok(Some((time, self.link, length)))
    }
}

fn order(magic: [u8; 4]) -> Option<Order> {
    let known = |order: Order| matches!(order.u32(magic), MICROSECONDS | NANOSECONDS | PATCHED);
    [Order::Little, Order::Big].into_iter().find(|&order| known(order))
}

/// The first `N` words of 32 bits; 0 for those that are not there.
fn words<const N: usize>(bytes: &[u8], order: Order) -> [u32; N] {
    let mut reader = reader::Reader::new(bytes);
    std::array::from_fn(|_| order.read_u32(&mut reader).unwrap_or_default())
}
