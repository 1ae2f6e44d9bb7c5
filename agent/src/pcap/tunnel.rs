//! Packets within packets, as the networks of clusters carry them between machines: VXLAN (RFC 7348), Geneve (RFC 8926),
//! GRE (RFC 2784 and 2890), and IP in IP (RFC 2003, 4213 and 2473).

use honeyguide_protocols::reader::Reader;

use super::{
    ip::{self, Datagram},
    link,
    segment::Skipped,
};

const IPV4: u8 = 4;
const UDP: u8 = 17;
const IPV6: u8 = 41;
const GRE: u8 = 47;
/// IANA's, and the one that Linux takes where nobody names one.
const VXLAN_PORTS: [u16; 2] = [4789, 8472];
const GENEVE_PORT: u16 = 6081;
/// A whole Ethernet frame ("transparent Ethernet bridging").
const TYPE_ETHERNET: u16 = 0x6558;

/// The packet that another one carries; `NotTcp` where that is no tunnel's.
pub(super) fn inner<'a>(outer: &Datagram<'a>) -> Result<Datagram<'a>, Skipped> {
    let packet = match outer.protocol {
        IPV4 | IPV6 => outer.bytes,
        UDP => udp(outer.bytes)?,
        GRE => gre(outer.bytes)?,
        _ => return Err(Skipped::NotTcp),
    };
    let before = (outer.bytes.len() - packet.len()) as u64;
    ip::datagram(packet, outer.length.saturating_sub(before))
}

fn udp(bytes: &[u8]) -> Result<&[u8], Skipped> {
    let mut reader = Reader::new(bytes);
    // The source's port is made of the inner packet's addresses, to spread the load.
    reader.take(2).ok_or(Skipped::Cut)?;
    let port = reader.u16().ok_or(Skipped::Cut)?;
    if port != GENEVE_PORT && !VXLAN_PORTS.contains(&port) {
        return Err(Skipped::NotTcp);
    }
    // Length and checksum.
    reader.take(4).ok_or(Skipped::Cut)?;
    if port == GENEVE_PORT { geneve(&mut reader) } else { vxlan(&mut reader) }
}

fn vxlan<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Skipped> {
    let flags = reader.u8().ok_or(Skipped::Cut)?;
    reader.take(7).ok_or(Skipped::Cut)?;
    // The network's number has to be there. Bits that are reserved are not looked at, as the RFC asks.
    if flags & 8 == 0 {
        return Err(Skipped::NotTcp);
    }
    link::frame(reader)
}

fn geneve<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Skipped> {
    let first = reader.u8().ok_or(Skipped::Cut)?;
    reader.take(1).ok_or(Skipped::Cut)?;
    let protocol = reader.u16().ok_or(Skipped::Cut)?;
    let options = usize::from(first & 0x3f) * 4;
    reader.take(4 + options).ok_or(Skipped::Cut)?;
    if first >> 6 != 0 {
        return Err(Skipped::NotTcp);
    }
    of_type(protocol, reader)
}

fn gre(bytes: &[u8]) -> Result<&[u8], Skipped> {
    let mut reader = Reader::new(bytes);
    let flags = reader.u16().ok_or(Skipped::Cut)?;
    let protocol = reader.u16().ok_or(Skipped::Cut)?;
    // Version 1 is PPTP's. Routes were in the first GRE only (RFC 1701).
    if flags & 0x4007 != 0 {
        return Err(Skipped::NotTcp);
    }
    // A checksum, a key and a number, four bytes each.
    let words = [0x8000, 0x2000, 0x1000].into_iter().filter(|bit| flags & bit != 0).count();
    reader.take(4 * words).ok_or(Skipped::Cut)?;
    of_type(protocol, &mut reader)
}

fn of_type<'a>(protocol: u16, reader: &mut Reader<'a>) -> Result<&'a [u8], Skipped> {
    if protocol == TYPE_ETHERNET { link::frame(reader) } else { link::of_type(protocol, reader) }
}
