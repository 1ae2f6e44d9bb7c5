//! What is shown of a connection holds no secret, and is read as the same exchanges.

use std::ops::Range;

use httlib_hpack::Encoder;
use proptest::{collection::vec, prelude::*};

use super::{
    CONTINUATION, END_HEADERS, END_STREAM, Hpack, ONLY, OPEN, PADDED, PUSH_PROMISE, frame, headers, hello,
};
use super::{SETTINGS, Wire, data};
use crate::{
    exchange::{
        Party::{self, Client, Server},
        Stamp,
    },
    fuzz,
    http2::{
        Connection, Limits, PREFACE, Shown,
        corpus::cases,
        hpack::{Decoder, Field},
    },
    wire::Case,
};

const CANARY: &str = "cAnArY-7f3a~Z";

/// Those of credentials, and of a query's `sig`.
fn secrets(name: &[u8], value: &[u8]) -> Vec<Range<usize>> {
    let query = || {
        let text = std::str::from_utf8(value).unwrap();
        let start = text.find("sig=").map(|at| at + 4)?;
        Some(start..text[start..].find('&').map_or(text.len(), |at| start + at))
    };
    match name {
        b"authorization" | b"cookie" | b"set-cookie" | b"x-token" => {
            std::iter::once(0..value.len()).collect()
        }
        b":path" => query().into_iter().collect(),
        _ => Vec::new(),
    }
}

type Script = Vec<(Party, Vec<u8>)>;

/// What is shown of a script in pieces, and asterisks elsewhere: the client's bytes and the server's.
fn shown(script: &[(Party, Vec<u8>)], connection: Connection) -> [Vec<u8>; 2] {
    let mut connection = connection.masking(secrets);
    let mut streams = [Vec::new(), Vec::new()];
    for (index, (from, bytes)) in script.iter().enumerate() {
        let stream = &mut streams[usize::from(*from == Server)];
        let at = Stamp { time: index as u64, ..Stamp::default() };
        connection.handle_bytes(*from, at, stream.len() as u64, bytes);
        stream.resize(stream.len() + bytes.len(), b'*');
        for Shown { from, offset, bytes } in connection.take_shown() {
            let start = usize::try_from(offset).unwrap();
            streams[usize::from(from == Server)][start..start + bytes.len()].copy_from_slice(&bytes);
        }
        while connection.poll_event().is_some() {}
    }
    streams
}

/// The script with what is shown of it.
fn masked(script: &[(Party, Vec<u8>)], streams: &[Vec<u8>; 2]) -> Script {
    let mut at = [0; 2];
    let piece = |(from, bytes): &(Party, Vec<u8>)| {
        let side = usize::from(*from == Server);
        let start = at[side];
        at[side] += bytes.len();
        (*from, streams[side][start..at[side]].to_vec())
    };
    script.iter().map(piece).collect()
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn fields(stream: &[u8]) -> Vec<(String, String)> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    fields_raw(stream).into_iter().map(|(name, value)| (text(name), text(value))).collect()
}

/// Every field of a side's header blocks, by a decoder that keeps all.
fn fields_raw(stream: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut decoder = Decoder::new(1 << 16, |_| true);
    let mut fields = Vec::new();
    let mut rest = stream.strip_prefix(&PREFACE[..]).unwrap_or(stream);
    let mut block = Vec::new();
    while let [_, high, low, kind, flags, _, _, _, _, ..] = *rest {
        let (payload, behind) = rest[9..].split_at(usize::from(high) << 8 | usize::from(low));
        rest = behind;
        let skipped = match kind {
            1 => usize::from(flags & PADDED != 0) + 5 * usize::from(flags & 0x20 != 0),
            PUSH_PROMISE => 4,
            CONTINUATION => 0,
            _ => continue,
        };
        let padding = if flags & PADDED != 0 { usize::from(payload[0]) } else { 0 };
        block.extend(&payload[skipped..payload.len() - padding]);
        if flags & END_HEADERS != 0 {
            decoder
                .decode(&std::mem::take(&mut block), usize::MAX, |field| {
                    let Field::Known { name, value } = field else { panic!("unknown") };
                    fields.push((name.to_vec(), value.to_vec()));
                })
                .unwrap();
        }
    }
    fields
}

fn exchanges(script: &[(Party, Vec<u8>)], mut wire: Wire) -> Vec<String> {
    for (from, bytes) in script {
        wire.send(*from, bytes);
    }
    wire.close();
    // What a hidden part of a target became is of no matter.
    let plain = |line: &String| match line.split_once("sig=") {
        Some((before, after)) => {
            let end = after.find(['&', ' ']).unwrap();
            format!("{before}sig={}{}", "*".repeat(end), &after[end..])
        }
        None => line.clone(),
    };
    wire.exchanges.iter().map(plain).collect()
}

