//! The corpus in every prefix, every split and with every gap.

use proptest::prelude::*;

use super::Wire;
use crate::{
    exchange::Party,
    fuzz,
    http2::{
        Counters, PREFACE,
        corpus::{Case, cases},
    },
};

/// Runs a script in which each message is cut as `cut` says.
#[track_caller]
fn check(case: &Case, mut wire: Wire, cut: impl Fn(usize, &[u8]) -> Vec<usize>, what: &str) {
    for (index, (from, bytes)) in case.script.iter().enumerate() {
        let mut start = 0;
        for end in cut(index, bytes).into_iter().chain([bytes.len()]) {
            wire.send(*from, &bytes[start..end]);
            start = end;
        }
    }
    wire.close();
    assert_eq!(wire.exchanges, case.expect, "{}: {what}", case.name);
    assert_eq!(wire.connection.counters(), Counters::default(), "{}: {what}", case.name);
}

#[test]
fn whole() {
    for case in cases() {
        check(&case, Wire::opened(), |_, _| Vec::new(), "whole");
        check(&case, Wire::joined(), |_, _| Vec::new(), "whole, start not known");
    }
}

#[test]
fn in_pieces_of_every_size() {
    for case in cases() {
        for size in 1..=90 {
            let cut = |_: usize, bytes: &[u8]| (size..bytes.len()).step_by(size).collect();
            check(&case, Wire::opened(), cut, &format!("pieces of {size}"));
            if size > 2 {
                check(&case, Wire::joined(), cut, &format!("pieces of {size}, start not known"));
            }
        }
    }
}

#[test]
fn every_message_in_two_and_in_three() {
    for case in cases() {
        for (target, (_, bytes)) in case.script.iter().enumerate() {
            for first in 1..bytes.len() {
                for second in first..bytes.len() {
                    let cut =
                        |index, _: &[u8]| if index == target { vec![first, second] } else { Vec::new() };
                    check(&case, Wire::opened(), cut, &format!("message {target} cut at {first}, {second}"));
                }
            }
        }
    }
}

/// Counted by hand: the frames of a stream, in one direction.
#[test]
fn wire_bytes_are_those_of_the_frames() {
    let all = cases();
    for (name, stream, at) in
        [("get and again", 1, 0), ("continuation", 1, 0), ("concurrent", 5, 0), ("grpc", 3, 1)]
    {
        let case = all.iter().find(|case| case.name == name).unwrap();
        let mut sizes = [0, 0];
        for (from, bytes) in &case.script {
            let mut rest = bytes.strip_prefix(PREFACE).unwrap_or(bytes);
            while let [_, high, low, _, _, _, _, _, id, ..] = *rest {
                let length = 9 + usize::from(high) * 256 + usize::from(low);
                sizes[usize::from(*from == Party::Server)] += if id == stream { length } else { 0 };
                rest = &rest[length..];
            }
        }
        let [request, response] = sizes;
        assert!(case.expect[at].contains(&format!(" Complete {request}/{response}")), "{name}: {sizes:?}");
    }
}

/// The server's records come first.
#[test]
fn responses_before_their_requests() {
    for case in cases().iter().filter(|case| ["get and again", "grpc"].contains(&case.name)) {
        let mut wire = Wire::opened();
        for party in [Party::Server, Party::Client] {
            for (from, bytes) in case.script.iter().filter(|(from, _)| *from == party) {
                wire.send(*from, bytes);
            }
        }
        wire.close();
        // A response that is over before its request's end leaves that out.
        let names = |line: &str| line.split(' ').take(2).map(str::to_owned).collect::<Vec<_>>();
        let found: Vec<_> = wire.exchanges.iter().map(|line| names(line)).collect();
        assert_eq!(found, case.expect.iter().map(|line| names(line)).collect::<Vec<_>>());
        assert!(wire.exchanges.iter().all(|line| line.contains(" Complete ")));
        assert_eq!(wire.connection.counters(), Counters::default());
    }
}

/// What must hold of an exchange when part of the conversation was not seen: nothing is wrong.
#[track_caller]
fn check_credible(case: &Case, exchanges: &[String], what: &str) {
    let mut used = vec![false; case.expect.len()];
    for line in exchanges {
        let found = (0..used.len()).find(|&at| !used[at] && agrees(line, case.expect[at]));
        assert!(found.is_some(), "{}: {what}: {line} of {exchanges:#?}", case.name);
        used[found.unwrap()] = true;
    }
}

/// Everything is the same, except what is unknown, and except sizes where something was lost.
fn agrees(line: &str, expect: &str) -> bool {
    let damaged = line.ends_with(" damaged");
    let cut = [" Lost ", " Aborted(", " Reset {"].iter().any(|outcome| line.contains(outcome));
    let (found, expect) = (Words::of(line), Words::of(expect));
    let name = |found: &str, expect: &str| found == "_" || found == expect;
    let size = |found: &str, expect: &str| found == "?" || found == expect;
    name(found.method, expect.method)
        && name(found.target, expect.target)
        && size(found.sent, expect.sent)
        && (found.status == "-" || found.status == expect.status)
        && size(found.received, expect.received)
        && (cut || found.outcome == expect.outcome)
        && (cut || damaged || found.wire == expect.wire || found.received == "?" || found.sent == "?")
        && (found.rpc.is_empty() || rpc_agrees(found.rpc, expect.rpc))
}

