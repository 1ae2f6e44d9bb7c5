//! What it costs to have waits told: two threads that do nothing but wait for each other.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use honeyguide_tests::{agent::Agent, compiled::Compiled, guard::Guard, proc, scratch::Scratch};
use serde_json::json;

use super::{
    Settings,
    report::{kernel, revision},
};
use crate::paths;

const PATIENCE: Duration = Duration::from_secs(120);
/// A round takes some microseconds.
const ROUNDS_A_SECOND: u64 = 100_000;
/// Calls above each other, besides those of the C library.
const DEPTHS: [u32; 2] = [2, 20];
const SIGUSR1: i32 = 10;
const SIGINT: i32 = 2;

/// Who is recorded, from which duration on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Without,
    Another,
    Both,
    Every,
}

const CASES: [(Case, &str); 4] = [
    (Case::Without, "without"),
    (Case::Another, "another process"),
    (Case::Both, "waits of 1 ms and more"),
    (Case::Every, "every wait"),
];

pub(super) fn run(settings: &Settings) -> Result<()> {
    let program = Compiled::waiting("pass.c")?;
    let mut figures = Vec::new();
    for depth in DEPTHS {
        let mut took = [const { Vec::new() }; CASES.len()];
        let mut used = [const { Vec::new() }; CASES.len()];
        // The first one pays for cold caches and is nobody's.
        measure(&program, depth, Case::Without, settings)?;
        for round in 1..=settings.rounds {
            for (at, (case, name)) in CASES.into_iter().enumerate() {
                let (micros, share) = measure(&program, depth, case, settings)?;
                println!("bench: round {round}: {depth} calls deep, {name}: {micros:.2} µs for two waits");
                took[at].push(micros);
                used[at].push(share);
            }
        }
        println!("\n{depth} calls deep, the least of {} times each", settings.rounds);
        println!("{:>13} {:>10} {:>10} {:>12}", "µs, two waits", "µs a wait", "waits/s", "agent's CPU");
        let base = least(&took[0]);
        for (at, (_, name)) in CASES.into_iter().enumerate() {
            let (micros, share) = (least(&took[at]), least(&used[at]));
            let (more, waits, share) = ((micros - base) / 2.0, 2e6 / micros, 100.0 * share);
            println!("{micros:>13.2} {more:>+10.2} {waits:>10.0} {share:>11.1}%  {name}");
            figures.push(json!({ "depth": depth, "case": name, "round_us": micros, "wait_us": more }));
        }
    }
    let report = json!({ "kernel": kernel(), "revision": revision(), "least": figures });
    let file = paths::target().join("bench/off-cpu.json");
    fs::create_dir_all(paths::target().join("bench"))?;
    fs::write(&file, format!("{report:#}\n")).with_context(|| file.display().to_string())
}

/// Whatever else runs on the machine adds to such short times, and takes nothing away.
fn least(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Microseconds of a round of two waits, and the share of a core that the agent took meanwhile.
fn measure(program: &Compiled, depth: u32, case: Case, settings: &Settings) -> Result<(f64, f64)> {
    let rounds = settings.seconds * ROUNDS_A_SECOND;
    let mut load = program.run(&[&rounds.to_string(), &depth.to_string()])?;
    let other = program.run(&["1", "1"])?;
    let out = Scratch::new("bench-off-cpu")?;
    let recorded = if case == Case::Another { &other } else { &load };
    let mut agent = None;
    if case != Case::Without {
        let mut command = Agent::command()?;
        command.args(["flame", "--off-cpu", "--duration", "10m", "--pid", &recorded.pid().to_string()]);
        if case == Case::Every {
            command.args(["--min-off-cpu", "1us"]);
        }
        command.arg("-o").arg(out.join("waits.folded"));
        let mut guard = Guard::spawn(command)?;
        guard.wait_for_text("honeyguide: ready", PATIENCE)?;
        let before = proc::exact_cpu_time(guard.pid())?;
        agent = Some((guard, before));
    }
    load.signal(SIGUSR1);
    load.wait_for_text(" a round", PATIENCE)?;
    let text = load.log();
    let nanoseconds = text.lines().find_map(|line| line.strip_suffix(" a round")?.parse::<f64>().ok());
    let micros = nanoseconds.with_context(|| format!("it says `{text}`"))? / 1e3;
    let Some((mut guard, before)) = agent else { return Ok((micros, 0.0)) };
    let used = proc::exact_cpu_time(guard.pid())?.saturating_sub(before);
    let share = used.as_secs_f64() * 1e6 / (micros * rounds as f64);
    guard.signal(SIGINT);
    // Where nothing waited it says so by its status.
    guard.wait(PATIENCE)?;
    Ok((micros, share))
}
