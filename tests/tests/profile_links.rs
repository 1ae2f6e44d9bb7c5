//! CPU samples belong to the spans of the requests that threads work for, and to no others.

use std::{collections::HashMap, fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    apps::{self, App},
    capture::{Capture, Span},
    client::{self, Address, Request},
    paths,
    postgres::Postgres,
    privilege, proc,
    python::{self, Python},
};
use serde_json::Value;

const REQUESTS: usize = 96;
const CONNECTIONS: usize = 16;
/// Of each request, in milliseconds.
const COMPUTED: u64 = 50;
/// Requests that ask a database, and how many at once.
const REPORTS: usize = 24;
const CLERKS: usize = 4;
/// The unwind tables and the runtime are found in this time.
const ATTACH: std::time::Duration = std::time::Duration::from_secs(3);

#[test]
fn threads_of_python() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("profile_links::threads_of_python") else { return Ok(()) };
    let server = Python::busy_server()?;
    check(server.pid(), &server.address())
}

#[test]
fn goroutines() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("profile_links::goroutines") else { return Ok(()) };
    let server = App::start(Command::new(apps::go("go_spin", "spin")?))?;
    check(server.pid(), &server.address())
}

#[test]
fn the_one_thread_of_node() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("profile_links::the_one_thread_of_node") else { return Ok(()) };
    let server = App::node_script("spin_server.js", &[])?;
    check(server.pid(), &server.address())
}

/// What a database does for a request is in the request's trace, and so are the samples of the process that does it.
#[test]
fn a_database_for_a_servers_requests() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("profile_links::a_database_for_a_servers_requests") else {
        return Ok(());
    };
    let postgres = Postgres::start()?;
    let mut command = Command::new(python::environment()?.join("bin/python"));
    command.arg(paths::app("slow_query.py"));
    postgres.connect(&mut command, Path::new("127.0.0.1"));
    let server = App::start(command)?;
    let pids = [server.pid(), postgres.pid()].map(|pid| pid.to_string());
    // What the scheduler says of a statement's time is exact, whatever else runs on the machine.
    let arguments =
        ["--pid", &pids[0], "--pid", &pids[1], "--print", "none", "--profile=199", "--thread-times"];
    let agent = Agent::run(arguments)?;
    std::thread::sleep(ATTACH);
    let requests: Vec<_> = (0..REPORTS).map(|number| Request::get(format!("/report/{number}"))).collect();
    for exchange in client::send_all(&server.address(), &requests, CLERKS)? {
        ensure!(exchange.status == 200, "the server itself: {exchange:?}");
    }
    let out = agent.out().to_owned();
    let (capture, profiles) = agent.stop_with(|said| Ok((Capture::read(&out, said)?, read(&out)?)))?;

    let servers = capture.servers();
    let reports: Vec<&Span> =
        servers.iter().copied().filter(|span| span.path().starts_with("/report/")).collect();
    ensure!(reports.len() == REPORTS, "{} reports\n{}", reports.len(), capture.said);
    let (mut sampled, mut computed) = (0, 0);
    for report in reports {
        let of_trace =
            |span: &&&Span| span.trace_id == report.trace_id && !span.get("db.system.name").is_empty();
        let queries: Vec<&&Span> = servers.iter().filter(of_trace).collect();
        let [query] = queries[..] else { anyhow::bail!("{} statements of {report:?}", queries.len()) };
        let linked = profiles.samples.iter().filter(|sample| {
            sample.link.as_ref().is_some_and(|(trace, id)| *trace == report.trace_id && *id == query.span_id)
        });
        let points: Vec<(u64, u64)> = linked.flat_map(|sample| sample.points.iter().copied()).collect();
        let within = points.iter().all(|(time, _)| (query.start..=query.end).contains(time));
        ensure!(within, "samples outside of {query:?}: {points:?}");
        let sum: u64 = points.iter().map(|(_, value)| value).sum();
        let on_cpu: u64 =
            query.get("honeyguide.time.on_cpu").parse().with_context(|| format!("{query:?}"))?;
        // Some six samples each.
        ensure!(sum * 4 > on_cpu && sum < on_cpu * 3, "{sum} ns of {on_cpu} are samples of {query:?}");
        sampled += sum;
        computed += on_cpu;
    }
    ensure!(
        sampled.abs_diff(computed) * 4 < computed,
        "{sampled} ns of {computed} are samples\n{}",
        capture.said
    );
    Ok(())
}

