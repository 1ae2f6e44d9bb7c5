//! Statements that are cut, deep, long or no statements.

use proptest::prelude::*;

use crate::{
    fuzz,
    sql::{
        Dialect::{Generic, MySql, Postgres},
        describe,
    },
};

/// Values are `secret`, so that none may be seen in what comes out.
const STATEMENTS: &[&str] = &[
    "SELECT a.b, 'secret' FROM \"t u\".v JOIN w ON x = -1.5e3 WHERE y IN ('secret', 2) /* secret */ LIMIT 1",
    "INSERT INTO t (a) VALUES (E'secret\\'secret'), ($$secret$$), ($x$secret$x$), (U&'secret'), ($1)",
    "WITH c AS (SELECT 'secret'' secret') UPDATE t SET a = N'secret', b = X'5ec4e7' -- secret\n WHERE c",
];

#[test]
fn every_prefix_is_described_without_values() {
    for statement in STATEMENTS {
        for end in 0..=statement.len() {
            for truncated in [false, true] {
                let found = describe(&statement[..end], Postgres, truncated, 4096);
                let whole = describe(statement, Postgres, false, 4096);
                let summary = found.summary.unwrap_or_default();
                assert!(!found.text.contains("secr"), "{}", found.text);
                if truncated {
                    let expect = whole.summary.unwrap_or_default();
                    let words = expect.match_indices(' ').map(|(at, _)| at).chain([0, expect.len()]);
                    assert!(words.map(|at| &expect[..at]).any(|prefix| prefix == summary), "{summary}");
                }
            }
        }
    }
}

#[test]
fn depth_and_length_cost_nothing_but_time() {
    let deep = format!("SELECT * FROM {}a{}", "(".repeat(100_000), ")".repeat(100_000));
    assert_eq!(describe(&deep, Generic, false, 64).summary.as_deref(), Some("SELECT"));
    let shallow = format!("SELECT * FROM {}a{}", "(".repeat(20), ")".repeat(20));
    assert_eq!(describe(&shallow, Generic, false, 64).summary.as_deref(), Some("SELECT a"));
    let lists = "a IN (1,".repeat(10_000);
    assert_eq!(describe(&lists, MySql, false, 16).text, "a IN (?,a IN (?,");
    let comments = "/*".repeat(100_000);
    assert_eq!(describe(&comments, Postgres, false, 16).text, "");
    let tables = format!("SELECT * FROM {}", "t,".repeat(10_000));
    assert_eq!(describe(&tables, Generic, false, 16).summary.map(|summary| summary.len()), Some(254));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(data in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz::sql(&data);
    }

    #[test]
    fn random_tokens(first in any::<u8>(), tokens in prop::collection::vec(prop::sample::select(TOKENS), 0..60)) {
        let mut data = vec![first];
        data.extend(tokens.concat().bytes());
        fuzz::sql(&data);
    }
}

const TOKENS: &[&str] = &[
    " ", " ", "\n", "SELECT", "FROM", "JOIN", "INSERT", "INTO", "IN", "(", ")", ",", ".", ";", "'", "\"",
    "`", "[", "]", "$", "$$", "$a$", "E'", "U&'", "\\", "--", "#", "/*", "*/", "/*!1", "1", ".5", "-", "e",
    "a", "é", "@", ":", "?", "{", "WITH", "AS", "CREATE", "TABLE", "FUNCTION", "BEGIN", "EXPLAIN", "COPY",
    "UPDATE", "DELETE",
];
