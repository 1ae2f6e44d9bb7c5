//! File systems of the kernel's.

use super::{Check, Machine, State};

pub(super) fn tracefs(machine: &Machine) -> Check {
    mounted(
        machine,
        "tracefs",
        State::Note,
        "capture works without it; tracepoints cannot be listed",
        "mount -t tracefs tracefs /sys/kernel/tracing",
    )
}

pub(super) fn bpffs(machine: &Machine) -> Check {
    mounted(machine, "bpf", State::Note, "not needed: nothing is pinned", "")
}

pub(super) fn securityfs(machine: &Machine) -> Check {
    mounted(
        machine,
        "securityfs",
        State::Note,
        "the lockdown mode cannot be read",
        "mount -t securityfs securityfs /sys/kernel/security",
    )
}

pub(super) fn cgroup2(machine: &Machine) -> Check {
    mounted(machine, "cgroup2", State::Note, "container ids are taken from version 1 cgroups", "")
}

fn mounted(
    machine: &Machine,
    kind: &'static str,
    state: State,
    consequence: &'static str,
    remedy: &'static str,
) -> Check {
    let what = if kind == "bpf" { "bpffs" } else { kind };
    match machine.mount(kind) {
        Some(target) => Check::good(what, target),
        None => Check::new(what, state, "not mounted", consequence, remedy),
    }
}
