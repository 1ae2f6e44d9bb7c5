//! The sampler: its programs, and the events that call them.

use std::{fmt, time::Duration};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::ProgramArray,
    programs::{
        PerfEvent, ProgramFd,
        perf_event::{HardwareEvent, PerfEventConfig, PerfEventScope, SamplePolicy, SoftwareEvent},
    },
    util::online_cpus,
};
use honeyguide_common::unwind::{PROGRAM_NATIVE, PROGRAM_PYTHON, PROGRAM_V8};
use log::debug;

use super::{
    Arena, Control, HookChoice, Interpreters, LoadSettings, control, has_loops, hooks, kernel_types,
    load_object, off_cpu, offsets, require_object, unsupported,
};
use crate::ring::Ring;

/// Entries of tables that only other features fill.
const UNUSED_TABLES: [&str; 7] =
    ["VERDICTS", "BATCHES", "THREADS", "TLS_THREADS", "TLS_SESSIONS", "PORTS", "FRAMES"];
const UNUSED_ENTRIES: u32 = 128;
/// Forks, execs and exits.
const PROCESS_RING: u32 = 256 << 10;

#[derive(Clone, Debug)]
pub struct ProfilerSettings {
    pub sampling: Sampling,
    pub select_all: bool,
    /// Size of the ring of samples: a power of two, at least a page.
    pub ring_bytes: u32,
    /// The most bytes of unwind tables.
    pub table_bytes: u64,
    pub kernel_log: log::LevelFilter,
}

/// What is looked at, and how closely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// What runs: so many samples a second and CPU.
    OnCpu { hz: u32 },
    /// Where threads are blocked: each time that it takes so long.
    OffCpu { least: Duration },
}

/// What makes the samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The CPU's own counter of cycles.
    Cycles,
    /// A timer of the kernel's, where there is no counter: in most virtual machines.
    CpuClock,
    /// The scheduler, which takes threads off their CPUs.
    Switches,
}

/// The loaded sampler, alone. Dropping it ends sampling.
#[derive(Debug)]
pub struct Profiler {
    ebpf: Ebpf,
    settings: ProfilerSettings,
    /// As [`super::Kernel::missing`].
    pub missing: Vec<String>,
}

impl Profiler {
    /// Loads the programs; nothing is sampled before [`Profiler::start`].
    ///
    /// # Errors
    /// [`super::Unsupported`] where the kernel or the privileges do not allow it.
    pub fn load(settings: ProfilerSettings) -> Result<Self> {
        require_object()?;
        let types = kernel_types()?;
        let offsets = offsets::resolve(&types)?;
        let loops = has_loops(&types);
        drop(types);
        let load = LoadSettings {
            hook: HookChoice::Auto,
            select_all: settings.select_all,
            select_ports: false,
            tls: false,
            runtimes: false,
            opens: false,
            wakes: false,
            capture_bytes: 0,
            ring_bytes: PROCESS_RING,
            thread_times: false,
            samples: None,
            off_cpu: settings.sampling.least(),
            propagation: None,
            kernel_log: settings.kernel_log,
        };
        let mut ebpf = load_object(&load, &offsets, loops, |loader| {
            for table in UNUSED_TABLES {
                loader.map_max_entries(table, UNUSED_ENTRIES);
            }
            loader.map_max_entries("SAMPLES", settings.ring_bytes);
        })?;
        let mut missing = Vec::new();
        let types = aya::Btf::from_sys_fs().context("cannot read the kernel's BTF")?;
        hooks::attach_processes(&mut ebpf, &types, &mut missing);
        match settings.sampling {
            Sampling::OnCpu { .. } => load_programs(&mut ebpf, &mut missing)?,
            Sampling::OffCpu { .. } => off_cpu::load(&mut ebpf, &types, &mut missing)?,
        }
        Ok(Self { ebpf, settings, missing })
    }

    /// Begins to sample, on every CPU that is online.
    ///
    /// # Errors
    /// Where no event can be had.
    pub fn start(&mut self) -> Result<Event> {
        match self.settings.sampling {
            Sampling::OnCpu { hz } => attach(&mut self.ebpf, hz),
            Sampling::OffCpu { .. } => off_cpu::attach(&mut self.ebpf),
        }
    }

    /// Takes no more samples.
    pub fn stop(&mut self) {
        let stopped = match self.settings.sampling {
            Sampling::OnCpu { .. } => {
                program(&mut self.ebpf, "sample_cpu").and_then(|program| Ok(program.unload()?))
            }
            Sampling::OffCpu { .. } => off_cpu::stop(&mut self.ebpf),
        };
        if let Err(error) = stopped {
            debug!("the sampler does not unload: {error:#}");
        }
    }

    /// After [`Profiler::stop`]: records of what is blocked still, at `now` (CLOCK_MONOTONIC, nanoseconds).
    #[must_use]
    pub fn still_blocked(&self, now: u64) -> Vec<Vec<u8>> {
        let Some(least) = self.settings.sampling.least() else { return Vec::new() };
        off_cpu::still_blocked(&self.ebpf, now, least).unwrap_or_else(|error| {
            debug!("what is blocked still cannot be read: {error:#}");
            Vec::new()
        })
    }

