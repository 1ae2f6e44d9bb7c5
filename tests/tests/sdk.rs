//! Programs under OpenTelemetry's own automatic instrumentation: what that reports has no second span, and what is behind
//! it hangs below its spans. What the SDK has exported is the oracle.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    apps::App,
    capture::{Capture, Span},
    client::{self, Request},
    nginx::Nginx,
    node,
    otlp::{Receiver, Told},
    paths, port, privilege, python,
    scratch::Scratch,
};

const PATIENCE: Duration = Duration::from_secs(20);
const REQUESTS: usize = 100;
/// The id of the span of whoever calls, the same for all.
const CALLER: &str = "00f067aa0ba902b7";
/// OTLP's numbers.
const SERVER: &str = "2";
const CLIENT: &str = "3";

#[derive(Clone, Copy, Debug)]
enum Program {
    Python,
    /// It sets its SDK up itself.
    PythonInCode,
    Node,
}

/// A program under the SDK, nginx behind it, and where the SDK exports to.
struct Programs {
    app: App,
    nginx: Nginx,
    receiver: Receiver,
}

impl Programs {
    fn start(program: Program) -> Result<Self> {
        let nginx = Nginx::start(1, "location / { return 200 ok; }", &[])?;
        let (port, receiver) = (port::free()?, Receiver::start()?);
        let mut command = match program {
            Program::Python => {
                let bin = python::sdk_environment()?.join("bin");
                let mut command = Command::new(bin.join("opentelemetry-instrument"));
                command.arg(bin.join("python")).arg(paths::app("sdk_app.py"));
                command
            }
            Program::PythonInCode => {
                let mut command = Command::new(python::sdk_environment()?.join("bin/python"));
                command.arg(paths::app("sdk_app.py"));
                command
            }
            Program::Node => {
                let packages = node::sdk_packages()?;
                let mut command = Command::new("node");
                command.env("NODE_PATH", packages);
                command.args(["--require", "@opentelemetry/auto-instrumentations-node/register"]);
                command.arg(paths::app("sdk_app.js"));
                command
            }
        };
        command.arg(port.to_string()).arg(format!("http://127.0.0.1:{}", nginx.port()));
        if let Program::PythonInCode = program {
            command.arg("in-code");
        }
        command.env("PYTHONDONTWRITEBYTECODE", "1").envs([
            ("OTEL_TRACES_EXPORTER", "otlp"),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_LOGS_EXPORTER", "none"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
            ("OTEL_SEMCONV_STABILITY_OPT_IN", "http"),
            ("OTEL_NODE_RESOURCE_DETECTORS", "none"),
        ]);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.http());
        Ok(Self { app: App::listening(command, port)?, nginx, receiver })
    }

    fn agent(&self, further: &[&str]) -> Result<Agent> {
        let pids = [self.app.pid(), self.nginx.pid()].map(|pid| pid.to_string());
        let selection = pids.iter().flat_map(|pid| ["--pid", pid]).chain(["--print", "none"]);
        Agent::run(selection.chain(further.iter().copied()))
    }

    fn load(&self, requests: &[Request], connections: usize) -> Result<()> {
        for exchange in client::send_all(&self.app.address(), requests, connections)? {
            ensure!(exchange.status == 200, "the program itself: {exchange:?}");
        }
        Ok(())
    }

    /// What the SDK has made, of which so many spans are requests and calls; others tell of sockets.
    fn told(&self, spans: usize) -> Result<Vec<Told>> {
        let is_http = |told: &&Told| [SERVER, CLIENT].contains(&told.kind.as_str());
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = self.receiver.told("http");
            let of_http = told.iter().filter(is_http).count();
            if of_http >= spans || Instant::now() > deadline {
                ensure!(of_http == spans, "{of_http} spans of the SDK's own instead of {spans}: {told:?}");
                return Ok(told);
            }
            thread::sleep(Duration::from_millis(50));
        }
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

/// `/none/N`, without a context.
fn plain() -> Vec<Request> {
    (0..REQUESTS).map(|number| Request::get(format!("/none/{number}"))).collect()
}

/// What the agent made of everything but the SDK's exports.
fn reported(capture: &Capture) -> Vec<&Span> {
    capture.spans.iter().filter(|span| span.path() != "/v1/traces").collect()
}

fn only<'a>(spans: &[&'a Span], path: &str) -> Result<&'a Span> {
    let found: Vec<&Span> = spans.iter().copied().filter(|span| span.path() == path).collect();
    ensure!(found.len() == 1, "{} spans of {path}: {found:?}", found.len());
    Ok(found[0])
}

fn only_told<'a>(told: &'a [Told], kind: &str, path: &str) -> Result<&'a Told> {
    let found: Vec<&Told> = told.iter().filter(|told| told.kind == kind && told.path == path).collect();
    ensure!(found.len() == 1, "{} spans of the SDK's own of {path}: {found:?}", found.len());
    Ok(found[0])
}

