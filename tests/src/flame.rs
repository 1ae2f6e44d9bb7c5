//! `honeyguide flame`, and what it wrote.

use std::{fs, process::ExitStatus, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    agent::Agent,
    guard::Guard,
    profcheck::{self, Tally},
    scratch::Scratch,
};

/// Beyond the recording itself: loading, tables, symbols, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

const FOLDED: &str = "stacks.folded";
const OTLP: &str = "stacks.otlp.json";

/// Stacks and how often each was seen, the outermost function first. Both `flame`'s and perf's are told this way.
#[derive(Debug, Default)]
pub struct Stacks {
    pub stacks: Vec<(Vec<String>, u64)>,
}

/// A recording that is under way.
#[derive(Debug)]
pub struct Flame {
    guard: Guard,
    out: Scratch,
    hz: u32,
}

/// What came of it.
#[derive(Debug)]
pub struct Recorded {
    pub stacks: Stacks,
    pub said: String,
}

impl Flame {
    /// Starts `honeyguide flame --pid PID`, and waits until it samples.
    ///
    /// # Errors
    /// When it does not get that far.
    pub fn start(pid: u32, duration: Duration, hz: u32) -> Result<Self> {
        Self::start_with(pid, duration, hz, FOLDED)
    }

    /// Starts `honeyguide flame --all`.
    ///
    /// # Errors
    /// When it does not get that far.
    pub fn start_all(duration: Duration, hz: u32) -> Result<Self> {
        let (rate, length) = (hz.to_string(), format!("{}ms", duration.as_millis()));
        Self::start_as("--all", &["--hz", &rate, "--duration", &length], hz, FOLDED)
    }

    /// Starts one that writes OTLP, which tells more of each frame.
    ///
    /// # Errors
    /// When it does not get that far.
    pub fn start_typed(pid: u32, duration: Duration, hz: u32) -> Result<Self> {
        Self::start_with(pid, duration, hz, OTLP)
    }

    /// Starts one of time off the CPU that writes OTLP, with more arguments.
    ///
    /// # Errors
    /// When it does not get that far.
    pub fn start_off_cpu(pid: u32, arguments: &[&str]) -> Result<Self> {
        let arguments = [&["--off-cpu", "--duration", "2m"], arguments].concat();
        Self::start_as(&of(pid), &arguments, 1, OTLP)
    }

    fn start_with(pid: u32, duration: Duration, hz: u32, file: &str) -> Result<Self> {
        let (rate, length) = (hz.to_string(), format!("{}ms", duration.as_millis()));
        Self::start_as(&of(pid), &["--hz", &rate, "--duration", &length], hz, file)
    }

    fn start_as(who: &str, arguments: &[&str], hz: u32, file: &str) -> Result<Self> {
        let out = Scratch::new("flame")?;
        let mut command = Agent::command()?;
        command.args(["flame", who]).args(arguments);
        command.arg("-o").arg(out.join(file));
        let mut guard = Guard::spawn(command)?;
        guard.wait_for_text("honeyguide: ready", PATIENCE)?;
        Ok(Self { guard, out, hz })
    }

    /// Ends it before its time.
    #[must_use]
    pub fn stop(self) -> Self {
        self.guard.signal(libc::SIGINT);
        self
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it fails, or writes something else than folded stacks.
    pub fn finish(self) -> Result<Recorded> {
        let period = 1_000_000_000 / u64::from(self.hz);
        let (text, said) = self.written(FOLDED)?;
        Ok(Recorded { stacks: Stacks::folded(&text, period)?, said })
    }

    /// Waits for the end of one that writes OTLP. Returns what it said as well.
    ///
    /// # Errors
    /// When it fails, or writes what is no profile.
    pub fn finish_typed(self) -> Result<(Vec<Typed>, String)> {
        let (text, said) = self.written(OTLP)?;
        Ok((typed(&serde_json::from_str(&text)?)?, said))
    }

    fn written(mut self, file: &str) -> Result<(String, String)> {
        let status: ExitStatus = self.guard.wait(PATIENCE)?;
        let said = self.guard.log();
        ensure!(status.success(), "flame ended with {status}\n{said}");
        let text = fs::read_to_string(self.out.join(file))
            .with_context(|| format!("nothing was written\n{said}"))?;
        if file == OTLP {
            profcheck::check(&serde_json::from_str(&text)?, &mut Tally::default())?;
        }
        Ok((text, said))
    }
}

/// A stack of an OTLP profile, the outermost frame first.
#[derive(Debug)]
pub struct Typed {
    /// Type and unit of the values.
    pub measure: (String, String),
    pub frames: Vec<Frame>,
    pub nanoseconds: u64,
    /// How many values there were.
    pub count: usize,
}

impl Typed {
    /// Whether a function of this name is in it.
    #[must_use]
    pub fn has(&self, function: &str) -> bool {
        self.frames.iter().any(|frame| frame.function == function)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// `profile.frame.type`
    pub kind: String,
    pub function: String,
    pub file: String,
    pub line: u64,
}

fn of(pid: u32) -> String {
    format!("--pid={pid}")
}

impl Recorded {
    /// Percent of the samples whose stacks are complete, as `flame` says itself.
    ///
    /// # Errors
    /// When it does not say so.
    pub fn complete(&self) -> Result<f64> {
        let words: Vec<&str> = self.said.split_whitespace().collect();
        let at = words.windows(4).position(|window| {
            window == ["%", "with", "complete", "stacks"]
                || window == ["%", "with", "complete", "stacks,"]
                || window == ["%", "with", "complete", "stacks;"]
        });
        let share = at.and_then(|at| words.get(at.checked_sub(1)?)).context(self.said.clone())?;
        share.parse().with_context(|| self.said.clone())
    }
}

impl Stacks {
    /// Lines of `thread;outermost;…;innermost weight`. `period`: the weight that a sample has.
    ///
    /// # Errors
    /// Where a line is none of those.
    pub fn folded(text: &str, period: u64) -> Result<Self> {
        let stacks = text
            .lines()
            .map(|line| {
                let (stack, count) = line.rsplit_once(' ').with_context(|| format!("not folded: {line}"))?;
                let weight: u64 = count.parse()?;
                // The first is the thread's name.
                Ok((stack.split(';').skip(1).map(str::to_owned).collect(), weight / period))
            })
            .collect::<Result<_>>()?;
        Ok(Self { stacks })
    }

