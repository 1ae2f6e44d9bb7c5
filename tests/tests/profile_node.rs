//! JavaScript's functions in a profile, against V8's own profiler in the same process at the same time.
#![allow(clippy::print_stderr)] // How far the shares differ is for whoever reads the log.

use std::{collections::HashMap, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    cpuprof::{CpuProf, Stack},
    flame::{Flame, Frame, Recorded, Stacks, Typed},
    node, privilege,
};

const SCRIPT: &str = "profile/spin.js";
const DURATION: Duration = Duration::from_secs(5);
const RATE: u32 = 997;
/// Percentage points between two shares.
const APART: f64 = 3.0;
const TOP: usize = 10;

#[test]
fn functions_have_the_shares_that_v8_sees() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("profile_node::functions_have_the_shares_that_v8_sees") else {
        return Ok(());
    };
    for version in [18, 22, 24] {
        let node = node::version(version)?;
        let recorded = record(&node, &[], DURATION).with_context(|| format!("Node {version}"))?;
        compare(&recorded, &[Kind::Own, Kind::Total], name).with_context(|| format!("Node {version}"))?;
        ensure_shape(&recorded, true).with_context(|| format!("Node {version}"))?;
    }
    Ok(())
}

/// Nothing is compiled. V8's profiler takes much of what the interpreter's builtins do for the caller's then, and is
/// nothing to compare with.
#[test]
fn interpreted_functions_are_where_they_belong() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("profile_node::interpreted_functions_are_where_they_belong")
    else {
        return Ok(());
    };
    let arguments = ["--no-opt", "--no-maglev", "--no-sparkplug"];
    let recorded = record(&node::version(20)?, &arguments, Duration::from_secs(2))?;
    ensure_shape(&recorded, false)
}

/// Without V8's metadata there are the names that it writes into a perf map, of what it has compiled.
#[test]
fn a_perf_map_names_what_metadata_do_not() -> Result<()> {
    let Some(_turn) = privilege::kernel_test("profile_node::a_perf_map_names_what_metadata_do_not") else {
        return Ok(());
    };
    // A function that was put into its caller is not in a perf map; V8 itself still tells of it.
    let arguments = ["--perf-basic-prof", "--no-turbo-inlining"];
    let recorded = record(&node::without_metadata(20)?, &arguments, DURATION)?;
    compare(&recorded, &[Kind::Own], |frame| {
        // `JS:*divide /tests/apps/profile/spin.js:6:16`
        let written = frame.function.split_once(':').map_or("", |(_, rest)| rest);
        let name = written.trim_start_matches(['*', '~', '^', '+']).split(' ').next().unwrap_or_default();
        if name.is_empty() { "(anonymous)".to_owned() } else { name.to_owned() }
    })
}

/// What both saw.
#[derive(Debug)]
struct Both {
    ours: Vec<Typed>,
    theirs: Vec<Stack>,
    said: String,
}

fn record(node: &Path, arguments: &[&str], duration: Duration) -> Result<Both> {
    let program = CpuProf::start(node, arguments, SCRIPT)?;
    let (ours, said) = Flame::start_typed(program.pid(), duration, RATE)?.finish_typed()?;
    // Writing takes a moment, in which nothing changes.
    let theirs = program.finish(duration)?;
    Ok(Both { ours, theirs, said })
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Of the innermost function of JavaScript, with the builtins and native code that it called.
    Own,
    Total,
}

fn compare(both: &Both, kinds: &[Kind], name: impl Fn(&Frame) -> String) -> Result<()> {
    let Both { ours, theirs, said } = both;
    let of_javascript = |sample: &Typed| {
        let scripts = sample.frames.iter().filter(|frame| frame.kind == "v8js");
        (scripts.map(&name).collect::<Vec<String>>(), sample.nanoseconds)
    };
    let ours: Vec<Stack> = ours.iter().filter(|sample| !collects(sample)).map(of_javascript).collect();
    let mut farthest = (0.0_f64, String::new());
    for &kind in kinds {
        let (our, their) = (shares(&ours, kind), shares(theirs, kind));
        let mut top: Vec<_> = their.iter().collect();
        top.sort_by(|a, b| b.1.total_cmp(a.1));
        ensure!(top.len() >= TOP, "only {} functions are known\n{their:#?}", top.len());
        for (function, share) in top.into_iter().take(TOP) {
            let own = our.get(function).copied().unwrap_or(0.0);
            let apart = (own - share).abs();
            let what = format!("{kind:?} {function}: {own:.1} % here, {share:.1} % there");
            ensure!(apart <= APART, "{what}\n{our:#?}\n{their:#?}\n{said}");
            if apart > farthest.0 {
                farthest = (apart, what);
            }
        }
    }
    eprintln!("the shares differ by {:.2} points at most: {}", farthest.0, farthest.1);
    Ok(())
}

