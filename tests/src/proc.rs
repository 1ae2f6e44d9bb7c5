//! What `/proc` says about a process.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// User and system time of every child that this process has waited for so far.
#[must_use]
#[allow(unsafe_code)] // There is no safe form of it in std.
pub fn children_cpu_time() -> Duration {
    // SAFETY: an all-zero rusage is valid, and getrusage only writes into it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage);
        usage
    };
    let time = |time: libc::timeval| {
        let (seconds, micros) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_usec));
        Duration::from_secs(seconds.unwrap_or(0)) + Duration::from_micros(micros.unwrap_or(0))
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// CPU time from the scheduler's own nanosecond clock, all threads that are alive.
///
/// # Errors
/// When the process is gone.
pub fn exact_cpu_time(pid: u32) -> Result<Duration> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let schedstat = task?.path().join("schedstat");
        // A thread that ends between the listing and the reading takes its time with it.
        if let Ok(text) = fs::read_to_string(schedstat) {
            total += text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok(Duration::from_nanos(total))
}

/// CPU time of a process and of its children, those that ended and were waited for included.
///
/// # Errors
/// When the process is gone.
pub fn family_cpu_time(pid: u32) -> Result<Duration> {
    let mut total = exact_cpu_time(pid)?;
    for child in children(pid) {
        // One that ends meanwhile is among those that were waited for.
        total += exact_cpu_time(child).unwrap_or_default();
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    // cutime and cstime, proc_pid_stat(5).
    let ticks: Option<Vec<u64>> =
        fields.split_whitespace().skip(13).take(2).map(|ticks| ticks.parse().ok()).collect();
    let ticks: u64 = ticks.context("no times in stat")?.iter().sum();
    Ok(total + Duration::from_millis(ticks * MILLISECONDS_A_TICK))
}

/// `USER_HZ` is 100 on every architecture that the agent runs on.
const MILLISECONDS_A_TICK: u64 = 10;

/// The largest resident set a process has had, in bytes.
///
/// # Errors
/// When the process is gone.
pub fn peak_rss(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

/// The direct children of a process.
#[must_use]
pub fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let listed: Vec<u32> = text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    if !listed.is_empty() {
        return listed;
    }
    // Kernels without CONFIG_PROC_CHILDREN have no such file.
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|&child| parent(child) == Some(pid)).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process;

    #[test]
    fn children_that_ended_count_for_the_family() {
        let mut busy = process::Command::new("sh");
        busy.args(["-c", "i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done"]);
        let before = family_cpu_time(process::id()).unwrap();
        let own = exact_cpu_time(process::id()).unwrap();
        assert!(busy.status().unwrap().success());
        let spent = family_cpu_time(process::id()).unwrap().saturating_sub(before);
        let own = exact_cpu_time(process::id()).unwrap().saturating_sub(own);
        assert!(spent > own + Duration::from_millis(10), "{spent:?}, of it {own:?} without the child");
    }

    #[test]
    fn this_process_is_its_parents_child_and_has_used_memory_and_time() {
        let own = process::id();
        assert!(children(parent(own).unwrap()).contains(&own));
        assert!(peak_rss(own).unwrap() > 100_000);
        assert!(exact_cpu_time(own).unwrap() > Duration::ZERO);
    }
}