    #[must_use]
    pub fn total(&self) -> u64 {
        self.stacks.iter().map(|(_, count)| count).sum()
    }

    /// Percent of the samples in whose stacks a function is whose name holds `name`.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // Counts of one bounded run.
    pub fn share(&self, name: &str) -> f64 {
        let with = self.stacks.iter().filter(|(stack, _)| stack.iter().any(|frame| frame.contains(name)));
        100.0 * with.map(|(_, count)| count).sum::<u64>() as f64 / self.total().max(1) as f64
    }

    /// The samples whose stacks hold functions named so, in this order from the outside, one after another or not.
    #[must_use]
    pub fn passing(&self, names: &[&str]) -> u64 {
        let passes = |stack: &[String]| {
            let mut left = stack.iter();
            names.iter().all(|name| left.any(|frame| frame.contains(name)))
        };
        self.stacks.iter().filter(|(stack, _)| passes(stack)).map(|(_, count)| count).sum()
    }

    /// Every function's name.
    #[must_use]
    pub fn functions(&self) -> std::collections::BTreeSet<&str> {
        self.stacks.iter().flat_map(|(stack, _)| stack.iter().map(String::as_str)).collect()
    }
}

fn typed(data: &Value) -> Result<Vec<Typed>> {
    let tables = &data["dictionary"];
    let frames: Vec<Vec<Frame>> = list(tables, "locationTable")
        .iter()
        .map(|location| {
            let kind = list(location, "attributeIndices")
                .iter()
                .map(|at| &tables["attributeTable"][index(at)])
                .find(|attribute| text(tables, &attribute["keyStrindex"]) == "profile.frame.type")
                .and_then(|attribute| attribute["value"]["stringValue"].as_str())
                .unwrap_or_default();
            // What was inlined is before what it was inlined into.
            let lines = list(location, "lines").iter().rev().map(|line| {
                let function = &tables["functionTable"][index(&line["functionIndex"])];
                Frame {
                    kind: kind.to_owned(),
                    function: text(tables, &function["nameStrindex"]).to_owned(),
                    file: text(tables, &function["filenameStrindex"]).to_owned(),
                    line: number(&line["line"]),
                }
            });
            lines.collect()
        })
        .collect();
    let profiles = list(data, "resourceProfiles").iter().flat_map(|resource| list(resource, "scopeProfiles"));
    let samples = profiles.flat_map(|scope| list(scope, "profiles")).flat_map(|profile| {
        let kind = &profile["sampleType"];
        let measure = (text(tables, &kind["typeStrindex"]), text(tables, &kind["unitStrindex"]));
        list(profile, "samples").iter().map(move |sample| (measure, sample))
    });
    samples
        .map(|((kind, unit), sample)| {
            let stack = &tables["stackTable"][index(&sample["stackIndex"])];
            let locations = list(stack, "locationIndices").iter().rev();
            let of_location = |at| frames.get(index(at)).cloned().context("a location beyond the table");
            let frames: Result<Vec<Vec<Frame>>> = locations.map(of_location).collect();
            let values = list(sample, "values");
            let nanoseconds = values.iter().map(number).sum();
            let measure = (kind.to_owned(), unit.to_owned());
            Ok(Typed { measure, frames: frames?.concat(), nanoseconds, count: values.len() })
        })
        .collect()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn index(value: &Value) -> usize {
    value.as_u64().and_then(|index| usize::try_from(index).ok()).unwrap_or(0)
}

/// 64-bit numbers are strings in OTLP's JSON.
fn number(value: &Value) -> u64 {
    value.as_str().and_then(|text| text.parse().ok()).or_else(|| value.as_u64()).unwrap_or(0)
}

fn text<'a>(tables: &'a Value, at: &Value) -> &'a str {
    tables["stringTable"][index(at)].as_str().unwrap_or_default()
}
