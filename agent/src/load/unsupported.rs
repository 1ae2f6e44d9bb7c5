//! The one error that means "not on this machine": what is missing, and what to do.

use std::fmt;

use aya::EbpfError;

/// Ends the command with exit code 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    pub missing: String,
    pub remedy: String,
}

impl Unsupported {
    pub fn new(missing: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { missing: missing.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.missing, self.remedy)
    }
}

impl std::error::Error for Unsupported {}

/// A refused `bpf(2)` is mostly a matter of privileges; the error chain holds the errno.
pub(super) fn explain_load(error: EbpfError) -> anyhow::Error {
    let error = anyhow::Error::from(error);
    if is_permission(&error) {
        return Unsupported::new(
            "the kernel refused to load eBPF programs (EPERM)",
            "run as root, or with the capabilities CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE; `honeyguide doctor` shows what is missing",
        )
        .into();
    }
    error.context("the kernel programs do not load")
}

/// The same for `perf_event_open(2)`.
pub(super) fn explain_sampler(error: anyhow::Error) -> anyhow::Error {
    if is_permission(&error) {
        return Unsupported::new(
            "the kernel refused to sample (EPERM)",
            "run as root, or with the capabilities CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE; `honeyguide doctor` shows what is missing",
        )
        .into();
    }
    error.context("no event to sample by can be had")
}

/// It was asked for, so running without it would not be what was asked for. `what`: a way, or contexts in general.
pub(super) fn explain_propagation(what: &str, error: &anyhow::Error) -> anyhow::Error {
    Unsupported::new(
        format!("{what}: traces cannot be handed on to other hosts here ({error:#})"),
        "change context.propagate, or see `honeyguide doctor` for what is missing",
    )
    .into()
}

pub(super) fn is_permission(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|io| io.kind() == std::io::ErrorKind::PermissionDenied)
}
