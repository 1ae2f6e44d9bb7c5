//! Capture on kernels other than this machine's, under QEMU.

use std::{fs, path::Path};

use anyhow::{Result, ensure};
use honeyguide_tests::{
    capture::{Capture, Kind, Span},
    paths, privilege,
    scratch::Scratch,
    vm,
};

/// The tracepoints of the first choice came with 6.3, so this is the fallback.
#[test]
fn debian_6_1_captures_through_the_fallback() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("vm::debian_6_1_captures_through_the_fallback") else {
        return Ok(());
    };
    captures("6.1", "http-headers")
}

#[test]
fn debian_6_12_captures() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("vm::debian_6_12_captures") else { return Ok(()) };
    captures("6.12", "http-headers, tcp-option")
}

/// Of one HTTP/2 connection, asked for in one write and answered in few: twice and four times as many vectors.
const STREAMS: usize = 400;

const SCRIPT: &str = "
uname -r
peer serve 127.0.0.1:8080 &
peer serve2 127.0.0.1:8082 &
mount -t cgroup2 none /sys/fs/cgroup
echo 'context: { propagate: [http-headers] }' > /tmp/settings.yaml
start() {
  honeyguide run --config /tmp/settings.yaml --all --print none $@ > /tmp/said 2>&1 &
  agent=$!
  for i in $(seq 600); do
    grep -q 'honeyguide: ready' /tmp/said && break
    kill -0 $agent 2>/dev/null || break
    usleep 100000
  done
}
start --thread-times --out /tmp/out
peer get 127.0.0.1:8080 /hello/guest 5
peer get 127.0.0.1:8080 /status/404 1
peer get2 127.0.0.1:8082 400
kill -TERM $agent
wait $agent
echo \"honeyguide ended with $?\"
cat /tmp/said
grep -o 'injected[^{]*' /tmp/out/metrics.jsonl | tail -n 1
cat /tmp/out/traces.jsonl > /dev/ttyS1
echo 'context: { propagate: [EVERYTHING] }' > /tmp/settings.yaml
echo 'link: { wakes: true }' >> /tmp/settings.yaml
start
peer get 127.0.0.1:8080 /hello/guest 1
kill -TERM $agent
wait $agent
echo \"with everything honeyguide ended with $?\"
sed 's/^/with everything: /' /tmp/said
";

/// The walk over user stacks is the largest of the programs, and each kernel's verifier follows it in its own way.
#[test]
fn debian_6_1_walks_user_stacks() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("vm::debian_6_1_walks_user_stacks") else { return Ok(()) };
    walks("6.1")
}

#[test]
fn debian_6_12_walks_user_stacks() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("vm::debian_6_12_walks_user_stacks") else { return Ok(()) };
    walks("6.12")
}

/// The shell waits for the program that it has started, which sleeps.
const WAITS: &str = "do_wait_[k]";
const SLEEPS: &str = "hrtimer_nanosleep_[k]";

/// Of what is blocked still when the recording ends the kernel's part is not walked.
fn is_at_the_end(line: &str) -> bool {
    !line.contains("_[k]")
}

const BUSY: &str = "
uname -r
while :; do :; done &
busy=$!
honeyguide flame --pid $busy --duration 5s --hz 49 -o /tmp/out.folded
echo \"honeyguide ended with $?\"
kill $busy
cat /tmp/out.folded > /dev/ttyS1
while :; do usleep 20000; done &
idle=$!
honeyguide flame --off-cpu --pid $idle --duration 3s -o /tmp/waits.folded
echo \"honeyguide ended with $? again\"
kill $idle
sed 's/^/waits: /' /tmp/waits.folded > /dev/ttyS1
";

