//! What is shown of HTTP/2 without its secrets.

use std::sync::Arc;

use super::{Operation, Script};
use crate::{
    exchange::{CloseReason, Event, Party, Stamp},
    http2,
};

/// Any script of operations on an HTTP/2 connection, in the form of [`super::http2`]'s: what is shown of it without its
/// secrets is read as the same exchanges. Once either side is between two frames it sends a secret, in a header block; the
/// upper bits of the mode say how that is cut. With another secret in its place the same is shown.
///
/// # Panics
///
/// When it is not.
pub fn masking(data: &[u8]) {
    let mode = data.first().copied().unwrap_or_default();
    let [planted, other] = SECRETS.map(|secret| [block(Party::Client, secret), block(Party::Server, secret)]);
    let (tape, other) = (tape(data, &planted), tape(data, &other));
    let mut shown = Vec::new();
    let mut watched = begin(mode).masking(http2::secrets_of_tests);
    let real = play(&mut watched, &tape, |connection| shown.extend(connection.take_shown()));
    assert_eq!(play(&mut begin(mode), &tape, |_| {}), real);
    let mut shown_of_other = Vec::new();
    let mut watched = begin(mode).masking(http2::secrets_of_tests);
    play(&mut watched, &other, |connection| shown_of_other.extend(connection.take_shown()));
    assert_eq!(shown, shown_of_other, "what is shown depends on a secret");

    let mut places = [0_u64; 2];
    let masked: Vec<(Operation<'_>, Vec<u8>)> = tape
        .iter()
        .map(|(from, _, operation)| {
            let place = &mut places[usize::from(*from == Party::Server)];
            *place += operation.length();
            let bytes = operation.bytes();
            let mut instead = vec![b'*'; bytes.len()];
            let start = place.saturating_sub(bytes.len() as u64);
            for piece in shown.iter().filter(|piece| piece.from == *from) {
                for (byte, offset) in piece.bytes.iter().zip(piece.offset..) {
                    let at = offset.checked_sub(start).and_then(|at| usize::try_from(at).ok());
                    if let Some(hidden) = at.and_then(|at| instead.get_mut(at)) {
                        *hidden = *byte;
                    }
                }
            }
            (*operation, instead)
        })
        .collect();
    let replayed: Vec<_> = tape
        .iter()
        .zip(&masked)
        .map(|((from, at, _), (operation, bytes))| (*from, *at, operation.with(bytes)))
        .collect();
    assert_eq!(play(&mut begin(mode), &replayed, |_| {}), real);
}

/// What happens, and when.
type Turn<'a> = (Party, Stamp, Operation<'a>);

fn begin(mode: u8) -> http2::Connection {
    match mode & 1 {
        1 => http2::Connection::opened(http2::Limits::default()),
        _ => http2::Connection::new(http2::Limits::default()),
    }
}

/// A script with the secret blocks of either side, once each: from the operation on that bits 2 to 4 of the mode say.
fn tape<'a>(data: &'a [u8], planted: &'a [Vec<u8>; 2]) -> Vec<Turn<'a>> {
    let script = Script::new(data);
    let mode = script.mode;
    let mut tape: Vec<Turn<'a>> = Vec::new();
    let (mut connection, mut offsets) = (begin(mode), [0; 2]);
    let mut take = |turn: Turn<'a>| {
        hand(&mut connection, &turn, &mut offsets);
        while connection.poll_event().is_some() {}
        tape.push(turn);
        [Party::Client, Party::Server].map(|party| connection.is_between_frames(party))
    };
    let mut between = [false; 2];
    if mode & 2 == 2 {
        between = take((Party::Client, Stamp::default(), Operation::Bytes(http2::PREFACE)));
    }
    let mut left = [Some(&planted[0]), Some(&planted[1])];
    let (mut index, mut last) = (0, Stamp::default());
    for turn in script {
        for (side, party) in [Party::Client, Party::Server].into_iter().enumerate() {
            if index >= usize::from(mode >> 2 & 7)
                && between[side]
                && let Some(block) = left[side].take()
            {
                for operation in cut(block, mode >> 5) {
                    between = take((party, last, operation));
                }
            }
        }
        last = turn.1;
        between = take(turn);
        index += 1;
    }
    for (side, party) in [Party::Client, Party::Server].into_iter().enumerate() {
        if let Some(block) = left[side].take_if(|_| between[side]) {
            for operation in cut(block, mode >> 5) {
                between = take((party, last, operation));
            }
        }
    }
    tape
}

