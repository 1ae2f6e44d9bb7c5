//! Both file formats, whole, cut off and damaged.

use honeyguide::pcap::{Reader, is_capture};

use crate::packets::{Blocks, Classic, RAW};

/// Time, link type, length on the wire and bytes.
type Read = (u64, u16, u64, Vec<u8>);

fn packets(file: &[u8]) -> (Vec<Read>, Result<bool, u64>) {
    let mut reader = Reader::new(file).unwrap();
    let mut all = Vec::new();
    loop {
        match reader.next_packet() {
            Ok(Some(packet)) => all.push((packet.time, packet.link, packet.length, packet.bytes.to_vec())),
            Ok(None) => return (all, Ok(reader.is_truncated())),
            Err(damage) => return (all, Err(damage.at)),
        }
    }
}

const SECOND: u64 = 1_000_000_000;

#[test]
fn classic_files_of_every_magic_and_byte_order() {
    for (magic, unit) in [(0xa1b2_c3d4, 1_000), (0xa1b2_3c4d, 1), (0xa1b2_cd34, 1_000)] {
        for big in [false, true] {
            let classic = Classic { magic, big, link: 1 };
            let file = [
                classic.header(),
                classic.packet(1_700_000_000, 999_999, b"abc", 3),
                classic.packet(1_700_000_001, 5, b"", 1_500),
            ]
            .concat();
            assert!(is_capture(*file.first_chunk().unwrap()));
            let (found, end) = packets(&file);
            let times = [1_700_000_000 * SECOND + 999_999 * unit, 1_700_000_001 * SECOND + 5 * unit];
            assert_eq!(found, [(times[0], 1, 3, b"abc".to_vec()), (times[1], 1, 1_500, Vec::new())]);
            assert_eq!(end, Ok(false));
        }
    }
}

/// Two sections of different byte orders, several interfaces with times of their own, blocks nobody knows.
fn blocks() -> (Vec<u8>, Vec<Read>) {
    let (little, big) = (Blocks { big: false }, Blocks { big: true });
    let offset = 100_i64.to_be_bytes();
    let file = [
        little.section(),
        little.interface(RAW, 0, &[]),
        little.block(0x0bad, &[0; 40]),
        little.interface(1, 4, &[(2, b"eth0"), (9, &[9])]),
        little.packet(0, 1_500_000, b"abcde", 5),
        little.packet(1, 2 * SECOND, b"abcd", 99),
        little.statistics(1, 3),
        little.statistics(1, 5),
        big.section(),
        big.interface(113, 3, &[(9, &[0x80 | 10]), (14, &offset)]),
        big.packet(0, 1024 + 512, b"x", 1),
        big.simple(b"abc", 7),
        big.simple(b"ab", 2),
        big.interface(RAW, 0, &[(9, &[12])]),
        big.packet(1, 7_000_000_000_123, b"", 0),
        big.statistics(0, 2),
    ]
    .concat();
    let offset = 100 * SECOND + 3 * SECOND / 2;
    let expect = vec![
        (3 * SECOND / 2, RAW, 5, b"abcde".to_vec()),
        (2 * SECOND, 1, 99, b"abcd".to_vec()),
        (offset, 113, 1, b"x".to_vec()),
        (offset, 113, 7, b"abc".to_vec()),
        (offset, 113, 2, b"ab".to_vec()),
        (7 * SECOND, RAW, 0, Vec::new()),
    ];
    (file, expect)
}

#[test]
fn blocks_of_several_sections_and_interfaces() {
    let (file, expect) = blocks();
    assert!(is_capture(*file.first_chunk().unwrap()));
    assert_eq!(packets(&file), (expect, Ok(false)));
    let mut reader = Reader::new(&file[..]).unwrap();
    while let Ok(Some(_)) = reader.next_packet() {}
    assert_eq!(reader.dropped(), 5 + 2);
}

#[test]
fn a_file_cut_off_anywhere_gives_the_packets_before() {
    let classic = Classic { magic: 0xa1b2_c3d4, big: false, link: RAW };
    let packets_of_it =
        [b"abc".as_slice(), b"", b"defgh"].map(|bytes| classic.packet(1, 2, bytes, bytes.len()));
    let file = [classic.header(), packets_of_it.concat()].concat();
    for file in [file, blocks().0] {
        let (whole, _) = packets(&file);
        for end in 0..file.len() {
            let Ok(mut reader) = Reader::new(&file[..end]) else {
                assert!(end < 28, "{end}");
                continue;
            };
            let mut count = 0;
            while let Some(packet) = reader.next_packet().unwrap() {
                assert_eq!(packet.bytes, whole[count].3, "{end}");
                count += 1;
            }
            assert!(count < whole.len() || whole.len() == count && end + 44 >= file.len(), "{end}");
        }
        let (found, end) = packets(&file[..file.len() - 1]);
        assert_eq!(end, Ok(true), "{}", found.len());
    }
}

#[test]
fn damage_is_told_with_its_place() {
    let classic = Classic { magic: 0xa1b2_c3d4, big: false, link: RAW };
    let good = [classic.header(), classic.packet(1, 2, b"abc", 3)].concat();
    let (found, end) = packets(&[&good[..], &[0xff; 30]].concat());
    assert_eq!((found.len(), end), (1, Err(good.len() as u64 + 16)));

    let blocks = Blocks { big: false };
    let good = [blocks.section(), blocks.interface(RAW, 0, &[]), blocks.packet(0, 1, b"abc", 3)].concat();
    let mut contradiction = blocks.packet(0, 1, b"abc", 3);
    *contradiction.last_mut().unwrap() = 9;
    let mut captured = blocks.packet(0, 1, b"abc", 3);
    captured[20] = 200;
    for bad in [
        vec![6, 0, 0, 0, 11, 0, 0, 0],
        vec![6, 0, 0, 0, 0xff, 0xff, 0xff, 0x7c],
        contradiction,
        captured,
        blocks.packet(1, 1, b"no such interface", 3),
        blocks.block(6, b"short"[..4].as_ref()),
        blocks.block(1, &[]),
    ] {
        let (found, end) = packets(&[&good[..], &bad].concat());
        assert_eq!(found.len(), 1);
        assert!(end.is_err_and(|at| at > good.len() as u64), "{bad:?}");
    }
}

#[test]
fn what_is_no_capture_is_refused() {
    for bytes in
        [&b""[..], b"\xa1\xb2", b"PK\x03\x04 something else", b"HGREC\x01\r\n", b"\n\r\r\n\x1c\0\0\0nono"]
    {
        assert!(Reader::new(bytes).is_err(), "{bytes:?}");
    }
}