/// Requests that compute, sixteen at once: their samples add up to what the process computed, and each lies within the
/// span it is linked to.
fn check(pid: u32, address: &Address) -> Result<()> {
    let agent = Agent::run(["--pid", &pid.to_string(), "--print", "none", "--profile=199"])?;
    std::thread::sleep(ATTACH);
    let before = proc::cpu_time(pid)?;
    let requests = vec![Request::get(format!("/compute/{COMPUTED}")); REQUESTS];
    for exchange in client::send_all(address, &requests, CONNECTIONS)? {
        ensure!(exchange.status == 200, "the server itself: {exchange:?}");
    }
    let used = u64::try_from((proc::cpu_time(pid)? - before).as_nanos())?;
    let out = agent.out().to_owned();
    // Read before the directory goes with the agent.
    let (capture, profiles) = agent.stop_with(|said| Ok((Capture::read(&out, said)?, read(&out)?)))?;

    let spans: HashMap<&str, &Span> =
        capture.servers().into_iter().map(|span| (span.span_id.as_str(), span)).collect();
    ensure!(spans.len() == REQUESTS, "{} spans\n{}", spans.len(), capture.said);
    let mut linked: HashMap<&str, u64> = HashMap::new();
    for sample in &profiles.samples {
        let Some((trace, id)) = &sample.link else { continue };
        let span =
            spans.get(id.as_str()).with_context(|| format!("a link to no span of this server: {id}"))?;
        ensure!(span.trace_id == *trace, "{span:?} is not in {trace}");
        ensure!(sample.route.as_deref() == Some(span.get("http.route")), "{:?}: {span:?}", sample.route);
        for &(time, value) in &sample.points {
            ensure!((span.start..=span.end).contains(&time), "{time} is outside of {span:?}");
            *linked.entry(span.span_id.as_str()).or_default() += value;
        }
    }
    let sum: u64 = linked.values().sum();
    ensure!(sum.abs_diff(used) < used / 10, "{sum} of {used} ns are linked to {} spans", linked.len());
    ensure!(linked.len() == REQUESTS, "only {} spans have samples", linked.len());
    Ok(())
}

struct Profiles {
    samples: Vec<Sample>,
}

struct Sample {
    link: Option<(String, String)>,
    route: Option<String>,
    points: Vec<(u64, u64)>,
}

/// What the file exporter wrote.
fn read(out: &Path) -> Result<Profiles> {
    let path = out.join("profiles.jsonl");
    let mut samples = Vec::new();
    for line in fs::read_to_string(&path)?.lines() {
        let data: Value = serde_json::from_str(line)?;
        let tables = &data["dictionary"];
        let profiles =
            list(&data, "resourceProfiles").iter().flat_map(|resource| list(resource, "scopeProfiles"));
        for sample in
            profiles.flat_map(|scope| list(scope, "profiles")).flat_map(|profile| list(profile, "samples"))
        {
            let link = &tables["linkTable"][index(&sample["linkIndex"])];
            let id = |key: &str| link[key].as_str().map(str::to_owned);
            let attributes =
                list(sample, "attributeIndices").iter().map(|at| &tables["attributeTable"][index(at)]);
            let route = attributes
                .filter(|attribute| tables["stringTable"][index(&attribute["keyStrindex"])] == "http.route")
                .find_map(|attribute| attribute["value"]["stringValue"].as_str().map(str::to_owned));
            let number = |value: &Value| value.as_str().and_then(|text| text.parse().ok()).unwrap_or(0_u64);
            let times = list(sample, "timestampsUnixNano").iter().map(number);
            samples.push(Sample {
                link: id("traceId").zip(id("spanId")),
                route,
                points: times.zip(list(sample, "values").iter().map(number)).collect(),
            });
        }
    }
    Ok(Profiles { samples })
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn index(value: &Value) -> usize {
    value.as_u64().and_then(|index| usize::try_from(index).ok()).unwrap_or(0)
}
