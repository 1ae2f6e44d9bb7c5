//! Time off the CPU: what threads wait for, by function, is as long as they say themselves.

use std::{collections::HashMap, fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    capture::Capture,
    client::{self, Request},
    compiled::Compiled,
    flame::{Flame, Typed},
    guard::Guard,
    interpreters, privilege,
    python::Python,
    scratch::Scratch,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
/// The unwind tables and the runtime are found in this time.
const ATTACH: Duration = Duration::from_secs(3);
const ROUNDS: usize = 50;
/// In milliseconds, and a tenth of it in `dozing`.
const PAUSE: u64 = 20;
/// Percent, of what a function waits for.
const APART: u64 = 3;
const MILLISECOND: u64 = 1_000_000;
/// The kernel's function that a sleeping thread is in.
const SLEEP: &str = "hrtimer_nanosleep";

/// What a program waited for, and what was recorded of it.
struct Recorded {
    /// In nanoseconds by function, as the program says.
    truth: HashMap<String, u64>,
    waits: Vec<Typed>,
    said: String,
}

impl Recorded {
    /// Lets `program` wait while it is recorded.
    fn of(mut program: Guard, arguments: &[&str]) -> Result<Self> {
        let flame = Flame::start_off_cpu(program.pid(), arguments)?;
        program.signal(libc::SIGUSR1);
        program.wait_for_text("done", PATIENCE)?;
        let (waits, said) = flame.stop().finish_typed()?;
        let log = program.log();
        let told = log.lines().filter_map(|line| line.split_once(' '));
        let truth = told.filter_map(|(name, sum)| Some((name.to_owned(), sum.parse().ok()?))).collect();
        Ok(Self { truth, waits, said })
    }

    fn waits(&self, function: &str) -> usize {
        self.waits.iter().filter(|wait| wait.has(function)).map(|wait| wait.count).sum()
    }

    fn ensure_near(&self, function: &str) -> Result<()> {
        let truth = *self.truth.get(function).with_context(|| format!("nothing is said of {function}"))?;
        let waits = self.waits.iter().filter(|wait| wait.has(function));
        let found: u64 = waits.map(|wait| wait.nanoseconds).sum();
        ensure!(
            found.abs_diff(truth) <= truth * APART / 100,
            "{function}: {found} ns, which says {truth}\n{}\n{:#?}",
            self.said,
            self.waits
        );
        Ok(())
    }
}

fn run() -> Result<Guard> {
    Compiled::waiting("waits.c")?.run(&[&ROUNDS.to_string(), &(PAUSE * 1_000).to_string()])
}

#[test]
fn sleeping_waiting_for_a_lock_and_reading() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("off_cpu::sleeping_waiting_for_a_lock_and_reading") else {
        return Ok(());
    };
    let recorded = Recorded::of(run()?, &[])?;
    for (function, path) in [
        ("asleep", ["start_thread", "sleeper", "asleep", "rest", SLEEP].as_slice()),
        ("dozing", &["start_thread", "dozer", "dozing", "rest", SLEEP]),
        ("locked_out", &["start_thread", "contender", "locked_out", "do_futex"]),
        ("reading", &["start_thread", "reader", "reading", "ksys_read"]),
    ] {
        recorded.ensure_near(function)?;
        // One of the short ones may pass while the thread is not off its CPU yet: the machine is busy.
        let waits = recorded.waits(function);
        let whole = waits == ROUNDS || (function == "dozing" && waits < ROUNDS);
        ensure!(whole, "{waits} waits in {function}\n{:#?}", recorded.waits);
        for wait in recorded.waits.iter().filter(|wait| wait.has(function)) {
            let mut frames = wait.frames.iter();
            let by_path = path.iter().all(|name| frames.any(|frame| frame.function == *name));
            // A switch to the thread that was not seen: told at the next one, without the kernel's part of then.
            let late = wait.count <= 2 && wait.has(path[2]) && !by_path;
            ensure!(by_path || late, "{function} came another way than by {path:?}: {wait:#?}");
        }
    }
    // It spun all the while, and never waited.
    ensure!(recorded.waits("spinning") == 0, "{:#?}", recorded.waits);
    let measure = ("off_cpu".to_owned(), "nanoseconds".to_owned());
    ensure!(recorded.waits.iter().all(|wait| wait.measure == measure), "{:#?}", recorded.waits);
    ensure!(recorded.said.contains(" 100.0 % with complete stacks"), "{}", recorded.said);
    let kinds = recorded.said.lines().find(|line| line.contains("by kind of wait: ")).unwrap_or_default();
    ensure!(["sleep ", "lock ", "other "].iter().all(|kind| kinds.contains(kind)), "{}", recorded.said);
    Ok(())
}

