//! Link layers and IP.

use std::net::{Ipv4Addr, Ipv6Addr};

use honeyguide::pcap::Counters;

use crate::{
    packets::{ACK, RAW, Tcp},
    talk::Talk,
};

fn tcp() -> Tcp {
    let (source, destination) = ((Ipv4Addr::new(10, 0, 0, 1), 4000), (Ipv4Addr::new(10, 0, 0, 2), 80));
    Tcp {
        source: source.into(),
        destination: destination.into(),
        sequence: 1,
        acknowledgement: 1,
        flags: ACK,
    }
}

fn tcp6() -> Tcp {
    let address = |last: u16| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last);
    Tcp { source: (address(1), 4000).into(), destination: (address(2), 80).into(), ..tcp() }
}

/// What is told of one packet, and what is counted.
fn one(link: u16, bytes: &[u8], length: usize) -> (Vec<String>, Counters) {
    let mut talk = Talk::new();
    talk.packet(link, bytes, length);
    (talk.told, talk.connections.counters)
}

#[track_caller]
fn reads(link: u16, bytes: &[u8]) {
    let (told, counters) = one(link, bytes, bytes.len());
    assert_eq!(told, ["join 10.0.0.2:80 from 10.0.0.1:4000", "> hello"], "{counters:?}");
}

#[track_caller]
fn reads6(link: u16, bytes: &[u8]) {
    let (told, counters) = one(link, bytes, bytes.len());
    assert_eq!(told, ["join [fd00::2]:80 from [fd00::1]:4000", "> hello"], "{counters:?}");
}

#[test]
fn every_link_type() {
    let (four, six) = (tcp().packet(b"hello"), tcp6().packet(b"hello"));
    for link in [12, 14, 101, 228] {
        reads(link, &four);
    }
    for link in [12, 14, 101, 229] {
        reads6(link, &six);
    }
    let sll = [&[0; 14][..], &[0x08, 0x00], &four].concat();
    reads(113, &sll);
    let sll2 = [&[0x86, 0xdd][..], &[0; 18], &six].concat();
    reads6(276, &sll2);
    for family in [[2, 0, 0, 0], [0, 0, 0, 2]] {
        reads(0, &[&family[..], &four].concat());
        reads(108, &[&family[..], &four].concat());
    }
    for family in [10, 24, 28, 30] {
        reads6(0, &[&[family, 0, 0, 0][..], &six].concat());
    }
    for link in [9, 50] {
        reads(link, &[&[0xff, 0x03, 0x00, 0x21][..], &four].concat());
        reads(link, &[&[0x00, 0x21][..], &four].concat());
        reads6(link, &[&[0x57][..], &six].concat());
    }
    reads(51, &[&[0x11, 0, 0, 7, 0, 55, 0, 0x21][..], &four].concat());
    reads6(104, &[&[0x0f, 0, 0x86, 0xdd][..], &six].concat());
}

/// Attributes in front of the packet, one of them nested and one that is padded, by machines of either byte order.
#[test]
fn what_a_firewall_logs() {
    let four = tcp().packet(b"hello");
    let little = [&[2, 0, 0, 5, 8, 0, 1, 0, 1, 1, 1, 1, 9, 0, 10, 0, 65, 66, 67, 68, 0][..], &[0; 3]];
    let nested = [&little.concat()[..], &[8, 0, 20, 0x80, 4, 0, 21, 0, 45, 0, 9, 0], &four].concat();
    reads(239, &nested);
    let big = [&[2, 0, 0, 5, 0, 5, 0, 10, 65, 0, 0, 0, 0, 45, 0, 9][..], &four].concat();
    reads(239, &big);
    let no_packet = [2, 0, 0, 5, 8, 0, 1, 0, 1, 1, 1, 1];
    assert_eq!(one(239, &no_packet, 12).1.cut, 1);
    assert_eq!(one(239, &[2, 0, 0, 5, 3, 0, 1, 0], 8).1.malformed, 1);
}

