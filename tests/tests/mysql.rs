//! Every command of a MariaDB connection is one client span and one server span, the second the child of the
//! first, and no value of a statement is in either.

use std::process::Command;

use anyhow::{Result, ensure};
use honeyguide_tests::{
    capture::Capture,
    mysql::{DATABASE, MySql},
    node, paths, privilege, python,
    sql::{self, CANARY, Said, both_sides_say, said},
};

#[test]
fn pymysql() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("mysql::pymysql") else { return Ok(()) };
    with_pymysql("plain")
}

/// What follows the client's request for TLS is the same conversation, inside, but for the server's greeting.
#[test]
fn pymysql_over_tls() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("mysql::pymysql_over_tls") else { return Ok(()) };
    with_pymysql("tls")
}

#[test]
fn client_over_a_unix_socket() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("mysql::client_over_a_unix_socket") else { return Ok(()) };
    let server = MySql::start()?;
    let mut command = server.client()?;
    client(&server, command.arg("--skip-ssl").arg("--socket").arg(server.socket()))
}

#[test]
fn client_over_a_unix_socket_and_tls() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("mysql::client_over_a_unix_socket_and_tls") else {
        return Ok(());
    };
    let server = MySql::start()?;
    let mut command = server.client()?;
    client(&server, command.arg("--ssl").arg("--socket").arg(server.socket()))
}

#[test]
fn client_with_compression() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("mysql::client_with_compression") else { return Ok(()) };
    let server = MySql::start()?;
    let mut command = server.client()?;
    command.args(["--compress", "--skip-ssl", "--host", "127.0.0.1", "--port", &server.port().to_string()]);
    client(&server, &mut command)
}

#[test]
fn client_over_tls() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("mysql::client_over_tls") else { return Ok(()) };
    let server = MySql::start()?;
    let mut command = server.client()?;
    command.args(["--ssl", "--host", "127.0.0.1", "--port", &server.port().to_string()]);
    client(&server, &mut command)
}

#[test]
fn connector_python_prepared() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("mysql::connector_python_prepared") else { return Ok(()) };
    connector_python("plain")
}

#[test]
fn connector_python_compressed() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("mysql::connector_python_compressed") else { return Ok(()) };
    connector_python("compress")
}

#[test]
fn mysql2_prepared() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("mysql::mysql2_prepared") else { return Ok(()) };
    let select = said("SELECT carts", "SELECT id, owner FROM carts WHERE id = ?", "1");
    let wanted = [
        said("CREATE TABLE carts", "CREATE TABLE carts (id int PRIMARY KEY, owner text)", ""),
        said("INSERT carts", "INSERT INTO carts VALUES (?, ?), (?, ?)", ""),
        Said { rows: "0", ..select },
        select,
        select,
        said("UPDATE carts", "UPDATE carts SET owner = ? WHERE id = ?", ""),
        Said { error: "1062", ..said("INSERT carts", "INSERT INTO carts VALUES (?, ?)", "") },
        Said { error: "1146", ..said("SELECT absent", "SELECT price FROM absent WHERE owner = ?", "") },
        said("SELECT", "SELECT ?", "1"),
    ];
    let server = MySql::start()?;
    let capture = traced(&server, node::app("mysql2_client.js")?)?;
    both_sides_say(&capture, &wanted)?;
    for mut spans in [capture.clients(), capture.servers()] {
        spans.sort_by_key(|span| span.start);
        let namespaces: Vec<&str> = spans.iter().map(|span| span.get("db.namespace")).collect();
        ensure!(namespaces[..8] == [DATABASE; 8] && namespaces[8] == "mysql", "{namespaces:?}");
    }
    Ok(())
}

#[test]
fn mariadb_connector_pipelined() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("mysql::mariadb_connector_pipelined") else { return Ok(()) };
    mariadb_connector("plain")
}

#[test]
fn mariadb_connector_compressed() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("mysql::mariadb_connector_compressed") else { return Ok(()) };
    mariadb_connector("compress")
}

fn with_pymysql(mode: &str) -> Result<()> {
    let insert = said("INSERT items", "INSERT INTO items VALUES (?, ?)", "");
    let wanted = [
        said("SET", "SET NAMES utf8mb4", ""),
        said("CREATE TABLE items", "CREATE TABLE items (id int PRIMARY KEY, name text)", ""),
        said("INSERT items", "INSERT INTO items VALUES (?, ?), (?, ?)", ""),
        said("INSERT items", "INSERT INTO items VALUES (?, ?),(?, ?),(?, ?),(?, ?),(?, ?),(?, ?),(?, ?)", ""),
        said("SELECT items", "SELECT * FROM items WHERE name = ?", "8"),
        Said {
            batch: "3",
            ..said(
                "BATCH",
                "SELECT name FROM items WHERE id = ?; UPDATE items SET name = ? WHERE id > ?; SELECT ?, ?",
                "2",
            )
        },
        Said { error: "1062", ..insert },
        Said { error: "1064", ..said("", "SELEC ?", "") },
        Said { error: "1146", ..said("SELECT absent", "SELECT price FROM absent WHERE name = ?", "") },
        said("LOAD", "LOAD DATA LOCAL INFILE ? INTO TABLE items", ""),
        // Between the first rows and the end are some of which only the number of bytes is known.
        said("SELECT items", "SELECT repeat(?, ?) FROM items", ""),
        said("DELETE items", "DELETE FROM items", ""),
    ];
    let server = MySql::start()?;
    let mut command = Command::new(python::environment()?.join("bin/python"));
    command.arg(paths::app("mysql_client.py")).arg(mode);
    both_sides_say(&traced(&server, command)?, &wanted)
}

