//! Every command of a Memcached connection is one client span and one server span, the second the child of the
//! first, and neither a key nor a value is in either.

use std::process::Command;

use anyhow::{Result, ensure};
use honeyguide_tests::{
    keyvalue::{Said, both_sides_say, traced},
    memcached::Memcached,
    paths, privilege, python,
};

#[test]
fn pymemcache_and_meta_commands() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("memcached::pymemcache_and_meta_commands") else {
        return Ok(());
    };
    let server = Memcached::start()?;
    let mut command = Command::new(python::environment()?.join("bin/python"));
    command.arg(paths::app("memcached_client.py")).arg(server.port().to_string());
    let capture = traced(server.pid(), &command, "memcached")?;
    let said = |text: &'static str| Said {
        operation: text.split(' ').next().unwrap_or_default(),
        text,
        ..Said::default()
    };
    let mut wanted = [
        "set ? ? ? ?",
        "get ?",
        "add ? ? ? ?",
        "get ? ? ?",
        "gets ?",
        "cas ? ? ? ? ?",
        "set ? ? ? ?",
        "incr ? ?",
        "touch ? ?",
        "delete ?",
        "set ? ? ? ?",
        "get ?",
        "version",
        "stats",
        "flush_all ?",
        "ms ? ? T",
        "mg ? v t",
        "mg ? v",
        "mg ? v k q",
        "mn",
    ]
    .map(said)
    .to_vec();
    wanted.push(Said { error: "CLIENT_ERROR", ..said("incr ? ?") });
    wanted.push(Said { mark: "unanswered", ..said("set ? ? ? ? noreply") });
    wanted.extend([Said { mark: "unanswered", ..said("mg ? v k q") }; 2]);
    both_sides_say(&capture, &wanted)?;
    let target = format!("127.0.0.1:{}", server.port());
    for span in &capture.spans {
        ensure!(span.name == format!("{} {target}", span.get("db.operation.name")), "{span:?}");
    }
    Ok(())
}
