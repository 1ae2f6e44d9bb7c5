//! Loading and attaching the kernel programs, and the tables through which the agent steers them.
//!
//! One program the verifier refuses costs one feature, never the agent: only without any capture hook
//! is there nothing to run.

mod arena;
mod btf;
mod hooks;
mod interpreters;
mod off_cpu;
mod offsets;
mod option;
mod outcomes;
mod profiler;
mod propagation;
mod runtime;
mod tls;
mod unsupported;
mod uprobe;

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    maps::{HashMap, MapData, PerCpuArray},
};
use honeyguide_common::{
    Failure,
    propagation::{OptionOutcome, Outcome},
    sample::MAX_BLOCKED,
    verdict,
};
use log::warn;

pub use arena::{Arena, GRACE as ARENA_GRACE, Room};
pub use hooks::{Hook, HookChoice};
pub use interpreters::Interpreters;
pub use profiler::{Event, Profiler, ProfilerSettings, Sampling};
pub use propagation::PropagationSettings;
pub use runtime::{
    CodeLayout, PythonFile, RuntimeCounters, V8Code, V8File, V8Layout, examine_frames, examine_v8,
};
pub use tls::{TlsCounters, TlsSites, examine as examine_tls};
pub use unsupported::Unsupported;

use option::Options;
use propagation::Headers;
use runtime::Runtimes;
use tls::TlsProbes;

use crate::{discover::ProcRoot, ring::Ring};

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Some seconds of samples of a large host.
const SAMPLES_RING: u32 = 4 << 20;
/// The most bytes of unwind tables.
const TABLE_BYTES: u64 = 64 << 20;

static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("HONEYGUIDE_BPF"));

/// What this kernel and these privileges allow, tried: everything is loaded and attached with nothing selected, and taken off again.
///
/// # Errors
/// As [`Kernel::load`].
pub fn probe() -> Result<Probe> {
    let settings = LoadSettings {
        hook: HookChoice::Auto,
        select_all: false,
        select_ports: false,
        tls: true,
        runtimes: true,
        opens: true,
        wakes: true,
        capture_bytes: 0,
        // Processes that start meanwhile are told of; nobody reads it.
        ring_bytes: 64 << 10,
        samples: None,
        off_cpu: None,
        kernel_log: log::LevelFilter::Off,
        thread_times: true,
        propagation: None,
    };
    let Kernel { mut ebpf, hook, missing, .. } = Kernel::load(&settings)?;
    let btf = aya::Btf::from_sys_fs().context("cannot read the kernel's BTF")?;
    let text = |error: anyhow::Error| format!("{error:#}");
    let (headers, options) = match propagation::attach(&mut ebpf, &btf, hook, &propagation::mounts()) {
        Ok(mut common) => (
            propagation::attach_headers(&mut ebpf, &mut common).map(|headers| headers.follow).map_err(text),
            option::attach(&mut ebpf, &mut common).map(|_| ()).map_err(text),
        ),
        Err(error) => (Err(text(error)), Err("as for headers".to_owned())),
    };
    Ok(Probe { hook, missing, headers, options })
}

/// What trying gave.
#[derive(Clone, Debug)]
pub struct Probe {
    pub hook: Hook,
    /// As [`Kernel::missing`].
    pub missing: Vec<String>,
    /// Whether headers can be put into requests: into all of a connection, or only into its first. Else why not.
    pub headers: Result<bool, String>,
    /// Whether contexts can be handed on in TCP options.
    pub options: Result<(), String>,
}

