//! The corpus in every prefix, every split and with every gap.

use proptest::{collection::vec, prelude::*};

use super::Wire;
use crate::{
    exchange::{Event, Party},
    fuzz,
    http1::{Connection, Counters, Limits, corpus::CASES},
    wire::{
        Case,
        corpus::{self, Corpus, Hole, check, script},
    },
};

fn corpus() -> Corpus<Connection> {
    Corpus {
        cases: cases(),
        pieces: 90,
        cut_step: 1,
        gap_step: 1,
        joined: |_, _| true,
        prefix: |case, wire, what| {
            if case.name != "until close" {
                check_credible(case, &wire.exchanges, what);
            }
        },
        credible: check_credible,
        // Nothing follows that could tell that the last bytes before a close are missing.
        untold: |case, gap| case.name == "until close" && gap.to_the_end && gap.hole == Hole::Lost,
    }
}

fn cases() -> Vec<Case> {
    CASES.iter().map(|case| Case::of(case.name, case.script, case.expect)).collect()
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

#[test]
fn every_message_in_two_where_boundaries_are_not_known() {
    for case in cases() {
        let longest = case.script.iter().map(|(_, bytes)| bytes.len()).max().unwrap_or_default();
        for at in 1..longest {
            let cut = |_: usize, bytes: &[u8]| if at < bytes.len() { vec![at] } else { Vec::new() };
            check(&case, Wire::joined(), cut, &format!("all cut at {at}"));
        }
    }
}

/// What must hold of an exchange when part of the conversation was not seen.
#[track_caller]
fn check_credible(case: &Case, exchanges: &[String], what: &str) {
    let mut expected = case.expect.iter();
    for line in exchanges.iter().filter(|line| line.contains("Complete") || line.contains("Upgraded")) {
        let found = expected.any(|expect| agrees(line, expect));
        assert!(found, "{}: {what}: {line} of {exchanges:#?}", case.name);
    }
    for line in exchanges {
        let words: Vec<_> = line.split(' ').collect();
        let asked = |expect: &&str| expect.split(' ').take(2).eq(words[..2].iter().copied());
        // Where the head or the switch was not seen, what follows may look like a request.
        let decoy = ["/not", "/x"].contains(&words[1]) && line.contains(" Lost ");
        assert!(case.expect.iter().any(asked) || decoy, "{}: {what}: {line}", case.name);
    }
}

/// Method, target, status and outcome are the same; sizes too, except where they are not known.
fn agrees(line: &str, expect: &str) -> bool {
    let line: Vec<_> = line.split([' ', '/']).collect();
    let expect: Vec<_> = expect.split([' ', '/']).collect();
    let damaged = line.last() == Some(&"damaged");
    let count = expect.len();
    let sizes = [(count - 7, count - 2), (count - 4, count - 1)];
    line.iter().zip(&expect).enumerate().all(|(index, (found, expect))| {
        let unknown = sizes.iter().any(|&(body, wire)| {
            line[body] == "?" && index == body || (line[body] == "?" || damaged) && index == wire
        });
        found == expect || unknown
    })
}

#[test]
fn responses_recorded_before_their_requests() {
    for name in ["get", "keep-alive", "chunked both ways", "a body that looks like messages", "until close"] {
        let case = CASES.iter().find(|case| case.name == name).unwrap();
        let mut wire = Wire::opened();
        for pair in case.script.chunks(2) {
            let [(asks, request), (answers, response)] = pair else { panic!("{name} does not alternate") };
            wire.send(*answers, response);
            wire.send(*asks, request);
        }
        wire.close();
        assert_eq!(wire.exchanges, case.expect, "{name}");
        assert_eq!(wire.connection.counters(), Counters::default(), "{name}");
    }
}

fn fragment() -> impl Strategy<Value = Vec<u8>> {
    corpus::fragment(cases(), 4, 4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(data in vec(any::<u8>(), 0..600)) {
        fuzz::http1(&data);
        fuzz::detection(&data);
    }

    #[test]
    fn random_operations(first in any::<u8>(), operations in vec((any::<u8>(), fragment()), 0..40)) {
        fuzz::http1(&script(first, operations));
    }

    /// However the two directions interleave, and in whatever order whole messages come: the methods
    /// and targets reported are those that were sent.
    #[test]
    fn nothing_is_invented(operations in vec((any::<bool>(), 0..CASES.len(), any::<u8>()), 1..30)) {
        let mut wire = Wire::joined();
        for (client, case, pick) in operations {
            if CASES[case].name.starts_with("expect") {
                continue; // Its messages are not whole: another's would be its body.
            }
            let party = if client { Party::Client } else { Party::Server };
            let messages: Vec<_> = CASES[case].script.iter().filter(|(from, _)| *from == party).collect();
            wire.send(party, messages[usize::from(pick) % messages.len()].1);
        }
        wire.close();
        let known: Vec<_> = CASES.iter().flat_map(|case| case.expect).map(|line| line.split(' ').take(2).collect::<Vec<_>>()).collect();
        for line in &wire.exchanges {
            let words: Vec<_> = line.split(' ').take(2).collect();
            // What a CONNECT or an upgrade leaves behind, and bodies, hold requests on purpose.
            prop_assert!(known.contains(&words) || ["/not", "/x", "/"].contains(&words[1]), "{}", line);
        }
    }
}

#[test]
fn events_nobody_polls_are_bounded() {
    let mut connection = Connection::opened(Limits { events: 4, ..Limits::default() });
    for index in 0..10_u64 {
        let request = b"GET / HTTP/1.1\r\n\r\n";
        connection.handle_bytes(Party::Client, crate::Stamp::default(), index * 18, request);
    }
    assert_eq!(connection.counters().dropped_events, 6);
    assert!(matches!(connection.poll_event(), Some(Event::Request { id: 0, .. })));
}
