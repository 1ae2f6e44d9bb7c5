//! Packets and files, byte by byte.

use std::net::{IpAddr, SocketAddr};

pub(crate) const RAW: u16 = 101;

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

/// A TCP segment's header fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tcp {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    pub(crate) flags: u8,
}

impl Tcp {
    /// The segment, with an option of four bytes.
    pub(crate) fn segment(&self, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.source.port().to_be_bytes());
        bytes.extend(self.destination.port().to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.acknowledgement.to_be_bytes());
        bytes.extend([6 << 4, self.flags, 0xff, 0xff, 0, 0, 0, 0, 1, 1, 1, 1]);
        bytes.extend(data);
        bytes
    }

    /// The segment in an IP packet.
    pub(crate) fn packet(&self, data: &[u8]) -> Vec<u8> {
        let segment = self.segment(data);
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(_), IpAddr::V4(_)) => self.ipv4(0, 6, &[], &segment),
            _ => self.ipv6(6, &segment),
        }
    }

    pub(crate) fn ipv4(&self, fragment: u16, protocol: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
        let own = 20 + options.len();
        let mut bytes = vec![0x40 | u8::try_from(own / 4).unwrap(), 0];
        bytes.extend(u16::try_from(own + payload.len()).unwrap_or(0).to_be_bytes());
        bytes.extend([0, 1]);
        bytes.extend(fragment.to_be_bytes());
        bytes.extend([64, protocol, 0, 0]);
        for end in [self.source, self.destination] {
            let IpAddr::V4(address) = end.ip() else { panic!("not IPv4") };
            bytes.extend(address.octets());
        }
        bytes.extend(options);
        bytes.extend(payload);
        bytes
    }

    pub(crate) fn ipv6(&self, next: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(u16::try_from(payload.len()).unwrap_or(0).to_be_bytes());
        bytes.extend([next, 64]);
        for end in [self.source, self.destination] {
            let IpAddr::V6(address) = end.ip() else { panic!("not IPv6") };
            bytes.extend(address.octets());
        }
        bytes.extend(payload);
        bytes
    }
}

/// A classic file, in either byte order.
#[derive(Clone, Copy)]
pub(crate) struct Classic {
    pub(crate) magic: u32,
    pub(crate) big: bool,
    pub(crate) link: u16,
}

impl Classic {
    pub(crate) fn header(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [self.magic, 0, 0, 0, 65_535, u32::from(self.link)] {
            bytes.extend(order(word, self.big));
        }
        bytes
    }

    /// `fraction`: micro- or nanoseconds, as the magic says.
    pub(crate) fn packet(self, seconds: u32, fraction: u32, packet: &[u8], length: usize) -> Vec<u8> {
        let captured = u32::try_from(packet.len()).unwrap();
        let mut bytes = Vec::new();
        for word in [seconds, fraction, captured, u32::try_from(length).unwrap()] {
            bytes.extend(order(word, self.big));
        }
        if self.magic == 0xa1b2_cd34 {
            bytes.extend([0; 8]);
        }
        bytes.extend(packet);
        bytes
    }
}

/// Blocks of the newer format, in either byte order.
#[derive(Clone, Copy)]
pub(crate) struct Blocks {
    pub(crate) big: bool,
}

impl Blocks {
    pub(crate) fn section(self) -> Vec<u8> {
        let mut body = order(0x1a2b_3c4d, self.big).to_vec();
        body.extend(self.half(1));
        body.extend(self.half(0));
        body.extend([0xff; 8]);
        self.block(0x0a0d_0d0a, &body)
    }

    pub(crate) fn interface(self, link: u16, snaplen: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = self.half(link).to_vec();
        body.extend([0, 0]);
        body.extend(order(snaplen, self.big));
        body.extend(self.options(options));
        self.block(1, &body)
    }

    pub(crate) fn packet(self, interface: u32, units: u64, packet: &[u8], length: usize) -> Vec<u8> {
        let mut body = Vec::new();
        let captured = u32::try_from(packet.len()).unwrap();
        let (high, low) = ((units >> 32) as u32, (units & 0xffff_ffff) as u32);
        for word in [interface, high, low, captured, u32::try_from(length).unwrap()] {
            body.extend(order(word, self.big));
        }
        body.extend(padded(packet));
        body.extend(self.options(&[(2, &[0, 0, 0, 1])]));
        self.block(6, &body)
    }

    pub(crate) fn simple(self, packet: &[u8], length: usize) -> Vec<u8> {
        let mut body = order(u32::try_from(length).unwrap(), self.big).to_vec();
        body.extend(padded(packet));
        self.block(3, &body)
    }

    pub(crate) fn statistics(self, interface: u32, dropped: u64) -> Vec<u8> {
        let mut body = order(interface, self.big).to_vec();
        body.extend([0; 8]);
        let value = if self.big { dropped.to_be_bytes() } else { dropped.to_le_bytes() };
        body.extend(self.options(&[(5, &value)]));
        self.block(5, &body)
    }

    pub(crate) fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let length = order(u32::try_from(body.len() + 12).unwrap(), self.big);
        [&order(kind, self.big)[..], &length, body, &length].concat()
    }

    fn options(self, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &(code, value) in options {
            bytes.extend(self.half(code));
            bytes.extend(self.half(u16::try_from(value.len()).unwrap()));
            bytes.extend(padded(value));
        }
        if !options.is_empty() {
            bytes.extend([0; 4]);
        }
        bytes
    }

    fn half(self, value: u16) -> [u8; 2] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(4), 0);
    padded
}

fn order(word: u32, big: bool) -> [u8; 4] {
    if big { word.to_be_bytes() } else { word.to_le_bytes() }
}
