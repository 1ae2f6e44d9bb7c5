//! Statements and what should be made of them.

use crate::sql::{
    Dialect::{self, Generic, MySql, Postgres},
    describe, read_alike,
};

#[track_caller]
fn check_text(dialect: Dialect, sql: &str, expect: &str) {
    assert_eq!(describe(sql, dialect, false, 4096).text, expect, "{sql}");
}

#[track_caller]
fn check_summary(dialect: Dialect, sql: &str, expect: &str) {
    assert_eq!(describe(sql, dialect, false, 4096).summary.unwrap_or_default(), expect, "{sql}");
}

#[track_caller]
fn check_all(sql: &str, text: &str, summary: &str) {
    for dialect in [Generic, Postgres, MySql] {
        check_text(dialect, sql, text);
        check_summary(dialect, sql, summary);
    }
}

#[test]
fn numbers_of_every_form() {
    check_all(
        "SELECT 7, -7, +7, 0.5, -.5, 1., 1e9, -2.5E-7, 6e+3",
        "SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?",
        "SELECT",
    );
    check_all("SELECT 0xCAFE, 0Xff, 0b101, 0o17, 1_000", "SELECT ?, ?, ?, ?, ?", "SELECT");
    check_all("SELECT 1+2, 1 - 2, 3*-4, (5)-6", "SELECT ??, ? - ?, ?*?, (?)-?", "SELECT");
    check_all(
        "SELECT a-1, a -1, t.a1-1, b2b FROM t1x",
        "SELECT a-?, a ?, t.a1-?, b2b FROM t1x",
        "SELECT t1x",
    );
    check_all("SELECT x'1F', X'1f', b'01', B'1', N'a', n'a'", "SELECT ?, ?, ?, ?, ?, ?", "SELECT");
    check_text(Postgres, "SELECT a[1:2], a[-1]", "SELECT a[?:?], a[?]");
    check_text(Postgres, "SELECT $1-1, $2::int4", "SELECT $1-?, $2::int4");
    check_text(MySql, "SELECT 2fa, db.2fa FROM 2fa_tokens", "SELECT 2fa, db.2fa FROM 2fa_tokens");
    check_summary(MySql, "SELECT 1 FROM 2fa_tokens", "SELECT 2fa_tokens");
    check_text(Postgres, "SELECT 123abc", "SELECT ?");
}

#[test]
fn strings_of_every_quoting() {
    check_all("SELECT 'a', 'it''s', ''", "SELECT ?, ?, ?", "SELECT");
    check_all("SELECT 'a\n;-- b /* c', 'é'", "SELECT ?, ?", "SELECT");
    check_text(Postgres, r"SELECT 'a\', E'b\'c', e'\\', 'd'", "SELECT ?, ?, ?, ?");
    check_text(Generic, r"SELECT 'a\', E'b\'c', 'd'", "SELECT ?, ?, ?");
    check_text(
        MySql,
        r#"SELECT 'a\'b', "c\"d", "e""f", _utf8mb4'g', _binary "h""#,
        "SELECT ?, ?, ?, ?, _binary ?",
    );
    check_text(
        Postgres,
        r#"SELECT U&'d\0061t', u&"d\0061t" FROM "T""a""#,
        r#"SELECT ?, u&"d\0061t" FROM "T""a""#,
    );
    check_text(Postgres, "SELECT $$a'b$$, $x$ $$ $y$ $x$, $1 FROM t$1", "SELECT ?, ?, $1 FROM t$1");
    check_text(MySql, "SELECT $a$ FROM t$1", "SELECT $a$ FROM t$1");
    check_text(Postgres, "SELECT DATE '2024-01-01', INTERVAL '1' DAY", "SELECT DATE ?, INTERVAL ? DAY");
    check_text(Generic, "SELECT {d '2024-01-01'}", "SELECT {d ?}");
}

#[test]
fn booleans_are_values_where_they_are_not_tests() {
    check_all(
        "SELECT * FROM t WHERE a = true AND b IS NOT FALSE AND c IS TRUE AND d IS NULL AND e = FALSE",
        "SELECT * FROM t WHERE a = ? AND b IS NOT FALSE AND c IS TRUE AND d IS NULL AND e = ?",
        "SELECT t",
    );
}

