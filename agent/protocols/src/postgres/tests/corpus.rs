//! The corpus in every prefix, every split and with every gap.

use proptest::{collection::vec, prelude::*};

use crate::{
    fuzz,
    postgres::{Connection, Counters, corpus::cases},
    wire::{
        Case,
        corpus::{self, Corpus, Hole, WHOLE, check_nothing_told, check_recorded, script},
    },
};

fn corpus() -> Corpus<Connection> {
    Corpus {
        cases: cases(),
        pieces: 120,
        cut_step: 1,
        gap_step: 1,
        joined: |case, size| size == WHOLE && !case.name.starts_with("encryption"),
        prefix: |case, wire, what| {
            check_credible(case, &wire.exchanges, what);
            assert_eq!(wire.connection.counters().failures, 0);
        },
        credible: check_credible,
        untold: |case, gap| {
            // What refuses at a `Sync` that left no record refuses nothing that is known.
            let sync = case.name.starts_with("an error") && gap.message == 6 && gap.to_the_end;
            sync && gap.hole == Hole::Lost
        },
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
    check_nothing_told(case, exchanges, "secret", what);
}

/// The statement, the rows and the failure are the same, except where they are not known.
fn agrees(line: &str, expect: &str) -> bool {
    let parts = |line: &str| {
        let (request, response) = line.split_once(" -> rows ").unwrap();
        let (rows, rest) = response.split_once(' ').unwrap();
        let (end, sizes) = rest.split_once("Complete ").unwrap();
        let mut words = request.splitn(3, ' ').map(str::to_owned);
        let (operation, _) = (words.next().unwrap(), words.next());
        let statement = words.next().unwrap();
        (operation, statement, rows.to_owned(), end.to_owned(), sizes.ends_with("damaged"))
    };
    let (found, due) = (parts(line), parts(expect));
    let cut = found.1.split_once("…`").is_some_and(|(text, _)| due.1.starts_with(text));
    let unknown = found.1 == "? unknown" && due.1.ends_with("known");
    let rows = found.2 == due.2
        || found.4 && (found.2 == "-/-" || found.2.starts_with('-') || due.2.starts_with('-'));
    // Where the end was not seen, neither was a failure, nor how many commands there were.
    found.0 == due.0
        && (found.1 == due.1 || cut || unknown)
        && rows
        && (found.3 == due.3 || found.4 && (found.3.is_empty() || found.3 == "----- " && !due.3.is_empty()))
}

fn fragment() -> impl Strategy<Value = Vec<u8>> {
    corpus::fragment(cases(), 2, 6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(data in vec(any::<u8>(), 0..600)) {
        fuzz::postgres(&data);
        fuzz::detection(&data);
    }

    #[test]
    fn random_operations(first in any::<u8>(), operations in vec((any::<u8>(), fragment()), 0..40)) {
        fuzz::postgres(&script(first, operations));
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
        ("psycopg 3", include_str!("../recorded/psycopg3.txt"), include_str!("../recorded/psycopg3.expect")),
        ("asyncpg", include_str!("../recorded/asyncpg.txt"), include_str!("../recorded/asyncpg.expect")),
    ] {
        let wire = check_recorded::<Connection>(name, recording, expect);
        assert_eq!(wire.connection.counters(), Counters::default(), "{name}");
    }
}
