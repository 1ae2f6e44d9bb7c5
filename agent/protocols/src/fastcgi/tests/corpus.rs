//! The corpus in every prefix, every split and with every gap.

use proptest::prelude::*;

use super::Wire;
use crate::{
    fastcgi::{
        Connection, Counters, Limits,
        corpus::{Case, cases, record},
    },
    fuzz,
};

fn opened() -> Connection {
    Connection::opened(Limits::default())
}

fn joined() -> Connection {
    Connection::new(Limits::default())
}

/// Runs a script in which each operation is cut as `cut` says.
#[track_caller]
fn check(case: &Case, cut: impl Fn(usize, &[u8]) -> Vec<usize>, what: &str) {
    let mut wire = Wire::new(opened());
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
        check(&case, |_, _| Vec::new(), "whole");
    }
}

#[test]
fn in_pieces_of_every_size() {
    for case in cases() {
        for size in 1..=120 {
            let cut = |_: usize, bytes: &[u8]| (size..bytes.len()).step_by(size).collect();
            check(&case, cut, &format!("pieces of {size}"));
        }
    }
}

#[test]
fn every_operation_in_two_and_in_three() {
    for case in cases() {
        for (target, (_, bytes)) in case.script.iter().enumerate() {
            for first in 1..bytes.len() {
                for second in (first..bytes.len()).step_by(11) {
                    let cut =
                        |index, _: &[u8]| if index == target { vec![first, second] } else { Vec::new() };
                    check(&case, cut, &format!("operation {target} cut at {first} and {second}"));
                }
            }
        }
    }
}

/// What must hold of an exchange when part of the conversation was not seen: what is said without a mark was so, and
/// nothing that is not kept is in it.
#[track_caller]
fn check_credible(case: &Case, exchanges: &[String], what: &str) {
    let said = |line: &str| line.split(" Complete ").next().unwrap_or_default().to_owned();
    for line in exchanges.iter().filter(|line| line.contains(" Complete ") && !line.contains("damaged")) {
        let found = case.expect.iter().any(|expect| said(expect) == said(line));
        assert!(found, "{}: {what}: {line} of {exchanges:#?}", case.name);
    }
    for line in exchanges {
        assert!(!line.contains("secr"), "{}: {what}: {line}", case.name);
    }
}

#[test]
fn every_prefix() {
    for case in cases() {
        let total: usize = case.script.iter().map(|(_, bytes)| bytes.len()).sum();
        for length in 0..total {
            let mut wire = Wire::new(opened());
            let mut left = length;
            for (from, bytes) in &case.script {
                let taken = left.min(bytes.len());
                wire.send(*from, &bytes[..taken]);
                left -= taken;
            }
            wire.close();
            let ended = |line: &&String| line.contains(" Complete ") || line.contains(" Reset ");
            let whole = wire.exchanges.iter().filter(ended).count();
            assert_eq!(&wire.exchanges[..whole], &case.expect[..whole], "{}: {length} bytes", case.name);
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
    let mut wire = Wire::new(opened());
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
                for end in (start + 1..=bytes.len()).step_by(5) {
                    for hole in [Hole::Tail, Hole::Counted, Hole::Lost] {
                        let wire = run_with_hole(&case, target, start, end, hole);
                        let what = format!("operation {target}, {start}..{end} {hole:?}");
                        check_credible(&case, &wire.exchanges, &what);
                    }
                }
            }
        }
    }
}

#[test]
fn a_joined_connection_reports_nothing_that_was_not_asked() {
    for case in cases() {
        for from in 0..case.script.len() {
            let mut wire = Wire::new(joined());
            case.script[from..].iter().for_each(|(party, bytes)| wire.send(*party, bytes));
            wire.close();
            for line in &wire.exchanges {
                assert!(!line.contains("secret"), "{}: from operation {from}: {line}", case.name);
            }
        }
    }
}

fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<Vec<u8>> = cases()
        .into_iter()
        .flat_map(|case| case.script.into_iter().map(|(_, bytes)| bytes))
        .filter(|bytes| bytes.len() < 256)
        .collect();
    prop_oneof![
        2 => (prop::sample::select(pieces.clone()), any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(
            |(piece, a, b)| {
                let (a, b) = (a.index(piece.len() + 1), b.index(piece.len() + 1));
                piece[a.min(b)..a.max(b)].to_vec()
            }
        ),
        6 => prop::sample::select(pieces),
        1 => prop::collection::vec(any::<u8>(), 0..64),
        2 => (0..12_u8, 0..3_u16, prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(kind, request, content)| record(kind, request, &content)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(data in prop::collection::vec(any::<u8>(), 0..600)) {
        fuzz::fastcgi(&data);
        fuzz::detection(&data);
    }

    #[test]
    fn random_operations(first in any::<u8>(), operations in prop::collection::vec((any::<u8>(), fragment()), 0..40)) {
        let mut data = vec![first];
        for (control, bytes) in operations {
            let bytes = &bytes[..bytes.len().min(255)];
            data.extend([control, u8::try_from(bytes.len()).unwrap()]);
            data.extend(bytes);
        }
        fuzz::fastcgi(&data);
    }

    /// In whatever order whole operations come: nothing is told that is not kept.
    #[test]
    fn nothing_is_told(operations in prop::collection::vec((0..4_usize, any::<u8>()), 1..30)) {
        let cases = cases();
        let mut wire = Wire::new(joined());
        for (case, pick) in operations {
            let (party, bytes) = &cases[case].script[usize::from(pick) % cases[case].script.len()];
            wire.send(*party, bytes);
        }
        wire.close();
        for line in &wire.exchanges {
            prop_assert!(!line.contains("secret"), "{}", line);
        }
    }
}