fn name(frame: &Frame) -> String {
    frame.function.clone()
}

/// V8's profiler does not say for which function memory is collected.
fn collects(sample: &Typed) -> bool {
    let of_heap =
        ["Heap::CollectGarbage", "Heap::PerformGarbageCollection", "ScavengerCollector", "MarkCompact"];
    sample.frames.iter().any(|frame| of_heap.iter().any(|part| frame.function.contains(part)))
}

/// Percent of the samples by function, but for the time before the program was ready.
fn shares(stacks: &[Stack], kind: Kind) -> HashMap<String, f64> {
    let mut counts: HashMap<String, f64> = HashMap::new();
    let mut total = 0.0;
    for (functions, count) in stacks {
        let is_main = functions.iter().any(|name| name == "again") || is_job(functions);
        if !is_main {
            continue;
        }
        #[allow(clippy::cast_precision_loss)] // Of one bounded run.
        let count = *count as f64;
        total += count;
        let mut names: Vec<&String> = match kind {
            Kind::Own => functions.last().into_iter().collect(),
            Kind::Total => functions.iter().collect(),
        };
        names.sort_unstable();
        names.dedup();
        for name in names {
            *counts.entry(name.clone()).or_default() += count;
        }
    }
    counts.values_mut().for_each(|count| *count *= 100.0 / total);
    counts
}

/// What goes on after it has waited has nothing of the program's below it.
fn is_job(functions: &[String]) -> bool {
    functions.iter().any(|name| name == "settle")
}

/// Lines of functions in `spin.js`.
const LINES: [(&str, u64); 5] =
    [("divide", 7), ("multiply", 74), ("produce", 87), ("rounds", 135), ("again", 149)];

/// What frames say of themselves, and the order in which they are mixed. `compiled`: native code has its share, too.
fn ensure_shape(both: &Both, compiled: bool) -> Result<()> {
    let Both { ours, said, .. } = both;
    let complete = Recorded { stacks: Stacks::default(), said: said.clone() }.complete()?;
    ensure!(complete >= 99.0, "{complete} % are complete\n{said}");
    let (mut total, mut nameless) = (0, 0);
    for Typed { frames, nanoseconds, .. } in ours {
        total += nanoseconds;
        nameless +=
            if frames.iter().any(|frame| frame.function.starts_with("[anon]")) { *nanoseconds } else { 0 };
        for (name, line) in LINES {
            for frame in frames.iter().filter(|frame| frame.kind == "v8js" && frame.function == name) {
                ensure!(frame.file.ends_with("/profile/spin.js") && frame.line == line, "{frame:?}");
            }
        }
    }
    ensure!(nameless * 100 <= total, "{nameless} of {total} ns have frames without names\n{said}");

    let stacks = Stacks {
        stacks: ours
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
        ensure!(all > 0, "{name} does not run\n{said}");
        ensure!(by_path * 100 >= all * 97, "{by_path} of {all} ns came by {path:?}\n{stacks:#?}");
        Ok(())
    };
    ensure_path(&["native node::Start", "native Builtins_JSEntry", "v8js again", "v8js rounds"])?;
    ensure_path(&["v8js rounds", "v8js order", "native Builtins_ArrayTimSort", "v8js compare"])?;
    if compiled {
        ensure_path(&["v8js rounds", "v8js digest", "v8js update", "native node::crypto::Hash::HashUpdate"])?;
    }
    ensure_path(&["v8js rounds", "v8js generate", "v8js produce"])?;
    ensure_path(&["v8js rounds", "v8js through", "v8js within", "v8js fibonacci"])?;
    let descends = ["v8js descend"; 21];
    ensure_path(&[&["v8js rounds"], &descends[..], &["v8js polynomial"]].concat())
}
