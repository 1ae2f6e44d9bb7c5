//! Clients of PostgreSQL other than libpq's own: each command is one span on either side, whichever way it is sent.

use std::{path::Path, process::Command};

use anyhow::{Result, ensure};
use honeyguide_tests::{
    node, paths,
    postgres::{DATABASE, Postgres},
    privilege, python,
    sql::{self, Said, both_sides_say, said},
};

const TCP: &str = "127.0.0.1";

#[test]
fn psycopg2_over_tcp() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("postgres_clients::psycopg2_over_tcp") else { return Ok(()) };
    psycopg2(&Postgres::start()?, Path::new(TCP))
}

#[test]
fn psycopg2_over_a_unix_socket() -> Result<()> {
    let name = "postgres_clients::psycopg2_over_a_unix_socket";
    let Some(_turn) = privilege::kernel_test(name) else { return Ok(()) };
    let server = Postgres::start()?;
    psycopg2(&server, server.socket())
}

#[test]
fn psycopg2_over_tls() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("postgres_clients::psycopg2_over_tls") else { return Ok(()) };
    psycopg2(&Postgres::start_encrypted()?, Path::new(TCP))
}

#[test]
fn node_over_tcp() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("postgres_clients::node_over_tcp") else { return Ok(()) };
    node_postgres(&Postgres::start()?, Path::new(TCP))
}

#[test]
fn node_over_a_unix_socket() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("postgres_clients::node_over_a_unix_socket") else {
        return Ok(());
    };
    let server = Postgres::start()?;
    node_postgres(&server, server.socket())
}

#[test]
fn node_over_tls() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("postgres_clients::node_over_tls") else { return Ok(()) };
    node_postgres(&Postgres::start_encrypted()?, Path::new(TCP))
}

#[test]
fn rust_over_tcp() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("postgres_clients::rust_over_tcp") else { return Ok(()) };
    tokio_postgres(&Postgres::start()?, Path::new(TCP))
}

#[test]
fn rust_over_a_unix_socket() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("postgres_clients::rust_over_a_unix_socket") else {
        return Ok(());
    };
    let server = Postgres::start()?;
    tokio_postgres(&server, server.socket())
}

#[test]
fn rust_over_tls() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("postgres_clients::rust_over_tls") else { return Ok(()) };
    tokio_postgres(&Postgres::start_encrypted()?, Path::new(TCP))
}

fn psycopg2(server: &Postgres, host: &Path) -> Result<()> {
    let mut command = Command::new(python::environment()?.join("bin/python"));
    command.arg(paths::app("psycopg2_client.py"));
    let insert = said("INSERT notes", "INSERT INTO notes VALUES (?, ?)", "");
    let fetch = said("FETCH", "FETCH FORWARD ? FROM \"reader\"", "1");
    let declare = "DECLARE \"reader\" CURSOR WITHOUT HOLD FOR SELECT note FROM notes WHERE id > ?";
    let wanted = [
        said("BEGIN", "BEGIN", ""),
        said("CREATE TABLE notes", "CREATE TABLE notes (id int, note text)", ""),
        insert,
        insert,
        said("COMMIT", "COMMIT", ""),
        said("BEGIN", "BEGIN", ""),
        said("DECLARE SELECT notes", declare, ""),
        fetch,
        fetch,
        Said { rows: "0", ..fetch },
        said("CLOSE", "CLOSE \"reader\"", ""),
        said("ROLLBACK", "ROLLBACK", ""),
        said("COPY notes", "COPY notes FROM STDIN", ""),
        said("COPY notes", "COPY notes TO STDOUT", "5"),
        said("DO", "DO ?", ""),
        Said { error: "42P01", ..said("SELECT absent", "SELECT price FROM absent WHERE note = ?", "") },
        Said { error: "57014", ..said("SELECT", "SELECT pg_sleep(?)", "") },
        said("SET", "SET standard_conforming_strings = off", ""),
        said("SELECT", "SELECT ? AS note, ? AS b", "1"),
        said("DELETE notes", "DELETE FROM notes", ""),
    ];
    each_is_said(server, host, command, &wanted)
}

