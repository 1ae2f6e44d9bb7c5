//! From what a packet begins with to its IP header.
//!
//! Link types and their headers: <https://www.tcpdump.org/linktypes.html>.

use honeyguide_protocols::reader::Reader;

use super::segment::Skipped;

const NULL: u16 = 0;
const ETHERNET: u16 = 1;
/// Raw IP, by the numbers of several systems.
const RAW: [u16; 3] = [12, 14, 101];
const LOOP: u16 = 108;
const LINUX_SLL: u16 = 113;
const IPV4: u16 = 228;
const IPV6: u16 = 229;
const LINUX_SLL2: u16 = 276;

const TYPE_IPV4: u16 = 0x0800;
const TYPE_IPV6: u16 = 0x86dd;
/// 802.1Q, 802.1ad, and the number that came before 802.1ad.
const TYPE_VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// More tags than anyone stacks.
const MAX_TAGS: usize = 8;

/// Address families of IPv4 and, on Linux, NetBSD, FreeBSD and macOS, of IPv6.
const FAMILIES: [u32; 5] = [2, 10, 24, 28, 30];

/// What follows the link layer's header: IP, of either version.
pub(super) fn network(link: u16, bytes: &[u8]) -> Result<&[u8], Skipped> {
    let mut reader = Reader::new(bytes);
    let ip = match link {
        ETHERNET => frame(&mut reader)?,
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

/// What follows a type that was read: IP, past VLAN tags.
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
        _ => Err(Skipped::NotIp),
    }
}
