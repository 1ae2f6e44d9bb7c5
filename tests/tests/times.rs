//! What a server span says of its thread's time is what the thread did, and adds up to the span.

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    capture::Span,
    client::{self, Request},
    privilege,
    python::Python,
};

const MILLISECOND: u64 = 1_000_000;
/// Between the request's last byte and the handler, and from the handler to the response; interpreter's work.
const OVERHEAD: u64 = 10 * MILLISECOND;

#[test]
fn computing_and_sleeping_in_threads() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("times::computing_and_sleeping_in_threads") else {
        return Ok(());
    };
    let server = Python::busy_server()?;
    let agent = Agent::run(["--pid", &server.pid().to_string(), "--print", "none", "--thread-times"])?;
    let paths = (0..40).map(|n| if n % 2 == 0 { "/compute/20" } else { "/sleep/30" });
    let requests: Vec<Request> = paths.map(Request::get).collect();
    for exchange in client::send_all(&server.address(), &requests, 8)? {
        ensure!(exchange.status == 200, "the server itself: {exchange:?}");
    }
    let capture = agent.stop()?;

    let spans = capture.servers();
    ensure!(spans.len() == 40, "{} spans\n{}", spans.len(), capture.said);
    for span in spans {
        let (on_cpu, blocked) = (time(span, "on_cpu")?, time(span, "blocked")?);
        let whole = on_cpu + time(span, "run_queue")? + blocked;
        let length = span.end - span.start;
        ensure!(whole.abs_diff(length) < MILLISECOND, "{whole} of {length} ns: {span:?}");
        if span.path() == "/compute/20" {
            // The clock that the handler reads ticks a little differently.
            let wanted = 19 * MILLISECOND;
            ensure!((wanted..wanted + OVERHEAD).contains(&on_cpu), "on a CPU for {on_cpu} ns: {span:?}");
        } else {
            let slept = time(span, "blocked.sleep")?;
            // On a busy machine a part of the pause passes before the thread is off the CPU, or after it is woken.
            let pause = slept + time(span, "run_queue")? + on_cpu;
            ensure!(pause >= 30 * MILLISECOND && slept <= blocked, "asleep for {slept} ns: {span:?}");
            ensure!(slept > 20 * MILLISECOND, "asleep for {slept} ns: {span:?}");
            ensure!(on_cpu < OVERHEAD, "on a CPU for {on_cpu} ns: {span:?}");
        }
    }
    Ok(())
}

#[test]
fn nothing_is_said_unless_asked_for() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("times::nothing_is_said_unless_asked_for") else {
        return Ok(());
    };
    let server = Python::busy_server()?;
    let agent = Agent::run(["--pid", &server.pid().to_string(), "--print", "none"])?;
    client::send_all(&server.address(), &[Request::get("/sleep/1")], 1)?;
    let capture = agent.stop()?;
    let spans = capture.servers();
    ensure!(spans.len() == 1, "{} spans\n{}", spans.len(), capture.said);
    let said = spans[0].attributes.keys().find(|key| key.starts_with("honeyguide.time"));
    ensure!(said.is_none(), "{said:?}");
    Ok(())
}

/// Nanoseconds.
fn time(span: &Span, what: &str) -> Result<u64> {
    let key = format!("honeyguide.time.{what}");
    let text = span.attributes.get(&key).with_context(|| format!("no {key}: {span:?}"))?;
    Ok(text.parse()?)
}