    /// The reading end of the ring of samples. There is one.
    ///
    /// # Errors
    /// Where it was taken already or cannot be mapped.
    pub fn take_samples(&mut self) -> Result<Ring> {
        Ring::new(self.ebpf.take_map("SAMPLES").context("the ring was taken already")?)
    }

    /// The ring of forks, execs and exits. There is one.
    ///
    /// # Errors
    /// As [`Profiler::take_samples`].
    pub fn take_processes(&mut self) -> Result<Ring> {
        Ring::new(self.ebpf.take_map("EVENTS").context("the ring was taken already")?)
    }

    /// The tables of the unwinder. There is one set.
    ///
    /// # Errors
    /// Where it was taken already.
    pub fn take_arena(&mut self) -> Result<Arena> {
        arena(&mut self.ebpf, self.settings.table_bytes)
    }

    /// The tables of interpreters. There is one set.
    ///
    /// # Errors
    /// Where it was taken already.
    pub fn take_interpreters(&mut self) -> Result<Interpreters> {
        Interpreters::take(&mut self.ebpf)
    }

    /// The steering tables. There is one set.
    ///
    /// # Errors
    /// Where it was taken already.
    pub fn take_control(&mut self) -> Result<Control> {
        control(&mut self.ebpf)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cycles => "cycles",
            Self::CpuClock => "cpu-clock",
            Self::Switches => "sched_switch",
        })
    }
}

impl Sampling {
    /// Samples a second and CPU, of what runs.
    #[must_use]
    pub fn hz(self) -> Option<u32> {
        match self {
            Self::OnCpu { hz } => Some(hz),
            Self::OffCpu { .. } => None,
        }
    }

    /// How long a thread must be blocked.
    #[must_use]
    pub fn least(self) -> Option<Duration> {
        match self {
            Self::OnCpu { .. } => None,
            Self::OffCpu { least } => Some(least),
        }
    }
}

impl fmt::Display for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnCpu { hz } => write!(f, "at {hz} Hz"),
            Self::OffCpu { least } => write!(f, "off the CPU for {least:?} and more"),
        }
    }
}

pub(super) fn arena(ebpf: &mut Ebpf, budget: u64) -> Result<Arena> {
    let mut take = |name: &str| ebpf.take_map(name).with_context(|| format!("no map {name}"));
    Arena::new(take("CHUNKS")?, take("RULES")?, take("PROCESSES")?, budget)
}

/// What a kernel refuses of interpreters is noted in `missing`; native stacks do without.
pub(super) fn load_programs(ebpf: &mut Ebpf, missing: &mut Vec<String>) -> Result<()> {
    program(ebpf, "sample_cpu")?.load().map_err(|error| hooks::refusal("sample_cpu", error))?;
    load_unwinder(ebpf, "unwind_native", PROGRAM_NATIVE)?;
    if let Err(error) = load_unwinder(ebpf, "unwind_python", PROGRAM_PYTHON) {
        missing.push(without_python(&error));
    }
    if let Err(error) = load_unwinder(ebpf, "unwind_v8", PROGRAM_V8) {
        missing.push(without_javascript(&error));
    }
    Ok(())
}

fn load_unwinder(ebpf: &mut Ebpf, name: &str, place: u32) -> Result<()> {
    let program = program(ebpf, name)?;
    program.load().map_err(|error| hooks::refusal(name, error))?;
    let fd = program.fd()?.try_clone()?;
    store(ebpf, "UNWINDERS", name, place, &fd)
}

pub(super) fn without_python(error: &anyhow::Error) -> String {
    format!("frames of CPython: profiles show the interpreter's own ({error:#})")
}

pub(super) fn without_javascript(error: &anyhow::Error) -> String {
    format!("frames of JavaScript: profiles show addresses ({error:#})")
}

/// Stores a program that others call by its place in `table`. The kernel empties the table when its last descriptor
/// is closed.
pub(super) fn store(ebpf: &mut Ebpf, table: &str, name: &str, place: u32, fd: &ProgramFd) -> Result<()> {
    let map = ebpf.map_mut(table).with_context(|| format!("no map {table}"))?;
    let mut programs = ProgramArray::try_from(map)?;
    programs.set(place, fd, 0).with_context(|| format!("{name} was not stored"))
}

pub(super) fn attach(ebpf: &mut Ebpf, hz: u32) -> Result<Event> {
    let cpus = online_cpus().map_err(|(path, error)| anyhow::Error::from(error).context(path))?;
    let events = [
        (Event::Cycles, PerfEventConfig::Hardware(HardwareEvent::CpuCycles)),
        (Event::CpuClock, PerfEventConfig::Software(SoftwareEvent::CpuClock)),
    ];
    let mut last = None;
    for (event, config) in events {
        let attached = cpus.iter().try_for_each(|&cpu| -> Result<()> {
            let scope = PerfEventScope::AllProcessesOneCpu { cpu };
            let policy = SamplePolicy::Frequency(u64::from(hz));
            program(ebpf, "sample_cpu")?.attach(config, scope, policy, false)?;
            Ok(())
        });
        match attached {
            Ok(()) => return Ok(event),
            Err(error) => {
                debug!("no samples by {event}: {error:#}");
                last = Some(error);
            }
        }
    }
    Err(unsupported::explain_sampler(last.context("no CPU is online")?))
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut PerfEvent> {
    let program = ebpf.program_mut(name).with_context(|| format!("no program {name} in the object"))?;
    Ok(program.try_into()?)
}
