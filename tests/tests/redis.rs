//! Every command of a Redis connection is one client span and one server span, the second the child of the first;
//! what is pushed is none, and no value is in either.

use std::{fs, process::Command, thread, time::Duration};

use anyhow::{Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    capture::{Capture, Span},
    guard::Guard,
    keyvalue::{CANARY, Said, both_sides_say, traced},
    paths, privilege, python,
    redis::Redis,
    scratch::Scratch,
};

#[test]
fn redis_py_in_resp2() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("redis::redis_py_in_resp2") else { return Ok(()) };
    let server = Redis::start()?;
    let spans = redis_py(&server, &format!("redis://127.0.0.1:{}", server.port()), "2")?;
    let target = format!("127.0.0.1:{}", server.port());
    for span in spans {
        ensure!(span.name == format!("{} {target}", span.get("db.operation.name")), "{span:?}");
        ensure!(span.get("server.address") == "127.0.0.1", "{span:?}");
        ensure!(span.get("server.port") == server.port().to_string(), "{span:?}");
    }
    Ok(())
}

#[test]
fn redis_py_in_resp3() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("redis::redis_py_in_resp3") else { return Ok(()) };
    let server = Redis::start()?;
    redis_py(&server, &format!("redis://127.0.0.1:{}", server.port()), "3").map(drop)
}

#[test]
fn redis_py_over_a_unix_socket() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("redis::redis_py_over_a_unix_socket") else { return Ok(()) };
    let server = Redis::start()?;
    let spans = redis_py(&server, &format!("unix://{}", server.socket().display()), "2")?;
    for span in spans {
        ensure!(span.get("network.transport") == "unix", "{span:?}");
        ensure!(span.get("server.address") == server.socket().to_string_lossy(), "{span:?}");
    }
    Ok(())
}

#[test]
fn redis_cli() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("redis::redis_cli") else { return Ok(()) };
    let server = Redis::start()?;
    let cli = format!("redis-cli -p {}", server.port());
    let script = format!(
        "{cli} -n 1 SET word {CANARY}; {cli} -3 HGETALL word; {cli} FROBNICATE {CANARY}; {cli} AUTH {CANARY}; \
         {cli} CONFIG SET requirepass ''; {cli} CLIENT SETNAME {CANARY}; {cli} GET session:9f86d081884c7d65"
    );
    let capture = traced_children(&server, &script)?;
    let said = |operation, text| Said { operation, text, namespace: "0", ..Said::default() };
    let wanted = [
        said("SELECT", "SELECT 1"),
        Said { namespace: "1", ..said("SET", "SET word ?") },
        said("HELLO", "HELLO 3"),
        said("HGETALL", "HGETALL word"),
        Said { error: "ERR", ..said("FROBNICATE", "FROBNICATE ?") },
        Said { error: "ERR", ..said("AUTH", "AUTH ?") },
        said("CONFIG", "CONFIG SET requirepass ?"),
        said("CLIENT", "CLIENT SETNAME ?"),
        said("GET", "GET session:?"),
    ];
    both_sides_say(&capture, &wanted)
}

/// Commands in lines, as a person types them.
#[test]
fn inline_commands() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("redis::inline_commands") else { return Ok(()) };
    let server = Redis::start()?;
    let script = "import socket, sys\n\
        peer = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n\
        for line in ['PING', 'set word \"%s\"' % sys.argv[2], 'get word', 'nonsense %s' % sys.argv[2], 'QUIT']:\n\
        \x20   peer.sendall(line.encode() + b'\\r\\n')\n\
        \x20   assert peer.recv(4096)\n";
    let mut command = Command::new("python3");
    command.args(["-c", script, &server.port().to_string(), CANARY]);
    let capture = traced(server.pid(), &command, "redis")?;
    let said = |operation, text| Said { operation, text, namespace: "0", ..Said::default() };
    let wanted = [
        said("PING", "PING"),
        said("SET", "SET word ?"),
        said("GET", "GET word"),
        Said { error: "ERR", ..said("NONSENSE", "NONSENSE ?") },
        said("QUIT", "QUIT"),
    ];
    both_sides_say(&capture, &wanted)
}

/// Runs a script whose commands are children of the selected shell.
fn traced_children(server: &Redis, script: &str) -> Result<Capture> {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]);
    traced(server.pid(), &shell, "redis")
}

/// Several commands at once, thousands of times: as many spans as the server says it ran commands.
#[test]
fn redis_benchmark_with_pipelines() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("redis::redis_benchmark_with_pipelines") else { return Ok(()) };
    benchmark(&["-P", "16", "-n", "8000", "-c", "4"], 8_000)
}

#[test]
fn redis_benchmark_one_by_one() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("redis::redis_benchmark_one_by_one") else { return Ok(()) };
    benchmark(&["-n", "4000", "-c", "4"], 4_000)
}