#[test]
fn shorter_waits_are_left_out() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("off_cpu::shorter_waits_are_left_out") else { return Ok(()) };
    let recorded = Recorded::of(run()?, &["--min-off-cpu", "10ms"])?;
    recorded.ensure_near("asleep")?;
    let counts = ["asleep", "locked_out", "reading", "dozing"].map(|function| recorded.waits(function));
    ensure!(counts == [ROUNDS, ROUNDS, ROUNDS, 0], "{counts:?}\n{:#?}", recorded.waits);
    let short = recorded.waits.iter().find(|wait| wait.nanoseconds < 10 * MILLISECOND * wait.count as u64);
    ensure!(short.is_none(), "{short:#?}");
    Ok(())
}

#[test]
fn functions_of_python() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("off_cpu::functions_of_python") else { return Ok(()) };
    for interpreter in interpreters::all()? {
        let interpreter = interpreter?;
        let mut command = interpreter.command("profile/waits.py")?;
        command.args([ROUNDS.to_string(), PAUSE.to_string()]);
        let mut program = Guard::spawn(command)?;
        program.wait_for_text("ready", PATIENCE)?;
        let recorded = Recorded::of(program, &[])?;
        recorded.ensure_near("resting").with_context(|| interpreter.to_string())?;
        let mut late = 0;
        for wait in recorded.waits.iter().filter(|wait| wait.has("resting")) {
            let frame = wait.frames.iter().find(|frame| frame.function == "resting").context("none")?;
            ensure!(frame.kind == "cpython" && frame.file.ends_with("waits.py"), "{wait:#?}");
            ensure!(wait.has("repeat"), "{wait:#?}");
            let kernel = wait.frames.iter().any(|frame| frame.kind == "kernel");
            // As above: a switch to the thread that was not seen.
            late += if kernel { 0 } else { wait.count };
            ensure!(!kernel || wait.has("do_syscall_64"), "{wait:#?}");
        }
        ensure!(late <= 2, "{late} waits without the kernel's part: {:#?}", recorded.waits);
    }
    Ok(())
}

/// A thread that never goes on is told of when the recording ends.
#[test]
fn what_is_blocked_still() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("off_cpu::what_is_blocked_still") else { return Ok(()) };
    // One round of ten minutes.
    let mut program = Compiled::waiting("waits.c")?.run(&["1", "600000000"])?;
    let flame = Flame::start_off_cpu(program.pid(), &[])?;
    program.signal(libc::SIGUSR1);
    std::thread::sleep(Duration::from_secs(2));
    let (waits, said) = flame.stop().finish_typed()?;
    ensure!(program.ended()?.is_none(), "{}", program.log());
    for function in ["asleep", "dozing", "locked_out", "reading"] {
        let waited: Vec<_> = waits.iter().filter(|wait| wait.has(function)).collect();
        ensure!(waited.iter().map(|wait| wait.count).sum::<usize>() == 1, "{function}: {waits:#?}\n{said}");
        let nanoseconds = waited[0].nanoseconds;
        // From the first signal to the agent's end, which takes a moment.
        let length = 1_900 * MILLISECOND..4_000 * MILLISECOND;
        ensure!(length.contains(&nanoseconds), "{function}: {nanoseconds} ns\n{said}");
    }
    Ok(())
}

