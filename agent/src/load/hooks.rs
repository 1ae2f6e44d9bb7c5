//! Which hook captures socket operations, chosen by what this kernel has and allows.

use std::fmt;

use anyhow::{Context as _, Result};
use aya::{
    Btf as KernelTypes, Ebpf,
    programs::{BtfTracePoint, FExit, ProgramError},
};
use log::{debug, info};

use super::{
    Unsupported,
    btf::{Btf, Named},
    unsupported,
};

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HookChoice {
    #[default]
    Auto,
    Only(Hook),
}

/// Ways to see a socket operation after the fact, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// `tp_btf/sock_send_length` and `sock_recv_length`, Linux 6.3.
    Tracepoint,
    /// fexit on the socket layer's functions, Linux 5.15; refused under lockdown.
    FunctionExit,
}

/// The functions a function-exit capture needs, and those it can do without.
const EXITS: &[(&str, bool)] = &[
    ("inet_sendmsg", true),
    ("sock_recvmsg", true),
    ("inet6_sendmsg", false),
    ("unix_stream_sendmsg", false),
    ("inet_sendpage", false),
];

const TRACEPOINTS: &[&str] = &["sock_send_length", "sock_recv_length"];

/// Hooks that add to the capture: what each gives is what its absence costs.
const REST: &[(&str, &str)] = &[
    ("inet_sock_set_state", "ends of connections are seen late"),
    ("sched_process_fork", "children of selected processes are found by scanning"),
    ("sched_process_exec", "new programs are found by scanning"),
    ("sched_process_exit", "ended processes are found by scanning"),
];

/// The scheduler's hooks, on every switch of the machine: attached where threads' times are asked for.
const TIMES: &[(&str, &str)] = &[
    ("sched_switch", "spans carry no times of their threads"),
    ("sched_waking", "time in the run queue counts as blocked"),
];

/// Tells of wake-ups between threads: attached where they are asked for.
const WAKES: (&str, &str) = ("thread_wake", "work that a thread hands to another is not followed");

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tracepoint => "tp_btf",
            Self::FunctionExit => "fexit",
        })
    }
}

/// The hooks worth trying on this kernel, best first.
pub(super) fn candidates(choice: HookChoice, btf: &Btf) -> Result<Vec<Hook>> {
    let there = |hook: Hook| match hook {
        Hook::Tracepoint => {
            TRACEPOINTS.iter().all(|name| btf.has(Named::Typedef, &format!("btf_trace_{name}")))
        }
        Hook::FunctionExit => {
            EXITS.iter().filter(|(_, needed)| *needed).all(|(name, _)| btf.has(Named::Function, name))
        }
    };
    let wanted = match choice {
        HookChoice::Auto => vec![Hook::Tracepoint, Hook::FunctionExit],
        HookChoice::Only(hook) => vec![hook],
    };
    let found: Vec<_> = wanted.into_iter().filter(|&hook| there(hook)).collect();
    if found.is_empty() {
        return Err(Unsupported::new(
            "this kernel has neither the socket tracepoints (Linux 6.3) nor the functions to hook instead",
            "use Linux 5.15 or later",
        )
        .into());
    }
    Ok(found)
}

/// Attaches the first candidate that works.
pub(super) fn attach_capture(
    ebpf: &mut Ebpf,
    btf: &KernelTypes,
    candidates: Vec<Hook>,
    missing: &mut Vec<String>,
) -> Result<Hook> {
    let mut errors = Vec::new();
    for hook in candidates {
        let attached = match hook {
            Hook::Tracepoint => TRACEPOINTS.iter().try_for_each(|name| attach_tracepoint(ebpf, btf, name)),
            Hook::FunctionExit => attach_exits(ebpf, btf, missing),
        };
        match attached {
            Ok(()) => {
                debug!("socket operations are captured through {hook}");
                return Ok(hook);
            }
            Err(error) => {
                info!("capture through {hook} is not possible: {error:#}");
                errors.push(error);
            }
        }
    }
    // A refusal by privilege says nothing where another hook failed for a reason of its own.
    let refused = errors.iter().all(unsupported::is_permission);
    let reasons: Vec<String> = errors.iter().map(|error| format!("{error:#}")).collect();
    let reasons = reasons.join("; ");
    if refused {
        return Err(Unsupported::new(
            format!("the kernel refused every capture hook ({reasons})"),
            "run as root or with CAP_BPF and CAP_PERFMON; under kernel lockdown Linux 6.3 or later is needed",
        )
        .into());
    }
    Err(anyhow::anyhow!("no capture hook could be attached: {reasons}"))
}

