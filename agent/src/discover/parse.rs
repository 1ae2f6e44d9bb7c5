//! The text of `/proc` files. The crate `procfs` reads what the kernel alone writes; what programs write themselves is read here.
//! Whatever is in them, the answer is a value: never a panic.

use procfs::{
    FromBufRead as _, FromBufReadSI as _, FromRead as _, ProcessCGroups, current_system_info,
    net::{TcpNetEntries, TcpNetEntry},
    process::{FDTarget, MountInfo, StatFlags},
};

/// Of `/proc/PID/stat`, what the agent needs (proc(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// At most 15 bytes, chosen by the program.
    pub comm: String,
    pub ppid: u32,
    /// Clock ticks after boot; with the pid, it names a process for as long as the machine is up.
    pub start_ticks: u64,
    pub kernel_thread: bool,
}

/// A process that has ended and was not waited for (states Z and X) is absent: it runs nothing any more.
pub(super) fn stat(text: &[u8]) -> Option<Stat> {
    if !has_stat_shape(text) {
        return None;
    }
    let stat = procfs::process::Stat::from_read(text).ok()?;
    (!matches!(stat.state, 'Z' | 'X')).then_some(Stat {
        comm: stat.comm,
        ppid: u32::try_from(stat.ppid).ok()?,
        start_ticks: stat.starttime,
        kernel_thread: StatFlags::from_bits_truncate(stat.flags).contains(StatFlags::PF_KTHREAD),
    })
}

/// `PID (comm) S …`. The crate slices around the parentheses without a look, which on other text would panic.
fn has_stat_shape(text: &[u8]) -> bool {
    let open = text.iter().position(|byte| *byte == b'(').unwrap_or(0);
    let close = text.iter().rposition(|byte| *byte == b')').unwrap_or(0);
    let pid = text[..open].strip_suffix(b" ").unwrap_or_default();
    let is_number = !pid.is_empty() && pid.iter().all(u8::is_ascii_digit);
    let state = matches!(text.get(close + 1..), Some([b' ', state, ..]) if state.is_ascii_alphabetic());
    is_number && open < close && state
}

/// `/proc/PID/cgroup`. Names may be any bytes, and the crate takes UTF-8 only.
pub(super) fn cgroups(text: &[u8]) -> Option<ProcessCGroups> {
    ProcessCGroups::from_buf_read(String::from_utf8_lossy(text).as_bytes()).ok()
}

/// `/proc/PID/mountinfo`, line by line: one strange mount, or the one that was cut, must not hide the others.
pub(super) fn mounts(text: &[u8]) -> Vec<MountInfo> {
    let text = String::from_utf8_lossy(text);
    text.lines().filter_map(|line| MountInfo::from_line(line).ok()).collect()
}

/// One line of `/proc/PID/net/tcp` or `tcp6`, so that the reader can stop where the listening sockets end: the whole table has every
/// connection of the host. `None` for the heading and for what is no socket.
pub(super) fn tcp_line(line: &str) -> Option<TcpNetEntry> {
    // The crate passes over the first line, the heading.
    let table = format!("\n{line}");
    TcpNetEntries::from_buf_read(table.as_bytes(), current_system_info()).ok()?.0.pop()
}

/// The number in `socket:[123]`.
pub(super) fn socket_inode(link: &str) -> Option<u64> {
    match link.parse() {
        Ok(FDTarget::Socket(inode)) => Some(inode),
        _ => None,
    }
}

/// The number in `net:[4026531840]`.
pub(super) fn network_namespace(link: &str) -> Option<u64> {
    match link.parse() {
        Ok(FDTarget::Net(inode)) => Some(inode),
        _ => None,
    }
}

/// NUL-separated strings: `cmdline`. Not the crate's: that drops empty arguments and refuses what is not UTF-8. A process that wrote its own title leaves one string and a tail of NULs.
pub(super) fn argv(bytes: &[u8]) -> Vec<String> {
    let mut argv: Vec<String> =
        bytes.split(|byte| *byte == 0).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
    while argv.last().is_some_and(String::is_empty) {
        argv.pop();
    }
    argv
}

/// `NAME=value` strings, NUL-separated: `environ`. Not the crate's: that keeps every variable, and many are secrets. What has no `=` is left out; a name given twice counts once, as getenv has it.
pub(super) fn environ(bytes: &[u8], keep: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for entry in bytes.split(|byte| *byte == 0) {
        let Some(equals) = entry.iter().position(|byte| *byte == b'=') else { continue };
        let Ok(name) = std::str::from_utf8(&entry[..equals]) else { continue };
        if name.is_empty() || !keep(name) || variables.iter().any(|(seen, _)| seen == name) {
            continue;
        }
        variables.push((name.to_owned(), String::from_utf8_lossy(&entry[equals + 1..]).into_owned()));
    }
    variables
}

#[cfg(test)]
mod tests {
    use procfs::net::TcpState;
    use proptest::prelude::*;

    use super::*;

    const STAT: &str = "1234 (tmux: server) S 1 1234 1234 0 -1 4194368 5 0 0 0 1 2 0 0 20 0 1 0 98765 1000 200 \
         18446744073709551615 1 1 0 0 0 0 16387 0 0 0 0 17 0 0 0 0 0 0 1 1 1 1 1 1 1 0";

