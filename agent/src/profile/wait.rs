//! What a thread waits for, told by the kernel's functions that it waits in. The kinds are those of spans
//! (`honeyguide.time.blocked.*`), which know the system call alone.

use std::collections::BTreeMap;

use super::named::{FrameKind, Profile, Stack};

/// Of a sample of time off the CPU.
pub const ATTRIBUTE: &str = "honeyguide.wait";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// A socket, or whatever is polled.
    Network,
    /// A file, its file system, or memory that comes from one.
    Disk,
    Lock,
    Sleep,
    /// A pipe, a child, a signal and the like.
    Other,
}

/// Beginnings of functions' names, as Linux 5.15 to 6.18 has them. Within a stack the innermost one that is known counts.
const FUNCTIONS: &[(&str, Wait)] = &[
    // kernel/time/hrtimer.c, kernel/time/alarmtimer.c
    ("hrtimer_nanosleep", Wait::Sleep),
    ("alarm_timer_nsleep", Wait::Sleep),
    // kernel/futex, kernel/locking, ipc/sem.c, fs/locks.c
    ("futex_", Wait::Lock),
    ("__futex_", Wait::Lock),
    ("do_futex", Wait::Lock),
    ("rwsem_", Wait::Lock),
    ("__mutex_lock", Wait::Lock),
    ("do_semtimedop", Wait::Lock),
    ("__do_semtimedop", Wait::Lock),
    ("flock_lock_inode_wait", Wait::Lock),
    ("posix_lock_inode_wait", Wait::Lock),
    // net, fs/select.c, fs/eventpoll.c
    ("sk_wait_", Wait::Network),
    ("sk_stream_wait_", Wait::Network),
    ("inet_", Wait::Network),
    ("tcp_", Wait::Network),
    ("udp_", Wait::Network),
    ("unix_", Wait::Network),
    ("__skb_wait_for_more_packets", Wait::Network),
    ("sock_", Wait::Network),
    ("__sock_", Wait::Network),
    ("__sys_accept", Wait::Network),
    ("__sys_connect", Wait::Network),
    ("do_epoll_wait", Wait::Network),
    ("ep_poll", Wait::Network),
    ("do_sys_poll", Wait::Network),
    ("do_select", Wait::Network),
    // mm/filemap.c, fs/buffer.c, block, fs
    ("folio_wait_", Wait::Disk),
    ("wait_on_page_", Wait::Disk),
    ("__filemap_", Wait::Disk),
    ("filemap_", Wait::Disk),
    ("__wait_on_buffer", Wait::Disk),
    ("submit_bio_wait", Wait::Disk),
    ("blk_", Wait::Disk),
    ("__blkdev_", Wait::Disk),
    ("jbd2_", Wait::Disk),
    ("ext4_", Wait::Disk),
    ("xfs_", Wait::Disk),
    ("btrfs_", Wait::Disk),
    ("vfs_fsync_range", Wait::Disk),
    ("balance_dirty_pages", Wait::Disk),
];

impl Wait {
    /// `None` where the kernel's part of the stack is not known.
    #[must_use]
    pub fn of(stack: &Stack) -> Option<Self> {
        let mut kernel =
            stack.locations.iter().filter(|location| location.kind == FrameKind::Kernel).peekable();
        kernel.peek()?;
        let known = |function: &str| FUNCTIONS.iter().find(|(name, _)| function.starts_with(name));
        let found = kernel.find_map(|location| location.lines.iter().find_map(|line| known(&line.function)));
        Some(found.map_or(Self::Other, |(_, wait)| *wait))
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Disk => "disk",
            Self::Lock => "lock",
            Self::Sleep => "sleep",
            Self::Other => "other",
        }
    }
}

/// Nanoseconds by kind, the longest first.
#[must_use]
pub fn by_kind(profiles: &[Profile]) -> Vec<(String, u64)> {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for sample in profiles.iter().flat_map(|profile| &profile.samples) {
        if let Some(kind) = sample.attributes.text(ATTRIBUTE) {
            let sum = sums.entry(kind).or_default();
            *sum = sum.saturating_add(sample.value());
        }
    }
    let mut sums: Vec<(String, u64)> = sums.into_iter().map(|(kind, sum)| (kind.to_owned(), sum)).collect();
    sums.sort_by_key(|&(_, sum)| std::cmp::Reverse(sum));
    sums
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::profile::named::tests::location;

    /// Functions from the outside, the kernel's first one named.
    fn wait(text: &str) -> Option<Wait> {
        let mut kind = FrameKind::Native;
        let mut locations: Vec<Arc<_>> = text
            .split(';')
            .map(|function| {
                if function == "do_syscall_64" {
                    kind = FrameKind::Kernel;
                }
                location(function, kind)
            })
            .collect();
        locations.reverse();
        Wait::of(&Stack { locations: locations.into(), complete: true })
    }

    #[test]
    fn the_innermost_function_that_is_known_counts() {
        for (stack, expect) in [
            ("main;nanosleep;do_syscall_64;common_nsleep;hrtimer_nanosleep", Some(Wait::Sleep)),
            ("main;do_syscall_64;do_futex;futex_wait;__futex_wait;futex_do_wait", Some(Wait::Lock)),
            ("do_syscall_64;ksys_read;vfs_read;sock_read_iter;tcp_recvmsg;wait_woken", Some(Wait::Network)),
            ("do_syscall_64;ksys_read;vfs_read;ext4_file_read_iter;filemap_get_pages;down", Some(Wait::Disk)),
            // A file system's function that waits for a lock.
            ("do_syscall_64;vfs_write;ext4_file_write_iter;rwsem_down_write_slowpath", Some(Wait::Lock)),
            ("do_syscall_64;do_epoll_wait;ep_poll;schedule_hrtimeout_range", Some(Wait::Network)),
            ("do_syscall_64;ksys_read;vfs_read;anon_pipe_read", Some(Wait::Other)),
            ("main;futex_wait;hrtimer_nanosleep", None),
        ] {
            assert_eq!(wait(stack), expect, "{stack}");
        }
    }
}
