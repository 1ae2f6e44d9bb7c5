//! The corpus in every prefix, every split and with every gap.

use proptest::prelude::*;

use super::Wire;
use crate::{
    exchange::{Event, Party},
    fuzz,
    http1::{
        Connection, Counters, Limits,
        corpus::{CASES, Case},
    },
};

type Script = [(Party, &'static [u8])];

fn opened() -> Connection {
    Connection::opened(Limits::default())
}

fn joined() -> Connection {
    Connection::new(Limits::default())
}

/// Runs a script in which each message is cut as `cut` says.
#[track_caller]
fn check(case: &Case, connection: Connection, cut: impl Fn(usize, &[u8]) -> Vec<usize>, what: &str) {
    let mut wire = Wire::new(connection);
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
    for case in CASES {
        check(case, opened(), |_, _| Vec::new(), "whole");
        check(case, joined(), |_, _| Vec::new(), "whole, boundaries not known");
    }
}

#[test]
fn in_pieces_of_every_size() {
    for case in CASES {
        for size in 1..=90 {
            let cut = |_: usize, bytes: &[u8]| (size..bytes.len()).step_by(size).collect();
            check(case, opened(), cut, &format!("pieces of {size}"));
            check(case, joined(), cut, &format!("pieces of {size}, boundaries not known"));
        }
    }
}

#[test]
fn every_message_in_two_and_in_three() {
    for case in CASES {
        for (target, (_, bytes)) in case.script.iter().enumerate() {
            for first in 1..bytes.len() {
                for second in first..bytes.len() {
                    let cut =
                        |index, _: &[u8]| if index == target { vec![first, second] } else { Vec::new() };
                    check(case, opened(), cut, &format!("message {target} cut at {first} and {second}"));
                }
                let cut = |_: usize, bytes: &[u8]| if first < bytes.len() { vec![first] } else { Vec::new() };
                check(case, joined(), cut, &format!("all cut at {first}"));
            }
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
fn every_prefix() {
    for case in CASES.iter().filter(|case| case.name != "until close") {
        let total: usize = case.script.iter().map(|(_, bytes)| bytes.len()).sum();
        for length in 0..total {
            let mut wire = Wire::new(opened());
            let mut left = length;
            for (from, bytes) in case.script {
                let taken = left.min(bytes.len());
                wire.send(*from, &bytes[..taken]);
                left -= taken;
            }
            wire.close();
            check_credible(case, &wire.exchanges, &format!("{length} bytes"));
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

fn run_with_hole(script: &Script, target: usize, start: usize, end: usize, hole: Hole) -> Wire {
    let mut wire = Wire::new(opened());
    for (index, (from, bytes)) in script.iter().enumerate() {
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
    for case in CASES {
        for (target, (_, bytes)) in case.script.iter().enumerate() {
            for start in 0..bytes.len() {
                for end in start + 1..=bytes.len() {
                    for hole in [Hole::Tail, Hole::Counted, Hole::Lost] {
                        // Nothing follows that could tell that the last bytes before a close are missing.
                        let silent = case.name == "until close" && end == bytes.len();
                        if silent && matches!(hole, Hole::Lost) {
                            continue;
                        }
                        let wire = run_with_hole(case.script, target, start, end, hole);
                        let what = format!("message {target}, {start}..{end} {hole:?}");
                        check_credible(case, &wire.exchanges, &what);
                    }
                }
            }
        }
    }
}

#[test]
fn responses_recorded_before_their_requests() {
    for name in ["get", "keep-alive", "chunked both ways", "a body that looks like messages", "until close"] {
        let case = CASES.iter().find(|case| case.name == name).unwrap();
        let mut wire = Wire::new(opened());
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
    let pieces: Vec<&'static [u8]> =
        CASES.iter().flat_map(|case| case.script.iter().map(|(_, b)| *b)).collect();
    prop_oneof![
        4 => (prop::sample::select(pieces), any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(
            |(piece, a, b)| {
                let (a, b) = (a.index(piece.len() + 1), b.index(piece.len() + 1));
                piece[a.min(b)..a.max(b)].to_vec()
            }
        ),
        4 => prop::sample::select(CASES.iter().flat_map(|case| case.script.iter().map(|(_, b)| b.to_vec())).collect::<Vec<_>>()),
        1 => prop::collection::vec(any::<u8>(), 0..64),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(data in prop::collection::vec(any::<u8>(), 0..600)) {
        fuzz::http1(&data);
        fuzz::detection(&data);
    }

    #[test]
    fn random_operations(first in any::<u8>(), operations in prop::collection::vec((any::<u8>(), fragment()), 0..40)) {
        let mut data = vec![first];
        for (control, bytes) in operations {
            data.extend([control, u8::try_from(bytes.len()).unwrap()]);
            data.extend(bytes);
        }
        fuzz::http1(&data);
    }

    /// However the two directions interleave, and in whatever order whole messages come: the methods
    /// and targets reported are those that were sent.
    #[test]
    fn nothing_is_invented(operations in prop::collection::vec((any::<bool>(), 0..CASES.len(), any::<u8>()), 1..30)) {
        let mut wire = Wire::new(joined());
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