/// What the kernel programs are told before they are loaded.
#[derive(Clone, Debug)]
pub struct LoadSettings {
    pub hook: HookChoice,
    pub select_all: bool,
    /// Whether connections are selected by port; the ports themselves are set through [`Control`].
    pub select_ports: bool,
    /// Whether the inside of TLS is followed.
    pub tls: bool,
    /// Whether goroutines and Python's contexts are told apart.
    pub runtimes: bool,
    /// Whether it is told who opens connections.
    pub opens: bool,
    /// Whether wake-ups between threads are told.
    pub wakes: bool,
    /// Bytes captured of one burst, at most `record::MAX_CAPTURE`.
    pub capture_bytes: u32,
    /// Size of the ring: a power of two, at least a page.
    pub ring_bytes: u32,
    /// Contexts are handed on by selected processes; `None`: nothing for it is attached.
    pub propagation: Option<PropagationSettings>,
    /// Whether the scheduler is asked what threads do with their time.
    pub thread_times: bool,
    /// CPU samples are taken as well, so many a second and CPU.
    pub samples: Option<u32>,
    /// It is told where threads are blocked, each time that it takes so long.
    pub off_cpu: Option<Duration>,
    /// Kernel programs log through aya-log up to this level; `Off` costs nothing.
    pub kernel_log: log::LevelFilter,
}

/// The loaded programs. Dropping it detaches them; nothing is pinned, so killing the agent does too.
#[derive(Debug)]
pub struct Kernel {
    ebpf: Ebpf,
    /// `None` where TLS is not followed.
    tls: Option<TlsProbes>,
    /// `None` where the tasks of runtimes are not told apart.
    runtimes: Option<Runtimes>,
    /// Time off the CPU is told.
    off_cpu: bool,
    /// `None` where no headers are put in.
    headers: Option<Headers>,
    /// `None` where there are no TCP options.
    options: Option<Options>,
    /// The hook that captures socket operations.
    pub hook: Hook,
    /// Features that are missing on this kernel, in words for the user.
    pub missing: Vec<String>,
}

/// The agent's hand on the kernel's tables.
pub struct Control {
    selected: HashMap<MapData, u32, u8>,
    ports: HashMap<MapData, u16, u8>,
    verdicts: HashMap<MapData, u64, u8>,
    failures: PerCpuArray<MapData, u64>,
    ring_fill: PerCpuArray<MapData, [u64; 2]>,
}

impl Kernel {
    /// Loads and attaches everything this kernel allows.
    ///
    /// # Errors
    /// [`Unsupported`] where the kernel or the privileges do not allow any capture.
    pub fn load(settings: &LoadSettings) -> Result<Self> {
        require_object()?;
        let btf = kernel_types()?;
        let offsets = offsets::resolve(&btf)?;
        let candidates = hooks::candidates(settings.hook, &btf)?;
        let loops = has_loops(&btf);
        drop(btf);

        let mut ebpf = load_object(settings, &offsets, loops, |loader| {
            let profiled = settings.samples.is_some() || settings.off_cpu.is_some();
            loader.map_max_entries("SAMPLES", if profiled { SAMPLES_RING } else { 4096 });
        })?;
        let btf = aya::Btf::from_sys_fs().context("cannot read the kernel's BTF")?;
        let mut missing = Vec::new();
        let hook = hooks::attach_capture(&mut ebpf, &btf, candidates, &mut missing)?;
        hooks::attach_rest(&mut ebpf, &btf, &mut missing);
        if settings.thread_times {
            hooks::attach_times(&mut ebpf, &btf, &mut missing);
        }
        if settings.wakes {
            hooks::attach_wakes(&mut ebpf, &btf, &mut missing);
        }
        let mut tls = settings.tls.then(TlsProbes::new);
        if settings.tls
            && let Err(error) = tls::load(&mut ebpf)
        {
            missing.push(format!("the inside of TLS: only its bytes are counted ({error:#})"));
            tls = None;
        }
        let mut runtimes = settings.runtimes.then(Runtimes::default);
        if settings.runtimes
            && let Err(error) = runtime::load(&mut ebpf)
        {
            missing.push(format!("tasks of runtimes: calls of Go and asyncio are not linked ({error:#})"));
            runtimes = None;
        }
        if settings.samples.is_some()
            && let Err(error) = profiler::load_programs(&mut ebpf, &mut missing)
        {
            missing.push(format!("CPU samples: there are no profiles ({error:#})"));
        }
        let mut off_cpu = settings.off_cpu.is_some();
        if off_cpu && let Err(error) = off_cpu::load(&mut ebpf, &btf, &mut missing) {
            missing.push(format!("time off the CPU: it is in no profile ({error:#})"));
            off_cpu = false;
        }
        let (mut headers, mut options) = (None, None);
        if let Some(ways) = settings.propagation {
            let mut common = propagation::attach(&mut ebpf, &btf, hook, &propagation::mounts())
                .map_err(|error| unsupported::explain_propagation("contexts", &error))?;
            if ways.http_headers {
                let attached = propagation::attach_headers(&mut ebpf, &mut common);
                headers =
                    Some(attached.map_err(|error| unsupported::explain_propagation("http-headers", &error))?);
            }
            if ways.tcp_option {
                let attached = option::attach(&mut ebpf, &mut common);
                options =
                    Some(attached.map_err(|error| unsupported::explain_propagation("tcp-option", &error))?);
            }
        }
        Ok(Self { ebpf, tls, runtimes, off_cpu, headers, options, hook, missing })
    }

