//! The captures under `tests/recordings`, packet by packet. `UPDATE_GOLDEN=1` writes them anew; `replay.rs` holds what
//! they are read as.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use crate::packets::{ACK, Blocks, Classic, FIN, RAW, RST, SYN, Tcp};

const SECONDS: u32 = 1_790_000_000;

#[test]
fn http() {
    let mut capture =
        Capture::new((Ipv4Addr::new(192, 0, 2, 7), 51_000), (Ipv4Addr::new(192, 0, 2, 80), 8080));
    capture.open([u32::MAX - 40, 7_000]);
    // Out of order, and the head in two.
    let head = b"GET /items/17?page=2 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: test\r\n\r\n";
    capture.client(40, 0, &head[40..]);
    capture.client(0, 0, &head[..40]);
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n0123456789abcdefghij";
    let (asked, answered) = (head.len(), answer.len());
    capture.server(0, asked, &answer[..50]);
    capture.server(0, asked, &answer[..50]);
    capture.server(30, asked, &answer[30..]);
    // A probe, then a post whose body's middle was not captured: the server has it.
    capture.client(asked - 1, answered, b"\n");
    let post = b"POST /items HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 300\r\n\r\n";
    capture.client(asked, answered, post);
    let sent = asked + post.len();
    capture.client(sent + 200, answered, &[b'x'; 100]);
    capture.server(answered, sent + 300, b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    let answered = answered + 43;
    // A large answer of which the first bytes of each packet were captured.
    capture.client(sent + 300, answered, b"GET /large HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    let sent = sent + 300 + 43;
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n";
    let large = [&head[..], &[b'y'; 2_000]].concat();
    capture.cut(answered, sent, &large[..1_000], 100);
    capture.cut(answered + 1_000, sent, &large[1_000..], 100);
    let answered = answered + large.len();
    capture.client(sent, answered, b"GET /slow HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    capture.send(false, RST | ACK, answered, sent + 42, b"", usize::MAX);
    // The same ports again.
    capture.open([1, 2]);
    capture.client(0, 0, b"DELETE /items/17 HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
    capture.server(0, 68, b"HTTP/1.1 503 Service Unavailable\r\n\r\nuntil it closes");
    capture.send(false, FIN | ACK, 51, 68, b"", usize::MAX);
    capture.send(true, FIN | ACK, 68, 52, b"", usize::MAX);

    let classic = Classic { magic: 0xa1b2_c3d4, big: false, link: 1 };
    let ethernet = |packet: &[u8]| [&[2; 12][..], &[0x81, 0, 0, 42, 8, 0], packet].concat();
    let mut file = classic.header();
    for (number, (packet, length)) in (0..).zip(&capture.packets) {
        file.extend(classic.packet(SECONDS, number * 1_000, &ethernet(packet), length + 18));
    }
    check("http.pcap", &file);
}

#[test]
fn mixed() {
    let (little, big) = (Blocks { big: false }, Blocks { big: true });
    let six = |last| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
    // HTTP/1 joined in the middle of a response.
    let mut http = Capture::new((six(7), 52_000), (six(80), 80));
    http.server(0, 0, b"the end of something\n");
    http.client(0, 21, b"GET /v6 HTTP/1.1\r\nHost: [2001:db8::80]\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n");
    http.server(21, 112, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    // HTTP/2: the preface, SETTINGS, GET / and 200.
    let mut http2 = Capture::new((six(7), 52_001), (six(80), 8080));
    http2.open([10, 20]);
    let hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84";
    http2.client(0, 0, hello);
    http2.server(0, hello.len(), b"\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x05\0\0\0\x01\x88");
    let mut postgres =
        Capture::new((Ipv4Addr::new(192, 0, 2, 7), 53_000), (Ipv4Addr::new(192, 0, 2, 54), 5432));
    postgres.open([30, 40]);
    let startup = b"\0\0\0\x20\0\x03\0\0user\0bob\0database\0shop\0\0";
    let welcome = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
    postgres.client(0, 0, startup);
    postgres.server(0, startup.len(), welcome);
    let query = b"Q\0\0\0\x29SELECT name FROM items WHERE id = 17\0";
    postgres.client(startup.len(), welcome.len(), query);
    let answer = b"T\0\0\0\x1d\0\x01name\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0D\0\0\0\x0d\0\x01\0\0\0\x03teaC\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I";
    postgres.server(welcome.len(), startup.len() + query.len(), answer);

    let nanos = u64::from(SECONDS) * 1_000_000_000;
    let mut file = [little.section(), little.interface(RAW, 0, &[(9, &[9])])].concat();
    file.extend(little.interface(276, 0, &[]));
    let cooked = |packet: &[u8]| [&[8, 0][..], &[0; 18], packet].concat();
    let (mut of_http, mut of_postgres) = (http.packets.iter(), postgres.packets.iter());
    for number in 0_u64.. {
        let (one, two) = (of_http.next(), of_postgres.next());
        if let Some((packet, length)) = one {
            file.extend(little.packet(0, nanos + number * 1_000_001, packet, *length));
        }
        if let Some((packet, length)) = two {
            file.extend(little.packet(1, nanos / 1_000 + number * 1_000, &cooked(packet), length + 20));
        }
        if one.is_none() && two.is_none() {
            break;
        }
    }
    file.extend([big.section(), big.interface(RAW, 0, &[(9, &[0x80 | 20])])].concat());
    for (number, (packet, length)) in (0..).zip(&http2.packets) {
        let units = (u64::from(SECONDS) + 1) << 20 | number << 10;
        file.extend(big.packet(0, units, packet, *length));
    }
    check("mixed.pcapng", &file);
}

/// Packets of one connection, each with its length on the wire.
struct Capture {
    ends: [SocketAddr; 2],
    first: [u32; 2],
    packets: Vec<(Vec<u8>, usize)>,
}

impl Capture {
    fn new(client: impl Into<SocketAddr>, server: impl Into<SocketAddr>) -> Self {
        Self { ends: [client.into(), server.into()], first: [100, 200], packets: Vec::new() }
    }

    fn open(&mut self, first: [u32; 2]) {
        self.first = first.map(|number| number.wrapping_add(1));
        let [client, server] = self.ends;
        let syn =
            Tcp { source: client, destination: server, sequence: first[0], acknowledgement: 0, flags: SYN };
        let answer = Tcp {
            source: server,
            destination: client,
            sequence: first[1],
            acknowledgement: self.first[0],
            flags: SYN | ACK,
        };
        for packet in [syn.packet(b""), answer.packet(b"")] {
            let length = packet.len();
            self.packets.push((packet, length));
        }
        self.client(0, 0, b"");
    }

    fn client(&mut self, at: usize, ack: usize, data: &[u8]) {
        self.send(true, ACK, at, ack, data, usize::MAX);
    }

    fn server(&mut self, at: usize, ack: usize, data: &[u8]) {
        self.send(false, ACK, at, ack, data, usize::MAX);
    }

    /// The server's, of which no more than `kept` bytes were captured.
    fn cut(&mut self, at: usize, ack: usize, data: &[u8], kept: usize) {
        self.send(false, ACK, at, ack, data, kept);
    }

    fn send(&mut self, client: bool, flags: u8, at: usize, ack: usize, data: &[u8], kept: usize) {
        let (own, other) = if client { (0, 1) } else { (1, 0) };
        let number = |side: usize, at: usize| self.first[side].wrapping_add(u32::try_from(at).unwrap());
        let tcp = Tcp {
            source: self.ends[own],
            destination: self.ends[other],
            sequence: number(own, at),
            acknowledgement: number(other, ack),
            flags,
        };
        let mut packet = tcp.packet(data);
        let length = packet.len();
        packet.truncate(kept);
        self.packets.push((packet, length));
    }
}

#[track_caller]
fn check(name: &str, file: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/recordings").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, file).unwrap();
    }
    assert!(fs::read(&path).unwrap() == file, "{name} is not what is written here");
}
