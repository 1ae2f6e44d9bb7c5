//! Files of blocks: sections, interfaces in them, packets of those.

use std::io::Read;

use honeyguide_protocols::reader::Reader;

use super::{Damage, MAX_PACKET, MAX_SNAPLEN, Order, Source};

/// The type of the block that begins a section, the same in both byte orders.
pub(super) const MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

const INTERFACE: u32 = 1;
/// The obsolete packet block.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Type and length in front, length behind.
const FRAME: u32 = 12;
/// Of a block that is read and not a packet.
const MAX_BLOCK: u32 = 1 << 20;
/// Fixed fields and options of a packet's block.
const PACKET_ROOM: u32 = 1 << 16;
/// Of a section. Packets of later ones are malformed.
const MAX_INTERFACES: usize = 4096;

const OPTION_END: u16 = 0;
const IF_TSRESOL: u16 = 9;
const IF_TSOFFSET: u16 = 14;
const ISB_IFDROP: u16 = 5;
const ISB_OSDROP: u16 = 7;

#[derive(Debug)]
pub(super) struct Blocks {
    order: Order,
    interfaces: Vec<Interface>,
    /// Those of earlier sections.
    dropped_before: u64,
    /// Of the last packet that had one.
    time: u64,
}

#[derive(Debug)]
struct Interface {
    link: u16,
    /// 0: no limit.
    snaplen: u32,
    resolution: Resolution,
    /// Seconds to add to every time.
    offset: i64,
    /// The newest count of lost packets.
    dropped: u64,
}

/// Units of time in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolution {
    Decimal(u8),
    Binary(u8),
}

impl Blocks {
    /// Reads the rest of the first section's block, whose type was read.
    pub(super) fn begin<R: Read>(source: &mut Source<R>) -> Result<Self, Damage> {
        let mut blocks = Self { order: Order::Little, interfaces: Vec::new(), dropped_before: 0, time: 0 };
        if !blocks.section(source)? {
            return Err(source.damage("it is shorter than its header"));
        }
        Ok(blocks)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.interfaces
            .iter()
            .fold(self.dropped_before, |sum, interface| sum.saturating_add(interface.dropped))
    }

    /// Time, link type and length of the next packet, whose bytes go to `packet`.
    pub(super) fn next<R: Read>(
        &mut self,
        source: &mut Source<R>,
        packet: &mut Vec<u8>,
    ) -> Result<Option<(u64, u16, u32)>, Damage> {
        loop {
            let mut kind = [0; 4];
            if !source.fill(&mut kind)? {
                return Ok(None);
            }
            if kind == MAGIC {
                if !self.section(source)? {
                    return Ok(None);
                }
                continue;
            }
            let kind = self.order.u32(kind);
            let mut length = [0; 4];
            if !source.expect(&mut length)? {
                return Ok(None);
            }
            let Some(body) = body_length(self.order.u32(length)) else {
                return Err(source.damage(format!("a block of {} bytes", self.order.u32(length))));
            };
            let limit = match kind {
                INTERFACE | STATISTICS => MAX_BLOCK,
                PACKET | SIMPLE_PACKET | ENHANCED_PACKET => self.longest() + PACKET_ROOM,
                // A kind that says nothing of packets, or one that is not known yet.
                _ => {
                    if !source.skip(u64::from(body) + 4)? {
                        return Ok(None);
                    }
                    continue;
                }
            };
            if body > limit {
                return Err(source.damage(format!("a block of {} bytes", body + FRAME)));
            }
            packet.resize(body as usize, 0);
            let mut trailer = [0; 4];
            if !source.expect(packet)? || !source.expect(&mut trailer)? {
                return Ok(None);
            }
            if trailer != length {
                return Err(source.damage("a block that contradicts itself"));
            }
            match kind {
                INTERFACE => {
                    self.interface(packet).ok_or_else(|| source.damage("an interface without a type"))?;
                }
                STATISTICS => self.statistics(packet),
                _ => {
                    let (start, captured, told) = self
                        .packet(kind, packet)
                        .ok_or_else(|| source.damage("a packet that contradicts itself"))?;
                    packet.copy_within(start..start + captured, 0);
                    packet.truncate(captured);
                    return Ok(Some(told));
                }
            }
        }
    }

    /// A section begins anew, with a byte order and interfaces of its own. False where it is cut off.
    fn section<R: Read>(&mut self, source: &mut Source<R>) -> Result<bool, Damage> {
        let mut fixed = [0; 8];
        if !source.expect(&mut fixed)? {
            return Ok(false);
        }
        let (length, magic) = fixed.split_at(4);
        let array = |bytes: &[u8]| [bytes[0], bytes[1], bytes[2], bytes[3]];
        self.order = match [Order::Little, Order::Big].into_iter().find(|o| o.u32(array(magic)) == BYTE_ORDER)
        {
            Some(order) => order,
            None => return Err(source.damage("a section without a byte order")),
        };
        self.dropped_before = self.dropped();
        self.interfaces.clear();
        let length = self.order.u32(array(length));
        // The byte order's mark was read; version and section length are at least twelve bytes more.
        match body_length(length).filter(|&body| body >= 16) {
            Some(body) => source.skip(u64::from(body)),
            None => Err(source.damage(format!("a section's block of {length} bytes"))),
        }
    }