#[test]
fn parameters_casts_and_operators_stay() {
    check_text(
        Postgres,
        "SELECT j->>'k', j#>'{a,1}', j ? 'k', j ?| array['a'], j @> '{}'::jsonb, a || 'x', j->-1 FROM t",
        "SELECT j->>?, j#>?, j ? ?, j ?| array[?], j @> ?::jsonb, a || ?, j->? FROM t",
    );
    check_text(Generic, "SELECT :a, :1, ?, ?2, @b, @@c, :d::text", "SELECT :a, :1, ?, ?2, @b, @@c, :d::text");
    check_text(MySql, "SELECT @a := 5, @@session.b, `c``d`", "SELECT @a := ?, @@session.b, `c``d`");
    check_text(MySql, "SET PASSWORD FOR 'u'@'h' = 'p'", "SET PASSWORD FOR ?@? = ?");
}

#[test]
fn lists_of_values_are_collapsed() {
    check_all("SELECT * FROM t WHERE a IN (1, 'b', -3)", "SELECT * FROM t WHERE a IN (?)", "SELECT t");
    check_all(
        "SELECT * FROM t WHERE a not in(1,2) AND b = 3",
        "SELECT * FROM t WHERE a not in(?) AND b = ?",
        "SELECT t",
    );
    check_all("SELECT * FROM t WHERE a IN (1)", "SELECT * FROM t WHERE a IN (?)", "SELECT t");
    check_all("SELECT * FROM t WHERE a IN (1, b, 2)", "SELECT * FROM t WHERE a IN (?, b, ?)", "SELECT t");
    check_all(
        "SELECT * FROM t WHERE a IN (SELECT 1 FROM u)",
        "SELECT * FROM t WHERE a IN (SELECT ? FROM u)",
        "SELECT t SELECT u",
    );
    check_text(Postgres, "DELETE FROM t WHERE a IN ($1, $2,$3)", "DELETE FROM t WHERE a IN (?)");
    check_text(
        Postgres,
        "SELECT 1 WHERE (a, b) IN ((1, 2), (3, 4))",
        "SELECT ? WHERE (a, b) IN ((?, ?), (?, ?))",
    );
}

#[test]
fn comments_are_dropped() {
    check_all("SELECT a -- 'x\nFROM /* 1 */ t", "SELECT a \nFROM  t", "SELECT t");
    check_all("/* a */ SELECT/**/a FROM t /* b", "SELECT a FROM t", "SELECT t");
    check_text(Postgres, "SELECT /* a /* b */ 'c' */ d", "SELECT  d");
    check_text(MySql, "SELECT /* a /* b */ 'c'", "SELECT  ?");
    check_text(MySql, "SELECT a # it's\n, 5--1", "SELECT a \n, ?-?");
    check_text(Postgres, "SELECT a #- 'b', 5--1", "SELECT a #- ?, ?");
    check_text(MySql, "SELECT /*!40001 SQL_NO_CACHE */ 1 FROM t", "SELECT /*!40001 SQL_NO_CACHE */ ? FROM t");
    check_summary(MySql, "/*!40000 ALTER TABLE `t` DISABLE KEYS */", "ALTER TABLE `t`");
    check_summary(MySql, "/*M!100100 TRUNCATE TABLE t */", "TRUNCATE TABLE t");
}

#[test]
fn what_is_cut_is_left_out() {
    let cut = |dialect, sql: &str| {
        let found = describe(sql, dialect, true, 4096);
        (found.text, found.summary.unwrap_or_default())
    };
    let is = |text: &str, summary: &str| (text.to_owned(), summary.to_owned());
    assert_eq!(cut(Postgres, "SELECT * FROM user"), is("SELECT * FROM", "SELECT"));
    assert_eq!(
        cut(Postgres, "SELECT * FROM a.b WHERE c = 'd"),
        is("SELECT * FROM a.b WHERE c = ?", "SELECT a.b")
    );
    assert_eq!(cut(Postgres, "SELECT * FROM a."), is("SELECT * FROM a.", "SELECT"));
    assert_eq!(cut(Postgres, "SELECT * FROM a.b"), is("SELECT * FROM a.", "SELECT"));
    assert_eq!(cut(Postgres, "SELECT * FROM a, \"b c"), is("SELECT * FROM a,", "SELECT a"));
    assert_eq!(cut(Postgres, "SELECT * FROM a WHERE b = $ta"), is("SELECT * FROM a WHERE b = ?", "SELECT a"));
    assert_eq!(
        cut(Postgres, "SELECT * FROM a WHERE b = $t$ x $t"),
        is("SELECT * FROM a WHERE b = ?", "SELECT a")
    );
    assert_eq!(
        cut(Postgres, "SELECT * FROM a WHERE b IN (1, 2, 3"),
        is("SELECT * FROM a WHERE b IN (?", "SELECT a")
    );
    assert_eq!(cut(Postgres, "SELECT * FROM a /* b"), is("SELECT * FROM a", "SELECT a"));
    assert_eq!(cut(MySql, "SELECT * FROM a WHERE b = 'c\\"), is("SELECT * FROM a WHERE b = ?", "SELECT a"));
    assert_eq!(cut(Generic, "SEL"), is("", ""));
    // Not cut, and not closed either: a value may be meant.
    check_text(Postgres, "SELECT \"a", "SELECT ?");
}

