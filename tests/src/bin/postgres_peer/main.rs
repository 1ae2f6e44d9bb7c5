//! What a tokio-postgres program does; the connection is in libpq's environment variables, and the certificate to
//! trust, where there is to be TLS, in `PGSSLROOTCERT`.

mod tls;

use std::{env, io::Cursor, pin::pin, time::Duration};

use anyhow::{Context, Result, ensure};
use futures_util::{SinkExt, StreamExt, future};
use honeyguide_tests::sql::CANARY;
use tokio_postgres::{Client, Config, NoTls, config::SslMode, error::SqlState};

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Result<()> {
    // Larger programs have not begun by then.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut config = Config::new();
    config.host(env::var("PGHOST")?).port(env::var("PGPORT")?.parse()?);
    config.user(env::var("PGUSER")?).dbname(env::var("PGDATABASE")?);
    let (client, connection) = if let Ok(certificate) = env::var("PGSSLROOTCERT") {
        config.ssl_mode(SslMode::Require);
        let (client, connection) = config.connect(tls::Trust::only(&certificate)?).await?;
        (client, tokio::spawn(connection))
    } else {
        config.ssl_mode(SslMode::Disable);
        let (client, connection) = config.connect(NoTls).await?;
        (client, tokio::spawn(connection))
    };
    speak(client).await?;
    connection.await?.context("the connection failed")
}

async fn speak(mut client: Client) -> Result<()> {
    client.batch_execute("CREATE TABLE jobs (id int PRIMARY KEY, name text)").await?;
    let insert = client.prepare("INSERT INTO jobs VALUES ($1, $2)").await?;
    for id in 0..3 {
        client.execute(&insert, &[&id, &CANARY]).await?;
    }
    // Sent before the answer of the one before.
    let by_id = client.prepare("SELECT name FROM jobs WHERE id = $1").await?;
    let both = future::try_join(client.query(&by_id, &[&0]), client.query(&by_id, &[&9])).await?;
    ensure!((both.0.len(), both.1.len()) == (1, 0), "{both:?}");
    ensure!(client.query("SELECT id FROM jobs WHERE name = $1", &[&CANARY]).await?.len() == 3);
    client.simple_query(&format!("SELECT id FROM jobs WHERE name = '{CANARY}'; SELECT 1")).await?;

    let transaction = client.transaction().await?;
    // As many rows as asked for, then the rest.
    let portal = transaction.bind("SELECT id FROM jobs WHERE name = $1", &[&CANARY]).await?;
    ensure!(transaction.query_portal(&portal, 2).await?.len() == 2);
    ensure!(transaction.query_portal(&portal, 2).await?.len() == 1);
    transaction.execute("UPDATE jobs SET name = $1", &[&CANARY]).await?;
    transaction.rollback().await?;

    let rows = |ids: std::ops::Range<u32>| {
        Cursor::new(ids.map(|id| format!("{id}\t{CANARY}\n")).collect::<String>().into_bytes())
    };
    let mut sink = pin!(client.copy_in("COPY jobs FROM STDIN").await?);
    sink.send(rows(10..12)).await?;
    ensure!(sink.finish().await? == 2);
    // More than what is captured of it, in many messages.
    let mut sink = pin!(client.copy_in("COPY jobs FROM STDIN").await?);
    for chunk in 1..101 {
        sink.send(rows(chunk * 1000..chunk * 1000 + 100)).await?;
    }
    ensure!(sink.finish().await? == 10_000);
    client.batch_execute("DELETE FROM jobs WHERE id >= 1000").await?;
    // Refused by the server midway, and given up by the client.
    let mut sink = pin!(client.copy_in("COPY jobs FROM STDIN").await?);
    sink.send(rows(10..11)).await?;
    let refused = sink.finish().await;
    ensure!(refused.err().and_then(|error| error.code().cloned()) == Some(SqlState::UNIQUE_VIOLATION));
    let mut sink = Box::pin(client.copy_in("COPY jobs FROM STDIN").await?);
    sink.send(rows(20..21)).await?;
    drop(sink);
    let out = client.copy_out("COPY jobs TO STDOUT").await?;
    let lengths = out.map(|bytes| bytes.map_or(0, |bytes| bytes.len())).collect::<Vec<_>>().await;
    ensure!(lengths.len() == 5, "{} rows", lengths.len());

    let refused = client.query("SELECT name FROM absent", &[]).await;
    ensure!(refused.err().and_then(|error| error.code().cloned()) == Some(SqlState::UNDEFINED_TABLE));
    client.batch_execute("DELETE FROM jobs").await?;
    Ok(())
}