    /// The reading end of the ring of samples, the tables of the unwinder, and that of interpreters. There is one of each.
    ///
    /// # Errors
    /// Where they were taken already or cannot be mapped.
    pub fn take_samples(&mut self) -> Result<(Ring, Arena, Interpreters)> {
        let ring = Ring::new(self.ebpf.take_map("SAMPLES").context("the ring was taken already")?)?;
        let interpreters = Interpreters::take(&mut self.ebpf)?;
        Ok((ring, profiler::arena(&mut self.ebpf, TABLE_BYTES)?, interpreters))
    }

    /// Begins to sample what runs, on every CPU that is online.
    ///
    /// # Errors
    /// Where no event can be had.
    pub fn start_sampling(&mut self, hz: u32) -> Result<Event> {
        profiler::attach(&mut self.ebpf, hz)
    }

    /// Begins to tell where threads are blocked, if that was asked for and this kernel allows it.
    ///
    /// # Errors
    /// Where the scheduler's hooks do not attach.
    pub fn start_off_cpu(&mut self) -> Result<()> {
        if self.off_cpu {
            off_cpu::attach(&mut self.ebpf)?;
        }
        Ok(())
    }

    /// The reading end of the ring. There is one.
    ///
    /// # Errors
    /// Where it was taken already or cannot be mapped.
    pub fn take_ring(&mut self) -> Result<Ring> {
        let map = self.ebpf.take_map("EVENTS").context("the ring was taken already")?;
        Ring::new(map)
    }

    /// The steering tables. There is one set.
    ///
    /// # Errors
    /// Where it was taken already.
    pub fn take_control(&mut self) -> Result<Control> {
        control(&mut self.ebpf)
    }

    /// A process was selected, or has begun another program: its TLS libraries are looked for, now and for a while.
    pub fn expect_tls(&mut self, pid: u32) {
        if let Some(tls) = &mut self.tls {
            tls.expect(pid);
        }
    }

    /// A process has loaded libraries.
    pub fn look_for_tls(&mut self, proc: &ProcRoot, pid: u32) {
        if let Some(tls) = &mut self.tls {
            tls.loaded(&mut self.ebpf, proc, pid);
        }
    }

    /// Looks at the processes whose time has come; true while some are to be looked at soon.
    pub fn poll_tls(&mut self, proc: &ProcRoot) -> bool {
        self.tls.as_mut().is_some_and(|tls| tls.poll(&mut self.ebpf, proc))
    }

    /// Finds TLS libraries that `processes` (in ascending order) have loaded since, and lets go of those in no use.
    pub fn tidy_tls(&mut self, proc: &ProcRoot, processes: &[u32]) {
        if let Some(tls) = &mut self.tls {
            tls.tidy(&mut self.ebpf, proc, processes);
        }
    }

    #[must_use]
    pub fn tls_counters(&self) -> TlsCounters {
        self.tls.as_ref().map_or_else(TlsCounters::default, TlsProbes::counters)
    }

    /// A process was selected, or has begun another program: its runtime is looked for, now and for a while.
    pub fn expect_runtime(&mut self, pid: u32) {
        if let Some(runtimes) = &mut self.runtimes {
            runtimes.expect(pid);
        }
    }

