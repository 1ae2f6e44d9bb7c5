//! The inside of TLS in a client of OpenSSL that uses its functions in every way that libraries and servers do: the
//! library shared, and linked into the program. The server is nginx.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    https::{REQUESTS, Server, each_request_is_two_spans},
    paths, privilege,
};

#[test]
fn read_and_write() -> Result<()> {
    everywhere("read-write")
}

#[test]
fn read_ex_and_write_ex() -> Result<()> {
    everywhere("ex")
}

/// What is looked at is not taken.
#[test]
fn peek() -> Result<()> {
    everywhere("peek")
}

/// Writes that are tried again with the same buffer, reads that have to wait.
#[test]
fn nonblocking() -> Result<()> {
    everywhere("nonblocking")
}

#[test]
fn key_update() -> Result<()> {
    everywhere("key-update")
}

/// One object for a connection after another.
#[test]
fn clear() -> Result<()> {
    everywhere("clear")
}

/// An object at the address of the one before.
#[test]
fn free() -> Result<()> {
    everywhere("free")
}

/// The program carries the ciphertext, with one object for a connection after another.
#[test]
fn memory_bios() -> Result<()> {
    everywhere("bios")
}

#[test]
fn early_data() -> Result<()> {
    everywhere("early-data")
}

/// A child goes on with its parent's connection.
#[test]
fn fork() -> Result<()> {
    everywhere("fork")
}

/// The ways that are tried with the library linked in as well: each function is in one of them.
const LINKED: [&str; 5] = ["read-write", "ex", "peek", "bios", "early-data"];

fn everywhere(way: &str) -> Result<()> {
    let Some(_turn) = privilege::kernel_test(&format!("tls_openssl::{way}")) else { return Ok(()) };
    let shared = ("openssl-shared", &["-lssl", "-lcrypto"][..]);
    let linked = ("openssl-static", &["-l:libssl.a", "-l:libcrypto.a", "-ldl", "-lpthread"][..]);
    // Linked in, the functions are the same ones at other places.
    let places = if LINKED.contains(&way) { vec![shared, linked] } else { vec![shared] };
    for (name, libraries) in places {
        let server = Server::nginx()?;
        let mut command = Command::new(program(name, libraries)?);
        command.args([way, &server.port().to_string(), &REQUESTS.to_string()]);
        each_request_is_two_spans(&server, &command, "1.1").with_context(|| name.to_owned())?;
    }
    Ok(())
}

fn program(name: &str, libraries: &[&str]) -> Result<PathBuf> {
    let directory = paths::target().join("c");
    fs::create_dir_all(&directory)?;
    let program = directory.join(name);
    let made = Command::new("cc")
        .args(["-O2", "-o"])
        .arg(&program)
        .arg(paths::app("openssl_client").join("main.c"))
        .args(libraries)
        .output()
        .context("cc: `apt-get install gcc libssl-dev` brings what is needed")?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Ok(program)
}