/// Each of `/two/N` is one span of the SDK's, as is the call that it sees; the other call, and both of the server behind,
/// are the agent's. Nothing else is.
fn each_is_reported_once(capture: &Capture, told: &[Told]) -> Result<()> {
    let (servers, clients) = (capture.servers(), capture.clients());
    for number in 0..REQUESTS {
        let two = only_told(told, SERVER, &format!("/two/{number}"))?;
        ensure!(two.trace == trace(number) && two.parent == CALLER, "the SDK itself: {two:?}");
        let (seen, unseen) = (format!("/seen/{number}"), format!("/unseen/{number}"));
        let made = only_told(told, CLIENT, &seen)?;
        ensure!(made.parent == two.span, "the SDK itself: {made:?}");
        let behind = only(&servers, &seen)?;
        ensure!(behind.trace_id == made.trace && behind.parent_span_id == made.span, "{behind:?}");
        let call = only(&clients, &unseen)?;
        ensure!(call.trace_id == trace(number) && call.parent_span_id == CALLER, "{call:?}");
        let behind = only(&servers, &unseen)?;
        ensure!(behind.trace_id == call.trace_id && behind.parent_span_id == call.span_id, "{behind:?}");
    }
    let reported = reported(capture);
    ensure!(reported.len() == 3 * REQUESTS, "{} spans\n{}", reported.len(), capture.said);
    let left = capture.accounting.get("honeyguide.spans{state=left_to_sdk}");
    ensure!(left == Some(&(3 * i64::try_from(REQUESTS)?)), "{left:?} are said to be left to the SDK");
    Ok(())
}

fn check(name: &str, program: Program, connections: usize) -> Result<()> {
    let Some(_turn) = privilege::kernel_test(name) else { return Ok(()) };
    let programs = Programs::start(program)?;
    let agent = programs.agent(&[])?;
    let (traced, plain) = (in_traces(), plain());
    let loads = match program {
        // How it was started tells, from the first request on, which has no context and makes no call.
        Program::Python | Program::Node => [&plain, &traced],
        // Its calls tell: the first goes out before the first request is over.
        Program::PythonInCode => [&traced, &plain],
    };
    for load in loads {
        programs.load(load, connections)?;
    }
    let told = programs.told(3 * REQUESTS)?;
    for request in &plain {
        only_told(&told, SERVER, &request.target)?;
    }
    each_is_reported_once(&agent.stop()?, &told)
}

#[test]
fn under_opentelemetry_instrument() -> Result<()> {
    check("sdk::under_opentelemetry_instrument", Program::Python, 4)
}

#[test]
fn in_a_program_that_sets_its_sdk_up_itself() -> Result<()> {
    check("sdk::in_a_program_that_sets_its_sdk_up_itself", Program::PythonInCode, 4)
}

/// One at a time: a call that the SDK does not see is linked as any call of Node's.
#[test]
fn under_auto_instrumentations_node() -> Result<()> {
    check("sdk::under_auto_instrumentations_node", Program::Node, 1)
}

#[test]
fn with_the_setting_off_both_report_everything() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("sdk::with_the_setting_off_both_report_everything") else {
        return Ok(());
    };
    let programs = Programs::start(Program::Python)?;
    let scratch = Scratch::new("sdk")?;
    let settings = scratch.join("all.yaml");
    fs::write(&settings, "context: { defer_to_sdk: false }\n")?;
    let agent = programs.agent(&["--config", &settings.display().to_string()])?;
    programs.load(&in_traces(), 4)?;
    let told = programs.told(2 * REQUESTS)?;
    let capture = agent.stop()?;
    let (servers, clients) = (capture.servers(), capture.clients());
    for number in 0..REQUESTS {
        let two = only(&servers, &format!("/two/{number}"))?;
        ensure!(two.parent_span_id == CALLER && two.trace_id == trace(number), "{two:?}");
        let unseen = only(&clients, &format!("/unseen/{number}"))?;
        ensure!(unseen.parent_span_id == two.span_id, "{unseen:?}");
        let path = format!("/seen/{number}");
        let (seen, made) = (only(&clients, &path)?, only_told(&told, CLIENT, &path)?);
        ensure!(
            seen.trace_id == made.trace && seen.parent_span_id == made.span,
            "{seen:?} is not below {made:?}"
        );
        ensure!(only(&servers, &path)?.parent_span_id == seen.span_id, "{seen:?}");
    }
    let reported = reported(&capture);
    ensure!(reported.len() == 5 * REQUESTS, "{} spans\n{}", reported.len(), capture.said);
    Ok(())
}

/// Until it exports for the first time nothing tells of it.
#[test]
fn a_program_that_exports_its_traces_is_left_to_itself() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("sdk::a_program_that_exports_its_traces_is_left_to_itself")
    else {
        return Ok(());
    };
    let programs = Programs::start(Program::PythonInCode)?;
    let agent = programs.agent(&[])?;
    programs.load(&[Request::get("/none/first")], 1)?;
    programs.told(1).context("the first")?;
    programs.load(&plain(), 4)?;
    let told = programs.told(1 + REQUESTS)?;
    let capture = agent.stop()?;
    for request in plain() {
        only_told(&told, SERVER, &request.target)?;
    }
    let reported = reported(&capture);
    // The first may be looked at before its own export, or after.
    ensure!(reported.iter().all(|span| span.path() == "/none/first"), "{reported:?}");
    Ok(())
}