/// A block in which each field is written as its flags say.
fn block(hpack: &mut Encoder<'static>, fields: &[(&str, &str, u8)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value, flags) in fields {
        hpack.encode((name.as_bytes().to_vec(), value.as_bytes().to_vec(), *flags), &mut block).unwrap();
    }
    block
}

/// Secrets in every form that RFC 7541 has for a literal, twice, so that the second time some are an index; in a head, in
/// trailers, in a promise, with padding and in continuations.
fn conversation() -> Script {
    let (mut c, mut s) = (Encoder::default(), Encoder::default());
    let forms = |index: usize| {
        let huffman = [0, Encoder::HUFFMAN_VALUE, Encoder::HUFFMAN_NAME, 3][index % 4];
        huffman | [Encoder::WITH_INDEXING, 0, Encoder::NEVER_INDEXED][index / 4]
    };
    let pseudo = |path: &'static str, flags: u8| {
        [
            (":method", "GET", Encoder::BEST_FORMAT),
            (":scheme", "http", Encoder::BEST_FORMAT),
            (":path", path, flags),
            (":authority", "shop", Encoder::BEST_FORMAT | Encoder::WITH_INDEXING),
        ]
    };
    let path = "/a?page=2&sig=cAnArY-7f3a~Z&b=3";
    let mut script = vec![(Client, hello()), (Server, frame(SETTINGS, 0, 0, b""))];
    for index in 0..24 {
        let (stream, form) = (u32::try_from(2 * index + 1).unwrap(), forms(index % 12));
        let best = if index < 12 { 0 } else { Encoder::BEST_FORMAT };
        let mut fields = pseudo(path, form | best).to_vec();
        let names = ["authorization", "cookie", "x-token", "plain"];
        fields.extend(
            names.iter().map(|name| (*name, if *name == "plain" { "kept" } else { CANARY }, form | best)),
        );
        fields.push(("cookie", "", form));
        let request = block(&mut c, &fields);
        let answer = block(&mut s, &[(":status", "200", form | best), ("set-cookie", CANARY, form | best)]);
        let trailers = block(&mut s, &[("x-token", CANARY, form | best), ("grpc-status", "0", form)]);
        let third = request.len() / 3;
        let sent = match index % 3 {
            0 => headers(ONLY, stream, &request),
            1 => {
                headers(ONLY | PADDED | 0x20, stream, &[&[2, 0, 0, 0, 0, 9], &request[..], &[0; 2]].concat())
            }
            _ => [
                headers(END_STREAM, stream, &request[..third]),
                frame(CONTINUATION, 0, stream, &request[third..2 * third]),
                frame(CONTINUATION, END_HEADERS, stream, &request[2 * third..]),
            ]
            .concat(),
        };
        script.push((Client, sent));
        if index % 4 == 0 {
            let mut promised = pseudo(path, form).to_vec();
            promised.push(("cookie", CANARY, form));
            let promised =
                [&u32::try_from(2 * index + 2).unwrap().to_be_bytes(), &block(&mut s, &promised)[..]];
            // Ahead of the answer, whose block was made first: the encoder's table does not mind.
            script
                .push((Server, [headers(OPEN, stream, &answer), headers(ONLY, stream, &trailers)].concat()));
            script.push((Server, frame(PUSH_PROMISE, END_HEADERS, stream, &promised.concat())));
        } else {
            let body = data(0, stream, b"body");
            script.push((
                Server,
                [headers(OPEN, stream, &answer), body, headers(ONLY, stream, &trailers)].concat(),
            ));
        }
    }
    script
}

#[test]
fn no_secret_is_shown_in_any_form_and_everything_else_is() {
    let script = conversation();
    let streams = shown(&script, Connection::opened(Limits::default()));
    for (side, stream) in streams.iter().enumerate() {
        let real: Vec<u8> = script
            .iter()
            .filter(|(from, _)| usize::from(*from == Server) == side)
            .flat_map(|(_, bytes)| bytes.clone())
            .collect();
        let (real, found) = (fields(&real), fields(stream));
        assert_eq!(real.len(), found.len());
        assert!(real.iter().filter(|(_, value)| value.contains(CANARY)).count() >= 48);
        for ((name, value), (shown_name, shown)) in real.iter().zip(&found) {
            assert_eq!((name, value.len()), (shown_name, shown.len()));
            assert!(!shown.contains("cAnArY"), "{name}: {shown}");
            match &**name {
                ":path" => assert!(shown.starts_with("/a?page=2&sig=") && shown.ends_with("&b=3"), "{shown}"),
                "authorization" | "cookie" | "set-cookie" | "x-token" => {}
                _ => assert_eq!(value, shown),
            }
        }
        assert!(!String::from_utf8_lossy(stream).contains("cAnArY"));
    }
    let wire = || Wire::opened();
    let real = exchanges(&script, wire());
    assert_eq!(real.len(), 24);
    assert_eq!(exchanges(&masked(&script, &streams), wire()), real);
}

