//! Any way to cut, shuffle, repeat and overlap a stream gives the same bytes; any file gives no panic.

use honeyguide::{fuzz, pcap::Packet};
use proptest::prelude::*;

use crate::{
    packets::{ACK, Blocks, Classic, FIN, RAW, SYN},
    talk::Talk,
};

/// A piece of one side's stream: where it begins, how long it is.
#[derive(Clone, Copy, Debug)]
struct Piece {
    client: bool,
    at: usize,
    length: usize,
    /// What its sender has of the other side.
    ack: usize,
}

/// The bytes of each side as they were told, without gaps.
fn told(talk: &Talk) -> [Vec<u8>; 2] {
    let mut sides = [Vec::new(), Vec::new()];
    for line in &talk.told {
        let side = if line.starts_with('>') { 0 } else { 1 };
        match line.get(2..) {
            Some("end") | None => {}
            Some(text) if line.starts_with(['>', '<']) => sides[side].extend_from_slice(text.as_bytes()),
            Some(_) => {}
        }
    }
    sides
}

fn letters(length: usize, first: u8) -> Vec<u8> {
    (0..length).map(|i| first + u8::try_from(i * 7 % 23 + i / 23 % 3).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// One side speaks. Segments overlap, come again and come late.
    #[test]
    fn one_stream(
        cuts in prop::collection::vec((1..90_usize, 0..40_usize, 0..5_u8), 1..60),
        window in 1..12_usize,
        order in prop::collection::vec(any::<prop::sample::Index>(), 200),
        start in any::<u32>(),
    ) {
        let stream = letters(cuts.iter().map(|&(length, ..)| length).sum(), b'a');
        let mut pieces = Vec::new();
        let mut at = 0;
        for &(length, overlap, again) in &cuts {
            let from = at - overlap.min(at);
            at += length;
            pieces.push((from, at));
            if again == 0 {
                pieces.push((from, at));
            }
        }
        // Each is sent at most `window` places too early.
        let mut sent = Vec::new();
        let mut order = order.iter().cycle();
        while !pieces.is_empty() {
            let choice = order.next().unwrap().index(window.min(pieces.len()));
            sent.push(pieces.remove(choice));
        }
        let mut talk = Talk::new();
        talk.first = [start, start.wrapping_mul(31)];
        talk.open();
        for (from, to) in sent {
            talk.send(true, ACK, i64::try_from(from).unwrap(), 0, &stream[from..to], to - from);
        }
        // Nothing was held back: all came.
        prop_assert_eq!(talk.connections.waiting(), 0);
        let [client, _] = told(&talk);
        prop_assert_eq!(client, stream);
        prop_assert_eq!(talk.connections.counters.missing, 0);
    }

    /// Question and answer; the capture has the packets a few places out of order. Each side's bytes are whole, and no
    /// answer is told before the question it acknowledges.
    #[test]
    fn a_conversation(
        turns in prop::collection::vec((1..60_usize, 1..60_usize), 1..20),
        shifts in prop::collection::vec(0..4_usize, 40),
        start in any::<u32>(),
    ) {
        let sums = turns.iter().fold((0, 0), |sum, turn| (sum.0 + turn.0, sum.1 + turn.1));
        let streams = [letters(sums.0, b'a'), letters(sums.1, b'A')];
        let (mut asked, mut answered) = (0, 0);
        let mut pieces = Vec::new();
        for &(question, answer) in &turns {
            pieces.push(Piece { client: true, at: asked, length: question, ack: answered });
            asked += question;
            pieces.push(Piece { client: false, at: answered, length: answer, ack: asked });
            answered += answer;
        }
        let mut order: Vec<(usize, usize)> =
            (0..pieces.len()).map(|i| (i + shifts[i % shifts.len()], i)).collect();
        order.sort_unstable();

        let mut talk = Talk::new();
        talk.first = [start, !start];
        talk.open();
        for (_, index) in order {
            let Piece { client, at, length, ack } = pieces[index];
            let bytes = &streams[usize::from(!client)][at..at + length];
            talk.send(client, ACK, i64::try_from(at).unwrap(), i64::try_from(ack).unwrap(), bytes, length);
        }
        talk.finish();
        let sides = told(&talk);
        prop_assert_eq!(&sides, &streams);
        let (mut questions, mut answers) = (0, 0);
        for line in &talk.told {
            let length = line.len() - 2;
            if line.starts_with('>') {
                questions += length;
            } else if line.starts_with('<') {
                answers += length;
                let last = turns.iter().scan((0, 0), |sum, turn| {
                    sum.0 += turn.0;
                    sum.1 += turn.1;
                    Some(*sum)
                });
                let due = last.clone().find(|sum| sum.1 >= answers).unwrap().0;
                prop_assert!(questions >= due, "{} bytes answered after {} asked", answers, questions);
            }
        }
    }

    /// Any segments of one connection, at any place: no panic, nothing twice, nothing kept for ever.
    #[test]
    fn any_segments(
        segments in prop::collection::vec(
            (any::<bool>(), 0..32_u8, prop::sample::select(vec![-2_i64, 0, 1, 5, 9, 30, 1 << 20, 1 << 28, 1 << 31]),
             prop::sample::select(vec![-1_i64, 0, 1, 4, 20, 1 << 27, 1 << 30]), 0..12_usize, 0..12_usize),
            0..60,
        ),
    ) {
        let mut talk = Talk::new();
        for (client, flags, at, ack, length, captured) in segments {
            talk.send(client, flags, at, ack, &b"0123456789ab"[..captured.min(length)], length);
            talk.now += 1_000_000 * u64::from(flags);
        }
        talk.finish();
    }

    #[test]
    fn any_file(data in prop::collection::vec(any::<u8>(), 0..400), kind in 0..3_u8, link in 0..3_usize) {
        let link = [RAW, 1, 276][link];
        let mut file = match kind {
            0 => Classic { magic: 0xa1b2_c3d4, big: false, link }.header(),
            1 => [Blocks { big: true }.section(), Blocks { big: true }.interface(link, 0, &[])].concat(),
            _ => Vec::new(),
        };
        file.extend(data);
        fuzz::pcap(&file);
    }

    #[test]
    fn any_packet(data in prop::collection::vec(any::<u8>(), 0..200), link in 0..300_u16, more in 0..5000_u64) {
        let mut talk = Talk::new();
        let packet = Packet { time: u64::MAX >> 1, link, length: more, bytes: &data };
        talk.connections.handle(&packet, &mut |_| true);
    }
}

/// Every prefix of a file, and every byte of it changed.
#[test]
fn a_file_cut_or_changed_anywhere() {
    let classic = Classic { magic: 0xa1b2_c3d4, big: false, link: RAW };
    let mut file = classic.header();
    let tcp = |client: bool, flags: u8, sequence, acknowledgement| {
        let (one, two) = ("10.0.0.1:4000".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        let (source, destination) = if client { (one, two) } else { (two, one) };
        crate::packets::Tcp { source, destination, sequence, acknowledgement, flags }
    };
    for (time, (tcp, data)) in [
        (tcp(true, SYN, 99, 0), &b""[..]),
        (tcp(false, SYN | ACK, 199, 100), b""),
        (tcp(true, ACK, 104, 200), b"/ HTTP/1.1\r\n\r\n"),
        (tcp(true, ACK, 100, 200), b"GET "),
        (tcp(false, ACK, 200, 118), b"HTTP/1.1 200 OK\r\n\r\n"),
        (tcp(false, ACK | FIN, 219, 118), b""),
        (tcp(true, ACK | FIN, 118, 220), b""),
    ]
    .into_iter()
    .enumerate()
    {
        let packet = tcp.packet(data);
        file.extend(classic.packet(1, u32::try_from(time).unwrap(), &packet, packet.len()));
    }
    for end in 0..=file.len() {
        fuzz::pcap(&file[..end]);
    }
    for at in 0..file.len() {
        for value in [0, 1, 0x45, 0x60, 0x7f, 0xff] {
            let mut changed = file.clone();
            changed[at] = value;
            fuzz::pcap(&changed);
        }
    }
}
