//! CPU samples of real programs: whole stacks, and the same shares as perf's own unwinder finds.

use std::{process::Command, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    agent::Agent,
    compiled::Compiled,
    flame::{Flame, Recorded, Stacks},
    guard::Guard,
    perf::{CallGraph, Perf},
    postgres::Postgres,
    privilege,
};

/// Percent of the samples.
const COMPLETE: f64 = 99.0;
/// Percentage points between two shares.
const APART: f64 = 2.0;

const SHORT: Duration = Duration::from_secs(2);
/// So many samples that chance alone does not part two shares: of 20,000 the standard error is 0.35 points at most.
const LONG: Duration = Duration::from_secs(11);
const RATE: u32 = 499;
const HIGH_RATE: u32 = 1_999;
/// Another one: two timers of one rate would stay in step.
const PERF_RATE: u32 = 1_873;

fn record(program: &Guard) -> Result<Recorded> {
    let recorded = Flame::start(program.pid(), SHORT, RATE)?.finish()?;
    ensure!(recorded.stacks.total() > 300, "hardly anything was sampled\n{}", recorded.said);
    let complete = recorded.complete()?;
    ensure!(
        complete >= COMPLETE,
        "{complete} % of the stacks are complete\n{}\n{:#?}",
        recorded.said,
        recorded.stacks
    );
    Ok(recorded)
}

/// Every sample of `innermost` came by `path`, from the first function of the program on.
fn ensure_path(stacks: &Stacks, path: &[&str], innermost: &str) -> Result<()> {
    let (all, by_path) = (stacks.passing(&[innermost]), stacks.passing(path));
    ensure!(
        all > 50 && by_path * 100 >= all * 99,
        "{by_path} of {all} samples came by {path:?}\n{stacks:#?}"
    );
    Ok(())
}

/// What `work.c` does, in every mode it has.
fn works(program: &Compiled) -> Result<()> {
    let deep = record(&program.run(&["deep"])?)?;
    let mut path = vec!["main"];
    path.extend(["recurse"; 41]);
    path.push("spin");
    ensure!(deep.stacks.passing(&path) > 50, "41 levels deep is nothing\n{:#?}", deep.stacks);
    // Both functions do a little themselves, before and after they call.
    ensure_path(&deep.stacks, &["main", "beside"], "beside")?;
    ensure!(deep.stacks.passing(&["main", "beside", "spin"]) > 50, "{:#?}", deep.stacks);

    let signal = record(&program.run(&["signal"])?)?;
    let mut path = vec!["main"];
    path.extend(["interrupted"; 21]);
    path.extend(["on_signal", "spin"]);
    ensure!(signal.stacks.passing(&path) > 50, "nothing was sampled below the signal\n{:#?}", signal.stacks);

    let threads = record(&program.run(&["threads"])?)?;
    ensure_path(&threads.stacks, &["worker", "recurse"], "recurse")?;
    ensure!(threads.stacks.passing(&["worker", "recurse", "recurse", "spin"]) > 50, "{:#?}", threads.stacks);
    Ok(())
}

#[test]
fn c_without_frame_pointers() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("profile::c_without_frame_pointers") else { return Ok(()) };
    let program = Compiled::c("gcc", &[])?;
    works(&program)?;
    let plt = record(&program.run(&["plt"])?)?;
    ensure_path(&plt.stacks, &["main", "through_plt"], "through_plt")
}

/// Of the whole host, too, whoever is busy has its table before the first sample that counts.
#[test]
fn every_process() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("profile::every_process") else { return Ok(()) };
    let program = Compiled::c("gcc", &[])?;
    let _running = program.run(&["deep"])?;
    let recorded = Flame::start_all(SHORT, RATE)?.finish()?;
    // Folded stacks of several processes begin with the process's name.
    let mut own = recorded.stacks;
    own.stacks.retain(|(stack, _)| stack.iter().any(|name| name == "recurse" || name == "spin"));
    ensure!(own.total() > 300, "hardly anything was sampled\n{}\n{own:#?}", recorded.said);
    let cut = own.passing(&["[incomplete]"]);
    ensure!(cut == 0, "{cut} stacks of {} are not whole\n{}\n{own:#?}", own.total(), recorded.said);
    ensure_path(&own, &["main", "recurse"], "recurse")
}

