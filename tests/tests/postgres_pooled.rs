//! A pool between a client and its server: each statement is one trace, from the client through the pool to the server.

use std::{collections::HashMap, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    capture::Span,
    paths,
    pgbouncer::PgBouncer,
    postgres::Postgres,
    privilege, python,
    sql::{self, Said, read, said},
};

#[test]
fn one_transaction_at_a_time() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("postgres_pooled::one_transaction_at_a_time") else {
        return Ok(());
    };
    let server = Postgres::start()?;
    let pool = PgBouncer::start(&server)?;
    let mut command = Command::new(python::environment()?.join("bin/python"));
    command.arg(paths::app("pooled_client.py"));
    server.connect(&mut command, Path::new("127.0.0.1"));
    command.env("PGPORT", pool.port().to_string());
    let capture = sql::traced_through(&[pool.pid(), server.pid()], "postgresql", &command)?.0;

    let insert = said("INSERT drawers", "INSERT INTO drawers VALUES ($1, $2)", "");
    let mut wanted =
        vec![said("CREATE TABLE drawers", "CREATE TABLE drawers (id int PRIMARY KEY, label text)", "")];
    wanted.extend([insert; 20]);
    wanted.extend([
        said("BEGIN", "BEGIN", ""),
        said("UPDATE drawers", "UPDATE drawers SET label = $1 WHERE id < $2", ""),
        said("SELECT drawers", "SELECT id FROM drawers WHERE label = ?", "20"),
        said("COMMIT", "COMMIT", ""),
        said("COPY drawers", "COPY drawers FROM STDIN", ""),
        said("COPY drawers", "COPY drawers TO STDOUT", "23"),
        Said { error: "42P01", ..said("SELECT absent", "SELECT label FROM absent WHERE id = $1", "") },
        said("DELETE drawers", "DELETE FROM drawers", ""),
    ]);
    let by_id: HashMap<&str, &Span> =
        capture.spans.iter().map(|span| (span.span_id.as_str(), span)).collect();
    let mut last: Vec<&Span> =
        capture.servers().into_iter().filter(|span| span.service() == "postgres").collect();
    last.sort_by_key(|span| span.start);
    let found: Vec<Said<'_>> = last.iter().map(|span| read(span)).collect();
    ensure!(found == wanted, "{found:#?}\nwanted {wanted:#?}");
    ensure!(capture.spans.len() == 4 * wanted.len(), "{} spans\n{}", capture.spans.len(), capture.said);
    for mut span in last {
        let (trace, what) = (&span.trace_id, read(span));
        for service in ["pgbouncer", "pgbouncer", "pooled_client"] {
            span = by_id.get(span.parent_span_id.as_str()).with_context(|| format!("an orphan: {span:?}"))?;
            ensure!(span.service().starts_with(service), "{service} should have sent this: {span:?}");
            ensure!(&span.trace_id == trace && read(span) == what, "{what:?}, but its cause is {span:?}");
        }
        ensure!(span.parent_span_id.is_empty(), "the client has no cause: {span:?}");
    }
    Ok(())
}
