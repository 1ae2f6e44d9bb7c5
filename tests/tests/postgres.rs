//! Every command of a PostgreSQL connection is one client span and one server span, the second the child of the
//! first, and no value of a statement is in either.

use std::{path::Path, process::Command};

use anyhow::{Result, ensure};
use honeyguide_tests::{
    capture::{Capture, Span},
    paths,
    postgres::{DATABASE, Postgres},
    privilege, python,
    sql::{self, CANARY, Said, both_sides_say, read, said},
};

#[test]
fn psql_over_tcp() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("postgres::psql_over_tcp") else { return Ok(()) };
    let server = Postgres::start()?;
    psql(&server, Path::new("127.0.0.1"))
}

#[test]
fn psql_over_a_unix_socket() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("postgres::psql_over_a_unix_socket") else { return Ok(()) };
    let server = Postgres::start()?;
    psql(&server, server.socket())
}

/// What follows the server's agreement to TLS is the same conversation, inside.
#[test]
fn psql_over_tls() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("postgres::psql_over_tls") else { return Ok(()) };
    let server = Postgres::start_encrypted()?;
    psql(&server, Path::new("127.0.0.1"))
}

/// A library of its own, an OpenSSL of the older series, in a directory of Python's.
#[test]
fn psycopg2_with_openssl_1_1() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("postgres::psycopg2_with_openssl_1_1") else { return Ok(()) };
    let server = Postgres::start_encrypted()?;
    let mut command = Command::new(python::environment()?.join("bin/python"));
    command.args(["-c", PSYCOPG2]);
    server.connect(&mut command, Path::new("127.0.0.1"));
    let (capture, _) = traced(&server, &command)?;
    both_sides_say(&capture, &[said("SELECT", "SELECT ?, ?", "1"); 10])
}

/// Values and rows that are far longer than what is captured of them.
#[test]
fn long_values() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("postgres::long_values") else { return Ok(()) };
    let server = Postgres::start()?;
    let mut command = Command::new(python::environment()?.join("bin/python"));
    command.args(["-c", LONG]);
    server.connect(&mut command, Path::new("127.0.0.1"));
    let (capture, _) = traced(&server, &command)?;
    let insert = said("INSERT texts", "INSERT INTO texts VALUES ($1)", "");
    let select = said("SELECT texts", "SELECT text FROM texts LIMIT ?", "1");
    let mut wanted = vec![said("CREATE TABLE texts", "CREATE TABLE texts (text text)", "")];
    wanted.extend([[insert; 4], [select; 4]].concat().repeat(5));
    both_sides_say(&capture, &wanted)
}

#[test]
fn psycopg_over_tcp() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("postgres::psycopg_over_tcp") else { return Ok(()) };
    let server = Postgres::start()?;
    psycopg(&server, Path::new("127.0.0.1"))
}

#[test]
fn psycopg_over_a_unix_socket() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("postgres::psycopg_over_a_unix_socket") else { return Ok(()) };
    let server = Postgres::start()?;
    psycopg(&server, server.socket())
}

#[test]
fn psycopg_over_tls() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("postgres::psycopg_over_tls") else { return Ok(()) };
    let server = Postgres::start_encrypted()?;
    psycopg(&server, Path::new("127.0.0.1"))
}

#[test]
fn pgbench_prepared() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("postgres::pgbench_prepared") else { return Ok(()) };
    pgbench("prepared", 1_000)
}

#[test]
fn pgbench_extended() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("postgres::pgbench_extended") else { return Ok(()) };
    pgbench("extended", 250)
}

#[test]
fn pgbench_simple() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("postgres::pgbench_simple") else { return Ok(()) };
    pgbench("simple", 250)
}

fn psql(server: &Postgres, host: &Path) -> Result<()> {
    let mut command = server.client("psql", host)?;
    command.args(["--no-psqlrc", "--quiet"]);
    for statement in [
        format!("SELECT '{CANARY}' AS a, 41 + 1"),
        "CREATE TABLE items (id int PRIMARY KEY, name text)".to_owned(),
        format!("INSERT INTO items VALUES (1, '{CANARY}'), (2, $$ {CANARY} $$)"),
        format!("SELECT name FROM items WHERE name = '{CANARY}'; SELECT count(*) FROM items"),
        format!("SELECT * FROM absent WHERE name = E'{CANARY}'"),
        "BEGIN".to_owned(),
        format!("UPDATE items SET name = '{CANARY}!' WHERE id = 2"),
        "COMMIT".to_owned(),
    ] {
        command.arg("--command").arg(statement);
    }
    let wanted = [
        said("SELECT", "SELECT ? AS a, ? + ?", "1"),
        said("CREATE TABLE items", "CREATE TABLE items (id int PRIMARY KEY, name text)", ""),
        said("INSERT items", "INSERT INTO items VALUES (?, ?), (?, ?)", ""),
        Said {
            batch: "2",
            ..said(
                "BATCH SELECT items",
                "SELECT name FROM items WHERE name = ?; SELECT count(*) FROM items",
                "2",
            )
        },
        Said { error: "42P01", ..said("SELECT absent", "SELECT * FROM absent WHERE name = ?", "") },
        said("BEGIN", "BEGIN", ""),
        said("UPDATE items", "UPDATE items SET name = ? WHERE id = ?", ""),
        said("COMMIT", "COMMIT", ""),
    ];
    let (capture, _) = traced(server, &command)?;
    both_sides_say(&capture, &wanted)
}

