use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

/// A machine on which all is well: Linux 6.12, root, the host's process ids.
struct FakeMachine(TempDir);

impl FakeMachine {
    fn new() -> Self {
        let fake = Self(tempfile::tempdir().unwrap());
        fake.file("proc/sys/kernel/osrelease", "6.12.9-cloud-amd64\n");
        fake.file("proc/sys/kernel/unprivileged_bpf_disabled", "2\n");
        fake.file("proc/sys/kernel/perf_event_paranoid", "3\n");
        fake.file("proc/self/status", "Name:\tx\nCapPrm:\t0\nCapEff:\t000001ffffffffff\n");
        fake.file("sys/kernel/btf/vmlinux", "");
        fake.file("sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
        fake.file(
            "proc/self/mounts",
            "tracefs /sys/kernel/tracing tracefs rw 0 0\nbpf /sys/fs/bpf bpf rw 0 0\n\
             securityfs /sys/kernel/security securityfs rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n",
        );
        fake.pid_namespace("pid:[4026531836]");
        fake
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.0.path().join(path)).unwrap();
    }

    fn pid_namespace(&self, target: &str) {
        let path = self.0.path().join("proc/self/ns/pid");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        symlink(target, path).unwrap();
    }

    fn report(&self) -> Report {
        examine(&Machine::new(self.0.path()))
    }

    #[track_caller]
    fn check(&self, what: &str, state: State, found: &str) {
        let report = self.report();
        let check = report.checks.iter().find(|check| check.what == what).unwrap();
        assert_eq!((check.state, check.found.as_str()), (state, found), "{what}");
        assert_eq!(report.can_run(), state != State::Missing);
    }
}

#[test]
fn a_machine_on_which_all_is_well() {
    let fake = FakeMachine::new();
    let worst: Vec<&str> =
        fake.report().checks.iter().filter(|c| c.state != State::Good).map(|c| c.what).collect();
    assert_eq!(worst, ["unprivileged_bpf_disabled", "perf_event_paranoid", "capture hook"]);
    assert!(fake.report().can_run());
}

#[test]
fn kernels() {
    let fake = FakeMachine::new();
    for (release, state) in [
        ("5.14.21", State::Missing),
        ("5.15.0-1", State::Good),
        ("4.19", State::Missing),
        ("6.1.0-29-cloud-amd64", State::Good),
        ("strange", State::Good),
    ] {
        fake.file("proc/sys/kernel/osrelease", release);
        fake.check("kernel", state, release);
    }
    fake.file("proc/sys/kernel/osrelease", "6.1.0");
    fake.check("capture hook", State::Note, "fexit (by version)");
    fake.file("proc/sys/kernel/osrelease", "6.3.0");
    fake.check("capture hook", State::Note, "tp_btf (by version)");
}

#[test]
fn types_and_lockdown() {
    let fake = FakeMachine::new();
    fake.file("sys/kernel/security/lockdown", "none [integrity] confidentiality");
    fake.check("lockdown", State::Note, "integrity");
    fake.file("sys/kernel/security/lockdown", "none integrity [confidentiality]");
    fake.check("lockdown", State::Missing, "confidentiality");
    fake.remove("sys/kernel/security/lockdown");
    fake.check("lockdown", State::Good, "not built in");
    fake.file("proc/self/mounts", "");
    fake.check("lockdown", State::Note, "unknown");
    fake.remove("sys/kernel/btf/vmlinux");
    fake.check("kernel types (BTF)", State::Missing, "absent");
}

#[test]
fn capabilities_of_an_unprivileged_user_and_of_a_bounded_service() {
    let fake = FakeMachine::new();
    fake.file("proc/self/status", "CapEff:\t0000000000000000\n");
    fake.check("CAP_BPF", State::Missing, "no");
    fake.check("CAP_PERFMON", State::Missing, "no");
    // CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE alone.
    fake.file("proc/self/status", "CapEff:\t000000c000080000\n");
    for what in ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE"] {
        fake.check(what, State::Good, "yes");
    }
    fake.check("CAP_SYS_ADMIN", State::Note, "no");
    fake.file("proc/self/status", "CapEff:\t0000000000200000\n");
    fake.check("CAP_BPF", State::Good, "yes, as CAP_SYS_ADMIN");
    fake.check("CAP_SYS_PTRACE", State::Limited, "no");
    fake.file("proc/self/status", "garbage");
    fake.check("CAP_BPF", State::Limited, "unknown");
}

#[test]
fn a_container_without_the_hosts_process_ids() {
    let fake = FakeMachine::new();
    fake.pid_namespace("pid:[4026532201]");
    fake.check("process ids", State::Missing, "a container's own");
    let table = fake.report().to_string();
    assert!(table.contains("set hostPID: true"), "{table}");
}

#[test]
fn mounts() {
    let fake = FakeMachine::new();
    fake.check("cgroup2", State::Good, "/sys/fs/cgroup");
    fake.file("proc/self/mounts", "x\n \n");
    for what in ["tracefs", "bpffs", "securityfs", "cgroup2"] {
        fake.check(what, State::Note, "not mounted");
    }
}

#[test]
fn what_trying_to_capture_gave() {
    let fake = FakeMachine::new();
    let mut machine = Machine::new(fake.0.path());
    let mut last = |capture: Result<Capture, Refusal>, rows: usize| {
        machine.capture = Some(capture);
        let report = examine(&machine);
        let can_run = report.can_run();
        let mut checks = report.checks;
        (checks.split_off(checks.len() - rows), can_run)
    };
    let whole = Capture { hook: "tp_btf".into(), missing: Vec::new(), headers: Ok(true), options: Ok(()) };
    assert_eq!(last(Ok(whole.clone()), 1), (vec![Check::good("capture hook", "tp_btf")], true));

    let missing = "sched_process_exec: new programs are found by scanning (it does not load)";
    let partial = Capture { missing: vec![missing.into()], ..whole };
    let rows = vec![
        Check::good("capture hook", "tp_btf"),
        Check::new("kernel program", State::Limited, "absent", missing, ""),
    ];
    assert_eq!(last(Ok(partial), 2), (rows, true));

    let refusal = Refusal { reason: "EPERM".into(), remedy: "run as root".into() };
    let row = Check::new("capture hook", State::Missing, "none", "EPERM", "run as root");
    assert_eq!(last(Err(refusal), 1), (vec![row], false));
}

#[test]
fn the_table_is_aligned_and_says_what_to_do() {
    let report = Report {
        checks: vec![
            Check::good("kernel", "6.12"),
            Check::new("CAP_BPF", State::Missing, "no", "nothing works", "run as root"),
        ],
    };
    let expect = "kernel   ok       6.12\n\
                  CAP_BPF  MISSING  no    nothing works\n\
                  \u{20}        → run as root\n\
                  \n\
                  honeyguide cannot capture here.\n";
    assert_eq!(report.to_string(), expect);
}
