//! Packets within packets, as the networks of clusters carry them between machines: VXLAN (RFC 7348), Geneve (RFC 8926),
//! GRE (RFC 2784 and 2890), also in UDP (RFC 8086), and IP in IP (RFC 2003, 4213 and 2473). Switches mirror a port in GRE, as
//! ERSPAN (draft-foschiano-erspan).

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
const GRE_PORT: u16 = 4754;
/// A whole Ethernet frame ("transparent Ethernet bridging").
const TYPE_ETHERNET: u16 = 0x6558;
/// A mirrored frame: types I and II, type III.
const TYPE_ERSPAN: [u16; 2] = [0x88be, 0x22eb];
/// GRE's flag of a sequence number.
const SEQUENCE: u16 = 0x1000;

/// The packet that another one carries; `NotTcp` where that is no tunnel's.
pub(super) fn inner<'a>(outer: &Datagram<'a>) -> Result<Datagram<'a>, Skipped> {
    let packet = match outer.protocol {
        IPV4 | IPV6 => outer.bytes,
        UDP => udp(outer.bytes)?,
        GRE => gre(&mut Reader::new(outer.bytes))?,
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
    let tunnel = match port {
        GENEVE_PORT => geneve,
        GRE_PORT => gre,
        _ if VXLAN_PORTS.contains(&port) => vxlan,
        _ => return Err(Skipped::NotTcp),
    };
    // Length and checksum.
    reader.take(4).ok_or(Skipped::Cut)?;
    tunnel(&mut reader)
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

fn gre<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Skipped> {
    let flags = reader.u16().ok_or(Skipped::Cut)?;
    let protocol = reader.u16().ok_or(Skipped::Cut)?;
    // Version 1 is PPTP's. Routes were in the first GRE only (RFC 1701).
    if flags & 0x4007 != 0 {
        return Err(Skipped::NotTcp);
    }
    // A checksum, a key and a number, four bytes each.
    let words = [0x8000, 0x2000, SEQUENCE].into_iter().filter(|bit| flags & bit != 0).count();
    reader.take(4 * words).ok_or(Skipped::Cut)?;
    match TYPE_ERSPAN.iter().position(|&erspan| erspan == protocol) {
        None => of_type(protocol, reader),
        Some(0) if flags & SEQUENCE == 0 => link::frame(reader),
        Some(0) => {
            reader.take(8).ok_or(Skipped::Cut)?;
            link::frame(reader)
        }
        Some(_) => {
            let header: [u8; 12] = reader.array().ok_or(Skipped::Cut)?;
            // One more header, of the switch's own.
            reader.take(if header[11] & 1 == 1 { 8 } else { 0 }).ok_or(Skipped::Cut)?;
            link::frame(reader)
        }
    }
}

fn of_type<'a>(protocol: u16, reader: &mut Reader<'a>) -> Result<&'a [u8], Skipped> {
    if protocol == TYPE_ETHERNET { link::frame(reader) } else { link::of_type(protocol, reader) }
}
