//! Conversations of real programs, recorded between them: `C` or `S`, a length (4 bytes), and what one
//! operation carried.

use super::Wire;
use crate::{
    detect::{Direction, Protocol, Verdict, detect},
    exchange::Party,
    http2::Counters,
    reader::Reader,
};

/// node 20's client and server.
const NODE: &[u8] = include_bytes!("fixtures/node.bin");
/// curl 7.88 (nghttp2 1.52) with prior knowledge, and node 20's server.
const CURL: &[u8] = include_bytes!("fixtures/curl.bin");
/// grpcio 1.85, both sides.
const GRPC: &[u8] = include_bytes!("fixtures/grpc.bin");

fn operations(recording: &[u8]) -> Vec<(Party, &[u8])> {
    let mut reader = Reader::new(recording);
    let mut operations = Vec::new();
    while let (Some(from), Some(length)) = (reader.u8(), reader.u32()) {
        let from = if from == b'C' { Party::Client } else { Party::Server };
        operations.push((from, reader.take(length as usize).unwrap()));
    }
    operations
}

#[track_caller]
fn check(recording: &[u8], expect: &[&str]) {
    let operations = operations(recording);
    for piece in [usize::MAX, 100, 7, 1] {
        let starts: &[fn() -> Wire] =
            if piece >= 100 { &[Wire::opened, Wire::joined] } else { &[Wire::opened] };
        for start in starts {
            let mut wire = start();
            for (from, bytes) in &operations {
                bytes.chunks(piece).for_each(|piece| wire.send(*from, piece));
            }
            wire.close();
            assert_eq!(wire.exchanges, expect);
            assert_eq!(wire.connection.counters(), Counters::default());
        }
    }
    let (_, first) = operations.iter().find(|(from, _)| *from == Party::Client).unwrap();
    assert_eq!(detect(first, b""), Verdict::Speaks { protocol: Protocol::Http2, client: Direction::Sent });
}

#[test]
fn node() {
    check(
        NODE,
        &[
            "GET /one 0 -> 200 5 Complete 88/66",
            "GET /missing 0 -> 404 2 Complete 22/31",
            "GET /one 0 -> 200 5 Complete 19/35",
            "POST /two 5 -> 200 5 Complete 33/35",
            "GET /one 0 -> 200 5 Complete 19/35",
        ],
    );
}

#[test]
fn curl() {
    check(CURL, &["POST /curl 3 -> 200 5 Complete 87/66"]);
}

#[test]
fn grpc() {
    check(
        GRPC,
        &[
            "POST /fix.Ture/Unary 7 -> 200 8 Complete 229/143 rpc fix.Ture/Unary 0! 1/1",
            "POST /fix.Ture/Fail 7 -> 200 0 Complete 54/53 rpc fix.Ture/Fail 5! 1/0",
            "POST /fix.Ture/Nope 7 -> 200 0 Complete 54/59 rpc fix.Ture/Nope 12! 1/0",
            "POST /fix.Ture/Down 6 -> 200 18 Complete 53/82 rpc fix.Ture/Down 0! 1/3",
            "POST /fix.Ture/Up 24 -> 200 6 Complete 105/52 rpc fix.Ture/Up 0! 4/1",
            "POST /fix.Ture/Chat 12 -> 200 12 Complete 77/67 rpc fix.Ture/Chat 0! 2/2",
            // The deadline passed: the client cancelled.
            "POST /fix.Ture/Slow 7 -> - ? Reset { by: Client, code: 8 } 86/0 rpc fix.Ture/Slow - 1/0",
            "POST /fix.Ture/Unary 10 -> 200 11 Complete 36/57 rpc fix.Ture/Unary 0! 1/1",
        ],
    );
}

/// Whatever was missed before the attach: no verdict but the right one, no failure, and nothing that
/// was not there.
#[test]
fn attached_at_every_operation() {
    for recording in [NODE, CURL, GRPC] {
        let operations = operations(recording);
        let run = |from: usize| {
            let mut wire = Wire::joined();
            operations[from..].iter().for_each(|(from, bytes)| wire.send(*from, bytes));
            wire.close();
            assert_eq!(wire.connection.counters().failures, 0);
            wire.exchanges
        };
        let all = run(0);
        for (start, &(from, bytes)) in operations.iter().enumerate() {
            for line in run(start) {
                let target = line.split(' ').nth(1).unwrap();
                let known = all.iter().any(|whole| whole.split(' ').nth(1) == Some(target));
                assert!(known || target == "_", "{start}: {line}");
            }
            let client = if from == Party::Client { Direction::Sent } else { Direction::Received };
            let verdict = detect(bytes, b"");
            assert!(
                matches!(verdict, Verdict::NeedMore)
                    || verdict == Verdict::Speaks { protocol: Protocol::Http2, client },
                "{start}"
            );
        }
    }
}
