//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use honeyguide_protocols::reader::Reader;

use super::segment::Skipped;

pub(super) const TCP: u8 = 6;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
/// Extension headers of one packet; RFC 8200 has each once, one twice.
const MAX_EXTENSIONS: usize = 16;

/// What an IP packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Datagram<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// By IANA's numbers.
    pub(super) protocol: u8,
    /// What of it was captured.
    pub(super) bytes: &'a [u8],
    /// Its length on the wire.
    pub(super) length: u64,
}

/// `length`: of the packet on the wire, from its IP header on. Only where the header itself does not say it, as in
/// packets that the network card will cut into several.
pub(super) fn datagram(bytes: &[u8], length: u64) -> Result<Datagram<'_>, Skipped> {
    match bytes.first().map(|first| first >> 4) {
        Some(4) => ipv4(bytes, length),
        Some(6) => ipv6(bytes, length),
        Some(_) => Err(Skipped::NotIp),
        None => Err(Skipped::Cut),
    }
}

fn ipv4(bytes: &[u8], length: u64) -> Result<Datagram<'_>, Skipped> {
    let header: &[u8; 20] = bytes.first_chunk().ok_or(Skipped::Cut)?;
    let own = usize::from(header[0] & 0xf) * 4;
    let total = match u16::from_be_bytes([header[2], header[3]]) {
        0 => length,
        total => u64::from(total),
    };
    if own < 20 || total < own as u64 {
        return Err(Skipped::Malformed);
    }
    let protocol = header[9];
    // "More fragments", or an offset.
    if u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0 {
        return Err(fragment(protocol));
    }
    let address =
        |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]).into();
    let carried = bytes.get(own..).ok_or(Skipped::Cut)?;
    Ok(carry((address(12), address(16)), protocol, carried, total - own as u64))
}

fn ipv6(bytes: &[u8], length: u64) -> Result<Datagram<'_>, Skipped> {
    let mut reader = Reader::new(bytes);
    reader.take(4).ok_or(Skipped::Cut)?;
    let payload = reader.u16().ok_or(Skipped::Cut)?;
    let mut next = reader.u8().ok_or(Skipped::Cut)?;
    reader.u8().ok_or(Skipped::Cut)?;
    let source: [u8; 16] = reader.array().ok_or(Skipped::Cut)?;
    let destination: [u8; 16] = reader.array().ok_or(Skipped::Cut)?;
    // 0 is a jumbogram's, or one that will be cut.
    let payload = if payload == 0 { length.saturating_sub(40) } else { u64::from(payload) };
    let begin = reader.position();
    for _ in 0..MAX_EXTENSIONS {
        let unit = match next {
            HOP_BY_HOP | ROUTING | DESTINATION => 8,
            AUTHENTICATION => 4,
            FRAGMENT => {
                next = whole(&mut reader)?;
                continue;
            }
            _ => {
                let before = (reader.position() - begin) as u64;
                let length = payload.checked_sub(before).ok_or(Skipped::Malformed)?;
                return Ok(carry((plain(source), plain(destination)), next, reader.rest(), length));
            }
        };
        next = reader.u8().ok_or(Skipped::Cut)?;
        // In units beyond the first eight bytes, of which two were read.
        let rest = usize::from(reader.u8().ok_or(Skipped::Cut)?) * unit + 6;
        reader.take(rest).ok_or(Skipped::Cut)?;
    }
    Err(Skipped::Malformed)
}

/// What follows a fragment header, where the packet is whole all the same (RFC 6946). Others are not put together.
fn whole(reader: &mut Reader<'_>) -> Result<u8, Skipped> {
    let next = reader.u8().ok_or(Skipped::Cut)?;
    reader.u8().ok_or(Skipped::Cut)?;
    // The offset, two reserved bits, "more fragments".
    let place = reader.u16().ok_or(Skipped::Cut)?;
    reader.take(4).ok_or(Skipped::Cut)?;
    if place & 0xfff9 == 0 { Ok(next) } else { Err(fragment(next)) }
}

/// Of TCP bytes are lost with it.
fn fragment(protocol: u8) -> Skipped {
    if protocol == TCP { Skipped::Fragment } else { Skipped::NotTcp }
}

fn carry((source, destination): (IpAddr, IpAddr), protocol: u8, bytes: &[u8], length: u64) -> Datagram<'_> {
    // A short frame is padded behind the packet's end.
    let bytes = &bytes[..bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX))];
    Datagram { source, destination, protocol, bytes, length }
}

fn plain(address: [u8; 16]) -> IpAddr {
    let address = Ipv6Addr::from(address);
    address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4)
}
