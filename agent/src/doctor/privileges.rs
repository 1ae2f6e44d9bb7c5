//! What the agent may do: capabilities, and what stands in for them.

use super::{Check, Machine, State};

/// `PROC_PID_INIT_INO` of include/linux/proc_ns.h.
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Name, bit in `CapEff` (include/uapi/linux/capability.h), whether CAP_SYS_ADMIN includes it, what its absence means, consequence, remedy.
type Capability = (&'static str, u32, bool, State, &'static str, &'static str);

const SYS_ADMIN: u32 = 21;
const CAPABILITIES: [Capability; 5] = [
    (
        "CAP_BPF",
        39,
        true,
        State::Missing,
        "eBPF programs and maps cannot be made",
        "run as root, or add CAP_BPF",
    ),
    (
        "CAP_PERFMON",
        38,
        true,
        State::Missing,
        "programs cannot be attached to the kernel",
        "run as root, or add CAP_PERFMON",
    ),
    (
        "CAP_SYS_PTRACE",
        19,
        false,
        State::Limited,
        "other users' processes have no executable, environment or listening ports: weak names, no --exe and --port",
        "run as root, or add CAP_SYS_PTRACE",
    ),
    ("CAP_SYS_ADMIN", SYS_ADMIN, false, State::Note, "not needed beside CAP_BPF and CAP_PERFMON", ""),
    (
        "CAP_SYS_RESOURCE",
        24,
        false,
        State::Note,
        "not needed: memory is not charged to RLIMIT_MEMLOCK from Linux 5.11 on",
        "",
    ),
];

pub(super) fn capabilities(machine: &Machine) -> Vec<Check> {
    let effective = effective(machine);
    CAPABILITIES
        .into_iter()
        .map(|(what, bit, in_sys_admin, state, consequence, remedy)| match effective {
            None => Check::new(
                what,
                State::Limited,
                "unknown",
                "/proc/self/status is not readable",
                "mount /proc",
            ),
            Some(set) if has(set, bit) => Check::good(what, "yes"),
            Some(set) if in_sys_admin && has(set, SYS_ADMIN) => Check::good(what, "yes, as CAP_SYS_ADMIN"),
            Some(_) => Check::new(what, state, "no", consequence, remedy),
        })
        .collect()
}

pub(super) fn pid_namespace(machine: &Machine) -> Check {
    let what = "process ids";
    match machine.link("proc/self/ns/pid") {
        Some(link) if link == INITIAL_PID_NAMESPACE => Check::good(what, "the host's"),
        Some(_) => Check::new(
            what,
            State::Missing,
            "a container's own",
            "the kernel's process ids are not those of this /proc",
            "set hostPID: true in the pod, or start the container with --pid=host",
        ),
        None => Check::new(what, State::Limited, "unknown", "/proc/self/ns is not readable", "mount /proc"),
    }
}

pub(super) fn unprivileged_bpf(machine: &Machine) -> Check {
    setting(machine, "unprivileged_bpf_disabled", "does not concern a process with CAP_BPF")
}

pub(super) fn perf_event_paranoid(machine: &Machine) -> Check {
    setting(machine, "perf_event_paranoid", "does not concern a process with CAP_PERFMON")
}

fn setting(machine: &Machine, name: &'static str, consequence: &'static str) -> Check {
    let value = machine.text(&format!("proc/sys/kernel/{name}"));
    Check::new(name, State::Note, value.as_deref().unwrap_or("absent"), consequence, "")
}

fn effective(machine: &Machine) -> Option<u64> {
    let status = machine.text("proc/self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

fn has(set: u64, bit: u32) -> bool {
    set >> bit & 1 == 1
}