fn client(server: &MySql, command: &mut Command) -> Result<()> {
    let statements = format!(
        "SELECT '{CANARY}' AS a, 41 + 1; CREATE TABLE items (id int PRIMARY KEY, name text); \
         INSERT INTO items VALUES (1, '{CANARY}'), (2, \"{CANARY}\"); \
         SELECT name FROM items WHERE name = 'it\\'s {CANARY}' OR id IN (1, 2); BEGIN; \
         UPDATE items SET name = N'{CANARY}' WHERE id = 2; COMMIT; \
         INSERT INTO items VALUES (1, '{CANARY}')"
    );
    command.args(["--force", "--execute", &statements]);
    let wanted = [
        said("SELECT", "SELECT ? AS a, ? + ?", "1"),
        said("CREATE TABLE items", "CREATE TABLE items (id int PRIMARY KEY, name text)", ""),
        said("INSERT items", "INSERT INTO items VALUES (?, ?), (?, ?)", ""),
        said("SELECT items", "SELECT name FROM items WHERE name = ? OR id IN (?)", "2"),
        said("BEGIN", "BEGIN", ""),
        said("UPDATE items", "UPDATE items SET name = ? WHERE id = ?", ""),
        said("COMMIT", "COMMIT", ""),
        Said { error: "1062", ..said("INSERT items", "INSERT INTO items VALUES (?, ?)", "") },
    ];
    // It ends with status 1 where a statement was refused.
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$@\"; [ $? = 1 ]", "sh"]).arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(key, value);
        }
    }
    both_sides_say(&traced(server, shell)?, &wanted)
}

fn connector_python(mode: &str) -> Result<()> {
    let select = said("SELECT notes", "SELECT id, note FROM notes WHERE id = ?", "1");
    let wanted = [
        said("SET", "SET NAMES ? COLLATE ?", ""),
        said("SET", "SET @@session.autocommit = ON", ""),
        said("CREATE TABLE notes", "CREATE TABLE notes (id int PRIMARY KEY, note text)", ""),
        said("INSERT notes", "INSERT INTO notes VALUES (?, ?), (?, ?)", ""),
        Said { rows: "0", ..select },
        select,
        select,
        said("UPDATE notes", "UPDATE notes SET note = ? WHERE id = ?", ""),
        Said { error: "1146", ..said("SELECT absent", "SELECT price FROM absent WHERE note = ?", "") },
        said("SELECT notes", "SELECT repeat(?, ?), id FROM notes", "2"),
        said("DROP TABLE notes", "DROP TABLE notes", ""),
    ];
    let server = MySql::start()?;
    let mut command = Command::new(python::environment()?.join("bin/python"));
    command.arg(paths::app("mysql_prepared.py")).arg(mode);
    both_sides_say(&traced(&server, command)?, &wanted)
}

fn mariadb_connector(mode: &str) -> Result<()> {
    let select = said("SELECT orders", "SELECT note FROM orders WHERE id = ?", "1");
    let absent = said("SELECT absent", "SELECT price FROM absent WHERE note = ?", "");
    let wanted = [
        said("SET", "SET NAMES utf8mb4", ""),
        said("CREATE TABLE orders", "CREATE TABLE orders (id int PRIMARY KEY, note text)", ""),
        said("INSERT orders", "INSERT INTO orders VALUES (?, ?)", ""),
        said("SELECT orders", "SELECT id FROM orders WHERE note = ?", "1"),
        said("UPDATE orders", "UPDATE orders SET note = ? WHERE id = ?", ""),
        Said { batch: "3", ..said("INSERT orders", "INSERT INTO orders VALUES (?, ?)", "") },
        Said { rows: "0", ..select },
        select,
        select,
        // Preparing it was refused; its execution was sent along and not run.
        Said { error: "1146", ..absent },
        Said { error: "pipeline_aborted", ..absent },
        said("DROP TABLE orders", "DROP TABLE orders", ""),
    ];
    let server = MySql::start()?;
    let mut command = node::app("mariadb_client.js")?;
    command.arg(mode);
    both_sides_say(&traced(&server, command)?, &wanted)
}

/// Runs `command` against `server` with both selected.
fn traced(server: &MySql, mut command: Command) -> Result<Capture> {
    server.connect(&mut command);
    let (capture, _) = sql::traced(server.pid(), "mariadb", &command)?;
    Ok(capture)
}
