//! Clients of PostgreSQL other than libpq's own: each command is one span on either side, whichever way it is sent.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    node, paths,
    postgres::{DATABASE, Postgres, USER},
    privilege, python,
    sql::{self, CANARY, Said, both_sides_say, said},
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

fn psycopg2(server: &Postgres, host: &Path) -> Result<()> {
    let mut command = Command::new(python::environment()?.join("bin/python"));
    command.arg(paths::app("psycopg2_client.py"));
    let wanted = [
        said("BEGIN", "BEGIN", ""),
        said("CREATE TABLE notes", "CREATE TABLE notes (id int, note text)", ""),
        said("INSERT notes", "INSERT INTO notes VALUES (?, ?)", ""),
        said("INSERT notes", "INSERT INTO notes VALUES (?,  ?)", ""),
        said("COMMIT", "COMMIT", ""),
    ];
    said_by(server, host, command, &wanted)
}

fn node_postgres(server: &Postgres, host: &Path) -> Result<()> {
    let mut command = Command::new("node");
    command.arg(paths::app("pg_client.js")).env("NODE_PATH", node::packages()?);
    let wanted = [];
    said_by(server, host, command, &wanted)
}

fn tokio_postgres(server: &Postgres, host: &Path) -> Result<()> {
    // This very program, of which only the client runs.
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--exact", "rust_client", "--ignored", "--nocapture"]);
    let wanted = [];
    said_by(server, host, command, &wanted)
}

/// The program that `tokio_postgres` traces.
#[test]
#[ignore = "a client that other tests start"]
fn rust_client() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(client::run())
}

fn said_by(server: &Postgres, host: &Path, mut command: Command, wanted: &[Said<'_>]) -> Result<()> {
    server.connect(&mut command, host);
    let (capture, _) = sql::traced(server.pid(), "postgresql", &command)?;
    for span in &capture.spans {
        ensure!(span.get("db.namespace") == DATABASE, "{span:?}");
    }
    both_sides_say(&capture, wanted)
}

mod client {
    use std::{env, pin::pin, time::Duration};

    use futures_util::{SinkExt, StreamExt, future};
    use tokio_postgres::{Config, NoTls, error::SqlState};

    use super::{CANARY, Context, DATABASE, Result, USER, ensure};

    /// What a tokio-postgres program does.
    pub(super) async fn run() -> Result<()> {
        let mut config = Config::new();
        config.host(&env::var("PGHOST")?).port(env::var("PGPORT")?.parse()?).user(USER).dbname(DATABASE);
        let (mut client, connection) = config.connect(NoTls).await?;
        let connection = tokio::spawn(connection);

        client.batch_execute("CREATE TABLE jobs (id int PRIMARY KEY, name text)").await?;
        let insert = client.prepare("INSERT INTO jobs VALUES ($1, $2)").await?;
        for id in 0..3 {
            client.execute(&insert, &[&id, &CANARY]).await?;
        }
        // Sent before the answer of the one before.
        let by_id = client.prepare("SELECT name FROM jobs WHERE id = $1").await?;
        let both = future::try_join(client.query(&by_id, &[&0]), client.query(&by_id, &[&9])).await?;
        ensure!((both.0.len(), both.1.len()) == (1, 0));
        ensure!(client.query("SELECT id FROM jobs WHERE name = $1", &[&CANARY]).await?.len() == 3);
        client.simple_query(&format!("SELECT id FROM jobs WHERE name = '{CANARY}'; SELECT 1")).await?;

        let transaction = client.transaction().await?;
        transaction.execute("UPDATE jobs SET name = $1", &[&CANARY]).await?;
        transaction.rollback().await?;

        let mut sink = pin!(client.copy_in("COPY jobs FROM STDIN").await?);
        sink.send(std::io::Cursor::new(format!("7\t{CANARY}\n8\t{CANARY}\n").into_bytes())).await?;
        ensure!(sink.finish().await? == 2);
        let out = client.copy_out("COPY jobs TO STDOUT").await?;
        ensure!(out.collect::<Vec<_>>().await.len() == 5);

        let refused = client.query("SELECT name FROM absent", &[]).await;
        ensure!(refused.err().and_then(|error| error.code().cloned()) == Some(SqlState::UNDEFINED_TABLE));
        let cancel = client.cancel_token();
        let (slept, cancelled) = future::join(client.simple_query("SELECT pg_sleep(60)"), async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            cancel.cancel_query(NoTls).await
        })
        .await;
        cancelled?;
        ensure!(slept.err().and_then(|error| error.code().cloned()) == Some(SqlState::QUERY_CANCELED));
        drop(client);
        connection.await?.context("the connection failed")
    }
}