#[test]
fn c_linked_statically() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("profile::c_linked_statically") else { return Ok(()) };
    works(&Compiled::c("gcc", &["-static", "-DNO_DLOPEN"])?)?;
    works(&Compiled::c("gcc", &["-static-pie", "-DNO_DLOPEN"])?)
}

/// musl has no unwind information, so its frames are read off its code: those below `main` and of its threads too.
#[test]
fn c_on_musl() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("profile::c_on_musl") else { return Ok(()) };
    for flags in [&["-DNO_DLOPEN"][..], &["-DNO_DLOPEN", "-static"]] {
        let program = Compiled::c("musl-gcc", flags)?;
        works(&program)?;
        let plt = record(&program.run(&["plt"])?)?;
        ensure_path(&plt.stacks, &["main", "through_plt"], "through_plt")?;
        let stripped = program.strip()?;
        record(&stripped.run(&["deep"])?)?;
        record(&stripped.run(&["signal"])?)?;
    }
    Ok(())
}

#[test]
fn a_library_that_was_loaded_later_and_deleted() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("profile::a_library_that_was_loaded_later_and_deleted") else {
        return Ok(());
    };
    let program = Compiled::c("gcc", &[])?;
    let plugin = program.plugin()?;
    let running = program.run(&["plugin", &plugin.to_string_lossy()])?;
    ensure!(!plugin.exists(), "the program has not deleted it");
    let recorded = record(&running)?;
    ensure_path(&recorded.stacks, &["main", "plugged", "below", "below", "spin"], "below")
}

#[test]
fn exceptions() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("profile::exceptions") else { return Ok(()) };
    let recorded = record(&Compiled::cpp()?.run(&[])?)?;
    ensure_path(&recorded.stacks, &["main", "catcher"], "catcher")?;
    ensure!(
        recorded.stacks.passing(&["main", "catcher", "thrower", "thrower", "Unwind_RaiseException"]) > 20
    );
    Ok(())
}

#[test]
fn rust_release() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("profile::rust_release") else { return Ok(()) };
    let recorded = record(&Compiled::rust()?.run(&[])?)?;
    ensure!(recorded.stacks.passing(&["work", "hashed"]) > 50, "{:#?}", recorded.stacks);
    Ok(())
}

#[test]
fn go() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("profile::go") else { return Ok(()) };
    let recorded = record(&Compiled::go(false)?.run(&[])?)?;
    ensure!(
        recorded.stacks.passing(&["main.recurse", "main.recurse", "main.spin"]) > 50,
        "{:#?}",
        recorded.stacks
    );
    record(&Compiled::go(true)?.run(&[])?)?;
    Ok(())
}

/// Samples a program by both at once, and compares the shares of `functions`.
/// Two recordings are not of the very same moments, and a busy machine parts them now and then. What is wrong is so again.
fn compare(pid: u32, others: &[u32], call_graph: CallGraph, functions: &[&str]) -> Result<()> {
    once(pid, others, call_graph, functions).or_else(|first| {
        once(pid, others, call_graph, functions).with_context(|| format!("twice; first {first:#}"))
    })
}

fn once(pid: u32, others: &[u32], call_graph: CallGraph, functions: &[&str]) -> Result<()> {
    // What one sampler takes in the other's interrupt counts for the function below it, and for a deep stack it is longest. Go's
    // shares are small enough to show it. At lower rates it is what chance makes of two timers: no bias, but more of it.
    let (our_rate, their_rate, rounds) = match call_graph {
        CallGraph::Dwarf => (HIGH_RATE, PERF_RATE, 1),
        CallGraph::FramePointers => (HIGH_RATE / 4, PERF_RATE / 4, 4),
    };
    let pids: Vec<u32> = [pid].iter().chain(others).copied().collect();
    let mut pairs = Vec::new();
    for _ in 0..rounds {
        let flame = Flame::start(pid, LONG, our_rate)?;
        let perf = Perf::start(&pids, call_graph, LONG, their_rate)?;
        let (ours, theirs) = (flame.finish()?, perf.finish()?);
        ensure!(ours.complete()? >= COMPLETE, "{}", ours.said);
        pairs.push((ours, theirs));
    }
    let mean = |shares: Vec<f64>| shares.iter().sum::<f64>() / f64::from(rounds);
    let mut compared = 0;
    for function in functions {
        let our = mean(pairs.iter().map(|(ours, _)| ours.stacks.share(function)).collect());
        let their = mean(pairs.iter().map(|(_, theirs)| theirs.share(function)).collect());
        let said = &pairs[0].0.said;
        ensure!((our - their).abs() <= APART, "{function}: {our:.2} %, perf {their:.2} %\n{said}");
        compared += usize::from(their > 1.0);
    }
    let theirs = &pairs[0].1;
    ensure!(compared >= functions.len().min(3), "the functions hardly ran: {:?}", theirs.functions());
    Ok(())
}

