//! How the agent begins and ends, and what is left of it.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    client::{self, Address, Client, Request},
    guard::Guard,
    nginx::Nginx,
    paths, port, privilege,
    scratch::Scratch,
};

#[test]
fn kill_9_leaves_no_program_and_no_map_behind() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("lifecycle::kill_9_leaves_no_program_and_no_map_behind") else {
        return Ok(());
    };
    let nginx = Nginx::scripted()?;
    let agent = Agent::run(["--port", &nginx.port().to_string()])?;
    Client::new(nginx.address()).send(&Request::get("/ok"))?;
    let held = kernel_objects(agent.pid())?;
    for kind in ["prog", "map", "link"] {
        ensure!(held.iter().any(|(held, _)| *held == kind), "the agent holds no {kind}: {held:?}");
    }
    agent.kill()?;

    // The kernel frees them after a grace period, in a worker of its own.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mut left = held.iter().filter(|(kind, id)| exists(kind, id)).peekable();
        if left.peek().is_none() {
            break;
        }
        ensure!(Instant::now() < deadline, "left behind: {:?}", left.collect::<Vec<_>>());
        thread::sleep(Duration::from_millis(50));
    }
    // And the traced server does not notice.
    ensure!(Client::new(nginx.address()).send(&Request::get("/ok"))?.status == 200);
    Ok(())
}

#[test]
fn sigterm_writes_what_was_captured_last() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("lifecycle::sigterm_writes_what_was_captured_last") else {
        return Ok(());
    };
    let nginx = Nginx::scripted()?;
    let agent = Agent::run(["--port", &nginx.port().to_string()])?;
    client::send_all(&nginx.address(), &vec![Request::get("/ok"); 500], 4)?;
    // At once: nothing has had the time to be exported by a timer.
    let capture = agent.stop()?;
    ensure!(capture.servers().len() == 500, "{} spans of 500\n{}", capture.servers().len(), capture.said);
    Ok(())
}

#[test]
fn duration_ends_the_agent() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("lifecycle::duration_ends_the_agent") else { return Ok(()) };
    let nginx = Nginx::scripted()?;
    let mut agent = Agent::run(["--port", &nginx.port().to_string(), "--duration", "2s"])?;
    Client::new(nginx.address()).send(&Request::get("/ok"))?;
    ensure!(agent.finish()?.servers().len() == 1);
    Ok(())
}

#[test]
fn the_traced_process_ends() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("lifecycle::the_traced_process_ends") else { return Ok(()) };
    let nginx = Nginx::scripted()?;
    let agent = Agent::run(["--pid", &nginx.pid().to_string()])?;
    client::send_all(&nginx.address(), &vec![Request::get("/ok"); 10], 1)?;
    drop(nginx);
    let capture = agent.stop()?;
    ensure!(capture.servers().len() == 10, "{} spans of 10\n{}", capture.servers().len(), capture.said);
    Ok(())
}

#[test]
fn a_dead_collector_costs_nothing_that_was_made() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("lifecycle::a_dead_collector_costs_nothing_that_was_made")
    else {
        return Ok(());
    };
    let nginx = Nginx::scripted()?;
    let (server, nobody) = (nginx.port().to_string(), format!("http://127.0.0.1:{}", port::free()?));
    let agent = Agent::run(["--port", &server, "--otlp", &nobody, "--otlp-protocol", "http/protobuf"])?;
    client::send_all(&nginx.address(), &vec![Request::get("/ok"); 50], 1)?;
    let capture = agent.stop()?;
    ensure!(capture.servers().len() == 50, "{} spans of 50\n{}", capture.servers().len(), capture.said);
    ensure!(!capture.said.contains("panicked"), "{}", capture.said);
    Ok(())
}

#[test]
fn a_second_request_on_a_kept_connection_from_before() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("lifecycle::a_second_request_on_a_kept_connection_from_before")
    else {
        return Ok(());
    };
    let port = port::free()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut command = Command::new(env!("CARGO_BIN_EXE_peer"));
    command.args(["serve", &address.to_string()]);
    let mut peer = Guard::spawn(command)?;
    port::wait(&mut peer, address)?;
    let mut client = Client::new(Address::Tcp(address));
    client.send(&Request::get("/before"))?;
    let agent = Agent::run(["--pid", &peer.pid().to_string()])?;
    client.send(&Request::get("/after"))?;
    let capture = agent.stop()?;
    let paths: Vec<&str> = capture.servers().iter().map(|span| span.path()).collect();
    ensure!(paths == ["/after"], "{paths:?}");
    Ok(())
}

#[test]
fn a_pid_that_does_not_exist() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("lifecycle::a_pid_that_does_not_exist") else { return Ok(()) };
    // Above the largest pid that Linux can be set to give (2^22).
    for arguments in [vec!["run", "--pid", "4194305"], vec!["attach", "4194305"]] {
        refused(Agent::command()?.args(&arguments), 1, "4194305")?;
    }
    Ok(())
}

#[test]
fn an_output_directory_that_cannot_be_written() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("lifecycle::an_output_directory_that_cannot_be_written") else {
        return Ok(());
    };
    refused(
        Agent::command()?.args(["run", "--all", "--out", "/proc/no-such-place"]),
        1,
        "/proc/no-such-place",
    )
}

#[test]
fn without_privileges_it_says_what_is_missing() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("lifecycle::without_privileges_it_says_what_is_missing") else {
        return Ok(());
    };
    // A copy: nobody can read the directory that the agent was built in.
    let directory = Scratch::new("nobody")?;
    let binary = directory.join("honeyguide");
    fs::copy(paths::agent()?, &binary)?;
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755))?;
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary).args(["run", "--all"]);
    refused(command.current_dir("/"), 3, "root")
}

/// The command ends with `code`, and one line of what it says names the culprit.
fn refused(command: &mut Command, code: i32, culprit: &str) -> Result<()> {
    let Output { status, stdout, stderr } = output(command)?;
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    ensure!(status.code() == Some(code), "{command:?} ended with {status}, not {code}\n{said}");
    ensure!(said.contains(culprit), "nothing about `{culprit}` in:\n{said}");
    ensure!(!said.contains("panicked"), "{said}");
    Ok(())
}

/// Runs to the end, which must come within 30 seconds.
fn output(command: &mut Command) -> Result<Output> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let pid = child.id().to_string();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        if wait.recv_timeout(Duration::from_secs(30)).is_err() {
            // It has ended by itself where this fails.
            let _ = Command::new("kill").args(["-9", &pid]).status();
        }
    });
    let output = child.wait_with_output();
    // The watchdog has gone only after its patience, and then the status tells.
    let _ = done.send(());
    ensure!(watchdog.join().is_ok());
    Ok(output?)
}

/// The programs, maps and links that a process holds, as kinds and ids.
fn kernel_objects(pid: u32) -> Result<BTreeSet<(&'static str, String)>> {
    let mut objects = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        // A descriptor that is closed meanwhile holds nothing.
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        for (kind, key) in [("prog", "prog_id:"), ("map", "map_id:"), ("link", "link_id:")] {
            let id = text.lines().find_map(|line| line.strip_prefix(key));
            objects.extend(id.map(|id| (kind, id.trim().to_owned())));
        }
    }
    Ok(objects)
}

fn exists(kind: &str, id: &str) -> bool {
    let status = Command::new("bpftool")
        .args([kind, "show", "id", id])
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    // Without bpftool nothing would be found, and the test would pass for nothing.
    status.map_or(true, |status| status.success())
}
