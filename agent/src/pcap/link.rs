//! From what a packet begins with to its IP header.
//!
//! Link types and their headers: <https://www.tcpdump.org/linktypes.html>.

use honeyguide_protocols::reader::Reader;

use super::segment::Skipped;

const NULL: u16 = 0;
const ETHERNET: u16 = 1;
/// PPP, with and without the address and control bytes of HDLC in front (RFC 1662), and in an Ethernet frame.
const PPP: [u16; 2] = [9, 50];
const PPP_ETHER: u16 = 51;
/// Raw IP, by the numbers of several systems.
const RAW: [u16; 3] = [12, 14, 101];
const CISCO_HDLC: u16 = 104;
const LOOP: u16 = 108;
const LINUX_SLL: u16 = 113;
const IPV4: u16 = 228;
const IPV6: u16 = 229;
const NFLOG: u16 = 239;
const LINUX_SLL2: u16 = 276;

const TYPE_IPV4: u16 = 0x0800;
const TYPE_IPV6: u16 = 0x86dd;
/// 802.1Q, 802.1ad, and the number that came before 802.1ad.
const TYPE_VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// MPLS, for one and for many receivers (RFC 5332).
const TYPE_MPLS: [u16; 2] = [0x8847, 0x8848];
const TYPE_PPPOE: u16 = 0x8864;
/// A type that is not greater is a length: IEEE 802.3.
const MAX_LENGTH: u16 = 1500;
/// More tags than anyone stacks.
const MAX_TAGS: usize = 8;

const PPP_IPV4: u16 = 0x21;
const PPP_IPV6: u16 = 0x57;
/// "All stations", and "unnumbered information".
const HDLC: [u8; 2] = [0xff, 0x03];
/// LLC's header for what SNAP names, and SNAP's for Ethernet's types (RFC 1042).
const SNAP: [u8; 6] = [0xaa, 0xaa, 0x03, 0, 0, 0];
/// The attribute of an `NFLOG` message that is the packet.
const NFLOG_PAYLOAD: u16 = 9;

/// Address families of IPv4 and, on Linux, NetBSD, FreeBSD and macOS, of IPv6.
const FAMILIES: [u32; 5] = [2, 10, 24, 28, 30];

/// What follows the link layer's header: IP, of either version.
pub(super) fn network(link: u16, bytes: &[u8]) -> Result<&[u8], Skipped> {
    let mut reader = Reader::new(bytes);
    let ip = match link {
        ETHERNET => frame(&mut reader)?,
        _ if PPP.contains(&link) => {
            if bytes.starts_with(&HDLC) {
                reader.take(2).ok_or(Skipped::Cut)?;
            }
            ppp(&mut reader)?
        }
        PPP_ETHER => pppoe(&mut reader)?,
        CISCO_HDLC => {
            reader.take(2).ok_or(Skipped::Cut)?;
            ethernet(&mut reader)?
        }
        LINUX_SLL => {
            reader.take(14).ok_or(Skipped::Cut)?;
            ethernet(&mut reader)?
        }
        LINUX_SLL2 => {
            let protocol = reader.u16().ok_or(Skipped::Cut)?;
            reader.take(18).ok_or(Skipped::Cut)?;
            of_type(protocol, &mut reader)?
        }
        NULL | LOOP => {
            // In the byte order of the machine that captured, which need not be that of the file.
            let family: [u8; 4] = reader.array().ok_or(Skipped::Cut)?;
            let known = |family| FAMILIES.contains(&family);
            if !known(u32::from_be_bytes(family)) && !known(u32::from_le_bytes(family)) {
                return Err(Skipped::NotIp);
            }
            reader.rest()
        }
        NFLOG => nflog(&mut reader)?,
        IPV4 | IPV6 => bytes,
        _ if RAW.contains(&link) => bytes,
        _ => return Err(Skipped::UnknownLink),
    };
    match ip.first().map(|first| first >> 4) {
        Some(4 | 6) => Ok(ip),
        Some(_) => Err(Skipped::NotIp),
        None => Err(Skipped::Cut),
    }
}