/// Of requests that sleep and others that compute: waits of the one kind alone, each linked to the span it lies in.
#[test]
fn of_requests() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("off_cpu::of_requests") else { return Ok(()) };
    let server = Python::busy_server()?;
    let scratch = Scratch::new("off-cpu")?;
    let config = scratch.join("honeyguide.yaml");
    fs::write(&config, "profile: { enabled: true, off_cpu: true, min_off_cpu: 2ms }\n")?;
    let pid = server.pid().to_string();
    let agent = Agent::run(["--config", &config.to_string_lossy(), "--pid", &pid, "--print", "none"])?;
    let route = Flame::start_off_cpu(server.pid(), &["--route", "/sleep/*"])?;
    std::thread::sleep(ATTACH);
    let paths = (0..40).map(|n| if n % 2 == 0 { "/compute/20" } else { "/sleep/30" });
    let requests: Vec<Request> = paths.map(Request::get).collect();
    for exchange in client::send_all(&server.address(), &requests, 4)? {
        ensure!(exchange.status == 200, "the server itself: {exchange:?}");
    }

    let (waits, said) = route.stop().finish_typed()?;
    // Others keep the interpreter's lock from it.
    let asleep = waits.iter().filter(|wait| wait.has(SLEEP));
    let asleep: u64 = asleep.map(|wait| wait.nanoseconds).sum();
    ensure!(asleep.abs_diff(600 * MILLISECOND) < 60 * MILLISECOND, "{asleep} ns\n{said}");
    let handles =
        |wait: &Typed| wait.frames.iter().any(|frame| frame.function.ends_with("handle_one_request"));
    ensure!(waits.iter().all(handles), "{waits:#?}");

    let out = agent.out().to_owned();
    let (capture, linked) = agent.stop_with(|said| Ok((Capture::read(&out, said)?, linked(&out)?)))?;
    for span in capture.servers() {
        let slept = linked.get(&span.span_id).copied().unwrap_or(0);
        // On a busy machine a part of the pause passes before the thread is off the CPU.
        let allowed = if span.path() == "/sleep/30" { 20..=33 } else { 0..=0 };
        let allowed = allowed.start() * MILLISECOND..=allowed.end() * MILLISECOND;
        ensure!(allowed.contains(&slept), "asleep for {slept} ns: {span:?}\n{}", capture.said);
    }
    ensure!(capture.servers().len() == 40, "{} spans", capture.servers().len());
    Ok(())
}

/// Nanoseconds asleep by span, of profiles that tell of time on it as well.
fn linked(out: &Path) -> Result<HashMap<String, u64>> {
    let path = out.join("profiles.jsonl");
    let (mut sums, mut kinds) = (HashMap::new(), HashMap::new());
    for line in fs::read_to_string(&path)?.lines() {
        let data: Value = serde_json::from_str(line)?;
        let tables = &data["dictionary"];
        let name = |function: &Value| &tables["stringTable"][index(&function["nameStrindex"])];
        let sleeps = |location: &Value| {
            list(&location["lines"])
                .iter()
                .any(|line| name(&tables["functionTable"][index(&line["functionIndex"])]) == SLEEP)
        };
        let asleep = |sample: &Value| {
            let stack = &tables["stackTable"][index(&sample["stackIndex"])];
            list(&stack["locationIndices"]).iter().any(|at| sleeps(&tables["locationTable"][index(at)]))
        };
        let resources = list(&data["resourceProfiles"]).iter();
        let scopes = resources.flat_map(|resource| list(&resource["scopeProfiles"]));
        for profile in scopes.flat_map(|scope| list(&scope["profiles"])) {
            let kind = &tables["stringTable"][index(&profile["sampleType"]["typeStrindex"])];
            *kinds.entry(kind.as_str().unwrap_or_default().to_owned()).or_insert(0) += 1;
            for sample in
                list(&profile["samples"]).iter().filter(|sample| kind == "off_cpu" && asleep(sample))
            {
                let link = &tables["linkTable"][index(&sample["linkIndex"])];
                let values =
                    list(&sample["values"]).iter().filter_map(|value| value.as_str()?.parse::<u64>().ok());
                let sum: u64 = values.sum();
                *sums.entry(link["spanId"].as_str().unwrap_or_default().to_owned()).or_default() += sum;
            }
        }
    }
    ensure!(kinds.contains_key("cpu") && kinds.contains_key("off_cpu") && kinds.len() == 2, "{kinds:?}");
    Ok(sums)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn index(value: &Value) -> usize {
    value.as_u64().and_then(|index| usize::try_from(index).ok()).unwrap_or(0)
}

#[test]
fn thresholds_out_of_range_are_refused() -> Result<()> {
    let flame = |arguments: &[&str]| -> Result<(Option<i32>, String)> {
        let mut command = Agent::command()?;
        command.args(["flame", "--pid", "1", "-o", "/tmp/never.folded"]).args(arguments);
        let output = command.output().context("the agent does not start")?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    for threshold in ["0", "0us", "999", "2m", "soon"] {
        let (code, said) = flame(&["--off-cpu", "--min-off-cpu", threshold])?;
        ensure!(code == Some(2) && said.contains("from 1us to 1m"), "{threshold}: {code:?}\n{said}");
    }
    for arguments in [&["--min-off-cpu", "1ms"][..], &["--off-cpu", "--hz", "99"]] {
        let (code, said) = flame(arguments)?;
        ensure!(code == Some(2), "{arguments:?}: {code:?}\n{said}");
    }
    Ok(())
}
