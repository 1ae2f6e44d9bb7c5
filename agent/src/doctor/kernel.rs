//! The kernel: its version, its types, its lockdown mode, and the hook that captures.

use super::{Check, Machine, State};

/// fexit with the helpers the programs use.
const OLDEST: (u32, u32) = (5, 15);
/// `sock_send_length` and `sock_recv_length`.
const TRACEPOINTS: (u32, u32) = (6, 3);

pub(super) fn version(machine: &Machine) -> Check {
    let what = "kernel";
    let Some(release) = machine.text("proc/sys/kernel/osrelease") else {
        return Check::new(what, State::Limited, "unknown", "/proc is not readable", "mount /proc");
    };
    match parse_version(&release) {
        Some(version) if version < OLDEST => Check::new(
            what,
            State::Missing,
            release,
            "the capture hooks came with Linux 5.15",
            "use a kernel of 5.15 or newer",
        ),
        _ => Check::good(what, release),
    }
}

pub(super) fn types(machine: &Machine) -> Check {
    let path = "sys/kernel/btf/vmlinux";
    if machine.exists(path) {
        return Check::good("kernel types (BTF)", format!("/{path}"));
    }
    Check::new(
        "kernel types (BTF)",
        State::Missing,
        "absent",
        "the places of socket fields cannot be found",
        "use a kernel built with CONFIG_DEBUG_INFO_BTF=y (those of current distributions are), and mount /sys",
    )
}

pub(super) fn lockdown(machine: &Machine) -> Check {
    let what = "lockdown";
    let Some(modes) = machine.text("sys/kernel/security/lockdown") else {
        return match machine.mount("securityfs") {
            Some(_) => Check::good(what, "not built in"),
            None => Check::new(what, State::Note, "unknown", "securityfs is not mounted", ""),
        };
    };
    let mode =
        modes.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or("unknown", |(mode, _)| mode);
    match mode {
        "none" => Check::good(what, mode),
        "integrity" => Check::new(
            what,
            State::Note,
            mode,
            "the fexit hook may be refused; tp_btf (Linux 6.3 and newer) is not",
            "",
        ),
        "confidentiality" => Check::new(
            what,
            State::Missing,
            mode,
            "eBPF programs may not read kernel memory",
            "boot with lockdown=integrity or without lockdown",
        ),
        _ => Check::new(what, State::Note, mode, "", ""),
    }
}

/// What was tried, or else what the version lets expect; then a line for each program that did not attach.
pub(super) fn capture(machine: &Machine) -> Vec<Check> {
    let what = "capture hook";
    match &machine.capture {
        Some(Ok(capture)) => {
            let absent = capture
                .missing
                .iter()
                .map(|missing| Check::new("kernel program", State::Limited, "absent", missing.clone(), ""));
            let hook = Check::good(what, capture.hook.clone());
            [headers(&capture.headers), options(&capture.options), hook].into_iter().chain(absent).collect()
        }
        Some(Err(refusal)) => {
            vec![Check::new(what, State::Missing, "none", refusal.reason.clone(), refusal.remedy.clone())]
        }
        None => {
            let version = machine.text("proc/sys/kernel/osrelease").as_deref().and_then(parse_version);
            let expected = if version >= Some(TRACEPOINTS) { "tp_btf" } else { "fexit" };
            vec![Check::new(what, State::Note, format!("{expected} (by version)"), "not tried", "")]
        }
    }
}

/// Only of concern where headers are asked for.
fn headers(tried: &Result<bool, String>) -> Check {
    let what = "headers in requests";
    match tried {
        Ok(true) => Check::good(what, "possible"),
        Ok(false) => Check::new(
            what,
            State::Note,
            "possible in the first of a connection",
            "FIONREAD is wrong for connections in a sockmap, so each leaves it with its first request",
            "",
        ),
        Err(reason) => Check::new(what, State::Note, "not possible", reason.clone(), ""),
    }
}

/// Only of concern where they are asked for.
fn options(tried: &Result<(), String>) -> Check {
    let what = "contexts in TCP options";
    match tried {
        Ok(()) => Check::good(what, "possible"),
        Err(reason) => Check::new(what, State::Note, "not possible", reason.clone(), ""),
    }
}

/// Major and minor of `6.12.9-cloud-amd64`.
fn parse_version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
