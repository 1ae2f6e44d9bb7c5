//! The corpus in every prefix, every split and with every gap.

use proptest::prelude::*;

use super::Wire;
use crate::{
    exchange::Party,
    fuzz,
    mysql::{
        Connection, Counters, Limits,
        corpus::{Case, cases},
    },
};

fn opened() -> Connection {
    Connection::opened(Limits::default())
}

fn joined() -> Connection {
    Connection::new(Limits::default())
}

/// Runs a script in which each operation is cut as `cut` says.
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
    for case in cases() {
        check(&case, opened(), |_, _| Vec::new(), "whole");
        check(&case, joined(), |_, _| Vec::new(), "whole, seen from the first byte by chance");
    }
}

#[test]
fn in_pieces_of_every_size() {
    for case in cases() {
        for size in 1..=120 {
            let cut = |_: usize, bytes: &[u8]| (size..bytes.len()).step_by(size).collect();
            check(&case, opened(), cut, &format!("pieces of {size}"));
        }
    }
}

/// As a server reads: the header of each packet, then the rest.
#[test]
fn headers_by_themselves() {
    for case in cases() {
        let cut = |_: usize, bytes: &[u8]| if bytes.len() > 4 { vec![4] } else { Vec::new() };
        check(&case, opened(), cut, "header first");
        check(&case, joined(), cut, "header first, joined");
    }
}

#[test]
fn every_operation_in_two_and_in_three() {
    for case in cases() {
        for (target, (_, bytes)) in case.script.iter().enumerate() {
            for first in 1..bytes.len() {
                for second in (first..bytes.len()).step_by(3) {
                    let cut =
                        |index, _: &[u8]| if index == target { vec![first, second] } else { Vec::new() };
                    check(&case, opened(), cut, &format!("operation {target} cut at {first} and {second}"));
                }
            }
        }
    }
}

/// What must hold of an exchange when part of the conversation was not seen.
#[track_caller]
fn check_credible(case: &Case, exchanges: &[String], what: &str) {
    let mut expected = case.expect.iter();
    for line in exchanges.iter().filter(|line| line.contains(" Complete ")) {
        let found = expected.any(|expect| agrees(line, expect));
        assert!(found, "{}: {what}: {line} of {exchanges:#?}", case.name);
    }
}

/// The statement, the rows and the failure are the same, except where they are not known.
fn agrees(line: &str, expect: &str) -> bool {
    let parts = |line: &str| {
        let (request, response) = line.split_once(" -> rows ").unwrap();
        let (rows, rest) = response.split_once(' ').unwrap();
        let (end, sizes) = rest.split_once("Complete ").unwrap();
        let mut words = request.strip_prefix("mariadb ").unwrap_or(request).splitn(3, ' ').map(str::to_owned);
        let (operation, _) = (words.next().unwrap(), words.next());
        let statement = words.next().unwrap();
        (operation, statement, rows.to_owned(), end.to_owned(), sizes.ends_with("damaged"))
    };
    let (found, due) = (parts(line), parts(expect));
    let cut = found.1.split_once("…`").is_some_and(|(text, _)| due.1.starts_with(text));
    let unknown = found.1 == "? unknown" && due.1.ends_with("known") || found.1 == "-" && found.4;
    let rows = found.2 == due.2 || found.4 && found.2 == "-/-";
    // Where the end was not seen, neither was a failure, nor how large the batch was.
    let end = found.3 == due.3 || found.4 && (found.3.is_empty() || found.3.contains("-----"));
    // Whether what was prepared before was refused may not be known.
    let end = end || due.3 == "skipped " && found.3.starts_with("1243");
    // Rows of values are counted where all of them were seen and the statement is known.
    let end = end || found.3.is_empty() && due.3.starts_with("batch");
    found.0 == due.0 && (found.1 == due.1 || cut || unknown) && rows && end
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
            check_credible(&case, &wire.exchanges, &format!("{length} bytes"));
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
                for end in start + 1..=bytes.len() {
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
        for from in 1..case.script.len() {
            let mut wire = Wire::new(joined());
            case.script[from..].iter().for_each(|(party, bytes)| wire.send(*party, bytes));
            wire.close();
            check_credible(&case, &wire.exchanges, &format!("from operation {from}"));
        }
    }
}

fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<Vec<u8>> =
        cases().into_iter().flat_map(|case| case.script.into_iter().map(|(_, bytes)| bytes)).collect();
    prop_oneof![
        2 => (prop::sample::select(pieces.clone()), any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(
            |(piece, a, b)| {
                let (a, b) = (a.index(piece.len() + 1), b.index(piece.len() + 1));
                piece[a.min(b)..a.max(b)].to_vec()
            }
        ),
        6 => prop::sample::select(pieces),
        1 => prop::collection::vec(any::<u8>(), 0..64),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(data in prop::collection::vec(any::<u8>(), 0..600)) {
        fuzz::mysql(&data);
        fuzz::detection(&data);
    }

    #[test]
    fn random_operations(first in any::<u8>(), operations in prop::collection::vec((any::<u8>(), fragment()), 0..40)) {
        let mut data = vec![first];
        for (control, bytes) in operations {
            data.extend([control, u8::try_from(bytes.len()).unwrap()]);
            data.extend(bytes);
        }
        fuzz::mysql(&data);
    }

    /// In whatever order whole operations come: the statements reported are those that were sent.
    #[test]
    fn nothing_is_invented(operations in prop::collection::vec((0..6_usize, any::<u8>()), 1..30)) {
        let cases = cases();
        let mut wire = Wire::new(joined());
        for (case, pick) in operations {
            let (party, bytes) = &cases[case].script[usize::from(pick) % cases[case].script.len()];
            wire.send(*party, bytes);
        }
        wire.close();
        let statement = |line: &str| line.split('`').nth(1).map(str::to_owned);
        let known: Vec<_> = cases.iter().flat_map(|case| case.expect).map(|line| statement(line)).collect();
        for line in &wire.exchanges {
            prop_assert!(known.contains(&statement(line)), "{}", line);
        }
    }
}

#[test]
fn recorded_sessions() {
    for (name, recording, expect) in [
        ("pymysql", include_str!("../recorded/pymysql.txt"), include_str!("../recorded/pymysql.expect")),
        ("mysql2", include_str!("../recorded/mysql2.txt"), include_str!("../recorded/mysql2.expect")),
        (
            "MariaDB Connector/Node",
            include_str!("../recorded/connector_node.txt"),
            include_str!("../recorded/connector_node.expect"),
        ),
        (
            "the same, compressed",
            include_str!("../recorded/connector_node_zlib.txt"),
            include_str!("../recorded/connector_node_zlib.expect"),
        ),
        (
            "MySQL Connector/Python, compressed",
            include_str!("../recorded/connector_python_zlib.txt"),
            include_str!("../recorded/connector_python_zlib.expect"),
        ),
    ] {
        let mut wire = Wire::new(opened());
        for line in recording.lines() {
            let (party, hex) = line.split_once(' ').unwrap();
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let bytes: Vec<_> = (0..hex.len()).step_by(2).map(byte).collect();
            wire.send(if party == "C" { Party::Client } else { Party::Server }, &bytes);
        }
        wire.close();
        assert_eq!(wire.exchanges, expect.lines().collect::<Vec<_>>(), "{name}");
        assert_eq!(wire.connection.counters(), Counters::default(), "{name}");
    }
}