/// `method status messages/messages`, as far as known; a call that was cut has fewer messages.
fn rpc_agrees(found: &str, expect: &str) -> bool {
    let found: Vec<_> = found.split([' ', '/', '.']).collect();
    let expect: Vec<_> = expect.split([' ', '/', '.']).collect();
    if found[0] == "_" {
        return true;
    }
    let status = |found: &str, expect: &str| {
        found == "-" || found.trim_end_matches('!') == expect.trim_end_matches('!')
    };
    let count = |found: &str, expect: &str| {
        found == "?" || found.parse::<u32>().unwrap() <= expect.parse::<u32>().unwrap()
    };
    found[..3] == expect[..3]
        && status(found[3], expect[3])
        && count(found[4], expect[4])
        && count(found[5], expect[5])
}

struct Words<'a> {
    method: &'a str,
    target: &'a str,
    sent: &'a str,
    status: &'a str,
    received: &'a str,
    outcome: &'a str,
    wire: &'a str,
    rpc: &'a str,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Self {
        let line = line.strip_suffix(" damaged").unwrap_or(line);
        let (line, rpc) = line.split_once(" rpc ").unwrap_or((line, ""));
        let (line, wire) = line.rsplit_once(' ').unwrap();
        let words: Vec<_> = line.splitn(7, ' ').collect();
        let [method, target, sent, _, status, received, outcome] = words[..] else { panic!("{line}") };
        Self { method, target, sent, status, received, outcome, wire, rpc }
    }
}

#[test]
fn every_prefix() {
    for case in cases() {
        let total: usize = case.script.iter().map(|(_, bytes)| bytes.len()).sum();
        for length in 0..total {
            let mut wire = Wire::opened();
            let mut left = length;
            for (from, bytes) in &case.script {
                let taken = left.min(bytes.len());
                wire.send(*from, &bytes[..taken]);
                left -= taken;
            }
            wire.close();
            check_credible(&case, &wire.exchanges, &format!("{length} bytes"));
        }
    }
}

/// Attached in the middle: what passed before was not seen.
#[test]
fn every_suffix() {
    for case in cases() {
        for start in 0..case.script.len() {
            let mut wire = Wire::joined();
            for (from, bytes) in &case.script[start..] {
                wire.send(*from, bytes);
            }
            wire.close();
            check_credible(&case, &wire.exchanges, &format!("from message {start}"));
            assert_eq!(wire.connection.counters().failures, 0);
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Hole {
    /// Counted, and the last bytes of it seen.
    Tail,
    Counted,
    /// No record at all.
    Lost,
}

fn run_with_hole(case: &Case, target: usize, start: usize, end: usize, hole: Hole) -> Wire {
    let mut wire = Wire::opened();
    for (index, (from, bytes)) in case.script.iter().enumerate() {
        if index != target {
            wire.send(*from, bytes);
            continue;
        }
        if start > 0 {
            wire.send(*from, &bytes[..start]);
        }
        let missing = &bytes[start..end];
        match hole {
            Hole::Tail => {
                wire.skip(*from, missing.len() as u64, &missing[missing.len().saturating_sub(16)..]);
            }
            Hole::Counted => wire.skip(*from, missing.len() as u64, b""),
            Hole::Lost => wire.lose(*from, missing.len() as u64),
        }
        if end < bytes.len() {
            wire.send(*from, &bytes[end..]);
        }
    }
    wire.close();
    wire
}

#[test]
fn every_gap() {
    for case in cases() {
        for (target, (_, bytes)) in case.script.iter().enumerate() {
            for start in 0..bytes.len() {
                for end in start + 1..=bytes.len() {
                    for hole in [Hole::Tail, Hole::Counted, Hole::Lost] {
                        let wire = run_with_hole(&case, target, start, end, hole);
                        let what = format!("message {target}, {start}..{end} {hole:?}");
                        check_credible(&case, &wire.exchanges, &what);
                    }
                }
            }
        }
    }
}

fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<Vec<u8>> =
        cases().into_iter().flat_map(|case| case.script.into_iter().map(|(_, bytes)| bytes)).collect();
    prop_oneof![
        4 => (prop::sample::select(pieces.clone()), any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(
            |(piece, a, b)| {
                let (a, b) = (a.index(piece.len() + 1), b.index(piece.len() + 1));
                piece[a.min(b)..a.max(b)].to_vec()
            }
        ),
        4 => prop::sample::select(pieces),
        1 => prop::collection::vec(any::<u8>(), 0..64),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(data in prop::collection::vec(any::<u8>(), 0..600)) {
        fuzz::http2(&data);
        fuzz::hpack(&data);
    }

    #[test]
    fn random_operations(first in any::<u8>(), operations in prop::collection::vec((any::<u8>(), fragment()), 0..40)) {
        let mut data = vec![first];
        for (control, bytes) in operations {
            data.extend([control, u8::try_from(bytes.len()).unwrap()]);
            data.extend(bytes);
        }
        fuzz::http2(&data);
        fuzz::detection(&data);
    }
}