    fn interface(&mut self, body: &[u8]) -> Option<()> {
        let mut reader = Reader::new(body);
        let link = self.order.read_u16(&mut reader)?;
        reader.take(2)?;
        let snaplen = self.order.read_u32(&mut reader)?;
        let mut interface =
            Interface { link, snaplen, resolution: Resolution::Decimal(6), offset: 0, dropped: 0 };
        for (code, value) in Options::new(self.order, reader) {
            match (code, value) {
                (IF_TSRESOL, &[value]) if value & 0x80 == 0 => {
                    interface.resolution = Resolution::Decimal(value);
                }
                (IF_TSRESOL, &[value]) => interface.resolution = Resolution::Binary(value & 0x7f),
                (IF_TSOFFSET, value) => {
                    let seconds = value.try_into().map(|value| self.order.u64(value).cast_signed());
                    interface.offset = seconds.unwrap_or_default();
                }
                _ => {}
            }
        }
        if self.interfaces.len() < MAX_INTERFACES {
            self.interfaces.push(interface);
        }
        Some(())
    }

    /// The counts go on from the capture's start, so the newest is what holds.
    fn statistics(&mut self, body: &[u8]) {
        let mut reader = Reader::new(body);
        let Some(number) = self.order.read_u32(&mut reader) else { return };
        let Some(interface) = self.interfaces.get_mut(number as usize) else { return };
        if reader.take(8).is_none() {
            return;
        }
        let count = |value: &[u8]| value.try_into().map_or(0, |value| self.order.u64(value));
        interface.dropped = Options::new(self.order, reader)
            .filter(|(code, _)| matches!(*code, ISB_IFDROP | ISB_OSDROP))
            .fold(0, |sum: u64, (_, value)| sum.saturating_add(count(value)));
    }

    /// Where a packet's bytes are in its block: start and length; then its time, link type and length.
    fn packet(&mut self, kind: u32, body: &[u8]) -> Option<(usize, usize, (u64, u16, u32))> {
        let order = self.order;
        let mut reader = Reader::new(body);
        if kind == SIMPLE_PACKET {
            let length = order.read_u32(&mut reader)?;
            let interface = self.interfaces.first()?;
            let limit = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
            let captured = length.min(limit) as usize;
            reader.rest().get(..captured)?;
            // It has no time of its own.
            return Some((reader.position(), captured, (self.time, interface.link, length)));
        }
        let number = if kind == PACKET {
            let number = order.read_u16(&mut reader)?;
            reader.take(2)?; // Lost packets since the one before; the statistics have their sum.
            usize::from(number)
        } else {
            order.read_u32(&mut reader)? as usize
        };
        let interface = self.interfaces.get(number)?;
        let high = order.read_u32(&mut reader)?;
        let low = order.read_u32(&mut reader)?;
        let captured = order.read_u32(&mut reader)? as usize;
        let length = order.read_u32(&mut reader)?;
        reader.rest().get(..captured)?;
        self.time = interface.time(u64::from(high) << 32 | u64::from(low));
        Some((reader.position(), captured, (self.time, interface.link, length)))
    }

    fn longest(&self) -> u32 {
        let limits = self.interfaces.iter().map(|interface| interface.snaplen);
        limits.filter(|&limit| limit <= MAX_SNAPLEN).fold(MAX_PACKET, u32::max)
    }
}

impl Interface {
    /// Nanoseconds since the Unix epoch.
    fn time(&self, units: u64) -> u64 {
        let units = u128::from(units);
        let nanos = match self.resolution {
            Resolution::Decimal(digits @ 0..=9) => units * 10_u128.pow(9 - u32::from(digits)),
            Resolution::Decimal(digits) => {
                10_u128.checked_pow(u32::from(digits) - 9).map_or(0, |divisor| units / divisor)
            }
            // 64 bits by 30 more: no overflow.
            Resolution::Binary(digits) => (units * 1_000_000_000) >> digits,
        };
        let nanos = i128::try_from(nanos).unwrap_or(i128::MAX);
        let shifted = nanos.saturating_add(i128::from(self.offset) * 1_000_000_000);
        u64::try_from(shifted.max(0)).unwrap_or(u64::MAX)
    }
}

/// Code and value of each option, up to the end of them or what is none.
struct Options<'a> {
    order: Order,
    reader: Reader<'a>,
}

impl<'a> Options<'a> {
    fn new(order: Order, reader: Reader<'a>) -> Self {
        Self { order, reader }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let code = self.order.read_u16(&mut self.reader)?;
        let length = usize::from(self.order.read_u16(&mut self.reader)?);
        if code == OPTION_END {
            return None;
        }
        let value = self.reader.take(length)?;
        // The padding of the last one may be missing.
        let _ = self.reader.take(length.next_multiple_of(4) - length);
        Some((code, value))
    }
}

/// The length of a block's body; `None` where the whole cannot be so long.
fn body_length(length: u32) -> Option<u32> {
    length.checked_sub(FRAME).filter(|body| body % 4 == 0)
}