#[test]
fn text_ends_between_tokens() {
    let text = |limit| describe("SELECT abc, 'x' FROM t", Generic, false, limit).text;
    assert_eq!(text(22), "SELECT abc, ? FROM t");
    assert_eq!(text(19), "SELECT abc, ? FROM");
    assert_eq!(text(9), "SELECT");
    assert_eq!(text(0), "");
}

#[test]
fn operations_and_targets_in_order() {
    check_all("select a.b from a.c x", "select a.b from a.c x", "select a.c");
    for (sql, summary) in [
        ("SELECT 1", "SELECT"),
        ("SELECT * FROM a, b c, d AS e WHERE f IN (SELECT g FROM h) ORDER BY i, j", "SELECT a b d SELECT h"),
        ("SELECT * FROM a LEFT OUTER JOIN b ON a.x = b.y, c JOIN d USING (e, f)", "SELECT a b c d"),
        ("SELECT * FROM (SELECT * FROM a) b, c", "SELECT SELECT a c"),
        ("SELECT * FROM (a CROSS JOIN b) JOIN (c) ON true", "SELECT a b c"),
        ("SELECT * FROM ((SELECT a FROM b) UNION ALL (SELECT c FROM d)) e", "SELECT SELECT b SELECT d"),
        ("(SELECT a FROM b) EXCEPT SELECT c FROM d", "SELECT b SELECT d"),
        ("SELECT (SELECT max(a) FROM b), c FROM d GROUP BY e, f", "SELECT SELECT b d"),
        ("SELECT * FROM generate_series(1, 10) g, LATERAL unnest(a.b) c", "SELECT generate_series unnest"),
        ("SELECT EXTRACT(year FROM a), TRIM(BOTH 'x' FROM b) FROM c", "SELECT c"),
        ("SELECT a FROM b WHERE c IS DISTINCT FROM d", "SELECT b"),
        ("SELECT DISTINCT a FROM b FOR UPDATE", "SELECT b"),
        ("SELECT a INTO b FROM c", "SELECT b c"),
        ("SELECT a.from, b FROM c", "SELECT c"),
        ("SELECT * FROM (VALUES (1), (2)) v", "SELECT"),
        ("VALUES (1), (2)", "VALUES"),
        ("TABLE a", "TABLE a"),
        ("INSERT INTO a (b, c) VALUES (1, 2) ON CONFLICT (b) DO UPDATE SET c = 3", "INSERT a"),
        ("INSERT INTO a SELECT * FROM b", "INSERT a SELECT b"),
        ("REPLACE INTO a VALUES (1)", "REPLACE a"),
        ("insert ignore into a set b = 1 on duplicate key update b = 2", "insert a"),
        ("UPDATE a SET b = 1, c = 2 WHERE d = 3", "UPDATE a"),
        ("UPDATE ONLY a SET b = c.d FROM c, e WHERE f", "UPDATE a c e"),
        ("UPDATE a JOIN b ON a.c = b.c SET a.d = REPLACE(b.d, 'x', 'y')", "UPDATE a b"),
        ("DELETE FROM a WHERE b = (SELECT c FROM d)", "DELETE a SELECT d"),
        ("DELETE FROM a USING b, c WHERE d", "DELETE a b c"),
        ("DELETE a FROM a JOIN b USING (c)", "DELETE a b"),
        (
            "MERGE INTO a USING b ON c WHEN MATCHED THEN UPDATE SET d = 1 WHEN NOT MATCHED THEN INSERT VALUES (1)",
            "MERGE a b",
        ),
        ("WITH a AS (SELECT * FROM b) SELECT * FROM c, a", "SELECT b SELECT c a"),
        (
            "WITH RECURSIVE a(x, y) AS (SELECT 1 UNION ALL SELECT x FROM b), c AS NOT MATERIALIZED (DELETE FROM d RETURNING e) INSERT INTO f SELECT 1",
            "SELECT SELECT b DELETE d INSERT f SELECT",
        ),
        ("EXPLAIN (ANALYZE, BUFFERS) UPDATE a SET b = 1", "EXPLAIN UPDATE a"),
        ("EXPLAIN ANALYZE VERBOSE SELECT * FROM a", "EXPLAIN SELECT a"),
        (
            "CREATE TEMPORARY TABLE IF NOT EXISTS a (b int REFERENCES c ON DELETE CASCADE, d text)",
            "CREATE TABLE a",
        ),
        ("CREATE OR REPLACE VIEW a AS SELECT * FROM b", "CREATE VIEW a SELECT b"),
        ("CREATE TABLE a PARTITION OF b FOR VALUES FROM (1) TO (2)", "CREATE TABLE a"),
        ("CREATE UNIQUE INDEX CONCURRENTLY a ON b USING btree (c)", "CREATE INDEX a"),
        ("CREATE INDEX ON b (c)", "CREATE INDEX b"),
        ("CREATE FUNCTION a.b(c int) RETURNS int AS $$ SELECT 1 $$ LANGUAGE sql", "CREATE FUNCTION a.b"),
        ("CREATE TRIGGER a BEFORE UPDATE ON b FOR EACH ROW EXECUTE FUNCTION c()", "CREATE TRIGGER a"),
        ("CREATE PROCEDURE a() BEGIN SELECT 1; DELETE FROM b; END", "CREATE PROCEDURE a"),
        ("ALTER TABLE ONLY a ADD CONSTRAINT b FOREIGN KEY (c) REFERENCES d (e)", "ALTER TABLE a"),
        ("DROP TABLE IF EXISTS a, b CASCADE", "DROP TABLE a b"),
        ("CREATE USER bob PASSWORD 'x'", "CREATE USER"),
        ("TRUNCATE a, b", "TRUNCATE a b"),
        ("TRUNCATE TABLE ONLY a RESTART IDENTITY", "TRUNCATE TABLE a"),
        ("VACUUM (ANALYZE, VERBOSE) a", "VACUUM a"),
        ("VACUUM FULL ANALYZE a", "VACUUM a"),
        ("ANALYZE", "ANALYZE"),
        ("REINDEX INDEX a", "REINDEX INDEX a"),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY a", "REFRESH MATERIALIZED VIEW a"),
        ("LOCK TABLES a READ, b WRITE", "LOCK TABLES a b"),
        ("CALL a.b(1, (SELECT 2))", "CALL a.b"),
        ("{call a}", "call a"),
        ("{? = call a(?)}", "call a"),
        ("EXECUTE a('x')", "EXECUTE a"),
        ("USE a", "USE a"),
        ("DESCRIBE a", "DESCRIBE a"),
        ("COPY a (b, c) FROM STDIN", "COPY a"),
        ("COPY (SELECT * FROM a) TO STDOUT", "COPY SELECT a"),
        ("PREPARE a (int) AS INSERT INTO b VALUES ($1)", "PREPARE INSERT b"),
        ("DECLARE a CURSOR FOR SELECT * FROM b", "DECLARE SELECT b"),
        ("FETCH 10 FROM a", "FETCH"),
        ("SET a = 'b'", "SET"),
        ("SHOW TABLES FROM a", "SHOW"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN"),
        ("START TRANSACTION", "START TRANSACTION"),
        ("SAVEPOINT s140_x1", "SAVEPOINT"),
        ("ROLLBACK TO SAVEPOINT a", "ROLLBACK"),
        ("GRANT SELECT ON a TO b", "GRANT"),
        ("FROBNICATE a", ""),
        ("", ""),
        ("-- nothing", ""),
    ] {
        for dialect in [Generic, Postgres, MySql] {
            if !(dialect == MySql && sql.contains('$')) {
                check_summary(dialect, sql, summary);
            }
        }
    }
}

#[test]
fn targets_keep_their_quotes() {
    check_summary(
        Generic,
        r#"SELECT * FROM "song list", 'artists', `a`, [b c], d.[e]."f""#,
        r#"SELECT "song list" 'artists' `a` [b c] d.[e]."f""#,
    );
    check_summary(Postgres, r#"UPDATE "a"."b c" SET "d" = 1"#, r#"UPDATE "a"."b c""#);
    check_summary(MySql, r#"SELECT * FROM `a`.`b``c`, "d""#, r#"SELECT `a`.`b``c` "d""#);
    check_summary(Postgres, "SELECT * FROM 'a', b", "SELECT b");
}

#[test]
fn several_statements_are_a_batch() {
    let batch = |sql: &str| {
        let found = describe(sql, Postgres, false, 4096);
        (found.text, found.summary.unwrap_or_default(), found.statements)
    };
    let is = |text: &str, summary: &str, statements| (text.to_owned(), summary.to_owned(), statements);
    assert_eq!(batch("SELECT 1;"), is("SELECT ?;", "SELECT", 1));
    assert_eq!(batch("BEGIN; SELECT 1 ; "), is("BEGIN; SELECT ? ;", "BATCH", 2));
    assert_eq!(
        batch("UPDATE a SET b = 1; UPDATE a SET b = 2;"),
        is("UPDATE a SET b = ?", "BATCH UPDATE a", 2)
    );
    assert_eq!(
        batch("UPDATE a SET b = 1; UPDATE a SET c = 2"),
        is("UPDATE a SET b = ?; UPDATE a SET c = ?", "BATCH UPDATE a", 2)
    );
    assert_eq!(batch(" ; ;"), is("; ;", "", 0));
}

#[test]
fn summaries_end_between_words() {
    let long = "t".repeat(248);
    check_summary(Generic, &format!("SELECT * FROM {long}, b"), &format!("SELECT {long}"));
    check_summary(Generic, &format!("SELECT * FROM {long}t, b"), "SELECT");
    let wide = "é".repeat(248);
    check_summary(Generic, &format!("SELECT * FROM {wide} JOIN b"), &format!("SELECT {wide}"));
}

#[test]
fn a_comment_carries_trace_context() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let found = |sql: &str| describe(sql, Postgres, false, 4096).traceparent;
    let some = Some(PARENT.into());
    assert_eq!(found(&format!("SELECT 1 /*traceparent='{PARENT}'*/")), some);
    assert_eq!(found(&format!("/* action='a%20b',traceparent = '{PARENT}',x='y' */ SELECT 1")), some);
    assert_eq!(found(&format!("SELECT 1 /*traceparent='{}'*/", PARENT.replace('-', "%2D"))), some);
    assert_eq!(found(&format!("SELECT 1 -- traceparent='{PARENT}'")), some);
    assert_eq!(found(&format!("SELECT 1 /*a='b'*/ /*traceparent='x',traceparent='{PARENT}'*/")), some);
    for not in [
        format!("SELECT '/*traceparent=''{PARENT}''*/'"),
        format!("SELECT 1 /*xtraceparent='{PARENT}'*/"),
        format!("SELECT 1 /*traceparent={PARENT}*/"),
        format!("SELECT 1 /*traceparent='{PARENT}*/"),
        format!("SELECT 1 /*traceparent='{PARENT}0'*/"),
        format!("SELECT 1 /*traceparent='{}'*/", PARENT.to_uppercase()),
        "SELECT 1 /*traceparent='00-00000000000000000000000000000000-00f067aa0ba902b7-01'*/".to_owned(),
        "SELECT 1 /*traceparent='%".to_owned(),
    ] {
        assert_eq!(found(&not), None, "{not}");
    }
}

#[test]
fn backslashes_escape_where_the_setting_says_so() {
    let quoted = "SELECT 'it\\'s' AS a, N'x\\'y' AS b, 'c\\\\' AS d";
    check_text(Dialect::PostgresEscapes, quoted, "SELECT ? AS a, ? AS b, ? AS d");
    check_text(Dialect::PostgresEscapes, "SELECT `a` ?| b, E'\\''", "SELECT `a` ?| b, ?");
}

#[test]
fn a_setting_that_is_not_known_is_told_from_the_text() {
    let check = |sql: &str, truncated, dialect, alike: &str| {
        let (found, length) = read_alike(sql, truncated);
        assert_eq!((found, &sql[..length]), (dialect, alike), "{sql}");
    };
    for sql in ["SELECT 'a\\b'", "a LIKE b ESCAPE '\\' ORDER BY c", "a LIKE '%' ESCAPE '\\' AND b = 'c'"] {
        check(sql, false, Dialect::Postgres, sql);
    }
    let escaped = "SELECT 'it\\'s' AS a";
    check(escaped, false, Dialect::PostgresEscapes, escaped);
    // Both make sense: nothing behind the difference is to be read.
    check("SELECT a, 'x\\' \\' c'", false, Dialect::Postgres, "SELECT a, ");
    check(escaped, true, Dialect::Postgres, "SELECT ");
}
