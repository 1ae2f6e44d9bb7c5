//! What the tests of databases have in common: a client and its server traced together, and what their spans say.

use std::{collections::HashMap, fs, process::Command};

use anyhow::{Context, Result, ensure};

use crate::{
    agent::Agent,
    capture::{Capture, Span},
    gated::Gated,
};

/// In every statement with a value, in every password, and in the programs of `tests/apps`. It must not leave
/// the agent.
pub const CANARY: &str = "canary-7f3a";

/// What a span of either side says, beyond what all of them say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said<'a> {
    pub summary: &'a str,
    pub text: &'a str,
    /// `db.response.status_code` and `error.type`, which are the same.
    pub error: &'a str,
    /// `db.operation.batch.size`.
    pub batch: &'a str,
    /// `db.response.returned_rows`.
    pub rows: &'a str,
}

#[must_use]
pub const fn said<'a>(summary: &'a str, text: &'a str, rows: &'a str) -> Said<'a> {
    Said { summary, text, error: "", batch: "", rows }
}

/// Runs `command` with it and the `server` selected, and checks what holds for every capture of such a pair.
/// `system` is what `db.system.name` must be.
///
/// # Errors
/// When something of it does not hold, or the client or the agent fails.
pub fn traced(server: u32, system: &str, command: &Command) -> Result<(Capture, String)> {
    traced_through(&[server], system, command)
}

/// The same with several processes behind the client, each of which speaks the same to the next.
///
/// # Errors
/// As for [`traced`].
pub fn traced_through(servers: &[u32], system: &str, command: &Command) -> Result<(Capture, String)> {
    let client = Gated::new(command)?;
    let pids = servers.iter().copied().chain([client.pid()]);
    let selected = pids.flat_map(|pid| ["--pid".to_owned(), pid.to_string()]);
    let agent = Agent::run(selected.chain(["--print".to_owned(), "none".to_owned()]))?;
    let out = agent.out().to_owned();
    let printed = client.finish()?;
    let capture = agent.stop_with(|said| {
        for file in fs::read_dir(&out)? {
            let file = file?.path();
            let text = fs::read_to_string(&file)?;
            let at =
                text.find(CANARY).map(|at| text.get(at.saturating_sub(200)..at + 50).unwrap_or_default());
            ensure!(at.is_none(), "a value is in {}: {at:?}", file.display());
        }
        ensure!(!said.contains(CANARY), "a value is in what the agent said\n{said}");
        Capture::read(&out, said)
    })?;
    ensure!(!capture.accounting.is_empty(), "the agent has written no account of itself");
    let (dropped, counters) = capture.dropped();
    ensure!(dropped == 0, "the agent dropped something: {counters:?}\n{}", capture.said);
    children_of_their_clients(&capture)?;
    for span in &capture.spans {
        ensure!(span.get("db.system.name") == system, "{span:?}");
        // What makes no sense has no summary.
        let summary = span.get("db.query.summary");
        ensure!(span.name == summary || summary.is_empty() && span.error, "{span:?}");
        ensure!(span.error != span.get("error.type").is_empty(), "{span:?}");
    }
    Ok((capture, printed))
}

/// One server span for each client span, with the same content.
fn children_of_their_clients(capture: &Capture) -> Result<()> {
    let (clients, servers) = (capture.clients(), capture.servers());
    ensure!(
        clients.len() == servers.len() && clients.len() + servers.len() == capture.spans.len(),
        "{} client spans, {} server spans, {} in all; first: {:#?}\n{}",
        clients.len(),
        servers.len(),
        capture.spans.len(),
        capture.spans.iter().map(|span| (span.kind, &span.name)).take(40).collect::<Vec<_>>(),
        capture.said
    );
    let mut waiting: HashMap<&str, &Span> =
        clients.into_iter().map(|span| (span.span_id.as_str(), span)).collect();
    for server in servers {
        let client = waiting
            .remove(server.parent_span_id.as_str())
            .with_context(|| format!("a server span without a client span of its own: {server:?}"))?;
        ensure!(client.trace_id == server.trace_id, "a parent in another trace: {client:?}\n{server:?}");
        ensure!(read(client) == read(server), "the sides do not agree: {client:?}\n{server:?}");
    }
    Ok(())
}

/// The spans of each side, in the order of their start, are those that are `wanted`.
///
/// # Errors
/// When they are not.
pub fn both_sides_say(capture: &Capture, wanted: &[Said<'_>]) -> Result<()> {
    for (side, mut spans) in [("client", capture.clients()), ("server", capture.servers())] {
        spans.sort_by_key(|span| span.start);
        let found: Vec<Said<'_>> = spans.into_iter().map(read).collect();
        ensure!(found == wanted, "{side}: {found:#?}\nwanted {wanted:#?}");
    }
    Ok(())
}

#[must_use]
pub fn read(span: &Span) -> Said<'_> {
    let [summary, text, error, batch, rows] = [
        "db.query.summary",
        "db.query.text",
        "error.type",
        "db.operation.batch.size",
        "db.response.returned_rows",
    ]
    .map(|key| span.get(key));
    // A difference of the two shows as an error that no test wants. What was not run has no status.
    let status = span.get("db.response.status_code");
    let agree = status == error || status.is_empty() && error == "pipeline_aborted";
    let error = if agree { error } else { "status and type differ" };
    Said { summary, text, error, batch, rows }
}
