//! CPython's functions in a profile, against py-spy on the same process at the same time.
#![allow(clippy::print_stderr)] // How far the shares differ is for whoever reads the log.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    flame::{Flame, Frame, Stacks, Typed},
    guard::Guard,
    interpreters::{self, Interpreter},
    privilege,
    pyspy::PySpy,
};

const DURATION: Duration = Duration::from_secs(20);
const RATE: u32 = 499;
/// Another one: two timers of one rate would stay in step.
const SPY_RATE: u32 = 250;
const PATIENCE: Duration = Duration::from_secs(60);
/// Percentage points between two shares.
const APART: f64 = 3.0;
const TOP: usize = 10;

fn start(interpreter: &Interpreter, arguments: &[&str]) -> Result<Guard> {
    let mut command = interpreter.command("profile/mixed.py")?;
    command.args(arguments);
    let mut program = Guard::spawn(command)?;
    program.wait_for_text("ready", PATIENCE)?;
    Ok(program)
}

#[test]
fn functions_have_the_shares_that_py_spy_sees() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("profile_python::functions_have_the_shares_that_py_spy_sees")
    else {
        return Ok(());
    };
    for interpreter in interpreters::all()? {
        let interpreter = interpreter?;
        // Two recordings are not of the very same moments, and a busy machine parts them now and then. What is wrong
        // is so again.
        let again = |first: anyhow::Error| compare(&interpreter).context(format!("twice; first {first:#}"));
        compare(&interpreter).or_else(again).with_context(|| interpreter.to_string())?;
    }
    Ok(())
}

fn compare(interpreter: &Interpreter) -> Result<()> {
    let program = start(interpreter, &[])?;
    // Later than the agent's, since that needs a moment to begin.
    let flame = Flame::start_typed(program.pid(), DURATION, RATE)?;
    let spy = PySpy::start(program.pid(), DURATION, SPY_RATE)?;
    let spied = spy.finish()?;
    let (samples, said) = flame.finish_typed()?;

    // Other threads may hold the interpreter's lock and not run, or run and not hold it.
    let ours: Vec<(Vec<Place>, u64)> = samples
        .iter()
        .map(|Typed { frames, nanoseconds, .. }| {
            (frames.iter().filter_map(place).collect::<Vec<Place>>(), *nanoseconds)
        })
        .filter(|(frames, _)| of_main(frames))
        .collect();
    let theirs: Vec<(Vec<Place>, u64)> = spied
        .into_iter()
        .map(|stack| {
            (
                stack.frames.into_iter().map(|f| (short(&f.function), f.line)).collect::<Vec<Place>>(),
                stack.count,
            )
        })
        .filter(|(frames, _)| of_main(frames))
        .collect();
    let (mut compared, mut farthest) = (0, (0.0_f64, String::new()));
    for kind in [Kind::SelfByFunction, Kind::SelfByLine, Kind::Total] {
        let (our, their) = (shares(&ours, kind), shares(&theirs, kind));
        let mut top: Vec<_> = their.iter().collect();
        top.sort_by(|a, b| b.1.total_cmp(a.1));
        for (key, share) in top.into_iter().take(TOP) {
            let own = our.get(key).copied().unwrap_or(0.0);
            let apart = (own - share).abs();
            ensure!(
                apart <= APART,
                "{kind:?} {key:?}: {own:.1} % here, {share:.1} % there\n{our:#?}\n{their:#?}\n{said}"
            );
            compared += 1;
            if apart > farthest.0 {
                farthest = (apart, format!("{kind:?} {key:?} {own:.1} % and {share:.1} %"));
            }
        }
    }
    eprintln!(
        "{}: {compared} shares differ by {:.2} points at most: {}",
        interpreter, farthest.0, farthest.1
    );
    ensure!(compared == 3 * TOP, "only {compared} shares are known");
    ensure_shape(&samples, &said)
}

