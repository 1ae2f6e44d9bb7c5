//! Addresses are translated between a caller and its server, as a service's are in Kubernetes: both ends are one trace all the
//! same.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{agent::Agent, capture::Span, guard::Guard, netns::Pair, privilege, scratch::Scratch};

const REQUESTS: usize = 300;
/// On the callers' side, for those whose own address is translated.
const FURTHER: &str = "10.213.7.3";
/// Where to ask, what becomes of it on the way, and who asks as the server sees it.
const WAYS: [(&str, &str, &str); 3] = [
    ("10.213.8.1:80", "a service's address and port", "10.213.7.1"),
    ("10.213.7.2:8002", "the client's port", "10.213.7.1"),
    ("10.213.8.2:80", "the client's address and the server's address and port", FURTHER),
];
const RULES: &str = "add table ip ways
add chain ip ways out { type nat hook output priority -100; }
add rule ip ways out ip daddr { 10.213.8.1, 10.213.8.2 } tcp dport 80 counter dnat to 10.213.7.2:8002
add chain ip ways after { type nat hook postrouting priority 100; }
add rule ip ways after ct original ip daddr 10.213.7.2 tcp dport 8002 counter masquerade random
add rule ip ways after ct original ip daddr 10.213.8.2 counter snat to 10.213.7.3";

#[test]
fn both_ends_are_one_trace() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("translated::both_ends_are_one_trace") else { return Ok(()) };
    let pair = Pair::new()?;
    pair.translate(FURTHER, RULES)?;
    let directory = Scratch::new("translated")?;
    let hop = |side: usize, arguments: &[&str]| -> Result<Guard> {
        let mut command = pair.command(side, env!("CARGO_BIN_EXE_hop"));
        command.args(arguments);
        let mut guard = Guard::spawn(command)?;
        guard.wait_for_text("listening", Duration::from_secs(10))?;
        Ok(guard)
    };
    let kept = directory.join("kept").display().to_string();
    let server = hop(1, &["record", "10.213.7.2:8002", &kept])?;
    for (next, what, client) in WAYS {
        let caller = hop(0, &["forward", "10.213.7.1:8001", next])?;
        let pids = [&server, &caller].map(|program| program.pid().to_string());
        let selection = pids.iter().flat_map(|pid| ["--pid", pid]);
        let agent = Agent::run(selection.chain(["--print", "none"]))?;
        let mut drive = pair.command(0, env!("CARGO_BIN_EXE_hop"));
        drive.args(["drive", "10.213.7.1:8001", &REQUESTS.to_string()]);
        let mut drive = Guard::spawn(drive)?;
        let status = drive.wait(Duration::from_secs(60))?;
        ensure!(status.success(), "{}", drive.log());

        let capture = agent.stop()?;
        ensure!(capture.spans.len() == 3 * REQUESTS, "{what}: {} spans", capture.spans.len());
        let by_id: HashMap<&str, &Span> =
            capture.spans.iter().map(|span| (span.span_id.as_str(), span)).collect();
        let calls = capture.clients();
        ensure!(calls.len() == REQUESTS, "{what}: {} calls", calls.len());
        for call in calls {
            let request = capture.servers().into_iter().find(|span| span.parent_span_id == call.span_id);
            let request = request.with_context(|| format!("{what}: nobody's call: {call:?}"))?;
            ensure!(
                request.trace_id == call.trace_id && request.path() == call.path(),
                "{what}: {request:?}"
            );
            let cause = by_id.get(call.parent_span_id.as_str());
            ensure!(cause.is_some_and(|cause| cause.path() == call.path()), "{what}: {call:?}");
            ensure!(request.get("client.address") == client, "{what}: {request:?}");
        }
    }
    Ok(())
}