fn psycopg(server: &Postgres, host: &Path) -> Result<()> {
    let mut command = Command::new(python::environment()?.join("bin/python"));
    command.arg(paths::app("sql_client.py"));
    server.connect(&mut command, host);
    let mut wanted = vec![
        said("BEGIN", "BEGIN", ""),
        said("CREATE TABLE orders", "CREATE TABLE orders (id int PRIMARY KEY, note text)", ""),
        said("INSERT orders", "INSERT INTO orders VALUES (?, $1)", ""),
        said("UPDATE orders", "UPDATE orders SET note = ? WHERE id = ?", ""),
        said("COMMIT", "COMMIT", ""),
    ];
    // Only number 1 is in the table.
    for number in 0..10 {
        let rows = if number == 1 { "1" } else { "0" };
        wanted.push(said("SELECT orders", "SELECT note FROM orders WHERE id = $1", rows));
    }
    wanted.extend([said("SELECT orders", "SELECT id FROM orders WHERE note = $1", "1"); 5]);
    wanted.extend([
        said("COPY orders", "COPY orders FROM STDIN", ""),
        Said { error: "42P01", ..said("SELECT absent", "SELECT price FROM absent WHERE note = $1", "") },
        said("DELETE orders", "DELETE FROM orders", ""),
    ]);
    let (capture, _) = traced(server, &command)?;
    both_sides_say(&capture, &wanted)
}

fn pgbench(mode: &str, transactions: usize) -> Result<()> {
    const CLIENTS: usize = 4;
    let server = Postgres::start()?;
    let host = Path::new("127.0.0.1");
    let made = server.client("pgbench", host)?.args(["--initialize", "--quiet"]).output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut command = server.client("pgbench", host)?;
    command.args(["--no-vacuum", "--select-only", "--protocol", mode]);
    command.args(["--transactions", &transactions.to_string(), "--client", &CLIENTS.to_string()]);
    let (capture, printed) = traced(&server, &command)?;

    let total = transactions * CLIENTS;
    ensure!(printed.contains(&format!("actually processed: {total}/{total}")), "pgbench: {printed}");
    let parameter = if mode == "simple" { "?" } else { "$1" };
    let text = format!("SELECT abalance FROM pgbench_accounts WHERE aid = {parameter}");
    for (side, spans) in [("client", capture.clients()), ("server", capture.servers())] {
        let of_load: Vec<&&Span> =
            spans.iter().filter(|span| span.get("db.query.summary") == "SELECT pgbench_accounts").collect();
        ensure!(of_load.len() == total, "{} {side} spans for {total}\n{}", of_load.len(), capture.said);
        for span in of_load {
            let found = read(span);
            let wanted = said("SELECT pgbench_accounts", &text, "1");
            // pgbench ends its statement with a semicolon.
            let found = Said { text: found.text.trim_end_matches(';'), ..found };
            ensure!(found == wanted, "{side}: {found:?}, wanted {wanted:?}");
        }
        // Before that it asks for the scale, and whether the table has partitions.
        let other: Vec<&str> = spans
            .iter()
            .map(|span| span.get("db.query.summary"))
            .filter(|&summary| summary != "SELECT pgbench_accounts")
            .collect();
        let partitions = "select pg_catalog.pg_class pg_catalog.pg_namespace \
            select pg_catalog.pg_partitioned_table pg_catalog.pg_inherits";
        ensure!(other == ["select pgbench_branches", partitions], "{side}: {other:?}");
    }
    Ok(())
}

/// Runs `command` against `server` with both selected.
fn traced(server: &Postgres, command: &Command) -> Result<(Capture, String)> {
    let (capture, printed) = sql::traced(server.pid(), "postgresql", command)?;
    for span in &capture.spans {
        ensure!(span.get("db.namespace") == DATABASE, "{span:?}");
    }
    Ok((capture, printed))
}

const LONG: &str = "
import psycopg
with psycopg.connect(autocommit=True, prepare_threshold=None) as connection:
    connection.execute('CREATE TABLE texts (text text)')
    for size in (9_000, 40_000, 200_000, 1_000_000, 5_000_000):
        for _ in range(4):
            connection.execute('INSERT INTO texts VALUES (%s)', ('canary-7f3a' * (size // 11),))
        for _ in range(4):
            assert connection.execute('SELECT text FROM texts LIMIT 1').fetchone()
";
const PSYCOPG2: &str = "
import psycopg2
assert 'libssl' in open('/proc/self/maps').read() and '.so.1.1' in open('/proc/self/maps').read()
connection = psycopg2.connect('')
connection.autocommit = True
cursor = connection.cursor()
for number in range(10):
    cursor.execute('SELECT %s, %s', (number, 'canary-7f3a'))
    assert cursor.fetchone() == (number, 'canary-7f3a')
";
