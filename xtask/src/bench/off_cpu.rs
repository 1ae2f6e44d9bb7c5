//! What it costs to have waits told: two processes that do nothing but wait for each other (`perf bench sched pipe`).

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result};
use honeyguide_tests::{agent::Agent, guard::Guard, proc, scratch::Scratch};
use serde_json::json;

use super::{
    Settings,
    report::{kernel, median, revision},
};
use crate::{paths, process};

const PATIENCE: Duration = Duration::from_secs(120);
/// A round takes some microseconds.
const ROUNDS_A_SECOND: u64 = 100_000;
const SIGINT: i32 = 2;

/// How the agent is started: what it is called here, and its arguments.
const CASES: [(&str, &[&str]); 4] = [
    ("without", &[]),
    ("another process selected", &["--exe", "sleep"]),
    ("both selected", &["--exe", "perf"]),
    ("both selected, every wait told", &["--exe", "perf", "--min-off-cpu", "1us"]),
];

pub(super) fn run(settings: &Settings) -> Result<()> {
    let mut micros = [const { Vec::new() }; CASES.len()];
    let mut agent = [const { Vec::new() }; CASES.len()];
    // The first one pays for cold caches and is nobody's.
    pipe(settings)?;
    for round in 1..=settings.rounds {
        for (case, (name, arguments)) in CASES.iter().enumerate() {
            let (took, cpu) = measure(arguments, settings)?;
            println!("bench: round {round}: {name}: {took:.2} µs a round of two waits");
            micros[case].push(took);
            agent[case].push(cpu);
        }
    }
    let mut figures = Vec::new();
    println!("\nperf bench sched pipe, {} times each; medians", settings.rounds);
    println!("{:>10} {:>10} {:>12} {:>12}", "µs a round", "µs a wait", "waits/s", "agent's CPU");
    let base = median(micros[0].clone());
    for (case, (name, _)) in CASES.iter().enumerate() {
        let (took, cpu) = (median(micros[case].clone()), median(agent[case].clone()));
        let (more, waits) = ((took - base) / 2.0, 2e6 / took);
        println!("{took:>10.2} {more:>+10.2} {waits:>12.0} {:>11.1}%  {name}", 100.0 * cpu);
        figures.push(json!({ "case": name, "round_us": took, "wait_us": more, "agent_cpu": cpu }));
    }
    let report = json!({ "kernel": kernel(), "revision": revision(), "medians": figures });
    let file = paths::target().join("bench/off-cpu.json");
    fs::create_dir_all(paths::target().join("bench"))?;
    fs::write(&file, format!("{report:#}\n")).with_context(|| file.display().to_string())
}

/// Microseconds of a round, and the share of a core that the agent took meanwhile.
fn measure(arguments: &[&str], settings: &Settings) -> Result<(f64, f64)> {
    if arguments.is_empty() {
        return Ok((pipe(settings)?, 0.0));
    }
    let out = Scratch::new("bench-off-cpu")?;
    let mut command = Agent::command()?;
    command.args(["flame", "--off-cpu", "--duration", "10m"]).args(arguments);
    command.arg("-o").arg(out.join("waits.folded"));
    let mut guard = Guard::spawn(command)?;
    guard.wait_for_text("honeyguide: ready", PATIENCE)?;
    let before = proc::exact_cpu_time(guard.pid())?;
    let took = pipe(settings)?;
    let used = proc::exact_cpu_time(guard.pid())?.saturating_sub(before);
    guard.signal(SIGINT);
    // Where nothing waited it says so by its status.
    guard.wait(PATIENCE)?;
    Ok((took, used.as_secs_f64() * 1e6 / (took * rounds(settings) as f64)))
}

fn rounds(settings: &Settings) -> u64 {
    settings.seconds * ROUNDS_A_SECOND
}

/// Microseconds that a round takes.
fn pipe(settings: &Settings) -> Result<f64> {
    let rounds = rounds(settings);
    let mut command = Command::new("perf");
    command.args(["bench", "--format", "simple", "sched", "pipe", "--loop", &rounds.to_string()]);
    let text = process::output(&mut command)?;
    let seconds: f64 = text.trim().parse().with_context(|| format!("perf bench says `{text}`"))?;
    Ok(seconds * 1e6 / rounds as f64)
}