    /// Looks at the processes whose time has come; true while some are to be looked at soon.
    pub fn poll_runtimes(&mut self, proc: &ProcRoot) -> bool {
        self.runtimes.as_mut().is_some_and(|runtimes| runtimes.poll(&mut self.ebpf, proc))
    }

    /// Lets go of runtimes that nobody runs any more.
    pub fn tidy_runtimes(&mut self, proc: &ProcRoot) {
        if let Some(runtimes) = &mut self.runtimes {
            runtimes.tidy(&mut self.ebpf, proc);
        }
    }

    #[must_use]
    pub fn runtime_counters(&self) -> RuntimeCounters {
        self.runtimes.as_ref().map_or_else(RuntimeCounters::default, |runtimes| runtimes.counters)
    }

    /// What became of the messages that a header could have been put into, in the order of [`Outcome::ALL`].
    #[must_use]
    pub fn outcomes(&self) -> [u64; Outcome::ALL.len()] {
        self.headers.as_ref().map_or([0; Outcome::ALL.len()], |headers| headers.outcomes.counted())
    }

    /// What became of contexts in TCP options, in the order of [`OptionOutcome::ALL`].
    #[must_use]
    pub fn option_outcomes(&self) -> [u64; OptionOutcome::ALL.len()] {
        self.options.as_ref().map_or([0; OptionOutcome::ALL.len()], Options::counted)
    }

    /// Whether headers are put into each request of a connection; `false`: into its first alone. `None` where into none.
    #[must_use]
    pub fn follows_connections(&self) -> Option<bool> {
        self.headers.as_ref().map(|headers| headers.follow)
    }

    /// What the kernel programs log, into the `log` facade; `None` where nothing was asked for.
    pub fn logger(&mut self) -> Option<aya_log::EbpfLogger<&'static dyn log::Log>> {
        aya_log::EbpfLogger::init(&mut self.ebpf)
            .map_err(|error| warn!("the kernel programs' log cannot be read: {error}"))
            .ok()
    }
}

/// # Errors
/// [`Unsupported`] where this binary carries no programs.
fn require_object() -> Result<()> {
    if OBJECT.is_empty() {
        return Err(Unsupported::new(
            "this binary was built without its kernel programs",
            "build it with `cargo xtask build` on a machine where `cargo xtask setup` succeeds",
        )
        .into());
    }
    Ok(())
}

fn kernel_types() -> Result<btf::Btf> {
    let btf = btf::Btf::read(Path::new(VMLINUX)).map_err(|error| {
        Unsupported::new(
            format!("this kernel shows no type information ({error:#})"),
            "use a kernel built with CONFIG_DEBUG_INFO_BTF=y (Debian, Ubuntu, Fedora, RHEL 8.2 and later are)",
        )
    })?;
    Ok(btf)
}

/// Whether programs may call `bpf_loop`.
fn has_loops(kernel: &btf::Btf) -> bool {
    kernel.has(btf::Named::Function, "bpf_loop")
}