    #[test]
    fn stat_gives_parent_start_time_and_whether_it_is_the_kernels() {
        let expect = Stat { comm: "tmux: server".into(), ppid: 1, start_ticks: 98765, kernel_thread: false };
        assert_eq!(stat(STAT.as_bytes()), Some(expect));
        let kthread = STAT.replace("4194368", "2129984");
        assert!(stat(kthread.as_bytes()).unwrap().kernel_thread);
    }

    #[test]
    fn a_command_name_may_hold_parentheses_and_spaces() {
        let text = STAT.replace("tmux: server", ") 9 9 (x");
        assert_eq!(stat(text.as_bytes()).unwrap().comm, ") 9 9 (x");
        assert_eq!(stat(text.as_bytes()).unwrap().ppid, 1);
    }

    #[test]
    fn a_zombie_is_absent() {
        assert_eq!(stat(STAT.replace(") S ", ") Z ").as_bytes()), None);
    }

    #[test]
    fn a_cut_stat_is_absent() {
        // The fields from exit_signal on came over the years and may be missing.
        for end in 0..STAT.find(" 17 0").unwrap() - 1 {
            assert_eq!(stat(&STAT.as_bytes()[..end]), None, "{}", &STAT[..end]);
        }
    }

    #[test]
    fn what_is_no_stat_is_absent() {
        for text in [
            "",
            "(",
            ")",
            "()",
            "(x) S 1",
            " (x) S 1",
            "1(x) S 1",
            "1 )x( S 1",
            "1 (x)",
            "1 (x) ",
            "1 (x)é",
            "é (x) S",
        ] {
            assert_eq!(stat(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_strange_cgroup_or_mount_does_not_hide_the_others() {
        let cgroups = cgroups(b"1:name=systemd:/a\n0::/b:\xff\n").unwrap();
        let paths: Vec<&str> = cgroups.0.iter().map(|cgroup| cgroup.pathname.as_str()).collect();
        assert_eq!(paths, ["/a", "/b:\u{fffd}"]);
        let mounts = mounts(b"junk\n9 8 8:1 /a /b rw shared:1 - ext4 /dev/sda1 rw\n9 8 8:1 /c /d r");
        let roots: Vec<&str> = mounts.iter().map(|mount| mount.root.as_str()).collect();
        assert_eq!(roots, ["/a"]);
    }

    #[test]
    fn argv_keeps_empty_arguments_inside_and_drops_the_tail() {
        assert_eq!(argv(b"a\0\0b\0"), ["a", "", "b"]);
        assert_eq!(argv(b"nginx: worker process\0\0\0\0"), ["nginx: worker process"]);
        assert!(argv(b"").is_empty());
    }

    #[test]
    fn environ_keeps_what_is_asked_for_once() {
        let bytes = b"A=1\0SECRET=x\0A=2\0B=x=y\0junk\0=z\0C=\0";
        let kept = environ(bytes, |name| name != "SECRET");
        let expect = [("A", "1"), ("B", "x=y"), ("C", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(kept, expect);
    }

    #[test]
    fn tcp_lines_of_both_families() {
        let v4 = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 30157 1 0 100 0 0 10 0";
        let listening = |line: &str| {
            let entry = tcp_line(line)?;
            Some((entry.local_address.port(), entry.state == TcpState::Listen, entry.inode))
        };
        assert_eq!(listening(v4), Some((8080, true, 30157)));
        let v6 = "   1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 77 1";
        assert_eq!(listening(v6), Some((80, true, 77)));
        assert_eq!(listening(&v4.replace(" 0A ", " 01 ")), Some((8080, false, 30157)));
        let heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        assert_eq!(listening(heading), None);
        assert_eq!(listening(""), None);
    }

    #[test]
    fn links_to_sockets_and_namespaces() {
        assert_eq!(socket_inode("socket:[30157]"), Some(30157));
        for link in ["pipe:[1]", "socket:[x]", "socket:", "socket:é", "/srv/socket:[1]", ""] {
            assert_eq!(socket_inode(link), None, "{link}");
        }
        assert_eq!(network_namespace("net:[4026531840]"), Some(4_026_531_840));
        assert_eq!(network_namespace("mnt:[4026531840]"), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..256), text in ".{0,200}") {
            stat(&bytes);
            argv(&bytes);
            environ(&bytes, |_| true);
            tcp_line(&text);
            socket_inode(&text);
            network_namespace(&text);
            cgroups(&bytes);
            mounts(&bytes);
        }

        #[test]
        fn strings_of_the_right_signs_never_panic(text in "[0-9 :()\\[\\]SZé\\-,=socketnaf]{0,60}") {
            stat(text.as_bytes());
            tcp_line(&text);
            socket_inode(&text);
            network_namespace(&text);
            cgroups(text.as_bytes());
            mounts(text.as_bytes());
        }

        #[test]
        fn damaged_stat_never_panics(at in 0..STAT.len(), byte in any::<u8>()) {
            let mut damaged = STAT.as_bytes().to_vec();
            damaged[at] = byte;
            stat(&damaged);
        }
    }
}