fn walks(series: &str) -> Result<()> {
    let agent = paths::agent()?;
    let ran = vm::run(&vm::kernel(series)?, &[&agent], BUSY)?;
    let console = &ran.console;
    ensure!(console.contains(&format!("{series}.")), "another kernel has booted:\n{console}");
    ensure!(console.contains("honeyguide ended with 0"), "{console}");
    ensure!(
        !console.contains("frames of CPython"),
        "the walk over Python's frames does not load:\n{console}"
    );
    ensure!(!console.contains("frames of JavaScript"), "V8's frames are not looked at:\n{console}");
    ensure!(console.contains(" 100.0 % with complete stacks"), "{}\n{console}", ran.result);
    let (waits, ran_on): (Vec<_>, Vec<_>) = ran.result.lines().partition(|line| line.starts_with("waits: "));
    ensure!(console.contains("honeyguide ended with 0 again"), "{console}");
    let (shell, rest): (Vec<_>, Vec<_>) = waits.into_iter().partition(|line| line.contains(WAITS));
    let whole = shell.iter().any(|line| !line.contains("[incomplete]"));
    ensure!(
        whole && rest.iter().all(|line| line.contains(SLEEPS) || is_at_the_end(line)),
        "{shell:?} {rest:?}\n{console}"
    );
    let frames = ran_on.iter().map(|line| line.matches(';').count()).max().unwrap_or(0);
    ensure!(frames >= 4, "busybox's shell is deeper than {frames}:\n{}\n{console}", ran.result);
    Ok(())
}

/// `propagate`: all that this kernel can.
fn captures(series: &str, propagate: &str) -> Result<()> {
    let (agent, peer) = (paths::agent()?, Path::new(env!("CARGO_BIN_EXE_peer")));
    let ran = vm::run(&vm::kernel(series)?, &[&agent, peer], &SCRIPT.replace("EVERYTHING", propagate))?;
    let console = &ran.console;
    ensure!(console.contains(&format!("{series}.")), "another kernel has booted:\n{console}");
    ensure!(console.contains("honeyguide ended with 0"), "{console}");
    ensure!(!console.contains("the inside of TLS"), "the probes of TLS do not load:\n{console}");
    ensure!(!console.contains("sched_"), "a hook of the scheduler is missing:\n{console}");
    // What is off unless it is asked for loads as well; that wake-ups are not there would only be said.
    ensure!(console.contains("with everything honeyguide ended with 0"), "{console}");
    let lacks = |line: &&str| line.starts_with("with everything: ") && line.contains("without");
    ensure!(!console.lines().any(|line| lacks(&line)), "{console}");
    // Two connections and six requests of HTTP/1: as many as this kernel's readers bear.
    let headers = if console.contains("only the first request of each connection") { 2 } else { 6 };
    let counted = format!("injected\"}}}}],\"asInt\":\"{headers}\"");
    ensure!(console.contains(&counted), "not {headers} headers were put in:\n{console}");

    let scratch = Scratch::new("vm-result")?;
    fs::write(scratch.join("traces.jsonl"), &ran.result)?;
    let capture = Capture::read(scratch.path(), console.clone())?;
    ensure!(capture.clients().len() == 6 + STREAMS, "{} client spans\n{console}", capture.clients().len());
    let (http2, http1): (Vec<_>, Vec<_>) =
        capture.spans.iter().partition(|span| span.get("network.protocol.version") == "2");
    let undamaged =
        |span: &&&Span| span.status() == 200 && !span.attributes.contains_key("honeyguide.damaged");
    let whole = http2.iter().filter(undamaged).count();
    ensure!(whole == 2 * STREAMS, "{whole} of {} spans of HTTP/2 are whole\n{console}", http2.len());
    let servers = http1.into_iter().filter(|span| span.kind == Kind::Server);
    let mut seen: Vec<_> = servers.map(|s| (s.method(), s.path(), s.status())).collect();
    seen.sort_unstable();
    let mut wanted = vec![("GET", "/hello/guest", 200); 5];
    wanted.push(("GET", "/status/404", 404));
    ensure!(seen == wanted, "server spans {seen:?}\n{console}");
    Ok(())
}
