//! The corpus in every prefix, every split and with every gap.

use proptest::{collection::vec, prelude::*};

use super::Wire;
use crate::{
    fuzz,
    mysql::{Connection, Counters, corpus::cases},
    wire::{
        Case,
        corpus::{self, Corpus, WHOLE, check, check_recorded, script},
    },
};

fn corpus() -> Corpus<Connection> {
    Corpus {
        cases: cases(),
        pieces: 120,
        cut_step: 3,
        gap_step: 1,
        joined: |_, size| size == WHOLE,
        prefix: |case, wire, what| {
            check_credible(case, &wire.exchanges, what);
            assert_eq!(wire.connection.counters().failures, 0);
        },
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
fn every_operation_in_two_and_in_three() {
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

/// As a server reads: the header of each packet, then the rest.
#[test]
fn headers_by_themselves() {
    for case in cases() {
        let cut = |_: usize, bytes: &[u8]| if bytes.len() > 4 { vec![4] } else { Vec::new() };
        check(&case, Wire::opened(), cut, "header first");
        check(&case, Wire::joined(), cut, "header first, joined");
    }
}

#[test]
fn a_joined_connection_reports_nothing_that_was_not_asked() {
    corpus().joined_at_every_message(1, |case, wire, what| check_credible(case, &wire.exchanges, what));
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

fn fragment() -> impl Strategy<Value = Vec<u8>> {
    corpus::fragment(cases(), 2, 6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(data in vec(any::<u8>(), 0..600)) {
        fuzz::mysql(&data);
        fuzz::detection(&data);
    }

    #[test]
    fn random_operations(first in any::<u8>(), operations in vec((any::<u8>(), fragment()), 0..40)) {
        fuzz::mysql(&script(first, operations));
    }

    /// In whatever order whole operations come: the statements reported are those that were sent.
    #[test]
    fn nothing_is_invented(operations in vec((0..6_usize, any::<u8>()), 1..30)) {
        let statement = |line: &str| line.split('`').nth(1).map(str::to_owned);
        let cases = cases();
        let known: Vec<_> = cases.iter().flat_map(|case| case.expect).map(|line| statement(line)).collect();
        for line in corpus().shuffled(&operations) {
            prop_assert!(known.contains(&statement(&line)), "{}", line);
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
        let wire = check_recorded::<Connection>(name, recording, expect);
        assert_eq!(wire.connection.counters(), Counters::default(), "{name}");
    }
}
