//! What the spans of a key-value store's client and server have to say, whichever store it is.

use std::{collections::HashMap, fs, process::Command};

use anyhow::{Context, Result, ensure};

use crate::{
    agent::Agent,
    capture::{Capture, Span},
    gated::Gated,
};

/// In every value that the clients of `tests/apps` store. It must not leave the agent.
pub const CANARY: &str = "canary-7f3a";

/// What a span of either side says, beyond what all of them say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said<'a> {
    /// `db.operation.name`.
    pub operation: &'a str,
    pub text: &'a str,
    /// `db.response.status_code` and `error.type`, which are the same.
    pub error: &'a str,
    /// `db.operation.batch.size`.
    pub batch: &'a str,
    /// `db.namespace`.
    pub namespace: &'a str,
    /// `blocking`, `unanswered`, or what became of a transaction.
    pub mark: &'a str,
}

impl<'a> Said<'a> {
    #[must_use]
    pub fn of(span: &'a Span) -> Self {
        let error = span.get("error.type");
        let marks = ["blocking", "unanswered", "transaction"]
            .map(|mark| (mark, span.get(&format!("honeyguide.db.{mark}"))));
        let mark = marks.into_iter().find(|(_, value)| !value.is_empty());
        Self {
            operation: span.get("db.operation.name"),
            text: span.get("db.query.text"),
            // A difference of the two shows as an error that no test wants.
            error: if span.get("db.response.status_code") == error {
                error
            } else {
                "status and type differ"
            },
            batch: span.get("db.operation.batch.size"),
            namespace: span.get("db.namespace"),
            mark: mark.map_or("", |(mark, value)| if value == "true" { mark } else { value }),
        }
    }
}

/// Runs `command` against the server with both selected, and checks what holds for every capture of that kind.
///
/// # Errors
/// When the client fails, the agent dropped something or told a value, or the two sides do not match.
pub fn traced(server: u32, command: &Command, system: &str) -> Result<Capture> {
    let client = Gated::new(command)?;
    let pids = [server, client.pid()].map(|pid| pid.to_string());
    let agent = Agent::run(["--pid", &pids[0], "--pid", &pids[1], "--print", "none"])?;
    let out = agent.out().to_owned();
    client.finish()?;
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
        ensure!(span.error != span.get("error.type").is_empty(), "{span:?}");
    }
    Ok(capture)
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
        ensure!(Said::of(client) == Said::of(server), "the sides do not agree: {client:?}\n{server:?}");
    }
    Ok(())
}

/// That both sides say this, in any order: several connections answer each other.
///
/// # Errors
/// When one does not.
pub fn both_sides_say(capture: &Capture, wanted: &[Said<'_>]) -> Result<()> {
    let sorted = |said: &[Said<'_>]| {
        let mut lines: Vec<String> = said.iter().map(|said| format!("{said:?}")).collect();
        lines.sort();
        lines
    };
    let wanted = sorted(wanted);
    for (side, spans) in [("client", capture.clients()), ("server", capture.servers())] {
        let found = sorted(&spans.into_iter().map(Said::of).collect::<Vec<_>>());
        let only = |these: &[String], those: &[String]| -> Vec<String> {
            these.iter().filter(|line| !those.contains(line)).cloned().collect()
        };
        ensure!(
            found == wanted,
            "{side}: {} for {}; too many: {:#?}, missing: {:#?}",
            found.len(),
            wanted.len(),
            only(&found, &wanted),
            only(&wanted, &found)
        );
    }
    Ok(())
}