/// A block in one operation or in several, whole or not.
fn cut(block: &[u8], how: u8) -> Vec<Operation<'_>> {
    const TAIL: usize = 15;
    let (begin, end) = block.split_at(block.len() / 2);
    let tail = &end[end.len() - TAIL..];
    match how {
        0 => vec![Operation::Bytes(block)],
        1..=4 => block.chunks([1, 5, 11, 24][usize::from(how) - 1]).map(Operation::Bytes).collect(),
        5 => vec![Operation::Bytes(begin), Operation::Gap { length: end.len() as u64, tail }],
        6 => vec![Operation::Lost(begin.len() as u64), Operation::Bytes(end)],
        _ => vec![Operation::Bytes(block), Operation::Bytes(block)],
    }
}

/// A secret, and one of the same measure; each as it is, and coded by Huffman (RFC 7541 appendix B).
const SECRETS: [(&[u8], &[u8]); 2] = [
    (b"cAnArY-7f3a~Z", &[0x24, 0x35, 0x43, 0x67, 0x35, 0x9d, 0x95, 0x91, 0xff, 0xf7, 0xf7]),
    (b"Z~a3f7-YrAnAc", &[0xfd, 0xff, 0xe8, 0xd9, 0x95, 0xd5, 0xb9, 0xd9, 0x0d, 0x50, 0x93]),
];

/// A HEADERS frame with fields that are secret: in full, as a new entry of the table, as the value of that entry's name.
#[allow(clippy::cast_possible_truncation)] // All are short.
fn block(from: Party, (plain, coded): (&[u8], &[u8])) -> Vec<u8> {
    const STREAM: u8 = 0xfd;
    let pseudo: &[u8] = match from {
        Party::Client => b"\x82\x86\x84",
        Party::Server => b"\x88",
    };
    let (plain, coded) =
        ([&[plain.len() as u8], plain].concat(), [&[0x80 | coded.len() as u8], coded].concat());
    let fields =
        [pseudo, b"\x10\x05x-one", &plain, b"\x40\x05x-two", &coded, b"\x7e", &plain, b"\x0f\x2f", &coded]
            .concat();
    [&[0, 0, fields.len() as u8, 1, 4, 0, 0, 0, STREAM], &fields[..]].concat()
}

/// What a connection says of its operations, without what depends on bytes that are hidden.
fn play(
    connection: &mut http2::Connection,
    tape: &[Turn<'_>],
    mut after: impl FnMut(&mut http2::Connection),
) -> (Vec<http2::HttpEvent>, http2::Counters) {
    let mut events = Vec::new();
    let mut offsets = [0_u64; 2];
    let mut last = Stamp::default();
    for turn in tape {
        hand(connection, turn, &mut offsets);
        last = turn.1;
        after(connection);
        events.extend(std::iter::from_fn(|| connection.poll_event()));
    }
    connection.handle_close(last, CloseReason::Finished);
    events.extend(std::iter::from_fn(|| connection.poll_event()));
    for event in &mut events {
        match event {
            Event::Request { head, .. } => Arc::make_mut(head).fingerprint = 0,
            Event::Exchange(exchange) => Arc::make_mut(&mut exchange.detail.request).fingerprint = 0,
            Event::Response { .. } => {}
        }
    }
    (events, connection.counters())
}

fn hand(connection: &mut http2::Connection, (from, at, operation): &Turn<'_>, offsets: &mut [u64; 2]) {
    let offset = &mut offsets[usize::from(*from == Party::Server)];
    operation.hand_to(connection, *from, *at, *offset);
    *offset += operation.length();
}
