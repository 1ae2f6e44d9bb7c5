//! A program with OpenTelemetry's own instrumentation: what that reports has no second span, and what is behind it hangs
//! below its spans. The SDK's own spans are the oracle.

use std::{collections::BTreeMap, fs, process::Command};

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    apps::App,
    capture::{Capture, Span},
    client::{self, Request},
    nginx::Nginx,
    otlp::Receiver,
    paths, port, privilege, python,
    scratch::Scratch,
};

const REQUESTS: usize = 100;
const CONNECTIONS: usize = 4;
/// The id of the span of whoever calls, the same for all.
const CALLER: &str = "00f067aa0ba902b7";

/// flask and requests under the SDK, and nginx behind them.
struct Programs {
    app: App,
    nginx: Nginx,
    scratch: Scratch,
}

/// What the SDK has made, by kind and path.
type Oracle = BTreeMap<(String, String), Made>;

struct Made {
    trace: String,
    span: String,
    parent: String,
}

impl Programs {
    fn start(export_to: Option<&str>) -> Result<Self> {
        let nginx = Nginx::start(1, "location / { return 200 ok; }", &[])?;
        let (port, scratch) = (port::free()?, Scratch::new("sdk")?);
        let mut command = Command::new(python::sdk_environment()?.join("bin/python"));
        command.arg(paths::app("sdk_app.py")).arg(port.to_string());
        command.arg(format!("http://127.0.0.1:{}", nginx.port())).arg(scratch.join("spans"));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        if let Some(endpoint) = export_to {
            command.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("{endpoint}/v1/traces"));
        }
        Ok(Self { app: App::listening(command, port)?, nginx, scratch })
    }

    fn agent(&self, further: &[&str]) -> Result<Agent> {
        let pids = [self.app.pid(), self.nginx.pid()].map(|pid| pid.to_string());
        let selection = pids.iter().flat_map(|pid| ["--pid", pid]).chain(["--print", "none"]);
        Agent::run(selection.chain(further.iter().copied()))
    }

    fn load(&self, requests: &[Request]) -> Result<()> {
        for exchange in client::send_all(&self.app.address(), requests, CONNECTIONS)? {
            ensure!(exchange.status == 200, "the program itself: {exchange:?}");
        }
        Ok(())
    }

    fn oracle(&self) -> Result<Oracle> {
        let text = fs::read_to_string(self.scratch.join("spans"))?;
        let line = |line: &str| {
            let [kind, trace, span, parent, path] = line.split(' ').collect::<Vec<_>>()[..] else {
                return None;
            };
            let made = Made { trace: trace.to_owned(), span: span.to_owned(), parent: parent.to_owned() };
            Some(((kind.to_owned(), path.to_owned()), made))
        };
        text.lines().map(line).collect::<Option<Oracle>>().context("not the lines of sdk_app.py")
    }
}

fn trace(number: usize) -> String {
    format!("{:032x}", number + 1)
}

/// `/two/N`, each in a trace of its own.
fn in_traces() -> Vec<Request> {
    let request = |number| Request {
        headers: format!("traceparent: 00-{}-{CALLER}-01\r\n", trace(number)),
        ..Request::get(format!("/two/{number}"))
    };
    (0..REQUESTS).map(request).collect()
}

fn only<'a>(spans: &[&'a Span], path: &str) -> Result<&'a Span> {
    let found: Vec<&Span> = spans.iter().copied().filter(|span| span.path() == path).collect();
    ensure!(found.len() == 1, "{} spans of {path}: {found:?}", found.len());
    Ok(found[0])
}