#[test]
fn ethernet_with_padding_and_tags() {
    let four = tcp().packet(b"hello");
    let mac = [1; 12];
    let padded = [&mac[..], &[0x08, 0x00], &four, &[0; 18]].concat();
    reads(1, &padded);
    let tagged = [&mac[..], &[0x81, 0x00, 0, 7, 0x08, 0x00], &four].concat();
    reads(1, &tagged);
    let twice = [&mac[..], &[0x88, 0xa8, 0, 7, 0x81, 0x00, 0, 8, 0x08, 0x00], &four].concat();
    reads(1, &twice);
    let cooked = [&[0; 14][..], &[0x81, 0x00, 0, 7, 0x08, 0x00], &four].concat();
    reads(113, &cooked);
    let arp = [&mac[..], &[0x08, 0x06], &[0; 28]].concat();
    assert_eq!(one(1, &arp, arp.len()).1.other, 1);
}

#[test]
fn what_stands_between_ethernet_and_ip() {
    let (four, six) = (tcp().packet(b"hello"), tcp6().packet(b"hello"));
    let mac = [1; 12];
    let snap = [0xaa, 0xaa, 0x03, 0, 0, 0, 0x08, 0x00];
    for (between, expect) in [
        (&[0x88, 0x64, 0x11, 0, 0, 7, 0, 57, 0x00, 0x21][..], 0),
        (&[0x81, 0x00, 0, 7, 0x88, 0x64, 0x11, 0, 0, 7, 0, 57, 0x21], 0),
        // A session's end; a control protocol of PPP's.
        (&[0x88, 0x63, 0x11, 0xa7, 0, 7, 0, 0], 1),
        (&[0x88, 0x64, 0x11, 1, 0, 7, 0, 57, 0x00, 0x21], 1),
        (&[0x88, 0x64, 0x11, 0, 0, 7, 0, 57, 0xc0, 0x21], 1),
        // One label, and three.
        (&[0x88, 0x47, 0, 1, 1, 64], 0),
        (&[0x88, 0x48, 0, 1, 0, 64, 0, 2, 0, 64, 0, 3, 1, 64], 0),
        (&[0x88, 0x47, 0, 1, 1, 64, 0, 0, 0, 0], 1),
        (&[&[0, 63][..], &snap].concat(), 0),
        // A short one, a spanning tree's, and a type of another's.
        (&[0, 3, 0, 0, 0xaf], 1),
        (&[0, 63, 0x42, 0x42, 0x03, 0, 0, 0, 0x08, 0x00], 1),
        (&[0, 63, 0xaa, 0xaa, 0x03, 0, 0, 0xc, 0x08, 0x00], 1),
    ] {
        let frame = [&mac[..], between, &four].concat();
        let (told, counters) = one(1, &frame, frame.len());
        assert_eq!((told.len(), counters.other), (2 - 2 * expect, expect as u64), "{between:?}");
        if expect == 0 {
            for length in 0..12 + between.len() {
                assert_eq!(one(1, &frame[..length], frame.len()).1.cut, 1, "{between:?}, {length} bytes");
            }
        }
    }
    reads6(1, &[&mac[..], &[0x88, 0x64, 0x11, 0, 0, 7, 0, 77, 0x00, 0x57], &six].concat());
}

#[test]
fn options_of_ipv4() {
    let segment = tcp().segment(b"hello");
    reads(RAW, &tcp().ipv4(0, 6, &[1; 40], &segment));
    // "Do not fragment".
    reads(RAW, &tcp().ipv4(0x4000, 6, &[], &segment));
}

#[test]
fn extension_headers_of_ipv6() {
    let segment = tcp6().segment(b"hello");
    let hop = [&[60, 0, 1, 4, 0, 0, 0, 0][..], &[43, 1], &[0; 14], &[6, 0], &[0; 6], &segment].concat();
    reads6(RAW, &tcp6().ipv6(0, &hop));
    let signed = [&[6, 4, 0, 0][..], &[9; 20], &segment].concat();
    reads6(RAW, &tcp6().ipv6(51, &signed));
    // A fragment header on a packet that is whole.
    let atomic = [&[6, 0, 0, 0, 0, 0, 0, 1][..], &segment].concat();
    reads6(RAW, &tcp6().ipv6(44, &atomic));
}