/// The object with its settings; no program of it is loaded yet. `sizes` sets those of tables.
fn load_object(
    settings: &LoadSettings,
    offsets: &[(&'static str, u32)],
    loops: bool,
    sizes: impl FnOnce(&mut EbpfLoader<'_>),
) -> Result<Ebpf> {
    let self_pid = std::process::id();
    let (times, loops) = (u8::from(settings.thread_times), u8::from(loops));
    let (all, ports) = (u8::from(settings.select_all), u8::from(settings.select_ports));
    let trace_tls = u8::from(settings.tls);
    let opens = u8::from(settings.opens);
    let wakes = u8::from(settings.wakes);
    let propagate = u8::from(settings.propagation.is_some());
    let option = u8::from(settings.propagation.is_some_and(|ways| ways.tcp_option));
    let headers = settings.propagation.is_some_and(|ways| ways.http_headers);
    let trace_context = u8::from(settings.propagation.is_some_and(|ways| ways.trace_context));
    let reject_below = settings.propagation.map_or(0, |ways| ways.reject_below);
    let wakeup = u64::from(settings.ring_bytes / 4);
    let key = fastrand::u64(..);
    let level = settings.kernel_log as u8;
    let least = settings.off_cpu.map_or(0, |least| u64::try_from(least.as_nanos()).unwrap_or(u64::MAX));
    let blocked = settings.off_cpu.map_or(1, |_| MAX_BLOCKED);
    let mut loader = EbpfLoader::new();
    loader
        .override_global("SELF_PID", &self_pid, true)
        .override_global("SELECT_ALL", &all, true)
        .override_global("SELECT_PORTS", &ports, true)
        .override_global("THREAD_TIMES", &times, true)
        .override_global("TRACE_TLS", &trace_tls, true)
        .override_global("TRACE_OPENS", &opens, true)
        .override_global("TRACE_WAKES", &wakes, true)
        .override_global("LOOPS", &loops, true)
        .override_global("PROPAGATE", &propagate, true)
        .override_global("TCP_OPTION", &option, true)
        .override_global("TRACE_CONTEXT", &trace_context, true)
        .override_global("REJECT_BELOW", &reject_below, true)
        .override_global("CAPTURE_BYTES", &settings.capture_bytes, true)
        .override_global("WAKEUP_BYTES", &wakeup, true)
        .override_global("ADDRESS_KEY", &key, true)
        .override_global("OFF_CPU_LEAST", &least, true)
        .override_global(aya_log::LEVEL, &level, false)
        .map_max_entries("BLOCKED", blocked)
        .map_max_entries("EVENTS", settings.ring_bytes);
    if !headers {
        loader.map_max_entries("CONNECTIONS", 1);
    }
    if !settings.wakes {
        loader.map_max_entries("TURNS", 1);
    }
    if settings.propagation.is_none() {
        loader.map_max_entries("HANDS", 1);
    }
    for (name, offset) in offsets {
        loader.override_global(name, offset, true);
    }
    sizes(&mut loader);
    loader.load(OBJECT).map_err(unsupported::explain_load)
}

fn control(ebpf: &mut Ebpf) -> Result<Control> {
    let mut take = |name: &str| ebpf.take_map(name).with_context(|| format!("no map {name}"));
    Ok(Control {
        selected: HashMap::try_from(take("SELECTED")?)?,
        ports: HashMap::try_from(take("PORTS")?)?,
        verdicts: HashMap::try_from(take("VERDICTS")?)?,
        failures: PerCpuArray::try_from(take("FAILURES")?)?,
        ring_fill: PerCpuArray::try_from(take("RING_FILL")?)?,
    })
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

impl Control {
    /// # Errors
    /// Where the table is full (`verdict::MAX_SELECTED`).
    pub fn select(&mut self, pid: u32) -> Result<()> {
        self.selected
            .insert(pid, verdict::SELECTED, 0)
            .with_context(|| format!("cannot select process {pid}"))
    }

    /// A process that was not selected is no error.
    pub fn deselect(&mut self, pid: u32) {
        let _ = self.selected.remove(&pid);
    }

    /// # Errors
    /// Where the table is full (`verdict::MAX_PORTS`).
    pub fn select_port(&mut self, port: u16) -> Result<()> {
        self.ports.insert(port, verdict::SELECTED, 0).with_context(|| format!("cannot select port {port}"))
    }

    /// Tells the kernel what to do with a connection; the table forgets the oldest when it is full.
    pub fn judge(&mut self, socket: u64, word: u8) {
        if let Err(error) = self.verdicts.insert(socket, word, 0) {
            warn!("a verdict was not stored: {error}");
        }
    }

    /// The most bytes that were waiting in the ring.
    #[must_use]
    pub fn high_water(&self) -> u64 {
        self.ring_fill.get(&0, 0).map_or(0, |cpus| cpus.iter().map(|[most, _]| *most).max().unwrap_or(0))
    }

    /// The failure counters since start, summed over the CPUs, in the order of [`Failure::ALL`].
    #[must_use]
    pub fn failures(&self) -> [u64; Failure::ALL.len()] {
        Failure::ALL
            .map(|failure| self.failures.get(&(failure as u32), 0).map_or(0, |values| values.iter().sum()))
    }
}