/// What an Ethernet frame carries, its addresses and its VLAN tags left out.
pub(super) fn frame<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Skipped> {
    reader.take(12).ok_or(Skipped::Cut)?;
    ethernet(reader)
}

/// What follows the next type, past VLAN tags.
fn ethernet<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Skipped> {
    let protocol = reader.u16().ok_or(Skipped::Cut)?;
    of_type(protocol, reader)
}

/// What follows a type that was read: IP, past tags and labels.
pub(super) fn of_type<'a>(mut protocol: u16, reader: &mut Reader<'a>) -> Result<&'a [u8], Skipped> {
    for _ in 0..MAX_TAGS {
        if !TYPE_VLAN.contains(&protocol) {
            break;
        }
        reader.take(2).ok_or(Skipped::Cut)?;
        protocol = reader.u16().ok_or(Skipped::Cut)?;
    }
    match protocol {
        TYPE_IPV4 | TYPE_IPV6 => Ok(reader.rest()),
        TYPE_PPPOE => pppoe(reader),
        _ if TYPE_MPLS.contains(&protocol) => mpls(reader),
        0..=MAX_LENGTH => snap(reader),
        _ => Err(Skipped::NotIp),
    }
}

/// RFC 2516, of a session: the others carry nothing.
fn pppoe<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Skipped> {
    let [version, code] = reader.array().ok_or(Skipped::Cut)?;
    reader.take(4).ok_or(Skipped::Cut)?;
    if (version, code) != (0x11, 0) {
        return Err(Skipped::NotIp);
    }
    ppp(reader)
}

/// RFC 1661: the protocol may be in one byte.
fn ppp<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Skipped> {
    let first = u16::from(reader.u8().ok_or(Skipped::Cut)?);
    let protocol =
        if first & 1 == 1 { first } else { first << 8 | u16::from(reader.u8().ok_or(Skipped::Cut)?) };
    if matches!(protocol, PPP_IPV4 | PPP_IPV6) { Ok(reader.rest()) } else { Err(Skipped::NotIp) }
}

/// Labels (RFC 3032) do not say what they carry; that it is IP is seen from its version.
fn mpls<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Skipped> {
    for _ in 0..MAX_TAGS {
        let label: [u8; 4] = reader.array().ok_or(Skipped::Cut)?;
        if label[2] & 1 == 1 {
            return Ok(reader.rest());
        }
    }
    Err(Skipped::NotIp)
}

fn snap<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Skipped> {
    // Other frames of LLC's may be shorter.
    let there = reader.rest();
    if there[..there.len().min(SNAP.len())] != SNAP[..there.len().min(SNAP.len())] {
        return Err(Skipped::NotIp);
    }
    reader.take(SNAP.len()).ok_or(Skipped::Cut)?;
    let protocol = reader.u16().ok_or(Skipped::Cut)?;
    if matches!(protocol, TYPE_IPV4 | TYPE_IPV6) { Ok(reader.rest()) } else { Err(Skipped::NotIp) }
}

/// What `iptables` and `nft` log: a header, then attributes. Their numbers are in the byte order of the machine that captured.
fn nflog<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Skipped> {
    reader.take(4).ok_or(Skipped::Cut)?;
    loop {
        let (length, kind): ([u8; 2], [u8; 2]) =
            (reader.array().ok_or(Skipped::Cut)?, reader.array().ok_or(Skipped::Cut)?);
        let order = if kind[0] == 0 && kind[1] != 0 { u16::from_be_bytes } else { u16::from_le_bytes };
        // With its own header.
        let value = usize::from(order(length)).checked_sub(4).ok_or(Skipped::Malformed)?;
        if order(kind) == NFLOG_PAYLOAD {
            return Ok(reader.rest());
        }
        reader.take(value.next_multiple_of(4)).ok_or(Skipped::Cut)?;
    }
}