/// However the bytes come, the same is shown of them.
#[test]
fn in_pieces_of_every_size() {
    let script = conversation();
    let whole = shown(&script, Connection::opened(Limits::default()));
    for size in (1..70).chain([100, 1000]) {
        let pieces: Script = script
            .iter()
            .flat_map(|(from, bytes)| bytes.chunks(size).map(|piece| (*from, piece.to_vec())))
            .collect();
        assert_eq!(shown(&pieces, Connection::opened(Limits::default())), whole, "pieces of {size}");
    }
}

#[test]
fn every_message_in_two() {
    let script = conversation();
    let whole = shown(&script, Connection::opened(Limits::default()));
    for (target, (from, bytes)) in script.iter().enumerate().take(14) {
        for cut in 1..bytes.len() {
            let mut pieces = script.clone();
            pieces[target].1.truncate(cut);
            pieces.insert(target + 1, (*from, bytes[cut..].to_vec()));
            assert_eq!(shown(&pieces, Connection::opened(Limits::default())), whole, "{target} at {cut}");
        }
    }
}

/// Names that came before are not known, so their values are not shown.
#[test]
fn a_connection_that_is_joined_in_the_middle_shows_no_secret() {
    let script = conversation();
    for start in 1..script.len() {
        let rest = &script[start..];
        let streams = shown(rest, Connection::new(Limits::default()));
        let masked = masked(rest, &streams);
        assert_eq!(exchanges(&masked, Wire::joined()), exchanges(rest, Wire::joined()), "from {start}");
        let huffman = block(&mut Encoder::default(), &[("a", CANARY, Encoder::HUFFMAN_VALUE)]);
        for canary in [&CANARY.as_bytes()[..6], &huffman[4..]] {
            assert!(start > 10 || rest.iter().any(|(_, bytes)| holds(bytes, canary)));
            assert!(streams.iter().all(|stream| !holds(stream, canary)), "from {start}");
        }
    }
}

#[test]
fn what_a_gap_leaves_of_a_block_is_hidden() {
    let script = conversation();
    for (target, (from, bytes)) in script.iter().enumerate().take(12) {
        for at in 0..bytes.len() {
            let mut connection = Connection::opened(Limits::default()).masking(secrets);
            let mut offsets = [0_u64; 2];
            let mut seen = Vec::new();
            for (index, (party, whole)) in script.iter().enumerate().take(target + 6) {
                let offset = &mut offsets[usize::from(*party == Server)];
                let stamp = Stamp { time: index as u64, ..Stamp::default() };
                if index == target {
                    connection.handle_bytes(*party, stamp, *offset, &whole[..at]);
                    let rest = &whole[at..];
                    let tail = &rest[rest.len() - rest.len().min(16)..];
                    connection.handle_gap(*party, stamp, *offset + at as u64, rest.len() as u64, tail);
                } else {
                    connection.handle_bytes(*party, stamp, *offset, whole);
                }
                *offset += whole.len() as u64;
                seen.extend(connection.take_shown());
            }
            for Shown { bytes, .. } in seen {
                let text = String::from_utf8_lossy(&bytes);
                assert!(
                    !text.contains("cAnArY") && !text.contains("7f3a"),
                    "{from:?} {target} at {at}: {text}"
                );
            }
        }
    }
}

/// It is given up at the first of two frames that were found by looking at both.
#[test]
fn a_connection_that_is_given_up_among_frames_that_were_found() {
    let mut script = vec![1];
    let mut say = |bytes: &[u8]| {
        script.extend([0x10, u8::try_from(bytes.len()).unwrap()]);
        script.extend(bytes);
    };
    let noise = [0xff; 9];
    let found = [headers(ONLY, 1, b"\x80"), data(0, 1, b"body")].concat();
    say(&[&hello()[..], &noise].concat());
    for _ in 0..3 {
        say(&found);
        say(&noise);
    }
    // Seven faults so far, and no boundaries.
    say(&found);
    fuzz::masking(&script);
}