fn node_postgres(server: &Postgres, host: &Path) -> Result<()> {
    let by_id = said("SELECT parts", "SELECT name FROM parts WHERE id = $1", "1");
    let by_name = said("SELECT parts", "SELECT id FROM parts WHERE name = $1", "2");
    let update = said("UPDATE parts", "UPDATE parts SET name = $2 WHERE id = $1", "");
    let batch = "SELECT name FROM parts WHERE name = ?; SELECT count(*) FROM parts";
    let wanted = [
        said("CREATE TABLE parts", "CREATE TABLE parts (id int PRIMARY KEY, name text)", ""),
        said("INSERT parts", "INSERT INTO parts VALUES (?, ?), (?, ?)", ""),
        Said { batch: "2", ..said("BATCH SELECT parts", batch, "3") },
        by_id,
        by_id,
        Said { rows: "0", ..by_id },
        by_name,
        Said { rows: "0", ..by_name },
        by_name,
        update,
        update,
        said("COPY parts", "COPY parts FROM STDIN", ""),
        said("COPY parts", "COPY parts TO STDOUT", "5"),
        said("DO", "DO ?", ""),
        Said { error: "42P01", ..said("SELECT absent", "SELECT * FROM absent", "") },
        Said { error: "22012", ..said("SELECT", "SELECT ? / ($1::int - ?)", "") },
        said("DELETE parts", "DELETE FROM parts", ""),
    ];
    each_is_said(server, host, node::app("pg_client.js")?, &wanted)
}

fn tokio_postgres(server: &Postgres, host: &Path) -> Result<()> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postgres_peer"));
    if let Some(certificate) = server.certificate().filter(|_| host == Path::new(TCP)) {
        command.env("PGSSLROOTCERT", certificate);
    }
    let insert = said("INSERT jobs", "INSERT INTO jobs VALUES ($1, $2)", "");
    let by_id = said("SELECT jobs", "SELECT name FROM jobs WHERE id = $1", "1");
    let by_name = said("SELECT jobs", "SELECT id FROM jobs WHERE name = $1", "3");
    let batch = "SELECT id FROM jobs WHERE name = ?; SELECT ?";
    let copy = said("COPY jobs", "COPY jobs FROM STDIN", "");
    let wanted = [
        said("CREATE TABLE jobs", "CREATE TABLE jobs (id int PRIMARY KEY, name text)", ""),
        insert,
        insert,
        insert,
        by_id,
        Said { rows: "0", ..by_id },
        by_name,
        Said { batch: "2", ..said("BATCH", batch, "4") },
        said("START TRANSACTION", "START TRANSACTION", ""),
        Said { rows: "2", ..by_name },
        Said { rows: "1", ..by_name },
        said("UPDATE jobs", "UPDATE jobs SET name = $1", ""),
        said("ROLLBACK", "ROLLBACK", ""),
        copy,
        copy,
        said("DELETE jobs", "DELETE FROM jobs WHERE id >= ?", ""),
        Said { error: "23505", ..copy },
        // What a client gives up is a query canceled.
        Said { error: "57014", ..copy },
        said("COPY jobs", "COPY jobs TO STDOUT", "5"),
        Said { error: "42P01", ..said("SELECT absent", "SELECT name FROM absent", "") },
        said("DELETE jobs", "DELETE FROM jobs", ""),
    ];
    each_is_said(server, host, command, &wanted)
}

/// Both sides have a span for each of `wanted` and no other.
fn each_is_said(server: &Postgres, host: &Path, mut command: Command, wanted: &[Said<'_>]) -> Result<()> {
    server.connect(&mut command, host);
    let (capture, _) = sql::traced(server.pid(), "postgresql", &command)?;
    for span in &capture.spans {
        ensure!(span.get("db.namespace") == DATABASE, "{span:?}");
    }
    both_sides_say(&capture, wanted)
}
