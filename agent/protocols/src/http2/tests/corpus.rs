//! The corpus in every prefix, every split and with every gap.

use proptest::{collection::vec, prelude::*};

use super::Wire;
use crate::{
    exchange::Party,
    fuzz,
    http2::{Connection, Counters, PREFACE, corpus::cases},
    wire::{
        Case,
        corpus::{self, Corpus, script},
    },
};

fn corpus() -> Corpus<Connection> {
    Corpus {
        cases: cases(),
        pieces: 90,
        cut_step: 1,
        gap_step: 1,
        joined: |_, size| size > 2,
        prefix: |case, wire, what| check_credible(case, &wire.exchanges, what),
        credible: check_credible,
        untold: |_, _| false,
    }
}

#[test]
fn whole() {
    corpus().whole();
}

#[test]
fn in_pieces_of_every_size() {
    corpus().in_pieces_of_every_size();
}

#[test]
fn every_message_in_two_and_in_three() {
    corpus().every_message_in_two_and_in_three();
}

#[test]
fn every_prefix() {
    corpus().every_prefix();
}

#[test]
fn every_gap() {
    corpus().every_gap();
}

/// Attached in the middle: what passed before was not seen.
#[test]
fn every_suffix() {
    corpus().joined_at_every_message(0, |case, wire, what| {
        check_credible(case, &wire.exchanges, what);
        assert_eq!(wire.connection.counters().failures, 0, "{}: {what}", case.name);
    });
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

fn fragment() -> impl Strategy<Value = Vec<u8>> {
    corpus::fragment(cases(), 4, 4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(data in vec(any::<u8>(), 0..600)) {
        fuzz::http2(&data);
        fuzz::masking(&data);
        fuzz::hpack(&data);
    }

    #[test]
    fn random_operations(first in any::<u8>(), operations in vec((any::<u8>(), fragment()), 0..40)) {
        let data = script(first, operations);
        fuzz::http2(&data);
        fuzz::masking(&data);
        fuzz::detection(&data);
    }
}