/// Attaches what can be done without, and notes what is missing.
pub(super) fn attach_rest(ebpf: &mut Ebpf, btf: &KernelTypes, missing: &mut Vec<String>) {
    attach_each(REST, ebpf, btf, missing);
}

/// Attaches what tells of the life of processes, and notes what is missing.
pub(super) fn attach_processes(ebpf: &mut Ebpf, btf: &KernelTypes, missing: &mut Vec<String>) {
    attach_each(&REST[1..], ebpf, btf, missing);
}

/// Attaches what tells of threads' times, and notes what is missing.
pub(super) fn attach_times(ebpf: &mut Ebpf, btf: &KernelTypes, missing: &mut Vec<String>) {
    attach_each(TIMES, ebpf, btf, missing);
}

/// Attaches what tells of wake-ups between threads, and notes it where it is missing.
pub(super) fn attach_wakes(ebpf: &mut Ebpf, btf: &KernelTypes, missing: &mut Vec<String>) {
    let (name, cost) = WAKES;
    if let Err(error) = attach_to(ebpf, btf, name, "sched_waking") {
        missing.push(format!("{name}: {cost} ({error:#})"));
    }
}

fn attach_each(hooks: &[(&str, &str)], ebpf: &mut Ebpf, btf: &KernelTypes, missing: &mut Vec<String>) {
    for (name, cost) in hooks {
        if let Err(error) = attach_tracepoint(ebpf, btf, name) {
            missing.push(format!("{name}: {cost} ({error:#})"));
        }
    }
}

fn attach_tracepoint(ebpf: &mut Ebpf, btf: &KernelTypes, name: &str) -> Result<()> {
    attach_to(ebpf, btf, name, name)
}

/// The program `name`, to a tracepoint that others use as well.
fn attach_to(ebpf: &mut Ebpf, btf: &KernelTypes, name: &str, tracepoint: &str) -> Result<()> {
    let program: &mut BtfTracePoint = program(ebpf, name)?;
    program.load(tracepoint, btf).map_err(|error| refusal(name, error))?;
    program.attach().with_context(|| format!("{name} does not attach"))?;
    Ok(())
}

/// The verifier's log can be megabytes: its verdict is in the last lines, the rest is for debugging.
pub(super) fn refusal(name: &str, error: ProgramError) -> anyhow::Error {
    let ProgramError::LoadError { io_error, verifier_log } = error else {
        return anyhow::Error::from(error).context(format!("{name} does not load"));
    };
    let log = verifier_log.to_string();
    debug!("{name}: the verifier says:\n{log}");
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let verdict = lines
        .iter()
        .rev()
        .find(|line| !["verification time", "stack depth", "processed "].iter().any(|s| line.starts_with(s)));
    let context = match verdict {
        Some(verdict) => format!("{name} does not load ({})", verdict.trim()),
        None => format!("{name} does not load"),
    };
    anyhow::Error::from(io_error).context(context)
}

fn attach_exits(ebpf: &mut Ebpf, btf: &KernelTypes, missing: &mut Vec<String>) -> Result<()> {
    for (name, needed) in EXITS {
        let attached = (|| {
            let program: &mut FExit = program(ebpf, name)?;
            program.load(name, btf).map_err(|error| refusal(name, error))?;
            program.attach().with_context(|| format!("{name} does not attach"))?;
            Ok(())
        })();
        match attached {
            Err(error) if *needed => return Err(error),
            Err(error) => {
                let error: anyhow::Error = error;
                missing.push(format!("{name}: its bytes are not captured ({error:#})"));
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

pub(super) fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let program = ebpf.program_mut(name).with_context(|| format!("no program {name} in the object"))?;
    Ok(program.try_into()?)
}