#[test]
fn blocks_without_end_and_more_padding_than_payload_show_nothing() {
    let mut hpack = Hpack::default();
    let secret = CANARY.as_bytes().repeat(10_000);
    // A literal field of 130,000 bytes, of which none can be kept.
    let begun = [&hpack.get("/")[..], b"\x00\x07x-token\x7f\xd1\xf6\x07"].concat();
    let mut script = vec![(Client, [hello(), headers(END_STREAM, 1, &begun)].concat())];
    script.extend(secret.chunks(13_000).map(|part| (Client, frame(CONTINUATION, 0, 1, part))));
    script.push((Client, frame(CONTINUATION, END_HEADERS, 1, b"")));
    script.push((Client, headers(ONLY | PADDED, 3, &[&[255], CANARY.as_bytes()].concat())));
    let streams = shown(&script, Connection::opened(Limits::default()));
    assert!(!String::from_utf8_lossy(&streams[0]).contains("cAnArY"));
    assert_eq!(exchanges(&masked(&script, &streams), Wire::opened()), exchanges(&script, Wire::opened()));
}

/// What is missing of a script's piece: nothing, its record, or all but its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Nothing,
    Record,
    Start,
}

/// A case in the form of a fuzzer's script, in pieces of which one is missing.
fn in_pieces(case: &Case, mode: u8, size: usize, missing: Missing, target: usize) -> Vec<u8> {
    let mut script = vec![mode];
    let pieces =
        case.script.iter().flat_map(|(from, bytes)| bytes.chunks(size).map(move |piece| (from, piece)));
    for (index, (from, piece)) in pieces.enumerate() {
        let side = u8::from(*from == Server);
        let length = u8::try_from(piece.len()).unwrap();
        match if index == target { missing } else { Missing::Nothing } {
            Missing::Nothing => {
                script.extend([0x10 | side, length]);
                script.extend(piece);
            }
            Missing::Record => script.extend([0x1c | side, length]),
            Missing::Start => {
                script.extend([0x1a | side, length]);
                script.extend(&piece[..usize::from(length & 15)]);
            }
        }
    }
    script
}

/// Cut anywhere, and with any piece missing, joined or seen from the start.
#[test]
fn the_corpus_in_pieces_and_with_gaps() {
    for case in cases() {
        for size in 1..=60 {
            for mode in [0, 1] {
                fuzz::masking(&in_pieces(&case, mode, size, Missing::Nothing, 0));
                for target in 0..12 {
                    fuzz::masking(&in_pieces(&case, mode, size, Missing::Record, target));
                    fuzz::masking(&in_pieces(&case, mode, size, Missing::Start, target));
                }
            }
        }
    }
}

const NAMES: [&str; 7] = ["authorization", "cookie", "x-token", "plain", "accept", ":path", "x-other"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Evictions included: entries count by their decoded length, and tables are small.
    #[test]
    fn random_blocks_decode_to_the_same_names_and_lengths(
        size in 0..400_u32,
        blocks in vec(vec((0..NAMES.len(), "[a-zA-Z0-9~ \\\\^é=&;?]{0,40}", 0..32_u8), 0..8), 1..12),
    ) {
        let mut encoder = Encoder::default();
        let mut first = Vec::new();
        encoder.update_max_dynamic_size(size, &mut first).unwrap();
        let mut script = vec![(Client, hello())];
        for (index, fields) in blocks.iter().enumerate() {
            let stream = u32::try_from(2 * index + 1).unwrap();
            let mut encoded = std::mem::take(&mut first);
            let fields: Vec<(&str, &str, u8)> = fields
                .iter()
                // Never and with indexing exclude each other.
                .map(|(name, value, flags)| (NAMES[*name], &**value, if flags & 8 != 0 { flags & !4 } else { *flags }))
                .collect();
            encoded.extend(block(&mut encoder, &fields));
            script.push((Client, headers(ONLY, stream, &encoded)));
        }
        let streams = shown(&script, Connection::opened(Limits::default()));
        let real: Vec<u8> = script.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        for ((name, value), (shown_name, shown)) in fields_raw(&real).iter().zip(&fields_raw(&streams[0])) {
            prop_assert_eq!(name, shown_name);
            prop_assert_eq!(value.len(), shown.len());
            let hidden = secrets(name, value);
            for at in 0..value.len() {
                if !hidden.iter().any(|range| range.contains(&at)) {
                    prop_assert_eq!(value[at], shown[at]);
                }
            }
        }
        prop_assert_eq!(fields_raw(&real).len(), fields_raw(&streams[0]).len());
    }
}
