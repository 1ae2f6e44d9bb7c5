//! The corpus in every prefix, every split and with every gap.

use proptest::{collection::vec, prelude::*};

use crate::{
    fuzz,
    redis::{Connection, corpus::cases},
    wire::{
        Case,
        corpus::{self, Corpus, check_in_order, check_nothing_told, script},
    },
};

fn corpus() -> Corpus<Connection> {
    Corpus {
        cases: cases(),
        pieces: 120,
        cut_step: 3,
        gap_step: 1,
        joined: |_, _| false,
        prefix: |case, wire, what| check_in_order(case, wire, what, |line| line.contains(" Complete ")),
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

#[test]
fn a_joined_connection_reports_nothing_that_was_not_asked() {
    corpus().joined_at_every_message(0, |case, wire, what| {
        check_nothing_told(case, &wire.exchanges, "secret", what);
    });
}

/// What must hold of an exchange when part of the conversation was not seen: it was asked, and nothing of a value
/// is in it.
#[track_caller]
fn check_credible(case: &Case, exchanges: &[String], what: &str) {
    let mut expected = case.expect.iter();
    for line in exchanges.iter().filter(|line| line.contains("Complete ") && !line.contains("damaged")) {
        let found = expected.any(|expect| agrees(line, expect));
        assert!(found, "{}: {what}: {line} of {exchanges:#?}", case.name);
    }
    check_nothing_told(case, exchanges, "secr", what);
}

/// The command is the same, or one of a transaction whose beginning was not seen.
fn agrees(line: &str, expect: &str) -> bool {
    let text = |line: &str| line.split('`').nth(1).unwrap_or_default().to_owned();
    matches!(&*text(line), "EXEC" | "DISCARD") || text(expect).contains(&text(line))
}

fn fragment() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        9 => corpus::fragment(cases(), 2, 6),
        1 => "[$*%|~>;:,+!=(#_.-]{1,2}[0-9?]{0,10}\r\n".prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(data in vec(any::<u8>(), 0..600)) {
        fuzz::redis(&data);
        fuzz::detection(&data);
    }

    #[test]
    fn random_operations(first in any::<u8>(), operations in vec((any::<u8>(), fragment()), 0..40)) {
        fuzz::redis(&script(first, operations));
    }

    /// In whatever order whole operations come: no value is told.
    #[test]
    fn nothing_is_told(operations in vec((0..7_usize, any::<u8>()), 1..30)) {
        for line in corpus().shuffled(&operations) {
            prop_assert!(!line.contains("secret"), "{}", line);
        }
    }
}