/// By what carries the packet: the outer header's protocol, and what stands between both.
#[test]
fn tunnels() {
    let (four, six) = (tcp().packet(b"hello"), tcp6().packet(b"hello"));
    let frame = |kind: [u8; 2], packet: &[u8]| [&[2; 12][..], &kind, packet].concat();
    let udp = |port: u16| [&[0x9c, 0x40][..], &port.to_be_bytes(), &[0; 4]].concat();
    let (frame4, frame6) = (frame([0x08, 0x00], &four), frame([0x86, 0xdd], &six));
    let vxlan = |port| [&udp(port)[..], &[8, 0, 0, 0, 0, 0, 7, 0]].concat();
    let geneve = |options: u8, kind: [u8; 2]| {
        [&udp(6081)[..], &[options, 0], &kind, &[0, 0, 7, 0], &vec![1; usize::from(options) * 4]].concat()
    };
    for (protocol, between, packet) in [
        (4, vec![], &four),
        (17, vxlan(4789), &frame4),
        (17, vxlan(8472), &frame4),
        (17, geneve(0, [0x65, 0x58]), &frame4),
        (17, geneve(3, [0x08, 0x00]), &four),
        (47, vec![0, 0, 0x08, 0x00], &four),
        (47, vec![0, 0, 0x65, 0x58], &frame4),
        (47, [&[0xb0, 0, 0x08, 0x00][..], &[1; 12]].concat(), &four),
        (17, [&udp(4754)[..], &[0x20, 0, 0x08, 0x00, 0, 0, 0, 7]].concat(), &four),
        // Mirrored by a switch: of each type, and with a header of its own.
        (47, vec![0, 0, 0x88, 0xbe], &frame4),
        (47, [&[0x10, 0, 0x88, 0xbe][..], &[1; 4 + 8]].concat(), &frame4),
        (47, [&[0x10, 0, 0x22, 0xeb][..], &[2; 4 + 12]].concat(), &frame4),
        (47, [&[0x10, 0, 0x22, 0xeb][..], &[1; 4 + 12 + 8]].concat(), &frame4),
    ] {
        let carried = [&between[..], packet].concat();
        reads(RAW, &tcp().ipv4(0, protocol, &[], &carried));
        reads(RAW, &tcp6().ipv6(protocol, &carried));
        // One within another.
        let twice = tcp6().ipv6(protocol, &[&between[..], &tcp().ipv4(0, 4, &[], &four)].concat());
        if packet == &four {
            reads(RAW, &twice);
        }
    }
    reads6(RAW, &tcp().ipv4(0, 41, &[], &six));
    reads6(RAW, &tcp().ipv4(0, 17, &[], &[&vxlan(4789)[..], &frame6].concat()));
}

/// Nothing is taken for a tunnel that is none, and what is cut or nested without end is counted.
#[test]
fn what_is_no_tunnel() {
    let four = tcp().packet(b"hello");
    let counted = |bytes: &[u8]| {
        let (told, counters) = one(RAW, bytes, bytes.len());
        assert!(told.is_empty(), "{told:?}");
        let Counters { other, cut, malformed, .. } = counters;
        [other, cut, malformed]
    };
    let frame = [&[2; 12][..], &[0x08, 0x00], &four].concat();
    let between = [
        // Another port; a network without a number; Geneve of another version; PPTP.
        (17, [&[0x9c, 0x40, 0, 53, 0, 0, 0, 0, 8][..], &[0; 7]].concat()),
        (17, [&[0x9c, 0x40, 0x12, 0xb5, 0, 0, 0, 0, 0][..], &[0; 7]].concat()),
        (17, vec![0x9c, 0x40, 0x17, 0xc1, 0, 0, 0, 0, 0x40, 0, 0x65, 0x58, 0, 0, 0, 0]),
        (47, vec![0, 1, 0x65, 0x58]),
        // ESP.
        (50, vec![]),
    ];
    for (protocol, between) in between {
        let packet = tcp().ipv4(0, protocol, &[], &[&between[..], &frame].concat());
        assert_eq!(counted(&packet), [1, 0, 0], "{protocol} {between:?}");
    }
    let whole = [&[0x9c, 0x40, 0x12, 0xb5, 0, 0, 0, 0, 8][..], &[0; 7], &frame].concat();
    let header = 8 + 8 + 14 + 20 + 14;
    for length in 0..header {
        assert_eq!(counted(&tcp().ipv4(0, 17, &[], &whole[..length])), [0, 1, 0], "{length} bytes");
    }
    let mut nested = four;
    for _ in 0..5 {
        nested = tcp().ipv4(0, 4, &[], &nested);
    }
    assert_eq!(counted(&nested), [1, 0, 0]);
}