#[test]
fn shares_are_perfs() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("profile::shares_are_perfs") else { return Ok(()) };
    let c = Compiled::c("gcc", &[])?;
    compare(c.run(&["deep"])?.pid(), &[], CallGraph::Dwarf, &["recurse", "beside", "spin"])?;
    compare(
        Compiled::cpp()?.run(&[])?.pid(),
        &[],
        CallGraph::Dwarf,
        &["catcher", "thrower", "~Held", "Unwind_RaiseException"],
    )?;
    compare(
        Compiled::rust()?.run(&[])?.pid(),
        &[],
        CallGraph::Dwarf,
        &["hashed", "sorted", "panicking", "realloc"],
    )?;
    compare(
        Compiled::go(false)?.run(&[])?.pid(),
        &[],
        CallGraph::FramePointers,
        &["main.spin", "main.recurse", "main.allocate", "sort.Strings"],
    )
}

#[test]
fn postgres_under_load() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("profile::postgres_under_load") else { return Ok(()) };
    let postgres = Postgres::start()?;
    let script = honeyguide_tests::scratch::Scratch::new("pgbench")?;
    std::fs::write(
        script.join("load.sql"),
        "select sum(length(md5(i::text))), count(distinct i % 97) from generate_series(1, 5000) i;\n",
    )?;
    let mut pgbench = postgres.client("pgbench", postgres.socket())?;
    pgbench.args(["--no-vacuum", "--client", "3", "--time", "60", "--file"]).arg(script.join("load.sql"));
    let _load = Guard::spawn(pgbench)?;
    thread::sleep(Duration::from_secs(1));
    let children = Command::new("pgrep").args(["-P", &postgres.pid().to_string()]).output()?;
    let backends: Vec<u32> =
        String::from_utf8_lossy(&children.stdout).lines().filter_map(|line| line.parse().ok()).collect();
    ensure!(backends.len() >= 3, "pgbench has no connections");
    // What the stripped server still names: the functions that its extensions may call.
    let functions = ["PostgresMain", "standard_ExecutorRun", "md5_text", "tuplesort_performsort"];
    compare(postgres.pid(), &backends, CallGraph::Dwarf, &functions)
}

/// A process that comes after the sampler is unwound within a second.
#[test]
fn a_new_process_is_known_within_a_second() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("profile::a_new_process_is_known_within_a_second") else {
        return Ok(());
    };
    let program = Compiled::c("gcc", &[])?;
    let mut shell = Command::new("sh");
    shell.args(["-c", "sleep 1.5; echo ready; exec timeout 60 \"$0\" deep"]).arg(program.path());
    let running = Guard::spawn(shell)?;
    let flame = Flame::start(running.pid(), Duration::from_secs(8), RATE)?;
    let recorded = flame.finish()?;
    let incomplete = 100.0 - recorded.complete()?;
    // Of some 6.5 seconds' samples those of less than one.
    ensure!(incomplete < 15.0, "{}", recorded.said);
    ensure!(recorded.stacks.passing(&["main", "recurse", "spin"]) > 1_000, "{}", recorded.said);
    Ok(())
}

#[test]
fn rates_out_of_range_are_refused() -> Result<()> {
    for rate in ["0", "100000", "-1", "many"] {
        let output = Agent::command()?
            .args(["flame", "--pid", "1", "-o", "/tmp/never.folded", &format!("--hz={rate}")])
            .output()
            .context("the agent does not start")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(2), "{rate}: {}\n{said}", output.status);
        ensure!(rate == "many" || said.contains("from 1 to 2000"), "{said}");
    }
    Ok(())
}