/// The one that the SDK knows nothing of is there, and both of the server's are where they belong.
fn calls_are_where_they_belong(capture: &Capture, oracle: &Oracle) -> Result<()> {
    let (servers, clients) = (capture.servers(), capture.clients());
    for number in 0..REQUESTS {
        let (seen, unseen) = (format!("/seen/{number}"), format!("/unseen/{number}"));
        let made = &oracle[&("CLIENT".to_owned(), seen.clone())];
        let behind = only(&servers, &seen)?;
        ensure!(behind.trace_id == made.trace && made.trace == trace(number), "{behind:?}");
        let above = clients.iter().find(|span| span.path() == seen);
        let parent = above.map_or(made.span.as_str(), |call| call.span_id.as_str());
        ensure!(behind.parent_span_id == parent, "{behind:?} is not below {}", made.span);
        let call = only(&clients, &unseen)?;
        ensure!(call.trace_id == trace(number), "{call:?}");
        ensure!(only(&servers, &unseen)?.parent_span_id == call.span_id, "{call:?}");
    }
    Ok(())
}

#[test]
fn what_flask_and_requests_report_is_not_reported_twice() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("sdk::what_flask_and_requests_report_is_not_reported_twice")
    else {
        return Ok(());
    };
    let programs = Programs::start(None)?;
    let agent = programs.agent(&[])?;
    programs.load(&in_traces())?;
    let (capture, oracle) = (agent.stop()?, programs.oracle()?);
    calls_are_where_they_belong(&capture, &oracle)?;
    for number in 0..REQUESTS {
        let two = ("SERVER".to_owned(), format!("/two/{number}"));
        ensure!(oracle[&two].parent == CALLER, "the SDK itself: {}", oracle[&two].parent);
        let unseen = only(&capture.clients(), &format!("/unseen/{number}"))?;
        ensure!(unseen.parent_span_id == CALLER, "{unseen:?}");
    }
    ensure!(capture.spans.len() == 3 * REQUESTS, "{} spans\n{}", capture.spans.len(), capture.said);
    Ok(())
}

#[test]
fn with_the_setting_off_the_agent_reports_everything() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("sdk::with_the_setting_off_the_agent_reports_everything") else {
        return Ok(());
    };
    let programs = Programs::start(None)?;
    let settings = programs.scratch.join("all.yaml");
    fs::write(&settings, "context: { defer_to_sdk: false }\n")?;
    let agent = programs.agent(&["--config", &settings.display().to_string()])?;
    programs.load(&in_traces())?;
    let (capture, oracle) = (agent.stop()?, programs.oracle()?);
    calls_are_where_they_belong(&capture, &oracle)?;
    for number in 0..REQUESTS {
        let two = only(&capture.servers(), &format!("/two/{number}"))?;
        ensure!(two.parent_span_id == CALLER && two.trace_id == trace(number), "{two:?}");
        let unseen = only(&capture.clients(), &format!("/unseen/{number}"))?;
        ensure!(unseen.parent_span_id == two.span_id, "{unseen:?}");
        let made = &oracle[&("CLIENT".to_owned(), format!("/seen/{number}"))];
        let seen = only(&capture.clients(), &format!("/seen/{number}"))?;
        ensure!(seen.parent_span_id == made.span, "the SDK's span is above: {seen:?}");
    }
    ensure!(capture.spans.len() == 5 * REQUESTS, "{} spans\n{}", capture.spans.len(), capture.said);
    Ok(())
}

/// Requests that come without a context and make no call: that spans are exported is all there is to see.
#[test]
fn a_program_that_exports_its_traces_is_left_to_itself() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("sdk::a_program_that_exports_its_traces_is_left_to_itself")
    else {
        return Ok(());
    };
    let receiver = Receiver::start()?;
    let programs = Programs::start(Some(&receiver.http()))?;
    let agent = programs.agent(&[])?;
    let requests: Vec<Request> =
        (0..REQUESTS).map(|number| Request::get(format!("/none/{number}"))).collect();
    programs.load(&requests)?;
    receiver.wait_for_spans("http", REQUESTS)?;
    let capture = agent.stop()?;
    let reported: Vec<&Span> =
        capture.servers().into_iter().filter(|span| span.path().starts_with("/none/")).collect();
    ensure!(reported.is_empty(), "{reported:?}");
    ensure!(programs.oracle()?.len() == REQUESTS, "the SDK itself");
    Ok(())
}