#[test]
fn mapped_addresses_are_plain() {
    let mapped = |last| Ipv4Addr::new(10, 0, 0, last).to_ipv6_mapped();
    let tcp = Tcp { source: (mapped(1), 4000).into(), destination: (mapped(2), 80).into(), ..tcp() };
    reads(RAW, &tcp.packet(b"hello"));
}

/// The packet's header has no length, since the card was to cut it: the frame's holds.
#[test]
fn a_length_of_nothing() {
    let mut four = tcp().packet(b"hello");
    four[2..4].fill(0);
    reads(RAW, &four);
    let mut six = tcp6().packet(b"hello");
    six[4..6].fill(0);
    reads6(RAW, &six);
    let big = tcp().packet(&vec![b'x'; 200_000]);
    let (told, _) = one(RAW, &big, big.len());
    assert_eq!(told[1].len(), 200_002);
}

#[test]
fn fragments_are_counted() {
    let segment = tcp().segment(b"hello");
    let first = tcp().ipv4(0x2000, 6, &[], &segment);
    let next = tcp().ipv4(185, 6, &[], b"hello");
    let of_udp = tcp().ipv4(0x2000, 17, &[], &segment);
    let six = tcp6().ipv6(44, &[&[6, 0, 0, 1, 0, 0, 0, 1][..], &segment].concat());
    for (packet, expect) in [(first, (1, 0)), (next, (1, 0)), (of_udp, (0, 1)), (six, (1, 0))] {
        let (told, counters) = one(RAW, &packet, packet.len());
        assert_eq!((told.len(), (counters.fragments, counters.other)), (0, expect));
    }
}

#[test]
fn what_is_not_read_is_counted_by_its_reason() {
    let four = tcp().packet(b"hello");
    let counted = |link, bytes: &[u8]| {
        let (told, counters) = one(link, bytes, four.len());
        assert!(told.is_empty(), "{told:?}");
        let Counters { unknown_link, other, cut, malformed, .. } = counters;
        [unknown_link, other, cut, malformed]
    };
    assert_eq!(counted(147, &four), [1, 0, 0, 0]);
    let udp = tcp().ipv4(0, 17, &[], b"12345678");
    assert_eq!(counted(RAW, &udp), [0, 1, 0, 0]);
    assert_eq!(counted(RAW, b"\x55more"), [0, 1, 0, 0]);
    assert_eq!(counted(0, &[7, 0, 0, 0, 0x45]), [0, 1, 0, 0]);
    for (at, value) in [(0, 0x44), (3, 19), (3, 43), (32, 0x40), (32, 0xf0)] {
        let mut wrong = four.clone();
        wrong[at] = value;
        assert_eq!(counted(RAW, &wrong), [0, 0, 0, 1], "byte {at} is {value}");
    }
    for length in 0..34 {
        assert_eq!(counted(RAW, &four[..length]), [0, 0, 1, 0], "{length} bytes");
    }
    let six = tcp6().packet(b"hello");
    for length in 0..54 {
        assert_eq!(counted(RAW, &six[..length]), [0, 0, 1, 0], "{length} bytes");
    }
}