/// What the frames say of themselves, and the order in which they are mixed.
fn ensure_shape(samples: &[Typed], said: &str) -> Result<()> {
    let total: u64 = samples.iter().map(|sample| sample.nanoseconds).sum();
    let mut strayed = 0;
    for Typed { frames, nanoseconds, .. } in samples {
        for frame in frames.iter().filter(|frame| frame.kind == "cpython") {
            ensure!(frame.line > 0 && !frame.file.is_empty(), "{frame:?}");
            if let Some((_, lines)) = LINES.iter().find(|(name, _)| *name == frame.function) {
                ensure!(frame.file.ends_with("/profile/mixed.py"), "{frame:?}");
                ensure!(lines.contains(&frame.line), "{frame:?}");
            }
        }
        let evaluates = |frame: &Frame| frame.function.starts_with("_PyEval_EvalFrameDefault");
        strayed += if frames.iter().any(evaluates) { *nanoseconds } else { 0 };
    }
    // The interpreter's own function has no frame of Python in its first and last instructions, and in what it calls there.
    ensure!(
        strayed * 100 <= total * 4,
        "{strayed} of {total} ns have a native frame that runs nothing\n{said}"
    );

    let stacks = Stacks {
        stacks: samples
            .iter()
            .map(|sample| {
                let names = sample.frames.iter().map(|frame| format!("{} {}", frame.kind, frame.function));
                (names.collect(), sample.nanoseconds)
            })
            .collect(),
    };
    let ensure_path = |path: &[&str]| {
        let name = path.last().copied().unwrap_or_default();
        let (by_path, all) = (stacks.passing(path), stacks.passing(&[name]));
        ensure!(all * 200 > total, "{name} hardly runs: {all} of {total} ns\n{said}");
        ensure!(by_path * 100 >= all * 97, "{by_path} of {all} ns came by {path:?}\n{stacks:#?}");
        Ok(())
    };
    ensure_path(&["native Py_BytesMain", "cpython <module>", "cpython rounds"])?;
    ensure_path(&["cpython rounds", "cpython digest", "native SHA256_Update"])?;
    ensure_path(&["cpython rounds", "cpython order", "native qsort", "cpython compare"])?;
    ensure_path(&["cpython rounds", "cpython generate", "native", "<genexpr>", "cpython numbers"])?;
    ensure_path(&["cpython rounds", "_run_once", "native", "cpython produce"])?;
    ensure_path(&["native", "_bootstrap", "cpython background", "cpython spare"])?;
    let descend = ["cpython descend"; 31];
    let path = [&["cpython rounds"], &descend[..], &["cpython loop"]].concat();
    ensure!(stacks.passing(&path) > 0, "31 levels deep is nothing\n{stacks:#?}");
    Ok(())
}

/// Recursion to nearly where CPython stops it.
#[test]
fn stacks_of_900_frames() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("profile_python::stacks_of_900_frames") else { return Ok(()) };
    for interpreter in interpreters::all()? {
        let interpreter = interpreter?;
        let program = start(&interpreter, &["deep", "900"])?;
        let (samples, said) =
            Flame::start_typed(program.pid(), Duration::from_secs(3), RATE)?.finish_typed()?;
        let (mut deep, mut total) = (0, 0);
        for Typed { frames, nanoseconds, .. } in samples {
            let levels = frames.iter().filter(|frame| frame.function == "descend").count();
            let is_whole = levels == 901
                && frames.iter().any(|frame| frame.function == "<module>")
                && frames.iter().any(|frame| frame.function == "loop");
            deep += if is_whole { nanoseconds } else { 0 };
            total += nanoseconds;
        }
        ensure!(
            total > 500_000_000 && deep * 100 > total * 95,
            "{interpreter}: {deep} of {total} ns have all levels\n{said}"
        );
    }
    Ok(())
}

/// A function and a line.
type Place = (String, u64);

/// Functions by the lines that they have in `mixed.py`.
const LINES: [(&str, std::ops::RangeInclusive<u64>); 8] = [
    ("loop", 26..=30),
    ("digest", 33..=35),
    ("numbers", 43..=45),
    ("descend", 52..=55),
    ("compare", 68..=69),
    ("produce", 81..=85),
    ("settle", 95..=96),
    ("spare", 126..=130),
];

#[derive(Clone, Copy, Debug)]
enum Kind {
    SelfByFunction,
    SelfByLine,
    Total,
}

fn place(frame: &Frame) -> Option<Place> {
    (frame.kind == "cpython").then(|| (short(&frame.function), frame.line))
}

/// `Worker.step` and `generate.<locals>.<genexpr>` have longer names since 3.11.
fn short(name: &str) -> String {
    name.rsplit('.').next().unwrap_or(name).to_owned()
}

/// What the event loop asks the kernel it asks without the interpreter's lock, and py-spy sees who holds that. It is on a CPU all
/// the same, for longer where others use it, too.
fn of_main(frames: &[Place]) -> bool {
    let asks = frames.last().is_some_and(|(function, _)| function == "select");
    !asks && frames.iter().any(|(function, _)| function == "rounds")
}

/// Percent of the samples by function, or by function and line.
fn shares(stacks: &[(Vec<Place>, u64)], kind: Kind) -> HashMap<Place, f64> {
    let mut counts: HashMap<Place, f64> = HashMap::new();
    let mut total = 0.0;
    for (frames, count) in stacks {
        #[allow(clippy::cast_precision_loss)] // Of one bounded run.
        let count = *count as f64;
        total += count;
        let mut keys: Vec<Place> = match kind {
            Kind::SelfByLine => frames.last().cloned().into_iter().collect(),
            Kind::SelfByFunction => frames.last().map(|(name, _)| (name.clone(), 0)).into_iter().collect(),
            Kind::Total => frames.iter().map(|(name, _)| (name.clone(), 0)).collect(),
        };
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            *counts.entry(key).or_default() += count;
        }
    }
    counts.values_mut().for_each(|count| *count *= 100.0 / total);
    counts
}