fn benchmark(arguments: &[&str], total: usize) -> Result<()> {
    let server = Redis::start()?;
    let mut command = server.client("redis-benchmark");
    command.args(["-t", "set,get", "-q"]).args(arguments);
    let capture = traced(server.pid(), &command, "redis")?;
    for (operation, text) in [("SET", "SET key:__rand_int__ ?"), ("GET", "GET key:__rand_int__")] {
        ensure!(server.calls(&operation.to_lowercase())? == total, "the load is not what was asked for");
        for (side, spans) in [("client", capture.clients()), ("server", capture.servers())] {
            let of_load: Vec<_> =
                spans.iter().filter(|span| span.get("db.operation.name") == operation).collect();
            ensure!(
                of_load.len() == total,
                "{} {side} spans of {operation}\n{}",
                of_load.len(),
                capture.said
            );
            for span in of_load {
                let wanted = Said { operation, text, namespace: "0", ..Said::default() };
                ensure!(Said::of(span) == wanted, "{side}: {span:?}");
            }
        }
    }
    Ok(())
}

/// A connection that was open before the agent came is followed from its next command on.
#[test]
fn a_connection_from_before() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("redis::a_connection_from_before") else { return Ok(()) };
    let server = Redis::start()?;
    let script = "import os, redis, sys, time\n\
        client = redis.Redis(port=int(sys.argv[1]), lib_name=None, lib_version=None)\n\
        client.set('before', 'x')\n\
        open(sys.argv[2] + '.open', 'w').close()\n\
        while not os.path.exists(sys.argv[2]): time.sleep(0.02)\n\
        for _ in range(20): client.get('before')\n";
    let gate = Scratch::new("before")?;
    let mut command = Command::new(python::environment()?.join("bin/python"));
    command.args(["-c", script, &server.port().to_string()]).arg(gate.join("go"));
    let mut client = Guard::spawn(command)?;
    while !gate.join("go.open").exists() {
        ensure!(client.ended()?.is_none(), "{}", client.log());
        thread::sleep(Duration::from_millis(20));
    }
    let pids = [server.pid(), client.pid()].map(|pid| pid.to_string());
    let agent = Agent::run(["--pid", &pids[0], "--pid", &pids[1], "--print", "none"])?;
    fs::write(gate.join("go"), "")?;
    client.wait(Duration::from_secs(30))?;
    let capture = agent.stop()?;
    // Which database it has selected is not known.
    let wanted = [Said { operation: "GET", text: "GET before", ..Said::default() }; 20];
    both_sides_say(&capture, &wanted)
}

fn redis_py(server: &Redis, url: &str, protocol: &str) -> Result<Vec<Span>> {
    let mut command = Command::new(python::environment()?.join("bin/python"));
    command.arg(paths::app("redis_client.py")).args([url, protocol]);
    let capture = traced(server.pid(), &command, "redis")?;
    let said = |text: &'static str| Said {
        operation: text.split(' ').next().unwrap_or_default(),
        text,
        namespace: "2",
        ..Said::default()
    };
    let mut wanted: Vec<Said<'_>> = [
        "SET greeting ? EX ?",
        "GET greeting",
        "HSET profile name ? mail ?",
        "HGETALL profile",
        "SADD members ?",
        "SMEMBERS members",
        "ZADD scores ? ?",
        "ZSCORE scores ?",
        "GET absent",
        "EVAL ? 1 greeting ?",
        "SET big ?",
        "GET big",
        "LRANGE list ? ?",
        "LLEN list",
        "WATCH a",
        "SET a ?",
        "LPUSH queue ?",
        "PUBLISH news ?",
        "PUBLISH news ?",
        "PUBLISH news ?",
        "DEL greeting big",
    ]
    .map(said)
    .to_vec();
    let list = format!("RPUSH list{} ...", " ?".repeat(63));
    let counters: Vec<String> = (0..50).map(|number| format!("INCRBY counter:{number} ?")).collect();
    let of_counter = |text| Said { operation: "INCRBY", text, namespace: "2", ..Said::default() };
    wanted.extend(counters.iter().map(|text| of_counter(text)));
    wanted.push(Said { operation: "RPUSH", text: &list, namespace: "2", ..Said::default() });
    wanted.push(Said { error: "WRONGTYPE", ..said("LPUSH greeting ?") });
    wanted.push(Said { operation: "MULTI SET", batch: "2", ..said("SET a ?; SET b ?") });
    wanted.push(Said { operation: "MULTI GET", batch: "2", mark: "aborted", ..said("GET a; GET b") });
    wanted.push(Said { mark: "blocking", ..said("BLPOP queue ?") });
    wanted.push(Said { mark: "blocking", ..said("BLPOP queue other ?") });
    // The pool's first connection, one beside the pipeline that watches, and that of the subscription.
    // Whether a unix socket is seen from its first byte on is not known, and so neither is its database.
    let namespace = if url.starts_with("unix") { "" } else { "0" };
    for _ in 0..3 {
        wanted.push(Said { namespace, ..said("SELECT 2") });
        if protocol == "3" {
            wanted.push(Said { namespace, ..said("HELLO 3") });
        }
    }
    both_sides_say(&capture, &wanted)?;
    Ok(capture.spans)
}
